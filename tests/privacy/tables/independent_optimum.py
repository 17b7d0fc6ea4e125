"""The fewest cells to hide, by a program that shares no code with the toolkit.

One program holds, for every small cell and direction, changes of the inner cells; a cell may change only where it is
hidden, and never below nothing. Changes may be fractions, so that no pattern is safe that hides fewer. SciPy solves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import polars as pl
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import block_diag, csr_matrix, hstack, vstack

ALL = "all"
TIMES = 3  # no cell need change by more than so many times what is asked; more only makes the program harder


@dataclass(frozen=True)
class Cross:
    """A table's cells, each the sum of the inner cells that it covers.

    Attributes:
        labels: of each cell, the columns' members, ``all`` where summed over.
        members: one row for each cell, one column for each inner cell.
        counts: of each cell.
    """

    labels: list[tuple[str, ...]]
    members: np.ndarray
    counts: np.ndarray


def cross(rows: pl.DataFrame, dimensions: Sequence[Sequence[str]], count: str) -> Cross:
    """Cross the dimensions (columns finest first) of a table of inner cells."""
    nodes = [_nodes(rows, columns) for columns in dimensions]
    atoms = [tuple(one for part in atom for one in part) for atom in product(*(finest for finest, _ in nodes))]
    labels = [tuple(one for part in cell for one in part) for cell in product(*(every for _, every in nodes))]
    names = [name for columns in dimensions for name in columns]
    known: dict[tuple[str, ...], int] = {}
    for row in rows.iter_rows(named=True):
        key = tuple(str(row[name]) for name in names)
        known[key] = known.get(key, 0) + int(row[count])
    members = np.array([[all(c in (ALL, a) for c, a in zip(cell, atom, strict=True)) for atom in atoms]
                        for cell in labels], dtype=np.int64)
    return Cross(labels, members, members @ np.array([known.get(atom, 0) for atom in atoms], dtype=np.int64))


def _nodes(rows: pl.DataFrame, columns: Sequence[str]) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    finest = sorted({tuple(str(one) for one in row) for row in rows.select(columns).iter_rows()})
    every = {(*(ALL,) * closed, *node[closed:]) for node in finest for closed in range(len(columns) + 1)}
    return finest, sorted(every)


def needs(count: int, least: int, *, is_strong: bool) -> tuple[int, int]:
    """Return how far a small count must be able to rise and to fall."""
    return (least - count, min(count, 3)) if is_strong else (1, 1)


def fewest(table: Cross, least: int, *, is_strong: bool, blank_least: int = 0) -> int | None:
    """Return the least number of cells to hide beside the small ones, None where nothing protects them all.

    With a blank_least of 1 the reader knows that no hidden cell is nothing.
    """
    counts, members = table.counts, table.members
    cells, atoms = members.shape
    small = (counts > 0) & (counts < least)
    wanted = []
    for cell in np.flatnonzero(small):
        up, down = needs(int(counts[cell]), least, is_strong=is_strong)
        down = min(down, int(counts[cell]) - blank_least)
        wanted += [(cell, up, 1)] + ([(cell, down, -1)] if down else [])
    if not wanted:
        return 0
    # Unknowns: which cells are hidden, then the change of every inner cell for each wish.
    change = csr_matrix(members)
    changes = block_diag([change] * len(wanted), format="csr")
    upper = vstack([csr_matrix(np.diag(np.where(counts > 0, -float(TIMES * far), 0.0))) for _, far, _ in wanted])
    falls = np.maximum(counts - blank_least, 0)
    lower = vstack([csr_matrix(np.diag(np.minimum(falls, TIMES * far).astype(float))) for _, far, _ in wanted])
    goals = csr_matrix((len(wanted), cells + atoms * len(wanted))).tolil()
    for number, (cell, _, sign) in enumerate(wanted):
        goals[number, cells + number * atoms:cells + (number + 1) * atoms] = sign * members[cell]
    rows = len(wanted) * cells
    far = np.array([far for _, far, _ in wanted], dtype=float)
    cost = np.concatenate([np.where(small, 0.0, 1.0), np.zeros(atoms * len(wanted))])
    reach = np.repeat(TIMES * far, atoms)
    found = milp(
        cost,
        constraints=[
            LinearConstraint(hstack([upper, changes]), -np.inf, np.zeros(rows)),
            LinearConstraint(hstack([lower, changes]), np.zeros(rows), np.inf),
            LinearConstraint(goals.tocsr(), far, far),
        ],
        bounds=Bounds(
            np.concatenate([small.astype(float), -reach]), np.concatenate([(counts > 0).astype(float), reach])
        ),
        integrality=np.concatenate([np.ones(cells), np.zeros(atoms * len(wanted))]),
    )
    if found.status == 2:
        return None
    assert found.status == 0, found.message
    return round(found.fun)
