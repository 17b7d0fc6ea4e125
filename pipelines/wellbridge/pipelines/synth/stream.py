"""Streams of CSV files: one file a night, defects planted, removals noted, the fate of each row known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl

from wellbridge.pipelines.synth.district import Plan
from wellbridge.pipelines.synth.people import never_rostered
from wellbridge.pipelines.synth.truth import Place, Truth
from wellbridge.pipelines.synth.writing import CsvFile, sidecar

OPTED_OUT: Final = "WB-P-003"
_STRANGERS: Final = 10_000  # more than the strangers of one stream


@dataclass(frozen=True)
class Flaw:
    """One way to spoil a row.

    Attributes:
        rule: the code that must hold the row.
        column: the header at fault, "" where the whole row is.
        value: what the cell is given instead.
        how: ``cell`` sets the cell of a true row; ``ragged`` drops its last field; ``bytes`` ends the cell
        in a
            Latin-1 byte; ``again`` repeats a good row with another cell (a duplicate); ``stranger`` copies
            a good
            row for a student number never rostered.
        fresh: the column of the record's own id; a row that is a copy gets a new one.
        where: column that must not be empty for the row to be chosen.
        salt: of a ``stranger``: which student numbers are taken, so that no two rows share one.
    """

    rule: str
    column: str = ""
    value: str = ""
    how: Literal["cell", "ragged", "bytes", "again", "stranger"] = "cell"
    fresh: str = ""
    where: str = ""
    salt: int = 0

    @property
    def is_copy(self) -> bool:
        """Whether the spoilt row is one more row, which no true event stands behind."""
        return self.how in {"again", "stranger"}


@dataclass(frozen=True)
class Layout:
    """What a stream's files look like.

    Attributes:
        feed, resource: where the rows are counted.
        stem: file name before the date.
        header: column names in order.
        flaws: what is planted.
        is_range: the first night's file names the days from the first of the year.
        has_sidecar: files come with ``.done``.
        is_partner: rows of children who opted out are removed.
        quote, header_line: how the file is quoted.
    """

    feed: str
    stem: str
    header: tuple[str, ...]
    flaws: tuple[Flaw, ...] = ()
    is_range: bool = False
    has_sidecar: bool = True
    is_partner: bool = True
    quote: Literal["necessary", "always"] = "necessary"
    header_line: str | None = None

    def name(self, stamp: str) -> str:
        """Return the file's name for a date part."""
        return f"{self.stem}_{stamp}.csv"


class Stream:
    """The files of one stream over all nights.

    ``put`` takes frames with the header's columns as text, ``index`` (the person) and whatever else; rows
    may have
    ``opt_out`` (text, "" for none) and ``is_fixed`` (true: never choose the row for a defect).
    """

    def __init__(self, plan: Plan, truth: Truth, layout: Layout, *, late: bool = False) -> None:
        self.plan, self.truth, self.layout, self.late = plan, truth, layout, late and plan.nights > 1
        self._number = 0
        self.files = {night: self._file(night) for night in range(1, plan.nights + 1)}
        self.silent: set[int] = set()  # nights whose whole file is held: no row of it counts

    def arrival(self, night: int) -> int:
        """Return the night in which a night's file arrives; a late stream's first comes in the second."""
        return 2 if self.late and night == 1 else night

    def label(self, night: int) -> str:
        """Return the name under which rows of a night's file are told of."""
        return self.files[night].path.name

    def _file(self, night: int, header_line: str | None = None) -> CsvFile:
        layout = self.layout
        path = self.plan.folder(self.arrival(night), layout.feed) / layout.name(
            self.plan.stamp(night, layout.is_range)
        )
        return CsvFile(path, layout.header, quote=layout.quote, header_line=header_line or layout.header_line)

    def drift(self, night: int, column: str, renamed: str) -> None:
        """Send a night's file with one column renamed: it is held whole (WB-D-003)."""
        self.files[night].close()
        line = ",".join(renamed if name == column else name for name in self.layout.header)
        self.files[night] = self._file(night, line)
        self.silent.add(night)
        name = self.files[night].path.name
        self.truth.delivery(
            self.arrival(night), self.layout.feed, name, "WB-D-003", f"column {column} renamed"
        )

    def put(self, night: int, frame: pl.DataFrame, block: int) -> pl.DataFrame:
        """Write a block's rows of one night; return them with ``kept``: no rule holds or removes the row."""
        rng = self.plan.rng(block, f"{self.layout.feed}/{self.layout.stem}/{night}")
        chosen = self._choose(rng, night, frame, block)
        spoilt = {row for flaw, row in chosen if not flaw.is_copy}
        is_good = np.ones(frame.height, dtype=np.bool_)
        is_good[sorted(spoilt)] = False
        good = frame.filter(pl.Series(is_good))
        first = self.files[night].rows(good)
        self._removals(night, good, first)
        for flaw, row in chosen:
            self._spoil(night, flaw, frame.row(row, named=True))
        kept = is_good & ~self._is_removed(frame).to_numpy() & (night not in self.silent)
        self._count(night, good.height + len(chosen))
        return frame.with_columns(pl.Series("kept", kept))

    def _count(self, night: int, rows: int) -> None:
        what = "held_whole" if night in self.silent else "read"
        self.truth.count(self.layout.feed, self.layout.stem, what, rows)

    def _is_removed(self, frame: pl.DataFrame) -> pl.Series:
        if not self.layout.is_partner or "opt_out" not in frame.columns:
            return pl.Series(np.zeros(frame.height, dtype=np.bool_))
        return frame["opt_out"] != ""

    def _removals(self, night: int, good: pl.DataFrame, first: int) -> None:
        if night in self.silent:
            return
        rows = np.flatnonzero(self._is_removed(good).to_numpy())
        name = self.label(night)
        for row in rows:
            place = Place(self.layout.feed, self.layout.stem, name, first + int(row), self.arrival(night))
            self.truth.removal(place, OPTED_OUT)

    def due(self, night: int, block: int) -> list[Flaw]:
        """All flaws in the first night, then one kind a night; none in the second, which may be restated."""
        flaws = self.layout.flaws
        if night in self.silent or not flaws or night == 2:
            return []
        if night == 1:
            return [flaw for flaw in flaws for _ in range(self.plan.defects(block))]
        return [flaws[night % len(flaws)]] if block == 0 else []

    def _choose(
        self, rng: np.random.Generator, night: int, frame: pl.DataFrame, block: int
    ) -> list[tuple[Flaw, int]]:
        """Choose a row for each flaw due; no row twice, and at most half of the rows are spoilt."""
        able = ~self._is_removed(frame).to_numpy()
        if "is_fixed" in frame.columns:
            able &= ~frame["is_fixed"].to_numpy()
        free = [int(row) for row in rng.permutation(np.flatnonzero(able))]
        most = len(free) // 2
        chosen: list[tuple[Flaw, int]] = []
        for flaw in self.due(night, block):
            row = next((r for r in free if not flaw.where or frame[flaw.where][r]), None)
            if row is None or (not flaw.is_copy and most == 0):
                continue
            free.remove(row)
            most -= not flaw.is_copy
            chosen.append((flaw, row))
        return chosen

    def _spoil(self, night: int, flaw: Flaw, row: dict[str, object]) -> None:
        file, header = self.files[night], self.layout.header
        cells = {name: "" if row[name] is None else str(row[name]) for name in header}
        self._number += 1
        if flaw.fresh:
            cells[flaw.fresh] = f"{cells[flaw.fresh]}-{self._number}"
        if flaw.salt:
            cells[flaw.column] = never_rostered(1, flaw.salt * _STRANGERS + self._number)[0]
        elif flaw.column and flaw.how != "bytes":
            cells[flaw.column] = flaw.value
        number = file.raw(_line(file, flaw, list(cells.values())))
        layout = self.layout
        place = Place(layout.feed, layout.stem, self.label(night), number, self.arrival(night))
        self.truth.defect(place, flaw.column, flaw.rule)

    def close(self) -> None:
        """End the files and write their sidecars."""
        for file in self.files.values():
            file.close()
            if self.layout.has_sidecar:
                sidecar(file.path)


def _line(file: CsvFile, flaw: Flaw, cells: list[str]) -> bytes:
    if flaw.how == "ragged":
        return file.text(cells[:-1]).encode()
    if flaw.how == "bytes":
        return file.text(
            [
                cell if name != flaw.column else f"{cell}\N{LATIN SMALL LETTER E WITH ACUTE}"
                for name, cell in zip(file.header, cells, strict=True)
            ]
        ).encode("latin-1", "replace")
    return file.text(cells).encode()
