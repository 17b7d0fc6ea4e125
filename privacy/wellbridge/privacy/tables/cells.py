"""Count tables in which no small cell is shown and none can be worked out from the cells and margins that are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from wellbridge.privacy.tables.attacker import Published, attack
from wellbridge.privacy.tables.linked import Fact, LinkedTables, Need, Reason, tally, unbounded
from wellbridge.privacy.tables.margins import ALL, Grid, Hierarchies, grid
from wellbridge.privacy.tables.sums import UNBOUNDED, Ints, Sums
from wellbridge.schemas.errors import PrivacyError

ZeroRule = Literal["publish", "hide"]


@dataclass(frozen=True)
class Protected:
    """A protected count table.

    Attributes:
        table: the rows given, in their order; the count is null where hidden.
        reasons: the dimensions' columns and ``reason`` of each hidden cell. Internal: a reader of the release sees
            one symbol for all, since "small" alone says "less than the minimum cell".
        tally: hidden cells by reason.
        min_cell, need: what was asked.
    """

    table: pl.DataFrame
    reasons: pl.DataFrame
    tally: dict[str, int]
    min_cell: int
    need: Need


@dataclass(frozen=True)
class CountTable:
    """A count table that is part of a system of linked tables; ``name`` is its file's, where it has one."""

    table: pl.DataFrame
    dimensions: tuple[str, ...]
    columns: tuple[str, ...]
    count: str
    grid: Grid
    cells: Ints
    name: str = ""


def protect(
    table: pl.DataFrame, *, dimensions: Sequence[str], count: str = "n", min_cell: int = 10,
    hierarchies: Hierarchies | None = None, need: Need = Need.STRONG, zero_rule: ZeroRule = "publish",
) -> Protected:
    """Hide small cells, and the cells that would give them away.

    Args:
        table: the full cross with subtotals and totals, see ``margins.crossed``; counts of persons.
        dimensions: the crossed columns.
        count: the column of counts.
        min_cell: smallest count that may be shown (persons).
        hierarchies: for a dimension, its coarser columns in order.
        need: how uncertain a small cell must stay.
        zero_rule: whether a zero is shown; ``hide`` where an empty cell says something about a child.

    Returns:
        The same rows in the same order, the count null where hidden.

    Raises:
        PrivacyError: WB-E-042 when a cell cannot be protected, naming the dimension to drop; WB-E-044 when
            ``min_cell`` is below the floor; WB-E-046 when the table does not add up.

    Source: 34 CFR 99.31(b)(1); PTAC, FAQ Disclosure Avoidance (2012): complementary suppression is needed because
    "the suppressed numbers can often be derived".
    """
    linked = LinkedTables(min_cell=min_cell, need=need)
    added = add_counts(linked, table, dimensions, count, hierarchies, zero_rule)
    settle_counts(linked, [added])
    return counts_result(linked, added)


def add_counts(
    linked: LinkedTables, table: pl.DataFrame, dimensions: Sequence[str], count: str,
    hierarchies: Hierarchies | None = None, zero_rule: ZeroRule = "publish",
) -> CountTable:
    """Add a count table to a system of linked tables; see ``protect``."""
    found = grid(table, dimensions=dimensions, count=count, hierarchies=hierarchies)
    counts, open_axes = found.counts.ravel(), found.open_axes().ravel()
    many = len(dimensions) > 1
    cells = linked.add(counts, Fact(
        reason=_reasons(counts, linked.min_cell, zero_rule),
        virtual=np.zeros(len(counts), dtype=np.bool_),
        margin=(open_axes == 1) if many else np.zeros(len(counts), dtype=np.bool_),
        fixed=(open_axes == 0) & (counts >= linked.min_cell),
        # Readers miss a wide total more than a single cell, and a large group more than a small one.
        cost=(1 + np.log1p(counts)) * 4.0 ** (len(dimensions) - open_axes),
        upper=unbounded(len(counts)),
    )).reshape(found.counts.shape)
    found.add_relations(linked.sums, cells)
    _remember_breakdowns(linked, found, cells)
    columns = tuple(name for axis in found.axes for name in axis.columns)
    return CountTable(table, tuple(dimensions), columns, count, found, cells)


def settle_counts(linked: LinkedTables, tables: Sequence[CountTable]) -> None:
    """Settle a system with count tables, naming the table and the dimension to drop when that fails.

    Raises:
        PrivacyError: WB-E-042, also when nothing but the grand total would be left of a table.
    """
    failed = ""
    try:
        linked.settle()
    except PrivacyError as error:
        failed = error.what
    if failed:
        blamed = linked.to_blame()
        own = [table for table in tables if blamed[table.cells].any()]
        raise PrivacyError("WB-E-042", failed, "; ".join(_advice(table, linked) for table in own or tables))
    for table in tables:
        inner = (table.grid.open_axes() > 0) & (table.grid.counts > 0)
        if inner.any() and linked.hidden[table.cells[inner]].all():
            raise PrivacyError("WB-E-042", "Nothing but the total could be shown.", _advice(table, linked))


def counts_result(linked: LinkedTables, table: CountTable) -> Protected:
    """Return one table of a settled system."""
    cells = table.cells.ravel()[table.grid.place]
    hidden = pl.Series("_hidden", linked.hidden[cells])
    shown = table.table.with_columns(
        pl.when(hidden).then(None).otherwise(pl.col(table.count).cast(pl.Int64)).alias(table.count)
    )
    reason = pl.Series("reason", [str(linked.reason[int(cell)]) for cell in cells], pl.String)
    reasons = table.table.select(table.columns).with_columns(reason).filter(hidden)
    return Protected(shown, reasons, tally(reason), linked.min_cell, linked.need)


def ranges(
    table: pl.DataFrame, *, dimensions: Sequence[str], count: str = "n", hierarchies: Hierarchies | None = None
) -> pl.DataFrame:
    """Attack a published count table: the least and greatest possible count of each hidden cell.

    Args:
        table: the full cross as published, the count null where hidden.

    Returns:
        The rows with hidden counts, with ``least`` and ``greatest``; ``greatest`` is null where nothing bounds it.
        Both hold for an attacker who knows that counts are whole.
    """
    zeros = table.with_columns(pl.lit(0).alias(count))
    shape = grid(zeros, dimensions=dimensions, count=count, hierarchies=hierarchies)
    sums = Sums()
    cells = sums.add_cells(shape.counts).reshape(shape.counts.shape)
    shape.add_relations(sums, cells)
    shown = np.zeros(len(sums), dtype=np.int64)
    shown[shape.place] = table[count].fill_null(0).cast(pl.Int64).to_numpy()
    hidden = np.zeros(len(sums), dtype=np.bool_)
    hidden[shape.place] = table[count].is_null().to_numpy()
    found = attack(Published(shown, hidden, np.zeros_like(shown), unbounded(len(shown)), sums.links), hidden)
    greatest = pl.Series("greatest", found.greatest[shape.place])
    return table.with_columns(
        pl.Series("least", found.least[shape.place]),
        pl.when(greatest >= UNBOUNDED).then(None).otherwise(greatest).alias("greatest"),
    ).filter(pl.col(count).is_null()).drop(count)


def _advice(table: CountTable, linked: LinkedTables) -> str:
    small = np.array([reason is not Reason.SHOWN for reason in linked.reason], dtype=np.bool_)
    drop = f"drop dimension {table.grid.worst_dimension(small[table.cells])}"
    return f"file {table.name} · {drop}" if table.name else drop


def _reasons(counts: Ints, min_cell: int, zero_rule: ZeroRule) -> list[Reason]:
    def of(count: int) -> Reason:
        if count == 0:
            return Reason.ZERO if zero_rule == "hide" else Reason.SHOWN
        return Reason.SMALL if count < min_cell else Reason.SHOWN

    return [of(int(count)) for count in counts]


def _remember_breakdowns(linked: LinkedTables, found: Grid, cells: Ints) -> None:
    """Keep the one-way breakdowns, so that another table with the same numbers shares their cells."""
    totals = [axis.total for axis in found.axes]
    for number, axis in enumerate(found.axes):
        where: list[int | slice] = list(totals)
        where[number] = slice(None)
        counts, numbers = found.counts[tuple(where)], cells[tuple(where)]
        members = axis.nodes[axis.columns[0]].to_list()
        named = sorted((m, int(n), int(c)) for m, n, c in zip(members, counts, numbers, strict=True) if m != ALL and n)
        key = (axis.columns[0], tuple((member, count) for member, count, _ in named))
        linked.known.setdefault(key, np.array([cell for _, _, cell in named], dtype=np.int64))
        linked.heads.update({(axis.columns[0], str(member)): cell for member, _, cell in named})
    linked.known.setdefault((ALL, int(found.counts[tuple(totals)])), np.array([int(cells[tuple(totals)])]))
