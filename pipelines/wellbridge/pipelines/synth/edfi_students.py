"""What the Ed-Fi API says about the children of a block: identity, enrolment, attendance, discipline, programs."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from wellbridge.pipelines.synth.district import FIRST_DAY, GRADES, SCHOOL_YEAR, Plan
from wellbridge.pipelines.synth.edfi import DISTRICT, INTERVENTIONS, SESSION, EdFi, descriptor, grade_level
from wellbridge.pipelines.synth.oneroster import on_night
from wellbridge.pipelines.synth.partners import choice, draw, iso, night_column, repeat

_STUDENT: Final = pl.struct(pl.col("student_number").alias("studentUniqueId")).alias("studentReference")
_RACES: Final = {
    "white": "White", "black": "Black or African American", "asian": "Asian",
    "american_indian": "American Indian or Alaska Native", "pacific_islander": "Native Hawaiian or Pacific Islander",
}
_ATTENDANCE: Final = ("In Attendance", "Unexcused Absence", "Excused Absence", "Tardy")
_DISCIPLINES: Final = ("Out of School Suspension", "Out of School Suspension", "Expulsion", "Community Service",
                       "Other", "No action for incident")


class EdFiStudents:
    """Writes a block's children into the Ed-Fi folders of every night."""

    def __init__(self, plan: Plan, edfi: EdFi) -> None:
        self.plan, self.edfi = plan, edfi

    def block(self, people: pl.DataFrame, days: pl.DataFrame, block: int) -> dict[str, pl.DataFrame]:
        """Write a block; ``days`` are the student-days of the schools that report here. Return counted events."""
        for night in range(1, self.plan.nights + 1):
            self._persons(people.filter(pl.col("from_night") == night), night, block)
            self._enrolments(people, night, block)
        rng = self.plan.rng(block, "edfi")
        steady = people.filter(pl.col("from_night") == 1)
        self._interventions(draw(steady, rng, 0.05, 16), rng, block)
        return {
            "attendance": self._attendance(days, block), "discipline": self._discipline(steady, rng, block),
            "homeless": self._homeless(steady, block), **self._programs(steady, block),
        }

    def _put(self, night: int, resource: str, frame: pl.DataFrame, kind: int, fields: list[pl.Expr],
             block: int) -> pl.DataFrame:
        """Turn rows into JSON texts and write them; ``kind`` and ``serial`` make the API's id."""
        serial = pl.col("serial") if "serial" in frame.columns else pl.col("index")
        whole = frame.with_columns(pl.struct(
            identifier(kind, serial).alias("id"), *fields,
            pl.lit(self.edfi.modified(night)).alias("_lastModifiedDate")).struct.json_encode().alias("json"))
        return self.edfi.put(night, resource, whole, block)

    def _persons(self, people: pl.DataFrame, night: int, block: int) -> None:
        self._put(night, "students", people, 0xA1, [
            pl.col("student_number").alias("studentUniqueId"), pl.col("first_name").alias("firstName"),
            pl.col("last_name").alias("lastSurname"), iso("birth_date").alias("birthDate")], block)
        sex = pl.when("is_girl").then(pl.lit("Female")).otherwise(pl.lit("Male"))
        limited = pl.when("english_learner").then(pl.lit("Limited")).otherwise(pl.lit("NotLimited"))
        self._put(night, "studentEducationOrganizationAssociations", people, 0xA2, [
            _STUDENT, _district("educationOrganizationReference"), _code("Sex", sex).alias("sexDescriptor"),
            pl.col("is_hispanic").alias("hispanicLatinoEthnicity"), _races().alias("races"),
            _code("LimitedEnglishProficiency", limited).alias("limitedEnglishProficiencyDescriptor"),
            _flagged("disability", "disabilityDescriptor", "Disability", "Other Health Impairment").alias("disabilities"),
            _flagged("economically_disadvantaged", "studentCharacteristicDescriptor", "StudentCharacteristic",
                     "Economic Disadvantaged").alias("studentCharacteristics"),
            pl.concat_list(pl.struct(
                pl.lit(descriptor("AddressType", "Home")).alias("addressTypeDescriptor"),
                pl.col("street").alias("streetNumberName"), pl.col("zip_code").alias("postalCode"))).alias("addresses"),
        ], block)

    def _enrolments(self, people: pl.DataFrame, night: int, block: int) -> None:
        """Entries of the night, and exits of those who left or went to another school."""
        today = self.plan.day(night)
        new = people.filter(pl.col("from_night") == night).with_columns(at="school", since=pl.lit(
            str(FIRST_DAY) if night == 1 else today), until=pl.lit(None, dtype=pl.String), part=1)
        gone = people.filter((pl.col("to_night") == night - 1) | ((pl.col("move_night") == night) & (night > 1)))
        last = self.plan.day(night - 1) if night > 1 else ""
        out = gone.with_columns(at="school", since=pl.when(pl.col("from_night") == 1).then(
            pl.lit(str(FIRST_DAY))).otherwise(pl.lit(last)), until=pl.lit(last), part=1)
        moved = on_night(people, night).filter(pl.col("move_night") == night).select(people.columns).with_columns(
            at="new_school", since=pl.lit(today), until=pl.lit(None, dtype=pl.String), part=2)
        rows = pl.concat([new, out, moved], how="diagonal_relaxed").with_columns(serial=pl.col("index") * 10 + pl.col("part"))
        leaves = pl.when(pl.col("until").is_not_null()).then(pl.lit(descriptor("ExitWithdrawType", "Transferred")))
        self._put(night, "studentSchoolAssociations", rows, 0xA3, [
            _STUDENT, _school("at", "schoolReference"), pl.col("since").alias("entryDate"),
            pl.col("until").alias("exitWithdrawDate"), leaves.alias("exitWithdrawTypeDescriptor"),
            _code("GradeLevel", pl.col("grade").replace_strict({g: grade_level(g) for g in GRADES})).alias(
                "entryGradeLevelDescriptor"),
        ], block)

    def _attendance(self, days: pl.DataFrame, block: int) -> pl.DataFrame:
        """Write one event a student-day; return days and half days absent by person and side."""
        category = pl.Series(_ATTENDANCE, dtype=pl.String).gather(days["status"])
        rows = days.with_columns(category=category, serial=pl.col("index") * 1000 + pl.col("day"),
                                 halves=pl.when(pl.col("status").is_in([1, 2])).then(2).otherwise(0).cast(pl.Int64))
        fields = [
            _STUDENT, _school("school", "schoolReference"),
            pl.struct(pl.col("school").alias("schoolId"), pl.lit(SCHOOL_YEAR).alias("schoolYear"),
                      pl.lit(SESSION).alias("sessionName")).alias("sessionReference"),
            iso("date").alias("eventDate"),
            _code("AttendanceEventCategory", pl.col("category")).alias("attendanceEventCategoryDescriptor")]
        parts = [self._put(night, "studentSchoolAttendanceEvents", rows.filter(pl.col("night") == night), 0xA4, fields,
                           block) for night in range(1, self.plan.nights + 1)]
        whole = pl.concat(parts)
        sums = (pl.len().cast(pl.Int64).alias("days"), pl.col("halves").sum())
        return pl.concat([
            frame.group_by("index", maintain_order=True).agg(*sums).with_columns(pl.lit(side).alias("side"))
            for side, frame in (("value", whole), ("delivered", whole.filter("kept")))])

    def _discipline(self, people: pl.DataFrame, rng: np.random.Generator, block: int) -> pl.DataFrame:
        chosen = repeat(draw(people, rng, 0.07, 20), rng.choice([1, 2], min(people.height, max(20, round(people.height * 0.07))), p=[0.8, 0.2]))
        count = chosen.height
        rows = chosen.with_columns(
            date=pl.Series(self.plan.days, dtype=pl.Date).gather(rng.integers(0, len(self.plan.days), count)),
            action=choice(rng, _DISCIPLINES, count), length=pl.Series(rng.integers(1, 10, count)),
            behavior=choice(rng, ("School Violation", "School Code of Conduct", "Other"), count),
            serial=pl.Series(block * 1_000_000 + np.arange(count)),
        ).with_columns(night=night_column(self.plan, "date")).with_columns(
            # A child who left cannot be disciplined later.
            night=pl.min_horizontal("night", "to_night"))
        mistaken = self._mistaken_actions(people, block)
        kept = []
        for night in range(1, self.plan.nights + 1):
            tonight = rows.filter(pl.col("night") == night)
            self._incidents(night, pl.concat([tonight, mistaken], how="diagonal_relaxed") if night == 1 else tonight, block)
            kept.append(self._put(night, "disciplineActions", tonight, 0xA6, _action_fields(), block))
        self._mistake(mistaken, block)
        return pl.concat(kept).select("index", pl.col("action").is_in(_DISCIPLINES[:3]).alias("is_exclusionary"), "kept")

    def _incidents(self, night: int, rows: pl.DataFrame, block: int) -> None:
        self._put(night, "disciplineIncidents", rows, 0xA5, [
            (pl.lit("IN") + pl.col("serial").cast(pl.String)).alias("incidentIdentifier"),
            _school("school", "schoolReference"), iso("date").alias("incidentDate"),
            pl.concat_list(pl.struct(_code("Behavior", pl.col("behavior")).alias("behaviorDescriptor"))).alias("behaviors"),
        ], block)

    def _mistaken_actions(self, people: pl.DataFrame, block: int) -> pl.DataFrame:
        """Suspensions entered by mistake in the first night and deleted in the second."""
        count = self.plan.defects(block) if self.plan.nights > 1 else 0
        return people.tail(count).with_columns(
            date=pl.lit(self.plan.day_before), action=pl.lit("Out of School Suspension"), length=pl.lit(3, dtype=pl.Int64),
            behavior=pl.lit("Other"), serial=pl.int_range(pl.len()) + block * 1_000_000 + 900_000, night=pl.lit(1, dtype=pl.Int64))

    def _mistake(self, mistaken: pl.DataFrame, block: int) -> None:
        if not mistaken.height:
            return
        fields = pl.struct(identifier(0xA6, pl.col("serial")).alias("id"), *_action_fields(),
                           pl.lit(self.edfi.modified(1)).alias("_lastModifiedDate")).struct.json_encode()
        self.edfi.add(1, "disciplineActions", mistaken.select(fields.alias("json"))["json"].to_list())
        for row in mistaken.iter_rows(named=True):
            key = {"disciplineActionIdentifier": f"DA{row['serial']}", "disciplineDate": str(row["date"]),
                   "studentUniqueId": row["student_number"]}
            self.edfi.delete(2, "disciplineActions", f"{0xA6:02x}{row['serial']:030d}", key)

    def _homeless(self, people: pl.DataFrame, block: int) -> pl.DataFrame:
        homeless = people.filter("is_homeless")
        rng = self.plan.rng(block, "homeless")
        homeless = homeless.with_columns(night_place=choice(
            rng, ("Doubled-up", "Doubled-up", "Hotels/motels", "Shelters", "Unsheltered"), homeless.height))
        fields = [*_program_fields("Homeless", "Homeless"), _code(
            "HomelessPrimaryNighttimeResidence", pl.col("night_place")).alias("homelessPrimaryNighttimeResidenceDescriptor")]
        out = self._put(1, "studentHomelessProgramAssociations", homeless, 0xA7, fields, block)
        if self.plan.nights > 1:
            self._mistaken_homeless(people.filter(~pl.col("is_homeless")).head(self.plan.defects(block)))
        return out.select("index", "kept")

    def _mistaken_homeless(self, people: pl.DataFrame) -> None:
        """Children taken for homeless by mistake; deleted in the second night."""
        text = pl.struct(identifier(0xA8, pl.col("index")).alias("id"), *_program_fields("Homeless", "Homeless"),
                         pl.lit(self.edfi.modified(1)).alias("_lastModifiedDate")).struct.json_encode()
        self.edfi.add(1, "studentHomelessProgramAssociations", people.select(text.alias("json"))["json"].to_list())
        for row in people.iter_rows(named=True):
            key: dict[str, Any] = {
                "beginDate": str(FIRST_DAY), "educationOrganizationId": DISTRICT, "programEducationOrganizationId": DISTRICT,
                "programName": "Homeless", "programTypeDescriptor": descriptor("ProgramType", "Homeless"),
                "studentUniqueId": row["student_number"]}
            self.edfi.delete(2, "studentHomelessProgramAssociations", f"{0xA8:02x}{row['index']:030d}", key)

    def _programs(self, people: pl.DataFrame, block: int) -> dict[str, pl.DataFrame]:
        """Special education, Section 504, foster care and bilingual programs; no measure counts them."""
        special = people.filter("disability")
        self._put(1, "studentSpecialEducationProgramAssociations", special.filter(pl.col("index") % 4 != 0), 0xA9,
                  [*_program_fields("Special Education", "Special Education"), pl.lit(value=True).alias("ideaEligibility")], block)
        self._put(1, "studentSection504ProgramAssociations", special.filter(pl.col("index") % 4 == 0), 0xAA,
                  [*_program_fields("Section 504", "Section 504 Placement"),
                   pl.lit(value=True).alias("section504Eligibility")], block)
        foster = people.filter("is_foster").with_columns(serial=pl.col("index") * 2, program=pl.lit("Foster Care"))
        bilingual = people.filter("english_learner").with_columns(serial=pl.col("index") * 2 + 1, program=pl.lit("Bilingual"))
        self._put(1, "studentProgramAssociations", pl.concat([foster, bilingual]), 0xAB,
                  _program_fields("program", None), block)
        return {}

    def _interventions(self, people: pl.DataFrame, rng: np.random.Generator, block: int) -> None:
        frame = people.with_columns(code=choice(rng, tuple(INTERVENTIONS), people.height),
                                    minutes=pl.Series(rng.integers(1, 20, people.height) * 10))
        self._put(1, "studentInterventionAssociations", frame, 0xAC, [
            _STUDENT, pl.struct(pl.lit(DISTRICT).alias("educationOrganizationId"),
                                pl.col("code").alias("interventionIdentificationCode")).alias("interventionReference"),
            pl.col("minutes").alias("dosage")], block)


def identifier(kind: int, serial: pl.Expr) -> pl.Expr:
    """Return 32 hex digits: the kind of record, then its number."""
    return pl.lit(f"{kind:02x}") + serial.cast(pl.String).str.zfill(30)


def _code(name: str, code: pl.Expr) -> pl.Expr:
    return pl.lit(descriptor(name, "")) + code


def _school(column: str, alias: str) -> pl.Expr:
    return pl.struct(pl.col(column).alias("schoolId")).alias(alias)


def _district(alias: str) -> pl.Expr:
    return pl.struct(pl.lit(DISTRICT).alias("educationOrganizationId")).alias(alias)


def _races() -> pl.Expr:
    """The child's races; of two or more, two are named."""
    def one(code: str) -> pl.Expr:
        return pl.struct(pl.lit(descriptor("Race", code)).alias("raceDescriptor"))

    named = pl.struct(_code("Race", pl.col("race").replace_strict(_RACES, default="White")).alias("raceDescriptor"))
    two = pl.concat_list(one("White"), one("Black or African American"))
    return pl.when(pl.col("race") == "two_or_more").then(two).otherwise(pl.concat_list(named))


def _flagged(column: str, field: str, name: str, code: str) -> pl.Expr:
    entry = pl.concat_list(pl.struct(pl.lit(descriptor(name, code)).alias(field)))
    return pl.when(column).then(entry).otherwise(entry.list.head(0))


def _program_fields(name: str, kind: str | None) -> list[pl.Expr]:
    """Fields of a program association; without ``kind`` the column ``name`` holds each row's program."""
    title = pl.lit(name) if kind else pl.col(name)
    return [
        _STUDENT, _district("educationOrganizationReference"),
        pl.struct(pl.lit(DISTRICT).alias("educationOrganizationId"), title.alias("programName"),
                  _code("ProgramType", pl.lit(kind) if kind else title).alias("programTypeDescriptor")).alias(
                      "programReference"),
        pl.lit(str(FIRST_DAY)).alias("beginDate"), pl.lit(None, dtype=pl.String).alias("endDate"),
    ]


def _action_fields() -> list[pl.Expr]:
    incident = pl.struct(
        pl.col("student_number").alias("studentUniqueId"), pl.col("school").alias("schoolId"),
        (pl.lit("IN") + pl.col("serial").cast(pl.String)).alias("incidentIdentifier"),
        _code("Behavior", pl.col("behavior")).alias("behaviorDescriptor"))
    return [
        _STUDENT, (pl.lit("DA") + pl.col("serial").cast(pl.String)).alias("disciplineActionIdentifier"),
        iso("date").alias("disciplineDate"), _school("school", "responsibilitySchoolReference"),
        pl.col("length").alias("disciplineActionLength"),
        pl.concat_list(pl.struct(_code("Discipline", pl.col("action")).alias("disciplineDescriptor"))).alias("disciplines"),
        pl.concat_list(pl.struct(incident.alias("studentDisciplineIncidentBehaviorAssociationReference"))).alias(
            "studentDisciplineIncidentBehaviorAssociations"),
    ]
