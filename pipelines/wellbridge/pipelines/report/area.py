"""Area indicators for the page: estimates about the area where the district lies, about other people.

They stand beside a measure of the district; nothing joins them to a person.
"""

from __future__ import annotations

from typing import Any, Final

from wellbridge.etl.store import Store
from wellbridge.pipelines.measures.measure import Measure
from wellbridge.pipelines.report import words
from wellbridge.pipelines.report.model import Interval, IntervalPlot

# The newest estimate of each indicator for the smallest area there is, over everybody surveyed.
_NEWEST: Final = """
    SELECT * FROM (
        SELECT *, row_number() OVER (
            PARTITION BY indicator_id
            ORDER BY period_end DESC,
                     CASE geo_type WHEN 'lea' THEN 0 WHEN 'county' THEN 1 WHEN 'region' THEN 2
                                   WHEN 'state' THEN 3 ELSE 4 END, geo_id, source_id) AS nth
        FROM indicator
        WHERE unit = 'percent' AND status = 'reported' AND coalesce(subgroup_dim, 'all') IN ('all', '')
    ) AS ranked WHERE nth = 1 ORDER BY domain, estimate DESC, indicator_id"""
_DOMAINS: Final = {
    "risk": "Risk",
    "protective": "Protection",
    "consumption": "Substance use",
    "consequence": "Harm",
    "context": "Context",
}


def area_plots(store: Store) -> tuple[IntervalPlot, ...]:
    """Return one picture for each domain of indicators."""
    found: dict[str, list[Interval]] = {}
    for row in store.frame(_NEWEST).iter_rows(named=True):
        found.setdefault(row["domain"], []).append(_interval(row, row["title"]))
    return tuple(
        IntervalPlot(f"area-{domain}", _DOMAINS.get(domain, words.plain(domain)), tuple(rows), _top(rows))
        for domain, rows in found.items()
    )


def beside(store: Store, measure: Measure, text: str, size: float | None) -> IntervalPlot | None:
    """Return the measure's district value beside its area indicator, None where there is none."""
    if measure.beside is None:
        return None
    rows = [
        row for row in store.frame(_NEWEST).iter_rows(named=True) if row["indicator_id"] == measure.beside
    ]
    if not rows:
        return None
    own = Interval(
        "This district", f"{measure.title}, {measure.units} counted", size, text, None, None, is_district=True
    )
    drawn = (
        own,
        *(_interval(row, f"Area: {row['geo_name'] or row['geo_id']}", row["title"]) for row in rows),
    )
    return IntervalPlot(
        f"{measure.id}-beside", f"Beside the area: {rows[0]['title'].lower()}", drawn, _top(drawn)
    )


def _interval(row: dict[str, Any], label: str, about: str = "") -> Interval:
    who = ", ".join(part for part in (about, row["population"], row["geo_name"], _year(row)) if part)
    text = f"{row['estimate']:.0f} %"
    if row["ci_lower"] is not None and row["ci_upper"] is not None:
        text += f" ({row['ci_lower']:.0f}–{row['ci_upper']:.0f})"
    return Interval(label, who, row["estimate"], text, row["ci_lower"], row["ci_upper"])


def _year(row: dict[str, Any]) -> str:
    return str(row["period_end"].year) if row["period_end"] else ""


def _top(rows: list[Interval] | tuple[Interval, ...]) -> float:
    highest = max((row.upper or row.size or 0.0 for row in rows), default=0.0)
    return next(top for top in (10.0, 20.0, 30.0, 50.0, 75.0, 100.0, 1e9) if highest <= top)
