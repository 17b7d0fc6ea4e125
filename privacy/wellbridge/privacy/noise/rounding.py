"""Controlled rounding: every count becomes a multiple of a base, and all margins still add up.

Zero-restricted: a multiple of the base stays, any other count goes to one of its two neighbours, so zero stays zero.
Of all such tables the one nearest to the truth is taken. In two dimensions, hierarchies in both, there always is one;
in three there may be none. Then counts may go further, by as few steps as it takes, and if that does not help either,
the inner cells are rounded at random without bias and the margins are their sums. The result says which it was.

Source: Cox (1987), A Constructive Procedure for Unbiased Controlled Rounding; Kelly, Golden and Assad (1990), The
Controlled Rounding Problem; Salazar-González (2006), Controlled Rounding and Cell Perturbation (more steps).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from scipy.sparse import csc_matrix, hstack

from wellbridge.privacy.tables.program import WHOLE, Program, Solution
from wellbridge.privacy.tables.protection import LEAST_MIN_CELL
from wellbridge.privacy.tables.sums import Floats, Ints, Links
from wellbridge.schemas.errors import PrivacyError

MOST_STEPS: Final = 2
MOST_CELLS: Final = 300_000  # a whole state, 231,000 cells, takes about a CPU minute
_EXACT_CELLS: Final = 10_000  # 8,000 cells take 3 CPU-s; of larger tables one within the gap is taken
_GAP: Final = 0.005
_NODES: Final = 2_000
_FEW_NODES: Final = 20  # a small programme that is not solved by then is sooner solved with more around it
_REACH: Final = 3  # sums away from a fraction within which a large table's counts are decided anew


class Rounding(StrEnum):
    """How a table was rounded.

    NEIGHBOURS: every count to one of its two neighbouring multiples.
    FURTHER: some by more steps, because no table of neighbours adds up.
    RANDOM: inner cells at random to a neighbour, without bias; margins are their sums and can be further off.
    """

    NEIGHBOURS = "neighbours"
    FURTHER = "further"
    RANDOM = "random"


@dataclass(frozen=True)
class Rounded:
    """A rounded table.

    Attributes:
        values: multiples of the base that keep every sum.
        how: which method it took.
        steps: most multiples by which a cell is beyond its neighbours.
        distance: sum of the changes of all cells, margins included (persons).
        is_optimal: whether no table of this kind is nearer to the truth.
        lower_bound: no such table is nearer than this; 0 where it was rounded at random.
    """

    values: Ints
    how: Rounding
    steps: int
    distance: int
    is_optimal: bool
    lower_bound: float


def controlled_rounding(values: Ints, links: Links, *, base: int, most_cells: int = MOST_CELLS) -> Rounded:
    """Round a table of counts that add up.

    Args:
        values: the true counts; they keep every sum of ``links``.
        links: all sums.
        base: multiples of which are published.
        most_cells: above this many cells the nearest table is not looked for.

    Raises:
        PrivacyError: WB-E-044 when the base is below 3, WB-E-046 when the counts do not add up or are negative.
    """
    if base < LEAST_MIN_CELL:
        raise PrivacyError("WB-E-044", f"The base of rounding is below {LEAST_MIN_CELL}.", "setting base")
    if (values < 0).any() or links.residuals(values).any():
        raise PrivacyError("WB-E-046", "The counts of a table are negative, or its margins are not their sums.")
    found = None
    if len(values) <= most_cells:
        try:
            tries = (_nearest(values, links, base, steps) for steps in range(MOST_STEPS + 1))
            found = next((one for one in tries if one is not None), None)
        except PrivacyError:
            found = None  # the solver gave up: neither a table nor a proof that there is none
    return found or _random(values, links, base)


def _nearest(values: Ints, links: Links, base: int, steps: int) -> Rounded | None:
    """Return the nearest table within ``steps`` of the neighbours; None where none exists.

    Unknown are, for each cell, whether it goes up to the next multiple, and how many further up or down.
    """
    whole, rest = np.divmod(values, base)
    matrix = links.matrix(len(values)).tocsc()
    further = np.where(values > 0, float(steps), 0.0)
    up = (rest > 0).astype(np.float64)
    cost: Floats = (base - 2 * rest).astype(np.float64)
    lower, columns = np.zeros(len(values)), matrix
    if steps:
        below = np.minimum(further, whole)
        far = np.full(len(values), float(base))
        columns = hstack([matrix, matrix, -matrix]).tocsc()
        lower, up, cost = np.tile(lower, 3), np.concatenate([up, further, below]), np.concatenate([cost, far, far])
    aim = (-links.residuals(whole)).astype(np.float64)
    solution = _solved(columns, aim, lower, up, cost)
    if solution is None:
        return None
    moved = np.rint(solution[0]).astype(np.int64)
    rounds = moved if not steps else moved[: len(values)] + moved[len(values) : -len(values)] - moved[-len(values) :]
    rounded = base * (whole + rounds)
    if links.residuals(rounded).any():
        return None
    beyond = int(np.maximum(-rounds, rounds - (rest > 0)).max(initial=0))
    return Rounded(
        rounded, Rounding.FURTHER if beyond else Rounding.NEIGHBOURS, beyond, int(np.abs(rounded - values).sum()),
        solution[2], solution[1] + float(rest.sum()),
    )


def _solved(
    matrix: csc_matrix, aim: Floats, lower: Floats, upper: Floats, cost: Floats
) -> tuple[Floats, float, bool] | None:
    """Return the columns, a bound below which no cost can be, and whether it was reached."""
    program = Program(matrix, aim, aim, lower, upper, cost, presolve=True)
    gap = 0.0 if len(cost) <= _EXACT_CELLS else _GAP
    found = program.solve()
    bound = 0.0 if found is None else found.objective
    if found is not None and len(found.fractional):
        whole = _near(program, matrix, found, lower, upper) if gap else None
        if whole is None or whole.objective - bound > gap * abs(bound):
            program.make_whole(gap=gap, nodes=_NODES)
            whole = program.solve()
        found = whole
        if found is not None and not gap:
            bound = max(bound, found.bound)
    if found is None:
        return None
    return found.columns, bound, found.objective - bound < 1 - WHOLE  # costs are whole


def _near(program: Program, matrix: csc_matrix, found: Solution, lower: Floats, upper: Floats) -> Solution | None:
    """Return whole columns that are the fractional answer's but near its fractions; None where there are none.

    Few columns are fractional and most of what is around them can stay: the rest is a small programme.
    """
    by_row, near = matrix.tocsr(), found.fractional
    every = np.arange(matrix.shape[1])
    for _ in range(_REACH):
        near = np.unique(by_row[np.unique(matrix[:, near].indices)].indices)
        still = np.setdiff1d(every, near)
        fixed = np.rint(found.columns[still])
        program.bound(still, fixed, fixed)
        program.make_whole(gap=_GAP, nodes=_FEW_NODES)
        whole = _tried(program)
        program.make_fractional()
        program.bound(still, lower[still], upper[still])
        if whole is not None:
            return whole
    return None


def _tried(program: Program) -> Solution | None:
    """Return an answer; None where the solver stops without one."""
    try:
        return program.solve()
    except PrivacyError:
        return None


def _random(values: Ints, links: Links, base: int) -> Rounded:
    """Round the inner cells at random, up with the chance that leaves no bias, and add up the margins."""
    whole, rest = np.divmod(values, base)
    draws = np.frombuffer(secrets.token_bytes(8 * len(values)), dtype="<u8") >> np.uint64(11)
    is_up = draws.astype(np.float64) / (1 << 53) < rest / base
    rounded = base * (whole + is_up)
    is_total = np.zeros(len(values), dtype=np.bool_)
    is_total[links.cell[links.sign < 0]] = True
    rounded[is_total] = 0
    settled = ~is_total
    while not settled.all():
        ready = np.ones(links.rows, dtype=np.bool_)
        np.logical_and.at(ready, links.row, settled[links.cell] | (links.sign < 0))
        part = ready[links.row] & (links.sign > 0)
        sums = np.zeros(links.rows, dtype=np.int64)
        np.add.at(sums, links.row[part], rounded[links.cell[part]])
        totals = ready[links.row] & (links.sign < 0) & ~settled[links.cell]
        if not totals.any():
            raise PrivacyError("WB-E-046", "The sums of a table go round in a circle.")
        rounded[links.cell[totals]] = sums[links.row[totals]]
        settled[links.cell[totals]] = True
    if links.residuals(rounded).any():
        raise PrivacyError("WB-E-046", "The inner cells of a table do not determine its margins.")
    beyond = np.maximum(np.ceil(np.abs(rounded - values) / base).astype(np.int64) - 1, 0)
    distance = int(np.abs(rounded - values).sum())
    return Rounded(rounded, Rounding.RANDOM, int(beyond.max(initial=0)), distance, False, 0.0)
