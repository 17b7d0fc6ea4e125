"""Record files on disk: any CSV or Parquet in, a private file out, whole or not at all."""

from __future__ import annotations

import csv
import gzip
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from wellbridge.privacy.formula import DANGEROUS, PREFIX, neutralise
from wellbridge.privacy.seal import wrote_whole
from wellbridge.schemas.errors import ConfigurationError, SourceError

_DELIMITERS: Final = (",", ";", "\t", "|")
_PARQUET: Final = b"PAR1"
_GZIP: Final = b"\x1f\x8b"
_HEADER_BYTES: Final = 1 << 16
# What no column is called: a date, a time, or a number of five digits or more. Such a first line is a record.
_NO_NAME: Final = r"\d{5,}|\d{1,4}[/.-]\d{1,2}[/.-]\d{1,4}.*|\d{1,2}:\d\d.*"


@dataclass(frozen=True)
class RecordFile:
    """A file that was read.

    Attributes:
        name: its name without folder.
        frame: its rows; of a CSV all columns are text.
        delimiter: of a CSV; a comma for Parquet.
        blank: lines without any value, which are no records: as persons they would make a class look larger.
    """

    name: str
    frame: pl.DataFrame
    delimiter: str
    blank: int


def read_records(path: Path) -> RecordFile:
    """Read a CSV with a header line, its delimiter found there, gzipped or not, or a Parquet file.

    Raises:
        SourceError: WB-E-023 when it is missing, empty, or no such file.
    """
    head = _head(path)
    if head is None:
        raise _unreadable("There is no such file, or it cannot be opened.", path)
    if not head:
        raise _unreadable("The file is empty.", path)
    delimiter = ","
    if not head.startswith(_PARQUET):
        delimiter = _delimiter(head, path)
    frame = None
    try:
        if head.startswith(_PARQUET):
            frame = pl.read_parquet(path)
        else:
            frame = pl.read_csv(path, separator=delimiter, infer_schema=False, raise_if_empty=False)
    except (pl.exceptions.PolarsError, OSError, UnicodeError):
        frame = None  # what polars says may quote a cell
    if frame is None:
        raise _unreadable("The file is no table: lines of different length, broken quotes, or not UTF-8.", path)
    nested = [name for name, kind in frame.schema.items() if kind.is_nested() or kind in {pl.Binary, pl.Object}]
    if nested:
        raise _unreadable(f"{len(nested)} column(s) hold lists, structures or bytes: {', '.join(nested[:5])}.", path)
    records = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    if not records.height:
        raise _unreadable("The file has a header but no record.", path)
    return RecordFile(path.name, records, delimiter, frame.height - records.height)


def write_records(frame: pl.DataFrame, path: Path, *, delimiter: str = ",") -> dict[str, int]:
    """Write a released file, readable by its owner alone, in place of an earlier one only when it is whole.

    Cells that a spreadsheet would run are made harmless (``formula``), in Parquet too, which ends up in one as well.

    Returns:
        How many cells of which column were made harmless.

    Raises:
        ConfigurationError: WB-E-011 when there is no such folder, or it cannot be written to.
    """
    harmless, changed = neutralise(frame)
    harmless = harmless.rename({name: PREFIX + name for name in frame.columns if re.search(DANGEROUS, name)})
    is_parquet = path.suffix == ".parquet"
    write = harmless.write_parquet if is_parquet else partial(harmless.write_csv, separator=delimiter)
    if not wrote_whole(path, write):
        raise ConfigurationError("WB-E-011", "The file cannot be written: no such folder, no right to, or no room.",
                                 f"--out {path.name}", todo="Name a folder that exists and may be written to")
    return changed


def _head(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
        if not head.startswith(_GZIP):
            return head
        with gzip.open(path) as file:
            return file.read(_HEADER_BYTES)
    except (OSError, EOFError):
        return None


def _delimiter(head: bytes, path: Path) -> str:
    line = head.removeprefix(b"\xef\xbb\xbf").splitlines()[0] if head.strip() else b""
    text = None
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        text = None
    if not text or "\x00" in text:
        raise _unreadable("The file has no header line in UTF-8.", path)
    cells = {mark: next(csv.reader([text], delimiter=mark), []) for mark in _DELIMITERS}
    delimiter = max(_DELIMITERS, key=lambda mark: len(cells[mark]))
    names = cells[delimiter]
    if len(set(names)) < len(names) or not all(name.strip() for name in names):
        raise _unreadable("Two columns of the header have the same name, or one has none.", path)
    if any(re.fullmatch(_NO_NAME, name.strip()) for name in names):
        raise _unreadable("The first line is no header: a record's dates or numbers stand in it.", path)
    return delimiter


def _unreadable(what: str, path: Path) -> SourceError:
    return SourceError("WB-E-023", what, f"file {path.name}")
