"""A change to who is who that was killed anywhere happened wholly or not at all; the next run ends what it began."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from wellbridge.etl.store import open_store
from wellbridge.etl.vault import VAULT
from wellbridge.pipelines.site import init_site, load_site
from wellbridge.pipelines.synth.generate import generate

_ID_BYTES = 16
SEED = datetime.now(UTC).date().toordinal()  # of the points that a default run takes; printed when a test fails
_ALL = 1_000
at_some_points = pytest.mark.parametrize("most", [3, pytest.param(_ALL, marks=pytest.mark.slow)])


def _wellbridge(site: Path, *arguments: str, failpoint: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wellbridge", *arguments, "--project", str(site)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "WELLBRIDGE_FAILPOINT": failpoint, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site after one night."""
    root = tmp_path_factory.mktemp("identity")
    generate(root / "synthetic", students=60, nights=1, seed=12)
    site = init_site(root / "site")
    for feed in (root / "synthetic" / "night-1").iterdir():
        shutil.copytree(feed, site.feeds[feed.name].inbox, dirs_exist_ok=True)
    assert _wellbridge(site.root, "run", "--fail-on", "never").returncode == 0
    return site.root


def _two_anchors(site: Path) -> tuple[str, str]:
    with open_store(load_site(site).vault, VAULT, read_only=True) as vault:
        one, other = vault.frame(
            "SELECT subject_key FROM subject SEMI JOIN record_part ON record_id = subject_key "
            "WHERE namespace = 'student' ORDER BY subject_key LIMIT 2"
        )["subject_key"]
    return one, other


def _state(site: Path, record: str) -> dict[str, Any]:
    """Return what stands of a record."""
    found = load_site(site)
    lines = found.key.with_name("records.keys").read_bytes()
    with open_store(found.vault, VAULT, read_only=True) as vault:
        return {
            "key": bytes.fromhex(record) in [lines[at : at + _ID_BYTES] for at in range(0, len(lines), 76)],
            "parts": vault.value(
                "SELECT count(*) > 0 FROM record_part WHERE record_id = ? AND sealed IS NOT NULL", [record]
            ),
            "id": vault.value("SELECT count(*) > 0 FROM source_key WHERE key = ?", [record]),
            "stones": vault.value("SELECT count(*) FROM record_tombstone WHERE record_id = ?", [record]),
            "is_ending": found.key.with_name("forgetting").exists(),
        }


_BEFORE = {"key": True, "parts": True, "id": True, "stones": 0, "is_ending": False}
_AFTER = {"key": False, "parts": False, "id": False, "stones": 1, "is_ending": False}


# Points of these names are killed at; those of every night are in test_kill.py.
_OWN = ("forget.", "identity.", "store.rewritten", "commit.vault", "commit.both")


def _points(site: Path, folder: Path, *command: str) -> list[str]:
    """Return the first hit of every point of a change's own that a command reaches on a copy of the site."""
    shutil.copytree(site, folder / "golden")
    recorded = folder / "points"
    done = _wellbridge(folder / "golden", *command, failpoint=f"record:{recorded}")
    assert done.returncode == 0, done.stderr
    reached = [point for point in recorded.read_text().split() if point.startswith(_OWN)]
    return list({point.split(":")[0]: point for point in reversed(reached)}.values())


def _some(points: list[str], most: int) -> list[str]:
    """Draw as many of the points as a run takes."""
    print("seed", SEED)
    return random.Random(SEED).sample(points, min(most, len(points)))


@at_some_points
def test_a_killed_forgetting_is_ended_by_the_next_run_or_never_was(night: Path, tmp_path: Path, most: int) -> None:
    record, _ = _two_anchors(night)
    forget = ("identity", "forget", record, "--reason", "asked")
    points = _points(night, tmp_path, *forget)
    assert _state(tmp_path / "golden", record) == _AFTER
    assert {"forget.marked", "identity.keys_rewritten", "forget.keys", "store.rewritten", "forget.done"} <= {
        point.split(":")[0] for point in points
    }
    for point in _some(points, most):
        site = tmp_path / point.replace(":", "-")
        shutil.copytree(night, site)
        assert _wellbridge(site, *forget, failpoint=point).returncode == -9, point
        assert _wellbridge(site, "run", "--fail-on", "never").returncode in {0, 99}, point
        assert _state(site, record) in (_BEFORE, _AFTER), point
        assert _wellbridge(site, *forget).returncode == 0, point
        assert _state(site, record) == _AFTER, point
        shutil.rmtree(site)


def _linked_child(site: Path) -> tuple[str, str]:
    """Return a clinic's record and the number of the student whose it is."""
    with open_store(load_site(site).vault, VAULT, read_only=True) as vault:
        found = vault.frame(
            "SELECT s.subject_key, n.source_id FROM subject s JOIN subject a ON a.person_key = s.person_key "
            "AND a.namespace = 'student' JOIN source_key n ON n.key = a.subject_key "
            "WHERE s.namespace = 'fhir/patient' ORDER BY n.source_id LIMIT 1"
        ).rows()
    return found[0]


@at_some_points
def test_a_night_that_is_killed_while_it_buries_is_ended_by_the_next(night: Path, tmp_path: Path, most: int) -> None:
    record, student = _linked_child(night)
    waiting = tmp_path / "waiting"
    shutil.copytree(night, waiting)
    text = f"student_id,scope,effective_date,withdrawn_date\n{student},all,2026-08-01,\n"
    (load_site(waiting).feeds["sis"].inbox / "optout_2026-09-29.csv").write_text(text)
    run = ("run", "--fail-on", "never")
    points = _points(waiting, tmp_path, *run)
    buried = {**_AFTER, "stones": 0}
    assert _state(night, record) == _BEFORE
    assert _state(tmp_path / "golden", record) == buried
    assert {"forget.marked", "identity.keys_rewritten", "forget.keys", "store.rewritten", "forget.done"} <= {
        point.split(":")[0] for point in points
    }
    for point in _some(points, most):
        site = tmp_path / point.replace(":", "-")
        shutil.copytree(waiting, site)
        assert _wellbridge(site, *run, failpoint=point).returncode == -9, point
        assert _wellbridge(site, *run).returncode in {0, 99}, point
        assert _state(site, record) == buried, point
        with open_store(load_site(site).vault, VAULT, read_only=True) as vault:
            assert vault.value("SELECT count(*) FROM buried_record WHERE record_id = ?", [record]) == 1, point
        shutil.rmtree(site)


@at_some_points
def test_a_killed_merge_done_again_gives_one_person_and_one_constraint(
    night: Path, tmp_path: Path, most: int
) -> None:
    pair = _two_anchors(night)
    merge = ("identity", "merge", *pair, "--reason", "one child", "--json")
    for point in _some(_points(night, tmp_path, *merge), most):
        site = tmp_path / point.replace(":", "-")
        shutil.copytree(night, site)
        assert _wellbridge(site, *merge, failpoint=point).returncode == -9, point
        again = _wellbridge(site, *merge)
        assert again.returncode == 0, again.stderr
        with open_store(load_site(site).vault, VAULT, read_only=True) as vault:
            keys = vault.frame(
                "SELECT DISTINCT person_key FROM subject WHERE subject_key IN (?, ?)", list(pair)
            )
            held = vault.frame(
                "SELECT kind, decision_id FROM link_constraint WHERE asserted_to IS NULL"
            ).rows()
        assert keys.height == 1, point
        assert held == [("must", json.loads(again.stdout)["decision_id"])], point
        shutil.rmtree(site)
