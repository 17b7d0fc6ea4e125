"""Screeners: their codes, ranges, bands, thresholds and safety items, as versioned data with sources.

A total score loads only under its own code. A *panel* code names the questionnaire as a whole; the wild holds
many numbers under panel codes (69737-5 for GAD-7, 55757-9 for PHQ-2), and none of them is a total. Bands and
thresholds hold for an age; children of this district's schools are scored with the adolescent ones where they
exist.

Codes and figures: docs/sources-health.md lists the publications; LOINC 2.7x for the codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

Answers = dict[str, int]  # LOINC code of an item → ordinal of its one answer

ADOLESCENT_AGE: Final = 15  # of whom age is not known; every school-age table below covers it


@dataclass(frozen=True)
class Scale:
    """Bands and threshold of one instrument for an age range.

    Attributes:
        min_age, max_age: completed years, inclusive.
        bands: lowest score of each band, ascending, with the band's name.
        positive_from: smallest positive score; None where no single threshold holds.
        source: the publication of the figures.
    """

    min_age: int
    max_age: int
    bands: tuple[tuple[float, str], ...]
    positive_from: float | None
    source: str


@dataclass(frozen=True)
class Instrument:
    """One screener.

    Attributes:
        name: code in the warehouse.
        title: its name in full.
        low, high: smallest and largest total.
        panels: LOINC codes of the questionnaire; a number under one is not a total.
        totals: LOINC codes of the total score.
        items: LOINC codes of the items in their order; their sum is the total. Empty where not checked.
        item_high: largest value of one item.
        safety_items: positions in ``items`` (from 0) of which any answer above 0 needs a safety interview.
        scales: by age; the first that covers an age holds.
        is_substance_use: the score is about substance use, so a health partner's row is taken to be under
            42 CFR Part 2 until a label or consent says otherwise (unknown regime: the strictest).
    """

    name: str
    title: str
    low: float
    high: float
    panels: tuple[str, ...] = ()
    totals: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    item_high: int = 3
    safety_items: tuple[int, ...] = ()
    scales: tuple[Scale, ...] = ()
    is_substance_use: bool = False

    def scale(self, age: int = ADOLESCENT_AGE) -> Scale | None:
        """Return the bands and threshold for an age in years, None where none are known."""
        return next((scale for scale in self.scales if scale.min_age <= age <= scale.max_age), None)

    def total(self, answers: Answers) -> int | None:
        """Return the sum of the items; None unless each has an answer that is possible."""
        values = [answers.get(code) for code in self.items]
        if not values or any(value is None or not 0 <= value <= self.item_high for value in values):
            return None
        return sum(value for value in values if value is not None)

    def is_unsafe(self, answers: Answers) -> bool | None:
        """Return whether a safety item was answered above 0; None where none was answered."""
        codes = [self.items[at] for at in self.safety_items]
        stated = [answers[code] for code in codes if code in answers]
        return any(value > 0 for value in stated) if stated else None


_PHQ_BANDS: Final = (
    (0, "minimal"), (5, "mild"), (10, "moderate"), (15, "moderately_severe"), (20, "severe"),
)
_RICHARDSON: Final = (
    "Richardson et al. 2010, Pediatrics 126:1117 (PMC3217785): sensitivity 89.5 %, specificity 77.5 %"
)
_PHQ9_ITEMS: Final = (
    "44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8",
)
_SDQ_BANDS: Final = ((0, "close_to_average"), (12, "slightly_raised"), (16, "high"), (19, "very_high"))
_AGE_MAX: Final = 130

_ALL: Final = (
    Instrument(
        "PHQ-9", "Patient Health Questionnaire, 9 items", 0, 27, panels=("44249-1",), totals=("44261-6",),
        items=_PHQ9_ITEMS, safety_items=(8,),
        scales=(
            Scale(11, 17, _PHQ_BANDS, 11, _RICHARDSON),
            Scale(18, _AGE_MAX, _PHQ_BANDS, 10, "Kroenke, Spitzer & Williams 2001, J Gen Intern Med 16:606"),
        ),
    ),
    Instrument(
        "PHQ-A", "PHQ-9 modified for adolescents", 0, 27, panels=("89206-7",), totals=("89204-2",),
        items=_PHQ9_ITEMS, safety_items=(8,), scales=(Scale(11, 20, _PHQ_BANDS, 11, _RICHARDSON),),
    ),
    Instrument(
        "PHQ-2", "Patient Health Questionnaire, 2 items", 0, 6, panels=("55757-9",), totals=("55758-7",),
        items=_PHQ9_ITEMS[:2],
        scales=(Scale(11, _AGE_MAX, ((0, "negative"), (3, "positive")), 3,
                      "Richardson et al. 2010, PMC3100798: sensitivity 74 %, specificity 75 %, ages 13-17"),),
    ),
    Instrument(
        "GAD-7", "Generalized Anxiety Disorder, 7 items", 0, 21, panels=("69737-5",), totals=("70274-6",),
        items=("69725-0", "68509-9", "69733-4", "69734-2", "69735-9", "69689-8", "69736-7"),
        scales=(
            Scale(11, 17, ((0, "minimal"), (5, "mild"), (11, "moderate"), (17, "severe")), 11,
                  "Mossman et al. 2017, Ann Clin Psychiatry 29:227"),
            Scale(18, _AGE_MAX, ((0, "minimal"), (5, "mild"), (10, "moderate"), (15, "severe")), 10,
                  "Spitzer et al. 2006, Arch Intern Med 166:1092"),
        ),
    ),
    Instrument(  # no LOINC code found
        "PSC-17", "Pediatric Symptom Checklist, 17 items", 0, 34,
        scales=(Scale(4, 17, ((0, "negative"), (15, "positive")), 15, "Gardner & Kelleher 1999"),),
    ),
    # Copyright forbids electronic forms of the SDQ: scores only. What LOINC 62713-3 stands for is not
    # verified.
    Instrument(
        "SDQ-T", "Strengths and Difficulties Questionnaire, teacher form", 0, 40,
        scales=(Scale(4, 17, _SDQ_BANDS, None, "sdqinfo.org; PMC4830858, Table 1"),),
    ),
    Instrument(  # no LOINC code verified
        "CRAFFT", "CRAFFT substance use screen", 0, 6, is_substance_use=True,
        scales=(Scale(14, 18, ((0, "negative"), (2, "positive")), 2,
                      "Knight et al. 1999, 2002: any disorder, sensitivity .80, specificity .86"),),
    ),
    Instrument(  # thresholds differ by sex (4 men, 3 women) and were set for adults: none for this age
        "AUDIT-C", "Alcohol Use Disorders Identification Test, consumption", 0, 12,
        panels=("72109-2",), totals=("75626-2",), is_substance_use=True,
    ),
    Instrument(
        "DAST-10", "Drug Abuse Screening Test, 10 items", 0, 10, totals=("82667-7",), is_substance_use=True,
    ),
    # Partner violence is never shared with schools (labels.NEVER_KEPT), so HARK's total, 76504-0, is not
    # taken.
    Instrument("HARK", "Humiliation, Afraid, Rape, Kick", 0, 4),
    Instrument(
        "ACE", "Adverse childhood experiences", 0, 10,
        scales=(Scale(0, _AGE_MAX, ((0, "none"), (1, "one_to_three"), (4, "four_or_more")), None,
                      "CDC-Kaiser ACE Study; bands in common use, not checked against a primary text"),),
    ),
)

INSTRUMENTS: Final[dict[str, Instrument]] = {instrument.name: instrument for instrument in _ALL}
# LOINC code → instrument, for total scores and for whole questionnaires.
TOTAL_CODES: Final[dict[str, str]] = {code: one.name for one in _ALL for code in one.totals}
PANEL_CODES: Final[dict[str, str]] = {code: one.name for one in _ALL for code in one.panels}

# Answers of PHQ and GAD items (LOINC answer list LL358-3): not at all, several days, more than half, nearly
# every day.
ANSWER_ORDINALS: Final[dict[str, int]] = {"LA6568-5": 0, "LA6569-3": 1, "LA6570-1": 2, "LA6571-9": 3}

# Items of questionnaires whose link ids are no LOINC codes but name and number: "PHQ.1" (MII), "phq1",
# "gad7_3".
ITEM_FAMILIES: Final[dict[str, tuple[str, ...]]] = {"phq": _PHQ9_ITEMS, "gad": INSTRUMENTS["GAD-7"].items}
ITEM_CODES: Final = frozenset(code for one in _ALL for code in one.items)


def _by_instrument(values: dict[str, pl.Expr], dtype: pl.DataType) -> pl.Expr:
    """Return the value of the row's instrument, null for an instrument that has none."""
    result = pl.lit(None, dtype)
    for name, value in values.items():
        result = pl.when(pl.col("instrument") == name).then(value).otherwise(result)
    return result


def band(age: int = ADOLESCENT_AGE) -> pl.Expr:
    """Return the band of ``score`` under ``instrument``; null where no table covers the age."""
    values = {}
    for instrument in INSTRUMENTS.values():
        scale = instrument.scale(age)
        if scale is None:
            continue
        named = pl.lit(None, pl.String)
        for lowest, title in scale.bands:  # ascending, so the last that is reached wins
            named = pl.when(pl.col("score") >= lowest).then(pl.lit(title)).otherwise(named)
        values[instrument.name] = named
    return _by_instrument(values, pl.String())


def is_positive(age: int = ADOLESCENT_AGE) -> pl.Expr:
    """Return whether ``score`` is positive under ``instrument``; null where no threshold is known."""
    values = {}
    for name, instrument in INSTRUMENTS.items():
        scale = instrument.scale(age)
        if scale is not None and scale.positive_from is not None:
            values[name] = pl.col("score") >= scale.positive_from
    return _by_instrument(values, pl.Boolean())


def is_in_range(instrument: str = "instrument", score: str = "score") -> pl.Expr:
    """Return whether a score is possible under its instrument; true where either is missing."""
    possible = pl.lit(None, pl.Boolean)
    for one in INSTRUMENTS.values():
        inside = pl.col(score).is_between(one.low, one.high)
        possible = pl.when(pl.col(instrument) == one.name).then(inside).otherwise(possible)
    return possible.fill_null(True)
