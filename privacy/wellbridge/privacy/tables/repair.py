"""One unit that a pattern leaves bare: the cheapest move that would protect it, and why the pattern has none.

The move says what to hide in addition. Its price, a number for every sum, says why: added up with these weights the
sums leave the unit no room but through units outside the pattern, so one of them must be hidden (a cut for
``pattern``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, hstack

from wellbridge.privacy.tables.merged import Units
from wellbridge.privacy.tables.pattern import Cut
from wellbridge.privacy.tables.program import WHOLE, Program, Solution, chosen_rows
from wellbridge.privacy.tables.proof import Move, Proof, whole_move
from wellbridge.privacy.tables.sums import UNBOUNDED, Bools, Floats, Ints

# Units looked at: hidden ones, and any. A move that needs more of them is looked for with the next.
_REACH: Final = ((1_000, 300), (4_000, 1_500), (1 << 30, 1 << 30))
_HIDDEN_COST: Final = 1e-4  # of moving what is hidden already: not nothing, so that moves stay short
_TINY: Final = 1e-7


class Effort(NamedTuple):
    """How hard to look for one move: among how many hidden units, and whether to search on for whole numbers."""

    reach: int
    branch: bool = False


# From quick to dear: few are left for the last.
EFFORTS: Final = (Effort(600), Effort(6_000), Effort(300, branch=True), Effort(1_500, branch=True))


class Mend(NamedTuple):
    """What must be hidden for a unit, and how the units then move; None where that came out in fractions."""

    units: Ints
    change: Ints | None


class Repairer:
    """Finds moves for single units of a system."""

    def __init__(self, units: Units) -> None:
        self._units = units
        self._rows, self._columns = units.matrix, units.matrix.tocsc()
        self._lengths = np.diff(self._rows.indptr)

    def mend(self, hidden: Bools, unit: int, *, rising: bool, branch: bool = False) -> Mend | None:
        """Return the cheapest move near a unit that takes it as far as it must; None where nothing helps.

        Args:
            hidden: the pattern.
            unit: the unit.
            rising: up, else down.
            branch: search on until the move is whole.
        """
        for units in self._ever_more(hidden, unit):
            found = self._cheapest(hidden, units, unit, rising=rising)
            if found is None:
                continue
            program, solution = found
            best = program.solve_whole() if branch and len(solution.fractional) else solution
            if best is not None:
                columns = best.columns
                change = columns[: len(units)] - columns[len(units):]
                moved = np.flatnonzero(np.abs(change) > WHOLE)
                is_whole = branch or not len(solution.fractional)
                return Mend(units[moved], np.rint(change[moved]).astype(np.int64) if is_whole else None)
        return None

    def reason(self, hidden: Bools, unit: int, *, rising: bool) -> Cut | None:
        """Return what the pattern must satisfy for a unit to move as it must; None where no reason is told."""
        for units in self._ever_more(hidden, unit):
            found = self._cheapest(hidden, units, unit, rising=rising)
            if found is None:
                continue
            # The reason must not lean on what is hidden, however little that costs.
            program = found[0]
            known = np.flatnonzero(np.concatenate([hidden[units], hidden[units]]))
            program.price(known, np.zeros(len(known)))
            priced = program.solve()
            cut = None if priced is None else self._cut(hidden, unit, units, priced.rows, rising=rising)
            if cut is not None:
                return cut
        return None

    def no_good(self, hidden: Bools, unit: int, *, rising: bool) -> Cut | None:
        """Return that something outside the pattern must be hidden; None where it is not proved.

        This holds where a unit can move as it must in fractions alone: no sum says why, but what a pattern cannot do in
        whole numbers no part of it can.
        """
        need, numbers = self._need(unit, rising=rising), np.flatnonzero(hidden)
        if len(numbers) > EFFORTS[-1].reach:  # whole numbers of so many may be searched for hours
            return None
        matrix = chosen_rows(self._columns, numbers)[0]
        rise = np.minimum(self._units.rise[numbers], UNBOUNDED).astype(np.float64)
        fall = np.minimum(self._units.fall[numbers], UNBOUNDED).astype(np.float64)
        place = int(np.searchsorted(numbers, unit))
        (rise if rising else fall)[place] = need
        cost = np.zeros(len(numbers))
        cost[place] = -1.0 if rising else 1.0
        nothing = np.zeros(matrix.shape[0])
        best = Program(matrix, nothing, nothing, -fall, rise, cost, presolve=True).solve_whole()
        free = np.flatnonzero(~hidden)
        is_proved = best is not None and best.is_optimal and -best.objective < need - WHOLE
        return Cut(free, np.ones(len(free))) if is_proved and len(free) else None

    def _ever_more(self, hidden: Bools, unit: int) -> Iterator[Ints]:
        for near_hidden, near_any in _REACH:
            units = np.union1d(self._near(unit, near_hidden, hidden), self._near(unit, near_any, None))
            yield units
            if len(units) == len(self._units):
                return

    def prove(self, proof: Proof, hidden: Bools, *, efforts: Sequence[Effort] = EFFORTS) -> None:
        """Look for moves of the units that are still unproved, one by one, first near and last far."""
        for effort in efforts:
            for unit in proof.left:
                for rising in (True, False):
                    if proof.needs(unit, rising=rising):
                        self.prove_one(proof, hidden, int(unit), rising=rising, effort=effort)

    def prove_one(self, proof: Proof, hidden: Bools, unit: int, *, rising: bool, effort: Effort) -> None:
        """Look for a move of hidden units that takes a unit as far as it must, and use it."""
        units = self._near(unit, effort.reach, hidden)
        found = self._move_among(units, unit, rising=rising, branch=effort.branch)
        if found is not None:
            proof.take(*found)

    def _move_among(self, units: Ints, unit: int, *, rising: bool, branch: bool) -> Move | None:
        need = self._need(unit, rising=rising)
        matrix = chosen_rows(self._columns, units)[0]
        # Short moves break into fewer fractions; but a sum of several that rise may have to rise by more than each.
        far = np.full(len(units), UNBOUNDED if branch else need)
        place = int(np.searchsorted(units, unit))
        far[place] = need
        rise = np.minimum(self._units.rise[units], far).astype(np.float64)
        fall = np.minimum(self._units.fall[units], far).astype(np.float64)
        cost = np.zeros(len(units))
        cost[place] = -1.0 if rising else 1.0
        change = whole_move(matrix, -fall, rise, cost, enough=need, branch=branch)
        if change is None:
            return None
        moved = np.flatnonzero(change)
        return units[moved], change[moved]

    def _near(self, unit: int, size: int, among: Bools | None) -> Ints:
        """Return units near one, by the fewest sums between; those of small sums first."""
        inside = np.zeros(len(self._units), dtype=np.bool_)
        inside[unit] = True
        used = np.zeros(self._rows.shape[0], dtype=np.bool_)
        edge, count = np.array([unit], dtype=np.int64), 1
        while count < size and len(edge):
            rows = np.unique(_entries(self._columns, edge))
            rows = rows[~used[rows]]
            used[rows] = True
            rows = rows[np.argsort(self._lengths[rows], kind="stable")]
            units = _entries(self._rows, rows)
            units = units[~inside[units]] if among is None else units[~inside[units] & among[units]]
            _, first = np.unique(units, return_index=True)
            edge = units[np.sort(first)][: size - count].astype(np.int64)
            inside[edge] = True
            count += len(edge)
        return np.flatnonzero(inside)

    def _cheapest(self, hidden: Bools, units: Ints, unit: int, *, rising: bool) -> tuple[Program, Solution] | None:
        """Find the cheapest move, fractions allowed; columns are all rises first, then all falls."""
        every, size = self._units, len(units)
        need = self._need(unit, rising=rising)
        matrix = chosen_rows(self._columns, units)[0]
        high = np.minimum(np.concatenate([every.rise[units], every.fall[units]]), UNBOUNDED).astype(np.float64)
        low = np.zeros(2 * size)
        place = int(np.searchsorted(units, unit))
        forward, back = (place, place + size) if rising else (place + size, place)
        if high[forward] < need:
            return None
        low[forward], high[back] = need, 0.0
        price = np.where(hidden[units], _HIDDEN_COST, every.cost[units] / need)
        nothing = np.zeros(matrix.shape[0])
        program = Program(
            csc_matrix(hstack([matrix, -matrix])), nothing, nothing, low, high, np.concatenate([price, price]),
            presolve=True,
        )
        found = program.solve()
        return None if found is None else (program, found)

    def _need(self, unit: int, *, rising: bool) -> int:
        return int(self._units.up[unit] if rising else self._units.down[unit])

    def _cut(self, hidden: Bools, unit: int, near: Ints, prices: Floats, *, rising: bool) -> Cut | None:
        """Return what the sums, weighted by their prices, demand of the units outside the pattern."""
        every, need = self._units, self._need(unit, rising=rising)
        rows = np.unique(_entries(self._columns, near))
        weights = csr_matrix(prices) @ self._rows[rows].astype(np.float64)
        units, weight = weights.indices, weights.data
        mine = weight[units == unit]
        if not len(mine) or abs(mine[0]) < _TINY:
            return None
        weight = weight / mine[0]
        keep = (np.abs(weight) > _TINY) & (units != unit)
        units, weight = units[keep].astype(np.int64), weight[keep]
        # Σ weight · change = 0 with the unit's own weight 1: what it rises the others must fall, weighted.
        falls = (weight > 0) == rising
        room = np.where(falls, every.fall[units], every.rise[units]).astype(np.float64)
        supply = np.where(room >= UNBOUNDED / 2, float(UNBOUNDED), room * np.abs(weight))
        residual = need - float(supply[every.is_hidden[units]].sum())
        is_free = ~every.is_hidden[units]
        share = np.minimum(supply[is_free], residual) / residual if residual > _TINY else np.zeros(0)
        free = units[is_free]
        if residual <= _TINY or float(share[hidden[free]].sum()) >= 1 - _TINY:
            return None
        keep = share > _TINY
        return Cut(free[keep], share[keep])


def _entries(matrix: csr_matrix | csc_matrix, lines: Ints) -> Ints:
    """Return the numbers of the entries in some rows (of a matrix by row) or columns (of one by column)."""
    start = matrix.indptr[lines].astype(np.int64)
    length = matrix.indptr[lines + 1] - start
    ahead = np.cumsum(length) - length
    at = np.repeat(start - ahead, length) + np.arange(int(length.sum()))
    numbers: Ints = matrix.indices[at].astype(np.int64)
    return numbers
