"""The page of ``privacy assess``: how well a record file hides each person, in pictures and rounded numbers.

A number of persons is shown rounded to tens; a share behind which, or beside which, fewer than the minimum cell
stand is hidden. No value of the file is in it: columns are named, cells are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wellbridge.etl.landing import write_private
from wellbridge.pipelines.report.html import render_page
from wellbridge.privacy.records.anonymize import K_FLOOR
from wellbridge.privacy.records.assess import Assessment
from wellbridge.privacy.records.risk import Risk
from wellbridge.privacy.records.spread import Distance
from wellbridge.privacy.tables.linked import MIN_CELL_FLOOR
from wellbridge.schemas.errors import ConfigurationError

HIDDEN: Final = "hidden"
_BANDS: Final = ((1, 1), (2, 4), (5, 9), (10, 19), (20, 49), (50, 10**12))


@dataclass(frozen=True)
class Line:
    """One bar: its label, its value in words and for drawing (0 to 1; None where hidden), a note, and its colour."""

    label: str
    text: str
    size: float | None
    note: str
    tone: str


@dataclass(frozen=True)
class Picture:
    """Bars on one axis from nothing to everything."""

    id: str
    title: str
    text: str
    head: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class RiskView:
    """The page's model: words and rounded numbers."""

    file: str
    columns: str
    persons: str
    k: int
    verdict: str
    is_safe: bool
    glance: tuple[tuple[str, str, str], ...]
    pictures: tuple[Picture, ...]
    min_cell: int
    floor: int
    estimator: str


def write_risk_report(found: Assessment, file: str, path: Path) -> None:
    """Write the page, readable by its owner alone.

    Raises:
        ConfigurationError: WB-E-011 when it cannot be written.
    """
    page = render_page("risk.html.j2", "page.css", "risk.css", model=risk_view(found, file))
    done = False
    try:
        write_private(path, page)
        done = True
    except OSError:
        done = False
    if not done:
        raise ConfigurationError("WB-E-011", "The page cannot be written.", f"--html {path.name}",
                                 todo="Name a folder that exists and may be written to")


def risk_view(found: Assessment, file: str) -> RiskView:
    """Turn an assessment into what may be seen of it."""
    pictures = [_bands(found), _attackers(found), _columns(found), *([_told(found), _far(found)] if found.sensitive
                                                                     else [])]
    safe = found.k >= K_FLOOR
    return RiskView(
        file=file, columns=", ".join((*found.within, *found.quasi)), persons=_tens(found.persons), k=found.k,
        is_safe=safe, verdict=_verdict(found), glance=_glance(found), pictures=tuple(pictures),
        min_cell=MIN_CELL_FLOOR, floor=K_FLOOR, estimator=found.estimator,
    )


def _verdict(found: Assessment) -> str:
    if found.k >= K_FLOOR:
        return f"Every person is one of at least {found.k} who look alike in these columns."
    if found.k == 1:
        return "Some persons are like nobody else in these columns: who knows these facts about them finds their row."
    return f"The smallest group of persons who look alike has {found.k}; a release of a site needs {K_FLOOR}."


def _glance(found: Assessment) -> tuple[tuple[str, str, str], ...]:
    first = (
        (f"{found.k}", "smallest group", "persons who look alike"),
        (_share(found.uniques, found.persons)[0], "unique", "of the persons in the file"),
    )
    if found.fraction >= 1:
        return (*first, (_percent(found.marketer), "named right", "of all persons, by who guesses at everybody"))
    population = _share(round(found.population_uniques), round(found.persons / found.fraction))[0]
    return (*first, (population, "unique in the population", "behind the file, estimated"))


def _bands(found: Assessment) -> Picture:
    lines = []
    for low, high in _BANDS:
        persons = sum(size * count for size, count in found.classes.items() if low <= size <= high)
        label = f"{low - 1} to {high - 1} others" if high < _BANDS[-1][1] else f"{low - 1} or more"
        text, size = _share(persons, found.persons)
        tone = "bad" if high < K_FLOOR else "good"
        lines.append(Line("nobody else" if high == 1 else label, text, size, _persons(persons), tone))
    return Picture("alike", "How many others look the same", "Persons by how many others share all of these columns "
                   "with them.", "about", tuple(lines))


def _attackers(found: Assessment) -> Picture:
    who = [
        ("knows the person is in the file", found.prosecutor), ("knows the population", found.journalist),
    ]
    lines = [_odds(label, risk) for label, risk in who]
    lines.append(Line("wants as many as possible", _percent(found.marketer), found.marketer,
                      "expected right", _tone(found.marketer)))
    return Picture("attackers", "What an attacker can expect", "The chance to name the right person: for the person "
                   "who is found most easily, and for the marketer on average over all.", "on average", tuple(lines))


def _odds(label: str, risk: Risk) -> Line:
    text = "certain" if risk.highest > 0.99 else f"1 in {round(1 / risk.highest):,}" if risk.highest else "none"
    return Line(label, text, risk.highest, _percent(risk.average), _tone(risk.highest))


def _columns(found: Assessment) -> Picture:
    shares = {one.column: _share(found.uniques - one.without, found.persons) for one in found.columns}
    lines = []
    # In the order of what is shown: the order of hidden numbers would tell which is the smaller.
    for one in sorted(found.columns, key=lambda column: (-(shares[column.column][1] or 0.0), column.column)):
        text, size = shares[one.column]
        lines.append(Line(one.column, text, size, f"{one.values:,}", "bad" if size else "good"))
    return Picture("columns", "Which column gives people away", "Persons who are unique and would not be if this "
                   "column alone were hidden: the longer the bar, the more it gives away.", "values", tuple(lines))


def _told(found: Assessment) -> Picture:
    lines = []
    for one in found.sensitive:
        text, size = _share(one.told, found.persons)
        note = f"l {one.distinct_l}, {one.entropy_l:.1f}"
        lines.append(Line(one.column, text, size, note, "bad" if size else "good"))
    return Picture("told", "What the group tells", "Persons in a group where everybody has the same value: who finds "
                   "the group knows the value, without finding the person.", "l, entropy l", tuple(lines))


def _far(found: Assessment) -> Picture:
    words = {Distance.EQUAL: "all values equally far apart", Distance.ORDERED: "values in order",
             Distance.HIERARCHICAL: "values in a hierarchy"}
    # One digit: of a class of one person the exact distance would tell the value.
    lines = tuple(
        Line(one.column, f"{one.t:.1f}", round(one.t, 1), words[one.distance], _tone(one.t / 3))
        for one in found.sensitive
    )
    return Picture("far", "How far a group is from everybody", "The t of t-closeness: how differently the values are "
                   "spread in the group that differs most. 0 is as everybody, 1 as far as can be.", "distance", lines)


def _tone(risk: float) -> str:
    return "bad" if risk > 1 / K_FLOOR + 1e-9 else "good"


def _share(part: int, whole: int) -> tuple[str, float | None]:
    """Return a share in words and for drawing; hidden where a few stand behind it, or beside it."""
    if 0 < part < MIN_CELL_FLOOR or 0 < whole - part < MIN_CELL_FLOOR:
        return HIDDEN, None
    share = part / whole if whole else 0.0
    return _percent(share), round(share, 2)


def _percent(share: float) -> str:
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    return "under 1%" if share < 0.01 else "over 99%" if share > 0.99 else f"{share:.0%}"


def _persons(count: int) -> str:
    return "" if 0 < count < MIN_CELL_FLOOR else _tens(count)


def _tens(count: int) -> str:
    return f"{round(count, -1):,}"
