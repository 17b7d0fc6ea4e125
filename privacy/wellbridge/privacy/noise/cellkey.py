"""Cell-key perturbation: the same persons counted again, in whatever table, are counted with the same noise.

Every record has a key; a cell's key is the sum of its records' keys modulo 2³², and the perturbation table turns
count and key into noise. Perturbed cells no longer add up, and that is part of the protection.

Source: Fraser and Wooton (2005), A Proposed Method for Confidentialising Tabular Output to Protect against
Differencing; Thompson, Broadfoot and Elazar (2013). It is not differential privacy: who knows all but one record of
many overlapping cells can average bounded noise away, so the number of tables of a programme is to be decided on.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import polars as pl

from wellbridge.privacy.noise.programme import Programme
from wellbridge.privacy.noise.ptable import KEY_BITS
from wellbridge.privacy.tables.margins import ALL, NOT_REPORTED
from wellbridge.privacy.tables.protection import Dimension
from wellbridge.schemas.errors import PrivacyError

COUNT: Final = "n"
KEY: Final = "_key"
_MARK: Final = "\x1f"


def keyed_records(records: pl.DataFrame, programme: Programme, *, by: Sequence[Dimension], person: str) -> pl.DataFrame:
    """Count persons by the finest cells, with the sums of their keys: columns of ``by``, ``n``, ``_key``.

    Args:
        records: rows with a person each; a person of several rows of one cell is counted once in it.
        programme: whose secret makes the keys.
        by: the crossed dimensions.
        person: the column that names a person.

    Raises:
        PrivacyError: WB-E-046 when a person is in several cells: the margins would count that person twice.
    """
    names = [name for dimension in by for name in dimension.columns]
    text = pl.col(names).cast(pl.String).fill_null(NOT_REPORTED)
    persons = records.select(text, pl.col(person).alias("_person"))
    keyed = persons.with_columns(pl.Series(KEY, programme.record_keys(persons["_person"])))
    once = keyed if keyed["_person"].n_unique() == keyed.height else keyed.unique()
    twice = once.height - once["_person"].n_unique()
    if twice:
        raise PrivacyError("WB-E-046", "Persons are in several cells of a table.", f"{twice} row(s) too many",
                           todo="Count each person once, or drop the dimension in which they differ")
    return once.group_by(names).agg(pl.len().cast(pl.Int64).alias(COUNT), pl.col(KEY).sum())


def keyed_counts(table: pl.DataFrame, programme: Programme, *, by: Sequence[Dimension], count: str) -> pl.DataFrame:
    """Give the inner cells of a table of counts keys of their own: columns of ``by``, ``n``, ``_key``.

    Without records a cell is named by its members and its count. The same cell of another table with these
    dimensions gets the same noise; tables with other dimensions share no more than margins do.
    """
    names = [name for dimension in by for name in dimension.columns]
    inner = table.group_by(names).agg(pl.col(count).sum().cast(pl.Int64).alias(COUNT)).filter(pl.col(COUNT) > 0)
    label = pl.concat_str([pl.col(name).fill_null(NOT_REPORTED) for name in (*sorted(names), COUNT)], separator=_MARK)
    keys = programme.record_keys(inner.select(label.alias("label"))["label"])
    return inner.with_columns(pl.Series(KEY, keys))


def perturbed(cells: pl.DataFrame, programme: Programme, *, by: Sequence[Dimension]) -> pl.DataFrame:
    """Perturb a table with all its margins.

    Args:
        cells: of ``keyed_records`` or ``keyed_counts``.
        programme: whose table says how.
        by: the crossed dimensions.

    Returns:
        The columns of ``by``, ``all`` where summed over, and ``n``, perturbed, in the order of the columns. Cells of
        nobody, and those that became nobody, are not among the rows: a reader cannot tell one from the other.

    Raises:
        PrivacyError: WB-E-046 when a member is called ``all``.
    """
    names = [name for dimension in by for name in dimension.columns]
    if cells.select(pl.any_horizontal((pl.col(names) == ALL).any())).item():
        raise PrivacyError("WB-E-046", f'A member is called "{ALL}", which stands for the sum.')
    out = [_margin(cells, names, closed) for closed in _margins(by)]
    full = pl.concat(out)
    keys = full[KEY].to_numpy() & ((1 << KEY_BITS) - 1)
    counts = full[COUNT].to_numpy()
    noisy = counts + programme.table.noise(counts, keys)
    return full.drop(KEY).with_columns(pl.Series(COUNT, noisy)).filter(pl.col(COUNT) > 0).sort(names)


def _margins(by: Sequence[Dimension]) -> list[set[str]]:
    """Return for each set of margins the columns that are summed over, none of them first."""
    depths = itertools.product(*(range(len(dimension.columns) + 1) for dimension in by))
    return [
        {name for dimension, depth in zip(by, depth_of, strict=True) for name in dimension.columns[:depth]}
        for depth_of in depths
    ]


def _margin(cells: pl.DataFrame, names: Sequence[str], closed: set[str]) -> pl.DataFrame:
    open_names = [name for name in names if name not in closed]
    sums = [pl.col(COUNT).sum(), pl.col(KEY).sum()]
    summed = cells.group_by(open_names).agg(sums) if open_names else cells.select(sums)
    return summed.select([pl.lit(ALL).alias(name) if name in closed else pl.col(name) for name in names] + [COUNT, KEY])
