"""Zeros that are hidden too, so that a reader who knows the rules does not know of a blank that it is none.

No zero need be hidden to protect a small count: it cannot fall, and what must fall for others to rise can rise as
well. So the cheapest pattern never holds one, and that is what such a reader would know. Therefore a share of the
blanks is made of zeros, drawn at random, each as open as a small count is. Who knew the seed of the draw could draw
again on a table that he thinks likely, and see whether the same blanks come out; so there is none in the program.
A *structural* zero (a grade that a school does not have) is known without any release, and so is a zero whose total is
zero; both stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import polars as pl

from wellbridge.privacy.tables.margins import Axis, Grid
from wellbridge.privacy.tables.sums import Bools, Ints
from wellbridge.schemas.errors import ConfigurationError, PrivacyError


def structural_zeros(table: Grid, declared: pl.DataFrame) -> Bools:
    """Return which cells can count nobody, in the order of the grid.

    Args:
        table: the table.
        declared: one row for each combination that there is not: members of some dimensions, each in the column of
            its finest level; whatever the other dimensions say, nobody is there.

    Raises:
        ConfigurationError: WB-E-015 when a column is no dimension's finest, or there is none.
        PrivacyError: WB-E-046 when a member is unknown, or the table counts somebody where there can be nobody.
    """
    finest = [axis.columns[0] for axis in table.axes]
    strange = [name for name in declared.columns if name not in finest]
    if strange or not declared.columns:
        raise ConfigurationError("WB-E-015", "Structural zeros are named by columns that are no dimension's finest.")
    named = [axis for axis in table.axes if axis.columns[0] in declared.columns]
    is_empty = np.zeros([axis.nodes.height for axis in named], dtype=np.bool_)
    is_empty[tuple(_numbers(axis, declared[axis.columns[0]]) for axis in named)] = True
    wide = is_empty.reshape([axis.nodes.height if axis in named else 1 for axis in table.axes])
    possible: Ints = np.broadcast_to(~wide, table.counts.shape).astype(np.int64)
    for number, axis in enumerate(table.axes):
        possible = _summed(possible, axis, number)
    none: Bools = possible == 0
    if table.counts[none].any():
        raise PrivacyError("WB-E-046", "A table counts somebody where structural zeros say that nobody can be.")
    return none.ravel()


def drawn_zeros(table: Grid, small: Bools, stays: Bools, share: float, seed: int | None = None) -> Bools:
    """Return inner zeros to hide, in the order of the grid, so that of these and the small cells ``share`` are zeros.

    Fewer are returned where the table does not have as many.

    Args:
        table: the table.
        small: which cells are small.
        stays: which zeros may not be hidden.
        share: below 1.
        seed: of the draw, a secret; without one the operating system draws.
    """
    could = (table.counts == 0) & ~stays.reshape(table.counts.shape)
    for number, axis in enumerate(table.axes):
        total = np.take(table.counts, axis.parent, axis=number)
        is_leaf = ~np.isin(np.arange(axis.nodes.height), axis.parent)
        could &= (total > 0) & np.expand_dims(is_leaf, [n for n in range(could.ndim) if n != number])
    found = np.flatnonzero(could)
    wanted = int(np.ceil(share / (1 - share) * small.sum()))
    drawn: Bools = np.zeros(could.size, dtype=np.bool_)
    drawn[np.random.default_rng(seed).permutation(found)[:wanted]] = True
    return drawn


def full_groups(table: Grid, dimensions: Sequence[str]) -> list[tuple[int, Bools]]:
    """Find the groups of which everybody is of one member, on every level of the table and of the dimension.

    Who knows that somebody is in such a group knows the member of each. A member that everybody in the table is of is
    told by no group.

    Args:
        table: the table.
        dimensions: finest columns of the dimensions whose members say something about a person.

    Returns:
        For each member that some group is all of: the number of its dimension, and in the grid's shape the zeros of
        those groups that could stand for somebody who is of another. A group is not told as long as one is open.

    Raises:
        ConfigurationError: WB-E-015 when a column is no dimension's finest.

    Source: 34 CFR 99.31(b)(1) and PTAC, FAQ Disclosure Avoidance (2012): a share of 0 or 100 % tells of everyone.
    """
    numbers = {axis.columns[0]: number for number, axis in enumerate(table.axes)}
    strange = [name for name in dimensions if name not in numbers]
    if strange:
        raise ConfigurationError("WB-E-015", "Full groups are named by a column that is no dimension's finest.",
                                 f"--full, one of: {', '.join(numbers)}")  # fmt: skip
    found = []
    for number in (numbers[name] for name in dimensions):
        axis = table.axes[number]
        whole = table.counts[tuple(slice(None) if n == number else one.total for n, one in enumerate(table.axes))]
        total = np.take(table.counts, [axis.total], axis=number)
        for node in np.flatnonzero((whole > 0) & (whole < whole[axis.total])):
            is_full = (total > 0) & (np.take(table.counts, [node], axis=number) == total)
            outside = (whole > 0) & ~_under(axis, int(node))
            zeros = is_full & (table.counts == 0) & _along(outside, number, table.counts.ndim)
            if zeros.any():
                found.append((number, zeros))
    return found


def are_open(groups: Sequence[tuple[int, Bools]], hidden: Bools) -> bool:
    """Whether in each full group one of its zeros is among those that are hidden (in the order of the grid)."""
    return all(
        bool(((zeros & hidden.reshape(zeros.shape)).any(axis=number) | ~zeros.any(axis=number)).all())
        for number, zeros in groups
    )


def zeros_of_full(table: Grid, groups: Sequence[tuple[int, Bools]], stays: Bools) -> Bools:
    """Return the zeros to hide so that full groups are not told, in the order of the grid.

    As soon as a zero of the group is open, so is the cell that is all of it, since nobody else of the group could be
    there. A zero under a zero that is shown is none that can be open; where a group has no others, the zeros above
    are hidden too.

    Args:
        table: the table.
        groups: ``full_groups`` of it.
        stays: which zeros may not be hidden.
    """
    none = np.zeros(table.counts.shape, dtype=np.bool_)
    free = (table.counts == 0) & ~stays.reshape(table.counts.shape)
    can = _movable(table, reduce(np.logical_or, (zeros for _, zeros in groups), none) & free)
    for number, zeros in groups:
        is_shut = ~(zeros & can).any(axis=number, keepdims=True)
        can |= _with_zeros_above(table, zeros & free & is_shut)
    return can.ravel()


def _under(axis: Axis, node: int) -> Bools:
    """Return which nodes are a node, below it or above it."""
    found = np.zeros(axis.nodes.height, dtype=np.bool_)
    front = [node]
    while front:
        one = front.pop()
        found[one] = True
        front += axis.children(one).tolist()
    while node >= 0:
        found[node] = True
        node = int(axis.parent[node])
    return found


def _along(mask: Bools, number: int, many: int) -> Bools:
    return np.expand_dims(mask, [n for n in range(many) if n != number])


def _above(axis: Axis, number: int, cells: Bools) -> Bools:
    """Return the cells that stand right above one of some cells along a dimension."""
    found = np.zeros_like(cells)
    for node in np.unique(axis.parent[axis.parent >= 0]):
        place = tuple(node if n == number else slice(None) for n in range(cells.ndim))
        found[place] = np.take(cells, axis.children(int(node)), axis=number).any(axis=number)
    return found


def _movable(table: Grid, zeros: Bools) -> Bools:
    """Leave out zeros that cannot rise: under a zero that stays, or above nothing but what stays."""
    while True:
        bad = np.zeros_like(zeros)
        for number, axis in enumerate(table.axes):
            has_parent = _along(axis.parent >= 0, number, zeros.ndim)
            total: Ints = np.take(table.counts, axis.parent, axis=number)
            is_open: Bools = np.take(zeros, axis.parent, axis=number)
            bad |= has_parent & (total == 0) & ~is_open
            has_children = _along(np.isin(np.arange(axis.nodes.height), axis.parent), number, zeros.ndim)
            bad |= has_children & ~_above(axis, number, zeros)
        if not (zeros & bad).any():
            return zeros
        zeros = zeros & ~bad


def _with_zeros_above(table: Grid, zeros: Bools) -> Bools:
    while True:
        more = zeros.copy()
        for number, axis in enumerate(table.axes):
            more |= _above(axis, number, zeros) & (table.counts == 0)
        if (more == zeros).all():
            return zeros
        zeros = more


def _numbers(axis: Axis, members: pl.Series) -> Ints:
    names = axis.nodes[axis.columns[0]]
    leaves = {name: node for node, name in enumerate(names) if not len(axis.children(node))}
    found = members.cast(pl.String).replace_strict(leaves, default=None, return_dtype=pl.Int64)
    if found.null_count():
        raise PrivacyError("WB-E-046", "Structural zeros name a member that the table does not have.",
                           f"column {axis.columns[0]}")
    return found.to_numpy()


def _summed(counts: Ints, axis: Axis, number: int) -> Ints:
    """Set every node that has children to their sum; nodes come before what they roll up to."""
    lines = np.moveaxis(counts, number, 0).copy()
    for node in range(len(lines)):
        parts = axis.children(node)
        if len(parts):
            lines[node] = lines[parts].sum(axis=0)
    return np.moveaxis(lines, 0, number)
