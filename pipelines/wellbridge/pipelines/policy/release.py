"""What the rules ask of a release before it is built, and the determination record that it carries.

Rules F-01 to F-07, N-03, H-20, H-21 and I-02 name this file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from wellbridge.pipelines.extract_columns import BREAKDOWNS, RECORD_COLUMNS
from wellbridge.pipelines.extract_definitions import RECORD, ExtractDefinition
from wellbridge.privacy.agreements import Agreement, Basis
from wellbridge.privacy.codes import CODE_BYTES
from wellbridge.privacy.rules.book import Book
from wellbridge.privacy.rules.decide import Decision, decide
from wellbridge.privacy.rules.rule import Level, Purpose
from wellbridge.privacy.rules.strictness import Treatment
from wellbridge.privacy.tables.linked import Need
from wellbridge.schemas.classes import PrivacyClass
from wellbridge.schemas.errors import PrivacyError

# The rule that says what an agreement of that kind must state; a de-identified release needs no such agreement.
_AGREEMENT_RULES: Final = {Basis.STUDIES: "F-06", Basis.AUDIT_EVALUATION: "F-07"}
CODE: Final = "code"  # the column of a record file that holds the codes
ATTACKER: Final = (
    "A reasonable person in the school community without personal knowledge of the relevant circumstances "
    "(34 CFR 99.3), who holds every file of this release and of those before it and knows a child's quasi-identifiers."
)
METHODS: Final[Mapping[str, str]] = {
    RECORD: "Random codes; quasi-identifiers recoded until every child is one of k alike; the rest left out.",
    "aggregate": "Small, empty and full cells hidden or coded; further cells hidden until linear programs over all "
                 "tables of the release find every hidden count uncertain.",
}
NOT_EXAMINED: Final = ("tables that others publish",)
STATEMENT: Final = "The person named knows no way to identify a child in this release."


@dataclass(frozen=True)
class Limits:
    """The least cell and class that the rules allow."""

    min_cell: int
    k: int


def check_release(definition: ExtractDefinition, agreement: Agreement, book: Book) -> Limits:
    """Refuse a release that a rule forbids, whatever it would hold.

    Raises:
        PrivacyError: WB-E-071 for a targeted request, WB-E-040 for an agreement that does not say what the rules
            ask, WB-E-074 for what a rule in force forbids in a release.
    """
    where = f"extracts/{definition.id}.toml"
    if definition.targeted_request:
        raise PrivacyError("WB-E-071", "The extract is a targeted request.", f"{where} · targeted_request · F-03")
    _check_agreement(agreement, book)
    if book.limit("named_person") and not definition.determined_by:
        raise _forbidden("An extract does not name who determined that it identifies nobody.", where,
                         "determined_by · F-04")
    if book.limit("percent_only") and definition.counts:
        raise _forbidden("An extract counts students where the rules allow percentages alone.", where, "counts · N-03")
    _check_schools(definition, agreement, where)
    if book.number("code_bytes") > CODE_BYTES:
        raise _forbidden(f"Codes have {CODE_BYTES} random bytes, fewer than the rules ask.", where, "code_bytes · F-05")
    unfit = {d.column: rules for d in decisions(definition, book) if (rules := _against(d))}
    if unfit:
        named = ", ".join(f"{column} ({', '.join(rules)})" for column, rules in unfit.items())
        raise _forbidden(f"{len(unfit)} column(s) of an extract may not leave as they are.", where, named)
    return Limits(book.number("min_cell"), book.number("k"))


def _against(decision: Decision) -> list[str]:
    """Return the rules under which a column cannot leave as an extract holds it."""
    refusing = [rule.id for rule in decision.met if rule.on is Level.RELEASE and rule.treatment is Treatment.REFUSE]
    wanted = Treatment.CODE if decision.column == CODE else Treatment.KEEP
    return refusing or ([] if decision.treatment is wanted else [rule.id for rule in decision.deciding])


def decisions(definition: ExtractDefinition, book: Book) -> Iterator[Decision]:
    """Yield what the rules say of every column and measure of an extract.

    A released column draws on all sources, so every law meets in it.
    """
    purpose = Purpose.RECORD if definition.kind == RECORD else Purpose.AGGREGATE
    if definition.kind == RECORD:
        yield decide(book, book.facts_by_name(CODE, PrivacyClass.KEY), (), purpose)
    counted = {name for spec in definition.counts for name in spec.columns}
    for name in sorted({*definition.columns, *definition.dimensions, *counted}):
        known = RECORD_COLUMNS.get(name) or BREAKDOWNS.get(name)
        yield decide(book, book.facts_by_name(name, known.privacy if known else None), (), purpose)
    for name in sorted(definition.measures):
        yield decide(book, book.facts_by_name(name, PrivacyClass.SENSITIVE), (), purpose)


def determination(
    definition: ExtractDefinition, book: Book, now: datetime, limits: Limits, results: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the determination record of a release (34 CFR 99.31(b)(1), 45 CFR 164.514(b)(1)).

    Args:
        now: when it is made.
        limits: the cell and class that the release keeps.
        results: for each data file, counts of rows and of what is hidden; never which hidden cell is small.
    """
    purpose = Purpose.RECORD if definition.kind == RECORD else Purpose.AGGREGATE
    applied = [
        rule.id for rule in book.rules.values() if purpose in rule.purposes and rule.on in {Level.CELL, Level.RELEASE}
    ]
    person = definition.determined_by
    return {
        "citation": "34 CFR 99.31(b)(1)", "made_by": person, "made_at": now.astimezone(UTC).isoformat("T", "seconds"),
        "statement": STATEMENT if person else "", "method": METHODS[definition.kind], "attacker": ATTACKER,
        "thresholds": {"min_cell": limits.min_cell, "k": limits.k, "need": str(Need.STRONG)}, "rules": applied,
        "results": {name: dict(facts) for name, facts in results.items()}, "not_examined": list(NOT_EXAMINED),
    }


def _check_agreement(agreement: Agreement, book: Book) -> None:
    rule = book.rules.get(_AGREEMENT_RULES.get(agreement.basis, ""))
    asked = rule.limits["required_fields"] if rule else frozenset()
    assert isinstance(asked, frozenset)
    missing = sorted(name for name in asked if not getattr(agreement, name, None))
    if rule and missing:
        raise PrivacyError(
            "WB-E-040", "An agreement does not say all that the rules ask.",
            f"agreement {agreement.id} · {', '.join(missing)} · {rule.id}",
        )


def _check_schools(definition: ExtractDefinition, agreement: Agreement, where: str) -> None:
    """An agreement about some schools gives rows of their students alone, and no measure, which is of the district."""
    if agreement.schools and not set(definition.schools) <= set(agreement.schools):
        raise _forbidden("An extract is about schools that its agreement does not cover.", where, "schools · F-10")
    if agreement.schools and not definition.schools:
        raise _forbidden("An extract is about the whole district, its agreement about some schools.", where,
                         "schools · F-10")
    if definition.schools and definition.measures:
        raise _forbidden("Measures are about the whole district, the extract about some schools.", where,
                         "measures · F-10")


def _forbidden(what: str, where: str, place: str) -> PrivacyError:
    return PrivacyError("WB-E-074", what, f"{where} · {place}")
