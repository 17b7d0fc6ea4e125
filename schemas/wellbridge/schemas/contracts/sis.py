"""Contracts of a student information system's own CSV exports: daily attendance and families' opt-outs."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from wellbridge.schemas import codes
from wellbridge.schemas.classes import PrivacyClass as P
from wellbridge.schemas.classes import Regime
from wellbridge.schemas.contract import Mode, column, contract

MINUTES_PER_DAY = 1440

# Seen in one feed side by side: 8/15/2020 and 1454416468000 (school-sources, section 4).
DATE_FORMATS = ("%m/%d/%Y", "epoch_ms")


@contract("sis.attendance", key=("student_id", "school_id", "event_date"), regime=Regime.FERPA,
          mode=Mode.PERIOD,
          period="event_date")
class Attendance(pa.DataFrameModel):
    """Daily attendance, one row per student, school and day."""

    student_id: pl.String = column(
        P.DIRECT, header="Student ID", ids="student", refers=True, standard="CEDS 001071 Student Identifier")
    school_id: pl.String = column(P.QUASI, header="School", standard="CEDS 001069 School Identifier")
    event_date: pl.Date = column(
        P.QUASI, header="Date", formats=DATE_FORMATS, standard="CEDS 000602 Attendance Event Date")
    status: pl.String = column(
        P.SENSITIVE, header="Status", codes=codes.SIS_ATTENDANCE, standard="CEDS 000076 Attendance Status")
    minutes_absent: pl.Float64 = column(
        P.SENSITIVE, header="Minutes Absent", required=False, ge=0, le=MINUTES_PER_DAY)


@contract("sis.optout", key=("student_id", "scope"), regime=Regime.FERPA)
class OptOut(pa.DataFrameModel):
    """Families' opt-outs from sharing (34 CFR 99.37 and local policy)."""

    student_id: pl.String = column(
        P.DIRECT, ids="student", refers=True, standard="CEDS 001071 Student Identifier")
    scope: pl.String = column(P.SENSITIVE, codes=codes.OPT_OUT_SCOPES)
    effective_date: pl.Date = column(P.PLAIN)
    withdrawn_date: pl.Date = column(P.PLAIN, required=False)

    @pa.dataframe_check(name="WB-R-032")
    @classmethod
    def withdrawn_after_effective(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """An opt-out is not withdrawn before it takes effect."""
        in_order = (pl.col("withdrawn_date") >= pl.col("effective_date")).fill_null(True)
        return data.lazyframe.select(in_order)
