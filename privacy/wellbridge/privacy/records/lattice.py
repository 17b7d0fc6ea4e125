"""The least lossy node of the generalisation lattice at which few enough persons are left out: proved, or bounded.

A node says for each quasi-identifier how far it is coarsened. Its loss is the mean share of the domains that the
released labels leave open, a person who is left out counting as everything left open. Three facts cut the search:

- Coarsening merges classes. Who is in too small a class at a node is in one at every finer node. So where too many
  are left out, they are at every finer node too.
- Who is left out at a node is left out at every finer one. So what that costs is part of the loss of all of these,
  on top of what their labels cost; a node whose sum is not below the best loss is not looked at.
- Labels cost the same whoever is left out, so this part of the loss is known for all nodes at once.

Sources: K. LeFevre et al., Incognito (SIGMOD 2005), roll-up and monotony; F. Kohlmayer et al., Flash (PASSAT 2012),
halving paths; V. Iyengar, Transforming data to satisfy privacy constraints (KDD 2002), the loss.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from wellbridge.privacy.records.classes import Levels
from wellbridge.privacy.records.criteria import Criteria
from wellbridge.privacy.records.ladders import Bools, Floats, Ints
from wellbridge.privacy.records.population import Look, Population, average_share

MOST_GRID: Final = 4_000_000  # nodes of a lattice that is searched as a whole
LARGE_NODES: Final = 5_000  # nodes looked at of a larger one, where nothing else is said
FIRST_PATHS: Final = 3
# Of nodes with the same loss the one that climbs least is wanted; far below any difference of losses that matters.
TIE: Final = 1e-9


@dataclass(frozen=True)
class Node:
    """A node that may be released.

    Attributes:
        levels: one for each quasi-identifier.
        loss: 0 (every value shown) to 1 (nothing shown).
        rank: the loss, and far behind it how far the node climbs: the smallest is wanted.
        suppressed: persons left out.
        failing: which of its classes are left out whole.
        look: its classes.
    """

    levels: Levels
    loss: float
    rank: float
    suppressed: int
    failing: Bools
    look: Look


@dataclass(frozen=True)
class Limits:
    """When a search that is not finished stops.

    Attributes:
        nodes: most nodes looked at; None: no limit.
        seconds: longest time, by the clock; None: no limit.
    """

    nodes: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Found:
    """The outcome of a search.

    Attributes:
        best: the node; None where none leaves out few enough.
        bound: no node that was not looked at has a smaller loss than this; equal to the best loss when it is proved.
        is_optimal: whether the best node is proved to be the least lossy.
        checked: nodes looked at.
        nodes: nodes of the lattice.
    """

    best: Node | None
    bound: float
    is_optimal: bool
    checked: int
    nodes: int


class Lattice:
    """All nodes of one file, and what is known of them.

    Args:
        population: the persons.
        criteria: what a class must fulfil.
        allowed: most persons left out.
        weights: how much the recipient needs each quasi-identifier; by column, 1 where not named.
    """

    def __init__(
        self, population: Population, criteria: Criteria, allowed: int, weights: Mapping[str, float] | None = None
    ) -> None:
        self.population, self.criteria, self.allowed = population, criteria, allowed
        ladders = population.ladders
        self.weights = np.array([float((weights or {}).get(ladder.column, 1.0)) for ladder in ladders])
        self.least: Levels = tuple(ladder.least for ladder in ladders)
        self.top: Levels = tuple(ladder.height for ladder in ladders)
        self.nodes = int(np.prod([h - low + 1 for h, low in zip(self.top, self.least, strict=True)], dtype=object))
        self.checked, self.best = 0, None if self.top else self._nothing()
        # What a quasi-identifier's labels cost at each level, over all rows.
        look = population.look(self.least)
        numbers, alike, _ = population.label_numbers(look, np.arange(len(look.counts)))
        self.costs = [self._costs(place, number, alike) for place, number in enumerate(numbers)]

    def _nothing(self) -> Node:
        """Without a quasi-identifier all persons are alike."""
        look = Look((), np.array([self.population.persons]), None)
        return Node((), 0.0, 0.0, 0, np.zeros(1, dtype=np.bool_), look)

    def _costs(self, place: int, number: np.ndarray, alike: np.ndarray) -> Floats:
        ladder = self.population.ladders[place]
        share = self.weights[place] / self.weights.sum()
        counted = np.bincount(number, weights=alike, minlength=ladder.sizes[ladder.least])
        steps = range(ladder.least, ladder.height + 1)
        shares = [ladder.share[level][ladder.between(ladder.least, level)] for level in steps]
        return np.array([share * float(counted @ one) / max(1, self.population.rows) for one in shares])

    def label_loss(self, levels: Levels) -> float:
        """Return what the labels of a node cost when nobody is left out: the loss of no node is smaller."""
        return float(sum(cost[v - low] for cost, v, low in zip(self.costs, levels, self.least, strict=True)))

    def climb(self, levels: Levels) -> float:
        """Return what tells nodes of the same loss apart: far below any difference of losses that matters."""
        parts = [(v - low) / (high - low) if high > low else 0.0
                 for v, low, high in zip(levels, self.least, self.top, strict=True)]
        return TIE * sum(parts) / len(parts)

    def check(self, levels: Levels) -> tuple[Node | None, float]:
        """Look at a node.

        Returns:
            The node, or None where too many would be left out; and what leaving out costs here and at every finer
            node, infinite where that cannot be allowed.
        """
        self.checked += 1
        look = self.population.look(levels)
        verdict = self.criteria.judge(self.population, look, self.allowed)
        if int(look.counts[verdict.certain].sum()) > self.allowed:
            return None, np.inf
        certain = self._left_out(look, np.where(verdict.certain, look.counts, 0))
        going = np.where(verdict.failing, look.counts, 0 if verdict.joined is None else verdict.joined)
        suppressed = int(going.sum())
        if suppressed > self.allowed or suppressed == self.population.persons:
            return None, certain
        same = verdict.failing is verdict.certain and verdict.joined is None
        cost = certain if same else self._left_out(look, going)
        loss = self.label_loss(levels) + cost
        node = Node(levels, loss, loss + self.climb(levels), suppressed, verdict.failing, look)
        if self.best is None or node.rank < self.best.rank:
            self.best = node
        return node, certain

    def _left_out(self, look: Look, going: Ints) -> float:
        """Return the loss that leaving persons of some classes out adds to what their labels cost already."""
        which = np.flatnonzero(going)
        numbers, alike, position = self.population.label_numbers(look, which)
        shown = average_share(self.population.ladders, look.levels, numbers, self.weights)
        part = (going[which] / look.counts[which])[position]
        return float((alike * part * (1 - shown)).sum()) / max(1, self.population.rows)

    def search(self, limits: Limits | None = None) -> Found:
        """Return the least lossy node, or the best within the limits with a bound on what could be better."""
        if not self.top:
            return Found(self.best, 0.0, True, 0, 1)
        fits = self.nodes <= MOST_GRID
        clock = Clock(limits or Limits(None if fits else LARGE_NODES), self)
        _, certain = self.check(self.top)
        if certain == np.inf:
            return Found(None, np.inf, True, self.checked, self.nodes)
        if fits:
            bound = Grid(self).search(clock)
        else:
            from wellbridge.privacy.records.descent import descend  # noqa: PLC0415 - it builds on this module

            bound = descend(self, clock)
        loss = self.best.loss if self.best else np.inf
        is_optimal = bound >= loss - 2 * TIE
        return Found(self.best, loss if is_optimal else bound, is_optimal, self.checked, self.nodes)


class Clock:
    """Says when a search stops."""

    def __init__(self, limits: Limits, lattice: Lattice) -> None:
        self._limits, self._lattice, self._begin = limits, lattice, time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether the limits are reached."""
        limits = self._limits
        return (limits.nodes is not None and self._lattice.checked >= limits.nodes) or (
            limits.seconds is not None and time.monotonic() - self._begin >= limits.seconds
        )

    def half_for(self, lattice: Lattice) -> Clock:
        """Return a clock that gives another lattice half of what is left."""
        nodes, seconds = self._limits.nodes, self._limits.seconds
        left = None if nodes is None else max(0, nodes - self._lattice.checked) // 2
        spent = time.monotonic() - self._begin
        return Clock(Limits(left, None if seconds is None else max(0.0, seconds - spent) / 2), lattice)


class Grid:
    """A lattice that fits into memory: for every node the least loss it can have, and whether it matters still."""

    def __init__(self, lattice: Lattice) -> None:
        self._lattice = lattice
        shape = [len(cost) for cost in lattice.costs]
        self._labels = np.zeros(shape)
        for place, cost in enumerate(lattice.costs):
            climb = TIE * np.arange(len(cost)) / max(1, len(cost) - 1) / len(shape)
            self._labels += (cost + climb).reshape([-1 if other == place else 1 for other in range(len(shape))])
        self._bound = self._labels.copy()
        self._open = np.ones(shape, dtype=np.bool_)
        self._open[tuple(size - 1 for size in shape)] = False

    def search(self, clock: Clock) -> float:
        """Look at nodes until none that matters is left; return the least loss that is left possible."""
        self._close()
        for _ in range(FIRST_PATHS):
            if self._open.any():
                self._halve(self._path(), clock)
        while self._open.any() and not clock.is_over:
            # Of the nodes that matter the costliest: when it fails, all finer ones go with it.
            self._check(np.unravel_index(np.where(self._open, self._labels, -1).argmax(), self._open.shape), clock)
        left = self._bound[self._open]
        best = self._lattice.best.loss if self._lattice.best else np.inf
        return min(best, float(left.min())) if left.size else best

    def _path(self) -> list[tuple[int, ...]]:
        """Return a path of nodes that matter from the least to a most lossy one, in the smallest steps."""
        found = np.unravel_index(np.where(self._open, self._bound, np.inf).argmin(), self._open.shape)
        node = tuple(int(v) for v in found)
        path = [node]
        while True:
            above = [(*node[:i], node[i] + 1, *node[i + 1:]) for i in range(len(node))
                     if node[i] + 1 < self._open.shape[i]]
            above = [other for other in above if self._open[other]]
            if not above:
                return path
            node = min(above, key=lambda other: float(self._labels[other]))
            path.append(node)

    def _halve(self, path: Sequence[tuple[int, ...]], clock: Clock) -> None:
        """Find the finest node of a path that may be released."""
        low, high = 0, len(path) - 1
        while low <= high and not clock.is_over:
            middle = (low + high) // 2
            fits = self._open[path[middle]] and self._check(path[middle], clock)
            low, high = (low, middle - 1) if fits else (middle + 1, high)

    def _check(self, place: Sequence[int] | tuple[np.intp, ...], clock: Clock) -> bool:
        at = tuple(int(v) for v in place)
        levels = tuple(v + low for v, low in zip(at, self._lattice.least, strict=True))
        node, certain = self._lattice.check(levels)
        finer = tuple(slice(0, v + 1) for v in at)
        self._open[at] = False
        if certain == np.inf:
            self._open[finer] = False
        else:
            np.maximum(self._bound[finer], self._labels[finer] + certain, out=self._bound[finer])
            self._close()
        return node is not None

    def _close(self) -> None:
        """Forget nodes that cannot be better than the best."""
        if self._lattice.best is not None:
            self._open &= self._bound < self._lattice.best.rank
