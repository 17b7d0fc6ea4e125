"""The check of a released record file from its own labels, by other means than those it was made with.

It reads nothing but the table, groups it with polars instead of packed keys, and compares whole rows instead of
sums, so a fault in the search cannot pass it unseen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from wellbridge.privacy.records.criteria import EPSILON, Criteria, Sensitive
from wellbridge.privacy.records.hierarchy import NOT_REPORTED, Hierarchy
from wellbridge.privacy.records.ladders import Ints, numbered
from wellbridge.privacy.records.spread import distinct_l, entropy_l, spread, t_distance

_CELL, _ROW = "\x1f", "\x1e"


def class_numbers(table: pl.DataFrame, quasi: Sequence[str], per_person: str | None) -> pl.DataFrame:
    """Return for each person the number of their class, columns ``person`` and ``class``.

    Args:
        table: a record file.
        quasi: its quasi-identifiers.
        per_person: whose row it is; None: every row is a person.
    """
    if per_person is None:
        if not quasi:
            return table.select(pl.int_range(pl.len()).alias("person"), pl.lit(0, pl.UInt32).alias("class"))
        alike = table.select(pl.col(name).cast(pl.String).fill_null(NOT_REPORTED) for name in quasi)
        # A range inside a window begins anew in each class, so the rows are numbered before.
        numbered_rows = alike.with_row_index("\x1fperson")
        first = pl.col("\x1fperson").first().over(list(quasi))
        return numbered_rows.select(pl.col("\x1fperson").alias("person"), first.alias("class"))
    row = pl.concat_str([pl.col(name).cast(pl.String).fill_null(NOT_REPORTED) for name in quasi], separator=_CELL)
    whole = table.select(pl.col(per_person).alias("person"), (row if quasi else pl.lit("")).alias("row"))
    signs = whole.sort("row").group_by("person").agg(pl.col("row").str.join(_ROW))
    return signs.with_row_index("place").select("person", pl.col("place").first().over("row").alias("class"))


def class_sizes(table: pl.DataFrame, quasi: Sequence[str], per_person: str | None) -> dict[int, int]:
    """Return the number of classes by their size in persons."""
    if not table.height:
        return {}
    if per_person is None and quasi:
        alike = table.select(pl.col(name).alias(f"q{place}") for place, name in enumerate(quasi))
        sizes = alike.group_by(pl.all()).len("n")["n"]
    else:
        sizes = class_numbers(table, quasi, per_person)["class"].value_counts(name="n")["n"]
    counted = sizes.value_counts(name="classes").sort(by=pl.first())
    return {int(size): int(n) for size, n in counted.iter_rows()}


def check_release(
    table: pl.DataFrame, quasi: Sequence[str], criteria: Criteria, hierarchies: Mapping[str, Hierarchy],
    per_person: str | None, sizes: Mapping[int, int] | None = None,
) -> str:
    """Return what is wrong with a released file, in words without a value; nothing where all is well.

    Args:
        table: the file.
        quasi: its quasi-identifiers.
        criteria: what every class must fulfil.
        hierarchies: of sensitive attributes.
        per_person: whose row it is; None: every row is a person.
        sizes: of this table by ``class_sizes``, where they were counted already.
    """
    if not table.height:
        return "nobody is left"
    if per_person is not None and table[per_person].n_unique() == table.height:
        per_person = None
    smallest = min(class_sizes(table, quasi, per_person) if sizes is None else sizes)
    if smallest < criteria.k:
        return f"a class has {smallest} persons"
    if not criteria.sensitive:
        return ""
    persons = class_numbers(table, quasi, per_person)
    number = np.unique(persons["class"].to_numpy(), return_inverse=True)[1].astype(np.int64)
    for rule in criteria.sensitive:
        problem = _spread_problem(table, persons, number, rule, hierarchies, per_person)
        if problem:
            return problem
    return ""


def _spread_problem(
    table: pl.DataFrame, persons: pl.DataFrame, number: Ints, rule: Sensitive, hierarchies: Mapping[str, Hierarchy],
    per_person: str | None,
) -> str:
    ladder, value = numbered(table[rule.column], hierarchies.get(rule.column, Hierarchy(())))
    of = number
    if per_person is not None:
        held = table.select(pl.col(per_person).alias("person"), pl.Series("value", value)).unique()
        joined = held.join(persons.with_columns(pl.Series("class", number)), on="person")
        of, value = joined["class"].to_numpy(), joined["value"].to_numpy()
    found = spread(of, value, None, int(number.max(initial=-1)) + 1, ladder.sizes[0])
    if int(distinct_l(found).min()) < rule.distinct:
        return f"a class has too few values of column {rule.column}"
    if rule.entropy > 1 and float(entropy_l(found).min()) < rule.entropy - EPSILON:
        return f"a class has too little entropy of column {rule.column}"
    if rule.t is not None and float(t_distance(found, rule.distance, ladder).max()) > rule.t + EPSILON:
        return f"a class is too far from all in column {rule.column}"
    return ""
