"""Where the Youth Risk Behavior Survey puts what it asks, year by year, and which question means what.

CDC renumbers the questionnaire between years without a word: variable QN25 is sadness in 2019 and 2021,
electronic bullying in 2023 and self-harm in 2025. So nothing here is ever addressed by a bare variable name:
a *concept* and a *year* together give a variable and its columns, and a year that is not listed is refused.

Sources: CDC's own SAS and SPSS input programs of the national high school files (public domain), read for
positions and labels. 2019: SPSS program, all positions, checked against the public-use file. 2021 and 2023:
SAS programs; every concept's label was compared. 2025: a third party's copy of CDC's SAS program; no data of
that year has been seen, so it is good for tests and is to be checked again before use. 2015 and 2017: names
of variables only, read off the public-use files; they have no layout, so they are not read as fixed width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wellbridge.schemas.errors import ConfigurationError


@dataclass(frozen=True)
class Concept:
    """One thing the survey asks about, whatever its number in a year.

    Attributes:
        name: permanent id, also the ``indicator_id``.
        title: what a "yes" (CDC's code 1, the response of interest) says.
        domain: consumption, consequence, risk or protective (SEOW's kinds of indicator).
        variables: year → number N of CDC's dichotomous variable QN<N>. A year without it did not ask.
    """

    name: str
    title: str
    domain: str
    variables: Mapping[int, int]

    def variable(self, year: int) -> str | None:
        """Return CDC's variable name for the year, or None where the question was not asked."""
        number = self.variables.get(year)
        return None if number is None else f"QN{number}"


def _asked(y2019: int | None, y2021: int | None, y2023: int | None, y2025: int | None,
           **earlier: int) -> dict[int, int]:
    """Year → question number, without the years that did not ask."""
    numbers = {2019: y2019, 2021: y2021, 2023: y2023, 2025: y2025}
    return {int(y.removeprefix("y")): n for y, n in earlier.items()} | {
        y: n for y, n in numbers.items() if n is not None
    }


_CONCEPTS: Final = (
    Concept("felt_sad_hopeless", "Felt sad or hopeless almost every day for two weeks or more", "risk",
            _asked(25, 25, 26, 26, y2015=26, y2017=25)),
    Concept("considered_suicide", "Seriously considered attempting suicide", "consequence",
            _asked(26, 26, 27, 27, y2015=27, y2017=26)),
    Concept("suicide_plan", "Made a plan about how to attempt suicide", "consequence",
            _asked(27, 27, 28, 28)),
    Concept("attempted_suicide", "Attempted suicide", "consequence", _asked(28, 28, 29, 29)),
    Concept("bullied_school", "Bullied on school property", "risk", _asked(23, 23, 24, 23)),
    Concept("bullied_electronic", "Bullied electronically", "risk", _asked(24, 24, 25, 24)),
    Concept("current_cigarette", "Smoked cigarettes in the past 30 days", "consumption",
            _asked(32, 32, 33, 33)),
    Concept("current_evp", "Used an electronic vapor product in the past 30 days", "consumption",
            _asked(35, 35, 36, 36)),
    Concept("current_alcohol", "Drank alcohol in the past 30 days", "consumption", _asked(41, 41, 42, 41)),
    Concept("current_marijuana", "Used marijuana in the past 30 days", "consumption", _asked(47, 47, 48, 46)),
    Concept("ever_rx_pain_misuse", "Ever misused prescription pain medicine", "consumption",
            _asked(49, 49, 49, 47)),
    Concept("poor_mental_health", "Mental health most of the time or always not good", "risk",
            _asked(None, 85, 84, 81)),
    Concept("school_connectedness", "Felt close to people at school", "protective",
            _asked(None, 96, 103, 102)),
    Concept("self_harm", "Hurt themselves on purpose without wanting to die", "consequence",
            _asked(None, None, None, 25)),
)
CONCEPTS: Final[dict[str, Concept]] = {concept.name: concept for concept in _CONCEPTS}

# CDC's site code of the national file; a state's or district's own file has another.
NATIONAL_SITE: Final = "XX"

# Who answered, how many students an answer stands for, and where it was sampled.
DESIGN_FIELDS: Final = ("site", "age", "sex", "grade", "race_ethnicity", "weight", "stratum", "psu")


@dataclass(frozen=True)
class SurveyLayout:
    """Columns of one year's fixed-width file.

    Attributes:
        year: the survey's year.
        width: last column in use; a shorter line is not whole.
        fields: name → first and last column, 1-based and inclusive; ``DESIGN_FIELDS``, then concepts asked.
    """

    year: int
    width: int
    fields: Mapping[str, tuple[int, int]]

    @property
    def concepts(self) -> dict[str, str]:
        """Concepts asked in the year → CDC's variable name."""
        return {c.name: f"QN{c.variables[self.year]}" for c in _CONCEPTS if self.year in c.variables}


# year → (last column, number of the first QN at column 185, weight, stratum, psu, race/ethnicity)
_QN_COLUMN: Final = 185
_YEARS: Final = {
    2019: (419, 8, (386, 395), (396, 398), (399, 404), (412, 413)),
    2021: (421, 8, (390, 399), (400, 402), (403, 408), (414, 415)),
    2023: (421, 8, (388, 397), (398, 400), (401, 406), (414, 415)),
    2025: (427, 7, (389, 398), (399, 401), (402, 407), (415, 416)),
}


def _survey_layout(year: int) -> SurveyLayout:
    width, first, weight, stratum, psu, race = _YEARS[year]
    fields = {"site": (1, 3), "age": (17, 17), "sex": (18, 18), "grade": (19, 19), "race_ethnicity": race,
              "weight": weight, "stratum": stratum, "psu": psu}
    for concept in _CONCEPTS:
        if year in concept.variables:
            column = _QN_COLUMN + concept.variables[year] - first
            fields[concept.name] = (column, column)
    return SurveyLayout(year=year, width=width, fields=fields)


LAYOUTS: Final[dict[int, SurveyLayout]] = {year: _survey_layout(year) for year in _YEARS}


def layout(year: int) -> SurveyLayout:
    """Return the fixed-width layout of a survey year.

    Raises:
        ConfigurationError: WB-E-015 when none is known; the columns of another year are never guessed at.
    """
    if year not in LAYOUTS:
        raise ConfigurationError("WB-E-015", "There is no layout for that survey year.",
                                 f"known: {', '.join(map(str, LAYOUTS))}")
    return LAYOUTS[year]


# -- codes of the fields, the same in every year above; canonical codes are those of ``schemas.codes`` -----

# Published "Hispanic" joins CDC's 6 (Hispanic) and 7 (multiple, Hispanic).
RACE_CODES: Final = {
    "1": "american_indian", "2": "asian", "3": "black", "4": "pacific_islander", "5": "white",
    "6": "hispanic", "7": "hispanic", "8": "two_or_more",
}
SEX_CODES: Final = {"1": "female", "2": "male"}
# 5 is CDC's "ungraded or other grade": the student counts, but in no grade.
GRADE_CODES: Final = {"1": "09", "2": "10", "3": "11", "4": "12", "5": "UG"}
# 1 is "12 years old or younger", 7 "18 years old or older".
AGE_CODES: Final = {"1": "12", "2": "13", "3": "14", "4": "15", "5": "16", "6": "17", "7": "18"}
ANSWER_CODES: Final = {"1": "yes", "2": "no"}
