"""The names of the source kinds; standard library only, because every command reads them with the site."""

from __future__ import annotations

from typing import Final

# kind → module of this package that holds it as SOURCES[kind]
MODULES: Final[dict[str, str]] = {
    "oneroster": "oneroster", "edfi": "edfi", "sis": "sis", "fhir": "fhir", "hl7v2": "hl7v2",
    "case_management": "partners", "out_of_school": "partners", "telehealth": "partners",
    "handle_with_care": "partners", "staff_training": "partners", "needs_assessment": "partners",
    "yrbs": "yrbs", "wonder": "wonder",
}
KINDS: Final = tuple(MODULES)
