"""Moves: changes of hidden cells that keep every sum, and so prove what a reader cannot know.

A *move* d has M · d = 0, stays within the bounds that are published, and changes hidden cells only. Nobody who holds
the release can tell the table from the moved one; a move that changes a cell by as much as is asked proves it
protected. Moves are whole numbers, so they hold against a reader who knows that counts are whole, and they are
checked by arithmetic alone, whoever found them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from wellbridge.privacy.tables.sums import Bools, Floats, Ints, Links


@dataclass(frozen=True)
class Task:
    """What has to be protected, and what may be hidden for it.

    Attributes:
        values: the cells' counts.
        links: their relations.
        hidden: cells hidden from the start.
        up, down: how far each cell must be able to move; zero for cells that need no protection.
        lower, upper: bounds that are published with a hidden cell.
        cost: loss of hiding each cell; infinite where it may not be hidden.
    """

    values: Ints
    links: Links
    hidden: Bools
    up: Ints
    down: Ints
    lower: Ints
    upper: Ints
    cost: Floats


@dataclass(frozen=True)
class Suppression:
    """Which cells to hide, and the proof.

    Attributes:
        hidden: which cells are hidden.
        moves: one row for each move, one column for each cell.
        failed: numbers of cells that nothing protects.
        is_optimal: whether no cheaper pattern exists.
        lower_bound: no pattern that protects all costs less than this.
    """

    hidden: Bools
    moves: csr_matrix
    failed: Ints
    is_optimal: bool
    lower_bound: float


def unproved(task: Task, found: Suppression) -> Ints:
    """Return the cells that the moves do not prove protected, by arithmetic alone.

    Every move is checked anew: it keeps each sum, leaves no cell below its lower or above its upper bound, and
    changes hidden cells only. A move that fails one of these proves nothing.
    """
    moves, size = found.moves.tocsr(), len(task.values)
    row = np.repeat(np.arange(moves.shape[0]), np.diff(moves.indptr))
    after = task.values[moves.indices] + moves.data
    is_bad = (after < task.lower[moves.indices]) | (after > task.upper[moves.indices]) | ~found.hidden[moves.indices]
    bad = np.unique(row[is_bad])
    broken = (moves @ task.links.matrix(size).T).tocsr()
    broken.eliminate_zeros()
    holds = np.diff(broken.indptr) == 0
    holds[bad] = False
    kept = holds[row]
    up, down = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    np.maximum.at(up, moves.indices[kept], moves.data[kept])
    np.maximum.at(down, moves.indices[kept], -moves.data[kept])
    return np.flatnonzero((up < task.up) | (down < task.down))
