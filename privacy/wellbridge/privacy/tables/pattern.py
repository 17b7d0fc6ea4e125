"""Which units to hide: the cheapest pattern that no single sum gives away, and further sums as they are found out.

Every unit hidden from the start stays hidden, so what is asked of the others is nearly a covering problem:

- *capacity*: where a unit must be able to move, the others of each of its sums must be able to take up the change;
  what those hidden from the start cannot take, others must be hidden for.
- *company*: a unit hidden for others' sake, alone in a sum, can be worked out from it and protects nobody; so the
  cheapest pattern never has one.
- *cuts*: several sums together can give a unit away; the price of the move that would mend it says which of the
  units outside the pattern could have helped, and that one of them must.

The covering problem is solved as a linear program, whose cost no pattern can beat, and then in whole numbers.

Source: the incremental attacker of M. Fischetti and J. J. Salazar (Mathematical Programming 84, 1999), with every
primary cell's capacity subtracted beforehand, which turns nearly all its inequalities into "at least one of".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, vstack

from wellbridge.privacy.tables.merged import Units
from wellbridge.privacy.tables.program import Program, Solution
from wellbridge.privacy.tables.sums import UNBOUNDED, Bools, Floats, Ints

_ALL_AT_ONCE: Final = 300_000  # entries of all company rows up to which they are stated from the beginning
_SLACK: Final = 1e-6


@dataclass(frozen=True)
class Cut:
    """One of these must be hidden: ``Σ weight · unit ≥ 1``."""

    units: Ints
    weights: Floats


class Pattern:
    """The covering problem of a system of units."""

    def __init__(self, units: Units) -> None:
        self._units = units
        size = len(units)
        self._program = Program(
            csc_matrix((0, size)), np.zeros(0), np.zeros(0), units.is_hidden.astype(np.float64), np.ones(size),
            units.cost,
        )
        self._entries = _Entries(units)
        self.impossible = self._entries.impossible()
        self._require(self._entries.capacity())
        self._lonely = self._entries.rows_without_hidden()
        sizes = np.diff(units.matrix.indptr)[self._lonely]
        if int((sizes**2).sum()) <= _ALL_AT_ONCE:
            self._keep_company(self._lonely)
            self._lonely = self._lonely[:0]
        self.lower_bound = 0.0

    def add(self, cuts: list[Cut]) -> None:
        """Add what several sums together demand."""
        if cuts:
            self._require(_stacked(cuts, len(self._units)))

    def relax(self) -> Floats:
        """Solve the linear program until every row that it breaks is stated; raises ``lower_bound``."""
        while True:
            found, is_broken = self._answer()
            if not is_broken:
                return found.columns

    def choose(self, *, gap: float, nodes: int, rounds: int) -> tuple[Bools, bool]:
        """Choose the units to hide.

        Args:
            gap: share of the cost by which each answer may miss the optimum.
            nodes: most branches of each answer.
            rounds: most answers; the last may leave a unit without company, which costs but harms nobody.

        Returns:
            The units hidden, and whether no cheaper choice satisfies all rows stated so far.
        """
        self._program.make_whole(gap=gap, nodes=nodes)
        found, is_broken = self._answer()
        for _ in range(rounds - 1):
            if not is_broken:
                break
            found, is_broken = self._answer()
        self._program.make_fractional()
        return found.columns > 0.5, found.is_optimal and not is_broken

    def _answer(self) -> tuple[Solution, bool]:
        found = self._program.solve()
        assert found is not None, "hiding everything satisfies every row"
        self.lower_bound = max(self.lower_bound, found.bound)
        return found, self._state_broken(found.columns)

    def _state_broken(self, hidden: Floats) -> bool:
        rows, units = self._entries.lonely(self._lonely, hidden)
        if len(rows):
            company = _company(self._units.matrix, rows, units)
            self._program.require(company, np.zeros(len(rows)))
        return len(rows) > 0

    def _keep_company(self, rows: Ints) -> None:
        """State at once that no unit of these rows is alone."""
        indptr = self._units.matrix.indptr
        lengths = np.diff(indptr)[rows]
        if len(rows):
            units = np.concatenate([self._units.matrix.indices[indptr[row]:indptr[row + 1]] for row in rows])
            every = np.repeat(rows, lengths)
            self._program.require(_company(self._units.matrix, every, units), np.zeros(len(every)))

    def _require(self, rows: csr_matrix) -> None:
        if rows.shape[0]:
            self._program.require(rows, np.ones(rows.shape[0]))


class _Entries:
    """The non-zero entries of the sums, with what each unit could add to its sum or take from it."""

    def __init__(self, units: Units) -> None:
        matrix = units.matrix
        self.units, self.rows = units, matrix.shape[0]
        self.row = np.repeat(np.arange(self.rows, dtype=np.int64), np.diff(matrix.indptr))
        self.unit, sign = matrix.indices.astype(np.int64), matrix.data
        times = np.abs(sign)
        rise, fall = units.rise[self.unit] * times, units.fall[self.unit] * times
        up, down = units.up[self.unit] * times, units.down[self.unit] * times
        is_part = sign > 0
        # (what entries can supply, what a moving unit demands of the others), once for more and once for less
        self.sides = (
            (np.where(is_part, rise, fall), np.where(is_part, down, up)),
            (np.where(is_part, fall, rise), np.where(is_part, up, down)),
        )
        self.is_hidden = units.is_hidden[self.unit]

    def _residual(self, supply: Ints, demand: Ints) -> Ints:
        """What of each entry's demand the others that are hidden from the start cannot supply."""
        hidden = np.zeros(self.rows, dtype=np.int64)
        capped = np.minimum(supply, UNBOUNDED)
        np.add.at(hidden, self.row[self.is_hidden], capped[self.is_hidden])
        others = hidden[self.row] - np.where(self.is_hidden, capped, 0)
        return np.where(demand > 0, demand - others, 0)

    def impossible(self) -> Ints:
        """Units that could not move as asked if everything were hidden."""
        bad = np.zeros(len(self.units), dtype=np.bool_)
        for supply, demand in self.sides:
            free = np.zeros(self.rows, dtype=np.int64)
            capped = np.minimum(supply, UNBOUNDED)
            np.add.at(free, self.row[~self.is_hidden], capped[~self.is_hidden])
            bad[self.unit[self._residual(supply, demand) > free[self.row]]] = True
        bad |= (self.units.up > self.units.rise) | (self.units.down > self.units.fall)
        return np.flatnonzero(bad)

    def capacity(self) -> csr_matrix:
        """Return the rows that the demands of single sums make."""
        return vstack([self._capacity(supply, demand) for supply, demand in self.sides], format="csr")

    def _capacity(self, supply: Ints, demand: Ints) -> csr_matrix:
        need = np.zeros(self.rows, dtype=np.int64)
        np.maximum.at(need, self.row, self._residual(supply, demand))
        keep = (need[self.row] > 0) & ~self.is_hidden & (supply > 0)
        numbers, row = np.unique(self.row[keep], return_inverse=True)
        weight = np.minimum(supply[keep], need[self.row[keep]]) / need[self.row[keep]]
        return csr_matrix((weight, (row, self.unit[keep])), shape=(len(numbers), len(self.units)))

    def rows_without_hidden(self) -> Ints:
        """Return the sums in which nothing is hidden from the start."""
        hidden = np.zeros(self.rows, dtype=np.bool_)
        hidden[self.row[self.is_hidden]] = True
        return np.flatnonzero(~hidden)

    def lonely(self, rows: Ints, hidden: Floats) -> tuple[Ints, Ints]:
        """Return those of the rows in which one unit is hidden more than all others together, and that unit."""
        if not len(rows) or not self.rows:
            return rows[:0], rows[:0]
        total, most = np.zeros(self.rows), np.zeros(self.rows)
        np.add.at(total, self.row, hidden[self.unit])
        np.maximum.at(most, self.row, hidden[self.unit])
        broken = rows[2 * most[rows] > total[rows] + _SLACK]
        is_most = (hidden[self.unit] == most[self.row]) & np.isin(self.row, broken)
        _, first = np.unique(self.row[is_most], return_index=True)
        return broken, self.unit[is_most][first]


def _company(matrix: csr_matrix, rows: Ints, units: Ints) -> csr_matrix:
    """For each row and unit of it: the unit is hidden only where another of the row is."""
    company = matrix[rows].astype(np.float64)
    lengths = np.diff(company.indptr)
    company.data = np.where(company.indices == np.repeat(units, lengths), -1.0, 1.0)
    return company


def _stacked(cuts: list[Cut], size: int) -> csr_matrix:
    start = np.concatenate([[0], np.cumsum([len(cut.units) for cut in cuts])])
    return csr_matrix(
        (np.concatenate([cut.weights for cut in cuts]), np.concatenate([cut.units for cut in cuts]), start),
        shape=(len(cuts), size),
    )
