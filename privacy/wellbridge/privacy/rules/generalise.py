"""The generalisations that rules ask for, as expressions on a column; limits are those of the decision."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import polars as pl

from wellbridge.privacy.rules.strictness import Treatment, Value
from wellbridge.schemas.errors import ConfigurationError

SMALL_AREA: Final = "000"
ZIP_DIGITS: Final = 3
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
        areas, digits = limits.get("small_areas", frozenset()), limits.get("digits", ZIP_DIGITS)
        assert isinstance(areas, frozenset)
        assert isinstance(digits, int)
        changed = zip3(column, areas, digits)
    elif how in {Treatment.BIRTH_YEAR, Treatment.YEAR}:
        changed = column.dt.year().cast(pl.Int64)
    elif how is Treatment.SCHOOL_YEAR:
        changed = (column.dt.year() + (column.dt.month() >= FIRST_MONTH).cast(pl.Int32)).cast(pl.Int64)
    elif how is Treatment.AGE_TOP:
        changed = top_coded(column, limits["top_age"])
    else:
        raise ConfigurationError("WB-E-070", "A rule generalises a column in a way that there is not.", name)
    return changed.alias(NAMES.get(how, name))


def zip3(zip_code: pl.Expr, small_areas: Collection[str], digits: int = ZIP_DIGITS) -> pl.Expr:
    """Return the first digits of a ZIP code, ``000`` for small areas and for anything that is no US ZIP code.

    Source: 45 CFR 164.514(b)(2)(i)(B). Four-digit codes lost a leading zero and get it back before the cut.
    """
    bare = zip_code.str.strip_chars().str.replace(r"-\d{4}$", "")
    area = pl.when(bare.str.contains(r"^\d{4,5}$")).then(bare.str.zfill(5).str.slice(0, ZIP_DIGITS))
    unsafe = area.is_null() | area.is_in(sorted(small_areas))
    shown = area.str.slice(0, digits) if digits else pl.lit(SMALL_AREA)
    return pl.when(zip_code.is_null()).then(None).when(unsafe).then(pl.lit(SMALL_AREA)).otherwise(shown)


def top_coded(age: pl.Expr, top_age: Value) -> pl.Expr:
    """Return an age in years as text, every one above ``top_age`` as one group.

    Source: 45 CFR 164.514(b)(2)(i)(C), ages over 89.
    """
    assert isinstance(top_age, int)
    group = pl.lit(f"{top_age + 1} or older")
    return pl.when(age.is_null()).then(None).when(age > top_age).then(group).otherwise(age.cast(pl.String))
