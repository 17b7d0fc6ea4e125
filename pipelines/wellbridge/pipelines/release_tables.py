"""What the files of a release say as tables: counts as they are, measures as counts, and record files as counts.

A record file is a count table too: whoever holds it can count its rows. Its children are some of the students of that
day, so every such count is a lower bound of the students' count.
"""

from __future__ import annotations

import io
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
from wellbridge.privacy.tables.released import BLANK, ReleasedAxis, ReleasedTable, Shares, released_rows
from wellbridge.privacy.tables.sums import UNBOUNDED, Ints

Contents = Mapping[str, bytes]
Cell = Mapping[str, str]

SIZES: Final = ".sizes"  # beside releases of shares alone: by release its files with the sizes, for the site's eyes
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
    """Return the tables that the release of a folder tells, with the sizes that its site kept; see ``told_by``."""
    files = [table["file"] for table in manifest["tables"]]
    # Its last part alone: a manifest from elsewhere must not point out of its folder.
    return told_by(folder.name, manifest, {file: _content(folder, Path(file).name) for file in files})


def _content(folder: Path, name: str) -> bytes:
    kept = folder.parent / SIZES / folder.name / name
    return (kept if kept.is_file() else folder / name).read_bytes()


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
        """Each breakdown of each measure; its shares alone, where the sizes behind them are not at hand."""
        if facts.get("on") is None:
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
        day, is_page = facts["on"], bool(facts.get("in_tens"))
        members = [(str(member),) for member in rows["member"]]
        parent = [len(members) - 1 if adds_up else -1] * (len(members) - 1) + [-1]
        axis = ReleasedAxis((key["dimension"],), tuple(members), np.array(parent, dtype=np.int64))
        told = rows["denominator"].cast(pl.Int64, strict=False).fill_null(BLANK).to_numpy()
        in_tens = is_page and not facts.get("percent_only")
        sizes = _Sizes.in_tens(told, self.min_cell) if in_tens else _Sizes(told, told, told)
        population = f"measure {key['measure_id']} {key['period']} {day}"
        own = self._table((axis,), *sizes.all(), cohort_of({"population": population, "on": day}, _WHERE))
        if key["measure_id"] not in facts["means"]:
            own = _split(own, _shares(rows, is_rounded=is_page), sizes)
        tables = [own]
        measure = MEASURES.get(key["measure_id"])
        is_everyone = measure is not None and measure.population is Population.EVERYONE
        if adds_up and is_everyone and (NOT_LINKED,) not in members:
            # A measure of all students counts out of their number, and what it finds is a trait of theirs.
            whom = students({"on": day})
            trait = replace(own.axes[-1], columns=(f"{OUTCOME} {key['measure_id']} {key['period']}",))
            tables.append(self._table((axis,), *sizes.all(), whom) if sizes.are_told else
                          replace(own, axes=(axis, trait), cohort=whom))
        return [Told(facts["file"], table, key) for table in tables if sizes.are_told or table.shares is not None]

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

    @property
    def are_told(self) -> bool:
        """Whether anything is told of any."""
        return bool((self.least != BLANK).any())

    def all(self) -> tuple[Ints, Ints, Ints]:
        """Return the counts and their ends as a released table has them."""
        is_blank = self.least == BLANK
        return self.told, np.where(is_blank, 0, self.least), np.where(is_blank, UNBOUNDED, self.greatest)


def _shares(rows: pl.DataFrame, *, is_rounded: bool) -> Shares:
    """Return the shares that are printed, in the order of an axis and its outcomes."""
    ends = [_share(row, is_rounded=is_rounded) for row in rows.iter_rows(named=True)]
    at = np.array([place for place, (low, high) in enumerate(ends) if low > 0 or high < 1], dtype=np.int64)
    least, greatest = np.array(ends, dtype=np.float64).reshape(-1, 2)[at].T
    return Shares(3 * at, 3 * at + 1, 3 * at + 2, least, greatest)


def _split(table: ReleasedTable, shares: Shares, sizes: _Sizes) -> ReleasedTable:
    """Return a table of groups with what is told of those with and without; shares stay where no size is exact."""
    outcome = ReleasedAxis((OUTCOME,), ((WITH,), (WITHOUT,), (ALL,)), np.array([2, 2, -1], dtype=np.int64))
    counts: Ints = np.full(3 * len(sizes.told), BLANK, dtype=np.int64)
    least, greatest = np.zeros_like(counts), np.full_like(counts, UNBOUNDED)
    counts[2::3], least[2::3], greatest[2::3] = sizes.all()
    few, many = least[shares.whole], greatest[shares.whole]
    for places, (low, high) in zip((shares.part, shares.rest), shares.counts(few, many), strict=True):
        least[places], greatest[places] = low, high
        counts[places] = np.where((low == high) & (few == many), low, BLANK)
    return replace(
        table, axes=(*table.axes, outcome), counts=counts, least=least, greatest=greatest,
        shares=shares.only(counts[shares.whole] == BLANK),
    )


def _share(row: Mapping[str, str | None], *, is_rounded: bool) -> tuple[float, float]:
    """Return the ends of the share that a row of a measure prints; 0 and 1 where it prints none.

    Args:
        row: the row.
        is_rounded: to whole percents, as the page does; one and ninety-nine of them stand for less and for more too.
    """
    value, at_least, at_most = (row[name] or "" for name in ("value", "at_least", "at_most"))
    low, high = float(at_least or 0), float(at_most or 1)
    # A range of whole percents may have been rounded outwards or inwards.
    slack = _PERCENT if is_rounded else _ROUNDING if at_least and at_most else 0.0
    if value:
        share, off = float(value), _PERCENT if is_rounded else _SHARE
        low = share - off if share > 0.01 or not is_rounded else low - slack
        high = share + off if share < 0.99 or not is_rounded else high + slack
    elif at_least or at_most:
        low, high = (low - slack if at_least else 0.0), (high + slack if at_most else 1.0)
    return max(0.0, low), min(1.0, high)


def columns_of(told: Sequence[Told]) -> list[str]:
    """Return the dimensions of tables, each once."""
    return list(dict.fromkeys(axis.columns[0] for one in told for axis in one.table.axes if axis.columns[0] != OUTCOME))
