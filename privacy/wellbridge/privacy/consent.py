"""Who may be shared: consents, 42 CFR Part 2 and opt-outs, evaluated on a day, the strictest answer winning."""

from __future__ import annotations

from datetime import date
from typing import Final

import polars as pl

DENIED: Final = "WB-P-001"
PART2: Final = "WB-P-002"
OPTED_OUT: Final = "WB-P-003"

PERMIT: Final = "permit_part2"  # the only decision that allows; every other one refuses
DECISION: Final = ("feed", "consent_id", "decision")  # what one decision is, whatever its version says

# What is known of a subject: whether everything is denied, whether Part 2 records may be shared, whether the family
# opted out of sharing with partners. A subject that is absent has said nothing: Part 2 records then stay out.
STANDING_SCHEMA: Final = {
    "subject_key": pl.String,
    "is_denied": pl.Boolean,
    "permits_part2": pl.Boolean,
    "is_opted_out": pl.Boolean,
}


def strictest(decisions: pl.DataFrame) -> pl.DataFrame:
    """Settle what was said about each decision: the newest version counts, of several of one version the strictest.

    A refusal then holds from the first of their starts to the last of their ends, in force if one of them is. A permit
    holds only while each of them permits, and one that is made out to two persons permits nothing. So the order in
    which they came does not matter.

    Args:
        decisions: ``DECISION``, ``subject_key, start_date, end_date, is_active, version``; a start or end that is
            missing is no bound.

    Returns:
        The same columns, one row for each decision and subject.
    """
    newest = decisions.filter(pl.col("version") == pl.col("version").max().over(DECISION))
    is_unbounded = {name: pl.col(name).is_null().any() for name in ("start_date", "end_date")}
    of_one = newest.with_columns((pl.col("subject_key").n_unique().over(DECISION) == 1).alias("is_of_one"))
    merged = of_one.group_by(*DECISION, "subject_key", "version").agg(
        pl.when(pl.col("decision").first() == PERMIT)
        .then(pl.col("start_date").max())
        .when(~is_unbounded["start_date"])
        .then(pl.col("start_date").min())
        .alias("start_date"),
        pl.when(pl.col("decision").first() == PERMIT)
        .then(pl.col("end_date").min())
        .when(~is_unbounded["end_date"])
        .then(pl.col("end_date").max())
        .alias("end_date"),
        pl.when(pl.col("decision").first() == PERMIT)
        .then((pl.col("is_active") & pl.col("is_of_one")).all())
        .otherwise(pl.col("is_active").any())
        .alias("is_active"),
    )
    return merged.select(decisions.columns)


def standing(consents: pl.DataFrame, subjects: pl.DataFrame, on: date) -> pl.DataFrame:
    """Return every subject's standing on a day.

    Args:
        consents: ``subject_key, decision, start_date, end_date, is_active``; decisions as in the vault.
        subjects: ``subject_key, person_key`` of all subjects, to carry an opt-out to every record of the child.
        on: the day of disclosure (42 CFR 2.31(a)(7): an expired consent permits nothing).

    Returns:
        ``STANDING_SCHEMA``, only subjects about whom something is known.
    """
    in_force = consents.filter(
        pl.col("is_active")
        & (pl.col("start_date").is_null() | (pl.col("start_date") <= on))
        & (pl.col("end_date").is_null() | (pl.col("end_date") > on))
    )
    own = in_force.group_by("subject_key").agg(
        (pl.col("decision") == "deny").any().alias("is_denied"),
        (pl.col("decision") == PERMIT).any().alias("permits_part2"),
    )
    opted = (
        in_force.filter(pl.col("decision").is_in(["optout_partners", "optout_all"]))
        .join(subjects, on="subject_key")
        .select("person_key")
        .unique()
        .join(subjects, on="person_key")
        .select("subject_key")
        .unique()
        .with_columns(pl.lit(True).alias("is_opted_out"))
    )
    return own.join(opted, on="subject_key", how="full", coalesce=True).select(
        "subject_key", *(pl.col(name).fill_null(False) for name in list(STANDING_SCHEMA)[1:])
    )


def removal_rule(standing_of_rows: pl.DataFrame) -> pl.Expr:
    """Return the rule that removes a row, null where the row may stay.

    The frame has a row's standing (null where nothing is known) and ``is_part2``.
    """
    known = set(standing_of_rows.columns)
    is_part2 = pl.col("is_part2").fill_null(True) if "is_part2" in known else pl.lit(False)
    return (
        pl.when(pl.col("is_denied").fill_null(False))
        .then(pl.lit(DENIED))
        .when(is_part2 & ~pl.col("permits_part2").fill_null(False))
        .then(pl.lit(PART2))
        .when(pl.col("is_opted_out").fill_null(False))
        .then(pl.lit(OPTED_OUT))
    )
