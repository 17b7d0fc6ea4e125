"""Text to types, cell by cell: what cannot be read holds its row, and no other row is touched.

Own parsing comes before any validator, because a validator's coercion hides failures: with one cell that cannot
be coerced, pandera 0.35 no longer reports the out-of-range value of another row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from wellbridge.etl.reading import HELD_SCHEMA
from wellbridge.schemas.contract import Column, Contract

TRUE: Final = ("true", "1", "yes", "y", "t")
FALSE: Final = ("false", "0", "no", "n", "f")
# Dates outside these years are typing errors: real exports hold years 0003 to 6209 (school-sources, section 4).
FIRST_DATE: Final = date(1900, 1, 2)  # 1900-01-01 is the commonest placeholder of an unknown date
LAST_DATE: Final = date(2100, 1, 1)
ISO_DATE: Final = "%Y-%m-%d"
EPOCH_MS: Final = "epoch_ms"  # a date as milliseconds since 1970, as some web exports write it
_ZONED: Final = ("%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M%:z")


@dataclass(frozen=True)
class Split:
    """Rows that go on and rows that wait, the latter one line for each column and rule."""

    kept: pl.DataFrame
    held: pl.DataFrame


def parse(
    rows: pl.DataFrame, contract: Contract, codes: Mapping[str, Mapping[str, str]] | None = None
) -> Split:
    """Turn a chunk's text columns into the contract's types and names.

    Args:
        rows: String columns named by the contract's headers, with ``_file`` and ``_row``.
        contract: the contract; columns that a chunk lacks are null.
        codes: a site's own source code → contract's canonical code, by column.

    Returns:
        ``kept``: every row, in order, failing cells null. ``held``: ``HELD_SCHEMA`` of failing cells.
        The rows of ``held`` are still in ``kept``, so that validation can name their other faults.
    """
    cells, held = [rows["_file"], rows["_row"]], []
    for column in contract.columns.values():
        text = _text(rows, column)
        value, rule = _cell(text, column, (codes or {}).get(column.name, {}))
        cells.append(value.alias(column.name))
        if rule is not None and rule.null_count() < rule.len():
            held.append(
                rows.select("_file", "_row", pl.lit(column.name).alias("column"), rule.alias("rule")).filter(
                    pl.col("rule").is_not_null()
                )
            )
    return Split(pl.DataFrame(cells), pl.concat(held) if held else pl.DataFrame(schema=HELD_SCHEMA))


def _text(rows: pl.DataFrame, column: Column) -> pl.Series:
    """Return a column's cells, trimmed, the empty ones null."""
    name = column.header if column.header in rows.columns else column.name
    if name not in rows.columns:
        return pl.Series(column.name, [None], pl.String).new_from_index(0, rows.height)
    text = rows[name].str.strip_chars()  # once: in an expression that names it twice polars trims twice
    return text.to_frame().select(pl.when(pl.col(name) != "").then(pl.col(name))).to_series()


def _cell(text: pl.Series, column: Column, codes: Mapping[str, str]) -> tuple[pl.Series, pl.Series | None]:
    """Return the typed value and, where a cell fails, the rule code it breaks."""
    if column.codes is not None:
        return _code(text, column.codes, codes)
    if column.dtype == pl.String:
        return text, None
    if text.null_count() == text.len():
        return text.cast(column.dtype), None
    if column.dtype == pl.Boolean:
        lower = pl.col("text").str.to_lowercase()
        return _read(
            text, pl.when(lower.is_in(TRUE)).then(True).when(lower.is_in(FALSE)).then(False), "WB-R-013"
        )
    if column.dtype == pl.Date:
        return _plausible(*_first_reading(text, [ISO_DATE, *column.formats], _date))
    if column.dtype == pl.Datetime:
        iso = text.str.replace(r"[Zz]$", "+00:00")
        return _plausible(*_first_reading(iso, [*_ZONED, *column.formats], _instant))
    number = pl.col("text").cast(column.dtype, strict=False)
    return _read(
        text, pl.when(number.is_finite()).then(number) if column.dtype == pl.Float64 else number, "WB-R-012"
    )


def _read(text: pl.Series, value: pl.Expr, rule: str) -> tuple[pl.Series, pl.Series | None]:
    read = text.to_frame("text").select(value.alias("value")).to_series()
    return read, _broken(text, read, rule)


def _broken(text: pl.Series, value: pl.Series, rule: str) -> pl.Series | None:
    if value.null_count() == text.null_count():
        return None
    frame = pl.DataFrame({"text": text, "value": value})
    broken = pl.col("text").is_not_null() & pl.col("value").is_null()
    return frame.select(pl.when(broken).then(pl.lit(rule))).to_series()


def _code(
    text: pl.Series, known: Mapping[str, str], local: Mapping[str, str]
) -> tuple[pl.Series, pl.Series | None]:
    codes = {canonical.lower(): canonical for canonical in known.values()}
    for own in (known, local):
        codes |= {source.strip().lower(): canonical for source, canonical in own.items()}
    value = text.str.to_lowercase().replace_strict(codes, default=None, return_dtype=pl.String)
    return value, _broken(text, value, "WB-R-020")


def _first_reading(
    text: pl.Series, forms: Sequence[str], read: Callable[[pl.Series, str], pl.Series]
) -> tuple[pl.Series, pl.Series]:
    """Read with the first form; what it leaves unread with the next ones. Most files use one form throughout."""
    value = read(text, forms[0])
    for form in forms[1:]:
        if value.null_count() == text.null_count():
            break
        value = value.zip_with(value.is_not_null(), read(text, form))
    return text, value


def _date(text: pl.Series, form: str) -> pl.Series:
    if form != EPOCH_MS:
        return text.str.to_date(form, strict=False)
    digits = pl.when(pl.col("text").str.contains(r"^\d{11,13}$")).then(
        pl.col("text").cast(pl.Int64, strict=False)
    )
    return text.to_frame("text").select(pl.from_epoch(digits, time_unit="ms").dt.date()).to_series()


def _instant(text: pl.Series, form: str) -> pl.Series:
    """Read an instant; one without an offset is not an instant, so it is refused (FHIR R4 dateTime)."""
    return text.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)


def _plausible(text: pl.Series, value: pl.Series) -> tuple[pl.Series, pl.Series | None]:
    unread = _broken(text, value, "WB-R-011")
    day = value.dt.date()
    if unread is None and day.is_between(FIRST_DATE, LAST_DATE).all():
        return value, None
    rules = unread if unread is not None else pl.Series([None], dtype=pl.String).new_from_index(0, value.len())
    inside = pl.col("day").is_between(FIRST_DATE, LAST_DATE)
    judged = pl.DataFrame({"value": value, "day": day, "unread": rules}).select(
        pl.when(inside).then("value").alias("value"),
        pl.coalesce("unread", pl.when(~inside).then(pl.lit("WB-R-014"))).alias("rule"),
    )
    return judged["value"], judged["rule"]
