"""Files that know their row numbers: CSV, NDJSON, JSON pages, HL7 batches and zips with fixed times.

Every file is streamed: rows go to disk as their block is made, and nothing is kept but a count.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final, Literal

import polars as pl

_ZIP_TIME: Final = (2026, 9, 1, 0, 0, 0)
_PIECE: Final = 1 << 20


class CsvFile:
    """A CSV file whose header is row 1."""

    def __init__(
        self,
        path: Path,
        header: Sequence[str],
        *,
        quote: Literal["necessary", "always"] = "necessary",
        header_line: str | None = None,
    ) -> None:
        self.path, self.header, self.quote = path, tuple(header), quote
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handle: BinaryIO = path.open("wb")
        self._handle.write(((header_line or ",".join(header)) + "\n").encode())
        self.last_row = 1

    def rows(self, frame: pl.DataFrame) -> int:
        """Write the header's columns, "" as a missing cell; return the number of the first row written."""
        first = self.last_row + 1
        cell = pl.col(self.header).cast(pl.String)
        frame.select(pl.when(cell != "").then(cell).name.keep()).write_csv(
            self._handle, include_header=False, quote_style=self.quote
        )
        self.last_row += frame.height
        return first

    def line(self, cells: Sequence[str]) -> int:
        """Write one row of text cells; return its number."""
        return self.raw(self.text(cells).encode())

    def raw(self, line: bytes) -> int:
        """Write one row as bytes, without its line end; return its number."""
        self._handle.write(line + b"\n")
        self.last_row += 1
        return self.last_row

    def text(self, cells: Sequence[str]) -> str:
        """Return the cells as a line, quoted as the file's other rows are."""
        return ",".join(_quoted(cell, self.quote == "always") for cell in cells)

    @property
    def data_rows(self) -> int:
        """Number of rows without the header."""
        return self.last_row - 1

    def close(self) -> None:
        """End the file."""
        self._handle.close()


def _quoted(cell: str, always: bool) -> str:
    if always or any(mark in cell for mark in ',"\n'):
        return '"' + cell.replace('"', '""') + '"'
    return cell


class LineFile:
    """A file of one record a line, no header (NDJSON, fixed width)."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._handle: BinaryIO = path.open("wb")
        self.last_row = 0

    def line(self, record: bytes) -> int:
        """Write one record; return its number."""
        self._handle.write(record + b"\n")
        self.last_row += 1
        return self.last_row

    def close(self) -> None:
        """End the file."""
        self._handle.close()


class Pages:
    """JSON pages of one Ed-Fi resource: arrays of at most ``size`` objects, or JSON lines."""

    def __init__(self, folder: Path, resource: str, *, size: int = 500, lines: bool = False) -> None:
        self.folder, self.resource, self.size, self.lines = folder, resource, size, lines
        self.total = 0
        self.members: list[tuple[str, int]] = []
        self._open: list[str] = []

    def add(self, objects: Sequence[str]) -> tuple[str, int]:
        """Write JSON texts; return the member and row of the first one."""
        first = self.place(self.total)
        self.total += len(objects)
        self._open.extend(objects)
        whole = len(self._open) // self.size * self.size
        for start in range(0, whole, self.size):
            self._write(self._open[start : start + self.size])
        del self._open[:whole]
        return first

    def place(self, position: int) -> tuple[str, int]:
        """Return the member and the 1-based row of the object at a position (from 0)."""
        return self._name(position // self.size), position % self.size + 1

    def _name(self, page: int) -> str:
        return f"{self.resource}/page-{page + 1:04d}.json{'l' if self.lines else ''}"

    def _write(self, objects: Sequence[str]) -> None:
        name = self._name(len(self.members))
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{o}\n" for o in objects) if self.lines else "[" + ",\n".join(objects) + "]\n"
        path.write_text(text, encoding="utf-8")
        self.members.append((name, len(objects)))

    def close(self) -> None:
        """Write the last page; a resource without objects has no page."""
        if self._open:
            self._write(self._open)
            self._open = []


def pack(folder: Path, target: Path) -> None:
    """Put the files of a folder into a zip, sorted by name and with fixed times, and remove the folder."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as package:
        for path in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(path.name, _ZIP_TIME)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            with path.open("rb") as source, package.open(entry, "w", force_zip64=True) as sink:
                shutil.copyfileobj(source, sink, _PIECE)
    shutil.rmtree(folder)


def sidecar(path: Path, *, of: Path | None = None) -> None:
    """Write ``FILE.done``: SHA-256 and size of the file, or of the whole file it is a part ``of``."""
    whole = of or path
    digest = hashlib.sha256()
    with whole.open("rb") as handle:
        while piece := handle.read(_PIECE):
            digest.update(piece)
    line = f"{digest.hexdigest()}  {whole.stat().st_size}\n"
    path.with_name(path.name + ".done").write_text(line, encoding="ascii")


def first_half(whole: Path, target: Path) -> None:
    """Write the first three fifths of a file's bytes, cut within a row, as a broken upload leaves them."""
    content = whole.read_bytes()
    cut = len(content) * 3 // 5
    while cut > 1 and content[cut - 1 : cut] == b"\n":
        cut -= 1
    target.write_bytes(content[:cut])
