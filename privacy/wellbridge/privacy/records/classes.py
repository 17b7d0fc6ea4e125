"""Classes of persons who look alike at a node of the lattice, rolled up from classes of a finer node.

Each quasi-identifier has a field of bits in a 64-bit key (in two or more keys where they do not fit). A class of
one node is made of whole classes of any finer node, so no row of the file is read twice: a coarser node is the
distinct keys of a finer one, some fields replaced, grouped again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from wellbridge.privacy.records.ladders import Ints, Ladder

KEY_BITS: Final = 62
Levels = tuple[int, ...]


@dataclass(frozen=True)
class Field:
    """Where a quasi-identifier stands in the keys."""

    word: int
    shift: int
    mask: int


def fields(sizes: Sequence[int]) -> list[Field]:
    """Give every quasi-identifier, by its number of values, the bits it needs; the last one has the lowest."""
    found: list[Field] = []
    word, used = 0, 0
    for size in reversed(sizes):
        width = max(1, int(size - 1).bit_length())
        if used + width > KEY_BITS:
            word, used = word + 1, 0
        found.append(Field(word, used, (1 << width) - 1))
        used += width
    return found[::-1]


@dataclass(frozen=True)
class Classes:
    """Distinct keys of a node, sorted, each with its number of persons.

    Attributes:
        levels: the node.
        words: the keys, one array for each word.
        counts: persons of each class.
    """

    levels: Levels
    words: tuple[Ints, ...]
    counts: Ints

    def __len__(self) -> int:
        return len(self.counts)


def group(
    levels: Levels, words: Sequence[Ints], counts: Ints | None, *, is_sorted: bool = False, bits: int = KEY_BITS
) -> Classes:
    """Bring equal keys together and add up their persons; without counts every key is one person.

    Args:
        levels: the node.
        words: the keys.
        counts: persons of each key.
        is_sorted: whether they are in order already.
        bits: no key of a single word needs more.
    """
    if len(words) > 1:
        return _group_wide(levels, words, counts)
    (key,) = words
    if not len(key):
        return Classes(levels, (key,), np.zeros(0, dtype=np.int64))
    if counts is None:
        key = np.sort(key)
        starts = _starts(key)
        return Classes(levels, (key[starts],), np.diff(starts, append=len(key)))
    if not is_sorted:
        key, counts = _sorted(key, counts, bits)
    starts = _starts(key)
    return Classes(levels, (key[starts],), np.add.reduceat(counts, starts))


def _sorted(key: Ints, counts: Ints, bits: int) -> tuple[Ints, Ints]:
    """Sort keys, their counts along with them: in the same word where both fit, which is several times faster."""
    width = int(counts.max()).bit_length()
    if bits + width < 64:
        both = np.sort((key << width) | counts)
        return both >> width, both & ((1 << width) - 1)
    order = np.argsort(key)
    return key[order], counts[order]


def _group_wide(levels: Levels, words: Sequence[Ints], counts: Ints | None) -> Classes:
    order = np.lexsort(words)
    ordered = [word[order] for word in words]
    change = np.zeros(len(order), dtype=np.bool_)
    change[:1] = True
    for word in ordered:
        change[1:] |= word[1:] != word[:-1]
    starts = np.flatnonzero(change)
    if not len(starts):
        return Classes(levels, tuple(ordered), np.zeros(0, dtype=np.int64))
    persons = np.diff(starts, append=len(order)) if counts is None else np.add.reduceat(counts[order], starts)
    return Classes(levels, tuple(word[starts] for word in ordered), persons)


def _starts(key: Ints) -> Ints:
    change = np.empty(len(key), dtype=np.bool_)
    change[0] = True
    np.not_equal(key[1:], key[:-1], out=change[1:])
    return np.flatnonzero(change)


class Keys:
    """Packs numbered quasi-identifiers into keys, and turns keys of one node into those of a coarser one."""

    def __init__(self, ladders: Sequence[Ladder]) -> None:
        self.ladders = list(ladders)
        self.fields = fields([ladder.sizes[ladder.least] for ladder in ladders])
        self.least: Levels = tuple(ladder.least for ladder in ladders)
        self.words = max((field.word for field in self.fields), default=0) + 1
        self._bits = sum(field.mask.bit_length() for field in self.fields)
        self._tables: dict[tuple[int, int, int], Ints] = {}

    def pack(self, rows: Sequence[Ints]) -> list[Ints]:
        """Return the keys of rows at the finest level, from each quasi-identifier's numbers at level 0."""
        size = len(rows[0]) if rows else 0
        words = [np.zeros(size, dtype=np.int64) for _ in range(self.words)]
        for ladder, field, numbers in zip(self.ladders, self.fields, rows, strict=True):
            words[field.word] |= (ladder.codes[ladder.least] << field.shift)[numbers]
        return words

    def recoded(self, words: Sequence[Ints], fine: Levels, coarse: Levels) -> list[Ints]:
        """Return keys at a coarser node."""
        found = list(words)
        for number, (low, high) in enumerate(zip(fine, coarse, strict=True)):
            if low != high:
                field = self.fields[number]
                key = found[field.word]
                if self.ladders[number].sizes[high] == 1:
                    found[field.word] = key & ~np.int64(field.mask << field.shift)
                else:
                    found[field.word] = key + self._table(number, low, high)[(key >> field.shift) & field.mask]
        return found

    def rolled(self, classes: Classes, levels: Levels) -> Classes:
        """Return the classes of a coarser node."""
        words = self.recoded(classes.words, classes.levels, levels)
        # Numbers keep the tree's order, so keys of which only the lowest field was coarsened are still sorted.
        is_sorted = classes.levels[:-1] == levels[:-1]
        return group(levels, words, classes.counts, is_sorted=is_sorted, bits=self._bits)

    def numbers(self, classes: Classes, which: Ints) -> list[Ints]:
        """Return the label numbers of some classes, one array for each quasi-identifier."""
        return [(classes.words[field.word][which] >> field.shift) & field.mask for field in self.fields]

    def _table(self, number: int, low: int, high: int) -> Ints:
        """What is added to a key when a field goes from one level to another."""
        known = self._tables.get((number, low, high))
        if known is None:
            change = self.ladders[number].between(low, high) - np.arange(self.ladders[number].sizes[low])
            known = change << self.fields[number].shift
            self._tables[number, low, high] = known
        return known
