"""One table of amounts, protected: the door behind ``wellbridge privacy protect --value``.

Amounts are whole numbers of a unit. A cell is sensitive by its contributions (``primary``); it is hidden, and so are
others, until its total could be as much more and as much less as the rules ask: for outsiders, and for every
contributor who is alone in a hidden cell and therefore knows it (``contributors``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from wellbridge.privacy.tables.contributors import NOBODY, settle
from wellbridge.privacy.tables.margins import ALL, Grid, crossed, grid
from wellbridge.privacy.tables.moves import Suppression, Task, unproved
from wellbridge.privacy.tables.primary import (
    ALONE,
    FACTS,
    TOP,
    MagnitudeRules,
    contributions,
    magnitude_task,
    sensitive_cells,
)
from wellbridge.privacy.tables.protection import LEAST_MIN_CELL, Dimension, named
from wellbridge.privacy.tables.sums import Ints, Sums
from wellbridge.privacy.tables.suppress import Effort, suppress
from wellbridge.schemas.errors import ConfigurationError, PrivacyError

# Sums of such amounts are exact in the solver's doubles.
_MOST: Final = 1 << 32


@dataclass(frozen=True)
class ProtectedAmounts:
    """A protected table of amounts.

    Attributes:
        table: the full cross in the order of its grid, the amount in whole units, null where hidden.
        cells: contributors and largest contributions of every cell, in the same order. Not for release.
        grid: the true totals. Not for release.
        task, found: what was asked, and the pattern with its proof. Not for release.
        alone: the number of each cell's only contributor, ``NOBODY`` for none. Not for release.
        attackers: contributors who are alone in a hidden cell.
        value, unit, rules: what was asked.
    """

    table: pl.DataFrame
    cells: pl.DataFrame
    grid: Grid
    task: Task
    found: Suppression
    alone: Ints
    attackers: int
    value: str
    unit: float
    rules: MagnitudeRules

    @property
    def primary(self) -> int:
        """Number of sensitive cells."""
        return int(self.task.hidden.sum())

    @property
    def secondary(self) -> int:
        """Number of cells hidden so that no sensitive cell follows."""
        return int((self.found.hidden & ~self.task.hidden).sum())

    @property
    def worst_dimension(self) -> str:
        """The dimension without which fewest cells would be sensitive."""
        return self.grid.worst_dimension(self.task.hidden.reshape(self.grid.counts.shape))


def protect_amounts(
    records: pl.DataFrame, *, by: Sequence[Dimension], value: str, contributor: str | None, rules: MagnitudeRules,
    unit: float = 1.0, effort: Effort | None = None,
) -> ProtectedAmounts:
    """Hide the sensitive cells of a table of amounts, and the fewest others without which they could be worked out.

    Args:
        records: one row for each contribution; or, without ``contributor``, the full cross with its margins, in whole
            units: ``value`` is the total, and ``contributors``, ``top_1`` … stand beside it. Who is alone in several
            cells is not known then: all of them are taken for one person.
        by: the crossed dimensions.
        value: column of amounts, from zero.
        contributor: column that names who contributed.
        rules: when a cell is sensitive.
        unit: what an amount of one unit is; contributions are rounded to it before they are added.
        effort: how long to look for the optimum.

    Raises:
        PrivacyError: WB-E-042 when a sensitive cell cannot be protected or nothing but the total could be shown,
            naming the dimension to drop; WB-E-044 when fewer than 3 contributors would do; WB-E-046 when amounts are
            negative, missing or too large, or margins do not add.
        ConfigurationError: WB-E-011 when the unit is no positive number; WB-E-015 when a column is missing.
    """
    if rules.least < LEAST_MIN_CELL:
        raise PrivacyError("WB-E-044", f"The minimum cell is below {LEAST_MIN_CELL}.", "setting min_cell")
    if not 0 < unit < float("inf"):
        raise ConfigurationError("WB-E-011", "A unit of amounts is a positive number.", "setting unit")
    names, hierarchies = named(by)
    full = (
        _from_records(records, by, value, contributor, rules, unit) if contributor else _from_cells(records, by, value)
    )
    shape = grid(full, dimensions=names, count=FACTS[1], hierarchies=hierarchies)
    cells = full[np.argsort(shape.place)]
    if cells[FACTS[1]].max() > _MOST:  # type: ignore[operator]  # whole numbers, and at least the total is there
        raise PrivacyError("WB-E-046", "An amount is too large; count in a greater unit.", f"column {value}")
    found = sensitive_cells(cells, rules)
    sums = Sums()
    shape.add_relations(sums, sums.add_cells(shape.counts).reshape(shape.counts.shape))
    task = magnitude_task(sums.values, sums.links, found)
    worst = shape.worst_dimension(task.hidden.reshape(shape.counts.shape))
    pattern = suppress(task, effort)
    bare = np.union1d(pattern.failed, unproved(task, pattern))
    alone = cells[ALONE].fill_null(NOBODY).to_numpy().astype(np.int64)
    settled = settle(task, pattern, alone, effort) if not len(bare) else None
    exposed = len(bare) if settled is None else len(np.union1d(settled.exposed, unproved(task, settled.found)))
    if settled is None or exposed:
        raise PrivacyError(
            "WB-E-042", f"{exposed} of {int(task.hidden.sum())} sensitive cells cannot be protected.",
            f"drop dimension {worst}",
        )
    inner = (shape.open_axes().ravel() > 0) & (task.values > 0)
    if inner.any() and settled.found.hidden[inner].all():
        raise PrivacyError("WB-E-042", "Nothing but the total could be shown.", f"drop dimension {worst}")
    hidden = pl.Series(settled.found.hidden)
    columns = [name for dimension in by for name in dimension.columns]
    amount = pl.when(hidden).then(None).otherwise(pl.col(FACTS[1])).cast(pl.Int64).alias(value)
    return ProtectedAmounts(
        cells.select(*columns, amount), cells, shape, task, settled.found, alone, settled.attackers, value, unit, rules
    )


def _from_records(
    records: pl.DataFrame, by: Sequence[Dimension], value: str, contributor: str, rules: MagnitudeRules, unit: float
) -> pl.DataFrame:
    names, hierarchies = named(by)
    columns = [name for dimension in by for name in dimension.columns]
    summed = contributions(records, by=by, value=value, contributor=contributor, unit=unit, top=rules.places)
    cross = crossed(records, dimensions=names, hierarchies=hierarchies).drop("n")
    full = cross.join(summed, on=columns, how="left", maintain_order="left")
    return full.with_columns(pl.exclude(*columns, ALONE).fill_null(0))


def _from_cells(cells: pl.DataFrame, by: Sequence[Dimension], value: str) -> pl.DataFrame:
    columns = [name for dimension in by for name in dimension.columns]
    if FACTS[0] not in cells.columns or TOP.format(1) not in cells.columns:
        raise ConfigurationError(
            "WB-E-015", "A table of amounts needs who contributed, or the contributions of every cell.",
            f"columns {FACTS[0]}, {TOP.format(1)} …",
            todo="Give --contributor COLUMN and one row for each contribution",
        )
    if not cells.select(pl.any_horizontal((pl.col(columns) == ALL).any())).item():
        raise PrivacyError(
            "WB-E-046", "Cells without their margins do not say who contributed to several of them.",
            f"dimensions {', '.join(columns)}", todo="Give all margins, or one row for each contribution",
        )
    # Nobody knows whether those who are alone are one person, so they are.
    one = pl.when(pl.col(FACTS[0]) == 1).then(0).cast(pl.Int64)
    return cells.rename({value: FACTS[1]}).with_columns(one.alias(ALONE))
