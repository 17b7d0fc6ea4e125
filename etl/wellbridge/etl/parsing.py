"""Text to types, cell by cell: what cannot be read holds its row, and no other row is touched.

Own parsing comes before any validator, because a validator's coercion hides failures: with one cell that cannot
be coerced, pandera 0.35 no longer reports the out-of-range value of another row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import polars as pl

from wellbridge.etl.reading import HELD_SCHEMA
from wellbridge.schemas.contract import Column, Contract

TRUE: Final = ("true", "1", "yes", "y", "t")
FALSE: Final = ("false", "0", "no", "n", "f")
# Dates outside these years are typing errors: real exports hold years 0003 to 6209 (school-sources, section 4).
FIRST_DATE: Final = date(1900, 1, 2)  # 1900-01-01 is the commonest placeholder of an unknown date
LAST_DATE: Final = date(2100, 1, 1)
EPOCH_MS: Final = "epoch_ms"  # a date as milliseconds since 1970, as some web exports write it
_ZONED: Final = ("%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M%:z")


@dataclass(frozen=True)
class Split:
    """Rows that go on and rows that wait, the latter one line for each column and rule."""

    kept: pl.DataFrame
    held: pl.DataFrame


def parse(rows: pl.DataFrame, contract: Contract, codes: Mapping[str, Mapping[str, str]] | None = None) -> Split:
    """Turn a chunk's text columns into the contract's types and names.

    Args:
        rows: String columns named by the contract's headers, with ``_file`` and ``_row``.
        contract: the contract; columns that a chunk lacks are null.
        codes: a site's own source code → contract's canonical code, by column.

    Returns:
        ``kept``: every row, in order, failing cells null. ``held``: ``HELD_SCHEMA`` of failing cells.
        The rows of ``held`` are still in ``kept``, so that validation can name their other faults.
    """
    cells, failures = [], []
    for column in contract.columns.values():
        source = column.header if column.header in rows.columns else column.name
        text = pl.col(source).str.strip_chars() if source in rows.columns else pl.lit(None, pl.String)
        text = pl.when(text == "").then(None).otherwise(text)
        value, rule = _cell(text, column, (codes or {}).get(column.name, {}))
        cells.append(value.alias(column.name))
        if rule is not None:
            failures.append(rule.alias(f"?{column.name}"))
    wide = rows.select(pl.col("_file"), pl.col("_row"), *cells, *failures)
    marks = [name for name in wide.columns if name.startswith("?")]
    held = _failures(wide, marks)
    return Split(wide.drop(marks), held)


def _failures(wide: pl.DataFrame, marks: list[str]) -> pl.DataFrame:
    if not marks:
        return pl.DataFrame(schema=HELD_SCHEMA)
    failing = wide.select(pl.col(name).is_not_null().any() for name in marks).row(0) if wide.height else ()
    parts = [
        wide.filter(pl.col(mark).is_not_null()).select(
            "_file", "_row", pl.lit(mark[1:]).alias("column"), pl.col(mark).alias("rule")
        )
        for mark, any_failed in zip(marks, failing, strict=False) if any_failed
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=HELD_SCHEMA)


def _cell(text: pl.Expr, column: Column, codes: Mapping[str, str]) -> tuple[pl.Expr, pl.Expr | None]:
    """Return the typed value and, where the type can fail, the rule code that a failing cell breaks."""
    if column.codes is not None:
        value = _code(text, column, codes)
        return value, _broken(text, value, "WB-R-020")
    if column.dtype == pl.String:
        return text, None
    if column.dtype == pl.Boolean:
        lower = text.str.to_lowercase()
        value = pl.when(lower.is_in(TRUE)).then(True).when(lower.is_in(FALSE)).then(False)
        return value, _broken(text, value, "WB-R-013")
    if column.dtype == pl.Date:
        return _date(text, column.formats)
    if column.dtype == pl.Datetime:
        return _time(text, column.formats)
    number = text.cast(column.dtype, strict=False)
    if column.dtype == pl.Float64:
        number = pl.when(number.is_finite()).then(number)
    return number, _broken(text, number, "WB-R-012")


def _broken(text: pl.Expr, value: pl.Expr, rule: str) -> pl.Expr:
    return pl.when(text.is_not_null() & value.is_null()).then(pl.lit(rule))


def _code(text: pl.Expr, column: Column, codes: Mapping[str, str]) -> pl.Expr:
    assert column.codes is not None
    known = {source.strip().lower(): canonical for source, canonical in column.codes.items()}
    known |= {canonical.lower(): canonical for canonical in column.codes.values() if canonical.lower() not in known}
    known |= {source.strip().lower(): canonical for source, canonical in codes.items()}
    return text.str.to_lowercase().replace_strict(known, default=None, return_dtype=pl.String)


def _date(text: pl.Expr, formats: tuple[str, ...]) -> tuple[pl.Expr, pl.Expr]:
    readings = [text.str.to_date("%Y-%m-%d", strict=False)]
    for form in formats:
        readings.append(_epoch(text) if form == EPOCH_MS else text.str.to_date(form, strict=False))
    value = pl.coalesce(readings) if len(readings) > 1 else readings[0]
    plausible = value.is_between(FIRST_DATE, LAST_DATE)
    rule = _broken(text, value, "WB-R-011")
    implausible = pl.when(value.is_not_null() & ~plausible).then(pl.lit("WB-R-014"))
    return pl.when(plausible).then(value), pl.coalesce(rule, implausible)


def _epoch(text: pl.Expr) -> pl.Expr:
    milliseconds = pl.when(text.str.contains(r"^\d{11,13}$")).then(text.cast(pl.Int64, strict=False))
    return pl.from_epoch(milliseconds, time_unit="ms").dt.date()


def _time(text: pl.Expr, formats: tuple[str, ...]) -> tuple[pl.Expr, pl.Expr]:
    """Read an instant; one without an offset is not an instant, so it is refused (FHIR R4 dateTime)."""
    iso = text.str.replace(r"[Zz]$", "+00:00")
    readings = [iso.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)
                for form in (*_ZONED, *formats)]
    value = pl.coalesce(readings)
    plausible = value.is_between(
        pl.lit(datetime(1900, 1, 2)).dt.replace_time_zone("UTC"), pl.lit(datetime(2100, 1, 1)).dt.replace_time_zone("UTC")
    )
    rule = _broken(text, value, "WB-R-011")
    implausible = pl.when(value.is_not_null() & ~plausible).then(pl.lit("WB-R-014"))
    return pl.when(plausible).then(value), pl.coalesce(rule, implausible)
