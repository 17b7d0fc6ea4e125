"""Perturbation tables of the cell-key method: with which probability a count becomes which other.

Each row is the distribution of greatest entropy among those that are unbiased, have a given variance, change a count
by at most D, leave nothing below zero and show no count from 1 to a threshold. Zero stays zero.

Source: Marley and Leaver (2011), A Method for Confidentialising User-Defined Tables; Giessing (2016), Computational
Issues in the Design of Transition Probabilities; Fraser and Wooton (2005). Computed here, not taken from a package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from wellbridge.privacy.tables.sums import Floats, Ints
from wellbridge.schemas.errors import ConfigurationError

KEY_BITS: Final = 32
EXACT: Final = 1e-9  # how closely mean and variance are met
_STEPS: Final = 200
MOST_NOISE: Final = 1_000


@dataclass(frozen=True)
class PerturbationTable:
    """Transition probabilities of counts.

    Attributes:
        max_noise: D, the most by which a count changes.
        variance: of the noise, the same for every count but zero.
        hidden_to: no count from 1 to this is shown; 0 hides none.
        rows: one row for each count from 0 on, the last for all larger ones; columns are noises from −D to D.
    """

    max_noise: int
    variance: float
    hidden_to: int
    rows: Floats

    @property
    def noises(self) -> Ints:
        """The columns' noises."""
        return np.arange(-self.max_noise, self.max_noise + 1)

    def problems(self) -> list[str]:
        """Return which promised properties do not hold, as short names."""
        counts, noises = np.arange(len(self.rows))[:, None], self.noises[None, :]
        after = counts + noises
        forbidden = (after < 0) | ((after >= 1) & (after <= self.hidden_to))
        wanted = np.where(counts[:, 0] == 0, 0.0, self.variance)
        checks = {
            "no probabilities": (self.rows < 0).any() or (np.abs(self.rows.sum(axis=1) - 1) > EXACT).any(),
            "biased": (np.abs(self.rows @ self.noises) > EXACT * self.max_noise).any(),
            "other variance": (np.abs(self.rows @ self.noises**2 - wanted) > EXACT * self.max_noise**2).any(),
            "zero changes": self.rows[0, self.max_noise] != 1.0,
            "negative or hidden counts": (self.rows[forbidden] > 0).any(),
        }
        return [name for name, is_broken in checks.items() if is_broken]

    def noise(self, counts: Ints, keys: Ints) -> Ints:
        """Return each cell's noise, looked up by its count and its key.

        Args:
            counts: from 0.
            keys: from 0 to 2³² − 1; uniform for a reader who does not know the records' keys.
        """
        ends = np.rint(np.cumsum(self.rows, axis=1) * (1 << KEY_BITS)).astype(np.int64)
        ends[:, -1] = 1 << KEY_BITS
        row = np.minimum(counts, len(self.rows) - 1)
        flat = (ends + (np.arange(len(ends), dtype=np.int64)[:, None] << KEY_BITS)).ravel()
        place: Ints = np.searchsorted(flat, (row << KEY_BITS) + keys, side="right").astype(np.int64)
        place -= row * len(self.noises) + self.max_noise
        return place


def feasible_variance(max_noise: int, hidden_to: int) -> tuple[float, float]:
    """Return the least and the greatest variance that every count's noise can have without bias.

    A count i of 1 … h must become 0 or h + 1 and more, so its noise has at least the variance of the two next to it,
    i (h + 1 − i); a count of 1 can fall by one alone, so its noise has at most 1 · D.
    """
    least = max((i * (hidden_to + 1 - i) for i in range(1, hidden_to + 1)), default=0)
    return float(least), float(max_noise)


def perturbation_table(max_noise: int, variance: float, hidden_to: int = 0) -> PerturbationTable:
    """Compute the table of greatest entropy.

    Raises:
        ConfigurationError: WB-E-011 when no such noise exists, naming the variances that are possible.
    """
    least, greatest = feasible_variance(max_noise, hidden_to)
    if not 1 <= max_noise <= MOST_NOISE or not 0 <= hidden_to < max_noise:
        raise ConfigurationError(
            "WB-E-011", f"The noise must be 1 to {MOST_NOISE}, and more than the counts that are never shown.",
            "settings max_noise, hidden_to",
        )
    if not max(least, EXACT) <= variance <= greatest:
        raise ConfigurationError(
            "WB-E-011", "No unbiased noise has this variance for every count.",
            f"setting variance · possible with this max_noise and hidden_to: {least:g} to {greatest:g}",
            todo="Take a variance in that range, more noise, or fewer counts that are never shown",
        )
    rows = np.zeros((max_noise + hidden_to + 2, 2 * max_noise + 1))
    rows[0, max_noise] = 1.0
    for count in range(1, len(rows)):
        noises = np.arange(-max_noise, max_noise + 1)
        after = count + noises
        allowed = (after >= 0) & ((after == 0) | (after > hidden_to))
        rows[count, allowed] = _of_greatest_entropy(noises[allowed].astype(np.float64), variance)
    made = PerturbationTable(max_noise, variance, hidden_to, rows)
    if made.problems():
        raise ConfigurationError("WB-E-011", "No noise was found that keeps all it promises.",
                                 f"settings max_noise, variance, hidden_to · {', '.join(made.problems())}")
    return made


def _of_greatest_entropy(noises: Floats, variance: float) -> Floats:
    """Return the distribution on ``noises`` with mean 0 and a variance that has the greatest entropy.

    It has the form exp(a·v + b·v²); a and b minimise a convex function, found by damped Newton steps. At the least
    and the greatest possible variance only two noises are left, and their shares follow from the mean.
    """
    below, above = noises[noises < 0], noises[noises > 0]
    if 0 not in noises and variance <= -below.max() * above.min() + EXACT:
        return _two(noises, below.max(), above.min())
    if variance >= -below.min() * above.max() - EXACT:
        return _two(noises, below.min(), above.max())
    scale = max(-noises.min(), noises.max())
    facts = np.stack([noises / scale, (noises**2 - variance) / scale**2])
    at = np.zeros(2)
    value, shares = _dual(facts, at)
    for _ in range(_STEPS):
        gradient = facts @ shares
        if np.abs(gradient).max() < EXACT / 1000:
            break
        spread = (facts * shares) @ facts.T - np.outer(gradient, gradient)
        step = np.linalg.solve(spread + 1e-15 * np.eye(2), gradient)
        gain = float(gradient @ step)
        length = 1.0
        following, probable = _dual(facts, at - step)
        # Close to the end a gain is lost in the value's last digits, and full steps are right.
        while gain > 1e-9 and following > value - 1e-4 * length * gain and length > 1e-12:
            length /= 2
            following, probable = _dual(facts, at - length * step)
        at, value, shares = at - length * step, following, probable
    return shares


def _dual(facts: Floats, at: Floats) -> tuple[float, Floats]:
    heights = at @ facts
    top = float(heights.max())
    weights = np.exp(heights - top)
    total = float(weights.sum())
    return top + float(np.log(total)), weights / total


def _two(noises: Floats, low: float, high: float) -> Floats:
    shares = np.zeros(len(noises))
    shares[noises == low], shares[noises == high] = high / (high - low), -low / (high - low)
    return shares
