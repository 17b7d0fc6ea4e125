"""The search of a lattice that is too large to hold: from the top down, with a bound on what was not reached.

Every node that may be released lies below others that may, so nothing is missed while the queue lasts. What could
still be found is bounded by an easier task that fits into memory: some quasi-identifiers with all others hidden, these
costing what they cost at the finest level at which each could be shown alone.

Source: K. LeFevre et al., Incognito (SIGMOD 2005), section 3.2: what fails for a subset of the quasi-identifiers fails
for all of them.
"""

from __future__ import annotations

import heapq
from typing import Final

import numpy as np

from wellbridge.privacy.records.classes import Levels
from wellbridge.privacy.records.lattice import Clock, Grid, Lattice

MOST_RELAXED: Final = 100_000  # nodes of the easier task


def descend(lattice: Lattice, clock: Clock) -> float:
    """Look at nodes until none is left or the clock is over; return the least loss that is left possible."""
    return _Descent(lattice, clock).search()


class _Descent:
    def __init__(self, lattice: Lattice, clock: Clock) -> None:
        self._lattice, self._clock = lattice, clock
        self._failed = np.empty((0, len(lattice.top)), dtype=np.int64)
        self._floors = list(lattice.least)

    def search(self) -> float:
        lattice = self._lattice
        self._find_floors()
        least, floor = self._least(), lattice.label_loss(tuple(self._floors))

        def bound(cost: float) -> float:
            """What no node below one is below; the easier task's loss holds who is left out already."""
            return max(least, floor + cost)

        queue: list[tuple[float, Levels, float]] = [(1.0, lattice.top, 0.0)]
        seen = {lattice.top}
        while queue and not self._clock.is_over:
            entry = heapq.heappop(queue)
            _, levels, cost = entry
            if lattice.best is not None and bound(cost) >= lattice.best.loss:
                continue
            for finer in self._finer(levels):
                if self._clock.is_over:
                    heapq.heappush(queue, entry)  # what lies below it was not all seen
                    break
                if finer in seen:
                    continue
                seen.add(finer)
                certain = self._check(finer)
                if certain < np.inf:
                    heapq.heappush(queue, (lattice.label_loss(finer) + certain, finer, certain))
        best = lattice.best.loss if lattice.best else np.inf
        return min([best, *(bound(cost) for _, _, cost in queue)])

    def _check(self, levels: Levels) -> float:
        """Return what leaving out costs at a node and below it; infinite where it cannot be allowed."""
        if (self._failed >= np.array(levels)).all(axis=1).any():
            return np.inf
        _, certain = self._lattice.check(levels)
        if certain == np.inf:
            self._failed = np.vstack([self._failed, levels])
        return certain

    def _finer(self, levels: Levels) -> list[Levels]:
        return [(*levels[:place], level - 1, *levels[place + 1:]) for place, level in enumerate(levels)
                if level > self._floors[place]]

    def _alone(self, shown: dict[int, int]) -> Levels:
        """Return the node that shows some quasi-identifiers at a level and hides all others."""
        return tuple(shown.get(place, top) for place, top in enumerate(self._lattice.top))

    def _find_floors(self) -> None:
        """Find the finest level of each quasi-identifier at which it could be shown with all others hidden."""
        for place, (low, top) in enumerate(zip(self._lattice.least, self._lattice.top, strict=True)):
            level = top
            while level > low and not self._clock.is_over and self._check(self._alone({place: level - 1})) < np.inf:
                level -= 1
            self._floors[place] = low if self._clock.is_over else level

    def _least(self) -> float:
        """Return a loss that no node is below: the optimum with the less telling quasi-identifiers hidden, for free."""
        ladders = self._lattice.population.ladders
        by_values = sorted(range(len(ladders)), key=lambda place: -ladders[place].sizes[0])
        kept: list[int] = []
        nodes = 1
        for place in by_values:
            nodes *= self._lattice.top[place] - self._floors[place] + 1
            if nodes > MOST_RELAXED:
                break
            kept.append(place)
        relaxed = _Relaxed(self._lattice, self._floors, kept)
        relaxed.check(relaxed.top)
        bound = Grid(relaxed).search(self._clock.half_for(relaxed))
        self._lattice.checked += relaxed.checked
        return bound


class _Relaxed(Lattice):
    """A lattice of some of the quasi-identifiers, the others hidden, their labels costing what they cost at least."""

    def __init__(self, whole: Lattice, floors: list[int], kept: list[int]) -> None:
        self.population, self.criteria, self.allowed = whole.population, whole.criteria, whole.allowed
        self.weights, self.top, self.checked, self.best = whole.weights, whole.top, 0, None
        self.least = tuple(floors[place] if place in kept else top for place, top in enumerate(whole.top))
        self.costs = [
            cost[floor - low:] if place in kept else cost[floor - low: floor - low + 1]
            for place, (cost, floor, low) in enumerate(zip(whole.costs, floors, whole.least, strict=True))
        ]
