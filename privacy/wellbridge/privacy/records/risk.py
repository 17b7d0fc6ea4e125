"""How likely a person of a record file is found, and how many are unique: in the file, and in the population behind it.

Three attackers. The prosecutor knows that the person is in the file. The journalist knows only that the person is in
the population that the file was drawn from. The marketer wants as many as possible, whoever they are. For a whole
enrolment the file is the population, so the first two are the same.

Source: K. El Emam, Guide to the De-Identification of Personal Health Information (2013), chapters 16 and 17;
F. Dankar et al., Estimating the re-identification risk of clinical data sets (BMC Med Inform Decis Mak 12:66, 2012).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from wellbridge.privacy.records.ladders import Ints

Sizes = Mapping[int, int]  # size of a class in persons → number of classes
_STEPS: Final = 60
_GOLDEN: Final = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Risk:
    """The chance that an attacker names the right person.

    Attributes:
        highest: of the person who is found most easily, 0 to 1.
        average: over all persons; what a marketer can expect to get right.
        at_risk: share of persons whose risk is above the threshold.
    """

    highest: float
    average: float
    at_risk: float


def prosecutor(sizes: Sizes, threshold: float) -> Risk:
    """Return the risk when the attacker knows who is in the file: one over the size of the class."""
    return _risk(np.array(list(sizes), dtype=np.int64), np.array(list(sizes), dtype=np.float64),
                 np.array(list(sizes.values()), dtype=np.int64), threshold)


def journalist(in_file: Ints, in_population: Ints, threshold: float) -> Risk:
    """Return the risk when the attacker knows the population: one over the size of the class in it.

    Args:
        in_file: persons of each class in the file.
        in_population: persons of the same classes in the population, at least as many.
        threshold: above it a person is at risk.
    """
    return _risk(in_file, in_population.astype(np.float64), np.ones_like(in_file), threshold)


def journalist_by_fraction(sizes: Sizes, fraction: float, threshold: float) -> Risk:
    """Return the same where only the share of the population in the file is known: classes are as much larger."""
    size = np.array(list(sizes), dtype=np.int64)
    return _risk(size, size / fraction, np.array(list(sizes.values()), dtype=np.int64), threshold)


def _risk(in_file: Ints, behind: np.ndarray, classes: Ints, threshold: float) -> Risk:
    persons = in_file * classes
    total = int(persons.sum())
    if not total:
        return Risk(0.0, 0.0, 0.0)
    each = 1 / behind
    above = each > threshold * (1 + 1e-12)
    return Risk(float(each.max()), float((persons * each).sum() / total), float(persons[above].sum() / total))


def zayatz(sizes: Sizes, fraction: float) -> float:
    """Estimate how many persons are unique in the population.

    A class of i persons of the population shows exactly one of them in a sample of fraction p with probability
    i p (1 − p)^(i − 1). Taking the sample's distribution of class sizes for the population's, Bayes' rule gives the
    chance that a sample unique is a population unique. It overestimates where the fraction is small.

    Source: L. Zayatz, Estimation of the percent of unique population elements on a microdata file using the sample
    (US Census Bureau, SRD RR-91/08, 1991), with the binomial for the hypergeometric distribution.
    """
    alone = sizes.get(1, 0)
    if not alone or fraction >= 1:
        return float(alone)
    shown = {size: size * fraction * (1 - fraction) ** (size - 1) for size in sizes}
    chance = alone * shown[1] / sum(count * shown[size] for size, count in sizes.items())
    return alone * chance / fraction


def pitman(sizes: Sizes, fraction: float) -> float:
    """Estimate how many persons are unique in the population, from the Ewens–Pitman distribution of class sizes.

    The two parameters are those of greatest likelihood of the sample's class sizes; the estimate is the expected
    number of classes of one in a population of n / fraction persons.

    Source: N. Hoshino, Applying Pitman's sampling formula to microdata disclosure risk assessment (Journal of
    Official Statistics 17(4), 2001). The best of four estimators for fractions of at most 0.1 (Dankar et al. 2012).

    Note:
        In simulations of 40,000 persons and fractions of 0.05 and 0.1 within 2 points of the population where class
        sizes are skewed, as those of quasi-identifiers are; about 20 points too high where all are alike.
    """
    alone = sizes.get(1, 0)
    if not alone or fraction >= 1:
        return float(alone)
    persons = sum(size * count for size, count in sizes.items())
    population = persons / fraction
    if len(sizes) == 1:
        return population  # nobody is like anybody: no likelihood has a maximum, and the worst is assumed
    classes = sum(sizes.values())

    def likelihood(alpha: float, theta: float) -> float:
        return ((classes - 1) * math.log(alpha) + math.lgamma(theta / alpha + classes)
                - math.lgamma(theta / alpha + 1) - math.lgamma(theta + persons) + math.lgamma(theta + 1))

    def best_theta(alpha: float) -> float:
        return math.exp(_highest(lambda log: likelihood(alpha, math.exp(log)), -10.0, math.log(1e3 * persons)))

    def profile(alpha: float) -> float:
        inside = sum(count * (math.lgamma(size - alpha) - math.lgamma(1 - alpha)) for size, count in sizes.items())
        return inside + likelihood(alpha, best_theta(alpha))

    alpha = _highest(profile, 1e-3, 1 - 1e-3)
    theta = best_theta(alpha)
    expected = math.exp(
        math.lgamma(theta + 1) - math.lgamma(theta + alpha)
        + math.lgamma(theta + population + alpha - 1) - math.lgamma(theta + population) + math.log(population)
    )
    return min(expected, population)


def population_uniques(sizes: Sizes, fraction: float) -> tuple[float, str]:
    """Return the estimate and the name of its estimator: Pitman's for fractions up to 0.1, else Zayatz'.

    The choice by fraction is that of Dankar et al. (2012), without their third estimator (slide negative binomial).
    """
    if fraction >= 1:
        return float(sizes.get(1, 0)), "counted: the file is the population"
    return (pitman(sizes, fraction), "Pitman") if fraction <= 0.1 else (zayatz(sizes, fraction), "Zayatz")


def _highest(of: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function with one maximum has it, by golden sections."""
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = of(left), of(right)
    for _ in range(_STEPS):
        if at_left < at_right:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = of(right)
        else:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = of(left)
    return (low + high) / 2
