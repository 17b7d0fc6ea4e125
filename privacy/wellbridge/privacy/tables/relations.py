"""Which releases say something about each other, and what: they are brought into groups, and groups into cohorts.

Where a release does not say whom it counts, the reader's own guess is taken: printed counts that all agree are of the
same persons; where none is smaller in the second table, the first counts some of the second's; where most are equal,
the second corrects the first; else they are of different persons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

import numpy as np

from wellbridge.privacy.tables.cohorts import Cohort, Tie, tie
from wellbridge.privacy.tables.regions import Ties
from wellbridge.privacy.tables.released import (
    BLANK,
    ReleasedAxis,
    ReleasedTable,
    common_axis,
    fixed_node,
    nodes_in,
)
from wellbridge.privacy.tables.sums import Ints

_ALIKE: Final = (
    0.5  # share of printed counts, or of the larger total, from which two tables are of nearly the same
)
_LINKS: Final = {Tie.SAME, Tie.WITHIN, Tie.AROUND, Tie.RESTATED}


@dataclass(frozen=True)
class Group:
    """Related releases: their numbers, the cohorts that they fall into, and what ties these."""

    members: tuple[int, ...]
    cohorts: tuple[tuple[int, ...], ...]
    ties: Ties


def related(releases: Sequence[ReleasedTable]) -> list[Group]:
    """Bring releases into groups that say something about each other, and each group into cohorts."""
    size = len(releases)
    ties = {
        (a, b): _tied(releases[a], releases[b])
        for a in range(size)
        for b in range(a + 1, size)
        if _may_be_tied(releases[a].cohort, releases[b].cohort)
    }
    linked = list(range(size))
    for (one, other), found in ties.items():
        if found in _LINKS or _differ(releases[one], releases[other]) is not None:
            linked = [linked[one] if at == linked[other] else at for at in linked]
    return [
        _grouped(releases, [n for n in range(size) if linked[n] == head]) for head in dict.fromkeys(linked)
    ]


def _may_be_tied(one: Cohort, other: Cohort) -> bool:
    """Whether two cohorts are of one population, or do not say it, or name others: most of a site's are none."""
    return one.population == other.population or any(
        not of.population or of.within or of.disjoint or of.restates or of.union_of or of.differs
        for of in (one, other)
    )


def as_said(releases: Sequence[ReleasedTable], group: Group) -> Group:
    """Return a group in which days are told apart as they are said to be, though all they both print is equal."""
    return _grouped(releases, group.members, is_guessed=False)


def _grouped(releases: Sequence[ReleasedTable], members: Sequence[int], *, is_guessed: bool = True) -> Group:
    """Bring the releases of a group into cohorts: what all dimensions tell apart is placed, not another cohort.

    Who says that two tables count the same persons keeps them together; tables of two days are one cohort only where
    all of one agree with all of the other, and a guess is asked for.
    """
    placed = {column for number in members for axis in releases[number].axes for column in axis.columns}
    pairs = [(a, b) for a in members for b in members if a < b]
    claims = {(a, b): tie(releases[a].cohort, releases[b].cohort, placed=placed) for a, b in pairs}
    ties = {(a, b): _tied(releases[a], releases[b], placed) for a, b in pairs}
    if not is_guessed:
        ties |= {
            pair: Tie.RESTATED for pair in pairs if claims[pair] is Tie.RESTATED and ties[pair] is Tie.SAME
        }
    same = {pair for pair in pairs if ties[pair] is Tie.SAME}
    sure = {pair for pair in same if claims[pair] is Tie.SAME}
    cohorts = _joined(_joined([[number] for number in members], sure), same)
    between = {}
    for one in range(len(cohorts)):
        for other in range(one + 1, len(cohorts)):
            found = [
                ties[a, b] if a < b else _turned(ties[b, a]) for a in cohorts[one] for b in cohorts[other]
            ]
            said = [t for t in found if t not in {Tie.SAME, Tie.APART, Tie.OVERLAPS}]
            between[one, other] = said[0] if said else Tie.OVERLAPS if Tie.OVERLAPS in found else Tie.APART
    return Group(tuple(members), tuple(tuple(cohort) for cohort in cohorts), between)


def _joined(parts: Sequence[Sequence[int]], same: Set[tuple[int, int]]) -> list[list[int]]:
    """Join parts all of whose members are the same."""
    out: list[list[int]] = []
    for part in parts:
        for into in out:
            if all((min(a, b), max(a, b)) in same for a in into for b in part):
                into.extend(part)
                into.sort()
                break
        else:
            out.append(list(part))
    return out


def _turned(found: Tie) -> Tie:
    return {Tie.WITHIN: Tie.AROUND, Tie.AROUND: Tie.WITHIN}.get(found, found)


def _differ(one: ReleasedTable, other: ReleasedTable) -> int | None:
    found = [
        mine.cohort.differs.get(its.cohort.name)
        for mine, its in ((one, other), (other, one))
        if its.cohort.name
    ]
    said = [n for n in found if n is not None]
    return min(said) if said else None


def _tied(one: ReleasedTable, other: ReleasedTable, placed: set[str] | None = None) -> Tie:
    columns = placed or {
        column for release in (one, other) for axis in release.axes for column in axis.columns
    }
    said = tie(one.cohort, other.cohort, placed=columns)
    if said not in {None, Tie.SAME, Tie.RESTATED}:
        assert said is not None
        return said
    mine, its = _printed_by_both(one, other)
    if bool((mine == its).all()):
        return Tie.SAME if len(mine) or said is not Tie.RESTATED else Tie.RESTATED
    return Tie.RESTATED if said is not None else _guessed(mine, its)


def _guessed(mine: Ints, its: Ints) -> Tie:
    """What a reader makes of two tables that do not say whom they count."""
    if min(mine.max(), its.max()) < _ALIKE * max(mine.max(), its.max()):
        return Tie.APART
    if bool((mine <= its).all()):
        return Tie.WITHIN
    if bool((mine >= its).all()):
        return Tie.AROUND
    return Tie.RESTATED if float((mine == its).mean()) > _ALIKE else Tie.APART


def _printed_by_both(one: ReleasedTable, other: ReleasedTable) -> tuple[Ints, Ints]:
    """Return the counts that both print, in the same order."""
    axes: dict[str, list[ReleasedAxis]] = {}
    for axis in (*one.axes, *other.axes):
        name = next(
            (
                known
                for known, group in axes.items()
                if set(axis.columns) & {c for a in group for c in a.columns}
            ),
            axis.columns[0],
        )
        axes.setdefault(name, []).append(axis)
    common = {name: common_axis(group) for name, group in axes.items()}
    sides = [_placed(release, axes, common) for release in (one, other)]
    if any(side is None for side in sides):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    (places, counts), (its_places, its_counts) = (side for side in sides if side is not None)
    _, mine, its = np.intersect1d(places, its_places, return_indices=True)
    return counts[mine], its_counts[its]


def _placed(
    release: ReleasedTable, axes: Mapping[str, list[ReleasedAxis]], common: Mapping[str, ReleasedAxis]
) -> tuple[Ints, Ints] | None:
    """Return the printed counts of a release and their places in a cross; None where it cannot be placed."""
    place, is_known = np.zeros(release.shape, dtype=np.int64), np.ones(release.shape, dtype=np.bool_)
    for name, axis in common.items():
        own = [number for number, mine in enumerate(release.axes) if any(mine is a for a in axes[name])]
        if len(own) > 1:
            return None
        nodes = np.array([fixed_node(release, axis)]) if not own else nodes_in(release.axes[own[0]], axis)
        shape = [1] * len(release.axes)
        if own:
            shape[own[0]] = len(nodes)
        place = place * len(axis.labels) + nodes.reshape(shape)
        is_known = is_known & (nodes >= 0).reshape(shape)
    keep = is_known.ravel() & (release.counts != BLANK)
    return place.ravel()[keep], release.counts[keep]


def pairs_of(group: Group) -> Iterator[Group]:
    """Yield each two cohorts of a group that are tied, for a group that is too large to be attacked whole."""
    for (one, other), found in group.ties.items():
        if found not in {Tie.APART, Tie.DISJOINT}:
            cohorts = (group.cohorts[one], group.cohorts[other])
            yield Group((*cohorts[0], *cohorts[1]), cohorts, {(0, 1): found})


def singles_of(group: Group) -> Iterator[Group]:
    """Yield each cohort of a group alone."""
    for cohort in group.cohorts:
        yield Group(cohort, (cohort,), {})


def bounds_of(
    releases: Sequence[ReleasedTable], cohorts: Sequence[Sequence[int]]
) -> tuple[dict[tuple[int, int], int], dict[int, list[int]]]:
    """Return what cohorts say of numbers and of unions of each other."""
    every = [(releases[number].cohort.name, at) for at, cohort in enumerate(cohorts) for number in cohort]
    named = {name: at for name, at in every if name}
    differs: dict[tuple[int, int], int] = {}
    unions: dict[int, list[int]] = {}
    for at, cohort in enumerate(cohorts):
        for number in cohort:
            said = releases[number].cohort
            for name, most in said.differs.items():
                if name in named and named[name] != at:
                    pair = (min(at, named[name]), max(at, named[name]))
                    differs[pair] = min(most, differs.get(pair, most))
            parts = [named[name] for name in said.union_of if name in named]
            if parts and len(parts) == len(said.union_of):
                unions[at] = parts
    return differs, unions
