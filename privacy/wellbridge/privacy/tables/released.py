"""Releases of tables as a reader has them: axes, printed counts, and whom they count."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from wellbridge.privacy.tables.cohorts import UNSAID, Cohort, cohort_of
from wellbridge.privacy.tables.margins import ALL
from wellbridge.privacy.tables.sums import UNBOUNDED, Bools, Floats, Ints
from wellbridge.privacy.tables.verifier import FORMAT
from wellbridge.schemas.errors import SourceError

BLANK: Final = -1
_LOST: Final = -2
_EPSILON: Final = 1e-9

Label = tuple[str, ...]
Counted = tuple[str, str, date | None]  # a column, and the population and first day of a cohort


@dataclass(frozen=True)
class ReleasedAxis:
    """An axis of a release: its columns, finest first, and its nodes with their parents (−1: the total)."""

    columns: Label
    labels: tuple[Label, ...]
    parent: Ints

    def members_of(self, depth: int = 0) -> list[frozenset[str]]:
        """Return for each node the members of a level (0: the finest) that it is or that lie below it."""
        below: list[set[str]] = [set() for _ in self.labels]
        for node, label in enumerate(self.labels):
            if label[depth] in (ALL, "") or any(name != ALL for name in label[:depth]):
                continue
            at = node
            while at != -1:
                below[at].add(label[depth])
                at = int(self.parent[at])
        return [frozenset(members) for members in below]

    def descends(self) -> Bools:
        """Return which node (column) is another (row) or lies below it."""
        out: Bools = np.eye(len(self.labels), dtype=np.bool_)
        for node in range(len(self.labels)):
            at = int(self.parent[node])
            while at != -1:
                out[at, node] = True
                at = int(self.parent[at])
        return out


@dataclass(frozen=True)
class Shares:
    """Shares that a release prints: with the size of a group, a share tells the counts behind it.

    Attributes:
        part, rest, whole: places of those with, those without, and all of each group.
        least, greatest: ends of those with, of all: 0 to 1.
    """

    part: Ints
    rest: Ints
    whole: Ints
    least: Floats
    greatest: Floats

    def counts(self, few: Ints, many: Ints) -> tuple[tuple[Ints, Ints], tuple[Ints, Ints]]:
        """Return the least and greatest number of those with and of those without, of groups between two sizes."""
        return _between(self.least, self.greatest, few, many), _between(
            1 - self.greatest, 1 - self.least, few, many
        )

    def only(self, chosen: Bools) -> Shares | None:
        """Return some of them; None where that is none."""
        if not chosen.any():
            return None
        places = (self.part[chosen], self.rest[chosen], self.whole[chosen])
        return Shares(*places, self.least[chosen], self.greatest[chosen])


def _between(least: Floats, greatest: Floats, few: Ints, many: Ints) -> tuple[Ints, Ints]:
    low, high = np.ceil(least * few - _EPSILON), np.floor(greatest * many + _EPSILON)
    top = np.where(many < UNBOUNDED, np.minimum(high, many), UNBOUNDED)
    return np.maximum(low, 0).astype(np.int64), top.astype(np.int64)


@dataclass(frozen=True)
class ReleasedTable:
    """A release as a reader has it.

    Attributes:
        name: of the release.
        axes: its dimensions.
        counts: in the order of the axes; −1 where blank.
        min_cell, is_strong: how it was protected.
        blank_least: what is known of every blank.
        cohort: whom it counts.
        least, greatest: what is published of each blank in the order of ``counts``; None where nothing is.
        is_lower_bound: its counts are of persons who were let through (a record file): the others were left out for
            what they are in the file, so that their number is no count of a trait.
        hides_zeros: zeros could be hidden, so that a blank may be one for whoever knows the rules.
        shares: shares printed of groups whose sizes are not, or not exactly; None where there are none.
    """

    name: str
    axes: tuple[ReleasedAxis, ...]
    counts: Ints
    min_cell: int
    is_strong: bool
    blank_least: int = 0
    cohort: Cohort = UNSAID
    least: Ints | None = None
    greatest: Ints | None = None
    is_lower_bound: bool = False
    hides_zeros: bool = False
    shares: Shares | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Nodes of each axis."""
        return tuple(len(axis.labels) for axis in self.axes)

    def label(self, place: int) -> dict[str, str]:
        """Return the columns and members of a cell, those summed over left out."""
        nodes = np.unravel_index(place, self.shape) if self.axes else ()
        return named(self.axes, [int(node) for node in nodes])

    def prints(self, place: int) -> bool:
        """Tell whether it prints a count, or a share of those whom it counts."""
        shares = self.shares
        is_share = shares is not None and bool(((shares.part == place) | (shares.rest == place)).any())
        return is_share or self.counts[place] != BLANK

    @property
    def is_shares_alone(self) -> bool:
        """Whether shares are all that it tells."""
        is_bounded = self.least is not None and bool(self.least.any())
        return self.shares is not None and not is_bounded and bool((self.counts == BLANK).all())

    def tells_of(self, counted: frozenset[Counted]) -> bool:
        """Tell whether it says something of tables that count so.

        A record file does if one counts by its column; shares alone, if one counts the same persons by theirs.
        """
        column, whom = self.axes[0].columns[0], (self.cohort.population, self.cohort.first)
        if self.is_shares_alone:
            return (column, *whom) in counted
        return not self.is_lower_bound or any(column == one[0] for one in counted)


def counted_by(tables: Sequence[ReleasedTable]) -> frozenset[Counted]:
    """Return what tables count by and whom; record files, and shares alone, count nobody."""
    return frozenset(
        (name, table.cohort.population, table.cohort.first)
        for table in tables
        if not table.is_lower_bound and not table.is_shares_alone
        for axis in table.axes
        for name in axis.columns
    )


def named(axes: Sequence[ReleasedAxis], nodes: Sequence[int]) -> dict[str, str]:
    """Return the columns and members of a place in a cross, those summed over left out."""
    return {
        column: member
        for axis, node in zip(axes, nodes, strict=True)
        for column, member in zip(axis.columns, axis.labels[node], strict=True)
        if member not in (ALL, "")
    }


def read_release(folder: Path) -> ReleasedTable:
    """Read a release of ``privacy protect``, and whom it counts where its certificate says that.

    Raises:
        SourceError: WB-E-023 when there is none that can be read.
        ConfigurationError: WB-E-011 when its cohort is not understood.
    """
    found = None
    try:
        certificate = json.loads((folder / "certificate.json").read_text(encoding="utf-8"))
        lines = (folder / Path(certificate["file"]).name).read_text(encoding="utf-8").split("\n")[1:-1]
        if certificate["format"] == FORMAT:
            found = _released(folder.name, certificate, lines)
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        found = None
    if found is None:
        raise SourceError("WB-E-023", "A release cannot be read.", f"folder {folder.name}")
    return found


def released(name: str, certificate: Mapping[str, Any], content: bytes) -> ReleasedTable:
    """Return a release that is about to be written."""
    return _released(name, certificate, content.decode("utf-8").split("\n")[1:-1])


def _released(name: str, certificate: Mapping[str, Any], lines: list[str]) -> ReleasedTable:
    axes = tuple(
        ReleasedAxis(
            tuple(axis["columns"]),
            tuple(tuple(label) for label in csv.reader(axis["labels"])),
            np.array(axis["parent"], dtype=np.int64),
        )
        for axis in certificate["axes"]
    )
    ends = [line.rpartition(",")[2] for line in lines]
    counts = np.array([int(end) if end else BLANK for end in ends], dtype=np.int64)
    if len(counts) != int(np.prod([len(axis.labels) for axis in axes])):
        raise ValueError("rows")
    return ReleasedTable(
        name,
        axes,
        counts,
        int(certificate["min_cell"]),
        certificate["need"] == "strong",
        int(certificate.get("blank_least", 0)),
        cohort_of(certificate.get("cohort", {}), f"{name} · certificate.json · cohort"),
        hides_zeros=bool(certificate.get("hides_zeros", False)),
    )


@dataclass(frozen=True)
class Bounds:
    """Columns of rows that say what is published of a blank count."""

    least: str = ""
    greatest: str = ""


def released_rows(
    name: str,
    rows: pl.DataFrame,
    *,
    axes: Sequence[Sequence[str]],
    count: str,
    min_cell: int,
    is_strong: bool,
    cohort: Cohort = UNSAID,
    bounds: Bounds | None = None,
) -> ReleasedTable:
    """Return a released table given as rows in any order.

    Args:
        name: of the release.
        rows: the full cross with margins, as text; blank or missing where hidden.
        axes: each dimension's columns, finest first.
        count: the column of counts.
        min_cell, is_strong: how it was protected.
        cohort: whom it counts.
        bounds: what is published of a blank.

    Raises:
        SourceError: WB-E-023 when the rows are no full cross.
    """
    if not {count, *(column for columns in axes for column in columns)} <= set(rows.columns):
        raise SourceError(
            "WB-E-023", "A release lacks a column of its dimensions or its counts.", f"release {name}"
        )
    found = [_axis_of(rows, tuple(columns)) for columns in axes]
    place = np.zeros(rows.height, dtype=np.int64)
    for axis in found:
        numbers = {label: node for node, label in enumerate(axis.labels)}
        at = [numbers[label] for label in rows.select(axis.columns).iter_rows()]
        place = place * len(axis.labels) + np.array(at, dtype=np.int64)
    is_whole = rows.height == int(np.prod([len(axis.labels) for axis in found]))
    if (
        not is_whole
        or len(np.unique(place)) != rows.height
        or any((axis.parent < -1).any() for axis in found)
    ):
        raise SourceError("WB-E-023", "A release is no full cross of its dimensions.", f"release {name}")

    def column(of: str, otherwise: int) -> Ints:
        out = np.zeros(rows.height, dtype=np.int64)
        out[place] = rows[of].cast(pl.Int64, strict=False).fill_null(otherwise).to_numpy()
        return out

    said = bounds or Bounds()
    return ReleasedTable(
        name,
        tuple(found),
        column(count, BLANK),
        min_cell,
        is_strong,
        cohort=cohort,
        least=column(said.least, 0) if said.least else None,
        greatest=column(said.greatest, UNBOUNDED) if said.greatest else None,
    )


def _axis_of(rows: pl.DataFrame, columns: Label) -> ReleasedAxis:
    def depth(label: Label) -> int:
        return next((number for number, name in enumerate(label) if name != ALL), len(label))

    labels = sorted(set(rows.select(columns).iter_rows()), key=lambda label: (depth(label), label))
    numbers = {label: node for node, label in enumerate(labels)}
    parent = [
        -1
        if depth(label) == len(columns)
        else numbers.get((*label[: depth(label)], ALL, *label[depth(label) + 1 :]), _LOST)
        for label in labels
    ]
    return ReleasedAxis(columns, tuple(labels), np.array(parent, dtype=np.int64))


def common_axis(axes: Sequence[ReleasedAxis]) -> ReleasedAxis:
    """Return one axis that has the members of all; what rolls up is taken from the axis with most levels."""
    richest = max(axes, key=lambda axis: (len(axis.columns), len(axis.labels)))
    labels, parent = list(richest.labels[:-1]), richest.parent[:-1].tolist()
    known = {label[0] for label in labels}
    for axis in axes:
        if axis.columns[0] != richest.columns[0]:
            continue  # of a coarser level: its members are nodes already, or nobody's parents
        for node, members in enumerate(axis.members_of()):
            name = axis.labels[node][0]
            if len(members) == 1 and name in members and name not in known:
                known.add(name)
                labels.append((name, *[""] * (len(richest.columns) - 1)))
                parent.append(len(richest.labels) - 1)
    total = len(labels)
    moved = [total if above == len(richest.labels) - 1 else above for above in parent]
    return ReleasedAxis(
        richest.columns, (*labels, richest.labels[-1]), np.array([*moved, -1], dtype=np.int64)
    )


def nodes_in(axis: ReleasedAxis, common: ReleasedAxis) -> Ints:
    """Return the common node of each node: the one with the same members; −1 where there is none."""
    if axis.columns[0] not in common.columns:  # levels of which the richest axis has none: all is all
        return np.array([*[-1] * (len(axis.labels) - 1), len(common.labels) - 1], dtype=np.int64)
    depth = common.columns.index(axis.columns[0])
    below, shared = axis.members_of(), common.members_of(depth)
    by_members: dict[frozenset[str], int] = {}
    for node, members in enumerate(shared):
        if all(name == ALL for name in common.labels[node][:depth]):
            by_members.setdefault(members, node)
    by_label = {label: node for node, label in enumerate(common.labels)}
    closed = (ALL,) * depth
    out = []
    for label, members in zip(axis.labels, below, strict=True):
        node = by_label.get((*closed, *label), -1)
        out.append(node if node != -1 and shared[node] == members else by_members.get(members, -1))
    return np.array(out, dtype=np.int64)


def node_of(axis: ReleasedAxis, column: str, member: str) -> int:
    """Return the node of an axis that stands for a member of one of its columns; −1 where there is none."""
    depth = axis.columns.index(column)
    for node, label in enumerate(axis.labels):
        if label[depth] == member and all(name == ALL for name in label[:depth]):
            return node
    return -1


def fixed_node(release: ReleasedTable, axis: ReleasedAxis) -> int:
    """Return the node of a dimension that a release lacks: that of what all its persons have, or the total."""
    total = len(axis.labels) - 1
    fixed = [
        node_of(axis, name, member) for name, member in release.cohort.where.items() if name in axis.columns
    ]
    return fixed[0] if fixed else total


__all__ = [
    "BLANK",
    "Bounds",
    "Label",
    "ReleasedAxis",
    "ReleasedTable",
    "Shares",
    "common_axis",
    "fixed_node",
    "named",
    "node_of",
    "nodes_in",
    "read_release",
    "released",
    "released_rows",
]
