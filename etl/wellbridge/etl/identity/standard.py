"""Records as they are compared: one form of every name, date, address and number, by versioned rules."""

from __future__ import annotations

from typing import Final

import polars as pl

STANDARD_VERSION: Final = (
    "1"  # goes up when a rule changes, because keyed tokens and stored scores then change too
)

# What ``standardise`` takes; all text (birth_date may be a Date), all but record_id and source may be absent.
RECORD: Final = ("record_id", "source", "first_name", "middle_name", "last_name", "full_name", "birth_date", "sex",
                 "zip_code", "phone", "address", "student_number")  # fmt: skip

# What it gives; other columns travel untouched behind these. Names are lower case ASCII letters and spaces.
STANDARD: Final = pl.Schema(
    {
        "record_id": pl.String,
        "source": pl.String,
        "first_name": pl.String,  # every given part, "maria jose"
        "first_names": pl.List(pl.String),  # its parts in order
        "middle_name": pl.String,
        "last_name": pl.String,  # every part without particles and suffix, "garcia lopez"
        "last_names": pl.List(pl.String),  # its parts, sorted, so that their order does not matter
        "suffix": pl.String,  # "jr", "ii", "iii"…
        "nickname_root": pl.String,  # one name for a name and its nicknames; the first part itself where none is known
        "birth_date": pl.Date,  # null where implausible
        "sex": pl.String,  # "f" | "m"; null = anything else
        "zip_code": pl.String,  # five digits
        "phone": pl.String,  # ten digits
        "address_key": pl.String,  # "1813 schultz st #4"
        "student_number": pl.String,
        "flags": pl.List(pl.String),  # which rules changed or dropped something: keys of FLAGS, sorted
        "is_enough": pl.Boolean,  # first name, last name, birth date and one of zip, phone, address
    }
)
