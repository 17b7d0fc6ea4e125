"""Prepared rows into the warehouse: what policy removes, what shape the rest takes, how it is merged."""

from __future__ import annotations

import polars as pl
import sqlalchemy as sa

from wellbridge.etl.loading import clear_days, delete, owned_days, replace_days, upsert
from wellbridge.pipelines.nightly.intake import PRESENCE, Batch, chunks_of
from wellbridge.pipelines.nightly.night import Night, claim_of, delivery_of
from wellbridge.pipelines.sources.source import Resource
from wellbridge.privacy.consent import removal_rule
from wellbridge.schemas.contract import Mode
from wellbridge.schemas.warehouse import FACTS, METADATA, STUDENT_OBSERVATION


class Placing:
    """Places one delivery's prepared rows.

    Args:
        night: the running night.
        batch: the delivery.
        replay: the rows were read on an earlier night or earlier in this one; counts go to the caller.
        only: places only rows of these subjects (column ``subject_key``), for a change of consent.
    """

    def __init__(
        self, night: Night, batch: Batch, *, replay: bool = False, only: pl.DataFrame | None = None
    ) -> None:
        self._night, self._batch, self._replay, self._only = night, batch, replay, only
        row = night.batches[batch.delivery.batch_id]
        self._claim = claim_of(row)
        others = night.claims(row["feed"], row["stream"], but=self._claim.batch_id)
        overlapping = [o for o in others if o.start <= self._claim.end and o.end >= self._claim.start]
        self._owned = owned_days(self._claim, overlapping)
        self._weaker = [o.batch_id for o in overlapping if o.priority < self._claim.priority]
        self.loaded = self.unchanged = self.removed = 0
        self.placed: list[pl.DataFrame] = []  # _file, _row of rows that found their place, for replays

    def place(self) -> None:
        """Place every prepared row of the delivery."""
        for name, deletes, rows in chunks_of(self._night, self._batch):
            if name == PRESENCE:
                self._note_presence(rows)
            elif deletes:
                self._delete(self._batch.source.resources[name], rows)
            else:
                self._place_rows(name, rows)
            self._night.progress(self._batch.feed.name, "load", self.loaded + self.unchanged + self.removed)

    def _place_rows(self, name: str, rows: pl.DataFrame) -> None:
        resource = self._batch.source.resources[name]
        if self._only is not None:
            if "subject_key" not in rows.columns:
                return
            rows = rows.join(self._only, on="subject_key", how="semi", maintain_order="left")
        rows = self._remove_by_policy(name, rows)
        if self._replay:
            self.placed.append(rows.select("_file", "_row"))
        rows = self._in_owned_days(resource, rows)
        changed = self._load(resource, rows)
        self.loaded += changed
        self.unchanged += rows.height - changed
        self._note_subjects(rows)
        self._answer_held(resource, rows)

    def _answer_held(self, resource: Resource, rows: pl.DataFrame) -> None:
        """Close held rows of older deliveries whose record has now come in order."""
        own = next(
            (
                c
                for c in resource.contract.columns.values()
                if c.ids and c.name in resource.contract.key and not c.refers and c.key_name in rows.columns
            ),
            None,
        )
        if own is None or not rows.height:
            return
        night, here = self._night, self._batch.delivery
        held = night.vault.store.frame(
            "SELECT h.batch_id, h.file, h.row FROM held_row h JOIN incoming i ON h.record_key = i.record_key "
            "WHERE h.status = 'open' AND h.feed = ? AND h.batch_id <> ?",
            [here.feed, here.batch_id],
            incoming=rows.select(pl.col(own.key_name).alias("record_key")),
        )
        older = [
            b for b in held["batch_id"].unique() if delivery_of(night.batches[b], {}).version <= here.version
        ]
        night.vault.store.run(
            "UPDATE held_row SET status = 'superseded' FROM answered a WHERE held_row.batch_id = a.batch_id "
            "AND held_row.file = a.file AND held_row.row = a.row AND held_row.status = 'open'",
            answered=held.filter(pl.col("batch_id").is_in(older)),
        )

    def _remove_by_policy(self, name: str, rows: pl.DataFrame) -> pl.DataFrame:
        if not self._batch.source.is_partner or "subject_key" not in rows.columns:
            return rows
        if self._batch.source.resources[name].introduces:
            return rows
        standing = rows.join(self._night.standing, on="subject_key", how="left", maintain_order="left")
        judged = rows.with_columns(standing.select(removal_rule(standing).alias("rule")))
        out = judged.filter(pl.col("rule").is_not_null())
        if out.height:
            self._note_removed(name, out)
        return judged.filter(pl.col("rule").is_null()).drop("rule", "is_part2", strict=False)

    def _note_removed(self, name: str, out: pl.DataFrame) -> None:
        night, delivery = self._night, self._batch.delivery
        self.removed += out.height
        night.tally.add_reasons(delivery.feed, name, out)
        night.vault.store.run(
            "INSERT INTO removed_row SELECT * FROM incoming EXCEPT SELECT * FROM removed_row",
            incoming=out.select(
                pl.lit(delivery.batch_id).alias("batch_id"),
                pl.lit(delivery.feed).alias("feed"),
                pl.lit(name).alias("resource"),
                pl.col("_file").alias("file"),
                pl.col("_row").alias("row"),
                "rule",
                "subject_key",
            ),
        )
        if self._replay:
            self.placed.append(out.select("_file", "_row"))

    def _note_subjects(self, rows: pl.DataFrame) -> None:
        """Remember which partner deliveries hold rows of a child, so that a refusal can reach them later."""
        if not self._batch.source.is_partner or "subject_key" not in rows.columns or not rows.height:
            return
        self._night.vault.store.run(
            "INSERT INTO loaded_subject SELECT ?, ?, subject_key FROM incoming "
            "EXCEPT SELECT feed, batch_id, subject_key FROM loaded_subject",
            [self._batch.feed.name, self._batch.delivery.batch_id],
            incoming=rows.select(pl.col("subject_key").unique()),
        )

    def _in_owned_days(self, resource: Resource, rows: pl.DataFrame) -> pl.DataFrame:
        """Set aside rows of days that a stronger delivery owns: they change nothing."""
        day = self._day(resource)
        if day is None or self._owned == [(self._claim.start, self._claim.end)]:
            return rows
        owned = pl.any_horizontal(pl.lit(False), *(pl.col(day).is_between(a, b) for a, b in self._owned))
        kept = rows.filter(owned)
        self.unchanged += rows.height - kept.height
        return kept

    def _day(self, resource: Resource) -> str | None:
        contract = resource.contract
        return contract.period if contract.mode is Mode.PERIOD else None

    def _load(self, resource: Resource, rows: pl.DataFrame) -> int:
        """Merge rows; return how many of them changed the warehouse."""
        if not rows.height:
            return 0
        frames = resource.shape(rows) if resource.shape else {str(resource.table): rows}
        if not frames:
            return rows.height
        day = self._day(resource)
        changed: list[pl.Series] = []
        for name, frame in frames.items():
            if not frame.height:
                continue
            table = METADATA.tables[name]
            is_row_by_row = "_id" in frame.columns
            full = self._complete(table, frame if is_row_by_row else frame.with_row_index("_id"))
            ids = self._merge(table, full, day)
            if not is_row_by_row:
                ids = rows["_id"] if ids.len() else ids
            changed.append(ids)
        return pl.concat([ids.cast(pl.UInt32) for ids in changed]).n_unique() if changed else 0

    def _merge(self, table: sa.Table, rows: pl.DataFrame, day: str | None) -> pl.Series:
        warehouse = self._night.warehouse
        if day is None or day not in table.columns or self._replay:
            return upsert(warehouse, table, rows)
        return replace_days(warehouse, table, rows, day, self._owned, self._weaker)

    def finish(self) -> None:
        """Remove what weaker deliveries said about owned days and this one no longer says."""
        if self._replay:
            return
        days = {self._day(resource) for resource in self._batch.source.resources.values()} - {None}
        for day in sorted(str(name) for name in days):
            for table in FACTS:
                if day in table.columns:
                    clear_days(self._night.warehouse, table, day, self._owned, self._weaker)

    def _complete(self, table: sa.Table, frame: pl.DataFrame) -> pl.DataFrame:
        """Bring a frame to the table's columns, missing ones null, with the delivery's marks."""
        if "version" not in frame.columns:
            frame = frame.with_columns(pl.lit(self._batch.delivery.version).alias("version"))
        frame = frame.with_columns(pl.lit(self._batch.delivery.batch_id).alias("batch_id"))
        columns = [
            _typed(pl.col(column.name), frame.schema[column.name], column)
            if column.name in frame.columns
            else pl.lit(None, _DTYPES[type(column.type)]).alias(column.name)
            for column in table.columns
        ]
        return frame.select("_id", *columns)

    def _note_presence(self, rows: pl.DataFrame) -> None:
        """Load that a held roster row was there; uncounted, and never over a readable observation."""
        full = self._complete(STUDENT_OBSERVATION, rows)
        known = self._night.warehouse.frame(
            "SELECT i._id FROM incoming i JOIN student_observation t ON t.subject_key = i.subject_key "
            "AND t.roster = i.roster AND t.as_of = i.as_of AND t.is_readable",
            incoming=full,
        )
        upsert(self._night.warehouse, STUDENT_OBSERVATION, full.join(known, on="_id", how="anti"))

    def _delete(self, resource: Resource, rows: pl.DataFrame) -> None:
        if self._only is not None:
            return
        marked = rows.with_columns(pl.lit(self._batch.delivery.batch_id).alias("batch_id"))
        changed = []
        for name in resource.delete_from or tuple(filter(None, [resource.table])):
            table = METADATA.tables[name]
            keys = [
                c for c in marked.columns if c in table.info["key"] or c in ("version", "batch_id", "_id")
            ]
            changed.append(delete(self._night.warehouse, table, marked.select(keys)))
        count = pl.concat(changed).n_unique() if changed else 0
        self.loaded += count
        self.unchanged += rows.height - count


_DTYPES: dict[type, pl.DataType | type[pl.DataType]] = {
    sa.Text: pl.String,
    sa.BigInteger: pl.Int64,
    sa.Double: pl.Float64,
    sa.Boolean: pl.Boolean,
    sa.Date: pl.Date,
    sa.DateTime: pl.Datetime("us"),
}


def _typed(value: pl.Expr, dtype: pl.DataType, column: sa.Column[object]) -> pl.Expr:
    if isinstance(dtype, pl.Datetime):
        return (
            value.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if dtype.time_zone else value
        ).cast(pl.Datetime("us"))
    return value.cast(_DTYPES[type(column.type)])


def place(night: Night, batch: Batch) -> None:
    """Place a delivery and count its rows."""
    placing = Placing(night, batch)
    placing.place()
    placing.finish()
    night.tally.add(
        batch.feed.name, loaded=placing.loaded, unchanged=placing.unchanged, removed=placing.removed
    )


__all__ = ["Placing", "place"]
