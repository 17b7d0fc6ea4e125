"""The pairs of the hub: new and changed records are compared with all others that share a token, and with nothing else.

A pair's score follows from its two records and the model alone, so the stored pairs are the same whatever the order
in which the records came.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

import polars as pl

from wellbridge.etl.identity.decide import Source
from wellbridge.etl.identity.history import Moment
from wellbridge.etl.identity.matcher import REPEATING, Matcher, marks
from wellbridge.etl.identity.parts import TRAIT_NAMES, Recall, buried, opened
from wellbridge.etl.identity.sealed import Seals
from wellbridge.etl.store import Store

ANCHOR: Final = "student"  # the namespace of the district's roster: its records are what others attach to
_AT_ONCE: Final = 100_000  # records whose blocking keys are in memory together
PAIR_COLUMNS: Final = ("record_a", "record_b", "outcome", "reason", "weight")


def unread(store: Store, matcher: Matcher) -> pl.DataFrame:
    """Return ``record_id, source`` of records that are new, said something new or were read by other rules."""
    return store.frame(
        "SELECT s.subject_key AS record_id, s.namespace AS source FROM subject s "
        "LEFT JOIN source_record r ON r.record_id = s.subject_key "
        "ANTI JOIN record_tombstone t ON t.record_id = s.subject_key "
        "WHERE r.record_id IS NULL OR NOT r.is_read OR r.matcher <> ?",
        [matcher.version],
    )


def holds_a_child_once(source: str, repeating: Sequence[str] = REPEATING) -> bool:
    """Tell whether two records of a source are two children; those of the roster always are.

    Args:
        source: its namespace, with its feed.
        repeating: patterns of the sources that may repeat a child.
    """
    return source == ANCHOR or not any(fnmatchcase(source, pattern) for pattern in repeating)


def read(
    store: Store,
    seals: Seals,
    records: pl.DataFrame,
    sources: Sequence[Source],
    moment: Moment,
    matcher: Matcher,
    recall: Recall | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Take in what records say now: their tokens, and the scores of their pairs.

    Args:
        store: the vault's store, in a transaction.
        seals: of the site.
        records: of ``unread``.
        sources: every source, the anchor first, with its size.
        moment: the run and its instant.
        matcher: what reads and scores.
        recall: brings the words of buried records, which are compared like all others.

    Returns:
        ``record_id`` of records whose links may change, and the pairs that are gone (``PAIR_COLUMNS``), both before
        anything is decided.
    """
    raw = spoken(store, seals, records, recall)
    unsaid = buried(store, records).join(raw, on="record_id", how="anti")
    records = records.join(unsaid, on="record_id", how="anti")  # what was decided about them stands
    content = raw.select(pl.concat_str("record_id", pl.struct(TRAIT_NAMES).struct.json_encode())).to_series()
    digests = raw.select("record_id", seals.digests(content).alias("content"))
    changed = _note(store, records.join(digests, on="record_id", how="left"), moment, matcher)
    gone = _forget_pairs(store, changed)
    said = raw.join(changed, on="record_id", how="semi")
    _compare(store, seals, said, changed, sources, matcher, recall)
    ends = pl.concat([gone["record_a"], gone["record_b"], changed["record_id"]]).unique()
    return ends.to_frame("record_id"), gone


def _compare(
    store: Store,
    seals: Seals,
    raw: pl.DataFrame,
    changed: pl.DataFrame,
    sources: Sequence[Source],
    matcher: Matcher,
    recall: Recall | None,
) -> None:
    """Store the tokens and marks of changed records, and the scores of their pairs."""
    if not raw.height:
        return
    standard = matcher.standard(raw)
    tokens = _tokens(seals, standard, changed, matcher)
    near = _near(store, tokens, sources)
    store.append("block_token", tokens.select("number", "token"))
    store.append("record_mark", marks(standard))
    pairs = matcher.score(standard, matcher.standard(spoken(store, seals, near, recall)), sources)
    if pairs.height:
        store.append("scored_pair", pairs.with_columns(pl.lit(matcher.model.sha256).alias("model_hash")))


def spoken(store: Store, seals: Seals, records: pl.DataFrame, recall: Recall | None = None) -> pl.DataFrame:
    """Return ``record_id, source`` and the traits of records (``record_id, source``) that say something.

    An anchor's student number is its source's id.
    """
    said = opened(store, seals, records, recall)
    numbers = store.frame(
        "SELECT k.key AS record_id, k.source_id FROM source_key k SEMI JOIN records r ON k.key = r.record_id "
        "WHERE k.namespace = ?",
        [ANCHOR],
        records=records.select("record_id"),
    )
    return (
        records.join(said, on="record_id")
        .join(numbers, on="record_id", how="left")
        .with_columns(
            pl.when(pl.col("source") == ANCHOR)
            .then("source_id")
            .otherwise("student_number")
            .alias("student_number")
        )
        .drop("source_id")
    )


def _note(store: Store, now: pl.DataFrame, moment: Moment, matcher: Matcher) -> pl.DataFrame:
    """Write down what was read; return ``record_id, number, source`` of records that say something else than before."""
    known = store.frame(
        "SELECT r.record_id, r.number, r.content AS known, r.matcher, r.seen_at FROM source_record r SEMI JOIN seen n "
        "ON r.record_id = n.record_id",
        seen=now.select("record_id"),
    )
    last = int(store.value("SELECT coalesce(max(number), 0) FROM source_record"))
    both = now.join(known, on="record_id", how="left").with_columns(
        pl.coalesce("number", last + pl.col("number").is_null().cum_sum()).alias("number"),
        (pl.col("content").eq_missing(pl.col("known")) & (pl.col("matcher") == matcher.version))
        .fill_null(False)
        .alias("is_same"),
    )
    store.run(
        "DELETE FROM source_record r USING seen n WHERE r.record_id = n.record_id",
        seen=now.select("record_id"),
    )
    rows = both.select(
        "record_id",
        "number",
        "source",
        "content",
        pl.lit(matcher.version).alias("matcher"),
        pl.lit(True).alias("is_read"),
        pl.col("is_same").alias("is_decided"),
        pl.col("seen_at").fill_null(pl.lit(moment.at, pl.Datetime("us"))),
        pl.lit(moment.run_id).alias("run_id"),
    )
    store.append("source_record", rows)
    return both.filter(~pl.col("is_same")).select("record_id", "number", "source")


def _forget_pairs(store: Store, changed: pl.DataFrame) -> pl.DataFrame:
    """Drop the tokens, marks and pairs of changed records; return the pairs."""
    store.run("DELETE FROM block_token t USING changed c WHERE t.number = c.number", changed=changed)
    store.run("DELETE FROM record_mark m USING changed c WHERE m.record_id = c.record_id", changed=changed)
    chosen = "record_a IN (SELECT record_id FROM changed) OR record_b IN (SELECT record_id FROM changed)"
    gone = store.frame(f"SELECT {', '.join(PAIR_COLUMNS)} FROM scored_pair WHERE {chosen}", changed=changed)
    if gone.height:
        store.run(f"DELETE FROM scored_pair WHERE {chosen}", changed=changed)
    return gone


def _tokens(seals: Seals, standard: pl.DataFrame, changed: pl.DataFrame, matcher: Matcher) -> pl.DataFrame:
    """Return ``number, token, source`` of records, a block of records at a time."""
    found = []
    for block in standard.iter_slices(_AT_ONCE):
        keys = matcher.blocking_keys(block).join(changed, on="record_id")
        found.append(keys.select("number", seals.tokens(keys["key"]).alias("token"), "source").unique())
    return pl.concat(found)


def _near(store: Store, tokens: pl.DataFrame, sources: Sequence[Source]) -> pl.DataFrame:
    """Return ``record_id, source`` of other records that share a token with a changed one and may be its child's."""
    repeating = pl.DataFrame(
        {"source": [one.name for one in sources if not one.is_unique]}, {"source": pl.String}
    )
    return store.frame(
        "SELECT DISTINCT r.record_id, r.source FROM block_token b JOIN tokens t ON b.token = t.token "
        "JOIN source_record r ON r.number = b.number WHERE r.source <> t.source "
        "OR r.source IN (SELECT source FROM repeating)",
        tokens=tokens.select("token", "source").unique(),
        repeating=repeating,
    )
