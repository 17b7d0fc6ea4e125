"""Whether a site keeps the rules: its own rules, its agreements, its extracts, and every contract's columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, TypeVar

from wellbridge.pipelines.extract_definitions import ExtractDefinition, load_definition
from wellbridge.pipelines.policy.coverage import contracts, coverage
from wellbridge.pipelines.policy.release import check_release
from wellbridge.pipelines.policy.site_rules import rules_of
from wellbridge.privacy.agreements import Agreement, check_elements, find_agreement, in_force, load_agreement
from wellbridge.privacy.parties import check_party, is_overdue
from wellbridge.privacy.policy import check_contract
from wellbridge.privacy.rules.book import Book, builtin
from wellbridge.schemas.errors import Exit, PrivacyError, SafeError, VerifyError

T = TypeVar("T")
# Which exit a check ends with when several things are wrong: what the others follow from comes first.
_ORDER: Final = (Exit.CONFIGURATION, Exit.VERIFY, Exit.PRIVACY)


@dataclass(frozen=True)
class Violation:
    """One thing that does not keep the rules, as the error that it raises or would raise."""

    kind: str
    error: SafeError


@dataclass(frozen=True)
class Checked:
    """What was looked at, and what of it does not keep the rules."""

    book: Book
    counts: dict[str, int]
    violations: list[Violation]

    @property
    def exit(self) -> Exit:
        """The exit code."""
        found = {violation.error.exit for violation in self.violations}
        return next((code for code in _ORDER if code in found), Exit.DONE)


def check_site(root: Path, now: datetime | None = None) -> Checked:
    """Check a site's folder against the rules in force; nothing is written and no store is opened."""
    look = _Look(root, now or datetime.now(UTC))
    look.rules()
    look.agreements()
    look.extracts()
    look.columns()
    return Checked(look.book, look.counts, look.violations)


class _Look:
    """One look at a site: each part is looked at whatever is wrong with the others."""

    def __init__(self, root: Path, now: datetime) -> None:
        self.root, self.now, self.book = root, now, builtin()
        self.folder = root / "policy" / "agreements"
        self.counts: dict[str, int] = {}
        self.violations: list[Violation] = []

    @property
    def today(self) -> date:
        return self.now.date()

    def rules(self) -> None:
        self.book = self._tried("rules", lambda: rules_of(self.root, self.today)) or self.book
        self.counts["rules"] = len(self.book.rules)

    def agreements(self) -> None:
        for agreement in self._read(self.folder, "agreement", load_agreement):
            if is_overdue(self.folder, agreement, self.today):
                self._add("agreement", PrivacyError(
                    "WB-E-072", "The day of destruction is past, and nobody attested that the data are destroyed.",
                    f"agreement {agreement.id} · F-07"))

    def extracts(self) -> None:
        for definition in self._read(self.root / "extracts", "extract", load_definition):
            agreement = self._tried("extract", _finder(self.folder, definition.agreement))
            if agreement is not None:
                for step in self._steps(definition, agreement):
                    self._tried("extract", step)

    def _steps(self, definition: ExtractDefinition, agreement: Agreement) -> tuple[Callable[[], object], ...]:
        return (
            lambda: in_force(agreement, self.now),
            lambda: check_elements(agreement, definition.elements),
            lambda: check_party(self.folder, agreement, self.today),
            lambda: check_release(definition, agreement, self.book),
        )

    def columns(self) -> None:
        known = contracts()
        for contract in known.values():
            self._tried("contract", lambda each=contract: check_contract(each, self.book))  # type: ignore[misc]  # bound now
        self.counts["contracts"] = len(known)
        lines = coverage(self.book)
        self.counts["columns"] = len(lines)
        for line in lines:
            if not line.is_covered:
                self._add(line.place, VerifyError(
                    "WB-E-073", "A column has no rule.", f"{line.place} {line.owner} · column {line.column}"))

    def _read(self, folder: Path, kind: str, load: Callable[[Path], T]) -> list[T]:
        paths = sorted(folder.glob("*.toml"))
        self.counts[f"{kind}s"] = len(paths)
        found = (self._tried(kind, _loader(load, path)) for path in paths)
        return [each for each in found if each is not None]

    def _tried(self, kind: str, step: Callable[[], T]) -> T | None:
        try:
            return step()
        except SafeError as error:
            self._add(kind, error)
        return None

    def _add(self, kind: str, error: SafeError) -> None:
        known = {(one.error.code, one.error.where) for one in self.violations}
        if (error.code, error.where) not in known:
            self.violations.append(Violation(kind, error))


def _loader(load: Callable[[Path], T], path: Path) -> Callable[[], T]:
    return lambda: load(path)


def _finder(folder: Path, agreement_id: str) -> Callable[[], Agreement]:
    return lambda: find_agreement(folder, agreement_id)
