"""What a hub does with two encoded files: compare, score, find the limit, decide one to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from wellbridge.etl.identity.decide import CONSTRAINT, Limits, Source, decide, odds_bits, prior_bits
from wellbridge.etl.identity.encoded.calibration import PRECISION, Calibration, calibrate
from wellbridge.etl.identity.encoded.matching import Pairs, compared
from wellbridge.etl.identity.encoded.profile import Encoded
from wellbridge.etl.identity.encoded.scorer import (
    TWIN_GROUPS,
    Model,
    built_in,
    evidence_bits,
    has_twin,
    scored,
    shares_home,
)

LEFT: Final = "left"
RIGHT: Final = "right"
_LEAST_BITS: Final = 0.0  # a link is at least as likely right as wrong, whatever the calibration says


@dataclass(frozen=True)
class Linked:
    """What came of two encoded files.

    Attributes:
        pairs: ``left_row, right_row`` (from 1), ``outcome`` ("link", one to one; "review", which a person would have to
            decide), ``bits`` (log2 odds), ``weight`` (bits of evidence), ``margin``; links first, sorted by row.
        outcomes: reason → pairs, of ``decide``.
        calibration: the limit and what it is expected to cost, where the roster is large enough to tell.
        limit_bits: least log2 odds of a link: the calibration's, or the usual one where there is none.
        candidates: pairs that shared a token.
    """

    pairs: pl.DataFrame
    outcomes: dict[str, int]
    calibration: Calibration
    limit_bits: float
    candidates: int

    @property
    def links(self) -> pl.DataFrame:
        """The pairs that are linked: ``left_row, right_row, bits``."""
        return self.pairs.filter(pl.col("outcome") == "link").select("left_row", "right_row", "bits")

    @property
    def is_calibrated(self) -> bool:
        """Whether the limit was found from these two files."""
        return self.calibration.links > 0


def link(
    left: Encoded, right: Encoded, *, model: Model | None = None, precision: float = PRECISION
) -> Linked:
    """Link two encoded files that each hold a child once.

    Args:
        left: the roster: its look-alikes tell where the limit lies.
        right: the partner's.
        model: weights; the built-in ones where none are given.
        precision: share of links that must be right.
    """
    model = model or built_in()
    limits = Limits()
    names = tuple(_names(side, len(records)) for side, records in ((LEFT, left), (RIGHT, right)))
    size = len(left), len(right)
    inside = compared(left, left, within=True), compared(right, right, within=True, groups=TWIN_GROUPS)
    twins = has_twin(inside[0], size[0]), has_twin(inside[1], size[1])
    across = compared(left, right)
    pairs = scored(_likely(across, model, limits, size), model, (names[0], names[1]), (LEFT, RIGHT), twins)
    alike = scored(
        _likely(inside[0], model, limits, size),
        model,
        (names[0], names[0]),
        (LEFT, LEFT),
        (twins[0], twins[0]),
    )
    found = calibrate(
        _open(pairs, limits, size), _open(alike, limits, size), *size, precision=precision, least=_LEAST_BITS
    )
    bits = found.bits if found.links else odds_bits(limits.auto)
    decided = decide(
        pairs,
        pl.DataFrame(schema=CONSTRAINT),
        [Source(LEFT, size[0]), Source(RIGHT, size[1])],
        Limits(auto=1 / (1 + 2**-bits)),
    )
    outcomes = dict(decided.group_by("outcome").len().sort("outcome").iter_rows())
    row = {
        side: pl.col(f"record_{end}").str.slice(1).cast(pl.Int64) for side, end in ((LEFT, "a"), (RIGHT, "b"))
    }
    told = decided.filter(pl.col("outcome").is_in(["link", "review"])).select(
        row[LEFT].alias("left_row"),
        row[RIGHT].alias("right_row"),
        "outcome",
        pl.col("bits", "weight", "margin").round(1),
    )
    return Linked(told.sort("outcome", "left_row", "right_row"), outcomes, found, bits, len(across))


def _names(side: str, count: int) -> pl.Series:
    return pl.select(pl.concat_str(pl.lit(side[0]), pl.int_range(1, count + 1).cast(pl.String))).to_series()


def _likely(pairs: Pairs, model: Model, limits: Limits, size: tuple[int, int]) -> Pairs:
    """Leave out pairs too unlikely even for a question: they are no link, and no link's near rival either."""
    prior = np.where(shares_home(pairs), prior_bits(limits.share, 1, 1), prior_bits(limits.share, *size))
    return pairs.taken(evidence_bits(pairs, model) + prior >= odds_bits(limits.review))


def _open(pairs: pl.DataFrame, limits: Limits, size: tuple[int, int]) -> pl.DataFrame:
    """Return the pairs that no guard forbids, with the prior in their bits, as ``decide`` adds it."""
    home, others = prior_bits(limits.share, 1, 1), prior_bits(limits.share, *size)
    prior = pl.when("shares_home").then(home).otherwise(others)
    allowed = pairs.filter("first_agrees", ~pl.col("is_twin_like"), "is_enough")
    return allowed.select("record_a", "record_b", (pl.col("weight") + prior).alias("bits"))
