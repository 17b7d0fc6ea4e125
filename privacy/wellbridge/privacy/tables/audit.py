"""What a published table leaves open, from what is published alone: completions, and the cells that it gives away.

A *completion* fills every hidden cell so that all sums hold. A few completions in which a cell has different counts
show that nobody can tell its count from the release; a cell for which there are none is given away. Nothing of the
truth is looked at, so completions can be published: every reader could have made them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from wellbridge.privacy.tables.attacker import Published, attack
from wellbridge.privacy.tables.merged import merged
from wellbridge.privacy.tables.moves import Task
from wellbridge.privacy.tables.program import Program, Solution, chosen_rows, whole_near
from wellbridge.privacy.tables.proof import Proof, as_matrix
from wellbridge.privacy.tables.sums import Bools, Floats, Ints
from wellbridge.schemas.errors import PrivacyError

_TRIES: Final = 4  # corners looked at before everything is searched in whole numbers
_DEAR: Final = 8.0  # a completion of everything for a few cells, beside a move near one unit, measured
_SEED: Final = 20_260_903


@dataclass(frozen=True)
class Audit:
    """The outcome of an attack.

    Attributes:
        cells: numbers of the hidden cells.
        completions: one row for each completion, the hidden cells' counts in the order of ``cells``.
        least, greatest: of the hidden cells, in the same order: counts that some completion has; the exact ends for
            ``given_away`` and ``narrowed``.
        given_away: numbers of hidden cells with one possible count.
        narrowed: numbers of hidden cells that are certainly below the minimum cell.
    """

    cells: Ints
    completions: Ints
    least: Ints
    greatest: Ints
    given_away: Ints
    narrowed: Ints


def audit(published: Published, *, min_cell: int, is_strong: bool, targets: Bools | None = None) -> Audit:
    """Attack what is published.

    Args:
        published: what the attacker holds.
        min_cell: smallest count that may be shown.
        is_strong: whether a hidden cell must also be possibly large enough to be shown.
        targets: which hidden cells are attacked; all without.

    Raises:
        PrivacyError: WB-E-046 when the published cells contradict each other.
    """
    cells = np.flatnonzero(published.hidden)
    attacked = published.hidden if targets is None else targets & published.hidden
    values = np.where(published.hidden, 0, published.shown)
    completer = _Completer(published, cells)
    values[cells] = completer.first()
    task = _task(published, attacked, values, min_cell if is_strong else 0)
    units = merged(task)
    # Cells of one unit can have different counts, and the tightest bound holds for all of them.
    np.minimum(units.up, units.rise, out=units.up)
    np.minimum(units.down, units.fall, out=units.down)
    # One of the two will do, but not where a small cell must rise: another cell of its unit could ask to fall.
    small = units.of[np.flatnonzero(task.hidden & (task.up > 0) & (values < (min_cell if is_strong else 0)))]
    is_small = np.isin(np.arange(len(units)), small)
    proof = Proof(units, either=(units.up == 1) & (units.down == 1) & ~is_small)
    proof.harvest(np.ones(len(units), dtype=np.bool_), worth=_DEAR)
    size = len(values)
    moves = as_matrix(units, proof.moves, size)
    completions = np.vstack([values[cells], values[cells] + moves[:, cells].toarray()])
    completions = _challenged(completer, completions, attacked[cells], min_cell if is_strong else 0)
    return _ranged(published, attacked[cells], completions, min_cell, is_strong=is_strong)


class _Completer:
    """Fills the hidden cells so that all sums hold, one of them as asked."""

    def __init__(self, published: Published, cells: Ints) -> None:
        self._matrix, rows = chosen_rows(published.links.matrix(len(published.hidden)).tocsc(), cells)
        residual = published.links.residuals(np.where(published.hidden, 0, published.shown))
        touched = np.zeros(len(residual), dtype=np.bool_)
        touched[rows] = True
        if residual[~touched].any():
            raise PrivacyError("WB-E-046", "The margins of a table are not the sums of its cells.")
        known = -residual[rows].astype(np.float64)
        self._lower, self._upper = (bound[cells].astype(np.float64) for bound in (published.lower, published.upper))
        self._every = np.arange(len(cells))
        self._random = np.random.default_rng(_SEED)
        self._program = Program(
            self._matrix, known, known, self._lower, self._upper, np.zeros(len(cells)), presolve=True
        )

    def first(self) -> Ints:
        """Return a completion, with something in every cell where there is such a one: those can move either way."""
        found = self._searched(np.minimum(self._lower + 1, self._upper), self._upper)
        if found is None:
            found = self._searched(self._lower, self._upper)
        if found is None:
            raise PrivacyError("WB-E-046", "The published cells contradict each other.")
        return found

    def other(self, place: int, *, above: int | None = None, below: int | None = None) -> Ints | None:
        """Return a completion with one cell at least ``above`` or at most ``below``; None where there is none."""
        lower, upper = self._lower.copy(), self._upper.copy()
        if above is not None:
            lower[place] = above
        if below is not None:
            upper[place] = below
        return self._searched(lower, upper) if lower[place] <= upper[place] else None

    def _searched(self, lower: Floats, upper: Floats) -> Ints | None:
        for _ in range(_TRIES):
            # A corner that is chosen at random has fewer fractions than one where much is as cheap.
            corner = self._corner(lower, upper, self._random.random(len(self._every)))
            found = None if corner is None else whole_near(self._program, self._matrix, corner, lower, upper)
            if corner is None or found is not None:
                return found
        self._program.price(self._every, np.zeros(len(self._every)))
        last = self._program.solve_whole()
        return None if last is None else last.whole()

    def _corner(self, lower: Floats, upper: Floats, cost: Floats) -> Solution | None:
        self._program.bound(self._every, lower, upper)
        self._program.price(self._every, cost)
        return self._program.solve()


def _task(published: Published, attacked: Bools, values: Ints, enough: int) -> Task:
    """Ask of each hidden cell that it could be ``enough``, or, where it is, that it could be something else."""
    is_small = attacked & (values < enough)
    up = np.where(is_small, enough - values, attacked & (published.upper > values)).astype(np.int64)
    down = (attacked & ~is_small & (values > published.lower)).astype(np.int64)
    return Task(values, published.links, published.hidden, up, down, published.lower, published.upper,
                np.full(len(values), np.inf))


def _challenged(completer: _Completer, completions: Ints, attacked: Bools, enough: int) -> Ints:
    """Add completions for the attacked cells that the others leave in doubt, cell by cell."""
    least, greatest = completions.min(axis=0), completions.max(axis=0)
    doubtful = np.flatnonzero(attacked & ((greatest < enough) | (least == greatest)))
    for place in doubtful:
        counts = completions[:, place]
        if counts.max() < enough:
            found = completer.other(int(place), above=enough)
        elif counts.min() == counts.max():
            found = completer.other(int(place), above=int(counts[0]) + 1)
            if found is None:
                found = completer.other(int(place), below=int(counts[0]) - 1)
        else:
            continue
        if found is not None:
            completions = np.vstack([completions, found])
    return completions


def _ranged(
    published: Published, attacked: Bools, completions: Ints, min_cell: int, *, is_strong: bool
) -> Audit:
    """Find the exact range of what the completions do not show to be open."""
    cells = np.flatnonzero(published.hidden)
    least, greatest = completions.min(axis=0), completions.max(axis=0)
    is_open = ~attacked | ((least < greatest) & ((greatest >= min_cell) | (not is_strong)))
    if not is_open.all():
        doubtful: Bools = np.zeros_like(published.hidden)
        doubtful[cells[~is_open]] = True
        exact = attack(published, doubtful)
        least = np.where(is_open, least, exact.least[cells])
        greatest = np.where(is_open, greatest, exact.greatest[cells])
    pinned = attacked & (least == greatest)
    small = attacked & ~pinned & (greatest < min_cell)
    return Audit(cells, completions, least, greatest, cells[pinned], cells[small] if is_strong else cells[:0])
