"""What the partners sent in the last run, and what of it is held or was removed."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from wellbridge.etl.store import Store
from wellbridge.pipelines.report import words
from wellbridge.pipelines.report.model import FeedLine, ReasonLine
from wellbridge.schemas.rules import RULES

_PARTS: Final = ("loaded", "unchanged", "held", "removed")
# The newest run that read anything; a run that found nothing new leaves the page as it is.
_LAST_RUN: Final = """
    SELECT run.run_id FROM run JOIN run_feed ON run_feed.run_id = run.run_id
    WHERE run_feed.read > 0 ORDER BY run.started_at DESC, run.run_id DESC LIMIT 1"""


def arrivals(store: Store) -> dict[str, Any]:
    """Return the page's part about deliveries, as keyword arguments of ``SiteReport``."""
    ever = store.frame("SELECT * FROM run_feed ORDER BY feed, run_id")
    run_id = store.value(_LAST_RUN) or ""
    last = ever.filter((pl.col("run_id") == run_id) & (pl.col("read") > 0))
    reasons = store.frame(
        """
        SELECT rule, feed, sum("rows") AS "rows" FROM run_reason WHERE run_id = ?
        GROUP BY rule, feed ORDER BY rule, feed""",
        [run_id],
    )
    lines = [_reason(str(rule), frame) for (rule,), frame in reasons.group_by("rule", maintain_order=True)]
    return {
        "read": words.rows(int(last["read"].sum())),
        "adds_up": bool((ever["read"] == ever.select(pl.sum_horizontal(_PARTS)).to_series()).all()),
        "read_ever": words.rows(int(ever["read"].sum())),
        "nights": ever.filter(pl.col("read") > 0)["run_id"].n_unique(),
        "feeds": tuple(_feed(row) for row in last.iter_rows(named=True)),
        "held": tuple(line for line in lines if not line.code.startswith("WB-P")),
        "removed": tuple(line for line in lines if line.code.startswith("WB-P")),
    }


def _feed(row: dict[str, Any]) -> FeedLine:
    return FeedLine(
        title=words.feed(row["feed"]),
        read=words.rows(row["read"]),
        new=words.rows(row["loaded"]),
        unchanged=words.rows(row["unchanged"]),
        held=words.rows(row["held"]),
        removed=words.rows(row["removed"]),
        shares=_shares(row),
    )


def _shares(row: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    """Each part's share in whole percent, made of the counts as shown: nothing finer can be measured."""
    drawn = {name: 0 if row[name] < words.STEP else words.tens(row[name]) for name in _PARTS}
    whole = max(1, sum(drawn.values()))
    sizes = {name: max(1, round(100 * drawn[name] / whole)) if row[name] else 0 for name in _PARTS}
    largest = max(_PARTS, key=lambda name: sizes[name])
    sizes[largest] += 100 - sum(sizes.values())
    return tuple((name, float(size)) for name, size in sizes.items() if size)


def _reason(code: str, frame: pl.DataFrame) -> ReasonLine:
    rule = RULES.get(code)
    title, why, todo = (rule.title, rule.why, rule.todo) if rule else (code, "", "")
    return ReasonLine(
        code=code,
        title=words.plain(title),
        why=why,
        todo=todo,
        feeds=", ".join(words.feed(feed) for feed in frame["feed"].unique().sort()),
        rows=words.rows(int(frame["rows"].sum())),
    )
