"""Classes by packed keys are those of grouping by polars, also where the keys need two or more words."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from plain_anonymity import smallest_class

from wellbridge.privacy.records.anonymize import anonymize
from wellbridge.privacy.records.classes import KEY_BITS, fields
from wellbridge.privacy.records.criteria import Sensitive
from wellbridge.privacy.records.hierarchy import ANYTHING, Hierarchy
from wellbridge.privacy.records.ladders import number_all, numbered
from wellbridge.privacy.records.population import Population, Rows, Sequences

TREE = Hierarchy(({f"{n:02d}": f"t{n // 10}" for n in range(100)}, ANYTHING))


def wide(columns: int, rows: int = 400, seed: int = 5) -> pl.DataFrame:
    """A file whose rows differ in few places, so that some are alike at every level."""
    draw = np.random.default_rng(seed)
    return pl.DataFrame({
        f"c{place}": [f"{n:02d}" for n in np.where(draw.random(rows) < 0.9, place, draw.integers(0, 100, rows))]
        for place in range(columns)
    }).with_columns(pl.Series("secret", draw.choice(list("uvw"), rows)))


@pytest.mark.parametrize("columns", [3, 8, 9, 12, 20])
@pytest.mark.parametrize("kind", ["rows", "sequences"])
def test_classes_are_those_of_grouping_labels(columns: int, kind: str) -> None:
    frame = wide(columns)
    names = [f"c{place}" for place in range(columns)]
    ladders, numbers = number_all(frame, dict.fromkeys(names, TREE))
    owner = np.arange(frame.height) if kind == "rows" else np.arange(frame.height) // 2
    people: Population = Rows(ladders, numbers) if kind == "rows" else Sequences(ladders, numbers, owner)
    for levels in ((0,) * columns, (1,) * columns, tuple(place % 3 for place in range(columns)), (2,) * columns):
        shown = frame.select(
            ladder.labels[level].gather(ladder.codes[level][number]).alias(ladder.column)
            for ladder, level, number in zip(ladders, levels, numbers, strict=True))
        row = shown.select(pl.concat_str(names, separator="|").alias("row"), pl.Series("owner", owner))
        whole = row.group_by("owner").agg(pl.col("row").sort().str.join("/"))
        expected = sorted(whole["row"].value_counts(name="n")["n"])
        look = people.look(levels)
        assert sorted(look.counts) == expected
        # Whose class is small is told row by row.
        failing = look.counts < 3
        few = set(whole.filter(pl.len().over("row") < 3)["owner"])
        assert people.rows_of(look, failing).tolist() == [int(one) in few for one in owner]


def test_fields_that_do_not_fit_one_word_go_into_the_next() -> None:
    found = fields([1000] * 8)
    assert {field.word for field in found} == {0, 1}
    for word in (0, 1):
        inside = [field for field in found if field.word == word]
        assert sum(field.mask << field.shift for field in inside) < 1 << KEY_BITS
        assert sum(bin(field.mask).count("1") for field in inside) == 10 * len(inside)


def test_a_file_of_twenty_quasi_identifiers_is_anonymised_with_its_sensitive_attribute() -> None:
    frame = wide(20)
    names = [f"c{place}" for place in range(20)]
    found = anonymize(frame, quasi=dict.fromkeys(names, TREE), per_person=None, k=10, max_suppressed=0.3,
                      sensitive=[Sensitive("secret", distinct=2)])
    assert found.nodes == 3**20
    assert smallest_class(found.table.to_dicts(), names) >= 10
    assert found.bound <= found.loss
    values = found.table.group_by(names).agg(pl.col("secret").n_unique())["secret"]
    assert min(values) >= 2


def test_the_spread_of_a_sensitive_attribute_is_counted_by_class() -> None:
    frame = wide(9)
    names = [f"c{place}" for place in range(9)]
    ladders, numbers = number_all(frame, dict.fromkeys(names, TREE))
    tree, values = numbered(frame["secret"], Hierarchy(()))
    people = Rows(ladders, numbers, [tree], [values])
    look = people.look((0,) * 9)
    found = people.spread(look, 0)
    plain = frame.group_by(*names, "secret").len()["len"]
    assert sorted(found.count) == sorted(plain)
    assert found.totals.tolist() == look.counts.tolist()
