"""From one Ed-Fi JSON object to the text cells of its contract.

Each resource is a table of header → cell function. A cell function takes a record or a delete's
``keyValues``, in which references are flat, and returns text or None. It never raises: what has the wrong
type is missing, so that the contract holds the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from wellbridge.schemas import codes

Record = Mapping[str, Any]

EPOCH: Final = "1970-01-01"  # an observation whose day nothing tells comes before all others

_RACES: Final = codes.folded(codes.EDFI_RACES)
_DISCIPLINES: Final = codes.folded(codes.EDFI_DISCIPLINES)
_BEHAVIORS: Final = codes.folded(codes.EDFI_BEHAVIORS)
_CALENDAR_EVENTS: Final = codes.folded(codes.CALENDAR_EVENTS)
_GRADES: Final = codes.folded(codes.EDFI_GRADES)
_PROGRAMS: Final = codes.folded(codes.PROGRAMS)
_ECONOMIC: Final = "economic disadvantaged"


@dataclass(frozen=True)
class Context:
    """What cells need to know beside their record.

    Attributes:
        as_of: the day the delivery speaks for, None where it does not say.
        school_ids: the API's school id → the district's.
        school_id_format: ``str.format`` pattern for numeric ids that ``school_ids`` does not name.
        enrollments_are_roster: enrolments also say where a student is (districts without OneRoster).
        interventions: intervention id → (class, delivery method), filled while interventions are read.
    """

    as_of: date | None = None
    school_ids: Mapping[str, str] = field(default_factory=dict)
    school_id_format: str = "{}"
    enrollments_are_roster: bool = False
    interventions: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)


Cell = Callable[[Record, Context], str | None]


def text(value: Any) -> str | None:
    """Return a JSON scalar as text; null, lists and objects as None."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def look_up(record: Record, *path: str) -> Any:
    """Follow ``path`` into a record; in ``keyValues`` the path's last name stands alone."""
    found: Any = record
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return record.get(path[-1]) if found is None else found


def code(value: Any) -> str | None:
    """Return a descriptor's code: what follows the last ``#`` of its URI, or all where there is none."""
    found = text(value)
    return None if found is None else found.rpartition("#")[2].strip()


def items(record: Record, name: str) -> list[Record]:
    """Return the objects of a list; none where it is missing."""
    found = record.get(name)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def codes_of(record: Record, name: str, descriptor: str) -> list[str]:
    """Return the codes of a list of descriptors."""
    return [found for item in items(record, name) if (found := code(item.get(descriptor)))]


def school_id(value: Any, context: Context) -> str | None:
    """Return the district's own school id for the API's."""
    found = text(value)
    if found is None:
        return None
    found = found.strip()
    if found in context.school_ids:
        return context.school_ids[found]
    return context.school_id_format.format(int(found)) if found.isascii() and found.isdigit() else found


# -- cell functions ----------------------------------------------------------------------------------------


def _at(*path: str) -> Cell:
    return lambda record, _context: text(look_up(record, *path))


def _code(*path: str) -> Cell:
    return lambda record, _context: code(look_up(record, *path))


def _school(*path: str) -> Cell:
    return lambda record, context: school_id(look_up(record, *path), context)


def fixed(value: str) -> Cell:
    """Return a cell that is the same in every record."""
    return lambda _record, _context: value


def _joined(*cells: Cell) -> Cell:
    """Join cells of a composite key; missing where one of them is."""

    def cell(record: Record, context: Context) -> str | None:
        parts = [part.strip() for made in cells if (part := made(record, context)) is not None]
        return ":".join(parts) if len(parts) == len(cells) else None

    return cell


def _as_of(record: Record, context: Context) -> str | None:
    if context.as_of is not None:
        return context.as_of.isoformat()
    return (text(record.get("_lastModifiedDate")) or EPOCH)[:10]


def _school_level(record: Record, _context: Context) -> str | None:
    """Return the first school category, else the level of the highest grade taught."""
    for category in codes_of(record, "schoolCategories", "schoolCategoryDescriptor"):
        return category
    taught = [
        _GRADES.get(grade.casefold(), "") for grade in codes_of(record, "gradeLevels", "gradeLevelDescriptor")
    ]
    numbered = [int(grade) for grade in taught if grade.isdigit()]
    if not numbered:
        return None
    return "elementary" if max(numbered) <= 5 else "middle" if max(numbered) <= 8 else "high"


def _calendar_event(record: Record, _context: Context) -> str | None:
    """Return an event that makes the day instructional where there is one; an unknown one before all."""
    found = codes_of(record, "calendarEvents", "calendarEventDescriptor")
    return codes.most_severe(_CALENDAR_EVENTS, ("not_instructional", "instructional"), found)


def _race_ethnicity(record: Record, _context: Context) -> str | None:
    """Return the federal category; a race that no list has is returned as it is, so that it holds the row."""
    races = codes_of(record, "races", "raceDescriptor")
    unknown = next((race for race in races if race.casefold() not in _RACES), None)
    is_hispanic = (text(record.get("hispanicLatinoEthnicity")) or "").casefold() in {"true", "1"}
    return unknown or codes.race_ethnicity((_RACES[race.casefold()] for race in races), is_hispanic)


def _disability(record: Record, _context: Context) -> str | None:
    return text(bool(items(record, "disabilities"))) if "disabilities" in record else None


def _economic(record: Record, context: Context) -> str | None:
    """Return the 6.x descriptor, the boolean, or whether the characteristic is in force (to 5.x)."""
    stated = code(record.get("economicDisadvantageDescriptor")) or text(record.get("economicDisadvantage"))
    if stated is not None or "studentCharacteristics" not in record:
        return stated
    in_force = (
        (code(item.get("studentCharacteristicDescriptor")) or "").casefold() == _ECONOMIC
        and _is_current(item, context)
        for item in items(record, "studentCharacteristics")
    )
    return text(any(in_force))


def _is_current(item: Record, context: Context) -> bool:
    periods = items(item, "periods")
    day = context.as_of.isoformat() if context.as_of else ""
    return not periods or any((text(period.get("endDate")) or "9999") > day for period in periods)


def _postal_code(record: Record, _context: Context) -> str | None:
    """Return the postal code of the home address, else of the first."""
    addresses = items(record, "addresses")
    home = (a for a in addresses if (code(a.get("addressTypeDescriptor")) or "").casefold() == "home")
    return text(next(home, next(iter(addresses), {})).get("postalCode"))


def _event_kind(record: Record, _context: Context) -> str | None:
    """Return category and session, which Ed-Fi has in the key of an attendance event."""
    category = code(record.get("attendanceEventCategoryDescriptor"))
    session = (
        text(look_up(record, "sessionReference", name)) or "" for name in ("schoolYear", "sessionName")
    )
    return None if category is None else " ".join((category.lower(), *session)).strip()


def _behavior(record: Record, _context: Context) -> str | None:
    found = codes_of(record, "behaviors", "behaviorDescriptor")
    return codes.most_severe(_BEHAVIORS, codes.BEHAVIOR_SEVERITY, found)


def _discipline(record: Record, _context: Context) -> str | None:
    found = codes_of(record, "disciplines", "disciplineDescriptor")
    return codes.most_severe(_DISCIPLINES, codes.DISCIPLINE_SEVERITY, found)


def _action_student(record: Record, _context: Context) -> str | None:
    """Return the action's student; from ``students`` (before 3.x) only where it names exactly one."""
    stated = text(look_up(record, "studentReference", "studentUniqueId"))
    listed = items(record, "students")
    return (
        text(look_up(listed[0], "studentReference", "studentUniqueId"))
        if stated is None and len(listed) == 1
        else stated
    )


# Where an action names its incidents: 4.0 and later, 3.x, and before.
_INCIDENT_LISTS: Final = (
    (
        "studentDisciplineIncidentBehaviorAssociations",
        "studentDisciplineIncidentBehaviorAssociationReference",
    ),
    ("studentDisciplineIncidentAssociations", "studentDisciplineIncidentAssociationReference"),
    ("disciplineIncidents", "disciplineIncidentReference"),
)


def _action_incident(record: Record, context: Context) -> str | None:
    """Return the first incident that the action answers, in the order of their ids."""
    found = (
        _INCIDENT_ID(item.get(reference) or {}, context)
        for name, reference in _INCIDENT_LISTS
        for item in items(record, name)
        if isinstance(item.get(reference), Mapping)
    )
    return min((incident for incident in found if incident), default=None)


def _length(record: Record, _context: Context) -> str | None:
    actual = text(record.get("actualDisciplineActionLength"))
    return text(record.get("disciplineActionLength")) if actual is None else actual


def _program(record: Record, _context: Context) -> str | None:
    """Return the program's type; foster care is a program's name, because no core type says it."""
    kind = code(look_up(record, "programReference", "programTypeDescriptor"))
    name = (text(look_up(record, "programReference", "programName")) or "").strip().casefold()
    is_known = kind is None or kind.casefold() in _PROGRAMS
    return "Foster Care" if is_known and name.startswith("foster care") else kind


def _of_intervention(place: int) -> Cell:
    """Return what the intervention says: its class (0) or delivery method (1)."""

    def cell(record: Record, context: Context) -> str | None:
        known = context.interventions.get(_INTERVENTION_REFERENCE(record, context) or "")
        return None if known is None else known[place]

    return cell


def _if_roster(cell: Cell) -> Cell:
    return lambda record, context: cell(record, context) if context.enrollments_are_roster else None


_STUDENT: Final = _at("studentReference", "studentUniqueId")
_SCHOOL: Final = _school("schoolReference", "schoolId")
_LAST_MODIFIED: Final[dict[str, Cell]] = {"_lastModifiedDate": _at("_lastModifiedDate")}
_INCIDENT_ID: Final = _joined(_SCHOOL, _at("incidentIdentifier"))
_INTERVENTION_ID: Final = _joined(
    _at("educationOrganizationReference", "educationOrganizationId"), _at("interventionIdentificationCode")
)
_INTERVENTION_REFERENCE: Final = _joined(
    _at("interventionReference", "educationOrganizationId"),
    _at("interventionReference", "interventionIdentificationCode"),
)

# contract's resource → header → cell
CELLS: Final[Mapping[str, Mapping[str, Cell]]] = {
    "schools": {
        "schoolId": _school("schoolId"),
        "nameOfInstitution": _at("nameOfInstitution"),
        "schoolLevel": _school_level,
        **_LAST_MODIFIED,
    },
    "calendarDates": {
        "calendarCode": _at("calendarReference", "calendarCode"),
        "schoolId": _school("calendarReference", "schoolId"),
        "date": _at("date"),
        "calendarEvent": _calendar_event,
        **_LAST_MODIFIED,
    },
    "students": {
        "studentUniqueId": _at("studentUniqueId"),
        "firstName": _at("firstName"),
        "lastSurname": _at("lastSurname"),
        "birthDate": _at("birthDate"),
        "asOf": _as_of,
        "roster": fixed("edfi_students"),
        **_LAST_MODIFIED,
    },
    "studentDemographics": {
        "studentUniqueId": _STUDENT,
        "sex": _code("sexDescriptor"),
        "raceEthnicity": _race_ethnicity,
        "postalCode": _postal_code,
        "limitedEnglishProficiency": _code("limitedEnglishProficiencyDescriptor"),
        "disability": _disability,
        "economicDisadvantage": _economic,
        "asOf": _as_of,
        "roster": fixed("edfi"),
        **_LAST_MODIFIED,
    },
    "studentSchoolAssociations": {
        "studentUniqueId": _STUDENT,
        "schoolId": _SCHOOL,
        "entryDate": _at("entryDate"),
        "exitWithdrawDate": _at("exitWithdrawDate"),
        "entryGradeLevel": _code("entryGradeLevelDescriptor"),
        "exitWithdrawType": _code("exitWithdrawTypeDescriptor"),
        "asOf": _if_roster(_as_of),
        "roster": _if_roster(fixed("edfi_enrollment")),
        **_LAST_MODIFIED,
    },
    "studentSchoolAttendanceEvents": {
        "studentUniqueId": _STUDENT,
        "schoolId": _SCHOOL,
        "eventDate": _at("eventDate"),
        "eventKind": _event_kind,
        "attendanceEventCategory": _code("attendanceEventCategoryDescriptor"),
        "eventDuration": _at("eventDuration"),
        **_LAST_MODIFIED,
    },
    "disciplineIncidents": {
        "incidentId": _INCIDENT_ID,
        "schoolId": _SCHOOL,
        "incidentDate": _at("incidentDate"),
        "behavior": _behavior,
        **_LAST_MODIFIED,
    },
    "disciplineActions": {
        "actionId": _joined(_at("disciplineActionIdentifier"), _at("disciplineDate")),
        "studentUniqueId": _action_student,
        "incidentId": _action_incident,
        "schoolId": _school("responsibilitySchoolReference", "schoolId"),
        "disciplineDate": _at("disciplineDate"),
        "discipline": _discipline,
        "disciplineActionLength": _length,
        **_LAST_MODIFIED,
    },
    "studentProgramAssociations": {
        "studentUniqueId": _STUDENT,
        "program": _program,
        "beginDate": _at("beginDate"),
        "endDate": _at("endDate"),
        "homelessPrimaryNighttimeResidence": _code("homelessPrimaryNighttimeResidenceDescriptor"),
        **_LAST_MODIFIED,
    },
    "interventions": {"interventionId": _INTERVENTION_ID},
    "studentInterventionAssociations": {
        "studentUniqueId": _STUDENT,
        "interventionId": _INTERVENTION_REFERENCE,
        "interventionClass": _of_intervention(0),
        "deliveryMethod": _of_intervention(1),
        "dosage": _at("dosage"),
        **_LAST_MODIFIED,
    },
}

def remember_interventions(records: Iterable[Record], context: Context) -> None:
    """Keep class and delivery method of interventions for the associations that refer to them."""
    for record in records:
        found = _INTERVENTION_ID(record, context)
        if found:
            context.interventions[found] = (
                code(record.get("interventionClassDescriptor")),
                code(record.get("deliveryMethodDescriptor")),
            )
