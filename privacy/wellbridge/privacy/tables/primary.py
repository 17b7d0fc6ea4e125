"""Which cells of a table of amounts say something about one contributor, and how far each must be able to move.

Amounts are whole numbers of a unit (minutes, cents, tenths of an hour), so that sums hold exactly and moves can be
checked by arithmetic. There are no waivers: a contributor's consent to be shown does not reach those whom their
value would give away.

Source: Hundepool et al. (2012), Statistical Disclosure Control, 4.2 (rules) and 4.2.2 (protection levels); the
defaults are those of ACRO/SACRO: threshold 10, dominance n = 2, k = 0.9, p ratio 0.1.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import polars as pl

from wellbridge.privacy.tables.margins import ALL, NOT_REPORTED
from wellbridge.privacy.tables.moves import Task
from wellbridge.privacy.tables.protection import Dimension
from wellbridge.privacy.tables.sums import UNBOUNDED, Bools, Ints, Links
from wellbridge.schemas.errors import ConfigurationError, PrivacyError

FACTS: Final = ("contributors", "total")
TOP: Final = "top_{}"
ALONE: Final = "alone"


@dataclass(frozen=True)
class MagnitudeRules:
    """When a cell of amounts is sensitive.

    Attributes:
        least: fewer contributors are too few.
        largest, share: the ``largest`` contributors may not have more than ``share`` of a cell (dominance).
        margin: p. The second contributor, who knows herself, may not come within this share of the first one's
            amount from above. 0 asks nothing.
        known: q. The share within which everybody can guess anybody's amount beforehand, so that the ratio p / q
            decides; 1: nobody knows anything, the p % rule.
        zeros: a cell in which all amounts are zero tells the amount of each contributor.
        spread: share of a cell by which it must be able to move where only its number of contributors is too small.
    """

    least: int = 10
    largest: int = 2
    share: float = 0.9
    margin: float = 0.1
    known: float = 1.0
    zeros: bool = True
    spread: float = 0.1

    @property
    def places(self) -> int:
        """How many of a cell's largest contributions they look at."""
        return max(self.largest, 2 if self.margin else 1)

    def __post_init__(self) -> None:
        """Refuse rules that no cell could break or that mean nothing."""
        fine = (
            self.least >= 1 and self.largest >= 1 and 0 < self.share <= 1 and 0 <= self.margin < 1
            and self.margin <= self.known <= 1 and 0 < self.spread <= 1
        )
        if not fine:
            raise ConfigurationError(
                "WB-E-011", "The rules for sensitive amounts make no sense together.",
                "settings least, largest, share, margin, known, spread",
            )


@dataclass(frozen=True)
class Sensitive:
    """Sensitive cells; one value for each cell.

    Attributes:
        few, dominated, guessed, zero: which rule the cell breaks.
        up, down: how far it must be able to move, in units; zero for cells that are not sensitive.
        alone: cells of one contributor, who knows them.
    """

    few: Bools
    dominated: Bools
    guessed: Bools
    zero: Bools
    up: Ints
    down: Ints
    alone: Bools

    @property
    def cells(self) -> Bools:
        """Which cells are sensitive."""
        return self.few | self.dominated | self.guessed | self.zero


def contributions(
    records: pl.DataFrame, *, by: Sequence[Dimension], value: str, contributor: str, unit: float = 1.0, top: int = 2
) -> pl.DataFrame:
    """Sum amounts by cell, margins included, with the largest contributors of each.

    Args:
        records: rows with an amount each; several rows of one contributor in a cell are one contribution.
        by: the crossed dimensions.
        value: column of amounts, from zero.
        contributor: column that names who contributed.
        unit: what an amount of one unit is; amounts are rounded to it before they are added.
        top: how many of the largest contributions to keep.

    Returns:
        The columns of ``by``, ``all`` where summed over; ``contributors``, ``total`` and ``top_1`` … in units; and
        ``alone``, a number for the contributor of a cell that has no other, else null.

    Raises:
        PrivacyError: WB-E-046 when an amount is negative or missing, or a contributor has no name.
    """
    names = [name for dimension in by for name in dimension.columns]
    amount = pl.col(value).cast(pl.Float64, strict=False)
    who = pl.when(pl.col(contributor).cast(pl.String).str.len_chars() > 0).then(pl.col(contributor))
    read = records.select(
        pl.col(names).cast(pl.String).fill_null(NOT_REPORTED),
        who.rank("dense").cast(pl.Int64).alias("_who"),
        (amount / unit).round(0).cast(pl.Int64, strict=False).alias("_amount"),
    )
    wrong = read.filter(pl.col("_amount").is_null() | (pl.col("_amount") < 0) | pl.col("_who").is_null()).height
    if wrong:
        raise PrivacyError(
            "WB-E-046", "Amounts are negative or missing, or nobody contributed them.", f"{wrong} row(s)"
        )
    depths = itertools.product(*(range(len(dimension.columns) + 1) for dimension in by))
    margins = [
        {name for dimension, depth in zip(by, depth_of, strict=True) for name in dimension.columns[:depth]}
        for depth_of in depths
    ]
    return pl.concat([_summed(read, names, closed, top) for closed in margins])


def _summed(read: pl.DataFrame, names: Sequence[str], closed: set[str], top: int) -> pl.DataFrame:
    lifted = read.with_columns([pl.lit(ALL).alias(name) for name in names if name in closed])
    each = lifted.group_by([*names, "_who"]).agg(pl.col("_amount").sum())
    ordered = pl.col("_amount").sort(descending=True)
    return each.group_by(names, maintain_order=False).agg(
        pl.len().cast(pl.Int64).alias(FACTS[0]), pl.col("_amount").sum().alias(FACTS[1]),
        *(ordered.get(place, null_on_oob=True).fill_null(0).alias(TOP.format(place + 1)) for place in range(top)),
        pl.when(pl.len() == 1).then(pl.col("_who").first()).alias(ALONE),
    ).sort(names)


def sensitive_cells(cells: pl.DataFrame, rules: MagnitudeRules) -> Sensitive:
    """Find the sensitive cells of a table of amounts.

    A cell that breaks several rules must be able to move as far as the most demanding of them asks: far enough that
    the cell would keep the rule. Downwards it is the same, as far as nothing.

    Args:
        cells: ``contributors``, ``total`` and ``top_1`` to ``top_n`` in whole units, as many as the rules look at.
        rules: when a cell is sensitive.

    Raises:
        PrivacyError: WB-E-046 when a number is missing, negative or not whole, or parts exceed their total.
    """
    places = rules.places
    tops = [TOP.format(place) for place in range(1, places + 1)]
    count, total, *top = (_whole(cells, name) for name in (*FACTS, *tops))
    largest = np.sum(top[: rules.largest], axis=0)
    ordered = all((first >= second).all() for first, second in itertools.pairwise(top))
    if not ordered or (np.sum(top, axis=0) > total).any() or ((count == 0) & (total > 0)).any():
        raise PrivacyError("WB-E-046", "The largest contributions of a table are more than its totals.")
    share, ratio = Fraction(str(rules.share)), Fraction(str(rules.margin)) / Fraction(str(rules.known))
    rest = total - top[0] - (top[1] if places > 1 else 0)
    few, zero = (count > 0) & (count < rules.least), (count > 0) & (total == 0) & rules.zeros
    dominated = largest * share.denominator > share.numerator * total
    guessed = rest * ratio.denominator < ratio.numerator * top[0]
    asked = [
        np.where(few, np.maximum(1, _ceiling(Fraction(str(rules.spread)), total)), 0),
        np.where(dominated, np.maximum(1, _ceiling(1 / share, largest) - total), 0),
        np.where(guessed, np.maximum(1, _ceiling(ratio, top[0]) - rest), 0),
        np.where(zero, 1, 0),
    ]
    up: Ints = np.max(asked, axis=0)
    return Sensitive(few, dominated, guessed, zero, up, np.minimum(up, total), count == 1)


def magnitude_task(values: Ints, links: Links, found: Sensitive) -> Task:
    """Return what has to be protected in a table of amounts; hiding costs by the logarithm of what is hidden."""
    hidden = found.cells
    return Task(
        values, links, hidden, found.up, found.down, np.zeros_like(values),
        np.full(len(values), UNBOUNDED, dtype=np.int64), np.where(values > 0, 1 + np.log1p(values), np.inf),
    )


def _whole(cells: pl.DataFrame, name: str) -> Ints:
    if name not in cells.columns:
        raise ConfigurationError(
            "WB-E-015", "A table of amounts lacks a column that its rules look at.", f"column {name}"
        )
    column = cells[name].cast(pl.Float64, strict=False)
    if column.null_count() or bool(((column < 0) | (column != column.round(0)) | (column >= UNBOUNDED)).any()):
        raise PrivacyError("WB-E-046", "A number is missing, negative, not whole or too large.", f"column {name}")
    return cells[name].cast(pl.Int64).to_numpy()


def _ceiling(ratio: Fraction, amounts: Ints) -> Ints:
    """Return the least whole numbers that are at least ``ratio`` times the amounts, exactly."""
    return -(-amounts * ratio.numerator // ratio.denominator)
