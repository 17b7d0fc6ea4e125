"""Related releases as one system of cells: what a reader who has them all can add and subtract.

All are put on crosses of their dimensions (``crosses``). Every way of being of some of the cohorts and not of the
others is a *region* with cells of its own; each cohort is the sum of its regions, and what one cohort has and another
has not is a sum of regions too. A release that has members of its own (one district's schools) keeps its own totals.

A restated cohort has no regions: the change of each of its cells is a cell that may be negative. The reader takes
corrections to be few, so that where no printed number inside a margin changed nothing inside it did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from wellbridge.privacy.tables.attacker import Published
from wellbridge.privacy.tables.cohorts import Tie
from wellbridge.privacy.tables.crosses import crosses
from wellbridge.privacy.tables.regions import Ties, all_regions
from wellbridge.privacy.tables.released import (
    BLANK,
    ReleasedAxis,
    ReleasedTable,
    common_axis,
    fixed_node,
    named,
    nodes_in,
)
from wellbridge.privacy.tables.sums import UNBOUNDED, Bools, Ints, Sums
from wellbridge.schemas.errors import PrivacyError

MOST_CELLS: Final = 2_000_000

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class Block:
    """Cells that count one group of persons over the whole cross.

    Attributes:
        kind: ``count`` of a cohort, ``difference`` of two, ``change`` of a restated one, or those ``common`` to two.
        about: numbers of the cohorts.
        cells: their numbers, cross after cross; a cell that two crosses share stands twice.
    """

    kind: str
    about: tuple[int, ...]
    cells: Ints


class System:
    """Cells, sums and bounds of related releases.

    Args:
        releases: the releases.
        cohorts: for each cohort, the numbers of its releases.
        ties: of the cohorts, where something is known.
        differs: for two cohorts, the most persons who are of one only.
        unions: a cohort, and those it is made of.
        is_few: whether corrections are taken to be few.

    Raises:
        PrivacyError: WB-E-042 when the common cross, or the ways of being of cohorts, are too many to be examined.
    """

    def __init__(
        self,
        releases: Sequence[ReleasedTable],
        cohorts: Sequence[Sequence[int]],
        ties: Ties,
        *,
        differs: Mapping[tuple[int, int], int],
        unions: Mapping[int, Sequence[int]],
        is_few: bool = True,
    ) -> None:
        self.releases, self.cohorts = releases, cohorts
        self._dimensions = _dimensions(releases)
        self._axes = [common_axis([axis for axis, _ in members]) for members in self._dimensions]
        self._crosses = crosses([self._used(release) for release in releases])
        self._shapes = [tuple(len(self._axes[n].labels) for n in cross.dimensions) for cross in self._crosses]
        self._starts = np.cumsum([0, *(int(np.prod(shape)) for shape in self._shapes)])
        self.sums = Sums()
        self.shown, self.hidden_by_some = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
        self.least, self.greatest = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        self.blocks: list[Block] = []
        self.size_of: dict[
            int, int
        ] = {}  # of a count that a share tells, the cell of the size that it leans on
        # Who was let through, and who was not, is no trait: such cohorts bound others, and are not looked for.
        self._lower = {
            number
            for number, members in enumerate(cohorts)
            if all(releases[member].is_lower_bound for member in members)
        }
        ways = all_regions(len(cohorts), ties, differs, unions)
        if ways is None or int(self._starts[-1]) * (len(ways) + len(cohorts)) > MOST_CELLS:
            raise PrivacyError("WB-E-042", "The common cross of the releases is too large to be examined.")
        self._build(ways, ties, differs)
        self.places = {
            number: self._place(releases[number], self._counts[cohort])
            for cohort, members in enumerate(cohorts)
            for number in members
        }
        for block in self.blocks:
            if block.kind == "change":
                # Far below any change: no count that could change is larger.
                self.least[block.cells] = -4 * (int(self.shown.max(initial=0)) + 1000)
        if is_few:
            self._keep_unchanged()

    def published(self) -> Published:
        """Return what a reader of all of them holds."""
        hidden = self.shown == BLANK
        return Published(
            np.where(hidden, 0, self.shown),
            hidden,
            np.where(hidden, self.least, 0),
            self.greatest,
            self.sums.links,
        )

    def tell_shares(self, known: Published) -> bool:
        """Say what printed shares tell of the counts behind them, given what is known of the sizes.

        Returns:
            Whether that says more than was said before.
        """
        few, many = (np.where(known.hidden, end, known.shown) for end in (known.lower, known.upper))
        is_new = False
        for number, cells in self.places.items():
            shares = self.releases[number].shares
            if shares is None:
                continue
            whole = cells[shares.whole]
            for places, (low, high) in zip(
                (shares.part, shares.rest), shares.counts(few[whole], many[whole]), strict=True
            ):
                is_new |= self._bound(cells[places], whole, low, high)
        return is_new

    def _bound(self, counts: Ints, whole: Ints, low: Ints, high: Ints) -> bool:
        """Narrow blanks, each leaning on a size; return whether anything became narrower."""
        more = (self.shown[counts] == BLANK) & ((low > self.least[counts]) | (high < self.greatest[counts]))
        np.maximum.at(self.least, counts[more], low[more])
        np.minimum.at(self.greatest, counts[more], high[more])
        self.size_of |= dict(zip(counts[more].tolist(), whole[more].tolist(), strict=True))
        told = counts[more & (self.least[counts] == self.greatest[counts])]
        self.shown[told] = self.least[told]
        return bool(more.any())

    def label(self, block: Block | None, cell: int) -> dict[str, str]:
        """Return the columns and members of a cell of a block; of no block where only one release has it."""
        if block is None:
            number = self.holders(cell)[0]
            return self.releases[number].label(int(np.flatnonzero(self.places[number] == cell)[0]))
        place = int(np.flatnonzero(block.cells == cell)[0])
        at = int(np.searchsorted(self._starts, place, side="right")) - 1
        nodes = np.unravel_index(place - int(self._starts[at]), self._shapes[at]) if self._shapes[at] else ()
        axes = [self._axes[number] for number in self._crosses[at].dimensions]
        return named(axes, [int(node) for node in nodes])

    def holders(self, cell: int) -> list[int]:
        """Return the releases that have a cell, printed or blank."""
        return [number for number, cells in self.places.items() if (cells == cell).any()]

    def printed_by(self, cell: int) -> list[tuple[int, int]]:
        """Return the releases that print a cell, each with the cell's place in it."""
        return [
            (number, int(place))
            for number, cells in self.places.items()
            for place in np.flatnonzero(cells == cell)
            if self.releases[number].prints(int(place))
        ]

    def printed_in(self, cells: Ints) -> str:
        """Return the names of the releases that print some of the cells, for a message; all where none is known."""
        numbers = dict.fromkeys(number for cell in cells.tolist() for number, _ in self.printed_by(cell))
        names = dict.fromkeys(self.releases[number].name for number in numbers or range(len(self.releases)))
        return f"releases {', '.join(names)}"

    def targets(self, block: Block) -> Ints:
        """Return the cells of a block that stand where some release of its cohorts has a cell."""
        seen = np.zeros(len(self.shown), dtype=np.bool_)
        at = []
        for cohort in block.about:
            seen[:] = False
            for number in self.cohorts[cohort]:
                seen[self.places[number]] = True
            at.append(seen[self._counts[cohort]])
        return np.unique(block.cells[np.logical_or.reduce(at)])

    def _new(self, count: int) -> Ints:
        numbers = self.sums.add_cells(np.zeros(count, dtype=np.int64))
        self.shown = np.concatenate([self.shown, np.full(count, BLANK)])
        self.hidden_by_some = np.concatenate([self.hidden_by_some, np.zeros(count, dtype=np.bool_)])
        self.least = np.concatenate([self.least, np.zeros(count, dtype=np.int64)])
        self.greatest = np.concatenate([self.greatest, np.full(count, UNBOUNDED)])
        return numbers

    def _used(self, release: ReleasedTable) -> frozenset[int]:
        """Return the dimensions by which a release tells its persons apart."""
        return frozenset(
            number
            for number, (members, axis) in enumerate(zip(self._dimensions, self._axes, strict=True))
            if any(other is release for _, other in members)
            or fixed_node(release, axis) != len(axis.labels) - 1
        )

    def _cells(self, *, adds_up: bool) -> Ints:
        """Add the cells of one group of persons."""
        parts: list[Ints] = []
        for cross, shape in zip(self._crosses, self._shapes, strict=True):
            cells = np.full(shape, BLANK, dtype=np.int64)
            if cross.parent is not None:
                above = self._crosses[cross.parent].dimensions
                shared = set(cross.dimensions) & set(above)
                theirs = parts[cross.parent].reshape(self._shapes[cross.parent])
                cells[self._margin(cross.dimensions, shared)] = theirs[self._margin(above, shared)]
            is_new = cells == BLANK
            cells[is_new] = self._new(int(is_new.sum()))
            if adds_up:
                relate(self.sums, cells, [self._axes[number].parent for number in cross.dimensions])
            parts.append(cells.ravel())
        return np.concatenate(parts)

    def _margin(self, dimensions: Sequence[int], kept: set[int]) -> tuple[slice | int, ...]:
        """Return where all dimensions but some are summed over."""
        return tuple(
            slice(None) if number in kept else len(self._axes[number].labels) - 1 for number in dimensions
        )

    def _each(self, flat: npt.NDArray[T]) -> list[npt.NDArray[T]]:
        """Return what stands cross after cross in the crosses' shapes."""
        return [
            flat[start:stop].reshape(shape)
            for (start, stop), shape in zip(pairwise(self._starts.tolist()), self._shapes, strict=True)
        ]

    def _build(
        self, ways: Sequence[frozenset[int]], ties: Ties, differs: Mapping[tuple[int, int], int]
    ) -> None:
        regions_of = {way: self._cells(adds_up=True) for way in ways}
        sums_of: dict[frozenset[frozenset[int]], Ints] = {
            frozenset((way,)): cells for way, cells in regions_of.items()
        }

        def total_of(chosen: frozenset[frozenset[int]]) -> Ints:
            if chosen not in sums_of:
                sums_of[chosen] = self._cells(adds_up=False)
                parts = np.stack([regions_of[way] for way in sorted(chosen, key=sorted)], axis=1)
                self._relate_once(sums_of[chosen], parts)
            return sums_of[chosen]

        members = [frozenset(way for way in ways if number in way) for number in range(len(self.cohorts))]
        self._counts = [total_of(of) for of in members]
        self.blocks = [Block("count", (number,), cells) for number, cells in enumerate(self._counts)]
        known = set(members)
        for (one, other), found in ties.items():
            if found is Tie.RESTATED:
                self.blocks.append(Block("change", (one, other), self._change(one, other)))
            elif found in {Tie.WITHIN, Tie.AROUND, Tie.OVERLAPS}:
                mine, its = members[one], members[other]
                parts = (
                    ("difference", (one, other), mine - its),
                    ("common", (one, other), mine & its),
                    ("difference", (other, one), its - mine),
                )
                for kind, about, chosen in () if {one, other} & self._lower else parts:
                    if chosen and chosen not in known:
                        known.add(chosen)
                        self.blocks.append(Block(kind, about, total_of(chosen)))
                if (one, other) in differs and (mine ^ its):
                    self.greatest[total_of(mine ^ its)[self._starts[1] - 1]] = differs[one, other]
        for way, cells in regions_of.items():
            if not self._lower and frozenset((way,)) not in known:
                self.blocks.append(Block("difference", tuple(sorted(way)), cells))

    def _change(self, one: int, other: int) -> Ints:
        cells = self._cells(adds_up=False)
        self._relate_once(self._counts[other], np.stack([self._counts[one], cells], axis=1))
        return cells

    def _relate_once(self, totals: Ints, parts: Ints) -> None:
        _, first = np.unique(totals, return_index=True)
        self.sums.add_relations(totals[first], parts[first])

    def _keep_unchanged(self) -> None:
        """Take what lies inside a margin for unchanged where no printed number inside it changed."""
        for block in self.blocks:
            if block.kind != "change":
                continue
            before, after = (self.shown[self._counts[cohort]] for cohort in block.about)
            both = (before != BLANK) & (after != BLANK)
            changed = self._spread(block.cells, both & (before != after), upwards=True)
            still = self._spread(block.cells, both & ~changed, upwards=False)
            self.shown[block.cells[still]] = 0

    def _spread(self, cells: Ints, flags: Bools, *, upwards: bool) -> Bools:
        """Return which cells have a flagged one inside them, or lie inside one, over all crosses."""
        by_cell: Bools = np.zeros(len(self.shown), dtype=np.bool_)
        for _ in self._crosses:
            for cross, part, marks in zip(self._crosses, self._each(cells), self._each(flags), strict=True):
                found = marks | by_cell[part]
                for number, dimension in enumerate(cross.dimensions):
                    below = self._axes[dimension].descends()
                    found = _any_along(below if upwards else below.T, found, number)
                by_cell[part] |= found
        return by_cell[cells]

    def _place(self, release: ReleasedTable, flat: Ints) -> Ints:
        """Put a release's counts and blanks where they belong; return its cells in the order of its counts."""
        used = self._used(release)
        at = next(number for number, cross in enumerate(self._crosses) if used <= set(cross.dimensions))
        cells = self._each(flat)[at]
        nodes, order = [], []
        for number, dimension in enumerate(self._crosses[at].dimensions):
            axis = self._axes[dimension]
            mine = next((own for own, other in self._dimensions[dimension] if other is release), None)
            if mine is None:
                nodes.append(np.array([fixed_node(release, axis)]))
            else:
                order.append((next(n for n, own in enumerate(release.axes) if own is mine), number))
                nodes.append(nodes_in(mine, axis))
        own = cells[np.ix_(*(np.maximum(at, 0) for at in nodes))]
        is_known = reduce(np.logical_and.outer, [at >= 0 for at in nodes])
        back = [number for _, number in sorted(order)]
        own = np.moveaxis(own, back, range(len(back))).reshape(release.shape).copy()
        known: Bools = np.moveaxis(is_known, back, range(len(back))).reshape(release.shape)
        if not known.all():
            own[~known] = self._new(int((~known).sum()))
            relate(self.sums, own, [axis.parent for axis in release.axes])
        self._publish(release, own.ravel())
        return own.ravel()

    def _publish(self, release: ReleasedTable, place: Ints) -> None:
        is_shown = release.counts != BLANK
        before = self.shown[place[is_shown]]
        if ((before != BLANK) & (before != release.counts[is_shown])).any():
            raise PrivacyError(
                "WB-E-046",
                "Releases that are said to count the same persons contradict each other.",
                f"release {release.name}",
            )
        self.shown[place[is_shown]] = release.counts[is_shown]
        blank = place[~is_shown]
        self.hidden_by_some[blank] |= not release.is_lower_bound
        np.maximum.at(self.least, blank, release.blank_least)
        if release.least is not None:
            np.maximum.at(self.least, blank, release.least[~is_shown])
        if release.greatest is not None:
            np.minimum.at(self.greatest, blank, release.greatest[~is_shown])


def _dimensions(releases: Sequence[ReleasedTable]) -> list[list[tuple[ReleasedAxis, ReleasedTable]]]:
    """Group the axes of all releases that are one dimension: an axis, and those that begin at one of its columns."""
    every = [(axis, release) for release in releases for axis in release.axes]
    out: list[list[tuple[ReleasedAxis, ReleasedTable]]] = []
    for axis, release in sorted(every, key=lambda pair: -len(pair[0].columns)):
        group = next(
            (
                members
                for members in out
                if axis.columns[0] in members[0][0].columns
                and all(other is not release for _, other in members)
            ),
            None,
        )
        if group is None:
            out.append([(axis, release)])
        else:
            group.append((axis, release))
    return out


def relate(sums: Sums, cells: Ints, parents: Iterable[Ints]) -> None:
    """Say that every node of every axis is the sum of those whose parent it is."""
    for number, parent in enumerate(parents):
        for node in np.unique(parent[parent >= 0]):
            parts = np.flatnonzero(parent == node)
            block = np.moveaxis(np.take(cells, parts, axis=number), number, -1).reshape(-1, len(parts))
            sums.add_relations(np.take(cells, int(node), axis=number).ravel(), block)


def _any_along(below: Bools, cells: Bools, axis: int) -> Bools:
    moved = np.moveaxis(cells, axis, 0)
    found = below.astype(np.int64) @ moved.reshape(len(below), -1).astype(np.int64) > 0
    out: Bools = np.moveaxis(found.reshape(moved.shape), 0, axis)
    return out
