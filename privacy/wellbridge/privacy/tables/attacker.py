"""The attacker: least and greatest possible value of each hidden cell, from what is published alone.

The attacker knows that counts are whole and not negative, every sum of the release, and every bound that is
published with a hidden cell. Nothing of the truth enters but the published cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from wellbridge.privacy.tables.program import Program, chosen_rows
from wellbridge.privacy.tables.sums import UNBOUNDED, Bools, Floats, Ints, Links
from wellbridge.schemas.errors import PrivacyError

_LARGE: Final = 5_000  # hidden cells that hang together


@dataclass(frozen=True)
class Published:
    """What the attacker holds.

    Attributes:
        shown: the cells' counts; the content at hidden cells is never read.
        hidden: which cells are hidden.
        lower, upper: what is known of a hidden cell (0 and ``UNBOUNDED`` where nothing is).
        links: every sum.
    """

    shown: Ints
    hidden: Bools
    lower: Ints
    upper: Ints
    links: Links


@dataclass(frozen=True)
class Ranges:
    """Least and greatest possible count of every cell; ``UNBOUNDED`` where nothing bounds it above."""

    least: Ints
    greatest: Ints


def attack(published: Published, cells: Bools, *, enough: Ranges | None = None) -> Ranges:
    """Find the range of each of the ``cells``.

    Args:
        published: what the attacker holds.
        cells: which hidden cells to attack.
        enough: a range of each cell that is wide enough; a cell seen to reach it is not pursued further, which
            spares most programs. Without it all ranges are exact.

    Returns:
        Ranges of whole numbers; a cell that is not attacked has the range known before.

    Raises:
        PrivacyError: WB-E-042 when a range was not found within the solver's limits: it is not guessed.
    """
    least = np.where(published.hidden, published.lower, published.shown)
    greatest = np.where(published.hidden, published.upper, published.shown)
    component = published.links.components(published.hidden)
    for number in np.unique(component[cells & published.hidden]):
        mine = component == number
        _attack_component(published, mine, cells & mine, enough, least, greatest)
    return Ranges(least, greatest)


def _attack_component(
    published: Published, mine: Bools, cells: Bools, enough: Ranges | None, least: Ints, greatest: Ints
) -> None:
    numbers = np.flatnonzero(mine)
    seen_low, seen_high = np.full(len(numbers), UNBOUNDED), np.full(len(numbers), -1)
    program = _box(published, mine)
    for place in np.flatnonzero(cells[numbers]):
        cell = int(numbers[place])
        for sign in (1.0, -1.0):
            if enough is not None and _reached(sign, seen_low[place], seen_high[place], enough, cell):
                continue
            one = np.array([place])
            program.price(one, np.array([sign]))
            found = program.solve_whole()
            program.price(one, np.zeros(1))
            if found is None:
                raise ArithmeticError("the published cells contradict each other")
            if not found.is_optimal:
                raise PrivacyError("WB-E-042", "The table is too large or too odd to be examined.")
            np.minimum(seen_low, found.whole(), out=seen_low)
            np.maximum(seen_high, found.whole(), out=seen_high)
        least[cell] = seen_low[place]
        # Near the box's lid comes only what nothing published bounds: it, or a total that holds it, is at the lid.
        greatest[cell] = UNBOUNDED if seen_high[place] > _lid(published) // 2 else seen_high[place]


def _reached(sign: float, low: int, high: int, enough: Ranges, cell: int) -> bool:
    return bool(low <= enough.least[cell] if sign > 0 else high >= enough.greatest[cell])


def _lid(published: Published) -> int:
    """Four times a count that no cell bounded by what is published can exceed."""
    known = int(published.shown[~published.hidden].sum())
    stated = published.upper[published.hidden & (published.upper < UNBOUNDED)]
    return 4 * (known + int(stated.sum()) + 1000)


def _box(published: Published, mine: Bools) -> Program:
    links, numbers = published.links, np.flatnonzero(mine)
    matrix, rows = chosen_rows(links.matrix(len(mine)).tocsc(), numbers)
    outside = np.where(published.hidden, 0, published.shown)
    known = -links.residuals(outside)[rows].astype(np.float64)
    upper: Floats = np.minimum(published.upper[mine], _lid(published)).astype(np.float64)
    lower = published.lower[mine].astype(np.float64)
    # A large system is answered sooner from nothing than from the last answer.
    return Program(matrix, known, known, lower, upper, np.zeros(len(numbers)), presolve=len(numbers) > _LARGE)
