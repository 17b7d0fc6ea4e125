"""What a published table leaves open, from what is published alone: completions, and the cells that it gives away.

A *completion* fills every hidden cell so that all sums hold. A few completions in which a cell has different counts
show that nobody can tell its count from the release; a cell for which there are none is given away. Nothing of the
truth is looked at, so completions can be published: every reader could have made them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import csc_matrix

from wellbridge.privacy.tables.attacker import Published, Witness, attack
from wellbridge.privacy.tables.merged import Units, merged
from wellbridge.privacy.tables.moves import Task
from wellbridge.privacy.tables.program import Program, Solution, chosen_rows
from wellbridge.privacy.tables.proof import Proof, as_matrix
from wellbridge.privacy.tables.repair import Repairer
from wellbridge.privacy.tables.sums import Bools, Floats, Ints
from wellbridge.schemas.errors import PrivacyError

_NEAR: Final = 2  # sums away from a fraction within which whole counts are searched


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
    values[cells] = _first_completion(published, cells)
    task = _task(published, attacked, values, min_cell if is_strong else 0)
    units = merged(task)
    # Cells of one unit can have different counts, and the tightest bound holds for all of them.
    np.minimum(units.up, units.rise, out=units.up)
    np.minimum(units.down, units.fall, out=units.down)
    # One of the two will do, but not where a small cell must rise: another cell of its unit could ask to fall.
    small = units.of[np.flatnonzero(task.hidden & (task.up > 0) & (values < (min_cell if is_strong else 0)))]
    is_small = np.isin(np.arange(len(units)), small)
    proof = Proof(units, either=(units.up == 1) & (units.down == 1) & ~is_small)
    _move(units, proof)
    size = len(values)
    moves = as_matrix(units, proof.moves, size)
    completions = np.vstack([values[cells], values[cells] + moves[:, cells].toarray()])
    least, greatest = completions.min(axis=0), completions.max(axis=0)
    return _ranged(published, attacked[cells], completions, least, greatest, min_cell, is_strong=is_strong)


def _first_completion(published: Published, cells: Ints) -> Ints:
    matrix, rows = chosen_rows(published.links.matrix(len(published.hidden)).tocsc(), cells)
    residual = published.links.residuals(np.where(published.hidden, 0, published.shown))
    touched = np.zeros(len(residual), dtype=np.bool_)
    touched[rows] = True
    if residual[~touched].any():
        raise PrivacyError("WB-E-046", "The margins of a table are not the sums of its cells.")
    known = -residual[rows].astype(np.float64)
    upper = published.upper[cells].astype(np.float64)
    # Zeros are mostly shown, so hidden counts are mostly more; and from there they can move either way.
    for least in (np.minimum(published.lower[cells] + 1, published.upper[cells]), published.lower[cells]):
        program = Program(matrix, known, known, least.astype(np.float64), upper, np.zeros(len(cells)), presolve=True)
        found = program.solve()
        whole = None if found is None else _whole_completion(program, found, matrix, least, upper)
        if whole is not None:
            return whole
    raise PrivacyError("WB-E-046", "The published cells contradict each other.")


def _whole_completion(
    program: Program, found: Solution, matrix: csc_matrix, least: Ints, upper: Floats
) -> Ints | None:
    """Make a completion whole: what is near a fraction is searched again, the rest stays; else everything is."""
    broken = found.fractional
    if not len(broken):
        return found.whole()
    by_row = matrix.tocsr()
    near = broken
    for _ in range(_NEAR):
        near = np.unique(by_row[np.unique(matrix[:, near].indices)].indices)
    still = np.setdiff1d(np.arange(matrix.shape[1]), near)
    fixed = np.rint(found.columns[still])
    program.bound(still, fixed, fixed)
    whole = program.solve_whole()
    if whole is None:
        program.bound(still, least[still].astype(np.float64), upper[still])
        whole = program.solve_whole()
    return whole


def _move(units: Units, proof: Proof) -> None:
    """Move every unit as far as it should go, many at once and then one by one."""
    every, repairer = np.ones(len(units), dtype=np.bool_), Repairer(units)
    proof.harvest(every)
    for branch in (False, True):
        for unit in proof.left:
            for rising in (True, False):
                needed = (proof.up if rising else proof.down)[unit] > 0
                move = repairer.move(every, int(unit), rising=rising, branch=branch) if needed else None
                if move is not None:
                    proof.take(*move)


def _task(published: Published, attacked: Bools, values: Ints, enough: int) -> Task:
    """Ask of each hidden cell that it could be ``enough``, or, where it is, that it could be something else."""
    is_small = attacked & (values < enough)
    up = np.where(is_small, enough - values, attacked & (published.upper > values)).astype(np.int64)
    down = (attacked & ~is_small & (values > published.lower)).astype(np.int64)
    return Task(values, published.links, published.hidden, up, down, published.lower, published.upper,
                np.full(len(values), np.inf))


def _ranged(
    published: Published, attacked: Bools, completions: Ints, least: Ints, greatest: Ints, min_cell: int, *,
    is_strong: bool,
) -> Audit:
    """Find the exact range of what the completions do not show to be open."""
    cells = np.flatnonzero(published.hidden)
    is_open = ~attacked | ((least < greatest) & ((greatest >= min_cell) | (not is_strong)))
    if not is_open.all():
        doubtful: Bools = np.zeros_like(published.hidden)
        doubtful[cells[~is_open]] = True
        witnesses: list[Witness] = []
        exact = attack(published, doubtful, witnesses=witnesses)
        enough = min_cell if is_strong else 0
        completions = _widened(completions, np.flatnonzero(~is_open), cells, witnesses, enough)
        least = np.where(is_open, least, exact.least[cells])
        greatest = np.where(is_open, greatest, exact.greatest[cells])
    pinned = attacked & (least == greatest)
    small = attacked & ~pinned & (greatest < min_cell)
    return Audit(cells, completions, least, greatest, cells[pinned], cells[small] if is_strong else cells[:0])


def _widened(completions: Ints, doubtful: Ints, cells: Ints, witnesses: list[Witness], enough: int) -> Ints:
    """Add the completions by which the exact attack showed cells to be open that the others leave in doubt."""
    least, greatest = completions.min(axis=0), completions.max(axis=0)
    added = [completions]
    for numbers, counts in witnesses:
        filled = completions[0].copy()
        filled[np.searchsorted(cells, numbers)] = counts
        is_open = (least < greatest) & (greatest >= enough)
        if ((filled < least) | (filled > greatest))[doubtful][~is_open[doubtful]].any():
            added.append(filled[None, :])
            least, greatest = np.minimum(least, filled), np.maximum(greatest, filled)
    return np.vstack(added)
