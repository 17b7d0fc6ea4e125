"""From decided pairs to memberships: which records are one person, and whose key the person carries."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from wellbridge.etl.identity.decide import persons
from wellbridge.etl.identity.history import WANTED
from wellbridge.etl.store import Store


@dataclass(frozen=True)
class Evidence:
    """What a step decided, and by which decisions.

    Attributes:
        decided: ``DECIDED``, all pairs of the records at hand.
        log: ``decision_id, record_a, record_b, outcome`` of automatic decisions that are new.
        causes: ``record_id, decision_id`` of decisions by hand that are new.
    """

    decided: pl.DataFrame
    log: pl.DataFrame
    causes: pl.DataFrame


def wanted_memberships(store: Store, records: pl.DataFrame, evidence: Evidence, anchor: str) -> pl.DataFrame:
    """Return the memberships (``WANTED``) that records should have.

    A person carries the own key of the anchor's record, else of the record that was seen first.

    Args:
        store: the vault's store.
        records: ``record_id``, closed under links and constraints.
        evidence: of the step.
        anchor: the source whose records lend their key first.
    """
    known = store.frame(
        "SELECT r.record_id, r.source <> ? AS is_other, r.seen_at, s.own_person_key FROM source_record r "
        "JOIN subject s ON s.subject_key = r.record_id SEMI JOIN records n ON n.record_id = r.record_id",
        [anchor],
        records=records,
    )
    grouped = known.join(persons(evidence.decided), on="record_id", how="left").with_columns(
        pl.coalesce("group", "record_id").alias("group")
    )
    ranked = grouped.sort("is_other", "seen_at", "record_id").with_columns(
        pl.col("own_person_key").first().over("group").alias("person_key"),
        pl.int_range(pl.len()).alias("rank"),
    )
    caused = _with_causes(ranked, evidence)
    return pl.concat([part.select(list(WANTED)) for part in _in_time(store, caused)])


def _with_causes(grouped: pl.DataFrame, evidence: Evidence) -> pl.DataFrame:
    """Add ``decision_id``: the new decision about a record by hand, else the automatic one, else one of its person."""
    log = evidence.log
    ends = ("record_a", "record_b")
    automatic = (
        pl.concat([log.select("decision_id", "outcome", record_id=pl.col(end)) for end in ends])
        .sort(pl.col("outcome") != "link", "decision_id")
        .unique("record_id", keep="first", maintain_order=True)
        .select("record_id", automatic="decision_id")
    )
    joined = grouped.join(
        evidence.causes.rename({"decision_id": "by_hand"}), on="record_id", how="left"
    ).join(automatic, on="record_id", how="left")
    own = pl.coalesce("by_hand", "automatic")
    return joined.with_columns(
        pl.coalesce(own, pl.col("by_hand").drop_nulls().first().over("group")).alias("decision_id")
    )


def _in_time(store: Store, records: pl.DataFrame) -> list[pl.DataFrame]:
    """Cut memberships where somebody said since when two records are one person, or two.

    Of such a pair the record of lesser rank is the one whose person changed on that day: before, it was a person of
    its own ("must"), or the other's ("cannot").
    """
    always = records.with_columns(
        pl.lit(None, pl.Date).alias("valid_from"), pl.lit(None, pl.Date).alias("valid_to")
    )
    dated = store.frame(
        "SELECT record_a, record_b, kind, since FROM link_constraint WHERE asserted_to IS NULL AND since IS NOT NULL"
    )
    if not dated.height:
        return [always]
    place = records.select("record_id", "rank", "person_key", "own_person_key")
    pairs = dated.join(place, left_on="record_a", right_on="record_id").join(
        place, left_on="record_b", right_on="record_id", suffix="_b"
    )
    is_a_stronger = pl.col("rank") < pl.col("rank_b")
    cuts = (
        pairs.select(
            pl.when(is_a_stronger).then("record_b").otherwise("record_a").alias("record_id"),
            pl.when(pl.col("kind") == "cannot")
            .then(pl.when(is_a_stronger).then("person_key").otherwise("person_key_b"))
            .otherwise(pl.when(is_a_stronger).then("own_person_key_b").otherwise("own_person_key"))
            .alias("earlier_key"),
            "since",
        )
        .sort("record_id", "since", "earlier_key")
        .unique("record_id", keep="last", maintain_order=True)
    )
    cut = records.join(cuts, on="record_id", how="left").filter(pl.col("earlier_key") != pl.col("person_key"))
    later = cut.with_columns(pl.col("since").alias("valid_from"), pl.lit(None, pl.Date).alias("valid_to"))
    earlier = cut.with_columns(
        pl.col("earlier_key").alias("person_key"),
        pl.lit(None, pl.Date).alias("valid_from"),
        pl.col("since").alias("valid_to"),
    )
    return [always.join(cut, on="record_id", how="anti"), later, earlier]
