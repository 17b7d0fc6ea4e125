"""Cells that add up: every published number of a release, and every sum that ties them together.

A cell is a count of persons or units. A relation says that one cell is the sum of others: a school's total of its
races, a denominator of those with and those without. Whoever holds the release knows all relations, so protection
and attack both work on them and on nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

# No bound: larger than any count of persons, small enough to be exact in a double.
UNBOUNDED: Final = 1 << 40


@dataclass(frozen=True)
class Links:
    """All relations as a sparse matrix M with M · cells = 0: children +1, their sum −1."""

    row: Ints
    cell: Ints
    sign: Ints
    rows: int

    def residuals(self, values: Ints) -> Ints:
        """Return each relation's children less their sum; all zero where the cells add up."""
        total = np.zeros(self.rows, dtype=np.int64)
        np.add.at(total, self.row, self.sign * values[self.cell])
        return total

    def matrix(self, size: int) -> csr_matrix:
        """Return M, one row for each relation and one column for each of ``size`` cells."""
        return csr_matrix((self.sign, (self.row, self.cell)), shape=(self.rows, size), dtype=np.int64)

    def components(self, chosen: Bools) -> Ints:
        """Return a component number for each cell, −1 outside ``chosen``; cells in one relation share a component."""
        label = np.where(chosen, np.arange(len(chosen)), -1).astype(np.int64)
        keep = chosen[self.cell]
        row, cell = self.row[keep], self.cell[keep]
        while True:
            least = np.full(self.rows, np.iinfo(np.int64).max)
            np.minimum.at(least, row, label[cell])
            spread = label.copy()
            np.minimum.at(spread, cell, least[row])
            spread[chosen] = spread[spread[chosen]]
            if np.array_equal(spread, label):
                return label
            label = spread


class Sums:
    """Cells and relations, added table by table; a cell shared by two tables is added once."""

    def __init__(self) -> None:
        self._values: list[Ints] = []
        self._count = 0
        self._parts: list[tuple[Ints, Ints, Ints]] = []
        self._rows = 0

    @property
    def values(self) -> Ints:
        """The true counts, by cell number."""
        return np.concatenate(self._values) if self._values else np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return self._count

    def add_cells(self, values: Sequence[int] | Ints) -> Ints:
        """Add cells and return their numbers."""
        added = np.asarray(values, dtype=np.int64).ravel()
        numbers = np.arange(self._count, self._count + len(added), dtype=np.int64)
        self._values.append(added)
        self._count += len(added)
        return numbers

    def add_relations(self, totals: Ints, parts: Ints) -> None:
        """Say that ``totals[i]`` is the sum of the cells ``parts[i, :]``."""
        totals = np.atleast_1d(totals)
        parts = np.asarray(parts, dtype=np.int64).reshape(len(totals), -1)
        row = self._rows + np.arange(len(totals), dtype=np.int64)
        self._parts.append((np.repeat(row, parts.shape[1]), parts.ravel(), np.ones(parts.size, dtype=np.int64)))
        self._parts.append((row, np.asarray(totals, dtype=np.int64), -np.ones(len(totals), dtype=np.int64)))
        self._rows += len(totals)
        self.__dict__.pop("links", None)

    @cached_property
    def links(self) -> Links:
        """All relations so far."""
        if not self._parts:
            empty = np.zeros(0, dtype=np.int64)
            return Links(empty, empty, empty, 0)
        row, cell, sign = (np.concatenate([part[place] for part in self._parts]) for place in range(3))
        return Links(row, cell, sign, self._rows)
