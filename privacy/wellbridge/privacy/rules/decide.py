"""What happens to a column: every rule that it meets is joined, and what no rule allows is not done."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import reduce

from wellbridge.privacy.rules.book import DEFAULT, Book, ColumnFacts
from wellbridge.privacy.rules.rule import Level, Purpose, Rule
from wellbridge.privacy.rules.strictness import Treatment, Value, Verdict
from wellbridge.schemas.classes import Regime
from wellbridge.schemas.contract import Contract

PART2_MARK = "is_part2"  # the column by which a health record says that 42 CFR Part 2 covers it


@dataclass(frozen=True)
class Decision:
    """What happens to a column, and why.

    Attributes:
        column: its name.
        purpose: what it is wanted for.
        treatment: the strictest that any rule asks.
        deciding: the rules that ask it; the default rule alone where none allows anything.
        met: all rules that it meets, in the order of the book.
        checks: rule and check, e.g. ``F-08 log:disclosure``.
        limits: the strictest value of each limit of the rules met.
    """

    column: str
    purpose: Purpose
    treatment: Treatment
    deciding: tuple[Rule, ...]
    met: tuple[Rule, ...]
    checks: frozenset[str]
    limits: Mapping[str, Value]

    @property
    def is_default(self) -> bool:
        """Whether no rule covers the column, so that the default decided."""
        return [rule.id for rule in self.deciding] == [DEFAULT]

    @property
    def citations(self) -> tuple[str, ...]:
        """Where the deciding rules come from."""
        return tuple(dict.fromkeys(rule.citation for rule in self.deciding))


def decide(book: Book, column: ColumnFacts, regimes: Collection[Regime], purpose: Purpose) -> Decision:
    """Decide about a column.

    Args:
        book: the rules in force.
        column: its class and traits.
        regimes: every law that its rows may arrive under; none: not known, so every law counts.
        purpose: what it is wanted for.
    """
    laws = regimes or tuple(Regime)
    met = tuple(
        rule for rule in book.rules.values()
        if column.privacy is not None and rule.meets(column.privacy, column.traits, laws, purpose)
    )
    verdict = reduce(Verdict.join, (rule.verdict for rule in met), Verdict())
    asking = [rule for rule in met if rule.on is Level.COLUMN and rule.treatment is not None]
    if not asking:
        nothing = Treatment.DROP if purpose is Purpose.WAREHOUSE else Treatment.REFUSE
        verdict, asking = verdict.join(Verdict(nothing)), [book.rules[DEFAULT]]
        deciding = tuple(asking)
    else:
        deciding = tuple(rule for rule in asking if rule.treatment is verdict.treatment)
    return Decision(column.name, purpose, verdict.treatment, deciding, met, verdict.checks, verdict.limits)


def regimes_of(contract: Contract) -> tuple[Regime, ...]:
    """Return the laws that meet in a contract's rows: its own, and 42 CFR Part 2 where a row can be marked so."""
    own = (contract.regime,)
    return (*own, Regime.PART2) if PART2_MARK in contract.columns else own
