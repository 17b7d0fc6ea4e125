"""The names of the source kinds and of their settings.

Standard library only, because every command reads them with the site.
"""

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

_EVERY: Final = frozenset({"kind", "path", "codes"})
_CSV: Final = frozenset({"rename", "extra", "encoding", "separator"})
_OF_STUDENTS: Final = _CSV | {"own_ids"}
_OWN: Final[dict[str, frozenset[str]]] = {
    "oneroster": frozenset({"school_ids"}),
    "edfi": frozenset({
        "complete", "education_organizations", "roster_from_enrollments", "school_id_format", "school_ids"}),
    "fhir": frozenset({"complete", "recipients", "referral_codes", "student_number_systems"}),
    "hl7v2": frozenset({"complete", "ignored_types", "student_number_assigners"}),
    "case_management": _OF_STUDENTS, "out_of_school": _OF_STUDENTS, "telehealth": _OF_STUDENTS,
    "needs_assessment": _OF_STUDENTS,
    "yrbs": frozenset(),
    "wonder": frozenset({"indicator", "title"}),
}
# kind → the keys that its feed's file may have: one that nothing reads would be a setting that does nothing.
SETTINGS: Final[dict[str, frozenset[str]]] = {kind: _EVERY | _OWN.get(kind, _CSV) for kind in KINDS}
