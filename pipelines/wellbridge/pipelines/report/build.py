"""Read the warehouse into the page's model; numbers are suppressed and rounded before they are in it."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import polars as pl

from wellbridge.etl.store import Store
from wellbridge.pipelines.measures.measure import PILLARS, Kind, Measure
from wellbridge.pipelines.measures.registry import MEASURES
from wellbridge.pipelines.measures.school_year import name as school_year
from wellbridge.pipelines.report import words
from wellbridge.pipelines.report.area import area_plots, beside
from wellbridge.pipelines.report.arrivals import arrivals
from wellbridge.pipelines.report.model import Bar, Breakdown, MeasureView, PillarView, SiteReport
from wellbridge.pipelines.report.shown import ShownMeasures, shown_measures
from wellbridge.privacy.rules.practice import Practice
from wellbridge.privacy.tables.published_shares import EXACT, HIDDEN

# A delivery of a whole year (a survey) says nothing about how new the children's data are.
_NEWEST: Final = """
    SELECT max(period_end) FROM batch WHERE status = 'taken' AND period_end - period_start < 364"""
_FOLDED: Final = frozenset(
    {
        "race_ethnicity",
        "sex",
        "english_learner",
        "disability",
        "economically_disadvantaged",
        "homeless",
    }
)
_STEPS: Final = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100)


def build_report(
    store: Store, *, district: str, min_n: int = 10, as_of: date | None = None, asked: Practice | None = None,
    shown: ShownMeasures | None = None,
) -> SiteReport:
    """Build the district lead's page from the warehouse.

    Args:
        store: the warehouse, read only is enough.
        district: name in the heading.
        min_n: no count of fewer persons is shown.
        as_of: the day the measures stand on; None: the newest day of any taken delivery.
        asked: ranges of shares, whether they stand without counts, and the symbol of what is hidden, as the rules ask.
        shown: the measures as they may be printed; protected here, beside no release, where not given.

    Raises:
        StoreError: WB-E-050.
    """
    today, style = as_of or newest_day(store), asked or Practice(min_n)
    found = shown or shown_measures(store, today, min_n, style)
    values = found.values.filter(pl.col("period") == school_year(today))
    schools = dict(
        store.frame("SELECT school_id, max(school_name) FROM school GROUP BY school_id").iter_rows()
    )
    views = {
        m.id: _view(store, m, values.filter(pl.col("measure_id") == m.id), schools, min_n, style)
        for m in MEASURES.values()
    }
    pillars = (PillarView(p, tuple(views[m.id] for m in MEASURES.values() if m.pillar == p)) for p in PILLARS)
    return SiteReport(
        district=district,
        as_of=words.day(today),
        school_year=school_year(today),
        min_n=min_n,
        pillars=tuple(pillars),
        area=area_plots(store),
        practice=_practice(style),
        **arrivals(store),
    )


def newest_day(store: Store) -> date:
    """Return the newest day that any taken delivery speaks for."""
    return store.value(_NEWEST) or date(1970, 1, 1)


def _practice(style: Practice) -> str:
    """Say what the page shows otherwise than a page without a state's practice would."""
    parts = ["Shares are given as ranges."] * style.has_ranges
    parts += ["The counts behind them are left out."] * style.percent_only
    parts += [f"A hidden number reads {style.symbol}."] * bool(style.symbol)
    return " ".join(parts)


def _view(
    store: Store, measure: Measure, values: pl.DataFrame, schools: dict[str, str], min_n: int, style: Practice
) -> MeasureView:
    whole = next(values.filter(pl.col("dimension") == "all").iter_rows(named=True), None)
    text, units, state = _headline(measure, whole, style)
    size = None if whole is None else _bar(measure, whole, "", style).size
    own = () if measure.own_dimension is None else (measure.own_dimension,)
    groups = {name: _bars(measure, values, name, schools, style) for name in (*own, *measure.dimensions)}
    found = _breakdowns(measure, {name: bars for name, bars in groups.items() if bars}, size, text)
    seen = [(name, one) for name, one in found if not one.all_hidden]
    return MeasureView(
        id=measure.id,
        title=measure.title,
        question=measure.question,
        definition=measure.definition,
        text=text,
        units=units,
        state=state,
        first=tuple(one for name, one in seen if name not in _FOLDED),
        more=tuple(one for name, one in seen if name in _FOLDED),
        unseen=tuple(one.title for _, one in found if one.all_hidden),
        beside=beside(store, measure, text, size),
        facts=_facts(measure, min_n),
    )


def _headline(measure: Measure, whole: dict[str, Any] | None, style: Practice) -> tuple[str, str, str]:
    if whole is None:
        return "no data yet", f"No {measure.units} to count so far.", "none"
    bar = _bar(measure, whole, "", style)
    if bar.is_hidden:
        return bar.text, f"Too few {measure.units} behind it to show.", "hidden"
    if not bar.units:
        return bar.text, f"of {measure.units}", "seen"
    per = "of" if measure.kind is Kind.PROPORTION else "over"
    return bar.text, f"{per} about {bar.units} {measure.units}", "seen"


def _bar(measure: Measure, row: dict[str, Any], label: str, style: Practice) -> Bar:
    """Return a group's value, coarser than a release has it: whole percents or minutes, and counts in tens.

    A share that is coded because one of its two counts is small is hidden, but where the rules ask for ranges.
    """
    units = "" if row["denominator"] is None else f"{words.tens(row['denominator']):,}"
    if row["shown"] == EXACT:
        size = words.rounded(measure, row["value"])
        return Bar(label, words.amount(measure, size), size, units)
    if row["shown"] == HIDDEN or not style.has_ranges:
        return Bar(label, style.symbol or words.HIDDEN, None, "")
    ends = (row["at_least"] or 0.0, 1.0 if row["at_most"] is None else row["at_most"])
    low, high = (round(100 * end) for end in ends)
    return Bar(label, words.percents(low, high), (low + high) / 2, units)


def _bars(
    measure: Measure, values: pl.DataFrame, dimension: str, schools: dict[str, str], style: Practice
) -> tuple[Bar, ...]:
    found = values.filter(pl.col("dimension") == dimension).iter_rows(named=True)
    named = [(words.member(dimension, row["member"], schools), row) for row in found]
    named.sort(key=lambda pair: words.place(pair[1]["member"], pair[0]))
    return tuple(_bar(measure, row, label, style) for label, row in named)


def _breakdowns(
    measure: Measure, groups: dict[str, tuple[Bar, ...]], whole: float | None, whole_text: str
) -> list[tuple[str, Breakdown]]:
    """The measure's pictures: those of the common breakdowns on one axis, so that they can be compared."""
    sizes = {name: [bar.size for bar in bars if bar.size is not None] for name, bars in groups.items()}
    shared = _top(
        [whole or 0.0, *(size for name in sizes if name != measure.own_dimension for size in sizes[name])]
    )
    found = []
    for name, bars in groups.items():
        is_own = name == measure.own_dimension
        # The district's value leaves out what some groups of such a breakdown hold, so it is no line there.
        line = None if is_own and measure.own_rest else whole
        top = _top([line or 0.0, *sizes[name]]) if is_own else shared
        title = f"By {measure.own_title.lower()}" if is_own else words.DIMENSIONS[name]
        found.append(
            (
                name,
                Breakdown(
                    id=f"{measure.id}-{name}",
                    title=title,
                    bars=bars,
                    top=top,
                    whole=line,
                    whole_text="" if line is None else whole_text,
                ),
            )
        )
    return found


def _top(sizes: list[float]) -> float:
    """Return a round number a little above every size."""
    highest, scale = max(sizes, default=0.0), 1.0
    if 95 < highest <= 100:
        return 100.0
    while highest * 1.05 > 100 * scale:
        scale *= 10
    return next(step * scale for step in _STEPS if step * scale >= highest * 1.05)


def _facts(measure: Measure, min_n: int) -> tuple[tuple[str, str], ...]:
    facts = [
        ("Counted", measure.numerator),
        ("Out of", measure.denominator),
        ("Belongs to", measure.pillar),
        ("Source", ", ".join(words.plain(name).lower() for name in measure.sources)),
        ("Smallest group shown", f"{max(min_n, measure.min_n)} people"),
    ]
    facts += [("Set by", parameter.source) for parameter in measure.params]
    return tuple(facts)
