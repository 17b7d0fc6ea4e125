"""How a sensitive attribute is spread within classes: distinct and entropy l-diversity, t-closeness.

Sources: A. Machanavajjhala et al., l-Diversity (TKDD 1(1), 2007), definitions 3.1 and 3.3 (distinct, entropy);
N. Li, T. Li, S. Venkatasubramanian, t-Closeness (ICDE 2007), section 4 (earth mover's distance under equal, ordered
and hierarchical ground distance). Numbers are those of pycanon 1.3, which rounds entropy l down to a whole number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np

from wellbridge.privacy.records.ladders import Floats, Ints, Ladder

_CHUNK_CELLS = 4_000_000


class Distance(StrEnum):
    """How far apart two values of a sensitive attribute are.

    EQUAL: any two values are as far apart as any other two.
    ORDERED: by the number of values between them; for numbers and bands.
    HIERARCHICAL: by how high in the attribute's hierarchy they meet.
    """

    EQUAL = "equal"
    ORDERED = "ordered"
    HIERARCHICAL = "hierarchical"


@dataclass(frozen=True)
class Spread:
    """How many persons of which class have which value, sorted by class, then value; nothing where none.

    Attributes:
        classes: number of classes.
        values: number of values, in their order.
        of: the class of each entry.
        value: its value.
        count: its persons, at least one.
    """

    classes: int
    values: int
    of: Ints
    value: Ints
    count: Ints

    @cached_property
    def starts(self) -> Ints:
        """The first entry of each class."""
        return np.searchsorted(self.of, np.arange(self.classes))

    @cached_property
    def totals(self) -> Ints:
        """Persons of each class."""
        return np.add.reduceat(self.count, self.starts) if self.classes else np.zeros(0, dtype=np.int64)

    @cached_property
    def shares(self) -> Floats:
        """Each entry's share of its class."""
        return self.count / self.totals[self.of]

    def whole(self) -> Floats:
        """Return each value's share of all classes together."""
        counted = np.bincount(self.value, weights=self.count, minlength=self.values)
        return counted / max(1.0, float(counted.sum()))

    def only(self, keep: Ints) -> Spread:
        """Return some classes alone, numbered anew in the same order; ``keep`` is sorted."""
        number = np.full(self.classes, -1, dtype=np.int64)
        number[keep] = np.arange(len(keep))
        inside = number[self.of] >= 0
        return Spread(len(keep), self.values, number[self.of[inside]], self.value[inside], self.count[inside])


def spread(of: Ints, value: Ints, count: Ints | None, classes: int, values: int) -> Spread:
    """Count persons by class and value; without counts every entry is one person."""
    cell = of * values + value
    if classes * values <= max(1 << 22, 4 * len(cell)):
        total = np.bincount(cell, weights=count, minlength=classes * values)
        found = np.flatnonzero(total)
        return Spread(classes, values, found // values, found % values, total[found].astype(np.int64))
    order = np.argsort(cell, kind="stable")
    ordered = cell[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    persons = (np.diff(starts, append=len(ordered)) if count is None else np.add.reduceat(count[order], starts))
    return Spread(classes, values, ordered[starts] // values, ordered[starts] % values, persons.astype(np.int64))


def distinct_l(found: Spread) -> Ints:
    """Return for each class how many values it holds."""
    return np.diff(found.starts, append=len(found.of))


def entropy_l(found: Spread) -> Floats:
    """Return for each class the exponential of its entropy: l where l values are equally common."""
    if not found.classes:
        return np.zeros(0)
    return np.exp(-np.add.reduceat(found.shares * np.log(found.shares), found.starts))


def t_distance(found: Spread, distance: Distance, ladder: Ladder, whole: Floats | None = None) -> Floats:
    """Return for each class how far its spread is from that of all.

    Args:
        found: the classes.
        distance: the ground distance.
        ladder: the attribute's values; its hierarchy serves the hierarchical distance.
        whole: each value's share of all persons; those of the classes together where not given.
    """
    if not found.classes:
        return np.zeros(0)
    reference = found.whole() if whole is None else whole
    if distance is Distance.EQUAL:
        # Values that a class lacks add their whole share, so the sum runs over what it has.
        expected = reference[found.value]
        own = np.add.reduceat(np.abs(found.shares - expected) - expected, found.starts)
        halved: Floats = np.maximum(0.0, (own + reference.sum()) / 2)
        return halved
    return _ordered(found, reference) if distance is Distance.ORDERED else _hierarchical(found, reference, ladder)


def _ordered(found: Spread, reference: Floats) -> Floats:
    """Sum |Q − P| over all values, Q and P cumulative, without visiting the values that a class lacks.

    Between two values that it has, a class's Q stays the same while P grows, so the sum has one crossing.
    """
    if found.values < 2:
        return np.zeros(found.classes)
    cumulative = np.cumsum(reference)
    summed = np.concatenate([[0.0], np.cumsum(cumulative)])
    running = np.cumsum(found.shares)
    before = running[found.starts] - found.shares[found.starts]
    level = running - before[found.of]
    begin = found.value
    end = np.append(found.value[1:], found.values)
    end[found.starts[1:] - 1] = found.values
    cross = np.clip(np.searchsorted(cumulative, level, side="right"), begin, end)
    over = level * (cross - begin) - (summed[cross] - summed[begin])
    under = (summed[end] - summed[cross]) - level * (end - cross)
    inside = np.add.reduceat(over + under, found.starts)
    distance: Floats = np.maximum(0.0, (inside + summed[found.value[found.starts]]) / (found.values - 1))
    return distance


def _hierarchical(found: Spread, reference: Floats, ladder: Ladder) -> Floats:
    """Move what is too much under each label to its siblings; what cannot be moved there goes one level up."""
    if not ladder.height:
        return np.zeros(found.classes)
    total = np.zeros(found.classes)
    step = max(1, _CHUNK_CELLS // max(1, found.values))
    for first in range(0, found.classes, step):
        last = min(first + step, found.classes)
        inside = slice(int(found.starts[first]), int(found.starts[last]) if last < found.classes else len(found.of))
        extra = np.tile(-reference, (last - first, 1))
        extra[found.of[inside] - first, found.value[inside]] += found.shares[inside]
        for level in range(1, ladder.height + 1):
            parent = ladder.between(level - 1, level)
            starts = np.flatnonzero(np.diff(parent, prepend=-1))
            more = np.add.reduceat(np.maximum(extra, 0), starts, axis=1)
            extra = np.add.reduceat(extra, starts, axis=1)
            total[first:last] += level / ladder.height * np.minimum(more, more - extra).sum(axis=1)
    return total
