"""Two states of the rules, compared: what changed, and whether that is stricter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from wellbridge.privacy.rules.strictness import Treatment, Value, is_as_strict

STRICTER: Final = "stricter"
LOOSER: Final = "looser"
OTHER: Final = "neither"
_SCOPES: Final = ("classes", "regimes", "purposes")


@dataclass(frozen=True)
class Change:
    """One difference of one rule; values as text."""

    rule: str
    what: str
    before: str
    now: str
    change: str


def compare(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Return what changed between two ``Book.substance``, by rule.

    A new rule is stricter and one that is gone looser, except where the rule lets columns stay.
    """
    changes: list[Change] = []
    for rule in sorted({*before, *now}):
        if rule not in before:
            changes.append(Change(rule, "rule", "", "added", _judged(is_stricter=not _keeps(now[rule]))))
        elif rule not in now:
            changes.append(Change(rule, "rule", "there", "", _judged(is_stricter=_keeps(before[rule]))))
        else:
            changes += _within(rule, before[rule], now[rule])
    return changes


def _within(rule: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    for name in ("on", "effect", *_SCOPES, "traits"):
        if before[name] != now[name]:
            yield Change(rule, name, _text(before[name]), _text(now[name]), _way(name, before, now))
    for name in sorted({*before["limits"], *now["limits"]}):
        old, new = before["limits"].get(name), now["limits"].get(name)
        if old != new:
            yield Change(rule, name, _text(old), _text(new), _limit_way(name, old, new))


def _way(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    old, new = before[name], now[name]
    if name == "effect" and {old, new} <= set(Treatment):
        return _judged(is_stricter=Treatment(new).rank > Treatment(old).rank)
    if name in _SCOPES and (set(old) < set(new) or set(new) < set(old)):
        # More of what a rule takes away is stricter, more of what it lets stay is looser.
        return _judged(is_stricter=(set(old) < set(new)) != _keeps(now))
    return OTHER


def _limit_way(name: str, old: Any, new: Any) -> str:
    if old is None or new is None:
        return _judged(is_stricter=old is None)
    one, other = _value(old), _value(new)
    if is_as_strict(name, other, one):
        return STRICTER
    return LOOSER if is_as_strict(name, one, other) else OTHER


def _value(found: Any) -> Value:
    return frozenset(found) if isinstance(found, list) else found


def _keeps(rule: Mapping[str, Any]) -> bool:
    return bool(rule["effect"] == Treatment.KEEP)


def _judged(*, is_stricter: bool) -> str:
    return STRICTER if is_stricter else LOOSER


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return "" if value is None else str(value).lower()
