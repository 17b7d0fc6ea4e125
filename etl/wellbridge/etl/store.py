"""The two stores of a site on DuckDB, and the one place where DuckDB's failures become safe errors.

DuckDB's messages quote values and whole lines, so none of them goes on: ``StoreError`` names the step only.
A database is created at a temporary name, closed, synced and renamed: a kill during DuckDB's very first write
would else leave an empty file that it refuses to open for ever.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl
import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from wellbridge.etl.failpoint import reach
from wellbridge.etl.landing import sync
from wellbridge.schemas.errors import StoreError

READER_SECONDS: Final = (
    20  # that a change waits for a command that reads; the site's lock keeps other changes out
)
MEMORY_LIMIT: Final = "1GB"  # the rest spills to the state folder, so memory stays flat in delivery size
# Files of our oldest DuckDB: since 1.3 it writes texts in a form that takes a third less time than the default.
STORAGE_VERSION: Final = "v1.5.0"


def quoted(name: str) -> str:
    """Quote an identifier; names come from our own table metadata or a contract, never from a file."""
    return '"' + name.replace('"', '""') + '"'


def columns_sql(names: Sequence[str], prefix: str = "") -> str:
    """Join quoted column names, each with the prefix ``prefix.``."""
    return ", ".join(f"{prefix}.{quoted(name)}" if prefix else quoted(name) for name in names)


class _Lent:
    """A frame lent to DuckDB for one statement.

    What is registered stays in memory until the transaction ends, because the dropped view may still be rolled back:
    all rows of a night, if it were the frames themselves.
    """

    def __init__(self, frame: pl.DataFrame, form: pl.CompatLevel | None) -> None:
        self._frame: pl.DataFrame | None = frame
        self._form = form

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the frame as a stream of Arrow's C interface."""
        assert self._frame is not None
        return self._frame.to_arrow(compat_level=self._form).__arrow_c_stream__(requested_schema)

    def take_back(self) -> None:
        """Let go of the frame."""
        self._frame = None


class Store:
    """One open DuckDB database; a context manager that closes it."""

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self.path = path
        self.connection = connection

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def run(self, sql: str, parameters: Sequence[Any] = (), **frames: pl.DataFrame) -> int:
        """Execute a statement with frames as tables of their names; return the number of rows it changed.

        Raises:
            StoreError: WB-E-050, without DuckDB's message.
        """
        with self._registered(frames):
            result = self._execute(sql, parameters).fetchone()
        return int(result[0]) if result and isinstance(result[0], int) else 0

    def append(self, table: str, rows: pl.DataFrame) -> None:
        """Add rows to a table, column by name.

        Texts go as views, without a copy. Other statements cannot have them so: Arrow would have to compare views.
        """
        names = columns_sql(rows.columns)
        with self._registered({"incoming": rows}, pl.CompatLevel.newest()):
            self._execute(f"INSERT INTO {quoted(table)} ({names}) SELECT {names} FROM incoming", ())

    def frame(self, sql: str, parameters: Sequence[Any] = (), **frames: pl.DataFrame) -> pl.DataFrame:
        """Return a query's rows."""
        with self._registered(frames):
            found: pl.DataFrame = self._execute(sql, parameters).pl()
        return found

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the first column of a query's only row; None where there is no row."""
        row = self._execute(sql, parameters).fetchone()
        return row[0] if row else None

    def _execute(self, sql: str, parameters: Sequence[Any]) -> duckdb.DuckDBPyConnection:
        failed = ""
        try:
            return self.connection.execute(sql, list(parameters))
        except duckdb.Error as error:
            failed = type(error).__name__
        raise StoreError(
            "WB-E-050", "The store refused a statement.", f"store {self.path.name} · {failed} · {_step(sql)}"
        )

    @contextmanager
    def _registered(
        self, frames: Mapping[str, pl.DataFrame], form: pl.CompatLevel | None = None
    ) -> Iterator[None]:
        lent = {name: _Lent(frame, form) for name, frame in frames.items()}
        for name, frame in lent.items():
            self.connection.register(name, frame)
        try:
            yield
        finally:
            for name, frame in lent.items():
                self.connection.unregister(name)
                frame.take_back()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit at the end, or roll back when anything is raised."""
        self.run("BEGIN TRANSACTION")
        try:
            yield
        except BaseException:
            self.connection.rollback()
            raise
        self.run("COMMIT")


def _step(sql: str) -> str:
    words = sql.split()
    return " ".join(words[:3]) if words else ""


def open_store(path: Path, metadata: sa.MetaData, *, read_only: bool = False) -> Store:
    """Open a store, creating it and any missing tables first unless ``read_only``.

    Raises:
        StoreError: WB-E-050 when it cannot be opened, WB-E-051 when other accounts may read it.
    """
    if not path.exists() and not read_only:
        _create(path, metadata)
    if not path.exists():
        raise StoreError(
            "WB-E-050", "The store does not exist yet.", f"store {path.name}", todo="wellbridge run"
        )
    if path.stat().st_mode & 0o077:
        raise StoreError("WB-E-051", "The store can be read by other accounts.", f"store {path.name}")
    store = Store(path, _connect(path, read_only=read_only))
    if not read_only:
        _add_missing_tables(store, metadata)
    return store


def _connect(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    spill = path.parent / "spill"
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "storage_compatibility_version": STORAGE_VERSION,
        "preserve_insertion_order": "false",
        "temp_directory": str(spill),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    failed, is_in_use = "", True
    patient_until = time.monotonic() + (0 if read_only else READER_SECONDS)
    while is_in_use:
        failed, is_in_use = "", False
        try:
            connection = duckdb.connect(str(path), read_only=read_only, config=settings)
        except duckdb.Error as error:
            failed = type(error).__name__
            is_in_use = "Could not set lock" in str(error) and time.monotonic() < patient_until
        if is_in_use:
            time.sleep(0.05)
    if failed:
        raise StoreError("WB-E-050", "The store cannot be opened.", f"store {path.name} · {failed}")
    if (
        not read_only
    ):  # the client spins while a second thread works: a third more CPU, and a night is no sooner done
        connection.execute("SET threads = 1")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _create(path: Path, metadata: sa.MetaData) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(".new")
    for stale in (temporary, temporary.with_suffix(".new.wal")):
        stale.unlink(missing_ok=True)
    old_mask = os.umask(0o077)
    try:
        with Store(temporary, _connect(temporary, read_only=False)) as store:
            _add_missing_tables(store, metadata)
    finally:
        os.umask(old_mask)
    sync(temporary)
    reach("store.created")
    temporary.rename(path)
    sync(path.parent)


def rewrite(path: Path, metadata: sa.MetaData) -> None:
    """Write a store anew, so that no block of its file holds what was deleted: DuckDB's own DELETE leaves it there.

    Nobody else may have it open. A kill leaves the old file or the new one.
    """
    temporary = path.with_suffix(".rewritten")
    for stale in (temporary, temporary.with_suffix(".rewritten.wal")):
        stale.unlink(missing_ok=True)
    old_mask = os.umask(0o077)
    try:
        with (
            Store(path, _connect(path, read_only=True)) as old,
            Store(temporary, _connect(temporary, read_only=False)) as new,
        ):
            _add_missing_tables(new, metadata)
            for table in metadata.sorted_tables:
                new.append(table.name, old.frame(f"SELECT * FROM {quoted(table.name)}"))
    finally:
        os.umask(old_mask)
    sync(temporary)
    reach("store.rewritten")
    temporary.rename(path)
    sync(path.parent)


def _add_missing_tables(store: Store, metadata: sa.MetaData) -> None:
    present = set(store.frame("SELECT table_name FROM information_schema.tables")["table_name"])
    missing = [table for table in metadata.sorted_tables if table.name not in present]
    if not missing:
        return
    from duckdb_engine import Dialect  # noqa: PLC0415 - brings every dialect of SQLAlchemy, and few nights make tables

    for table in missing:
        store.run(str(CreateTable(table).compile(dialect=Dialect())))
