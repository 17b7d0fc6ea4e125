"""Sealing of files at rest with the site's key: chunked AES-256-GCM that shows every change or cut.

Layout: magic(8) ‖ nonce(12) ‖ chunks. A chunk is 1 MiB of plain text plus its tag; the last one is marked in the
associated data, so that a file cut at a chunk's edge does not open (the STREAM construction, Hoang et al. 2015).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from wellbridge.schemas.errors import StoreError

MAGIC: Final = b"WBSEAL01"
CHUNK_BYTES: Final = 1 << 20
_TAG_BYTES: Final = 16
_KEY_BYTES: Final = 32
_OPEN_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL


def new_key(path: Path) -> None:
    """Write a new random 256-bit key, readable by its owner alone."""
    with os.fdopen(os.open(path, _OPEN_FLAGS, 0o600), "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))


def read_key(path: Path) -> bytes:
    """Read a key.

    Raises:
        StoreError: WB-E-050 when it is missing, WB-E-051 when others may read it, WB-E-052 when it is no key.
    """
    key = read_private(path)
    if len(key) != _KEY_BYTES:
        raise StoreError("WB-E-052", f"A key has {_KEY_BYTES} bytes; this file has not.", f"file {path.name}")
    return key


def read_private(path: Path) -> bytes:
    """Read the file of a key that its owner alone may read.

    Raises:
        StoreError: WB-E-050 when it is missing, WB-E-051 when others may read it.
    """
    if not path.is_file() or path.is_symlink():
        raise StoreError("WB-E-050", "The site's key is missing.", f"file {path.name}")
    if path.stat().st_mode & 0o077:
        raise StoreError("WB-E-051", "The site's key can be read by other accounts.", f"file {path.name}")
    return path.read_bytes()


def private_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, that only their owner may enter.

    ``Path.mkdir(parents=True, mode=…)`` gives the mode to the last folder alone.
    """
    for folder in (*reversed(path.parents), path):
        folder.mkdir(exist_ok=True, mode=0o700)


def private_file(path: Path) -> BinaryIO:
    """Open a new file for writing that only its owner may read."""
    return os.fdopen(os.open(path, _OPEN_FLAGS, 0o600), "wb")


def wrote_new(path: Path, write: Callable[[BinaryIO], object]) -> bool:
    """Write a new file that only its owner may read and that outlives a power cut.

    Args:
        path: where to.
        write: puts the content into the open file.

    Returns:
        Whether it is written. It is not where a file of that name exists, or the folder does not take one; what the
        system said stays here, for it names paths.
    """
    try:
        with private_file(path) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return False
    return True


def wrote_whole(path: Path, write: Callable[[BinaryIO], object]) -> bool:
    """Write such a file in the place of what is there, all of it or nothing; see ``wrote_new``."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        is_written = wrote_new(aside, write)
        if is_written:
            aside.replace(path)
    except OSError:
        is_written = False
    finally:
        if aside.parent.is_dir():
            aside.unlink(missing_ok=True)
    return is_written


class Sealer:
    """Seals byte streams into files and opens them again."""

    def __init__(self, key: bytes) -> None:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - a night with nothing new seals nothing
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        self._aead, self._invalid = AESGCM(key), InvalidTag

    def seal(self, source: BinaryIO, target: BinaryIO) -> None:
        """Write ``source`` sealed to ``target``."""
        base = secrets.token_bytes(12)
        target.write(MAGIC + base)
        number = 0
        chunk = source.read(CHUNK_BYTES)
        while True:
            following = source.read(CHUNK_BYTES)
            target.write(self._aead.encrypt(_nonce(base, number), chunk, b"more" if following else b"last"))
            if not following:
                return
            chunk, number = following, number + 1

    def open(self, source: BinaryIO, target: BinaryIO) -> None:
        """Write the plain text of ``source`` to ``target``.

        Raises:
            StoreError: WB-E-052 when a byte was changed, cut off, or another key sealed it.
        """
        header = source.read(len(MAGIC) + 12)
        intact = header.startswith(MAGIC) and self._open_chunks(header[len(MAGIC) :], source, target)
        if not intact:
            raise StoreError("WB-E-052", "A sealed file does not open with the site's key.")

    def _open_chunks(self, base: bytes, source: BinaryIO, target: BinaryIO) -> bool:
        number, chunk = 0, source.read(CHUNK_BYTES + _TAG_BYTES)
        while True:
            following = source.read(CHUNK_BYTES + _TAG_BYTES)
            try:
                plain = self._aead.decrypt(_nonce(base, number), chunk, b"more" if following else b"last")
            except self._invalid:
                return False
            target.write(plain)
            if not following:
                return True
            chunk, number = following, number + 1


def _nonce(base: bytes, number: int) -> bytes:
    return (int.from_bytes(base) ^ number).to_bytes(12)
