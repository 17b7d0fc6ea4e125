from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellbridge.pipelines.measures.compute import SCHEMA
from wellbridge.pipelines.measures.display import NUMBERS, WHOLE, Cell, Sum, hide, suppress_for_display

MIN = 10
Groups = dict[str, tuple[int, int]]


def values(measure: str, groups: dict[str, Groups]) -> pl.DataFrame:
    """``measure_value`` rows from dimension → member → (numerator, denominator)."""
    rows = [
        {"measure_id": measure, "period": "2026-27", "dimension": dimension, "member": member,
         "numerator": float(n), "denominator": float(d), "persons": d, "value": n / d}
        for dimension, members in groups.items() for member, (n, d) in members.items()
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def hidden(measure: str, groups: dict[str, Groups], **more: Any) -> set[tuple[str, str]]:
    frame = suppress_for_display(values(measure, groups), MIN, **more)
    return set(frame.filter("is_hidden").select("dimension", "member").iter_rows())


def district(groups: Groups) -> dict[str, Groups]:
    whole = (sum(n for n, _ in groups.values()), sum(d for _, d in groups.values()))
    return {"all": {"all": whole}, "school": groups}


def test_ten_of_each_side_may_be_seen():
    assert hidden("chronic_absence", district({"A": (10, 20), "B": (10, 20)})) == set()


@pytest.mark.parametrize("small", [(5, 9), (9, 100), (91, 100), (0, 100), (100, 100)])
def test_a_group_with_fewer_than_ten_on_any_side_is_hidden_and_never_alone(small: tuple[int, int]):
    found = hidden("chronic_absence", district({"A": small, "B": (30, 60), "C": (40, 80)}))
    assert found == {("school", "A"), ("school", "B")}


def test_hidden_groups_together_are_no_small_cell():
    found = hidden("chronic_absence", district({"A": (4, 30), "B": (4, 30), "C": (50, 90), "D": (60, 130)}))
    assert found == {("school", "A"), ("school", "B"), ("school", "C")}


def test_a_mean_needs_ten_persons_and_no_sides():
    assert hidden("ost_hours", district({"A": (3, 10), "B": (500, 60)})) == set()
    assert hidden("ost_hours", district({"A": (3, 9), "B": (500, 60), "C": (9, 70)})) == {
        ("school", "A"), ("school", "B")}


def test_a_small_district_shows_nothing():
    groups = district({"A": (3, 9)})
    assert hidden("chronic_absence", groups) == {WHOLE, ("school", "A")}


def test_no_number_of_a_hidden_cell_is_left_in_the_frame():
    frame = suppress_for_display(values("chronic_absence", district({"A": (4, 9), "B": (30, 60)})), MIN)
    assert frame.filter("is_hidden").select(NUMBERS).null_count().row(0) == (2, 2, 2, 2)
    assert frame.filter(~pl.col("is_hidden")).select(NUMBERS).null_count().row(0) == (0, 0, 0, 0)


def test_tier_three_is_not_the_difference_between_the_district_and_tier_two():
    groups = {"all": {"all": (105, 1000)}, "tier": {"1": (895, 1000), "2": (100, 1000), "3": (5, 1000)}}
    assert hidden("tier_students", groups) == {("tier", "2"), ("tier", "3")}


def test_a_small_school_is_not_the_difference_between_its_grade_band_and_the_other_schools():
    groups = district({"E1": (5, 40), "E2": (60, 90), "M1": (20, 50)})
    groups["grade_band"] = {"K-5": (65, 130), "6-8": (20, 50)}
    bands = {"E1": ("K-5",), "E2": ("K-5",), "M1": ("6-8",)}
    found = hidden("chronic_absence", groups, school_bands=bands)
    assert {("school", "E1"), ("school", "E2")} <= found


def test_people_who_are_not_linked_are_hidden_in_every_breakdown_or_in_none():
    groups = {
        "all": {"all": (80, 170)},
        "sex": {"female": (30, 70), "male": (45, 90), "not linked": (5, 10)},
        "grade_band": {"K-5": (30, 60), "6-8": (45, 100), "not linked": (5, 10)},
    }
    found = hidden("chronic_absence", groups)
    assert {("sex", "not linked"), ("grade_band", "not linked")} <= found
    assert len(found) == 4


sizes = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=7)


@settings(max_examples=150, deadline=None)
@given(sizes, st.integers(1, 6))
def test_no_small_cell_follows_from_what_is_seen(counts: list[tuple[int, int]], split: int):
    """An attacker who knows all sums and solves them by least squares finds no small cell."""
    schools = {("school", f"S{n}"): Cell(a + b, float(a), float(b)) for n, (a, b) in enumerate(counts)}
    keys = list(schools)
    halves = (("K-5", keys[:split]), ("6-8", keys[split:]))
    bands = {("grade_band", name): parts for name, parts in halves if parts}
    cells = dict(schools)
    for key, parts in [*bands.items(), (WHOLE, keys)]:
        total = schools[parts[0]]
        for part in parts[1:]:
            total = total + schools[part]
        cells[key] = total
    known = [Sum(WHOLE, tuple(keys)), Sum(WHOLE, tuple(bands)), *(Sum(k, tuple(p)) for k, p in bands.items())]
    unseen = sorted(hide(cells, known, MIN))
    small = [key for key, cell in cells.items() if not cell.is_safe(MIN)]
    assert set(small) <= set(unseen)
    matrix = np.array([[(key in f.parts) - float(key == f.whole) for key in unseen] for f in known])
    if unseen:
        free = np.eye(len(unseen)) - np.linalg.pinv(matrix) @ matrix  # projection on what stays unknown
        for key in small:
            assert np.abs(free[unseen.index(key)]).max() > 1e-9 or WHOLE in unseen


@settings(max_examples=100, deadline=None)
@given(sizes)
def test_hidden_groups_of_a_breakdown_never_add_up_to_a_small_cell(counts: list[tuple[int, int]]):
    cells = {("school", f"S{n}"): Cell(a + b, float(a), float(b)) for n, (a, b) in enumerate(counts)}
    whole = Cell(0, 0.0, 0.0)
    for cell in cells.values():
        whole = whole + cell
    unseen = hide({**cells, WHOLE: whole}, [Sum(WHOLE, tuple(cells))], MIN)
    if WHOLE not in unseen and unseen:
        total = Cell(0, 0.0, 0.0)
        for key in unseen:
            total = total + cells[key]
        assert len(unseen) > 1
        assert total.is_safe(MIN)
