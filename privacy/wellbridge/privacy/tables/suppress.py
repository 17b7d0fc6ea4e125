"""Complementary suppression: the cheapest pattern that protects every primary cell, with the proof that it does.

``pattern`` proposes, ``proof`` looks for moves, ``repair`` says what is missing. Small systems go round until the
proposal is proved, and then no cheaper one exists. For large ones the last proposal is mended: some bare cells one by
one, and what was hidden for them is tried for all before more is hidden. The linear program's cost says how far from
the cheapest the outcome can be at most. In both cases nothing is taken for protected that is not proved.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np

from wellbridge.privacy.tables.merged import Units, merged
from wellbridge.privacy.tables.moves import Suppression, Task
from wellbridge.privacy.tables.pattern import Cut, Pattern
from wellbridge.privacy.tables.proof import Proof, as_matrix
from wellbridge.privacy.tables.repair import EFFORTS, Repairer
from wellbridge.privacy.tables.sums import Bools, Ints

# Measured on the state tables: up to this many units the optimum is found in seconds, beyond it may take minutes.
EXACT_UNITS: Final = 4_000
# A proposal that leaves more units bare is far from being proved: it is mended rather than replaced, time after time.
_MANY: Final = 60
_FEW: Final = 100  # bare units up to which single searches are cheaper than moving everything
_PART: Final = 4  # of many bare units one in so many is mended before all are moved again


@dataclass(frozen=True)
class Effort:
    """How long to look for the optimum; counts of steps, not seconds, so that every machine gives one answer.

    Attributes:
        rounds: proposals that are tried before the last is mended.
        gap: share of the cost by which a proposal may miss the cheapest.
        nodes: branches of a proposal.
        answers: times that one proposal is corrected for units left alone in a sum.
    """

    rounds: int
    gap: float
    nodes: int
    answers: int


EXACT: Final = Effort(rounds=60, gap=0.0, nodes=2_000, answers=40)
# A site's release must be built in a night: within a thousandth of the cheapest, and mended after a few proposals.
NIGHTLY: Final = Effort(rounds=4, gap=1e-3, nodes=200, answers=8)
QUICK: Final = Effort(rounds=1, gap=0.005, nodes=1, answers=1)


def suppress(task: Task, effort: Effort | None = None) -> Suppression:
    """Hide what protects every cell of a task.

    Args:
        task: cells, sums, and what must be protected.
        effort: how long to look for the optimum; without, as the size of the system allows.
    """
    units = merged(task)
    chosen = effort or (EXACT if len(units) <= EXACT_UNITS else QUICK)
    search = _Search(units, chosen)
    failed = search.run()
    in_units = units.of >= 0
    hidden = task.hidden.copy()
    hidden[in_units] |= search.hidden[units.of[in_units]]
    bare = np.flatnonzero(in_units & np.isin(units.of, failed) & ((task.up > 0) | (task.down > 0)))
    moves = as_matrix(units, search.proof.moves, len(task.values))
    return Suppression(
        hidden, moves, np.union1d(units.stuck, bare), search.is_optimal and not len(failed), search.pattern.lower_bound
    )


class _Search:
    """The search for a pattern."""

    def __init__(self, units: Units, effort: Effort) -> None:
        self.units, self.effort = units, effort
        self.hidden: Bools = units.is_hidden.copy()
        self.proof, self.pattern, self.repairer = Proof(units), Pattern(units), Repairer(units)
        self.is_optimal = False

    def run(self) -> Ints:
        """Search; return the units that nothing protects."""
        if len(self.pattern.impossible):
            return self.pattern.impossible
        self.pattern.relax()
        for number in range(self.effort.rounds):
            self.hidden, is_cheapest = self.pattern.choose(
                gap=self.effort.gap, nodes=self.effort.nodes, rounds=self.effort.answers
            )
            self.proof.restrict(self.hidden)
            self.proof.harvest(self.hidden)
            self.is_optimal = is_cheapest
            if number == self.effort.rounds - 1 or len(self.proof.left) > _MANY:
                break
            cuts = self._cuts()
            if not len(self.proof.left):
                return self.proof.left
            if not cuts:
                break
            self.pattern.add(cuts)
        return self._mended()

    def _cuts(self) -> list[Cut]:
        """Prove what harvesting left; return what the proposal breaks where that cannot be."""
        self.repairer.prove(self.proof, self.hidden, efforts=EFFORTS[:2])
        reasons = [self.repairer.reason(self.hidden, unit, rising=rising) for unit, rising in self._bare()]
        cuts = [cut for cut in reasons if cut is not None]
        if not cuts:
            self.repairer.prove(self.proof, self.hidden, efforts=EFFORTS[2:])
            whole = (self.repairer.no_good(self.hidden, unit, rising=rising) for unit, rising in self._bare())
            cuts = list(islice((cut for cut in whole if cut is not None), 1))  # each says the same
        return cuts

    def _bare(self) -> list[tuple[int, bool]]:
        both = [(int(unit), rising) for unit in self.proof.left for rising in (True, False)]
        return [(unit, rising) for unit, rising in both if self.proof.needs(unit, rising=rising)]

    def _mended(self) -> Ints:
        """Hide what protects the units that are still bare; return those that cannot be protected."""
        while len(self.proof.left) and self._mend_part():
            if len(self.proof.left) > _FEW:
                self.proof.harvest(self.hidden)
        self.repairer.prove(self.proof, self.hidden)
        for unit, rising in self._bare():
            if self.proof.needs(unit, rising=rising):
                self._mend(unit, rising=rising, branch=True)
        self._unhide()
        return self.proof.left

    def _mend_part(self) -> bool:
        """Mend bare units, of many some: what is hidden for one serves others. Return whether it was of use."""
        bare, hidden = self._bare(), int(self.hidden.sum())
        for unit, rising in bare[::_PART] if len(bare) > _PART * _FEW // 2 else bare:
            if self.proof.needs(unit, rising=rising):
                self._mend(unit, rising=rising)
        return len(self._bare()) < len(bare) or int(self.hidden.sum()) > hidden

    def _mend(self, unit: int, *, rising: bool, branch: bool = False) -> bool:
        found = self.repairer.mend(self.hidden, unit, rising=rising, branch=branch)
        if found is None:
            return False
        self.is_optimal &= bool(self.hidden[found.units].all())
        self.hidden[found.units] = True
        if found.change is not None:
            self.proof.take(found.units, found.change)
        return True

    def _unhide(self) -> None:
        """Show again what no move needs."""
        used = self.units.is_hidden.copy()
        for units, _ in self.proof.moves:
            used[units] = True
        self.hidden &= used
