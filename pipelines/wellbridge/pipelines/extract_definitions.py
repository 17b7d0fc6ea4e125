"""What an extract holds: the files of ``extracts/``, one a release can be built from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from wellbridge.pipelines.extract_columns import BREAKDOWNS, RECORD_COLUMNS
from wellbridge.pipelines.measures.registry import MEASURES
from wellbridge.pipelines.site import read_toml
from wellbridge.privacy.records.criteria import Sensitive
from wellbridge.privacy.records.hierarchy import Hierarchy, read_levels
from wellbridge.privacy.records.spread import Distance
from wellbridge.schemas.classes import PrivacyClass
from wellbridge.schemas.errors import ConfigurationError

AGGREGATE, RECORD = "aggregate", "record"
_COMMON: Final = {"title", "kind", "agreement", "determined_by", "targeted_request", "schools"}
_KEYS: Final = {
    AGGREGATE: {*_COMMON, "min_cell", "measures", "counts"},
    RECORD: {*_COMMON, "k", "columns", "quasi", "sensitive", "weights", "max_suppressed"},
}


@dataclass(frozen=True)
class CountSpec:
    """A table that counts students.

    Attributes:
        name: the file's name without its ending.
        title: as a heading.
        dimensions: the crossed columns, one to three.
        hierarchies: for a dimension, its coarser columns.
        schools: ids of the schools whose students are counted; empty: all.
    """

    name: str
    title: str
    dimensions: tuple[str, ...]
    hierarchies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    schools: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, each dimension's finest first."""
        return tuple(c for name in self.dimensions for c in (name, *self.hierarchies.get(name, ())))


@dataclass(frozen=True)
class ExtractDefinition:
    """One extract.

    Attributes:
        id: equal to its file's name.
        kind: ``aggregate`` (tables) or ``record`` (one row a child).
        agreement: id of the agreement it is released under.
        min_cell, k: stricter than the agreement's, or zero.
        measures, dimensions: which measures by which breakdowns, beside the whole.
        counts: tables of students.
        columns: columns of the record file.
        quasi: hierarchies of quasi-identifiers; every released quasi-identifier counts, named here or not.
        sensitive: what every class of the record file must keep of a sensitive column.
        max_suppressed: greatest share of children left out of the record file.
        weights: how much the recipient needs a column.
        determined_by: who determined that nobody can be identified in it (34 CFR 99.31(b)(1)); a name or an office.
        targeted_request: whether who asks is believed to know whom it is about (34 CFR 99.3 (g)); it never leaves.
        schools: ids of the schools whose students it is about; empty: the whole district.
    """

    id: str
    title: str
    kind: str
    agreement: str
    min_cell: int = 0
    k: int = 0
    measures: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    counts: tuple[CountSpec, ...] = ()
    columns: tuple[str, ...] = ()
    quasi: Mapping[str, Hierarchy] = field(default_factory=dict)
    sensitive: tuple[Sensitive, ...] = ()
    max_suppressed: float = 0.05
    weights: Mapping[str, float] = field(default_factory=dict)
    determined_by: str = ""
    targeted_request: bool = False
    schools: tuple[str, ...] = ()

    @property
    def elements(self) -> set[str]:
        """Every column, measure and count table that would be disclosed."""
        counted = {name for spec in self.counts for name in (spec.name, *spec.columns)}
        return {*self.measures, *self.dimensions, *self.columns, *counted}


def load_definitions(folder: Path) -> dict[str, ExtractDefinition]:
    """Read every definition of a folder, by id; hidden files are none, and would make folders that no history sees."""
    return {path.stem: load_definition(path) for path in sorted(folder.glob("[!.]*.toml"))}


def load_definition(path: Path) -> ExtractDefinition:
    """Read one definition.

    Raises:
        ConfigurationError: WB-E-011 when a setting is missing, unknown or of the wrong kind; WB-E-015 when it
            names a measure, breakdown or column that there is not.
    """
    facts = read_toml(path)
    kind = facts.get("kind")
    if kind not in _KEYS:
        raise _wrong(path, "kind", f"must be {AGGREGATE} or {RECORD}")
    strange = sorted(set(facts) - _KEYS[kind])
    if strange:
        raise _wrong(path, strange[0], "is not known")
    schools = _schools(facts, path)
    parts = _aggregate(facts, path, schools) if kind == AGGREGATE else _record(facts, path)
    return ExtractDefinition(
        id=path.stem, kind=kind, title=_text(facts, "title", path), agreement=_text(facts, "agreement", path),
        min_cell=int(_number(facts, "min_cell", 0, path)), k=int(_number(facts, "k", 0, path)), **parts,
        determined_by=_text(facts, "determined_by", path) if "determined_by" in facts else "",
        targeted_request=_flag(facts, "targeted_request", path), schools=schools,
    )


def _schools(facts: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    found = facts.get("schools", [])
    if not isinstance(found, list) or not all(isinstance(one, str) and one for one in found) or (
        "schools" in facts and not found
    ):
        raise _wrong(path, "schools", "must name at least one school by its id")
    return tuple(found)


def _aggregate(facts: Mapping[str, Any], path: Path, schools: tuple[str, ...]) -> dict[str, Any]:
    measures = _table(facts, "measures", path)
    counts = facts.get("counts", [])
    if not isinstance(counts, list) or not all(isinstance(spec, dict) for spec in counts):
        raise _wrong(path, "counts", "must be [[counts]] tables")
    if not measures and not counts:
        raise _wrong(path, "measures", "or counts must be given")
    return {
        "measures": _known(measures.get("ids", []), MEASURES, path, "measures.ids"),
        "dimensions": _names(measures.get("dimensions", []), path, "measures.dimensions"),
        "counts": tuple(replace(_count_spec(spec, path), schools=schools) for spec in counts),
    }


def _count_spec(facts: Mapping[str, Any], path: Path) -> CountSpec:
    chains = [tuple(name.split("<")) for name in _names(facts.get("dimensions", []), path, "counts.dimensions")]
    if not 1 <= len(chains) <= 3:
        raise _wrong(path, "counts.dimensions", "must name one to three dimensions")
    for chain in chains:
        _known(chain, BREAKDOWNS, path, "counts.dimensions")
    name = _text(facts, "name", path)
    if not name.isidentifier():
        raise _wrong(path, "counts.name", "must be letters, digits and underscores")
    return CountSpec(
        name, str(facts.get("title", name)), tuple(chain[0] for chain in chains),
        {chain[0]: chain[1:] for chain in chains if len(chain) > 1},
    )


def _record(facts: Mapping[str, Any], path: Path) -> dict[str, Any]:
    columns = _known(facts.get("columns", []), RECORD_COLUMNS, path, "columns")
    if not columns:
        raise _wrong(path, "columns", "must name at least one column")
    quasi = _table(facts, "quasi", path)
    _known(list(quasi), columns, path, "quasi")
    weights = _table(facts, "weights", path)
    share = _number(facts, "max_suppressed", 0.05, path)
    if not 0 <= share < 1:
        raise _wrong(path, "max_suppressed", "must be a share from 0 to 1")
    return {
        "columns": columns, "max_suppressed": share,
        "quasi": {name: read_levels(levels, f"extracts/{path.name} · quasi.{name}") for name, levels in quasi.items()},
        "sensitive": tuple(
            _sensitive(name, rule, path) for name, rule in _sensitives(facts, columns, list(quasi), path).items()
        ),
        "weights": {name: _number(weights, name, 1, path) for name in weights},
    }


def _sensitives(
    facts: Mapping[str, Any], columns: Sequence[str], quasi: Sequence[str], path: Path
) -> Mapping[str, Any]:
    """Return the rules of sensitive columns: released ones that are no quasi-identifiers."""
    others = [name for name in columns
              if name not in quasi and RECORD_COLUMNS[name].privacy is not PrivacyClass.QUASI]
    found = _table(facts, "sensitive", path)
    _known(list(found), others, path, "sensitive")
    return found


def _sensitive(name: str, rule: Any, path: Path) -> Sensitive:
    setting = f"sensitive.{name}"
    if not isinstance(rule, dict):
        raise _wrong(path, setting, "must be a table")
    _known(list(rule), ("distinct", "entropy", "t", "distance"), path, setting)
    distance = rule.get("distance", Distance.EQUAL)
    if distance not in {Distance.EQUAL, Distance.ORDERED}:
        raise _wrong(path, f"{setting}.distance", "must be equal or ordered")
    far = _number(rule, "t", 1, path)
    if not 0 <= far <= 1:
        raise _wrong(path, f"{setting}.t", "must be from 0 to 1")
    return Sensitive(
        name, int(_number(rule, "distinct", 1, path)), _number(rule, "entropy", 1, path),
        far if "t" in rule else None, Distance(distance),
    )


def _wrong(path: Path, setting: str, problem: str) -> ConfigurationError:
    return ConfigurationError("WB-E-011", f"A setting {problem}.", f"extracts/{path.name} · {setting}")


def _text(facts: Mapping[str, Any], name: str, path: Path) -> str:
    value = facts.get(name)
    if not isinstance(value, str) or not value:
        raise _wrong(path, name, "is missing or no text")
    return value


def _flag(facts: Mapping[str, Any], name: str, path: Path) -> bool:
    value = facts.get(name, False)
    if not isinstance(value, bool):
        raise _wrong(path, name, "must be true or false")
    return value


def _number(facts: Mapping[str, Any], name: str, default: float, path: Path) -> float:
    value = facts.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(path, name, "must be a number")
    return value


def _table(facts: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    value = facts.get(name, {})
    if not isinstance(value, dict):
        raise _wrong(path, name, "must be a table")
    return value


def _names(value: Any, path: Path, setting: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise _wrong(path, setting, "must be a list of names")
    return tuple(value)


def _known(value: Any, known: Any, path: Path, setting: str) -> tuple[str, ...]:
    names = _names(value, path, setting)
    strange = [name for name in names if name not in known]
    if strange:
        raise ConfigurationError(
            "WB-E-015", "An extract names what there is not.", f"extracts/{path.name} · {setting}: {strange[0]} · "
            f"known: {', '.join(known)}",
        )
    return names
