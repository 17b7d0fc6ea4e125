"""Two files about the same children, to measure linking with: a roster, and what a clinic wrote down.

Who is who is known (``pid``), so that every link can be scored. Siblings, twins, movers, double surnames, namesakes
and the mistakes of people are as frequent as they are in districts, as far as the literature tells (docs/synth.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from wellbridge.pipelines.synth.families import families
from wellbridge.pipelines.synth.mistakes import (
    Rows,
    blank,
    broken_accents,
    chance,
    misdate,
    mistype,
    where,
    without_accents,
)
from wellbridge.pipelines.synth.nicknames import NICKNAMES

COVERAGE: Final = 0.66  # of all children, in each file
GROUPS: Final = ("twin", "mover", "double_surname", "language", "school", "homeless", "foster")
COLUMNS: Final = ("unique_id", "pid", "hid", "first_name", "surname", "dob", "sex", "zip", "address", "phone")
_PLACEHOLDERS: Final = ("1900-01-01", "1901-01-01", "2000-01-01")


@dataclass(frozen=True)
class Habits:
    """How a source writes children down: shares of records."""

    mark: str
    nickname: float
    first_part: float  # of given names of two parts, how many are cut to the first
    unaccented: float
    broken: float
    capitals: float
    abbreviated: float  # of street kinds and units that are written another way
    formatted: float  # of telephone numbers


ROSTER: Final = Habits("a", 0.006, 0.05, 0.2, 0.005, 0.0, 0.1, 1.0)
CLINIC: Final = Habits("b", 0.025, 0.3, 0.5, 0.03, 0.25, 0.4, 0.3)


def write_pairs(directory: Path, *, children: int, seed: int, one_name_column: bool = False) -> None:
    """Write ``left.parquet`` (a roster) and ``right.parquet`` (a clinic's file) of ``children`` rows each.

    Both are random 66 % of the same children, so about 66 % of each file's are in the other. Same arguments, same
    rows. Columns: ``unique_id`` (unique over both files), ``pid`` (truth: who it is), ``hid`` (truth: household),
    ``first_name``, ``surname``, ``dob`` (ISO text), ``sex``, ``zip``, ``address``, ``phone``, and the groups by which
    recall is compared: ``twin``, ``mover``, ``double_surname``, ``language``, ``school``, ``homeless``, ``foster``.

    Args:
        directory: where to; made if need be.
        children: rows of each file.
        seed: what all randomness comes from.
        one_name_column: the clinic writes ``full_name`` ("Surname, First") in place of two columns.
    """
    directory.mkdir(parents=True, exist_ok=True)
    left, right = make_pairs(children=children, seed=seed)
    if one_name_column:
        right = right.with_columns(pl.format("{}, {}", "surname", "first_name").alias("full_name"))
        right = right.drop("first_name", "surname")
    left.write_parquet(directory / "left.parquet")
    right.write_parquet(directory / "right.parquet")


def make_pairs(*, children: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the two files of ``write_pairs`` as frames."""
    rng = np.random.default_rng([seed & 0xFFFFFFFF, children])
    everyone = families(rng, round(children / COVERAGE))
    homes = int(everyone["hid"][-1]) + 1
    # A home that moved is known elsewhere by one source or the other; now and then a child's record is newer.
    moved = [
        chance(rng, homes, 0.18)[everyone["hid"].to_numpy()] & chance(rng, everyone.height, 0.95)
        for _ in range(2)
    ]
    everyone = everyone.with_columns(
        pl.Series("mover", moved[0] != moved[1]), pl.col("surname_2").is_not_null().alias("double_surname")
    )
    files = []
    for habits, away in zip((ROSTER, CLINIC), moved, strict=True):
        at = rng.permutation(everyone.height)[:children]
        files.append(_written(rng, everyone[at], away[at], habits))
    left, right = files
    return _with_tests(rng, left, right), _with_tests(rng, right, left)


def _written(rng: np.random.Generator, truth: pl.DataFrame, away: Rows, habits: Habits) -> pl.DataFrame:
    """Write a source's records of these children, with all that goes wrong in it."""
    size = truth.height
    first, surname = _first_name(rng, truth, habits), _surname(rng, truth)
    swapped = chance(rng, size, 0.002)
    first, surname = where(swapped, surname, first), where(swapped, first, surname)
    mistyped = [mistype(rng, name, chance(rng, size, 0.03)) for name in (first, surname)]
    address = _address(rng, where(away, truth["street_2"], truth["street_1"]), habits)
    capital = chance(rng, size, habits.capitals)
    texts = [where(capital, text.str.to_uppercase(), text) for text in (*mistyped, address)]
    names = [_accents(rng, text, habits) for text in texts[:2]]
    zip_code = where(away, truth["zip_2"], truth["zip_1"])
    return truth.select(
        pl.Series("unique_id", [habits.mark]).new_from_index(0, size) + pl.int_range(size).cast(pl.String),
        "pid",
        "hid",
        names[0].alias("first_name"),
        names[1].alias("surname"),
        _birth(rng, truth["birth_date"]).alias("dob"),
        _sex(rng, truth["sex"]).alias("sex"),
        blank(zip_code, chance(rng, size, 0.03)).alias("zip"),
        blank(texts[2], chance(rng, size, 0.095)).alias("address"),
        _phone(rng, truth, away, habits).alias("phone"),
        *GROUPS,
    )


def _first_name(rng: np.random.Generator, truth: pl.DataFrame, habits: Habits) -> pl.Series:
    first = truth["first_name"]
    size = len(first)
    first = where(chance(rng, size, habits.first_part), first.str.split(" ").list.first(), first)
    bare = first.str.normalize("NFKD").str.replace_all(r"\p{M}", "")
    short = bare.replace_strict(NICKNAMES, default=None)
    # A share of all records: those whose name has a nickname use it accordingly more often.
    known = short.is_not_null().to_numpy()
    share = min(1.0, habits.nickname / max(float(known.mean()), 1e-9))
    return where(known & chance(rng, size, share), short, first)


def _surname(rng: np.random.Generator, truth: pl.DataFrame) -> pl.Series:
    """A double surname whole, or one part, or turned round; now and then the name of a parent newly married."""
    size = truth.height
    one, two = truth["surname_1"], truth["surname_2"]
    joiner = where(chance(rng, size, 0.2), pl.Series([" "]).new_from_index(0, size), truth["joiner"])
    way = rng.random(size)
    whole = (one + joiner + two).fill_null(one)
    turned = (two + joiner + one).fill_null(one)
    surname = where(way < 0.27, turned, whole)
    surname = where(way < 0.23, two.fill_null(one), surname)
    surname = where(way < 0.16, one, surname)
    return where(chance(rng, size, 0.03), truth["surname_3"], surname)


def _accents(rng: np.random.Generator, name: pl.Series, habits: Habits) -> pl.Series:
    size = len(name)
    name = without_accents(name, chance(rng, size, habits.unaccented))
    return broken_accents(name, chance(rng, size, habits.broken))


def _birth(rng: np.random.Generator, dates: pl.Series) -> pl.Series:
    size = len(dates)
    written = misdate(rng, dates, chance(rng, size, 0.011)).dt.to_string("%Y-%m-%d")
    stand_in = pl.Series(_PLACEHOLDERS).gather(rng.integers(0, len(_PLACEHOLDERS), size))
    written = where(chance(rng, size, 0.001), stand_in, written)
    return blank(written, chance(rng, size, 0.003))


def _sex(rng: np.random.Generator, sex: pl.Series) -> pl.Series:
    other = sex.replace({"F": "M", "M": "F"})
    return blank(where(chance(rng, len(sex), 0.002), other, sex), chance(rng, len(sex), 0.018))


def _address(rng: np.random.Generator, address: pl.Series, habits: Habits) -> pl.Series:
    size = len(address)
    long = {
        " St": " Street",
        " Ave": " Avenue",
        " Rd": " Road",
        " Ln": " Lane",
        " Dr": " Drive",
        " Ct": " Court",
    }
    other = address
    for short, word in long.items():
        other = other.str.replace(f"{short}( |$)", f"{word}$1")
    unit = pl.Series([" #", " Unit ", ", Apt. ", " "]).gather(rng.integers(0, 4, size))
    parts = pl.DataFrame({"line": other, "unit": unit}).with_columns(pl.col("line").str.split(" Apt "))
    other = parts.select(pl.col("line").list.join(pl.col("unit"))).to_series()
    address = where(chance(rng, size, habits.abbreviated), other, address)
    return mistype(rng, address, chance(rng, size, 0.055))


def _phone(rng: np.random.Generator, truth: pl.DataFrame, away: Rows, habits: Habits) -> pl.Series:
    """The number of one parent or the other, an old one where the home moved and the number with it."""
    size = truth.height
    homes = int(truth["hid"].max()) + 1  # type: ignore[arg-type]
    parent = chance(rng, homes, 0.24)[truth["hid"].to_numpy()] ^ chance(rng, size, 0.07)
    changed = away & chance(rng, size, 0.5)
    before = where(parent, truth["phone_2"], truth["phone_1"])
    after = where(parent, truth["phone_4"], truth["phone_3"])
    phone = where(changed, after, before)
    wrong = pl.Series(rng.integers(0, 10, size)).cast(pl.String)
    phone = where(chance(rng, size, 0.02), phone.str.slice(0, 9) + wrong, phone)
    marked = phone.str.replace(r"^(\d{3})(\d{3})(\d{4})$", "$1-$2-$3")
    return blank(where(chance(rng, size, habits.formatted), marked, phone), chance(rng, size, 0.2))


def _with_tests(rng: np.random.Generator, own: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Turn one record in 5,000, of children whom only this file knows, into what a vendor left in the system."""
    alone = np.flatnonzero(~own["pid"].is_in(other["pid"].implode()).to_numpy())
    at = rng.permutation(alone)[: own.height // 5_000]
    left_over = {
        "first_name": "TEST",
        "surname": "STUDENT",
        "dob": "1900-01-01",
        "address": None,
        "phone": "9999999999",
    }
    chosen = np.isin(np.arange(own.height), at)
    return own.with_columns(
        where(chosen, pl.Series([text], dtype=pl.String).new_from_index(0, own.height), own[name])
        for name, text in left_over.items()
    )
