"""Reads CDC WONDER's text exports: a table, and a footer that says what was asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from wellbridge.etl.readers.delimited import TAB, place_name, read_header, read_records
from wellbridge.etl.readers.text_source import open_text
from wellbridge.etl.reading import Refused

MAX_EXPORT: Final = 1 << 26  # bytes; WONDER itself stops at 75,000 rows, about 20 MiB

_FOOTER: Final = re.compile(rb'^"?---"?\r?\n', re.MULTILINE)
_KEYED: Final = re.compile(r"([A-Z][^:]{0,80}): (.*)")
_HEADED: Final = re.compile(r"(Footnotes|Caveats):\s*(.*)")


@dataclass(frozen=True)
class WonderExport:
    """One export.

    Attributes:
        rows: the columns that the export has, as String, cells stripped and empty ones null, ``_file`` and
            ``_row`` (1-based record number, the header being 1). A total has ``Total`` in ``Notes``.
        held: ``HELD_SCHEMA``.
        query: what the footer says, by name: Dataset, Title, Group By, Show Suppressed, Query Date, …,
            Footnotes and Caveats; empty where there is no footer.
    """

    rows: pl.DataFrame
    held: pl.DataFrame
    query: Mapping[str, str]


def read_wonder(path: Path, *, name: str) -> WonderExport:
    """Read an export (layout: seow-sources.md 2.2).

    Raises:
        Refused: WB-D-001 (no bytes), WB-D-003 (two columns of one name), WB-D-004 (not text) or WB-D-007
            (larger than 64 MiB).
    """
    data = b""
    with open_text(path, name) as pieces:
        for piece in pieces:
            data += piece
            if len(data) > MAX_EXPORT:
                raise Refused("WB-D-007", name)
    split = _FOOTER.search(data)
    table, footer = (data[:split.start()], data[split.end():]) if split else (data, b"")
    rows, held = _table(table, name)
    return WonderExport(rows, held, _query(footer.decode("utf-8", "replace")))


def _table(data: bytes, name: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    header, rest = read_header(iter([data]), TAB)
    if not header or len(set(header)) < len(header):
        doubled = [place_name(place) for place, column in enumerate(header, 1) if header.count(column) > 1]
        raise Refused("WB-D-003", name, doubled, max(data.count(b"\n") - 1, 0))
    chunks = list(read_records(iter([rest]), name=name, found=header, headers=header, dialect=TAB))
    rows, held = (pl.concat(frames) for frames in zip(*chunks, strict=True))
    stripped = pl.col(header).str.strip_chars()
    return rows.with_columns(pl.when(stripped != "").then(stripped).name.keep()), held


def _query(footer: str) -> dict[str, str]:
    """Return the footer's statements; a line without a name goes on with the statement before it."""
    query: dict[str, str] = {}
    current = ""
    for line in footer.splitlines():
        text = line.strip().removeprefix('"').removesuffix('"').replace('""', '"').strip()
        headed = _HEADED.fullmatch(text)
        keyed = None if current in ("Footnotes", "Caveats") else _KEYED.fullmatch(text)
        if text == "---":
            current = ""
        elif found := headed or keyed:
            current = found[1]
            query[current] = found[2]
        elif current and text != "Query Parameters:":
            query[current] = f"{query[current]} {text}".strip()
    return query
