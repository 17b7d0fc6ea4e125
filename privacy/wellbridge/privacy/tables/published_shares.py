"""Protected measures as they are published: exact, coded at an end, in ranges where a state asks, or hidden.

Ranges only coarsen what was protected already, so they tell a reader nothing that the protected measures would not.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from wellbridge.privacy.rules.practice import Practice
from wellbridge.privacy.tables.linked import LinkedTables, Need, Reason, tally
from wellbridge.privacy.tables.shares import (
    KEY,
    NOBODY_KNOWN,
    MeasureRow,
    MeasureTables,
    Population,
    add_measures,
)
from wellbridge.privacy.tables.sums import UNBOUNDED

EXACT, CODED, HIDDEN = "exact", "coded", "hidden"
COLUMNS: Final = (*KEY, "denominator", "value", "at_most", "at_least", "shown")


@dataclass(frozen=True)
class ProtectedMeasures:
    """Protected measures.

    Attributes:
        table: ``COLUMNS``: ``denominator`` null where hidden; ``value`` where exact (a share from 0 to 1, or a
            mean), ``at_most`` or ``at_least`` where coded, both where a share in whole percents lies between them, all
            null where hidden.
        reasons: key columns, ``part`` (denominator or value) and ``reason`` of what is hidden; internal.
        tally: hidden parts by reason.
        sizes: the denominators that may be shown, whether or not shares stand alone: a reader can know them from
            elsewhere; internal.
    """

    table: pl.DataFrame
    reasons: pl.DataFrame
    tally: dict[str, int]
    sizes: pl.Series


def protect_measures(
    table: pl.DataFrame, *, means: Collection[str] = (), min_cell: int = 10, need: Need = Need.STRONG,
    population: Population = NOBODY_KNOWN, asked: Practice | None = None,
) -> ProtectedMeasures:
    """Protect measures by breakdown.

    Args:
        table: rows of ``measure_value``: key columns, ``numerator``, ``denominator``, ``persons``; for each measure
            and period one row of dimension ``all``.
        means: measures whose numerator is a sum of minutes or hours, not a count.
        min_cell: smallest count that may stand behind a number (persons and units).
        need: how uncertain a small count must stay.
        population: whom the measures count.
        asked: ranges, and whether shares stand alone; without, exact shares beside their denominators.

    Raises:
        PrivacyError: WB-E-042 when a cell cannot be protected, WB-E-044 below the floor, WB-E-046 when a measure
            lacks its ``all`` row or its counts are not whole.
    """
    linked = LinkedTables(min_cell=min_cell, need=need)
    added = add_measures(linked, table, means=means, population=population)
    linked.settle()
    return measures_result(linked, added, asked)


def measures_result(
    linked: LinkedTables, tables: MeasureTables, asked: Practice | None = None
) -> ProtectedMeasures:
    """Return the measures of a settled system, see ``protect_measures``."""
    rows = tables.rows
    known = [_shown(linked, row) for row in rows]
    shown = [_published(row, one, asked) for row, one in zip(rows, known, strict=True)]
    sizes = pl.Series("denominator", [one.denominator for one in known], dtype=pl.Int64)
    schema = {"measure_id": pl.String, "period": pl.String, "dimension": pl.String, "member": pl.String,
              "denominator": pl.Int64, "value": pl.Float64, "at_most": pl.Float64, "at_least": pl.Float64,
              "shown": pl.String}
    hidden = [reason for row in rows for reason in _why(linked, row)]
    keys = dict.fromkeys((*KEY, "part", "reason"), pl.String)
    reasons = pl.DataFrame(hidden, schema=keys, orient="row")
    table = pl.DataFrame(shown, schema=schema, orient="row")
    return ProtectedMeasures(table, reasons, tally(reasons["reason"]), sizes)


@dataclass(frozen=True)
class _Shown:
    """What is published of one row, beside its key."""

    denominator: int | None
    value: float | None
    at_most: float | None
    at_least: float | None
    shown: str


def _shown(linked: LinkedTables, row: MeasureRow) -> _Shown:
    if row.total == -1 or linked.hidden[row.total]:
        return _Shown(None, None, None, None, HIDDEN)
    if row.those_with == -1:
        return _Shown(row.size, round(row.facts["numerator"] / row.size, 4), None, None, EXACT)
    if not linked.hidden[row.those_with] and not linked.hidden[row.those_without]:
        return _Shown(row.size, round(row.numerator / row.size, 4), None, None, EXACT)
    if row.end == UNBOUNDED:
        return _Shown(row.size, None, None, None, HIDDEN)
    if row.numerator < linked.min_cell:
        return _Shown(row.size, None, row.end / 100, None, CODED)
    return _Shown(row.size, None, None, round(1 - row.end / 100, 2), CODED)


def _published(row: MeasureRow, shown: _Shown, asked: Practice | None) -> tuple[Any, ...]:
    if asked is not None and asked.has_ranges and row.those_with != -1 and shown.shown != HIDDEN:
        shown = _in_range(shown, asked.range_of(row.numerator, row.size))
    size = None if asked is not None and asked.percent_only else shown.denominator
    return (*row.key, size, shown.value, shown.at_most, shown.at_least, shown.shown)


def _in_range(shown: _Shown, asked: tuple[int, int] | None) -> _Shown:
    """Coarsen a share to a range of percents; an end that is wider already stays as wide."""
    nothing = _Shown(shown.denominator, None, None, None, HIDDEN)
    if asked is None:
        return nothing
    low, high = (bound / 100 for bound in asked)
    if shown.at_most is not None:
        low, high = 0.0, max(high, shown.at_most)
    elif shown.at_least is not None:
        low, high = min(low, shown.at_least), 1.0
    if low == 0.0 and high == 1.0:
        return nothing
    return _Shown(shown.denominator, None, high if high < 1 else None, low if low > 0 else None, CODED)


def _why(linked: LinkedTables, row: MeasureRow) -> list[tuple[str, ...]]:
    if row.total == -1:
        return [(*row.key, part, str(Reason.SMALL)) for part in ("denominator", "value")]
    out = [(*row.key, "denominator", str(linked.reason[row.total]))] if linked.hidden[row.total] else []
    parts = [cell for cell in (row.those_with, row.those_without) if cell != -1 and linked.hidden[cell]]
    if parts:
        # Of the two counts behind a share, the one that was hidden first says why.
        first = sorted((linked.reason[cell] for cell in parts), key=lambda r: r is Reason.COMPLEMENT)[0]
        out.append((*row.key, "value", str(first)))
    elif out:
        out.append((*row.key, "value", out[0][-1]))
    return out
