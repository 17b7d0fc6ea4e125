"""What sources said about persons, kept sealed: which word is new, and what all words about a record add up to.

A part is one statement of a record: the traits that it gives and their values, sealed as one text. Of several
statements that give the same traits the newest counts, and trait by trait the newest of all that give it, because one
file brings the name and another the sex: a missing cell says nothing. Of two with one version the one whose content
sorts last counts. So neither order nor repetition of deliveries matters.

Of a buried record (``erasure.bury``) no text is kept, only the digest of what was said. Where the night has to compare
it, its words are read once more from the deliveries that brought them, for as long as the night runs (``Recall``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import polars as pl

from wellbridge.etl.identity.sealed import Seals
from wellbridge.etl.store import Store
from wellbridge.schemas.contract import TRAITS

TRAIT_NAMES: Final = tuple(sorted(TRAITS))
_CONTENT: Final = pl.Struct(dict.fromkeys(TRAIT_NAMES, pl.String))
_SELDOM_MORE: Final = 50_000  # parts opened at a time, so that plain text stays small in memory

# Given ``record_id`` of buried records, returns all that deliveries said about them, as ``remember`` takes it.
Recall = Callable[[pl.DataFrame], pl.DataFrame]


def remember(store: Store, seals: Seals, traits: pl.DataFrame) -> None:
    """Keep what was said about records, sealed; what is known already is not sealed again.

    Args:
        store: the vault's store.
        seals: of the site.
        traits: ``subject_key, version`` and text columns named in ``TRAITS``; any of them may be absent or null.
    """
    said = _said(traits).join(_forgotten(store), on="record_id", how="anti")
    said = said.with_columns(
        seals.digests(
            said.select(pl.concat_str("record_id", "given", "content", separator="|")).to_series()
        ).alias("digest")
    )
    known = store.frame(
        "SELECT p.record_id, p.given, p.version AS known_version, p.digest AS known_digest FROM record_part p "
        "JOIN said i ON p.record_id = i.record_id AND p.given = i.given",
        said=said.select("record_id", "given"),
    )
    both = said.join(known, on=["record_id", "given"], how="left", maintain_order="left")
    is_same = pl.col("digest") == pl.col("known_digest")
    is_newer = pl.col("known_version").is_null() | (pl.col("version") > pl.col("known_version"))
    again = both.filter(is_same & is_newer)
    changed = pl.concat(
        [
            both.filter(~is_same.fill_null(False) & is_newer),
            _last_of_ties(store, seals, both.filter(~is_same)),
        ]
    )
    _set_versions(store, again)
    _set_parts(store, seals, changed)


def buried(store: Store, records: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return ``record_id`` of the records that are buried, of some records only where given."""
    found = store.frame("SELECT record_id FROM buried_record WHERE NOT is_lifted")
    return found if records is None else records.select("record_id").join(found, on="record_id", how="semi")


def opened(store: Store, seals: Seals, records: pl.DataFrame, recall: Recall | None = None) -> pl.DataFrame:
    """Return what all words about records add up to: ``record_id`` and every trait (String, null where none is given).

    Args:
        store: the vault's store.
        seals: of the site.
        records: ``record_id``; those without a part, or whose key is destroyed, are left out.
        recall: brings the words of buried records; without, they are left out.
    """
    parts = store.frame(
        "SELECT p.record_id, p.given, p.version, p.sealed FROM record_part p SEMI JOIN records r "
        "ON p.record_id = r.record_id WHERE p.sealed IS NOT NULL",
        records=records.select("record_id"),
    )
    texts = [_opened_texts(seals, block) for block in parts.iter_slices(_SELDOM_MORE)]
    if recall is not None and (silent := buried(store, records)).height:
        texts.append(_unpacked(_said(recall(silent))))
    if not texts:
        return pl.DataFrame(schema={"record_id": pl.String, **dict.fromkeys(TRAIT_NAMES, pl.String)})
    said = pl.concat(texts)
    is_only = pl.len().over("record_id") == 1
    several = said.filter(~is_only).group_by("record_id").agg(_newest(name) for name in TRAIT_NAMES)
    return pl.concat([said.filter(is_only).select("record_id", *TRAIT_NAMES), several])


def _said(traits: pl.DataFrame) -> pl.DataFrame:
    """Return ``record_id, given, version, content``, one row for each set of traits that is given of a record."""
    absent = [name for name in TRAIT_NAMES if name not in traits.columns]
    full = traits.with_columns(pl.lit(None, pl.String).alias(name) for name in absent)
    given = pl.concat_str(
        [pl.when(pl.col(name).is_not_null()).then(pl.lit(name)) for name in TRAIT_NAMES],
        separator=",",
        ignore_nulls=True,
    )
    return (
        full.select(
            pl.col("subject_key").alias("record_id"),
            given.alias("given"),
            "version",
            pl.struct(TRAIT_NAMES).struct.json_encode().alias("content"),
        )
        .filter(pl.col("given") != "")
        .sort("version", "content")
        .unique(["record_id", "given"], keep="last", maintain_order=True)
    )


def _forgotten(store: Store) -> pl.DataFrame:
    return store.frame("SELECT record_id FROM record_tombstone")


def _last_of_ties(store: Store, seals: Seals, differing: pl.DataFrame) -> pl.DataFrame:
    """Return those of one version with the known part whose content sorts after it, or cannot be read."""
    ties = differing.filter(pl.col("version") == pl.col("known_version"))
    if not ties.height:
        return ties
    parts = store.frame(
        "SELECT p.record_id, p.given, p.sealed FROM record_part p JOIN ties t ON p.record_id = t.record_id "
        "AND p.given = t.given WHERE p.sealed IS NOT NULL",
        ties=ties.select("record_id", "given"),
    )
    texts = seals.open(parts["record_id"].to_list(), parts["given"].to_list(), parts["sealed"].to_list())
    known = parts.select("record_id", "given", pl.Series("known_content", texts, dtype=pl.String))
    joined = ties.join(known, on=["record_id", "given"], how="left", maintain_order="left")
    is_after = (pl.col("content") > pl.col("known_content")).fill_null(True)
    return joined.filter(is_after).drop("known_content")


def _set_versions(store: Store, again: pl.DataFrame) -> None:
    if not again.height:
        return
    store.run(
        "UPDATE record_part SET version = i.version FROM again i "
        "WHERE record_part.record_id = i.record_id AND record_part.given = i.given",
        again=again.select("record_id", "given", "version"),
    )
    store.run(  # said once more, it may now be newer than what another file says about the same trait
        "UPDATE source_record SET is_read = false FROM (SELECT p.record_id FROM record_part p "
        "SEMI JOIN again i ON p.record_id = i.record_id GROUP BY p.record_id HAVING count(*) > 1) s "
        "WHERE source_record.record_id = s.record_id",
        again=again.select("record_id"),
    )


def _set_parts(store: Store, seals: Seals, changed: pl.DataFrame) -> None:
    if not changed.height:
        return
    under_ground = buried(store, changed)
    for block in changed.join(under_ground, on="record_id", how="anti").iter_slices(_SELDOM_MORE):
        columns = (block[name].to_list() for name in ("record_id", "given", "content"))
        _put_parts(store, block, pl.Series("sealed", seals.seal(*columns), dtype=pl.Binary))
    _put_parts(
        store, changed.join(under_ground, on="record_id", how="semi"), pl.lit(None, pl.Binary).alias("sealed")
    )
    store.run(
        "UPDATE source_record SET is_read = false FROM changed c WHERE source_record.record_id = c.record_id",
        changed=changed.select(pl.col("record_id").unique()),
    )


def _put_parts(store: Store, parts: pl.DataFrame, sealed: pl.Series | pl.Expr) -> None:
    if not parts.height:
        return
    rows = parts.select("record_id", "given", "version", "digest", sealed)
    store.run(
        "DELETE FROM record_part p USING rows i WHERE p.record_id = i.record_id AND p.given = i.given",
        rows=rows.select("record_id", "given"),
    )
    store.append("record_part", rows)


def _opened_texts(seals: Seals, parts: pl.DataFrame) -> pl.DataFrame:
    texts = seals.open(*(parts[name].to_list() for name in ("record_id", "given", "sealed")))
    return _unpacked(
        parts.select("record_id", "version", pl.Series("content", texts, dtype=pl.String)).drop_nulls(
            "content"
        )
    )


def _unpacked(parts: pl.DataFrame) -> pl.DataFrame:
    """Return ``record_id, version`` and every trait of parts with their text (``content``)."""
    return parts.select("record_id", "version", pl.col("content").str.json_decode(_CONTENT)).unnest("content")


def _newest(name: str) -> pl.Expr:
    return pl.col(name).sort_by("version", name).drop_nulls().last()
