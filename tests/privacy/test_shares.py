from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from wellbridge.privacy.tables.cells import add_counts, counts_result, settle_counts
from wellbridge.privacy.tables.linked import LinkedTables
from wellbridge.privacy.tables.margins import crossed
from wellbridge.privacy.tables.published_shares import CODED, EXACT, HIDDEN, measures_result, protect_measures
from wellbridge.privacy.tables.shares import Population, add_measures
from wellbridge.schemas.errors import PrivacyError

SCHEMA = {"measure_id": pl.String, "period": pl.String, "dimension": pl.String, "member": pl.String,
          "numerator": pl.Float64, "denominator": pl.Float64, "persons": pl.Int64}


def measure(schools: dict[str, tuple[float, int]], measure_id: str = "m", dimension: str = "school") -> pl.DataFrame:
    rows = [(measure_id, "2026-27", dimension, name, hits, size, size) for name, (hits, size) in schools.items()]
    whole = tuple(sum(part) for part in zip(*schools.values(), strict=True))
    rows.append((measure_id, "2026-27", "all", "all", whole[0], whole[1], whole[1]))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def shown(table: pl.DataFrame, member: str) -> dict[str, object]:
    return table.filter(pl.col("member") == member).row(0, named=True)


def test_a_share_is_exact_where_both_counts_behind_it_may_be_shown():
    found = protect_measures(measure({"A": (20, 80), "B": (30, 90)})).table
    row = shown(found, "A")
    assert (row["value"], row["denominator"], row["shown"]) == (0.25, 80, EXACT)


@pytest.mark.parametrize(("hits", "size", "at_most", "at_least"), [
    (0, 100, 0.1, None), (4, 100, 0.1, None), (0, 1000, 0.01, None), (100, 100, None, 0.9), (57, 60, None, 0.8),
    (3, 20, 0.5, None),
])
def test_nobody_few_and_everybody_are_coded_as_an_end_that_leaves_room_for_a_count_that_may_be_shown(
    hits: int, size: int, at_most: float | None, at_least: float | None
):
    row = shown(protect_measures(measure({"A": (hits, size), "B": (300, 600), "C": (400, 700)})).table, "A")
    assert (row["shown"], row["value"], row["at_most"], row["at_least"]) == (CODED, None, at_most, at_least)


def test_a_group_below_the_minimum_shows_neither_share_nor_size():
    row = shown(protect_measures(measure({"A": (3, 9), "B": (30, 90), "C": (40, 99)})).table, "A")
    assert (row["shown"], row["denominator"]) == (HIDDEN, None)


def test_few_persons_behind_many_events_are_hidden():
    table = measure({"A": (20, 60), "B": (30, 90), "C": (40, 99)}).with_columns(
        pl.when(pl.col("member") == "A").then(6).otherwise(pl.col("persons")).alias("persons")
    )
    assert shown(protect_measures(table).table, "A")["shown"] == HIDDEN


def test_one_hidden_share_hides_another_so_that_the_whole_does_not_give_it_away():
    found = protect_measures(measure({"A": (3, 60), "B": (30, 90), "C": (40, 99)})).table
    not_exact = found.filter(pl.col("shown") != EXACT)["member"].to_list()
    assert "A" in not_exact
    assert len(not_exact) == 2
    assert shown(found, "all")["shown"] == EXACT


def test_shares_of_one_whole_do_not_give_each_other_away():
    # Students by tier: 500 in all, 4 at tier 3. Tiers 1 and 2 exact would leave 4.
    rows = [("tier_students", "p", "tier", tier, hits, 500, 500) for tier, hits in (("1", 436), ("2", 60), ("3", 4))]
    rows.append(("tier_students", "p", "all", "all", 64, 500, 500))
    found = protect_measures(pl.DataFrame(rows, schema=SCHEMA, orient="row")).table
    assert shown(found, "3")["shown"] == CODED
    exact = {name: shown(found, name)["shown"] == EXACT for name in ("1", "2", "all")}
    assert not (exact["1"] and exact["2"])
    assert not (exact["all"] and exact["2"])


def test_a_group_that_lacks_a_few_of_everybody_is_hidden():
    # 497 of 500 children have the trait; the other 3 are one subtraction away.
    rows = [("m", "p", "trait", "yes", 200, 497, 497), ("m", "p", "all", "all", 201, 500, 500)]
    found = protect_measures(pl.DataFrame(rows, schema=SCHEMA, orient="row")).table
    assert shown(found, "yes")["denominator"] is None


def test_a_mean_is_hidden_with_its_group_and_never_alone():
    table = measure({"A": (700.5, 9), "B": (3000, 90), "C": (4000, 99)}, "minutes")
    found = protect_measures(table, means={"minutes"}).table
    assert found.filter(pl.col("shown") == HIDDEN).height == 2
    assert shown(found, "all")["value"] == round(7700.5 / 198, 4)


def test_two_measures_with_the_same_denominators_hide_the_same_ones():
    one = measure({"A": (4, 8), "B": (40, 90), "C": (45, 91)}, "x")
    two = measure({"A": (1, 8), "B": (33, 90), "C": (22, 91)}, "y")
    found = protect_measures(pl.concat([one, two])).table
    for member in "ABC":
        assert found.filter(pl.col("member") == member)["denominator"].n_unique() == 1


def test_a_table_of_counts_and_a_measure_hide_the_same_totals():
    sizes = {"A": 8, "B": 90, "C": 91}
    students = pl.DataFrame({"school": list(sizes), "size": list(sizes.values())})
    linked = LinkedTables()
    counts = add_counts(linked, crossed(students, dimensions=["school"], count="size"), ["school"], "n")
    measures = add_measures(linked, measure({name: (n // 2, n) for name, n in sizes.items()}))
    settle_counts(linked, [counts])
    table = counts_result(linked, counts).table
    by_school = measures_result(linked, measures).table.filter(pl.col("dimension") == "school").sort("member")
    assert by_school["denominator"].to_list() == table.filter(pl.col("school") != "all").sort("school")["n"].to_list()
    assert table["n"].null_count() == 2


def test_p09_a_denominator_beside_the_number_of_all_students_shows_no_few_who_are_left_out():
    everyone = measure({"A": (20, 101), "B": (30, 220), "C": (40, 300)}, "every")
    some = measure({"A": (20, 100), "B": (30, 180), "C": (40, 250)}, "some")
    told = Population(everyone=["every"], some=["some"], absent="not linked")
    found = protect_measures(pl.concat([some, everyone]), population=told).table
    of_a = found.filter(pl.col("member") == "A")["denominator"]
    assert of_a.null_count() > 0  # 101 beside 100: one child has too few days on record
    assert shown(found.filter(pl.col("measure_id") == "some"), "B")["denominator"] in (180, None)
    unrelated = protect_measures(pl.concat([some, everyone])).table
    assert unrelated.filter(pl.col("member") == "A")["denominator"].null_count() == 0


@pytest.mark.parametrize("left_out", [1, 2, 5])
def test_few_who_are_left_out_of_the_whole_are_hidden_among_its_groups_and_not_refused(left_out: int):
    every = {"A": (20, 101), "B": (30, 220), "C": (40, 300), "D": (50, 130)}
    less = {name: (hits, size - (left_out if name == "A" else 0)) for name, (hits, size) in every.items()}
    told = Population(everyone=["every"], some=["some"], absent="not linked")
    found = protect_measures(pl.concat([measure(every, "every"), measure(less, "some")]), population=told).table
    sizes = {name: dict(found.filter(pl.col("measure_id") == name).select("member", "denominator").iter_rows())
             for name in ("every", "some")}
    assert sizes["every"]["all"] - sizes["some"]["all"] == left_out  # the district's own are shown, and so they differ
    assert None in (sizes["every"]["A"], sizes["some"]["A"])  # but not whose they are
    assert sum(None in (sizes["every"][name], sizes["some"][name]) for name in every) >= 2


def test_a_measure_about_too_few_is_hidden_whole():
    found = protect_measures(measure({"A": (2, 4), "B": (1, 5)})).table
    assert set(found["shown"]) == {HIDDEN}
    assert found["denominator"].null_count() == found.height


@pytest.mark.parametrize("broken", [
    pl.col("numerator") + 0.5, pl.col("numerator") + 1000, pl.lit("school").alias("dimension"),
    pl.col("denominator") - 0.5,
])
def test_a_measure_that_cannot_be_counted_is_refused(broken: pl.Expr):
    with pytest.raises(PrivacyError, match="WB-E-046"):
        protect_measures(measure({"A": (20, 60), "B": (30, 90)}).with_columns(broken))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)), min_size=2, max_size=6))
def test_no_small_count_follows_from_the_shown_counts_by_subtraction(groups: list[tuple[int, int]]):
    schools = {f"S{n}": (with_, with_ + without) for n, (with_, without) in enumerate(groups) if with_ + without}
    if not schools:
        return
    found = protect_measures(measure(schools)).table
    exact = found.filter(pl.col("shown") == EXACT)
    counts = np.rint(exact["value"].to_numpy() * exact["denominator"].to_numpy())
    assert all(min(n, size - n) >= 10 for n, size in zip(counts, exact["denominator"], strict=True))
    hidden = found.filter((pl.col("dimension") == "school") & (pl.col("shown") != EXACT)).height
    if shown(found, "all")["shown"] == EXACT:
        assert hidden != 1


def random_measure(seed: int) -> pl.DataFrame:
    """One measure of the same children by school and by race."""
    draw = np.random.default_rng(seed)
    children = int(draw.integers(40, 400))
    hit = draw.random(children) < draw.choice([0.03, 0.3, 0.9])
    rows = []
    for dimension, weights in (("school", [0.5, 0.3, 0.15, 0.05]), ("race", [0.03, 0.07, 0.3, 0.6])):
        member = draw.choice(4, children, p=weights)
        rows += [(dimension, f"{dimension}{m}", int(hit[member == m].sum()), int((member == m).sum()))
                 for m in range(4) if (member == m).any()]
    rows.append(("all", "all", int(hit.sum()), children))
    full = [("m", "p", dimension, member, float(hits), float(n), n) for dimension, member, hits, n in rows]
    return pl.DataFrame(full, schema=SCHEMA, orient="row")


Place = tuple[str, str]


def reach(
    table: pl.DataFrame, row: int, side: int, also: Sequence[tuple[Place, Sequence[Place]]] = ()
) -> tuple[float, float]:
    """Least and greatest count of those with (side 0) or without (1) in a row, by an independent integer program."""
    rows, size = table.to_dicts(), 2 * table.height
    matrix, low, high = [], [], []

    def say(cells: dict[int, int], least: float, greatest: float) -> None:
        line = np.zeros(size)
        for cell, sign in cells.items():
            line[cell] = sign
        matrix.append(line)
        low.append(least)
        high.append(greatest)

    for place, facts in enumerate(rows):
        n = facts["denominator"]
        if n is not None:
            say({2 * place: 1, 2 * place + 1: 1}, n, n)
        if facts["value"] is not None:
            say({2 * place: 1}, round(facts["value"] * n), round(facts["value"] * n))
        if facts["at_most"] is not None:
            say({2 * place: 1}, 0, round(100 * facts["at_most"]) * n // 100)
        if facts["at_least"] is not None:
            say({2 * place + 1: 1}, 0, round(100 - 100 * facts["at_least"]) * n // 100)
    whole = next(place for place, facts in enumerate(rows) if facts["dimension"] == "all")
    number = {(facts["dimension"], facts["member"]): place for place, facts in enumerate(rows)}
    for sum_, parts in also:
        for part in (0, 1):
            say({**{2 * number[one] + part: 1 for one in parts}, 2 * number[sum_] + part: -1}, 0, 0)
    for dimension in sorted({facts["dimension"] for facts in rows} - {"all"}):
        members = [place for place, facts in enumerate(rows) if facts["dimension"] == dimension]
        for part in (0, 1):
            say({**{2 * place + part: 1 for place in members}, 2 * whole + part: -1}, 0, 0)
    target = np.zeros(size)
    target[2 * row + side] = 1
    given_ = LinearConstraint(np.array(matrix), low, high)
    ends = [milp(sign * target, constraints=given_, bounds=Bounds(0, 10_000), integrality=np.ones(size))
            for sign in (1, -1)]
    return round(ends[0].fun), round(-ends[1].fun)


def test_an_independent_attacker_narrows_no_small_count_of_random_measures():
    attacked = 0
    for seed in range(40):
        truth = random_measure(seed).sort("measure_id", "period", "dimension", "member")
        found = protect_measures(truth).table.sort("measure_id", "period", "dimension", "member")
        if shown(found, "all")["denominator"] is None:
            continue
        for place, row in enumerate(truth.iter_rows(named=True)):
            for side, n in enumerate((int(row["numerator"]), int(row["denominator"] - row["numerator"]))):
                if n < 10:
                    least, greatest = reach(found, place, side)
                    attacked += 1
                    assert greatest >= 10
                    assert least <= max(0, n - 3)
    assert attacked > 100


def nested_measure(seed: int) -> tuple[pl.DataFrame, dict[Place, list[Place]]]:
    """One measure by school, by grade band that schools make up, and by sex; some children are not linked."""
    draw = np.random.default_rng(seed)
    children = int(draw.integers(100, 400))
    hit = draw.random(children) < draw.choice([0.1, 0.3, 0.8])
    school = draw.choice(6, children, p=[0.25, 0.2, 0.2, 0.2, 0.1, 0.05])  # the last stands for those not linked
    band, sex = np.where(school == 5, 2, school // 3), np.where(school == 5, 2, draw.integers(0, 2, children))
    rows = [("all", "all", int(hit.sum()), children)]
    for dimension, member, names in (("school", school, "ABCDE-"), ("grade_band", band, "KM-"), ("sex", sex, "FX-")):
        groups = [(name, member == m) for m, name in enumerate(names) if (member == m).any()]
        rows += [(dimension, "not linked" if name in "-" else name, int(hit[own].sum()), int(own.sum()))
                 for name, own in groups]
    full = [("m", "p", dimension, member, float(hits), float(n), n) for dimension, member, hits, n in rows]
    return pl.DataFrame(full, schema=SCHEMA, orient="row"), {
        ("grade_band", "K"): [("school", name) for name in "ABC"],
        ("grade_band", "M"): [("school", name) for name in "DE"],
    }


def narrowed(truth: pl.DataFrame, population: Population, also: Sequence[tuple[Place, Sequence[Place]]]) -> int:
    found = protect_measures(truth, population=population).table.sort("measure_id", "period", "dimension", "member")
    out = 0
    for place, row in enumerate(truth.iter_rows(named=True)):
        for side, n in enumerate((int(row["numerator"]), int(row["denominator"] - row["numerator"]))):
            if n < 10:
                least, greatest = reach(found, place, side, also)
                out += greatest < 10 or least > max(0, n - 3)
    return out


def test_schools_of_a_grade_band_and_those_not_linked_are_told_apart_by_no_attacker_who_knows_them():
    unseen = 0
    for seed in range(12):
        truth, parts = nested_measure(seed)
        truth = truth.sort("measure_id", "period", "dimension", "member")
        linked = [("school", "not linked"), ("grade_band", "not linked"), ("sex", "not linked")]
        also = [*parts.items(), *((linked[0], [other]) for other in linked[1:])]
        places = set(truth.select("dimension", "member").iter_rows())
        also = [(whole, of) for whole, of in also if {whole, *of} <= places]
        assert narrowed(truth, Population(absent="not linked", parts=parts), also) == 0, seed
        unseen += narrowed(truth, Population(), also)
    assert unseen > 0  # else the test shows nothing
