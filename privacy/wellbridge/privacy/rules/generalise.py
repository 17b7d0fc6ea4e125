"""The generalisations that rules ask for, as expressions on a column; limits are those of the decision."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Final

import polars as pl

from wellbridge.privacy.rules.strictness import Treatment, Value
from wellbridge.schemas.errors import ConfigurationError

SMALL_AREA: Final = "000"
ZIP_DIGITS: Final = 3
TOP_AGE: Final = 89  # 45 CFR 164.514(b)(2)(i)(C)
FIRST_MONTH: Final = 7  # a school year runs from July to June

# What a generalised column is called where its meaning changes; elsewhere it keeps its name.
NAMES: Final[Mapping[Treatment, str]] = {
    Treatment.BIRTH_YEAR: "birth_year", Treatment.ZIP3: "zip3", Treatment.SCHOOL_YEAR: "school_year",
}


def generalised(name: str, how: Treatment, limits: Mapping[str, Value]) -> pl.Expr:
    """Return a column generalised, under the name that it then has.

    Raises:
        ConfigurationError: WB-E-070 when the treatment is no generalisation of a column.
    """
    column = pl.col(name)
    if how is Treatment.ZIP3:
        digits = limits.get("digits", ZIP_DIGITS)
        assert isinstance(digits, int)
        changed = zip3(column, shown_areas(limits), digits)
    elif how in {Treatment.BIRTH_YEAR, Treatment.YEAR}:
        changed = year(column, limits.get("top_age", TOP_AGE))
    elif how is Treatment.SCHOOL_YEAR:
        changed = (column.dt.year() + (column.dt.month() >= FIRST_MONTH).cast(pl.Int32)).cast(pl.Int64)
    elif how is Treatment.AGE_TOP:
        changed = top_coded(column, limits["top_age"])
    else:
        raise ConfigurationError("WB-E-070", "A rule generalises a column in a way that there is not.", name)
    return changed.alias(NAMES.get(how, name))


def shown_areas(limits: Mapping[str, Value]) -> frozenset[str]:
    """Return the ZIP3 areas that may be shown: known and not small; none where nothing says which are known."""
    known, small = (limits.get(name, frozenset()) for name in ("known_areas", "small_areas"))
    assert isinstance(known, frozenset)
    assert isinstance(small, frozenset)
    return known - small


def zip3(zip_code: pl.Expr, areas: Collection[str], digits: int = ZIP_DIGITS) -> pl.Expr:
    """Return the first digits of a ZIP code, ``000`` for an area that may not be shown and for what is no ZIP code.

    Source: 45 CFR 164.514(b)(2)(i)(B). Four-digit codes lost a leading zero and get it back before the cut.
    """
    bare = zip_code.str.strip_chars().str.replace(r"-\d{4}$", "")
    area = pl.when(bare.str.contains(r"^[0-9]{4,5}$")).then(bare.str.zfill(5).str.slice(0, ZIP_DIGITS))
    is_shown = area.is_in(sorted(areas)).fill_null(value=False)
    shown = area.str.slice(0, digits) if digits else pl.lit(SMALL_AREA)
    return pl.when(zip_code.is_null()).then(None).when(is_shown).then(shown).otherwise(pl.lit(SMALL_AREA))


def year(day: pl.Expr, top_age: Value = TOP_AGE) -> pl.Expr:
    """Return a day's year; of days so long ago that whoever they are about is over ``top_age``, one year for all.

    Who turns 90 this year was born 90 years ago: that year stands for it and every earlier one.
    Source: 45 CFR 164.514(b)(2)(i)(C), "all elements of dates (including year) indicative of such age".
    """
    assert isinstance(top_age, int)
    return day.dt.year().cast(pl.Int64).clip(lower_bound=datetime.now(UTC).year - top_age - 1)


def top_coded(age: pl.Expr, top_age: Value) -> pl.Expr:
    """Return an age in years as text, every one above ``top_age`` as one group.

    Source: 45 CFR 164.514(b)(2)(i)(C), ages over 89.
    """
    assert isinstance(top_age, int)
    group = pl.lit(f"{top_age + 1} or older")
    return pl.when(age.is_null()).then(None).when(age > top_age).then(group).otherwise(age.cast(pl.String))
