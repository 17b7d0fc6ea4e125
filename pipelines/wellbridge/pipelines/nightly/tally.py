"""The identity of a run, per feed: read = loaded + unchanged + held + removed by policy."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass

import polars as pl

from wellbridge.schemas.errors import IdentityError


@dataclass
class Counts:
    """Source rows of one feed, each in exactly one of the four after ``read``.

    ``read_again`` says how many of ``read`` came in an earlier delivery and were tried again, because what had held
    or allowed them changed.
    """

    read: int = 0
    loaded: int = 0
    unchanged: int = 0
    held: int = 0
    removed: int = 0
    read_again: int = 0

    @property
    def adds_up(self) -> bool:
        """Whether every row read is accounted for."""
        parts = (self.loaded, self.unchanged, self.held, self.removed)
        return self.read == sum(parts) and min(parts) >= 0


class Tally:
    """Counts of a running night, by feed, and its reasons by feed, resource and rule."""

    def __init__(self) -> None:
        self.feeds: dict[str, Counts] = defaultdict(Counts)
        self.reasons: Counter[tuple[str, str, str]] = Counter()

    def add(self, feed: str, **counts: int) -> None:
        """Add to a feed's counts; a negative number takes a row back that found another place."""
        found = self.feeds[feed]
        for name, count in counts.items():
            setattr(found, name, getattr(found, name) + count)

    def add_reasons(self, feed: str, resource: str, rows: pl.DataFrame, sign: int = 1) -> None:
        """Count rows by rule; a row with several faults counts once under each rule."""
        for rule, count in rows.select("_file", "_row", "rule").unique().group_by("rule").len().iter_rows():
            self.reasons[feed, resource, rule] += sign * count

    def include(self, part: Tally) -> None:
        """Add the counts and reasons of a delivery."""
        for feed, counts in part.feeds.items():
            self.add(feed, **asdict(counts))
        self.reasons.update(part.reasons)

    def check(self) -> None:
        """Refuse a night that does not add up.

        Raises:
            IdentityError: WB-E-002, with the counts.
        """
        for feed, counts in self.feeds.items():
            if not counts.adds_up:
                shown = " ".join(f"{name}={count}" for name, count in asdict(counts).items())
                raise IdentityError("WB-E-002", "A feed's rows do not add up.", f"feed {feed} · {shown}")
