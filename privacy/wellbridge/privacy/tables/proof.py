"""The proof of a pattern: moves of hidden units, many proved by each.

One move can prove thousands of units at once, so whole regions are moved together: a linear program pushes every
unit that still needs proof up or down, at random, within a region of units that hang together. The next move sets
out from where the last one arrived, not from the truth: what is far from the truth in many ways at once is reached
in steps, and fractions that stop one step do not stop the next. What was proved is drawn back to the truth on the
way, so that moves stay short: more of them fit into one completion. Every place reached is a move; whatever is as far
from the truth there as it must is proved. What remains (few) is left to ``repair``, which looks for one unit at a
time and says what to hide where there is no move.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.sparse import bmat, csc_matrix, csr_matrix, hstack
from scipy.sparse.csgraph import depth_first_order

from wellbridge.privacy.tables.merged import Units
from wellbridge.privacy.tables.program import WHOLE, Program, chosen_rows, whole_near
from wellbridge.privacy.tables.sums import Bools, Floats, Ints

_REGION: Final = 8_000  # units of a region: the larger, the longer the moves, and the dearer per unit
# A round over n units in regions of m costs about n · m of these, measured; when it proves fewer units than that,
# single searches are cheaper.
_ROUND_COST: Final = 1 / 7_000_000
_IDLE: Final = 2  # such rounds, one after another, that end the search
_SLOW: Final = 0.1  # of what is left: where regions prove less, their edges may be in the way
_LEAST: Final = 0.01  # weights are drawn from 1 to the square of its inverse
_BACK: Final = 0.01  # weight of drawing back what proves nothing more
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
        self._at: Ints = np.zeros(len(units), dtype=np.int64)  # where the last move arrived, seen from the truth
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
        if self._at[~hidden].any():
            self._at[:] = 0
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

    def harvest(self, hidden: Bools, *, worth: float = 1.0) -> None:
        """Prove as much as moves of whole regions can, and then, where single units are dear, moves of everything.

        Args:
            hidden: the pattern.
            worth: how much dearer it would be to prove one unit otherwise than by ``repair``.
        """
        numbers = np.flatnonzero(hidden)
        matrix = self._units.matrix[:, numbers].tocsc()
        size, idle = min(len(numbers), _REGION), 0
        while (before := len(self.left)) and idle < _IDLE:
            for members in self._regions(matrix, size):
                self._push(matrix, numbers, np.sort(members))
            moved = np.flatnonzero(self._at)
            self.take(moved, self._at[moved])
            proved = before - len(self.left)
            idle = idle + 1 if proved < 1 + _ROUND_COST * len(numbers) * size / worth else 0
            if worth > 1 and size < len(numbers) and proved < _SLOW * before:
                size, idle = len(numbers), 0

    def _regions(self, matrix: csc_matrix, size: int) -> list[Ints]:
        """Cut the hidden units into regions that hang together, at other places each time."""
        count = matrix.shape[1]
        if count <= size:
            return [np.arange(count, dtype=np.int64)]
        ties = matrix.astype(np.float64)
        graph = bmat([[None, ties.T], [ties, None]], format="csr")
        seen, order = np.zeros(graph.shape[0], dtype=np.bool_), []
        for start in self._random.permutation(count):
            if not seen[start]:
                reached = depth_first_order(graph, start, directed=False, return_predecessors=False)
                seen[reached] = True
                order.append(reached[reached < count])
        walk = np.concatenate(order).astype(np.int64)
        cuts = np.arange(self._random.integers(1, size), count, size)
        return [part for part in np.split(walk, cuts) if len(part)]

    def _push(self, matrix: csc_matrix, numbers: Ints, members: Ints) -> None:
        units = numbers[members]
        up, down, at = self.up[units], self.down[units], self._at[units]
        if not (up.any() or down.any()):
            return
        coin = self._random.choice(np.array([-1.0, 1.0]), len(units))
        wish = np.where((up > 0) & (down > 0), coin, np.where(up > 0, 1.0, np.where(down > 0, -1.0, 0.0)))
        # No unit goes further than it must; and weights far apart take few all the way rather than many half.
        upper = np.where(wish > 0, np.maximum(up, at), self._units.rise[units])
        lower = -np.where(wish < 0, np.maximum(down, -at), self._units.fall[units])
        cost = -wish * self._random.uniform(_LEAST, 1.0, len(units)) ** -2
        self._at[units] = _arrival(chosen_rows(matrix, members)[0], lower, upper, cost, at)


def _arrival(matrix: csc_matrix, lower: Ints, upper: Ints, cost: Floats, at: Ints) -> Ints:
    """Return where units arrive that set out from ``at``; what costs nothing is drawn back to the truth."""
    free = np.flatnonzero(cost == 0)  # each is how far it is above the truth, less how far below, in two columns
    above, under, weight = at.copy(), lower.copy(), cost.copy()
    above[free], under[free], weight[free] = np.maximum(at[free], 0), 0, _BACK
    below = above[free] - at[free]
    found = whole_move(
        csc_matrix(hstack([matrix, -matrix[:, free]])), np.concatenate([under, 0 * below]).astype(np.float64),
        np.concatenate([upper, -lower[free]]).astype(np.float64),
        np.concatenate([weight, np.full(len(free), _BACK)]), start=np.concatenate([above, below]),
    )
    assert found is not None, "standing still is a move"
    found[free] -= found[len(at):]
    return found[: len(at)]


def whole_move(
    matrix: csc_matrix, lower: Floats, upper: Floats, cost: Floats, *, start: Ints | None = None,
    enough: float | None = None, branch: bool = False,
) -> Ints | None:
    """Return a move in whole numbers: what comes out fractional is kept still and the rest moved again.

    Args:
        matrix: the sums, seen from the units that may move.
        lower, upper: how far each may move from the truth; ``start`` must be allowed.
        cost: of moving each by one; the cheapest move is looked for.
        start: the move from which to set out; none without.
        enough: the least that the move must gain; None is returned when it does not.
        branch: instead of keeping still, search on for whole numbers, which may take long.
    """
    begin = np.zeros(matrix.shape[1]) if start is None else start.astype(np.float64)
    known, worst = matrix @ begin, np.inf if enough is None else WHOLE - enough
    program = Program(matrix, known, known, lower, upper, cost, presolve=True)
    while True:
        found = program.solve()
        assert found is not None, "standing still is a move"
        if found.objective > worst:
            return None
        broken = found.fractional
        if not len(broken):
            return found.whole()
        if branch:
            best = program.solve_whole()
            return best.whole() if best is not None and best.objective <= worst else None
        near = whole_near(program, matrix, found, lower, upper)
        if near is not None and float(cost @ near) <= worst:
            return near
        program.bound(broken, begin[broken], begin[broken])


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
