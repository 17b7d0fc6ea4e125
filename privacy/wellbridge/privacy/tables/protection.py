"""One frequency table, protected: the door behind ``wellbridge privacy protect``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix

from wellbridge.privacy.formula import neutralise
from wellbridge.privacy.records.files import read_records
from wellbridge.privacy.tables.linked import Need, needs
from wellbridge.privacy.tables.margins import ALL, Grid, crossed, grid
from wellbridge.privacy.tables.moves import Suppression, Task, unproved
from wellbridge.privacy.tables.sums import UNBOUNDED, Bools, Ints, Sums
from wellbridge.privacy.tables.suppress import QUICK, Effort, suppress
from wellbridge.privacy.tables.zeros import (
    are_open,
    drawn_zeros,
    full_groups,
    structural_zeros,
    zeros_of_full,
)
from wellbridge.schemas.errors import ConfigurationError, PrivacyError

# PTAC, FAQ Disclosure Avoidance (2012): many take three as the absolute minimum.
LEAST_MIN_CELL: Final = 3
# No table of persons has a larger count; all sums of such counts are exact in the solver's doubles.
_MOST: Final = 1 << 32
# A member's name with one of these would break the released file's lines.
_BREAKS: Final = r"[\x00-\x1f\x7f]"


@dataclass(frozen=True)
class Dimension:
    """A dimension of a table: its column and the columns that it rolls up to, ``school<district``."""

    columns: tuple[str, ...]

    @classmethod
    def read(cls, text: str) -> Dimension:
        """Read ``finest<coarser<coarsest``."""
        return cls(tuple(part.strip() for part in text.split("<")))


@dataclass(frozen=True)
class ProtectedTable:
    """A protected table.

    Attributes:
        table: the full cross in the order of its grid, the count null where hidden.
        grid: the true counts in the shape of the cross. Not for release.
        task, found: what was asked, and the pattern with its proof. Not for release.
        count: the column of counts.
        min_cell, need: what was asked.
        blank_least: what a reader knows of a hidden count: 1 where it is known that zeros are always shown.
        hides_zeros: whether zeros could be hidden, so that nobody who knows the rules knows that a blank is not one.
    """

    table: pl.DataFrame
    grid: Grid
    task: Task
    found: Suppression
    count: str
    min_cell: int
    need: Need
    blank_least: int = 0
    hides_zeros: bool = False

    @property
    def primary(self) -> int:
        """Number of cells that are small."""
        return int((self.task.hidden & (self.task.values > 0)).sum())

    @property
    def secondary(self) -> int:
        """Number of cells hidden so that no small cell follows, zeros included."""
        return int(self.found.hidden.sum()) - self.primary


def read_table(
    path: Path, dimensions: Sequence[Dimension], count: str, further: Sequence[str] = ()
) -> pl.DataFrame:
    """Read a table of counts from CSV or Parquet: the dimensions' columns as text, the counts as numbers.

    ``further`` columns come along as they are, those that the file has. A count that is no number is missing in what
    is returned. Members that a spreadsheet would run as formulas are made harmless (``formula``).

    Raises:
        SourceError: WB-E-023 when the file cannot be read.
        ConfigurationError: WB-E-011 when a column is named twice or not at all, WB-E-015 when the file lacks one.
    """
    names = [name for dimension in dimensions for name in dimension.columns]
    if not names or len({*names, count, *further}) < len(names) + 1 + len(further):
        raise ConfigurationError("WB-E-011", "A table's dimensions and its count are different columns.", "by, count")
    frame = read_records(path).frame
    for name in (*names, count):
        if name not in frame.columns:
            near = difflib.get_close_matches(name, frame.columns, n=3)
            raise ConfigurationError(
                "WB-E-015", "A table has no column of a name that was given.",
                f"file {path.name} · near: {', '.join(near) or 'none'}",
            )
    if any(re.search(f'{_BREAKS}|[,"]', name) for name in (*names, count)):
        raise ConfigurationError("WB-E-011", "A column's name holds a comma, a quote or a line break.", "by, count")
    members = frame.select(pl.col(names).cast(pl.String))
    if members.select(pl.any_horizontal(pl.all().str.contains(_BREAKS)).any()).item():
        raise PrivacyError(
            "WB-E-046", "A member's name holds a line break or another control character.",
            f"columns {', '.join(names)}",
        )
    along = [frame[name] for name in further if name in frame.columns]
    return neutralise(members)[0].with_columns(frame[count].cast(pl.Float64, strict=False), *along)


def protect(
    table: pl.DataFrame, *, by: Sequence[Dimension], count: str, min_cell: int = 10, need: Need = Need.STRONG,
    effort: Effort | None = None, blank_least: int = 0, hide_zeros: float = 0.0, seed: int | None = None,
    structural: pl.DataFrame | None = None, full: Sequence[str] = (),
) -> ProtectedTable:
    """Hide the small cells of a table, and the fewest others without which they could be worked out.

    Args:
        table: one row for each inner cell (several are added up), or the full cross with its margins, in which
            ``all`` stands for the sum.
        by: the crossed dimensions.
        count: column of counts (persons).
        min_cell: smallest count that may be shown.
        need: how uncertain a small cell must stay.
        effort: how long to look for the optimum; as the table's size allows without.
        blank_least: what a reader knows of a hidden count: 1 for who knows that zeros are always shown.
        hide_zeros: share of zeros among what is hidden from the start, below 1 (``zeros``).
        seed: of their draw, a secret; without one the operating system draws.
        structural: combinations that there are not, whose zeros stay (``zeros``).
        full: dimensions, by their finest column, in which no group may be seen to be all of one member (``zeros``).

    Raises:
        PrivacyError: WB-E-042 when small cells or full groups cannot be protected or nothing but the total could be
            shown, naming the dimension to drop; WB-E-044 when ``min_cell`` is below 3; WB-E-046 when a count is
            negative, not whole, missing or beyond any number of persons, or margins do not add.
    """
    if min_cell < LEAST_MIN_CELL:
        raise PrivacyError("WB-E-044", f"The minimum cell is below {LEAST_MIN_CELL}.", "setting min_cell")
    min_cell = min(min_cell, _MOST + 1)
    cross = _full_cross(table, by, count)
    names, hierarchies = named(by)
    found = grid(cross, dimensions=names, count=count, hierarchies=hierarchies)
    sums = Sums()
    found.add_relations(sums, sums.add_cells(found.counts).reshape(found.counts.shape))
    task = _task(sums, min_cell, need, blank_least)
    stays = np.zeros_like(task.hidden) if structural is None else structural_zeros(found, structural)
    groups = full_groups(found, full)
    of_full = zeros_of_full(found, groups, stays)
    if hide_zeros or of_full.any():
        drawn = drawn_zeros(found, task.hidden, stays | of_full, hide_zeros, seed)
        task, effort = _with_zeros(task, drawn | of_full, needs(sums.values, min_cell, need)[0]), effort or QUICK
    pattern = suppress(task, effort)
    zeros = task.values == 0
    while zeros[pattern.failed].any():  # a zero that nothing can take for more than that is shown again
        keep = np.isin(np.arange(len(zeros)), pattern.failed[zeros[pattern.failed]], invert=True)
        if not are_open(groups, task.hidden & zeros & keep):
            break  # unless a full group would be told
        task = _with_zeros(task, task.hidden & zeros & keep, task.up)
        pattern = suppress(task, effort)
    if hide_zeros or of_full.any():
        pattern = replace(pattern, is_optimal=False)
    bare = np.union1d(pattern.failed, unproved(task, pattern))
    worst = found.worst_dimension(task.hidden.reshape(found.counts.shape))
    if len(bare):
        raise PrivacyError(
            "WB-E-042", f"{len(bare)} of {int(task.hidden.sum())} small or telling cells cannot be protected.",
            f"drop dimension {worst}",
        )
    inner = (found.open_axes().ravel() > 0) & (task.values > 0)
    if inner.any() and pattern.hidden[inner].all():
        raise PrivacyError(
            "WB-E-042", "Nothing but the total could be shown.", f"drop dimension {worst}"
        )
    ordered = cross[np.argsort(found.place)]
    hidden = pl.Series(pattern.hidden)
    shown = ordered.with_columns(pl.when(hidden).then(None).otherwise(pl.col(count)).cast(pl.Int64).alias(count))
    return ProtectedTable(shown, found, task, pattern, count, min_cell, need, blank_least, bool(hide_zeros or full))


def as_published(
    table: pl.DataFrame, *, by: Sequence[Dimension], count: str, min_cell: int, need: Need, blank_least: int = 0
) -> ProtectedTable:
    """Take a table that was protected elsewhere: the full cross with margins, the count missing where hidden.

    What is hidden counts as nothing in what is returned: nobody who certifies needs the truth.

    Raises:
        PrivacyError: WB-E-046 when combinations are missing or repeated, or a count is negative or not whole.
    """
    names, hierarchies = named(by)
    zeros = table.with_columns(pl.lit(0).alias(count))
    found = grid(zeros, dimensions=names, count=count, hierarchies=hierarchies)
    ordered = table[np.argsort(found.place)]
    counts = ordered[count]
    if bool(((counts < 0) | (counts != counts.round(0))).any()):
        raise PrivacyError("WB-E-046", "A count is negative or not whole.", f"column {count}")
    sums = Sums()
    found.add_relations(sums, sums.add_cells(counts.fill_null(0).cast(pl.Int64).to_numpy()).reshape(found.counts.shape))
    hidden: Bools = counts.is_null().to_numpy()
    lower = np.where(hidden, blank_least, 0)
    task = replace(_task(sums, min_cell, need, blank_least), hidden=hidden, lower=lower)
    nothing = csr_matrix((0, len(hidden)), dtype=np.int64)
    pattern = Suppression(hidden, nothing, np.zeros(0, dtype=np.int64), is_optimal=False, lower_bound=0.0)
    shown = ordered.with_columns(counts.cast(pl.Int64))
    return ProtectedTable(shown, found, task, pattern, count, min_cell, need, blank_least)


def check_counts(counts: pl.Series) -> None:
    """Refuse what counts no persons.

    Raises:
        PrivacyError: WB-E-046.
    """
    wrong = (counts.is_null() | ~counts.is_between(0, _MOST) | (counts != counts.round(0))).fill_null(value=True)
    if wrong.any():
        first, more = wrong.arg_max(), int(wrong.sum()) - 1
        assert first is not None
        raise PrivacyError(
            "WB-E-046", "A count is missing, negative, not whole or too large.",
            f"column {counts.name} · row {first + 1}" + (f" and {more} more" if more else ""),
        )


def named(by: Sequence[Dimension]) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Return the finest column of each dimension, and the coarser ones of those that have some."""
    return [d.columns[0] for d in by], {d.columns[0]: d.columns[1:] for d in by if len(d.columns) > 1}


def _full_cross(table: pl.DataFrame, by: Sequence[Dimension], count: str) -> pl.DataFrame:
    names, hierarchies = named(by)
    columns = [name for dimension in by for name in dimension.columns]
    check_counts(table[count])
    has_margins = table.select(pl.any_horizontal((pl.col(columns) == ALL).any())).item()
    if has_margins:
        return table.select(*columns, pl.col(count).cast(pl.Int64))
    return crossed(table, dimensions=names, count=count, hierarchies=hierarchies).rename({"n": count})


def _with_zeros(task: Task, zeros: Bools, up: Ints) -> Task:
    """Hide some zeros, and no others, from the start; each must be able to rise as far as ``up``."""
    small = task.hidden & (task.values > 0)
    return replace(
        task, hidden=small | zeros, up=np.where(small, task.up, np.where(zeros, up, 0)),
        cost=np.where(zeros, 0.0, np.where(task.values > 0, task.cost, np.inf)),
    )


def _task(sums: Sums, min_cell: int, need: Need, blank_least: int) -> Task:
    values = sums.values
    small: Bools = (values > 0) & (values < min_cell)
    up, down = needs(values, min_cell, need)
    lower: Ints = np.minimum(values, blank_least)
    down = np.minimum(down, values - lower)
    return Task(
        values, sums.links, small, np.where(small, up, 0), np.where(small, down, 0), lower,
        np.full(len(values), UNBOUNDED, dtype=np.int64),
        np.where(values > 0, 1.0, np.inf),  # a published zero stays a zero: nothing can move it
    )
