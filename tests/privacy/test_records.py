from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import polars as pl
import pytest

from wellbridge.privacy.records.anonymise import ANYTHING, Hierarchy, k_anonymise
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


def smallest_class(table: pl.DataFrame, quasi: list[str], person: str = "code") -> int:
    sequences: dict[str, list[tuple[str, ...]]] = {}
    for row in table.iter_rows(named=True):
        sequences.setdefault(row[person], []).append(tuple(row[name] for name in quasi))
    return min(Counter(tuple(sorted(rows)) for rows in sequences.values()).values())


def test_every_child_is_one_of_k_alike():
    found = k_anonymise(children(), quasi=QUASI, k=12)
    assert smallest_class(found.table, list(QUASI)) >= 12
    assert found.table.height == found.persons - found.suppressed
    assert sum(size * classes for size, classes in found.classes.items()) == found.table.height
    assert min(found.classes) >= 12


def test_columns_that_are_not_quasi_identifiers_stay_as_they_are_with_their_child():
    frame = children()
    found = k_anonymise(frame, quasi=QUASI)
    assert found.table.select("code", "score").equals(
        frame.filter(pl.col("code").is_in(found.table["code"].implode())).select("code", "score"))


def test_no_less_lossy_level_keeps_enough_children():
    frame = children(seed=5)
    found = k_anonymise(frame, quasi=QUASI, max_suppressed=0.02)
    allowed = int(0.02 * found.persons)
    heights = {name: hierarchy.height for name, hierarchy in QUASI.items()}
    for levels in product(*(range(height + 1) for height in heights.values())):
        node = dict(zip(QUASI, levels, strict=True))
        recoded = frame.select(
            *(pl.col(name).map_elements(lambda v, h=QUASI[name], at=level: h.at(v, at), return_dtype=pl.String)
              for name, level in node.items()))
        left_out = recoded.filter(pl.len().over(list(QUASI)) < 10).height
        loss = sum(level / heights[name] for name, level in node.items()) / len(node)
        assert left_out > allowed or loss >= found.loss - 1e-6


def test_rows_of_one_child_count_once():
    # Nine children with eleven rows each: ninety-nine rows alike, nine persons.
    nine = pl.DataFrame({"code": [f"c{n}" for n in range(9) for _ in range(11)], "grade": "06"})
    with pytest.raises(PrivacyError, match="WB-E-043"):
        k_anonymise(nine, quasi={"grade": GRADES})
    ten = pl.DataFrame({"code": [f"c{n}" for n in range(10)], "grade": "06"})
    assert k_anonymise(ten, quasi={"grade": GRADES}).classes == {10: 1}


def test_a_childs_years_are_one_record():
    # Every year alone is common; only one child moved from 06 to 10, so that sequence is unique.
    years = [(f"c{n:02d}", "2026", "06") for n in range(30)] + [(f"c{n:02d}", "2027", "10") for n in range(15)]
    years += [(f"c{n:02d}", "2027", "07") for n in range(15, 29)] + [("c29", "2027", "08")]
    frame = pl.DataFrame(years, schema=["code", "year", "grade"], orient="row")
    quasi = {"year": Hierarchy((ANYTHING,)), "grade": Hierarchy((ANYTHING,))}
    found = k_anonymise(frame, quasi=quasi, max_suppressed=0.05)
    assert found.suppressed == 1
    assert "c29" not in found.table["code"].to_list()
    assert smallest_class(found.table, ["year", "grade"]) >= 10


def test_missing_values_are_a_value_like_any_other():
    frame = pl.DataFrame({"code": [f"c{n}" for n in range(25)], "grade": ["06"] * 15 + [None] * 10})
    found = k_anonymise(frame, quasi={"grade": Hierarchy((ANYTHING,))})
    assert found.classes == {10: 1, 15: 1}


def test_the_file_is_refused_when_even_all_alike_are_too_few():
    with pytest.raises(PrivacyError) as caught:
        k_anonymise(children(9), quasi=QUASI)
    assert (caught.value.code, caught.value.exit) == ("WB-E-043", 14)


def test_a_quasi_identifier_that_may_not_be_coarsened_can_make_the_file_impossible():
    frame = children().with_columns(pl.int_range(pl.len()).alias("seat"))
    with pytest.raises(PrivacyError, match="WB-E-043"):
        k_anonymise(frame, quasi={"seat": Hierarchy(())})


def test_k_below_the_floor_is_refused():
    with pytest.raises(PrivacyError, match="WB-E-044"):
        k_anonymise(children(), quasi=QUASI, k=9)


def test_a_column_the_recipient_needs_is_coarsened_last():
    plain = k_anonymise(children(300), quasi=QUASI, max_suppressed=0.0).node
    weighed = k_anonymise(children(300), quasi=QUASI, max_suppressed=0.0, weights={name: 9.0 for name in QUASI
                          if plain[name]}).node
    assert weighed != plain or all(plain[name] == QUASI[name].height for name in QUASI if plain[name])


def test_too_many_levels_are_refused():
    deep = {f"q{n}": Hierarchy((ANYTHING,) * 6) for n in range(6)}
    frame = children().with_columns(pl.lit("x").alias(name) for name in deep)
    with pytest.raises(PrivacyError, match="WB-E-043"):
        k_anonymise(frame, quasi=deep)
