"""On which crosses of dimensions tables are put, so that nothing of what they say together is lost.

Tables by school and race and by grade say nothing of schools and grades together, so one cross of all three would be
large for nothing. Crosses whose dimensions hang together like a tree can be filled in one after the other from their
shared margins, in whole numbers; so each keeps its own dimensions. Around a ring (school and race, race and grade,
grade and school) margins that agree pair by pair need not agree together: there the crosses become one.

Source: N. N. Vorob'ev (1962) on consistent families of measures; C. Beeri, R. Fagin, D. Maier, M. Yannakakis, On the
desirability of acyclic database schemes (J. ACM 30(3), 1983), on the running intersection property.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cross:
    """A cross of some dimensions.

    Attributes:
        dimensions: their numbers, sorted.
        parent: number of the cross with which it shares all that it shares with those before it; None for the first.
    """

    dimensions: tuple[int, ...]
    parent: int | None


def crosses(used: Iterable[frozenset[int]]) -> list[Cross]:
    """Return crosses such that each set of dimensions lies in one of them, each after its parent."""
    sets = _largest(used)
    while True:
        order, rest = _ordered(sets)
        if not rest:
            return order
        placed = [frozenset(cross.dimensions) for cross in order]
        odd = rest[0]
        near = max(placed, key=lambda one: len(one & odd))
        sets = _largest([*(one for one in placed if one != near), *rest[1:], near | odd])


def _largest(used: Iterable[frozenset[int]]) -> list[frozenset[int]]:
    distinct = sorted(set(used), key=lambda one: (-len(one), sorted(one)))
    return [one for one in distinct if not any(one < other for other in distinct)]


def _ordered(sets: Sequence[frozenset[int]]) -> tuple[list[Cross], list[frozenset[int]]]:
    """Return sets in an order in which each hangs on one before it, and those that hang on none."""
    order, rest = [sets[0]], list(sets[1:])
    parents: list[int | None] = [None]
    while rest:
        seen = frozenset().union(*order)
        ready = [
            (len(one & seen), one, at)
            for one in rest
            for at, other in enumerate(order)
            if one & seen <= other
        ]
        if not ready:
            break
        _, chosen, parent = max(ready, key=lambda found: found[0])
        rest.remove(chosen)
        order.append(chosen)
        parents.append(parent)
    out = [Cross(tuple(sorted(one)), parent) for one, parent in zip(order, parents, strict=True)]
    return out, rest
