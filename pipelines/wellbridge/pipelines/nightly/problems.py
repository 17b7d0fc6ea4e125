"""What kept a night from being done, each in the five parts of ``SafeError.as_dict``: names, counts and codes only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl

from wellbridge.pipelines.nightly.night import WHOLE_DELIVERY, Night
from wellbridge.schemas.errors import ContractError, HeldError, SafeError, SourceError
from wellbridge.schemas.rules import RULES

HEADER_DRIFT: Final = "WB-D-003"
_COLUMNS: Final = pl.col("column").drop_nulls().unique().sort()


def problems(night: Night, deliveries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return deliveries that wait, deliveries held whole, and the rules under which this run holds rows.

    Args:
        night: the night.
        deliveries: ``feed, name, status, rule, batch_id`` of the run's deliveries.
    """
    lines = night.vault.store.frame(
        'SELECT batch_id, feed, resource, file, "row", "column", rule FROM held_row '
        "WHERE run_id = ? AND status = 'open'",
        [night.run_id],
    )
    is_whole = pl.col("row") == WHOLE_DELIVERY
    columns = dict(lines.filter(is_whole).group_by("batch_id").agg(_COLUMNS).iter_rows())
    rows = (
        lines.filter(~is_whole)
        .group_by("feed", "resource", "rule")
        .agg(_COLUMNS, pl.struct("batch_id", "file", "row").n_unique().alias("rows"))
        .sort("feed", "resource", "rule")
    )
    waiting = [
        SourceError("WB-E-021", _what("A delivery waits", item.rule), _where(item.feed, item.name, item.rule))
        for item in night.waiting
    ]
    whole = [_refused(row, columns.get(row["batch_id"], [])) for row in deliveries if row["status"] == "held"]
    held = [_held(row) for row in rows.to_dicts()]
    return [error.as_dict() for error in (*waiting, *whole, *held)]


def _refused(row: Mapping[str, Any], columns: list[str]) -> SafeError:
    rule = row["rule"]
    what, where = _what("A delivery is held whole", rule), _where(row["feed"], row["name"], rule, *columns)
    if rule == HEADER_DRIFT:
        return ContractError("WB-E-030", what, where)
    return ContractError("WB-E-022", what, where, todo=RULES[rule].todo)


def _held(row: Mapping[str, Any]) -> SafeError:
    rule = row["rule"]
    what = _what("A row is held" if row["rows"] == 1 else f"{row['rows']:,} rows are held", rule)
    where = _where(row["feed"], row["resource"], rule, *row["column"])
    return HeldError("WB-E-031", what, where, todo=RULES[rule].todo)


def _what(event: str, rule: str) -> str:
    return f"{event}: {RULES[rule].title}."


def _where(feed: str, *places: str) -> str:
    return " · ".join((f"feed {feed}", *places))


__all__ = ["problems"]
