"""From the declared measures to ``measure_value``: one statement for each measure.

A statement joins the measure's unit rows with what is known of the child today, and counts them by every
breakdown in one pass (GROUPING SETS). Nothing here depends on the order of rows or on a random key: sums are
decimal, and persons are counted, never compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import polars as pl

from wellbridge.etl.store import Store
from wellbridge.pipelines.measures.measure import SERVICE_CATEGORIES, Measure
from wellbridge.pipelines.measures.registry import MEASURES
from wellbridge.pipelines.measures.school_year import FIRST_MONTH, bounds

NOT_LINKED: Final = "not linked"  # about a person who is no current student, or whom no rule could link
NOT_REPORTED: Final = "not reported"  # a current student of whom the roster does not say

SCHEMA: Final = pl.Schema(
    {
        "measure_id": pl.String,
        "period": pl.String,
        "dimension": pl.String,
        "member": pl.String,
        "numerator": pl.Float64,
        "denominator": pl.Float64,
        "persons": pl.Int64,
        "value": pl.Float64,
    }
)

_FLAGS: Final = ("english_learner", "disability", "economically_disadvantaged", "homeless")
_ATTACHED: Final = ("grade_band", "race_ethnicity", "sex", "tier", *_FLAGS)


def compute(store: Store, as_of: date) -> pl.DataFrame:
    """Compute every measure as it stands on ``as_of``.

    Args:
        store: the warehouse; ``student`` must have been derived.
        as_of: newest day that any taken delivery speaks for.

    Returns:
        Rows of ``measure_value``, in its columns, ordered by its key; groups without any unit are not there.

    Raises:
        StoreError: WB-E-050.
    """
    frames = [compute_one(store, measure, as_of) for measure in MEASURES.values()]
    return pl.concat(frames).sort("measure_id", "period", "dimension", "member")


def compute_one(store: Store, measure: Measure, as_of: date) -> pl.DataFrame:
    """Compute one measure; see ``compute``."""
    sql, parameters = statement(measure, as_of)
    found = store.frame(sql, parameters).with_columns(pl.lit(measure.id).alias("measure_id"))
    return found.select(SCHEMA.names()).cast(SCHEMA).sort("period", "dimension", "member")


def statement(measure: Measure, as_of: date) -> tuple[str, list[Any]]:
    """Return the measure's SELECT and its bound parameters."""
    first, last = bounds(as_of)
    parameters: list[Any] = [as_of, first, last, *(parameter.value for parameter in measure.params)]
    steps = {
        **_given(measure),
        **_LEARNER,
        "unit": measure.sql,
        "attached": _attached(),
        "counted": _counted(measure),
    }
    return "".join((_with(steps), _RESULT)), parameters


def _with(steps: Mapping[str, str]) -> str:
    """Return a WITH clause of the relations; the largest table is read where it is used and never copied."""
    large = (f"{name} AS NOT MATERIALIZED ({body})" for name, body in _LARGE.items())
    others = (f"{name} AS ({body})" for name, body in steps.items())
    return "".join(("WITH ", ",\n".join((*large, *others))))


def _given(measure: Measure) -> dict[str, str]:
    names = ", ".join(
        f"CAST(${place} AS DOUBLE) AS {parameter.name}"
        for place, parameter in enumerate(measure.params, start=4)
    )
    return {
        "clock": _CLOCK,
        "given": f"SELECT {names or '0 AS nothing'}",
    }


_CLOCK: Final = (
    "SELECT CAST($1 AS DATE) AS as_of, CAST($2 AS DATE) AS year_start, CAST($3 AS DATE) AS year_end"
)

# A bound range is tested while the table is read; one of ``clock`` would be a join, which takes thrice as long.
_LARGE: Final = {
    "year_attendance": "SELECT * FROM attendance WHERE event_date BETWEEN CAST($2 AS DATE) AND CAST($3 AS DATE)",
}

# What is known today of each current student. Of two assignments begun on one day the more intensive holds.
_LEARNER: Final = {
    "program_homeless": """
    SELECT DISTINCT person_key FROM program_participation CROSS JOIN clock
    WHERE program = 'homeless' AND person_key IS NOT NULL
      AND begin_date <= clock.year_end AND (end_date IS NULL OR end_date >= clock.year_start)""",
    "counted_service": "".join(
        (
            """
    SELECT person_key, category, CAST(coalesce(minutes, 0) AS DECIMAL(12, 4)) AS minutes
    FROM service_encounter CROSS JOIN clock
    WHERE person_key IS NOT NULL AND event_date BETWEEN clock.year_start AND clock.year_end
      AND category IN (""",
            ", ".join(f"'{name}'" for name in SERVICE_CATEGORIES),
            ")",
        )
    ),
    "tier_in_force": """
    SELECT person_key, tier
    FROM (SELECT person_key, tier,
                 row_number() OVER (PARTITION BY person_key ORDER BY start_date DESC, tier DESC) AS nth
          FROM tier_assignment CROSS JOIN clock
          WHERE tier IS NOT NULL AND start_date <= clock.as_of
            AND (end_date IS NULL OR end_date > clock.as_of)) AS placed
    WHERE nth = 1""",
    "learner": """
    SELECT student.person_key, school_id, grade_band, race_ethnicity, sex, english_learner, disability,
           economically_disadvantaged, program_homeless.person_key IS NOT NULL AS homeless,
           coalesce(tier_in_force.tier, 1) AS tier
    FROM student
    LEFT JOIN program_homeless ON program_homeless.person_key = student.person_key
    LEFT JOIN tier_in_force ON tier_in_force.person_key = student.person_key
    WHERE student.is_current""",
}


def _text(name: str) -> str:
    if name in _FLAGS:
        return f"CASE learner.{name} WHEN true THEN 'yes' WHEN false THEN 'no' END"
    return f"CAST(learner.{name} AS VARCHAR)"


def _attached() -> str:
    """Unit rows with the school year as text and every breakdown as text that is never null."""
    unknown = f"CASE WHEN learner.person_key IS NULL THEN '{NOT_LINKED}' ELSE '{NOT_REPORTED}' END"
    members = ", ".join(f"coalesce({_text(name)}, {unknown}) AS {name}" for name in _ATTACHED)
    # The calendar year in which the school year of the unit's day began.
    begun = f"EXTRACT(year FROM unit.day - INTERVAL {FIRST_MONTH - 1} MONTH)"
    return " ".join(
        (
            "SELECT unit.unit_key, unit.member, CAST(unit.numerator AS DECIMAL(18, 9)) AS numerator,",
            "CAST(unit.denominator AS DECIMAL(18, 9)) AS denominator,",
            f"CAST({begun} AS VARCHAR) || '-' ||",
            f"lpad(CAST(({begun} + 1) % 100 AS VARCHAR), 2, '0') AS period,",
            f"coalesce(unit.school_id, learner.school_id, {unknown}) AS school,",
            members,
            "FROM unit LEFT JOIN learner ON learner.person_key = unit.person_key",
            "WHERE unit.unit_key IS NOT NULL",
        )
    )


_SUMS: Final = """
    CAST(sum(numerator) AS DOUBLE) AS numerator, CAST(sum(denominator) AS DOUBLE) AS denominator,
    count(DISTINCT unit_key) AS persons"""


def _counted(measure: Measure) -> str:
    """Sums by district, by each common breakdown and by the measure's own."""
    names = measure.dimensions
    sets = ", ".join(("(period)", *(f"(period, {name})" for name in names)))
    dimension = " ".join(
        ("CASE", *(f"WHEN GROUPING({name}) = 0 THEN '{name}'" for name in names), "ELSE 'all' END")
    )
    member = f"coalesce({', '.join((*names, chr(39) + 'all' + chr(39)))})"
    own = (
        ""
        if measure.own_dimension is None
        else " ".join(
            (
                "UNION ALL SELECT period,",
                f"'{measure.own_dimension}', member,",
                _SUMS,
                "FROM attached WHERE member IS NOT NULL GROUP BY period, member",
            )
        )
    )
    return " ".join(
        (
            "SELECT period,",
            dimension,
            "AS dimension,",
            member,
            "AS member,",
            _SUMS,
            "FROM attached WHERE member IS NULL GROUP BY GROUPING SETS (",
            sets,
            ")",
            own,
        )
    )


_RESULT: Final = """
SELECT period, dimension, member, numerator, denominator, persons,
       numerator / nullif(denominator, 0) AS value
FROM counted WHERE denominator > 0"""


def learners(store: Store, as_of: date) -> pl.DataFrame:
    """Return every current student in the words of the breakdowns.

    Returns:
        ``person_key, school`` and the other common breakdowns as text that is never null.
    """
    first, last = bounds(as_of)
    members = ", ".join(f"coalesce({_text(name)}, '{NOT_REPORTED}') AS {name}" for name in _ATTACHED)
    steps = {"clock": _CLOCK, **_LEARNER}
    sql = "".join((
        _with(steps), f" SELECT person_key, coalesce(school_id, '{NOT_REPORTED}') AS school, ", members,
        " FROM learner ORDER BY person_key",
    ))
    return store.frame(sql, [as_of, first, last])


def unit_rows(store: Store, measure: Measure, as_of: date) -> pl.DataFrame:
    """Return a measure's unit rows about children: ``person_key, numerator, denominator`` (Float64).

    Rows of the measure's own breakdown are left out.
    """
    first, last = bounds(as_of)
    steps = {**_given(measure), **_LEARNER, "unit": measure.sql}
    sql = "".join((
        _with(steps), " SELECT person_key, CAST(numerator AS DOUBLE) AS numerator, ",
        "CAST(denominator AS DOUBLE) AS denominator FROM unit WHERE member IS NULL AND person_key IS NOT NULL",
    ))
    return store.frame(sql, [as_of, first, last, *(parameter.value for parameter in measure.params)])
