"""The school year: July to June, named by both calendar years."""

from __future__ import annotations

from datetime import date
from typing import Final

FIRST_MONTH: Final = 7  # July, as in CEDS and Ed-Fi calendars of most states


def bounds(day: date) -> tuple[date, date]:
    """Return the first and last day of the school year that holds ``day``."""
    first = day.year if day.month >= FIRST_MONTH else day.year - 1
    return date(first, FIRST_MONTH, 1), date(first + 1, FIRST_MONTH - 1, 30)


def name(day: date) -> str:
    """Return the name of the school year that holds ``day``: ``2026-27``."""
    first, last = bounds(day)
    return f"{first.year}-{last.year % 100:02d}"
