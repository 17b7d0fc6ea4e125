"""Small random tables, and how they are protected in tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.protection import Dimension, ProtectedTable, protect
from wellbridge.privacy.tables.suppress import Effort
from wellbridge.schemas.errors import PrivacyError

NAMES = ("school", "district", "race", "sex")


@dataclass(frozen=True)
class Sample:
    """A random table.

    Attributes:
        rows: one row for each inner cell, ``n`` its count.
        by: the dimensions, each with its columns, finest first.
        min_cell, need: how it is to be protected.
    """

    rows: pl.DataFrame
    by: tuple[tuple[str, ...], ...]
    min_cell: int
    need: Need

    @property
    def columns(self) -> list[str]:
        return [name for columns in self.by for name in columns]

    @property
    def dimensions(self) -> list[Dimension]:
        return [Dimension(columns) for columns in self.by]

    def protected(self, effort: Effort | None = None, rows: pl.DataFrame | None = None) -> ProtectedTable | None:
        """Protect the table, or other rows of its shape; None where the release is refused."""
        refusal = ""
        try:
            return protect(
                self.rows if rows is None else rows, by=self.dimensions, count="n", min_cell=self.min_cell,
                need=self.need, effort=effort,
            )
        except PrivacyError as error:
            refusal = error.code
        assert refusal == "WB-E-042"
        return None


def sample(seed: int) -> Sample:
    """Return a table of two or three dimensions, every second pair with a hierarchy, every second four strong."""
    draw = np.random.default_rng(seed)
    is_cube, has_districts = bool(seed % 2), seed % 4 > 1
    schools, races, sexes = int(draw.integers(2, 5)), int(draw.integers(2, 4 if is_cube else 6)), 2 if is_cube else 1
    rows = [
        (f"S{s}", f"D{s % 2}", f"R{r}", f"X{x}", int(n))
        for s in range(schools) for r in range(races) for x in range(sexes)
        for n in [draw.choice([0, draw.integers(1, 10), draw.integers(10, 60)], p=[0.15, 0.3, 0.55])]
    ]
    by = [("school", "district") if has_districts else ("school",), ("race",)] + ([("sex",)] if is_cube else [])
    table = pl.DataFrame(rows, schema={**dict.fromkeys(NAMES, pl.String), "n": pl.Int64}, orient="row")
    need = Need.STRONG if seed // 4 % 2 else Need.WEAK
    return Sample(table, tuple(by), 5 if seed % 5 == 4 else 10, need)
