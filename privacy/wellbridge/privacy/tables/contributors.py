"""Tables of amounts against those who are in them: the only contributor of a hidden cell knows it.

Such a contributor reads the table as if the cells that she alone fills were published. What protects a sensitive
cell against her are moves that leave those cells as they are. Where there are none, more is hidden until there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.sparse import vstack

from wellbridge.privacy.tables.attacker import Published, Ranges, attack
from wellbridge.privacy.tables.moves import Suppression, Task, unproved
from wellbridge.privacy.tables.sums import Bools, Ints
from wellbridge.privacy.tables.suppress import Effort, suppress

NOBODY: Final = -1  # in place of a contributor: no contributor is alone in the cell
_NONE: Final = np.zeros(0, dtype=np.int64)
_MOST_PASSES: Final = 20  # each hides more; what is not settled by then is refused


@dataclass(frozen=True)
class Settled:
    """A pattern that holds against everybody alone in a hidden cell.

    Attributes:
        found: the pattern; its moves prove every sensitive cell against outsiders and against each contributor.
        exposed: cells that nothing protects against a contributor.
        attackers: how many contributors are alone in a hidden cell.
    """

    found: Suppression
    exposed: Ints
    attackers: int


def known_cells(hidden: Bools, alone: Ints) -> list[Ints]:
    """Return for each contributor who is alone in hidden cells the numbers of those cells.

    Args:
        hidden: which cells are hidden.
        alone: the number of each cell's only contributor, ``NOBODY`` where there are several or none.
    """
    cells = np.flatnonzero(hidden & (alone != NOBODY))
    order = cells[np.argsort(alone[cells], kind="stable")]
    edges = np.flatnonzero(np.diff(alone[order])) + 1
    return [np.sort(part) for part in np.split(order, edges)] if len(order) else []


def settle(task: Task, found: Suppression, alone: Ints, effort: Effort | None = None) -> Settled:
    """Hide more until every sensitive cell keeps its interval against every contributor alone in a hidden cell.

    Args:
        task: what has to be protected.
        found: a pattern that protects it against outsiders.
        alone: see ``known_cells``.
        effort: how long to look for the fewest further cells.
    """
    is_optimal, is_changed = found.is_optimal, True
    for _ in range(_MOST_PASSES):
        if not is_changed:
            break
        is_changed = False
        for own in known_cells(found.hidden, alone):
            left = left_by(task, found, own)
            if not len(left):
                continue
            more = suppress(_seen_by(task, found.hidden, own, left), effort)
            bare = np.union1d(more.failed, unproved(_seen_by(task, found.hidden, own, left), more))
            if len(bare):
                return Settled(found, bare, len(known_cells(found.hidden, alone)))
            hidden = found.hidden | more.hidden
            is_changed |= bool((hidden != found.hidden).any())
            found = replace(found, hidden=hidden, moves=vstack([found.moves, more.moves], format="csr"))
            is_optimal &= not is_changed
    # What no move changes protects nothing: it is shown again.
    is_used = task.hidden.copy()
    is_used[found.moves.indices] = True
    found = replace(found, hidden=found.hidden & is_used)
    own_cells = known_cells(found.hidden, alone)
    exposed = [left_by(task, found, own) for own in own_cells]
    return Settled(replace(found, is_optimal=is_optimal), np.unique(np.concatenate([*exposed, _NONE])), len(own_cells))


def left_by(task: Task, found: Suppression, own: Ints) -> Ints:
    """Return the sensitive cells that no move protects against whoever knows the cells ``own``."""
    moves = found.moves.tocsr()
    row = np.repeat(np.arange(moves.shape[0]), np.diff(moves.indptr))
    is_own: Bools = np.zeros(len(task.values), dtype=np.bool_)
    is_own[own] = True
    keeps: Bools = np.ones(moves.shape[0], dtype=np.bool_)
    keeps[row[is_own[moves.indices]]] = False
    kept = keeps[row]
    up, down = np.zeros(len(is_own), dtype=np.int64), np.zeros(len(is_own), dtype=np.int64)
    np.maximum.at(up, moves.indices[kept], moves.data[kept])
    np.maximum.at(down, moves.indices[kept], -moves.data[kept])
    return np.flatnonzero(((up < task.up) | (down < task.down)) & ~is_own)


def exposed_to_contributors(task: Task, hidden: Bools, alone: Ints) -> Ints:
    """Attack a pattern as each contributor alone in a hidden cell; return the sensitive cells that are exposed.

    Linear programs from what is published and what she knows, beside the moves: two ways to one answer.
    """
    sensitive = (task.up > 0) | (task.down > 0)
    exposed = np.zeros(len(hidden), dtype=np.bool_)
    enough = Ranges(task.values - task.down, task.values + task.up)
    component = task.links.components(hidden)
    for own in known_cells(hidden, alone):
        seen = hidden.copy()
        seen[own] = False
        published = Published(np.where(seen, 0, task.values), seen, task.lower, task.upper, task.links)
        within_reach = np.isin(component, component[own]) & sensitive & seen
        found = attack(published, within_reach, enough=enough)
        exposed |= within_reach & ((found.least > enough.least) | (found.greatest < enough.greatest))
    return np.flatnonzero(exposed)


def _seen_by(task: Task, hidden: Bools, own: Ints, left: Ints) -> Task:
    """Return the task as one contributor sees it: her cells stand still, and only what is left asks to move."""
    up, down = np.zeros_like(task.up), np.zeros_like(task.down)
    up[left], down[left] = task.up[left], task.down[left]
    cost, seen = task.cost.copy(), hidden.copy()
    cost[own], seen[own] = np.inf, False
    return replace(task, hidden=seen, up=up, down=down, cost=cost)
