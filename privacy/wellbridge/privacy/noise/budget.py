"""What of a privacy budget is spent: a file that is only added to, each line holding the hash of the one before.

A budget is granted once for an agreement and a population, and one for a population whoever receives, for recipients
may pool what they got; in one measure, and never raised: ρ of zero-concentrated
differential privacy, or ε of pure differential privacy. Releases add up: ρ to ρ, ε to ε; ε in a budget of ρ counts as
ε² / 2. What is asked for is checked before any noise is drawn and written down before the release is published, so a
command that is killed in between has spent and shown nothing, never the other way round.

It is a file and not a table of the warehouse, because a warehouse can be made anew from its deliveries and a spent
budget cannot. A line changed, put in or taken out shows; a file cut at its end shows by the head beside it, unless
both are put back together: keep a copy of the head elsewhere.

Source: Bun and Steinke (2016), Concentrated Differential Privacy, 1.2 and lemma 1.7 (composition), proposition 1.4 (ε
to ρ).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from wellbridge.schemas.errors import ConfigurationError, PrivacyError

_START: Final = "0" * 64
_GRANT, _SPEND = "grant", "spend"
_FIELDS: Final = {"seq", "at", "kind", "agreement", "population", "measure", "amount", "release", "previous", "hash"}


EVERYBODY: Final = "*"  # stands for all agreements


class Measure(StrEnum):
    """What a privacy loss is measured in."""

    ZCDP = "zcdp"
    PURE = "pure"


@dataclass(frozen=True)
class Account:
    """Whose data are told to whom: the persons of a population to an agreement's recipient, or to ``EVERYBODY``."""

    agreement: str
    population: str


@dataclass(frozen=True)
class Loss:
    """A privacy loss: ``amount`` of ``measure``, more than nothing: a loss below zero would give budget back."""

    measure: Measure
    amount: Fraction

    def __post_init__(self) -> None:
        """Refuse what is no loss."""
        if self.amount <= 0:
            raise PrivacyError("WB-E-075", "A privacy loss or budget must be more than zero.")

    def within(self, measure: Measure) -> Fraction:
        """Return the loss in another measure.

        Raises:
            PrivacyError: WB-E-075 when there is no such bound: ρ bounds no ε.
        """
        if self.measure is measure:
            return self.amount
        if measure is Measure.ZCDP:
            return self.amount**2 / 2
        raise PrivacyError("WB-E-075", "A budget of pure differential privacy cannot pay for Gaussian noise.",
                           todo="Use Laplace noise, or have a budget of zcdp granted")


@dataclass(frozen=True)
class Balance:
    """What was granted and spent."""

    measure: Measure
    granted: Fraction
    spent: Fraction

    @property
    def left(self) -> Fraction:
        """What may still be spent."""
        return self.granted - self.spent


class BudgetLedger:
    """An open ledger, locked for this process; see ``open_ledger``."""

    def __init__(self, path: Path) -> None:
        self._path, self._head = path, path.with_name(path.name + ".head")
        self._entries = _entries(path)
        _check_chain(path, self._entries, self._head)

    def __len__(self) -> int:
        return len(self._entries)

    def balance(self, account: Account) -> Balance | None:
        """Return what was granted and spent, ``EVERYBODY``'s over all agreements; None where nothing was granted."""
        about = [entry for entry in self._entries if entry["population"] == account.population]
        grants = [e for e in about if e["kind"] == _GRANT and e["agreement"] == account.agreement]
        if not grants:
            return None
        measure = Measure(grants[0]["measure"])
        spends = [e for e in about if e["kind"] == _SPEND and account.agreement in (e["agreement"], EVERYBODY)]
        losses = [Loss(Measure(e["measure"]), Fraction(e["amount"])) for e in spends]
        spent = sum((loss.within(measure) for loss in losses), start=Fraction(0))
        return Balance(measure, Fraction(grants[0]["amount"]), spent)

    def grant(self, account: Account, budget: Loss) -> None:
        """Grant a budget, once; the same again changes nothing.

        Raises:
            PrivacyError: WB-E-044 when another was granted.
        """
        known = self.balance(account)
        if known is None:
            self._add(_GRANT, account, budget, "")
        elif (known.measure, known.granted) != (budget.measure, budget.amount):
            raise PrivacyError("WB-E-044", "Another budget was granted before; it is not changed.",
                               f"agreement {account.agreement} · population {account.population}",
                               todo="Leave the budget out, or ask for what was granted")

    def check(self, account: Account, loss: Loss) -> None:
        """Refuse a loss that the budget has no room for.

        Raises:
            PrivacyError: WB-E-075 when nothing was granted to the agreement, or too little is left to it or to the
                population.
        """
        for one in (account, Account(EVERYBODY, account.population)):
            self._check_one(one, loss)

    def _check_one(self, account: Account, loss: Loss) -> None:
        found = self.balance(account)
        place = f"agreement {account.agreement} · population {account.population}"
        if found is None and account.agreement == EVERYBODY:
            return
        if found is None:
            raise PrivacyError("WB-E-075", "No privacy budget was granted.", place,
                               todo="Grant one with --budget-limit")
        if loss.within(found.measure) > found.left:
            raise PrivacyError(
                "WB-E-075", "The privacy budget is spent, or too little of it is left.",
                f"{place} · {found.measure}: granted {float(found.granted):g}, left {float(found.left):g}",
            )

    def spend(self, account: Account, loss: Loss, release: str) -> None:
        """Write a loss down, for good, before the release with this digest is published.

        Raises:
            PrivacyError: WB-E-075 as ``check`` says.
        """
        if account.agreement == EVERYBODY:
            raise PrivacyError("WB-E-075", "A release leaves under one agreement, not under all of them.")
        self.check(account, loss)
        self._add(_SPEND, account, loss, release)

    def _add(self, kind: str, account: Account, loss: Loss, release: str) -> None:
        entry: dict[str, Any] = {
            "seq": len(self._entries) + 1, "at": datetime.now(UTC).isoformat(timespec="seconds"), "kind": kind,
            "agreement": account.agreement, "population": account.population, "measure": str(loss.measure),
            "amount": str(loss.amount), "release": release,
            "previous": self._entries[-1]["hash"] if self._entries else _START,
        }
        entry["hash"] = _digest(entry)
        with self._path.open("ab") as file:
            file.write(_line(entry))
            file.flush()
            os.fsync(file.fileno())
        self._entries.append(entry)
        aside = self._head.with_name(self._head.name + ".new")
        aside.write_text(f"{entry['seq']} {entry['hash']}\n")
        aside.replace(self._head)


@contextmanager
def open_ledger(path: Path) -> Iterator[BudgetLedger]:
    """Open a ledger for one release at a time; others wait. A new one is readable by its owner alone.

    Raises:
        ConfigurationError: WB-E-011 when it cannot be written.
        PrivacyError: WB-E-076 when it was changed.
    """
    number = -1
    try:
        number = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
        fcntl.flock(number, fcntl.LOCK_EX)
        is_open = True
    except OSError:
        is_open = False
    try:
        if not is_open:
            raise ConfigurationError("WB-E-011", "The ledger of the privacy budget cannot be written.",
                                     f"file {path.name}")
        yield BudgetLedger(path)
    finally:
        if number >= 0:
            os.close(number)


def _entries(path: Path) -> list[dict[str, Any]]:
    lines = path.read_bytes().splitlines(keepends=True)
    try:
        found = [json.loads(line) for line in lines]
    except ValueError:
        found = [None]
    fine = all(isinstance(entry, dict) and set(entry) == _FIELDS for entry in found)
    if not fine or lines != [_line(entry) for entry in found]:
        raise _changed(path, "a line is not whole")
    return found


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, sort_keys=True).encode() + b"\n"


def _check_chain(path: Path, entries: list[dict[str, Any]], head: Path) -> None:
    previous = _START
    for place, entry in enumerate(entries, start=1):
        if entry["seq"] != place or entry["previous"] != previous or entry["hash"] != _digest(entry):
            raise _changed(path, f"line {place} does not follow from the one before")
        previous = entry["hash"]
    known = head.read_text().split()[-1:] if head.is_file() else []
    # A process killed between line and head leaves the head one line behind.
    last = [entry["hash"] for entry in entries[-2:]]
    if (known and known[0] not in last) or (not known and len(entries) > 1):
        raise _changed(path, "its head is of another length")


def _changed(path: Path, place: str) -> PrivacyError:
    return PrivacyError("WB-E-076", "The ledger of the privacy budget was changed.", f"file {path.name} · {place}")


def _digest(entry: dict[str, Any]) -> str:
    facts = {name: value for name, value in entry.items() if name != "hash"}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
