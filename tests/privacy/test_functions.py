"""The functions behind ``wellbridge privacy``, by its commands' names: a table and a file from Python alone."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import wellbridge.privacy as engine
from wellbridge.pipelines.cli.privacy import PRIVACY_COMMANDS
from wellbridge.privacy import anonymize, assess, attack, certify, protect, verify
from wellbridge.privacy.records.hierarchy import Hierarchy
from wellbridge.privacy.tables.certificate import write_release
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.protection import Dimension
from wellbridge.schemas.errors import PrivacyError

BY = [Dimension.read("school"), Dimension.read("race")]
# ACRO 1.0.2 blanks the 4, prints 80 as the row's total, and 84 in the one-way table of the same session.
ACRO = pl.DataFrame(
    [("A", "AM", 4), ("A", "AS", 20), ("A", "WH", 60), ("B", "AM", 12), ("B", "AS", 30), ("B", "WH", 70),
     ("C", "AM", 15), ("C", "AS", 40), ("C", "WH", 50)],
    schema=["school", "race", "n"], orient="row",
)  # fmt: skip


def released(frame: pl.DataFrame, by: list[Dimension], folder: Path) -> Path:
    write_release(protect(frame, by=by, count="n", need=Need.STRONG), folder)
    return folder


def test_every_command_has_its_function() -> None:
    names = set(PRIVACY_COMMANDS) - {"perturb"}  # a choice of four methods, each a function of its own
    assert names == set(engine._HOME)
    assert all(callable(getattr(engine, name)) for name in names)
    assert names <= set(dir(engine))
    with pytest.raises(AttributeError):
        engine.nothing_of_the_kind  # noqa: B018 - to ask is the test


def test_acro_s_leak_is_blocked_over_both_outputs_of_one_session(tmp_path: Path) -> None:
    two_way = released(ACRO, BY, tmp_path / "two-way")
    one_way = released(ACRO.group_by("school").agg(pl.col("n").sum()), BY[:1], tmp_path / "one-way")
    for folder in (two_way, one_way):
        assert not verify(folder)  # no violation
    shown = pl.read_csv(two_way / "table.csv")
    assert shown.filter(pl.col("school") == "A", pl.col("race") == "all")["n"].to_list() == [84]
    assert shown.filter(pl.col("school") == "A", pl.col("race") == "AM")["n"].to_list() == [None]
    found = attack([two_way, one_way])
    assert found.groups == (0, 0)
    assert (found.given_away, found.narrowed) == (0, 0)
    assert found.hidden >= 4


@pytest.mark.parametrize("total", [84, 80])
def test_what_acro_prints_is_not_certified(tmp_path: Path, total: int) -> None:
    """With the true total of the row, 84 - 80 is the blank; with ACRO's own, the blank can only be nothing."""
    by_race, less = {"AM": 31, "AS": 90, "WH": 180}, 84 - total
    lines = [*ACRO.rows(), ("A", "all", total), ("B", "all", 112), ("C", "all", 105)]
    lines += [("all", race, n - (less if race == "AM" else 0)) for race, n in by_race.items()]
    lines.append(("all", "all", 301 - less))
    blank = [(school, race, None if (school, race) == ("A", "AM") else n) for school, race, n in lines]
    pl.DataFrame(blank, schema=ACRO.columns, orient="row").write_csv(tmp_path / "table.csv")
    with pytest.raises(PrivacyError) as refused:
        certify(tmp_path, by=BY, count="n")
    assert refused.value.code == "WB-E-042"
    assert not (tmp_path / "certified").exists()


def test_a_file_is_assessed_and_anonymized() -> None:
    frame = pl.DataFrame({"grade": ["6", "6", "7", "7", "8"]})
    assert assess(frame, quasi=["grade"], per_person=None).k == 1
    shown_or_hidden = {"grade": Hierarchy(())}
    found = anonymize(frame, quasi=shown_or_hidden, per_person=None, k=2, least_k=2, max_suppressed=0.2)
    assert assess(found.table, quasi=["grade"], per_person=None).k >= 2
