"""Quasi-identifiers as numbers: each value's label at every level, numbered so that coarsening keeps the order.

Labels are numbered along the tree. So the number at a level never falls when the number at a finer level grows, and
rows that are sorted by one stay sorted by the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from wellbridge.privacy.records.hierarchy import Hierarchy

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ladder:
    """One quasi-identifier of one file.

    Attributes:
        column: its name.
        least: the finest level that may be shown.
        labels: level → labels in the order of their numbers.
        codes: level → the label's number for each value of level 0.
        share: level → for each label the part of the domain that it leaves open, 0 (one value) to 1 (any value):
            (values under the label − 1) / (all values − 1). Values are labels of the finest level that may be
            shown: those declared by the hierarchy, or those of the file where it declares none.
    """

    column: str
    least: int
    labels: tuple[pl.Series, ...]
    codes: tuple[Ints, ...]
    share: tuple[Floats, ...]

    @property
    def height(self) -> int:
        """The coarsest level."""
        return len(self.labels) - 1

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of labels of each level."""
        return tuple(len(labels) for labels in self.labels)

    def between(self, fine: int, coarse: int) -> Ints:
        """Return for each label number of one level the number of its label on a coarser one."""
        table = np.zeros(self.sizes[fine], dtype=np.int64)
        table[self.codes[fine]] = self.codes[coarse]
        return table


def numbered(column: pl.Series, hierarchy: Hierarchy) -> tuple[Ladder, Ints]:
    """Number a column's values; return its ladder and each row's number at level 0.

    Raises:
        ConfigurationError: WB-E-047 when a value is not in the hierarchy.
    """
    text = column.cast(pl.String)
    present = _in_order(text.unique())
    labels = hierarchy.labels(present, column.name)
    ordered = labels.with_row_index("place").sort([*reversed(labels.columns[1:]), "place"])
    place = np.empty(len(present), dtype=np.int64)
    place[ordered["place"].to_numpy()] = np.arange(len(present))
    levels = [ordered[name] for name in labels.columns]
    # On every level equal labels stand together, so a label's number is how often the label changed before.
    codes = tuple(_runs(level) for level in levels)
    firsts = [np.flatnonzero(np.diff(code, prepend=-1)) for code in codes]
    named = tuple(level.gather(first) for level, first in zip(levels, firsts, strict=True))
    share = _shares(hierarchy, codes, named, column.name)
    return Ladder(column.name, min(hierarchy.least, len(codes) - 1), named, codes, share), place[_places(text, present)]


def number_all(frame: pl.DataFrame, quasi: Mapping[str, Hierarchy]) -> tuple[list[Ladder], list[Ints]]:
    """Number every quasi-identifier of a frame; see ``numbered``."""
    pairs = [numbered(frame[name], hierarchy) for name, hierarchy in quasi.items()]
    return [ladder for ladder, _ in pairs], [rows for _, rows in pairs]


def _in_order(values: pl.Series) -> pl.Series:
    """Sort distinct values: numbers by size, whatever their type in the file, all else as text; null is the last."""
    sizes = values.cast(pl.Float64, strict=False)
    if sizes.null_count() > values.null_count():
        return values.sort(nulls_last=True)
    return values.gather(pl.DataFrame([sizes.alias("size"), values.alias("text")]).select(
        pl.arg_sort_by("size", "text", nulls_last=True)).to_series())


def _runs(labels: pl.Series) -> Ints:
    return (labels != labels.shift(1)).fill_null(False).cum_sum().cast(pl.Int64).to_numpy()


def _places(text: pl.Series, present: pl.Series) -> Ints:
    """Return each row's place among the distinct values, of which null is the last."""
    given = present.drop_nulls()
    physical = text.cast(pl.Enum(given)).to_physical().cast(pl.Int64)
    return physical.fill_null(len(given)).to_numpy()


def _shares(
    hierarchy: Hierarchy, codes: tuple[Ints, ...], named: tuple[pl.Series, ...], column: str
) -> tuple[Floats, ...]:
    least = min(hierarchy.least, hierarchy.height)
    if hierarchy.values is None:
        first = np.flatnonzero(np.diff(codes[least], prepend=-1))
        leaves = [np.bincount(code[first]) if level >= least else np.ones(int(code[-1]) + 1)
                  for level, code in enumerate(codes)]
        total = len(first)
    else:
        labels = hierarchy.labels(pl.Series(sorted(hierarchy.values), dtype=pl.String), column)
        leaves = []
        for level, names in enumerate(named):
            under = labels.group_by(str(level)).agg(pl.col(str(least)).n_unique().alias("n"))
            found = dict(under.iter_rows())
            # What is on no line of a hierarchy is a missing value, alone under its label.
            leaves.append(np.array([found.get(label, 1) for label in names]))
        total = labels[str(least)].n_unique()
    return tuple((np.maximum(leaf, 1) - 1) / max(1, total - 1) for leaf in leaves)
