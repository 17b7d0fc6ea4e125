"""Whom a table counts, and what that says of two tables: the same persons, some of them, others, or nearly the same.

A difference of two printed counts is itself a count where one cohort lies within the other: this year's children
within those of three years, yesterday's within today's, a district's within the state's.

Source: 34 CFR 99.31(b)(1), "whether through single or multiple releases"; Eurostat, Handbook on statistical
disclosure control, on linked tables and repeated publication.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Final

from wellbridge.schemas.errors import ConfigurationError


class Tie(StrEnum):
    """What one cohort is to another.

    SAME: the same persons.
    WITHIN: all of the first are of the second; AROUND: the other way round.
    DISJOINT: nobody is of both.
    RESTATED: the same cohort, told anew after corrections, or on a day so near that few have come or gone.
    OVERLAPS: some may be of both.
    APART: nothing is known.
    """

    SAME = "same"
    WITHIN = "within"
    AROUND = "around"
    DISJOINT = "disjoint"
    RESTATED = "restated"
    OVERLAPS = "overlaps"
    APART = "apart"


# Days between two states of one population within which the later is read as the earlier with a few changes.
NEAR_DAYS: Final = 30

_TURNED: Final = {Tie.WITHIN: Tie.AROUND, Tie.AROUND: Tie.WITHIN}
_LISTS: Final = ("within", "disjoint", "restates", "union_of")
_KEYS: Final = {"name", "population", "on", "from", "to", "as_of", "where", "differs", *_LISTS}


@dataclass(frozen=True)
class Cohort:
    """Whom a release counts.

    Attributes:
        name: by which others refer to it.
        population: who could be counted ("students", "served by a partner"); empty where nothing is said at all.
        first, last: the period in which they were; the same day for those of one day.
        as_of: the day whose state of the records was counted.
        where: what all of them have: ``{"district": "D1"}``.
        within, disjoint, restates, union_of: names of other cohorts.
        differs: for another cohort, the most persons of one but not of both.
    """

    name: str = ""
    population: str = ""
    first: date | None = None
    last: date | None = None
    as_of: date | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    within: tuple[str, ...] = ()
    disjoint: tuple[str, ...] = ()
    restates: tuple[str, ...] = ()
    union_of: tuple[str, ...] = ()
    differs: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_said(self) -> bool:
        """Whether anything is said."""
        return bool(self.population or self.name)

    def as_dict(self) -> dict[str, Any]:
        """Return the cohort as ``of_facts`` reads it."""
        days = {"from": self.first, "to": self.last, "as_of": self.as_of}
        facts: dict[str, Any] = {name: day.isoformat() for name, day in days.items() if day is not None}
        words = {
            "name": self.name,
            "population": self.population,
            "where": dict(self.where),
            "differs": dict(self.differs),
            **{name: list(getattr(self, name)) for name in _LISTS},
        }
        return {**facts, **{name: value for name, value in words.items() if value}}


UNSAID: Final = Cohort()


def cohort_of(facts: Any, where: str) -> Cohort:
    """Return a cohort from the facts of a file.

    Args:
        facts: ``name``, ``population``, ``on`` or ``from`` and ``to``, ``as_of``, ``where``, ``within``,
            ``disjoint``, ``restates``, ``union_of``, ``differs``; all optional, days as dates or text.
        where: the file, for the message.

    Raises:
        ConfigurationError: WB-E-011.
    """
    if not isinstance(facts, dict) or set(facts) - _KEYS:
        raise _wrong(where, "holds a setting that is not known, or none")
    if "on" in facts and ("from" in facts or "to" in facts):
        raise _wrong(where, "is of a day or of a period, not both")
    first, last = (_day(facts.get("on", facts.get(name)), where) for name in ("from", "to"))
    if (first is None) != (last is None) or (first and last and first > last):
        raise _wrong(where, "has a period that does not begin and then end")
    lists = [_names(facts.get(name, []), where) for name in _LISTS]
    tied, differs = facts.get("where", {}), facts.get("differs", {})
    words = (facts.get("name", ""), facts.get("population", ""))
    is_fine = (
        all(isinstance(word, str) for word in words) and isinstance(tied, dict) and isinstance(differs, dict)
    )
    is_fine = is_fine and all(isinstance(member, str) for member in tied.values())
    if not is_fine or not all(type(n) is int and n >= 0 for n in differs.values()):
        raise _wrong(where, "has a name that is no text, or a number of persons that is none")
    name, population = words
    within, disjoint, restates, union_of = lists
    return Cohort(
        name,
        population,
        first,
        last,
        _day(facts.get("as_of"), where),
        tied,
        within,
        disjoint,
        restates,
        union_of,
        differs,
    )


def _wrong(where: str, what: str) -> ConfigurationError:
    return ConfigurationError("WB-E-011", f"A cohort {what}.", where)


def _day(value: Any, where: str) -> date | None:
    if value is None or type(value) is date:
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        pass
    raise _wrong(where, "has a day that is none")


def _names(value: Any, where: str) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _wrong(where, "names others by a list of names")
    return tuple(names)


def tie(one: Cohort, other: Cohort, *, placed: Collection[str] = ()) -> Tie | None:
    """Return what is said of two cohorts; None where neither says whom it counts.

    Args:
        placed: columns of ``where`` that both tables are placed by; they no longer tell cohorts apart.
    """
    for mine, its, turn in ((one, other, False), (other, one, True)):
        found = _declared(mine, its)
        if found is not None:
            return _TURNED.get(found, found) if turn else found
    if not one.population or not other.population:
        return Tie.APART if one.is_said and other.is_said else None
    if one.population != other.population:
        return Tie.APART
    areas = [
        {name: member for name, member in cohort.where.items() if name not in placed}
        for cohort in (one, other)
    ]
    found = _both(_area(*areas), _time(one, other))
    return Tie.RESTATED if found is Tie.SAME and one.as_of != other.as_of else found


def _declared(one: Cohort, other: Cohort) -> Tie | None:
    if not other.name:
        return None
    said = (
        (one.restates, Tie.RESTATED),
        (one.within, Tie.WITHIN),
        (one.disjoint, Tie.DISJOINT),
        (one.union_of, Tie.AROUND),
        (one.differs, Tie.OVERLAPS),
    )
    return next((found for names, found in said if other.name in names), None)


def _area(one: Mapping[str, str], other: Mapping[str, str]) -> Tie:
    shared = set(one) & set(other)
    if any(one[name] != other[name] for name in shared):
        return Tie.DISJOINT
    more, less = set(one) - shared, set(other) - shared
    if more and less:
        return Tie.OVERLAPS
    return Tie.WITHIN if more else Tie.AROUND if less else Tie.SAME


def _time(one: Cohort, other: Cohort) -> Tie:
    """Who was there at a time was there in every period around it; a child can be there in two.

    Few come and go between two days that are near, and those around them know who.
    """
    if one.first is None or one.last is None or other.first is None or other.last is None:
        return Tie.SAME if one.first is other.first else Tie.OVERLAPS
    if (one.first, one.last) == (other.first, other.last):
        return Tie.SAME
    if other.first <= one.first and one.last <= other.last:
        return Tie.WITHIN
    if one.first <= other.first and other.last <= one.last:
        return Tie.AROUND
    are_days = one.first == one.last and other.first == other.last
    return Tie.RESTATED if are_days and abs((one.first - other.first).days) <= NEAR_DAYS else Tie.OVERLAPS


def _both(area: Tie, time: Tie) -> Tie:
    found = {area, time} - {Tie.SAME}
    if Tie.DISJOINT in found:
        return Tie.DISJOINT
    return Tie.SAME if not found else next(iter(found)) if len(found) == 1 else Tie.OVERLAPS
