"""What is stricter than what: the one order of treatments, the one direction of every limit, and how rules join.

Where several rules meet, the strictest treatment wins, every check stays, and every limit takes its strictest value.
``join`` is commutative, associative and idempotent, so neither the order nor the number of rules matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

Value = bool | int | frozenset[str]


class Treatment(StrEnum):
    """What happens to a value, the least strict first: this order is the order of strictness.

    KEEP: it stays as it is. AGE_TOP: ages above a limit become one group. BAND: a share becomes a range.
    SCHOOL_YEAR, YEAR, BIRTH_YEAR: of a day the year stays. ZIP3: of a ZIP code the first digits stay.
    CODE: a random code stands for it. SUPPRESS: the column stays, without its values. DROP: it is taken out.
    REFUSE: nothing leaves at all while it is asked for.
    """

    KEEP = "keep"
    AGE_TOP = "generalise:age_top"
    BAND = "generalise:band"
    SCHOOL_YEAR = "generalise:school_year"
    YEAR = "generalise:year"
    BIRTH_YEAR = "generalise:birth_year"
    ZIP3 = "generalise:zip3"
    CODE = "code"
    SUPPRESS = "suppress"
    DROP = "drop"
    REFUSE = "refuse"

    @property
    def rank(self) -> int:
        """Its place in the order; a higher one is stricter."""
        return _RANKS[self]

    @property
    def shows_nothing(self) -> bool:
        """Whether no part of the value, and nothing that stands for it, remains."""
        return self.rank >= Treatment.SUPPRESS.rank


_RANKS: Final = {treatment: rank for rank, treatment in enumerate(Treatment)}


class Direction(StrEnum):
    """Which way a limit becomes stricter."""

    UP = "a greater number is stricter"
    DOWN = "a smaller number is stricter"
    MORE = "a longer list is stricter"
    FEWER = "a shorter list is stricter"
    ON = "true is stricter"


# Every limit that a rule can have. A limit has one meaning and one direction, whichever rule names it.
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "min_cell": Direction.UP,  # persons: no smaller count is shown
    "k": Direction.UP,  # persons who are alike on all quasi-identifiers
    "code_bytes": Direction.UP,  # random bytes of a record code
    "digits": Direction.DOWN,  # digits of a ZIP code that are kept
    "top_age": Direction.DOWN,  # years: older persons are one group
    "known_areas": Direction.FEWER,  # ZIP3 areas that may be shown; every other becomes 000
    "small_areas": Direction.MORE,  # ZIP3 areas that become 000
    "required_fields": Direction.MORE,  # what an agreement must say
    "percent_only": Direction.ON,  # no counts beside percentages
    "hide_zeros": Direction.ON,  # a count of nobody is hidden like a small one
    "bands": Direction.MORE,  # lists of ranges (states.toml) in which shares are published, all of them obeyed at once
    "named_person": Direction.ON,  # a release names who made its determination
}


def is_as_strict(name: str, value: Value, floor: Value) -> bool:
    """Whether a limit's value is as strict as another, or stricter."""
    return stricter(name, value, floor) == value


def stricter(name: str, one: Value, other: Value) -> Value:
    """Return the stricter of two values of a limit; of two lists, both together or what they have in common."""
    if isinstance(one, frozenset) and isinstance(other, frozenset):
        return one & other if DIRECTIONS[name] is Direction.FEWER else one | other
    if isinstance(one, frozenset) or isinstance(other, frozenset):
        raise TypeError(f"the limit {name} is a list in one rule and none in another")
    return min(one, other) if DIRECTIONS[name] is Direction.DOWN else max(one, other)


@dataclass(frozen=True)
class Verdict:
    """What one rule asks, or several together.

    Attributes:
        treatment: what happens to the value.
        checks: what must be true or written down besides; a check never stands in for a treatment.
        limits: numbers and lists that treatment and checks go by.
    """

    treatment: Treatment = Treatment.KEEP
    checks: frozenset[str] = frozenset()
    limits: Mapping[str, Value] = field(default_factory=dict)

    def join(self, other: Verdict) -> Verdict:
        """Return the least strict verdict that is as strict as both."""
        limits = dict(self.limits)
        for name, value in other.limits.items():
            limits[name] = stricter(name, limits[name], value) if name in limits else value
        return Verdict(
            max(self.treatment, other.treatment, key=lambda one: one.rank), self.checks | other.checks, limits
        )

    def is_as_strict_as(self, other: Verdict) -> bool:
        """Whether nothing that the other verdict asks is missing here."""
        return self.join(other) == self
