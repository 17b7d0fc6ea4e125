"""What single sums give: the quick part of an attack, after which little is left for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import count as count_from

import numpy as np

from wellbridge.privacy.tables.attacker import Published
from wellbridge.privacy.tables.sums import Ints, Links
from wellbridge.schemas.errors import PrivacyError


@dataclass(frozen=True)
class Settled:
    """What is known after single sums.

    Attributes:
        published: what was published, with what follows from it filled in.
        row: the sum that gave each cell, −1 for one that was printed or is still blank.
        step: when it was given; sums of one step lean on cells of earlier steps alone.
    """

    published: Published
    row: Ints
    step: Ints

    def printed(self, cells: Iterable[int]) -> tuple[Ints, Links]:
        """Return the printed cells that give some known cells, sum after sum, and those sums."""
        links = self.published.links
        order, bounds = self._lines
        out, seen, rows = set(), set(), set()
        todo = [int(cell) for cell in cells]
        while todo:
            cell = todo.pop()
            if cell in seen:
                continue
            seen.add(cell)
            row = int(self.row[cell])
            if row < 0:
                out.add(cell)
                continue
            rows.add(row)
            others = links.cell[order[bounds[row] : bounds[row + 1]]]
            todo += others[self.step[others] < self.step[cell]].tolist()
        used = (
            np.concatenate([order[bounds[row] : bounds[row + 1]] for row in sorted(rows)])
            if rows
            else order[:0]
        )
        numbers = np.unique(links.row[used], return_inverse=True)[1].astype(np.int64)
        few = Links(numbers, links.cell[used], links.sign[used], len(rows))
        return np.array(sorted(out), dtype=np.int64), few

    @cached_property
    def _lines(self) -> tuple[Ints, Ints]:
        """The entries of the sums in their order, and where each sum begins."""
        links = self.published.links
        order = np.argsort(links.row, kind="stable")
        return order, np.searchsorted(links.row[order], np.arange(links.rows + 1))


def settled(published: Published, printed_in: Callable[[Ints], str]) -> Settled:
    """Fill in what single sums give: the last blank of a sum, and blanks that add up to nothing.

    Args:
        published: what is printed.
        printed_in: says in words where printed cells stand, for the error.

    Raises:
        PrivacyError: WB-E-046 when the printed counts contradict each other, naming the releases that print them.
    """
    links = published.links
    values, hidden = np.where(published.hidden, 0, published.shown), published.hidden.copy()
    given_by, at = np.full(len(values), -1, dtype=np.int64), np.zeros(len(values), dtype=np.int64)
    for step in count_from(1):
        known = links.residuals(values)
        blank = hidden[links.cell]
        row, cell, sign = links.row[blank], links.cell[blank], links.sign[blank]
        count = np.bincount(row, minlength=links.rows)
        wrong = np.isin(links.row, np.flatnonzero((count == 0) & (known != 0)))
        if wrong.any():
            so_far = Settled(published, given_by, at)
            raise _contradiction(printed_in(so_far.printed(links.cell[wrong].tolist())[0]))
        alone = count[row] == 1
        # Parts of a printed sum that leave nothing over are nothing each.
        is_signed = (sign < 0) | (published.lower[cell] < 0)
        mixed = np.bincount(row, weights=is_signed, minlength=links.rows) > 0
        empty = (known[row] == 0) & ~mixed[row]
        if not alone.any() and not empty.any():
            return Settled(Published(values, hidden, published.lower, published.upper, links), given_by, at)
        values[cell[alone]] = -known[row[alone]] * sign[alone]
        found = cell[alone | empty]
        hidden[found], given_by[found], at[found] = False, row[alone | empty], step
        out = found[(values[found] < published.lower[found]) | (values[found] > published.upper[found])]
        if len(out):
            so_far = Settled(published, given_by, at)
            raise _contradiction(printed_in(so_far.printed(out.tolist())[0]))
    raise AssertionError("unreachable")


def _contradiction(where: str) -> PrivacyError:
    return PrivacyError("WB-E-046", "The printed counts of the releases contradict each other.", where)
