from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellbridge.privacy.codes import MemoryCrosswalk
from wellbridge.privacy.records.transforms import (
    MemoryShifts,
    code_column,
    microaggregate,
    shift_dates,
    swap_ranks,
)
from wellbridge.schemas.errors import PrivacyError

VISITS = pl.DataFrame({
    "who": ["a", "a", "b", None], "seen": ["2026-01-01", "2026-02-01", "2026-01-01", "2026-01-01"],
    "left": ["2026-01-05", None, "bad", "2026-01-01"],
})


def test_a_code_stands_for_the_same_identifier_in_one_scope_and_in_no_other() -> None:
    crosswalk = MemoryCrosswalk()
    one, other = (code_column(VISITS, "who", crosswalk, scope)["who"].to_list() for scope in ("x", "y"))
    assert one[0] == one[1] != one[2]
    assert one[3] is None
    assert set(one[:3]).isdisjoint(other[:3])


def test_the_time_between_a_persons_dates_stays() -> None:
    moved = shift_dates(VISITS, ["seen", "left"], per_person="who", shifts=MemoryShifts(100), scope="x")
    seen = moved["seen"].to_list()
    assert (seen[1] - seen[0]).days == 31
    assert (moved["left"][0] - seen[0]).days == 4
    assert all(abs((day - date(2026, 1, 1)).days) <= 100 for day in (seen[0], seen[2]))
    assert moved["left"].to_list()[1:] == [None, None, None]
    assert seen[3] is None


def test_a_persons_shift_is_kept_within_a_scope_and_differs_between_scopes() -> None:
    people = pl.Series("who", [f"p{n}" for n in range(200)])
    shifts = MemoryShifts()
    first, again, other = (shifts.days(scope, people).sort("person") for scope in ("x", "x", "y"))
    assert first.equals(again)
    assert not first.equals(other)
    assert first["days"].n_unique() > 50


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.integers(10, 60), st.integers(0, 1000))
def test_microaggregation_shows_each_mean_for_at_least_a_group_and_keeps_the_total(
    group: int, rows: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    frame = pl.DataFrame({"x": draw.normal(size=rows), "y": draw.integers(0, 9, rows)})
    found = microaggregate(frame, ["x", "y"], group=group)
    counts = found.group_by("x", "y").len()["len"].to_list()
    assert min(counts) >= group
    assert found["x"].sum() == pytest.approx(frame["x"].sum())
    assert found["y"].sum() == pytest.approx(frame["y"].sum())


def test_microaggregation_groups_what_is_near() -> None:
    frame = pl.DataFrame({"x": [1.0, 100.0, 2.0, 101.0, 3.0, 102.0, None]})
    assert microaggregate(frame, ["x"], group=3)["x"].to_list() == [2, 101, 2, 101, 2, 101, None]
    with pytest.raises(PrivacyError, match="WB-E-043"):
        microaggregate(frame, ["x"], group=7)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.integers(0, 20)), min_size=1, max_size=80), st.floats(0.05, 1),
    st.integers(0, 99),
)
def test_rank_swapping_keeps_how_often_each_value_occurs_and_moves_none_far(
    values: list[int | None], share: float, seed: int
) -> None:
    frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.Int64)})
    found = swap_ranks(frame, "x", share=share, seed=seed)["x"]
    assert sorted(found.drop_nulls()) == sorted(v for v in values if v is not None)
    assert (found.is_null() == frame["x"].is_null()).all()
    ranked = sorted(v for v in values if v is not None)
    window = max(2, int(share * len(ranked)))
    for before, after in zip(frame["x"].drop_nulls(), found.drop_nulls(), strict=True):
        near = [i for i, v in enumerate(ranked) if v == before]
        reach = ranked[max(0, near[0] - window + 1): near[-1] + window]
        assert after in reach


def test_rank_swapping_asks_for_a_share() -> None:
    with pytest.raises(PrivacyError, match="WB-E-044"):
        swap_ranks(pl.DataFrame({"x": [1]}), "x", share=0)
