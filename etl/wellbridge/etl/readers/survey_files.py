"""Reads SPSS (SAV, ZSAV) and SAS transport (XPT) files as text, the codes as they are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from wellbridge.etl.readers.record_frames import Chunks
from wellbridge.etl.reading import HELD_SCHEMA, Deferred, Refused

_SPSS_MARKS: Final = (b"$FL2", b"$FL3")
_XPORT_MARK: Final = b"HEADER RECORD*******"
_XPORT_BLOCK: Final = 80  # bytes; every transport file is whole blocks (SAS TS-140)
_CHUNK_ROWS: Final = 50_000

Reader = Callable[..., tuple[pl.DataFrame, Any]]


def read_survey_file(
    path: Path, *, name: str, columns: Sequence[str], chunk_rows: int = _CHUNK_ROWS
) -> Chunks:
    """Yield the file's records as text columns.

    Args:
        path: the file; what it is is told by its first bytes.
        name: what ``_file`` shall say.
        columns: variables to return, matched without regard to case; the file may have others.
        chunk_rows: most records in a chunk.

    Yields:
        (rows, held): rows have ``columns`` as String (whole numbers without a point, dates ISO, missing or
        blank: null), ``_file`` and ``_row`` (1-based record); held is always empty, since these formats have
        no bad rows.

    Raises:
            file cut between blocks, cannot be told from a damaged or shorter one: they need a sidecar.
        Deferred: WB-D-002 when a transport file ends inside a block. A SAV file cut short, and a transport
            file cut between blocks, cannot be told from a damaged or shorter one: such files need a sidecar.
    """
    reader = _reader(path, name)
    found = _variables(reader, path, name)
    missing = [column for column in columns if column.lower() not in found]
    if missing:
        raise Refused("WB-D-003", name, missing)
    stored = [found[column.lower()] for column in columns]
    held = pl.DataFrame(schema=HELD_SCHEMA)
    row = 1
    for frame in _frames(reader, path, name, stored, chunk_rows):
        texts = [_text(frame[theirs]).alias(ours) for theirs, ours in zip(stored, columns, strict=True)]
        numbers = pl.int_range(row, row + frame.height, eager=True, dtype=pl.Int64).alias("_row")
        yield pl.DataFrame(texts).with_columns(pl.lit(name).alias("_file"), numbers), held
        row += frame.height


def _reader(path: Path, name: str) -> Reader:
    import pyreadstat  # noqa: PLC0415 - 1 s of imports that only these files need

    with path.open("rb") as handle:
        start = handle.read(len(_XPORT_MARK))
    if not start:
        raise Refused("WB-D-001", name)
    if start.startswith(_SPSS_MARKS):
        return pyreadstat.read_sav
    if start != _XPORT_MARK:
        raise Refused("WB-D-007", name)
    if path.stat().st_size % _XPORT_BLOCK:
        raise Deferred("WB-D-002", name)
    return pyreadstat.read_xport


def _variables(reader: Reader, path: Path, name: str) -> dict[str, str]:
    """Return the file's variables by their names in small letters."""
    _, meta = _called(reader, path, name, metadataonly=True)
    return {variable.lower(): variable for variable in meta.column_names}


def _frames(
    reader: Reader, path: Path, name: str, columns: Sequence[str], chunk_rows: int
) -> Iterator[pl.DataFrame]:
    """Yield frames until one is short; one empty frame where there are no records."""
    offset = 0
    while True:
        frame, _ = _called(reader, path, name, usecols=list(dict.fromkeys(columns)), row_offset=offset,
                           row_limit=chunk_rows, output_format="polars")
        if frame.height or not offset:
            yield frame
        offset += frame.height
        if frame.height < chunk_rows:
            return


def _called(reader: Reader, path: Path, name: str, **options: Any) -> tuple[Any, Any]:
    """Call the library; whatever it raises says no more than that the file cannot be read."""
    result = None
    try:
        result = reader(path, **options)
    except Exception:  # the library raises its own, pandas' and Python's; all may quote the file
        result = None
    if result is None:
        raise Refused("WB-D-007", name)
    return result


def _text(series: pl.Series) -> pl.Series:
    if series.dtype.is_float():
        is_whole = (series == series.floor()) & (series.abs() < 2**53)
        whole = series.cast(pl.Int64, strict=False).cast(pl.String)
        series = whole.zip_with(is_whole.fill_null(False), series.fill_nan(None).cast(pl.String))
    text = series.cast(pl.String).str.strip_chars()
    return text.set(text == "", None)
