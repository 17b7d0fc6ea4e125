"""Records of the health partners before they are files: what is spoilt, removed or kept of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from wellbridge.pipelines.synth.district import FIRST_DAY, Plan
from wellbridge.pipelines.synth.measures import COLUMNS

CONSENT_DENIED: Final = "WB-P-001"
PART2: Final = "WB-P-002"
OPTED_OUT: Final = "WB-P-003"


@dataclass
class Record:
    """One resource or message.

    Attributes:
        kind: resource type or message type, which decides the file.
        night: when it is delivered.
        body: what is written.
        rule: the policy rule that removes the row, if any.
        free: whether a defect may be planted in it.
        counts: kind of event and its columns, where a measure counts the record.
        kept: no rule holds or removes the row.
    """

    kind: str
    night: int
    body: Any
    rule: str = ""
    free: bool = True
    counts: tuple[str, dict[str, Any]] | None = None
    kept: bool = True


@dataclass(frozen=True)
class RecordFlaw:
    """One way to spoil a record: ``change`` alters a copy of its body, or returns the bytes written instead.

    ``place`` names the field at fault; ``is_copy``: the record is one more; ``able``: which records it fits.
    """

    rule: str
    kind: str
    place: str
    change: Callable[[Any], bytes | None]
    is_copy: bool = False
    able: Callable[[Any], bool] = field(default=lambda body: True)


def choose(
    rng: np.random.Generator, records: Sequence[Record], flaws: Sequence[RecordFlaw], each: int
) -> list[tuple[RecordFlaw, Record]]:
    """Choose a record for each flaw, none twice; at most half of a kind are spoilt, and so not kept."""
    order = [records[int(i)] for i in rng.permutation(len(records))]
    free = [r for r in order if r.night == 1 and r.free and not r.rule]
    left = {kind: sum(r.kind == kind for r in free) // 2 for kind in {r.kind for r in free}}
    chosen: list[tuple[RecordFlaw, Record]] = []
    for flaw in (flaw for flaw in flaws for _ in range(each)):
        record = next((r for r in free if r.kind == flaw.kind and flaw.able(r.body)), None)
        if record is None or (not left[flaw.kind] and not flaw.is_copy):
            continue
        free.remove(record)
        left[flaw.kind] -= not flaw.is_copy
        record.kept = flaw.is_copy
        chosen.append((flaw, record))
    return chosen


def counted(records: Sequence[Record]) -> dict[str, pl.DataFrame]:
    """Return the events that measures count, by kind, with ``kept``."""
    rows: dict[str, list[dict[str, Any]]] = {"screens": [], "referrals": [], "encounters": []}
    for record in records:
        if record.counts:
            kind, columns = record.counts
            rows[kind].append({**columns, "kept": record.kept and not record.rule})
    return {kind: pl.DataFrame(found, schema=COLUMNS[kind]) for kind, found in rows.items()}


def recent_day(plan: Plan, rng: np.random.Generator, first: int = 0) -> date:
    """Draw a day from ``first`` days into the school year up to the last day delivered."""
    span = (plan.as_of - FIRST_DAY).days
    return FIRST_DAY + timedelta(days=int(rng.integers(min(first, span), span + 1)))


def items_of(rng: np.random.Generator, total: int, count: int) -> list[int]:
    """Return item scores from 0 to 3 that add up to a total."""
    items = [0] * count
    for _ in range(total):
        able = [i for i, score in enumerate(items) if score < 3]
        items[able[int(rng.integers(0, len(able)))]] += 1
    return items
