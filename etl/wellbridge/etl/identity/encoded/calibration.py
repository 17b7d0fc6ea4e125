"""Where the limit lies for an automatic link, found from the two files alone, without knowing who is who.

A roster holds a child once. So every pair of records *inside* it that looks alike is two children: siblings, twins,
namesakes, as they are in this district and at this size. A partner's child who is not in the roster meets the same
look-alikes there; how often they pass a limit says how many links above it are wrong. Where the roster does hold
a child twice, the limit is only higher than it need be.

The idea is that of decoys in the search of protein databases (Elias and Gygi 2007, doi 10.1038/nmeth1019): candidates
known to be false, drawn like the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

PRECISION: Final = 0.999  # of automatic links that the limit aims at
_CAUTION: Final = 3.0  # look-alikes added to those counted: none seen is not none


@dataclass(frozen=True)
class Calibration:
    """A limit and what it is expected to cost.

    Attributes:
        bits: least log2 odds of an automatic link.
        links: pairs above it that are each other's best.
        false: how many of them are expected to be wrong.
        lookalikes: pairs inside the roster that are above it.
    """

    bits: float
    links: int
    false: float
    lookalikes: int


NOTHING: Final = Calibration(float("inf"), 0, 0.0, 0)


def calibrate(
    across: pl.DataFrame,
    within: pl.DataFrame,
    roster: int,
    partner: int,
    *,
    precision: float = PRECISION,
    least: float = 0.0,
) -> Calibration:
    """Find the lowest limit whose links are expected to be right in ``precision`` of the cases.

    Args:
        across: ``record_a, record_b, bits`` of pairs of the two files that no guard forbids.
        within: the same of pairs inside the roster.
        roster: its records.
        partner: records of the other file.
        precision: share of links that must be right.
        least: never go below this limit, in bits.

    Returns:
        ``NOTHING`` where no limit reaches the precision, or the roster is too small to tell: for one wrong link in
        a thousand, below 6,000 children.
    """
    if (1 - precision) * roster < 2 * _CAUTION:  # too few children to see how rare look-alikes are
        return NOTHING
    links = np.sort(_mutual(across))[::-1]
    alike = np.sort(_mutual(within))
    limits = links[links >= least]
    counted = len(alike) - np.searchsorted(alike, limits)
    number = np.arange(1, len(limits) + 1)
    absent = np.maximum(partner - number, 0)  # children of the partner who have no record in the roster
    false = absent * 2 * (counted + _CAUTION) / max(roster, 1)  # either of two alike may be the absent one
    fits = np.flatnonzero(false <= (1 - precision) * number)
    if not len(fits):
        return NOTHING
    at = int(fits[-1])
    return Calibration(float(limits[at]), at + 1, float(false[at]), int(counted[at]))


def _mutual(pairs: pl.DataFrame) -> NDArray[np.float64]:
    """Return the bits of pairs that are the best of both their records."""
    ends = pl.concat(
        [pairs.select(pl.col(name).alias("record"), "bits") for name in ("record_a", "record_b")]
    )
    best = ends.group_by("record").agg(pl.col("bits").max())
    both = pairs.join(best.rename({"record": "record_a", "bits": "best_a"}), on="record_a").join(
        best.rename({"record": "record_b", "bits": "best_b"}), on="record_b"
    )
    return both.filter((pl.col("bits") >= pl.col("best_a")) & (pl.col("bits") >= pl.col("best_b")))[
        "bits"
    ].to_numpy()
