"""The coverage page for auditors: one offline HTML file, the same rules the same bytes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Final

from wellbridge.pipelines.policy import words
from wellbridge.pipelines.policy.coverage import CONTRACT, EXTRACT, WAREHOUSE, Line
from wellbridge.pipelines.report.html import render_page
from wellbridge.privacy.rules.book import Book
from wellbridge.privacy.rules.rule import Purpose

_PARTS: Final = {
    CONTRACT: ("What partners send", "Columns of every contract, under the law that its records arrive under."),
    WAREHOUSE: ("What the warehouse holds", "Columns of every table. Which law a row came under is not known here, "
                                            "so every law counts."),
    EXTRACT: ("What an extract can name", "Columns of record files, breakdowns and measures. All sources flow "
                                          "together in them, so every law counts."),
}


@dataclass(frozen=True)
class RuleView:
    """A rule as the page shows it."""

    id: str
    says: str
    citation: str
    since: str
    doubt: str
    asks: str
    scope: str
    limits: str
    kept_by: tuple[str, ...]
    missing: str


@dataclass(frozen=True)
class Cell:
    """What happens to a column for one purpose."""

    text: str
    deciding: tuple[str, ...]
    others: tuple[str, ...]
    is_covered: bool


@dataclass(frozen=True)
class LineView:
    """A column as the page shows it."""

    place: str
    owner: str
    column: str
    header: str
    privacy: str
    traits: tuple[str, ...]
    outcomes: dict[str, Cell]


@dataclass(frozen=True)
class Owner:
    """A contract, a table, or a part of what extracts can name; ``shared`` are rules that all its columns meet."""

    name: str
    title: str
    regimes: tuple[str, ...]
    shared: tuple[tuple[str, tuple[str, ...]], ...]
    lines: tuple[LineView, ...]


@dataclass(frozen=True)
class Part:
    """Contracts, warehouse or extracts."""

    id: str
    title: str
    text: str
    count: int
    owners: tuple[Owner, ...]


@dataclass(frozen=True)
class CoverageView:
    """The page."""

    day: str
    digest: str
    profile: str
    rules: tuple[RuleView, ...]
    local: int
    unverified: int
    unfinished: int
    columns: int
    gaps: tuple[Line, ...]
    parts: tuple[Part, ...]


def render_coverage(book: Book, lines: Sequence[Line], day: date) -> str:
    """Return the page as HTML, UTF-8, self-contained."""
    view = _view(book, lines, day)
    return render_page("coverage.html.j2", "coverage.css", package=__package__, model=view)


def _view(book: Book, lines: Sequence[Line], day: date) -> CoverageView:
    rules = tuple(book.rules.values())
    return CoverageView(
        day=f"{day.day} {day:%B %Y}", digest=book.digest, profile=book.profile,
        rules=tuple(
            RuleView(r.id, r.says, r.citation, r.since.isoformat(), r.doubt, words.effect(r), words.scope(r),
                     words.limits(r.limits), tuple(words.file(path) for path in r.kept_by), r.missing)
            for r in rules
        ),
        local=sum(rule.is_local for rule in rules), unverified=sum(not rule.is_verified for rule in rules),
        unfinished=sum(bool(rule.missing) for rule in rules),
        columns=len(lines), gaps=tuple(line for line in lines if not line.is_covered),
        parts=tuple(_part(place, [line for line in lines if line.place == place]) for place in _PARTS),
    )


def _part(place: str, lines: Sequence[Line]) -> Part:
    title, text = _PARTS[place]
    owners = tuple(_owner(name, list(group)) for name, group in groupby(lines, key=lambda line: line.owner))
    return Part(place, title, text, len(lines), owners)


def _owner(name: str, lines: Sequence[Line]) -> Owner:
    shared = {purpose: _shared(purpose, lines) for purpose in Purpose}
    told = tuple((words.PURPOSES[purpose], rules) for purpose, rules in shared.items() if rules)
    return Owner(name, lines[0].title, lines[0].regimes, told, tuple(_line(line, shared) for line in lines))


def _shared(purpose: Purpose, lines: Sequence[Line]) -> tuple[str, ...]:
    """Return the rules that every column meets without being decided by them: told once, not in every row."""
    found = [line.outcomes[purpose] for line in lines if purpose in line.outcomes]
    first = found[0].met if found else ()
    return tuple(rule for rule in first if all(rule in one.met and rule not in one.deciding for one in found))


def _line(line: Line, shared: Mapping[Purpose, Collection[str]]) -> LineView:
    outcomes = {
        str(purpose): Cell(
            one.text, one.deciding,
            tuple(rule for rule in one.met if rule not in one.deciding and rule not in shared[purpose]),
            one.is_covered,
        )
        for purpose, one in line.outcomes.items()
    }
    return LineView(line.place, line.owner, line.column, line.header, line.privacy, line.traits, outcomes)
