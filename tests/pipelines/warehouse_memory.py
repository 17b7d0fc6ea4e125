"""An empty warehouse in memory, and rows for it, for tests of what is derived from the warehouse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
from duckdb_engine import Dialect
from sqlalchemy.schema import CreateTable

from wellbridge.etl.store import Store
from wellbridge.schemas.warehouse import METADATA


def empty_warehouse() -> Store:
    store = Store(Path("memory"), duckdb.connect(config={"threads": 2}))
    for table in METADATA.sorted_tables:
        store.run(str(CreateTable(table).compile(dialect=Dialect())))
    return store


def insert(store: Store, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert rows; a column that no row names is null."""
    rows = list(rows)
    names = sorted({name for row in rows for name in row})
    if not rows:
        return
    marks = ", ".join("?" for _ in names)
    statement = " ".join(("INSERT INTO", table, "(", ", ".join(names), ") VALUES (", marks, ")"))
    store.connection.executemany(statement, [[row.get(name) for name in names] for row in rows])
