"""What is done to a column that is not coarsened: codes, dates moved in time, small groups averaged, values swapped.

Dropping is leaving a column out; generalising is ``anonymize``. None of these makes a file k-anonymous by itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import polars as pl

from wellbridge.privacy.codes import Crosswalk
from wellbridge.privacy.records.ladders import Floats, Ints
from wellbridge.schemas.errors import PrivacyError

MAX_DAYS: Final = 182  # half a year either way: the season is hidden, the order of a person's events is not
SHIFTS: Final = {"person": pl.String, "days": pl.Int64}


def code_column(frame: pl.DataFrame, column: str, crosswalk: Crosswalk, scope: str) -> pl.DataFrame:
    """Replace an identifier by the random code it has within one scope; a missing one stays missing.

    Source: 34 CFR 99.31(b)(2)(iii); see ``codes``.
    """
    keys = frame[column].cast(pl.String)
    codes = crosswalk.codes(scope, keys)
    coded = keys.replace_strict(codes["person_key"], codes["code"], default=None, return_dtype=pl.String)
    return frame.with_columns(coded.alias(column))


class Shifts(Protocol):
    """Where each person's shift in days is kept."""

    def days(self, scope: str, persons: pl.Series) -> pl.DataFrame:
        """Return ``person, days`` for each distinct person; the same within a scope for as long as it is kept."""
        ...


class MemoryShifts:
    """Shifts drawn from the system's random source and forgotten with the process, unless somebody keeps ``known``."""

    def __init__(self, max_days: int = MAX_DAYS, known: dict[str, pl.DataFrame] | None = None) -> None:
        self._max_days = max_days
        self.known: dict[str, pl.DataFrame] = {} if known is None else known

    def days(self, scope: str, persons: pl.Series) -> pl.DataFrame:
        """Return ``person, days``; see ``Shifts``."""
        known = self.known.get(scope, pl.DataFrame(schema=SHIFTS))
        wanted = persons.cast(pl.String).drop_nulls().unique().to_frame("person")
        new = wanted.join(known, on="person", how="anti")["person"]
        drawn = [secrets.randbelow(2 * self._max_days + 1) - self._max_days for _ in range(len(new))]
        fresh = pl.DataFrame({"person": new, "days": drawn}, schema=SHIFTS)
        self.known[scope] = pl.concat([known, fresh])
        return wanted.join(self.known[scope], on="person")


def shift_dates(
    frame: pl.DataFrame, columns: Sequence[str], *, per_person: str, shifts: Shifts, scope: str
) -> pl.DataFrame:
    """Move all of a person's dates by the same number of days, so that the time between them stays.

    Args:
        frame: the columns are dates, or text ``YYYY-MM-DD``; what is neither, and dates of nobody, become missing.
        columns: the dates.
        per_person: whose row it is.
        shifts: where the days come from.
        scope: files of one scope share a person's shift.

    Note:
        A moved date is still a date: 45 CFR 164.514(b)(2)(i)(C) allows only the year of one. School years, holidays
        and age at a fixed event can undo a shift, so dates that others know are quasi-identifiers all the same.
    """
    days = shifts.days(scope, frame[per_person])
    moved = frame[per_person].cast(pl.String).replace_strict(
        days["person"], days["days"], default=None, return_dtype=pl.Int64
    )
    by = pl.duration(days=pl.lit(moved))
    dates = [pl.col(name).cast(pl.String).str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False) for name in columns]
    return frame.with_columns((date + by).alias(name) for date, name in zip(dates, columns, strict=True))


def microaggregate(frame: pl.DataFrame, columns: Sequence[str], *, group: int) -> pl.DataFrame:
    """Replace numbers by the mean of a small group of rows that are near each other in all of them.

    Groups are those of MDAV: the row farthest from the centre with its ``group`` − 1 nearest, then the row farthest
    from that one with its nearest, and so on; each has ``group`` to 2 · ``group`` − 1 rows. Columns are measured in
    standard deviations. Rows with a missing number become missing in all of the columns.

    Args:
        frame: the columns are numbers, or text of numbers.
        columns: averaged together.
        group: least rows of a group.

    Raises:
        PrivacyError: WB-E-043 when there are fewer whole rows than ``group``.

    Source: J. Domingo-Ferrer, V. Torra, Ordinal, continuous and heterogeneous k-anonymity through microaggregation
    (Data Mining and Knowledge Discovery 11(2), 2005). The time grows with the square of the rows.
    """
    numbers = frame.select(pl.col(name).cast(pl.Float64, strict=False) for name in columns)
    whole = np.flatnonzero(numbers.select(pl.all_horizontal(pl.all().is_not_null())).to_series().to_numpy())
    if len(whole) < group:
        raise PrivacyError("WB-E-043", f"There are {len(whole)} whole rows for groups of {group}.",
                           f"columns {', '.join(columns)}")
    values = numbers.to_numpy()[whole]
    spread = values.std(axis=0)
    of = _mdav((values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0), group)
    averaged = np.full((frame.height, len(columns)), np.nan)
    for place in range(len(columns)):
        averaged[whole, place] = (np.bincount(of, weights=values[:, place]) / np.bincount(of))[of]
    return frame.with_columns(
        pl.Series(name, averaged[:, place]).fill_nan(None) for place, name in enumerate(columns)
    )


def _mdav(points: Floats, group: int) -> Ints:
    """Return the group of each point."""
    of = np.zeros(len(points), dtype=np.int64)
    rest = np.arange(len(points))
    number = 0
    while len(rest) >= 2 * group:
        centre = points[rest].mean(axis=0)
        first = points[rest[_distance(points[rest], centre).argmax()]]
        farthest = _distance(points[rest], first)
        second = points[rest[farthest.argmax()]]
        near = np.argpartition(farthest, group - 1)[:group]
        of[rest[near]] = number
        number, rest = number + 1, np.delete(rest, near)
        if len(rest) >= 2 * group:
            near = np.argpartition(_distance(points[rest], second), group - 1)[:group]
            of[rest[near]] = number
            number, rest = number + 1, np.delete(rest, near)
    of[rest] = number
    return of


def _distance(points: Floats, point: Floats) -> Floats:
    apart: Floats = ((points - point) ** 2).sum(axis=1)
    return apart


def swap_ranks(frame: pl.DataFrame, column: str, *, share: float, seed: int | None = None) -> pl.DataFrame:
    """Exchange a number with others of nearly the same rank; never done unless it is asked for by name.

    Ranks are cut at a random place into windows of ``share`` of the rows, and values change places within a window:
    how often each value occurs stays, and no value moves farther than a window.

    Args:
        frame: the column is a number, or text of a number; missing ones stay where they are.
        column: the column.
        share: of the rows, above 0 and at most 1.
        seed: for tests; None: the system's random source.

    Raises:
        PrivacyError: WB-E-044 when ``share`` is not such a share.

    Source: R. Moore, Controlled data-swapping techniques for masking public use microdata sets (US Census Bureau,
    SRD 96-04, 1996); windows instead of a walk over the ranks, so that no partner is ever out of reach.
    """
    if not 0 < share <= 1:
        raise PrivacyError("WB-E-044", "The share of ranks to swap within must be above 0 and at most 1.", column)
    draw = np.random.default_rng(secrets.randbits(128) if seed is None else seed)
    sizes = frame[column].cast(pl.Float64, strict=False)
    given = np.flatnonzero(sizes.is_not_null().to_numpy())
    # Rows of equal value are ranked in random order, or ties would tell the order of the file.
    order = given[np.lexsort((draw.random(len(given)), sizes.to_numpy()[given]))]
    window = max(2, int(share * len(order)))
    block = (np.arange(len(order)) + draw.integers(0, window)) // window
    mixed = order[np.lexsort((draw.random(len(order)), block))]
    source = np.arange(frame.height)
    source[order] = mixed
    return frame.with_columns(frame[column].gather(source).alias(column))
