"""The children of a made-up district and their homes: what is true, before anybody writes it down."""

from __future__ import annotations

from datetime import date
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wellbridge.pipelines.synth import pools
from wellbridge.pipelines.synth.mistakes import chance, where
from wellbridge.pipelines.synth.names import STREETS

_SIZES: Final = (0.45, 0.36, 0.14, 0.04, 0.01)  # households of 1 to 5 children
_FIRST_BIRTH, _LAST_BIRTH = date(2007, 1, 1), date(2021, 12, 31)
_SPAN: Final = (_LAST_BIRTH - _FIRST_BIRTH).days
_DOUBLE: Final = {"en": 0.06, "es": 0.34, "vi": 0.02, "ar": 0.08, "zh": 0.02, "so": 0.02}
_ZIPS: Final = 60
# Area codes with a 9 in the middle are kept for the day when ten digits do not suffice, so no telephone has one.
_AREA_CODES: Final = ("392", "395")
_KINDS: Final = ("St", "Ave", "Rd", "Ln", "Dr", "Ct", "Blvd", "Way")
_SCHOOL_YEAR: Final = date(2026, 9, 1)
Numbers = NDArray[np.int64]


def families(rng: np.random.Generator, size: int) -> pl.DataFrame:
    """Return ``size`` children, one a row: ``pid``, ``hid`` (household), their names, birth, home and group flags.

    Columns beside those of the files: ``surname_1``, ``surname_2`` (the second of a double surname, else null),
    ``surname_3`` (taken when a parent marries), ``joiner``, ``street_1``, ``zip_1``, ``street_2``, ``zip_2`` (two
    homes), ``phone_1`` to ``phone_4`` (two parents, before and after a change of numbers), ``birth_date`` (Date).
    """
    sizes = rng.choice(np.arange(1, 6), size=size, p=_SIZES)
    hid = np.repeat(np.arange(size), sizes)[:size]
    homes = _homes(rng, int(hid[-1]) + 1)
    days, twin = _births(rng, hid)
    frame = (
        pl.DataFrame({"pid": np.arange(1, size + 1), "hid": hid})
        .with_columns(homes[hid].iter_columns())
        .with_columns(
            pl.Series("birth_date", np.datetime64(_FIRST_BIRTH) + days.astype("timedelta64[D]")).cast(
                pl.Date
            ),
            pl.Series("twin", twin | (np.r_[twin[1:], False])),
            pl.Series("sex", np.where(rng.random(size) < 0.5, "F", "M")),
        )
    )
    frame = frame.with_columns(_first_names(rng, frame)).with_columns(_other_surnames(rng, frame))
    return _namesakes(rng, frame).with_columns(_school(size))


def _homes(rng: np.random.Generator, count: int) -> pl.DataFrame:
    language = rng.choice(len(pools.LANGUAGES), count, p=pools.LANGUAGE_SHARES)
    names = [_by_language(rng, language, "surnames") for _ in range(3)]
    double = rng.random(count) < np.array([_DOUBLE[name] for name in pools.LANGUAGES])[language]
    return pl.DataFrame(
        {
            "language": pl.Series(pools.LANGUAGES).gather(language),
            "surname_1": names[0],
            "surname_2": names[1].zip_with(pl.Series(double), pl.Series([None] * count, dtype=pl.String)),
            "surname_3": names[2],
            "joiner": np.where(rng.random(count) < 0.5, "-", " "),
            **_addresses(rng, count, "1"),
            **_addresses(rng, count, "2"),
            **{f"phone_{n}": _phones(rng, count) for n in range(1, 5)},
            "homeless": chance(rng, count, 0.03),
            "zone": rng.integers(0, 1_000_000, count),
        }
    ).pipe(_homeless, rng)


def _by_language(rng: np.random.Generator, language: Numbers, kind: str) -> pl.Series:
    """Draw a name for each language number; ``kind`` is a function of ``pools``."""
    drawn = pl.Series([None], dtype=pl.String).new_from_index(0, len(language))
    for number, name in enumerate(pools.LANGUAGES):
        at = np.flatnonzero(language == number)
        drawn = drawn.scatter(at, getattr(pools, kind)(name).draw(rng, len(at)))
    return drawn


def _addresses(rng: np.random.Generator, count: int, mark: str) -> dict[str, pl.Series]:
    """Draw homes: three in four a house of its own, the others a flat in one of few large buildings."""
    streets = pl.Series([*STREETS, *pools.surnames("en").names[:400]])
    buildings = max(1, count // 60)
    building = rng.integers(0, buildings, count)
    is_flat = rng.random(count) < 0.25
    number = np.where(is_flat, 100 * (1 + building % 97), rng.integers(1, 9900, count))
    street = np.where(
        is_flat, building * 31 % len(streets), (rng.random(count) ** 1.5 * len(streets)).astype(int)
    )
    kind = np.where(
        is_flat,
        building % len(_KINDS),
        rng.choice(len(_KINDS), count, p=(0.3, 0.2, 0.12, 0.1, 0.12, 0.06, 0.05, 0.05)),
    )
    zone = np.where(is_flat, building % _ZIPS, (rng.random(count) ** 2 * _ZIPS).astype(int))
    frame = pl.DataFrame(
        {
            "number": number,
            "street": streets.gather(street),
            "kind": pl.Series(_KINDS).gather(kind),
            "unit": pl.Series(rng.integers(1, 100, count)).zip_with(
                pl.Series(is_flat), pl.Series([None] * count, dtype=pl.Int64)
            ),
        }
    )
    line = pl.format("{} {} {}", "number", "street", "kind") + pl.format(" Apt {}", "unit").fill_null("")
    return {
        f"street_{mark}": frame.select(line).to_series(),
        f"zip_{mark}": pl.Series(78400 + zone).cast(pl.String),
    }


def _phones(rng: np.random.Generator, count: int) -> pl.Series:
    area = pl.Series(_AREA_CODES).gather(rng.integers(0, len(_AREA_CODES), count))
    return area + pl.Series(rng.integers(2_000_000, 10_000_000, count)).cast(pl.String)


def _homeless(homes: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Let a homeless family live in a shelter with others, or with a family that has a home (doubled up)."""
    count = homes.height
    host = homes[rng.integers(0, count, count)]
    shelter = homes[rng.integers(0, max(1, count // 2000), count)]
    in_shelter = rng.random(count) < 0.4
    changed = []
    for name in ("street_1", "zip_1"):
        there = where(in_shelter, shelter[name], host[name])
        changed.append(where(homes["homeless"].to_numpy(), there, homes[name]))
    return homes.with_columns(changed)


def _births(rng: np.random.Generator, hid: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
    """Return days since the first possible birth, and which children are the second of twins."""
    count = len(hid)
    follows = np.r_[False, hid[1:] == hid[:-1]]
    twin = follows & (rng.random(count) < 0.055)
    twin[1:] &= ~twin[:-1]  # twins, no triplets
    gap = np.where(follows, np.minimum(290 + rng.exponential(500, count), 1500), 0).astype(np.int64)
    gap[twin] = 0
    since_all = np.cumsum(gap)
    first = np.flatnonzero(~follows)
    since = since_all - since_all[first][hid]
    last = np.r_[since[first[1:] - 1], since[-1]]
    start = (rng.random(len(first)) * np.maximum(_SPAN - last, 0)).astype(np.int64)
    return np.minimum(start[hid] + since, _SPAN), twin


def _first_names(rng: np.random.Generator, frame: pl.DataFrame) -> pl.Series:
    """Draw first names; the children of one home do not share one, though a few begin alike."""
    size = frame.height
    language = (
        frame["language"].replace_strict({name: n for n, name in enumerate(pools.LANGUAGES)}).to_numpy()
    )
    is_girl = frame["sex"].to_numpy() == "F"

    def draw() -> pl.Series:
        girls, boys = (_by_language(rng, language, kind) for kind in ("girls", "boys"))
        return where(is_girl, girls, boys)

    first, second = draw().alias("first_name"), draw()
    compound = chance(rng, size, 0.01) | (chance(rng, size, 0.08) & (language == pools.LANGUAGES.index("es")))
    whole = where(compound, first + " " + second, first)
    for _ in range(3):
        taken = pl.DataFrame({"hid": frame["hid"], "name": whole}).select(
            pl.struct("hid", "name").is_duplicated()
        )
        whole = where(taken.to_series().to_numpy(), draw(), whole)
    return whole.alias("first_name")


def _other_surnames(rng: np.random.Generator, frame: pl.DataFrame) -> list[pl.Series]:
    """Give a child of a blended family, or one placed in foster care, another surname than the home's."""
    size = frame.height
    foster = chance(rng, size, 0.008)
    blended = chance(rng, int(frame["hid"][-1]) + 1, 0.1)[frame["hid"].to_numpy()] & chance(rng, size, 0.4)
    other = frame["surname_1"].gather(rng.permutation(size))
    surname = where(foster | blended, other, frame["surname_1"])
    return [surname, pl.Series("foster", foster)]


def _namesakes(rng: np.random.Generator, frame: pl.DataFrame) -> pl.DataFrame:
    """Name one child in 500 as another, not of its home, of the same sex and nearly the same age."""
    size = frame.height
    each = max(1, size // 500)
    single = rng.permutation(np.flatnonzero(~frame["twin"].to_numpy()))
    copies, of = single[:each], single[each : 2 * each]
    copies = copies[: len(of)]
    changed = {
        name: frame[name].gather(of) for name in ("first_name", "surname_1", "surname_2", "sex", "birth_date")
    }
    near = pl.DataFrame({"date": changed["birth_date"], "days": rng.integers(-60, 61, len(copies))})
    changed["birth_date"] = near.select(pl.col("date") + pl.duration(days="days")).to_series()
    return frame.with_columns(frame[name].scatter(copies, values) for name, values in changed.items())


def _school(size: int) -> pl.Expr:
    """Send the children of a home to the schools of its zone: one by age group, none before kindergarten."""
    age = (pl.lit(_SCHOOL_YEAR) - pl.col("birth_date")).dt.total_days() // 365
    level = pl.when(age.is_between(5, 10)).then(0).when(age.is_between(11, 13)).then(1).when(age > 13).then(2)
    count = max(2, size // 1500)
    return pl.format("S{}", level * count + pl.col("zone") % count + 1).alias("school")
