"""Held rows for people: which there are, by file, row, column and rule; never what they hold."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import polars as pl

from wellbridge.etl.lock import run_lock
from wellbridge.etl.store import Store, open_store
from wellbridge.etl.vault import VAULT
from wellbridge.pipelines.nightly.mending import ROWS_SCHEMA
from wellbridge.pipelines.nightly.night import WHOLE_DELIVERY
from wellbridge.pipelines.nightly.run import Wanted
from wellbridge.pipelines.nightly.stores import open_stores, vault_in_force, write_event
from wellbridge.pipelines.site import Site
from wellbridge.schemas.errors import ConfigurationError
from wellbridge.schemas.warehouse import METADATA

_COLUMNS = ("batch_id", "feed", "resource", "file", "row", "column", "rule", "status", "reason", "run_id")
_SHORT = 8
_NEAR = 3
STATUSES = ("open", "released", "superseded", "discarded")


def held_lines(
    site: Site,
    *,
    status: str | None = "open",
    feeds: Sequence[str] = (),
    rule: str | None = None,
    delivery: str | None = None,
    run_id: str | None = None,
) -> pl.DataFrame:
    """Return held lines, one for each row, column and rule, in a fixed order."""
    path = vault_in_force(site)
    if not path.exists():
        return pl.DataFrame(schema=dict.fromkeys(_COLUMNS, pl.String) | {"row": pl.Int64})
    with open_store(path, VAULT, read_only=True) as vault:
        lines = vault.frame(
            'SELECT batch_id, feed, resource, file, "row", "column", rule, status, reason, run_id FROM held_row'
        )
    if status:
        lines = lines.filter(pl.col("status") == status)
    if feeds:
        lines = lines.filter(pl.col("feed").is_in(list(feeds)))
    if rule:
        lines = lines.filter(pl.col("rule") == rule)
    if delivery:
        lines = lines.filter(pl.col("batch_id").str.starts_with(delivery))
    if run_id:
        lines = lines.filter(pl.col("run_id") == run_id)
    return lines.sort("feed", "file", "row", "column", "rule", nulls_last=False)


def wanted_of(lines: pl.DataFrame) -> Wanted:
    """Return the work that held lines stand for."""
    whole = lines.filter(pl.col("row") == WHOLE_DELIVERY)["batch_id"].unique(maintain_order=True).to_list()
    rows = (
        lines.filter(pl.col("row") != WHOLE_DELIVERY)
        .select("batch_id", "file", pl.col("row").cast(ROWS_SCHEMA["row"]))
        .unique()
    )
    return Wanted(rows=rows, deliveries=tuple(whole))


def wanted_of_run(site: Site, run_id: str | None) -> Wanted:
    """Return the open held work of a run, named by the start of its id; of the last one without.

    Raises:
        ConfigurationError: WB-E-015 when there is no such run, or more than one.
    """
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        found = run_named(warehouse, run_id)
    return wanted_of(held_lines(site, run_id=found))


def run_named(warehouse: Store, start: str | None) -> str:
    """Return the id of the run whose id begins so; of the last run where nothing is said.

    Raises:
        ConfigurationError: WB-E-015 when there is no such run, or more than one.
    """
    found = warehouse.frame(
        "SELECT run_id FROM run WHERE ? IS NULL OR starts_with(run_id, ?) ORDER BY started_at DESC",
        [start, start],
    )["run_id"].to_list()
    if not found:
        raise ConfigurationError(
            "WB-E-015", "There is no such run.", f"run {start or '(the last)'}", todo="wellbridge runs list"
        )
    if start is not None and len(found) > 1:
        near = ", ".join(sorted(short_ids(found).values())[:_NEAR])
        raise ConfigurationError("WB-E-015", f"{len(found)} runs begin so.", f"run {start} · near: {near}")
    return str(found[0])


def short_ids(ids: Sequence[str]) -> dict[str, str]:
    """Return for each id as many of its first characters as tell it from the others, at least eight."""
    length = next(n for n in range(_SHORT, 33) if len({one[:n] for one in ids}) == len(set(ids)))
    return {one: one[:length] for one in ids}


def discard(site: Site, lines: pl.DataFrame, reason: str) -> int:
    """Give up held rows, with a reason, as an event of the ledger; return how many rows they are."""
    rows = lines.select("batch_id", "file", "row").unique()
    change = uuid.uuid4().hex
    with run_lock(site.lock), open_stores(site, change) as (warehouse, vault):
        write_event(warehouse, "held.discard", change, f"{rows.height} rows · {reason}")
        vault.run(
            "UPDATE held_row SET status = 'discarded', reason = ? FROM chosen c "
            "WHERE held_row.batch_id = c.batch_id "
            'AND held_row.file = c.file AND held_row."row" = c."row" AND held_row.status = \'open\'',
            [reason],
            chosen=rows,
        )
    return rows.height


def summary(lines: pl.DataFrame) -> list[dict[str, Any]]:
    """Count held rows by feed, delivery, rule and column."""
    return (
        lines.group_by("feed", "resource", "rule", "column", "status")
        .agg(pl.struct("batch_id", "file", "row").n_unique().alias("rows"))
        .sort("feed", "resource", "rule", "column", "status", nulls_last=False)
        .to_dicts()
    )
