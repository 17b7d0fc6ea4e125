"""Records as they are compared: one form of every name, date, address and number, by versioned rules.

Needs polars alone, so that a partner's encoder shares it.
Source: reference/linkage.md 4.1 (1); street words after USPS Publication 28, appendices B and C.
"""

from __future__ import annotations

from datetime import date
from typing import Final

import polars as pl

from wellbridge.etl.identity import names
from wellbridge.etl.identity.places import address_key, phone, zip_code

STANDARD_VERSION: Final = (
    "1"  # goes up when a rule changes, because keyed tokens and stored scores then change too
)

# What ``standardise`` takes; all text (birth_date may be a Date or a Datetime), all but record_id and source may be
# absent.
RECORD: Final = ("record_id", "source", "first_name", "middle_name", "last_name", "full_name", "birth_date", "sex",
                 "zip_code", "phone", "address", "student_number")  # fmt: skip

# What it gives; other columns travel untouched behind these. Names are lower case letters without accents.
STANDARD: Final = pl.Schema(
    [
        ("record_id", pl.String),
        ("source", pl.String),
        ("first_name", pl.String),  # every given part, "maria jose"
        ("first_names", pl.List(pl.String)),  # its parts in order
        ("middle_name", pl.String),
        ("last_name", pl.String),  # every part without particles and suffix, in order, "garcia lopez"
        ("last_names", pl.List(pl.String)),  # its parts, sorted, so that their order does not matter
        ("last_compact", pl.String),  # its letters with particles, so that "de la cruz" is "delacruz"
        ("suffix", pl.String),  # "jr", "sr", "ii", "iii", "iv"
        (
            "nickname_root",
            pl.String,
        ),  # the likeliest full name of the first given part; that part where none is known
        ("nickname_roots", pl.List(pl.String)),  # all of them: two names may be one where these overlap
        ("birth_date", pl.Date),  # null where implausible
        ("sex", pl.String),  # "f" | "m"; null = anything else
        ("zip_code", pl.String),  # five digits; letters and digits of a foreign code
        ("phone", pl.String),  # the last ten digits
        ("address_key", pl.String),  # "1813 schultz st # 4"
        ("student_number", pl.String),
        ("flags", pl.String),  # keys of FLAGS in this order, divided by spaces; "" = none
    ]
)

FLAGS: Final[dict[str, str]] = {
    "name_in_one_column": "the name stood in one column and was divided by a rule",
    "placeholder_name": "a name was no name, so it is not used",
    "no_birth_date": "there is no birth date",
    "implausible_birth_date": "the birth date is none that a child can have, so it is not used",
    "no_place": "ZIP code, phone and address are all missing",
}

# Dates that systems write where nobody knew one.
_NO_DATES: Final = tuple(
    date(*ymd)
    for ymd in (
        (1899, 12, 30),
        (1899, 12, 31),
        (1900, 1, 1),
        (1901, 1, 1),
        (1970, 1, 1),
        (2000, 1, 1),
        (9999, 12, 31),
    )
)
_FORMATS: Final = ("%Y-%m-%d", "%Y%m%d", "%m/%d/%Y")
# A date as systems write it that know only instants: what follows the day is no part of a birth date.
_INSTANT: Final = (
    r"^(\d{4}-\d{2}-\d{2}|\d{1,2}/\d{1,2}/\d{4})[T ]\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?"
    r"( ?[AaPp][Mm])?( ?(Z|[+-]\d{2}:?\d{2}|[A-Z]{2,5}))?$"
)
_SEXES: Final = {"f": "f", "female": "f", "girl": "f", "m": "m", "male": "m", "boy": "m"}


def standardise(
    records: pl.DataFrame, *, earliest: date = date(1990, 1, 1), latest: date = date(2079, 12, 31)
) -> pl.DataFrame:
    """Bring records into the form in which they are compared.

    Args:
        records: columns of ``RECORD``, in any order; others travel untouched.
        earliest: birth dates before this one are not used: a school's records are of children.
        latest: birth dates after this one are not used; give the day of the delivery where it is known.

    Returns:
        ``STANDARD`` and the other columns, the same rows in the same order. Swapped first and last names stay as
        they are: which of two is the surname is not guessed, the comparison looks at both orders.
    """
    frame = records.with_columns(
        *(pl.lit(None, pl.String).alias(name) for name in RECORD if name not in records.columns)
    )
    named, in_one = _names(frame)
    born, implausible = _birth_dates(frame["birth_date"], earliest, latest)
    place = {
        "zip_code": names.per_value(frame["zip_code"], zip_code),
        "phone": phone(frame["phone"]),
        "address_key": address_key(frame["address"]),
    }
    sex = names.per_value(
        frame["sex"], lambda s: s.str.strip_chars().str.to_lowercase().replace_strict(_SEXES, default=None)
    )
    has_name = frame.select(
        pl.any_horizontal(pl.col("first_name", "last_name", "full_name").is_not_null())
    ).to_series()
    flags = {
        "name_in_one_column": in_one,
        "placeholder_name": has_name & (named["first_name"].is_null() | named["last_name"].is_null()),
        "no_birth_date": frame["birth_date"].is_null(),
        "implausible_birth_date": implausible,
        "no_place": place["zip_code"].is_null() & place["phone"].is_null() & place["address_key"].is_null(),
    }
    text = pl.select(
        pl.concat_str(
            [pl.when(flag).then(pl.lit(name)) for name, flag in flags.items()],
            separator=" ",
            ignore_nulls=True,
        ).alias("flags")
    ).to_series()
    number = (
        names.fold(frame["student_number"])
        if "student_number" in records.columns
        else frame["student_number"]
    )
    made = pl.DataFrame(
        {
            "record_id": frame["record_id"],
            "source": frame["source"],
            **named,
            "birth_date": born,
            "sex": sex,
            **place,
            "student_number": number,
            "flags": text,
        }
    )
    others = records.select(pl.exclude(*RECORD, *STANDARD))
    return made.select(list(STANDARD)).hstack(others)


def _names(frame: pl.DataFrame) -> tuple[dict[str, pl.Series], pl.Series]:
    """Return the columns of names, and which records had their name in one column."""
    first, last, in_one = _divided(frame)
    first, last = names.without_placeholders(first, last)
    first, first_suffix = names.split_suffix(first)
    last, last_suffix = names.split_suffix(last)
    bare = names.without_particles(last)
    first_parts = names.parts(first, in_order=True)
    roots = names.nickname_roots(first_parts.list.first())
    middle = frame["middle_name"]
    return {
        "first_name": first,
        "first_names": first_parts,
        "middle_name": names.per_value(middle, names.fold),
        "last_name": bare,
        "last_names": names.parts(bare, in_order=False),
        "last_compact": names.per_value(last, lambda distinct: distinct.str.replace_all(" ", "")),
        "suffix": last_suffix.zip_with(last_suffix.is_not_null(), first_suffix),
        "nickname_root": roots.list.first(),
        "nickname_roots": roots,
    }, in_one


def _divided(frame: pl.DataFrame) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Return folded first and last names; a name in one column is divided where the other column is empty."""
    first, last = (names.per_value(frame[name], names.fold) for name in ("first_name", "last_name"))
    first_alone = last.is_null() & first.str.contains(" ").fill_null(False)
    last_alone = first.is_null() & last.str.contains(" ").fill_null(False)
    full = frame["full_name"].is_not_null() & first.is_null() & last.is_null()
    in_one = first_alone | last_alone | full
    if not in_one.any():
        return first, last, in_one
    whole = frame.select(
        pl.when(full).then("full_name").when(first_alone).then("first_name").otherwise("last_name")
    ).to_series()
    given, family = names.split_full_name(whole.filter(in_one))
    places = in_one.arg_true()
    return first.scatter(places, given), last.scatter(places, family), in_one


def _birth_dates(given: pl.Series, earliest: date, latest: date) -> tuple[pl.Series, pl.Series]:
    """Return birth dates, null where implausible, and which were."""

    def rule(distinct: pl.Series) -> pl.Series:
        text = pl.col("birth_date").str.strip_chars().str.replace(_INSTANT, "$1")
        read = pl.coalesce(*(text.str.to_date(form, strict=False) for form in _FORMATS))
        born = distinct.to_frame("birth_date").select(
            pl.col("birth_date") if distinct.dtype == pl.Date else read
        )
        fits = pl.col("birth_date").is_between(earliest, latest) & ~pl.col("birth_date").is_in(_NO_DATES)
        return born.select(pl.when(fits).then("birth_date")).to_series()

    if isinstance(given.dtype, pl.Datetime):
        given = given.dt.date()  # the day where it was written, whatever its zone
    if given.dtype not in (pl.Date, pl.String):
        given = given.cast(pl.String)
    born = names.per_value(given, rule)
    return born, given.is_not_null() & born.is_null()
