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


def zeros_of_full(table: Grid, dimensions: Sequence[str]) -> Bools:
    """Return the zeros of groups that are all of one member, in the order of the grid.

    Who knows that somebody is in such a group knows the member of each. As soon as one of these zeros is open, so is
    the one full cell, since nobody else of the group could be there. Members that nobody in the whole table has are
    told by no group, and their zeros stay. Groups are looked at on every level, margins too.

    Args:
        table: the table.
        dimensions: finest columns of the dimensions whose members say something about a person.

    Raises:
        ConfigurationError: WB-E-015 when a column is no dimension's finest.

    Source: 34 CFR 99.31(b)(1) and PTAC, FAQ Disclosure Avoidance (2012): a share of 0 or 100 % tells of everyone.
    """
    found = np.zeros(table.counts.shape, dtype=np.bool_)
    numbers = {axis.columns[0]: number for number, axis in enumerate(table.axes)}
    if set(dimensions) - set(numbers):
        raise ConfigurationError("WB-E-015", "Full groups are named by a column that is no dimension's finest.")
    for number in (numbers[name] for name in dimensions):
        axis = table.axes[number]
        leaves = np.flatnonzero(~np.isin(np.arange(axis.nodes.height), axis.parent))
        total = np.take(table.counts, [axis.total], axis=number)
        is_full = (total > 0) & (np.take(table.counts, leaves, axis=number) == total).any(axis=number, keepdims=True)
        whole = tuple(slice(None) if other == number else one.total for other, one in enumerate(table.axes))
        is_met = np.expand_dims(table.counts[whole] > 0, [n for n in range(found.ndim) if n != number])
        found |= is_full & is_met & (table.counts == 0)
    return found.ravel()


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
