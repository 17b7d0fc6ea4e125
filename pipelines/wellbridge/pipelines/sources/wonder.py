"""CDC WONDER's text exports: one row an area, and a footer that says what was asked.

The footer decides what a number means, so an export is refused whose footer does not say what it was grouped
by and what years it covers, or that leaves out suppressed or zero areas. Words in place of numbers become a
status; a suppressed count is never worked out from totals, here or anywhere (CDC's data use restrictions).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl

import wellbridge.schemas.contracts.wonder  # noqa: F401 - registers the contract
from wellbridge.etl.readers.completeness import check_sidecar, check_text_end
from wellbridge.etl.readers.wonder import read_wonder
from wellbridge.etl.reading import Chunk, Delivery, Refused
from wellbridge.pipelines.sources.source import Resource, Source
from wellbridge.pipelines.survey import EXACT_BELOW, crude_rate
from wellbridge.schemas.contract import CONTRACTS

_RESOURCE: Final = "areas"
_MULTIPLIER: Final = 100_000.0
_FOOTER_BYTES: Final = 1 << 16  # the longest footer seen has 8 kB
_GROUPS: Final = {"County": "county", "State": "state"}

# What the footer must say; the last two keep an area from being left out unseen.
_ASSERTED: Final = {
    "Calculate Rates Per": "100,000", "Show Suppressed": "True", "Show Zero Values": "True",
}
_YEAR: Final = re.compile(r"\b(?:19|20)\d{2}\b")
_NUMBERS: Final = (
    "Deaths", "Population", "Crude Rate", "Crude Rate Lower 95% Confidence Interval",
    "Crude Rate Upper 95% Confidence Interval", "Crude Rate Standard Error",
)
_WORDS: Final = ("Suppressed", "Missing", "Unreliable", "Not Applicable")


# -- reading ----------------------------------------------------------------------------------------------


def check(delivery: Delivery, settings: Mapping[str, Any]) -> None:
    """Defer a file whose sidecar does not match, or that stops before the end of its footer.

    WONDER ends its exports with the closing quote of the last caveat and no line end.
    """
    for path in delivery.files.values():
        if not check_sidecar(path) and not _ends_in_footer(path):
            check_text_end(path)


def _ends_in_footer(path: Path) -> bool:
    """Say whether the file ends with a whole statement behind the day of the query, so behind all numbers."""
    with path.open("rb") as handle:
        handle.seek(max(path.stat().st_size - _FOOTER_BYTES, 0))
        end = handle.read()
    return end.endswith(b'"') and b'\n"Query Date: ' in end


def status() -> pl.Expr:
    """Return the row's one status, from the words in place of its numbers."""
    deaths, rate = pl.col("Deaths").str.strip_chars(), pl.col("Crude Rate").str.strip_chars()
    return (
        pl.when(deaths == "Suppressed").then(pl.lit("suppressed_primary"))
        .when(deaths.is_null() | deaths.is_in(["Missing", "Not Applicable"])).then(pl.lit("not_available"))
        .when(deaths == "0").then(pl.lit("true_zero"))
        .when(rate == "Unreliable").then(pl.lit("unreliable"))
        .when(rate.is_null() | rate.is_in(_WORDS)).then(pl.lit("not_available"))
        .otherwise(pl.lit("reported"))
    )


def period(query: Mapping[str, str], delivery: Delivery) -> tuple[date, date] | None:
    """Return the first and last day of the footer's years, without years the delivery's own.

    Years with a gap between them are no period: None.
    """
    asked = " ".join(value for name, value in query.items() if name.startswith("Year"))
    years = {int(year) for year in _YEAR.findall(asked)}
    if not years:
        first, last = delivery.period_start, delivery.period_end
        return (first, last) if first and last else None
    if len(years) <= max(years) - min(years):
        return None
    return date(min(years), 1, 1), date(max(years), 12, 31)


def read(delivery: Delivery, settings: Mapping[str, Any]) -> Iterator[Chunk]:
    """Yield the export's areas, its total as an area of its own.

    The feed's file names the indicator, because only the person who asked WONDER knows what it is of:
    ``indicator = "opioid_overdose_deaths"``, ``title = "Opioid overdose deaths"``.

    Raises:
        Refused: WB-D-007 when the footer does not say what the numbers mean; WB-D-003 when a column lacks.
    """
    for name, path in delivery.files.items():
        export = read_wonder(path, name=name)
        group, first, last = _query(export.query, name, delivery, export.rows.height)
        rows = _areas(export.rows, group, name)
        yield Chunk(_RESOURCE, rows.with_columns(
            pl.lit(settings.get("indicator", "deaths")).alias("indicator_id"),
            pl.lit(settings.get("title", "Deaths")).alias("title"),
            pl.lit(first.isoformat()).alias("period_start"), pl.lit(last.isoformat()).alias("period_end"),
            pl.lit(_release(export.query)).alias("source_release"),
        ), export.held)


def _query(query: Mapping[str, str], name: str, delivery: Delivery, rows: int) -> tuple[str, date, date]:
    """Return what the export is grouped by and the days it covers, or refuse it."""
    group, days = query.get("Group By", "").strip(), period(query, delivery)
    asserted = all(query.get(key) == value for key, value in _ASSERTED.items())
    if group not in _GROUPS or not asserted or days is None:
        raise Refused("WB-D-007", name, rows=rows)
    return group, *days


def _areas(rows: pl.DataFrame, group: str, name: str) -> pl.DataFrame:
    """Name the area columns alike for all groupings, set the status, empty the cells that hold a word."""
    needed = (group, f"{group} Code", *_NUMBERS[:3])
    missing = [column for column in needed if column not in rows.columns]
    if missing:
        raise Refused("WB-D-003", name, missing, rows.height)
    is_total = pl.col("Notes").str.strip_chars() == "Total"
    absent = [column for column in _NUMBERS if column not in rows.columns]
    plain = rows.with_columns(pl.lit(None, pl.String).alias(column) for column in absent)
    return plain.select(
        "_file", "_row",
        pl.when(is_total).then(pl.lit("All areas of the query")).otherwise(group).alias("Area"),
        pl.when(is_total).then(pl.lit("total")).otherwise(f"{group} Code").alias("Area Code"),
        pl.when(is_total).then(pl.lit("region")).otherwise(pl.lit(_GROUPS[group])).alias("geo_type"),
        status().alias("status"),
        *(pl.when(~pl.col(c).str.strip_chars().is_in(_WORDS)).then(c).alias(c) for c in _NUMBERS),
    )


def _release(query: Mapping[str, str]) -> str:
    dated = f" · {query['Query Date']}" if "Query Date" in query else ""
    return query.get("Dataset", "CDC WONDER") + dated


_REASONS: Final = {
    "reported": "", "true_zero": "", "suppressed_primary": "counts below 10 are withheld by the source",
    "unreliable": "the source withholds rates of fewer than 20 deaths",
    "not_available": "the source has none",
}


# -- shape ------------------------------------------------------------------------------------------------


def shape(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """One indicator value an area; limits that the export lacks are made by WONDER's formula."""
    suppressed = (frame["status"] == "suppressed_primary").sum()
    gives_back = (pl.col("geo_id") == "total") & (suppressed == 1)
    described = frame.with_columns(
        pl.lit("consequence").alias("domain"), pl.lit("rate").alias("measure_type"),
        pl.lit("deaths per 100,000").alias("unit"), pl.lit(_MULTIPLIER).alias("multiplier"),
        pl.when(pl.col("period_start").dt.year() == pl.col("period_end").dt.year())
        .then(pl.lit("calendar")).otherwise(pl.lit("pooled")).alias("period_type"),
        pl.lit("all").alias("subgroup_dim"), pl.lit("all").alias("subgroup_value"),
        pl.lit("residents").alias("population"), pl.lit("vital_stat").alias("method"),
        pl.lit("area").alias("evidence_level"), pl.lit("wonder").alias("source_id"),
        pl.when(gives_back).then(pl.lit("disclosure:subtractable")).otherwise(pl.lit("")).alias("flags"),
        pl.col("status").replace_strict(_REASONS).alias("status_reason"),
    )
    return {"indicator": _with_limits(described)}


def _with_limits(frame: pl.DataFrame) -> pl.DataFrame:
    """Fill the limits and SE of reported rates that came without; say how all were made."""
    bare = pl.col("ci_lower").is_null() & (pl.col("status") == "reported")
    made = frame.filter(bare).select("geo_id", "numerator", "denominator").rows()
    rates = [(area, crude_rate(int(deaths), int(people))) for area, deaths, people in made]
    limits = pl.DataFrame(
        [(area, rate.lower, rate.upper, rate.se) for area, rate in rates], orient="row",
        schema={"geo_id": pl.String, "lower": pl.Float64, "upper": pl.Float64, "error": pl.Float64})
    is_exact = pl.col("numerator") < EXACT_BELOW
    method = pl.when(is_exact).then(pl.lit("poisson_exact")).otherwise(pl.lit("normal"))
    return frame.join(limits, on="geo_id", how="left", maintain_order="left").with_columns(
        pl.coalesce("ci_lower", "lower").alias("ci_lower"),
        pl.coalesce("ci_upper", "upper").alias("ci_upper"),
        pl.coalesce("se", "error").alias("se"),
        pl.when(pl.col("status") == "true_zero").then(0.0).otherwise("estimate").alias("estimate"),
    ).with_columns(pl.when(pl.col("ci_lower").is_not_null()).then(method).alias("ci_method"))


SOURCES: Final[dict[str, Source]] = {
    "wonder": Source(
        kind="wonder", rank=1, read=read, check=check,
        resources={_RESOURCE: Resource(CONTRACTS["wonder.areas"], shape=shape)},
    ),
}
