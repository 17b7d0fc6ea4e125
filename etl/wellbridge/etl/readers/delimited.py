"""Reads delimited text (CSV, TSV) under one declared dialect into text rows; nothing is sniffed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Final

import polars as pl

from wellbridge.etl.readers.record_frames import Chunks, Framing
from wellbridge.etl.readers.record_scan import MAX_RECORD, Grammar, Marks, Scanner
from wellbridge.etl.readers.text_source import open_text
from wellbridge.etl.reading import CHUNK_ROWS, Refused

MAX_COLUMNS: Final = 10_000

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
    with open_text(path, name, encoding) as pieces:
        header, behind = read_header(pieces, dialect)
        rest = chain([behind], pieces)
        fault = _drift(header, headers, extra, optional)
        if fault is not None:
            scanned = Scanner(dialect.marks(), len(header)).scan(rest)
            count = sum(map(len, scanned)) - (not header)
            raise Refused("WB-D-003", name, fault, max(count, 0))
        yield from read_records(
            rest, name=name, found=header, headers=headers, dialect=dialect, chunk_rows=chunk_rows
        )


def read_records(
    pieces: Iterable[bytes],
    *,
    name: str,
    found: Sequence[str],
    headers: Sequence[str],
    dialect: Dialect,
    chunk_rows: int = CHUNK_ROWS,
) -> Chunks:
    """Yield what stands behind a header row that names ``found``; see ``read_delimited``."""
    scanned = Scanner(dialect.marks(), len(found)).scan(pieces)
    yield from _framing(name, found, headers, dialect).chunks(scanned, chunk_rows)


# -- header ------------------------------------------------------------------------------------------------


def read_header(pieces: Iterator[bytes], dialect: Dialect) -> tuple[list[str], bytes]:
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
    """Return the headers at fault, or None when the header is the contract's.

    Only names that are declared are told. Any other header is told by its place: where a file has no header row, what
    stands there is a person's data.
    """
    allowed = {*headers, *optional}
    missing = [header for header in headers if header not in found and header not in optional]
    unknown = [place for place, header in enumerate(found, 1) if header not in allowed and not _matches(header, extra)]
    doubled = [header for header in dict.fromkeys(found) if header in allowed and found.count(header) > 1]
    if not (missing or unknown or doubled):
        return None
    return [*missing, *doubled, *map(place_name, unknown)]


def place_name(place: int) -> str:
    """Return what stands for a header that may not be told, by its place from 1."""
    return f"column {place}"


def _matches(header: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(header, pattern) for pattern in patterns)


# -- rows --------------------------------------------------------------------------------------------------


def _framing(name: str, found: Sequence[str], headers: Sequence[str], dialect: Dialect) -> Framing:
    # Columns are named by place: an extra header may occur twice, or have the name polars gives to another.
    places = [f"column_{place + 1}" for place in range(len(found))]
    columns = {header: places[found.index(header)] for header in headers if header in found}
    texts = [pl.col(columns[header]).alias(header) if header in columns
             else pl.lit(None, pl.String).alias(header) for header in headers]

    def parse(data: bytes) -> pl.DataFrame:
        quote = dialect.quote
        return pl.read_csv(
            BytesIO(data), has_header=False, schema=dict.fromkeys(places, pl.String),
            columns=list(dict.fromkeys(columns.values())), separator=dialect.separator,
            quote_char=quote if quote and quote.encode() in data else None,
            null_values=["", *dialect.null_literals], encoding="utf8",
        ).select(texts)

    return Framing(name, 2, parse, pl.DataFrame(schema=dict.fromkeys(headers, pl.String)))
