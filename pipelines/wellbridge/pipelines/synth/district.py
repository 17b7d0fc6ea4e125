"""The district that is made up: its days, nights, schools and how many of everything there are."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from wellbridge.pipelines.synth.names import STREETS

BLOCK: Final = 5_000  # persons generated together: what memory depends on, instead of the number of students
FIRST_DAY: Final = date(2026, 8, 17)
LAST_DAY: Final = date(2027, 5, 28)
HISTORY_DAYS: Final = 30  # instructional days in the first night's delivery
SCHOOL_YEAR: Final = 2027  # Ed-Fi and OneRoster name a school year by its end
STUDENTS_A_SCHOOL: Final = 500
STUDENTS_A_STAFF_MEMBER: Final = 15
_HOLIDAYS: Final = frozenset(
    {
        date(2026, 9, 7),
        date(2026, 10, 12),
        date(2026, 11, 11),
        *(date(2026, 11, d) for d in range(23, 28)),
        *(date(2026, 12, 18) + timedelta(days=d) for d in range(1, 17)),
        date(2027, 1, 18),
        date(2027, 2, 15),
        *(date(2027, 3, d) for d in range(15, 20)),
    }
)
LEVELS: Final = ("elementary", "middle", "high")
_LEVEL_PATTERN: Final = (0, 1, 2, 0, 0, 2)  # half of the pupils are in the six elementary grades
GRADES: Final = ("KG", *(f"{grade:02d}" for grade in range(1, 13)))


@dataclass(frozen=True)
class School:
    """One school: its number (1-based), district id, name and level (index into ``LEVELS``)."""

    number: int
    level: int

    @property
    def school_id(self) -> str:
        """The district's id of the school."""
        return f"S{self.number:02d}"

    @property
    def name(self) -> str:
        """The school's name, which tells its level."""
        tree = STREETS[self.number % len(STREETS)]
        wing = (self.number - 1) // len(STREETS)
        return f"{tree} {LEVELS[self.level].capitalize()} School" + (f" {wing + 1}" if wing else "")

    @property
    def grades(self) -> tuple[str, ...]:
        """The grades taught there."""
        return (GRADES[:6], GRADES[6:9], GRADES[9:])[self.level]


@dataclass(frozen=True)
class Plan:
    """What is asked for, and all that follows from it without a random number.

    Raises:
        ValueError: fewer than one student or night, or more nights than the school year has days left.
    """

    directory: Path
    students: int
    nights: int
    seed: int

    def __post_init__(self) -> None:
        if self.students < 1 or not 1 <= self.nights <= len(school_days()) - HISTORY_DAYS:
            raise ValueError(
                "a synthetic district needs one student and one night, and nights within a school year"
            )

    @cached_property
    def days(self) -> tuple[date, ...]:
        """Instructional days delivered: the history, then one a night."""
        return school_days()[: HISTORY_DAYS + self.nights - 1]

    @cached_property
    def night_days(self) -> tuple[date, ...]:
        """The day each night delivers up to (night 1 first)."""
        return self.days[HISTORY_DAYS - 1 :]

    @property
    def day_before(self) -> date:
        """The last instructional day before the first night's."""
        return self.days[HISTORY_DAYS - 2]

    @property
    def as_of(self) -> date:
        """The newest day that any delivery speaks for."""
        return self.night_days[-1]

    def night_of(self, day: date) -> int:
        """Return the night that delivers what happened on ``day``; ``nights + 1`` if none does."""
        return next((n for n, end in enumerate(self.night_days, 1) if day <= end), self.nights + 1)

    def day(self, night: int) -> str:
        """Return the day a night delivers up to, ISO 8601."""
        return self.night_days[night - 1].isoformat()

    def stamp(self, night: int, is_range: bool) -> str:
        """Return the date part of a file's name: a range for the first night's history, else the day."""
        return f"{FIRST_DAY}_{self.day(1)}" if is_range and night == 1 else self.day(night)

    @cached_property
    def schools(self) -> tuple[School, ...]:
        """The schools, S01 first."""
        count = max(6, math.ceil(self.students / STUDENTS_A_SCHOOL))
        return tuple(School(n + 1, _LEVEL_PATTERN[n % len(_LEVEL_PATTERN)]) for n in range(count))

    @property
    def edfi_schools(self) -> frozenset[int]:
        """Numbers of the schools that report attendance through Ed-Fi and not in the SIS file."""
        return frozenset(school.number for school in self.schools[-2:])

    def schools_of(self, level: int) -> list[int]:
        """Return the numbers of the schools of a level."""
        return [school.number for school in self.schools if school.level == level]

    @property
    def staff(self) -> int:
        """Number of staff members."""
        return max(12, self.students // STUDENTS_A_STAFF_MEMBER)

    @property
    def blocks(self) -> int:
        """Number of blocks of persons."""
        return math.ceil(self.students / BLOCK)

    def rng(self, block: int, purpose: str) -> np.random.Generator:
        """Return the generator of one purpose in one block; no purpose disturbs another's numbers."""
        return np.random.default_rng([self.seed & 0xFFFFFFFF, block, zlib.crc32(purpose.encode())])

    def defects(self, block: int) -> int:
        """Return how many defects of each kind the block plants: 1 + students/2000 in all."""
        total = 1 + self.students // 2000
        return total * (block + 1) // self.blocks - total * block // self.blocks

    def folder(self, night: int, feed: str) -> Path:
        """Return the folder of a feed in a night, made if need be."""
        path = self.directory / f"night-{night}" / feed
        path.mkdir(parents=True, exist_ok=True)
        return path


def school_days() -> tuple[date, ...]:
    """Return the instructional days of the school year."""
    span = (FIRST_DAY + timedelta(days=d) for d in range((LAST_DAY - FIRST_DAY).days + 1))
    return tuple(day for day in span if day.weekday() < 5 and day not in _HOLIDAYS)


def quota(count: int, share: float, least: int) -> int:
    """Return ``share`` of ``count`` persons, but at least ``least`` where there are as many."""
    return min(count, max(least, round(count * share)))
