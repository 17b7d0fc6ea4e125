from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from privacy.independent_attacker import hidden_ranges
from wellbridge.privacy.tables.cells import Protected, protect, ranges
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.margins import ALL, crossed
from wellbridge.schemas.errors import PrivacyError

SCHOOL_RACE = ("school", "race")


def inner(counts: dict[str, Sequence[int]], races: Sequence[str] = ("AM", "BL", "WH")) -> pl.DataFrame:
    rows = [(school, race, n) for school, row in counts.items() for race, n in zip(races, row, strict=True)]
    return pl.DataFrame(rows, schema={"school": pl.String, "race": pl.String, "size": pl.Int64}, orient="row")


def by_school_and_race(counts: dict[str, Sequence[int]], **settings: Any) -> Protected:
    return protect(crossed(inner(counts), dimensions=SCHOOL_RACE, count="size"), dimensions=SCHOOL_RACE, **settings)


def cell(found: Protected, **place: str) -> int | None:
    row = found.table.filter(*(pl.col(name) == member for name, member in place.items()))
    assert row.height == 1
    return row["n"][0]


# School A has 84 children, 4 of them AM: ACRO 1.0.2 blanks the 4, prints 80 as the row's total and 84 in the
# one-way table of the same session.
LEAKING = {"A": (4, 20, 60), "B": (12, 30, 70), "C": (15, 40, 50)}


def test_a_small_cell_cannot_be_had_by_subtracting_shown_cells_from_a_margin():
    found = by_school_and_race(LEAKING)
    assert cell(found, school="A", race="AM") is None
    assert cell(found, school="A", race=ALL) == 84
    assert cell(found, school=ALL, race="AM") == 31
    for _, least, greatest in hidden_ranges(found.table, SCHOOL_RACE):
        assert least < greatest


def test_the_two_way_table_and_the_one_way_table_agree_on_every_total():
    two_way = by_school_and_race(LEAKING)
    rows = inner(LEAKING).group_by("school").agg(pl.col("size").sum())
    one_way = protect(crossed(rows, dimensions=["school"], count="size"), dimensions=["school"])
    totals = two_way.table.filter(pl.col("race") == ALL).select("school", "n").sort("school")
    assert one_way.table.sort("school").equals(totals)


def test_shown_counts_are_the_true_counts_and_rows_keep_their_order():
    table = crossed(inner(LEAKING), dimensions=SCHOOL_RACE, count="size").sample(fraction=1, shuffle=True, seed=4)
    found = protect(table, dimensions=SCHOOL_RACE)
    assert found.table.drop("n").equals(table.drop("n"))
    shown = found.table["n"].is_not_null()
    assert found.table.filter(shown).equals(table.filter(shown))
    assert found.reasons.height == found.table["n"].null_count() == sum(found.tally.values())


def random_rows(seed: int) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    schools, races, sexes = draw.integers(2, 5), draw.integers(2, 5), draw.integers(1, 3)
    rows = [
        (f"S{s}", f"D{s % 2}", f"R{r}", f"X{x}", int(n))
        for s in range(schools) for r in range(races) for x in range(sexes)
        for n in [draw.choice([0, draw.integers(1, 10), draw.integers(10, 60)], p=[0.2, 0.3, 0.5])]
    ]
    names = ["school", "district", "race", "sex"]
    return pl.DataFrame(rows, schema={**dict.fromkeys(names, pl.String), "size": pl.Int64}, orient="row")


def attacked(seed: int, need: Need) -> tuple[int, int]:
    """Protect a random table and return (primary cells attacked, cells inside what they need)."""
    rows = random_rows(seed)
    dimensions = ["school", "race"] + (["sex"] if rows["sex"].n_unique() > 1 else [])
    hierarchies = {"school": ("district",)} if seed % 2 else {}
    columns = [name for d in dimensions for name in (d, *hierarchies.get(d, ()))]
    table = crossed(rows, dimensions=dimensions, count="size", hierarchies=hierarchies)
    try:
        found = protect(table, dimensions=dimensions, hierarchies=hierarchies, need=need)
    except PrivacyError:  # nothing but the total could be shown
        return 0, 0
    truth = {tuple(row[c] for c in columns): row["n"] for row in table.iter_rows(named=True)}
    primary = unsafe = 0

    def true_count(row: dict[str, Any]) -> int:
        return truth[tuple(row[c] for c in columns)]

    for row, least, greatest in hidden_ranges(found.table, columns, lambda row: 0 < true_count(row) < 10):
        n = true_count(row)
        up, down = (1, min(n, 1)) if need is Need.WEAK else (10 - n, min(n, 3))
        primary += 1
        unsafe += greatest < n + up or least > n - down
    assert not any(0 < n < 10 for n in found.table["n"].drop_nulls())
    return primary, unsafe


@pytest.mark.parametrize("need", [Need.STRONG, Need.WEAK])
def test_p09_an_independent_attacker_narrows_no_small_cell_of_200_random_tables(need: Need):
    seeds = range(0, 200, 2) if need is Need.WEAK else range(1, 200, 2)
    found = [attacked(seed, need) for seed in seeds]
    assert sum(unsafe for _, unsafe in found) == 0
    assert sum(primary for primary, _ in found) > 300


def test_our_attacker_finds_the_same_ranges_as_the_independent_one():
    table = crossed(random_rows(8), dimensions=["school", "race", "sex"], count="size")
    found = protect(table, dimensions=["school", "race", "sex"])
    ours = ranges(found.table, dimensions=["school", "race", "sex"]).to_dicts()
    theirs = list(hidden_ranges(found.table, ["school", "race", "sex"]))
    assert len(ours) == len(theirs) > 0
    for mine, (row, least, greatest) in zip(ours, theirs, strict=True):
        assert [mine[c] for c in ("school", "race", "sex")] == [row[c] for c in ("school", "race", "sex")]
        assert (mine["least"], mine["greatest"]) == (least, None if greatest == float("inf") else greatest)


def test_primary_suppression_alone_fails_under_our_attacker():
    table = crossed(inner(LEAKING), dimensions=SCHOOL_RACE, count="size")
    naive = table.with_columns(pl.when(pl.col("n").is_between(1, 9)).then(None).otherwise(pl.col("n")).alias("n"))
    assert ranges(naive, dimensions=SCHOOL_RACE).select("least", "greatest").rows() == [(4, 4)]


def test_a_district_of_one_school_does_not_give_its_school_away():
    rows = inner({"A": (5, 40), "B": (30, 50), "C": (20, 60)}, ("AM", "WH")).with_columns(
        pl.when(pl.col("school") == "A").then(pl.lit("D1")).otherwise(pl.lit("D2")).alias("district")
    )
    hierarchy = {"school": ("district",)}
    table = crossed(rows, dimensions=SCHOOL_RACE, count="size", hierarchies=hierarchy)
    found = protect(table, dimensions=SCHOOL_RACE, hierarchies=hierarchy)
    assert cell(found, school="A", race="AM") is None
    assert cell(found, school=ALL, district="D1", race="AM") is None


def test_zeros_are_shown_unless_the_rule_hides_them():
    counts = {"A": (0, 20, 60), "B": (30, 30, 70), "C": (25, 40, 50)}
    assert cell(by_school_and_race(counts), school="A", race="AM") == 0
    hidden = by_school_and_race(counts, zero_rule="hide")
    assert cell(hidden, school="A", race="AM") is None
    assert hidden.tally["zero"] == 1
    assert all(greatest >= 10 for row, _, greatest in hidden_ranges(hidden.table, SCHOOL_RACE)
               if (row["school"], row["race"]) == ("A", "AM"))


def test_a_table_without_small_cells_is_shown_whole():
    found = by_school_and_race({"A": (10, 20, 60), "B": (30, 30, 70)})
    assert found.table["n"].null_count() == 0
    assert found.tally == {}


def test_a_table_of_small_cells_only_is_refused_and_names_the_dimension_to_drop():
    with pytest.raises(PrivacyError) as caught:
        by_school_and_race({"A": (2, 3, 4), "B": (1, 2, 3)})
    assert (caught.value.code, caught.value.exit) == ("WB-E-042", 14)
    assert "drop dimension" in caught.value.where


def test_a_minimum_cell_below_the_floor_is_refused():
    with pytest.raises(PrivacyError, match="WB-E-044"):
        by_school_and_race(LEAKING, min_cell=9)


@pytest.mark.parametrize("broken", [
    pl.col("n") - 1, pl.col("n") * -1, pl.col("n") + 0.5, pl.lit(None, pl.Int64).alias("n"),
    pl.col("n").cast(pl.String),
])
def test_counts_that_do_not_add_up_are_refused(broken: pl.Expr):
    table = crossed(inner(LEAKING), dimensions=SCHOOL_RACE, count="size")
    with pytest.raises(PrivacyError, match="WB-E-046"):
        protect(table.with_columns(broken), dimensions=SCHOOL_RACE)


@pytest.mark.parametrize("rows", [slice(1, None), [0, *range(16)]])
def test_a_missing_or_repeated_combination_is_refused(rows: Any):
    table = crossed(inner(LEAKING), dimensions=SCHOOL_RACE, count="size")
    with pytest.raises(PrivacyError, match="WB-E-046"):
        protect(table[rows], dimensions=SCHOOL_RACE)


def test_a_school_in_two_districts_is_refused():
    rows = inner(LEAKING).with_columns(pl.Series("district", ["D1", "D2"] * 4 + ["D1"]))
    with pytest.raises(PrivacyError, match="WB-E-046"):
        crossed(rows, dimensions=SCHOOL_RACE, count="size", hierarchies={"school": ("district",)})


def test_a_member_named_like_the_total_is_refused():
    with pytest.raises(PrivacyError, match="WB-E-046"):
        crossed(inner({"all": (1, 2, 3)}), dimensions=SCHOOL_RACE, count="size")


def test_the_solver_prints_nothing_on_standard_output(capfd: pytest.CaptureFixture[str]):
    by_school_and_race(LEAKING)
    assert capfd.readouterr().out == ""


def test_no_count_reaches_a_message():
    with pytest.raises(PrivacyError) as caught:
        by_school_and_race({"A": (7, 1, 1)})
    assert "7" not in caught.value.render()
