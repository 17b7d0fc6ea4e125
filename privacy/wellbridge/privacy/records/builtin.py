"""Hierarchies that need no file: dates, ages, ZIP codes, race and ethnicity, rare codes.

Each has a rule for a level; what a rule does not understand is refused, not guessed. Where the law names the finest
form that may be shown, the hierarchy starts there (``Hierarchy.least``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Final

import polars as pl

from wellbridge.privacy.records.hierarchy import ANYTHING, NOT_REPORTED, Hierarchy
from wellbridge.schemas.codes import EDFI_RACES, RACE_ETHNICITY
from wellbridge.schemas.errors import ConfigurationError

# 45 CFR 164.514(b)(2)(i)(C): all ages over 89 are one category.
TOP_AGE: Final = 90
OTHER: Final = "other"
_UNITED: Final = "two or more races or small group"
# Categories that are large in most districts, and so stand alone one level further.
_LARGE: Final = ("white", "hispanic", "black")


def dates(*, finest: str = "month") -> Hierarchy:
    """Dates (``YYYY-MM-DD``) → month → quarter → school year, July to June → one label.

    Args:
        finest: ``day``, ``month``, ``quarter`` or ``school_year``: the finest that may be shown.

    Raises:
        ConfigurationError: WB-E-047 for another word.
    """
    steps = {"day": 0, "month": 1, "quarter": 2, "school_year": 3}
    return Hierarchy((_month, _quarter, _school_year, ANYTHING), least=_least(steps, finest), name="built-in dates")


def years(*, finest: str = "year", width: int = 5) -> Hierarchy:
    """Dates or years → year → bands of years → one label; dates finer than a year are never shown.

    Years in which whoever is 90 or older was born are one label on every level.
    Source: 45 CFR 164.514(b)(2)(i)(C): of dates only the year stays, and none that shows an age over 89.
    """
    last = datetime.now(UTC).year - TOP_AGE
    return Hierarchy(
        (_year(last), _band(width, f"{last} or earlier"), ANYTHING),
        least=_least({"year": 1, "band": 2}, finest), name="built-in years"
    )


def ages(*, widths: Sequence[int] = (5, 10, 30), top: int = TOP_AGE, finest: str = "year") -> Hierarchy:
    """Ages in years → top-coded → wider and wider bands → one label.

    Args:
        widths: of the bands, each a multiple of the one before.
        top: ages from here on are one label on every level.
        finest: ``year`` or ``band``.

    Raises:
        ConfigurationError: WB-E-047 when a width is no multiple of the one before.
    """
    for fine, coarse in pairwise(widths):
        if coarse % fine:
            raise ConfigurationError("WB-E-047", "A width of age bands is no multiple of the one before.", "ages")
    if any(top % width for width in widths):
        raise ConfigurationError("WB-E-047", "The top age is no multiple of every width of age bands.", "ages")
    bands = [_band(width, f"{top}+") for width in widths]
    return Hierarchy(
        (_top_coded(top), *bands, ANYTHING), least=_least({"year": 1, "band": 2}, finest), name="built-in ages"
    )


def birth_dates(as_of: date, *, widths: Sequence[int] = (5, 10, 30), top: int = TOP_AGE) -> Hierarchy:
    """Birth dates → age on a day, top-coded → wider and wider bands → one label; the date is never shown."""
    inner = ages(widths=widths, top=top)
    return Hierarchy((_age_on(as_of, top), *inner.levels[1:]), least=1, name="built-in birth_dates")


def zips() -> Hierarchy:
    """US ZIP codes → three digits where more than 20,000 are known to live, else ``000`` → first digit → one label.

    Source: 45 CFR 164.514(b)(2)(i)(B), the rule book's W-03; what is no ZIP code becomes ``000`` too.
    """
    # The rule book brings the contracts along, which files of another kind can do without.
    from wellbridge.privacy.rules.book import builtin  # noqa: PLC0415
    from wellbridge.privacy.rules.generalise import shown_areas, zip3  # noqa: PLC0415

    areas = shown_areas(builtin().rules["W-03"].limits)
    return Hierarchy((_rule(lambda label: zip3(label, areas)), _first_digit, ANYTHING), least=1,
                     name="built-in zips")


def races() -> Hierarchy:
    """Race and ethnicity → the seven federal categories → the small ones together → one label.

    Values are categories or Ed-Fi's names of them; an answer that names no category is "not reported".
    Source: 72 FR 59266 (2007), categories for reporting to the Department of Education.
    """
    named = {name: category or NOT_REPORTED for name, category in EDFI_RACES.items()}
    federal = {**named, **{category: category for category in RACE_ETHNICITY}}
    united = {category: category if category in _LARGE else _UNITED for category in RACE_ETHNICITY}
    values = frozenset({*federal, NOT_REPORTED})
    return Hierarchy((federal, united, ANYTHING), values=values, least=1, name="built-in races")


def rare(column: pl.Series, *, least_persons: int) -> Hierarchy:
    """Codes that few rows have → ``other`` → one label; rare ones are never shown as they are.

    Args:
        column: the file's column; what is rare is counted here, so that the hierarchy belongs to this file alone.
        least_persons: codes with fewer rows are rare.
    """
    counted = column.cast(pl.String).alias("code").drop_nulls().value_counts(name="n")
    few = counted.filter(pl.col("n") < least_persons)["code"].to_list()
    return Hierarchy((dict.fromkeys(few, OTHER), ANYTHING), least=1, name="built-in rare")


def _least(steps: Mapping[str, int], word: str) -> int:
    if word not in steps:
        raise ConfigurationError("WB-E-047", f"The finest level must be one of {', '.join(steps)}.", "finest")
    return steps[word]


def _rule(of: Callable[[pl.Expr], pl.Expr]) -> Callable[[pl.Series], pl.Series]:
    """Return a rule that leaves "not reported" alone."""

    def apply(labels: pl.Series) -> pl.Series:
        label = pl.col("label")
        stays = pl.when(label == NOT_REPORTED).then(label).otherwise(of(label))
        return labels.alias("label").to_frame().select(stays.alias("label"))["label"]

    return apply


def _is_date(label: pl.Expr) -> pl.Expr:
    return label.str.to_date("%Y-%m-%d", strict=False).is_not_null()


_month = _rule(lambda label: pl.when(_is_date(label)).then(label.str.slice(0, 7)))
_quarter = _rule(
    lambda label: label.str.slice(0, 5) + "Q"
    + ((label.str.slice(5, 2).cast(pl.Int64, strict=False) + 2) // 3).cast(pl.String)
)


def _named_year(label: pl.Expr) -> pl.Expr:
    year, quarter = (label.str.slice(*at).cast(pl.Int64, strict=False) for at in ((0, 4), (6, 1)))
    first = year - (quarter <= 2).cast(pl.Int64)
    return first.cast(pl.String) + "-" + ((first + 1) % 100).cast(pl.String).str.zfill(2)


_school_year = _rule(_named_year)


def _year(last: int) -> Callable[[pl.Series], pl.Series]:
    def of(label: pl.Expr) -> pl.Expr:
        year = pl.when(_is_date(label) | label.str.contains(r"^(1[89]|20)\d\d$")).then(label.str.slice(0, 4))
        is_old = year.cast(pl.Int64, strict=False) <= last
        return pl.when(is_old).then(pl.lit(f"{last} or earlier")).otherwise(year)

    return _rule(of)


_first_digit = _rule(lambda label: pl.when(label == "000").then(label).otherwise(label.str.slice(0, 1) + "**"))


def _whole(label: pl.Expr) -> pl.Expr:
    return pl.when(label.str.contains(r"^\d{1,3}(\.0+)?$")).then(label.str.extract(r"^(\d+)", 1).cast(pl.Int64))


def _top_coded(top: int) -> Callable[[pl.Series], pl.Series]:
    def of(label: pl.Expr) -> pl.Expr:
        age = _whole(label)
        return pl.when(age >= top).then(pl.lit(f"{top}+")).otherwise(age.cast(pl.String))

    return _rule(of)


def _band(width: int, stays: str | None) -> Callable[[pl.Series], pl.Series]:
    def of(label: pl.Expr) -> pl.Expr:
        number = label.str.extract(r"^(\d+)", 1).cast(pl.Int64)
        low = number // width * width
        band = low.cast(pl.String) + "-" + (low + width - 1).cast(pl.String)
        return band if stays is None else pl.when(label == stays).then(label).otherwise(band)

    return _rule(of)


def _age_on(as_of: date, top: int) -> Callable[[pl.Series], pl.Series]:
    def of(label: pl.Expr) -> pl.Expr:
        born = label.str.to_date("%Y-%m-%d", strict=False)
        had = (born.dt.month() < as_of.month) | ((born.dt.month() == as_of.month) & (born.dt.day() <= as_of.day))
        age = as_of.year - born.dt.year() - (~had).cast(pl.Int32)
        told = pl.when(age >= top).then(pl.lit(f"{top}+")).otherwise(age.cast(pl.String))
        return pl.when(born.is_not_null() & (age >= 0)).then(told)

    return _rule(of)


BUILT_IN: Final[Mapping[str, Callable[..., Hierarchy]]] = {
    "dates": dates, "years": years, "ages": ages, "birth_dates": birth_dates, "zips": zips, "races": races,
}
