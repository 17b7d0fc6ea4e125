"""What a record file can hold of a child, and where each column comes from.

A column about an outcome is the measure's own count of the child, so that file and tables cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from wellbridge.etl.store import Store
from wellbridge.pipelines.measures.compute import NOT_REPORTED, learners, unit_rows
from wellbridge.pipelines.measures.registry import MEASURES
from wellbridge.pipelines.measures.school_year import bounds
from wellbridge.schemas.classes import PrivacyClass

NOT_COUNTED: Final = "not counted"




@dataclass(frozen=True)
class RecordColumn:
    """A column of a record file.

    Attributes:
        meaning: for the data dictionary.
        privacy: QUASI columns are always protected as quasi-identifiers.
        values: what can stand in it.
        of: how it is computed: a frame ``person_key`` and the column; None where it is a breakdown.
        absent: what stands for a child whom ``of`` does not name.
    """

    meaning: str
    privacy: PrivacyClass
    values: str
    of: Callable[[Store, date], pl.DataFrame] | None = None
    absent: str = NOT_REPORTED


def _flag(measure_id: str, yes: str = "yes", no: str = "no") -> Callable[[Store, date], pl.DataFrame]:
    """Yes or no by the measure's numerator; a child with several units is a yes when one of them is."""

    def compute(store: Store, as_of: date) -> pl.DataFrame:
        rows = unit_rows(store, MEASURES[measure_id], as_of)
        hit = pl.col("numerator").max() > 0
        return rows.group_by("person_key").agg(pl.when(hit).then(pl.lit(yes)).otherwise(pl.lit(no)).alias("value"))

    return compute


def _referred(store: Store, as_of: date) -> pl.DataFrame:
    first, last = bounds(as_of)
    return store.frame(
        "SELECT DISTINCT person_key, 'yes' AS value FROM referral "
        "WHERE person_key IS NOT NULL AND event_date BETWEEN ? AND ?", [first, min(last, as_of)],
    )


def _minutes_band(store: Store, as_of: date) -> pl.DataFrame:
    rows = unit_rows(store, MEASURES["service_minutes"], as_of)
    total = rows.group_by("person_key").agg(pl.col("numerator").sum())
    band = (
        pl.when(pl.col("numerator") < 60).then(pl.lit("under 1 hour"))
        .when(pl.col("numerator") < 300).then(pl.lit("1 to under 5 hours")).otherwise(pl.lit("5 hours or more"))
    )
    return total.select("person_key", band.alias("value"))


_Q, _S, _P = PrivacyClass.QUASI, PrivacyClass.SENSITIVE, PrivacyClass.PLAIN

BREAKDOWNS: Final[Mapping[str, RecordColumn]] = {
    "school": RecordColumn("School attended now, by its id", _Q, "school id"),
    "school_level": RecordColumn("Level of the school attended now", _Q, "as the district names it"),
    "grade_band": RecordColumn("Grade band", _Q, "K-5, 6-8, 9-12, other"),
    "race_ethnicity": RecordColumn("Race and ethnicity, seven federal categories (72 FR 59266)", _Q, "category"),
    "sex": RecordColumn("Sex as the school reports it", _Q, "female, male, other, unspecified"),
    "english_learner": RecordColumn("English learner", _Q, "yes, no"),
    "disability": RecordColumn("Student with a disability (IDEA or Section 504)", _Q, "yes, no"),
    "economically_disadvantaged": RecordColumn("Economically disadvantaged", _Q, "yes, no"),
    "homeless": RecordColumn("In the McKinney-Vento homeless program at any time this school year", _Q, "yes, no"),
    "tier": RecordColumn("MTSS tier in force; 1 where nothing is assigned", _S, "1, 2, 3"),
}

RECORD_COLUMNS: Final[Mapping[str, RecordColumn]] = {
    **BREAKDOWNS,
    "chronic_absence": RecordColumn(
        "Absent 10 % of days or more this school year", _S, f"yes, no, {NOT_COUNTED}", _flag("chronic_absence"),
        NOT_COUNTED),
    "exclusionary_discipline": RecordColumn(
        "At least one exclusionary action this school year", _S, "yes, no", _flag("exclusionary_discipline"),
        NOT_COUNTED),
    "screened": RecordColumn(
        "Screened this school year with an instrument that has a threshold", _S, "yes, no",
        _flag("positive_screen_rate", yes="yes", no="yes"), "no"),
    "positive_screen": RecordColumn(
        "At least one positive screen this school year", _S, "yes, no, not screened", _flag("positive_screen_rate"),
        "not screened"),
    "referred": RecordColumn("Referred to a service this school year", _S, "yes, no", _referred, "no"),
    "service_minutes_band": RecordColumn(
        "Minutes of counted services this school year", _S,
        "none, under 1 hour, 1 to under 5 hours, 5 hours or more", _minutes_band, "none"),
    "regular_out_of_school": RecordColumn(
        "Regular attendance of an out-of-school-time program this school year (15 hours or more)", _S,
        "yes, no, not enrolled", _flag("ost_regular"), "not enrolled"),
}


def student_rows(store: Store, as_of: date, columns: Sequence[str], schools: Sequence[str] = ()) -> pl.DataFrame:
    """Return one row for each current student: ``person_key`` and the columns asked for, as text, never null.

    Args:
        store: the warehouse.
        as_of: the newest day that the data speak for.
        columns: of ``RECORD_COLUMNS``.
        schools: ids of the schools whose students are meant; empty: all.
    """
    levels = store.frame("SELECT school_id AS school, min(school_level) AS school_level FROM school GROUP BY school_id")
    rows = learners(store, as_of).join(levels, on="school", how="left").with_columns(
        pl.col("school_level").fill_null(NOT_REPORTED)
    )
    if schools:
        rows = rows.filter(pl.col("school").is_in(list(schools)))
    for name in columns:
        column = RECORD_COLUMNS[name]
        if column.of is not None:
            found = column.of(store, as_of).select("person_key", pl.col("value").alias(name))
            rows = rows.join(found, on="person_key", how="left").with_columns(pl.col(name).fill_null(column.absent))
    return rows.select("person_key", *columns)
