"""Zeros that may be hidden too, so that a reader who knows the rules does not know of a blank that it is none."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from privacy.tables.independent_judge import Judge
from wellbridge.pipelines.cli import main
from wellbridge.privacy.tables.certificate import attacked, public_certificate, table_bytes, write_release
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.protection import Dimension, ProtectedTable, protect
from wellbridge.privacy.tables.verifier import verify
from wellbridge.schemas.errors import SafeError

BY = [Dimension(("school", "district")), Dimension(("race",))]
# Two schools without one race each; their totals are not zero, so nobody knows these zeros without the release.
LONELY = {"A": (1, 0, 50), "B": (0, 1, 50), "C": (50, 50, 50), "D": (60, 60, 60)}


def rows() -> pl.DataFrame:
    found = [
        (school, "N" if school in "AB" else "S", f"R{n}", count)
        for school, counts in LONELY.items() for n, count in enumerate(counts)
    ]
    return pl.DataFrame(found, schema=["school", "district", "race", "n"], orient="row")


def protected(need: Need = Need.WEAK, structural: pl.DataFrame | None = None) -> ProtectedTable:
    return protect(rows(), by=BY, count="n", need=need, hide_zeros=0.5, structural=structural)


def zeros(found: ProtectedTable) -> set[tuple[str, ...]]:
    hidden = found.table.filter(pl.Series(found.found.hidden & (found.task.values == 0)))
    return set(hidden.select("school", "district", "race").iter_rows())


@pytest.mark.parametrize("need", list(Need))
def test_zeros_are_hidden_and_judge_and_verifier_hold_the_release(tmp_path: Path, need: Need):
    found = protected(need)
    certificate = write_release(found, tmp_path / "out")
    assert zeros(found) == {("A", "N", "R1"), ("B", "N", "R0")}
    assert found.primary == 4
    assert certificate["hides_zeros"] is True
    assert verify(tmp_path / "out") == []
    assert Judge(certificate["axes"], "n").holds(tmp_path / "out")


def test_a_structural_zero_stays(tmp_path: Path):
    one = protected(structural=pl.DataFrame({"school": ["A"], "race": ["R1"]}))
    assert zeros(one) == {("B", "N", "R0")}
    none = protected(structural=pl.DataFrame({"school": ["A", "B"], "race": ["R1", "R0"]}))
    assert zeros(none) == set()
    write_release(one, tmp_path / "out")


def test_a_zero_whose_total_is_zero_stays():
    more = pl.concat([rows(), pl.DataFrame({"school": ["E"], "district": ["S"], "race": ["R0"], "n": [0]})])
    found = protect(more, by=BY, count="n", need=Need.WEAK, hide_zeros=0.9)
    assert zeros(found) == {("A", "N", "R1"), ("B", "N", "R0")}


def test_nobody_can_draw_the_zeros_again_but_who_holds_the_seed():
    many = pl.DataFrame([(f"S{n}", f"R{race}", 0 if race == 0 else 20 + n)
                         for n in range(60) for race in range(2)], schema=["school", "race", "n"], orient="row")
    many = pl.concat([many, pl.DataFrame({"school": ["S0", "S1"], "race": ["R2", "R2"], "n": [3, 4]})])

    def blanks(seed: int | None) -> frozenset[tuple[str, ...]]:
        by = [Dimension(("school",)), Dimension(("race",))]
        found = protect(many, by=by, count="n", need=Need.WEAK, hide_zeros=0.8, seed=seed)
        hidden = found.table.filter(pl.Series(found.found.hidden & (found.task.values == 0)))
        return frozenset(hidden.select("school", "race").iter_rows())

    assert len({blanks(None) for _ in range(4)}) == 4  # of more than a million draws
    assert blanks(11) == blanks(11) != blanks(12)


@pytest.mark.parametrize(
    ("declared", "code"),
    [
        ({"school": ["A"], "race": ["R0"]}, "WB-E-046"),
        ({"school": ["CANARY-7"]}, "WB-E-046"),
        ({"district": ["N"]}, "WB-E-015"),
        ({}, "WB-E-015"),
    ],
)
def test_what_contradicts_the_table_or_is_not_in_it_is_refused_without_a_value(
    declared: dict[str, list[str]], code: str
):
    with pytest.raises(SafeError) as refused:
        protected(structural=pl.DataFrame(declared))
    assert refused.value.code == code
    assert "CANARY" not in str(refused.value)


def test_the_public_certificate_does_not_depend_on_which_blanks_are_zeros():
    found = protected()
    content = table_bytes(found)
    one = public_certificate(found, content, attacked(found))
    moved = found.found.moves.toarray()[0]
    other = protected()
    other.task.values[:] = found.task.values + moved
    assert json.dumps(public_certificate(other, content, attacked(other))) == json.dumps(one)


def test_the_commands_agree_on_what_that_reader_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows().write_csv(tmp_path / "t.csv")
    (tmp_path / "none.csv").write_text("school,race\nA,R1\n", encoding="utf-8")
    asked = ["privacy", "protect", str(tmp_path / "t.csv"), "--by", "school<district", "--by", "race", "--count", "n",
             "--need", "weak"]

    def run(*more: str) -> int:
        with pytest.raises(SystemExit) as done:
            main(list(more))
        return int(done.value.code or 0)

    structural = ["--structural", str(tmp_path / "none.csv")]
    assert run(*asked, "--hide-zeros", "0.5", *structural, "--out", str(tmp_path / "one")) == 0
    assert run(*asked, "--out", str(tmp_path / "two")) in (0, 14)
    assert run(*asked, "--hide-zeros", "0.5", "--zeros-known", "--out", str(tmp_path / "three")) == 10
    assert run(*asked, *structural, "--out", str(tmp_path / "four")) == 10
    assert run(*asked, "--seed", "1", "--out", str(tmp_path / "five")) == 10
    assert run(*asked, "--seed", "1", "--hide-zeros", "0.5", "--out", str(tmp_path / "six")) == 0
    capsys.readouterr()
    assert run("privacy", "attack", str(tmp_path / "one"), "--zeros-known", "--json") == 0
    assert json.loads(capsys.readouterr().out)["tables"]["given_away"] == 0
