"""A delivery taken through read, parse and validate, without stores: what is kept, deleted and held of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from wellbridge.etl.parsing import parse
from wellbridge.etl.reading import Deferred, Delivery, Refused
from wellbridge.etl.validation import validate
from wellbridge.pipelines.sources.source import source

HEALTH = Path(__file__).parents[3] / "shared" / "data" / "health"


def health(name: str) -> Path:
    """Return a sample of real health data, or skip."""
    path = HEALTH / name
    if not path.exists():
        pytest.skip(f"sample data not present: health/{name}")
    return path


@dataclass
class Taken:
    """What became of a delivery's rows.

    Attributes:
        read: rows that the source counted.
        kept: by resource, valid rows.
        deleted: by resource, rows of keys to delete.
        held: rows by (resource, column, rule); ``held_rows`` counts each row once.
    """

    read: int = 0
    kept: dict[str, pl.DataFrame] = field(default_factory=dict)
    deleted: dict[str, pl.DataFrame] = field(default_factory=dict)
    held: Counter[tuple[str, str | None, str]] = field(default_factory=Counter)
    held_rows: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Kept rows by resource."""
        return {name: rows.height for name, rows in self.kept.items() if rows.height}

    @property
    def rules(self) -> Counter[str]:
        """Held cells by rule."""
        found: Counter[str] = Counter()
        for (_, _, rule), rows in self.held.items():
            found[rule] += rows
        return found

    def only(self, resource: str) -> dict[str, Any]:
        """Return the one kept row of a resource."""
        (row,) = self.kept[resource].iter_rows(named=True)
        return row

    def add_up(self) -> bool:
        """Say whether every row read is kept, deleted or held."""
        rows = [*self.kept.values(), *self.deleted.values()]
        return self.read == sum(frame.height for frame in rows) + self.held_rows


def delivery(files: Mapping[str, Path], feed: str = "clinic", day: date = date(2026, 10, 19)) -> Delivery:
    """Return a delivery of these members."""
    return Delivery(feed, f"{feed}_{day}", feed, "0" * 64, day, day, files=files)


def folder(path: Path) -> dict[str, Path]:
    """Return a folder's members."""
    return {one.relative_to(path).as_posix(): one for one in sorted(path.rglob("*")) if one.is_file()}


def take(kind: str, files: Mapping[str, Path], **settings: Any) -> Taken:
    """Check and read a delivery and put its rows to their contracts."""
    origin, arrived, taken = source(kind), delivery(files), Taken()
    origin.check(arrived, settings)
    for chunk in origin.read(arrived, settings):
        taken.read += chunk.read
        held = chunk.held
        if chunk.deletes:
            _append(taken.deleted, chunk.resource, chunk.rows)
        elif chunk.rows.height:
            contract = origin.resources[chunk.resource].contract
            assert set(chunk.rows.columns) <= {*contract.headers, "_file", "_row"}
            split = validate(parse(chunk.rows, contract), contract)
            _append(taken.kept, chunk.resource, split.kept)
            held = pl.concat([held, split.held])
        taken.held_rows += held.select("_file", "_row").n_unique() if held.height else 0
        for column, rule in held.select("column", "rule").iter_rows():
            taken.held[chunk.resource, column, rule] += 1
    return taken


def _append(rows: dict[str, pl.DataFrame], resource: str, more: pl.DataFrame) -> None:
    rows[resource] = pl.concat([rows[resource], more], how="diagonal") if resource in rows else more


@contextmanager
def waits(rule: str) -> Iterator[None]:
    """Expect a delivery to be deferred under a rule."""
    with pytest.raises(Deferred) as found:
        yield
    assert found.value.rule == rule


@contextmanager
def is_refused(rule: str) -> Iterator[Any]:
    """Expect a delivery to be held whole under a rule."""
    with pytest.raises(Refused) as found:
        yield found
    assert found.value.rule == rule


def shaped(kind: str, resource: str, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Shape kept rows as the walk does after linking, with made-up keys in place of identifiers."""
    of = source(kind).resources[resource]
    keys = [
        pl.col(column.name).alias(column.key_name) for column in of.contract.columns.values() if column.ids
    ]
    keyed = rows.with_columns(*keys).with_columns(pl.col("subject_key").alias("person_key"))
    assert of.shape is not None
    return of.shape(keyed.with_row_index("_id"))
