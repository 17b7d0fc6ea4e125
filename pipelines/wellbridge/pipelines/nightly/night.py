"""What the steps of a running night share: the open stores, the run's counts, and what is known of deliveries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Final

import polars as pl

from wellbridge.etl.identity.matcher import Matcher, matcher_of
from wellbridge.etl.landing import Landing
from wellbridge.etl.loading import Claim, insert
from wellbridge.etl.reading import HELD_SCHEMA, Delivery
from wellbridge.etl.store import Store
from wellbridge.etl.vault import Vault
from wellbridge.pipelines.nightly.shelf import Shelf
from wellbridge.pipelines.nightly.tally import Tally
from wellbridge.pipelines.site import Feed, Site
from wellbridge.privacy.rules.book import Book, builtin
from wellbridge.schemas.warehouse import METADATA

TAKEN: Final = "taken"
HELD: Final = "held"
WHOLE_DELIVERY: Final = 0  # row number that stands for a delivery as a whole

Progress = Callable[[str, str, int], None]  # feed, step, rows so far


@dataclass(frozen=True)
class Waiting:
    """A delivery that is not complete yet."""

    feed: str
    name: str
    rule: str


@dataclass
class Night:
    """One running night.

    Attributes:
        site: the site.
        run_id: the run's id.
        warehouse, vault, landing: the open stores.
        shelf: where rows wait to be placed.
        tally: the run's counts.
        batches: every delivery known, by batch id: feed, stream, claim, status, run.
        standing: what is known of each subject's consent; see ``privacy.consent``.
        rules: the rules in force at the site.
    """

    site: Site
    run_id: str
    warehouse: Store
    vault: Vault
    landing: Landing
    shelf: Shelf
    progress: Progress
    tally: Tally = field(default_factory=Tally)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)
    standing: pl.DataFrame = field(default_factory=pl.DataFrame)
    rules: Book = field(default_factory=builtin)

    @cached_property
    def matcher(self) -> Matcher:
        """Return how the site's hub matches."""
        return matcher_of(self.site.model, self.site.engine, self.site.repeating)

    def load_batches(self) -> None:
        """Read what deliveries the warehouse knows."""
        self.batches = {
            row["batch_id"]: row for row in self.warehouse.frame("SELECT * FROM batch").to_dicts()
        }

    def record(self, delivery: Delivery, status: str, rule: str | None = None) -> None:
        """Write a delivery's batch marker, in place of an earlier one of the same content."""
        row = {
            "batch_id": delivery.batch_id,
            "feed": delivery.feed,
            "stream": delivery.stream,
            "period_start": delivery.period_start,
            "period_end": delivery.period_end,
            "revision": delivery.revision,
            "file_name": delivery.name,
            "run_id": self.run_id,
            "status": status,
            "rule": rule,
        }
        table = METADATA.tables["batch"]
        self.warehouse.run("DELETE FROM batch WHERE batch_id = ?", [delivery.batch_id])
        types = {"period_start": pl.Date, "period_end": pl.Date, "rule": pl.String, "revision": pl.Int64}
        insert(self.warehouse, table, pl.DataFrame([row], schema_overrides=types))
        self.batches[delivery.batch_id] = row

    def is_of_this_run(self, batch_id: str) -> bool:
        """Whether the delivery was first taken in this run."""
        return bool(self.batches[batch_id]["run_id"] == self.run_id)

    def taken_before(self) -> list[str]:
        """Return the deliveries that an earlier run took."""
        return [b for b, row in self.batches.items() if row["status"] == TAKEN and not self.is_of_this_run(b)]

    def claims(self, feed: str, stream: str, *, but: str) -> list[Claim]:
        """Return what the other deliveries of a stream claim to speak for."""
        return [
            claim_of(row)
            for row in self.batches.values()
            if row["feed"] == feed
            and row["stream"] == stream
            and row["status"] == TAKEN
            and row["batch_id"] != but
        ]

    def hold(
        self,
        delivery: Delivery,
        resource: str,
        held: pl.DataFrame,
        *,
        record_keys: pl.DataFrame | None = None,
        waiting: pl.DataFrame | None = None,
        replay: bool = False,
    ) -> int:
        """Write held rows to the vault, count them, and return how many rows they are.

        Args:
            delivery: the delivery they came in.
            resource: the contract's resource.
            held: ``HELD_SCHEMA``, one line for each row, column and rule.
            record_keys: ``_file, _row, record_key`` of rows whose own id could be read.
            waiting: ``_file, _row, waiting_key`` of rows that wait for another record.
            replay: the rows were tried again, so the counts are left to the caller.
        """
        if not held.height:
            return 0
        lines = held.select(*HELD_SCHEMA).unique()
        for extra, name in ((record_keys, "record_key"), (waiting, "waiting_key")):
            if extra is not None and extra.height:
                lines = lines.join(
                    extra.unique(["_file", "_row"], keep="any"), on=["_file", "_row"], how="left"
                )
            else:
                lines = lines.with_columns(pl.lit(None, pl.String).alias(name))
        rows = lines.select(
            pl.lit(delivery.batch_id).alias("batch_id"),
            pl.lit(delivery.feed).alias("feed"),
            pl.lit(resource).alias("resource"),
            pl.col("_file").alias("file"),
            pl.col("_row").alias("row"),
            "column",
            "rule",
            "record_key",
            "waiting_key",
            pl.lit("open").alias("status"),
            pl.lit(None, pl.String).alias("reason"),
            pl.lit(self.run_id).alias("run_id"),
        )
        if replay:  # a row of a new delivery is held once
            self.vault.store.run(
                "DELETE FROM held_row h USING incoming i WHERE h.batch_id = i.batch_id AND h.file = i.file "
                "AND h.row = i.row",
                incoming=rows,
            )
        self.vault.store.run("INSERT INTO held_row BY NAME SELECT * FROM incoming", incoming=rows)
        count = held.select("_file", "_row").n_unique()
        if not replay:
            self.tally.add(delivery.feed, held=count)
            self.tally.add_reasons(delivery.feed, resource, held)
        return count

    def as_of(self) -> date:
        """Return the newest day that any delivery speaks for; never the clock, so that order does not matter.

        Deliveries for a whole year (surveys) do not move it.
        """
        ends = [
            row["period_end"]
            for row in self.batches.values()
            if row["status"] == TAKEN
            and row["period_end"]
            and (row["period_end"] - row["period_start"]).days < 364
        ]
        return max(ends, default=date(1970, 1, 1))


def claim_of(row: Mapping[str, Any]) -> Claim:
    """Return what a batch speaks for; one without a period speaks weakly for all days."""
    return Claim(
        row["batch_id"], row["period_start"] or date.min, row["period_end"] or date.max, row["revision"]
    )


def delivery_of(row: Mapping[str, Any], files: Mapping[str, Any]) -> Delivery:
    """Return the delivery of a batch row with its opened files."""
    return Delivery(
        feed=row["feed"],
        name=row["file_name"],
        stream=row["stream"],
        batch_id=row["batch_id"],
        period_start=row["period_start"],
        period_end=row["period_end"],
        revision=row["revision"],
        files=files,
    )


__all__ = [
    "HELD",
    "TAKEN",
    "WHOLE_DELIVERY",
    "Feed",
    "Night",
    "Progress",
    "Waiting",
    "claim_of",
    "delivery_of",
]
