"""What the rules decide, in words for auditors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wellbridge.privacy.rules.book import ColumnFacts
from wellbridge.privacy.rules.decide import Decision
from wellbridge.privacy.rules.rule import FACTS, LOG, LOGS, REQUIRE, Level, Purpose, Rule
from wellbridge.privacy.rules.strictness import DIRECTIONS, Direction, Treatment, Value
from wellbridge.schemas.classes import PrivacyClass

PURPOSES: Final = {
    Purpose.WAREHOUSE: "in the warehouse", Purpose.RECORD: "in a record file", Purpose.AGGREGATE: "in tables",
}
_TREATMENTS: Final = {
    Treatment.KEEP: "as it is",
    Treatment.AGE_TOP: "ages above {top_age} as one group",
    Treatment.BAND: "as a range",
    Treatment.SCHOOL_YEAR: "the school year only",
    Treatment.YEAR: "the year only",
    Treatment.BIRTH_YEAR: "the year of birth only",
    Treatment.ZIP3: "the first {digits} digits, 000 where few live",
    Treatment.CODE: "a random code of the agreement",
    Treatment.SUPPRESS: "without its values",
    Treatment.DROP: "never",
    Treatment.REFUSE: "refuses the release",
}
_SHOWN_LIST: Final = 6  # names of a list that are told; the rest is counted


def outcome(decision: Decision, column: ColumnFacts, key_name: str = "") -> str:
    """Return what happens to a column.

    Args:
        decision: about the column.
        column: its class decides how "as it is" is protected in what leaves.
        key_name: the key that stands in an identifier's stead in the warehouse; empty for no identifier.
    """
    if decision.is_default:
        return "no rule covers it: " + _TREATMENTS[decision.treatment]
    if decision.treatment is Treatment.KEEP:
        return _kept(decision, column)
    text = _TREATMENTS[decision.treatment].format(**decision.limits)
    stands = key_name and decision.purpose is Purpose.WAREHOUSE and decision.treatment.shows_nothing
    return f"{text}; a random {key_name} stands for it" if stands else text


def _kept(decision: Decision, column: ColumnFacts) -> str:
    if decision.purpose is Purpose.AGGREGATE and "min_cell" in decision.limits:
        return f"counted; cells under {decision.limits['min_cell']} hidden"
    if decision.purpose is Purpose.RECORD and column.privacy is PrivacyClass.QUASI and "k" in decision.limits:
        return f"recoded until {decision.limits['k']} children are alike"
    return _TREATMENTS[Treatment.KEEP]


def effect(rule: Rule) -> str:
    """Return what a rule asks."""
    return f"where turned on, {_asked(rule)}" if rule.is_off else _asked(rule)


def _asked(rule: Rule) -> str:
    if rule.effect.startswith(REQUIRE):
        return f"requires that {FACTS[rule.effect.removeprefix(REQUIRE)]}"
    if rule.effect.startswith(LOG):
        return f"writes down {LOGS[rule.effect.removeprefix(LOG)]}"
    what = str(rule.effect).replace(":", ": ").replace("_", " ")
    return what if rule.on is Level.COLUMN else f"{rule.on}s: {what}"


def scope(rule: Rule) -> str:
    """Return what a rule applies to."""
    parts = (_some(rule.classes, PrivacyClass), _some(rule.purposes, Purpose))
    traits = f"with {' or '.join(sorted(rule.traits))}".replace("_", " ") if rule.traits else ""
    return " · ".join(part for part in (rule.on, *parts, traits) if part)


def limits(found: Mapping[str, Value]) -> str:
    """Return limits as ``min_cell ≥ 10``: the sign tells which way they become stricter."""
    signs = {Direction.UP: "≥", Direction.DOWN: "≤", Direction.MORE: "⊇", Direction.FEWER: "⊆", Direction.ON: "="}
    return ", ".join(f"{name} {signs[DIRECTIONS[name]]} {_value(value)}" for name, value in sorted(found.items()))


def _some(members: frozenset[PrivacyClass] | frozenset[Purpose], kind: type[PrivacyClass] | type[Purpose]) -> str:
    if len(members) == len(kind):
        return ""
    return ", ".join(str(member).replace("_", " ") for member in kind if member in members)


def _value(value: Value) -> str:
    if not isinstance(value, frozenset):
        return str(value).lower()
    return ", ".join(sorted(value)) if len(value) <= _SHOWN_LIST else f"{len(value)} names"


def file(path: str) -> str:
    """Return a source file as people name it: ``privacy/wellbridge/privacy/policy.py`` → ``privacy/policy.py``."""
    floor, _, rest = path.partition("/wellbridge/")
    return rest or floor
