"""Deliveries of school sources for tests: small made ones, and the real ones beside the repository."""

from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from wellbridge.etl.parsing import Split, parse
from wellbridge.etl.reading import Chunk, Delivery
from wellbridge.etl.validation import validate
from wellbridge.pipelines.sources.source import Source, source
from wellbridge.privacy.policy import deidentify
from wellbridge.schemas.warehouse import METADATA

REAL = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "school"
needs_real_files = pytest.mark.skipif(
    not REAL.is_dir(), reason="the real sample files are not on this machine"
)

Rows = Iterable[Mapping[str, str]]


def delivery(path: Path, day: date | None = None, stream: str = "") -> Delivery:
    """Return a file or folder as a landed delivery."""
    if path.is_dir():
        files = {p.relative_to(path).as_posix(): p for p in sorted(path.rglob("*")) if p.is_file()}
    else:
        files = {path.name: path}
    return Delivery("feed", path.name, stream, "0" * 64, day, day, 1, files)


def read(kind: str, what: Delivery, settings: Mapping[str, Any] | None = None) -> list[Chunk]:
    """Check and read a delivery."""
    found = source(kind)
    found.check(what, settings or {})
    return list(found.read(what, settings or {}))


def one(chunks: Iterable[Chunk], resource: str, *, deletes: bool = False) -> Chunk:
    """Return all chunks of a resource as one."""
    mine = [c for c in chunks if c.resource == resource and c.deletes == deletes]
    assert mine, f"no chunk of {resource}"
    held = pl.concat([c.held for c in mine])
    return Chunk(resource, pl.concat([c.rows for c in mine], how="diagonal"), held, deletes)


def counts(chunks: Iterable[Chunk]) -> dict[str, int]:
    """Return rows read by resource; deletes apart."""
    found: Counter[str] = Counter()
    for chunk in chunks:
        found[chunk.resource + (" deletes" if chunk.deletes else "")] += chunk.read
    return {name: number for name, number in found.items() if number}


def held(chunks: Iterable[Chunk]) -> list[tuple[str, int, str | None, str]]:
    """Return what readers held: file, row, column, rule."""
    rows = pl.concat([chunk.held for chunk in chunks]).select("_file", "_row", "column", "rule")
    return sorted(rows.iter_rows(), key=str)


def checked(found: Source, chunk: Chunk) -> Split:
    """Parse and validate a chunk as the walk does."""
    contract = found.resources[chunk.resource].contract
    return validate(parse(chunk.rows, contract), contract)


def shaped(found: Source, chunk: Chunk) -> dict[str, pl.DataFrame]:
    """Return a chunk's warehouse rows; each key is the identifier itself, so that tests can see it."""
    resource = found.resources[chunk.resource]
    kept = checked(found, chunk).kept.with_row_index("_id").with_columns(version=pl.lit("v"))
    for column in resource.contract.columns.values():
        if column.ids is not None:
            kept = kept.with_columns(pl.col(column.name).alias(column.key_name))
    rows = deidentify(kept, resource.contract)
    frames = resource.shape(rows) if resource.shape else {str(resource.table): rows}
    known = {name: METADATA.tables[name].columns.keys() for name in frames if name in METADATA.tables}
    return {
        name: frame.select(n for n in frame.columns if n in known.get(name, frame.columns) or n == "_id")
        for name, frame in frames.items()
    }


def is_row_by_row_and_keyed(frames: Mapping[str, pl.DataFrame]) -> bool:
    """Whether each frame carries the row's mark and every key column of its table."""
    return bool(frames) and all(
        {"_id", *METADATA.tables[name].info["key"]} <= set(frame.columns) for name, frame in frames.items()
    )


# -- OneRoster ---------------------------------------------------------------------------------------------

COLUMNS_12 = {
    "academicSessions": "title type startDate endDate parentSourcedId schoolYear",
    "orgs": "name type identifier parentSourcedId",
    "users": "enabledUser username userIds givenName familyName middleName identifier email sms phone "
    "agentSourcedIds grades password userMasterIdentifier preferredGivenName preferredMiddleName "
    "preferredFamilyName primaryOrgSourcedId pronouns",
    "roles": "userSourcedId roleType role beginDate endDate orgSourcedId userProfileSourcedId",
    "demographics": "birthDate sex americanIndianOrAlaskaNative asian blackOrAfricanAmerican "
    "nativeHawaiianOrOtherPacificIslander white demographicRaceTwoOrMoreRaces "
    "hispanicOrLatinoEthnicity countryOfBirthCode stateOfBirthAbbreviation cityOfBirth "
    "publicSchoolResidenceStatus",
    "enrollments": "classSourcedId schoolSourcedId userSourcedId role primary beginDate endDate",
    "lineItems": "title description assignDate dueDate classSourcedId categorySourcedId "
    "academicSessionSourcedId resultValueMin resultValueMax schoolSourcedId",
    "results": "lineItemSourcedId studentSourcedId scoreStatus score scoreDate comment textScore "
    "classSourcedId inProgress incomplete late missing",
}


def header_12(member: str) -> list[str]:
    """Return the columns of a member of OneRoster 1.2."""
    return ["sourcedId", "status", "dateLastModified", *COLUMNS_12[member].split()]


def csv_text(header: list[str], rows: Rows) -> str:
    """Return CSV text; cells that a row does not name are empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, header, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def manifest(modes: Mapping[str, str], version: str = "1.2") -> str:
    """Return a manifest's text."""
    lines = ["propertyName,value", "manifest.version,1.0", f"oneroster.version,{version}"]
    return "\n".join([*lines, *(f"file.{name},{mode}" for name, mode in modes.items())]) + "\n"


def package(path: Path, members: Mapping[str, Rows], mode: str = "bulk", **texts: str) -> Path:
    """Write a OneRoster 1.2 zip; ``texts`` replaces or adds files by their names without ``.csv``."""
    files = {name: csv_text(header_12(name), rows) for name, rows in members.items()}
    files["manifest"] = manifest(dict.fromkeys(members, mode))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**files, **texts}.items():
            if text:
                archive.writestr(f"{name}.csv", text)
    return path


def copied(path: Path, folder: Path) -> Path:
    """Copy a real file, because reading a package writes beside it."""
    return Path(shutil.copy(path, folder / path.name))


# -- Ed-Fi -------------------------------------------------------------------------------------------------


def pull(folder: Path, pages: Mapping[str, list[Any]], declared: Mapping[str, int] | None = None) -> Path:
    """Write an Ed-Fi folder of pages with its ``pull.json``."""
    for name, records in pages.items():
        page = folder / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(json.dumps(records), encoding="utf-8")
    counted = {name: len(records) for name, records in pages.items()} | dict(declared or {})
    listed = [{"path": name, "rows": rows} for name, rows in counted.items()]
    (folder / "pull.json").write_text(
        json.dumps({"period": "2026-10-19", "members": listed}), encoding="utf-8"
    )
    return folder
