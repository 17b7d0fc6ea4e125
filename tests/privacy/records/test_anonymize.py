from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from plain_anonymity import exhaustive, smallest_class

from wellbridge.privacy.records.anonymize import anonymize
from wellbridge.privacy.records.hierarchy import ANYTHING, Hierarchy
from wellbridge.privacy.records.lattice import Limits
from wellbridge.schemas.errors import PrivacyError

GRADES = Hierarchy(({"06": "6-8", "07": "6-8", "08": "6-8", "09": "9-12", "10": "9-12"}, ANYTHING))
RACES = Hierarchy(({"AM": "other", "PI": "other", "AS": "other"}, ANYTHING))
QUASI = {"grade": GRADES, "race": RACES, "sex": Hierarchy((ANYTHING,))}


def children(count: int = 400, seed: int = 1) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    return pl.DataFrame({
        "code": [f"c{n:04d}" for n in range(count)],
        "grade": draw.choice(["06", "07", "08", "09", "10"], count),
        "race": draw.choice(["AM", "AS", "BL", "PI", "WH"], count, p=[0.02, 0.08, 0.3, 0.02, 0.58]),
        "sex": draw.choice(["female", "male"], count), "score": draw.integers(0, 27, count),
    })


def trees(frame: pl.DataFrame, quasi: dict[str, Hierarchy]) -> dict[str, dict[str, list[str]]]:
    labels = {name: tree.labels(frame[name].unique(), name) for name, tree in quasi.items()}
    return {name: {row[0]: list(row) for row in found.iter_rows()} for name, found in labels.items()}


def smallest(table: pl.DataFrame, quasi: list[str], person: str = "code") -> int:
    return smallest_class(table.to_dicts(), quasi, person)


def test_every_child_is_one_of_k_alike():
    found = anonymize(children(), per_person="code", quasi=QUASI, k=12)
    assert smallest(found.table, list(QUASI)) >= 12
    assert found.table.height == found.persons - found.suppressed
    assert sum(size * classes for size, classes in found.classes.items()) == found.table.height
    assert min(found.classes) >= 12


def test_columns_that_are_not_quasi_identifiers_stay_as_they_are_with_their_child():
    frame = children()
    found = anonymize(frame, per_person="code", quasi=QUASI)
    assert found.table.select("code", "score").equals(
        frame.filter(pl.col("code").is_in(found.table["code"].implode())).select("code", "score"))


def test_no_level_loses_less():
    frame = children(seed=5)
    found = anonymize(frame, per_person="code", quasi=QUASI, max_suppressed=0.02)
    best = exhaustive(frame.to_dicts(), trees(frame, QUASI), 10, int(0.02 * found.persons))
    assert best == pytest.approx(found.loss, abs=1e-6)
    assert found.is_optimal
    assert found.bound == found.loss
    assert found.checked < found.nodes


def test_rows_of_one_child_count_once():
    # Nine children with eleven rows each: ninety-nine rows alike, nine persons.
    nine = pl.DataFrame({"code": [f"c{n}" for n in range(9) for _ in range(11)], "grade": "06"})
    with pytest.raises(PrivacyError, match="WB-E-043"):
        anonymize(nine, per_person="code", quasi={"grade": GRADES})
    ten = pl.DataFrame({"code": [f"c{n}" for n in range(10)], "grade": "06"})
    assert anonymize(ten, per_person="code", quasi={"grade": GRADES}).classes == {10: 1}


def test_a_childs_years_are_one_record():
    # Every year alone is common; only one child moved from 06 to 10, so that sequence is unique.
    years = [(f"c{n:02d}", "2026", "06") for n in range(30)] + [(f"c{n:02d}", "2027", "10") for n in range(15)]
    years += [(f"c{n:02d}", "2027", "07") for n in range(15, 29)] + [("c29", "2027", "08")]
    frame = pl.DataFrame(years, schema=["code", "year", "grade"], orient="row")
    quasi = {"year": Hierarchy((ANYTHING,)), "grade": Hierarchy((ANYTHING,))}
    found = anonymize(frame, per_person="code", quasi=quasi, max_suppressed=0.05)
    assert found.suppressed == 1
    assert "c29" not in found.table["code"].to_list()
    assert smallest(found.table, ["year", "grade"]) >= 10


def test_missing_values_are_a_value_like_any_other():
    frame = pl.DataFrame({"code": [f"c{n}" for n in range(25)], "grade": ["06"] * 15 + [None] * 10})
    found = anonymize(frame, per_person="code", quasi={"grade": Hierarchy((ANYTHING,))})
    assert found.classes == {10: 1, 15: 1}


def test_the_file_is_refused_when_even_all_alike_are_too_few():
    with pytest.raises(PrivacyError) as caught:
        anonymize(children(9), per_person="code", quasi=QUASI)
    assert (caught.value.code, caught.value.exit) == ("WB-E-043", 14)


def test_a_quasi_identifier_that_may_not_be_coarsened_can_make_the_file_impossible():
    frame = children().with_columns(pl.int_range(pl.len()).alias("seat"))
    with pytest.raises(PrivacyError, match="WB-E-043"):
        anonymize(frame, per_person="code", quasi={"seat": Hierarchy(())})


def test_k_below_the_floor_is_refused():
    with pytest.raises(PrivacyError, match="WB-E-044"):
        anonymize(children(), per_person="code", quasi=QUASI, k=9)


def test_a_column_the_recipient_needs_is_coarsened_last():
    frame = children(300)
    plain = anonymize(frame, per_person="code", quasi=QUASI, max_suppressed=0.0).node
    coarsened = next(name for name, level in plain.items() if level)
    weighed = anonymize(frame, per_person="code", quasi=QUASI, max_suppressed=0.0, weights={coarsened: 99.0}).node
    assert weighed[coarsened] < plain[coarsened]


def test_a_lattice_too_large_to_hold_is_searched_within_the_limits_and_says_what_it_may_have_missed():
    deep = {f"q{n}": Hierarchy(({"a": "ab", "b": "ab"}, {"ab": "abc", "c": "abc"}, *(ANYTHING,) * 4)) for n in range(9)}
    draw = np.random.default_rng(3)
    frame = pl.DataFrame({name: draw.choice(list("abcd"), 500) for name in deep})
    found = anonymize(frame, per_person=None, quasi=deep, limits=Limits(nodes=60))
    assert found.nodes == 7 ** 9
    assert found.checked <= 61
    assert not found.is_optimal
    assert 0 <= found.bound <= found.loss
    assert smallest_class(found.table.to_dicts(), list(deep)) >= 10
