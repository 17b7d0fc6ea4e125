"""A release beside every earlier one of its site."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from privacy.tables.test_joint import BY_GRADE, BY_SEX, district, protected
from wellbridge.pipelines.release_history import check_history
from wellbridge.privacy.tables.linked import Need
from wellbridge.schemas.errors import PrivacyError, SourceError


def manifest(by: list[str], need: Need = Need.STRONG) -> dict[str, Any]:
    axes = [text.split("<") for text in by]
    return {"extract": "new", "min_cell": 10, "need": str(need),
            "tables": [{"file": "students.csv", "kind": "counts", "axes": axes, "count": "n"}]}


def contents(seed: int, by: list[str], more: int = 0) -> dict[str, bytes]:
    rows = district(seed)
    table = protected(rows.with_columns(n=rows["n"] + more), by, Need.STRONG).table
    return {"students.csv": table.sample(fraction=1, shuffle=True, seed=seed).write_csv().encode()}


def published(folder: Path, by: list[str], files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(manifest(by)))
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_a_table_that_gives_counts_away_beside_an_earlier_release_is_refused_naming_it(tmp_path: Path):
    refused = []
    for seed in range(12):
        releases = tmp_path / f"releases-{seed}"
        published(releases / "earlier", BY_GRADE, contents(seed, BY_GRADE))
        try:
            check_history(releases, manifest(BY_SEX), contents(seed, BY_SEX))
        except PrivacyError as error:
            refused.append((error.code, error.where))
    assert refused
    assert {code for code, _ in refused} == {"WB-E-042"}
    start = "extract new · file students.csv · releases earlier · drop dimension "
    assert all(where.startswith(start) for _, where in refused)


def test_the_same_table_again_and_a_table_of_other_children_are_not_refused(tmp_path: Path):
    for seed in range(6):
        releases = tmp_path / f"releases-{seed}"
        published(releases / "earlier", BY_GRADE, contents(seed, BY_GRADE))
        check_history(releases, manifest(BY_GRADE), contents(seed, BY_GRADE))
        check_history(releases, manifest(BY_SEX), contents(seed + 100, BY_SEX, more=12))


def test_an_earlier_release_that_cannot_be_read_as_a_table_stops_the_next(tmp_path: Path):
    published(tmp_path / "releases" / "earlier", BY_GRADE, {"students.csv": b"school,n\nA,1\n"})
    with pytest.raises(SourceError, match="WB-E-023"):
        check_history(tmp_path / "releases", manifest(BY_GRADE), contents(0, BY_GRADE))
