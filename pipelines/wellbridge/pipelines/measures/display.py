"""What of the measures a page may show: small cells hidden, and enough others that none can be worked out.

A *cell* is one group of one measure. It may be seen when at least ``min_n`` persons are in it and, for a
proportion, at least ``min_n`` are counted on either side: a share shows both who has it and who has not.
Groups of one breakdown add up to the district, so one hidden group alone would be the difference; and schools
of one level add up to a grade band. Groups are hidden until no sum of what is seen gives back a small cell.

This covers one-way breakdowns of one measure. Crossed tables, several releases and proofs of least loss are
the work of ``wellbridge.privacy.tables.cells``, which may take this module's place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from wellbridge.pipelines.measures.compute import NOT_LINKED
from wellbridge.pipelines.measures.measure import Kind, Measure
from wellbridge.pipelines.measures.registry import MEASURES

Key = tuple[str, str]
WHOLE: Final[Key] = ("all", "all")
NUMBERS: Final = ("numerator", "denominator", "persons", "value")


@dataclass(frozen=True)
class Cell:
    """The counts of one group. ``with_it`` and ``without`` are None for a mean, which counts no side."""

    persons: int
    with_it: float | None
    without: float | None

    def __add__(self, other: Cell) -> Cell:
        if self.with_it is None or other.with_it is None or self.without is None or other.without is None:
            return Cell(self.persons + other.persons, None, None)
        return Cell(self.persons + other.persons, self.with_it + other.with_it, self.without + other.without)

    def is_safe(self, min_n: int) -> bool:
        """Whether every count that the cell shows is at least ``min_n``."""
        sides = [side for side in (self.with_it, self.without) if side is not None]
        return self.persons >= min_n and all(side >= min_n for side in sides)


@dataclass(frozen=True)
class Sum:
    """A fact that everyone knows: the parts add up to the whole."""

    whole: Key
    parts: tuple[Key, ...]


def suppress_for_display(
    values: pl.DataFrame, min_n: int, school_bands: Mapping[str, tuple[str, ...]] | None = None
) -> pl.DataFrame:
    """Hide what a page may not show.

    Args:
        values: rows of ``measure_value``.
        min_n: the page's minimum cell; a measure's own is used where it is greater.
        school_bands: grade bands of each school's students, where a school of one band adds to that band.

    Returns:
        The rows, with ``is_hidden``; in hidden rows every number is null, so that none can reach a page.
    """
    frames = [
        _suppressed(frame, MEASURES[str(measure_id)], min_n, school_bands or {})
        for (measure_id, _), frame in values.group_by("measure_id", "period", maintain_order=True)
    ]
    empty = values.head(0).with_columns(pl.lit(value=False).alias("is_hidden"))
    return pl.concat([empty, *frames])


def _suppressed(
    frame: pl.DataFrame, measure: Measure, min_n: int, school_bands: Mapping[str, tuple[str, ...]]
) -> pl.DataFrame:
    cells = _cells(frame, measure)
    hidden = hide(cells, sums(cells, measure, school_bands), max(min_n, measure.min_n))
    flags = pl.Series("is_hidden", [key in hidden for key in cells], dtype=pl.Boolean)
    marked = frame.with_columns(flags)
    seen = (pl.when(~pl.col("is_hidden")).then(pl.col(name)).alias(name) for name in NUMBERS)
    return marked.with_columns(seen)


def _cells(frame: pl.DataFrame, measure: Measure) -> dict[Key, Cell]:
    counts = frame.select("dimension", "member", "persons", "numerator", "denominator").iter_rows()
    is_share = measure.kind is Kind.PROPORTION
    return {
        (dimension, member): Cell(persons, n if is_share else None, d - n if is_share else None)
        for dimension, member, persons, n, d in counts
    }


def sums(
    cells: Mapping[Key, Cell], measure: Measure, school_bands: Mapping[str, tuple[str, ...]]
) -> list[Sum]:
    """Return what adds up to what among a measure's cells."""
    groups: dict[str, list[Key]] = {}
    for key in cells:
        rest = measure.own_rest if key[0] == measure.own_dimension else ()
        if key != WHOLE and key[1] not in rest:
            groups.setdefault(key[0], []).append(key)
    found = [Sum(WHOLE, tuple(parts)) for parts in groups.values()]
    return found + _bands(groups, school_bands) + _same_people(cells)


def _bands(groups: Mapping[str, list[Key]], school_bands: Mapping[str, tuple[str, ...]]) -> list[Sum]:
    """Schools whose students are all of one band add up to it, unless another school shares the band."""
    shared = {band for bands in school_bands.values() if len(bands) > 1 for band in bands}
    found = []
    for band in groups.get("grade_band", []):
        parts = tuple(key for key in groups.get("school", []) if school_bands.get(key[1]) == (band[1],))
        if parts and band[1] not in shared:
            found.append(Sum(band, parts))
    return found


def _same_people(cells: Mapping[Key, Cell]) -> list[Sum]:
    """Those who are not linked are the same people in every breakdown."""
    unlinked = [key for key in cells if key[1] == NOT_LINKED]
    return [Sum(unlinked[0], (key,)) for key in unlinked[1:] if cells[key] == cells[unlinked[0]]]


def hide(cells: Mapping[Key, Cell], known: Iterable[Sum], min_n: int) -> set[Key]:
    """Return the cells to hide: the small ones, and others until no known sum gives a small one back."""
    small = {key for key, cell in cells.items() if not cell.is_safe(min_n)}
    hidden, known = set(small), list(known)
    while True:
        more = {key for fact in known if (key := _gap(fact, cells, hidden, min_n)) is not None}
        more = more or _partner_of_solved(small, hidden, known)
        if not more:
            return hidden
        hidden |= {min(more, key=lambda key: (cells[key].persons, key))}


def _gap(fact: Sum, cells: Mapping[Key, Cell], hidden: set[Key], min_n: int) -> Key | None:
    """Return the next cell to hide because of one sum, None where the sum gives nothing away."""
    unseen = [key for key in fact.parts if key in hidden]
    seen = sorted(set(fact.parts) - hidden, key=lambda key: (cells[key].persons, key))
    if fact.whole in hidden:
        return None if unseen or not seen else seen[0]
    if not unseen or (len(unseen) > 1 and _total(cells, unseen).is_safe(min_n)):
        return None
    if seen:
        return seen[0]
    return fact.whole if len(unseen) == 1 and fact.whole != WHOLE else None


def _total(cells: Mapping[Key, Cell], keys: list[Key]) -> Cell:
    total = cells[keys[0]]
    for key in keys[1:]:
        total = total + cells[key]
    return total


def _partner_of_solved(small: set[Key], hidden: set[Key], known: list[Sum]) -> set[Key]:
    """Return seen cells that would hide a small cell which all sums together still give back."""
    solved = _solved(sorted(hidden), known) & small
    return {
        key for fact in known if solved & {fact.whole, *fact.parts}
        for key in (fact.whole, *fact.parts) if key not in hidden and key != WHOLE
    }


def _solved(unseen: list[Key], known: list[Sum]) -> set[Key]:
    """Return the unseen cells that the equations determine: no other columns span theirs."""
    place = {key: number for number, key in enumerate(unseen)}
    matrix = np.zeros((len(known), len(unseen)))
    for row, fact in enumerate(known):
        for key, sign in ((fact.whole, -1.0), *((part, 1.0) for part in fact.parts)):
            if key in place:
                matrix[row, place[key]] = sign
    rank = np.linalg.matrix_rank(matrix) if unseen and known else 0
    return {
        key for key, column in place.items()
        if rank and np.linalg.matrix_rank(np.delete(matrix, column, axis=1)) < rank
    }
