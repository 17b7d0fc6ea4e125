"""A reader who knows that zeros are always shown, and so that a blank is never zero."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from privacy.tables.independent_judge import read_completions
from wellbridge.pipelines.cli import main
from wellbridge.privacy.tables.certificate import write_release
from wellbridge.privacy.tables.joint import attack_together, read_release
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.protection import Dimension, ProtectedTable, protect
from wellbridge.privacy.tables.verifier import verify

BY = [Dimension(("school",)), Dimension(("race",))]
# Four ones whose rows and columns leave two each: nobody who knows that no blank is zero needs more.
ONES = {"A": (1, 1, 50), "B": (1, 1, 50), "C": (50, 50, 50)}


def protected(blank_least: int, need: Need = Need.WEAK) -> ProtectedTable:
    rows = [(school, f"R{n}", count) for school, counts in ONES.items() for n, count in enumerate(counts)]
    table = pl.DataFrame(rows, schema=["school", "race", "n"], orient="row")
    return protect(table, by=BY, count="n", need=need, blank_least=blank_least)


def attacked(folder: Path, blank_least: int) -> int:
    return attack_together([replace(read_release(folder), blank_least=blank_least)]).given_away


def test_who_knows_that_no_blank_is_zero_works_out_counts_that_others_cannot(tmp_path: Path):
    write_release(protected(0), tmp_path / "plain")
    assert attacked(tmp_path / "plain", 0) == 0
    assert attacked(tmp_path / "plain", 1) == 4


@pytest.mark.parametrize("need", list(Need))
def test_a_table_can_be_protected_from_that_reader_too_and_its_certificate_says_so(tmp_path: Path, need: Need):
    found = protected(1, need)
    certificate = write_release(found, tmp_path / "known")
    assert attacked(tmp_path / "known", 1) == 0
    assert certificate["blank_least"] == 1
    assert min(map(min, read_completions(certificate))) >= 1
    assert found.secondary > protected(0, need).secondary or need is Need.STRONG


def test_a_certificate_whose_completions_leave_a_blank_at_zero_is_refused(tmp_path: Path):
    write_release(protected(0), tmp_path / "plain")
    path = tmp_path / "plain" / "certificate.json"
    certificate = json.loads(path.read_text(encoding="utf-8"))
    assert min(map(min, read_completions(certificate))) == 0
    path.write_text(json.dumps({**certificate, "blank_least": 1}), encoding="utf-8")
    assert verify(tmp_path / "plain")


def test_the_commands_take_that_reader_for_the_attacker(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = "school,race,n\n" + "".join(
        f"{school},R{n},{count}\n" for school, counts in ONES.items() for n, count in enumerate(counts))
    (tmp_path / "t.csv").write_text(rows, encoding="utf-8")
    given = {}
    for name, flags in (("plain", []), ("known", ["--zeros-known"])):
        with pytest.raises(SystemExit) as done:
            main(["privacy", "protect", str(tmp_path / "t.csv"), "--by", "school", "--by", "race", "--count", "n",
                  "--need", "weak", "--out", str(tmp_path / name), *flags])
        assert done.value.code == 0
        capsys.readouterr()
        with pytest.raises(SystemExit) as found:
            main(["privacy", "attack", str(tmp_path / name), "--zeros-known", "--json"])
        given[name] = (found.value.code, json.loads(capsys.readouterr().out)["tables"]["given_away"])
    assert given == {"plain": (18, 4), "known": (0, 0)}
