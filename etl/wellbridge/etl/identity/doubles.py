"""Doubles inside one file: groups of records of one child, by the evidence of a whole group for another.

Two groups become one, best pair first, only where the pairs between them speak for it on average; a pair that was
never scored speaks against it. So one wrong pair does not chain two children together, as connected components would.
"""

from __future__ import annotations

from itertools import product
from typing import Final

import polars as pl

from wellbridge.etl.identity.decide import DECIDED, Limits, Source, odds_bits, prior_bits

_UNSCORED_BITS: Final = -1.0  # blocking did not look at the pair, which says little against it
_MOST_BITS: Final = 10.0  # no single pair outvotes many


def decide_within(scored: pl.DataFrame, source: Source, limits: Limits) -> pl.DataFrame:
    """Decide the pairs of one file that may hold a child several times.

    Returns:
        ``DECIDED``; pairs of one group that were never scored are among them.
    """
    prior = prior_bits(limits.share, source.size, source.size)
    bits = pl.col("weight") + pl.when("shares_home").then(pl.lit(prior_bits(limits.share, 1, 1))).otherwise(
        prior
    )
    guard = (
        pl.when(~pl.col("is_enough")).then(pl.lit("too_little"))
        .when(~pl.col("first_agrees")).then(pl.lit("first_name"))
        .when("is_twin_like").then(pl.lit("twin"))
    )  # fmt: skip
    pairs = scored.with_columns(bits.alias("bits"), guard.alias("guard")).sort("record_a", "record_b")
    groups = _grouped(pairs, odds_bits(limits.auto))
    return _explained(pairs, groups, source.name, limits)


def _grouped(pairs: pl.DataFrame, least: float) -> dict[str, int]:
    """Return the group of every record that is in one."""
    evidence = {
        (one, other): bits for one, other, bits in pairs.select("record_a", "record_b", "bits").iter_rows()
    }
    sure = pairs.filter(pl.col("guard").is_null() & (pl.col("bits") >= least))
    of: dict[str, list[str]] = {}
    for one, other in sure.sort("bits", "record_a", "record_b", descending=[True, False, False]).select(
        "record_a", "record_b"
    ).iter_rows():  # fmt: skip
        left, right = of.setdefault(one, [one]), of.setdefault(other, [other])
        if left is right or not _belong(left, right, evidence):
            continue
        left.extend(right)
        for record in right:
            of[record] = left
    numbers = {id(group): number for number, group in enumerate(of.values())}
    return {record: numbers[id(group)] for record, group in of.items() if len(group) > 1}


def _belong(left: list[str], right: list[str], evidence: dict[tuple[str, str], float]) -> bool:
    total = 0.0
    for one, other in product(left, right):
        bits = evidence.get((one, other) if one < other else (other, one), _UNSCORED_BITS)
        total += max(-_MOST_BITS, min(_MOST_BITS, bits))
    return total > 0


def _explained(pairs: pl.DataFrame, groups: dict[str, int], source: str, limits: Limits) -> pl.DataFrame:
    members = pl.DataFrame(
        {"record": list(groups), "group": list(groups.values())},
        schema={"record": pl.String, "group": pl.Int64},
    )
    same = members.join(members, on="group", suffix="_b").filter(pl.col("record") < pl.col("record_b"))
    linked = same.select(record_a="record", record_b="record_b", is_linked=pl.lit(True))
    every = pairs.join(linked, on=["record_a", "record_b"], how="full", coalesce=True)
    is_linked = pl.col("is_linked").fill_null(False)
    is_asked = (pl.col("bits") >= odds_bits(limits.review)) & ~is_linked
    made = every.with_columns(
        pl.col("source_a").fill_null(source),
        pl.col("source_b").fill_null(source),
        pl.col("tier").fill_null("model"),
        pl.lit(None, pl.Float64).alias("margin"),
        pl.lit(None, pl.String).alias("runner_up"),
        pl.when(is_linked).then(pl.lit("link")).when(is_asked).then(pl.lit("review")).otherwise(pl.lit("none"))
        .alias("outcome"),
        pl.when(is_linked & pl.col("bits").is_null()).then(pl.lit("same_person"))
        .when(is_linked).then(pl.when(pl.col("tier") == "rule").then(pl.lit("rule")).otherwise(pl.lit("model")))
        .when(is_asked).then(pl.coalesce("guard", pl.lit("band"))).otherwise(pl.lit("weight")).alias("reason"),
    )  # fmt: skip
    return made.select(list(DECIDED)).sort("record_a", "record_b")
