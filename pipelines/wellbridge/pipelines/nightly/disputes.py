"""Deliveries that contradict each other: the same feed, stream, period and revision, and other content.

Nothing in them says which one is right, and the order in which they came must not decide it. So none of them counts:
each is held whole, and what an earlier night loaded of one is taken out. A higher revision answers them; else a
person discards the wrong ones and releases the right one.

What they say about who is who stays in the vault, and so does what they say about sharing: a refusal in either is
honoured. A file of such decisions alone is therefore in conflict with none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from wellbridge.etl.reading import Refused
from wellbridge.etl.store import quoted
from wellbridge.pipelines.nightly.intake import Batch, forget, hold_delivery
from wellbridge.pipelines.nightly.mending import in_version_order, open_again
from wellbridge.pipelines.nightly.night import HELD, TAKEN, Night
from wellbridge.pipelines.sources.source import source
from wellbridge.schemas.warehouse import FACTS, TOMBSTONE

CONFLICT: Final = "WB-D-005"
_CLAIM: Final = ("feed", "stream", "period_start", "period_end", "revision")


def hold_disputed(night: Night, batches: Sequence[Batch]) -> tuple[list[Batch], bool]:
    """Hold every delivery that another contradicts.

    Args:
        night: the running night; every new delivery was read.
        batches: those whose rows wait to be placed.

    Returns:
        The batches that nothing contradicts, and whether rows of an earlier night were taken out: what stood under
        them has to come back then.
    """
    disputed = _disputed(night)
    undisputed = [batch for batch in batches if batch.delivery.batch_id not in disputed]
    for batch in batches:
        if batch.delivery.batch_id in disputed:
            forget(night, batch)
            hold_delivery(
                night, batch.delivery, Refused(CONFLICT, rows=batch.tally.feeds[batch.feed.name].read)
            )
    loaded = in_version_order(night, (b for b in disputed if night.batches[b]["status"] == TAKEN))
    for batch in loaded:
        _take_out(night, batch)
    return undisputed, bool(loaded)


def _disputed(night: Night) -> set[str]:
    """Return every delivery that is not the only one of its claim; those that a person gave up claim nothing."""
    given_up = night.vault.store.frame(
        "SELECT batch_id FROM held_row WHERE rule = ? AND status = 'discarded'", [CONFLICT]
    )["batch_id"].to_list()
    claims: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
    for batch_id, row in night.batches.items():
        waits = row["status"] == HELD and row["rule"] == CONFLICT and batch_id not in given_up
        if row["status"] == TAKEN or waits:
            claims[tuple(row[name] for name in _CLAIM)].append(batch_id)
    several = (rivals for rivals in claims.values() if len(rivals) > 1)
    return {
        batch_id
        for rivals in several
        if not _only_decides(night, night.batches[rivals[0]])  # asked of few, because it imports the source
        for batch_id in rivals
    }


def _only_decides(night: Night, row: Mapping[str, Any]) -> bool:
    feed = night.site.feeds.get(row["feed"])
    resource = source(feed.kind).resources.get(row["stream"]) if feed else None
    return resource is not None and resource.decides


def _take_out(night: Night, batch: Batch) -> None:
    """Hold a delivery that was loaded on an earlier night: its rows leave the warehouse."""
    batch_id = batch.delivery.batch_id
    for table in (*FACTS, TOMBSTONE):
        if "batch_id" in table.columns:
            night.warehouse.run(f"DELETE FROM {quoted(table.name)} WHERE batch_id = ?", [batch_id])
    for name in ("held_row", "removed_row", "loaded_subject"):
        night.vault.store.run(f"DELETE FROM {quoted(name)} WHERE batch_id = ?", [batch_id])
    open_again(night, batch)
    rows = _count(batch)
    hold_delivery(night, batch.delivery, Refused(CONFLICT, rows=rows))
    night.tally.add(batch.feed.name, read_again=rows)


def _count(batch: Batch) -> int:
    rows = 0
    try:
        for chunk in batch.source.read(batch.delivery, batch.feed.settings):
            rows += chunk.read
    except Refused as refusal:  # the feed's file has changed since it was taken
        rows = refusal.rows
    return rows


__all__ = ["hold_disputed"]
