"""Youth Risk Behavior Survey: public-use records in, area indicators out.

Records are read by the layout of the year in the file's name and by concept (``schemas.layouts``); a year
without a layout is refused, because the same column means another question in another year. What goes on is a
share per concept and subgroup, estimated with the whole survey design (``pipelines.survey``); no record does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

import wellbridge.schemas.contracts.yrbs  # noqa: F401 - registers the contract
from wellbridge.etl.readers.completeness import check_complete, check_sidecar
from wellbridge.etl.readers.fixed_width import read_fixed_width
from wellbridge.etl.readers.survey_files import read_survey_file
from wellbridge.etl.reading import Chunk, Delivery, Refused
from wellbridge.pipelines.sources.source import Resource, Source
from wellbridge.pipelines.survey import Design, Estimate, Mask, proportion
from wellbridge.schemas.codes import RACE_ETHNICITY
from wellbridge.schemas.contract import CONTRACTS
from wellbridge.schemas.layouts import CONCEPTS, LAYOUTS, Concept, SurveyLayout

_RESOURCE: Final = "students"
_YEAR: Final = re.compile(r"(?<!\d)(?:19|20)\d{2}(?!\d)")
_SURVEY_FILES: Final = (".sav", ".zsav", ".xpt")

# Students who must have answered, by survey year. CDC's 2023 user's guide states 30; the guides of the other
# years state none for the national file, so theirs is our choice of the same number.
MIN_ANSWERED: Final = {2019: 30, 2021: 30, 2023: 30, 2025: 30}

# What sets a year apart from the one before it; travels with every value (MMWR Suppl 2024;73(4):1-12).
BREAKS: Final = {2021: "break:season", 2023: "break:mode"}

_NUMBERS: Final = (
    "numerator", "denominator", "n_weighted", "estimate", "se", "ci_lower", "ci_upper", "df", "deff")

SUBGROUPS: Final = {
    "sex": ("female", "male"), "grade": ("09", "10", "11", "12"), "race_ethnicity": RACE_ETHNICITY,
}


# -- reading ----------------------------------------------------------------------------------------------


def check(delivery: Delivery, settings: Mapping[str, Any]) -> None:
    """Defer a text file whose sidecar does not match or that stops in the middle of a line."""
    for path in delivery.files.values():
        check_sidecar(path) if _is_survey_file(path) else check_complete(path)


def read(delivery: Delivery, settings: Mapping[str, Any]) -> Iterator[Chunk]:
    """Yield the file's students as one chunk: an estimate needs them all.

    Raises:
        Refused: WB-D-006 when the name has no year, several, or one without a layout.
    """
    for name, path in delivery.files.items():
        layout = _layout_of(name)
        rows, held = _records(path, name, layout)
        yield Chunk(_RESOURCE, rows.with_columns(
            pl.col("_row").cast(pl.String).alias("record"), pl.lit(str(layout.year)).alias("year"),
            pl.lit(f"{layout.year}-12-31").alias("period_end"),
        ), held)


def _is_survey_file(path: Path) -> bool:
    return path.suffix.lower() in _SURVEY_FILES


def _records(path: Path, name: str, layout: SurveyLayout) -> tuple[pl.DataFrame, pl.DataFrame]:
    if not _is_survey_file(path):
        # CDC's SAS program reads on into the next line where one is short, so no line of theirs is.
        return _whole(read_fixed_width(path, name=name, fields=layout.fields, width=layout.width))
    variables = {"age": "Q1", "sex": "Q2", "grade": "Q3", "race_ethnicity": "raceeth", "weight": "weight",
                 "stratum": "stratum", "psu": "psu", **layout.concepts}
    rows, held = _whole(read_survey_file(path, name=name, columns=tuple(variables.values())))
    return rows.rename({theirs: ours for ours, theirs in variables.items()}), held


def _whole(chunks: Iterator[tuple[pl.DataFrame, pl.DataFrame]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows, held = zip(*chunks, strict=True)
    return pl.concat(rows), pl.concat(held)


def _layout_of(name: str) -> SurveyLayout:
    years = {int(year) for year in _YEAR.findall(name)}
    if len(years) != 1 or not years <= LAYOUTS.keys():
        raise Refused("WB-D-006", name)
    return LAYOUTS[years.pop()]


# -- estimates --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Survey:
    """One year's students, ready for estimates."""

    layout: SurveyLayout
    frame: pl.DataFrame
    design: Design

    def domains(self) -> Iterator[tuple[str, str, Mask | None]]:
        """Yield (dimension, value, students in it) for the whole and each subgroup."""
        yield "all", "all", None
        for dimension, values in SUBGROUPS.items():
            column = self.frame[dimension]
            for value in values:
                yield dimension, value, (column == value).fill_null(value=False).to_numpy()

    def answers(self, concept: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """1 for yes, 0 for no, NaN where there is no answer."""
        answer = self.frame[concept]
        values = pl.select(pl.when(answer.is_not_null()).then((answer == "yes").cast(pl.Float64)))
        return values.to_series().fill_null(float("nan")).to_numpy()


def shape(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Estimate every concept for all students and each subgroup; records become values of an area."""
    if not frame.height:
        return {}
    survey = _survey(frame)
    rows = [row for concept in CONCEPTS.values() for row in _of_concept(survey, concept)]
    numbers = dict.fromkeys(_NUMBERS, pl.Float64)
    return {"indicator": pl.DataFrame(rows, schema_overrides=numbers, infer_schema_length=None)}


def _survey(frame: pl.DataFrame) -> _Survey:
    # Held rows can leave a stratum with a single unit; its estimates are then withheld as unreliable.
    design = Design(frame["weight"].to_numpy(), frame["stratum"].to_numpy(), frame["psu"].to_numpy(),
                    lonely="certainty")
    return _Survey(LAYOUTS[frame["year"][0]], frame, design)


def _of_concept(survey: _Survey, concept: Concept) -> Iterator[dict[str, Any]]:
    common = _described(concept, survey.layout.year)
    if concept.name not in survey.layout.concepts:
        yield {**common, "subgroup_dim": "all", "subgroup_value": "all", "status": "not_surveyed",
               "status_reason": "the question was not asked in that year"}
        return
    answers = survey.answers(concept.name)
    for dimension, value, inside in survey.domains():
        found = proportion(survey.design, answers, inside)
        yield {**common, "subgroup_dim": dimension, "subgroup_value": value, **_stated(survey, found)}


def _described(concept: Concept, year: int) -> dict[str, Any]:
    return {
        "indicator_id": concept.name, "title": concept.title, "domain": concept.domain,
        "measure_type": "prevalence", "unit": "percent", "multiplier": 100.0,
        "geo_type": "us", "geo_id": "US", "geo_name": "United States", "period_start": date(year, 1, 1),
        "period_end": date(year, 12, 31), "period_type": "calendar", "population": "students in grades 9-12",
        "flags": BREAKS.get(year, ""), "method": "direct_survey", "evidence_level": "area",
        "source_id": "yrbs", "source_release": f"yrbs {year}", "source_var": concept.variable(year),
        **dict.fromkeys(_NUMBERS), "n_unweighted": None, "status_reason": "", "ci_method": None,
    }


def _stated(survey: _Survey, found: Estimate) -> dict[str, Any]:
    """Return what may be said of an estimate, with its status; percentages."""
    counts = {"n_unweighted": found.n, "n_weighted": found.weighted, "denominator": found.weighted,
              "df": float(found.df)}
    withheld = _why_withheld(survey, found)
    if withheld:
        return {**counts, "status": "not_available" if found.n == 0 else "unreliable",
                "status_reason": withheld}
    stated = {**counts, "status": "true_zero" if found.value == 0 else "reported", "ci_method": "logit",
              "numerator": found.value * found.weighted}
    numbers = {"estimate": found.value, "se": found.se, "ci_lower": found.lower, "ci_upper": found.upper}
    in_percent = {name: _or_none(100 * value) for name, value in numbers.items()}
    return {**stated, **in_percent, "deff": _or_none(found.deff)}


def _why_withheld(survey: _Survey, found: Estimate) -> str:
    least = MIN_ANSWERED[survey.layout.year]
    if found.n == 0:
        return "nobody answered"
    if found.n < least:
        return f"fewer than {least} answered"
    return "a stratum has a single sampling unit" if survey.design.has_lonely else ""


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


SOURCES: Final[dict[str, Source]] = {
    "yrbs": Source(
        kind="yrbs", rank=1, read=read, check=check,
        resources={_RESOURCE: Resource(CONTRACTS["yrbs.students"], shape=shape, is_aggregate=True)},
    ),
}
