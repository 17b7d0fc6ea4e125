"""Controlled rounding: adjacent multiples, every margin a sum, zero stays zero, nearest to the truth."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellbridge.privacy.noise.rounding import Rounding, controlled_rounding
from wellbridge.privacy.tables.sums import Ints, Sums
from wellbridge.schemas.errors import PrivacyError


def table(inner: Ints) -> Sums:
    """A table with all totals of every dimension."""
    full = inner
    for axis in range(inner.ndim):
        full = np.concatenate([full, full.sum(axis=axis, keepdims=True)], axis=axis)
    sums = Sums()
    cells = sums.add_cells(full).reshape(full.shape)
    for axis in range(inner.ndim):
        parts = np.moveaxis(cells, axis, -1).reshape(-1, cells.shape[axis])
        sums.add_relations(parts[:, -1].copy(), parts[:, :-1])
    return sums


counts = st.integers(0, 30)

# Found by search: with base 3 no table of neighbours adds up.
NO_NEIGHBOURS = (
    ((0, 0, 0), (0, 0, 2), (0, 0, 0), (0, 2, 0)),
    ((2, 0, 2), (0, 1, 0), (2, 0, 0), (2, 0, 1)),
    ((1, 2, 0), (0, 0, 0), (0, 1, 0), (0, 0, 2)),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(counts, min_size=3, max_size=3), min_size=2, max_size=5), st.integers(3, 10))
def test_two_dimensions_always_round_to_neighbours(rows: list[list[int]], base: int) -> None:
    sums = table(np.array(rows))
    found = controlled_rounding(sums.values, sums.links, base=base)
    assert found.how is Rounding.NEIGHBOURS
    assert found.is_optimal
    assert not sums.links.residuals(found.values).any()
    assert (found.values % base == 0).all()
    assert (np.abs(found.values - sums.values) < base).all()
    assert (found.values[sums.values == 0] == 0).all()
    assert found.distance == np.abs(found.values - sums.values).sum()
    assert found.lower_bound == pytest.approx(found.distance)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=2), min_size=2, max_size=3), st.sampled_from([3, 5]))
def test_no_table_of_neighbours_is_nearer(rows: list[list[int]], base: int) -> None:
    inner = np.array(rows)
    sums = table(inner)
    found = controlled_rounding(sums.values, sums.links, base=base)
    low, high = inner // base * base, -(-inner // base) * base
    best = None
    for choice in itertools.product(*({int(a), int(b)} for a, b in zip(low.ravel(), high.ravel(), strict=True))):
        values = table(np.array(choice).reshape(inner.shape)).values
        if (np.abs(values - sums.values) < base).all():
            distance = int(np.abs(values - sums.values).sum())
            best = distance if best is None else min(best, distance)
    assert found.distance == best


def test_where_no_neighbours_add_up_cells_go_further_and_the_result_says_so() -> None:
    inner = np.array(NO_NEIGHBOURS)
    sums = table(inner)
    found = controlled_rounding(sums.values, sums.links, base=3)
    assert found.how is Rounding.FURTHER
    assert found.steps == 1
    assert not sums.links.residuals(found.values).any()
    assert (found.values >= 0).all()
    assert (found.values[sums.values == 0] == 0).all()


def test_a_table_too_large_is_rounded_at_random_without_bias_and_still_adds_up() -> None:
    inner = np.random.default_rng(3).integers(0, 12, (4, 5))
    sums = table(inner)
    draws = np.array([
        controlled_rounding(sums.values, sums.links, base=5, most_cells=0).values for _ in range(2_000)
    ])
    assert not any(sums.links.residuals(values).any() for values in draws[:50])
    assert (draws[:, sums.values == 0] == 0).all()
    inside = np.zeros((5, 6), dtype=bool)
    inside[:4, :5] = True
    assert (np.abs(draws - sums.values)[:, inside.ravel()] < 5).all()
    # A cell's standard deviation is at most base / 2, a total's of 20 cells √20 times that; six of them in the mean.
    assert (np.abs(draws.mean(axis=0) - sums.values) <= 6 * 2.5 * np.sqrt(20) / np.sqrt(len(draws))).all()


def test_the_result_of_a_random_rounding_says_so() -> None:
    sums = table(np.array([[1, 2], [4, 8]]))
    found = controlled_rounding(sums.values, sums.links, base=5, most_cells=0)
    assert found.how is Rounding.RANDOM
    assert not found.is_optimal
    assert found.lower_bound == 0


def test_a_small_base_and_sums_that_do_not_hold_are_refused() -> None:
    sums = table(np.array([[1, 2], [4, 8]]))
    with pytest.raises(PrivacyError) as small:
        controlled_rounding(sums.values, sums.links, base=2)
    assert small.value.code == "WB-E-044"
    wrong = sums.values.copy()
    wrong[0] += 1
    with pytest.raises(PrivacyError) as broken:
        controlled_rounding(wrong, sums.links, base=5)
    assert broken.value.code == "WB-E-046"


