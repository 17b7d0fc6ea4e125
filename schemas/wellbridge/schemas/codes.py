"""Code lists: what a source writes → the one canonical code that the warehouse holds.

Keys are spelt as the standard spells them; a cell is compared trimmed and without regard to case. A code that
is in no list holds its row (WB-R-020): an unmapped code is never passed through.

Sources: Ed-Fi descriptors of Data Standard 5.2 (with deprecated values of 4.0), OneRoster 1.1 and 1.2
enumerations, CEDS option sets. Ed-Fi descriptors come as ``uri://namespace/NameDescriptor#Code``; only the
part after ``#`` is a key here, because districts publish their own namespaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final


def _same(*codes: str) -> dict[str, str]:
    """Codes that are canonical already."""
    return {code: code for code in codes}


def _slug(code: str) -> str:
    """Lower case with underscores: ``Title I Part A`` → ``title_i_part_a``."""
    return "_".join("".join(c if c.isalnum() else " " for c in code.lower()).split())


# -- students ----------------------------------------------------------------------------------------------

# CEDS Entry Grade Level (000100), which OneRoster uses as it is.
GRADE_CODES: Final = (
    "IT", "PR", "PK", "TK", "KG", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12",
    "13",
    "PS", "UG", "Other",
)
GRADES: Final[Mapping[str, str]] = {
    **_same(*GRADE_CODES), **{str(number): f"{number:02d}" for number in range(1, 10)}, "K": "KG",
}
_ORDINALS: Final = (
    "First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth", "Ninth", "Tenth", "Eleventh",
    "Twelfth",
)
EDFI_GRADES: Final[Mapping[str, str]] = {
    **GRADES,
    **{f"{ordinal} grade": f"{number:02d}" for number, ordinal in enumerate(_ORDINALS, start=1)},
    "Infant/toddler": "IT", "Early Education": "PR", "Preschool": "PR", "Preschool/Prekindergarten": "PK",
    "Prekindergarten": "PK", "Transitional Kindergarten": "TK", "Kindergarten": "KG", "Grade 13": "13",
    "Postsecondary": "PS", "Ungraded": "UG", "No grade level": "UG", "Out of School": "Other",
    "Adult Education": "Other",
}

# OneRoster 1.2 Demographics.sex, CEDS Sex (000255). "unspecified" says that the family did not say.
SEX: Final[Mapping[str, str]] = {
    **_same("female", "male", "other", "unspecified"), "F": "female", "M": "male", "X": "other",
    "Non-binary": "other", "Not Selected": "unspecified", "Not-selected": "unspecified",
}

# The seven categories for reporting (U.S. Department of Education, Final Guidance, 72 FR 59266, 2007):
# Hispanic of any race; else the one race; else two or more.
RACE_ETHNICITY: Final = (
    "american_indian", "asian", "black", "hispanic", "pacific_islander", "two_or_more", "white",
)
HISPANIC: Final = "hispanic"
TWO_OR_MORE: Final = "two_or_more"

# Ed-Fi RaceDescriptor → category; "" marks answers that name no category. The 1997 standard that the guidance
# rests on (62 FR 58782) counts the Middle East and North Africa under White.
EDFI_RACES: Final[Mapping[str, str]] = {
    "American Indian or Alaska Native": "american_indian",
    "American Indian - Alaska Native": "american_indian",
    "Asian": "asian",
    "Black or African American": "black",
    "Black - African American": "black",
    "Native Hawaiian or Pacific Islander": "pacific_islander",
    "Native Hawaiian - Pacific Islander": "pacific_islander",
    "Native Hawaiian or Other Pacific Islander": "pacific_islander",
    "White": "white",
    "Middle Eastern or North African": "white",
    "Hispanic or Latino": HISPANIC,
    "Other": "",
    "Choose Not to Respond": "",
}
RACE_CELLS: Final[Mapping[str, str]] = _same(*RACE_ETHNICITY)

# Ed-Fi LimitedEnglishProficiencyDescriptor. Monitored students have left the program: no English learners
# under ESEA 8101(20), though their scores may still be counted for four years.
ENGLISH_LEARNER: Final[Mapping[str, str]] = {
    "Limited": "yes", "Limited Monitored 1": "no", "Limited Monitored 2": "no", "NotLimited": "no",
    "Not Limited": "no",
}

# DS 6.x EconomicDisadvantageDescriptor and the boolean that came before. The descriptor's values are the
# states' own: these are the common ones, and a site maps its others in the feed's file.
ECONOMIC_DISADVANTAGE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("true", "yes", "1", "Economic Disadvantaged", "Economically Disadvantaged", "Free",
                     "Reduced",
                     "Free Lunch", "Reduced Lunch", "Direct Certification",
                     "Other Economically Disadvantaged"), "yes"),
    **dict.fromkeys(("false", "no", "0", "Not Economically Disadvantaged", "Not Economic Disadvantaged",
                     "Not Disadvantaged", "Not Eligible", "None"), "no"),
}

EXIT_TYPES: Final[Mapping[str, str]] = {
    code: _slug(code) for code in (
        "Completed", "Died or is permanently incapacitated", "Dropout", "End of school year",
        "Enrolled in a high school diploma program", "Expelled", "Graduated", "Incarcerated",
        "Invalid enrollment",
        "Involuntarily Removed", "No show", "Other", "Reached maximum age", "Transferred", "Withdrawn",
    )
}

# -- places, days, staff -----------------------------------------------------------------------------------

SCHOOL_LEVELS: Final[Mapping[str, str]] = {
    **_same("elementary", "middle", "high", "other"),
    "Infant/toddler School": "other", "Preschool/early childhood": "other", "Primary School": "elementary",
    "Elementary School": "elementary", "Middle School": "middle", "Junior High School": "middle",
    "Intermediate School": "middle", "High School": "high", "Secondary School": "high",
    "Other Secondary": "high",
    "Joint Secondary and Postsecondary School": "high", "Other Combination": "other", "Adult School": "other",
    "All Levels": "other", "Ungraded": "other", "Elementary/Secondary School": "other",
}

# The Ed-Fi Alliance's own map of CalendarEventDescriptor to instructional days (edfi-oneroster, seedData).
CALENDAR_EVENTS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("Instructional day", "Make-up day", "Student late arrival/early dismissal"),
                     "instructional"),
    **dict.fromkeys(("Emergency day", "Holiday", "Other", "Strike", "Teacher only day", "Weather day",
                     "Non-instructional day"), "not_instructional"),
}

# OneRoster 1.1 users.role and 1.2 roles.role of people who work in schools.
STAFF_ROLES: Final[Mapping[str, str]] = {
    "administrator": "administrator", "aide": "aide", "counselor": "counselor",
    "districtAdministrator": "district_administrator", "principal": "principal", "proctor": "proctor",
    "siteAdministrator": "site_administrator", "systemAdministrator": "system_administrator",
    "teacher": "teacher",
}
FAMILY_ROLES: Final = frozenset({"guardian", "parent", "relative"})

SCORE_STATUSES: Final[Mapping[str, str]] = {
    "exempt": "exempt", "fully graded": "fully_graded", "not submitted": "not_submitted",
    "partially graded": "partially_graded", "submitted": "submitted",
}

# -- attendance and discipline -----------------------------------------------------------------------------

ATTENDANCE_STATUSES: Final = ("present", "unexcused", "excused", "tardy", "half_day", "early_departure")
# Share of the day missed where the source does not say; a late arrival or early leave is no absence.
ABSENT_FRACTIONS: Final[Mapping[str, float]] = {
    "present": 0.0, "unexcused": 1.0, "excused": 1.0, "tardy": 0.0, "half_day": 0.5, "early_departure": 0.0,
}
SIS_ATTENDANCE: Final[Mapping[str, str]] = {
    "P": "present", "A": "unexcused", "E": "excused", "T": "tardy", "H": "half_day",
}
EDFI_ATTENDANCE: Final[Mapping[str, str]] = {
    "In Attendance": "present", "Present": "present", "Unexcused Absence": "unexcused",
    "Excused Absence": "excused", "Tardy": "tardy", "Partial": "half_day",
    "Early departure": "early_departure",
}

# From the least to the most severe; of an action with several disciplines the most severe is kept.
DISCIPLINE_SEVERITY: Final = (
    "no_action", "other", "community_service", "removal_from_classroom", "in_school_suspension",
    "out_of_school_suspension", "expulsion",
)
# Suspensions in and out of school and expulsions: what the Civil Rights Data Collection counts.
EXCLUSIONARY: Final = frozenset({"in_school_suspension", "out_of_school_suspension", "expulsion"})
EDFI_DISCIPLINES: Final[Mapping[str, str]] = {
    "No action for incident": "no_action", "Other": "other", "Community Service": "community_service",
    "Removal from Classroom": "removal_from_classroom", "In School Suspension": "in_school_suspension",
    "Out of School Suspension": "out_of_school_suspension",
    **dict.fromkeys(("Expulsion", "Expulsion with Services", "Expulsion under Guns Free School Act",
                     "Expulsion under Guns Free School Act with Services"), "expulsion"),
}
BEHAVIOR_SEVERITY: Final = ("other", "school_violation", "school_code_of_conduct", "state_offense")
EDFI_BEHAVIORS: Final[Mapping[str, str]] = {
    "Other": "other", "School Violation": "school_violation",
    "School Code of Conduct": "school_code_of_conduct", "State Offense": "state_offense",
}

# -- programs and interventions ----------------------------------------------------------------------------

# Ed-Fi ProgramTypeDescriptor. "Foster Care" is no program type of the core list: it is a program's name.
_PROGRAM_TYPES: Final = (
    "Adult/Continuing Education", "Alternative Education", "Athletics", "Bilingual", "Bilingual Summer",
    "Career and Technical Education", "Cocurricular Programs", "College Preparatory",
    "Community Service Program",
    "Community/Junior College Education Program", "Compensatory Services for Disadvantaged Students",
    "Counseling Services", "District-Funded GED", "Early Head Start", "Early Intervention Services Part C",
    "English as a Second Language (ESL)", "Even Start", "Expelled Education",
    "Extended Day/Child Care Services",
    "Fee For Service", "Foreign Exchange", "Gifted and Talented", "Head Start", "Health Services Program",
    "High School Equivalency Program (HSEP)", "Home Visiting", "Homeless", "Immigrant Education",
    "Independent Study", "Indian Education", "International Baccalaureate", "Kindergarten - Extended Day",
    "Kindergarten - Full Day", "Kindergarten - Half Day", "Library/Media Services Program",
    "Magnet/Special Program Emphasis", "Neglected and Delinquent Program",
    "Optional Flexible School Day Program (OFSDP)", "Other", "Prekindergarten - Extended Day",
    "Prekindergarten - Full Day", "Prekindergarten - Half Day", "Preschool Special Education",
    "Public Preschool",
    "Regular Education", "Remedial Education", "Service Learning", "Special Education",
    "Student Retention/Dropout Prevention", "Student School Food Service",
    "Substance Abuse Education/Prevention",
    "Support", "Teacher Professional Development/Mentoring", "Technical Preparatory", "Vocational Education",
)
PROGRAMS: Final[Mapping[str, str]] = {
    **{code: _slug(code) for code in _PROGRAM_TYPES},
    "Foster Care": "foster_care", "IDEA": "special_education", "Migrant Education": "migrant",
    "Section 504 Placement": "section_504", "Section 504": "section_504", "Title I": "title_i",
    "Title I Part A": "title_i", "Title I Part D Subpart 1": "title_i_part_d",
    "Title I Part D Subpart 2": "title_i_part_d",
}

# McKinney-Vento nighttime residence (CEDS 000146).
NIGHTTIME_RESIDENCES: Final[Mapping[str, str]] = {
    "Doubled-up": "doubled_up", "Hotels/motels": "hotel_or_motel", "Shelters": "shelter",
    "Unsheltered": "unsheltered",
}

INTERVENTION_CLASSES: Final[Mapping[str, str]] = {
    code: _slug(code) for code in ("Curriculum", "Other", "Practice", "Supplement")
}
DELIVERY_METHODS: Final[Mapping[str, str]] = {
    code: _slug(code) for code in ("Individual", "Small Group", "Whole Class", "Whole School")
}

# -- consent -----------------------------------------------------------------------------------------------

OPT_OUT_SCOPES: Final[Mapping[str, str]] = {"partners": "optout_partners", "all": "optout_all"}


def race_ethnicity(races: Iterable[str], is_hispanic: bool) -> str | None:
    """Return the federal category of the races named, or None where nothing is known.

    Args:
        races: categories of ``RACE_ETHNICITY`` in any order and number; "" is ignored.
        is_hispanic: the separate ethnicity answer.
    """
    named = {race for race in races if race}
    if is_hispanic or HISPANIC in named:
        return HISPANIC
    if len(named) > 1:
        return TWO_OR_MORE
    return next(iter(named), None)


def most_severe(known: Mapping[str, str], severity: tuple[str, ...], found: Iterable[str]) -> str | None:
    """Return the source code whose canonical code is the most severe; one that is in no list comes first.

    An unknown code is returned rather than passed over, so that it holds its row.

    Args:
        known: a code list as ``folded`` returns it.
        severity: canonical codes from the least to the most severe.
        found: source codes of one record.
    """
    def rank(code: str) -> int:
        canonical = known.get(code.strip().casefold())
        return len(severity) if canonical is None else severity.index(canonical)

    return max(sorted(found), key=rank, default=None)


def folded(codes: Mapping[str, str]) -> dict[str, str]:
    """Return a code list whose keys are trimmed and without case, for comparing."""
    return {code.strip().casefold(): canonical for code, canonical in codes.items()}
