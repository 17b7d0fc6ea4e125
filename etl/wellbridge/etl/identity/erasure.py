"""Forgetting a record: what it said becomes unreadable, what served to find it goes, and a tombstone stays.

In the vault's transaction: sealed parts, tokens, pairs, constraints and the source's id go, a refusal to share is
noted, and a keyed token of the id stays, so that a later delivery of the same record is known and begins nothing new.
After it has committed: the record's key is destroyed, so that no older copy of the vault opens, and the store is
written anew, so that no block of the file keeps what was deleted (``store.rewrite``).

What this cannot reach is said in docs/identity-hub.md: deliveries as they came lie sealed in the landing store, and
what was released has left.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from wellbridge.etl.identity.hub import By, now, undecide
from wellbridge.etl.store import Store
from wellbridge.etl.vault import Vault, random_keys

_OWN_FEED = "(identity)"  # the feed of decisions about sharing that no source delivered


def forget(vault: Vault, records: Sequence[str], by: By) -> list[str]:
    """Take records out of the vault, all but their tombstones; return the ids of the decisions.

    Args:
        vault: the vault, in a transaction.
        records: records of the hub that are not forgotten yet.
        by: who and why.
    """
    store = vault.store
    gone = pl.DataFrame({"record_id": sorted(set(records))}, schema={"record_id": pl.String})
    decisions = _decisions(store, gone, by)
    _bury(vault, gone, decisions)
    _undecide_partners(store, gone)
    for statement in _DELETIONS:
        store.run(statement, gone=gone)
    _refuse(vault, gone)
    return decisions["decision_id"].to_list()


def forgotten(store: Store) -> list[str]:
    """Return the records that have a tombstone."""
    return store.frame("SELECT DISTINCT record_id FROM record_tombstone ORDER BY record_id")[
        "record_id"
    ].to_list()


_DELETIONS = (
    "DELETE FROM source_key k USING gone g WHERE k.key = g.record_id",
    "DELETE FROM record_part p USING gone g WHERE p.record_id = g.record_id",
    "DELETE FROM block_token t USING gone g, source_record r WHERE r.record_id = g.record_id AND t.number = r.number",
    "DELETE FROM record_mark m USING gone g WHERE m.record_id = g.record_id",
    "DELETE FROM scored_pair p USING gone g WHERE p.record_a = g.record_id OR p.record_b = g.record_id",
    "DELETE FROM link_constraint c USING gone g WHERE c.record_a = g.record_id OR c.record_b = g.record_id",
    "UPDATE source_record SET content = NULL, matcher = 'forgotten', is_decided = false FROM gone g "
    "WHERE source_record.record_id = g.record_id",
)


def _decisions(store: Store, gone: pl.DataFrame, by: By) -> pl.DataFrame:
    rows = gone.select(
        random_keys(gone.height).alias("decision_id"),
        pl.lit("forget").alias("kind"),
        pl.col("record_id").alias("record_a"),
        pl.lit("none").alias("outcome"),
        pl.lit(by.run_id).alias("run_id"),
        pl.lit(by.reviewer).alias("reviewer1"),
        pl.lit(by.second, pl.String).alias("reviewer2"),
        pl.lit(by.reason).alias("reason"),
        pl.lit(now(), pl.Datetime("us")).alias("decided_at"),
    )
    store.append("decision", rows)
    return rows


def _bury(vault: Vault, gone: pl.DataFrame, decisions: pl.DataFrame) -> None:
    ids = vault.store.frame(
        "SELECT k.namespace, k.source_id, k.key AS record_id FROM source_key k SEMI JOIN gone g ON k.key = g.record_id",
        gone=gone,
    )
    stones = [
        of_one.select("namespace", vault.seals.tombstones(str(namespace), of_one["source_id"]), "record_id")
        for (namespace,), of_one in ids.group_by("namespace")
    ]
    if not stones:
        return
    rows = (
        pl.concat(stones)
        .join(decisions.select("decision_id", record_id="record_a"), on="record_id")
        .with_columns(pl.lit(now(), pl.Datetime("us")).alias("forgotten_at"))
    )
    vault.store.append("record_tombstone", rows)


def _undecide_partners(store: Store, gone: pl.DataFrame) -> None:
    pairs = store.frame(
        "SELECT record_a, record_b FROM scored_pair p SEMI JOIN gone g ON p.record_a = g.record_id "
        "OR p.record_b = g.record_id UNION "
        "SELECT record_a, record_b FROM link_constraint p SEMI JOIN gone g ON p.record_a = g.record_id "
        "OR p.record_b = g.record_id",
        gone=gone,
    )
    undecide(store, pairs)


def _refuse(vault: Vault, gone: pl.DataFrame) -> None:
    """Note that nothing about these records may be shared, under the rules for opt-outs."""
    vault.decide(
        gone.select(
            pl.lit(_OWN_FEED).alias("feed"),
            pl.col("record_id").alias("consent_id"),
            pl.col("record_id").alias("subject_key"),
            pl.lit("optout_all").alias("decision"),
            pl.lit(None, pl.Date).alias("start_date"),
            pl.lit(None, pl.Date).alias("end_date"),
            pl.lit(True).alias("is_active"),
            pl.lit("1").alias("version"),
        )
    )
