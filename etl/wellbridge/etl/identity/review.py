"""What reviewers answer, and when answers decide a pair.

An answer is one reviewer's word about what he or she saw. It becomes a decision, and so a constraint on linking, when
as many reviewers agree as the site asks for and they outnumber the others; so a disagreement waits for a third. Answers
are never changed; undoing a decision ends what they count for.

Source: the reference on linking, 4.2 and 4.1 (6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from wellbridge.etl.identity.candidates import ANCHOR
from wellbridge.etl.identity.hub import KINDS, decide_each, now
from wellbridge.etl.identity.questions import ASKABLE, in_force, is_by, questions
from wellbridge.etl.store import Store
from wellbridge.etl.vault import random_keys

OUTCOMES: Final[dict[str, str]] = {
    "link": "one child",
    "nonlink": "two children",
    "unsure": "cannot tell",
}
# Why, as a choice and not as text: a text would name the children.
WHY: Final[dict[str, str]] = {
    "written": "What differs is a way of writing or a slip",
    "moved": "The home or the telephone changed",
    "renamed": "A name changed, or was written down in part",
    "sibling": "A brother, sister or twin",
    "namesake": "Another child who happens to share the name",
    "known": "It is known from elsewhere",
    "too_little": "The records say too little",
}

# What reviewers said about pairs that were linked automatically: such pairs are asked about only as spot checks.
_CHECKED: Final = """
WITH said AS (
    SELECT d.decision_id, any_value(d.outcome) AS outcome, arg_max(a.outcome, a.decided_at) AS before
    FROM decision d
    SEMI JOIN review_answer r ON r.record_a = least(d.record_a, d.record_b)
        AND r.record_b = greatest(d.record_a, d.record_b)
    ANTI JOIN decision u ON u.undoes = d.decision_id
    JOIN decision a ON a.kind = 'auto' AND a.decided_at <= d.decided_at
        AND least(a.record_a, a.record_b) = least(d.record_a, d.record_b)
        AND greatest(a.record_a, a.record_b) = greatest(d.record_a, d.record_b)
    WHERE d.kind IN ('clerical', 'import')
    GROUP BY d.decision_id
)
SELECT count(*) AS checked, count(*) FILTER (outcome = 'link') AS confirmed FROM said WHERE before = 'link'
"""
_DECIDED: Final = """
SELECT count(*) FROM link_constraint c
JOIN decision d ON d.decision_id = c.decision_id AND d.kind IN ('clerical', 'import')
WHERE c.asserted_to IS NULL AND d.tier IS DISTINCT FROM 'encoded'
"""
# Constraints that persons set (links by codes are a model's). Which record stands left is as the pair was scored; of a
# pair never scored the roster's.
_SAID: Final = """
WITH said AS (
    SELECT coalesce(p.record_a, c.record_a) AS a, coalesce(p.record_b, c.record_b) AS b, c.kind = 'must' AS is_match
    FROM link_constraint c
    JOIN decision d ON d.decision_id = c.decision_id AND d.kind IN ('clerical', 'import')
    LEFT JOIN scored_pair p ON least(p.record_a, p.record_b) = c.record_a
        AND greatest(p.record_a, p.record_b) = c.record_b
    WHERE c.asserted_to IS NULL AND d.tier IS DISTINCT FROM 'encoded'
), sided AS (
    SELECT a, b, x.namespace AS source, y.namespace AS other, is_match,
           y.namespace = ? AND x.namespace <> ? AS is_turned
    FROM said JOIN subject x ON x.subject_key = a JOIN subject y ON y.subject_key = b
)
SELECT DISTINCT if(is_turned, b, a) AS record_a, if(is_turned, other, source) AS source_a,
       if(is_turned, a, b) AS record_b, if(is_turned, source, other) AS source_b, is_match
FROM sided ORDER BY ALL
"""
_LABELS: Final = """
SELECT DISTINCT source_a AS left_source, x.source_id AS left_id, source_b AS right_source, y.source_id AS right_id,
       is_match
FROM pairs JOIN source_key x ON x.key = record_a JOIN source_key y ON y.key = record_b
ORDER BY ALL
"""


@dataclass(frozen=True)
class Answer:
    """One reviewer's answer about a pair.

    Attributes:
        record_a: one record of the pair.
        record_b: the other.
        outcome: a key of ``OUTCOMES``.
        why: a key of ``WHY``.
    """

    record_a: str
    record_b: str
    outcome: str
    why: str


@dataclass(frozen=True)
class Reviewer:
    """Who answers, and how.

    Attributes:
        name: as the site knows the reviewer.
        is_blind: without having seen the model's score.
        kind: "clerical" at the terminal, "import" by a sheet.
        run_id: the change under which the answers are written.
    """

    name: str
    is_blind: bool = True
    kind: str = "clerical"
    run_id: str = ""


@dataclass(frozen=True)
class Taken:
    """What became of answers: pairs decided by them, pairs that wait for another reviewer, answers known before."""

    decided: int
    waiting: int
    known: int


def answers(store: Store) -> pl.DataFrame:
    """Return every answer ever given, in order: columns of ``tables.REVIEW_ANSWER``."""
    return store.frame("SELECT * FROM review_answer ORDER BY answered_at, answer_id")


def take(store: Store, said: Sequence[Answer], reviewer: Reviewer, needed: int) -> Taken:
    """Write answers down, and decide the pairs about which enough reviewers agree.

    Args:
        store: the vault's store, in a transaction.
        said: answers of one reviewer; a second one about a pair that this reviewer has answered counts as known.
        reviewer: who answers.
        needed: reviewers who must agree: 1 or 2.

    Returns:
        What became of them. A pair that is decided already stays so; the answer counts for agreement alone.
    """
    rows = _rows(store, said, reviewer)
    before = in_force(store).filter(is_by(reviewer.name))
    new = rows.join(before, on=["record_a", "record_b"], how="anti").unique(
        ["record_a", "record_b"], keep="first"
    )
    store.run("INSERT INTO review_answer BY NAME SELECT * FROM new_rows", new_rows=new)
    decided = _settle(store, new.select("record_a", "record_b"), reviewer, needed)
    return Taken(decided=decided, waiting=new.height - decided, known=rows.height - new.height)


def _rows(store: Store, said: Sequence[Answer], reviewer: Reviewer) -> pl.DataFrame:
    rows = [(*sorted((one.record_a, one.record_b)), one.outcome, one.why) for one in said]
    frame = pl.DataFrame(
        rows, schema=dict.fromkeys(("record_a", "record_b", "outcome", "why"), pl.String), orient="row"
    )
    records = pl.concat([frame["record_a"], frame["record_b"]]).unique().to_frame("record_id")
    contents = store.frame(
        "SELECT s.record_id, s.content FROM source_record s SEMI JOIN records r ON s.record_id = r.record_id",
        records=records,
    )
    for side in ("a", "b"):
        renamed = contents.rename({"record_id": f"record_{side}", "content": f"content_{side}"})
        frame = frame.join(renamed, on=f"record_{side}", how="left", maintain_order="left")
    return frame.with_columns(
        random_keys(frame.height).alias("answer_id"),
        pl.lit(reviewer.name).alias("reviewer"),
        pl.lit(reviewer.is_blind).alias("is_blind"),
        pl.lit(reviewer.kind).alias("kind"),
        pl.lit(now(), pl.Datetime("us")).alias("answered_at"),
    )


def _settle(store: Store, pairs: pl.DataFrame, reviewer: Reviewer, needed: int) -> int:
    """Decide those of the pairs that are open and about which enough reviewers agree; return how many."""
    is_open = store.frame(ASKABLE).select(pl.col("one").alias("record_a"), pl.col("other").alias("record_b"))
    pair = ["record_a", "record_b"]
    votes = (
        in_force(store)
        .join(pairs, on=pair, how="semi")
        .join(is_open, on=pair, how="semi")
        .filter(pl.col("outcome").is_in(list(KINDS)))
        .group_by(*pair, "outcome", maintain_order=True)
        .agg(
            pl.col("reviewer").first().alias("reviewer1"),
            pl.col("reviewer").get(1, null_on_oob=True).alias("reviewer2"),
            pl.col("why").last().alias("reason"),
            pl.len().alias("votes"),
        )
        .with_columns((pl.col("votes").sum().over(pair) - pl.col("votes")).alias("against"))
        .filter(pl.col("votes") >= needed, pl.col("votes") > pl.col("against"))
        .sort(pair)
        .drop("votes", "against")
    )
    if votes.height:
        decide_each(store, votes, kind=reviewer.kind, run_id=reviewer.run_id)
    return votes.height


def decided_pairs(store: Store) -> pl.DataFrame:
    """Return the pairs that persons decided and nobody took back, the anchor's side left.

    Returns:
        ``record_a, source_a, record_b, source_b, is_match``: the hub's own keys, and the sources' namespaces.
    """
    return store.frame(_SAID, [ANCHOR, ANCHOR])


def labels(store: Store) -> pl.DataFrame:
    """Return the pairs that persons decided, as labels to train on.

    Returns:
        ``left_source, left_id, right_source, right_id, is_match``, the anchor's side left. Ids are the sources' own,
        so that they name rows of the sources' files; whoever holds them can tell the children.
    """
    return store.frame(_LABELS, pairs=decided_pairs(store))


@dataclass(frozen=True)
class Backlog:
    """How much waits for persons.

    Attributes:
        open: questions that wait, those below among them.
        started: of them, with an answer but too few that agree.
        disputed: of them, reviewers disagree.
        contradicted: pairs that decisions of persons contradict each other about; one has to be undone.
        decided: pairs decided by reviewers, in force.
        answers: answers ever given.
        unblinded: of them, given with the model's score in view.
        checked: automatic links drawn at random that reviewers decided about.
        confirmed: of them, found to be one child.
    """

    open: int
    started: int
    disputed: int
    contradicted: int
    decided: int
    answers: int
    unblinded: int
    checked: int
    confirmed: int


def backlog(store: Store) -> Backlog:
    """Return how much waits for persons."""
    waiting = questions(store)
    said = answers(store)
    contradicted = store.value(
        "SELECT count(*) FROM scored_pair p SEMI JOIN link_constraint c ON c.record_a = least(p.record_a, p.record_b) "
        "AND c.record_b = greatest(p.record_a, p.record_b) AND c.asserted_to IS NULL WHERE p.outcome = 'review'"
    )
    return Backlog(
        open=waiting.height,
        started=waiting.filter(pl.col("answers") > 0).height,
        disputed=waiting.filter("is_disputed").height,
        contradicted=int(contradicted),
        decided=int(store.value(_DECIDED)),
        answers=said.height,
        unblinded=said.filter(~pl.col("is_blind")).height,
        **store.frame(_CHECKED).row(0, named=True),
    )
