"""Where a night's rows wait to be placed: in memory while they are few, else in its private work folder."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import polars as pl

IN_MEMORY_ROWS: Final = 1_500_000  # of the whole night, about 400 MB of attendance: memory stays flat beyond


class Shelf:
    """Keeps frames of one night until they are taken."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._frames: dict[int, pl.DataFrame] = {}
        self._count = 0

    def put(self, rows: pl.DataFrame) -> int:
        """Keep a frame; return its number."""
        number, self._count = self._count, self._count + 1
        if sum(frame.height for frame in self._frames.values()) + rows.height <= IN_MEMORY_ROWS:
            self._frames[number] = rows
        else:
            rows.write_ipc(self._path(number), compression="uncompressed")
            self._path(number).chmod(0o600)
        return number

    def take(self, number: int) -> pl.DataFrame:
        """Return a frame and let it go; a file is read whole, because a mapped one would stay as memory."""
        if number in self._frames:
            return self._frames.pop(number)
        rows = pl.read_ipc(io.BytesIO(self._path(number).read_bytes()))
        self._path(number).unlink()
        return rows

    def drop(self, number: int) -> None:
        """Let a frame go unread."""
        self._frames.pop(number, None)
        self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"rows-{number:06d}.arrow"
