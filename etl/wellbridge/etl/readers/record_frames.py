"""Turns scanned records into frames of rows and of held rows, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from wellbridge.etl.readers.record_scan import FINE, RULES, Faults, Records
from wellbridge.etl.reading import HELD_SCHEMA
from wellbridge.schemas.errors import SafeError

Chunks = Iterator[tuple[pl.DataFrame, pl.DataFrame]]

_CHUNK_BYTES: Final = 1 << 26  # wide records come in smaller chunks


@dataclass(frozen=True)
class Framing:
    """How the records of one file become rows.

    Attributes:
        name: what ``_file`` says.
        first_row: number of the first record.
        parse: bytes of sound records, at least one → a frame of String columns, one row a record.
        empty: what ``parse`` would give for none.
    """

    name: str
    first_row: int
    parse: Callable[[bytes], pl.DataFrame]
    empty: pl.DataFrame

    def chunks(self, scanned: Iterable[Records], chunk_rows: int) -> Chunks:
        """Yield (rows, held) of at most ``chunk_rows`` records; one empty pair when there are no records."""
        batch: list[Records] = []
        row, count, size = self.first_row, 0, 0
        for records in scanned:
            if batch and (count + len(records) > chunk_rows or size + len(records.data) > _CHUNK_BYTES):
                yield from self._slices(batch, row, chunk_rows)
                row, count, size, batch = row + count, 0, 0, []
            batch.append(records)
            count, size = count + len(records), size + len(records.data)
        if count or row == self.first_row:
            yield from self._slices(batch, row, chunk_rows)

    def _slices(self, batch: Sequence[Records], row: int, chunk_rows: int) -> Chunks:
        faults = np.concatenate([records.faults for records in batch]) if batch else np.empty(0, np.uint8)
        rows = self._rows(batch, faults, row)
        held = self._held(faults, row)
        if faults.size <= chunk_rows:
            yield rows, held
            return
        for start in range(row, row + faults.size, chunk_rows):
            here = pl.col("_row").is_between(start, start + chunk_rows - 1)
            yield rows.filter(here), held.filter(here)

    def _rows(self, batch: Sequence[Records], faults: Faults, row: int) -> pl.DataFrame:
        numbers = row + np.flatnonzero(faults == FINE)
        cells: pl.DataFrame | None = self.empty
        if numbers.size:
            data = b"".join(records.fine() for records in batch)
            cells = None
            # A parser's message would quote the text: nothing of its exception travels on.
            with suppress(pl.exceptions.PolarsError):
                cells = self.parse(data)
        if cells is None or cells.height != numbers.size:  # else a row could get another row's cells
            raise SafeError("WB-E-001", "A file's records were counted and parsed differently.", self.name)
        return cells.with_columns(pl.lit(self.name).alias("_file"), pl.Series("_row", numbers, pl.Int64))

    def _held(self, faults: Faults, row: int) -> pl.DataFrame:
        bad = np.flatnonzero(faults)
        rules = pl.Series(faults[bad]).replace_strict(RULES, return_dtype=pl.String)
        held = pl.DataFrame({"_row": row + bad, "rule": rules}, schema={"_row": pl.Int64, "rule": pl.String})
        return held.with_columns(
            pl.lit(self.name).alias("_file"), pl.lit(None, pl.String).alias("column")
        ).select(list(HELD_SCHEMA))
