"""A run that was killed anywhere and is run again ends in the same warehouse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from wellbridge.pipelines.cli.group import cli
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


# -- what is read between a kill and the next run ------------------------------------------------------------


def _answers(site: Path) -> dict[str, Any]:
    """What commands that only read say."""
    found = {}
    for command in ("status", "held list --all", "held show --all", "runs list", "warehouse digest"):
        said = CliRunner().invoke(cli, [*command.split(), "--project", str(site), "--json"])
        assert said.exit_code == 0, said.stderr
        found[command] = json.loads(said.stdout)
    return found


@pytest.mark.parametrize("point", ["undo.begun", "commit.before", "commit.vault"])
def test_a_killed_run_that_did_not_commit_is_seen_by_nobody(point: str, two_nights: Path, tmp_path: Path) -> None:
    shutil.copytree(two_nights, tmp_path / "site")
    before = _answers(tmp_path / "site")
    killed = _wellbridge("run", "--project", str(tmp_path / "site"), failpoint=f"{point}:1")
    assert killed.returncode == -9
    files = {path: path.read_bytes() for path in (tmp_path / "site" / "state" / "vault").iterdir()}
    assert _answers(tmp_path / "site") == before
    assert {path: path.read_bytes() for path in (tmp_path / "site" / "state" / "vault").iterdir()} == files


@pytest.mark.parametrize("points", [["commit.both"], ["commit.both", "commit.vault"], ["undo.done", "undo.begun"]])
def test_a_killed_run_that_committed_is_seen_by_all_and_stays(
    points: list[str], two_nights: Path, tmp_path: Path
) -> None:
    """Also when the next run is killed too: it must not take back what the one before it committed."""
    site = tmp_path / "site"
    shutil.copytree(two_nights, site)
    first = _answers(site)
    for number, point in enumerate(points):
        assert _wellbridge("run", "--project", str(site), failpoint=f"{point}:1").returncode == -9
        if number == 0:
            committed = _answers(site)
    assert committed["held list --all"] != first["held list --all"]
    assert committed["status"]["last_run"]["run_id"] == committed["runs list"]["runs"][-1]["run_id"]
    assert _answers(site) == committed
    assert _wellbridge("run", "--project", str(site), "--fail-on", "never").returncode == 99
    assert _answers(site) == committed
