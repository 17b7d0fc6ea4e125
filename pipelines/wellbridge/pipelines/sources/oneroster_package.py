"""A OneRoster CSV package: its manifest, its members, and which of their columns are looked at.

Rules of the CSV binding 1.2.1 (school-sources, section 1.1), relaxed where real producers break them without
harm: any column order, ``status`` in bulk files, missing optional columns that are dropped anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from wellbridge.etl.readers.delimited import read_delimited
from wellbridge.etl.readers.packages import Package, open_zip
from wellbridge.etl.reading import Delivery, Refused

MANIFEST: Final = "manifest.csv"
VERSIONS: Final = ("1.1", "1.2")
MODES: Final = ("absent", "bulk", "delta")
_START: Final = ("sourcedId", "status", "dateLastModified")

# Columns that are read; whatever else a version's table has is dropped at the door.
_READ: Final[Mapping[str, tuple[str, ...]]] = {
    "academicSessions": ("type", "startDate", "parentSourcedId"),
    "orgs": ("name", "type", "identifier", "parentSourcedId"),
    "courses": ("schoolYearSourcedId", "orgSourcedId"),
    "classes": ("courseSourcedId", "schoolSourcedId"),
    "users": ("givenName", "familyName", "identifier", "grades"),
    "roles": ("userSourcedId", "roleType", "role", "orgSourcedId"),
    "demographics": (
        "birthDate",
        "sex",
        "americanIndianOrAlaskaNative",
        "asian",
        "blackOrAfricanAmerican",
        "nativeHawaiianOrOtherPacificIslander",
        "white",
        "demographicRaceTwoOrMoreRaces",
        "hispanicOrLatinoEthnicity",
    ),
    "enrollments": ("classSourcedId", "schoolSourcedId", "userSourcedId"),
    "categories": (),
    "lineItems": ("classSourcedId", "categorySourcedId", "resultValueMin", "resultValueMax"),
    "results": ("lineItemSourcedId", "studentSourcedId", "scoreStatus", "score", "scoreDate"),
    "resources": (),
    "classResources": ("classSourcedId",),
    "courseResources": ("courseSourcedId",),
}
_READ_ONLY_IN: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("1.1", "users"): ("orgSourcedIds", "role"),
    ("1.2", "users"): ("primaryOrgSourcedId",),
}
_DROPPED: Final[Mapping[str, tuple[str, ...]]] = {
    "academicSessions": ("title", "endDate", "schoolYear"),
    "courses": ("title", "courseCode", "grades", "subjects", "subjectCodes"),
    "classes": (
        "title",
        "grades",
        "classCode",
        "classType",
        "location",
        "termSourcedIds",
        "subjects",
        "subjectCodes",
        "periods",
    ),
    "users": (
        "enabledUser",
        "username",
        "userIds",
        "middleName",
        "email",
        "sms",
        "phone",
        "agentSourcedIds",
        "password",
    ),
    "roles": ("beginDate", "endDate", "userProfileSourcedId"),
    "demographics": (
        "countryOfBirthCode",
        "stateOfBirthAbbreviation",
        "cityOfBirth",
        "publicSchoolResidenceStatus",
    ),
    "enrollments": ("role", "primary", "beginDate", "endDate"),
    "categories": ("title",),
    "lineItems": ("title", "description", "assignDate", "dueDate"),
    "results": ("comment",),
    "resources": ("vendorResourceId", "title", "roles", "importance", "vendorId", "applicationId"),
    "classResources": ("title", "resourceSourcedId"),
    "courseResources": ("title", "resourceSourcedId"),
}
_DROPPED_ONLY_IN: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("1.1", "lineItems"): ("gradingPeriodSourcedId",),
    ("1.2", "lineItems"): ("academicSessionSourcedId", "schoolSourcedId"),
    ("1.2", "categories"): ("weight",),
    ("1.2", "users"): (
        "userMasterIdentifier",
        "preferredGivenName",
        "preferredMiddleName",
        "preferredFamilyName",
        "pronouns",
    ),
    ("1.2", "results"): ("textScore", "classSourcedId", "inProgress", "incomplete", "late", "missing"),
}
# Members of 1.2 whose columns nothing here needs to know: only their rows are counted.
_COUNTED_IN_12: Final = (
    "lineItemLearningObjectiveIds",
    "lineItemScoreScales",
    "resultLearningObjectiveIds",
    "resultScoreScales",
    "scoreScales",
    "userProfiles",
    "userResources",
)
_FILES: Final[Mapping[str, frozenset[str]]] = {
    "1.1": frozenset(_READ) - {"roles"},
    "1.2": frozenset(_READ) | frozenset(_COUNTED_IN_12),
}

# member → column → the member that the column's ids are of
REFERENCES: Final[Mapping[str, Mapping[str, str]]] = {
    "academicSessions": {"parentSourcedId": "academicSessions"},
    "orgs": {"parentSourcedId": "orgs"},
    "courses": {"schoolYearSourcedId": "academicSessions", "orgSourcedId": "orgs"},
    "classes": {"courseSourcedId": "courses", "schoolSourcedId": "orgs"},
    "roles": {"userSourcedId": "users", "orgSourcedId": "orgs"},
    "demographics": {"sourcedId": "users"},
    "enrollments": {"classSourcedId": "classes", "schoolSourcedId": "orgs", "userSourcedId": "users"},
    "lineItems": {"classSourcedId": "classes", "categorySourcedId": "categories"},
    "results": {"lineItemSourcedId": "lineItems"},
    "classResources": {"classSourcedId": "classes"},
    "courseResources": {"courseSourcedId": "courses"},
}


@dataclass(frozen=True)
class Roster:
    """An opened package whose manifest agrees with what is in it.

    Attributes:
        label: the delivery's name.
        package: the checked archive.
        version: ``1.1`` or ``1.2``.
        modes: member (without ``.csv``) → ``bulk`` or ``delta``; absent members are not there.
        folder: where members are expanded to.
    """

    label: str
    package: Package
    version: str
    modes: Mapping[str, str]
    folder: Path

    def rows(self, member: str) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """Yield a member's rows with the columns that are looked at, and the rows that could not be read.

        Raises:
            Refused: WB-D-003 when the header is not its version's, WB-D-004, WB-D-007.
        """
        if member not in self.modes:
            return
        key = (self.version, member)
        read = (*_START, *_READ.get(member, ()), *_READ_ONLY_IN.get(key, ()))
        dropped = (*_DROPPED.get(member, ()), *_DROPPED_ONLY_IN.get(key, ()), "metadata.*")
        path = self.package.extract(f"{member}.csv", self.folder)
        yield from read_delimited(
            path,
            name=f"{self.label}/{member}.csv",
            headers=read,
            extra=("*",) if member in _COUNTED_IN_12 else dropped,
        )
        path.unlink(missing_ok=True)

    def whole(self, member: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return all rows of a member at once, as ``rows`` yields them; no columns where it is absent."""
        parts = list(self.rows(member))
        if not parts:
            return pl.DataFrame(), pl.DataFrame()
        return pl.concat([rows for rows, _ in parts]), pl.concat([held for _, held in parts])


def open_roster(delivery: Delivery, folder: Path) -> Roster:
    """Open the zip and hold its manifest against its members.

    Raises:
        Deferred: WB-D-002 while the zip's directory has not arrived.
        Refused: WB-D-006 for a member that no version has, WB-D-007 when manifest and members disagree.
    """
    (path,) = delivery.files.values()
    package = open_zip(path, name=delivery.name)
    properties = _manifest(package, delivery.name, folder)
    version = properties.pop("oneroster.version", "")[:3]
    if properties.pop("manifest.version", "") != "1.0" or version not in VERSIONS:
        raise Refused("WB-D-007", f"{delivery.name}/{MANIFEST}", ("manifest.version", "oneroster.version"))
    modes = {
        name.removeprefix("file."): mode for name, mode in properties.items() if name.startswith("file.")
    }
    _compare(package, delivery.name, modes, _FILES[version])
    present = {member: mode for member, mode in modes.items() if mode != "absent"}
    return Roster(delivery.name, package, version, present, folder)


def _manifest(package: Package, label: str, folder: Path) -> dict[str, str]:
    if MANIFEST not in package.names:
        raise Refused("WB-D-007", f"{label}/{MANIFEST}")
    path = package.extract(MANIFEST, folder)
    parts = list(read_delimited(path, name=f"{label}/{MANIFEST}", headers=("propertyName", "value")))
    rows = pl.concat([rows for rows, _ in parts]).with_columns(
        pl.col(pl.String).fill_null("").str.strip_chars()
    )
    if any(held.height for _, held in parts) or rows["propertyName"].is_duplicated().any():
        raise Refused("WB-D-007", f"{label}/{MANIFEST}")
    return dict(rows.select("propertyName", "value").iter_rows())


def _compare(package: Package, label: str, modes: Mapping[str, str], files: frozenset[str]) -> None:
    """Refuse a package in which something is declared and missing, or there and not declared."""
    for name in package.names:
        member = name.removesuffix(".csv")
        if name != MANIFEST and (member not in files or not name.endswith(".csv")):
            raise Refused("WB-D-006", f"{label}/{name}")
    if not modes.keys() <= files:  # such a name is the file's own text, so it is not told
        raise Refused("WB-D-007", f"{label}/{MANIFEST}")
    wrong = [f"file.{member}" for member, mode in modes.items() if mode not in MODES]
    declared = {f"{member}.csv" for member, mode in modes.items() if mode != "absent"} | {MANIFEST}
    differing = sorted(declared.symmetric_difference(package.names))
    if wrong or differing:
        raise Refused("WB-D-007", f"{label}/{differing[0] if differing else MANIFEST}", wrong)
