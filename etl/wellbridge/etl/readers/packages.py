"""Opens zip archives and gzip files that strangers send, under limits that hold while they expand.

Nothing that an archive says about itself is believed: sizes are counted as bytes come out, entries may not
share bytes, and a member is written under the hash of its content, never under its own name.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from wellbridge.etl.reading import Deferred, Refused

MAX_PAGE: Final = 1 << 26  # bytes; 64 MiB, where an API's page of 500 records stays below one


@dataclass(frozen=True)
class Limits:
    """What an archive may cost.

    Attributes:
        ratio: expanded bytes for each packed byte; text stays below 30, bombs reach 1,000.
        floor_bytes: expanded size up to which the ratio is not looked at: small repetitive files pack well.
        entries: members.
        entry_bytes, total_bytes: expanded size of one member and of all.
    """

    ratio: int = 100
    floor_bytes: int = 1 << 23
    entries: int = 1_000
    entry_bytes: int = 1 << 32
    total_bytes: int = 1 << 33


LIMITS: Final = Limits()

_PIECE: Final = 1 << 18
_GZIP: Final = b"\x1f\x8b"
_LOCAL_MARK: Final = b"PK\x03\x04"
_END_MARK: Final = b"PK\x05\x06"
_ARCHIVES: Final = (
    _GZIP, _LOCAL_MARK, _END_MARK, b"BZh", b"7z\xbc\xaf", b"\xfd7zXZ", b"Rar!", b"\x28\xb5\x2f\xfd"
)
_END: Final = struct.Struct("<4s4H2LH")  # end of central directory, APPNOTE.TXT 4.3.16
_LOCAL: Final = struct.Struct("<4s5H3L2H")  # local file header, APPNOTE.TXT 4.3.7
_ENCRYPTED: Final = 0x2041  # flags: encrypted, strong encryption, masked header; APPNOTE.TXT 4.4.4
_MAX_DIRECTORY: Final = 1 << 22  # bytes; a thousand entries need about 100 kB
_RESERVED: Final = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


class _UnsafeError(Exception):
    pass


_UNREADABLE: Final = (
    _UnsafeError, zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile, NotImplementedError,
    RuntimeError, UnicodeError, struct.error, LookupError, ValueError, OverflowError,
)


class Package:
    """A zip archive whose directory passed every check.

    Attributes:
        names: its members' names, in the archive's order.
    """

    def __init__(self, path: Path, file: str, names: Sequence[str], limits: Limits) -> None:
        self.names = tuple(names)
        self._path = path
        self._file = file
        self._limits = limits
        self._total = 0

    def extract(self, name: str, to_dir: Path) -> Path:
        """Expand one member into ``to_dir``; return its path, whose name is the SHA-256 of its content.

        Raises:
            Refused: WB-D-007 when it expands beyond the limits, is damaged, or is an archive itself.
        """
        temp = to_dir / f".{hashlib.sha256(name.encode()).hexdigest()}.part"
        final = None
        try:
            final = to_dir / self._expand(name, temp)
            temp.replace(final)
        except _UNREADABLE:
            final = None
        finally:
            temp.unlink(missing_ok=True)
        if final is None:
            raise Refused("WB-D-007", self._file)
        return final

    def _expand(self, name: str, temp: Path) -> str:
        digest = hashlib.sha256()
        with (zipfile.ZipFile(self._path) as archive, archive.open(name) as source,
              _private(temp) as sink):
            packed = archive.getinfo(name).compress_size
            for piece in _counted(cast(BinaryIO, source), packed, self._limits):
                self._total += len(piece)
                if self._total > self._limits.total_bytes:
                    raise _UnsafeError
                digest.update(piece)
                sink.write(piece)
        return digest.hexdigest()


def open_zip(path: Path, *, name: str = "", nested: bool = False, limits: Limits = LIMITS) -> Package:
    """Check a zip archive's directory without expanding anything.

    Args:
        path: the archive.
        name: how messages call it; its file name by default.
        nested: members may lie in folders; OneRoster's may not (school-sources.md 1.1).
        limits: what expanding it may cost.

    Raises:
        Deferred: WB-D-002 when the directory at the end has not arrived yet.
        Refused: WB-D-001 (no bytes) or WB-D-007 (no zip, damaged, zip64, too large, or unsafe: names that
            leave the folder or equal one another, shared bytes, encryption, links, other packing).
    """
    name = name or path.name
    count = _check_end(path, name)
    names: list[str] | None = None
    try:
        with zipfile.ZipFile(path) as archive:
            names = _safe_names(path, archive, count, nested, limits)
    except _UNREADABLE:
        names = None
    if names is None:
        raise Refused("WB-D-007", name)
    return Package(path, name, names, limits)


def _check_end(path: Path, name: str) -> int:
    """Find the end of central directory, the record that only a complete zip file has; return its count."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        start = handle.read(4)
        handle.seek(max(0, size - _END.size - 0xFFFF))
        tail = handle.read()
    if not size:
        raise Refused("WB-D-001", name)
    if not start.startswith(_END_MARK) and not _LOCAL_MARK.startswith(start):
        raise Refused("WB-D-007", name)
    at = tail.rfind(_END_MARK)
    if at < 0 or len(tail) - at < _END.size:
        raise Deferred("WB-D-002", name)
    _, disk, first_disk, here, entries, length, offset, comment = _END.unpack_from(tail, at)
    missing = at + _END.size + comment - len(tail)
    if missing > 0:
        raise Deferred("WB-D-002", name)
    is_plain = (disk, first_disk, here) == (0, 0, entries) and offset + length == size - len(tail) + at
    if missing or not is_plain or length > _MAX_DIRECTORY:
        raise Refused("WB-D-007", name)
    return int(entries)


def _safe_names(
    path: Path, archive: zipfile.ZipFile, count: int, nested: bool, limits: Limits
) -> list[str] | None:
    """Return the names of the members, or None when anything in the directory is unsafe."""
    entries = archive.infolist()
    folded = {unicodedata.normalize("NFC", entry.orig_filename).casefold() for entry in entries}
    is_safe = (
        len(entries) == count <= limits.entries
        and len(folded) == len(entries)
        and all(_is_safe_name(entry.orig_filename, nested) for entry in entries)
        and all(_is_safe_entry(entry, limits) for entry in entries)
        and sum(entry.file_size for entry in entries) <= limits.total_bytes
        and not _overlap(path, entries, archive.start_dir)
    )
    is_folder = [entry.orig_filename.endswith("/") and not entry.file_size for entry in entries]
    names = [entry.filename for entry, skip in zip(entries, is_folder, strict=True) if not skip]
    return names if is_safe else None


def _is_safe_name(name: str, nested: bool) -> bool:
    """Say whether a name stays below its folder on every system: no drive, stream or reserved name either."""
    parts = (name.removesuffix("/") if nested else name).split("/")
    return (
        (nested or len(parts) == 1)
        and not re.search(r"[\x00-\x1f\x7f\\:]", name)
        and all(part not in ("", ".", "..") and part == part.rstrip(". ") for part in parts)
        and not any(_RESERVED.fullmatch(part) for part in parts)
    )


def _is_safe_entry(entry: zipfile.ZipInfo, limits: Limits) -> bool:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return (
        not entry.flag_bits & _ENCRYPTED
        and entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        and kind in (0, stat.S_IFREG, stat.S_IFDIR)
        and entry.file_size <= limits.entry_bytes
        and not _is_bomb(entry.file_size, entry.compress_size, limits)
    )


def _overlap(path: Path, entries: Sequence[zipfile.ZipInfo], directory: int) -> bool:
    """Say whether entries share bytes with one another or with the directory."""
    free = 0
    with path.open("rb") as handle:
        for entry in sorted(entries, key=lambda entry: entry.header_offset):
            if entry.header_offset < free:
                return True
            handle.seek(entry.header_offset)
            header = handle.read(_LOCAL.size)
            if len(header) < _LOCAL.size or not header.startswith(_LOCAL_MARK):
                return True
            *_, name_size, extra_size = _LOCAL.unpack(header)
            free = entry.header_offset + _LOCAL.size + name_size + extra_size + entry.compress_size
    return free > directory


@contextmanager
def open_expanded(path: Path, name: str, limits: Limits = LIMITS) -> Iterator[BinaryIO]:
    """Open a plain or gzip file for reading its expanded bytes; gzip is told by its first bytes.

    A gzip file is expanded once beforehand, so that its faults show before a record of it is used.

    Raises:
        Deferred: WB-D-002 when gzip data end early.
        Refused: WB-D-007 when they are damaged, expand beyond the limits or hold another archive.
    """
    with path.open("rb") as handle:
        start = handle.read(2)
    is_gzip = start == _GZIP
    if name.endswith(".gz") and not is_gzip and _GZIP.startswith(start):
        raise Deferred("WB-D-002", name)
    if name.endswith(".gz") and not is_gzip:
        raise Refused("WB-D-007", name)
    if is_gzip:
        _check_gzip(path, name, limits)
    with (gzip.open(path) if is_gzip else path.open("rb")) as opened:
        yield cast(BinaryIO, opened)


def _check_gzip(path: Path, name: str, limits: Limits) -> None:
    is_whole = is_sound = True
    try:
        with gzip.open(path) as source:
            for _ in _counted(cast(BinaryIO, source), path.stat().st_size, limits):
                pass
    except EOFError:
        is_whole = False
    except _UNREADABLE:
        is_sound = False
    if not is_whole:
        raise Deferred("WB-D-002", name)
    if not is_sound:
        raise Refused("WB-D-007", name)


def _counted(source: BinaryIO, packed: int, limits: Limits) -> Iterator[bytes]:
    """Yield expanded pieces as long as they stay within the limits and are no archive themselves."""
    count = 0
    while piece := source.read(_PIECE):
        if not count and piece.startswith(_ARCHIVES):
            raise _UnsafeError
        count += len(piece)
        if count > limits.entry_bytes or _is_bomb(count, packed, limits):
            raise _UnsafeError
        yield piece


def _is_bomb(expanded: int, packed: int, limits: Limits) -> bool:
    return expanded > limits.floor_bytes and expanded > limits.ratio * packed


def _private(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb")
