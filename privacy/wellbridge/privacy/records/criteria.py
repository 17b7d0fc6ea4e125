"""What every class must fulfil before its persons may leave: k alike, and outcomes that differ enough among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from wellbridge.privacy.records.company import company
from wellbridge.privacy.records.ladders import Bools, Ints
from wellbridge.privacy.records.population import Look, Population
from wellbridge.privacy.records.spread import Distance, Spread, distinct_l, entropy_l, t_distance

# Distances and entropies are sums of doubles: what differs by less than this is equal.
EPSILON: Final = 1e-9


@dataclass(frozen=True)
class Sensitive:
    """What a sensitive attribute must keep within every class.

    Attributes:
        column: the attribute.
        distinct: least number of different values (distinct l-diversity).
        entropy: least exponential of the entropy (entropy l-diversity).
        t: greatest distance of a class from the whole released file (t-closeness); None: not asked.
        distance: the ground distance of t.
    """

    column: str
    distinct: int = 1
    entropy: float = 1.0
    t: float | None = None
    distance: Distance = Distance.EQUAL


@dataclass(frozen=True)
class Verdict:
    """Which classes of a look must be left out.

    Attributes:
        certain: those that fail on k or on distinct l. Of their persons none would pass at a finer node.
        failing: all that fail; t is measured against what is then left.
        joined: persons of each other class who go too, so that nobody is absent alone; None: nobody.
    """

    certain: Bools
    failing: Bools
    joined: Ints | None = None


@dataclass(frozen=True)
class Criteria:
    """The conditions of one release.

    Attributes:
        k: least number of persons in a class.
        sensitive: what classes must keep of sensitive attributes.
        gone: where persons can be followed: the last quasi-identifier is their past, and this says for each past, by
            its number, how many of it are not in the file at all. None: nobody can be followed.
    """

    k: int
    sensitive: Sequence[Sensitive] = ()
    gone: Ints | None = None

    def judge(self, population: Population, look: Look, allowed: int) -> Verdict:
        """Return which classes fail; stops early once more persons than allowed certainly fail."""
        verdict = self._judged(population, look, allowed)
        if self.gone is None:
            return verdict
        numbers, _, position = population.label_numbers(look, np.arange(len(look.counts)))
        past = np.zeros(len(look.counts), dtype=np.int64)
        past[position] = numbers[-1]
        failing = verdict.failing
        absent = self.gone.copy()
        np.add.at(absent, past[failing], look.counts[failing])
        return replace(verdict, joined=company(past, look.counts, ~failing, absent, self.k))

    def _judged(self, population: Population, look: Look, allowed: int) -> Verdict:
        certain = look.counts < self.k
        asked = [(number, rule) for number, rule in enumerate(self.sensitive)]
        if not asked or int(look.counts[certain].sum()) > allowed:
            return Verdict(certain, certain)
        spreads = [population.spread(look, number) for number, _ in asked]
        for (_, rule), found in zip(asked, spreads, strict=True):
            certain = certain | (distinct_l(found) < rule.distinct)
        failing = certain
        for (_, rule), found in zip(asked, spreads, strict=True):
            if rule.entropy > 1:
                failing = failing | (entropy_l(found) < rule.entropy - EPSILON)
        return Verdict(certain, self._far(population, look, spreads, failing, allowed))

    def _far(
        self, population: Population, look: Look, spreads: Sequence[Spread], failing: Bools, allowed: int
    ) -> Bools:
        """Leave out classes that are too far from what is left, until none is."""
        while any(rule.t is not None for rule in self.sensitive):
            kept = np.flatnonzero(~failing)
            if not len(kept) or int(look.counts[failing].sum()) > allowed:
                break
            far = np.zeros(len(kept), dtype=np.bool_)
            for number, rule in enumerate(self.sensitive):
                if rule.t is not None:
                    found = spreads[number].only(kept)
                    ladder = population.sensitive[number]
                    far |= t_distance(found, rule.distance, ladder) > rule.t + EPSILON
            if not far.any():
                break
            failing = failing.copy()
            failing[kept[far]] = True
        return failing
