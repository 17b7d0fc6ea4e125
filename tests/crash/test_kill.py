"""A run that was killed anywhere and is run again ends in the same warehouse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wellbridge.pipelines.site import init_site, load_site
from wellbridge.pipelines.synth.generate import generate

KILLS = 20


def _wellbridge(*arguments: str, failpoint: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "WELLBRIDGE_FAILPOINT": failpoint, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-m", "wellbridge", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def _digest(site: Path) -> str:
    found = _wellbridge("warehouse", "digest", "--project", str(site), "--json")
    return str(json.loads(found.stdout)["digest"])


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose first night has run and whose second night waits in the inboxes."""
    root = tmp_path_factory.mktemp("crash")
    generate(root / "synthetic", students=60, nights=2, seed=11)
    site = init_site(root / "site")
    for number in (1, 2):
        for feed in (root / "synthetic" / f"night-{number}").iterdir():
            shutil.copytree(feed, site.feeds[feed.name].inbox, dirs_exist_ok=True)
        if number == 1:
            assert _wellbridge("run", "--project", str(site.root), "--fail-on", "never").returncode == 0
    return site.root


@pytest.fixture(scope="module")
def golden(two_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """The digest of an undisturbed second night, and the points it reached."""
    folder = tmp_path_factory.mktemp("golden")
    shutil.copytree(two_nights, folder / "site")
    points = folder / "points"
    assert (
        _wellbridge(
            "run", "--project", str(folder / "site"), "--fail-on", "never", failpoint=f"record:{points}"
        ).returncode
        == 0
    )
    return _digest(folder / "site"), points.read_text().split()


def _chosen(points: list[str]) -> list[str]:
    """Every name once, then further hits spread over the run."""
    names = {point.split(":")[0]: point for point in reversed(points)}
    rest = [point for point in points if point not in names.values()]
    step = max(1, len(rest) // max(1, KILLS - len(names)))
    return ([*names.values(), *rest[::step]])[:KILLS]


@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_night_converges(
    number: int, two_nights: Path, golden: tuple[str, list[str]], tmp_path: Path
) -> None:
    digest, points = golden
    chosen = _chosen(points)
    assert len(chosen) == KILLS
    shutil.copytree(two_nights, tmp_path / "site")
    killed = _wellbridge(
        "run", "--project", str(tmp_path / "site"), "--fail-on", "never", failpoint=chosen[number]
    )
    assert killed.returncode == -9, chosen[number]
    again = _wellbridge("run", "--project", str(tmp_path / "site"), "--fail-on", "never")
    assert again.returncode in {0, 99}, again.stderr
    assert _digest(tmp_path / "site") == digest, chosen[number]
    state = load_site(tmp_path / "site").state
    assert not list((state / "work").iterdir())
    assert not (state / "vault" / "run-under-way.json").exists()
