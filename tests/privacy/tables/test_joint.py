"""Releases attacked together, against an attacker who knows only the inner cells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from wellbridge.pipelines.cli import main
from wellbridge.privacy.tables.certificate import write_release
from wellbridge.privacy.tables.joint import attack_together, read_release
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.protection import Dimension, ProtectedTable, protect
from wellbridge.schemas.errors import PrivacyError

COLUMNS = ["school", "district", "grade", "race", "sex"]
BY_GRADE = ["school<district", "grade", "race"]
BY_SEX = ["school<district", "race", "sex"]


def district(seed: int, schools: int = 6, grades: int = 3) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    rows = [
        (f"S{s}", f"D{s % 2}", f"G{g}", f"R{r}", f"X{x}", int(n))
        for s in range(schools) for g in range(grades) for r in range(3) for x in range(2)
        for n in [draw.choice([0, draw.integers(1, 8), draw.integers(5, 30)], p=[0.15, 0.35, 0.5])]
    ]
    return pl.DataFrame(rows, schema=[*COLUMNS, "n"], orient="row")


def protected(rows: pl.DataFrame, by: list[str], need: Need = Need.WEAK) -> ProtectedTable:
    return protect(rows, by=[Dimension.read(text) for text in by], count="n", need=need)


def exposed(rows: pl.DataFrame, tables: list[tuple[pl.DataFrame, list[str]]]) -> int:
    """Count the hidden cells whose small count follows, by an integer program over the inner cells."""
    atoms = rows.select(COLUMNS).rows(named=True)
    known, counts, hidden = [], [], set()
    for table, columns in tables:
        for row in table.iter_rows(named=True):
            members = tuple(all(row[c] in ("all", atom[c]) for c in columns) for atom in atoms)
            if row["n"] is None:
                hidden.add(members)
            else:
                known.append(members)
                counts.append(row["n"])
    sums = LinearConstraint(np.array(known, dtype=float), counts, counts)
    found = 0
    for members in hidden:
        ends = []
        for sign in (1.0, -1.0):
            cost = sign * np.array(members, dtype=float)
            end = milp(cost, constraints=sums, bounds=Bounds(0, np.inf), integrality=np.ones(len(atoms)))
            ends.append(sign * end.fun if end.status == 0 else np.inf)
        found += round(ends[0]) == ends[1] and 0 < ends[1] < 10
    return found


def test_two_tables_that_are_safe_alone_are_found_to_give_cells_away_together(tmp_path: Path):
    exposures = 0
    for seed in range(8):
        rows = district(seed)
        grade, sex = protected(rows, BY_GRADE), protected(rows, BY_SEX)
        write_release(grade, tmp_path / f"grade-{seed}")
        write_release(sex, tmp_path / f"sex-{seed}")
        releases = [read_release(tmp_path / f"{name}-{seed}") for name in ("grade", "sex")]
        assert [attack_together([one]).given_away for one in releases] == [0, 0]
        found = attack_together(releases)
        columns = [[c for text in by for c in text.split("<")] for by in (BY_GRADE, BY_SEX)]
        assert found.given_away == exposed(rows, [(grade.table, columns[0]), (sex.table, columns[1])])
        assert found.groups == (0, 0)
        exposures += found.given_away
    assert exposures > 0  # else the test shows nothing


def unsafe_pair(tmp_path: Path) -> tuple[pl.DataFrame, Path]:
    """Write a first release beside which a second table gives cells away."""
    for seed in range(40):
        rows = district(seed)
        write_release(protected(rows, BY_GRADE), tmp_path / f"first-{seed}")
        write_release(protected(rows, BY_SEX), tmp_path / f"second-{seed}")
        both = [read_release(tmp_path / f"{name}-{seed}") for name in ("first", "second")]
        if attack_together(both).given_away:
            return rows, tmp_path / f"first-{seed}"
    raise AssertionError("no seed shows it")


def test_a_release_that_gives_cells_away_beside_an_earlier_one_is_refused_and_nothing_is_written(tmp_path: Path):
    rows, first = unsafe_pair(tmp_path)
    with pytest.raises(PrivacyError, match="WB-E-042") as refused:
        write_release(protected(rows, BY_SEX), tmp_path / "third", earlier=[read_release(first)])
    assert first.name in refused.value.where
    assert not (tmp_path / "third").exists()
    write_release(protected(rows, BY_GRADE), tmp_path / "again", earlier=[read_release(first)])


def test_the_command_hides_more_beside_an_earlier_release_and_attack_finds_what_it_would_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    rows, first = unsafe_pair(tmp_path)
    rows.write_csv(tmp_path / "rows.csv")
    second = tmp_path / "out"
    dimensions = [part for text in BY_SEX for part in ("--by", text)]
    protect_it = ["privacy", "protect", str(tmp_path / "rows.csv"), *dimensions, "--count", "n", "--need", "weak",
                  "--out", str(second), "--json"]
    with pytest.raises(SystemExit) as further:
        main([*protect_it[:-3], "--out", str(tmp_path / "further"), "--json", "--after", str(first)])
    assert further.value.code == 0
    capsys.readouterr()
    with pytest.raises(SystemExit) as both:
        main(["privacy", "attack", str(first), str(tmp_path / "further"), "--json"])
    assert both.value.code == 0
    with pytest.raises(SystemExit) as sound:
        main(["privacy", "verify", str(tmp_path / "further"), "--json"])
    assert sound.value.code == 0
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main(protect_it)
    assert done.value.code == 0
    capsys.readouterr()
    with pytest.raises(SystemExit) as found:
        main(["privacy", "attack", str(first), str(second), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert found.value.code == 18
    assert told["tables"]["given_away"] > 0
    assert set(told["tables"]) == {
        "releases", "groups", "hidden", "given_away", "narrowed", "differences", "explained",
    }


def test_a_district_beside_the_state_is_attacked_with_it(tmp_path: Path):
    exposures = 0
    for seed in range(12):
        rows = district(seed)
        one = rows.filter(pl.col("district") == "D0")
        state, alone = protected(rows, BY_GRADE), protected(one, ["school", "race", "sex"])
        write_release(state, tmp_path / f"state-{seed}")
        write_release(alone, tmp_path / f"alone-{seed}")
        both = attack_together([read_release(tmp_path / f"{name}-{seed}") for name in ("state", "alone")])
        columns = [[c for text in BY_GRADE for c in text.split("<")], ["school", "race", "sex"]]
        inside = alone.table.with_columns(
            pl.when(pl.col("school") == "all").then(pl.lit("D0")).otherwise(pl.lit("all")).alias("district"))
        assert both.given_away == exposed(rows, [(state.table, columns[0]), (inside, [*columns[1], "district"])])
        exposures += both.given_away
    assert exposures > 0


def test_releases_that_contradict_each_other_are_of_two_populations(tmp_path: Path):
    rows = district(1)
    later = rows.with_columns(pl.col("n") + 20)
    write_release(protected(rows, BY_GRADE), tmp_path / "before")
    write_release(protected(later, BY_GRADE), tmp_path / "after")
    found = attack_together([read_release(tmp_path / name) for name in ("before", "after")])
    assert found.groups == (0, 1)
    assert found.given_away == 0
