"""Held rows whose place a later word has taken: they wait for nobody, and nobody has to look at them.

What is superseded follows from the deliveries alone and not from their order, so it is looked at anew every night, and
a row that found its place before it was superseded is superseded all the same.
"""

from __future__ import annotations

import polars as pl

from wellbridge.etl.store import quoted
from wellbridge.pipelines.nightly.night import TAKEN, Night, claim_of, delivery_of
from wellbridge.pipelines.sources.source import source
from wellbridge.schemas.contract import Mode
from wellbridge.schemas.warehouse import FACTS

_LINES = "SELECT DISTINCT batch_id, resource, record_key FROM held_row WHERE status IN ('open', 'released')"


def close_superseded(night: Night) -> None:
    """Close what a later word has answered: a higher revision of the same days, or the record itself in order."""
    lines = night.vault.store.frame(_LINES).filter(pl.col("batch_id").is_in(list(night.batches)))
    restated = [
        (batch_id, resource)
        for batch_id, resource in lines.select("batch_id", "resource").unique().iter_rows()
        if _is_restated(night, batch_id, resource)
    ]
    _close(night, pl.DataFrame(restated, {"batch_id": pl.String, "resource": pl.String}, orient="row"))
    _close(night, _in_order(night, lines.drop_nulls("record_key")))


def _is_restated(night: Night, batch_id: str, resource: str) -> bool:
    """Say whether a higher revision speaks for the same days; where days are not replaced it answers no single row."""
    row = night.batches[batch_id]
    if row["status"] == TAKEN:
        feed = night.site.feeds.get(row["feed"])
        found = source(feed.kind).resources.get(resource) if feed else None
        if found is None or found.contract.mode is not Mode.PERIOD:
            return False
    claim = claim_of(row)
    return any(
        (other.start, other.end) == (claim.start, claim.end) and other.revision > claim.revision
        for other in night.claims(row["feed"], row["stream"], but=batch_id)
    )


def _in_order(night: Night, lines: pl.DataFrame) -> pl.DataFrame:
    """Return the lines whose record stands in the warehouse, from another delivery of the feed that is as new."""
    found = [pl.DataFrame(schema={**lines.schema, "answered_by": pl.String})]
    for table in FACTS if lines.height else ():
        if len(table.info["key"]) == 1 and "batch_id" in table.columns:
            found.append(
                night.warehouse.frame(
                    f"SELECT l.batch_id, l.resource, l.record_key, t.batch_id AS answered_by FROM lines l "
                    f"JOIN {quoted(table.name)} t ON t.{quoted(table.info['key'][0])} = l.record_key "
                    "WHERE t.batch_id <> l.batch_id",
                    lines=lines,
                )
            )
    answered = pl.concat(found).unique()
    return answered.filter(
        pl.Series(
            [
                _is_as_new(night, by, than)
                for than, by in answered.select("batch_id", "answered_by").iter_rows()
            ],
            dtype=pl.Boolean,
        )
    ).select("batch_id", "resource", "record_key")


def _is_as_new(night: Night, batch_id: str, than: str) -> bool:
    mine, theirs = night.batches[batch_id], night.batches[than]
    return bool(
        mine["feed"] == theirs["feed"] and delivery_of(mine, {}).version >= delivery_of(theirs, {}).version
    )


def _close(night: Night, answered: pl.DataFrame) -> None:
    if answered.height:
        on = " AND ".join(f"held_row.{quoted(name)} = a.{quoted(name)}" for name in answered.columns)
        night.vault.store.run(
            "UPDATE held_row SET status = 'superseded' FROM answered a "
            f"WHERE {on} AND held_row.status IN ('open', 'released')",
            answered=answered,
        )


__all__ = ["close_superseded"]
