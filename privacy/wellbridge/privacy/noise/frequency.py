"""A table of counts with all its margins, as every method of this package needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from wellbridge.privacy.noise.private import Mechanism
from wellbridge.privacy.noise.rounding import Rounded, controlled_rounding
from wellbridge.privacy.tables.margins import ALL, Grid, crossed, grid
from wellbridge.privacy.tables.protection import Dimension, check_counts
from wellbridge.privacy.tables.sums import Ints, Sums


@dataclass(frozen=True)
class FrequencyTable:
    """A table of counts.

    Attributes:
        frame: the full cross in the order of its grid: the columns of ``by`` and ``count``.
        grid: its counts in the shape of the cross.
        by: the crossed dimensions.
        count: the column of counts.
    """

    frame: pl.DataFrame
    grid: Grid
    by: tuple[Dimension, ...]
    count: str

    @classmethod
    def of(cls, table: pl.DataFrame, *, by: Sequence[Dimension], count: str) -> FrequencyTable:
        """Add the margins to inner cells, or check those that are there; ``all`` stands for a sum.

        Raises:
            PrivacyError: WB-E-046 when a count is negative, not whole, missing or too large, or margins do not add.
        """
        check_counts(table[count])
        names = [dimension.columns[0] for dimension in by]
        coarser = {dimension.columns[0]: dimension.columns[1:] for dimension in by}
        columns = [name for dimension in by for name in dimension.columns]
        full = table.select(*columns, pl.col(count).cast(pl.Int64))
        if not full.select(pl.any_horizontal((pl.col(columns) == ALL).any())).item():
            full = crossed(full, dimensions=names, count=count, hierarchies=coarser).rename({"n": count})
        found = grid(full, dimensions=names, count=count, hierarchies=coarser)
        return cls(full[np.argsort(found.place)], found, tuple(by), count)

    @property
    def margin_sets(self) -> int:
        """In how many cells of the table a person is who is in one of the inner cells."""
        return int(np.prod([len(dimension.columns) + 1 for dimension in self.by]))

    def inner(self) -> pl.DataFrame:
        """Return the rows that are no sums."""
        columns = [name for dimension in self.by for name in dimension.columns]
        return self.frame.filter(~pl.any_horizontal(pl.col(columns) == ALL))

    def showing(self, counts: Ints) -> pl.DataFrame:
        """Return the table with other counts in their place."""
        return self.frame.with_columns(pl.Series(self.count, counts))

    def rounded(self, base: int) -> tuple[pl.DataFrame, Rounded]:
        """Round to multiples of ``base`` that add up; see ``controlled_rounding``."""
        sums = Sums()
        self.grid.add_relations(sums, sums.add_cells(self.grid.counts).reshape(self.grid.counts.shape))
        found = controlled_rounding(sums.values, sums.links, base=base)
        return self.showing(found.values), found

    def noised(self, how: Mechanism) -> pl.DataFrame:
        """Draw noise for every cell, zeros included; the loss must have been checked."""
        return self.showing(how.draw(self.grid.counts.ravel()))
