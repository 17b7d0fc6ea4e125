"""From scored pairs to links: guards first, then one to one, never by connected components.

``decide`` is a pure function of the scored pairs, the constraints and the declared sources. The order of the rows
does not matter, so neither does the order of deliveries; ties are broken by the record's names.

Source: reference/linkage.md 4.1 (4) to (6); the leader's margin is CRATE's (doi 10.1186/s12911-023-02176-6).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from wellbridge.etl.identity.resolve import Groups, Resolution

# What ``decide`` takes: one row per pair, a = the side whose source is declared first (inside one source: the
# lesser record_id). Record ids are unique over all sources.
SCORED: Final = pl.Schema(
    {
        "record_a": pl.String,
        "record_b": pl.String,
        "source_a": pl.String,
        "source_b": pl.String,
        "tier": pl.String,  # "rule": an exact rule holds; "model": the weights alone speak
        "weight": pl.Float64,  # bits of evidence, the prior not in it, so that it does not age as the hub grows
        "levels": pl.String,  # one digit per comparison of the model, in its order; 0 = a side is missing
        "shares_home": pl.Boolean,  # the weight is stated per home, so the prior is too (see ``prior_bits``)
        "first_agrees": pl.Boolean,  # first names are equal, nicknames, or Jaro-Winkler >= .7; null = a side is missing
        "is_twin_like": pl.Boolean,  # one birth date, a surname or home, but first names that may be two children's
        "is_enough": pl.Boolean,  # both records hold enough to be linked without a person
    }
)
# What it adds.
DECIDED: Final = pl.Schema(
    [
        *SCORED.items(),
        (
            "bits",
            pl.Float64,
        ),  # log2 odds that the pair is one child, the prior in it; null for a pair never scored
        ("margin", pl.Float64),  # bits to the best rival on either side; null = no rival
        ("runner_up", pl.String),  # record_id of that rival's other record
        ("outcome", pl.String),  # "link" | "review" | "none"
        ("reason", pl.String),  # a key of REASONS
    ]
)
# What persons said: kind "must" | "cannot".
CONSTRAINT: Final = pl.Schema(
    {
        "record_a": pl.String,
        "record_b": pl.String,
        "source_a": pl.String,
        "source_b": pl.String,
        "kind": pl.String,
    }
)

REASONS: Final[dict[str, str]] = {
    "rule": "an exact rule holds, and for no other record on either side",
    "model": "the weight is over the limit and no rival is near",
    "must_link": "a person said that they are one child",
    "cannot_link": "a person said that they are two children",
    "first_name": "the first names disagree",
    "twin": "a twin would look the same",
    "margin": "another record fits nearly as well",
    "source_not_unique": "two records of one source fit the same record exactly",
    "too_little": "a record holds too little to be linked without a person",
    "two_persons": "the link would make two persons one",
    "band": "the weight is between the limits",
    "taken": "one of the two is linked to a better one",
    "same_person": "both are linked to the same record already",
    "weight": "the weight is under the limit",
}


@dataclass(frozen=True)
class Source:
    """One source of records, as the site declares it; the first of a sequence is the anchor.

    Attributes:
        name: as in the records' ``source``.
        size: how many records it holds.
        is_unique: it holds a child once. A roster of a school year does; a feed of notices does not.
    """

    name: str
    size: int
    is_unique: bool = True


@dataclass(frozen=True)
class Limits:
    """Where a weight becomes a link or a question.

    Attributes:
        share: expected share of the smaller file's children who are in the other file.
        auto: least probability of a link without a person. .99 follows from a false link that costs as much as 20
            missed ones (CRATE), rounded towards safety.
        review: least probability of a pair that a person is asked about.
        margin: bits by which a link must beat every rival.
    """

    share: float = 0.6
    auto: float = 0.99
    review: float = 0.02
    margin: float = 5.0


def prior_bits(share: float, left: int, right: int) -> float:
    """Return log2 of the odds that two records, drawn at random, are one child.

    Of ``left * right`` pairs ``share * min(left, right)`` are expected to match. For pairs that share a home the
    model counts the other children of the home instead of all children of the file, and so must the prior: there it
    is log2(share), whatever the sizes.
    """
    return math.log2(share) - math.log2(max(left, right, 1))


def odds_bits(probability: float) -> float:
    """Return a probability as log2 odds."""
    return math.log2(probability) - math.log2(1 - probability)


def decide(
    scored: pl.DataFrame, constraints: pl.DataFrame, sources: Sequence[Source], limits: Limits | None = None
) -> pl.DataFrame:
    """Decide every scored pair.

    Args:
        scored: ``SCORED``, in any order; a pair at most once.
        constraints: ``CONSTRAINT``, the pair in either order. Where both kinds are given for a pair, "cannot" holds.
        sources: every source of the records, the anchor first.
        limits: of the model.

    Returns:
        ``DECIDED``, sorted by the two records. A must-link that was never scored is among them, tier "person".
        Every record has at most one link to a source that is declared unique, and at most one link to the anchor's
        side; the groups that links form hold at most one record of each unique source and at most one anchor
        (unless a person said otherwise).
    """
    limits = limits or Limits()
    known = {one.name: one for one in sources}
    unique = [one.name for one in sources if one.is_unique]
    pairs = _with_constraints(scored, constraints, list(known))
    if pairs.is_empty():
        return pl.DataFrame(schema=DECIDED)
    pairs = pairs.with_columns((pl.col("weight") + _prior(sources, limits.share)).alias("bits"))
    pairs = _guarded(pairs, unique, limits).sort("record_a", "record_b")
    resolution = Resolution(pairs, sources[0].name if len(sources) > 1 else None, unique, limits.margin)
    return _explained(resolution.resolve(), limits).select(list(DECIDED))


def persons(decided: pl.DataFrame) -> pl.DataFrame:
    """Return ``record_id, group`` of every linked record; a group is named by its least record.

    Source of the groups: the links of ``decide``, which are consistent already; following them merges nothing more.
    """
    groups = Groups()
    for record_a, record_b in (
        decided.filter(pl.col("outcome") == "link").select("record_a", "record_b").iter_rows()
    ):
        groups.join(record_a, record_b)
    members = [(record, min(group)) for group in groups.all() for record in group]
    return pl.DataFrame(members, schema={"record_id": pl.String, "group": pl.String}, orient="row").sort(
        "record_id"
    )


def _with_constraints(scored: pl.DataFrame, constraints: pl.DataFrame, order: list[str]) -> pl.DataFrame:
    """Add ``said``; what was said of a pair that was never scored becomes a row."""
    ends = [
        ["record_a", "record_b", "source_a", "source_b"],
        ["record_b", "record_a", "source_b", "source_a"],
    ]
    turned = constraints.select(
        *(pl.col(old).alias(new) for new, old in zip(ends[0], ends[1], strict=True)), "kind"
    )
    place = {name: number for number, name in enumerate(order)}
    first = pl.col("source_a").replace_strict(place, default=len(place))
    second = pl.col("source_b").replace_strict(place, default=len(place))
    said = (
        pl.concat([constraints.select(*ends[0], "kind"), turned])
        .filter((first < second) | ((first == second) & (pl.col("record_a") < pl.col("record_b"))))
        .group_by(ends[0])
        .agg(pl.col("kind").min().alias("said"))  # "cannot" comes before "must"
    )
    pairs = scored.select(list(SCORED)).join(said.drop("source_a", "source_b"), on=ends[0][:2], how="left")
    unscored = said.join(scored, on=ends[0][:2], how="anti")
    return pl.concat([pairs, unscored.with_columns(pl.lit("person").alias("tier"))], how="diagonal")


def _prior(sources: Sequence[Source], share: float) -> pl.Expr:
    """Return the prior of every pair in bits, by the sizes of its two sources."""
    sizes = {one.name: one.size for one in sources}
    larger = pl.max_horizontal(
        pl.col(name).replace_strict(sizes, default=1, return_dtype=pl.Float64)
        for name in ("source_a", "source_b")
    ).clip(lower_bound=1.0)
    return math.log2(share) - pl.when("shares_home").then(0.0).otherwise(larger.log(2))


def _guarded(pairs: pl.DataFrame, unique: list[str], limits: Limits) -> pl.DataFrame:
    """Add ``guard``: why a pair may not be linked without a person, whatever its rivals; null = it may."""
    is_rule = pl.col("tier") == "rule"
    count_b = is_rule.sum().over("record_b", "source_a")
    count_a = is_rule.sum().over("record_a", "source_b")
    is_claimed_twice = is_rule & (
        (pl.col("source_a").is_in(unique) & (count_b > 1))
        | (pl.col("source_b").is_in(unique) & (count_a > 1))
    )
    inside_unique = (pl.col("source_a") == pl.col("source_b")) & pl.col("source_a").is_in(unique)
    return pairs.with_columns(
        pl.when(pl.col("said") == "cannot").then(pl.lit("cannot_link"))
        .when(pl.col("bits") < odds_bits(limits.review)).then(pl.lit("weight"))
        .when(~pl.col("is_enough")).then(pl.lit("too_little"))
        .when(~pl.col("first_agrees")).then(pl.lit("first_name"))
        .when("is_twin_like").then(pl.lit("twin"))
        .when(is_claimed_twice | inside_unique).then(pl.lit("source_not_unique"))
        .when(~is_rule & (pl.col("bits") < odds_bits(limits.auto))).then(pl.lit("band"))
        .alias("guard")
    )  # fmt: skip


def _explained(pairs: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """Turn what was resolved into an outcome and a reason.

    ``resolve`` adds ``state``, one of ``STATES``; "taken": a record of the pair is linked to a better one.
    """
    state, guard = pl.col("state"), pl.col("guard")
    is_linked = state.is_in(["link", "same_person"])
    is_asked = (state == "open") & ~guard.is_in(["weight", "cannot_link"]).fill_null(False)
    is_near = pl.col("margin").is_null() | (pl.col("margin") > -limits.margin)
    is_second = (
        (state == "taken") & guard.is_null() & is_near
    )  # nearly as good: the source may hold a child twice
    outcome = (
        pl.when(is_linked).then(pl.lit("link"))
        .when(is_second | (state == "two_persons") | (is_asked & is_near)).then(pl.lit("review"))
        .when((state == "forbidden") & (pl.col("said") == "must")).then(pl.lit("review"))  # persons contradict
        .otherwise(pl.lit("none"))
    )  # fmt: skip
    reason = (
        pl.when(state == "same_person").then(state)
        .when(is_linked & (pl.col("said") == "must")).then(pl.lit("must_link"))
        .when(is_linked & (pl.col("tier") == "rule")).then(pl.lit("rule"))
        .when(is_linked).then(pl.lit("model"))
        .when(state == "forbidden").then(pl.lit("cannot_link"))
        .when(is_second).then(pl.lit("source_not_unique"))
        .when(guard.is_in(["weight", "cannot_link"])).then(guard)
        .when(state == "settled").then(pl.lit("taken"))
        .when(state != "open").then(state)
        .otherwise(pl.coalesce(guard, pl.lit("margin")))
    )  # fmt: skip
    return pairs.with_columns(outcome.alias("outcome"), reason.alias("reason"))
