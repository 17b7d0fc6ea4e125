"""OneRoster CSV packages, 1.1 and 1.2, bulk and delta.

A student is spread over members: who (users), whether a student (roles; 1.1: users), where (orgs) and what
the district must report (demographics). They are joined here, row of ``users.csv`` by row, so a held student
is held in ``users.csv``. Rows of other members are read, their references checked, and counted (``members``).

The day an observation speaks for: of a bulk roster the day in the delivery's name; of a delta the day of its
rows' ``dateLastModified``. A roster without any date speaks for the first day of its newest school year: it
is true on that day at the earliest, and every dated roster of that year is newer. Bulk and delta are two
rosters (``oneroster``, ``oneroster_delta``): only a bulk roster says by absence that a student has left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import polars as pl

from wellbridge.etl.readers.packages import open_zip
from wellbridge.etl.reading import HELD_SCHEMA, Chunk, Delivery
from wellbridge.pipelines.sources.oneroster_package import REFERENCES, Roster, open_roster
from wellbridge.pipelines.sources.shaping import table_rows
from wellbridge.pipelines.sources.source import Resource, Source
from wellbridge.schemas.codes import FAMILY_ROLES, HISPANIC, TWO_OR_MORE
from wellbridge.schemas.contract import CONTRACTS
from wellbridge.schemas.contracts import oneroster as _oneroster  # noqa: F401 - registers the contracts
from wellbridge.schemas.warehouse import COURSE_RESULT, SCHOOL, STAFF, STUDENT_OBSERVATION

_EPOCH: Final = "1970-01-01"
_ORPHAN: Final = "WB-R-031"
_DUPLICATE: Final = "WB-R-030"
_MEMBERS: Final = "members"
_STUDENT: Final = "student"
_GONE: Final = ("tobedeleted", "inactive")  # inactive: OneRoster 1.0 and 1.1 producers
_NOTHING_HELD: Final = pl.DataFrame(schema=HELD_SCHEMA)

# Members that others refer to, small enough to hold; then those that stream.
_PLACES: Final = ("academicSessions", "orgs", "courses", "classes", "categories", "lineItems")
_JOINED: Final = ("users", "roles", "demographics", "results")


# -- reading -----------------------------------------------------------------------------------------------


def check(delivery: Delivery, settings: Mapping[str, Any]) -> None:
    """Defer a zip whose directory, the last part of it, has not arrived."""
    for path in delivery.files.values():
        open_zip(path, name=delivery.name)


def read(delivery: Delivery, settings: Mapping[str, Any]) -> Iterator[Chunk]:
    """Yield schools, students, staff, results and the rows read for their keys.

    Settings: ``school_ids = {"org-1" = "S01"}`` names the district's school id of orgs whose ``identifier``
    is none, or that a delta does not bring along.

    Raises:
        Deferred: WB-D-002 while the zip has not arrived whole.
        Refused: WB-D-003, -004, -006 or -007.
    """
    (path,) = delivery.files.values()
    # Beside the delivery: plain copies of it never lie elsewhere, and a killed night's are cleared with it.
    with TemporaryDirectory(dir=path.parent) as folder:
        roster = open_roster(delivery, Path(folder))
        yield from _Reading(roster, delivery, dict(settings.get("school_ids", {}))).chunks()


@dataclass
class _Reading:
    """One package while it is read.

    Attributes:
        ids: sourcedIds by member, for the members that others refer to.
        people: ``sourcedId``, ``studentNumber`` (null unless a student) of the users read so far.
    """

    roster: Roster
    delivery: Delivery
    school_ids: Mapping[str, str]
    ids: dict[str, pl.Series] = field(default_factory=dict)
    people: list[pl.DataFrame] = field(default_factory=list)
    first_day: str = _EPOCH

    def chunks(self) -> Iterator[Chunk]:
        """Yield all chunks, what is referred to first."""
        schools = lines = pl.DataFrame()
        for member in _PLACES:
            rows, held = self.roster.whole(member)
            if not rows.width:
                continue
            self.ids[member] = rows["sourcedId"]
            if member == "orgs":
                schools = self._schools(rows)
                yield from self._orgs(rows, held)
                continue
            if member == "academicSessions":
                years = rows.filter(pl.col("type") == "schoolYear")["startDate"].drop_nulls()
                self.first_day = str(years.max()) if years.len() else _EPOCH
            if member == "lineItems":
                lines = rows.unique("sourcedId", keep="first").select(
                    pl.col("sourcedId").alias("lineItemSourcedId"), "resultValueMin", "resultValueMax"
                )
            yield self._members(member, rows, held)
        yield from self._people(schools)
        yield from self._results(lines)
        for member in self.roster.modes:
            if member not in (*_PLACES, *_JOINED):
                for rows, held in self.roster.rows(member):
                    yield self._members(member, rows, held)

    # -- places ---------------------------------------------------------------------------------------------

    def _schools(self, orgs: pl.DataFrame) -> pl.DataFrame:
        """Return ``org`` → ``schoolId``, which is null for orgs that are no school."""
        is_school = pl.col("type").str.strip_chars() == "school"
        return orgs.unique("sourcedId", keep="first", maintain_order=True).select(
            pl.col("sourcedId").alias("org"),
            pl.when(is_school).then(self._named(pl.col("sourcedId"), pl.col("identifier"))).alias("schoolId"),
        )

    def _named(self, org: pl.Expr, identifier: pl.Expr) -> pl.Expr:
        """Return the district's id of a school: the site's own table, its identifier, or its sourcedId."""
        mapped = (
            org.replace_strict(self.school_ids, default=None, return_dtype=pl.String)
            if self.school_ids
            else pl.lit(None, pl.String)
        )
        return pl.coalesce(mapped, identifier, org)

    def _orgs(self, rows: pl.DataFrame, held: pl.DataFrame) -> Iterator[Chunk]:
        named = rows.with_columns(self._named(pl.col("sourcedId"), pl.col("identifier")).alias("schoolId"))
        is_school = (pl.col("type").str.strip_chars() == "school").fill_null(False)
        schools = named.filter(is_school).select("schoolId", "name", "status", "_file", "_row")
        yield from _alive_and_gone("orgs", schools, "schoolId", held)
        yield self._members("orgs", rows.filter(~is_school), _NOTHING_HELD)

    # -- people ---------------------------------------------------------------------------------------------

    def _people(self, schools: pl.DataFrame) -> Iterator[Chunk]:
        roles, roles_held = self.roster.whole("roles")
        demographics, demographics_held = self.roster.whole("demographics")
        role = _first_role(roles) if roles.width else None
        traits = _first_demographics(demographics) if demographics.width else None
        for rows, held in self.roster.rows("users"):
            yield from self._users(_with_role(rows, role), traits, schools, held)
        self.ids["users"] = (
            pl.concat(self.people)["sourcedId"] if self.people else pl.Series([], dtype=pl.String)
        )
        if roles.width:
            yield self._members("roles", roles, roles_held)
        if demographics.width:
            again = demographics.filter(~pl.col("sourcedId").is_first_distinct())
            held = pl.concat([demographics_held, _held(again, "sourcedId", _DUPLICATE)])
            yield self._members("demographics", demographics.join(again, on="_row", how="anti"), held)

    def _users(
        self, rows: pl.DataFrame, traits: pl.DataFrame | None, schools: pl.DataFrame, held: pl.DataFrame
    ) -> Iterator[Chunk]:
        """Split a chunk of users into students, staff and the rest, each with its school."""
        number = pl.coalesce("identifier", "sourcedId")
        is_student = pl.col("role") == _STUDENT
        self.people.append(rows.select("sourcedId", studentNumber=pl.when(is_student).then(number)))
        is_family = pl.col("role").is_in(sorted(FAMILY_ROLES))
        family = rows.filter(is_family)
        placed, orphans = self._placed(rows.filter(~is_family.fill_null(False)), schools)
        students = self._observed(
            _joined(placed.filter(is_student), traits).with_columns(studentNumber=number)
        )
        yield Chunk("students", students, pl.concat([held, orphans]))
        staff = placed.filter(~is_student).with_columns(staffNumber=number)
        yield from _alive_and_gone("staff", staff, "staffNumber", _NOTHING_HELD)
        yield self._members("users", family, _NOTHING_HELD)

    def _placed(self, rows: pl.DataFrame, schools: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Add ``schoolId``; hold users whose role or org is in no member of this package."""
        if schools.width:
            known = rows.join(schools.with_columns(is_org=True), on="org", how="left", maintain_order="left")
        else:  # orgs are not part of the package, so nothing can be looked up
            known = rows.with_columns(
                schoolId=self._named(pl.col("org"), pl.lit(None, pl.String)), is_org=True
            )
        mapped = pl.col("org").is_in(list(self.school_ids))
        named = known.with_columns(
            schoolId=pl.when(pl.col("is_org").is_null() & mapped)
            .then(self._named(pl.col("org"), pl.lit(None, pl.String)))
            .otherwise("schoolId")
        )
        no_role = pl.col("role").is_null()
        no_org = pl.col("org").is_not_null() & pl.col("is_org").is_null() & ~mapped
        held = pl.concat(
            [
                _held(named.filter(no_role), "role", _ORPHAN),
                _held(named.filter(~no_role & no_org), "school_id", _ORPHAN),
            ]
        )
        return named.filter(~no_role & ~no_org).drop("is_org"), held

    def _observed(self, students: pl.DataFrame) -> pl.DataFrame:
        """Add the day that each row speaks for, and whether the student is still there."""
        is_bulk = self.roster.modes["users"] == "bulk"
        day = self.delivery.period_end.isoformat() if self.delivery.period_end else self.first_day
        stamped = pl.max_horizontal(pl.col("^dateLastModified.*$")).str.slice(0, 10)
        status = pl.col("status").str.to_lowercase()
        return students.with_columns(
            asOf=pl.lit(day) if is_bulk else pl.coalesce(stamped, pl.lit(day)),
            roster=pl.lit("oneroster" if is_bulk else "oneroster_delta"),
            # A status that is none of OneRoster's stays as it is and holds the row as no yes or no.
            isActive=pl.when(status.is_null() | (status == "active"))
            .then(pl.lit("true"))
            .when(status.is_in(_GONE))
            .then(pl.lit("false"))
            .otherwise("status"),
            grade=pl.col("grades").str.split(",").list.first(),
        )

    # -- results and the rest -------------------------------------------------------------------------------

    def _results(self, lines: pl.DataFrame) -> Iterator[Chunk]:
        people = pl.concat(self.people).unique("sourcedId", keep="first") if self.people else None
        for rows, held in self.roster.rows("results"):
            whole = _joined(rows, lines if lines.width else None, on="lineItemSourcedId")
            if people is None:
                numbered = whole.with_columns(studentNumber=pl.lit(None, pl.String))
            else:
                numbered = whole.join(
                    people.rename({"sourcedId": "studentSourcedId"}),
                    on="studentSourcedId",
                    how="left",
                    maintain_order="left",
                )
            nobody = numbered.filter(
                pl.col("studentSourcedId").is_not_null() & pl.col("studentNumber").is_null()
            )
            orphans = pl.concat([_held(nobody, "student_id", _ORPHAN), self._orphans("results", rows)])
            fine = numbered.join(orphans, on="_row", how="anti", maintain_order="left")
            yield from _alive_and_gone("results", fine, "sourcedId", pl.concat([held, orphans]))

    def _members(self, member: str, rows: pl.DataFrame, held: pl.DataFrame) -> Chunk:
        """Return rows that are read for their keys; those that refer to nothing are held."""
        orphans = self._orphans(member, rows)
        fine = rows.join(orphans, on="_row", how="anti", maintain_order="left").select("_file", "_row")
        named = fine.with_columns(
            pl.lit(member).alias("member"), pl.col("_row").cast(pl.String).alias("record")
        )
        return Chunk(_MEMBERS, named, pl.concat([held, orphans]))

    def _orphans(self, member: str, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows that refer to a record which a whole member of this package does not have."""
        found = [_NOTHING_HELD]
        for column, target in REFERENCES.get(member, {}).items():
            # A delta names only what changed; what it does not name may be there since an earlier delivery.
            # Demographics are about a user of the same package in either case: they are joined to it here.
            if target in self.ids and (self.roster.modes.get(target) == "bulk" or member == "demographics"):
                known = self.ids[target].alias(column).to_frame().unique()
                lost = rows.filter(pl.col(column).is_not_null()).join(known, on=column, how="anti")
                found.append(_held(lost, column, _ORPHAN))
        return pl.concat(found)


def _held(rows: pl.DataFrame, column: str, rule: str) -> pl.DataFrame:
    return rows.select("_file", "_row", pl.lit(column).alias("column"), pl.lit(rule).alias("rule"))


def _alive_and_gone(resource: str, rows: pl.DataFrame, key: str, held: pl.DataFrame) -> Iterator[Chunk]:
    """Yield rows, and those that the source takes back as deletions by key."""
    is_gone = _is_gone()
    yield Chunk(resource, rows.filter(~is_gone), held)
    gone = rows.filter(is_gone)
    if gone.height:
        yield Chunk(resource, gone.select(key, "_file", "_row"), deletes=True)


def _joined(rows: pl.DataFrame, other: pl.DataFrame | None, on: str = "sourcedId") -> pl.DataFrame:
    return (
        rows if other is None else rows.join(other, on=on, how="left", maintain_order="left", suffix="_other")
    )


def _is_gone() -> pl.Expr:
    return pl.col("status").str.to_lowercase().is_in(_GONE).fill_null(False)


def _first_role(roles: pl.DataFrame) -> pl.DataFrame:
    """Return each user's role: a primary one before others, student before others, then as in the file."""
    ranked = roles.filter(~_is_gone()).sort(
        pl.col("roleType").str.to_lowercase() != "primary",
        pl.col("role") != _STUDENT,
        "_row",
        nulls_last=True,
    )
    return ranked.unique("userSourcedId", keep="first", maintain_order=True).select(
        pl.col("userSourcedId").alias("sourcedId"),
        "role",
        pl.col("orgSourcedId").alias("role_org"),
        pl.col("dateLastModified").alias("dateLastModified_role"),
    )


def _with_role(users: pl.DataFrame, roles: pl.DataFrame | None) -> pl.DataFrame:
    """Add ``role`` (lower case) and ``org``: from the roles (1.2) or the user's own columns (1.1)."""
    role = pl.col("role").str.strip_chars().str.to_lowercase()
    if "role" in users.columns:
        first = pl.col("orgSourcedIds").str.split(",").list.first().str.strip_chars()
        return users.with_columns(role=role, org=first)
    if roles is None:
        return users.with_columns(role=pl.lit(None, pl.String), org=pl.col("primaryOrgSourcedId"))
    joined = users.join(roles, on="sourcedId", how="left", maintain_order="left")
    return joined.with_columns(role=role, org=pl.coalesce("primaryOrgSourcedId", "role_org"))


def _first_demographics(rows: pl.DataFrame) -> pl.DataFrame:
    return (
        rows.unique("sourcedId", keep="first", maintain_order=True)
        .drop("_file", "_row", "status")
        .rename({"dateLastModified": "dateLastModified_demographics"})
    )


# -- shapes ------------------------------------------------------------------------------------------------

_RACE_FLAGS: Final = {
    "american_indian_or_alaska_native": "american_indian",
    "asian": "asian",
    "black_or_african_american": "black",
    "native_hawaiian_or_other_pacific_islander": "pacific_islander",
    "white": "white",
}
_LEVEL_NAMES: Final = {
    "elementary": r"(?i)\b(elementary|primary)\b",
    "middle": r"(?i)\b(middle|junior high|intermediate)\b",
    "high": r"(?i)\bhigh\b",
}


def shape_students(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """What the roster said about a student, the races as one federal category (``RACE_ETHNICITY``)."""
    named = pl.sum_horizontal(pl.col(flag).fill_null(False).cast(pl.Int8) for flag in _RACE_FLAGS)
    several = (named > 1) | pl.col("two_or_more_races").fill_null(False)
    only = pl.coalesce(pl.when(pl.col(flag)).then(pl.lit(race)) for flag, race in _RACE_FLAGS.items())
    race = (
        pl.when(pl.col("hispanic_or_latino"))
        .then(pl.lit(HISPANIC))
        .when(several)
        .then(pl.lit(TWO_OR_MORE))
        .otherwise(only)
    )
    observed = frame.with_columns(race_ethnicity=race, is_readable=pl.lit(True))
    return {STUDENT_OBSERVATION.name: table_rows(observed, STUDENT_OBSERVATION)}


def shape_orgs(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Schools; OneRoster has no level, so it is read from the name, or not known."""
    level = pl.coalesce(
        pl.when(pl.col("school_name").str.contains(pattern)).then(pl.lit(level))
        for level, pattern in _LEVEL_NAMES.items()
    )
    return {SCHOOL.name: table_rows(frame.with_columns(school_level=level), SCHOOL)}


def _resource(name: str, **how: Any) -> Resource:
    return Resource(CONTRACTS[f"oneroster.{name}"], **how)


RESOURCES: Final[dict[str, Resource]] = {
    "orgs": _resource("orgs", table=SCHOOL.name, shape=shape_orgs, delete_from=(SCHOOL.name,)),
    "students": _resource("students", table=STUDENT_OBSERVATION.name, shape=shape_students),
    "staff": _resource("staff", table=STAFF.name, delete_from=(STAFF.name,)),
    "results": _resource("results", table=COURSE_RESULT.name, delete_from=(COURSE_RESULT.name,)),
    _MEMBERS: _resource(_MEMBERS),
}

SOURCES: Final = {"oneroster": Source("oneroster", 0, RESOURCES, read, check=check)}
