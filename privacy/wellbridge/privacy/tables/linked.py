"""Tables that leave together are protected together: one system of cells for every table of a release.

Two tables that are each safe alone can give a cell away between them (a school's total beside the denominators of a
measure). So all tables of a release share one set of sums, and numbers that two tables both print are one cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from wellbridge.privacy.tables.attacker import Published, Ranges, attack
from wellbridge.privacy.tables.moves import Suppression, Task, unproved
from wellbridge.privacy.tables.sums import UNBOUNDED, Bools, Floats, Ints, Sums
from wellbridge.privacy.tables.suppress import NIGHTLY, QUICK, suppress
from wellbridge.schemas.errors import PrivacyError

# NCES SLDS Technical Brief 3 (NCES 2011-603): most states' smallest group is 10; PTAC names 3 as the absolute least.
MIN_CELL_FLOOR: Final = 10

_LARGE: Final = 20_000  # cells from which the cheapest pattern is no longer looked for
# A margin is hidden only when nothing else helps: it costs as much as this many cells.
_MARGIN_COST: Final = 100.0


class Need(StrEnum):
    """How uncertain a primary cell must stay for whoever holds the release.

    WEAK: it could be one more and one less.
    STRONG: it could be as large as a cell that may be shown, and three less (or nothing).
    """

    WEAK = "weak"
    STRONG = "strong"


class Reason(StrEnum):
    """Why a cell is hidden; internal: a reader sees one symbol for all."""

    SHOWN = ""
    SMALL = "small"
    ZERO = "zero"
    END = "nobody or everybody"
    COMPLEMENT = "complement"


@dataclass(frozen=True)
class Fact:
    """What is to be known of cells beside their counts, one value for each cell.

    Attributes:
        reason: why the cell is hidden from the start; empty where it may be shown.
        virtual: the cell is printed nowhere, but can be worked out from what is.
        margin: the cell is a margin, hidden only when nothing else helps.
        fixed: the cell is never hidden to protect others.
        cost: loss of hiding the cell.
        upper: greatest count that is published with the hidden cell.
    """

    reason: list[Reason]
    virtual: Bools
    margin: Bools
    fixed: Bools
    cost: Floats
    upper: Ints


def needs(counts: Ints, min_cell: int, need: Need) -> tuple[Ints, Ints]:
    """Return how far up and down each primary count must be able to move."""
    if need is Need.WEAK:
        return np.ones_like(counts), np.minimum(counts, 1)
    return np.maximum(1, min_cell - counts), np.minimum(counts, 3)


class LinkedTables:
    """The cells of all tables of one release, and their protection.

    Args:
        min_cell: no count from 1 to ``min_cell`` − 1 is shown.
        need: how uncertain a small count must stay.

    Raises:
        PrivacyError: WB-E-044 when ``min_cell`` is below the built-in floor.
    """

    def __init__(self, *, min_cell: int = MIN_CELL_FLOOR, need: Need = Need.STRONG) -> None:
        if min_cell < MIN_CELL_FLOOR:
            raise PrivacyError("WB-E-044", f"The minimum cell is below {MIN_CELL_FLOOR}.", "setting min_cell")
        self.min_cell, self.need, self.sums = min_cell, need, Sums()
        self._facts: list[Fact] = []
        self.reason: list[Reason] = []
        self.up: Ints = np.zeros(0, dtype=np.int64)
        self.down: Ints = np.zeros(0, dtype=np.int64)
        self.hidden: Bools = np.zeros(0, dtype=np.bool_)
        self.found: Suppression | None = None
        self.bare: Ints = np.zeros(0, dtype=np.int64)  # what could not be protected
        # One-way breakdowns already in the system, so that the same numbers are the same cells.
        self.known: dict[tuple[object, ...], Ints] = {}
        # The cell that counts every student of a member of a dimension, where the release shows one.
        self.heads: dict[tuple[str, str], int] = {}

    def add(self, counts: Ints, fact: Fact, need: Need | None = None) -> Ints:
        """Add cells; a cell with a reason is primary and must stay as uncertain as ``need`` says, or the system's."""
        numbers = self.sums.add_cells(counts)
        up, down = needs(counts, self.min_cell, need or self.need)
        primary = np.array([reason is not Reason.SHOWN for reason in fact.reason], dtype=np.bool_)
        self.up = np.concatenate([self.up, np.where(primary, up, 0)])
        self.down = np.concatenate([self.down, np.where(primary, down, 0)])
        self.reason += fact.reason
        self._facts.append(fact)
        return numbers

    def keep_hidden(self, cells: Ints) -> None:
        """Hide cells that are not small, so that they stay open: because of what was released before."""
        self.up[cells] = np.maximum(self.up[cells], 1)
        self.down[cells] = np.maximum(self.down[cells], np.minimum(1, self.sums.values[cells]))

    def settle(self) -> None:
        """Hide what protects every primary cell, prove it by arithmetic, then attack the outcome.

        Raises:
            PrivacyError: WB-E-042 when a primary cell cannot be protected.
        """
        if not self._facts:
            return
        task = self.task()
        found = suppress(task, QUICK if len(task.values) > _LARGE else NIGHTLY)
        bare = np.union1d(found.failed, unproved(task, found))
        self.bare = bare.astype(np.int64)
        if len(bare):
            raise PrivacyError("WB-E-042", f"{len(bare)} cell(s) cannot be protected.")
        if self._exposed(found.hidden):
            raise PrivacyError("WB-E-042", "The attack on the protected tables found a cell that is not protected.")
        self.hidden, self.found = found.hidden, found
        self.reason = [
            Reason.COMPLEMENT if hides and reason is Reason.SHOWN and not virtual else reason
            for hides, reason, virtual in zip(found.hidden, self.reason, self._joined("virtual"), strict=True)
        ]

    def to_blame(self) -> Bools:
        """Return which cells could not be protected, or stand in a sum with one that is printed nowhere."""
        links, out = self.sums.links, np.zeros(len(self.sums), dtype=np.bool_)
        out[self.bare] = True
        unseen = out & self._joined("virtual").astype(np.bool_)
        rows = np.unique(links.row[unseen[links.cell]])
        out[links.cell[np.isin(links.row, rows)]] = True
        return out

    def task(self) -> Task:
        """Return what has to be protected."""
        values, is_virtual = self.sums.values, self._joined("virtual").astype(np.bool_)
        hidden = is_virtual | ((self.up > 0) | (self.down > 0))
        cost = self._joined("cost") * np.where(self._joined("margin"), _MARGIN_COST, 1.0)
        # A published zero stays a zero: nothing can move it.
        cost = np.where(self._joined("fixed").astype(np.bool_) | (values == 0), np.inf, cost)
        lower = np.zeros_like(values)
        return Task(values, self.sums.links, hidden, self.up, self.down, lower, self._joined("upper"), cost)

    def _joined(self, name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(fact, name) for fact in self._facts])

    def _exposed(self, hidden: Bools) -> int:
        values, primary = self.sums.values, (self.up > 0) | (self.down > 0)
        enough = Ranges(values - self.down, values + self.up)
        published = Published(
            np.where(hidden, 0, values), hidden, np.zeros_like(values), self._joined("upper"), self.sums.links
        )
        found = attack(published, primary, enough=enough)
        wide = (found.least <= enough.least) & (found.greatest >= enough.greatest)
        return int((primary & ~wide).sum())


def unbounded(size: int) -> Ints:
    """Return upper bounds that bound nothing."""
    return np.full(size, UNBOUNDED, dtype=np.int64)


def tally(reasons: pl.Series) -> dict[str, int]:
    """Count hidden cells by reason."""
    counts = reasons.filter(reasons != Reason.SHOWN).value_counts(sort=False, name="n").sort(reasons.name)
    return {str(reason): int(n) for reason, n in counts.iter_rows()}
