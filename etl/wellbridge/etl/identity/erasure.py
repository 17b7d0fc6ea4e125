"""Taking a record out of the vault: for good when it is forgotten, or for as long as its family's opt-out holds.

Forgotten: sealed parts, tokens, pairs, constraints and the source's id go, a refusal to share is noted, and a keyed
token of the id stays, so that a later delivery of the same record is known and begins nothing new.

Buried: sealed parts, marks and the source's id go, and the same tombstone stands for the id. What else stays says no
more than that two records are alike: keyed tokens and digests, scored pairs, what persons said of pairs. By them alone
a record is known to be this child's, and the next delivery can still show that it is another's. Were they gone, a
child who is enrolled later, a better record of the same source or a hub that has grown could not take part in the
decision, and what leaves the warehouse would depend on the order of deliveries. Where such a record has to be
compared, its words are read from the deliveries themselves, for as long as the night runs (``parts.Recall``).

After either has committed: the record's key is destroyed, so that no older copy of the vault opens, and the store is
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

# In all of them ``gone`` are the records that go: ``record_id``.
_BURIED_TOO = (
    "DELETE FROM source_key k USING gone g WHERE k.key = g.record_id",
    "DELETE FROM record_mark m USING gone g WHERE m.record_id = g.record_id",
)
_FORGOTTEN = (
    *_BURIED_TOO,
    "DELETE FROM buried_record b USING gone g WHERE b.record_id = g.record_id",
    "DELETE FROM record_part p USING gone g WHERE p.record_id = g.record_id",
    "DELETE FROM block_token t USING gone g, source_record r WHERE r.record_id = g.record_id AND t.number = r.number",
    "DELETE FROM scored_pair p USING gone g WHERE p.record_a = g.record_id OR p.record_b = g.record_id",
    "DELETE FROM link_constraint c USING gone g WHERE c.record_a = g.record_id OR c.record_b = g.record_id",
    "UPDATE source_record SET content = NULL, matcher = 'forgotten', is_decided = false FROM gone g "
    "WHERE source_record.record_id = g.record_id",
)
_BURIED = (
    *_BURIED_TOO,
    "UPDATE record_part SET sealed = NULL FROM gone g WHERE record_part.record_id = g.record_id",
)
_LIFTED = (
    "UPDATE buried_record SET is_lifted = true FROM gone g WHERE buried_record.record_id = g.record_id",
    "DELETE FROM record_part p USING gone g WHERE p.record_id = g.record_id",
    # read by no rules that are in force: the next step of the hub reads it as if it had changed
    "UPDATE source_record SET matcher = '', is_read = false FROM gone g WHERE source_record.record_id = g.record_id",
)


def forget(vault: Vault, records: Sequence[str], by: By) -> list[str]:
    """Take records out of the vault, all but their tombstones; return the ids of the decisions.

    Args:
        vault: the vault, in a transaction.
        records: records of the hub that are not forgotten yet.
        by: who and why.
    """
    store = vault.store
    gone = pl.DataFrame({"record_id": sorted(set(records))}, schema={"record_id": pl.String})
    decisions = _decisions(store, gone, by, "forget")
    stones = _stones(vault, decisions).with_columns(pl.lit(now(), pl.Datetime("us")).alias("forgotten_at"))
    store.append("record_tombstone", stones)
    _undecide_partners(store, gone)
    _run(store, _FORGOTTEN, gone)
    _refuse(vault, gone)
    return decisions["decision_id"].to_list()


def bury(vault: Vault, records: pl.DataFrame, by: By) -> None:
    """Take out what records say, as long as their family's opt-out holds.

    Args:
        vault: the vault, in a transaction, after the night's last step of linking.
        records: ``record_id``, neither forgotten nor buried, none of them the roster's.
        by: the rule and the run.
    """
    store = vault.store
    stones = _stones(vault, _decisions(store, records, by, "opt_out"))
    store.run("DELETE FROM buried_record b USING gone g WHERE b.record_id = g.record_id", gone=records)
    store.append(
        "buried_record",
        stones.with_columns(
            pl.lit(now(), pl.Datetime("us")).alias("buried_at"), pl.lit(False).alias("is_lifted")
        ),
    )
    _run(store, _BURIED, records)


def lift(vault: Vault, records: pl.DataFrame, by: By) -> None:
    """Lift the tombstones of buried records and seal what the deliveries say about them, as if it came tonight.

    A record keeps its key, so it is the one that it was before.

    Args:
        vault: the vault, in a transaction, with its ``recall``.
        records: ``record_id`` of buried records.
        by: the rule and the run.
    """
    store = vault.store
    buried_by = store.frame(
        "SELECT b.record_id, b.decision_id AS undoes FROM buried_record b SEMI JOIN gone g USING (record_id)",
        gone=records,
    )
    _decisions(store, buried_by, by, "undo")
    _run(store, _LIFTED, records)
    vault.lift(records)
    if vault.recall is not None:
        vault.set_traits(vault.recall(records))


def forgotten(store: Store) -> list[str]:
    """Return the records that are forgotten."""
    return store.frame("SELECT DISTINCT record_id FROM record_tombstone ORDER BY record_id")[
        "record_id"
    ].to_list()


def keyless(store: Store) -> list[str]:
    """Return the records that no key may open: the forgotten and the buried."""
    return store.frame(
        "SELECT record_id FROM record_tombstone UNION SELECT record_id FROM buried_record WHERE NOT is_lifted "
        "ORDER BY record_id"
    )["record_id"].to_list()


def _run(store: Store, statements: Sequence[str], gone: pl.DataFrame) -> None:
    for statement in statements:
        store.run(statement, gone=gone)


def _decisions(store: Store, gone: pl.DataFrame, by: By, kind: str) -> pl.DataFrame:
    """Write down one decision for each record (``record_id``, and ``undoes`` where it has one)."""
    rows = gone.select(
        random_keys(gone.height).alias("decision_id"),
        pl.lit(kind).alias("kind"),
        pl.col("record_id").alias("record_a"),
        pl.lit("none").alias("outcome"),
        pl.lit(by.run_id).alias("run_id"),
        pl.lit(by.reviewer).alias("reviewer1"),
        pl.lit(by.second, pl.String).alias("reviewer2"),
        pl.lit(by.reason).alias("reason"),
        pl.lit(now(), pl.Datetime("us")).alias("decided_at"),
        *(["undoes"] if "undoes" in gone.columns else []),
    )
    store.append("decision", rows)
    return rows


def _stones(vault: Vault, decisions: pl.DataFrame) -> pl.DataFrame:
    """Return ``namespace, token, record_id, decision_id``: the tombstones of records, from their sources' ids.

    A buried record has its tombstone already.
    """
    of_decision = decisions.select("decision_id", record_id="record_a")
    ids = vault.store.frame(
        "SELECT k.namespace, k.source_id, k.key AS record_id FROM source_key k SEMI JOIN gone g ON k.key = g.record_id",
        gone=of_decision,
    )
    known = vault.store.frame(
        "SELECT b.namespace, b.token, b.record_id FROM buried_record b SEMI JOIN gone g USING (record_id)",
        gone=of_decision,
    )
    new = [
        of_one.select("namespace", vault.seals.tombstones(str(namespace), of_one["source_id"]), "record_id")
        for (namespace,), of_one in ids.group_by("namespace")
    ]
    return pl.concat([known, *new]).join(of_decision, on="record_id")


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
