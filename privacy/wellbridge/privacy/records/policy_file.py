"""The policy file of a record release: every column's class, and how far each may be coarsened.

    k = 10
    max_suppressed = 0.02
    per_person = "student"
    within = ["school"]
    scope = "sea-attendance-study"        # whom codes and shifts are for; the file's name where it is not said

    [columns]
    student = {class = "direct", treatment = "code"}
    name = "direct"                       # direct identifiers and free text do not leave
    school = "quasi"
    grade = "quasi"
    seen = {class = "sensitive", treatment = "date_shift"}
    score = "sensitive"

    [quasi.grade]
    hierarchy = "grade.csv"               # or levels = [{…}, "*"], or builtin = "zips"
    weight = 2.0

    [sensitive.score]
    distinct = 3
    t = 0.3
    distance = "ordered"

    [presence]                            # of no class of the population more than this share is in the file
    population = "enrolment.csv"
    greatest = 0.5

A column of the file that has no class here is refused, and so is a setting that nothing reads.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from wellbridge.privacy.records.anonymize import K_FLOOR
from wellbridge.privacy.records.criteria import Sensitive
from wellbridge.privacy.records.hierarchy import Hierarchy, read_hierarchy, read_levels
from wellbridge.privacy.records.plan import Plan, Treated, Treatment
from wellbridge.privacy.records.spread import Distance
from wellbridge.schemas.classes import PrivacyClass
from wellbridge.schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from wellbridge.privacy.records.presence import PresenceLimit

_SETTINGS: Final = ("k", "max_suppressed", "per_person", "within", "local", "max_days", "scope", "columns", "quasi",
                    "sensitive", "presence")
_NEVER: Final = frozenset({PrivacyClass.DIRECT, PrivacyClass.KEY, PrivacyClass.FREE_TEXT})
_SHARES: Final = (0.0, 1.0)
_CONDITIONS: Final = ("distinct", "entropy", "t", "distance")
_PARAMETERS: Final = ("finest", "width", "widths", "top", "as_of", "least_persons")


def read_policy(path: Path, frame: pl.DataFrame) -> Plan:
    """Read a policy for a file.

    Raises:
        ConfigurationError: WB-E-011 when it is not understood, WB-E-014 when a column of the file has no class,
            WB-E-015 for a word that is not known, WB-E-047 for a hierarchy that is no tree.
    """
    return _Reader(path, frame).plan(frame.columns)


class _Reader:
    def __init__(self, path: Path, frame: pl.DataFrame) -> None:
        self._path, self._frame = path, frame
        self._facts = self._read()

    def _read(self) -> dict[str, Any]:
        facts: dict[str, Any] | None = None
        try:
            facts = tomllib.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            facts = None
        if facts is None:
            raise self._wrong("file", "is missing, or not TOML in UTF-8")
        return facts

    def plan(self, columns: Sequence[str]) -> Plan:
        facts = self._facts
        self._known(facts, _SETTINGS, "")
        classes = {name: self._column(name, spec) for name, spec in self._table(facts, "columns").items()}
        unclassed = [name for name in columns if name not in classes]
        if unclassed:
            raise ConfigurationError(
                "WB-E-014", f"{len(unclassed)} column(s) of the file have no privacy class.",
                f"{self._path.name} · [columns] · {', '.join(unclassed[:10])}",
                todo="Give each a class under [columns]; direct, key and free_text do not leave",
            )
        quasi = self._table(facts, "quasi")
        named = [name for name, (privacy, _) in classes.items() if privacy is PrivacyClass.QUASI]
        self._known(quasi, named, "quasi")
        sensitive = self._table(facts, "sensitive")
        self._known(sensitive, [name for name, (privacy, _) in classes.items() if privacy is PrivacyClass.SENSITIVE],
                    "sensitive")
        within = self._names(facts.get("within", []), "within")
        self._known(dict.fromkeys(within), named, "within")
        rules = [self._sensitive(name, spec) for name, spec in sensitive.items()]
        return Plan(
            quasi={name: self._hierarchy(quasi.get(name, {}), "quasi", name) for name in named
                   if name not in within},
            columns={name: treated for name, (privacy, treated) in classes.items()
                     if treated is not None and name not in named},
            sensitive=[rule for rule, _ in rules],
            hierarchies={rule.column: tree for rule, tree in rules if tree is not None},
            k=int(self._number(facts, "k", K_FLOOR, "", (2, 10**9))),
            max_suppressed=self._number(facts, "max_suppressed", 0.05, "", _SHARES),
            per_person=self._word(facts, "per_person", columns), within=within,
            weights={name: self._number(spec, "weight", 1.0, f"quasi.{name}", (1e-6, 1e6))
                     for name, spec in quasi.items()},
            local=self._flag(facts, "local"), scope=self._scope(facts),
            max_days=int(self._number(facts, "max_days", 182, "", (1, 36500))), presence=self._presence(facts),
        )

    def _presence(self, facts: Mapping[str, Any]) -> PresenceLimit | None:
        found = self._table(facts, "presence")
        if not found:
            return None
        from wellbridge.privacy.records.files import read_records  # noqa: PLC0415 - rarely asked for
        from wellbridge.privacy.records.presence import PresenceLimit  # noqa: PLC0415

        self._known(found, ("population", "greatest"), "presence")
        if not isinstance(found.get("population"), str):
            raise self._wrong("presence.population", "must name a file")
        everybody = read_records(self._path.parent / found["population"]).frame
        return PresenceLimit(everybody, self._number(found, "greatest", 0.5, "presence", _SHARES))

    def _scope(self, facts: Mapping[str, Any]) -> str:
        value = facts.get("scope", self._path.stem)
        if not isinstance(value, str) or not value:
            raise self._wrong("scope", "must be text: one recipient and one study")
        return value

    def _column(self, name: str, spec: Any) -> tuple[PrivacyClass, Treated | None]:
        """Return a column's class, and its treatment; None where it does not leave as a column of its own."""
        place = f"columns.{name}"
        if isinstance(spec, str):
            spec = {"class": spec}
        if not isinstance(spec, dict):
            raise self._wrong(place, "must be a class, or a table with one")
        self._known(spec, ("class", "treatment", "group", "share"), place)
        if spec.get("class") not in set(PrivacyClass):
            raise self._wrong(f"{place}.class", f"must be one of {', '.join(PrivacyClass)}")
        privacy = PrivacyClass(spec["class"])
        word = spec.get("treatment", "drop" if privacy in _NEVER else "keep")
        if word not in {*Treatment, "drop"}:
            raise self._wrong(f"{place}.treatment", f"must be one of drop, {', '.join(Treatment)}")
        if privacy in _NEVER and word not in {"drop", Treatment.CODE}:
            raise self._wrong(f"{place}.treatment", f"must be drop or code: the column is {privacy}")
        if privacy is PrivacyClass.FREE_TEXT and word != "drop":
            raise self._wrong(f"{place}.treatment", "must be drop: free text may hold anything")
        if privacy is PrivacyClass.QUASI and word not in {"drop", "keep"}:
            raise self._wrong(f"{place}.treatment", "is for other columns: a quasi-identifier is coarsened")
        if word == "drop":
            return (PrivacyClass.PLAIN if privacy is PrivacyClass.QUASI else privacy), None
        return privacy, Treated(
            Treatment(word), int(self._number(spec, "group", 3, place, (2, 10**6))),
            self._number(spec, "share", 0.05, place, (1e-9, 1.0)),
        )

    def _sensitive(self, name: str, spec: Any) -> tuple[Sensitive, Hierarchy | None]:
        place = f"sensitive.{name}"
        if not isinstance(spec, dict):
            raise self._wrong(place, "must be a table")
        self._known(spec, (*_CONDITIONS, "hierarchy", "levels", "builtin", *_PARAMETERS), place)
        distance = spec.get("distance", Distance.EQUAL)
        if distance not in set(Distance):
            raise self._wrong(f"{place}.distance", f"must be one of {', '.join(Distance)}")
        tree = None
        if {"hierarchy", "levels", "builtin"} & set(spec):
            tree = self._hierarchy(spec, "sensitive", name)
        elif distance == Distance.HIERARCHICAL:
            raise self._wrong(place, "asks for the hierarchical distance, but has no hierarchy")
        rule = Sensitive(
            name, int(self._number(spec, "distinct", 1, place, (1, 10**9))),
            self._number(spec, "entropy", 1.0, place, (1.0, 1e9)),
            self._number(spec, "t", 1.0, place, _SHARES) if "t" in spec else None, Distance(distance),
        )
        return rule, tree

    def _hierarchy(self, spec: Any, part: str, name: str) -> Hierarchy:
        """Return a column's hierarchy; without one it is shown or hidden, and nothing between."""
        place = f"{part}.{name}"
        if not isinstance(spec, dict):
            raise self._wrong(place, "must be a table")
        if part == "quasi":
            self._known(spec, ("hierarchy", "levels", "builtin", "weight", *_PARAMETERS), place)
        if "hierarchy" in spec:
            return read_hierarchy(self._path.parent / str(spec["hierarchy"]))
        if "levels" in spec:
            return read_levels(spec["levels"], f"{self._path.name} · {place}.levels")
        if "builtin" not in spec:
            return Hierarchy()
        given = {key: spec[key] for key in _PARAMETERS if key in spec}
        return built_in(str(spec["builtin"]), f"{self._path.name} · {place}", self._frame[name], given)

    def _known(self, found: Mapping[str, Any], known: Collection[str], place: str) -> None:
        for name in found:
            if name not in known:
                near = difflib.get_close_matches(name, list(known), n=3) or sorted(known)
                raise ConfigurationError(
                    "WB-E-015", "A policy holds a word that nothing reads.",
                    f"{self._path.name} · {place}{'.' if place else ''}{name} · near: {', '.join(near)}",
                )

    def _table(self, facts: Mapping[str, Any], name: str) -> dict[str, Any]:
        value = facts.get(name, {})
        if not isinstance(value, dict):
            raise self._wrong(name, "must be a table")
        return value

    def _names(self, value: Any, place: str) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self._wrong(place, "must be a list of columns")
        return value

    def _number(
        self, facts: Mapping[str, Any], name: str, default: float, place: str, limits: tuple[float, float]
    ) -> float:
        value = facts.get(name, default)
        where = f"{place}{'.' if place else ''}{name}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(where, "must be a number")
        if not limits[0] <= value <= limits[1]:
            raise self._wrong(where, f"must be from {limits[0]:g} to {limits[1]:g}")
        return value

    def _word(self, facts: Mapping[str, Any], name: str, columns: Sequence[str]) -> str | None:
        value = facts.get(name)
        if value is not None:
            self._known({str(value): None}, columns, name)
        return None if value is None else str(value)

    def _flag(self, facts: Mapping[str, Any], name: str) -> bool:
        value = facts.get(name, False)
        if not isinstance(value, bool):
            raise self._wrong(name, "must be true or false")
        return value

    def _wrong(self, place: str, problem: str) -> ConfigurationError:
        return ConfigurationError("WB-E-011", f"A setting {problem}.", f"{self._path.name} · {place}")


def built_in(
    name: str, where: str, column: pl.Series, parameters: Mapping[str, Any] | None = None
) -> Hierarchy:
    """Return a built-in hierarchy by its name.

    Args:
        name: of a function of ``builtin``.
        where: for messages.
        column: the file's column, for ``rare``.
        parameters: of that function.

    Raises:
        ConfigurationError: WB-E-015 for another name, WB-E-011 for parameters that it does not take.
    """
    from wellbridge.privacy.records.builtin import BUILT_IN, rare  # noqa: PLC0415 - brings the code lists along

    if name not in BUILT_IN and name != rare.__name__:
        raise ConfigurationError("WB-E-015", "There is no such built-in hierarchy.",
                                 f"{where} · known: {', '.join([*BUILT_IN, rare.__name__])}")
    found = None
    try:
        given = dict(parameters or {})
        found = rare(column, **given) if name == rare.__name__ else BUILT_IN[name](**given)
    except TypeError:
        found = None
    if found is None:
        raise ConfigurationError("WB-E-011", "A built-in hierarchy needs other parameters.", where,
                                 todo="See docs/privacy-records.md, built-in hierarchies")
    return found
