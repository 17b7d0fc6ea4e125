"""Contract of CDC WONDER's text exports of deaths, one area a row.

A cell without a number says why in a word: ``Suppressed``, ``Missing``, ``Unreliable``. Reading turns it into
``status`` and leaves the cell empty, so that no reason is lost and no number is invented. The columns from
``indicator_id`` on are made on reading, from the export's own footer and the feed's file.
"""

from __future__ import annotations

from typing import Any

import pandera.polars as pa
import polars as pl

from wellbridge.schemas.classes import PrivacyClass as P
from wellbridge.schemas.classes import Regime
from wellbridge.schemas.contract import Mode, column, contract

# One status a row (SEOW's list), of which WONDER can give these.
STATUSES = ("reported", "true_zero", "suppressed_primary", "unreliable", "not_available")


def _number(header: str) -> Any:
    return column(P.PLAIN, header=header, required=False, ge=0)


@contract("wonder.areas", key=("geo_id", "period_end"), regime=Regime.PUBLIC, mode=Mode.PERIOD,
          period="period_end")
class WonderAreas(pa.DataFrameModel):
    """Deaths, population and crude death rate of an area, as CDC WONDER exports them."""

    geo_name: pl.String = column(P.PLAIN, header="Area")
    geo_id: pl.String = column(P.PLAIN, header="Area Code", str_matches=r"^(\d{2}|\d{5}|total)$")
    numerator: pl.Float64 = _number("Deaths")
    denominator: pl.Float64 = _number("Population")
    estimate: pl.Float64 = _number("Crude Rate")
    ci_lower: pl.Float64 = _number("Crude Rate Lower 95% Confidence Interval")
    ci_upper: pl.Float64 = _number("Crude Rate Upper 95% Confidence Interval")
    se: pl.Float64 = _number("Crude Rate Standard Error")
    indicator_id: pl.String = column(P.PLAIN)
    title: pl.String = column(P.PLAIN)
    geo_type: pl.String = column(P.PLAIN, isin=["state", "county", "region"])
    period_start: pl.Date = column(P.PLAIN)
    period_end: pl.Date = column(P.PLAIN)
    status: pl.String = column(P.PLAIN, isin=list(STATUSES))
    source_release: pl.String = column(P.PLAIN)

    @pa.dataframe_check(name="WB-R-032")
    @classmethod
    def limits_hold_the_rate(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """The confidence limits are in order and the rate lies between them."""
        low, rate, high = pl.col("ci_lower"), pl.col("estimate"), pl.col("ci_upper")
        return data.lazyframe.select(
            (low <= high).fill_null(True) & (low <= rate).fill_null(True) & (rate <= high).fill_null(True))

    @pa.dataframe_check(name="WB-R-032")
    @classmethod
    def a_withheld_count_stays_withheld(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """A suppressed area shows neither a count nor a rate."""
        shown = pl.any_horizontal(pl.col("numerator", "estimate", "ci_lower", "ci_upper").is_not_null())
        return data.lazyframe.select((pl.col("status") != "suppressed_primary") | ~shown)
