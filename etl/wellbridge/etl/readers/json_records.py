"""Reads JSON lines and pages of JSON objects, strictly: what two readers could take differently is held."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson
import polars as pl

from wellbridge.etl.readers.packages import MAX_PAGE, open_expanded
from wellbridge.etl.reading import HELD_SCHEMA, Refused, held_rows

MAX_DEPTH: Final = 100  # trust.md section 8
MAX_LINE: Final = 1 << 24  # bytes; a resource with an embedded document stays far below 16 MiB

_RULE: Final = "WB-R-003"
_PIECE: Final = 1 << 20
_CHUNK_BYTES: Final = 1 << 23  # parsed records take about ten times their text in memory
_CHUNK_RECORDS: Final = 25_000


class NotStrictJsonError(ValueError):
    """The text is no JSON as RFC 8259 and RFC 7493 have it. Carries none of the text."""


@dataclass(frozen=True)
class JsonRecords:
    """Some objects of one file.

    Attributes:
        records: the objects.
        rows: for each, its 1-based line number (JSON lines) or place in the array (page).
        offsets: for each, the byte offset of its line in the expanded file; -1 in a page.
        held: ``HELD_SCHEMA``; lines or elements that are no strict JSON object, under WB-R-003.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    held: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=HELD_SCHEMA))


def loads_strict(data: bytes) -> Any:
    """Parse JSON text; refuse invalid UTF-8, NaN, infinities, depth above 100 and duplicate keys.

    Raises:
        NotStrictJsonError: for everything that is refused; nothing of the text travels with it.
    """
    value = None
    try:
        value = orjson.loads(data)
        is_strict = _is_shallow(data, value) and _is_single_keyed(data, value)
    except orjson.JSONDecodeError:
        is_strict = False
    if not is_strict:
        raise NotStrictJsonError
    return value


def read_ndjson(path: Path, *, name: str) -> Iterator[JsonRecords]:
    """Yield the objects of a file of JSON lines (plain or gzip), in order and in chunks.

    A line that is no strict JSON object, or longer than 16 MiB, is held. Blank lines are no records, and a
    file of no bytes or of a byte order mark only has none: that is how this format writes an empty set.

    Raises:
        Refused: WB-D-004 (UTF-16), WB-D-007 (unsafe or damaged gzip), before the first chunk.
        Deferred: WB-D-002 (gzip that ends early), before the first chunk.
    """
    with open_expanded(path, name) as handle:
        _refuse_utf16(handle, name)
        chunk, size, bad = JsonRecords(), 0, []
        for row, offset, line in _lines(handle):
            record = _object(line)
            if record is None:
                bad.append(row)
            else:
                chunk.records.append(record)
                chunk.rows.append(row)
                chunk.offsets.append(offset)
            size += len(line or b"")
            if size >= _CHUNK_BYTES or len(chunk.rows) + len(bad) >= _CHUNK_RECORDS:
                yield _closed(chunk, name, bad)
                chunk, size, bad = JsonRecords(), 0, []
        if chunk.rows or bad:
            yield _closed(chunk, name, bad)


def read_json_array(path: Path, *, name: str) -> Iterator[JsonRecords]:
    """Yield the objects of one page, an array of objects (plain or gzip), as one chunk.

    A page that holds a byte order mark only is an empty page: Ed-Fi's API writes such (school-sources.md 2).

    Raises:
        Refused: WB-D-001 (no bytes), WB-D-004 (UTF-16), WB-D-007 (no array, broken, or above 64 MiB; its
            elements cannot be told apart). ``rows`` counts the elements before the break.
        Deferred: WB-D-002 (gzip that ends early).
    """
    with open_expanded(path, name) as handle:
        _refuse_utf16(handle, name)
        data = handle.read(MAX_PAGE + 1)
    if not data:
        raise Refused("WB-D-001", name)
    if len(data) > MAX_PAGE:
        raise Refused("WB-D-007", name)
    text = data.removeprefix(codecs.BOM_UTF8).strip(b" \t\r\n")
    if text:
        yield _page(text, name)


def read_json_records(path: Path, *, name: str) -> Iterator[JsonRecords]:
    """Yield the objects of a file that is a page when its first character is ``[``, else JSON lines."""
    with open_expanded(path, name) as handle:
        start = handle.read(_PIECE)
    is_page = start.removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n").startswith(b"[")
    yield from (read_json_array if is_page else read_ndjson)(path, name=name)


# -- strictness --------------------------------------------------------------------------------------------


def _is_shallow(data: bytes, value: Any) -> bool:
    return data.count(b"{") + data.count(b"[") <= MAX_DEPTH or _depth(value) <= MAX_DEPTH


def _depth(value: Any) -> int:
    """Return how deep arrays and objects nest, counting no further than one level too many."""
    depth, level = 0, [value]
    while depth <= MAX_DEPTH:
        level = [node for node in level if type(node) is dict or type(node) is list]
        if not level:
            break
        depth += 1
        level = [child for node in level for child in (node.values() if type(node) is dict else node)]
    return depth


def _is_single_keyed(data: bytes, value: Any) -> bool:
    r"""Say whether no object of the text repeats a key.

    The parser keeps the last of equal keys, so writing the value again loses at least the colon behind the
    dropped key. No escape but ``\u003a`` makes or hides a colon; text with it is parsed again, pair by pair.
    That is exact, and costs a third of the parsing where walking the value would double it.
    """
    if type(value) is not dict and type(value) is not list:
        return True
    if b"\\u003" in data:
        return _pairs_are_single(data)
    return data.count(b":") == orjson.dumps(value).count(b":")


def _pairs_are_single(data: bytes) -> bool:
    doubled = False

    def check(pairs: list[tuple[str, Any]]) -> None:
        nonlocal doubled
        doubled |= len({key for key, _ in pairs}) < len(pairs)

    json.loads(data, object_pairs_hook=check, parse_int=str, parse_float=str)
    return not doubled


def _object(line: bytes | None) -> dict[str, Any] | None:
    if line is None:
        return None
    try:
        record = loads_strict(line)
    except NotStrictJsonError:
        return None
    return record if isinstance(record, dict) else None


# -- lines -------------------------------------------------------------------------------------------------


def _refuse_utf16(handle: BinaryIO, name: str) -> None:
    start = handle.read(4)
    handle.seek(0)
    if b"\0" in start or start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Refused("WB-D-004", name)


def _lines(handle: BinaryIO) -> Iterator[tuple[int, int, bytes | None]]:
    """Yield (1-based number, byte offset, text) of each line not blank; text is None when it is too long."""
    offset = number = 0
    while line := handle.readline(MAX_LINE):
        number += 1
        size = len(line)
        too_long = not line.endswith(b"\n") and size == MAX_LINE
        while too_long and (more := handle.readline(_PIECE)):
            size += len(more)
            if more.endswith(b"\n"):
                break
        text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if too_long or text.strip(b" \t\r\n"):
            yield number, offset, None if too_long else text
        offset += size


def _closed(chunk: JsonRecords, name: str, bad: list[int]) -> JsonRecords:
    return JsonRecords(chunk.records, chunk.rows, chunk.offsets, held_rows(name, bad, _RULE))


# -- pages -------------------------------------------------------------------------------------------------


def _page(text: bytes, name: str) -> JsonRecords:
    value = None
    try:
        value = orjson.loads(text)
        is_sound = True
    except orjson.JSONDecodeError:
        is_sound = False
    if not is_sound or not isinstance(value, list):
        raise Refused("WB-D-007", name, rows=sum(1 for _ in _elements(text)))
    good = [isinstance(element, dict) for element in value]
    if not _is_shallow(text, value) or not _is_single_keyed(text, value):
        strict = list(_elements(text))
        if len(strict) < len(good):  # so deep that the elements cannot be told apart
            raise Refused("WB-D-007", name, rows=len(strict))
        good = [is_object and is_strict for is_object, is_strict in zip(good, strict, strict=True)]
    rows = [row for row, ok in enumerate(good, 1) if ok]
    bad = [row for row, ok in enumerate(good, 1) if not ok]
    return JsonRecords([value[row - 1] for row in rows], rows, [-1] * len(rows), held_rows(name, bad, _RULE))


def _elements(text: bytes) -> Iterator[bool]:
    """Yield for each element of an array, up to the first break, whether it is strict JSON."""
    try:
        array = text.decode()
    except UnicodeDecodeError:
        return
    decoder = json.JSONDecoder()
    blank = " \t\r\n"
    at = 1
    while array.startswith("[") and at < len(array):
        while array[at:at + 1] and array[at] in blank:
            at += 1
        try:
            end = decoder.raw_decode(array, at)[1]
        except (ValueError, RecursionError):
            return
        yield _is_strict(array[at:end].encode())
        at = end
        while array[at:at + 1] and array[at] in blank:
            at += 1
        if array[at:at + 1] != ",":
            return
        at += 1


def _is_strict(data: bytes) -> bool:
    try:
        loads_strict(data)
    except NotStrictJsonError:
        return False
    return True
