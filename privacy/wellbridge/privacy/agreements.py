"""Agreements: the legal instrument under which data may leave, and whether it is in force.

An agreement is a file of ``policy/agreements/``. What it does not say it does not allow: a missing field, a date
that has passed or a column that is not listed refuses the release.

Source: 34 CFR 99.31(a)(6)(iii)(C) (studies: purpose, scope, duration, information, destruction, representatives),
99.35(a)(3) (audit or evaluation), 99.31(b) (de-identified records), 20 USC 1232g(b)(4)(B) (a party that redisclosed
is barred). The rules F-03 to F-09 of the book name this file; ``parties`` looks at a recipient's other agreements.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from wellbridge.privacy.noise.agreed import FIELD, AgreedBudget, read_agreed
from wellbridge.privacy.records.anonymize import K_FLOOR
from wellbridge.privacy.tables.linked import MIN_CELL_FLOOR
from wellbridge.schemas.errors import PrivacyError


class Basis(StrEnum):
    """The exception under which records leave without consent."""

    STUDIES = "studies"
    AUDIT_EVALUATION = "audit_evaluation"
    DEIDENTIFIED = "deidentified"


CITATION: Final[dict[Basis, str]] = {
    Basis.STUDIES: "34 CFR 99.31(a)(6)",
    Basis.AUDIT_EVALUATION: "34 CFR 99.31(a)(3) and 99.35",
    Basis.DEIDENTIFIED: "34 CFR 99.31(b)",
}

_TEXTS: Final = ("id", "recipient", "purpose", "scope")
_LISTS: Final = ("parties", "representatives", "elements")
_DATES: Final = ("start", "end", "destruction_date")


@dataclass(frozen=True)
class Agreement:
    """One agreement.

    Attributes:
        id: equal to its file's name.
        recipient: who receives the data.
        parties: who signed.
        basis: the exception relied on.
        purpose, scope: what the data are for, and about whom.
        start, end: first and last day of the agreement.
        destruction_date: day by which the recipient has destroyed the data.
        representatives: who at the recipient may see them.
        elements: columns and measures that may be disclosed.
        min_cell, k: smallest cell and class; at least the built-in floors.
        debarred_until: no release before this day to a party that redisclosed.
        signed_sha256: of the signed paper; empty where it was not recorded.
        local_recoding: whether children who would be left out of a record file may be coarsened further than others.
        safeguards: the recipient's policies against further disclosure and unauthorised use, by name.
        schools: ids of the schools whose students it covers; empty: the whole district.
        privacy_budget: what private tables may tell the recipient; None: no private table leaves under it.
    """

    id: str
    recipient: str
    parties: tuple[str, ...]
    basis: Basis
    purpose: str
    scope: str
    start: date
    end: date
    destruction_date: date
    representatives: tuple[str, ...]
    elements: tuple[str, ...]
    min_cell: int = MIN_CELL_FLOOR
    k: int = K_FLOOR
    debarred_until: date | None = None
    signed_sha256: str = ""
    local_recoding: bool = False
    safeguards: str = ""
    schools: tuple[str, ...] = ()
    privacy_budget: AgreedBudget | None = None

    @property
    def citation(self) -> str:
        """The paragraph relied on."""
        return CITATION[self.basis]

    def digest(self) -> str:
        """Return the SHA-256 of what was agreed."""
        agreed = asdict(self)
        # Agreements from before these were told keep their digest.
        for later in ("signed_sha256", "local_recoding", "safeguards", "schools", FIELD):
            if not agreed[later]:
                del agreed[later]
        facts = json.dumps(agreed, default=str, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(facts.encode()).hexdigest()


def load_agreement(path: Path) -> Agreement:
    """Read one agreement.

    Raises:
        PrivacyError: WB-E-040 when the file cannot be understood or does not say all it must; WB-E-044 when its
            minimum cell or k is below the floor.
    """
    facts = _read(path)
    missing = [name for name in (*_TEXTS, *_LISTS, *_DATES, "basis") if not facts.get(name)]
    if missing:
        raise _refused("An agreement does not say all it must.", path, f"missing {', '.join(missing)}")
    if facts["id"] != path.stem:
        raise _refused("An agreement's id is not its file's name.", path, "id")
    if facts["basis"] not in set(Basis):
        raise _refused(f"An agreement's basis must be one of {', '.join(Basis)}.", path, "basis")
    parts: dict[str, Any] = {
        **{name: _text(facts, name, path) for name in _TEXTS},
        **{name: _names(facts, name, path) for name in _LISTS},
        **{name: _day(facts, name, path) for name in _DATES},
    }
    agreement = Agreement(
        **parts, basis=Basis(facts["basis"]),
        min_cell=_floored(facts, "min_cell", MIN_CELL_FLOOR, path), k=_floored(facts, "k", K_FLOOR, path),
        debarred_until=_optional_day(facts, "debarred_until", path),
        signed_sha256=_text(facts, "signed_sha256", path) if "signed_sha256" in facts else "",
        local_recoding=_flag(facts, "local_recoding", path),
        safeguards=_text(facts, "safeguards", path) if "safeguards" in facts else "",
        schools=_names(facts, "schools", path) if "schools" in facts else (),
        privacy_budget=read_agreed(facts[FIELD], f"policy/agreements/{path.name}") if FIELD in facts else None,
    )
    if not agreement.start <= agreement.end <= agreement.destruction_date:
        raise _refused("An agreement's dates are out of order.", path, "start ≤ end ≤ destruction_date")
    return agreement


def find_agreement(folder: Path, agreement_id: str) -> Agreement:
    """Read the agreement of that id.

    Raises:
        PrivacyError: WB-E-040 when there is none.
    """
    path = folder / f"{agreement_id}.toml"
    if Path(agreement_id).name != agreement_id or not path.is_file():
        known = len(list(folder.glob("*.toml")))
        raise PrivacyError("WB-E-040", "There is no such agreement.", f"policy/agreements · {known} known")
    return load_agreement(path)


def effective_day(system: datetime, ledger: datetime | None) -> date:
    """Return the day that counts: a clock turned back does not revive an agreement.

    Both instants are UTC; one without a zone is taken as UTC.
    """
    instants = [_utc(system), *([_utc(ledger)] if ledger is not None else [])]
    return max(instants).date()


def in_force(agreement: Agreement, system: datetime, ledger: datetime | None = None) -> date:
    """Return the day that counts when the agreement is in force on it.

    Args:
        agreement: the agreement.
        system: now, by the system's clock.
        ledger: the latest time in the ledger of runs and releases.

    Raises:
        PrivacyError: WB-E-040 when it has not begun, has ended, or the recipient is debarred.
    """
    today = effective_day(system, ledger)
    problem = ""
    if today < agreement.start:
        problem = "has not begun"
    elif today > agreement.end:
        problem = "has ended"
    elif agreement.debarred_until is not None and today < agreement.debarred_until:
        problem = "is with a recipient who is debarred (20 USC 1232g(b)(4)(B))"
    if problem:
        raise PrivacyError("WB-E-040", f"The agreement {problem}.", f"agreement {agreement.id}")
    return today


def check_elements(agreement: Agreement, names: Iterable[str]) -> None:
    """Refuse columns or measures that the agreement does not list.

    Raises:
        PrivacyError: WB-E-041, naming them.
    """
    strange = sorted(set(names) - set(agreement.elements))
    if strange:
        raise PrivacyError(
            "WB-E-041", f"{len(strange)} element(s) are not in the agreement.",
            f"agreement {agreement.id} · {', '.join(strange)}",
        )


def _read(path: Path) -> dict[str, Any]:
    failed = False
    facts: dict[str, Any] = {}
    try:
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        failed = True
    if failed:
        raise _refused("An agreement cannot be understood.", path, "not TOML in UTF-8")
    return facts


def _refused(what: str, path: Path, place: str) -> PrivacyError:
    return PrivacyError("WB-E-040", what, f"policy/agreements/{path.name} · {place}")


def _text(facts: dict[str, Any], name: str, path: Path) -> str:
    if not isinstance(facts[name], str):
        raise _refused("A field of an agreement is no text.", path, name)
    return str(facts[name])


def _flag(facts: dict[str, Any], name: str, path: Path) -> bool:
    if not isinstance(facts.get(name, False), bool):
        raise _refused("A field of an agreement is neither true nor false.", path, name)
    return bool(facts.get(name, False))


def _names(facts: dict[str, Any], name: str, path: Path) -> tuple[str, ...]:
    value = facts[name]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _refused("A field of an agreement is no list of names.", path, name)
    return tuple(value)


def _day(facts: dict[str, Any], name: str, path: Path) -> date:
    value = facts[name]
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    day = None
    try:
        day = date.fromisoformat(value)
    except (TypeError, ValueError):
        day = None
    if day is None:
        raise _refused("A day of an agreement is no date.", path, name)
    return day


def _optional_day(facts: dict[str, Any], name: str, path: Path) -> date | None:
    return _day(facts, name, path) if facts.get(name) else None


def _floored(facts: dict[str, Any], name: str, floor: int, path: Path) -> int:
    value = facts.get(name, floor)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refused("A field of an agreement is no whole number.", path, name)
    if value < floor:
        raise PrivacyError(
            "WB-E-044", f"An agreement's {name} is below {floor}.", f"policy/agreements/{path.name} · {name}"
        )
    return value


def _utc(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
