"""What the files of a release say as tables: counts as they are, measures as counts, and record files as counts.

A record file is a count table too: whoever holds it can count its rows. Its children are some of the students of that
day, so every such count is a lower bound of the students' count.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from wellbridge.pipelines.extract_tables import OUTCOME, WITH, WITHOUT
from wellbridge.pipelines.measures.compute import NOT_LINKED
from wellbridge.pipelines.measures.measure import Population
from wellbridge.pipelines.measures.registry import MEASURES
from wellbridge.privacy.tables.cohorts import UNSAID, Cohort, cohort_of
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.margins import ALL, crossed
from wellbridge.privacy.tables.released import BLANK, ReleasedAxis, ReleasedTable, released_rows
from wellbridge.privacy.tables.sums import UNBOUNDED, Ints

Contents = Mapping[str, bytes]
Cell = Mapping[str, str]

_WHERE: Final = "manifest.json · tables · on, schools"
_EPSILON: Final = 1e-9
_SHARE: Final = 0.00005 + _EPSILON
_PERCENT: Final = 0.005 + _SHARE  # a whole percent of a share that was rounded before
_ROUNDING: Final = 0.005  # a range of whole percents may have been rounded outwards or inwards


@dataclass(frozen=True)
class Told:
    """One table that a file of a release tells.

    Attributes:
        file: the file's name.
        table: what it tells.
        key: columns and members that are the same for all of the table's cells in the file.
    """

    file: str
    table: ReleasedTable
    key: Mapping[str, str] = field(default_factory=dict)

    def cell(self, place: int) -> Cell:
        """Return a cell as the file's own columns name it."""
        return {**self.key, **self.table.label(place)}


def told_by(name: str, manifest: Mapping[str, Any], contents: Contents) -> list[Told]:
    """Return the tables that a release tells.

    Raises:
        SourceError: WB-E-023 when a file is no table of its kind.
        ConfigurationError: WB-E-011 when its manifest names a day that is none.
    """
    reader = _Reader(name, int(manifest["min_cell"]), is_strong=manifest["need"] == Need.STRONG)
    out: list[Told] = []
    for table in manifest["tables"]:
        rows = pl.read_csv(io.BytesIO(contents[table["file"]]), infer_schema=False)
        tell = {"counts": reader.counts, "measures": reader.measures, "records": reader.records}[table["kind"]]
        out += tell(table, rows)
    return out


def told_in(folder: Path, manifest: Mapping[str, Any]) -> list[Told]:
    """Return the tables that the release of a folder tells; see ``told_by``."""
    files = [table["file"] for table in manifest["tables"]]
    # Its last part alone: a manifest from elsewhere must not point out of its folder.
    return told_by(folder.name, manifest, {file: (folder / Path(file).name).read_bytes() for file in files})


def students(facts: Mapping[str, Any]) -> Cohort:
    """Return the cohort of all current students of a table's day, or of those of its schools.

    Nothing where a release does not say its day. A table by school is placed by its schools and needs no other word.
    """
    day, schools = facts.get("on"), facts.get("schools", [])
    if day is None:
        return UNSAID
    whole = {"name": f"students {day}", "population": "students", "on": day}
    if not schools or any("school" in axis for axis in facts.get("axes", [])):
        return cohort_of(whole, _WHERE)
    if len(schools) == 1:
        return cohort_of({"population": "students", "on": day, "where": {"school": schools[0]}}, _WHERE)
    some = {"population": f"students of {', '.join(sorted(schools))}", "on": day, "within": [whole["name"]]}
    return cohort_of(some, _WHERE)


@dataclass(frozen=True)
class _Reader:
    name: str
    min_cell: int
    is_strong: bool

    def counts(self, facts: Mapping[str, Any], rows: pl.DataFrame) -> list[Told]:
        table = released_rows(
            self.name, rows, axes=facts["axes"], count=facts["count"], min_cell=self.min_cell,
            is_strong=self.is_strong, cohort=students(facts),
        )
        return [Told(facts["file"], table)]

    def measures(self, facts: Mapping[str, Any], rows: pl.DataFrame) -> list[Told]:
        """Each breakdown of each measure, where the release tells its denominators."""
        if facts.get("percent_only") or facts.get("on") is None:
            return []
        adding_up = {tuple(entry) for entry in facts["adding_up"]}
        out = []
        for (measure, period), group in rows.group_by("measure_id", "period", maintain_order=True):
            whole = group.filter(pl.col("dimension") == ALL)
            for dimension in group["dimension"].unique(maintain_order=True).to_list():
                members = group.filter((pl.col("dimension") == dimension) & (pl.col("member") != ALL))
                if dimension != ALL and whole.height == 1:
                    key = {"measure_id": str(measure), "period": str(period), "dimension": str(dimension)}
                    out += self._breakdown(
                        facts, key, pl.concat([members, whole]), adds_up=tuple(key.values()) in adding_up
                    )
        return out

    def _breakdown(
        self, facts: Mapping[str, Any], key: Mapping[str, str], rows: pl.DataFrame, *, adds_up: bool
    ) -> list[Told]:
        day, is_mean = facts["on"], key["measure_id"] in facts["means"]
        members = [(str(member),) for member in rows["member"]]
        parent = [len(members) - 1 if adds_up else -1] * (len(members) - 1) + [-1]
        axis = ReleasedAxis((key["dimension"],), tuple(members), np.array(parent, dtype=np.int64))
        told = rows["denominator"].cast(pl.Int64, strict=False).fill_null(BLANK).to_numpy()
        sizes = _Sizes.in_tens(told, self.min_cell) if facts.get("in_tens") else _Sizes(told, told, told)
        population = f"measure {key['measure_id']} {key['period']} {day}"
        whom = cohort_of({"population": population, "on": day}, _WHERE)
        out = []
        if is_mean:
            out.append(Told(facts["file"], self._table((axis,), *sizes.all(), whom), key))
        else:
            outcome = ReleasedAxis((OUTCOME,), ((WITH,), (WITHOUT,), (ALL,)), np.array([2, 2, -1], dtype=np.int64))
            counts, least, greatest = _sides(rows, sizes)
            out.append(Told(facts["file"], self._table((axis, outcome), counts, least, greatest, whom), key))
        measure = MEASURES.get(key["measure_id"])
        is_everyone = measure is not None and measure.population is Population.EVERYONE
        if adds_up and is_everyone and (NOT_LINKED,) not in members:
            # What a measure of all students counts out of is the number of students.
            out.append(Told(facts["file"], self._table((axis,), *sizes.all(), students({"on": day})), key))
        return out

    def _table(
        self, axes: tuple[ReleasedAxis, ...], counts: Ints, least: Ints, greatest: Ints, cohort: Cohort
    ) -> ReleasedTable:
        return ReleasedTable(
            self.name, axes, counts.astype(np.int64), self.min_cell, self.is_strong, cohort=cohort, least=least,
            greatest=greatest,
        )

    def records(self, facts: Mapping[str, Any], rows: pl.DataFrame) -> list[Told]:
        """Count the rows of a record file by every one of its quasi-identifiers that tells whole members."""
        day = facts.get("on")
        if day is None or not rows.height:
            return []
        whom = cohort_of(
            {"population": f"records {self.name}", "on": day, "within": [f"students {day}"]},
            _WHERE,
        )
        if rows[facts["code"]].n_unique() < rows.height:
            return []  # a child has several rows: none of its columns says what the child is
        return [
            Told(facts["file"], replace(table, is_lower_bound=True))
            for column in facts["quasi"]
            if (table := self._by_column(rows, column, facts, whom)) is not None
        ]

    def _by_column(
        self, rows: pl.DataFrame, column: str, facts: Mapping[str, Any], whom: Cohort
    ) -> ReleasedTable | None:
        groups = facts.get("groups", {}).get(column)
        if groups is None:
            if facts["levels"].get(column, 0):
                return None  # coarsened, and it is not said how
            full = crossed(rows, dimensions=[column])
            return released_rows(
                self.name, full.with_columns(pl.col("n").cast(pl.String)), axes=[[column]], count="n",
                min_cell=self.min_cell, is_strong=self.is_strong, cohort=whom,
            )
        return _coarsened(self, rows, column, groups, whom)


def _coarsened(
    reader: _Reader, rows: pl.DataFrame, column: str, groups: Mapping[str, str], whom: Cohort
) -> ReleasedTable:
    """Return the counts of coarsened members, the members that each stands for below it and untold."""
    made = set(groups.values())
    told = dict(rows[column].value_counts().iter_rows())
    groups = {**groups, **{label: label for label in told if label not in made}}  # what the hierarchy leaves alone
    tops, finest = sorted(set(groups.values())), sorted(groups)
    labels = [(member, groups[member]) for member in finest] + [(ALL, top) for top in tops] + [(ALL, ALL)]
    parent = [len(finest) + tops.index(groups[member]) for member in finest]
    parent += [len(finest) + len(tops)] * len(tops) + [-1]
    counts = [BLANK] * len(finest) + [int(told.get(top, 0)) for top in tops] + [rows.height]
    axis = ReleasedAxis((column, f"{column} coarsened"), tuple(labels), np.array(parent, dtype=np.int64))
    return ReleasedTable(
        reader.name, (axis,), np.array(counts, dtype=np.int64), reader.min_cell, reader.is_strong, cohort=whom
    )


@dataclass(frozen=True)
class _Sizes:
    """Numbers of persons that are told: exact, or between two ends; ``BLANK`` in all three where nothing is."""

    told: Ints
    least: Ints
    greatest: Ints

    @classmethod
    def in_tens(cls, told: Ints, min_cell: int) -> _Sizes:
        """Return what the page's tens tell of numbers that may be shown."""
        is_told = told != BLANK
        low, high = np.maximum(told - 5, min_cell), told + 4
        return cls(np.full_like(told, BLANK), np.where(is_told, low, BLANK), np.where(is_told, high, BLANK))

    def all(self) -> tuple[Ints, Ints, Ints]:
        """Return the counts and their ends as a released table has them."""
        is_blank = self.least == BLANK
        return self.told, np.where(is_blank, 0, self.least), np.where(is_blank, UNBOUNDED, self.greatest)


def _sides(rows: pl.DataFrame, sizes: _Sizes) -> tuple[Ints, Ints, Ints]:
    """Return what is told of those with, those without and all, in the order of an axis and its outcomes."""
    counts = np.full((rows.height, 3), BLANK, dtype=np.int64)
    least, greatest = np.zeros_like(counts), np.full_like(counts, UNBOUNDED)
    counts[:, 2], least[:, 2], greatest[:, 2] = sizes.all()
    for at, row in enumerate(rows.iter_rows(named=True)):
        few, many = int(sizes.least[at]), int(sizes.greatest[at])
        if few == BLANK:
            continue
        with_, without = _ends(row, few, many)
        least[at, :2], greatest[at, :2] = (with_[0], without[0]), (with_[1], without[1])
        if with_[0] == with_[1] and few == many:
            counts[at, :2] = with_[0], without[0]
    return counts.ravel(), least.ravel(), greatest.ravel()


def _ends(row: Mapping[str, str | None], few: int, many: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the least and greatest number of those with and of those without, for a group between two sizes."""
    if few == many:
        low, high = _range(row, few)
        return (low, high), (few - high, few - low)
    value, at_least, at_most = (row[name] or "" for name in ("value", "at_least", "at_most"))
    share = float(value or 0)
    # Whole percents; one and ninety-nine of them are also printed for less and for more.
    low_end = max(0.0, share - _PERCENT) if value and share > 0.01 else float(at_least or 0) - _PERCENT
    high_end = min(1.0, share + _PERCENT) if value and share < 0.99 else float(at_most or 1) + _PERCENT
    low, high = (
        max(0, math.ceil(low_end * few - _EPSILON)), min(many, math.floor(high_end * many + _EPSILON)),
    )
    others = max(0, math.ceil((1 - high_end) * few - _EPSILON)), min(many, math.floor((1 - low_end) * many + _EPSILON))
    return (low, high), others


def _range(row: Mapping[str, str | None], size: int) -> tuple[int, int]:
    """Return the least and greatest number of those with, as a released row of a measure tells."""
    value, at_least, at_most = (row[name] or "" for name in ("value", "at_least", "at_most"))
    if value:
        # Shares are printed in four decimals: of a large group several counts have one share.
        return max(0, math.ceil((float(value) - _SHARE) * size)), min(size, math.floor((float(value) + _SHARE) * size))
    slack = _ROUNDING if at_least and at_most else 0.0
    low = math.ceil((float(at_least) - slack) * size - _EPSILON) if at_least else 0
    high = math.floor((float(at_most) + slack) * size + _EPSILON) if at_most else size
    return max(0, low), min(size, high)


def columns_of(told: Sequence[Told]) -> list[str]:
    """Return the dimensions of tables, each once."""
    return list(dict.fromkeys(axis.columns[0] for one in told for axis in one.table.axes if axis.columns[0] != OUTCOME))
