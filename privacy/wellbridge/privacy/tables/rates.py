"""Rates published as ranges, and what they give away: the school community's attack on one school at a time.

A range and the size of its group bound the number of those counted. Groups that add up to a whole bound each other,
so a rate that was withheld can follow from those that were not. Bounds are whole numbers of persons and are carried
from the groups to the whole and back; a whole with any number of breakdowns is a tree of sums, in which that gives
every hidden count's least and greatest possible value exactly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import polars as pl

from wellbridge.privacy.tables.margins import ALL
from wellbridge.privacy.tables.sums import Bools, Ints
from wellbridge.schemas.errors import PrivacyError

HIDDEN: Final = "PS"  # "privacy suppressed", as the Department of Education's public files have it
NOTHING: Final = (".", "")  # no such group, or nothing was reported for it

# A table of published rates; ``dimension`` is ``all`` for the whole, ``n`` null where the size is not published.
COLUMNS: Final = ("unit", "dimension", "member", "n", "rate")

_TEXT: Final = re.compile(r"(LT|LE|GE|GT)?(\d{1,3})(?:-(\d{1,3}))?")


class Reading(StrEnum):
    """How a published percent is read.

    ROUNDED: to the nearest whole percent; a half may have gone either way.
    ANY: rounded or cut, whichever it was: what follows is certain without knowing the publisher's arithmetic.
    """

    ROUNDED = "rounded"
    ANY = "any"


@dataclass(frozen=True)
class RatesAttack:
    """What published rates give away, in numbers of cells and never a value.

    Attributes:
        units: one row for each unit: ``unit``, ``is_examined``, ``is_contradictory`` (no counts fit what it
            publishes, so nothing was concluded from it), and numbers of cells: ``hidden``; ``exact``, hidden and
            with one possible count left; ``alike``, those of them in which that count is nobody or everybody;
            ``narrowed``, hidden and with several counts left, fewer than the n + 1 of a group of n; ``pinned``,
            published as a range of several counts of which one is left.
    """

    units: pl.DataFrame

    def totals(self) -> dict[str, int]:
        """Return the numbers over all units."""
        counts = {
            "units": self.units.height, "examined": int(self.units["is_examined"].sum()),
            "contradictory": int(self.units["is_contradictory"].sum()),
        }
        names = ("hidden", "exact", "alike", "narrowed", "pinned")
        return {**counts, **{name: int(self.units[name].sum()) for name in names}}


@dataclass(frozen=True)
class Bounds:
    """The least and the greatest number of those counted that a cell's text and size allow."""

    least: Ints
    greatest: Ints


def attack_rates(rates: pl.DataFrame, *, reading: Reading = Reading.ROUNDED) -> RatesAttack:
    """Count the withheld rates that follow from the published ones, one unit at a time.

    Members of a dimension add up to the whole with a rest that nothing is published for; members whose sizes exceed
    the whole overlap, and each stands against everybody else. A unit without a published whole, or whose whole has
    no size, is not examined; a cell without a size belongs to the rest.

    Args:
        rates: ``COLUMNS``: at most one row of dimension ``all`` for each unit.
        reading: how whole percents are read.

    Raises:
        PrivacyError: WB-E-046 when a rate is no range, or a unit has two wholes.
    """
    names = rates.select("unit").unique(maintain_order=True).with_row_index("_unit")
    table = _numbered(rates, names)
    size = table["n"].to_numpy()
    bounds = bounds_of(table["rate"], size, reading)
    is_hidden = (table["rate"] == HIDDEN).to_numpy()
    unit, part = table["_unit"].to_numpy().astype(np.int64), table["_part"].to_numpy().astype(np.int64)
    units = names.height
    is_whole = (table["dimension"] == ALL).to_numpy()
    whole, size_of = np.full(units, -1, dtype=np.int64), np.zeros(units, dtype=np.int64)
    whole[unit[is_whole]] = np.flatnonzero(is_whole)
    size_of[unit[is_whole]] = size[is_whole]
    narrow = _carried(bounds, unit, part, is_whole, size, size_of)
    fits = np.ones(units, dtype=np.bool_)
    np.logical_and.at(fits, unit, narrow.least <= narrow.greatest)
    examined = whole >= 0
    counted = (examined & fits)[unit]
    found = _verdicts(bounds, narrow, size, is_hidden)
    rows = {name: np.bincount(unit[cells & counted], minlength=units) for name, cells in found.items()}
    return RatesAttack(pl.DataFrame({
        "unit": names["unit"], "is_examined": examined, "is_contradictory": examined & ~fits, **rows,
    }))


def bounds_of(rates: pl.Series, size: Ints, reading: Reading = Reading.ROUNDED) -> Bounds:
    """Return the numbers of persons that each published rate allows in a group of its size.

    Raises:
        PrivacyError: WB-E-046 when a text is no range.
    """
    texts = rates.unique().to_list()
    percents = {text: _percents(text) for text in texts}
    unclear = sum(found is None for found in percents.values())
    if unclear:
        raise PrivacyError("WB-E-046", "Rates of a table are no ranges of percents.", f"{unclear} different text(s)")
    known = [percents[text] or (0, 100) for text in texts]
    low = rates.replace_strict(texts, [a for a, _ in known], return_dtype=pl.Int64).to_numpy()
    high = rates.replace_strict(texts, [b for _, b in known], return_dtype=pl.Int64).to_numpy()
    least = -((1 - 2 * low) * size // 200)  # the ceiling of (low − ½) % of the size
    cut = -(-(high + 1) * size // 100) - 1  # less than (high + 1) %
    greatest = (2 * high + 1) * size // 200 if reading is Reading.ROUNDED else cut
    return Bounds(np.maximum(least, 0), np.minimum(greatest, size))


def _percents(text: str) -> tuple[int, int] | None:
    """Return the least and greatest whole percent of a published text; None where it is not understood."""
    if text == HIDDEN:
        return 0, 100
    found = _TEXT.fullmatch(text)
    if not found or (found[1] and found[3]):
        return None
    at, end = int(found[2]), int(found[3] or found[2])
    low, high = {
        "LT": (0, at - 1), "LE": (0, at), "GE": (at, 100), "GT": (at + 1, 100), None: (at, end),
    }[found[1]]
    return (low, high) if 0 <= low <= high <= 100 else None


def _numbered(rates: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
    """Keep cells with a size and a rate, and number units and sums; overlapping members are sums of their own."""
    cells = rates.select(COLUMNS).filter(
        pl.col("n").is_not_null(), (pl.col("n") > 0) & ~pl.col("rate").fill_null("").is_in(NOTHING)
    )
    wholes = cells.filter(pl.col("dimension") == ALL)
    if wholes["unit"].n_unique() != wholes.height:
        raise PrivacyError("WB-E-046", "A unit of a table of rates has two wholes.")
    sized = cells.join(wholes.select("unit", _whole="n"), on="unit", how="left", maintain_order="left")
    group = ["unit", "dimension"]
    overlaps = pl.col("n").sum().over(group) > pl.col("_whole")
    alone = pl.when(overlaps).then(pl.col("member")).otherwise(pl.lit(""))
    known = sized.with_columns(alone.alias("_alone"), pl.col("n").cast(pl.Int64))
    parts = known.select(*group, "_alone").unique(maintain_order=True).with_row_index("_part")
    return known.join(units, on="unit", how="left", maintain_order="left").join(
        parts, on=[*group, "_alone"], how="left", maintain_order="left"
    )


def _carried(
    bounds: Bounds, unit: Ints, part: Ints, is_whole: Bools, size: Ints, size_of: Ints
) -> Bounds:
    """Carry bounds from the members to the whole, over all its breakdowns, and back to the members."""
    parts = int(part.max(initial=-1)) + 1
    low, high, persons = (np.zeros(parts, dtype=np.int64) for _ in range(3))
    for total, cells in ((low, bounds.least), (high, bounds.greatest), (persons, size)):
        np.add.at(total, part, cells)
    owner = np.zeros(parts, dtype=np.int64)
    owner[part] = unit
    is_sum = np.ones(parts, dtype=np.bool_)
    is_sum[part[is_whole]] = False
    # The rest can be anything from nobody to all of it. A single member that is larger than its whole has none.
    high = high + np.where(is_sum, np.maximum(size_of[owner] - persons, 0), 0)
    least, greatest = np.zeros_like(size_of), size_of.copy()
    np.maximum.at(least, owner, low)
    np.minimum.at(greatest, owner, high)
    down = np.maximum(bounds.least, least[unit] - (high[part] - bounds.greatest))
    up = np.minimum(bounds.greatest, greatest[unit] - (low[part] - bounds.least))
    return Bounds(np.where(is_whole, least[unit], down), np.where(is_whole, greatest[unit], up))


def _verdicts(bounds: Bounds, narrow: Bounds, size: Ints, is_hidden: Bools) -> dict[str, Bools]:
    is_one = narrow.least == narrow.greatest
    exact = is_hidden & is_one
    return {
        "hidden": is_hidden,
        "exact": exact,
        "alike": exact & ((narrow.least == 0) | (narrow.greatest == size)),
        "narrowed": is_hidden & ~is_one & ((narrow.least > 0) | (narrow.greatest < size)),
        "pinned": ~is_hidden & is_one & (bounds.least < bounds.greatest),
    }
