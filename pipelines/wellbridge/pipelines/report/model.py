"""What the page holds: words and rounded numbers only. A hidden number has no place here to be kept in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """One group of a breakdown.

    Attributes:
        label: the group, in words.
        text: its value as shown; ``hidden`` where it may not be seen.
        size: its value for drawing, rounded as shown; None where hidden.
        units: how many it is out of, rounded to tens; empty where hidden.
    """

    label: str
    text: str
    size: float | None
    units: str

    @property
    def is_hidden(self) -> bool:
        """Whether the group is too small to be seen, or covers one that is."""
        return self.size is None


@dataclass(frozen=True)
class Breakdown:
    """The groups of one breakdown, beside the district's own value.

    Attributes:
        id: unique in the page, for the picture's title.
        title: heading.
        bars: in the order of the page.
        top: value at the right end of the axis.
        whole: the district's value, drawn as a line; None where hidden.
        whole_text: the same in words.
    """

    id: str
    title: str
    bars: tuple[Bar, ...]
    top: float
    whole: float | None
    whole_text: str

    @property
    def all_hidden(self) -> bool:
        """Whether no group may be seen."""
        return all(bar.is_hidden for bar in self.bars)


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % confidence interval, both in percent; none for the district's own count."""

    label: str
    note: str
    size: float | None
    text: str
    lower: float | None
    upper: float | None
    is_district: bool = False


@dataclass(frozen=True)
class IntervalPlot:
    """Values with intervals on one axis from 0 to ``top`` percent."""

    id: str
    title: str
    rows: tuple[Interval, ...]
    top: float


@dataclass(frozen=True)
class MeasureView:
    """One measure as the page shows it.

    Attributes:
        text: the district's value; ``hidden`` or ``no data yet``.
        units: how many it is out of, in words.
        first: breakdowns shown at once.
        more: breakdowns folded away.
        unseen: headings of breakdowns of which no group may be seen.
        beside: the area indicator it is shown beside.
        facts: name → text of the declaration.
    """

    id: str
    title: str
    question: str
    definition: str
    text: str
    units: str
    state: str
    first: tuple[Breakdown, ...]
    more: tuple[Breakdown, ...]
    unseen: tuple[str, ...]
    beside: IntervalPlot | None
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class PillarView:
    """The measures of one pillar."""

    title: str
    measures: tuple[MeasureView, ...]


@dataclass(frozen=True)
class FeedLine:
    """What one feed brought: counts of rows as shown, and for drawing, both rounded."""

    title: str
    read: str
    new: str
    unchanged: str
    held: str
    removed: str
    shares: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class ReasonLine:
    """Rows held or removed for one reason."""

    code: str
    title: str
    why: str
    todo: str
    feeds: str
    rows: str


@dataclass(frozen=True)
class SiteReport:
    """The page; ``practice`` says in a sentence what a state's practice changes in it."""

    district: str
    as_of: str
    school_year: str
    min_n: int
    read: str
    adds_up: bool
    read_ever: str
    nights: int
    feeds: tuple[FeedLine, ...]
    held: tuple[ReasonLine, ...]
    removed: tuple[ReasonLine, ...]
    pillars: tuple[PillarView, ...]
    area: tuple[IntervalPlot, ...]
    practice: str = ""
