"""The proof of a pattern: moves of hidden units, many proved by each.

One move can prove thousands of units at once, so whole regions are moved together: a linear program pushes every
unit that still needs proof up or down, at random, within a region of units that hang together, and whatever reaches
what it needs is proved. Regions differ from round to round and grow when little is gained. What remains (few) is
left to ``repair``, which looks for one unit at a time and says what to hide where there is no move.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix
from scipy.sparse.csgraph import depth_first_order

from wellbridge.privacy.tables.merged import Units
from wellbridge.privacy.tables.program import WHOLE, Program, chosen_rows
from wellbridge.privacy.tables.sums import Bools, Floats, Ints

_REGIONS: Final = (1_500, 6_000)  # units of a region: dearer per unit the larger, but with longer moves
_HUB: Final = 60  # a sum of more hidden units ties whole districts together; regions are not grown over it
_GAIN: Final = 0.25  # share of what is left that a round must prove, else regions grow
# A round over n units costs about n² of these, measured; when it proves fewer units than that, single searches are
# cheaper.
_ROUND_COST: Final = 1 / 7_000_000
_LARGE: Final = 10_000  # hidden units from which a second idle round costs too much
_SEED: Final = 20_260_902

Move = tuple[Ints, Ints]


class Proof:
    """Moves found so far, and what they leave unproved.

    Args:
        units: the system.
        either: units that need not move both up and down: one of the two will do.
    """

    def __init__(self, units: Units, either: Bools | None = None) -> None:
        self._units = units
        self._either = np.zeros(len(units), dtype=np.bool_) if either is None else either
        self.moves: list[Move] = []
        self.up, self.down = units.up.copy(), units.down.copy()
        self._random = np.random.default_rng(_SEED)

    @property
    def left(self) -> Ints:
        """Units that no move proves yet."""
        return np.flatnonzero((self.up > 0) | (self.down > 0))

    def needs(self, unit: int, *, rising: bool) -> bool:
        """Whether a unit's move up, or down, is still to be found."""
        return bool((self.up if rising else self.down)[unit] > 0)

    def restrict(self, hidden: Bools) -> None:
        """Forget the moves that need a unit which is no longer hidden."""
        kept = [move for move in self.moves if hidden[move[0]].all()]
        if len(kept) < len(self.moves):
            self.moves, self.up, self.down = [], self._units.up.copy(), self._units.down.copy()
            for units, change in kept:
                self._take_one(units, change)

    def take(self, units: Ints, change: Ints) -> None:
        """Use a move, and its opposite where that stays within bounds."""
        self._take_one(units, change)
        fits = (-change <= self._units.rise[units]) & (change <= self._units.fall[units])
        if bool(fits.all()):
            self._take_one(units, -change)

    def _take_one(self, units: Ints, change: Ints) -> None:
        up = (self.up[units] > 0) & (change >= self.up[units])
        down = (self.down[units] > 0) & (-change >= self.down[units])
        if up.any() or down.any():
            self.moves.append((units, change))
            self.up[units[up | (down & self._either[units])]] = 0
            self.down[units[down | (up & self._either[units])]] = 0

    def harvest(self, hidden: Bools) -> None:
        """Prove as much as moves of whole regions can."""
        numbers = np.flatnonzero(hidden)
        matrix = self._units.matrix[:, numbers].tocsc()
        sizes = [size for size in _REGIONS if size < len(numbers)] + [len(numbers)]
        for size in sizes:
            is_last, idle = size == len(numbers), 0
            while (before := len(self.left)) and idle < (1 if len(numbers) > _LARGE else 2):
                for members in self._regions(matrix, size):
                    self._push(matrix, numbers, np.sort(members))
                proved = before - len(self.left)
                least = 1 + _ROUND_COST * len(numbers) ** 2 if is_last else _GAIN * before
                idle = idle + 1 if proved < least else 0
                if idle and not is_last:
                    break

    def _regions(self, matrix: csc_matrix, size: int) -> list[Ints]:
        """Cut the hidden units into regions that hang together, at other places each time."""
        count = matrix.shape[1]
        if count <= size:
            return [np.arange(count, dtype=np.int64)]
        rows = matrix.tocsr()
        lengths = np.diff(rows.indptr)
        ties = rows[(lengths > 1) & (lengths <= _HUB)].astype(np.float64)
        graph = (abs(ties).T @ abs(ties)).tocsr()
        seen, order = np.zeros(count, dtype=np.bool_), []
        for start in self._random.permutation(count):
            if not seen[start]:
                reached = depth_first_order(graph, start, directed=False, return_predecessors=False)
                seen[reached] = True
                order.append(reached)
        walk = np.concatenate(order).astype(np.int64)
        return [part for part in np.split(walk, np.arange(self._random.integers(1, size), count, size)) if len(part)]

    def _push(self, matrix: csc_matrix, numbers: Ints, members: Ints) -> None:
        units = numbers[members]
        up, down = self.up[units], self.down[units]
        if not (up.any() or down.any()):
            return
        coin = self._random.choice(np.array([-1.0, 1.0]), len(units))
        wish = np.where((up > 0) & (down > 0), coin, np.where(up > 0, 1.0, np.where(down > 0, -1.0, 0.0)))
        # No unit need go further than the neediest must: short moves break into fewer fractions.
        far = max(int(up.max()), int(down.max()))
        rise = np.where(wish > 0, up, np.minimum(self._units.rise[units], far))
        fall = np.where(wish < 0, down, np.minimum(self._units.fall[units], far))
        cost = -wish / np.where(wish > 0, np.maximum(up, 1), np.maximum(down, 1))
        change = whole_move(chosen_rows(matrix, members)[0], -fall.astype(np.float64), rise.astype(np.float64), cost)
        moved = np.flatnonzero(change) if change is not None else ()
        if change is not None and len(moved):
            self.take(units[moved], change[moved])


def whole_move(
    matrix: csc_matrix, lower: Floats, upper: Floats, cost: Floats, *, enough: float = 0.0,
    branch: bool = False,
) -> Ints | None:
    """Return a move in whole numbers: what comes out fractional is kept still and the rest moved again.

    Args:
        matrix: the sums, seen from the units that may move.
        lower, upper: how far each may move; standing still must be allowed.
        cost: of moving each by one; the cheapest move is looked for.
        enough: the least that the move must gain; None is returned when it does not.
        branch: instead of keeping still, search on for whole numbers, which may take long.
    """
    nothing = np.zeros(matrix.shape[0])
    program = Program(matrix, nothing, nothing, lower, upper, cost, presolve=True)
    while True:
        found = program.solve()
        assert found is not None, "standing still is a move"
        if -found.objective < enough - WHOLE:
            return None
        broken = found.fractional
        if not len(broken):
            return found.whole()
        if branch:
            change = program.solve_whole()
            return change if change is not None and -float(cost @ change) >= enough - WHOLE else None
        still = np.zeros(len(broken))
        program.bound(broken, still, still)


def as_matrix(units: Units, moves: list[Move], cells: int) -> csr_matrix:
    """Return moves of units as moves of cells, one row each."""
    member = np.flatnonzero(units.of >= 0)
    spread = csr_matrix(
        (np.ones(len(member), dtype=np.int64), (units.of[member], member)), shape=(len(units), cells), dtype=np.int64
    )
    if not moves:
        return csr_matrix((0, cells), dtype=np.int64)
    start = np.concatenate([[0], np.cumsum([len(change) for _, change in moves])])
    stacked = csr_matrix(
        (np.concatenate([change for _, change in moves]), np.concatenate([unit for unit, _ in moves]), start),
        shape=(len(moves), len(units)), dtype=np.int64,
    )
    return (stacked @ spread).tocsr()
