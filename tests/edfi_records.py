"""Ed-Fi records for tests, as the API writes them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from school_files import delivery, is_row_by_row_and_keyed, one, pull, read, shaped
from wellbridge.etl.reading import Chunk
from wellbridge.pipelines.sources.source import source

DAY = date(2026, 10, 19)
SETTLED = {"complete": "settled"}
STUDENT = {"studentReference": {"studentUniqueId": "007"}}
SCHOOL = {"schoolReference": {"schoolId": 1}}
DISTRICT = {"educationOrganizationReference": {"educationOrganizationId": 990001}}
SESSION = {"sessionReference": {"schoolId": 1, "schoolYear": 2027, "sessionName": "Fall"}}
DEMOGRAPHICS = {**STUDENT, **DISTRICT, "sexDescriptor": "uri://ed-fi.org/SexDescriptor#Female"}


def uri(name: str, code: str) -> str:
    return f"uri://ed-fi.org/{name}Descriptor#{code}"


def event(category: str, **more: Any) -> dict[str, Any]:
    return {
        **STUDENT,
        **SCHOOL,
        **SESSION,
        "eventDate": "2026-10-16",
        "attendanceEventCategoryDescriptor": uri("AttendanceEventCategory", category),
        **more,
    }


def program(kind: str, name: str = "", **more: Any) -> dict[str, Any]:
    reference = {
        "educationOrganizationId": 990001,
        "programName": name or kind,
        "programTypeDescriptor": uri("ProgramType", kind),
    }
    return {**STUDENT, **DISTRICT, "programReference": reference, "beginDate": "2026-08-17", **more}


def action(*disciplines: str, **more: Any) -> dict[str, Any]:
    return {
        **STUDENT,
        "disciplineActionIdentifier": "A1",
        "disciplineDate": "2026-10-16",
        "responsibilitySchoolReference": {"schoolId": 1},
        "disciplineActionLength": 5,
        "disciplines": [{"disciplineDescriptor": uri("Discipline", code)} for code in disciplines],
        "studentDisciplineIncidentBehaviorAssociations": [
            {
                "studentDisciplineIncidentBehaviorAssociationReference": {
                    "studentUniqueId": "007",
                    "incidentIdentifier": "I1",
                    "schoolId": 1,
                }
            }
        ],
        **more,
    }


def pulled(folder: Path, settings: dict[str, Any] | None = None, **pages: list[Any]) -> list[Chunk]:
    """Read a pull of one page a resource."""
    path = pull(folder / "edfi_2026-10-19", {f"{name}/page-0001.json": rows for name, rows in pages.items()})
    return read("edfi", delivery(path, DAY), {"school_id_format": "S{:02d}", **(settings or {})})


def rows_of(
    folder: Path, resource: str, record: dict[str, Any], table: str, endpoint: str = ""
) -> dict[str, Any]:
    """Return the one warehouse row that a record becomes."""
    chunk = one(pulled(folder, **{endpoint or resource: [record]}), resource)
    frames = shaped(source("edfi"), chunk)
    assert is_row_by_row_and_keyed(frames)
    return frames[table].row(0, named=True)
