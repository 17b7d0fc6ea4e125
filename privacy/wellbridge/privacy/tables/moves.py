"""Complementary suppression by certifying moves.

A *move* is a change of hidden cells that keeps every sum: M · d = 0, cells + d ≥ 0. When a move changes a primary
cell by as much as is asked, no one who holds the release can tell the table from the moved one, so the move proves
the cell protected. For each primary cell and direction one linear program finds the move that hides least in
addition. Moves are whole numbers, so they hold against an attacker who knows that counts are whole.

Source: the incremental attacker of M. Fischetti and J. J. Salazar (Mathematical Programming 84, 1999) turned into
one program a cell; J. P. Kelly, B. L. Golden, A. A. Assad (Networks 22, 1992) for the cost of what is hidden.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from wellbridge.privacy.tables.program import Program
from wellbridge.privacy.tables.sums import UNBOUNDED, Bools, Floats, Ints, Links, Sums

# Cost of moving a cell that is hidden already: not nothing, so that moves stay short.
_HIDDEN_COST: Final = 1e-3


@dataclass(frozen=True)
class Task:
    """What has to be protected, and what may be hidden for it.

    Attributes:
        sums: cells and relations.
        up, down: how far each cell must be able to move; zero for cells that need no protection.
        lower, upper: bounds that are published with a hidden cell.
        cost: loss of hiding each cell for each unit it moves; infinite where it may not be hidden.
    """

    sums: Sums
    up: Ints
    down: Ints
    lower: Ints
    upper: Ints
    cost: Floats


@dataclass
class Cover:
    """The cells hidden so far, the moves that prove it, and the cells that could not be protected.

    Attributes:
        hidden: which cells are hidden.
        moves: sparse moves, each the numbers of its cells and their changes.
        reach_up, reach_down: how far the moves move each cell.
        failed: numbers of cells that no move protects.
    """

    hidden: Bools
    moves: list[tuple[Ints, Ints]] = field(default_factory=list)
    reach_up: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    reach_down: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    failed: list[int] = field(default_factory=list)


def cover(task: Task, hidden: Bools) -> Cover:
    """Hide what protects every cell of the task, beginning from the cells hidden already."""
    zeros = np.zeros(len(task.sums), dtype=np.int64)
    result = Cover(hidden.copy(), [], zeros.copy(), zeros.copy())
    extend(task, result)
    return result


def extend(task: Task, result: Cover) -> None:
    """Protect the cells that are not yet protected, adding to ``result``."""
    result.failed = []
    values = task.sums.values
    free = (result.hidden | np.isfinite(task.cost)) & ((task.upper > values) | (task.lower < values))
    needy = (task.up > result.reach_up) | (task.down > result.reach_down)
    result.failed += [int(cell) for cell in np.flatnonzero(needy & ~free)]
    component = task.sums.links.components(free)
    for number in np.unique(component[needy & free]):
        _Component(task, result, component == number).protect(needy)


class _Component:
    """The cells that can move together, as one warm program with a column for each way a cell can go."""

    def __init__(self, task: Task, result: Cover, mine: Bools) -> None:
        self.task, self.result, self.numbers = task, result, np.flatnonzero(mine)
        values = task.sums.values[mine]
        self.rise = np.minimum(task.upper[mine] - values, UNBOUNDED)
        self.fall = values - task.lower[mine]
        self.price = np.where(result.hidden[mine], _HIDDEN_COST, task.cost[mine])
        links = task.sums.links.among(mine)
        both = Links(
            np.concatenate([links.row, links.row]), np.concatenate([links.cell, links.cell + len(self.numbers)]),
            np.concatenate([links.sign, -links.sign]), links.rows,
        )
        self.program = Program(
            both, np.zeros(links.rows), np.zeros(2 * len(self.numbers)),
            np.concatenate([self.rise, self.fall]).astype(np.float64), np.concatenate([self.price, self.price]),
        )

    def protect(self, needy: Bools) -> None:
        """Protect this component's needy cells, those that need most first."""
        need = np.maximum(self.task.up, self.task.down)[self.numbers]
        for place in np.argsort(-need, kind="stable"):
            cell = int(self.numbers[place])
            if not needy[cell]:
                continue
            found = self._raise(int(place), cell) and self._lower(int(place), cell)
            if not found:
                self.result.failed.append(cell)

    def _raise(self, place: int, cell: int) -> bool:
        need = int(self.task.up[cell])
        return need <= self.result.reach_up[cell] or self._move(place, need, rising=True)

    def _lower(self, place: int, cell: int) -> bool:
        need = int(self.task.down[cell])
        return need <= self.result.reach_down[cell] or self._move(place, need, rising=False)

    def _move(self, place: int, need: int, *, rising: bool) -> bool:
        size = len(self.numbers)
        forward, back = (place, place + size) if rising else (place + size, place)
        room, other = (self.rise, self.fall) if rising else (self.fall, self.rise)
        if room[place] < need:
            return False
        self.program.bound(forward, float(need), float(room[place]))
        self.program.bound(back, 0.0, 0.0)
        found = self.program.solve_whole()
        self.program.bound(forward, 0.0, float(room[place]))
        self.program.bound(back, 0.0, float(other[place]))
        if found is not None:
            self._take(found[:size] - found[size:])
        return found is not None

    def _take(self, change: Ints) -> None:
        moved = np.flatnonzero(change)
        cells = self.numbers[moved]
        for place in moved[~self.result.hidden[cells]]:
            self.program.price(int(place), _HIDDEN_COST)
            self.program.price(int(place) + len(self.numbers), _HIDDEN_COST)
        self.result.hidden[cells] = True
        self._harvest(cells, change[moved])
        back = -change
        if bool(np.all((back <= self.rise) & (-back <= self.fall))):
            self._harvest(cells, back[moved])

    def _harvest(self, cells: Ints, change: Ints) -> None:
        """Keep a move that takes some cell further than all before."""
        reach_up, reach_down = self.result.reach_up, self.result.reach_down
        if bool(np.any((change > reach_up[cells]) | (-change > reach_down[cells]))):
            self.result.moves.append((cells, change))
        reach_up[cells] = np.maximum(reach_up[cells], change)
        reach_down[cells] = np.maximum(reach_down[cells], -change)


def unproved(task: Task, result: Cover) -> list[int]:
    """Return the cells that the moves do not prove protected, by arithmetic alone.

    Every move is checked anew: it keeps each sum, leaves no cell below its lower or above its upper bound, and
    changes hidden cells only.
    """
    values, size = task.sums.values, len(task.sums)
    up, down = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    for cells, change in result.moves:
        moved = np.zeros(size, dtype=np.int64)
        moved[cells] = change
        after = values + moved
        holds = (
            not task.sums.links.residuals(moved).any() and bool(result.hidden[cells].all())
            and bool(np.all((after >= task.lower)[cells] & (after <= task.upper)[cells]))
        )
        if holds:
            up, down = np.maximum(up, moved), np.maximum(down, -moved)
    return [int(cell) for cell in np.flatnonzero((up < task.up) | (down < task.down))]
