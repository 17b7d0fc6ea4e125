"""The children of one block: households with siblings and twins, names, addresses, who serves whom."""

from __future__ import annotations

from datetime import date
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wellbridge.pipelines.synth import names
from wellbridge.pipelines.synth.district import BLOCK, GRADES, Plan, quota

_NUMBERS: Final = 10_000_000
_NEVER: Final = 9_000_000  # person numbers from here on are never given, so their student numbers are orphans
RACES: Final = ("white", "black", "asian", "american_indian", "pacific_islander", "two_or_more")
_RACE_SHARES: Final = (0.55, 0.2, 0.1, 0.03, 0.02, 0.1)

# At most one clinical pathway a child, so that a record that cannot be linked moves no measure.
PATHWAYS: Final = (("fhir", 0.06, 24), ("telehealth", 0.04, 16), ("hl7v2", 0.03, 16))
_OPTED_OUT: Final = (("partners", 0.006, 2), ("all", 0.004, 2))


def student_number(index: NDArray[np.int64]) -> list[str]:
    """Return district student numbers: seven digits, leading zeros, unique and out of order."""
    return [f"{(int(i) * 7919 + 104_729) % _NUMBERS:07d}" for i in index]


def never_rostered(count: int, salt: int) -> list[str]:
    """Return student numbers that no child of any district made here has."""
    return student_number(np.arange(_NEVER + salt, _NEVER + salt + count, dtype=np.int64))


def people_of(plan: Plan, block: int) -> pl.DataFrame:
    """Return the children of a block, one row each, in order of ``index`` (their number in the district)."""
    rng = plan.rng(block, "people")
    count = min(BLOCK, plan.students - block * BLOCK)
    index = np.arange(block * BLOCK, block * BLOCK + count, dtype=np.int64)
    households = _households(rng, count)
    frame = pl.DataFrame(
        {
            "index": index,
            "person_id": [f"P{i + 1:07d}" for i in index],
            "household_id": [f"H{block + 1:04d}-{h + 1:05d}" for h in households],
            "student_number": student_number(index),
        }
    )
    frame = frame.with_columns(**_home(rng, households), **_birth(rng, households), **_self(rng, count))
    frame = frame.with_columns(**_naming(rng, frame, households))
    frame = frame.with_columns(**_schooling(plan, rng, frame, households))
    frame = frame.with_columns(**_changes(plan, rng, frame))
    return frame.with_columns(**_served(rng, frame))


def _households(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    sizes = rng.choice([1, 2, 3, 4], size=count, p=[0.45, 0.35, 0.15, 0.05])
    return np.repeat(np.arange(count), sizes)[:count]


def _home(rng: np.random.Generator, households: NDArray[np.int64]) -> dict[str, pl.Series]:
    homes = int(households[-1]) + 1
    street, zip_code, phone = names.addresses(rng, homes)
    old_street, old_zip, _ = names.addresses(rng, homes)
    columns = {
        "street": street,
        "zip_code": zip_code,
        "phone": phone,
        "old_street": old_street,
        "old_zip": old_zip,
    }
    out = {name: pl.Series(name, values[households], dtype=pl.String) for name, values in columns.items()}
    out["is_mover"] = pl.Series("is_mover", (rng.random(homes) < 0.03)[households])
    out["is_homeless"] = pl.Series(
        "is_homeless", (rng.random(homes) < 0.03)[households] | _first_rows(households, 2)
    )
    return out


def _first_rows(values: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Mark the first rows, so that the smallest district has the kind too."""
    return np.arange(len(values)) < count


def _birth(rng: np.random.Generator, households: NDArray[np.int64]) -> dict[str, pl.Series]:
    count = len(households)
    grade = rng.integers(0, len(GRADES), count)
    day = rng.integers(0, 365, count)
    follows = np.r_[False, households[1:] == households[:-1]]
    twin = follows & (rng.random(count) < 0.06)
    twin[1:] &= ~twin[:-1]  # twins, no triplets
    if count > 3 and not twin.any():
        twin[np.flatnonzero(follows)[:1]] = True
    at = np.flatnonzero(twin)
    grade[at], day[at] = grade[at - 1], day[at - 1]
    # A pupil of kindergarten in 2026-27 was born between 1 September 2020 and 31 August 2021.
    first = np.array([np.datetime64(date(2020 - int(g), 9, 1)) for g in grade])
    return {
        "grade": pl.Series("grade", [GRADES[g] for g in grade]),
        "birth_date": pl.Series("birth_date", first + day.astype("timedelta64[D]")).cast(pl.Date),
        "is_twin": pl.Series("is_twin", twin | np.r_[twin[1:], False]),
        "_second_twin": pl.Series("_second_twin", twin),
    }


def _self(rng: np.random.Generator, count: int) -> dict[str, pl.Series]:
    draw = rng.random((6, count))
    return {
        "is_girl": pl.Series("is_girl", draw[0] < 0.5),
        "race": pl.Series(
            "race", rng.choice(np.array(RACES, dtype=object), count, p=_RACE_SHARES), dtype=pl.String
        ),
        "is_hispanic": pl.Series("is_hispanic", draw[1] < 0.38),
        "english_learner": pl.Series("english_learner", draw[2] < 0.16),
        "disability": pl.Series("disability", draw[3] < 0.13),
        "economically_disadvantaged": pl.Series("economically_disadvantaged", draw[4] < 0.55),
        "is_foster": pl.Series("is_foster", (draw[5] < 0.008) | (np.arange(count) == 3)),
    }


def _naming(
    rng: np.random.Generator, frame: pl.DataFrame, households: NDArray[np.int64]
) -> dict[str, pl.Series]:
    homes = int(households[-1]) + 1
    family, second = names.surnames(rng, homes), names.surnames(rng, homes)
    is_double, joiner = rng.random(homes) < 0.1, np.where(rng.random(homes) < 0.5, "-", " ")
    is_double[: min(4, homes)] = [True, False, True, False][: min(4, homes)]
    full = np.where(is_double, family + joiner.astype(object) + second, family)
    first = names.first_names(rng, frame["is_girl"].to_numpy())
    for at in np.flatnonzero(np.r_[False, households[1:] == households[:-1]]):
        options = names.GIRLS if frame["is_girl"][int(at)] else names.BOYS
        earlier = set(first[max(0, at - 3) : at])  # brothers and sisters do not share a first name
        while first[at] in earlier:
            first[at] = options[int(rng.integers(0, len(options)))]
    twin_of = pl.when(pl.col("_second_twin")).then(pl.col("person_id").shift(1))
    other = pl.when(pl.col("_second_twin").shift(-1)).then(pl.col("person_id").shift(-1))
    return {
        "first_name": pl.Series("first_name", first, dtype=pl.String),
        "last_name": pl.Series("last_name", full[households], dtype=pl.String),
        "first_surname": pl.Series("first_surname", family[households], dtype=pl.String),
        "has_double_surname": pl.Series("has_double_surname", is_double[households]),
        "twin_of": frame.select(pl.coalesce(twin_of, other).fill_null("").alias("twin_of")).to_series(),
    }


def _schooling(
    plan: Plan, rng: np.random.Generator, frame: pl.DataFrame, households: NDArray[np.int64]
) -> dict[str, pl.Series]:
    zone = rng.integers(0, 1_000_000, int(households[-1]) + 1)[households]
    grade = np.array([GRADES.index(g) for g in frame["grade"]])
    level = np.digitize(grade, [6, 9])
    school = np.zeros(len(grade), dtype=np.int64)
    for number in range(3):
        options = np.array(plan.schools_of(number))
        school = np.where(level == number, options[zone % len(options)], school)
    return {"level": pl.Series("level", level), "school": pl.Series("school", school)}


def _changes(plan: Plan, rng: np.random.Generator, frame: pl.DataFrame) -> dict[str, pl.Series]:
    """Joiners, leavers, and children who change school or grade, for each night after the first."""
    count = frame.height
    from_night, to_night = np.ones(count, np.int64), np.full(count, plan.nights, np.int64)
    moves, regrades = np.zeros(count, np.int64), np.zeros(count, np.int64)
    free = rng.permutation(np.arange(8, count)) if count > 40 else np.arange(0)
    each = 1 + count // 2500
    for night in range(2, plan.nights + 1):
        if len(free) < max(4 * each, count // 4):
            break
        for at, values, value in (
            (0, from_night, night),
            (1, to_night, night - 1),
            (2, moves, night),
            (3, regrades, night),
        ):
            values[free[at * each : (at + 1) * each]] = value
        free = free[4 * each :]
    return {
        "from_night": pl.Series("from_night", from_night),
        "to_night": pl.Series("to_night", to_night),
        "move_night": pl.Series("move_night", moves),
        "regrade_night": pl.Series("regrade_night", regrades),
        "new_school": pl.Series("new_school", _next_school(plan, frame)),
        "new_grade": frame.select(_next_grade().alias("new_grade")).to_series(),
    }


def _next_school(plan: Plan, frame: pl.DataFrame) -> NDArray[np.int64]:
    following: dict[int, int] = {}
    for level in range(3):
        numbers = plan.schools_of(level)
        following |= dict(zip(numbers, numbers[1:] + numbers[:1], strict=True))
    return np.array([following[school] for school in frame["school"]], dtype=np.int64)


def _next_grade() -> pl.Expr:
    """The grade above within the same level, else the one below: a correction of the register."""
    above = {g: GRADES[i + 1] if g not in {"05", "08", "12"} else GRADES[i - 1] for i, g in enumerate(GRADES)}
    return pl.col("grade").replace_strict(above)


def _served(rng: np.random.Generator, frame: pl.DataFrame) -> dict[str, pl.Series]:
    count = frame.height
    steady = (frame["from_night"] == 1).to_numpy()
    order = rng.permutation(np.flatnonzero(steady))
    pathway = np.full(count, "", dtype=object)
    for name, share, least in PATHWAYS:
        chosen, order = np.split(order, [quota(len(order), share, min(least, count // 12))])
        pathway[chosen] = name
    return {
        "pathway": pl.Series("pathway", pathway, dtype=pl.String),
        "opt_out": pl.Series("opt_out", _opted_out(rng, frame), dtype=pl.String),
    }


def _opted_out(rng: np.random.Generator, frame: pl.DataFrame) -> NDArray[np.object_]:
    """Choose who opted out; never a twin, so that no other child can be taken for one of them."""
    scope = np.full(frame.height, "", dtype=object)
    able = frame.select(~pl.col("is_twin") & (pl.col("from_night") == 1)).to_series().to_numpy()
    order = rng.permutation(np.flatnonzero(able))
    for name, share, least in _OPTED_OUT:
        chosen, order = np.split(order, [quota(len(order), share, min(least, frame.height // 50))])
        scope[chosen] = name
    return scope
