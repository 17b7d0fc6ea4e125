"""The persons of a file, grouped by how they look at any node of the lattice.

A person with one row is a key. A person with several rows is the multiset of their keys: whoever knows a child's
years knows all of them, so only children whose whole sequences look alike hide each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from wellbridge.privacy.records.classes import Classes, Keys, Levels, group
from wellbridge.privacy.records.ladders import Bools, Floats, Ints, Ladder
from wellbridge.privacy.records.spread import Spread, spread

# Snapshots kept for rolling up from: 16 bytes a class, so at most about a gigabyte.
MOST_KEPT: Final = 60_000_000


@dataclass(frozen=True)
class Look:
    """The classes of one node.

    Attributes:
        levels: the node.
        counts: persons of each class.
        inside: what the population needs to say more about the classes.
    """

    levels: Levels
    counts: Ints
    inside: Any


class Snapshots:
    """Looks that were taken before; a coarser one is rolled up from the smallest finer one."""

    def __init__(self) -> None:
        self._kept: list[tuple[Levels, int, Any]] = []

    def add(self, levels: Levels, size: int, snapshot: Any) -> None:
        """Keep a snapshot; the first is the file's own and stays, of the others the oldest go."""
        self._kept.append((levels, size, snapshot))
        while sum(size for _, size, _ in self._kept[1:]) > MOST_KEPT and len(self._kept) > 1:
            del self._kept[1]

    def smallest(self, levels: Levels) -> Any:
        """Return the smallest snapshot of a node that is nowhere coarser."""
        nodes = np.array([node for node, _, _ in self._kept], dtype=np.int64).reshape(len(self._kept), -1)
        finer = (nodes <= np.array(levels, dtype=np.int64)).all(axis=1)
        sizes = np.where(finer, [size for _, size, _ in self._kept], np.iinfo(np.int64).max)
        return self._kept[int(sizes.argmin())][2]


def owners(person: pl.Series) -> Ints:
    """Number the persons of a column, whatever its type; the numbers mean nothing."""
    physical = person.cast(pl.String).cast(pl.Categorical).to_physical()
    return np.unique(physical.to_numpy(), return_inverse=True)[1].astype(np.int64)


class Rows:
    """Persons with one row each.

    Args:
        ladders: the quasi-identifiers.
        numbers: each row's value numbers.
        sensitive: ladders of the sensitive attributes.
        values: each row's value numbers of the sensitive attributes.
    """

    def __init__(
        self, ladders: Sequence[Ladder], numbers: Sequence[Ints], sensitive: Sequence[Ladder] = (),
        values: Sequence[Ints] = (),
    ) -> None:
        self.ladders, self.sensitive = list(ladders), list(sensitive)
        # Sensitive values stand in the lowest bits and are never coarsened.
        self._keys = Keys([*ladders, *(_flat(ladder) for ladder in sensitive)])
        self._own = self._keys.least[len(self.ladders):]
        self._packed = self._keys.pack([*numbers, *values])
        self.persons = self.rows = len(numbers[0]) if numbers else 0
        self._masks = [np.int64(-1)] * self._keys.words
        for field in self._keys.fields[len(self.ladders):]:
            self._masks[field.word] &= ~np.int64(field.mask << field.shift)
        self._snapshots = Snapshots()
        self._keep(group(self._keys.least, self._packed, None))

    def _keep(self, classes: Classes) -> Classes:
        self._snapshots.add(classes.levels, len(classes), classes)
        return classes

    def look(self, levels: Levels) -> Look:
        """Group persons at a node."""
        node = (*levels, *self._own)
        finer: Classes = self._snapshots.smallest(node)
        classes = finer if finer.levels == node else self._keep(self._keys.rolled(finer, node))
        if not self.sensitive:
            return Look(levels, classes.counts, (classes, None))
        starts = self._starts([word & mask for word, mask in zip(classes.words, self._masks, strict=True)])
        counts = np.add.reduceat(classes.counts, starts) if len(starts) else classes.counts
        return Look(levels, counts, (classes, starts))

    @staticmethod
    def _starts(words: Sequence[Ints]) -> Ints:
        change = np.zeros(len(words[0]), dtype=np.bool_)
        change[:1] = True
        for word in words:
            change[1:] |= word[1:] != word[:-1]
        return np.flatnonzero(change)

    def label_numbers(self, look: Look, which: Ints) -> tuple[list[Ints], Ints, Ints]:
        """Return the rows of some classes: label numbers by column, rows alike, position in ``which``."""
        classes, starts = look.inside
        at = which if starts is None else starts[which]
        return self._keys.numbers(classes, at)[: len(self.ladders)], look.counts[which], np.arange(len(which))

    def spread(self, look: Look, number: int) -> Spread:
        """Return how a sensitive attribute is spread within the classes."""
        classes, starts = look.inside
        of = np.zeros(len(classes), dtype=np.int64)
        of[starts[1:]] = 1
        values = self._keys.numbers(classes, np.arange(len(classes)))[len(self.ladders) + number]
        return spread(np.cumsum(of), values, classes.counts, len(starts), self.sensitive[number].sizes[0])

    def rows_of(self, look: Look, failing: Bools) -> Bools:
        """Return for each row of the file whether its class is among the failing ones."""
        words = self._keys.recoded(self._packed, self._keys.least, (*look.levels, *self._own))
        masked = [word & mask for word, mask in zip(words, self._masks, strict=True)]
        order = np.lexsort(masked)
        number = np.zeros(self.rows, dtype=np.int64)
        number[self._starts([word[order] for word in masked])[1:]] = 1
        found = np.empty(self.rows, dtype=np.bool_)
        found[order] = failing[np.cumsum(number)]
        return found


class Sequences:
    """Persons with several rows; see ``Rows``.

    Args:
        owner: whose row it is, persons numbered from 0.

    Note:
        Sequences are compared by a 64-bit sum of mixed keys: of ten million sequences two different ones look alike
        with a chance of 3 in a million. The released file is therefore checked again on its labels.
    """

    def __init__(
        self, ladders: Sequence[Ladder], numbers: Sequence[Ints], owner: Ints,
        sensitive: Sequence[Ladder] = (), values: Sequence[Ints] = (),
    ) -> None:
        self.ladders, self.sensitive = list(ladders), list(sensitive)
        self._keys = Keys(ladders)
        packed = self._keys.pack(numbers)
        self._order = np.argsort(owner, kind="stable")
        self._owner = owner
        starts = np.flatnonzero(np.diff(owner[self._order], prepend=-1))
        self.persons, self.rows = len(starts), len(owner)
        base = _Runs(tuple(word[self._order] for word in packed), starts, np.ones(self.persons, dtype=np.int64))
        base, self._sequence = base.merged()
        self._base = base
        self._snapshots = Snapshots()
        self._snapshots.add(self._keys.least, base.size, (self._keys.least, base))
        self._pairs = [self._pairs_of(owner, value) for value in values]

    def _pairs_of(self, owner: Ints, value: Ints) -> tuple[Ints, Ints]:
        """Return distinct (sequence, value) of persons: one who has a value in many rows has it once."""
        cell = np.unique(owner * (int(value.max(initial=0)) + 1) + value)
        size = int(value.max(initial=0)) + 1
        return self._sequence[cell // size], cell % size

    def look(self, levels: Levels) -> Look:
        """Group persons at a node."""
        if self.sensitive:  # values belong to the file's own sequences, so every look begins there
            fine, runs = self._keys.least, self._base
        else:
            fine, runs = self._snapshots.smallest(levels)
        recoded = _Runs(tuple(self._keys.recoded(runs.words, fine, levels)), runs.starts, runs.counts)
        merged, of = recoded.merged()
        if not self.sensitive and levels != fine:
            self._snapshots.add(levels, merged.size, (levels, merged))
        return Look(levels, merged.counts, (merged, of))

    def label_numbers(self, look: Look, which: Ints) -> tuple[list[Ints], Ints, Ints]:
        """Return the rows of some classes: label numbers by column, rows alike, position in ``which``."""
        merged, _ = look.inside
        some, position = merged.of_classes(which)
        numbers = self._keys.numbers(Classes(look.levels, some, some[0]), np.arange(len(position)))
        return numbers, look.counts[which][position], position

    def spread(self, look: Look, number: int) -> Spread:
        """Return how a sensitive attribute is spread: each person counts once for every value in any of their rows."""
        _, of = look.inside
        sequence, value = self._pairs[number]
        return spread(of[sequence], value, None, len(look.counts), self.sensitive[number].sizes[0])

    def rows_of(self, look: Look, failing: Bools) -> Bools:
        """Return for each row of the file whether its person's class is among the failing ones."""
        recoded = _Runs(
            tuple(self._keys.recoded(self._base.words, self._keys.least, look.levels)), self._base.starts,
            self._base.counts,
        )
        _, of = recoded.merged()
        found: Bools = failing[of][self._sequence][self._owner]
        return found


Population = Rows | Sequences


@dataclass(frozen=True)
class _Runs:
    """Runs of keys, one a person or a sequence that ``counts`` persons share."""

    words: tuple[Ints, ...]
    starts: Ints
    counts: Ints

    @property
    def size(self) -> int:
        return len(self.words[0]) + len(self.starts)

    def merged(self) -> tuple[_Runs, Ints]:
        """Bring runs of equal keys together; return them, and the class of each run."""
        if not len(self.starts):
            return self, np.zeros(0, dtype=np.int64)
        signs = np.add.reduceat(_mixed(self.words), self.starts)
        _, first, of = np.unique(signs, return_index=True, return_inverse=True)
        counts = np.bincount(of, weights=self.counts).astype(np.int64)
        words, position = self.of_classes(first)
        return _Runs(words, np.flatnonzero(np.diff(position, prepend=-1)), counts), of

    def of_classes(self, which: Ints) -> tuple[tuple[Ints, ...], Ints]:
        """Return the keys of some runs, and for each key the position of its run in ``which``."""
        lengths = np.diff(self.starts, append=len(self.words[0]))[which]
        position = np.repeat(np.arange(len(which)), lengths)
        offset = np.arange(len(position)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        at = self.starts[which][position] + offset
        return tuple(word[at] for word in self.words), position


def _mixed(words: Sequence[Ints]) -> npt.NDArray[np.uint64]:
    """Mix keys to 64 bits (the finaliser of splitmix64, Steele, Lea and Flood 2014)."""
    found = np.zeros(len(words[0]), dtype=np.uint64)
    for word in words:
        found = (found ^ word.view(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found ^= found >> np.uint64(31)
    return found


def _flat(ladder: Ladder) -> Ladder:
    return Ladder(ladder.column, 0, ladder.labels[:1], ladder.codes[:1], ladder.share[:1])


def average_share(ladders: Sequence[Ladder], levels: Levels, numbers: Sequence[Ints], weights: Floats) -> Floats:
    """Return for each row the weighted mean share of the domains that its labels leave open."""
    total = np.zeros(len(numbers[0]) if numbers else 0)
    for ladder, level, number, weight in zip(ladders, levels, numbers, weights, strict=True):
        total += weight / weights.sum() * ladder.share[level][number]
    return total
