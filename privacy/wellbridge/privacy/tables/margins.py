"""Count tables with their margins: the full cross of all dimensions, subtotals of hierarchies and totals included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np
import polars as pl

from wellbridge.privacy.tables.sums import Bools, Ints, Sums
from wellbridge.schemas.errors import PrivacyError

ALL: Final = "all"  # the member that stands for the sum of all others
NOT_REPORTED: Final = "not reported"

Hierarchies = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Axis:
    """One dimension with its subtotals.

    Attributes:
        columns: the dimension's columns, finest first: ``("school_id", "district")``.
        nodes: one row for each node, members first, then each coarser level, the total last.
        parent: number of each node's parent; −1 for the total.
    """

    columns: tuple[str, ...]
    nodes: pl.DataFrame
    parent: Ints

    @property
    def total(self) -> int:
        """The number of the node that stands for all."""
        return self.nodes.height - 1

    def children(self, node: int) -> Ints:
        """Return the nodes that add up to a node; none for a member."""
        return np.flatnonzero(self.parent == node)


@dataclass(frozen=True)
class Grid:
    """A table's cells by their place in the cross of its axes.

    Attributes:
        axes: one for each dimension.
        place: for each row of the table, the flat place of its cell.
        counts: the counts in the shape of the axes.
    """

    axes: tuple[Axis, ...]
    place: Ints
    counts: Ints

    def open_axes(self) -> Ints:
        """Return for each cell how many axes are not at their total: 0 for the grand total."""
        parts = [(np.arange(axis.nodes.height) != axis.total).astype(np.int64) for axis in self.axes]
        summed: Ints = reduce(np.add.outer, parts)
        return summed.reshape(self.counts.shape)

    def worst_dimension(self, small: Bools) -> str:
        """Return the dimension without which fewest cells would be small; ``small`` in the grid's shape."""
        left = [int(np.take(small, axis.total, axis=number).sum()) for number, axis in enumerate(self.axes)]
        return self.axes[int(np.argmin(left))].columns[0]

    def add_relations(self, sums: Sums, cells: Ints) -> None:
        """Add every sum of the table; ``cells`` holds the cells' numbers in the grid's shape."""
        for number, axis in enumerate(self.axes):
            for node in range(axis.nodes.height):
                parts = axis.children(node)
                if len(parts):
                    block = np.take(cells, parts, axis=number)
                    totals = np.take(cells, node, axis=number).ravel()
                    sums.add_relations(totals, np.moveaxis(block, number, -1).reshape(-1, len(parts)))


def crossed(
    rows: pl.DataFrame, *, dimensions: Sequence[str], count: str | None = None, hierarchies: Hierarchies | None = None
) -> pl.DataFrame:
    """Count rows by the full cross of the dimensions, zeros, subtotals and totals included.

    Args:
        rows: one row for each person, or for each group with its size in ``count``.
        dimensions: the columns to cross; missing members count as ``not reported``.
        count: column with the size of a group; None where every row is one person.
        hierarchies: for a dimension, its coarser columns in order: ``{"school_id": ["district"]}``.

    Returns:
        The dimensions' columns as text, ``all`` where summed over, and ``n``.

    Raises:
        PrivacyError: WB-E-046 when a member has two parents or none, or is called ``all``.
    """
    groups = [_columns(name, hierarchies) for name in dimensions]
    names = [name for group in groups for name in group]
    size = pl.col(count).cast(pl.Int64).sum() if count else pl.len().cast(pl.Int64)
    text = pl.col(names).cast(pl.String).fill_null(NOT_REPORTED)
    inner = rows.with_columns(text).group_by(names).agg(size.alias("n"))
    axes = [_axis(inner, group) for group in groups]
    counted = reduce(_rolled_up, axes, inner)
    full = reduce(lambda left, right: left.join(right, how="cross"), [axis.nodes for axis in axes])
    return full.join(counted, on=names, how="left", maintain_order="left").with_columns(pl.col("n").fill_null(0))


def grid(
    table: pl.DataFrame, *, dimensions: Sequence[str], count: str, hierarchies: Hierarchies | None = None
) -> Grid:
    """Find each row's place in the full cross and check that the table adds up.

    Raises:
        PrivacyError: WB-E-046 when it does not: a missing or repeated combination, a count that is negative, not
            whole or missing, a margin that is no sum.
    """
    axes = tuple(_axis(table.filter(pl.col(name) != ALL), _columns(name, hierarchies)) for name in dimensions)
    shape = tuple(axis.nodes.height for axis in axes)
    place = np.zeros(table.height, dtype=np.int64)
    for axis in axes:
        place = place * axis.nodes.height + _node_numbers(table, axis)
    if table.height != int(np.prod(shape)) or len(np.unique(place)) != table.height:
        raise _broken("A table lacks combinations of its dimensions or repeats some.", dimensions)
    counts = np.zeros(table.height, dtype=np.int64)
    counts[place] = _whole(table[count], dimensions)
    found = Grid(axes, place, counts.reshape(shape))
    sums = Sums()
    found.add_relations(sums, sums.add_cells(counts).reshape(shape))
    if sums.links.residuals(counts).any():
        raise _broken("The margins of a table are not the sums of its cells.", dimensions)
    return found


def _columns(name: str, hierarchies: Hierarchies | None) -> tuple[str, ...]:
    return (name, *(hierarchies or {}).get(name, ()))


def _broken(what: str, names: Sequence[str]) -> PrivacyError:
    return PrivacyError("WB-E-046", what, f"dimensions {', '.join(names)}")


def _axis(inner: pl.DataFrame, columns: tuple[str, ...]) -> Axis:
    levels = [inner.select(columns).unique().sort(reversed(columns), nulls_last=True)]
    if levels[0][columns[0]].n_unique() != levels[0].height or sum(levels[0].null_count().row(0)):
        raise _broken("A member of a hierarchy has no parent or several.", columns)
    if any((levels[0][name] == ALL).any() for name in columns):
        raise _broken(f'A member is called "{ALL}", which stands for the sum.', columns)
    for depth in range(1, len(columns) + 1):
        closed = [pl.lit(ALL).alias(name) for name in columns[:depth]]
        levels.append(levels[0].with_columns(closed).unique(maintain_order=True))
    if any(level.height != level[columns[depth]].n_unique() for depth, level in enumerate(levels[1:-1], start=1)):
        raise _broken("A member of a hierarchy has no parent or several.", columns)
    nodes = pl.concat(levels)
    return Axis(columns, nodes, _parents(levels, columns))


def _parents(levels: Sequence[pl.DataFrame], columns: tuple[str, ...]) -> Ints:
    starts = np.cumsum([0, *(level.height for level in levels)])
    parents = []
    for depth, level in enumerate(levels[:-1]):
        above = levels[depth + 1].with_row_index("_parent")
        lifted = level.with_columns(pl.lit(ALL).alias(columns[depth]))
        found = lifted.join(above, on=columns, how="left", maintain_order="left")["_parent"].to_numpy()
        parents.append(found.astype(np.int64) + starts[depth + 1])
    return np.concatenate([*parents, np.array([-1], dtype=np.int64)])


def _rolled_up(counted: pl.DataFrame, axis: Axis) -> pl.DataFrame:
    """Add to a table the rows summed over one axis, level by level."""
    names = [name for name in counted.columns if name != "n"]
    out = [counted]
    for depth in range(1, len(axis.columns) + 1):
        closed = [pl.lit(ALL).alias(name) for name in axis.columns[:depth]]
        out.append(counted.with_columns(closed).group_by(names).agg(pl.col("n").sum()).select(counted.columns))
    return pl.concat(out)


def _node_numbers(table: pl.DataFrame, axis: Axis) -> Ints:
    numbered = axis.nodes.with_row_index("_node")
    found = table.select(axis.columns).join(numbered, on=axis.columns, how="left", maintain_order="left")["_node"]
    if found.null_count():
        raise _broken("A table has rows at no node of its hierarchy.", axis.columns)
    return found.to_numpy().astype(np.int64)


def _whole(counts: pl.Series, names: Sequence[str]) -> Ints:
    if counts.null_count() or not counts.dtype.is_numeric():
        raise _broken("A count is missing or no number.", names)
    whole = counts.cast(pl.Float64)
    if bool(((whole < 0) | (whole != whole.round(0))).any()):
        raise _broken("A count is negative or not whole.", names)
    return counts.cast(pl.Int64).to_numpy()
