"""Which files of an Ed-Fi delivery hold what: ``pull.json``, members, and the API's resources.

A member is a page of one API resource: ``<resource>/<page>.json[l][.gz]`` or ``<resource>.jsonl``. Pages in
a folder ``deletes`` (or named ``deletes…``) name records that were deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any, Final

import orjson

from wellbridge.etl.reading import Deferred, Delivery, Refused

PULL: Final = "pull.json"
SETTLED: Final = "settled"
_NAMESPACES: Final = frozenset({"ed-fi", "tpdm"})
_PAGES: Final = (".json", ".jsonl", ".ndjson")

# The API's resources for single programs → the program type they stand for; None: the record says it.
PROGRAM_RESOURCES: Final[Mapping[str, str | None]] = {
    "studentProgramAssociations": None,
    "studentHomelessProgramAssociations": "Homeless",
    "studentFosterCareProgramAssociations": "Foster Care",
    "studentSpecialEducationProgramAssociations": "Special Education",
    "studentSection504ProgramAssociations": "Section 504",
    "studentTitleIPartAProgramAssociations": "Title I Part A",
    "studentMigrantEducationProgramAssociations": "Migrant Education",
    "studentCTEProgramAssociations": "Career and Technical Education",
    "studentSchoolFoodServiceProgramAssociations": "Student School Food Service",
    "studentLanguageInstructionProgramAssociations": "English as a Second Language (ESL)",
    "studentNeglectedOrDelinquentProgramAssociations": "Neglected and Delinquent Program",
}

# API resource → resource of the contract.
TAKEN: Final[Mapping[str, str]] = {
    **{
        name: name
        for name in (
            "schools",
            "calendarDates",
            "students",
            "studentDemographics",
            "studentSchoolAssociations",
            "studentSchoolAttendanceEvents",
            "disciplineIncidents",
            "disciplineActions",
            "interventions",
            "studentInterventionAssociations",
        )
    },
    "studentEducationOrganizationAssociations": "studentDemographics",
    **dict.fromkeys(PROGRAM_RESOURCES, "studentProgramAssociations"),
}

# Resources that come with a pull and are never kept; a resource that is in neither list is held (WB-R-004).
KNOWN: Final = frozenset(
    {
        "localEducationAgencies",
        "stateEducationAgencies",
        "educationServiceCenters",
        "educationOrganizationNetworks",
        "calendars",
        "sessions",
        "gradingPeriods",
        "courses",
        "courseOfferings",
        "sections",
        "locations",
        "classPeriods",
        "bellSchedules",
        "programs",
        "cohorts",
        "studentCohortAssociations",
        "interventionPrescriptions",
        "studentInterventionAttendanceEvents",
        "studentProgramAttendanceEvents",
        "studentSectionAssociations",
        "studentSectionAttendanceEvents",
        "studentDisciplineIncidentBehaviorAssociations",
        "studentDisciplineIncidentNonOffenderAssociations",
        "studentDisciplineIncidentAssociations",
        "studentDirectories",
        "studentIdentificationCodes",
        "studentHealths",
        "studentContactAssociations",
        "studentParentAssociations",
        "contacts",
        "parents",
        "people",
        "staffs",
        "staffDemographics",
        "staffDirectories",
        "staffIdentificationCodes",
        "staffSchoolAssociations",
        "staffSectionAssociations",
        "staffEducationOrganizationAssignmentAssociations",
        "staffEducationOrganizationEmploymentAssociations",
        "assessments",
        "objectiveAssessments",
        "studentAssessments",
        "grades",
        "courseTranscripts",
        "studentAcademicRecords",
        "gradebookEntries",
        "studentGradebookEntries",
        "schoolYearTypes",
        "graduationPlans",
    }
)


@dataclass(frozen=True)
class Member:
    """A page of an API resource.

    Attributes:
        label: the delivery's name and the file's, as held rows name it.
        path: where it is.
        endpoint: the API's resource.
        is_deletes: the page names deleted records.
        declared: number of records that ``pull.json`` declares, None where it does not.
    """

    label: str
    path: Path
    endpoint: str
    is_deletes: bool
    declared: int | None = None

    @property
    def resource(self) -> str | None:
        """The contract's resource; ``members`` for what is never kept, None for what is not known."""
        return TAKEN.get(self.endpoint) or ("members" if self.endpoint in KNOWN else None)


def check(delivery: Delivery, settings: Mapping[str, Any]) -> None:
    """Defer a folder without all pages, or without ``pull.json`` unless the feed says ``settled``."""
    if PULL not in delivery.files:
        if settings.get("complete") != SETTLED:
            raise Deferred("WB-D-002", PULL)
        return
    for name in _pull(delivery)[1]:
        if name not in delivery.files:
            raise Deferred("WB-D-002", name)


def plan(delivery: Delivery) -> tuple[date | None, list[Member]]:
    """Return the day that the delivery speaks for and its members in name order.

    Raises:
        Refused: WB-D-007 when a file is not declared, or ``pull.json`` is no such thing; WB-D-006 for a file
            that is no page.
    """
    period, declared = _pull(delivery) if PULL in delivery.files else (None, None)
    members = []
    for name in sorted(delivery.files):
        if name == PULL:
            continue
        if not name.removesuffix(".gz").endswith(_PAGES):
            raise Refused("WB-D-006", name)
        if declared is not None and name not in declared:
            raise Refused("WB-D-007", name)
        members.append(_member(delivery, name, None if declared is None else declared[name]))
    return delivery.period_end or period, members


def _member(delivery: Delivery, name: str, declared: int | None) -> Member:
    parts = PurePosixPath(name).parts
    if len(parts) > 2 and parts[0] in _NAMESPACES:
        parts = parts[1:]
    stem = parts[-1].split(".", 1)[0]
    is_deletes = "deletes" in parts[1:-1] or (len(parts) > 1 and stem.startswith("deletes"))
    endpoint = stem if len(parts) == 1 else parts[0]
    if "keyChanges" in parts[1:-1]:
        endpoint += "/keyChanges"  # no contract: a changed key is held until it is known how to follow it
    label = name if name == delivery.name else f"{delivery.name}/{name}"
    return Member(label, delivery.files[name], endpoint, is_deletes, declared)


def _pull(delivery: Delivery) -> tuple[date | None, dict[str, int | None]]:
    """Return the period and the declared members of ``pull.json``: path → number of records."""
    try:
        found = orjson.loads(delivery.files[PULL].read_bytes().removeprefix(b"\xef\xbb\xbf"))
        period = date.fromisoformat(found["period"]) if found.get("period") else None
        return period, {str(member["path"]): _count(member.get("rows")) for member in found["members"]}
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise Refused("WB-D-007", PULL)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) else None
