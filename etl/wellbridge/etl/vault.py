"""The vault: who is who, kept apart from the warehouse and open to the ETL role alone.

Every identifier of a source stands here beside the random key that replaces it everywhere else. Keys come from
the operating system's random source and never from what they stand for (34 CFR 99.31(b)(2)(iii),
45 CFR 164.514(c)(1)). The vault commits before the warehouse: a key without facts harms nobody and is used again.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from wellbridge.etl.store import Store, columns_sql, quoted
from wellbridge.privacy.consent import DECISION, strictest
from wellbridge.schemas.contract import NAMESPACES, TRAITS, Kind

VAULT: Final = sa.MetaData()


def _table(name: str, **columns: Any) -> sa.Table:
    return sa.Table(name, VAULT, *(sa.Column(column, kind) for column, kind in columns.items()))


_T, _I, _D, _B = sa.Text(), sa.BigInteger(), sa.Date(), sa.Boolean()

SOURCE_KEY = _table("source_key", namespace=_T, source_id=_T, key=_T, is_known=_B)
SUBJECT = _table("subject", subject_key=_T, namespace=_T, own_person_key=_T, person_key=_T)
TRAIT_NAMES: Final = tuple(sorted(TRAITS))
TRAIT = _table("trait", subject_key=_T, trait=_T, value=_T, version=_T)
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

    A person's namespace also knows each subject's ``person_key``.
    """

    def __init__(self, store: Store, namespace: str, kind: Kind) -> None:
        self._store, self.namespace, self.kind = store, namespace, kind
        self._known = store.frame(
            "SELECT k.source_id, k.key, k.is_known, s.person_key FROM source_key k "
            "LEFT JOIN subject s ON s.subject_key = k.key WHERE k.namespace = ?",
            [namespace],
        ).with_columns(pl.col("person_key").cast(pl.String))
        self._fresh: list[pl.DataFrame] = []

    def keys(self, ids: pl.Series, *, defines: bool) -> pl.DataFrame:
        """Return ``source_id, key, is_known, person_key`` of distinct ids, drawing keys for new ones.

        Args:
            ids: identifiers as the source wrote them; nulls are left out.
            defines: the rows bring the identifiers into being, so that other rows may refer to them.
        """
        distinct = ids.drop_nulls().unique().to_frame("source_id")
        new = distinct.join(self._known, on="source_id", how="anti")
        if new.height:
            self._add(new, is_known=defines)
        if defines:
            self._mark_known(distinct)
        return distinct.join(self._known, on="source_id", how="inner")

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
    """The vault of a site, open for writing."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._keys: dict[str, Keys] = {}

    def namespace(self, feed: str, name: str) -> Keys:
        """Return the keys of a namespace; one that is not shared belongs to its feed."""
        space = NAMESPACES[name]
        full = name if space.shared else f"{feed}/{name}"
        if full not in self._keys:
            self._keys[full] = Keys(self.store, full, space.kind)
        return self._keys[full]

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
        """Keep each subject's newest value of each trait: ``subject_key``, text traits, ``version``.

        Trait by trait, because one record brings the name and another the sex: a missing cell says nothing.
        """
        names = [name for name in TRAIT_NAMES if name in traits.columns]
        long = traits.unpivot(
            on=names, index=["subject_key", "version"], variable_name="trait", value_name="value"
        )
        newest = (
            long.drop_nulls("value")
            .sort("version", "value")
            .unique(["subject_key", "trait"], keep="last", maintain_order=True)
        )
        self.replace("trait", ["subject_key", "trait"], newest)

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

    def replace(self, table: str, key: Sequence[str], rows: pl.DataFrame) -> int:
        """Upsert versioned rows by key, the highest version winning; return how many changed the table.

        Of two rows with the same version the one whose content sorts last wins, so that order does not matter.
        """
        content = [name for name in rows.columns if name not in {*key, "version"}]
        on = " AND ".join(f"t.{quoted(name)} = i.{quoted(name)}" for name in key)
        newer = self.store.frame(
            f"SELECT i.* FROM incoming i LEFT JOIN {quoted(table)} t ON {on} WHERE t.version IS NULL "
            f"OR (i.version, {_text('i', content)}) > (t.version, {_text('t', content)})",
            incoming=rows,
        )
        if newer.height:
            names = columns_sql(rows.columns)
            self.store.run(f"DELETE FROM {quoted(table)} t USING newer i WHERE {on}", newer=newer)
            self.store.run(
                f"INSERT INTO {quoted(table)} ({names}) SELECT {names} FROM newer",
                newer=newer,
            )
        return newer.height


def _text(alias: str, names: Sequence[str]) -> str:
    cells = ", ".join(f"coalesce(CAST({alias}.{quoted(name)} AS VARCHAR), '')" for name in names)
    return f"concat_ws('|', {cells})"
