"""The roster of the day as a OneRoster 1.2 bulk zip: children join, leave, change grade or school.

A row of ``users.csv`` is only spoilt in a night that a later one follows: the next roster brings the child
whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from wellbridge.pipelines.synth import names
from wellbridge.pipelines.synth.district import FIRST_DAY, LAST_DAY, SCHOOL_YEAR, Plan
from wellbridge.pipelines.synth.stream import Flaw, Layout, Stream
from wellbridge.pipelines.synth.truth import Truth
from wellbridge.pipelines.synth.writing import CsvFile, pack

_START: Final = ("sourcedId", "status", "dateLastModified")
_RACES: Final = {
    "american_indian": "americanIndianOrAlaskaNative",
    "asian": "asian",
    "black": "blackOrAfricanAmerican",
    "pacific_islander": "nativeHawaiianOrOtherPacificIslander",
    "white": "white",
    "two_or_more": "demographicRaceTwoOrMoreRaces",
}
HEADERS: Final[dict[str, tuple[str, ...]]] = {
    name: (*_START, *columns.split())
    for name, columns in {
        "academicSessions": "title type startDate endDate parentSourcedId schoolYear",
        "orgs": "name type identifier parentSourcedId",
        "courses": "schoolYearSourcedId title courseCode grades orgSourcedId subjects subjectCodes",
        "classes": "title grades courseSourcedId classCode classType location schoolSourcedId termSourcedIds "
        "subjects subjectCodes periods",
        "users": "enabledUser username userIds givenName familyName middleName identifier email sms phone "
        "agentSourcedIds grades password userMasterIdentifier preferredGivenName preferredMiddleName "
        "preferredFamilyName primaryOrgSourcedId pronouns",
        "roles": "userSourcedId roleType role beginDate endDate orgSourcedId userProfileSourcedId",
        "demographics": "birthDate sex americanIndianOrAlaskaNative asian blackOrAfricanAmerican "
        "nativeHawaiianOrOtherPacificIslander white demographicRaceTwoOrMoreRaces "
        "hispanicOrLatinoEthnicity countryOfBirthCode stateOfBirthAbbreviation cityOfBirth "
        "publicSchoolResidenceStatus",
        "enrollments": "classSourcedId schoolSourcedId userSourcedId role primary beginDate endDate",
        "categories": "title weight",
        "lineItems": "title description assignDate dueDate classSourcedId categorySourcedId "
        "academicSessionSourcedId resultValueMin resultValueMax schoolSourcedId",
        "results": "lineItemSourcedId studentSourcedId scoreStatus score scoreDate comment textScore "
        "classSourcedId inProgress incomplete late missing",
    }.items()
}
_ABSENT: Final = (
    "classResources",
    "courseResources",
    "lineItemLearningObjectiveIds",
    "lineItemScoreScales",
    "resources",
    "resultLearningObjectiveIds",
    "resultScoreScales",
    "scoreScales",
    "userProfiles",
    "userResources",
)
_FLAWS: Final[dict[str, tuple[Flaw, ...]]] = {
    "users": (Flaw("WB-R-020", "grades", "ZZ"), Flaw("WB-R-010", "familyName", "")),
    "results": (
        Flaw("WB-R-012", "score", "B minus"),
        Flaw("WB-R-020", "scoreStatus", "half graded"),
        Flaw("WB-R-011", "scoreDate", "2026-09-31"),
        Flaw("WB-R-031", "studentSourcedId", "u-none", how="stranger", fresh="sourcedId"),
        Flaw("WB-R-030", "score", "1", how="again"),
        Flaw("WB-R-001", how="ragged"),
        Flaw("WB-R-021", "score", "1000"),
    ),
}
_KEYS_ONLY: Final = "removed WB-P-004"
STAFF_ROLES: Final = ("teacher", "teacher", "teacher", "teacher", "aide", "counselor", "principal")


class _Member(Stream):
    """One member of every night's zip."""

    def label(self, night: int) -> str:
        return f"{zip_name(self.plan, night)}/{self.layout.stem}.csv"

    def _file(self, night: int, header_line: str | None = None) -> CsvFile:
        return CsvFile(_staging(self.plan, night) / f"{self.layout.stem}.csv", self.layout.header)

    def due(self, night: int, block: int) -> list[Flaw]:
        if self.layout.stem == "users" and night == self.plan.nights:
            return []
        return super().due(night, block)


class OneRoster:
    """Writes the members of every night's zip, block by block, and packs them at the end."""

    def __init__(self, plan: Plan, truth: Truth) -> None:
        self.plan, self.truth = plan, truth
        self.members = {
            name: _Member(
                plan, truth, Layout("oneroster", name, header, _FLAWS.get(name, ()), is_partner=False)
            )
            for name, header in HEADERS.items()
        }
        for night in range(1, plan.nights + 1):
            self._places(night)
            self._staff(night)

    def _add(
        self, member: str, night: int, frame: pl.DataFrame, block: int = -1, *, loads: bool = False
    ) -> None:
        """Write rows of a member; those of members read for their keys count as removed."""
        header = HEADERS[member]
        missing = [pl.lit("").alias(name) for name in header if name not in frame.columns]
        whole = frame.with_columns(missing).with_columns(pl.col(header).cast(pl.String))
        if block < 0:
            self.members[member].files[night].rows(whole)
            self.truth.count("oneroster", member, "read", whole.height)
        else:
            self.members[member].put(night, whole, block)
        if not loads:
            self.truth.count("oneroster", member, _KEYS_ONLY, whole.height)

    def _places(self, night: int) -> None:
        schools, end = self.plan.schools, SCHOOL_YEAR
        self._add(
            "academicSessions",
            night,
            _rows(
                ("sourcedId", "title", "type", "startDate", "endDate", "parentSourcedId", "schoolYear"),
                [
                    ("sy", "2026-2027", "schoolYear", str(FIRST_DAY), str(LAST_DAY), "", str(end)),
                    ("gp1", "Quarter 1", "gradingPeriod", str(FIRST_DAY), "2026-10-17", "sy", str(end)),
                ],
            ),
        )
        self._add(
            "orgs",
            night,
            _rows(
                ("sourcedId", "name", "type", "identifier"),
                [("org-district", "Coastal Bend Example District", "district", "D1")],
            ),
        )
        self._add(
            "orgs",
            night,
            _rows(
                ("sourcedId", "name", "type", "identifier", "parentSourcedId"),
                [(f"org-{s.school_id}", s.name, "school", s.school_id, "org-district") for s in schools],
            ),
            loads=True,
        )
        self._add(
            "courses",
            night,
            _rows(
                ("sourcedId", "schoolYearSourcedId", "title", "courseCode", "orgSourcedId"),
                [("co-home", "sy", "Homeroom", "HOME", "org-district")],
            ),
        )
        self._add("categories", night, _rows(("sourcedId", "title", "weight"), [("cat-quiz", "Quiz", "100")]))
        rooms = [(s.school_id, grade) for s in schools for grade in s.grades]
        self._add(
            "classes",
            night,
            _rows(
                (
                    "sourcedId",
                    "title",
                    "grades",
                    "courseSourcedId",
                    "classCode",
                    "classType",
                    "schoolSourcedId",
                    "termSourcedIds",
                ),
                [
                    (f"cl-{s}-{g}", f"Homeroom {g}", g, "co-home", f"{s}-{g}", "homeroom", f"org-{s}", "gp1")
                    for s, g in rooms
                ],
            ),
        )
        self._add(
            "lineItems",
            night,
            _rows(
                (
                    "sourcedId",
                    "title",
                    "assignDate",
                    "dueDate",
                    "classSourcedId",
                    "categorySourcedId",
                    "academicSessionSourcedId",
                    "resultValueMin",
                    "resultValueMax",
                    "schoolSourcedId",
                ),
                [
                    (
                        f"li-{s}-{g}",
                        "Quiz 1",
                        "2026-09-11",
                        "2026-09-18",
                        f"cl-{s}-{g}",
                        "cat-quiz",
                        "gp1",
                        "0",
                        "100",
                        f"org-{s}",
                    )
                    for s, g in rooms
                ],
            ),
        )

    def _staff(self, night: int) -> None:
        staff = staff_of(self.plan)
        self._add("users", night, staff, loads=True)
        self._add("roles", night, _roles(staff))

    def block(self, people: pl.DataFrame, block: int) -> None:
        """Write a block's children into the roster of each night they are enrolled in."""
        for night in range(1, self.plan.nights + 1):
            here = on_night(people, night)
            self._add("users", night, _users(here), block, loads=True)
            self._add("roles", night, _roles(_users(here)), block)
            self._add("demographics", night, _demographics(here), block)
            self._add("enrollments", night, _enrollments(here), block)
            self._add("results", night, _results(here, self.plan), block, loads=True)

    def close(self) -> None:
        """Write the manifests and pack the zips."""
        lines = [("manifest.version", "1.0"), ("oneroster.version", "1.2")]
        lines += sorted(
            [
                *((f"file.{name}", "bulk") for name in HEADERS),
                *((f"file.{name}", "absent") for name in _ABSENT),
            ]
        )
        lines += [("source.systemName", "Example SIS"), ("source.systemCode", "example")]
        for member in self.members.values():
            for file in member.files.values():
                file.close()
        for night in range(1, self.plan.nights + 1):
            manifest = CsvFile(_staging(self.plan, night) / "manifest.csv", ("propertyName", "value"))
            for line in lines:
                manifest.line(line)
            manifest.close()
            pack(
                _staging(self.plan, night), self.plan.folder(night, "oneroster") / zip_name(self.plan, night)
            )


def zip_name(plan: Plan, night: int) -> str:
    """Return the name of a night's zip."""
    return f"oneroster_{plan.day(night)}.zip"


def _staging(plan: Plan, night: int) -> Path:
    return plan.directory / ".staging" / f"oneroster-{night}"


def _rows(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def on_night(people: pl.DataFrame, night: int) -> pl.DataFrame:
    """Return the children enrolled in a night, with the school and grade they have then."""
    moved = (pl.col("move_night") > 0) & (pl.col("move_night") <= night)
    regraded = (pl.col("regrade_night") > 0) & (pl.col("regrade_night") <= night)
    here = people.filter(pl.col("from_night") <= night, pl.col("to_night") >= night)
    return here.with_columns(
        school=pl.when(moved).then("new_school").otherwise("school"),
        grade=pl.when(regraded).then("new_grade").otherwise("grade"),
    ).with_columns(
        school_id=school_id_text("school"),
        sourced=pl.lit("u") + pl.col("index").cast(pl.String).str.zfill(7),
        is_steady=(pl.col("move_night") == 0)
        & (pl.col("regrade_night") == 0)
        & (pl.col("from_night") == 1)
        & (pl.col("to_night") == pl.col("to_night").max()),
    )


def school_id_text(column: str) -> pl.Expr:
    """Return the district's school ids of school numbers."""
    return pl.lit("S") + pl.col(column).cast(pl.String).str.zfill(2)


def _users(here: pl.DataFrame) -> pl.DataFrame:
    username = pl.lit("st") + pl.col("student_number")
    nickname = pl.col("first_name").replace_strict(names.NICKNAMES, default="")
    return here.select(
        "index",
        pl.col("sourced").alias("sourcedId"),
        pl.lit("true").alias("enabledUser"),
        username.alias("username"),
        pl.col("first_name").alias("givenName"),
        pl.col("last_name").alias("familyName"),
        pl.col("student_number").alias("identifier"),
        (username + "@students.example.org").alias("email"),
        pl.col("grade").alias("grades"),
        nickname.alias("preferredGivenName"),
        (pl.lit("org-") + pl.col("school_id")).alias("primaryOrgSourcedId"),
        pl.lit("student").alias("role"),
        # A child whose row is spoilt one night must be whole the next, and has no results that night.
        is_fixed=~pl.col("is_steady") | (pl.col("index") % 4 == 0),
    )


def _roles(users: pl.DataFrame) -> pl.DataFrame:
    return users.select(
        (pl.lit("r-") + pl.col("sourcedId")).alias("sourcedId"),
        pl.col("sourcedId").alias("userSourcedId"),
        pl.lit("primary").alias("roleType"),
        "role",
        pl.lit(str(FIRST_DAY)).alias("beginDate"),
        pl.col("primaryOrgSourcedId").alias("orgSourcedId"),
    )


def _demographics(here: pl.DataFrame) -> pl.DataFrame:
    yes = {True: "true", False: "false"}
    return here.select(
        pl.col("sourced").alias("sourcedId"),
        pl.col("birth_date").cast(pl.String).alias("birthDate"),
        pl.when("is_girl").then(pl.lit("female")).otherwise(pl.lit("male")).alias("sex"),
        *(
            (pl.col("race") == race).replace_strict(yes, return_dtype=pl.String).alias(column)
            for race, column in _RACES.items()
        ),
        pl.col("is_hispanic").replace_strict(yes, return_dtype=pl.String).alias("hispanicOrLatinoEthnicity"),
    )


def _class_id() -> pl.Expr:
    return pl.lit("cl-") + pl.col("school_id") + "-" + pl.col("grade")


def _enrollments(here: pl.DataFrame) -> pl.DataFrame:
    return here.select(
        (pl.lit("e-") + pl.col("sourced")).alias("sourcedId"),
        _class_id().alias("classSourcedId"),
        (pl.lit("org-") + pl.col("school_id")).alias("schoolSourcedId"),
        pl.col("sourced").alias("userSourcedId"),
        pl.lit("student").alias("role"),
        pl.lit("false").alias("primary"),
        pl.lit(str(FIRST_DAY)).alias("beginDate"),
        pl.lit(str(LAST_DAY)).alias("endDate"),
    )


def _results(here: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """One quiz score for a quarter of the children who stay where they are, the same every night."""
    scored = here.filter("is_steady", pl.col("index") % 4 == 0, pl.col("to_night") == plan.nights)
    score = 40 + (pl.col("index") * 37 + plan.seed % 1000) % 61
    return scored.select(
        (pl.lit("rs-") + pl.col("sourced")).alias("sourcedId"),
        (pl.lit("li-") + pl.col("school_id") + "-" + pl.col("grade")).alias("lineItemSourcedId"),
        pl.col("sourced").alias("studentSourcedId"),
        pl.lit("fully graded").alias("scoreStatus"),
        score.cast(pl.String).alias("score"),
        pl.lit("2026-09-18").alias("scoreDate"),
        _class_id().alias("classSourcedId"),
    )


def staff_of(plan: Plan) -> pl.DataFrame:
    """Return the members of staff as users, with ``role``; the same every night."""
    rng, count = plan.rng(0, "staff"), plan.staff
    first = names.first_names(rng, rng.random(count) < 0.7)
    last = names.surnames(rng, count)
    numbers = [f"T{n + 1:06d}" for n in range(count)]
    schools = np.arange(count) % len(plan.schools)
    return pl.DataFrame(
        {
            "sourcedId": [f"s{n + 1:06d}" for n in range(count)],
            "enabledUser": ["true"] * count,
            "username": [number.lower() for number in numbers],
            "givenName": list(first),
            "familyName": list(last),
            "identifier": numbers,
            "email": [f"{number.lower()}@staff.example.org" for number in numbers],
            "primaryOrgSourcedId": [f"org-{plan.schools[s].school_id}" for s in schools],
            "role": [STAFF_ROLES[n // len(plan.schools) % len(STAFF_ROLES)] for n in range(count)],
        }
    )
