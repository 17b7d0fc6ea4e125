"""Loading: rows into the warehouse so that any order of deliveries ends in the same tables.

UPSERT tables: the highest row version of a key wins; a tombstone keeps an older row from coming back.
PERIOD tables: each day of a stream is owned by one delivery, and a row is there exactly if its delivery owns its day.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import polars as pl
import sqlalchemy as sa

from wellbridge.etl.store import Store, quoted
from wellbridge.privacy.policy import check_loadable
from wellbridge.schemas.warehouse import METADATA

_PROVENANCE: Final = frozenset({"version", "batch_id"})
_LINKED: Final = frozenset({"person_key"})  # follows from subject_key, so a new link is no new content


@dataclass(frozen=True)
class Claim:
    """What one delivery of a PERIOD stream claims to speak for."""

    batch_id: str
    start: date
    end: date
    revision: int

    @property
    def priority(self) -> tuple[int, int, str, str]:
        """A higher revision wins; on equal ones the shorter, then the later period; then a fixed order."""
        return (self.revision, -(self.end - self.start).days, self.end.isoformat(), self.batch_id)


def owned_days(claim: Claim, others: Iterable[Claim]) -> list[tuple[date, date]]:
    """Return the inclusive day ranges that ``claim`` owns against all other deliveries of its stream."""
    stronger = [other for other in others if other.priority > claim.priority]
    ranges = [(claim.start, claim.end)]
    for other in stronger:
        ranges = [part for first, last in ranges for part in _without(first, last, other)]
    return ranges


def _without(first: date, last: date, other: Claim) -> list[tuple[date, date]]:
    if other.end < first or other.start > last:
        return [(first, last)]
    one_day = timedelta(days=1)
    before = [(first, other.start - one_day)] if other.start > first else []
    after = [(other.end + one_day, last)] if other.end < last else []
    return before + after


def insert(store: Store, table: sa.Table, rows: pl.DataFrame) -> None:
    """Add rows whose keys are known to be absent."""
    store.append(table.name, rows)


def replace_days(
    store: Store,
    table: sa.Table,
    rows: pl.DataFrame,
    day: str,
    ranges: Sequence[tuple[date, date]],
    olds: Sequence[str],
) -> pl.Series:
    """Put rows of owned days in place of what weaker deliveries said about those days.

    Args:
        store: the warehouse, in a transaction.
        table: the PERIOD table.
        rows: the table's columns and ``_id``; all lie in ``ranges``.
        day: the table's date column.
        ranges: days owned, inclusive.
        olds: batch ids of the weaker deliveries of the stream.

    Returns:
        ``_id`` of the rows that changed the warehouse.
    """
    _check(table, rows)
    content = rows.drop("_id")
    if not olds or not ranges:
        insert(store, table, content)
        return rows["_id"]
    within = " OR ".join(f"t.{quoted(day)} BETWEEN ? AND ?" for _ in ranges)
    bounds = [bound for pair in ranges for bound in pair]
    weak = pl.DataFrame({"batch_id": list(olds)})
    same = _same_content(table)
    unchanged = store.frame(
        f"SELECT i._id FROM incoming i JOIN {quoted(table.name)} t ON {_on(table)} "
        f"SEMI JOIN weak w ON t.batch_id = w.batch_id WHERE {same}",
        incoming=rows,
        weak=weak,
    )
    store.run(
        f"DELETE FROM {quoted(table.name)} t USING weak w "
        f"WHERE t.batch_id = w.batch_id AND ({within}) AND EXISTS (SELECT 1 FROM incoming i WHERE {_on(table)})",
        bounds,
        weak=weak,
        incoming=content,
    )
    insert(store, table, content)
    return rows.join(unchanged, on="_id", how="anti")["_id"]


def clear_days(
    store: Store, table: sa.Table, day: str, ranges: Sequence[tuple[date, date]], olds: Sequence[str]
) -> None:
    """Remove what weaker deliveries still say about days that a stronger one owns."""
    if not olds or not ranges:
        return
    within = " OR ".join(f"t.{quoted(day)} BETWEEN ? AND ?" for _ in ranges)
    store.run(
        f"DELETE FROM {quoted(table.name)} t USING weak w WHERE t.batch_id = w.batch_id AND ({within})",
        [bound for pair in ranges for bound in pair],
        weak=pl.DataFrame({"batch_id": list(olds)}),
    )


def upsert(store: Store, table: sa.Table, rows: pl.DataFrame) -> pl.Series:
    """Merge versioned rows by key; return ``_id`` of the rows that changed the warehouse's content.

    Args:
        store: the warehouse, in a transaction.
        table: the table; ``info["key"]`` names its key.
        rows: the table's columns and ``_id``. Several versions of one key may come together.
    """
    _check(table, rows)
    alive = _newest(_not_deleted(store, table, rows), table)
    merged = store.frame(
        "SELECT i._id, t.version IS NULL AS is_new, "
        f"coalesce({_same_content(table)}, false) AS is_same, "
        f"(i.version, {_content('i', table)}) >= (t.version, {_content('t', table)}) AS wins "
        f"FROM incoming i LEFT JOIN {quoted(table.name)} t ON {_on(table)}",
        incoming=alive,
    )
    taken = merged.filter(pl.col("is_new") | pl.col("wins"))
    winners = alive.join(taken, on="_id", how="semi").drop("_id")
    if winners.height:
        if not merged["is_new"].all():
            store.run(
                f"DELETE FROM {quoted(table.name)} t USING incoming i WHERE {_on(table)}",
                incoming=winners,
            )
        insert(store, table, winners)
    return taken.filter(pl.col("is_new") | ~pl.col("is_same"))["_id"]


def delete(store: Store, table: sa.Table, keys: pl.DataFrame) -> pl.Series:
    """Delete rows by key columns and leave tombstones; return ``_id`` of the deletions that changed anything.

    Args:
        store: the warehouse, in a transaction.
        table: where the rows are.
        keys: key columns of the table (all or some), ``version``, ``batch_id`` and ``_id``.
    """
    names = [name for name in keys.columns if name in table.columns and name not in _PROVENANCE | _LINKED]
    stones = (
        keys.sort("version")
        .unique(names, keep="last", maintain_order=True)
        .select(
            "_id",
            pl.lit(table.name).alias("table_name"),
            _row_key(names).alias("row_key"),
            "version",
            "batch_id",
            *names,
        )
    )
    newer = store.frame(
        "SELECT i.* FROM incoming i LEFT JOIN tombstone t USING (table_name, row_key) "
        "WHERE t.version IS NULL OR i.version > t.version",
        incoming=stones,
    )
    if not newer.height:
        return newer["_id"]
    on = " AND ".join(f"t.{quoted(name)} = i.{quoted(name)}" for name in names)
    store.run(
        f"DELETE FROM {quoted(table.name)} t USING incoming i WHERE {on} AND t.version <= i.version",
        incoming=newer,
    )
    store.run(
        "DELETE FROM tombstone t USING incoming i WHERE t.table_name = i.table_name AND t.row_key = i.row_key",
        incoming=newer,
    )
    insert(store, METADATA.tables["tombstone"], newer.select("table_name", "row_key", "version", "batch_id"))
    return newer["_id"]


def _row_key(names: Sequence[str]) -> pl.Expr:
    return pl.concat_str(
        *(pl.lit(f"{name}=") + pl.col(name).cast(pl.String) for name in sorted(names)), separator="|"
    )


def _not_deleted(store: Store, table: sa.Table, rows: pl.DataFrame) -> pl.DataFrame:
    stones = store.frame("SELECT row_key, version FROM tombstone WHERE table_name = ?", [table.name])
    for shape in sorted(
        {tuple(part.partition("=")[0] for part in key.split("|")) for key in stones["row_key"]}
    ):
        keyed = rows.with_columns(_row_key(shape).alias("row_key")).join(
            stones, on="row_key", how="left", suffix="_deleted"
        )
        rows = keyed.filter(
            pl.col("version_deleted").is_null() | (pl.col("version") > pl.col("version_deleted"))
        ).drop("row_key", "version_deleted")
    return rows


def _newest(rows: pl.DataFrame, table: sa.Table) -> pl.DataFrame:
    key = list(table.info["key"])
    if not rows.select(key).is_duplicated().any():
        return rows
    order = [name for name in rows.columns if name not in {"_id", *_PROVENANCE}]
    return rows.sort("version", *order, nulls_last=False).unique(key, keep="last", maintain_order=True)


def _check(table: sa.Table, rows: pl.DataFrame) -> None:
    check_loadable(table, rows.drop("_id"))


def _on(table: sa.Table) -> str:
    return " AND ".join(f"t.{quoted(name)} = i.{quoted(name)}" for name in table.info["key"])


def _content_names(table: sa.Table) -> list[str]:
    skipped = _PROVENANCE | _LINKED | set(table.info["key"])
    return [column.name for column in table.columns if column.name not in skipped]


def _same_content(table: sa.Table) -> str:
    names = _content_names(table)
    return " AND ".join(f"t.{quoted(n)} IS NOT DISTINCT FROM i.{quoted(n)}" for n in names) or "true"


def _content(alias: str, table: sa.Table) -> str:
    cells = ", ".join(
        f"coalesce(CAST({alias}.{quoted(name)} AS VARCHAR), '')" for name in _content_names(table)
    )
    return f"concat_ws('|', {cells})" if cells else "''"


def relink(store: Store, tables: Iterable[sa.Table], moved: pl.DataFrame) -> None:
    """Give the facts of subjects that changed person their new ``person_key``."""
    if not moved.height:
        return
    for table in tables:
        store.run(
            f"UPDATE {quoted(table.name)} SET person_key = m.person_key FROM moved m "
            f"WHERE {quoted(table.name)}.subject_key = m.subject_key",
            moved=moved,
        )


def place_in_time(store: Store, tables: Iterable[sa.Table], dated: pl.DataFrame) -> None:
    """Give each fact the person whom its subject was about on the fact's day.

    Args:
        store: the warehouse, in a transaction, after all rows of a run were placed under today's persons.
        tables: of facts about subjects.
        dated: ``subject_key, person_key, valid_from, valid_to``, all periods of the subjects it names, one without end.
    """
    if not dated.height:
        return
    for table in tables:
        day = day_of(table)
        within = (
            f"d.valid_from IS NULL OR {day} >= d.valid_from) AND (d.valid_to IS NULL OR {day} < d.valid_to"
        )
        store.run(
            f"UPDATE {quoted(table.name)} SET person_key = d.person_key FROM dated d "
            f"WHERE {quoted(table.name)}.subject_key = d.subject_key "
            f"AND CASE WHEN {day} IS NULL THEN d.valid_to IS NULL ELSE ({within}) END "
            f"AND {quoted(table.name)}.person_key IS DISTINCT FROM d.person_key",
            dated=dated,
        )


def day_of(table: sa.Table) -> str:
    """Return the SQL of the day on which a fact was or began, the first date of its table; NULL where there is none."""
    days = [column.name for column in table.columns if isinstance(column.type, sa.Date | sa.DateTime)]
    return f"CAST({quoted(table.name)}.{quoted(days[0])} AS DATE)" if days else "CAST(NULL AS DATE)"
