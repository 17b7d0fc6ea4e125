"""Rows of deliveries that were taken before, tried again because what held or allowed them has changed.

The rows are read again from the landing store and walk the ordinary way, with the period and revision of their own
delivery, so that a newer revision still wins. No copy of a held row exists anywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import polars as pl

from wellbridge.etl.reading import Chunk
from wellbridge.etl.store import quoted
from wellbridge.pipelines.nightly.intake import DUPLICATE, ORPHAN, Batch, prepare
from wellbridge.pipelines.nightly.night import Night, delivery_of
from wellbridge.pipelines.nightly.placing import Placing
from wellbridge.pipelines.site import Feed
from wellbridge.pipelines.sources.source import source
from wellbridge.privacy.consent import STANDING_SCHEMA
from wellbridge.schemas.warehouse import FACTS, PERSON_TABLES

OPEN: Final = "open"
ROWS_SCHEMA: Final = {"batch_id": pl.String, "file": pl.String, "row": pl.Int64}


def found_parents(night: Night) -> pl.DataFrame:
    """Return the held orphans whose missing record has arrived: ``ROWS_SCHEMA``."""
    return night.vault.store.frame(
        "SELECT DISTINCT h.batch_id, h.file, h.row FROM held_row h JOIN source_key k ON k.key = h.waiting_key "
        "WHERE h.status = 'open' AND h.rule = ? AND k.is_known",
        [ORPHAN],
    )


def retry_rows(night: Night, rows: pl.DataFrame) -> int:
    """Try held rows again under the current contracts; return how many found their place.

    Args:
        night: the running night.
        rows: ``ROWS_SCHEMA``.
    """
    placed = 0
    for batch in in_version_order(night, rows["batch_id"].unique().to_list()):
        wanted = rows.filter(pl.col("batch_id") == batch.delivery.batch_id).select(
            pl.col("file").alias("_file"), pl.col("row").alias("_row")
        )
        whole = any(resource.is_aggregate for resource in batch.source.resources.values())
        if whole:
            _clear(night, batch)
        _read_again(night, batch, None if whole else wanted)
        placing = Placing(night, batch, replay=True)
        placing.place()
        placed_rows = pl.concat([wanted.clear(), *placing.placed, *batch.decided])
        done = wanted.join(placed_rows, on=["_file", "_row"], how="semi")
        placing.loaded += batch.decided_loaded
        placing.unchanged += sum(rows.height for rows in batch.decided) - batch.decided_loaded
        if whole:
            placing.loaded, placing.unchanged = done.height, 0
        _count(night, batch, placing, done)
        _close(night, batch, done, "released")
        night.landing.forget_plain(batch.delivery.batch_id)
        placed += done.height
    return placed


def _clear(night: Night, batch: Batch) -> None:
    """Take a delivery's aggregates out: they are made anew from all its rows."""
    for table in FACTS:
        if "batch_id" in table.columns:
            night.warehouse.run(
                f"DELETE FROM {quoted(table.name)} WHERE batch_id = ?",
                [batch.delivery.batch_id],
            )


def _count(night: Night, batch: Batch, placing: Placing, done: pl.DataFrame) -> None:
    """Rows held earlier in this run move to their new place; rows of earlier nights are read anew."""
    if night.is_of_this_run(batch.delivery.batch_id):
        night.tally.add(batch.feed.name, held=-done.height)
        for (resource, rule), count in _held_reasons(night, batch, done).items():
            night.tally.reasons[batch.feed.name, resource, rule] -= count
    else:
        night.tally.add(batch.feed.name, read=done.height, read_again=done.height)
    night.tally.add(
        batch.feed.name, loaded=placing.loaded, unchanged=placing.unchanged, removed=placing.removed
    )


def _held_reasons(night: Night, batch: Batch, done: pl.DataFrame) -> dict[tuple[str, str], int]:
    found = night.vault.store.frame(
        "SELECT resource, rule, count(DISTINCT (h.file, h.row)) AS n FROM held_row h JOIN done d "
        "ON h.file = d._file AND h.row = d._row WHERE h.batch_id = ? AND h.status = 'open' GROUP BY ALL",
        [batch.delivery.batch_id],
        done=done,
    )
    return {(resource, rule): n for resource, rule, n in found.iter_rows()}


def _close(night: Night, batch: Batch, done: pl.DataFrame, status: str) -> None:
    night.vault.store.run(
        "UPDATE held_row SET status = ? FROM done d WHERE held_row.batch_id = ? AND held_row.file = d._file "
        "AND held_row.row = d._row AND held_row.status = 'open'",
        [status, batch.delivery.batch_id],
        done=done,
    )


def follow_consents(night: Night, before: pl.DataFrame, *, all_placed: bool = False) -> None:
    """Make placed rows follow a changed standing: what is refused now goes, what is allowed now comes.

    Args:
        night: the running night, with the standing now.
        before: the standing that was applied last; ``STANDING_SCHEMA``.
        all_placed: rows of this run were placed under ``before`` too; without, under the standing now.
    """
    changed = _changed(before, night.standing)
    if not changed.height:
        return
    touched = night.vault.store.frame(
        "SELECT DISTINCT batch_id FROM (SELECT batch_id, subject_key FROM loaded_subject UNION ALL "
        "SELECT batch_id, subject_key FROM removed_row) x SEMI JOIN changed c ON x.subject_key = c.subject_key",
        changed=changed,
    )["batch_id"].to_list()
    earlier = [b for b in touched if all_placed or not night.is_of_this_run(b)]
    batches = pl.DataFrame({"batch_id": earlier}, schema={"batch_id": pl.String})
    for table in PERSON_TABLES:
        night.warehouse.run(
            f"DELETE FROM {quoted(table.name)} t USING batches b, changed c "
            "WHERE t.batch_id = b.batch_id AND t.subject_key = c.subject_key",
            batches=batches,
            changed=changed,
        )
    night.vault.store.run(
        "DELETE FROM removed_row r USING batches b, changed c WHERE r.batch_id = b.batch_id "
        "AND r.subject_key = c.subject_key",
        batches=batches,
        changed=changed,
    )
    place_again(night, earlier, only=changed)


def place_again(night: Night, batch_ids: Iterable[str], *, only: pl.DataFrame | None = None) -> None:
    """Place the rows of deliveries that were taken before anew; ``only`` those of some subjects.

    What stands in the warehouse already stays; what was taken out, or stood under something that was, comes back.
    """
    for batch in in_version_order(night, batch_ids):
        _read_again(night, batch, None)
        placing = Placing(night, batch, replay=True, only=only)
        placing.place()
        rows = placing.loaded + placing.unchanged + placing.removed
        night.tally.add(
            batch.feed.name,
            read=rows,
            read_again=rows,
            loaded=placing.loaded,
            unchanged=placing.unchanged,
            removed=placing.removed,
        )
        night.landing.forget_plain(batch.delivery.batch_id)


def _changed(before: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    flags = list(STANDING_SCHEMA)[1:]
    both = before.join(now, on="subject_key", how="full", coalesce=True, suffix="_now").with_columns(
        pl.col(*flags, *(f"{flag}_now" for flag in flags)).fill_null(False)
    )
    return both.filter(pl.any_horizontal(pl.col(flag) != pl.col(f"{flag}_now") for flag in flags)).select(
        "subject_key"
    )


def in_version_order(night: Night, batch_ids: Iterable[str]) -> list[Batch]:
    """Return deliveries that were taken before, the oldest word first; their files are not open yet."""
    rows = [night.batches[batch_id] for batch_id in batch_ids]
    batches = []
    for row in rows:
        feed = night.site.feeds.get(row["feed"]) or Feed(row["feed"], row["feed"], night.site.work)
        batches.append(Batch(feed, source(feed.kind), delivery_of(row, {})))
    return sorted(
        batches, key=lambda batch: (batch.source.rank, batch.delivery.version, batch.delivery.batch_id)
    )


def open_again(night: Night, batch: Batch) -> None:
    """Open a delivery's files from the landing store."""
    batch.delivery = replace(batch.delivery, files=night.landing.open(batch.delivery.batch_id))


def _read_again(night: Night, batch: Batch, wanted: pl.DataFrame | None) -> None:
    """Prepare the wanted rows (all without ``wanted``) of a landed delivery.

    A duplicate within its delivery stays out whatever else changed: the first row of its key is the one that counts.
    So does a row that a person gave up.
    """
    left_out = night.vault.store.frame(
        'SELECT file AS _file, "row" AS _row, resource FROM held_row WHERE batch_id = ? '
        "AND (rule = ? OR status = 'discarded')",
        [batch.delivery.batch_id, DUPLICATE],
    )
    open_again(night, batch)
    for chunk in batch.source.read(batch.delivery, batch.feed.settings):
        if not batch.source.resources[chunk.resource].contract.loads:
            continue
        rows = (
            chunk.rows
            if wanted is None
            else chunk.rows.join(wanted, on=["_file", "_row"], how="semi", maintain_order="left")
        )
        rows = rows.join(
            left_out.filter(pl.col("resource") == chunk.resource),
            on=["_file", "_row"],
            how="anti",
            maintain_order="left",
        )
        if rows.height:
            again = Chunk(chunk.resource, rows, deletes=chunk.deletes)
            prepare(night, batch, again, replay=True, holds=wanted is not None)


__all__ = [
    "follow_consents",
    "found_parents",
    "in_version_order",
    "open_again",
    "place_again",
    "retry_rows",
]
