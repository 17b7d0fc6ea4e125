"""Rates published as ranges: the attack against enumeration, and recoding that survives it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellbridge.privacy.rules.states import all_bands
from wellbridge.privacy.tables.blur import Recode, blur_rates
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.rate_files import RACE, read_rates
from wellbridge.privacy.tables.rates import COLUMNS, Reading, attack_rates
from wellbridge.schemas.errors import PrivacyError, SourceError

EDFACTS = Path(__file__).resolve().parents[3].parent / "shared/data/privacy/edfacts/EdFacts_ACGR_LEA_2015.csv"
MOST_COMBINATIONS = 30_000


@pytest.fixture(scope="module")
def schools() -> pl.DataFrame:
    if not EDFACTS.is_file():
        pytest.skip("the federal file is not here")
    return read_rates(EDFACTS).filter(pl.col("dimension").is_in(["all", RACE]))


def rates(*rows: tuple[str, str, str, int | None, str]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict(zip(COLUMNS, (pl.String,) * 3 + (pl.Int64, pl.String), strict=True)),
                        orient="row")


def fits(text: str, n: int, hits: int) -> bool:
    """Whether a published text can stand for a count; written apart from the toolkit, by exact fractions."""
    if text == "PS":
        return True
    percent, half = Fraction(100 * hits, n), Fraction(1, 2)
    bare = text.lstrip("LTGE")
    if text.startswith("LT"):
        return percent <= int(bare) - half
    if text.startswith("LE"):
        return percent <= int(bare) + half
    if text.startswith("GE"):
        return percent >= int(bare) - half
    low, high = (int(part) for part in (bare.split("-") if "-" in bare else (bare, bare)))
    return low - half <= percent <= high + half


def enumerated(school: pl.DataFrame) -> dict[str, int] | None:
    """Try every combination of counts of one school; None where no combination fits or there are too many."""
    whole = school.filter(dimension="all").row(0, named=True)
    cells = [r for r in school.filter(pl.col("dimension") != "all").iter_rows(named=True)
             if r["n"] and r["rate"] not in (None, ".")]
    rest = whole["n"] - sum(cell["n"] for cell in cells)
    choices = [[h for h in range(cell["n"] + 1) if fits(cell["rate"], cell["n"], h)] for cell in cells]
    choices.append(list(range(rest + 1)))
    size = 1
    for options in choices:
        size *= len(options)
    if size > MOST_COMBINATIONS:
        return None
    seen: list[set[int]] = [set() for _ in cells]
    for counts in itertools.product(*choices):
        if fits(whole["rate"], whole["n"], sum(counts)):
            for found, count in zip(seen, counts, strict=False):
                found.add(count)
    if not all(seen):
        return None
    hidden = [(found, cell["n"]) for found, cell in zip(seen, cells, strict=True) if cell["rate"] == "PS"]
    return {
        "exact": sum(len(found) == 1 for found, _ in hidden),
        "alike": sum(len(found) == 1 and found <= {0, n} for found, n in hidden),
        "narrowed": sum(1 < len(found) < n + 1 for found, n in hidden),
    }


def small_schools(schools: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    whole = schools.filter(pl.col("dimension") == "all", pl.col("n") <= 60, ~pl.col("rate").is_in(["PS", "."]))
    hidden = schools.filter((pl.col("rate") == "PS") & (pl.col("dimension") == RACE))["unit"].unique()
    chosen = whole.filter(pl.col("unit").is_in(hidden.implode())).sort("unit").gather_every(15)["unit"]
    sample = schools.filter(pl.col("unit").is_in(chosen.implode()))
    yield from ((str(key[0]), part) for key, part in sample.group_by("unit", maintain_order=True))


def test_counts_of_the_federal_file_equal_those_of_enumeration_on_small_schools(schools: pl.DataFrame) -> None:
    found = {row["unit"]: row for row in attack_rates(schools).units.iter_rows(named=True)}
    compared, leaks = 0, 0
    for unit, school in small_schools(schools):
        expected = enumerated(school)
        if expected is not None:
            assert {name: found[unit][name] for name in expected} == expected
            compared += 1
            leaks += expected["exact"] + expected["narrowed"]
    assert compared > 150
    assert leaks > 10


def test_federal_file_gives_away_what_it_withheld(schools: pl.DataFrame) -> None:
    assert attack_rates(schools).totals() == {
        "units": 22_167, "examined": 21_605, "contradictory": 4, "hidden": 36_275,
        "exact": 315, "alike": 315, "narrowed": 1_362, "pinned": 411,
    }
    certain = attack_rates(schools, reading=Reading.ANY).totals()
    assert (certain["exact"], certain["narrowed"]) == (249, 1_179)


def test_a_breakdown_beside_the_races_narrows_the_whole_and_so_the_races() -> None:
    races = (
        ("s", "all", "ALL", 12, "GE50"), ("s", RACE, "MWH", 9, "GE50"), ("s", RACE, "MBL", 3, "PS"),
    )
    assert attack_rates(rates(*races)).totals()["narrowed"] == 0
    # Eleven of twelve graduated at least: ten or eleven of those without a disability did.
    more = (*races, ("s", "CWD", "CWD", 1, "PS"), ("s", "ECD", "ECD", 11, "100"))
    assert attack_rates(rates(*more)).totals()["narrowed"] == 1


def test_a_unit_without_a_whole_or_sizes_is_not_examined() -> None:
    found = attack_rates(rates(("a", RACE, "MWH", 9, "GE50"), ("b", "all", "ALL", None, "91"))).totals()
    assert (found["units"], found["examined"], found["hidden"]) == (2, 0, 0)


def test_a_unit_whose_rates_contradict_each_other_concludes_nothing() -> None:
    found = attack_rates(rates(("a", "all", "ALL", 10, "100"), ("a", RACE, "MWH", 9, "0"), ("a", RACE, "MBL", 1, "PS")))
    assert found.totals()["contradictory"] == 1
    assert found.totals()["hidden"] == 0


def test_members_that_overlap_stand_each_against_everybody_else() -> None:
    overlapping = (("a", "lunch", "x", 9, "PS"), ("a", "lunch", "y", 8, "PS"))
    found = attack_rates(rates(("a", "all", "ALL", 10, "100"), *overlapping))
    assert found.totals()["exact"] == 2


def test_a_rate_that_is_no_range_is_refused_without_its_text() -> None:
    with pytest.raises(PrivacyError) as refused:
        attack_rates(rates(("a", "all", "ALL", 10, "secret-91")))
    assert refused.value.code == "WB-E-046"
    assert "secret" not in refused.value.render()


def test_a_file_that_holds_no_rates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SourceError) as refused:
        read_rates(tmp_path / "x.csv")
    assert refused.value.code == "WB-E-023"
    (tmp_path / "y.csv").write_text("unit,dimension,member,n,rate\nu,all,ALL,3.7,PS\n")
    with pytest.raises(PrivacyError):
        read_rates(tmp_path / "y.csv")


@st.composite
def reported(draw: st.DrawFn) -> pl.DataFrame:
    rows = []
    for unit in range(draw(st.integers(1, 3))):
        groups = draw(st.lists(st.integers(0, 400).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
                               min_size=1, max_size=4))
        rows.append((f"u{unit}", "all", "ALL", sum(n for n, _ in groups), sum(h for _, h in groups)))
        rows += [(f"u{unit}", RACE, f"g{place}", n, h) for place, (n, h) in enumerate(groups)]
    return pl.DataFrame(rows, schema=["unit", "dimension", "member", "n", "numerator"], orient="row")


@settings(max_examples=60, deadline=None)
@given(reported(), st.sampled_from(sorted(all_bands())), st.sampled_from(list(Recode)), st.sampled_from(list(Need)))
def test_blurred_rates_survive_the_attack_and_hold_the_truth(
    table: pl.DataFrame, name: str, recode: Recode, need: Need
) -> None:
    found = blur_rates(table, all_bands()[name], recode=recode, need=need)
    seen = attack_rates(found.table).totals()
    assert seen["exact"] == seen["contradictory"] == 0
    assert need is Need.WEAK or seen["narrowed"] == 0
    smallest = next(row.least for row in all_bands()[name].rows if row.step)
    for row, text in zip(table.iter_rows(named=True), found.table["rate"], strict=True):
        if row["n"] == 0:
            assert text == "."
        else:
            assert fits(text, row["n"], row["numerator"])
            assert row["n"] >= smallest or text == "PS"


def test_groups_without_a_small_member_keep_whole_percents_where_asked() -> None:
    table = pl.DataFrame(
        [("u", "all", "ALL", 130, 70), ("u", "sex", "F", 65, 40), ("u", "sex", "M", 65, 30),
         ("v", "all", "ALL", 80, 40), ("v", "sex", "F", 75, 36), ("v", "sex", "M", 5, 4)],
        schema=["unit", "dimension", "member", "n", "numerator"], orient="row",
    )
    bands = all_bands()["nces-2011-603"]
    kept = blur_rates(table, bands, recode=Recode.WHERE_SMALL, need=Need.WEAK).table["rate"].to_list()
    assert kept == ["54", "62", "46", "50", "45-49", "PS"]
    always = blur_rates(table, bands, need=Need.WEAK).table["rate"].to_list()
    assert always == ["54", "60-64", "45-49", "50-54", "45-49", "PS"]


def test_percentages_alone_have_no_sizes() -> None:
    table = pl.DataFrame([("u", "all", "ALL", 130, 70)], schema=["unit", "dimension", "member", "n", "numerator"],
                         orient="row")
    assert blur_rates(table, all_bands()["edfacts"], percent_only=True).table.columns == [
        "unit", "dimension", "member", "rate"
    ]


def test_groups_that_do_not_add_up_are_refused() -> None:
    rows = [("u", "all", "ALL", 30, 30), ("u", "sex", "F", 30, 20)]
    table = pl.DataFrame(rows, schema=["unit", "dimension", "member", "n", "numerator"], orient="row")
    with pytest.raises(PrivacyError) as refused:
        blur_rates(table, all_bands()["edfacts"])
    assert refused.value.code == "WB-E-046"


def test_the_file_door_counts_and_shows_no_value() -> None:
    from wellbridge.pipelines.cli.privacy_rates import attack_rates_file

    if not EDFACTS.is_file():
        pytest.skip("the federal file is not here")
    found = attack_rates_file(EDFACTS)
    assert found["races"]["exact"] >= found["certain"]["exact"] > 0
    assert found["every_group"]["narrowed"] > found["races"]["narrowed"]
    leaves = [leaf for value in found.values() for leaf in (value.values() if isinstance(value, dict) else [value])]
    assert all(isinstance(leaf, int | float) for leaf in leaves if leaf != EDFACTS.name)
