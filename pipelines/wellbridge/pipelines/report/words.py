"""Codes in plain words, and numbers as people read them, never exact enough to single anyone out."""

from __future__ import annotations

from datetime import date
from typing import Final

from wellbridge.pipelines.measures.compute import NOT_LINKED, NOT_REPORTED
from wellbridge.pipelines.measures.measure import Kind, Measure

HIDDEN: Final = "hidden"
STEP: Final = 10  # counts are rounded to tens, so that no difference of two shown counts is a small one

FEEDS: Final = {
    "oneroster": "School roster (OneRoster)",
    "edfi": "Student records (Ed-Fi)",
    "sis": "Daily attendance (SIS)",
    "fhir": "Clinic records (FHIR)",
    "hl7v2": "Hospital messages (HL7)",
    "case_management": "Case management",
    "out_of_school": "After-school programs",
    "telehealth": "Telehealth referrals",
    "handle_with_care": "Handle with Care",
    "staff_training": "Staff training",
    "needs_assessment": "Needs assessment",
    "yrbs": "Youth Risk Behavior Survey",
    "wonder": "CDC WONDER",
}

DIMENSIONS: Final = {
    "school": "By school",
    "grade_band": "By grade band",
    "tier": "By tier of support",
    "race_ethnicity": "By race and ethnicity",
    "sex": "By sex",
    "english_learner": "By English learner status",
    "disability": "By disability",
    "economically_disadvantaged": "By economic disadvantage",
    "homeless": "By homelessness",
}

_MEMBERS: Final = {
    ("grade_band", "K-5"): "Grades PK–5",
    ("grade_band", "6-8"): "Grades 6–8",
    ("grade_band", "9-12"): "Grades 9–12",
    ("grade_band", "other"): "Other grades",
    ("tier", "1"): "Tier 1 (everyone)",
    ("tier", "2"): "Tier 2 (some)",
    ("tier", "3"): "Tier 3 (few)",
    ("first_tier", "1"): "Began at Tier 1",
    ("first_tier", "2"): "Began at Tier 2",
    ("first_tier", "3"): "Began at Tier 3",
    ("race_ethnicity", "american_indian"): "American Indian/Alaska Native",
    ("race_ethnicity", "black"): "Black or African American",
    ("race_ethnicity", "hispanic"): "Hispanic of any race",
    ("race_ethnicity", "pacific_islander"): "Hawaiian/Pacific Islander",
    ("english_learner", "yes"): "English learners",
    ("english_learner", "no"): "Other students",
    ("disability", "yes"): "With a disability",
    ("disability", "no"): "Without a disability",
    ("economically_disadvantaged", "yes"): "Disadvantaged",
    ("economically_disadvantaged", "no"): "Not disadvantaged",
    ("homeless", "yes"): "Homeless",
    ("homeless", "no"): "Not homeless",
}
_LAST: Final = (NOT_REPORTED, NOT_LINKED)
_ORDER: Final = {"K-5": 0, "6-8": 1, "9-12": 2, "other": 3, "yes": 0, "no": 1}


def member(dimension: str, code: str, schools: dict[str, str]) -> str:
    """Return a group's name."""
    if code == NOT_LINKED:
        return "Not linked to a student"
    if dimension == "school":
        return schools.get(code) or code
    return _MEMBERS.get((dimension, code)) or plain(code)


def place(code: str, name: str) -> tuple[bool, int, str, str]:
    """Return where a group stands among those of its breakdown: natural order, then name; the rest last."""
    return code in _LAST, _ORDER.get(code, 0), name, code


def plain(code: str) -> str:
    """``youth_mental_health_first_aid`` → ``Youth mental health first aid``."""
    text = code.replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def feed(name: str) -> str:
    """Return a feed's name in words."""
    return FEEDS.get(name) or plain(name)


def day(value: date) -> str:
    """Return ``19 October 2026``."""
    return f"{value.day} {value:%B %Y}"


def rows(count: int) -> str:
    """Return a number of rows, rounded to tens; 1 to 9 are not told apart."""
    if count == 0:
        return "0"
    return f"under {STEP}" if count < STEP else f"{tens(count):,}"


def tens(count: float) -> int:
    """Return a count rounded to tens, never down to nothing."""
    return max(STEP, int((count + STEP / 2) // STEP) * STEP)


def rounded(measure: Measure, value: float) -> float:
    """Return a measure's value as coarse as it is shown: whole percent and minutes, tenths of hours."""
    if measure.kind is Kind.PROPORTION:
        return float(min(99, max(1, round(value * 100)))) if 0 < value < 1 else round(value * 100)
    return float(round(value)) if measure.unit == "minutes" else round(value, 1)


def amount(measure: Measure, size: float) -> str:
    """Return a rounded value with its unit."""
    if measure.kind is Kind.PROPORTION:
        return f"{size:.0f} %"
    return f"{size:,.0f} min" if measure.unit == "minutes" else f"{size:,.1f} h"


def percents(low: int, high: int) -> str:
    """Return a range of whole percents: ``≤ 10 %``, ``21–39 %``, ``≥ 95 %``."""
    if low == 0 or high == 100:
        return f"≤ {high} %" if low == 0 else f"≥ {low} %"
    return f"{low} %" if low == high else f"{low}–{high} %"
