"""Reads delimited text (CSV, TSV) under one declared dialect into text rows; nothing is sniffed."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import polars as pl

from wellbridge.etl.readers.record_scan import (
    FINE,
    MAX_RECORD,
    RULES,
    Faults,
    Grammar,
    Marks,
    Positions,
    Records,
    Scanner,
)
from wellbridge.etl.reading import CHUNK_ROWS, HELD_SCHEMA, Refused
from wellbridge.schemas.errors import ConfigurationError, SafeError

MAX_COLUMNS: Final = 10_000
MAX_NAME: Final = 128  # characters of a header that may be named in a message

_PIECE: Final = 1 << 20  # bytes read at once; larger pieces fall out of the processor's cache
_CHUNK_BYTES: Final = 1 << 26
_ENCODINGS: Final = ("utf-8", "ascii", "iso8859", "cp125")  # each byte below 128 means ASCII in all of them
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

Chunks = Iterator[tuple[pl.DataFrame, pl.DataFrame]]


@dataclass(frozen=True)
class Dialect:
    r"""How a feed writes delimited text.

    Attributes:
        separator: one ASCII character.
        quote: one ASCII character, or None where quotes are plain text. A quoted cell may hold separators,
            line ends and doubled quotes.
        escape: ``\`` where the partner escapes quotes so (``\"``, ``\\``) inside quoted cells; before any
            other character, and in cells without quotes, it is text.
        header_quote: the quote of a header row that begins with it (some SIS exports write ``'Student ID'``).
        null_literals: cells, exactly so, that mean a missing cell beside the empty one.
    """

    separator: str = ","
    quote: str | None = '"'
    escape: str | None = None
    header_quote: str | None = None
    null_literals: tuple[str, ...] = ()

    def marks(self) -> Marks:
        """Return the bytes that shape records."""
        quote, escape = (ord(mark) if mark else None for mark in (self.quote, self.escape))
        return Marks(ord(self.separator), quote, escape)


RFC4180: Final = Dialect()
TAB: Final = Dialect(separator="\t")
# Aspen X2 exports: school-sources.md section 4.
ASPEN: Final = Dialect(escape="\\", header_quote="'", null_literals=("NULL",))


def read_delimited(
    path: Path,
    *,
    name: str,
    headers: Sequence[str],
    extra: Collection[str] = (),
    optional: Collection[str] = (),
    dialect: Dialect = RFC4180,
    encoding: str = "utf-8",
    chunk_rows: int = CHUNK_ROWS,
) -> Chunks:
    """Yield the file's records as text, with those that could not be read beside them.

    Args:
        path: the file.
        name: what ``_file`` shall say.
        headers: the columns to return. Each must be in the header row, in any order, unless in ``optional``.
        extra: further headers the file may have; they are not returned. ``*`` stands for anything.
        optional: headers that may be absent; their column is then null.
        dialect: separator, quotes, escapes, null literals.
        encoding: UTF-8 (a byte order mark is dropped) or a one-byte encoding that extends ASCII.
        chunk_rows: most records in a chunk, kept and held together.

    Yields:
        (rows, held): rows have ``headers`` as String columns (missing or empty cell: null), ``_file`` and
        ``_row`` (1-based record number, the header being 1); held has ``HELD_SCHEMA`` under WB-R-001
        (number of fields), WB-R-002 (bytes not of the encoding) or WB-R-003 (quote out of place, bare
        carriage return, longer than 1 MiB). Each record after the header is in exactly one of both, in
        order; blank lines at the end are no records. A file with a header only yields one empty chunk.

    Raises:
        Refused: WB-D-001 (no header), WB-D-003 (header is not the contract's) or WB-D-004 (not text), always
            before the first chunk.
        ConfigurationError: WB-E-011 for an encoding that is not supported.
    """
    _check_encoding(encoding)
    with path.open("rb") as handle:
        pieces = _pieces(handle, _content_end(handle, name), encoding)
        header, rest = _header(pieces, dialect)
        pieces = chain([rest], pieces)
        scanner = Scanner(dialect.marks(), len(header))
        fault = _drift(header, headers, extra, optional)
        if fault is not None:
            count = sum(map(len, scanner.scan(pieces))) - (not header)
            raise Refused("WB-D-003", name, fault, max(count, 0))
        build = _Frames(name, header, headers, dialect)
        yield from build.chunks(scanner.scan(pieces), chunk_rows)


def _check_encoding(encoding: str) -> None:
    try:
        known = codecs.lookup(encoding).name
    except LookupError:
        known = ""
    if not known.startswith(_ENCODINGS):
        what = "A feed names an encoding that is not supported."
        raise ConfigurationError("WB-E-011", what, f"encoding {encoding!r}")


# -- bytes -------------------------------------------------------------------------------------------------


def _content_end(handle: BinaryIO, name: str) -> int:
    """Return the offset behind the last byte that is no line end, having looked at every byte for NUL."""
    end = offset = lines = 0
    is_text = True
    while piece := handle.read(_PIECE):
        is_text &= b"\0" not in piece and not (offset == 0 and piece.startswith(_UTF16))
        if stripped := len(piece.rstrip(b"\r\n")):
            end = offset + stripped
        if not is_text:
            lines += piece.count(b"\n")
        offset += len(piece)
    if not is_text:
        raise Refused("WB-D-004", name, rows=max(lines - 1, 0))
    if end == 0 or (end == 3 and _starts_with_bom(handle)):
        raise Refused("WB-D-001", name)
    return end


def _starts_with_bom(handle: BinaryIO) -> bool:
    handle.seek(0)
    return handle.read(3) == codecs.BOM_UTF8


def _pieces(handle: BinaryIO, end: int, encoding: str) -> Iterator[bytes]:
    """Yield the content as UTF-8 without byte order mark, always with a line end at its end."""
    start = 3 if _starts_with_bom(handle) else 0
    handle.seek(start)
    left = end - start
    while left:
        piece = handle.read(min(_PIECE, left))
        left -= len(piece)
        if codecs.lookup(encoding).name != "utf-8":
            # A byte the encoding has not becomes a surrogate, which is no UTF-8: its row is held as such.
            piece = piece.decode(encoding, "surrogateescape").encode("utf-8", "surrogatepass")
        yield piece if left else piece + b"\n"


# -- header ------------------------------------------------------------------------------------------------


def _header(pieces: Iterator[bytes], dialect: Dialect) -> tuple[list[str], bytes]:
    """Return the header row's names and the bytes read behind it, or no names and all bytes read."""
    data = next(pieces)
    marks = dialect.marks()
    if dialect.header_quote and data.startswith(dialect.header_quote.encode()):
        marks = replace(marks, quote=ord(dialect.header_quote))
    grammar = Grammar(marks)
    for piece in chain([b""], pieces):
        data += piece
        end, names = _names(grammar, data)
        if names is not None:
            return names, data[end:]
        if len(data) > MAX_RECORD:
            break
    return [], data


def _names(grammar: Grammar, data: bytes) -> tuple[int, list[str] | None]:
    end, text = grammar.next_record(data)
    if end < 0 or text.count(grammar.separator) >= MAX_COLUMNS:
        return end, None
    cells = [grammar.value(cell) for cell in grammar.cells(text)]
    try:
        return end, [cell.decode().strip() for cell in cells]
    except UnicodeDecodeError:
        return end, None


def _drift(
    found: Sequence[str], headers: Sequence[str], extra: Collection[str], optional: Collection[str]
) -> list[str] | None:
    """Return the headers at fault (maybe none may be named), or None when the header is the contract's."""
    allowed = {*headers, *optional}
    missing = [header for header in headers if header not in found and header not in optional]
    unknown = [header for header in found if header not in allowed and not _matches(header, extra)]
    doubled = [header for header in dict.fromkeys(found) if header in allowed and found.count(header) > 1]
    if not (missing or unknown or doubled):
        return None
    return [*missing, *doubled, *_nameable(unknown, found, allowed)]


def _matches(header: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(header, pattern) for pattern in patterns)


def _nameable(unknown: Sequence[str], found: Sequence[str], allowed: set[str]) -> list[str]:
    """Name unknown headers, unless the row may be no header at all: then its cells are values.

    A row counts as a header when at least half of the contract's names stand in it. A name that does not
    look like one is given by its place, so that a person's data in a header never reaches a message.
    """
    if 2 * len(allowed.intersection(found)) < len(allowed):
        return []
    return [header if _looks_like_name(header) else f"column {found.index(header) + 1}"
            for header in dict.fromkeys(unknown)]


def _looks_like_name(header: str) -> bool:
    return bool(header) and len(header) <= MAX_NAME and header[0].isalpha() and "@" not in header


# -- rows --------------------------------------------------------------------------------------------------


class _Frames:
    """Turns scanned records into frames."""

    def __init__(self, name: str, found: Sequence[str], headers: Sequence[str], dialect: Dialect) -> None:
        self._name = name
        # Names by place: an extra header may occur twice, and its name must not clash with a contract's.
        self._places = [f"column_{place + 1}" for place in range(len(found))]
        self._columns = {header: self._places[found.index(header)] for header in headers if header in found}
        self._headers = headers
        self._dialect = dialect

    def chunks(self, scanned: Iterable[Records], chunk_rows: int) -> Chunks:
        """Yield frames of at most ``chunk_rows`` records; one empty frame when there are none."""
        batch: list[Records] = []
        row, count, size = 2, 0, 0
        for records in scanned:
            if batch and (count + len(records) > chunk_rows or size + len(records.data) > _CHUNK_BYTES):
                yield from self._slices(batch, row, chunk_rows)
                row, count, size, batch = row + count, 0, 0, []
            batch.append(records)
            count, size = count + len(records), size + len(records.data)
        if count or row == 2:
            yield from self._slices(batch, row, chunk_rows)

    def _slices(self, batch: Sequence[Records], row: int, chunk_rows: int) -> Chunks:
        faults = np.concatenate([records.faults for records in batch]) if batch else np.empty(0, np.uint8)
        rows = self._parse([records.fine() for records in batch], row + np.flatnonzero(faults == FINE))
        held = self._held(faults, row)
        for start in range(row, row + max(faults.size, 1), chunk_rows):
            here = pl.col("_row").is_between(start, start + chunk_rows - 1)
            one = faults.size <= chunk_rows
            yield (rows if one else rows.filter(here)), (held if one else held.filter(here))

    def _parse(self, parts: Sequence[bytes], numbers: Positions) -> pl.DataFrame:
        data = b"".join(parts)
        if numbers.size:
            cells = self._read(data, numbers.size)
        else:
            cells = pl.DataFrame(schema=dict.fromkeys(self._columns.values(), pl.String))
        texts = [pl.col(self._columns[header]).alias(header) if header in self._columns
                 else pl.lit(None, pl.String).alias(header) for header in self._headers]
        return cells.select(texts).with_columns(
            pl.lit(self._name).alias("_file"), pl.Series("_row", numbers, pl.Int64)
        )

    def _read(self, data: bytes, count: int) -> pl.DataFrame:
        quote = self._dialect.quote
        cells = None
        # The parser's message would quote the text: nothing of its exception travels on.
        with suppress(pl.exceptions.PolarsError):
            cells = pl.read_csv(
                BytesIO(data), has_header=False, schema=dict.fromkeys(self._places, pl.String),
                columns=list(dict.fromkeys(self._columns.values())), separator=self._dialect.separator,
                quote_char=quote if quote and quote.encode() in data else None,
                null_values=["", *self._dialect.null_literals], encoding="utf8",
            )
        if cells is None or cells.height != count:  # parsers that disagree must never shift a row's cells
            raise SafeError("WB-E-001", "A file's records were counted and parsed differently.", self._name)
        return cells

    def _held(self, faults: Faults, row: int) -> pl.DataFrame:
        bad = np.flatnonzero(faults)
        rules = pl.Series(faults[bad]).replace_strict(RULES, return_dtype=pl.String)
        held = pl.DataFrame({"_row": row + bad, "rule": rules}, schema={"_row": pl.Int64, "rule": pl.String})
        return held.with_columns(
            pl.lit(self._name).alias("_file"), pl.lit(None, pl.String).alias("column")
        ).select(list(HELD_SCHEMA))
