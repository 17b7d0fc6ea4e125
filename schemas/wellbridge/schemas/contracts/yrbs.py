"""Contract of the Youth Risk Behavior Survey's public-use records, one student a row, no person named.

The rows are read for the estimates that are made of them and never load themselves: the warehouse gets area
indicators, which have no person key. Columns are named by concept, so that a renumbered questionnaire cannot
change their meaning (``schemas.layouts``). ``record``, ``year`` and ``period_end`` are made on reading.
"""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from wellbridge.schemas import layouts
from wellbridge.schemas.classes import PrivacyClass as P
from wellbridge.schemas.classes import Regime
from wellbridge.schemas.contract import Mode, column, contract

# Weights sum to the number of records (largest in 2019: 4.86); one without its point would be far beyond.
MAX_WEIGHT = 1000


@contract("yrbs.students", key=("record",), regime=Regime.PUBLIC, mode=Mode.PERIOD, period="period_end")
class YrbsStudents(pa.DataFrameModel):
    """Answers of students to the Youth Risk Behavior Survey, with weight, stratum and sampling unit."""

    record: pl.Int64 = column(P.PLAIN)
    year: pl.Int64 = column(P.PLAIN)
    period_end: pl.Date = column(P.PLAIN)
    site: pl.String = column(P.PLAIN, required=False, codes={layouts.NATIONAL_SITE: "us"})
    age: pl.String = column(P.QUASI, required=False, codes=layouts.AGE_CODES)
    sex: pl.String = column(P.QUASI, required=False, codes=layouts.SEX_CODES)
    grade: pl.String = column(P.QUASI, required=False, codes=layouts.GRADE_CODES)
    race_ethnicity: pl.String = column(P.QUASI, required=False, codes=layouts.RACE_CODES)
    weight: pl.Float64 = column(P.PLAIN, gt=0, le=MAX_WEIGHT)
    stratum: pl.String = column(P.PLAIN)
    psu: pl.String = column(P.PLAIN)
    felt_sad_hopeless: pl.String = column(P.SENSITIVE, required=False, codes=layouts.ANSWER_CODES)
    considered_suicide: pl.String = column(P.SENSITIVE, required=False, codes=layouts.ANSWER_CODES)
    suicide_plan: pl.String = column(P.SENSITIVE, required=False, codes=layouts.ANSWER_CODES)
    attempted_suicide: pl.String = column(P.SENSITIVE, required=False, codes=layouts.ANSWER_CODES)
    bullied_school: pl.String = column(P.SENSITIVE, required=False, codes=layouts.ANSWER_CODES)
    bullied_electronic: pl.String = column(P.SENSITIVE, required=False, codes=layouts.ANSWER_CODES)
    current_cigarette: pl.String = column(P.SENSITIVE, required=False, codes=layouts.ANSWER_CODES)
    current_evp: pl.String = column(P.SENSITIVE, required=False, codes=layouts.ANSWER_CODES)
    current_alcohol: pl.String = column(P.SENSITIVE, required=False, codes=layouts.ANSWER_CODES)
    current_marijuana: pl.String = column(P.SENSITIVE, required=False, codes=layouts.ANSWER_CODES)
    ever_rx_pain_misuse: pl.String = column(P.SENSITIVE, required=False, codes=layouts.ANSWER_CODES)
    poor_mental_health: pl.String = column(P.SENSITIVE, required=False, codes=layouts.ANSWER_CODES)
    school_connectedness: pl.String = column(P.SENSITIVE, required=False, codes=layouts.ANSWER_CODES)
    self_harm: pl.String = column(P.SENSITIVE, required=False, codes=layouts.ANSWER_CODES)
