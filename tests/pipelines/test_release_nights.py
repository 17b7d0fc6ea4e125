"""A new site as its users meet it: made, filled and released from the command line, night after night."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.answer import Answer
from wellbridge.pipelines.release_tables import Told, told_in
from wellbridge.privacy.manifest import read_manifest
from wellbridge.privacy.tables.joint import attack_together

SEED = (
    datetime.now(UTC).date().toordinal()
)  # another district every day; printed, so that a failure can be repeated
NIGHTS = [("--all",), ("--all",), ("student-supports",)]  # what is built after each
K = 10  # of the templates
DONE, HELD = 0, 13  # a synthetic district's planted defects are held


def wellbridge(*words: str) -> Answer:
    command = [sys.executable, "-m", "wellbridge", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)


def released(root: Path, students: int, seed: int) -> list[dict[str, Any]]:
    """Make a site, run its nights, build extracts after each; return the releases."""
    site, synthetic = root / "site", root / "synthetic"
    assert wellbridge("init", str(site)).exit == DONE
    asked = ("--students", str(students), "--nights", str(len(NIGHTS)), "--seed", str(seed))
    assert wellbridge("synth", str(synthetic), *asked).exit == DONE
    out: list[dict[str, Any]] = []
    for night, extracts in enumerate(NIGHTS, 1):
        shutil.copytree(synthetic / f"night-{night}", site / "inbox", dirs_exist_ok=True)
        # Links that look odd are another test's; here only what leaves is looked at.
        assert wellbridge("run", "--gates", "warn", "--project", str(site)).exit in (DONE, HELD)
        built = wellbridge("extract", "build", *extracts, "--project", str(site))
        assert built.exit == DONE, (night, built.document["errors"])
        out += built.document["releases"]
    return out


def told_by(folder: Path) -> list[Told]:
    return told_in(folder, read_manifest(folder) or {})


def sequences(folders: list[Path]) -> Counter[tuple[tuple[str, ...] | None, ...]]:
    """Count the children of each sequence of classes, from the record files as they lie there."""
    files = []
    for folder in folders:
        quasi = json.loads((folder / "manifest.json").read_text())["tables"][0]["quasi"]
        with (folder / "records.csv").open(newline="", encoding="utf-8") as source:
            files.append({row["code"]: tuple(row[name] for name in quasi) for row in csv.DictReader(source)})
    return Counter(
        tuple(file.get(code) for file in files) for code in {code for file in files for code in file}
    )


@pytest.mark.parametrize(
    ("students", "more"),
    [
        (1500, 0),
        pytest.param(1500, 1, marks=pytest.mark.slow),
        pytest.param(5000, 2, marks=pytest.mark.slow),
    ],
)
def test_both_templates_leave_night_after_night_and_give_nothing_away_together(
    tmp_path: Path, students: int, more: int
) -> None:
    seed = SEED + more
    print(f"{students} children, seed {seed}")
    found = released(tmp_path, students, seed)
    assert [one["extract"] for one in found] == ["district-outcomes", "student-supports"] * 2 + [
        "student-supports"
    ]
    folders = [Path(one["path"]) for one in found]
    for folder in folders:
        checked = wellbridge(
            "extract", "verify", str(folder), "--key", str(tmp_path / "site" / "signing-key.pub")
        )
        assert (checked.exit, checked.document["violations"]) == (DONE, [])
    seen = attack_together([one.table for folder in folders for one in told_by(folder)], explained=0)
    assert seen.hidden > 0  # else there was nothing to find
    assert (seen.given_away, seen.narrowed) == (0, 0)
    assert min(sequences([folder for folder in folders if (folder / "records.csv").exists()]).values()) >= K
    for one, folder in zip(found, folders, strict=True):
        _says_what_it_left_out(one, folder)


def _says_what_it_left_out(release: dict[str, Any], folder: Path) -> None:
    """What an extract names is in the release, or is named as left out in its manifest, list and README."""
    left_out = json.loads((folder / "manifest.json").read_text())["suppression"]["left_out"]
    assert left_out == release["left_out"]
    listed = pl.read_csv(folder / "suppressed.csv").filter(pl.col("what").str.ends_with(" left out"))
    names = [name for names in left_out.values() for name in names]
    print(release["extract"], release["hidden"], left_out)
    readme = (folder / "README.txt").read_text(encoding="utf-8")
    assert all(name in readme.split("Left out:")[1] for name in names)
    assert set(names) <= set(listed["cell"])
    shown = pl.read_csv(folder / ("measures.csv" if release["kind"] == "aggregate" else "records.csv"))
    what = set(shown["dimension"]) if release["kind"] == "aggregate" else set(shown.columns)
    assert not what & set(names)
