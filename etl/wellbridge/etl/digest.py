"""A digest per table of what the warehouse says: the yardstick of "the same warehouse".

It does not depend on row order, engine, run ids or the vault's random keys. A person's key is replaced by what the
warehouse says about that person: a first pass sums the hashes of all the person's rows (without any key), a second
hashes every row together with its person's sum. Record keys are treated the same way. Two warehouses with equal
digests tell the same about the same children; rows that say exactly the same about two children may be exchanged.
"""

from __future__ import annotations

import hashlib
from typing import Final

import polars as pl
import sqlalchemy as sa

from wellbridge.etl.store import Store, quoted
from wellbridge.schemas.classes import PrivacyClass
from wellbridge.schemas.warehouse import METADATA

_SKIPPED: Final = frozenset({"version", "batch_id", "subject_key"})
_NO_LEDGER: Final = frozenset({"fact", "dimension", "mart"})
_MODULUS: Final = 1 << 64


def digest(store: Store) -> dict[str, str]:
    """Return table name → SHA-256 of its logical content, for every table that is not a ledger of runs."""
    tables = [table for table in METADATA.sorted_tables if table.info["role"] in _NO_LEDGER]
    persons = _sums(store, tables, "person_key")
    records = {name: _record_sums(store, tables, name, persons) for name in _record_keys(tables)}
    return {table.name: _table_digest(store, table, persons, records) for table in tables}


def _record_keys(tables: list[sa.Table]) -> list[str]:
    """Names of keys of records and staff; a key of that name means the same record in every table."""
    return sorted(
        {
            column.name
            for table in tables
            for column in table.columns
            if column.info["privacy"] is PrivacyClass.KEY and column.name not in {"person_key", "subject_key"}
        }
    )


def _row_hash(table: sa.Table) -> str:
    """SQL of a row's hash over its columns that are no keys; the same text on every engine."""
    cells = [
        f"coalesce(CAST({quoted(column.name)} AS VARCHAR), '∅')"
        for column in table.columns
        if column.name not in _SKIPPED and column.info["privacy"] is not PrivacyClass.KEY
    ]
    parts = ", ".join((f"'{table.name}'", *cells))
    return f"md5(concat_ws('|', {parts}))"


def _number(text: str) -> str:
    """SQL of the first 60 bits of a hex hash as a number, summed without overflow in a HUGEINT."""
    return f"CAST(concat('0x', substr({text}, 1, 15)) AS BIGINT)"


def _sums(store: Store, tables: list[sa.Table], key: str) -> pl.DataFrame:
    parts = [
        f"SELECT {quoted(key)} AS key, {_number(_row_hash(table))} AS h FROM {quoted(table.name)} "
        f"WHERE {quoted(key)} IS NOT NULL"
        for table in tables
        if key in table.columns
    ]
    union = " UNION ALL ".join(parts)
    return store.frame(f"SELECT key, CAST(sum(h) AS VARCHAR) AS label FROM ({union}) GROUP BY key")


def _record_sums(store: Store, tables: list[sa.Table], key: str, persons: pl.DataFrame) -> pl.DataFrame:
    parts = []
    for table in (t for t in tables if key in t.columns):
        person = "coalesce(p.label, '')" if "person_key" in table.columns else "''"
        join = "LEFT JOIN persons p ON p.key = t.person_key" if "person_key" in table.columns else ""
        text = f"md5(concat({_row_hash(table)}, {person}))"
        parts.append(
            f"SELECT t.{quoted(key)} AS key, {_number(text)} AS h FROM {quoted(table.name)} t {join} "
            f"WHERE t.{quoted(key)} IS NOT NULL"
        )
    union = " UNION ALL ".join(parts)
    return store.frame(
        f"SELECT key, CAST(sum(h) AS VARCHAR) AS label FROM ({union}) GROUP BY key",
        persons=persons,
    )


def _table_digest(
    store: Store, table: sa.Table, persons: pl.DataFrame, records: dict[str, pl.DataFrame]
) -> str:
    frames = {"persons": persons}
    labels, joins = [], []
    if "person_key" in table.columns:
        labels.append("coalesce(persons.label, '')")
        joins.append("LEFT JOIN persons ON persons.key = t.person_key")
    for name in (column.name for column in table.columns if column.name in records):
        frames[f"of_{name}"] = records[name]
        labels.append(f"coalesce(of_{name}.label, '')")
        joins.append(f"LEFT JOIN of_{name} ON of_{name}.key = t.{quoted(name)}")
    text = f"md5(concat_ws('|', {', '.join([_row_hash(table), *labels])}))"
    sql = f"SELECT {text} AS h FROM {quoted(table.name)} t {' '.join(joins)} ORDER BY h"
    rows = store.frame(sql, (), **frames)
    total = hashlib.sha256(f"{table.name}:{rows.height}\n".encode())
    total.update("\n".join(rows["h"]).encode())
    return total.hexdigest()
