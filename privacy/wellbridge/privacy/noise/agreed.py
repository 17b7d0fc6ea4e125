"""The privacy budget that an agreement states: how much all private tables of a population may tell its recipient.

In the agreement's file::

    [privacy_budget]
    rho = "0.5"                        # of zero-concentrated differential privacy, and/or
    epsilon = 1                        # with delta: of (ε, δ); without: of pure differential privacy
    delta = "1e-6"
    populations = ["students-2026"]    # whose data; a name that is not listed has no budget

Amounts are numbers, or text such as "1/3". Where ρ and (ε, δ) are both stated, the stricter holds.

Source: Bun and Steinke (2016), proposition 1.3 (ρ to ε at δ), by OpenDP's own conversion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from wellbridge.privacy.noise.budget import EVERYBODY, Loss, Measure
from wellbridge.schemas.errors import PrivacyError

FIELD: Final = "privacy_budget"
_KEYS: Final = {"rho", "epsilon", "delta", "populations"}
_STEPS: Final = 60  # halvings of ρ: far below what a double tells apart


@dataclass(frozen=True)
class AgreedBudget:
    """What an agreement grants.

    Attributes:
        rho, epsilon, delta: its limits; None where not stated.
        populations: whose data they are about.
    """

    rho: Fraction | None
    epsilon: Fraction | None
    delta: Fraction | None
    populations: tuple[str, ...]

    def loss(self) -> Loss:
        """Return the whole budget of one population, in the one measure that its ledger adds up."""
        if self.epsilon is not None and self.delta is None:
            return Loss(Measure.PURE, self.epsilon)
        limits = [self.rho] if self.rho is not None else []
        if self.epsilon is not None and self.delta is not None:
            limits.append(_rho_within(float(self.epsilon), float(self.delta)))
        return Loss(Measure.ZCDP, min(limits))


def read_agreed(facts: Any, place: str) -> AgreedBudget:
    """Read the budget of an agreement.

    Raises:
        PrivacyError: WB-E-040 when it says anything else than the fields above, or amounts that are none.
    """
    if not isinstance(facts, dict) or set(facts) - _KEYS:
        raise _wrong(place, "privacy_budget has other fields than rho, epsilon, delta and populations")
    amounts = {name: _amount(facts, name, place) for name in ("rho", "epsilon", "delta")}
    rho, epsilon, delta = amounts["rho"], amounts["epsilon"], amounts["delta"]
    names = facts.get("populations")
    if not isinstance(names, list) or not names or not all(isinstance(one, str) and one for one in names):
        raise _wrong(place, "populations")
    if EVERYBODY in names or (rho is None and epsilon is None):
        raise _wrong(place, "rho or epsilon, and populations by name")
    if (delta is not None and (epsilon is None or delta >= 1)) or (None not in (rho, epsilon) and delta is None):
        raise _wrong(place, "delta goes with epsilon, and is below 1")
    return AgreedBudget(rho, epsilon, delta, tuple(names))


def granted(budget: AgreedBudget | None, agreement: str, population: str) -> Loss:
    """Return what an agreement grants for a population.

    Raises:
        PrivacyError: WB-E-075 when it grants nothing for it.
    """
    if budget is None or population not in budget.populations:
        raise PrivacyError(
            "WB-E-075", "The agreement states no privacy budget for this population.", f"agreement {agreement}",
            todo="State rho or epsilon and the populations under [privacy_budget] of the agreement",
        )
    return budget.loss()


def _rho_within(epsilon: float, delta: float) -> Fraction:
    """Return a ρ, as great as can be told, that amounts to no more than (ε, δ)."""
    from wellbridge.privacy.noise.private import epsilon_of  # noqa: PLC0415 - OpenDP is an extra

    low, high = Fraction(0), Fraction(epsilon)  # a ρ above ε is not looked for
    for _ in range(_STEPS):
        middle = (low + high) / 2
        fits = middle > 0 and epsilon_of(middle, delta) <= epsilon
        low, high = (middle, high) if fits else (low, middle)
    if low <= 0:
        raise PrivacyError("WB-E-075", "No noise amounts to so small a budget.")
    return low


def _amount(facts: Mapping[str, Any], name: str, place: str) -> Fraction | None:
    if name not in facts:
        return None
    value: Fraction | None = None
    if not isinstance(facts[name], bool):
        try:
            value = Fraction(str(facts[name]))
        except (ValueError, ZeroDivisionError):
            value = None
    if value is None or value <= 0:
        raise _wrong(place, name)
    return value


def _wrong(place: str, what: str) -> PrivacyError:
    return PrivacyError("WB-E-040", "An agreement's privacy budget cannot be understood.", f"{place} · {what}")
