"""A site's own rules: stricter than the built-in ones in what they change, and further ones; never looser.

``policy/rules.toml`` of a site, all of it optional::

    profile = "DE"                 # a state's practice, see states.toml

    [tighten.N-01]                 # a rule of the book
    min_cell = 15                  # a limit, in its stricter direction
    effect = "refuse"              # a stricter treatment
    purposes = ["any"]             # a wider scope: classes, regimes, purposes

    [[rule]]                       # a further rule on a column, or one that refuses releases; fields as in book.toml
    id = "L-01"

Whatever would make a rule looser is refused, all of it at once and by name; it is never passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from wellbridge.privacy.rules.book import Book, builtin, by_id, read_tables, tables
from wellbridge.privacy.rules.parse import ANY, not_understood, read_limits, read_rule
from wellbridge.privacy.rules.rule import Level, Purpose, Rule
from wellbridge.privacy.rules.states import Profile, all_bands, profiles
from wellbridge.privacy.rules.strictness import DIRECTIONS, Treatment, Value, is_as_strict, stricter
from wellbridge.schemas.classes import PrivacyClass, Regime
from wellbridge.schemas.errors import ConfigurationError, PrivacyError

FILE: Final = "rules.toml"
WHERE: Final = f"policy/{FILE}"
OWN: Final = "L-"  # how the ids of a site's own rules begin
_SCOPES: Final[Mapping[str, Any]] = {"classes": PrivacyClass, "regimes": Regime, "purposes": Purpose}
# What a file could say to take a rule away. It is understood, so that it can be refused as what it is.
_LOOSENING: Final = ("remove", "disable", "loosen", "ignore")


@dataclass(frozen=True)
class Looser:
    """One thing in a local file that would make a rule looser."""

    rule: str
    what: str


def effective(folder: Path, on: date | None = None) -> Book:
    """Return the rules in force at a site: the built-in book, its state's practice, and its own file.

    Args:
        folder: the site's ``policy`` folder; without a rules file the built-in book stands.
        on: the day; a rule that begins later is left out. None: all rules.

    Raises:
        ConfigurationError: WB-E-070 when the file cannot be understood.
        PrivacyError: WB-E-044 when it is looser anywhere, naming each rule and what of it.
    """
    path = folder / FILE
    book = builtin()
    if path.exists():
        book = tightened(book, _read(path))
    if on is None or all(rule.since <= on for rule in book.rules.values()):
        return book
    return replace(book, rules={name: rule for name, rule in book.rules.items() if rule.since <= on})


def tightened(book: Book, text: str) -> Book:
    """Return a book with a local file's rules.

    Raises:
        ConfigurationError: WB-E-070; PrivacyError: WB-E-044. See ``effective``.
    """
    facts = read_tables(text, WHERE)
    strange = sorted(set(facts) - {"profile", "tighten", "rule", *_LOOSENING})
    if strange:
        raise not_understood(WHERE, strange[0], "file says something that is not known")
    looser = [Looser(str(name), "taken away") for key in _LOOSENING for name in _as_list(facts.get(key))]
    rules = dict(book.rules)
    state = _profile(facts)
    if state is not None:
        rules = _with_profile(rules, state)
    for name, changes in _tightenings(facts):
        if name not in rules:
            raise not_understood(WHERE, f"tighten.{name}", "is not in the book")
        rules[name], problems = _tighten(rules[name], changes)
        looser += problems
    for spec in tables(facts, "rule", WHERE):
        rule = read_rule({"law": "LOCAL", **spec}, WHERE, book.traits, is_local=True)
        if not rule.id.startswith(OWN):
            raise not_understood(WHERE, f"rule {rule.id}", f"of a site must have an id that begins with {OWN}")
        if rule.treatment is Treatment.KEEP:
            looser.append(Looser(rule.id, "effect"))
        if not _is_kept(rule):
            raise not_understood(WHERE, f"rule {rule.id} · on", "of a site acts on a column or refuses a release")
        rules = by_id([*rules.values(), rule], WHERE)
    if looser:
        raise PrivacyError(
            "WB-E-044", f"{len(looser)} local setting(s) are looser than the built-in rule.",
            f"{WHERE} · {', '.join(f'{one.rule} {one.what}' for one in looser)}",
            todo="Take the settings named out, or make them stricter; wellbridge policy show RULE tells the limits",
        )
    return Book(rules, book.traits, state.id if state else "")


def _is_kept(rule: Rule) -> bool:
    """Whether something keeps such a rule: what nobody would keep must not look as if it were in force."""
    if rule.limits:
        return False
    return (rule.on is Level.COLUMN and rule.treatment is not None) or (
        rule.on is Level.RELEASE and rule.treatment is Treatment.REFUSE
    )


def _read(path: Path) -> str:
    text: str | None = None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        text = None
    if text is None:
        raise ConfigurationError("WB-E-070", "A file of rules cannot be read as text in UTF-8.", WHERE)
    return text


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | dict) else [value]


def _profile(facts: Mapping[str, Any]) -> Profile | None:
    name = facts.get("profile")
    if name is None:
        return None
    if not isinstance(name, str) or name not in profiles():
        raise not_understood(WHERE, f"profile · known: {', '.join(profiles())}", "file names a state that is not known")
    return profiles()[name]


def _with_profile(rules: dict[str, Rule], state: Profile) -> dict[str, Rule]:
    """Take over what of a state's practice is stricter; what is looser changes nothing."""
    asked: dict[str, dict[str, Value]] = {
        "N-01": {"min_cell": state.min_n_report}, "N-02": {"bands": frozenset({state.bands} - {""})},
        "N-03": {"percent_only": state.percent_only},
        # What a source does not say is taken for the strictest.
        "N-05": {"hide_zeros": state.zero_rule != "shown"},
    }
    changed = dict(rules)
    for name, limits in asked.items():
        rule = rules[name]
        joined = {key: stricter(key, rule.limits[key], value) for key, value in limits.items()}
        changed[name] = replace(rule, limits={**rule.limits, **joined})
    return changed


def _tightenings(facts: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    found = facts.get("tighten", {})
    if not isinstance(found, dict) or not all(isinstance(changes, dict) for changes in found.values()):
        raise not_understood(WHERE, "tighten", "file has something else where [tighten.RULE] must be")
    yield from found.items()


def _tighten(rule: Rule, changes: Mapping[str, Any]) -> tuple[Rule, list[Looser]]:
    place = f"tighten.{rule.id}"
    strange = sorted(set(changes) - set(rule.limits) - {"effect", *_SCOPES})
    if strange:
        problem = "has no such limit" if strange[0] in DIRECTIONS else "is changed in something that is not known"
        raise not_understood(WHERE, f"{place} · {strange[0]}", problem)
    limits = read_limits({name: changes[name] for name in changes if name in rule.limits}, WHERE, place)
    bands = limits.get("bands")
    if isinstance(bands, frozenset) and bands - set(all_bands()):
        raise not_understood(WHERE, f"{place} · bands · known: {', '.join(all_bands())}", "names unknown ranges")
    looser = [
        Looser(rule.id, name) for name, value in limits.items() if not is_as_strict(name, value, rule.limits[name])
    ]
    changed = replace(rule, limits={**rule.limits, **limits})
    if "effect" in changes:
        changed, problems = _with_effect(changed, changes["effect"], place)
        looser += problems
    for scope, kind in _SCOPES.items():
        if scope in changes:
            changed, problems = _with_scope(changed, scope, kind, changes[scope], place)
            looser += problems
    return changed, looser


def _with_effect(rule: Rule, effect: Any, place: str) -> tuple[Rule, list[Looser]]:
    """A milder treatment is refused; another generalisation is no answer: it suits other columns."""
    if effect not in set(Treatment):
        raise not_understood(WHERE, f"{place} · effect", "has an effect that there is not")
    before, after = rule.treatment, Treatment(effect)
    if before is None or rule.on is not Level.COLUMN:
        raise not_understood(WHERE, f"{place} · effect", "does not act on a column, so it has no other treatment")
    if after.rank < before.rank:
        return rule, [Looser(rule.id, "effect")]
    if after is not before and not after.shows_nothing:
        raise not_understood(WHERE, f"{place} · effect", "can become suppress, drop or refuse; others need a new rule")
    return replace(rule, effect=effect), []


def _with_scope(rule: Rule, scope: str, kind: Any, names: Any, place: str) -> tuple[Rule, list[Looser]]:
    if not isinstance(names, list) or (names != ANY and not all(name in set(kind) for name in names)):
        raise not_understood(WHERE, f"{place} · {scope}", "applies to something that there is not")
    wanted = frozenset(kind) if names == ANY else frozenset(kind(name) for name in names)
    before: frozenset[Any] = getattr(rule, scope)
    # A rule that lets columns stay is looser the more it applies to; every other rule is stricter.
    is_wider = wanted >= before
    if not is_wider or (rule.treatment is Treatment.KEEP and wanted != before):
        return rule, [Looser(rule.id, scope)]
    if wanted != before and rule.on is not Level.COLUMN:
        raise not_understood(WHERE, f"{place} · {scope}", "does not act on a column, so it cannot apply to more")
    return replace(rule, **{scope: wanted}), []  # type: ignore[arg-type]  # `scope` names a field of that type
