"""What the Ed-Fi API says about a block's children: identity, demographics, enrolment and attendance."""

from __future__ import annotations

from typing import Final

import polars as pl

from wellbridge.pipelines.synth.attendance import day_sums
from wellbridge.pipelines.synth.columns import iso
from wellbridge.pipelines.synth.district import FIRST_DAY, GRADES, SCHOOL_YEAR, Plan
from wellbridge.pipelines.synth.edfi import SESSION, EdFi, descriptor, grade_level
from wellbridge.pipelines.synth.edfi_events import (
    write_discipline,
    write_homeless,
    write_interventions,
    write_programs,
)
from wellbridge.pipelines.synth.edfi_fields import STUDENT, Objects, code, district, flagged, school
from wellbridge.pipelines.synth.oneroster import on_night

_RACES: Final = {
    "white": "White",
    "black": "Black or African American",
    "asian": "Asian",
    "american_indian": "American Indian or Alaska Native",
    "pacific_islander": "Native Hawaiian or Pacific Islander",
}
_ATTENDANCE: Final = ("In Attendance", "Unexcused Absence", "Excused Absence", "Tardy")


def write_students(
    plan: Plan, edfi: EdFi, people: pl.DataFrame, days: pl.DataFrame, block: int
) -> dict[str, pl.DataFrame]:
    """Write a block's children into the Ed-Fi folders of every night.

    Args:
        plan: the district.
        edfi: the folders.
        people: the children of the block.
        days: student-days of the schools that report attendance here.
        block: the block's number.

    Returns:
        The events that measures count: ``attendance``, ``discipline``, ``homeless``.
    """
    objects = Objects(edfi, block)
    for night in range(1, plan.nights + 1):
        _persons(objects, people.filter(pl.col("from_night") == night), night)
        _enrolments(plan, objects, people, night)
    steady = people.filter(pl.col("from_night") == 1)
    write_interventions(plan, objects, steady)
    write_programs(objects, steady)
    return {
        "attendance": _attendance(plan, objects, days),
        "discipline": write_discipline(plan, objects, steady),
        "homeless": write_homeless(plan, objects, steady),
    }


def _persons(objects: Objects, people: pl.DataFrame, night: int) -> None:
    fields = [
        pl.col("student_number").alias("studentUniqueId"),
        pl.col("first_name").alias("firstName"),
        pl.col("last_name").alias("lastSurname"),
        iso("birth_date").alias("birthDate"),
    ]
    objects.put(night, "students", people, fields)
    objects.put(night, "studentEducationOrganizationAssociations", people, _demographics())


def _demographics() -> list[pl.Expr]:
    sex = pl.when("is_girl").then(pl.lit("Female")).otherwise(pl.lit("Male"))
    limited = pl.when("english_learner").then(pl.lit("Limited")).otherwise(pl.lit("NotLimited"))
    poor = ("studentCharacteristicDescriptor", "StudentCharacteristic", "Economic Disadvantaged")
    home = pl.struct(
        pl.lit(descriptor("AddressType", "Home")).alias("addressTypeDescriptor"),
        pl.col("street").alias("streetNumberName"),
        pl.col("zip_code").alias("postalCode"),
    )
    return [
        STUDENT,
        district(),
        code("Sex", sex).alias("sexDescriptor"),
        pl.col("is_hispanic").alias("hispanicLatinoEthnicity"),
        _races().alias("races"),
        code("LimitedEnglishProficiency", limited).alias("limitedEnglishProficiencyDescriptor"),
        flagged("disability", "disabilityDescriptor", "Disability", "Other Health Impairment").alias(
            "disabilities"
        ),
        flagged("economically_disadvantaged", *poor).alias("studentCharacteristics"),
        pl.concat_list(home).alias("addresses"),
    ]


def _races() -> pl.Expr:
    """The child's races; of two or more, two are named."""

    def one(value: pl.Expr) -> pl.Expr:
        return pl.struct(code("Race", value).alias("raceDescriptor"))

    named = one(pl.col("race").replace_strict(_RACES, default="White"))
    two = pl.concat_list(one(pl.lit("White")), one(pl.lit("Black or African American")))
    return pl.when(pl.col("race") == "two_or_more").then(two).otherwise(pl.concat_list(named))


def _enrolments(plan: Plan, objects: Objects, people: pl.DataFrame, night: int) -> None:
    """Write the night's entries, and the exits of those who left or went to another school."""
    rows = pl.concat(
        [_entries(plan, people, night), *(_exits_and_moves(plan, people, night) if night > 1 else [])],
        how="diagonal_relaxed",
    ).with_columns(serial=pl.col("index") * 10 + pl.col("part"))
    left = pl.lit(descriptor("ExitWithdrawType", "Transferred"))
    level = pl.col("grade").replace_strict({grade: grade_level(grade) for grade in GRADES})
    fields = [
        STUDENT,
        school("at", "schoolReference"),
        pl.col("since").alias("entryDate"),
        pl.col("until").alias("exitWithdrawDate"),
        pl.when(pl.col("until").is_not_null()).then(left).alias("exitWithdrawTypeDescriptor"),
        code("GradeLevel", level).alias("entryGradeLevelDescriptor"),
    ]
    objects.put(night, "studentSchoolAssociations", rows, fields)


def _entries(plan: Plan, people: pl.DataFrame, night: int) -> pl.DataFrame:
    since = str(FIRST_DAY) if night == 1 else plan.day(night)
    return people.filter(pl.col("from_night") == night).with_columns(
        at="school", since=pl.lit(since), until=pl.lit(None, dtype=pl.String), part=1
    )


def _exits_and_moves(plan: Plan, people: pl.DataFrame, night: int) -> list[pl.DataFrame]:
    """Return exits dated the day before, and the entries of those who went to another school."""
    ends = (pl.col("to_night") == night - 1) | (pl.col("move_night") == night)
    exits = people.filter(ends).with_columns(
        at="school", since=pl.lit(str(FIRST_DAY)), until=pl.lit(plan.day(night - 1)), part=1
    )
    moved = on_night(people, night).filter(pl.col("move_night") == night).select(people.columns)
    return [
        exits,
        moved.with_columns(
            at="new_school", since=pl.lit(plan.day(night)), until=pl.lit(None, dtype=pl.String), part=2
        ),
    ]


def _attendance(plan: Plan, objects: Objects, days: pl.DataFrame) -> pl.DataFrame:
    """Write one event a student-day; return days and half days absent by person and side."""
    absent = pl.when(pl.col("status").is_in([1, 2])).then(2).otherwise(0)
    rows = days.with_columns(
        category=pl.Series(_ATTENDANCE, dtype=pl.String).gather(days["status"]),
        serial=pl.col("index") * 1000 + pl.col("day"),
        halves=absent.cast(pl.Int64),
    )
    session = pl.struct(
        pl.col("school").alias("schoolId"),
        pl.lit(SCHOOL_YEAR).alias("schoolYear"),
        pl.lit(SESSION).alias("sessionName"),
    )
    category = code("AttendanceEventCategory", pl.col("category"))
    fields = [
        STUDENT,
        school("school", "schoolReference"),
        session.alias("sessionReference"),
        iso("date").alias("eventDate"),
        category.alias("attendanceEventCategoryDescriptor"),
    ]
    parts = [
        objects.put(night, "studentSchoolAttendanceEvents", rows.filter(pl.col("night") == night), fields)
        for night in range(1, plan.nights + 1)
    ]
    whole = pl.concat(parts)
    return pl.concat(day_sums(whole, whole["halves"]))
