"""Says whether a delivery has arrived whole: by its sidecar, or by how its text ends (trust.md T25)."""

from __future__ import annotations

import codecs
import hashlib
import re
from pathlib import Path
from typing import Final

from wellbridge.etl.reading import Deferred

_RULE: Final = "WB-D-002"
_SIDECAR: Final = re.compile(rb"([0-9a-fA-F]{64})  (\d{1,15})\r?\n?")


def check_sidecar(path: Path) -> bool:
    """Compare a file with ``FILE.done`` beside it, one line ``SHA256  SIZE``; say whether there is a sidecar.

    Raises:
        Deferred: WB-D-002 when the sidecar is there and the file, or the sidecar itself, is not whole yet.
    """
    sidecar = path.with_name(path.name + ".done")
    if not sidecar.is_file():
        return False
    with sidecar.open("rb") as handle:
        stated = _SIDECAR.fullmatch(handle.read(128))
    if stated is None or int(stated[2]) != path.stat().st_size or stated[1].lower() != _sha256(path):
        raise Deferred(_RULE, path.name)
    return True


def check_text_end(path: Path) -> None:
    """Expect a text file without a sidecar to end with a line end; a file of no bytes is complete.

    So is one that says it is UTF-16 and ends as that does: it is whole, and its reader refuses it for what it is.

    Raises:
        Deferred: WB-D-002 when the last line may still be growing.
    """
    with path.open("rb") as handle:
        size = path.stat().st_size
        if not size:
            return
        start = handle.read(2)
        handle.seek(-min(size, 2), 2)
        end = handle.read()
        is_utf_16 = start == codecs.BOM_UTF16_LE and end in (b"\n\0", b"\r\0")
        if end[-1:] not in b"\r\n" and not is_utf_16:
            raise Deferred(_RULE, path.name)


def check_complete(path: Path) -> None:
    """Check a text file by its sidecar where it has one, else by its end.

    Raises:
        Deferred: WB-D-002.
    """
    if not check_sidecar(path):
        check_text_end(path)


def _sha256(path: Path) -> bytes:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest().encode()
