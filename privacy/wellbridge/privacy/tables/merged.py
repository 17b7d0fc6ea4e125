"""Cells that stand or fall together, as one: what is left of a system of sums once it is seen from what can move.

A cell that is never hidden cannot move, so it drops out of every sum. Where a sum then ties two cells only (a
district's single school, a school with one grade band), they are equal for every reader: hiding one hides nothing
unless both are hidden, so they become one unit. State tables shrink to a third by this, and much of what would be
searched for is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from wellbridge.privacy.tables.moves import Task
from wellbridge.privacy.tables.sums import Bools, Floats, Ints

_SEED: Final = 20_260_901


@dataclass(frozen=True)
class Units:
    """Units of cells that move together.

    Attributes:
        of: the unit of each cell, −1 for a cell that cannot move.
        matrix: one row for each sum that is left, one column for each unit.
        up, down: how far each unit must be able to move.
        rise, fall: how far it could move within the bounds that are published with it.
        cost: of hiding it; 0 where it is hidden from the start.
        is_hidden: whether it is hidden from the start.
        stuck: cells that need to move and cannot.
    """

    of: Ints
    matrix: csr_matrix
    up: Ints
    down: Ints
    rise: Ints
    fall: Ints
    cost: Floats
    is_hidden: Bools
    stuck: Ints

    def __len__(self) -> int:
        return len(self.cost)


def merged(task: Task) -> Units:
    """Merge the cells of a task into units."""
    links, size = task.links, len(task.values)
    is_mobile = task.hidden | np.isfinite(task.cost)
    unit = np.arange(size, dtype=np.int64)
    while True:
        matrix = _seen(links.row, links.cell, links.sign, unit, is_mobile, links.rows)
        count = np.diff(matrix.indptr)
        alone = matrix.indices[matrix.indptr[:-1][count == 1]]
        # The only cell of a sum that could move cannot.
        is_alone = np.isin(unit, alone) & is_mobile
        pairs = _equal_pairs(matrix, count)
        if not is_alone.any() and not len(pairs):
            break
        is_mobile &= ~is_alone
        if len(pairs):
            tie = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
            label = connected_components(tie, directed=False)[1].astype(np.int64)
            _, first = np.unique(label, return_index=True)
            unit = first[label[unit]].astype(np.int64)
    return _units(task, matrix, unit, is_mobile)


def _seen(row: Ints, cell: Ints, sign: Ints, unit: Ints, is_mobile: Bools, rows: int) -> csr_matrix:
    keep = is_mobile[cell]
    matrix = csr_matrix((sign[keep], (row[keep], unit[cell[keep]])), shape=(rows, len(unit)), dtype=np.int64)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def _equal_pairs(matrix: csr_matrix, count: Ints) -> Ints:
    starts = matrix.indptr[:-1][count == 2]
    opposite = matrix.data[starts] + matrix.data[starts + 1] == 0
    starts = starts[opposite]
    return np.stack([matrix.indices[starts], matrix.indices[starts + 1]], axis=1).astype(np.int64)


def _units(task: Task, matrix: csr_matrix, unit: Ints, is_mobile: Bools) -> Units:
    numbers, place = np.unique(unit[is_mobile], return_inverse=True)
    of = np.full(len(unit), -1, dtype=np.int64)
    of[is_mobile] = place
    size, mobile = len(numbers), np.flatnonzero(is_mobile)
    values = task.values

    def gathered(start: float, values_of_cells: Floats | Ints, ufunc: np.ufunc) -> Ints:
        out = np.full(size, start, dtype=np.int64)
        ufunc.at(out, place, values_of_cells[mobile].astype(np.int64))
        return out

    is_hidden = gathered(0, task.hidden.astype(np.int64), np.maximum) > 0
    cost = np.zeros(size)
    np.add.at(cost, place, np.where(np.isfinite(task.cost[mobile]) & ~task.hidden[mobile], task.cost[mobile], 0.0))
    most = np.iinfo(np.int64).max
    needy = (task.up > 0) | (task.down > 0)
    compact = _without_repeats(matrix[:, numbers])
    return Units(
        of, compact, gathered(0, task.up, np.maximum), gathered(0, task.down, np.maximum),
        gathered(most, task.upper - values, np.minimum), gathered(most, values - task.lower, np.minimum),
        np.where(is_hidden, 0.0, cost), is_hidden, np.flatnonzero(needy & ~is_mobile),
    )


def _without_repeats(matrix: csr_matrix) -> csr_matrix:
    """Keep one of equal rows: two sums that see the same units say the same."""
    matrix = matrix[np.diff(matrix.indptr) > 1]
    if not matrix.shape[0]:
        return matrix
    marks = np.random.default_rng(_SEED).integers(-(2**62), 2**62, matrix.shape[1])
    seen: Ints = np.abs(matrix @ marks)  # whole numbers that wrap around: equal up to sign where the rows are
    _, first = np.unique(seen, return_index=True)
    return matrix[np.sort(first)]
