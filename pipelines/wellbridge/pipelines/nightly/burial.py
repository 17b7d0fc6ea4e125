"""What partners say about a child whose family opted out: buried at the end of the night, brought back when it ends.

A burial changes what is kept, never what is decided: whose record it is, and so whether the opt-out reaches it, follows
from the deliveries as if nothing had been buried. So neither order nor repetition of deliveries matters here either.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import polars as pl

from wellbridge.etl.identity.candidates import ANCHOR
from wellbridge.etl.identity.erasure import bury, lift
from wellbridge.etl.identity.hub import By
from wellbridge.etl.identity.parts import buried
from wellbridge.etl.reading import Deferred, Refused
from wellbridge.pipelines.nightly.disputes import CONFLICT
from wellbridge.pipelines.nightly.intake import DUPLICATE, Batch, chunks_in, words_of
from wellbridge.pipelines.nightly.mending import in_version_order, open_again
from wellbridge.pipelines.nightly.night import HELD, Night
from wellbridge.pipelines.nightly.stores import begin_forgetting, write_event
from wellbridge.privacy.consent import OPTED_OUT

_BY: Final = "(policy)"  # who decides: no person
_NOTHING: Final = {"subject_key": pl.String, "version": pl.String}


def follow_opt_outs(night: Night) -> None:
    """Bury partners' records of children whose family opted out, and lift those whose opt-out holds no more.

    The roster's own record stays: by it a partner's next record about the child is known and kept out.

    Args:
        night: after all rows were placed, with the standing now.
    """
    store = night.vault.store
    opted = night.standing.filter("is_opted_out").select(record_id="subject_key")
    below = buried(store)
    if not opted.height and not below.height:
        return
    going = store.frame(
        "SELECT s.subject_key AS record_id FROM subject s SEMI JOIN opted o ON s.subject_key = o.record_id "
        "SEMI JOIN (SELECT key FROM source_key WHERE is_known UNION ALL "
        "SELECT record_id FROM buried_record WHERE is_lifted) k ON k.key = s.subject_key WHERE s.namespace <> ?",
        [ANCHOR],
        opted=opted,
    )
    coming = below.join(opted, on="record_id", how="anti")
    by = By(_BY, OPTED_OUT, night.run_id)
    if going.height:
        begin_forgetting(night.site, may_be_on_sheets=_were_known(night, going))
        bury(night.vault, going, by)
    if coming.height:
        lift(night.vault, coming, by)
    store.run(  # the night has compared some, as if they were not buried
        "DELETE FROM record_mark m USING buried_record b WHERE b.record_id = m.record_id AND NOT b.is_lifted"
    )
    if going.height or coming.height:
        detail = f"{going.height} records buried, {coming.height} lifted · {OPTED_OUT}"
        write_event(night.warehouse, "identity.opt_out", night.run_id, detail)


def _were_known(night: Night, records: pl.DataFrame) -> bool:
    """Say whether one of the records came before this run."""
    found = night.vault.store.frame(
        "SELECT 1 FROM source_record r SEMI JOIN gone g USING (record_id) "
        "WHERE r.seen_at <= (SELECT max(ended_at) FROM identity_run WHERE run_id <> ?) LIMIT 1",
        [night.run_id],
        gone=records,
    )
    return found.height > 0


def recall(night: Night, records: pl.DataFrame) -> pl.DataFrame:
    """Return what the deliveries said about records: ``subject_key, version`` and traits, a row for each statement.

    A delivery is opened into the run's private work folder, which every run empties, and the stores keep nothing of it.

    Args:
        night: the running night; all its deliveries are landed.
        records: ``record_id``.
    """
    wanted = records.select(subject_key="record_id")
    said = [pl.DataFrame(schema=_NOTHING)]
    for batch in in_version_order(night, _deliveries(night, wanted)):
        open_again(night, batch)
        said += [words.join(wanted, on="subject_key", how="semi") for words in _words_in(night, batch)]
        night.landing.forget_plain(batch.delivery.batch_id)
    return pl.concat(said, how="diagonal")


def _deliveries(night: Night, wanted: pl.DataFrame) -> list[str]:
    """Return the deliveries that may have said something of records.

    What was placed or removed is known by record. A delivery of this run is not placed yet; of one that is held whole,
    rows may have been read before it was, and what they said counts.
    """
    noted = night.vault.store.frame(
        "SELECT DISTINCT batch_id FROM (SELECT batch_id, subject_key FROM loaded_subject UNION ALL "
        "SELECT batch_id, subject_key FROM removed_row) x SEMI JOIN wanted w ON x.subject_key = w.subject_key",
        wanted=wanted,
    )["batch_id"].to_list()
    namespaces = night.vault.store.frame(
        "SELECT DISTINCT s.namespace FROM subject s SEMI JOIN wanted w ON s.subject_key = w.subject_key",
        wanted=wanted,
    )["namespace"]
    feeds = {name.rpartition("/")[0] for name in namespaces}
    others = [
        batch_id
        for batch_id, row in night.batches.items()
        if row["feed"] in feeds and (row["status"] == HELD or night.is_of_this_run(batch_id))
    ]
    return sorted({*noted, *others})


def _words_in(night: Night, batch: Batch) -> list[pl.DataFrame]:
    """Return what a delivery's rows say of persons, but for rows that never came in: held, or given up.

    A duplicate's words count, as they did when it came.
    """
    out = night.vault.store.frame(
        'SELECT file AS _file, "row" AS _row, resource FROM held_row WHERE batch_id = ? '
        "AND rule <> ? AND status <> 'released'",
        [batch.delivery.batch_id, DUPLICATE],
    )
    row = night.batches[batch.delivery.batch_id]
    found = []
    try:
        for chunk in chunks_in(batch, is_new=row["status"] == HELD and row["rule"] != CONFLICT):
            left_out = out.filter(pl.col("resource") == chunk.resource)
            kept = chunk.rows.join(left_out, on=["_file", "_row"], how="anti", maintain_order="left")
            words = words_of(night, batch, replace(chunk, rows=kept)) if kept.height else None
            if words is not None:
                found.append(words)
    except (Refused, Deferred):
        pass  # what came before counts, as it did when the delivery came
    return found


__all__ = ["follow_opt_outs", "recall"]
