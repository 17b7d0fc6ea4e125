r"""Reads HL7 v2 files and batches into messages whose fields are fetched by number.

Separators come from each message's own MSH-1 and MSH-2. Segments end in CR, as the standard says, or in LF or
CRLF, as most files do. A line that begins no segment goes on with the field before it: free text that was
exported with its line ends. The envelope's counts (BTS-1, FTS-1) are compared with what was read.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import polars as pl

from wellbridge.etl.readers.text_source import UTF16_MARKS
from wellbridge.etl.reading import HELD_SCHEMA, Deferred, Refused, held_rows

MAX_FILE: Final = 1 << 26  # bytes; 30,000 messages, which a district's partner does not send in a night

_ENVELOPE: Final = frozenset({b"FHS", b"BHS", b"BTS", b"FTS"})
_SEGMENT: Final = re.compile(rb"[A-Z][A-Z0-9]{2}(?![A-Za-z0-9 ])")
_HEADER: Final = re.compile(r"MSH([^\w\s\\])((?:(?!\1)[^\w\s]){1,6})\1")
_CHARSETS: Final = {
    "": "utf-8", "ASCII": "utf-8", "UNICODE": "utf-8", "UNICODE UTF-8": "utf-8", "UTF-8": "utf-8",
    **{f"8859/{part}": f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
}


@dataclass(frozen=True)
class Separators:
    """The characters that divide a message: MSH-1, then MSH-2 in its order."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"

    @cached_property
    def escapes(self) -> dict[str, str]:
        r"""What ``\F\``, ``\S\`` and their like stand for; ``\H\`` and ``\N\`` only change the typeface."""
        return {
            "F": self.field, "S": self.component, "T": self.subcomponent, "R": self.repetition,
            "E": self.escape, ".br": "\n", "H": "", "N": "",
        }

    @cached_property
    def escaped(self) -> re.Pattern[str]:
        """One escape sequence."""
        mark = re.escape(self.escape)
        return re.compile(f"{mark}([A-Za-z.][^{mark}]*){mark}")


@dataclass(frozen=True)
class Segment:
    """One segment; fields, components and subcomponents are numbered from 1 as in the standard."""

    id: str
    fields: tuple[str, ...]
    separators: Separators

    def get(
        self, field: int, repetition: int = 0, component: int = 1, subcomponent: int = 1
    ) -> str | None:
        """Return a value with its escapes resolved; None where there is none.

        ``""`` (two quotes) is the standard's "delete what you have" and comes back as an empty string.

        Args:
            field: number of the field; MSH-1 is the separator itself.
            repetition: 0 for the first.
            component: number of the component.
            subcomponent: number of the subcomponent.
        """
        if self.id == "MSH" and field <= 2:
            return self.raw(field) or None
        marks = self.separators
        text = _nth(self.raw(field), marks.repetition, repetition)
        text = _nth(text, marks.component, component - 1)
        text = _nth(text, marks.subcomponent, subcomponent - 1)
        return "" if text == '""' else self._unescaped(text) or None

    def raw(self, field: int) -> str:
        """Return a whole field as it stands, "" where there is none."""
        return self.fields[field] if 0 < field < len(self.fields) else ""

    def repetitions(self, field: int) -> int:
        """Return how often a field occurs; 0 where it is empty."""
        text = self.raw(field)
        return text.count(self.separators.repetition) + 1 if text else 0

    def _unescaped(self, text: str) -> str:
        if self.separators.escape not in text:
            return text
        return self.separators.escaped.sub(self._resolved, text)

    def _resolved(self, found: re.Match[str]) -> str:
        code = found[1]
        if code in self.separators.escapes:
            return self.separators.escapes[code]
        return _hexadecimal(code) or found[0]  # an unknown escape stays as it is


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes:
        row: its 1-based number in the file, held messages counted.
        all: its segments in order.
    """

    row: int
    all: tuple[Segment, ...]

    def segments(self, id: str) -> list[Segment]:
        """Return the segments of one kind, in order."""
        return [segment for segment in self.all if segment.id == id]

    def segment(self, id: str) -> Segment | None:
        """Return the first segment of one kind."""
        return next((segment for segment in self.all if segment.id == id), None)

    def get(self, id: str, field: int, repetition: int = 0, component: int = 1) -> str | None:
        """Return a value of the first segment of one kind; see ``Segment.get``."""
        segment = self.segment(id)
        return segment.get(field, repetition, component) if segment else None

    @property
    def type(self) -> str:
        """Message type and trigger, e.g. ``ADT^A01``; the trigger may be missing."""
        parts = (self.get("MSH", 9), self.get("MSH", 9, component=2))
        return "^".join(part for part in parts if part)


@dataclass(frozen=True)
class Hl7File:
    """A file's messages, and under WB-R-002 or WB-R-003 those that could not be read."""

    messages: list[Message] = field(default_factory=list)
    held: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=HELD_SCHEMA))


def read_messages(path: Path, *, name: str) -> Hl7File:
    """Read a file of messages, with or without file and batch envelopes.

    A message without an MSH that names separators and a message type is held under WB-R-003, one whose bytes
    are not of the character set in its MSH-18 (UTF-8 where that is empty) under WB-R-002.

    Raises:
        Refused: WB-D-001 (no bytes), WB-D-004 (NUL bytes or UTF-16), WB-D-007 (envelopes out of order, or
            more than 64 MiB) or WB-D-008 (BTS-1 or FTS-1 is not what was read).
        Deferred: WB-D-002 when a file or batch was opened and not closed.
    """
    lines = list(_lines(_content(path, name)))
    messages: list[Message] = []
    bad: dict[str, list[int]] = {"WB-R-002": [], "WB-R-003": []}
    for row, message in enumerate(_grouped(lines, name), 1):
        parsed = _message(row, message)
        if isinstance(parsed, Message):
            messages.append(parsed)
        else:
            bad[parsed].append(row)
    held = pl.concat([held_rows(name, rows, rule) for rule, rows in bad.items()]).sort("_row")
    return Hl7File(messages, held)


# -- file --------------------------------------------------------------------------------------------------


def _content(path: Path, name: str) -> bytes:
    if path.stat().st_size > MAX_FILE:
        raise Refused("WB-D-007", name)
    data = path.read_bytes()
    if not data.strip():
        raise Refused("WB-D-001", name)
    if b"\0" in data or data.startswith(UTF16_MARKS):
        raise Refused("WB-D-004", name)
    return data.removeprefix(codecs.BOM_UTF8)


def _lines(data: bytes) -> Iterator[bytes]:
    """Yield the lines that hold something, without MLLP's frame characters."""
    for line in re.split(rb"[\r\n\x0b\x1c]+", data):
        if line.strip():
            yield line.removeprefix(codecs.BOM_UTF8)


@dataclass
class _Envelope:
    """Where in the envelope a file stands, and what its trailers have to match."""

    name: str
    in_file: bool = False
    in_batch: bool = False
    is_implicit: bool = False
    batches: int = 0
    messages: int = 0
    total: int = 0

    def take(self, line: bytes) -> None:
        {b"FHS": self._open_file, b"BHS": self._open_batch, b"BTS": self._close_batch,
         b"FTS": self._close_file}[line[:3]](line)

    def add(self) -> None:
        """Count a message, in a batch of its own making where none was opened."""
        if not self.in_batch and not self.is_implicit:
            self.is_implicit = True
            self.batches, self.messages = self.batches + 1, 0
        self.messages, self.total = self.messages + 1, self.total + 1

    def end(self) -> None:
        """Expect what was opened to be closed."""
        if self.in_file or self.in_batch:
            raise Deferred("WB-D-002", self.name)

    def _open_file(self, line: bytes) -> None:
        self._expect(not self.in_file and not self.in_batch and not self.is_implicit)
        self.in_file, self.batches = True, 0

    def _open_batch(self, line: bytes) -> None:
        self._expect(not self.in_batch)
        self.in_batch, self.is_implicit = True, False
        self.batches, self.messages = self.batches + 1, 0

    def _close_batch(self, line: bytes) -> None:
        self._compare(line, self.messages)
        self.in_batch = self.is_implicit = False

    def _close_file(self, line: bytes) -> None:
        self._expect(not self.in_batch)
        self._compare(line, self.batches)
        self.in_file = self.is_implicit = False

    def _expect(self, is_right: bool) -> None:
        if not is_right:
            raise Refused("WB-D-007", self.name, rows=self.total)

    def _compare(self, line: bytes, count: int) -> None:
        """Compare a trailer's first field with a count; both fields are optional in the standard."""
        stated = line[4:].split(line[3:4])[0].strip() if len(line) > 4 else b""
        if stated and stated.lstrip(b"0") != (b"%d" % count).lstrip(b"0"):
            raise Refused("WB-D-008", self.name, rows=self.total)


def _grouped(lines: Sequence[bytes], name: str) -> Iterator[list[bytes]]:
    """Yield each message's lines; those before an MSH are a message that lost it."""
    envelope = _Envelope(name)
    message: list[bytes] = []
    for line in lines:
        id = line[:3] if _SEGMENT.match(line) else b""
        is_envelope = id in _ENVELOPE
        if message and (is_envelope or id == b"MSH"):
            yield message
            message = []
        if is_envelope:
            envelope.take(line)
            continue
        if not message:
            envelope.add()
        message.append(line)
    if message:
        yield message
    envelope.end()


# -- message -----------------------------------------------------------------------------------------------


def _message(row: int, lines: Sequence[bytes]) -> Message | str:
    """Return the message, or the rule under which it is held."""
    header = lines[0].decode("latin-1")
    marks = _separators(header)
    if marks is None:
        return "WB-R-003"
    fields = _msh(header, marks)
    if len(fields) <= 9 or not fields[9].strip():
        return "WB-R-003"
    charset = fields[18].split(marks.repetition)[0].strip().upper() if len(fields) > 18 else ""
    text = _decoded(b"\r".join(_joined(lines)), _CHARSETS.get(charset))
    if text is None:
        return "WB-R-002"
    return Message(row, tuple(_segment(line, marks) for line in text.split("\r")))


def _separators(header: str) -> Separators | None:
    found = _HEADER.match(header)
    if found is None:
        return None
    marks = found[2].replace("\\\\", "\\")  # some exports escape the backslash: ^~\\&
    if len(set(marks)) < len(marks) or found[1] in marks:
        return None
    defaults = "^~\\&"
    return Separators(found[1], *(marks + defaults[len(marks):])[:4])


def _msh(line: str, marks: Separators) -> tuple[str, ...]:
    """Split an MSH, whose first field is the separator itself."""
    name, *fields = line.split(marks.field)
    return (name, marks.field, *fields)


def _joined(lines: Sequence[bytes]) -> list[bytes]:
    joined = [lines[0]]
    for line in lines[1:]:
        if _SEGMENT.match(line):
            joined.append(line)
        else:
            joined[-1] += b"\n" + line
    return joined


def _decoded(data: bytes, charset: str | None) -> str | None:
    if charset is None:
        return None
    try:
        return data.decode(charset)
    except UnicodeDecodeError:
        return None


def _segment(line: str, marks: Separators) -> Segment:
    fields = _msh(line, marks) if line.startswith("MSH") else tuple(line.split(marks.field))
    return Segment(line[:3], fields, marks)


def _nth(text: str, separator: str, place: int) -> str:
    parts = text.split(separator)
    return parts[place] if 0 <= place < len(parts) else ""


def _hexadecimal(code: str) -> str:
    r"""Return what ``\Xhh…\`` spells when it is printable text, else "".

    Control characters are not taken: no cell holds them, and databases refuse NUL.
    """
    if code[:1] != "X" or not re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", code[1:]):
        return ""
    data = bytes.fromhex(code[1:])
    text = _decoded(data, "utf-8") or data.decode("latin-1")
    return text if all(letter.isprintable() or letter in "\t\r\n" for letter in text) else ""
