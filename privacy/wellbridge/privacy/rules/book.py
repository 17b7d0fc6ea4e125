"""The rule book: the rules in force, what makes a column a telephone number or a birth date, and one digest of it all.

The built-in book is read once per process, when something first asks for it.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from typing import Any, Final

from wellbridge.privacy.rules.parse import Trait, not_understood, plain_name, read_rule, read_trait
from wellbridge.privacy.rules.rule import Rule
from wellbridge.privacy.rules.strictness import Value, stricter
from wellbridge.schemas.classes import PrivacyClass
from wellbridge.schemas.contract import Column
from wellbridge.schemas.errors import ConfigurationError

FILE: Final = "book.toml"
DEFAULT: Final = "D-01"  # the rule that decides where no other does


@dataclass(frozen=True)
class ColumnFacts:
    """What rules look at in a column: its name, its class and its traits. Never a value."""

    name: str
    privacy: PrivacyClass | None
    traits: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Book:
    """Rules by id, in the order of the book, and how traits are known.

    Attributes:
        rules: by id; a site's own last.
        traits: by name.
        profile: the state whose practice the site named; empty for none.
    """

    rules: Mapping[str, Rule]
    traits: Mapping[str, Trait] = field(repr=False)
    profile: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that changes an outcome; a sentence that is worded better changes nothing."""
        facts = {
            "rules": {rule.id: _substance(rule) for rule in self.rules.values()},
            "traits": {name: _plain(vars(trait)) for name, trait in self.traits.items()},
            "profile": self.profile,
        }
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def limit(self, name: str) -> Value:
        """Return the strictest value of a limit over all rules that have it."""
        values = [rule.limits[name] for rule in self.rules.values() if name in rule.limits]
        strictest = values[0]
        for value in values[1:]:
            strictest = stricter(name, strictest, value)
        return strictest

    def number(self, name: str) -> int:
        """Return the strictest value of a limit that is a number."""
        return _number(self.limit(name))

    def substance(self) -> dict[str, Any]:
        """Return what the digest is of, rule by rule, for comparing two books."""
        return {rule.id: _substance(rule) for rule in self.rules.values()}

    def facts_of(self, column: Column) -> ColumnFacts:
        """Return what rules look at in a contract's column."""
        kind = column.dtype if isinstance(column.dtype, type) else type(column.dtype)
        is_date = kind.__name__ in {"Date", "Datetime"}
        names = {plain_name(column.name), plain_name(column.header)}
        traits = (
            name for name, trait in self.traits.items()
            if names & trait.names or column.trait in trait.vault or column.generalise in trait.kept_as
            or (is_date and "date" in trait.types) or (column.ids is not None and trait.identifies)
        )
        return ColumnFacts(column.name, column.privacy, frozenset(traits))

    def facts_by_name(self, name: str, privacy: PrivacyClass | None, *, is_date: bool = False) -> ColumnFacts:
        """Return what rules look at in a column that no contract describes: of the warehouse, or of an extract."""
        plain = plain_name(name)
        traits = (
            trait_name for trait_name, trait in self.traits.items()
            if plain in trait.names or (is_date and "date" in trait.types)
        )
        return ColumnFacts(name, privacy, frozenset(traits))


@cache
def builtin() -> Book:
    """Return the built-in book.

    Raises:
        ConfigurationError: WB-E-070 when it is damaged: the installation is, then.
    """
    return read_book((resources.files(__package__) / FILE).read_text(encoding="utf-8"), FILE)


def read_book(text: str, file: str) -> Book:
    """Read and check a rule book.

    Raises:
        ConfigurationError: WB-E-070, naming rule and field.
    """
    facts = read_tables(text, file)
    traits = {name: read_trait(name, spec, file) for name, spec in _table(facts, "traits", file).items()}
    return Book(by_id((read_rule(spec, file, traits) for spec in tables(facts, "rule", file)), file), traits)


def by_id(rules: Iterable[Rule], file: str) -> dict[str, Rule]:
    """Return rules by id.

    Raises:
        ConfigurationError: WB-E-070 when an id occurs twice.
    """
    found: dict[str, Rule] = {}
    for rule in rules:
        if rule.id in found:
            raise not_understood(file, f"rule {rule.id}", "has the id of another one")
        found[rule.id] = rule
    return found


def read_tables(text: str, file: str) -> dict[str, Any]:
    """Read TOML.

    Raises:
        ConfigurationError: WB-E-070, naming the line but not what stands there.
    """
    place: str | None = None
    facts: dict[str, Any] = {}
    try:
        facts = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = str(error).rpartition("(at ")[2].rstrip(")") or "?"
    if place is not None:
        raise ConfigurationError("WB-E-070", "A file of rules is no TOML.", f"{file} · {place}")
    return facts


def tables(facts: Mapping[str, Any], name: str, file: str) -> list[dict[str, Any]]:
    """Return a list of tables, empty where there is none.

    Raises:
        ConfigurationError: WB-E-070 when it is something else.
    """
    found = facts.get(name, [])
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise not_understood(file, name, "is written as something else than [[rule]]")
    return found


def _table(facts: Mapping[str, Any], name: str, file: str) -> dict[str, Any]:
    found = facts.get(name, {})
    if not isinstance(found, dict):
        raise not_understood(file, name, "file has something else where a table must be")
    return found


def _number(value: Value) -> int:
    if isinstance(value, frozenset):
        raise TypeError("the limit is a list")
    return int(value)


def _substance(rule: Rule) -> dict[str, Any]:
    names = ("on", "effect", "classes", "regimes", "purposes", "traits", "limits")
    return _plain({name: getattr(rule, name) for name in names})  # type: ignore[no-any-return]  # a dict stays one


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in sorted(value.items())}
    if isinstance(value, frozenset):
        return sorted(str(item) for item in value)
    return value if isinstance(value, bool | int) else str(value)
