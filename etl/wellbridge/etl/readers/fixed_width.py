"""Reads fixed-width records by their columns' positions, as survey and vital-statistics files come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from wellbridge.etl.readers.record_frames import Chunks, Framing
from wellbridge.etl.readers.record_scan import FINE, RAGGED, UNDECODABLE, Marks, Records, Scanner
from wellbridge.etl.readers.text_source import open_text
from wellbridge.etl.reading import CHUNK_ROWS

# Lines are records of one field: the separator is NUL, which no text file may hold.
_LINES: Final = Marks(separator=0, quote=None, escape=None)


def read_fixed_width(
    path: Path,
    *,
    name: str,
    fields: Mapping[str, tuple[int, int]],
    width: int = 0,
    chunk_rows: int = CHUNK_ROWS,
) -> Chunks:
    """Yield the file's lines as text columns.

    Args:
        path: the file.
        name: what ``_file`` shall say.
        fields: column name → first and last position, 1-based and inclusive, in any order, gaps allowed.
        width: shortest line that is whole; never less than the last position of a field.
        chunk_rows: most records in a chunk.

    Yields:
        (rows, held): rows have the fields as String columns, blanks around them stripped and blank ones null,
        ``_file`` and ``_row`` (1-based line). Lines that are too short are held under WB-R-001, lines with a
        byte above 127 under WB-R-002 (positions count bytes), others that cannot be read under WB-R-003.

    Raises:
        Refused: WB-D-001 (no lines) or WB-D-004 (not text).
    """
    needed = max(width, *(last for _, last in fields.values()))
    with open_text(path, name) as pieces:
        framing = Framing(name, 1, lambda data: _cells(data, fields), _cells(b"", fields))
        yield from framing.chunks(_checked(Scanner(_LINES, 1).scan(pieces), needed), chunk_rows)


def _checked(scanned: Iterable[Records], needed: int) -> Iterator[Records]:
    for records in scanned:
        array = np.frombuffer(records.data, np.uint8)
        starts = np.concatenate(([0], records.ends[:-1]))
        is_crlf = (records.ends - starts > 1) & (array[np.maximum(records.ends - 2, 0)] == ord("\r"))
        faults = records.faults.copy()
        faults[(faults == FINE) & (records.ends - starts - 1 - is_crlf < needed)] = RAGGED
        if not records.data.isascii():
            foreign = np.searchsorted(records.ends, np.flatnonzero(array > 127), side="right")
            faults[np.unique(foreign)] = UNDECODABLE
        yield replace(records, faults=faults)


def _cells(data: bytes, fields: Mapping[str, tuple[int, int]]) -> pl.DataFrame:
    lines = pl.read_lines(BytesIO(data)) if data else pl.DataFrame(schema={"line": pl.String})
    texts = (
        pl.col("line").str.slice(first - 1, last - first + 1).str.strip_chars(" \t\r").alias(name)
        for name, (first, last) in fields.items()
    )
    return lines.select(texts).with_columns(pl.when(pl.all() != "").then(pl.all()))
