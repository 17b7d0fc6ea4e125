"""The data files of a release, protected, each with what its dictionary, its manifest and its re-check need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import polars as pl

from wellbridge.etl.store import Store
from wellbridge.pipelines.extract_columns import RECORD_COLUMNS, student_rows
from wellbridge.pipelines.extract_definitions import CountSpec, ExtractDefinition
from wellbridge.pipelines.measures.compute import NOT_LINKED
from wellbridge.pipelines.measures.measure import Kind
from wellbridge.pipelines.measures.measure import Population as Counted
from wellbridge.pipelines.measures.registry import MEASURES
from wellbridge.privacy.agreements import Agreement
from wellbridge.privacy.codes import LastingCrosswalk, replace_keys
from wellbridge.privacy.records.anonymize import Anonymized, anonymize
from wellbridge.privacy.records.hierarchy import Hierarchy
from wellbridge.privacy.records.history import follow
from wellbridge.privacy.rules.practice import Practice
from wellbridge.privacy.tables.cells import CountTable, Protected, add_counts, counts_result, settle_counts
from wellbridge.privacy.tables.linked import LinkedTables
from wellbridge.privacy.tables.margins import ALL, crossed
from wellbridge.privacy.tables.published_shares import HIDDEN, ProtectedMeasures, measures_result
from wellbridge.privacy.tables.shares import MeasureTables, Population, add_measures
from wellbridge.privacy.tables.sums import Ints
from wellbridge.schemas.classes import PrivacyClass
from wellbridge.schemas.errors import PrivacyError

# For each file the cells that must be hidden, by columns and members.
Hide = Mapping[str, Sequence[Mapping[str, str]]]
OUTCOME: Final = "outcome"  # the dimension of those whom a measure finds and those whom it does not
WITH, WITHOUT = "with", "without"
MEASURES_FILE: Final = "measures.csv"
RECORDS_FILE: Final = "records.csv"
# One sentence for every hidden cell: which of them is the small one must not be learnt from the list.
WHY_CELL: Final = "fewer persons than the minimum cell, nobody or everybody, or needed so that no such cell follows"
WHY_PERSON: Final = "too few others are alike on the quasi-identifiers, in this file or in all of the agreement's"
WHY_COLUMN: Final = "coarsened so that every child is one of at least k alike"

_COUNT_WORDS: Final = {"n": ("Students; blank where hidden", "count")}
_MEASURE_WORDS: Final = {
    "measure_id": ("Measure, defined below under its id", "id"),
    "period": ("School year", "YYYY-YY"),
    "dimension": ("Breakdown", f"name; {ALL} for the district"),
    "member": ("Member of the breakdown", f"{ALL} for the district"),
    "denominator": ("What the measure counts out of; blank where hidden or where shares stand alone", "count"),
    "value": ("Share from 0 to 1, or a mean in the measure's unit; blank where coded or hidden", "number"),
    "at_most": ("The share is this or less; with at_least, the share in whole percents is between the two", "0 to 1"),
    "at_least": ("The share is this or more; with at_most, the share in whole percents is between the two", "0 to 1"),
    "shown": ("Whether the value is exact, coded as an end or a range, or hidden", "exact, coded, hidden"),
}


@dataclass(frozen=True)
class DataFile:
    """One protected data file of a release.

    Attributes:
        name: file name.
        frame: what is released.
        facts: the manifest's entry, without columns and rows.
        dictionary: column, type, meaning, privacy class, values.
        suppressed: what, cell, count, why. Never a value, and never which hidden cell is the small one.
        hidden: counts for the manifest.
        reasons: hidden cells by reason; internal, for the ledger.
        sizes: denominators that shares are released without and a reader may know from elsewhere; internal, for the
            attack. None where nothing is left out so.
    """

    name: str
    frame: pl.DataFrame
    facts: Mapping[str, Any]
    dictionary: Sequence[tuple[str, str, str, str, str]]
    suppressed: Sequence[tuple[str, str, int | None, str]]
    hidden: Mapping[str, int]
    reasons: Mapping[str, int] = field(default_factory=dict)
    sizes: pl.Series | None = None

    @property
    def known(self) -> pl.DataFrame:
        """What somebody holds who has the file and knows the sizes of its groups."""
        return self.frame if self.sizes is None else self.frame.with_columns(self.sizes.alias("denominator"))


def aggregate_files(
    store: Store, definition: ExtractDefinition, as_of: date, min_cell: int, asked: Practice,
    hide: Hide = MappingProxyType({}),
) -> list[DataFile]:
    """Protect all tables of an extract together and return them.

    Args:
        min_cell: smallest count that may be shown, as strict as rules, agreement and definition together.
        asked: what else the rules ask of published tables.
        hide: cells of a file that must be hidden too, because of what was released before.

    Raises:
        PrivacyError: WB-E-042 when a cell cannot be protected.
    """
    linked = LinkedTables(min_cell=min_cell)
    counts = [_counted(linked, store, spec, as_of, asked) for spec in definition.counts]
    rows = _measure_rows(store, definition)
    measures = add_measures(linked, rows, means=_means(definition), population=_population(store, definition))
    for spec, table in zip(definition.counts, counts, strict=True):
        linked.keep_hidden(_cells_of(table, hide.get(f"{spec.name}.csv", ())))
    linked.keep_hidden(_measure_cells(measures, hide.get(MEASURES_FILE, ())))
    _settle(linked, definition, counts, measures)
    out = [
        _count_file(spec, table, counts_result(linked, table), as_of)
        for spec, table in zip(definition.counts, counts, strict=True)
    ]
    if measures.rows:
        out.append(_measure_file(definition, measures, measures_result(linked, measures, asked), asked, as_of))
    return out


def _settle(
    linked: LinkedTables, definition: ExtractDefinition, counts: Sequence[CountTable], measures: MeasureTables
) -> None:
    """Settle the tables of an extract; a refusal names the extract, and the measures where they are to blame."""
    refused: PrivacyError | None = None
    try:
        settle_counts(linked, counts)
    except PrivacyError as error:
        refused = error
    if refused is None:
        return
    blamed = linked.to_blame()
    own = dict.fromkeys(
        f"{row.facts['measure_id']} by {row.facts['dimension']}"
        for row in measures.rows
        if any(cell != -1 and blamed[cell] for cell in (row.total, row.those_with, row.those_without))
    )
    where, todo = refused.where, refused.todo
    if own:
        where, todo = f"file {MEASURES_FILE} · {', '.join(own)}", "Leave out one of the measures or breakdowns named"
    raise PrivacyError(refused.code, refused.what, f"extract {definition.id} · {where}", todo=todo)


def _cells_of(table: CountTable, named: Sequence[Mapping[str, str]]) -> Ints:
    """Return the numbers of cells that are named by their columns and members, those summed over left out."""
    wanted = pl.DataFrame([{name: cell.get(name, ALL) for name in table.columns} for cell in named],
                          schema=dict.fromkeys(table.columns, pl.String))
    rows = table.table.with_row_index("row").join(wanted, on=list(table.columns), how="semi")["row"].to_numpy()
    found: Ints = table.cells.ravel()[table.grid.place][rows]
    return found


def _measure_cells(tables: MeasureTables, named: Sequence[Mapping[str, str]]) -> Ints:
    """Return the numbers of the counts behind measures that are named by their key and outcome."""
    wanted = set()
    for cell in named:
        dimension = cell["dimension"]
        place = (dimension, cell[dimension]) if dimension in cell else (ALL, ALL)
        wanted.add((cell["measure_id"], cell["period"], *place, cell.get(OUTCOME, "")))
    found = [number for row in tables.rows for outcome, number in
             (("", row.total), (WITH, row.those_with), (WITHOUT, row.those_without))
             if number != -1 and (*row.key, outcome) in wanted]
    return np.array(found, dtype=np.int64)


def _counted(linked: LinkedTables, store: Store, spec: CountSpec, as_of: date, asked: Practice) -> CountTable:
    rows = student_rows(store, as_of, spec.columns, spec.schools)
    table = crossed(rows, dimensions=spec.dimensions, hierarchies=spec.hierarchies)
    added = add_counts(
        linked, table, spec.dimensions, "n", spec.hierarchies, zero_rule="hide" if asked.hide_zeros else "publish"
    )
    return replace(added, name=f"{spec.name}.csv")


def _measure_rows(store: Store, definition: ExtractDefinition) -> pl.DataFrame:
    rows = store.frame(
        "SELECT measure_id, period, dimension, member, numerator, denominator, persons FROM measure_value"
    )
    return rows.filter(
        pl.col("measure_id").is_in(list(definition.measures)) & pl.col("dimension").is_in([ALL, *definition.dimensions])
    )


def _means(definition: ExtractDefinition) -> set[str]:
    return {name for name in definition.measures if MEASURES[name].kind is Kind.MEAN}


def _population(store: Store, definition: ExtractDefinition) -> Population:
    counted = {name: MEASURES[name].population for name in definition.measures}
    return Population(
        everyone=[name for name, whom in counted.items() if whom is Counted.EVERYONE],
        some=[name for name, whom in counted.items() if whom is Counted.SOME], absent=NOT_LINKED,
        parts=_bands(store),
    )


def _bands(store: Store) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Return the schools of each grade band that no school shares with another: everybody knows which they are."""
    rows = store.frame("""
        SELECT DISTINCT school_id, grade_band FROM student
        WHERE is_current AND school_id IS NOT NULL AND grade_band IS NOT NULL""")
    is_shared = pl.col("grade_band").n_unique().over("school_id") > 1
    shared = rows.filter(is_shared)["grade_band"].unique().to_list()
    out: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for school, band in rows.filter(~pl.col("grade_band").is_in(shared)).sort(rows.columns).iter_rows():
        out.setdefault(("grade_band", band), []).append(("school", school))
    return out


def _count_file(spec: CountSpec, table: CountTable, found: Protected, as_of: date) -> DataFile:
    hidden = found.table.filter(pl.col("n").is_null())
    return DataFile(
        name=f"{spec.name}.csv", frame=found.table,
        facts={"kind": "counts", "title": spec.title, "count": "n", "on": as_of.isoformat(),
               **({"schools": list(spec.schools)} if spec.schools else {}),
               "axes": [list(axis.columns) for axis in table.grid.axes]},
        dictionary=[*(_record_words(name) for name in spec.columns), _words("n", "integer", _COUNT_WORDS, "sensitive")],
        suppressed=_hidden_cells(hidden, table.columns),
        hidden={"cells": found.table.height, "hidden": hidden.height}, reasons=found.tally,
    )


def _measure_file(
    definition: ExtractDefinition, tables: MeasureTables, found: ProtectedMeasures, asked: Practice, as_of: date
) -> DataFile:
    means = _means(definition)
    hidden = found.table.filter(pl.col("shown") == HIDDEN)
    types = dict.fromkeys(("value", "at_most", "at_least"), "number") | {"denominator": "integer"}
    words = [_words(name, types.get(name, "text"), _MEASURE_WORDS, "sensitive" if name in types else "plain")
             for name in found.table.columns]
    meant = [(f"measure_id={name}", "measure", MEASURES[name].definition, "sensitive", MEASURES[name].unit)
             for name in definition.measures]
    return DataFile(
        name=MEASURES_FILE, frame=found.table,
        facts={"kind": "measures", "title": "Measures by breakdown", "means": sorted(means), "on": as_of.isoformat(),
               "adding_up": [list(entry) for entry in tables.adding_up],
               **({"percent_only": True} if asked.percent_only else {}),
               **({"bands": [bands.name for bands in asked.bands]} if asked.bands else {})},
        dictionary=[*words, *meant],
        suppressed=_hidden_cells(hidden, ("measure_id", "period", "dimension", "member")),
        hidden={"cells": found.table.height, "hidden": hidden.height,
                "coded": found.table.height - hidden.height - int((found.table["shown"] == "exact").sum())},
        reasons=found.tally, sizes=found.sizes if asked.percent_only else None,
    )


def record_file(
    store: Store, definition: ExtractDefinition, as_of: date, k: int, crosswalk: LastingCrosswalk, agreement: Agreement,
    told: pl.DataFrame | None = None,
) -> DataFile:
    """Return the k-anonymous record file of an extract.

    Args:
        told: what the agreement's earlier record files tell of their codes; see ``records.history.pasts``.

    Raises:
        PrivacyError: WB-E-043 when k cannot be reached, in the file or over all of the agreement's.
    """
    refused = store.frame("SELECT person_key FROM extract_refusal")  # before k is measured, not after
    rows = student_rows(store, as_of, definition.columns, definition.schools).join(refused, on="person_key", how="anti")
    quasi, followed = _quasi(definition), None
    if told is not None and told.height:
        rows, followed = follow(rows, crosswalk.drawn(agreement.id), told)
    found = anonymize(
        rows, quasi=quasi, k=k, max_suppressed=definition.max_suppressed, per_person="person_key",
        sensitive=definition.sensitive, weights=definition.weights, local=agreement.local_recoding,
        followed=followed,
    )
    # Codes are drawn for children who leave, not for those who are left out.
    coded = replace_keys(found.table, crosswalk, agreement.id)
    return DataFile(
        name=RECORDS_FILE, frame=coded,
        facts={"kind": "records", "title": definition.title, "code": "code", "quasi": sorted(quasi),
               "on": as_of.isoformat(), "groups": _groups(found, quasi),
               "levels": found.node, "classes": {str(size): n for size, n in found.classes.items()},
               "loss": found.loss, **({"sensitive": asked} if (asked := _asked(definition)) else {})},
        dictionary=[("code", "text", "Random code of the child under this agreement, in no other file", "key", "hex"),
                    *(_record_words(name, found.node.get(name), further=_further(found, name))
                      for name in definition.columns)],
        suppressed=_left_out(found), hidden={"persons": found.persons, "hidden": found.suppressed},
        reasons={"class below k" if followed is None else "class or sequence below k": found.suppressed},
    )


def _asked(definition: ExtractDefinition) -> dict[str, dict[str, Any]]:
    """What an auditor can check of sensitive columns in the file alone."""
    return {rule.column: {"distinct": rule.distinct, "entropy": rule.entropy, "t": rule.t, "distance": rule.distance}
            for rule in definition.sensitive}


def quasi_of(definition: ExtractDefinition) -> list[str]:
    """Return every quasi-identifier that a record file holds, whether its definition names it or not."""
    return [name for name in definition.columns
            if name in definition.quasi or RECORD_COLUMNS[name].privacy is PrivacyClass.QUASI]


def _quasi(definition: ExtractDefinition) -> dict[str, Hierarchy]:
    return {name: definition.quasi.get(name, Hierarchy()) for name in quasi_of(definition)}


def _groups(found: Anonymized, quasi: Mapping[str, Hierarchy]) -> dict[str, dict[str, str]]:
    """For each coarsened column, what its labels stand for as its hierarchy declares it, whoever is in the data."""
    out = {}
    for name, level in found.node.items():
        steps = [step for step in quasi[name].levels[:level] if isinstance(step, Mapping)]
        if level and len(steps) == level and not _further(found, name):
            made = {new for step in steps for old, new in step.items() if old != new}
            values = sorted({value for step in steps for value in step} - made)
            labels = quasi[name].labels(pl.Series(values, dtype=pl.String), name)
            out[name] = dict(labels.select("0", str(level)).iter_rows())
    return out


def _further(found: Anonymized, name: str) -> bool:
    """Whether some children are coarsened further in a column than others."""
    return any(levels.get(name, 0) > found.node.get(name, 0) for levels, _ in found.parts)


def _left_out(found: Anonymized) -> list[tuple[str, str, int | None, str]]:
    recoded = [("column coarsened", name, level, WHY_COLUMN)
               for name, level in found.node.items() if level or _further(found, name)]
    return [("children left out", "", found.suppressed, WHY_PERSON), *recoded]


def _hidden_cells(hidden: pl.DataFrame, names: Sequence[str]) -> list[tuple[str, str, int | None, str]]:
    cells = [("cell", "; ".join(f"{name}={row[name]}" for name in names), None, WHY_CELL)
             for row in hidden.iter_rows(named=True)]
    return [("cells hidden", "", len(cells), WHY_CELL), *cells]


def _record_words(name: str, level: int | None = None, *, further: bool = False) -> tuple[str, str, str, str, str]:
    column = RECORD_COLUMNS[name]
    values = f"{column.values}, not reported" if not level else f"coarsened to level {level}"
    values += ", of some children further" if further else ""
    return (name, "text", column.meaning, str(column.privacy), values)


def _words(
    name: str, kind: str, words: Mapping[str, tuple[str, str]], privacy: str
) -> tuple[str, str, str, str, str]:
    meaning, values = words[name]
    return (name, kind, meaning, privacy, values)
