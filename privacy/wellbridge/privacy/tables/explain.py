"""Why a cell is given away: the few printed counts whose sum, some taken off, bounds it.

Every bound of a linear program has a proof: the sums, each taken so many times, add up to the bound (Farkas). Of all
such proofs the one that leans least on printed counts is looked for, by a second program.

Source: A. Schrijver, Theory of Linear and Integer Programming (1986), 7.3 (Farkas' lemma) and 7.4 (duality).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.sparse import bmat, csc_matrix, hstack, identity, vstack

from wellbridge.privacy.tables.attacker import Published
from wellbridge.privacy.tables.program import Program
from wellbridge.privacy.tables.sums import UNBOUNDED, Bools, Floats, Ints

_LESS_THAN_ONE: Final = 0.999  # counts are whole: a bound below the next one proves as much
_TINY: Final = 1e-6
_PRINTED: Final = 1.0  # what leaning on a printed count costs
_STATED: Final = 0.5  # and on a bound that is stated of a blank


class Explainer:
    """Proofs of bounds in one system."""

    def __init__(self, published: Published) -> None:
        self._published = published
        self._component = published.links.components(published.hidden)
        self._matrix = published.links.matrix(len(published.hidden)).tocsc()

    def because(self, cell: int, *, least: int | None, greatest: int | None) -> Ints:
        """Return printed cells that prove a blank to be at least and at most so much.

        Args:
            cell: a blank.
            least, greatest: what is to be proved; None where nothing is.

        Returns:
            Numbers of printed cells, sorted; none where only whole numbers prove it.
        """
        problem = _Problem(self._published, self._matrix, self._component == self._component[cell], cell)
        if least is not None and least == greatest and (found := problem.equation()) is not None:
            return found
        sides = [
            problem.bound(bound, is_upper=is_upper)
            for bound, is_upper in ((greatest, True), (least, False))
            if bound is not None
        ]
        return (
            np.unique(np.concatenate(sides))
            if all(len(side) for side in sides)
            else np.zeros(0, dtype=np.int64)
        )


class _Problem:
    """The proofs of one blank: how often each sum is taken, so that all other blanks cancel or only help."""

    def __init__(self, published: Published, matrix: csc_matrix, mine: Bools, cell: int) -> None:
        blanks = np.flatnonzero(mine)
        rows = np.unique(matrix[:, blanks].indices)
        rest = matrix[rows].tocsc()
        touched = np.unique(np.repeat(np.arange(rest.shape[1]), np.diff(rest.indptr)))
        self.printed = np.setdiff1d(touched, blanks)
        self._blank, self._print = rest[:, blanks], rest[:, self.printed]
        self._lower, upper = published.lower[blanks], published.upper[blanks]
        # Blanks are counted from what is known of them at least; a row then adds up to this.
        self._known = -(self._print @ published.shown[self.printed]) - self._blank @ self._lower
        self._roofed = np.flatnonzero(upper < UNBOUNDED)
        self._room = (upper - self._lower)[self._roofed]
        self._place = int(np.searchsorted(blanks, cell))

    def equation(self) -> Ints | None:
        """Return the printed cells of which the blank is a sum with signs; None where it is none."""
        aim = self._aim(1.0)
        return self._fewest([[self._blank.T]], aim, aim, 0)

    def bound(self, bound: int, *, is_upper: bool) -> Ints:
        """Return printed cells that prove a bound."""
        sign, roofs = 1.0 if is_upper else -1.0, len(self._roofed)
        aim = self._aim(sign)
        roof = csc_matrix((np.ones(roofs), (self._roofed, np.arange(roofs))), shape=(len(aim), roofs))
        goal = sign * (bound - self._lower[self._place]) + _LESS_THAN_ONE
        found = self._fewest(
            [
                [self._blank.T, roof],
                [csc_matrix(self._known.reshape(1, -1)), csc_matrix(self._room.reshape(1, -1))],
            ],
            np.append(aim, -np.inf),
            np.append(np.full(len(aim), np.inf), goal),
            roofs,
        )
        return np.zeros(0, dtype=np.int64) if found is None else found

    def _aim(self, sign: float) -> Floats:
        aim = np.zeros(self._blank.shape[1])
        aim[self._place] = sign
        return aim

    def _fewest(self, rows: list[list[csc_matrix]], low: Floats, high: Floats, roofs: int) -> Ints | None:
        """Solve for how often each row, and each bound, is taken, leaning on printed cells as little as may be."""
        size, count = self._blank.shape[0], len(self.printed)
        one, still = identity(count, format="csc"), np.zeros(count)
        given = bmat(rows)
        leaning = bmat([[self._print.T, csc_matrix((count, roofs)), -one, one]])
        program = Program(
            csc_matrix(vstack([hstack([given, csc_matrix((given.shape[0], 2 * count))]), leaning])),
            np.concatenate([low, still]),
            np.concatenate([high, still]),
            np.concatenate([np.full(size, -np.inf), np.zeros(roofs + 2 * count)]),
            np.full(size + roofs + 2 * count, np.inf),
            np.concatenate([np.zeros(size), np.full(roofs, _STATED), np.full(2 * count, _PRINTED)]),
            presolve=True,
        )
        found = program.solve()
        if found is None:
            return None
        taken = found.columns[size + roofs :].reshape(2, count).max(axis=0)
        leant: Ints = self.printed[taken > _TINY].astype(np.int64)
        return leant
