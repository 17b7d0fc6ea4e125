"""Why a column is treated as it is: the rules it meets, those that won, and where they come from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from wellbridge.pipelines.policy import words
from wellbridge.pipelines.policy.coverage import Line, coverage
from wellbridge.privacy.rules.book import Book
from wellbridge.privacy.rules.rule import Purpose, Rule
from wellbridge.schemas.errors import ConfigurationError


@dataclass(frozen=True)
class Reason:
    """One column and one purpose: what happens, which rules decide, which others it meets."""

    purpose: Purpose
    what: str
    deciding: tuple[Rule, ...]
    also: tuple[Rule, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the reason for a JSON document."""
        return {
            "purpose": str(self.purpose), "what": self.what,
            "deciding": [{"rule": rule.id, "citation": rule.citation, "says": rule.says} for rule in self.deciding],
            "also": [{"rule": rule.id, "asks": words.effect(rule), "citation": rule.citation} for rule in self.also],
        }


def rule_facts(rule: Rule, lines: Iterable[Line]) -> dict[str, Any]:
    """Return everything about a rule, in words; ``lines`` are all columns, to count those that meet it."""
    return {
        "rule": rule.id, "law": rule.law, "citation": rule.citation, "says": rule.says,
        "asks": words.effect(rule), "applies_to": words.scope(rule),
        "laws_of_rows": ", ".join(sorted(rule.regimes)), "limits": words.limits(rule.limits),
        "since": rule.since.isoformat(), "status": status(rule), "doubt": rule.doubt,
        "kept_by": ", ".join(rule.kept_by), "missing": rule.missing,
        "shown_by": f"{rule.test}…" if rule.test else "", "origin": "local" if rule.is_local else "built-in",
        "columns": sum(
            any(rule.id in one.met or rule.id in one.deciding for one in line.outcomes.values())
            for line in lines
        ),
    }


def status(rule: Rule) -> str:
    """Return whether a rule's citation was verified."""
    return "verified" if rule.is_verified else "not verified"


def find_rule(name: str, book: Book) -> Rule | None:
    """Return the rule of an id, whatever its case; None where there is none."""
    return book.rules.get(name.upper())


def columns_of(owner: str, book: Book) -> list[Line]:
    """Return the columns of a contract, a warehouse table, or all that an extract can name; none for another name."""
    return [line for line in coverage(book) if _owner(line).casefold() == owner.casefold()]


def find_column(owner: str, column: str, book: Book) -> Line:
    """Return a column of a contract, by canonical name or source header; of a warehouse table; or of an extract.

    Raises:
        ConfigurationError: WB-E-015, with near names.
    """
    lines = coverage(book)
    there = [line for line in lines if _owner(line).casefold() == owner.casefold()]
    if not there:
        raise _unknown("contract, table or extract", owner, {_owner(line) for line in lines})
    for line in there:
        names = {line.column, *([line.header] if line.place == "contract" else [])}
        if column.casefold() in {name.casefold() for name in names}:
            return line
    raise _unknown(f"column of {owner}", column, [line.column for line in there])


def reasons(line: Line, book: Book) -> list[Reason]:
    """Return why a column is treated as it is, by purpose."""
    return [
        Reason(
            purpose, one.text, tuple(book.rules[rule] for rule in one.deciding),
            tuple(book.rules[rule] for rule in one.met if rule not in one.deciding),
        )
        for purpose, one in line.outcomes.items()
    ]


def _owner(line: Line) -> str:
    return "extract" if line.place == "extract" else line.owner


def _unknown(what: str, name: str, known: Iterable[str]) -> ConfigurationError:
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    return ConfigurationError(
        "WB-E-015", f"There is no {what} of that name.", f"near: {', '.join(near)}" if near else name,
        todo="wellbridge policy coverage lists every column, wellbridge policy show every rule",
    )
