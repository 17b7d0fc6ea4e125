"""What persons are asked: doubtful pairs, most informative first, and automatic links drawn at random.

Who is asked does not see what another said, nor, unless asked for, how the model scored the pair: a reviewer who knows
the score repeats it (splink issue 1375). Source: the reference on linking, 4.2.
"""

from __future__ import annotations

import math
from typing import Final

import polars as pl

from wellbridge.etl.identity.hub import KINDS, folded
from wellbridge.etl.store import Store

# Of scored pairs ``p``, those of which neither record is buried: a buried record is shown to nobody.
SHOWN: Final = """
ANTI JOIN buried_record x ON x.record_id = p.record_a AND NOT x.is_lifted
ANTI JOIN buried_record y ON y.record_id = p.record_b AND NOT y.is_lifted
"""
# Pairs of records that the next run does not decide anew anyway, and about which no person decided. A constraint is
# kept with its records in order, a scored pair with the anchor's side first.
_PAIRS: Final = f"""
SELECT least(p.record_a, p.record_b) AS one, greatest(p.record_a, p.record_b) AS other,
       p.record_a, p.record_b, p.source_a, p.source_b, p.weight, p.levels, p.bits, p.margin, p.runner_up, p.reason,
       p.model_hash, a.content AS content_a, b.content AS content_b
FROM scored_pair p
JOIN source_record a ON a.record_id = p.record_a AND a.is_decided
JOIN source_record b ON b.record_id = p.record_b AND b.is_decided
ANTI JOIN link_constraint c ON c.record_a = least(p.record_a, p.record_b)
    AND c.record_b = greatest(p.record_a, p.record_b) AND c.asserted_to IS NULL
{SHOWN}"""
_OPEN: Final = f"{_PAIRS} WHERE p.outcome = 'review'"
ASKABLE: Final = f"{_PAIRS} WHERE p.outcome IN ('review', 'link')"
# Keys are random, so an order by a hash of them is a random one, and the same for every reviewer.
_LINKS: Final = f"""{_PAIRS} WHERE p.outcome = 'link' AND p.reason IN ('rule', 'model')
ORDER BY md5(p.record_a || p.record_b) LIMIT {20_000}"""
# Answers that no undoing ended, about what the records say now.
_IN_FORCE: Final = """
SELECT r.* FROM review_answer r
JOIN source_record a ON a.record_id = r.record_a AND a.content IS NOT DISTINCT FROM r.content_a
JOIN source_record b ON b.record_id = r.record_b AND b.content IS NOT DISTINCT FROM r.content_b
ANTI JOIN decision d ON d.kind = 'undo' AND d.decided_at >= r.answered_at
    AND least(d.record_a, d.record_b) = r.record_a AND greatest(d.record_a, d.record_b) = r.record_b
"""


def questions(store: Store, reviewer: str | None = None) -> pl.DataFrame:
    """Return the pairs that wait for a person, those first whose answer tells most.

    A pair about which reviewers disagree comes first. Then the value of an answer counts: how much is in doubt (the
    entropy, in bits, of the model's probability, or of its choice between a pair and the rival; one bit where a guard
    set the model's opinion aside), times how many questions it settles, since a record has one link to a source.

    Args:
        store: the vault's store.
        reviewer: leave out what this reviewer has answered.

    Returns:
        ``record_a, record_b`` (as scored), ``one, other`` (the same in order), ``source_a, source_b, weight, levels,
        bits, margin, runner_up, reason, model_hash, content_a, content_b``, ``answers`` (how many there are),
        ``is_disputed`` and ``value``.
    """
    found = _unanswered(store, store.frame(_OPEN), reviewer).with_columns(_value().alias("value"))
    order = ["is_disputed", "value", "one", "other"]
    return found.sort(order, descending=[True, True, False, False])


def spot_checks(store: Store, reviewer: str) -> pl.DataFrame:
    """Return automatic links in a random order that is the same for everybody, to be asked like questions.

    Args:
        store: the vault's store.
        reviewer: leave out what this reviewer has answered.

    Returns:
        As ``questions``, without ``value``; at most 20,000.
    """
    return _unanswered(store, store.frame(_LINKS), reviewer)


def _unanswered(store: Store, pairs: pl.DataFrame, reviewer: str | None) -> pl.DataFrame:
    """Add ``answers`` and ``is_disputed``; leave out, in the same order, what the reviewer has answered."""
    is_opinion = pl.col("outcome").is_in(list(KINDS))
    given = (
        in_force(store)
        .group_by(pl.col("record_a").alias("one"), pl.col("record_b").alias("other"))
        .agg(
            pl.len().alias("answers"),
            (pl.col("outcome").filter(is_opinion).n_unique() > 1).alias("is_disputed"),
            (is_by(reviewer) if reviewer else pl.lit(False)).any().alias("is_answered"),
        )
    )
    return (
        pairs.join(given, on=["one", "other"], how="left", maintain_order="left")
        .with_columns(pl.col("answers").fill_null(0), pl.col("is_disputed", "is_answered").fill_null(False))
        .filter(~pl.col("is_answered"))
        .drop("is_answered")
    )


def _value() -> pl.Expr:
    odds = pl.when(pl.col("reason") == "margin").then("margin").when(pl.col("reason") == "band").then("bits")
    probability = 1 / (1 + (-odds.clip(-40, 40) * math.log(2)).exp())
    entropy = -(probability * probability.log(2) + (1 - probability) * (1 - probability).log(2))
    settles = pl.len().over("record_a", "source_b") + pl.len().over("record_b", "source_a") - 1
    return entropy.fill_nan(0.0).fill_null(1.0) * settles


def is_by(reviewer: str) -> pl.Expr:
    """Return whether an answer (``reviewer``) is this reviewer's, however the name is spelled."""
    own = folded(reviewer)
    return pl.col("reviewer").map_elements(lambda name: folded(name) == own, return_dtype=pl.Boolean)


def in_force(store: Store) -> pl.DataFrame:
    """Return the answers that count, in the order in which they were given."""
    return store.frame(f"{_IN_FORCE} ORDER BY r.answered_at, r.answer_id")
