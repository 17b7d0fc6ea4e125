"""Which rule decides about which column, for every column there is: of contracts, of the warehouse, of extracts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from wellbridge.pipelines.extract_columns import RECORD_COLUMNS
from wellbridge.pipelines.measures.registry import MEASURES
from wellbridge.pipelines.policy import words
from wellbridge.pipelines.sources.source import KINDS, Resource, source
from wellbridge.privacy.rules.book import Book, ColumnFacts
from wellbridge.privacy.rules.decide import Decision, decide, regimes_of
from wellbridge.privacy.rules.rule import Purpose
from wellbridge.schemas.classes import PrivacyClass, Regime
from wellbridge.schemas.contract import CONTRACTS, Contract
from wellbridge.schemas.warehouse import METADATA

CONTRACT, WAREHOUSE, EXTRACT = "contract", "warehouse", "extract"
_DATES: Final = {"DATE", "DATETIME"}


@dataclass(frozen=True)
class Outcome:
    """What happens to a column for one purpose.

    Attributes:
        text: in words.
        deciding, met: rules by id.
        is_covered: whether a rule covers it; False where the default decided.
    """

    text: str
    deciding: tuple[str, ...]
    met: tuple[str, ...]
    is_covered: bool


@dataclass(frozen=True)
class Line:
    """One column.

    Attributes:
        place: ``contract``, ``warehouse`` or ``extract``.
        owner: the contract, table or kind of extract.
        column, header: its name, and the source's name of it.
        privacy: its class; empty where it has none.
        regimes: the laws its rows may arrive under; empty: every law.
        traits: what else it is known to be.
        outcomes: by purpose.
    """

    place: str
    owner: str
    title: str
    column: str
    header: str
    privacy: str
    regimes: tuple[str, ...]
    traits: tuple[str, ...]
    outcomes: Mapping[Purpose, Outcome]

    @property
    def is_covered(self) -> bool:
        """Whether a rule covers it for every purpose."""
        return all(outcome.is_covered for outcome in self.outcomes.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the line for a JSON document."""
        return {
            "place": self.place, "owner": self.owner, "column": self.column, "header": self.header,
            "class": self.privacy, "regimes": list(self.regimes), "traits": list(self.traits),
            "covered": self.is_covered,
            **{
                str(purpose): {"what": one.text, "rules": list(one.deciding), "met": list(one.met)}
                for purpose, one in self.outcomes.items()
            },
        }


def contracts() -> dict[str, Contract]:
    """Return every contract there is, by name."""
    for kind in KINDS:
        source(kind)
    return dict(sorted(CONTRACTS.items()))


def coverage(book: Book) -> list[Line]:
    """Return every column with what the rules decide about it."""
    return [*_of_contracts(book), *_of_warehouse(book), *_of_extracts(book)]


def _of_contracts(book: Book) -> Iterator[Line]:
    resources = {
        resource.contract.name: resource for kind in KINDS for resource in source(kind).resources.values()
    }
    for name, contract in contracts().items():
        laws = regimes_of(contract)
        for column in contract.columns.values():
            facts = book.facts_of(column)
            key_name = column.key_name if column.ids is not None else ""
            outcomes = {
                purpose: _outcome(decide(book, facts, laws, purpose), facts, key_name) for purpose in Purpose
            }
            stored = outcomes[Purpose.WAREHOUSE]
            text = _where(contract, resources.get(name)) or stored.text
            outcomes[Purpose.WAREHOUSE] = Outcome(text, stored.deciding, stored.met, stored.is_covered)
            yield _line(CONTRACT, name, contract.title, column.header, facts, laws, outcomes)


def _where(contract: Contract, resource: Resource | None) -> str:
    """Return what becomes of a whole record type that never gets to the warehouse."""
    if not contract.loads:
        return "not loaded: read for its keys only (WB-P-004)"
    if resource is not None and resource.decides:
        return "not loaded: a decision about sharing, for the vault"
    return ""


def _of_warehouse(book: Book) -> Iterator[Line]:
    """The warehouse's own columns; what law a row of a table came under is not known, so every law counts."""
    for table in sorted(METADATA.tables.values(), key=lambda one: one.name):
        for column in table.columns:
            is_date = str(column.type).split("(")[0] in _DATES
            facts = book.facts_by_name(column.name, column.info.get("privacy"), is_date=is_date)
            outcomes = {purpose: _outcome(decide(book, facts, (), purpose), facts) for purpose in Purpose}
            yield _line(WAREHOUSE, table.name, table.info["title"], "", facts, (), outcomes)


def _of_extracts(book: Book) -> Iterator[Line]:
    """What an extract can name: columns of record files, and breakdowns and measures of tables."""
    columns: list[tuple[str, ColumnFacts, tuple[Purpose, ...]]] = [
        ("The child's code", book.facts_by_name("code", PrivacyClass.KEY), (Purpose.RECORD,))
    ]
    for name, column in RECORD_COLUMNS.items():
        tables = (Purpose.AGGREGATE,) if column.of is None else ()
        purposes: tuple[Purpose, ...] = (Purpose.RECORD, *tables)
        columns.append((column.meaning, book.facts_by_name(name, column.privacy), purposes))
    for name, measure in MEASURES.items():
        facts = book.facts_by_name(name, PrivacyClass.SENSITIVE)
        columns.append((measure.title, facts, (Purpose.AGGREGATE,)))
    for meaning, facts, purposes in columns:
        is_measure = Purpose.RECORD not in purposes
        owner = "measures" if is_measure else "columns and breakdowns"
        title = "outcomes in tables" if is_measure else "of record files; breakdowns also of tables"
        outcomes = {purpose: _outcome(decide(book, facts, (), purpose), facts) for purpose in purposes}
        yield _line(EXTRACT, owner, title, meaning, facts, (), outcomes)


def _outcome(decision: Decision, facts: ColumnFacts, key_name: str = "") -> Outcome:
    return Outcome(
        words.outcome(decision, facts, key_name), tuple(rule.id for rule in decision.deciding),
        tuple(rule.id for rule in decision.met), not decision.is_default,
    )


def _line(
    place: str, owner: str, title: str, header: str, facts: ColumnFacts, laws: Collection[Regime],
    outcomes: Mapping[Purpose, Outcome],
) -> Line:
    return Line(
        place, owner, title, facts.name, header, str(facts.privacy or ""), tuple(str(law) for law in laws),
        tuple(sorted(facts.traits)), outcomes,
    )
