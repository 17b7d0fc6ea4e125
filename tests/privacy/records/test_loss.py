from __future__ import annotations

import math

import polars as pl
import pytest

from wellbridge.privacy.records.anonymize import anonymize
from wellbridge.privacy.records.hierarchy import Hierarchy

# Four values under two labels: x over a and b, y over c and d.
TREE = Hierarchy(({"a": "x", "b": "x", "c": "y", "d": "y"}, {"x": "*", "y": "*"}), values=frozenset("abcd"))


def test_the_measures_of_a_small_file_are_those_worked_out_by_hand() -> None:
    # At level 1: x holds three persons, y two, so that k = 3 leaves y's two out.
    frame = pl.DataFrame({"q": ["a", "a", "b", "c", "d"]})
    found = anonymize(frame, quasi={"q": TREE}, per_person=None, k=3, max_suppressed=0.4, least_k=2)
    assert (found.node, found.suppressed, found.classes) == ({"q": 1}, 2, {3: 1})
    # x leaves one of three further values open; two rows of five are gone.
    assert found.losses.generalized == pytest.approx((3 * (1 / 3) + 2 * 1) / 5)
    assert found.losses.discernibility == 3 * 3 + 2 * 5
    assert found.losses.average_class == pytest.approx(3 / 3)
    had = 2 * math.log2(5 / 2) + 3 * math.log2(5)
    lost = 2 * math.log2(3 / 2) + 1 * math.log2(3) + 2 * math.log2(5)
    assert found.losses.entropy == pytest.approx(lost / had)


def test_a_file_that_is_shown_as_it_is_loses_nothing_and_one_that_shows_nothing_everything() -> None:
    frame = pl.DataFrame({"q": ["a"] * 10 + ["c"] * 10})
    fine = anonymize(frame, quasi={"q": TREE}, per_person=None)
    assert (fine.losses.generalized, fine.losses.entropy, fine.losses.average_class) == (0, 0, 1)
    coarse = anonymize(frame, quasi={"q": TREE}, per_person=None, k=11)
    assert (coarse.losses.generalized, coarse.losses.entropy) == (1, 1)


def test_columns_are_weighed_as_the_recipient_says() -> None:
    frame = pl.DataFrame({"q": ["a", "b"] * 10, "r": ["a", "a", "b", "b"] * 5})
    quasi = {"q": TREE, "r": TREE}
    found = anonymize(frame, quasi=quasi, per_person=None, weights={"q": 3.0})
    assert found.node == {"q": 0, "r": 1}
    assert found.losses.generalized == pytest.approx((3 * 0 + 1 * (1 / 3)) / 4)


def test_those_who_would_be_left_out_are_coarsened_further_where_that_costs_less() -> None:
    frame = pl.DataFrame({"q": ["a"] * 30 + ["b"] * 30 + ["c"] * 6 + ["d"] * 6})
    whole = anonymize(frame, quasi={"q": TREE}, per_person=None, max_suppressed=0.2)
    parts = anonymize(frame, quasi={"q": TREE}, per_person=None, max_suppressed=0.2, local=True)
    assert (whole.node, whole.suppressed) == ({"q": 0}, 12)
    assert (parts.suppressed, [levels for levels, _ in parts.parts]) == (0, [{"q": 0}, {"q": 1}])
    assert parts.loss < whole.loss
    assert dict(parts.table["q"].value_counts().iter_rows()) == {"a": 30, "b": 30, "y": 12}
    assert not parts.is_optimal
