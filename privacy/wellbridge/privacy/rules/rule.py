"""One rule: where it comes from, what it applies to, what it asks, and the test that shows it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from wellbridge.privacy.rules.strictness import Treatment, Value, Verdict
from wellbridge.schemas.classes import PrivacyClass, Regime

RULE_ID: Final = re.compile(r"^[A-Z]-\d{2}$")
REQUIRE, LOG = "require:", "log:"


class Purpose(StrEnum):
    """What a column is wanted for."""

    WAREHOUSE = "warehouse"  # the district's own de-identified store
    RECORD = "record"  # a release with one row for each child
    AGGREGATE = "aggregate"  # a release of tables


class Level(StrEnum):
    """What a rule acts on."""

    COLUMN = "column"
    ROW = "row"
    CELL = "cell"
    AGREEMENT = "agreement"
    RELEASE = "release"


# Every fact that a rule may require.
FACTS: Final[Mapping[str, str]] = {
    "access_by_role": "only those whose task it is can read the rows",
    "agreement_lists_it": "an agreement in force lists the element",
    "consent_in_force": "a written consent in force covers it",
    "data_use_agreement": "the recipient signed a data use agreement",
    "determination": "the release carries a determination record",
    "evaluation_agreement": "a written agreement for audit or evaluation says all it must",
    "history_examined": "earlier releases were examined together with this one",
    "k_alike": "every child is one of at least k alike, also within the school",
    "no_actual_knowledge": "nobody at the district knows a way to identify a child in it",
    "no_counts": "percentages stand without the counts behind them",
    "not_targeted": "nobody asks whom the school believes to know who is meant",
    "notice": "the notice that forbids redisclosure travels with the data",
    "official_named": "one official answers for confidentiality",
    "parents_informed": "parents were told when the data are no longer needed",
    "party_not_barred": "the recipient is not barred after an improper redisclosure",
    "studies_agreement": "a written agreement for a study says all it must",
    "totals_safe": "no total or difference of what is shown gives a hidden cell back",
}
# Every record that a rule may ask for.
LOGS: Final[Mapping[str, str]] = {"disclosure": "each disclosure with parties, interest and agreement"}


@dataclass(frozen=True)
class Rule:
    """One rule of the book, or a site's own.

    Attributes:
        id: permanent.
        law: FERPA, PTAC, NCES, HIPAA, PART2, MCKINNEY-VENTO, IDEA, HOUSE, or LOCAL.
        citation: section and paragraph.
        says: one plain sentence.
        on: what it acts on.
        effect: a ``Treatment``, ``require:`` a fact, or ``log:`` a record.
        classes, regimes, purposes: what it applies to.
        traits: narrows it to columns with one of these; empty: to all.
        since: first day on which it applies.
        is_verified: whether the citation was compared with the text or a public copy of it.
        doubt: what was not verified.
        limits: numbers and lists it goes by.
        kept_by: files that keep it.
        missing: what it asks and the software does not do; empty where nothing is.
        test: beginning of the names of the tests that show it.
        is_local: whether it is the site's own.
    """

    id: str
    law: str
    citation: str
    says: str
    on: Level
    effect: str
    classes: frozenset[PrivacyClass]
    regimes: frozenset[Regime]
    purposes: frozenset[Purpose]
    traits: frozenset[str]
    since: date
    is_verified: bool
    doubt: str
    limits: Mapping[str, Value]
    kept_by: tuple[str, ...]
    missing: str
    test: str
    is_local: bool = False

    @property
    def is_off(self) -> bool:
        """Whether it applies to nothing until a state's practice or a site turns it on."""
        return self.limits.get("percent_only") is False or self.limits.get("hide_zeros") is False

    @property
    def treatment(self) -> Treatment | None:
        """What it does; None where it is a check."""
        return None if self.effect.startswith((REQUIRE, LOG)) else Treatment(self.effect)

    @property
    def verdict(self) -> Verdict:
        """What it asks of a column, to be joined with what others ask."""
        if self.on is Level.COLUMN and self.treatment is not None:
            return Verdict(self.treatment, limits=self.limits)
        return Verdict(checks=frozenset({f"{self.id} {self.effect}"}), limits=self.limits)

    def meets(
        self, privacy: PrivacyClass, traits: Collection[str], regimes: Collection[Regime], purpose: Purpose
    ) -> bool:
        """Whether the rule applies to a column of that class and these traits that arrived under these laws."""
        return (
            not self.is_off
            and privacy in self.classes
            and purpose in self.purposes
            and not self.regimes.isdisjoint(regimes)
            and (not self.traits or not self.traits.isdisjoint(traits))
        )
