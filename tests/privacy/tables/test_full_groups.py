"""Groups that are all of one member: nobody sees it in the release, on any level."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.optimize import linprog

from wellbridge.pipelines.cli import main
from wellbridge.privacy.tables.certificate import write_release
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.protection import Dimension, ProtectedTable, protect
from wellbridge.privacy.tables.verifier import verify
from wellbridge.schemas.errors import PrivacyError, SafeError

ALL, NAMES = "all", ("school", "grade", "status")
BY = [Dimension((name,)) for name in NAMES]
STATUS = ("yes", "no", "unknown")


def rows(seed: int) -> pl.DataFrame:
    """Four schools, three grades; some groups are all of one status, of some schools every grade is."""
    rng = np.random.default_rng(seed)
    found = []
    for school, grade in itertools.product(range(4), range(3)):
        counts = rng.integers(0, 40, len(STATUS))
        if school == 0 or rng.random() < 0.3:
            counts[np.arange(len(STATUS)) != rng.integers(len(STATUS)) * (school != 0)] = 0
        found += [(f"S{school}", f"G{grade}", status, int(n)) for status, n in zip(STATUS, counts, strict=True)]
    return pl.DataFrame(found, schema=[*NAMES, "n"], orient="row")


def protected(seed: int, need: Need = Need.WEAK) -> ProtectedTable:
    return protect(rows(seed), by=BY, count="n", need=need, full=["status"])


def full_groups(table: pl.DataFrame) -> set[tuple[str, str]]:
    """Return the groups, margins too, of which one status holds everybody; by the counts of a full cross."""
    groups = table.filter(pl.col("status") != ALL).group_by("school", "grade").agg(pl.col("n").max().alias("most"))
    totals = table.filter(pl.col("status") == ALL).select("school", "grade", whole="n")
    both = groups.join(totals, on=["school", "grade"])
    is_full = (pl.col("most") == pl.col("whole")) & (pl.col("whole") > 0)
    return set(both.filter(is_full).select("school", "grade").rows())


def greatest(table: pl.DataFrame, cell: tuple[str, ...]) -> float:
    """Return the greatest count that a cell can have by what is printed: inner cells as unknowns, sums as equations."""
    inner = [row for row in table.select(NAMES).rows() if ALL not in row]
    shown = [(row[:3], row[3]) for row in table.select(*NAMES, "n").rows() if row[3] is not None]

    def parts(row: tuple[str, ...]) -> list[float]:
        return [float(all(c in (ALL, a) for c, a in zip(row, atom, strict=True))) for atom in inner]

    equations = np.array([parts(row) for row, _ in shown])
    found = linprog(-np.array(parts(cell)), A_eq=equations, b_eq=[n for _, n in shown], bounds=(0, None))
    assert found.status in {0, 3}, found.message
    return np.inf if found.status == 3 else -found.fun


@pytest.mark.parametrize("need", list(Need))
@pytest.mark.parametrize("seed", range(8))
def test_no_group_can_be_seen_to_be_all_of_one_member(tmp_path: Path, seed: int, need: Need) -> None:
    found = protected(seed, need)
    truth = found.table.with_columns(pl.Series("n", found.task.values))
    full = full_groups(truth)
    assert ("S0", ALL) in full, "the sample has full margins too"
    for school, grade in full:
        for status in STATUS:
            cell = (school, grade, status)
            count = truth.filter(pl.all_horizontal(pl.col(n) == c for n, c in zip(NAMES, cell, strict=True)))["n"][0]
            if count == 0:
                assert greatest(found.table, cell) >= (1 if need is Need.WEAK else found.min_cell)
    assert full_groups(found.table.with_columns(pl.col("n").fill_null(-1))) == set()
    write_release(found, tmp_path / "out")
    assert verify(tmp_path / "out") == []


def test_without_the_option_such_a_group_is_seen() -> None:
    found = protect(rows(1), by=BY, count="n", need=Need.WEAK)
    assert full_groups(found.table.with_columns(pl.col("n").fill_null(-1))) != set()


def test_a_member_that_nobody_has_is_told_by_no_group_and_stays() -> None:
    nobody = rows(3).with_columns(n=pl.when(pl.col("status") == "unknown").then(0).otherwise("n"))
    found = protect(nobody, by=BY, count="n", need=Need.WEAK, full=["status"])
    assert found.table.filter(pl.col("status") == "unknown")["n"].to_list() == [0] * 20


def test_what_cannot_be_hidden_is_refused_and_what_no_dimension_is_named_so() -> None:
    two = pl.DataFrame({"school": ["A", "A", "B", "B"], "status": ["yes", "no"] * 2, "n": [30, 0, 2, 2]})
    with pytest.raises(PrivacyError) as refused:  # nothing but the total would be left
        protect(two, by=[Dimension(("school",)), Dimension(("status",))], count="n", full=["status"],
                need=Need.STRONG)
    assert refused.value.code == "WB-E-042"
    with pytest.raises(SafeError) as named:
        protect(two, by=[Dimension(("school",)), Dimension(("status",))], count="n", full=["CANARY"])
    assert named.value.code == "WB-E-015"
    assert "CANARY" not in str(named.value)


def test_the_command_hides_them_and_says_that_zeros_are_hidden(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows(2).write_csv(tmp_path / "t.csv")
    asked = ["privacy", "protect", str(tmp_path / "t.csv"), *(w for n in NAMES for w in ("--by", n)), "--count", "n"]

    def run(*more: str) -> int:
        with pytest.raises(SystemExit) as done:
            main([*asked, "--out", str(tmp_path / "out"), "--json", *more])
        return int(done.value.code or 0)

    assert run("--full", "status", "--zeros-known") == 10
    capsys.readouterr()
    assert run("--full", "status") == 0
    assert json.loads(capsys.readouterr().out)["unprotected"] == 0
    assert json.loads((tmp_path / "out" / "certificate.json").read_text())["hides_zeros"] is True
    released = pl.read_csv(tmp_path / "out" / "table.csv")
    assert full_groups(released.with_columns(pl.col("n").fill_null(-1))) == set()
