"""How a partner without student numbers knows a child: names, birth date, address, often not quite right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

import numpy as np

from wellbridge.pipelines.synth.names import NICKNAMES, mistype

ERROR_SHARE: Final = 0.14


@dataclass(frozen=True)
class Known:
    """What a partner's record says of a child, and the kinds of error in it."""

    first_name: str
    last_name: str
    birth_date: date
    street: str
    zip_code: str
    phone: str
    errors: tuple[str, ...] = ()

    def with_error(self, kind: str, **changes: Any) -> Known:
        """Return the record with one more error."""
        return replace(self, errors=(*self.errors, kind), **changes)


def known(rng: np.random.Generator, person: dict[str, Any]) -> Known:
    """Return a partner's knowledge of a child.

    A mover is known by the old address. A child whose family opted out is known without error, so that who
    must be
    removed does not depend on how well records are linked.
    """
    said = Known(
        person["first_name"],
        person["last_name"],
        person["birth_date"],
        person["street"],
        person["zip_code"],
        person["phone"],
    )
    draws = rng.random(5)
    if person["opt_out"]:
        return said
    if person["is_mover"]:
        said = said.with_error("old_address", street=person["old_street"], zip_code=person["old_zip"])
    if person["has_double_surname"] and draws[0] < 0.4:
        said = said.with_error("one_surname", last_name=person["first_surname"])
    if person["first_name"] in NICKNAMES and draws[1] < 0.25:
        return said.with_error("nickname", first_name=NICKNAMES[person["first_name"]])
    return _mistyped(rng, said, float(draws[2])) if draws[3] < ERROR_SHARE else said


def _mistyped(rng: np.random.Generator, said: Known, draw: float) -> Known:
    if draw < 0.4:
        return said.with_error("typing_first_name", first_name=mistype(rng, said.first_name))
    if draw < 0.7:
        return said.with_error("typing_last_name", last_name=mistype(rng, said.last_name))
    day = said.birth_date
    if day.day <= 12 and day.day != day.month:
        return said.with_error("day_and_month", birth_date=date(day.year, day.day, day.month))
    return said.with_error("birth_day", birth_date=day.replace(day=1 + day.day % 27))
