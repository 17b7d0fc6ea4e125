"""Synthetic release histories with and without a planted exposure, and a judge who knows nothing of the attack.

A history is told by *regions*, groups of children who are of the same cohorts, counted by inner cells. The judge
has one whole number for each region and inner cell, every printed count as an equation, and asks a mixed integer
program for the ends of each hidden count and each difference.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import Bounds, LinearConstraint, milp

from wellbridge.privacy.tables.cohorts import Cohort
from wellbridge.privacy.tables.further import as_released
from wellbridge.privacy.tables.protection import Dimension, protect
from wellbridge.privacy.tables.released import BLANK, ReleasedTable
from wellbridge.schemas.errors import PrivacyError

Counts = npt.NDArray[np.int64]
Cell = frozenset[tuple[str, str]]

MIN_CELL = 10
COLUMNS = ("school", "grade", "race")
MEMBERS = (("S0", "S1", "S2"), ("G0", "G1"), ("R0", "R1"))
ATOMS = list(itertools.product(*MEMBERS))
KINDS = (
    "annual beside cumulative",
    "children added",
    "district beside state",
    "corrected",
    "union",
    "three steps",
    "other dimensions",
)


@dataclass
class History:
    """Releases, how they were made, and what was planted.

    Attributes:
        kind: one of ``KINDS``.
        truth: for each region the count of each atom.
        releases: the releases.
        made_of: for each release its regions; empty where it is of other children.
        differences: signed sums of regions that are counts of persons, or changes, which a reader may form.
        planted: the cell whose difference is small and printed twice.
        is_restated: whether unchanged printed numbers are taken for unchanged children.
    """

    kind: str
    truth: dict[str, Counts]
    releases: list[ReleasedTable]
    made_of: list[tuple[str, ...]]
    differences: list[dict[str, int]]
    planted: Cell | None
    is_restated: bool = False


def ways(columns: Sequence[str] = COLUMNS) -> Iterator[Cell]:
    """Yield every cell of the cross of some dimensions, margins included."""
    options = [[None, *MEMBERS[COLUMNS.index(name)]] for name in columns]
    for chosen in itertools.product(*options):
        yield frozenset(
            (name, member) for name, member in zip(columns, chosen, strict=True) if member is not None
        )


def within(cell: Cell) -> npt.NDArray[np.bool_]:
    wanted = dict(cell)
    return np.array(
        [
            all(wanted.get(name, member) == member for name, member in zip(COLUMNS, atom, strict=True))
            for atom in ATOMS
        ]
    )


def table(name: str, counts: Counts, columns: Sequence[str], cohort: Cohort) -> ReleasedTable:
    rows = pl.DataFrame(
        [(*atom, int(n)) for atom, n in zip(ATOMS, counts, strict=True)], schema=[*COLUMNS, "n"], orient="row"
    )
    found = protect(rows, by=[Dimension((column,)) for column in columns], count="n", min_cell=MIN_CELL)
    return as_released(found, name, cohort)


def group(draw: np.random.Generator, empty: float, small: float) -> Counts:
    """Draw a group of children: cells are empty, small or of some size."""
    size = len(ATOMS)
    kind = draw.choice(3, size, p=[empty, small, 1 - empty - small])
    return np.where(
        kind == 0, 0, np.where(kind == 1, draw.integers(1, MIN_CELL, size), draw.integers(12, 60, size))
    )


def history(kind: str, draw: np.random.Generator, *, is_planted: bool) -> History:
    """Draw a history; differences are of nobody or of many, but for the one that is planted."""
    while True:
        found = _drawn(kind, draw, is_planted=is_planted)
        if found is not None and (found.planted is None) != is_planted:
            return found


def _drawn(kind: str, draw: np.random.Generator, *, is_planted: bool) -> History | None:
    core, more, last = group(draw, 0.05, 0.12), group(draw, 0.6, 0.0), group(draw, 0.6, 0.0)
    spot = int(draw.integers(len(ATOMS)))
    few = int(draw.integers(1, MIN_CELL))
    if is_planted:
        more[spot] = few
    truth = {"core": core, "more": more}
    made: list[tuple[str, ...]] = [("core",), ("core", "more")]
    cohorts, columns = _cohorts(kind), list[tuple[str, ...]]([COLUMNS, COLUMNS])
    differences = [{"more": 1}]
    if kind == "union":
        # Both programs, and either: who is in both is the difference of the sum.
        truth = {"one": group(draw, 0.05, 0.0), "both": more, "two": group(draw, 0.05, 0.0)}
        made = [("one", "both"), ("two", "both"), ("one", "both", "two")]
        differences, columns = [{"both": 1}, {"one": 1}, {"two": 1}], [COLUMNS] * 3
    elif kind == "three steps":
        truth["last"], columns = last, [COLUMNS] * 3
        made = [("core",), ("core", "more"), ("core", "more", "last")]
        differences = [{"more": 1}, {"last": 1}, {"more": 1, "last": 1}]
    elif kind == "corrected":
        sign = draw.choice([-1, 1])
        after = np.where(core + sign * more >= 0, core + sign * more, core)
        if is_planted and after[spot] == core[spot]:
            return None
        truth, made = {"before": core, "after": after}, [("before",), ("after",)]
        differences = [{"after": 1, "before": -1}]
    elif kind == "district beside state":
        columns = [("grade", "race"), ("grade", "race")]
    elif kind == "other dimensions":
        columns = [("school", "grade"), ("school", "race")]
    try:
        releases = [
            table(f"release-{number}", np.sum([truth[name] for name in regions], axis=0), by, cohort)
            for number, (regions, by, cohort) in enumerate(zip(made, columns, cohorts, strict=True))
        ]
        for number in range(int(draw.integers(3))):  # other children, who have nothing to do with it
            other = Cohort(f"other-{number}", f"other children {number}")
            releases.append(table(f"other-{number}", group(draw, 0.1, 0.1), COLUMNS, other))
            made.append(())
    except PrivacyError:
        return None  # nothing of such a table could be released alone
    planted = _planted(releases, columns, spot, differences, truth) if is_planted else None
    order = draw.permutation(len(releases))
    return History(
        kind,
        truth,
        [releases[n] for n in order],
        [made[n] for n in order],
        differences,
        planted,
        kind == "corrected",
    )


def around_a_ring(draw: np.random.Generator) -> History:
    """Draw children told in three tables, by each two of three dimensions."""
    by = [("school", "grade"), ("grade", "race"), ("school", "race")]
    while True:
        core = group(draw, 0.2, 0.5)
        try:
            releases = [
                table(f"by-{number}", core, columns, Cohort("", "p")) for number, columns in enumerate(by)
            ]
        except PrivacyError:
            continue
        if any((release.counts == BLANK).any() for release in releases):
            return History("ring", {"core": core}, releases, [("core",)] * 3, [], None)


def _planted(
    releases: Sequence[ReleasedTable],
    columns: Sequence[Sequence[str]],
    spot: int,
    differences: Sequence[Mapping[str, int]],
    truth: Mapping[str, Counts],
) -> Cell | None:
    """Return a cell around the planted children that all releases print and in which the difference is small."""
    shared = [name for name in COLUMNS if all(name in by for by in columns)]
    atom = dict(zip(COLUMNS, ATOMS[spot], strict=True))
    for size in range(len(shared), -1, -1):
        for names in itertools.combinations(shared, size):
            cell = frozenset((name, atom[name]) for name in names)
            change = sum(
                sign * int(truth[region][within(cell)].sum()) for region, sign in differences[0].items()
            )
            if 0 < abs(change) < MIN_CELL and all(printed(r, cell) for r in releases[: len(columns)]):
                return cell
    return None


def printed(release: ReleasedTable, cell: Cell) -> bool:
    return any(
        frozenset(release.label(place).items()) == cell and count != BLANK
        for place, count in enumerate(release.counts)
    )


def _cohorts(kind: str) -> list[Cohort]:
    start = date(2025, 8, 1)
    if kind == "annual beside cumulative":
        return [
            Cohort("", "served", start, date(2026, 7, 31)),
            Cohort("", "served", date(2023, 8, 1), date(2026, 7, 31)),
        ]
    if kind == "district beside state":
        return [Cohort("", "students", where={"district": "D0"}), Cohort("", "students")]
    if kind == "corrected":
        return [Cohort("", "students", start, start, date(2025, 9, day)) for day in (1, 20)]
    if kind == "union":
        return [
            Cohort("one", "one"),
            Cohort("two", "two"),
            Cohort("either", "either", union_of=("one", "two")),
        ]
    if kind == "three steps":
        return [Cohort("a", "p", within=("b", "c")), Cohort("b", "p", within=("c",)), Cohort("c", "p")]
    days = [date(2025, 10, 1), date(2025, 10, 2)]
    return [Cohort("", "ever enrolled this year", start, day, day) for day in days]


def judged(found: History) -> set[tuple[str, Cell]]:
    """Return what a reader of all releases can be sure of: small hidden counts, and small differences."""
    names = list(found.truth)
    size = len(ATOMS)

    def row(parts: Mapping[str, int], cell: Cell) -> npt.NDArray[np.float64]:
        mask = within(cell)
        return np.concatenate([parts.get(name, 0) * mask for name in names]).astype(float)

    rows, values = [], []
    asked: dict[tuple[str, Cell], npt.NDArray[np.float64]] = {}
    for release, regions in zip(found.releases, found.made_of, strict=True):
        parts = dict.fromkeys(regions, 1)
        for place, count in enumerate(release.counts if regions else ()):
            cell = frozenset(release.label(place).items())
            if count == BLANK:
                asked[f"count {sorted(regions)}", cell] = row(parts, cell)
            else:
                rows.append(row(parts, cell))
                values.append(int(count))
    columns = {
        axis.columns[0]
        for release, regions in zip(found.releases, found.made_of, strict=True)
        if regions
        for axis in release.axes
    }
    for parts in found.differences:
        for cell in ways([name for name in COLUMNS if name in columns]):
            if any(
                _has(r, cell) for r, regions in zip(found.releases, found.made_of, strict=True) if regions
            ):
                asked[f"difference {sorted(parts)}", cell] = row(parts, cell)
    if found.is_restated:
        still = _unchanged(found)
        rows += [
            row({"before": 1, "after": -1}, frozenset(zip(COLUMNS, ATOMS[atom], strict=True)))
            for atom in still
        ]
        values += [0] * len(still)
    held = LinearConstraint(np.array(rows), values, values)
    out = set()
    for key, cost in asked.items():
        ends = []
        for sign in (1.0, -1.0):
            end = milp(
                sign * cost,
                constraints=held,
                bounds=Bounds(0, np.inf),
                integrality=np.ones(size * len(names)),
            )
            ends.append(sign * end.fun if end.status == 0 else sign * -np.inf)
        low, high = ends
        sure = (
            high < MIN_CELL - 0.5 and (high > low + 0.5 or low > 0.5)
            if key[0].startswith("count")
            else ((low > 0.5 and high < MIN_CELL - 0.5) or (high < -0.5 and low > 0.5 - MIN_CELL))
        )
        if sure:
            out.add(key)
    return out


def _has(release: ReleasedTable, cell: Cell) -> bool:
    return {name for name, _ in cell} <= {axis.columns[0] for axis in release.axes}


def _unchanged(found: History) -> list[int]:
    """Return the atoms inside a printed number that did not change, nor any printed number inside it."""
    sides = {}
    for release, regions in zip(found.releases, found.made_of, strict=True):
        if regions:
            sides[regions] = {
                frozenset(release.label(place).items()): int(n)
                for place, n in enumerate(release.counts)
                if n != BLANK
            }
    before, after = sides["before",], sides["after",]
    same = {cell: before[cell] == after[cell] for cell in before.keys() & after.keys()}
    still: set[int] = set()
    for cell in same:
        if all(same[inner] for inner in same if inner >= cell):
            still |= set(np.flatnonzero(within(cell)).tolist())
    return sorted(still)
