from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest

from wellbridge.privacy.records.assess import assess
from wellbridge.privacy.records.risk import pitman, population_uniques, prosecutor, zayatz
from wellbridge.schemas.errors import SourceError


def population(kind: str, seed: int, persons: int = 40_000) -> np.ndarray:
    """Draw the class of every person of a population."""
    draw = np.random.default_rng(seed)
    if kind == "even":
        return draw.integers(0, persons // 3, persons)
    if kind == "skewed":  # a few large classes and very many small ones
        return (draw.pareto(0.9, persons) * 30).astype(np.int64)
    return draw.geometric(0.001, persons)


def sizes(of: np.ndarray) -> Counter[int]:
    return Counter(np.unique(of, return_counts=True)[1].tolist())


def test_the_prosecutor_is_right_once_in_the_size_of_the_class() -> None:
    found = prosecutor({1: 2, 4: 3, 20: 1}, 0.1)
    assert found.highest == 1.0
    assert found.average == pytest.approx((2 + 3 + 1) / (2 + 12 + 20))
    assert found.at_risk == pytest.approx(14 / 34)


def test_a_class_of_exactly_ten_is_not_above_one_in_ten() -> None:
    assert prosecutor({10: 5}, 0.1).at_risk == 0.0


@pytest.mark.parametrize("kind", ["even", "skewed", "steep"])
@pytest.mark.parametrize("fraction", [0.05, 0.1])
def test_pitmans_estimate_of_population_uniques_is_near_the_truth_of_a_simulation(kind: str, fraction: float) -> None:
    ratios = []
    for seed in range(5):
        whole = population(kind, seed)
        sample = whole[np.random.default_rng(seed + 99).random(len(whole)) < fraction]
        truth = sizes(whole)[1]
        ratios.append((pitman(sizes(sample), fraction) - truth) / len(whole))
    # In points of the population. Where all classes are of about the same size the model does not fit: then the
    # estimate is too high, never too low.
    assert (0 < np.mean(ratios) < 0.25) if kind == "even" else (abs(np.mean(ratios)) < 0.02)


@pytest.mark.parametrize("kind", ["skewed", "steep"])
@pytest.mark.parametrize("fraction", [0.3, 0.6])
def test_zayatz_estimate_is_near_the_truth_where_the_fraction_is_large(kind: str, fraction: float) -> None:
    errors = []
    for seed in range(5):
        whole = population(kind, seed)
        sample = whole[np.random.default_rng(seed + 99).random(len(whole)) < fraction]
        errors.append((zayatz(sizes(sample), fraction) - sizes(whole)[1]) / len(whole))
    assert abs(np.mean(errors)) < 0.05


def test_where_the_file_is_the_population_uniques_are_counted() -> None:
    assert population_uniques({1: 7, 3: 2}, 1.0) == (7.0, "counted: the file is the population")


def test_where_nobody_is_like_anybody_the_worst_is_assumed() -> None:
    assert pitman({1: 50}, 0.1) == pytest.approx(500)


def test_the_journalist_and_presence_are_measured_against_the_population_itself() -> None:
    file = pl.DataFrame({"zip": ["a", "a", "b", None]})
    everybody = pl.DataFrame({"zip": ["a"] * 4 + ["b"] * 2 + ["c"] * 3 + [None]})
    found = assess(file, quasi=["zip"], per_person=None, population=everybody)
    assert (found.prosecutor.highest, found.journalist.highest) == (1.0, 1.0)
    assert found.marketer == pytest.approx((2 / 4 + 1 / 2 + 1) / 4)
    assert found.presence is not None
    assert (found.presence.least, found.presence.greatest) == (0.0, 1.0)


def test_within_a_school_there_are_fewer_who_are_alike() -> None:
    file = pl.DataFrame({"school": ["s"] * 6 + ["t"] * 4, "sex": ["f", "m"] * 5})
    assert assess(file, quasi=["sex"], per_person=None).k == 5
    assert assess(file, quasi=["sex"], per_person=None, within=["school"]).k == 2


def test_rows_of_one_person_count_once() -> None:
    file = pl.DataFrame({"who": ["a", "a", "b", "b", "c"], "grade": ["1", "2", "2", "1", "1"], "score": list("vwvwv")})
    found = assess(file, quasi=["grade"], per_person="who")
    assert (found.persons, found.rows, dict(found.classes)) == (3, 5, {1: 1, 2: 1})


def test_what_a_column_contributes_is_who_stays_unique_without_it() -> None:
    file = pl.DataFrame({"seat": ["1", "2", "3", "4"], "sex": ["f", "f", "m", "m"]})
    seat, sex = assess(file, quasi=["seat", "sex"], per_person=None).columns
    assert (seat.alone, seat.without) == (4, 0)
    assert (sex.alone, sex.without) == (0, 4)


def test_a_file_without_rows_is_refused() -> None:
    with pytest.raises(SourceError, match="WB-E-023"):
        assess(pl.DataFrame({"a": []}), quasi=["a"], per_person=None)
