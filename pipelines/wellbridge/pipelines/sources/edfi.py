"""Ed-Fi API pages, Data Standard 3.3 to 6.x, as a pull leaves them in a folder.

Settings of the feed's file:

* ``complete = "settled"``: folders come without ``pull.json``; every page there is a member.
* ``school_ids = {"255901001" = "S01"}``: the API's school ids → the district's, which other partners use.
* ``school_id_format = "S{:02d}"``: the same for numeric ids that ``school_ids`` does not name.
* ``education_organizations = ["255901"]``: whose demographics are taken, where schools and the district both
  have associations with a student. Without it a student's second association is a duplicate (WB-R-030).
* ``roster_from_enrollments = true``: a district without OneRoster takes school and grade from enrolments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import compress
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from wellbridge.etl.readers.json_records import JsonRecords, read_json_records
from wellbridge.etl.reading import CHUNK_ROWS, HELD_SCHEMA, Chunk, Delivery, Refused, held_rows
from wellbridge.pipelines.sources import edfi_plan
from wellbridge.pipelines.sources.edfi_cells import (
    CELLS,
    Cell,
    Context,
    Record,
    fixed,
    look_up,
    remember_interventions,
    text,
)
from wellbridge.pipelines.sources.edfi_plan import PROGRAM_RESOURCES, Member
from wellbridge.pipelines.sources.shaping import table_rows
from wellbridge.pipelines.sources.source import Resource, Shape, Source
from wellbridge.schemas import warehouse
from wellbridge.schemas.codes import ABSENT_FRACTIONS, EXCLUSIONARY
from wellbridge.schemas.contract import CONTRACTS, Contract
from wellbridge.schemas.contracts import edfi as _edfi  # noqa: F401 - registers the contracts
from wellbridge.schemas.errors import ConfigurationError

# What an association of a student with an organisation says about the student; 6.x says it elsewhere.
_DEMOGRAPHIC_FIELDS: Final = frozenset(
    {
        "sexDescriptor",
        "races",
        "hispanicLatinoEthnicity",
        "limitedEnglishProficiencyDescriptor",
        "disabilities",
        "economicDisadvantage",
        "economicDisadvantageDescriptor",
        "studentCharacteristics",
        "addresses",
    }
)
_MEMBERS: Final = "members"
_NOTHING_HELD: Final = pl.DataFrame(schema=HELD_SCHEMA)


# -- reading -----------------------------------------------------------------------------------------------


def read(delivery: Delivery, settings: Mapping[str, Any]) -> Iterator[Chunk]:
    """Yield the records of all pages: upserts in the order of dependence, then deletes in the reverse order.

    Raises:
        Refused: WB-D-006 or -007 for a file that is no declared page, WB-D-008 when a page does not have as
            many records as ``pull.json`` says.
        ConfigurationError: WB-E-015 when ``school_id_format`` is no pattern for a number.
    """
    as_of, members = edfi_plan.plan(delivery)
    context = _context(as_of, settings)
    organizations = frozenset(map(str, settings.get("education_organizations", ())))
    for resource in (*CELLS, _MEMBERS):
        here = [
            m for m in members if m.resource == resource and not (m.is_deletes and resource in _DELETABLE)
        ]
        yield from _merged(chunk for member in here for chunk in _upserts(member, context, organizations))
    for resource in reversed(_DELETABLE):
        here = [m for m in members if m.resource == resource and m.is_deletes]
        yield from _merged(chunk for member in here for chunk in _deletes(member, context))
    yield from _merged(chunk for member in members if member.resource is None for chunk in _unknown(member))


def _merged(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Join the chunks of an API's small pages into large ones."""
    waiting: dict[tuple[str, bool], list[Chunk]] = {}
    for chunk in chunks:
        few = waiting.setdefault((chunk.resource, chunk.deletes), [])
        few.append(chunk)
        if sum(one.read for one in few) >= CHUNK_ROWS:
            yield _joined(waiting.pop((chunk.resource, chunk.deletes)))
    yield from map(_joined, waiting.values())


def _joined(chunks: Sequence[Chunk]) -> Chunk:
    rows = pl.concat([chunk.rows for chunk in chunks])
    return Chunk(chunks[0].resource, rows, pl.concat([chunk.held for chunk in chunks]), chunks[0].deletes)


def _context(as_of: date | None, settings: Mapping[str, Any]) -> Context:
    pattern = str(settings.get("school_id_format", "{}"))
    try:
        pattern.format(1)
    except (ValueError, IndexError, KeyError):
        pattern = ""
    if not pattern:
        raise ConfigurationError(
            "WB-E-015", "A feed's school_id_format is no pattern for a number.", "school_id_format"
        )
    school_ids = {str(theirs): str(ours) for theirs, ours in dict(settings.get("school_ids", {})).items()}
    return Context(as_of, school_ids, pattern, bool(settings.get("roster_from_enrollments", False)))


def _pages(member: Member) -> Iterator[JsonRecords]:
    """Yield a member's records; refuse it when there are not as many as declared."""
    found = 0
    for page in read_json_records(member.path, name=member.label):
        found += len(page.records) + page.held.height
        yield page
    if member.declared is not None and found != member.declared:
        raise Refused("WB-D-008", member.label, rows=found)


def _upserts(member: Member, context: Context, organizations: frozenset[str]) -> Iterator[Chunk]:
    resource = str(member.resource)
    cells = _cells(member)
    for page in _pages(member):
        if resource == "interventions":
            remember_interventions(page.records, context)
        taken = [_is_taken(record, member, organizations) for record in page.records]
        if cells:
            yield Chunk(resource, _frame(member, cells, page, context, taken), page.held)
        others = list(compress(page.rows, (not yes for yes in taken)))
        yield Chunk(_MEMBERS, _keys_only(member.label, others), _NOTHING_HELD if cells else page.held)


def _is_taken(record: Record, member: Member, organizations: frozenset[str]) -> bool:
    """Whether the record says what its resource's contract is about."""
    if member.resource == _MEMBERS or member.is_deletes:
        return False
    if member.resource != "studentDemographics":
        return True
    organization = text(look_up(record, "educationOrganizationReference", "educationOrganizationId"))
    return not _DEMOGRAPHIC_FIELDS.isdisjoint(record) and (not organizations or organization in organizations)


def _deletes(member: Member, context: Context) -> Iterator[Chunk]:
    """Yield the keys of deleted records.

    APIs before 6.1 name a deleted record by its ``Id`` alone. Nothing here knows which record that is, so
    the row is held (WB-R-010 ``keyValues``): a person sees it, and it is never taken for done.
    """
    contract = RESOURCES[str(member.resource)].contract
    headers = [contract.columns[name].header for name in contract.key]
    cells = {header: cell for header, cell in _cells(member).items() if header in headers}
    for page in _pages(member):
        keys = [
            values if isinstance(values := record.get("keyValues"), dict) else {} for record in page.records
        ]
        rows = _frame(member, cells, JsonRecords(keys, page.rows), context, [True] * len(keys))
        is_whole = pl.all_horizontal(pl.col(headers).is_not_null())
        lost = held_rows(member.label, rows.filter(~is_whole)["_row"], "WB-R-010", "keyValues")
        whole = _dated(rows.filter(is_whole), contract, context)
        yield Chunk(contract.resource, whole, pl.concat([page.held, lost]), deletes=True)


def _dated(rows: pl.DataFrame, contract: Contract, context: Context) -> pl.DataFrame:
    """Give deletions the end of their pull's day as version: what changed earlier that day stays deleted."""
    if context.as_of is None or contract.version is None:
        return rows
    header = contract.columns[contract.version].header
    return rows.with_columns(pl.lit(f"{context.as_of}T24:00:00Z").alias(header))


def _unknown(member: Member) -> Iterator[Chunk]:
    for page in _pages(member):
        held = held_rows(member.label, page.rows, "WB-R-004")
        yield Chunk(_MEMBERS, _keys_only(member.label, []), pl.concat([page.held, held]))


def _cells(member: Member) -> Mapping[str, Cell]:
    program = PROGRAM_RESOURCES.get(member.endpoint)
    cells = CELLS.get(str(member.resource), {})
    return {**cells, "program": fixed(program)} if program else cells


def _frame(
    member: Member, cells: Mapping[str, Cell], page: JsonRecords, context: Context, taken: Sequence[bool]
) -> pl.DataFrame:
    """Turn records into a text frame."""
    chosen = list(compress(page.records, taken))
    columns = {
        header: pl.Series(header, [cell(record, context) for record in chosen], pl.String)
        for header, cell in cells.items()
    }
    return pl.DataFrame(
        {
            **columns,
            "_file": pl.Series([member.label] * len(chosen), dtype=pl.String),
            "_row": pl.Series(list(compress(page.rows, taken)), dtype=pl.Int64),
        }
    )


def _keys_only(name: str, numbers: Sequence[int]) -> pl.DataFrame:
    rows = pl.DataFrame(
        {"_file": [name] * len(numbers), "_row": numbers}, {"_file": pl.String, "_row": pl.Int64}
    )
    return rows.with_columns(pl.col("_file").alias("member"), pl.col("_row").cast(pl.String).alias("record"))


# -- shapes ------------------------------------------------------------------------------------------------


def shape_students(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """What the API says about a person: the birth year, and that there is such a student."""
    return _observed(frame)


def _observed(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    readable = frame.with_columns(is_readable=pl.lit(True))
    return {warehouse.STUDENT_OBSERVATION.name: table_rows(readable, warehouse.STUDENT_OBSERVATION)}


def shape_demographics(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """What the state's system says about a student: never whether the student is still there."""
    flags = ("english_learner", "economically_disadvantaged")
    return _observed(frame.with_columns(pl.col(flag) == "yes" for flag in flags))


def shape_enrollments(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Enrolments; where they are the roster, an open one also says school and grade of the day."""
    is_open = pl.col("exit_date").is_null() | (pl.col("exit_date") > pl.col("as_of"))
    spoken = frame.filter(pl.col("roster").is_not_null() & is_open)
    return {
        warehouse.ENROLLMENT.name: table_rows(frame, warehouse.ENROLLMENT),
        **(_observed(spoken) if spoken.height else {}),
    }


def shape_attendance(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Attendance events with the share of the day missed.

    ``eventDuration`` is the share where the status is an absence, whole or part; a late arrival or early
    leave is none. Without it the status's usual share counts (``ABSENT_FRACTIONS``).
    """
    usual = pl.col("status").replace_strict(ABSENT_FRACTIONS, default=None, return_dtype=pl.Float64)
    fraction = pl.when(usual > 0).then(pl.coalesce("event_duration", usual)).otherwise(usual)
    return {
        warehouse.ATTENDANCE.name: table_rows(
            frame.with_columns(absent_fraction=fraction), warehouse.ATTENDANCE
        )
    }


def shape_actions(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Disciplinary actions, marked where they exclude the child from the classroom for days."""
    marked = frame.with_columns(is_exclusionary=pl.col("action").is_in(sorted(EXCLUSIONARY)))
    return {warehouse.DISCIPLINE_ACTION.name: table_rows(marked, warehouse.DISCIPLINE_ACTION)}


def shape_calendar(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Days of a school: instructional where any of its calendars says so."""
    days = frame.with_columns(is_instructional=pl.col("calendar_event") == "instructional")
    first = days.sort("is_instructional", descending=True, maintain_order=True).unique(
        ["school_id", "calendar_date"], keep="first", maintain_order=True
    )
    return {warehouse.CALENDAR_DAY.name: table_rows(first, warehouse.CALENDAR_DAY)}


def _resource(name: str, table: sa.Table, shape: Shape | None = None) -> Resource:
    return Resource(CONTRACTS[f"edfi.{name}"], table=table.name, shape=shape, delete_from=(table.name,))


RESOURCES: Final[dict[str, Resource]] = {
    resource.contract.resource: resource
    for resource in (
        _resource("schools", warehouse.SCHOOL),
        _resource("calendarDates", warehouse.CALENDAR_DAY, shape_calendar),
        _resource("students", warehouse.STUDENT_OBSERVATION, shape_students),
        _resource("studentDemographics", warehouse.STUDENT_OBSERVATION, shape_demographics),
        _resource("studentSchoolAssociations", warehouse.ENROLLMENT, shape_enrollments),
        _resource("studentSchoolAttendanceEvents", warehouse.ATTENDANCE, shape_attendance),
        _resource("disciplineIncidents", warehouse.DISCIPLINE_INCIDENT),
        _resource("disciplineActions", warehouse.DISCIPLINE_ACTION, shape_actions),
        _resource("studentProgramAssociations", warehouse.PROGRAM_PARTICIPATION),
        _resource("studentInterventionAssociations", warehouse.INTERVENTION),
        Resource(CONTRACTS["edfi.interventions"]),
        Resource(CONTRACTS["edfi.members"]),
    )
}
_DELETABLE: Final = tuple(name for name, resource in RESOURCES.items() if resource.delete_from)

SOURCES: Final = {"edfi": Source("edfi", 0, RESOURCES, read, check=edfi_plan.check)}
