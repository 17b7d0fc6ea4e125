"""Where delimited text's records begin and end, and which of them are not well formed.

Two ways that must agree. The fast one looks at a piece of the file as an array: every separator, quote and
line end at once, and whether each quote stands where RFC 4180 allows one. The slow one matches record by
record; it runs from the first quote out of place to the end of the piece, and on records with an escape.
A record that is not well formed is its first line only, and reading goes on at the next line, so that one
stray quote cannot swallow the rows after it. A quote inside an unquoted cell is text (``5'6"``), as in most
readers; such a record is rewritten with quotes, so that the parser behind cannot take it otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Bytes. No school or clinic row comes near 1 MiB; a bomb, an unclosed quote or a missing line end does.
MAX_RECORD: Final = 1 << 20

FINE: Final = 0
RAGGED: Final = 1
UNDECODABLE: Final = 2
MALFORMED: Final = 3
RULES: Final = {RAGGED: "WB-R-001", UNDECODABLE: "WB-R-002", MALFORMED: "WB-R-003"}

_NEWLINE: Final = 10
_RETURN: Final = 13

Positions = NDArray[np.int64]
Faults = NDArray[np.uint8]


@dataclass(frozen=True)
class Records:
    """Consecutive records.

    Attributes:
        data: their bytes, UTF-8, each with its line end.
        ends: offset in ``data`` behind each record.
        faults: FINE, RAGGED, UNDECODABLE or MALFORMED for each record.
    """

    data: bytes
    ends: Positions
    faults: Faults

    def __len__(self) -> int:
        return self.ends.size

    def fine(self) -> bytes:
        """Return the bytes of the records without a fault."""
        if not self.faults.any():
            return self.data
        starts = _starts(self.ends)
        good = self.faults == FINE
        edges = np.flatnonzero(np.diff(np.concatenate(([0], good.view(np.int8), [0]))))
        runs = zip(starts[edges[0::2]], self.ends[edges[1::2] - 1], strict=True)
        return b"".join(self.data[a:b] for a, b in runs)


@dataclass(frozen=True)
class Marks:
    """The bytes that shape records: separator, quote (None: quotes are text), escape (backslash or None)."""

    separator: int
    quote: int | None
    escape: int | None


class Scanner:
    """Cuts a stream of pieces into records of a known number of fields.

    Memory stays below one piece plus ``MAX_RECORD``, whatever the stream holds.
    """

    def __init__(self, marks: Marks, fields: int) -> None:
        self._marks = marks
        self._fields = fields
        self._grammar = Grammar(marks)
        self._rest = b""
        self._skipping = False

    def scan(self, pieces: Iterable[bytes]) -> Iterator[Records]:
        """Yield the records of the pieces in order; the last piece must end with a line end."""
        for piece in pieces:
            yield from self._feed(piece, final=False)
        yield from self._feed(b"", final=True)

    def _feed(self, piece: bytes, *, final: bool) -> Iterator[Records]:
        if self._skipping:
            _, found, piece = piece.partition(b"\n")
            if not found:
                return
            self._skipping = False
            yield Records(b"\n", np.array([1]), np.array([MALFORMED], np.uint8))
        data = self._rest + piece
        self._rest = b""
        done = 0
        quick, done = self._quick(data)
        if len(quick):
            yield quick
        if done == len(data):
            return
        yield from self._slow(data[done:], final=final, settled=self._is_only_open(data, done))

    def _is_only_open(self, data: bytes, done: int) -> bool:
        return len(data) - done < MAX_RECORD and self._grammar.is_open(data, done)

    def _quick(self, data: bytes) -> tuple[Records, int]:
        """Return the records before the first that is out of shape, and the offset behind them."""
        ends, separators = _shape(self._grammar.without_escapes(data), self._marks)
        done = int(ends[-1]) if ends.size else 0
        whole = data if done == len(data) else data[:done]
        faults = np.where(separators == self._fields - 1, FINE, RAGGED).astype(np.uint8)
        if self._fields == 1:
            faults[_blank(whole, ends)] = RAGGED
        _mark_undecodable(whole, ends, faults)
        return self._rewritten(Records(whole, ends, faults)), done

    def _rewritten(self, records: Records) -> Records:
        """Rewrite the records that hold an escape as RFC 4180."""
        escape = self._marks.escape
        if escape is None or bytes([escape]) not in records.data:
            return records
        places = np.flatnonzero(np.frombuffer(records.data, np.uint8) == escape)
        starts, lengths = _starts(records.ends), np.diff(records.ends, prepend=0)
        faults = records.faults.copy()
        parts, done = [], 0
        for index in np.unique(np.searchsorted(records.ends, places, side="right")):
            start, end = int(starts[index]), int(records.ends[index])
            if not faults[index]:
                _, faults[index], text = self._grammar.record(records.data[start:end], 0, self._fields)
                parts += [records.data[done:start], text]
                lengths[index], done = len(text), end
        return Records(b"".join([*parts, records.data[done:]]), np.cumsum(lengths), faults)

    def _slow(self, data: bytes, *, final: bool, settled: bool) -> Iterator[Records]:
        if settled and not final:
            self._rest = data
            return
        parts: list[bytes] = []
        faults: list[int] = []
        at = 0
        while at < len(data):
            end, fault, text = self._grammar.record(data, at, self._fields)
            if end < 0:
                if not final and (len(data) - at < MAX_RECORD) and self._grammar.is_open(data, at):
                    break
                end = data.find(b"\n", at) + 1
                if not end:
                    self._skipping = len(data) - at >= MAX_RECORD
                    break
                fault, text = MALFORMED, data[at:end]
            parts.append(text)
            faults.append(fault)
            at = end
        self._rest = b"" if self._skipping else data[at:]
        if parts:
            yield _assemble(parts, faults)


def _assemble(parts: list[bytes], faults: list[int]) -> Records:
    data = b"".join(parts)
    ends = np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)))
    marked = np.array(faults, np.uint8)
    _mark_undecodable(data, ends, marked)
    return Records(data, ends, marked)


class Grammar:
    """One dialect's records as patterns that cannot backtrack, so that hostile text costs linear time."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self.separator = bytes([marks.separator])
        separator = re.escape(bytes([marks.separator]))
        plain = b"[^" + separator + b"\r\n]*+"
        field = plain
        self._quote = b""
        self._escape = bytes([marks.escape]) if marks.escape is not None else None
        if marks.quote is not None:
            self._quote = bytes([marks.quote])
            quote = re.escape(self._quote)
            quoted = self._quoted(quote, marks.escape)
            field = b"(?:" + quoted + b"|(?!" + quote + b")" + plain + b")"
            self._closed = re.compile(quoted, re.DOTALL)
        self._record = re.compile(field + b"(?:" + separator + field + b")*+\r?\n", re.DOTALL)
        self._lead = re.compile(b"(?:" + field + separator + b")*+", re.DOTALL)
        self.field = re.compile(field, re.DOTALL)

    @staticmethod
    def _quoted(quote: bytes, escape: int | None) -> bytes:
        if escape is None:
            return quote + b"[^" + quote + b"]*+(?:" + quote * 2 + b"[^" + quote + b"]*+)*+" + quote
        mark = re.escape(bytes([escape]))
        text = b"[^" + quote + mark + b"]*+"
        return quote + text + b"(?:(?:" + quote * 2 + b"|" + mark + b".)" + text + b")*+" + quote

    def record(self, data: bytes, at: int, fields: int) -> tuple[int, int, bytes]:
        """Match the record at an offset: (offset behind it or -1, fault, its bytes in RFC 4180)."""
        found = self._record.match(data, at)
        if not found or found.end() - at > MAX_RECORD:
            return -1, MALFORMED, b""
        text = found.group()
        blank = fields == 1 and text in (b"\n", b"\r\n")
        if not self._quote or self._quote not in text:
            count = text.count(self.separator) + 1
        else:
            cells = self.cells(text)
            count = len(cells)
            text = self._plainly(text, cells)
        return found.end(), RAGGED if blank or count != fields else FINE, text

    def without_escapes(self, data: bytes) -> bytes:
        """Return the data with NUL, which no text holds, in place of each escaped quote or escape.

        In an unquoted cell the same characters are text, and a quote there opens nothing either way.
        """
        if self._escape is None or self._escape not in data:
            return data
        return data.replace(self._escape * 2, b"\0\0").replace(self._escape + self._quote, b"\0\0")

    def next_record(self, data: bytes) -> tuple[int, bytes]:
        """Match the record at the start: (offset behind it or -1, its bytes as they stand)."""
        found = self._record.match(data)
        return (found.end(), found.group()) if found else (-1, b"")

    def cells(self, record: bytes) -> list[bytes]:
        """Return the raw cells of a well-formed record, quotes and escapes as they stand."""
        cells = []
        at = 0
        while True:
            found = self.field.match(record, at)
            assert found is not None
            cells.append(found.group())
            at = found.end()
            if not record.startswith(self.separator, at):
                return cells
            at += 1

    def value(self, cell: bytes) -> bytes:
        """Return what a raw cell says; an escape before anything but a quote or itself is text."""
        if not self._quote or not cell.startswith(self._quote):
            return cell
        inner = cell[1:-1]
        if self._escape is None:
            return inner.replace(self._quote * 2, self._quote)
        mark = re.escape(self._escape)
        quote = re.escape(self._quote)
        escaped = mark + b"(?=[" + quote + mark + b"])|" + quote + b"(?=" + quote + b")"
        return re.sub(b"(?:" + escaped + b")(.)", rb"\1", inner)

    def _plainly(self, text: bytes, cells: list[bytes]) -> bytes:
        """Rewrite a record as RFC 4180 where an escape or a quote inside an unquoted cell departs from it."""
        quote = self._quote
        strays = any(quote in cell and not cell.startswith(quote) for cell in cells)
        if not strays and (self._escape is None or self._escape not in text):
            return text
        return self.separator.join(self._requoted(cell) if quote in cell else cell for cell in cells) + b"\n"

    def _requoted(self, cell: bytes) -> bytes:
        return self._quote + self.value(cell).replace(self._quote, self._quote * 2) + self._quote

    def is_open(self, data: bytes, at: int) -> bool:
        """Say whether more data could still complete the record that begins at an offset."""
        lead = self._lead.match(data, at)
        assert lead is not None
        at = lead.end()
        if self._quote and data.startswith(self._quote, at):
            closed = self._closed.match(data, at)
            if not closed:
                return True
            at = closed.end()
            return data[at:at + 2] in (b"", b"\r")
        return data.find(b"\n", at) < 0


def _shape(data: bytes, marks: Marks) -> tuple[Positions, Positions]:
    """Return the ends of the records before the first that is out of shape, and the separators in each."""
    array = np.frombuffer(data, np.uint8)
    is_mark = (array == _NEWLINE) | (array == marks.separator)
    if marks.quote is not None:
        is_mark |= array == marks.quote
    at = np.flatnonzero(is_mark)
    kinds = array[at]
    stop = array.size
    quotes = np.empty(0, np.int64)
    if marks.quote is not None and (is_quote := kinds == marks.quote).any():
        quotes = at[is_quote]
        stop = _misplaced(array, quotes, marks.separator)
        outside = (np.cumsum(is_quote, dtype=np.int64) & 1 == 0) & ~is_quote
        at, kinds = at[outside], kinds[outside]
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        stop = min(stop, _bare_return(array, quotes))
    newlines = np.flatnonzero(kinds == _NEWLINE)
    ends = at[newlines] + 1
    long = np.flatnonzero(np.diff(ends, prepend=0) > MAX_RECORD)
    whole = np.searchsorted(ends, stop, side="right")
    keep = min(int(whole), int(long[0]) if long.size else ends.size)
    return ends[:keep], (np.diff(newlines, prepend=-1) - 1)[:keep]


def _misplaced(array: NDArray[np.uint8], quotes: Positions, separator: int) -> int:
    """Return the offset of the first quote that neither opens, closes nor doubles, else the array's length.

    Of the quotes of a well-formed text every first one opens a field or follows a closing one (a doubled
    quote), and every second one is followed by a separator, a line end or the next quote.
    """
    opens, closes = quotes[0::2], quotes[1::2]
    quote = array[quotes[0]]
    before = array[np.maximum(opens - 1, 0)]
    opens_well = (before == separator) | (before == _NEWLINE) | (before == quote)
    opens_well[0] |= opens[0] == 0
    last = array.size - 1
    after = array[np.minimum(closes + 1, last)]
    closes_well = (after == separator) | (after == _NEWLINE) | (after == quote) | (closes == last)
    closes_well |= (after == _RETURN) & (array[np.minimum(closes + 2, last)] == _NEWLINE)
    bad = np.concatenate((opens[~opens_well], closes[~closes_well]))
    return int(bad.min(initial=array.size))


def _starts(ends: Positions) -> Positions:
    return np.concatenate(([0], ends[:-1]))


def _blank(data: bytes, ends: Positions) -> NDArray[np.bool_]:
    array = np.frombuffer(data, np.uint8)
    starts = _starts(ends)
    lengths = ends - starts
    return (lengths == 1) | ((lengths == 2) & (array[starts] == _RETURN)) if ends.size else np.empty(0, bool)


def _bare_return(array: NDArray[np.uint8], quotes: Positions) -> int:
    """Return the offset of the first carriage return outside quotes that ends no line, else the length."""
    returns = np.flatnonzero(array[:-1] == _RETURN)
    bare = returns[array[returns + 1] != _NEWLINE]
    outside = bare[np.searchsorted(quotes, bare) & 1 == 0]
    return int(outside[0]) if outside.size else array.size


def _mark_undecodable(data: bytes, ends: Positions, faults: Faults) -> None:
    """Mark records whose bytes are not UTF-8; only records with a byte above 127 are looked at."""
    if data.isascii() or _is_utf8(data):
        return
    array = np.frombuffer(data, np.uint8)
    starts = _starts(ends)
    for index in np.unique(np.searchsorted(ends, np.flatnonzero(array > 127), side="right")):
        if not faults[index] and not _is_utf8(data[starts[index]:ends[index]]):
            faults[index] = UNDECODABLE


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
