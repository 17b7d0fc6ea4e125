"""Estimates from a complex survey, as CDC makes them, and rates of counted deaths.

Students are not drawn one by one: classes of a school, schools of a primary sampling unit (PSU), PSUs of a
stratum. Linearisation turns an estimate into a sum of scores ``u`` over students; its variance is the
between-PSU variance of those sums within strata, PSUs taken as drawn with replacement. A subgroup keeps the
whole design: a student outside it scores 0, and no student, PSU or stratum is dropped, because how many of a
PSU's students fall into the subgroup is itself a matter of chance. CDC's printed intervals come out only so.

Sources: CDC, "Software for Analysis of YRBS Data" (August 2020); Lumley, Complex Surveys (2010), ch. 2;
CDC WONDER, "Confidence intervals" (exact Poisson limits below 100 deaths).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from wellbridge.schemas.errors import SourceError

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Lonely = Literal["fail", "certainty", "adjust"]

LEVEL: Final = 0.95
EXACT_BELOW: Final = 100  # deaths from which CDC WONDER uses the normal approximation
_STEPS: Final = 200  # halvings of a bisection; about 60 exhaust a float


@dataclass(frozen=True)
class Estimate:
    """One estimate with its uncertainty, on the scale of the variable (a proportion lies in 0–1).

    What cannot be stated is NaN: all of it for an empty domain, the interval of a proportion of 0 or 1.

    Attributes:
        value: the point estimate.
        se: linearised standard error.
        lower, upper: confidence limits; logit for proportions, symmetric else.
        df: PSUs less strata of the whole design, for a subgroup too.
        deff: variance against that of a simple random sample of the same size.
        n: students in the domain who answered.
        weighted: sum of their weights.
    """

    value: float
    se: float
    lower: float
    upper: float
    df: int
    deff: float
    n: int
    weighted: float


class Design:
    """Who was sampled how: weights, and PSUs nested in strata.

    PSU codes need be unique within their stratum only (YRBS 2023 uses 82 codes for 89 PSUs).

    Args:
        weight: weight of each student.
        stratum, psu: codes, one a student; any type that sorts.
        population: PSUs in each student's stratum in the population, where drawing without replacement is to
            shrink the variance by 1 − n/N. None for YRBS.
        lonely: what a stratum with a single PSU does: ``fail``; ``certainty`` (adds nothing, so understates);
            ``adjust`` (its distance from the mean of all PSUs).

    Raises:
        SourceError: WB-E-022 when a stratum has a single PSU and ``lonely`` is ``fail``.
    """

    def __init__(self, weight: Floats, stratum: npt.NDArray[Any], psu: npt.NDArray[Any],
                 population: Floats | None = None, lonely: Lonely = "fail") -> None:
        self.weight = np.asarray(weight, dtype=np.float64)
        _, strata = np.unique(stratum, return_inverse=True)
        _, units = np.unique(psu, return_inverse=True)
        pairs, first, self._unit = np.unique(
            strata * (units.max(initial=0) + 1) + units, return_index=True, return_inverse=True)
        self._stratum_of = strata[first]
        self.units = len(pairs)
        self._sizes = np.bincount(self._stratum_of)
        self.strata = len(self._sizes)
        self._fraction = np.zeros(self.strata)
        if population is not None:
            self._fraction[self._stratum_of] = self._sizes[self._stratum_of] / np.asarray(population)[first]
        self._lonely = lonely
        if lonely == "fail" and self.has_lonely:
            raise SourceError("WB-E-022", "A stratum with a single sampling unit has no variance to tell.",
                              f"{self.strata} strata · {self.units} units")

    @property
    def has_lonely(self) -> bool:
        """Whether a stratum has a single PSU."""
        return bool((self._sizes == 1).any())

    @property
    def df(self) -> int:
        """Degrees of freedom of the whole design."""
        return self.units - self.strata

    def variance(self, scores: Floats) -> float:
        """Between-PSU variance, within strata, of the sum of ``scores`` (one a student)."""
        totals = np.bincount(self._unit, weights=scores, minlength=self.units)
        means = np.bincount(self._stratum_of, weights=totals) / self._sizes
        centre = means[self._stratum_of]
        alone = self._sizes[self._stratum_of] == 1
        if self._lonely == "adjust":
            centre = np.where(alone, totals.mean(), centre)
        squares = np.bincount(self._stratum_of, weights=(totals - centre) ** 2)
        scale = np.where(self._sizes > 1, self._sizes / np.maximum(self._sizes - 1, 1), 1.0)
        return float(np.sum((1 - self._fraction) * scale * squares))


def proportion(design: Design, y: Floats, domain: Mask | None = None, level: float = LEVEL) -> Estimate:
    """Share of students with ``y`` = 1 among those of the domain with ``y`` = 0 or 1 (NaN: no answer).

    The interval is symmetric on the logit scale; a share of 0 or 1 has none (CDC's YRBS guide, 2023).
    """
    found = _mean(design, y, domain)
    p = found.value
    if math.isnan(p) or p in {0.0, 1.0} or design.df < 1:
        return found
    half = t_quantile(0.5 + level / 2, design.df) * found.se / (p * (1 - p))
    logit = math.log(p / (1 - p))
    return replace(found, lower=_expit(logit - half), upper=_expit(logit + half))


def mean(design: Design, y: Floats, domain: Mask | None = None, level: float = LEVEL) -> Estimate:
    """Weighted mean of ``y`` over the domain."""
    return _symmetric(_mean(design, y, domain), level)


def total(design: Design, y: Floats, domain: Mask | None = None, level: float = LEVEL) -> Estimate:
    """Weighted sum of ``y`` over the domain."""
    inside = _inside(y, domain)
    scores = np.where(inside, design.weight * np.where(inside, y, 0.0), 0.0)
    return _symmetric(_estimate(design, float(scores.sum()), scores, inside), level)


def ratio(design: Design, y: Floats, x: Floats, domain: Mask | None = None,
          level: float = LEVEL) -> Estimate:
    """Weighted sum of ``y`` over that of ``x``, both present."""
    inside = _inside(y, domain) & ~np.isnan(x)
    weight = np.where(inside, design.weight, 0.0)
    above, below = np.where(inside, y, 0.0), np.where(inside, x, 0.0)
    base = float((weight * below).sum())
    if base == 0:
        return _nothing(design)
    value = float((weight * above).sum()) / base
    return _symmetric(_estimate(design, value, weight * (above - value * below) / base, inside), level)


def _mean(design: Design, y: Floats, domain: Mask | None) -> Estimate:
    inside = _inside(y, domain)
    weight = np.where(inside, design.weight, 0.0)
    whole = float(weight.sum())
    if whole <= 0:
        return _nothing(design)
    filled = np.where(inside, y, 0.0)
    value = float((weight * filled).sum()) / whole
    found = _estimate(design, value, weight * (filled - value) / whole, inside)
    simple = float((weight * (filled - value) ** 2).sum()) / whole / found.n
    return replace(found, deff=found.se**2 / simple) if simple > 0 else found


def _inside(y: Floats, domain: Mask | None) -> Mask:
    answered: Mask = ~np.isnan(y)
    return answered if domain is None else answered & domain


def _estimate(design: Design, value: float, scores: Floats, inside: Mask) -> Estimate:
    return Estimate(
        value=value, se=math.sqrt(design.variance(scores)), lower=math.nan, upper=math.nan, df=design.df,
        deff=math.nan, n=int(inside.sum()), weighted=float(design.weight[inside].sum()),
    )


def _nothing(design: Design) -> Estimate:
    nan = math.nan
    return Estimate(value=nan, se=nan, lower=nan, upper=nan, df=design.df, deff=nan, n=0, weighted=0.0)


def _symmetric(found: Estimate, level: float) -> Estimate:
    if found.df < 1 or math.isnan(found.se):
        return found
    half = t_quantile(0.5 + level / 2, found.df) * found.se
    return replace(found, lower=found.value - half, upper=found.value + half)


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# -- quantiles --------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def t_quantile(p: float, df: int) -> float:
    """Quantile of Student's t for whole degrees of freedom, 0.5 ≤ p < 1, to about 1e-12."""
    if not 0.5 <= p < 1 or df < 1:
        raise ValueError("a t quantile needs 0.5 <= p < 1 and df >= 1")
    return _root(lambda t: _t_within(t, df) - (2 * p - 1), 0.0, 1.0)


def _t_within(t: float, df: int) -> float:
    """P(−t ≤ T ≤ t): the finite series for whole df (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan2(t, math.sqrt(df))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = df % 2
    term, series = (cosine, cosine if df > 1 else 0.0) if odd else (1.0, 1.0)
    for k in range(3 if odd else 2, df - 1, 2):
        term *= cosine * cosine * ((k - 1) / k)
        series += term
    return 2 / math.pi * (angle + sine * series) if odd else sine * series


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Zero of a rising function at or above ``low``, by doubling ``high`` and then halving the gap."""
    while rising(high) < 0:
        high *= 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


# -- rates of counted events ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rate:
    """A crude rate per ``multiplier`` persons with its standard error and 95 % limits."""

    value: float
    se: float
    lower: float
    upper: float


def crude_rate(events: int, population: int, multiplier: float = 100_000) -> Rate:
    """Crude rate as CDC WONDER states it: exact Poisson limits below 100 events, ± 1.96 SE from there on."""
    scale = multiplier / population
    if events < EXACT_BELOW:
        low, high = poisson_limits(events)
    else:
        half = 1.96 * math.sqrt(events)
        low, high = events - half, events + half
    return Rate(events * scale, math.sqrt(events) * scale, low * scale, high * scale)


@lru_cache(maxsize=256)
def poisson_limits(events: int, level: float = LEVEL) -> tuple[float, float]:
    """Exact (Garwood) limits of a Poisson mean of which ``events`` were seen; the lower is 0 for none.

    They are half the chi-square quantiles with 2·events and 2·(events + 1) degrees of freedom.
    """
    tail = (1 - level) / 2
    lower = _root(lambda m: 1 - _poisson_at_most(events - 1, m) - tail, 0.0, 1.0) if events else 0.0
    upper = _root(lambda m: tail - _poisson_at_most(events, m), 0.0, 1.0)
    return lower, upper


def _poisson_at_most(events: int, expected: float) -> float:
    """P(X ≤ events) of a Poisson variable."""
    if expected == 0:
        return 1.0
    return math.fsum(
        math.exp(k * math.log(expected) - expected - math.lgamma(k + 1)) for k in range(events + 1))
