"""What passes from a reader to the walk: deliveries, chunks of text rows, and two ways to say no."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

# Rows that could not be taken, by file, record number, column (null: the whole row) and rule code.
HELD_SCHEMA: Final = {"_file": pl.String, "_row": pl.Int64, "column": pl.String, "rule": pl.String}

CHUNK_ROWS: Final = 250_000  # keeps memory flat: about 150 MB of text for a wide file


@dataclass(frozen=True)
class Delivery:
    """One landed delivery.

    Attributes:
        feed: the feed it arrived in.
        name: file or folder name as the partner sent it.
        stream: the name before its date, e.g. ``attendance``; deliveries of one stream restate each other.
        period_start, period_end: the days it speaks for; None where the name has no date.
        revision: 1 for the first, from ``_r2`` onwards for restated ones.
        batch_id: SHA-256 of its feed, what its name declares, and its content; hex.
        files: member name (relative, with "/") → readable path. A single file has one member, its own name.
    """

    feed: str
    name: str
    stream: str
    batch_id: str
    period_start: date | None = None
    period_end: date | None = None
    revision: int = 1
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Order of what deliveries say about the same key; never the time of arrival."""
        day = self.period_end.isoformat() if self.period_end else "0000-00-00"
        return f"{day}.{self.revision:03d}"


@dataclass(frozen=True)
class Chunk:
    """Some records of one resource as text.

    Attributes:
        resource: the contract's resource name.
        rows: String columns named by the contract's headers, plus ``_file`` and ``_row``
            (1-based record number; a CSV's header is row 1). A missing cell is null.
        held: ``HELD_SCHEMA``; rows that are not in ``rows`` because their format could not be read.
        deletes: the rows name keys that the source deleted; only key columns are present.
    """

    resource: str
    rows: pl.DataFrame
    held: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=HELD_SCHEMA))
    deletes: bool = False

    @property
    def read(self) -> int:
        """Number of source rows that this chunk accounts for."""
        return self.rows.height + (self.held.select("_file", "_row").n_unique() if self.held.height else 0)


class Deferred(Exception):
    """The delivery is not complete yet; nothing of it is taken and the next run tries again."""

    def __init__(self, rule: str, file: str = "") -> None:
        super().__init__(rule)
        self.rule = rule
        self.file = file


class Refused(Exception):
    """The whole delivery is held under one rule.

    ``file`` and ``columns`` name the member and the headers at fault (names of columns, never values);
    ``rows`` is how many records were counted in it, as far as they could be.
    """

    def __init__(self, rule: str, file: str = "", columns: Iterable[str] = (), rows: int = 0) -> None:
        super().__init__(rule)
        self.rule = rule
        self.file = file
        self.columns = tuple(columns)
        self.rows = rows


def held_rows(file: str, rows: Iterable[int], rule: str, column: str | None = None) -> pl.DataFrame:
    """Build held rows of one file that share a rule and column."""
    numbers = list(rows)
    return pl.DataFrame(
        {
            "_file": [file] * len(numbers),
            "_row": numbers,
            "column": [column] * len(numbers),
            "rule": [rule] * len(numbers),
        },
        schema=HELD_SCHEMA,
    )
