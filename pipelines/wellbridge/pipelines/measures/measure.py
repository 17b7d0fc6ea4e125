"""What a measure is: words for people, and one SELECT that gives its unit rows.

The SELECT (standard SQL as far as it goes) returns one row for each *unit*: the thing counted in the
denominator, such as a student, a screen or a notice. Its columns, in this order:

``person_key``   whom the unit is about; null for staff
``unit_key``     the person or staff member who counts towards the minimum cell; never null
``school_id``    the unit's own school; null: the student's
``day``          a day of the school year the unit belongs to
``member``       null: the row counts for the district and every common breakdown; else the row counts only
                 under that member of the measure's own breakdown (``own_dimension``)
``numerator``, ``denominator``

It may read the warehouse and these relations: ``clock`` (``as_of``, ``year_start``, ``year_end``),
``given`` (one column for each parameter), ``learner`` (students: ``person_key, school_id, tier …``),
``program_homeless`` (``person_key``), ``counted_service`` (services that count, of the school year) and
``year_attendance`` (attendance of the school year).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """How numerator and denominator make the value.

    PROPORTION: units that have it over all units, 0 to 1. A value shows two counts: those with and without.
    MEAN: a sum of minutes or hours over units.
    """

    PROPORTION = "proportion"
    MEAN = "mean"


class Population(StrEnum):
    """Whom the denominator counts.

    EVERYONE: every current student, once.
    SOME: children, each once; the linked ones are current students.
    OTHERS: staff, or things of which a child can have several.
    """

    EVERYONE = "everyone"
    SOME = "some"
    OTHERS = "others"


@dataclass(frozen=True)
class Parameter:
    """A number that the definition rests on.

    Attributes:
        name: column of ``given``.
        value: the threshold.
        source: who set it.
    """

    name: str
    value: float
    source: str


@dataclass(frozen=True)
class Measure:
    """One outcome measure.

    Attributes:
        id: permanent.
        title: as a heading for people.
        question: what a district lead asks and this answers.
        definition: in one or two sentences, without jargon.
        numerator, denominator: what is counted over what.
        units: plural noun of what the denominator counts.
        sources: warehouse tables read.
        pillar: the part of the seed (Building School-Community Partnerships) it belongs to.
        unit: ``%``, ``minutes`` or ``hours``.
        kind: how the value is made.
        better: ``higher``, ``lower`` or ``neither``: which direction is good news.
        sql: unit rows, see the module.
        params: the numbers in the definition, with their sources.
        dimensions: common breakdowns it is given by.
        own_dimension: name of its own breakdown, None where it has none.
        own_title: heading of its own breakdown.
        own_rest: members of its own breakdown that hold what the district value leaves out; the others add up
            to it.
        beside: id of the area indicator it is shown beside, None where there is none.
        min_n: no cell with fewer persons is shown or released.
        population: whom the denominator counts; a release protects the rest of a group's students with it.
    """

    id: str
    title: str
    question: str
    definition: str
    numerator: str
    denominator: str
    units: str
    sources: tuple[str, ...]
    pillar: str
    unit: str
    kind: Kind
    better: str
    sql: str
    params: tuple[Parameter, ...] = ()
    dimensions: tuple[str, ...] = ()
    own_dimension: str | None = None
    own_title: str = ""
    own_rest: tuple[str, ...] = ()
    beside: str | None = None
    min_n: int = 10
    population: Population = Population.OTHERS


# Breakdowns of every measure about children, in the order of the page; "all" comes before them.
PERSON_DIMENSIONS: Final = (
    "school", "grade_band", "tier", "race_ethnicity", "sex", "english_learner", "disability",
    "economically_disadvantaged", "homeless",
)
STAFF_DIMENSIONS: Final = ("school",)

OUTCOMES: Final = "School outcomes"
MTSS: Final = "Multi-tiered system of supports"
PILLAR_1: Final = "Pillar 1: Professional development and training"
PILLAR_2: Final = "Pillar 2: Integrated student supports"
PILLAR_3: Final = "Pillar 3: Expanded and enriched learning time"
PILLAR_4: Final = "Pillar 4: Screening and referral systems"
PILLAR_5: Final = "Pillar 5: Supports for specific issues and populations"
PILLARS: Final = (OUTCOMES, MTSS, PILLAR_1, PILLAR_2, PILLAR_3, PILLAR_4, PILLAR_5)

# Categories of services that count as support given (Communities In Schools' kinds of support).
SERVICE_CATEGORIES: Final = (
    "counseling", "mentoring", "basic_needs", "family_support", "tutoring", "case_management",
)
