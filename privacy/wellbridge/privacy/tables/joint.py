"""Several releases attacked together: what is safe alone can be given away by another.

All releases of one population are put on one cross of all their dimensions, whose cells nobody published but whose
sums they published. A release that counts some members only (one district beside the state) keeps its own totals. A
release whose printed counts contradict the others' is of another population (another day, corrected data) and is not
put together with them.

Source: 34 CFR 99.31(b)(1), "whether through single or multiple releases".
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from wellbridge.privacy.tables.attacker import Published
from wellbridge.privacy.tables.audit import audit
from wellbridge.privacy.tables.margins import ALL
from wellbridge.privacy.tables.sums import UNBOUNDED, Bools, Ints, Sums
from wellbridge.privacy.tables.verifier import FORMAT
from wellbridge.schemas.errors import PrivacyError, SourceError

_MOST_CELLS: Final = 2_000_000
_BLANK: Final = -1
_LOST: Final = -2

Label = tuple[str, ...]


@dataclass(frozen=True)
class ReleasedAxis:
    """An axis of a release: its columns, finest first, and its nodes with their parents (−1: the total)."""

    columns: Label
    labels: tuple[Label, ...]
    parent: Ints

    def members_of(self) -> list[frozenset[str]]:
        """Return for each node the finest members below it."""
        below: list[set[str]] = [set() for _ in self.labels]
        children = set(self.parent.tolist())
        for node, label in enumerate(self.labels):
            if node in children:
                continue
            at = node
            while at != -1:
                below[at].add(label[0])
                at = int(self.parent[at])
        return [frozenset(members) for members in below]


@dataclass(frozen=True)
class ReleasedTable:
    """A release as a reader has it: its axes, counts in their order (−1: blank), and what is known of a blank."""

    name: str
    axes: tuple[ReleasedAxis, ...]
    counts: Ints
    min_cell: int
    is_strong: bool
    blank_least: int = 0


@dataclass(frozen=True)
class JointAttack:
    """What several releases give away together.

    Attributes:
        releases: their names.
        groups: number of each release's population; releases of one number were attacked together.
        hidden: cells that some release hides.
        given_away: small counts that follow exactly.
        narrowed: counts that are certainly small, though not exactly known, where the need is strong.
    """

    releases: tuple[str, ...]
    groups: tuple[int, ...]
    hidden: int
    given_away: int
    narrowed: int


def read_release(folder: Path) -> ReleasedTable:
    """Read a release of ``privacy protect``.

    Raises:
        SourceError: WB-E-023 when there is none that can be read.
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


def released(name: str, certificate: dict[str, Any], content: bytes) -> ReleasedTable:
    """Return a release that is about to be written."""
    return _released(name, certificate, content.decode("utf-8").split("\n")[1:-1])


def _released(name: str, certificate: dict[str, Any], lines: list[str]) -> ReleasedTable:
    axes = tuple(
        ReleasedAxis(
            tuple(axis["columns"]), tuple(tuple(label) for label in csv.reader(axis["labels"])),
            np.array(axis["parent"], dtype=np.int64),
        )
        for axis in certificate["axes"]
    )
    ends = [line.rpartition(",")[2] for line in lines]
    counts = np.array([int(end) if end else _BLANK for end in ends], dtype=np.int64)
    if len(counts) != int(np.prod([len(axis.labels) for axis in axes])):
        raise ValueError("rows")
    return ReleasedTable(
        name, axes, counts, int(certificate["min_cell"]), certificate["need"] == "strong",
        int(certificate.get("blank_least", 0)),
    )


def released_rows(
    name: str, rows: pl.DataFrame, *, axes: Sequence[Sequence[str]], count: str, min_cell: int, is_strong: bool
) -> ReleasedTable:
    """Return a released table given as rows in any order.

    Args:
        name: of the release.
        rows: the full cross with margins, as text; blank or missing where hidden.
        axes: each dimension's columns, finest first.
        count: the column of counts.
        min_cell, is_strong: how it was protected.

    Raises:
        SourceError: WB-E-023 when the rows are no full cross.
    """
    if not {count, *(column for columns in axes for column in columns)} <= set(rows.columns):
        raise SourceError("WB-E-023", "A release lacks a column of its dimensions or its counts.", f"release {name}")
    found = [_axis_of(rows, tuple(columns)) for columns in axes]
    place = np.zeros(rows.height, dtype=np.int64)
    for axis in found:
        numbers = {label: node for node, label in enumerate(axis.labels)}
        at = [numbers[label] for label in rows.select(axis.columns).iter_rows()]
        place = place * len(axis.labels) + np.array(at, dtype=np.int64)
    is_whole = rows.height == int(np.prod([len(axis.labels) for axis in found]))
    if not is_whole or len(np.unique(place)) != rows.height or any((axis.parent < -1).any() for axis in found):
        raise SourceError("WB-E-023", "A release is no full cross of its dimensions.", f"release {name}")
    counts = np.zeros(rows.height, dtype=np.int64)
    counts[place] = rows[count].cast(pl.Int64, strict=False).fill_null(_BLANK).to_numpy()
    return ReleasedTable(name, tuple(found), counts, min_cell, is_strong)


def _axis_of(rows: pl.DataFrame, columns: Label) -> ReleasedAxis:
    def depth(label: Label) -> int:
        return next((number for number, name in enumerate(label) if name != ALL), len(label))

    labels = sorted(set(rows.select(columns).iter_rows()), key=lambda label: (depth(label), label))
    numbers = {label: node for node, label in enumerate(labels)}
    parent = [
        -1 if depth(label) == len(columns)
        else numbers.get((*label[:depth(label)], ALL, *label[depth(label) + 1:]), _LOST)
        for label in labels
    ]
    return ReleasedAxis(columns, tuple(labels), np.array(parent, dtype=np.int64))


def attack_together(releases: Sequence[ReleasedTable]) -> JointAttack:
    """Attack releases together, those of one population at a time.

    Raises:
        PrivacyError: WB-E-042 when their common cross is too large to be examined.
    """
    groups: list[list[int]] = []
    hidden = given = narrowed = 0
    for number in range(len(releases)):
        for group in groups:
            if _Joined([releases[at] for at in (*group, number)]).agrees:
                group.append(number)
                break
        else:
            groups.append([number])
    for group in groups:
        joined = _Joined([releases[at] for at in group])
        targets = joined.hidden_by_some
        strict = [releases[at] for at in group]
        least = min(release.min_cell for release in strict)
        seen = audit(
            joined.published(), min_cell=least, is_strong=any(r.is_strong for r in strict), targets=targets
        )
        place = np.searchsorted(seen.cells, seen.given_away)
        is_small = (seen.least[place] > 0) & (seen.least[place] < least)
        known = targets & ~joined.published().hidden
        hidden += int(targets.sum())
        given += int(is_small.sum()) + int((known & (joined.shown > 0) & (joined.shown < least)).sum())
        narrowed += len(seen.narrowed)
    number_of = {at: number for number, group in enumerate(groups) for at in group}
    return JointAttack(
        tuple(r.name for r in releases), tuple(number_of[at] for at in range(len(releases))), hidden, given, narrowed
    )


class _Joined:
    """Releases on one cross."""

    def __init__(self, releases: Sequence[ReleasedTable]) -> None:
        names = dict.fromkeys(axis.columns[0] for release in releases for axis in release.axes)
        self._axes = {name: _common([a for r in releases for a in r.axes if a.columns[0] == name]) for name in names}
        shape = tuple(len(axis.labels) for axis in self._axes.values())
        if int(np.prod(shape)) > _MOST_CELLS:
            raise PrivacyError("WB-E-042", "The common cross of the releases is too large to be examined.")
        self.sums = Sums()
        cells = self.sums.add_cells(np.zeros(int(np.prod(shape)), dtype=np.int64)).reshape(shape)
        _relate(self.sums, cells, [axis.parent for axis in self._axes.values()])
        self.agrees = True
        self.shown: Ints = np.full(len(self.sums), _BLANK, dtype=np.int64)
        self.hidden_by_some: Bools = np.zeros(len(self.sums), dtype=np.bool_)
        self.least: Ints = np.zeros(len(self.sums), dtype=np.int64)
        for release in releases:
            self._place(release, cells)

    def published(self) -> Published:
        """Return what a reader of all of them holds."""
        hidden = self.shown == _BLANK
        unbounded = np.full(len(hidden), UNBOUNDED, dtype=np.int64)
        lower = np.where(hidden, self.least, 0)
        return Published(np.where(hidden, 0, self.shown), hidden, lower, unbounded, self.sums.links)

    def _place(self, release: ReleasedTable, cells: Ints) -> None:
        at = {axis.columns[0]: _nodes(axis, self._axes[axis.columns[0]]) for axis in release.axes}
        index = [at.get(name, np.array([len(axis.labels) - 1])) for name, axis in self._axes.items()]
        own = cells[np.ix_(*(np.maximum(nodes, 0) for nodes in index))]
        is_known = reduce(np.logical_and.outer, [nodes >= 0 for nodes in index])
        order = [list(self._axes).index(axis.columns[0]) for axis in release.axes]
        shape = tuple(len(axis.labels) for axis in release.axes)
        own = np.moveaxis(own, order, range(len(order))).reshape(shape).copy()
        known: Bools = np.moveaxis(is_known, order, range(len(order))).reshape(shape)
        if not known.all():
            own[~known] = self.sums.add_cells(np.zeros(int((~known).sum()), dtype=np.int64))
            _relate(self.sums, own, [axis.parent for axis in release.axes])
            more = len(self.sums) - len(self.shown)
            self.shown = np.concatenate([self.shown, np.full(more, _BLANK, dtype=np.int64)])
            self.hidden_by_some = np.concatenate([self.hidden_by_some, np.zeros(more, dtype=np.bool_)])
            self.least = np.concatenate([self.least, np.zeros(more, dtype=np.int64)])
        place, counts = own.ravel(), release.counts
        is_shown = counts != _BLANK
        before = self.shown[place[is_shown]]
        self.agrees &= bool(((before == _BLANK) | (before == counts[is_shown])).all())
        self.shown[place[is_shown]] = counts[is_shown]
        self.hidden_by_some[place[~is_shown]] = True
        self.least[place[~is_shown]] = np.maximum(self.least[place[~is_shown]], release.blank_least)


def _common(axes: Sequence[ReleasedAxis]) -> ReleasedAxis:
    """Return one axis that has the members of all; what rolls up is taken from the axis with most levels."""
    richest = max(axes, key=lambda axis: (len(axis.columns), len(axis.labels)))
    labels, parent = list(richest.labels[:-1]), richest.parent[:-1].tolist()
    known = {label[0] for label in labels}
    for axis in axes:
        for node, members in enumerate(axis.members_of()):
            name = axis.labels[node][0]
            if len(members) == 1 and name in members and name not in known:
                known.add(name)
                labels.append((name, *[""] * (len(richest.columns) - 1)))
                parent.append(len(richest.labels) - 1)
    total = len(labels)
    moved = [total if above == len(richest.labels) - 1 else above for above in parent]
    return ReleasedAxis(richest.columns, (*labels, richest.labels[-1]), np.array([*moved, -1], dtype=np.int64))


def _nodes(axis: ReleasedAxis, common: ReleasedAxis) -> Ints:
    """Return the common node of each node: the one with the same members; −1 where there is none."""
    by_members: dict[frozenset[str], int] = {}
    for node, members in enumerate(common.members_of()):
        by_members.setdefault(members, node)
    by_label = {label: node for node, label in enumerate(common.labels)}
    below, shared = axis.members_of(), common.members_of()
    out = []
    for label, members in zip(axis.labels, below, strict=True):
        node = by_label.get(label, -1)
        out.append(node if node != -1 and shared[node] == members else by_members.get(members, -1))
    return np.array(out, dtype=np.int64)


def _relate(sums: Sums, cells: Ints, parents: Sequence[Ints]) -> None:
    for number, parent in enumerate(parents):
        for node in np.unique(parent[parent >= 0]):
            parts = np.flatnonzero(parent == node)
            block = np.moveaxis(np.take(cells, parts, axis=number), number, -1).reshape(-1, len(parts))
            sums.add_relations(np.take(cells, int(node), axis=number).ravel(), block)
