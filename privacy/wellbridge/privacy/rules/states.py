"""What states ask of published tables, and the ranges in which percentages are published; both are data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any, Final

from wellbridge.privacy.rules.book import read_tables
from wellbridge.privacy.rules.parse import not_understood

FILE: Final = "states.toml"
ZERO_RULES: Final = ("shown", "hidden", "unknown")
COMPLEMENTS: Final = ("none", "cells", "next_smallest", "any_level")


@dataclass(frozen=True)
class Band:
    """How percentages of groups of one size are published.

    Attributes:
        least, greatest: size of the group in persons, both inclusive; greatest 0: no end.
        end: percent at each end that becomes "at most" or "at least".
        step: width of the ranges between the ends in percent; 0: nothing is published.
    """

    least: int
    greatest: int
    end: int
    step: int

    def holds(self, n: int) -> bool:
        """Whether a group of n persons is of this size."""
        return self.least <= n and (not self.greatest or n <= self.greatest)

    def inside(self, percent: int) -> tuple[int, int]:
        """Return the range of a whole percentage between the ends."""
        low = percent // self.step * self.step
        return max(low, self.end + 1), min(low + self.step - 1, 99 - self.end)


@dataclass(frozen=True)
class Bands:
    """Ranges by size of the group; ``doubt`` says what was not verified."""

    name: str
    source: str
    doubt: str
    rows: tuple[Band, ...]

    def blur(self, n: int, percent: int) -> tuple[int, int] | None:
        """Return the range of whole percents that is published in a percentage's stead; None: nothing is.

        Args:
            n: persons in the group.
            percent: 0 to 100, rounded as published.
        """
        band = next((row for row in self.rows if row.holds(n)), None)
        if band is None or not band.step:
            return None
        top = 100 - band.end
        if percent >= top:
            return top, 100
        if percent <= band.end:
            return 0, min(band.end, top - 1)
        return band.inside(percent)

    def range_of(self, numerator: int, size: int) -> tuple[int, int] | None:
        """Return the range that is published for a share; None: nothing is.

        Ends are compared with the share itself, so "at most" and "at least" are true of it; between them the share
        counts in whole percents.

        Args:
            numerator, size: the persons counted, and the group.
        """
        band = next((row for row in self.rows if row.holds(size)), None)
        if band is None or not band.step:
            return None
        top = 100 - band.end
        if 100 * numerator >= top * size:
            return top, 100
        if 100 * numerator <= band.end * size:
            return 0, min(band.end, top - 1)
        percent = (200 * numerator + size) // (2 * size)
        return band.inside(min(max(percent, band.end + 1), top - 1))


@dataclass(frozen=True)
class Profile:
    """One state's practice; see ``states.toml`` for the fields."""

    id: str
    title: str
    source: str
    min_n_report: int
    min_n_account: int
    zero_rule: str
    complement: str
    bands: str
    percent_only: bool
    symbol: str
    doubt: str


@cache
def _tables() -> dict[str, Any]:
    return read_tables((resources.files(__package__) / FILE).read_text(encoding="utf-8"), FILE)


@cache
def all_bands() -> Mapping[str, Bands]:
    """Return every set of ranges, by name."""
    return {name: _bands(name, facts) for name, facts in _tables()["bands"].items()}


@cache
def profiles() -> Mapping[str, Profile]:
    """Return every state's profile, by id."""
    return {name: _profile(name, facts) for name, facts in _tables()["profile"].items()}


def _bands(name: str, facts: Mapping[str, Any]) -> Bands:
    rows = tuple(Band(*row) for row in facts["rows"])
    follow = all(a.greatest + 1 == b.least for a, b in pairwise(rows))
    if not follow or rows[-1].greatest or rows[0].least != 1:
        raise not_understood(FILE, f"bands.{name}", "leaves a size of group out")
    return Bands(name, facts["source"], facts["doubt"], rows)


def _profile(name: str, facts: Mapping[str, Any]) -> Profile:
    wrong = {field.name for field in fields(Profile)} - {"id"} ^ set(facts)
    fine = not wrong and facts["zero_rule"] in ZERO_RULES and facts["complement"] in COMPLEMENTS
    if not fine or (facts["bands"] and facts["bands"] not in all_bands()):
        raise not_understood(FILE, f"profile.{name}", "of a state is not complete")
    return Profile(id=name, **facts)
