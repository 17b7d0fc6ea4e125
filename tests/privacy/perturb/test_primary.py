"""Sensitive cells of tables of amounts: ACRO's definitions, published examples, and intervals that suffice."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellbridge.privacy.tables.contributors import NOBODY, exposed_to_contributors, settle
from wellbridge.privacy.tables.moves import unproved
from wellbridge.privacy.tables.primary import (
    MagnitudeRules,
    contributions,
    magnitude_task,
    sensitive_cells,
)
from wellbridge.privacy.tables.protection import Dimension
from wellbridge.privacy.tables.sums import Sums
from wellbridge.privacy.tables.suppress import suppress
from wellbridge.schemas.errors import ConfigurationError, PrivacyError

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "privacy"


def cells(*amounts: list[int], top: int = 2) -> pl.DataFrame:
    """One cell for each list of contributions."""
    rows = [(len(a), sum(a), *([*sorted(a, reverse=True), *([0] * top)][:top])) for a in amounts]
    return pl.DataFrame(rows, schema=["contributors", "total", *(f"top_{n + 1}" for n in range(top))], orient="row")


def acro(values: list[int]) -> tuple[bool, bool, bool]:
    """Threshold, nk and p ratio as ACRO 0.4 defines them: threshold 10, n = 2, k = 0.9, p = 0.1."""
    ordered, total = sorted(values, reverse=True), sum(values)
    nk = total > 0 and sum(ordered[:2]) / total > 0.9
    ratio = (total - ordered[0] - ordered[1]) / ordered[0] if total > 0 else 1
    return len(values) < 10, nk, ratio < 0.1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 1_000), min_size=2, max_size=14))
def test_cells_are_sensitive_where_acro_finds_them_so(values: list[int]) -> None:
    found = sensitive_cells(cells(values), MagnitudeRules(zeros=False))
    assert (found.few[0], found.dominated[0], found.guessed[0]) == acro(values)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 500), min_size=1, max_size=14), st.sampled_from([1, 2]), st.floats(0.5, 0.95))
def test_a_cell_moved_as_far_as_asked_keeps_the_rules_and_one_less_breaks_one(
    values: list[int], largest: int, share: float
) -> None:
    rules = MagnitudeRules(least=1, largest=largest, share=round(share, 2), zeros=False)
    before = cells(values)
    up = int(sensitive_cells(before, rules).up[0])
    if not up:
        return
    for more, is_sensitive in ((up, False), (up - 1, True)):
        moved = before.with_columns(pl.col("total") + more)
        assert bool(sensitive_cells(moved, rules).cells[0]) is is_sensitive


def test_reasons_and_intervals_of_small_examples() -> None:
    found = sensitive_cells(
        cells([50] * 20, [50] * 9, [900, 20, *[10] * 10], [0] * 12, [100], [60, 60]), MagnitudeRules()
    )
    assert found.few.tolist() == [False, True, False, False, True, True]
    assert found.dominated.tolist() == [False, False, True, False, True, True]
    assert found.guessed.tolist() == [False, False, False, False, True, True]
    assert found.zero.tolist() == [False, False, False, True, False, False]
    assert found.alone.tolist() == [False, False, False, False, True, False]
    # nine: a tenth of 450; dominance: 920 / 0.9 = 1022.3 of 1020; zero: one; one: max(100 / 0.9 − 100, 10); two: 13.4
    assert found.up.tolist() == [0, 45, 3, 1, 12, 14]
    assert found.down.tolist() == [0, 45, 3, 0, 12, 14]


def test_prior_knowledge_makes_the_ratio_stricter() -> None:
    values = cells([100, 40, 8, 8])
    assert not sensitive_cells(values, MagnitudeRules(least=1, share=1.0)).cells[0]
    assert sensitive_cells(values, MagnitudeRules(least=1, share=1.0, known=0.5)).cells[0]


@pytest.mark.parametrize("name", ["datatest1.csv", "datatest2.csv"])
def test_published_verdicts_on_french_data_are_ours(name: str) -> None:
    path = DATA / "rtauargus" / name
    if not path.is_file():
        pytest.skip("the example data are not here")
    # Cells with negative contributions are no case for these rules.
    whole = pl.col("pizzas_max").is_between(0, pl.col("pizzas_tot"))
    read = pl.read_csv(path, infer_schema_length=None).filter(whole)
    table = read.select(
        contributors=pl.col("nb_obs").floor().cast(pl.Int64),  # weighted there; fewer than three by the weights
        total=(pl.col("pizzas_tot") * 100).round(0).cast(pl.Int64),
        top_1=(pl.col("pizzas_max") * 100).round(0).cast(pl.Int64),
    )
    # Their rules: fewer than three contributors, or the largest has more than 85 %.
    found = sensitive_cells(table, MagnitudeRules(least=3, largest=1, share=0.85, margin=0, zeros=False))
    assert found.few.tolist() == read["is_secret_freq"].to_list()
    assert (found.dominated | found.few).tolist() == read["is_secret_prim"].to_list()


def test_contributions_are_summed_over_margins_and_by_contributor() -> None:
    path = DATA / "ssbtools" / "magnitude1.csv"
    if not path.is_file():
        pytest.skip("the example data are not here")
    records = pl.read_csv(path)
    by = [Dimension.read("sector4"), Dimension.read("geo<eu")]
    found = contributions(records, by=by, value="value", contributor="company", unit=0.1, top=3)
    for row in found.iter_rows(named=True):
        part = records
        for name in ("sector4", "geo", "eu"):
            part = part if row[name] == "all" else part.filter(pl.col(name) == row[name])
        sums = part.group_by("company").agg((pl.col("value") * 10).round(0).sum())["value"].sort(descending=True)
        assert (row["contributors"], row["total"]) == (len(sums), round(sums.sum()))
        expected = [round(v) for v in sums.to_list()[:3]]
        assert [row[f"top_{n}"] for n in (1, 2, 3)] == [*expected, 0, 0, 0][:3]


def system(rows: list[list[list[int]]]) -> tuple[Sums, pl.DataFrame]:
    """A two-way table of lists of contributions, with totals."""
    width = len(rows[0])
    full = [[*row, list(chain(*row))] for row in rows]
    full.append([list(chain(*(row[place] for row in full))) for place in range(width + 1)])
    table = cells(*(cell for row in full for cell in row))
    sums = Sums()
    numbers = sums.add_cells(table["total"].to_numpy()).reshape(len(full), width + 1)
    sums.add_relations(numbers[:, -1].copy(), numbers[:, :-1])
    sums.add_relations(numbers[-1].copy(), numbers[:-1].T)
    return sums, table


def test_what_is_asked_can_be_protected_and_is_proved() -> None:
    chance = np.random.default_rng(4)
    rows = [[chance.integers(1, 90, chance.integers(1, 16)).tolist() for _ in range(4)] for _ in range(5)]
    sums, table = system(rows)
    task = magnitude_task(sums.values, sums.links, sensitive_cells(table, MagnitudeRules(least=4)))
    assert task.hidden.any()
    found = suppress(task)
    assert not len(found.failed)
    assert not len(unproved(task, found))


def test_two_single_contributors_alone_in_a_line_see_each_other() -> None:
    many = [20] * 12
    rows = [[[300], [400], many], [[350], [450], many], [many, many, many]]
    sums, table = system(rows)
    rules = MagnitudeRules(least=3)
    sensitive = sensitive_cells(table, rules)
    task = magnitude_task(sums.values, sums.links, sensitive)
    hidden = task.hidden.copy()  # a square of four: no outsider can solve it, each of the four can
    alone = np.where(sensitive.alone, np.arange(len(hidden)), NOBODY)  # four persons
    exposed = exposed_to_contributors(task, hidden, alone)
    assert exposed.tolist() == np.flatnonzero(task.hidden).tolist()
    hidden[[2, 6, 8, 9, 10]] = True  # with a third cell in each of their lines nobody can
    assert not len(exposed_to_contributors(task, hidden, alone))
    settled = settle(task, suppress(task), alone)
    assert (settled.attackers, len(settled.exposed)) == (4, 0)
    assert not len(exposed_to_contributors(task, settled.found.hidden, alone))
    # One person in two cells of a line knows both.
    assert exposed_to_contributors(task, hidden, np.where(sensitive.alone, 0, NOBODY)).tolist() == []


def test_bad_tables_and_rules_are_refused() -> None:
    for wrong in (
        cells([5, 5]).with_columns(total=pl.lit(-3)), cells([5, 5]).with_columns(total=pl.lit(9.5)),
        cells([5, 5]).with_columns(total=pl.lit(7)), cells([5, 5]).with_columns(top_2=pl.lit(6)),
        cells([5, 5]).with_columns(contributors=pl.lit(None, dtype=pl.Int64)),
    ):
        with pytest.raises(PrivacyError) as refused:
            sensitive_cells(wrong, MagnitudeRules())
        assert refused.value.code == "WB-E-046"
    with pytest.raises(ConfigurationError) as lacking:
        sensitive_cells(cells([5, 5], top=1), MagnitudeRules())
    assert lacking.value.code == "WB-E-015"
    for facts in ({"share": 0.0}, {"share": 1.5}, {"least": 0}, {"margin": 0.5, "known": 0.2}):
        with pytest.raises(ConfigurationError):
            MagnitudeRules(**facts)  # type: ignore[arg-type]
    records = pl.DataFrame({"g": ["a"], "v": [-1.0], "who": ["x"]})
    with pytest.raises(PrivacyError):
        contributions(records, by=[Dimension.read("g")], value="v", contributor="who")
