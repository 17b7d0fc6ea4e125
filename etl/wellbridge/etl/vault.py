"""The vault: who is who, kept apart from the warehouse and open to the ETL role alone.

Every identifier of a source stands here beside the random key that replaces it everywhere else. Keys come from
the operating system's random source and never from what they stand for (34 CFR 99.31(b)(2)(iii),
45 CFR 164.514(c)(1)). The vault commits before the warehouse: a key without facts harms nobody and is used again.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from wellbridge.etl.identity.parts import Recall, remember
from wellbridge.etl.identity.sealed import Seals
from wellbridge.etl.identity.tables import HUB
from wellbridge.etl.store import Store
from wellbridge.privacy.consent import DECISION, strictest
from wellbridge.schemas.contract import NAMESPACES, Kind

VAULT: Final = sa.MetaData()
for _hub_table in HUB.tables.values():
    _hub_table.to_metadata(VAULT)


def _table(name: str, **columns: Any) -> sa.Table:
    return sa.Table(name, VAULT, *(sa.Column(column, kind) for column, kind in columns.items()))


_T, _I, _D, _B = sa.Text(), sa.BigInteger(), sa.Date(), sa.Boolean()

SOURCE_KEY = _table("source_key", namespace=_T, source_id=_T, key=_T, is_known=_B)
SUBJECT = _table("subject", subject_key=_T, namespace=_T, own_person_key=_T, person_key=_T)
CONSENT = _table(
    "consent",
    feed=_T,
    consent_id=_T,
    subject_key=_T,
    decision=_T,
    start_date=_D,
    end_date=_D,
    is_active=_B,
    version=_T,
)
HELD_ROW = _table(
    "held_row",
    batch_id=_T,
    feed=_T,
    resource=_T,
    file=_T,
    row=_I,
    column=_T,
    rule=_T,
    record_key=_T,
    waiting_key=_T,
    status=_T,
    reason=_T,
    run_id=_T,
)
REMOVED_ROW = _table(
    "removed_row", batch_id=_T, feed=_T, resource=_T, file=_T, row=_I, rule=_T, subject_key=_T
)
LOADED_SUBJECT = _table("loaded_subject", feed=_T, batch_id=_T, subject_key=_T)
CROSSWALK = _table("crosswalk", agreement_id=_T, person_key=_T, code=_T)

KEY_BYTES: Final = 16


def random_keys(count: int) -> pl.Series:
    """Draw keys of 128 random bits, hex."""
    text = secrets.token_hex(KEY_BYTES * count)
    width = 2 * KEY_BYTES
    return pl.Series(
        "key", [text[start : start + width] for start in range(0, width * count, width)], pl.String
    )


class Keys:
    """The vault's keys of one namespace, held in memory for a night.

    A person's namespace also knows each subject's ``person_key``. A forgotten or buried record's id is known by its
    token alone and keeps its key, so that nothing new begins under it; once the tombstone is lifted, the id is written
    again when it is met.
    """

    def __init__(self, store: Store, namespace: str, kind: Kind, seals: Seals) -> None:
        self._store, self.namespace, self.kind, self._seals = store, namespace, kind, seals
        self._known = store.frame(
            "SELECT k.source_id, k.key, k.is_known, s.person_key FROM source_key k "
            "LEFT JOIN subject s ON s.subject_key = k.key WHERE k.namespace = ?",
            [namespace],
        ).with_columns(pl.col("person_key").cast(pl.String))
        self._stones = store.frame(
            "SELECT t.token, t.record_id AS key, true AS is_known, s.person_key, t.is_lifted FROM ("
            "SELECT namespace, token, record_id, false AS is_lifted FROM record_tombstone UNION ALL "
            "SELECT namespace, token, record_id, is_lifted FROM buried_record) t "
            "JOIN subject s ON s.subject_key = t.record_id WHERE t.namespace = ?",
            [namespace],
        )
        self._unwritten = self._known.clear().select("source_id", "key")  # ids that stand in memory alone

    def keys(self, ids: pl.Series, *, defines: bool) -> pl.DataFrame:
        """Return ``source_id, key, is_known, person_key`` of distinct ids, drawing keys for new ones.

        Args:
            ids: identifiers as the source wrote them; nulls are left out.
            defines: the rows bring the identifiers into being, so that other rows may refer to them.
        """
        distinct = ids.drop_nulls().unique().to_frame("source_id")
        new = self._without_stones(distinct.join(self._known, on="source_id", how="anti"))
        if new.height:
            self._add(new, is_known=defines)
        if defines:
            self._mark_known(distinct)
        return distinct.join(self._known, on="source_id", how="inner")

    def _without_stones(self, new: pl.DataFrame) -> pl.DataFrame:
        """Give ids that have a tombstone their old keys, in memory alone unless it is lifted; return the others."""
        if not (new.height and self._stones.height):
            return new
        known = new.with_columns(self._seals.tombstones(self.namespace, new["source_id"])).join(
            self._stones, on="token"
        )
        self._known = pl.concat([self._known, known.select(self._known.columns)])
        met = pl.concat([self._unwritten, known.select("source_id", "key")])
        self._unwritten = self._write_lifted(met)
        return new.join(known, on="source_id", how="anti")

    def lift(self, records: pl.DataFrame) -> None:
        """Take note that records (``record_id``) are buried no more."""
        is_lifted = pl.col("key").is_in(records["record_id"].implode()) | pl.col("is_lifted")
        self._stones = self._stones.with_columns(is_lifted.alias("is_lifted"))
        self._unwritten = self._write_lifted(self._unwritten)

    def _write_lifted(self, met: pl.DataFrame) -> pl.DataFrame:
        """Write the ids among those met whose tombstone is lifted, and let it go; return the others."""
        back = met.join(self._stones.filter("is_lifted"), on="key", how="semi")
        if back.height:
            self._store.run(
                "INSERT INTO source_key SELECT ?, source_id, key, true FROM back", [self.namespace], back=back
            )
            self._store.run("DELETE FROM buried_record b USING back k WHERE b.record_id = k.key", back=back)
        return met.join(back, on="key", how="anti")

    def _add(self, new: pl.DataFrame, *, is_known: bool) -> None:
        person = (
            random_keys(new.height)
            if self.kind is Kind.PERSON
            else pl.Series([None] * new.height, dtype=pl.String)
        )
        added = new.with_columns(
            random_keys(new.height).alias("key"),
            pl.lit(is_known).alias("is_known"),
            person.alias("person_key"),
        )
        self._known = pl.concat([self._known, added.select(self._known.columns)])
        self._store.run(
            "INSERT INTO source_key SELECT ?, source_id, key, is_known FROM added",
            [self.namespace],
            added=added,
        )
        if self.kind is Kind.PERSON:
            self._store.run(
                "INSERT INTO subject SELECT key, ?, person_key, person_key FROM added",
                [self.namespace],
                added=added,
            )

    def _mark_known(self, distinct: pl.DataFrame) -> None:
        unknown = distinct.join(self._known.filter(~pl.col("is_known")), on="source_id", how="semi")
        if not unknown.height:
            return
        self._known = self._known.with_columns(
            (pl.col("is_known") | pl.col("source_id").is_in(unknown["source_id"].implode())).alias("is_known")
        )
        self._store.run(
            "UPDATE source_key SET is_known = true FROM unknown "
            "WHERE namespace = ? AND source_key.source_id = unknown.source_id",
            [self.namespace],
            unknown=unknown,
        )

    def refresh_persons(self, persons: pl.DataFrame) -> None:
        """Take over new person keys of subjects: columns ``subject_key, person_key``."""
        if self.kind is not Kind.PERSON or not persons.height:
            return
        renewed = self._known.join(persons, left_on="key", right_on="subject_key", how="left", suffix="_new")
        self._known = renewed.with_columns(
            pl.coalesce("person_key_new", "person_key").alias("person_key")
        ).drop("person_key_new")


class Vault:
    """The vault of a site, open for writing.

    Args:
        store: its store.
        seals: what seals and recognises the site's records.

    Attributes:
        recall: brings the words of buried records from the deliveries; None where there are none at hand.
    """

    def __init__(self, store: Store, seals: Seals) -> None:
        self.store, self.seals = store, seals
        self.recall: Recall | None = None
        self._keys: dict[str, Keys] = {}

    def namespace(self, feed: str, name: str) -> Keys:
        """Return the keys of a namespace; one that is not shared belongs to its feed."""
        space = NAMESPACES[name]
        full = name if space.shared else f"{feed}/{name}"
        if full not in self._keys:
            self._keys[full] = Keys(self.store, full, space.kind, self.seals)
        return self._keys[full]

    def lift(self, records: pl.DataFrame) -> None:
        """Let the ids of records (``record_id``) that are buried no more be written again when they are met."""
        for keys in self._keys.values():
            keys.lift(records)

    def set_persons(self, persons: pl.DataFrame) -> None:
        """Move subjects to other persons: columns ``subject_key, person_key``."""
        if not persons.height:
            return
        self.store.run(
            "UPDATE subject SET person_key = p.person_key FROM persons p WHERE subject.subject_key = p.subject_key",
            persons=persons,
        )
        for keys in self._keys.values():
            keys.refresh_persons(persons)

    def set_traits(self, traits: pl.DataFrame) -> None:
        """Keep what was said about subjects, sealed: ``subject_key, version`` and text columns of ``TRAITS``."""
        remember(self.store, self.seals, traits)

    def decide(self, decisions: pl.DataFrame) -> int:
        """Take note of decisions about sharing (columns of ``CONSENT``); return how many changed what is known."""
        known = self.store.frame(
            "SELECT t.* FROM consent t SEMI JOIN incoming i ON t.feed = i.feed AND t.consent_id = i.consent_id "
            "AND t.decision = i.decision",
            incoming=decisions,
        )
        settled = strictest(pl.concat([known, decisions.select(known.columns)], how="vertical_relaxed"))
        changed = settled.join(known, on=known.columns, how="anti", nulls_equal=True)
        if changed.height:
            news = settled.join(changed, on=DECISION, how="semi")
            self.store.run(
                "DELETE FROM consent t USING news n WHERE t.feed = n.feed AND t.consent_id = n.consent_id "
                "AND t.decision = n.decision",
                news=news,
            )
            self.store.run("INSERT INTO consent BY NAME SELECT * FROM news", news=news)
        return changed.height
