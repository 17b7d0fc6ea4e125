"""Ed-Fi API pulls: everything in the first night, then changes and deletes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
import polars as pl

from wellbridge.pipelines.synth.district import FIRST_DAY, SCHOOL_YEAR, Plan, school_days
from wellbridge.pipelines.synth.people import never_rostered
from wellbridge.pipelines.synth.truth import Place, Truth, write_json
from wellbridge.pipelines.synth.writing import Pages

DISTRICT: Final = 990001
SESSION: Final = "2026-2027 Fall Semester"
_CALENDAR_DAYS: Final = 84  # instructional days that the calendar shows ahead, unless more are delivered
_KEYS_ONLY: Final = frozenset({"interventions"})


def descriptor(name: str, code: str) -> str:
    """Return a descriptor's URI."""
    return f"uri://ed-fi.org/{name}Descriptor#{code}"


@dataclass(frozen=True)
class JsonFlaw:
    """One way to spoil an object: ``change`` alters it, or returns what is written in its stead.

    ``is_copy``: the spoilt object is one more, which no true event stands behind.
    """

    rule: str
    field: str
    change: Callable[[dict[str, Any]], Any]
    is_copy: bool = False


def setting(rule: str, field: str, value: Any, *, is_copy: bool = False) -> JsonFlaw:
    """Return the flaw that gives a field another value; ``a.b`` names a field of a nested object."""

    def change(record: dict[str, Any]) -> None:
        *outer, last = field.split(".")
        for name in outer:
            record = record[name]
        record[last] = value

    return JsonFlaw(rule, field, change, is_copy)


def _stranger(salt: int, identifier: str | None = None) -> JsonFlaw:
    def change(record: dict[str, Any]) -> None:
        record["studentReference"]["studentUniqueId"] = never_rostered(1, salt)[0]
        record["id"] = "f" + record["id"][1:]  # one more record has an id of its own
        if identifier:
            record[identifier] += f"-{salt}"

    return JsonFlaw("WB-R-031", "studentReference.studentUniqueId", change, is_copy=True)


def _dropped(record: dict[str, Any]) -> None:
    del record["attendanceEventCategoryDescriptor"]


def _broken(record: dict[str, Any]) -> bytes:
    return orjson.dumps(record)[:-2]


def _earlier_year(entry: str, leave: str) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        record.update(
            id="e" + record["id"][1:],
            entryDate=entry,
            exitWithdrawDate=leave,
            exitWithdrawTypeDescriptor=descriptor("ExitWithdrawType", "Transferred"),
        )

    return change


FLAWS: Final[dict[str, tuple[JsonFlaw, ...]]] = {
    "studentSchoolAttendanceEvents": (
        setting("WB-R-011", "eventDate", "2026-09-31"),
        setting(
            "WB-R-020",
            "attendanceEventCategoryDescriptor",
            descriptor("AttendanceEventCategory", "Wandering"),
        ),
        setting("WB-R-021", "eventDuration", 7),
        JsonFlaw("WB-R-010", "attendanceEventCategoryDescriptor", _dropped),
        JsonFlaw("WB-R-030", "", lambda record: None, is_copy=True),
        _stranger(11),
    ),
    "disciplineActions": (
        setting("WB-R-011", "disciplineDate", "2026-02-30"),
        setting(
            "WB-R-020", "disciplines", [{"disciplineDescriptor": descriptor("Discipline", "Stern look")}]
        ),
        setting("WB-R-021", "disciplineActionLength", 9000),
        _stranger(12, "disciplineActionIdentifier"),
    ),
    "studentSchoolAssociations": (
        JsonFlaw("WB-R-032", "exitWithdrawDate", _earlier_year("2025-08-18", "2025-06-01"), is_copy=True),
        JsonFlaw("WB-R-014", "entryDate", _earlier_year("0025-08-18", "2025-06-01"), is_copy=True),
    ),
    "studentHomelessProgramAssociations": (
        setting(
            "WB-R-020",
            "homelessPrimaryNighttimeResidenceDescriptor",
            descriptor("HomelessPrimaryNighttimeResidence", "Moon"),
        ),
    ),
    "studentProgramAssociations": (
        setting("WB-R-032", "endDate", "2026-01-01"),
        setting(
            "WB-R-020", "programReference.programTypeDescriptor", descriptor("ProgramType", "Time travel")
        ),
    ),
    "studentInterventionAssociations": (
        JsonFlaw("WB-R-003", "", _broken),
        setting("WB-R-012", "dosage", "ten"),
    ),
}


class EdFi:
    """Writes the pages of every night's folder."""

    def __init__(self, plan: Plan, truth: Truth) -> None:
        self.plan, self.truth = plan, truth
        self._pages: dict[tuple[int, str], Pages] = {}
        self._deletes: dict[tuple[int, str], int] = {}
        self._places()

    def folder_name(self, night: int) -> str:
        """Return the name of a night's folder."""
        return f"edfi_{self.plan.day(night)}"

    def _page(self, night: int, resource: str) -> Pages:
        if (night, resource) not in self._pages:
            folder = self.plan.folder(night, "edfi") / self.folder_name(night)
            lines = resource == "studentInterventionAssociations"
            self._pages[night, resource] = Pages(folder, resource, lines=lines)
        return self._pages[night, resource]

    def add(self, night: int, resource: str, objects: list[str]) -> None:
        """Write objects that nothing is wrong with."""
        self._page(night, resource).add(objects)
        name = resource.partition("/")[0]
        self.truth.count("edfi", name, "read", len(objects))
        if name in _KEYS_ONLY:
            self.truth.count("edfi", name, "removed WB-P-004", len(objects))

    def put(self, night: int, resource: str, frame: pl.DataFrame, block: int) -> pl.DataFrame:
        """Write the ``json`` of a block's rows, some of them spoilt; return the frame with ``kept``."""
        rng = self.plan.rng(block, f"edfi/{resource}/{night}")
        flaws = FLAWS.get(resource, ()) if night == 1 else ()
        due = [flaw for flaw in flaws for _ in range(self.plan.defects(block))]
        rows = [int(row) for row in rng.permutation(frame.height)[: min(len(due), frame.height // 2)]]
        chosen = list(zip(due, rows, strict=False))
        kept = np.ones(frame.height, dtype=np.bool_)
        kept[[row for flaw, row in chosen if not flaw.is_copy]] = False
        self.add(night, resource, frame.filter(pl.Series(kept))["json"].to_list())
        for flaw, row in chosen:
            self._spoil(night, resource, flaw, frame["json"][row])
        return frame.with_columns(pl.Series("kept", kept))

    def _spoil(self, night: int, resource: str, flaw: JsonFlaw, text: str) -> None:
        record = orjson.loads(text)
        instead = flaw.change(record)
        written = orjson.dumps(record).decode() if instead is None else instead.decode()
        member, row = self._page(night, resource).add([written])
        self.truth.count("edfi", resource, "read", 1)
        file = f"{self.folder_name(night)}/{member}"
        self.truth.defect(Place("edfi", resource, file, row, night), flaw.field, flaw.rule)

    def delete(self, night: int, resource: str, identifier: str, key: dict[str, Any]) -> None:
        """Write a deletion by natural key."""
        change = 1000 * night + self._page(night, f"{resource}/deletes").total
        body = {"id": identifier, "changeVersion": change, "keyValues": key}
        self.add(night, f"{resource}/deletes", [orjson.dumps(body).decode()])
        self.truth.delivery(night, "edfi", self.folder_name(night), "", f"deletes a row of {resource}")

    def modified(self, night: int) -> str:
        """Return when the rows of a night were last changed."""
        return f"{self.plan.day(night)}T22:00:00Z"

    def _places(self) -> None:
        modified = self.modified(1)
        self.add(
            1,
            "schools",
            [
                _text(
                    {
                        "id": f"{0x5C:02x}{s.number:030d}",
                        "schoolId": s.number,
                        "nameOfInstitution": s.name,
                        "educationOrganizationCategories": [
                            {
                                "educationOrganizationCategoryDescriptor": descriptor(
                                    "EducationOrganizationCategory", "School"
                                )
                            }
                        ],
                        "gradeLevels": [
                            {"gradeLevelDescriptor": descriptor("GradeLevel", grade_level(g))}
                            for g in s.grades
                        ],
                        "schoolCategories": [
                            {
                                "schoolCategoryDescriptor": descriptor(
                                    "SchoolCategory",
                                    ("Elementary School", "Middle School", "High School")[s.level],
                                )
                            }
                        ],
                        "localEducationAgencyReference": {"localEducationAgencyId": DISTRICT},
                        "_lastModifiedDate": modified,
                    }
                )
                for s in self.plan.schools
            ],
        )
        days = school_days()[: max(_CALENDAR_DAYS, len(self.plan.days))]
        for school in self.plan.schools:
            self.add(
                1,
                "calendarDates",
                [
                    _text(
                        {
                            "id": f"{0xCA:02x}{school.number:015d}{day.toordinal():015d}",
                            "calendarReference": {
                                "calendarCode": "MAIN",
                                "schoolId": school.number,
                                "schoolYear": SCHOOL_YEAR,
                            },
                            "date": str(day),
                            "calendarEvents": [
                                {"calendarEventDescriptor": descriptor("CalendarEvent", "Instructional day")}
                            ],
                            "_lastModifiedDate": modified,
                        }
                    )
                    for day in days
                ],
            )
        self.add(
            1,
            "interventions",
            [
                _text(
                    {
                        "id": f"{0x1E:02x}{n:030d}",
                        "interventionIdentificationCode": code,
                        "educationOrganizationReference": {"educationOrganizationId": DISTRICT},
                        "interventionClassDescriptor": descriptor("InterventionClass", kind),
                        "beginDate": str(FIRST_DAY),
                        "deliveryMethodDescriptor": descriptor("DeliveryMethod", "Small Group"),
                        "_lastModifiedDate": modified,
                    }
                )
                for n, (code, kind) in enumerate(INTERVENTIONS.items())
            ],
        )

    def close(self) -> None:
        """Write the last pages and each night's ``pull.json``."""
        for night in range(1, self.plan.nights + 1):
            members = []
            for (of, _), pages in self._pages.items():
                if of == night:
                    pages.close()
                    members += [{"path": path, "rows": rows} for path, rows in pages.members]
            folder = self.plan.folder(night, "edfi") / self.folder_name(night)
            folder.mkdir(exist_ok=True)
            write_json(
                folder / "pull.json",
                {
                    "period": self.plan.day(night),
                    "minChangeVersion": 1000 * (night - 1) + 1,
                    "maxChangeVersion": 1000 * night + 999,
                    "members": members,
                },
            )


INTERVENTIONS: Final = {"CHECK-IN": "Practice", "SMALL-GROUP": "Curriculum", "MENTOR": "Supplement"}


def grade_level(grade: str) -> str:
    """Return Ed-Fi's name of a grade."""
    ordinals = (
        "Kindergarten",
        "First",
        "Second",
        "Third",
        "Fourth",
        "Fifth",
        "Sixth",
        "Seventh",
        "Eighth",
        "Ninth",
        "Tenth",
        "Eleventh",
        "Twelfth",
    )
    number = 0 if grade == "KG" else int(grade)
    return ordinals[number] if number == 0 else f"{ordinals[number]} grade"


def _text(record: dict[str, Any]) -> str:
    return orjson.dumps(record).decode()
