"""Differentially private counts: noise of OpenDP's discrete mechanisms on a table with all its margins.

One person changes as many cells of the published table as there are sets of margins, times the inner cells the person
is in; the noise is made for that, so all published counts together lose what is accounted. Published counts do not
add up and can be below zero: nothing is done to them afterwards.

Source: Canonne, Kamath and Steinke (2020), The Discrete Gaussian for Differential Privacy; Ghosh, Roughgarden and
Sundararajan (2009) for the discrete Laplace. The cells themselves must be public: a member that only the data reveal
is not hidden by noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from types import ModuleType
from typing import Any, Final

import numpy as np

from wellbridge.privacy.noise.budget import Loss, Measure
from wellbridge.privacy.tables.sums import Ints
from wellbridge.schemas.errors import ConfigurationError

ALPHA: Final = 0.05  # accuracy is stated for 95 of 100 counts
_LEAST_LOSS: Final = 1e-9  # below, noise is larger than any count of persons, and drawing it exactly takes for ever


class Noise(StrEnum):
    """Which noise: discrete Laplace, accounted in pure ε; discrete Gaussian, accounted in ρ of zCDP."""

    LAPLACE = "laplace"
    GAUSSIAN = "gaussian"


@dataclass(frozen=True)
class Mechanism:
    """A mechanism for a table, its noise not drawn yet.

    Attributes:
        noise: the distribution.
        scale: its scale.
        loss: what OpenDP's own map says that publishing the table costs.
        accuracy: 95 of 100 counts are within this of the truth.
    """

    noise: Noise
    scale: float
    loss: Loss
    accuracy: float
    _measurement: Any

    def draw(self, counts: Ints) -> Ints:
        """Return the counts with fresh noise; what it costs must have been written down."""
        return np.asarray(self._measurement(counts.tolist()), dtype=np.int64)


def mechanism(noise: Noise, amount: float, *, cells_of_one: int) -> Mechanism:
    """Prepare noise for a table in which one person changes ``cells_of_one`` published cells by one each.

    Args:
        noise: which.
        amount: ε for Laplace, ρ for Gaussian.
        cells_of_one: cells that one person changes.

    Raises:
        ConfigurationError: WB-E-011 when the amount is no number of at least a billionth, or OpenDP is not installed.
    """
    if not (math.isfinite(amount) and amount >= _LEAST_LOSS) or cells_of_one < 1:
        raise ConfigurationError(
            "WB-E-011", f"A privacy loss must be a number of at least {_LEAST_LOSS:g}.", "--epsilon or --rho"
        )
    dp = _opendp()
    counts = dp.vector_domain(dp.atom_domain(T="i64"))
    distance: float
    if noise is Noise.LAPLACE:
        space, distance, scale = (counts, dp.l1_distance(T="i64")), cells_of_one, cells_of_one / amount
        make, accuracy = dp.m.make_laplace, dp.discrete_laplacian_scale_to_accuracy
    else:
        # Of the root the next larger number: a sensitivity rounded down would promise too much.
        distance = math.nextafter(math.sqrt(cells_of_one), math.inf)
        space, scale = (counts, dp.l2_distance(T="f64")), distance / math.sqrt(2 * amount)
        make, accuracy = dp.m.make_gaussian, dp.discrete_gaussian_scale_to_accuracy
    made = make(*space, scale=scale)
    cost = made.map(distance)
    while cost > amount:  # the last digit
        scale = math.nextafter(scale, math.inf) * (1 + 1e-15)
        made = make(*space, scale=scale)
        cost = made.map(distance)
    measure = Measure.PURE if noise is Noise.LAPLACE else Measure.ZCDP
    return Mechanism(noise, scale, Loss(measure, Fraction(cost)), float(accuracy(scale, ALPHA)), made)


def epsilon_of(rho: Fraction, delta: float) -> float:
    """Return ε of (ε, δ)-differential privacy that a budget of ρ amounts to, by OpenDP's conversion."""
    dp = _opendp()
    space = (dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64"))
    made = dp.m.make_gaussian(*space, scale=1 / math.sqrt(2 * float(rho)))
    return float(dp.c.make_zCDP_to_approxDP(made).map(1.0).epsilon(delta))


def _opendp() -> ModuleType:
    found: ModuleType | None = None
    try:
        import opendp.prelude as found  # noqa: PLC0415 - an extra
    except ImportError:
        found = None
    if found is None:
        raise ConfigurationError(
            "WB-E-011", "Differentially private counts need OpenDP, which is not installed.", "extra dp",
            todo="pip install 'wellbridge[dp]'",
        )
    found.enable_features("contrib")
    return found
