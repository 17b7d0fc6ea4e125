"""What kept a night from being done, each in the five parts of ``SafeError.as_dict``: names, counts and codes only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from wellbridge.pipelines.nightly.night import WHOLE_DELIVERY, Night
from wellbridge.schemas.errors import ContractError, HeldError, SafeError, SourceError
from wellbridge.schemas.rules import RULES

HEADER_DRIFT: Final = "WB-D-003"


def problems(
    night: Night, deliveries: Iterable[Mapping[str, Any]], reasons: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return deliveries that wait, deliveries held whole, and rules under which rows of this run are held.

    Args:
        night: the night.
        deliveries: ``feed, name, status, rule, batch_id`` of the run's deliveries.
        reasons: ``feed, resource, rule, rows`` of the run.
    """
    columns = _columns(night)
    waiting = [
        SourceError("WB-E-021", _what("A delivery waits", item.rule), _where(item.feed, item.name, item.rule))
        for item in night.waiting
    ]
    whole = [
        _refused(row, columns.get((row["batch_id"], "", row["rule"]), []))
        for row in deliveries
        if row["status"] == "held"
    ]
    rows = [
        _held(row, columns.get((row["feed"], row["resource"], row["rule"]), []))
        for row in reasons
        if row["rule"].startswith("WB-R-")
    ]
    return [error.as_dict() for error in (*waiting, *whole, *rows)]


def _refused(row: Mapping[str, Any], columns: list[str]) -> SafeError:
    rule = row["rule"]
    what, where = _what("A delivery is held whole", rule), _where(row["feed"], row["name"], rule, *columns)
    if rule == HEADER_DRIFT:
        return ContractError("WB-E-030", what, where)
    return ContractError("WB-E-022", what, where, todo=RULES[rule].todo)


def _held(row: Mapping[str, Any], columns: list[str]) -> SafeError:
    rule = row["rule"]
    what = _what("A row is held" if row["rows"] == 1 else f"{row['rows']:,} rows are held", rule)
    return HeldError(
        "WB-E-031", what, _where(row["feed"], row["resource"], rule, *columns), todo=RULES[rule].todo
    )


def _what(event: str, rule: str) -> str:
    return f"{event}: {RULES[rule].title}."


def _where(feed: str, *places: str) -> str:
    return " · ".join((f"feed {feed}", *places))


def _columns(night: Night) -> dict[tuple[str, str, str], list[str]]:
    """Return the columns at fault: by (batch, "", rule) of whole deliveries, by (feed, resource, rule) of rows."""
    lines = night.vault.store.frame(
        'SELECT DISTINCT CASE WHEN "row" = ? THEN batch_id ELSE feed END AS owner, resource, rule, "column" '
        "FROM held_row WHERE run_id = ? AND status = 'open' AND \"column\" IS NOT NULL ORDER BY ALL",
        [WHOLE_DELIVERY, night.run_id],
    )
    found: dict[tuple[str, str, str], list[str]] = {}
    for owner, resource, rule, column in lines.iter_rows():
        found.setdefault((owner, resource, rule), []).append(column)
    return found


__all__ = ["problems"]
