"""Rates recoded into ranges by the size of their group, top and bottom coded, and audited before they leave.

Source: NCES 2011-603 (SLDS Technical Brief 3); the ranges are data (``rules/states.toml``, whose doubts stand). Ranges
alone do not protect: where groups add up, a withheld rate can follow from the others (``rates``). So every unit is
attacked, and where something follows, all of its ranges are taken from the next smaller size of group, until nothing
does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from wellbridge.privacy.rules.states import Band, Bands
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.margins import ALL
from wellbridge.privacy.tables.rates import HIDDEN, NOTHING, RatesAttack, attack_rates
from wellbridge.privacy.tables.sums import Ints
from wellbridge.schemas.errors import PrivacyError

FACTS: Final = ("unit", "dimension", "member", "n", "numerator")


class Recode(StrEnum):
    """Which reporting groups are recoded; a reporting group is one dimension of one unit.

    ALWAYS: all.
    WHERE_SMALL: those in which a member is too small to be shown; elsewhere whole percents stand, their ends coded.
    """

    ALWAYS = "always"
    WHERE_SMALL = "where-small"


@dataclass(frozen=True)
class BlurredRates:
    """Rates that may be published.

    Attributes:
        table: ``rates.COLUMNS`` in the order of the rows; without ``n`` where percentages stand alone.
        attack: what the attack on the published table finds, sizes known: the school community knows them.
        widened: units in which ranges had to be wider than their sizes ask.
        rests: dimensions of units whose groups leave a rest; it is taken as a group that is not listed, so who knows
            that there is none can find more.
    """

    table: pl.DataFrame
    attack: RatesAttack
    widened: int
    rests: int


def blur_rates(
    table: pl.DataFrame, bands: Bands, *, recode: Recode = Recode.ALWAYS, need: Need = Need.STRONG,
    percent_only: bool = False,
) -> BlurredRates:
    """Recode rates into ranges, wider where a withheld rate would follow.

    Args:
        table: ``FACTS``: one row for each group of a unit; dimension ``all`` is the whole. A group of nobody is left
            without a rate.
        bands: the ranges by size.
        recode: which reporting groups are recoded.
        need: weak, no withheld number may follow exactly; strong, none may be narrowed at all.
        percent_only: publish no sizes.

    Raises:
        PrivacyError: WB-E-046 when a numerator is no part of its size, a unit has two wholes, or the members of a
            dimension have more persons counted, or more not, than the whole, or a group stands twice.
    """
    rests = _check(table)
    unit = table["unit"].rank("dense").to_numpy().astype(np.int64) - 1
    steps = np.zeros(int(unit.max(initial=-1)) + 1, dtype=np.int64)
    order = table.select("unit", _unit=pl.Series(unit)).unique().sort("_unit")["unit"]
    while True:
        published = _published(table, bands, recode, steps[unit])
        attack = attack_rates(published)
        follows = pl.col("exact") + (pl.col("narrowed") if need is Need.STRONG else 0)
        leaks = order.to_frame().join(attack.units.select("unit", follows), on="unit", maintain_order="left")
        if not (leaks["exact"] > 0).any():
            break
        steps[(leaks["exact"] > 0).to_numpy()] += 1
    shown = published.drop("n") if percent_only else published
    return BlurredRates(shown, attack, int((steps > 0).sum()), rests)


def _check(table: pl.DataFrame) -> int:
    """Return in how many dimensions of units the groups leave a rest of the whole."""
    if table.select(pl.struct("unit", "dimension", "member").is_duplicated().any()).item():
        raise PrivacyError("WB-E-046", "A group of a unit stands twice in a table of rates.")
    wrong = table.filter(
        ~pl.col("numerator").is_between(0, pl.col("n")) | pl.col("n").is_null() | pl.col("numerator").is_null()
    ).height
    if wrong:
        raise PrivacyError("WB-E-046", "A rate's numerator is no part of its group.", f"{wrong} row(s)")
    whole = pl.col("dimension") == ALL
    if table.filter(whole)["unit"].is_duplicated().any():
        raise PrivacyError("WB-E-046", "A unit of a table of rates has two wholes.")
    sums = table.filter(~whole).group_by("unit", "dimension").agg(pl.col("n", "numerator").sum())
    both = sums.join(table.filter(whole).select("unit", _n="n", _numerator="numerator"), on="unit")
    rest = pl.col("_n") - pl.col("n")
    broken = both.filter((rest >= 0) & ~(pl.col("_numerator") - pl.col("numerator")).is_between(0, rest)).height
    if broken:
        raise PrivacyError("WB-E-046", "Groups of a unit do not add up to its whole.", f"{broken} dimension(s)")
    return both.filter(rest > 0).height


def _published(table: pl.DataFrame, bands: Bands, recode: Recode, steps: Ints) -> pl.DataFrame:
    """Recode with the ranges of each group's size, ``steps`` sizes smaller."""
    size, hits = table["n"].to_numpy(), table["numerator"].to_numpy()
    percent = (200 * hits + size) // np.maximum(2 * size, 1)  # a half goes up
    row = np.searchsorted([band.least for band in bands.rows], size, side="right") - 1
    is_small = np.array([not band.step for band in bands.rows])[np.maximum(row, 0)] & (size > 0)
    taken = np.where(is_small, row, row - steps)
    rate = np.where(taken < 0, HIDDEN, _texts(bands.rows)[np.maximum(taken, 0), percent])
    if recode is Recode.WHERE_SMALL:
        asks = table.with_columns(_small=is_small).select(
            pl.col("_small").any().over("unit", "dimension")
        )["_small"].to_numpy()
        whole_percents = [Band(band.least, band.greatest, band.end, min(band.step, 1)) for band in bands.rows]
        rate = np.where(asks | (steps > 0), rate, _texts(whole_percents)[np.maximum(row, 0), percent])
    rate = np.where(size == 0, NOTHING[0], rate)
    return table.select("unit", "dimension", "member", "n", rate=pl.Series(rate.tolist(), dtype=pl.String))


def _texts(rows: Sequence[Band]) -> npt.NDArray[np.object_]:
    """Return the text of each percent from 0 to 100, one row for each size of group."""
    out = []
    for row in rows:
        one = Bands("", "", "", (Band(1, 0, row.end, row.step),))
        out.append([_text(one.blur(1, percent)) for percent in range(101)])
    return np.array(out, dtype=object)


def _text(shown: tuple[int, int] | None) -> str:
    if shown is None:
        return HIDDEN
    low, high = shown
    if low == 0:
        return "LT50" if high == 49 else f"LE{high}"
    if high == 100:
        return f"GE{low}"
    return str(low) if low == high else f"{low}-{high}"
