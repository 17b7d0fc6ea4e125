"""Read one rule from its table, and say in one sentence what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

from wellbridge.privacy.rules.rule import FACTS, LOG, LOGS, REQUIRE, RULE_ID, Level, Purpose, Rule
from wellbridge.privacy.rules.strictness import DIRECTIONS, Direction, Treatment, Value
from wellbridge.schemas.classes import PrivacyClass, Regime
from wellbridge.schemas.errors import ConfigurationError

E = TypeVar("E", bound=StrEnum)
ANY: Final = ["any"]
_AREAS: Final = re.compile(r"([0-9]{3})-([0-9]{3})")
_TEXTS: Final = ("id", "law", "citation", "says", "on", "effect", "test")
_KNOWN: Final = {*_TEXTS, "classes", "regimes", "purposes", "traits", "since", "doubt", "limits", "kept_by", "missing"}
_TREATMENTS: Final = {
    Level.COLUMN: frozenset(Treatment) - {Treatment.BAND},
    Level.ROW: frozenset({Treatment.DROP, Treatment.REFUSE}),
    Level.CELL: frozenset({Treatment.BAND, Treatment.SUPPRESS, Treatment.REFUSE}),
    Level.RELEASE: frozenset({Treatment.REFUSE}),
    Level.AGREEMENT: frozenset({Treatment.REFUSE}),
}
# A generalisation suits columns of some traits alone, so a rule that asks for one must be narrowed to them.
_SUITS: Final = {
    Treatment.AGE_TOP: {"age"},
    Treatment.SCHOOL_YEAR: {"date", "school_day"},
    Treatment.YEAR: {"date", "birth_date"},
    Treatment.BIRTH_YEAR: {"birth_date"},
    Treatment.ZIP3: {"zip"},
}


@dataclass(frozen=True)
class Trait:
    """How a column is known to be, say, a telephone number, whatever its class.

    Attributes:
        names: canonical names or source headers, letters and digits only, lower case.
        vault: parts it plays in finding a person.
        kept_as: what its contract keeps of it.
        types: ``date`` for days and instants.
        identifies: it holds an identifier of a source.
    """

    names: frozenset[str] = frozenset()
    vault: frozenset[str] = frozenset()
    kept_as: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    identifies: bool = False


def not_understood(file: str, place: str, problem: str) -> ConfigurationError:
    """Return the refusal of a file of rules; ``place`` names the rule and its field."""
    return ConfigurationError("WB-E-070", f"A rule {problem}.", f"{file} · {place}")


def read_rule(facts: Mapping[str, Any], file: str, traits: Iterable[str], *, is_local: bool = False) -> Rule:
    """Read one rule.

    Raises:
        ConfigurationError: WB-E-070, naming rule and field.
    """
    name = facts.get("id") if isinstance(facts.get("id"), str) else "?"
    reader = _Reader(facts, file, f"rule {name}")
    strange = sorted(set(facts) - _KNOWN)
    if strange:
        raise reader.wrong(strange[0], "has a field that no rule has")
    text = {key: reader.text(key) for key in _TEXTS if key != "test" or not is_local}
    if not RULE_ID.match(text["id"]):
        raise reader.wrong("id", "has an id of another form than F-01")
    level = reader.member("on", Level)
    effect, narrowed = reader.effect(level), reader.names("traits", set(traits))
    suits = _SUITS.get(Treatment(effect)) if effect in set(Treatment) else None
    if suits is not None and not (narrowed and narrowed <= suits):
        raise reader.wrong("traits", f"that generalises must be narrowed to {' or '.join(sorted(suits))}")
    return Rule(
        id=text["id"], law=text["law"], citation=text["citation"], says=text["says"], on=level,
        effect=effect, classes=reader.members("classes", PrivacyClass),
        regimes=reader.members("regimes", Regime), purposes=reader.members("purposes", Purpose),
        traits=narrowed, since=reader.day("since"), is_verified=not facts.get("doubt"),
        doubt=reader.text("doubt", default=""), limits=read_limits(facts.get("limits", {}), file, f"rule {name}"),
        kept_by=tuple(reader.names("kept_by", None, in_order=True)), missing=reader.text("missing", default=""),
        test=text.get("test", ""), is_local=is_local,
    )


def read_trait(name: str, facts: Any, file: str) -> Trait:
    """Read what a trait is known by.

    Raises:
        ConfigurationError: WB-E-070.
    """
    known = {field.name for field in fields(Trait)}
    if not isinstance(facts, dict) or set(facts) - known:
        raise not_understood(file, f"traits.{name}", "narrows by a trait that is not described as traits are")
    reader = _Reader(facts, file, f"traits.{name}")
    lists = {key: frozenset(reader.names(key, None)) for key in known - {"identifies"}}
    return Trait(**lists, identifies=facts.get("identifies") is True)


def read_limits(facts: Any, file: str, place: str) -> dict[str, Value]:
    """Read numbers and lists that a rule goes by.

    Raises:
        ConfigurationError: WB-E-070 when one is unknown or of another kind than its direction says.
    """
    if not isinstance(facts, dict):
        raise not_understood(file, f"{place} · limits", "has limits that are no table")
    limits: dict[str, Value] = {}
    for name, value in facts.items():
        direction = DIRECTIONS.get(name)
        if direction is None:
            raise not_understood(file, f"{place} · {name}", "has a limit that no rule has")
        is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
        fine = {
            Direction.MORE: is_list,
            Direction.FEWER: is_list,
            Direction.ON: isinstance(value, bool),
        }.get(direction, isinstance(value, int) and not isinstance(value, bool) and value >= 0)
        if not fine:
            raise not_understood(file, f"{place} · {name}", f"has a limit of another kind ({direction})")
        limits[name] = frozenset(_in_full(value)) if isinstance(value, list) else value
    return limits


def _in_full(names: list[str]) -> Iterator[str]:
    """Return names with what stands for many of them written out: ``006-008`` is 006, 007 and 008."""
    for name in names:
        found = _AREAS.fullmatch(name)
        first, last = (int(found[1]), int(found[2])) if found else (0, -1)
        yield from (f"{area:03}" for area in range(first, last + 1)) if found else [name]


@dataclass(frozen=True)
class _Reader:
    """Fields of one table, read as what they must be."""

    facts: Mapping[str, Any]
    file: str
    place: str

    def wrong(self, field: str, problem: str) -> ConfigurationError:
        return not_understood(self.file, f"{self.place} · {field}", problem)

    def text(self, name: str, default: str | None = None) -> str:
        value = self.facts.get(name, default)
        if not isinstance(value, str) or (not value and default is None):
            raise self.wrong(name, "has no text where it must have one")
        return value

    def day(self, name: str) -> date:
        value = self.facts.get(name)
        if not isinstance(value, date) or isinstance(value, datetime):
            raise self.wrong(name, "has no day where it must have one")
        return value

    def names(self, name: str, known: set[str] | None, *, in_order: bool = False) -> Any:
        value = self.facts.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(name, "has no list of names where it must have one")
        if known is not None and not set(value) <= known:
            raise self.wrong(name, "names what there is not")
        return list(value) if in_order else frozenset(value)

    def member(self, name: str, kind: type[E]) -> E:
        value = self.text(name)
        if value not in set(kind):
            raise self.wrong(name, f"must name one of {', '.join(kind)}")
        return kind(value)

    def members(self, name: str, kind: type[E]) -> frozenset[E]:
        value = self.facts.get(name)
        if value == ANY:
            return frozenset(kind)
        if value is None:
            raise self.wrong(name, "does not say what it applies to")
        return frozenset(kind(item) for item in self.names(name, set(kind)))

    def effect(self, level: Level) -> str:
        value = self.text("effect")
        fine = (
            (value.startswith(REQUIRE) and value.removeprefix(REQUIRE) in FACTS)
            or (value.startswith(LOG) and value.removeprefix(LOG) in LOGS)
            or value in _TREATMENTS[level]
        )
        if not fine:
            raise self.wrong("effect", f"has an effect that nothing on a {level} can have")
        return value


def plain_name(name: str) -> str:
    """Return a column's name or header as traits list them: letters and digits only, lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
