"""Opens text files as pieces of UTF-8, having looked at every byte for signs that they are no text."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from wellbridge.etl.reading import Refused
from wellbridge.schemas.errors import ConfigurationError

UTF16_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_PIECE: Final = 1 << 20  # bytes read at once; larger pieces fall out of the processor's cache
_ENCODINGS: Final = ("utf-8", "ascii", "iso8859", "cp125")  # each byte below 128 means ASCII in all of them


@contextmanager
def open_text(path: Path, name: str, encoding: str = "utf-8") -> Iterator[Iterator[bytes]]:
    """Open a text file as pieces of UTF-8 without byte order mark and without blank lines at the end.

    The last piece ends with a line end, whatever the file does. A byte that the encoding has not becomes
    bytes that are no UTF-8, so that its row is held like any other that cannot be decoded.

    Raises:
        Refused: WB-D-001 (nothing but line ends) or WB-D-004 (NUL bytes or UTF-16); ``rows`` counts the line
            ends behind the first line.
        ConfigurationError: WB-E-011 for an encoding that is not supported.
    """
    known = _checked(encoding)
    with path.open("rb") as handle:
        end = _content_end(handle, name)
        yield _pieces(handle, end, known)


def _checked(encoding: str) -> str:
    known = ""
    try:
        known = codecs.lookup(encoding).name
    except LookupError:
        known = ""
    if not known.startswith(_ENCODINGS):
        what = "A feed names an encoding that is not supported."
        raise ConfigurationError("WB-E-011", what, f"encoding {encoding!r}")
    return known


def _content_end(handle: BinaryIO, name: str) -> int:
    """Return the offset behind the last byte that is no line end."""
    end = offset = lines = 0
    is_text = True
    while piece := handle.read(_PIECE):
        is_text &= b"\0" not in piece and not (offset == 0 and piece.startswith(UTF16_MARKS))
        if stripped := len(piece.rstrip(b"\r\n")):
            end = offset + stripped
        lines += 0 if is_text else piece.count(b"\n")
        offset += len(piece)
    if not is_text:
        raise Refused("WB-D-004", name, rows=max(lines - 1, 0))
    if end == 0 or (end == 3 and _starts_with_mark(handle)):
        raise Refused("WB-D-001", name)
    return end


def _starts_with_mark(handle: BinaryIO) -> bool:
    handle.seek(0)
    return handle.read(3) == codecs.BOM_UTF8


def _pieces(handle: BinaryIO, end: int, encoding: str) -> Iterator[bytes]:
    start = 3 if _starts_with_mark(handle) else 0
    handle.seek(start)
    left = end - start
    while left:
        piece = handle.read(min(_PIECE, left))
        left -= len(piece)
        if encoding != "utf-8":
            piece = piece.decode(encoding, "surrogateescape").encode("utf-8", "surrogatepass")
        yield piece if left else piece + b"\n"
