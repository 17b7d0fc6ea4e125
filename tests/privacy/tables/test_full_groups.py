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


def sparse(seed: int) -> pl.DataFrame:
    """Few cells, many of them zeros, so that a full group's zeros often lie under zeros of groups that are not full."""
    rng = np.random.default_rng(seed)
    found = []
    for school, grade in itertools.product(range(4), range(2)):
        counts = rng.choice([0, 5, 12, 18, 25, 40], len(STATUS))
        if rng.random() < 0.3:
            counts = np.where(np.arange(len(STATUS)) == rng.integers(len(STATUS)), rng.choice([14, 30]), 0)
        found += [(f"S{school}", f"G{grade}", status, int(n)) for status, n in zip(STATUS, counts, strict=True)]
    return pl.DataFrame(found, schema=[*NAMES, "n"], orient="row")


def test_sparse_tables_are_protected_and_some_other_member_stays_possible_in_every_full_group() -> None:
    for seed in range(12):
        table = sparse(seed)
        found = protect(table, by=BY, count="n", full=["status"])
        truth = found.table.with_columns(pl.Series("n", found.task.values))
        met = set(table.filter(pl.col("n") > 0)["status"])
        for school, grade in full_groups(truth):
            group = truth.filter((pl.col("school") == school) & (pl.col("grade") == grade) & (pl.col("n") == 0))
            others = [status for status in group["status"] if status in met]
            most = max((greatest(found.table, (school, grade, status)) for status in others), default=np.inf)
            assert most >= found.min_cell, (seed, school, grade)


def test_a_group_that_is_all_of_one_coarser_member_is_not_seen_either() -> None:
    counts = {"S0": (20, 20, 0), "S1": (20, 15, 40), "S2": (22, 11, 30)}
    diagnoses = (("dep", "mind"), ("anx", "mind"), ("ast", "body"))
    cells = [(school, *diagnosis, n) for school, of_school in counts.items()
             for diagnosis, n in zip(diagnoses, of_school, strict=True)]  # fmt: skip
    table = pl.DataFrame(cells, schema=["school", "diag", "cat", "n"], orient="row")
    by = [Dimension(("school",)), Dimension(("diag", "cat"))]
    found = protect(table, by=by, count="n", need=Need.WEAK, full=["diag"])
    shown = {row[:3]: row[3] for row in found.table.select("school", "diag", "cat", "n").rows()}
    assert shown["S0", ALL, "body"] is None
    assert shown["S0", "ast", "body"] is None
    assert shown["S0", ALL, ALL] is None or shown["S0", ALL, "mind"] is None
    district = table.with_columns(cat=pl.lit("one"))  # what everybody is of is told by no group
    whole = protect(district, by=by, count="n", need=Need.WEAK, full=["diag"]).table
    assert whole["n"].null_count() == 0


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
