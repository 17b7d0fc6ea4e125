"""What the parts of a FHIR record mean: checked JSON types, dates, instants, references and labels.

Everything here either returns what it was asked for or raises ``RecordError``, which names a column and a
rule and never carries a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from wellbridge.pipelines.sources.sheet import NOT_A_NUMBER, RecordError
from wellbridge.schemas.labels import Label

Record = Mapping[str, Any]


# FHIR R4, datatypes date and dateTime: a time of day needs seconds and an offset.
_DATE: Final = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
_DAY_BYTES: Final = len("2026-10-19")
_INSTANT: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2}T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(\d+))?(Z|[+-](?:0\d|1[0-4]):[0-5]\d)"
)
_VERSION: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_REFERENCE: Final = re.compile(
    r"(?:^|/)([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]+)?$"
)
_URN: Final = re.compile(r"^urn:(?:uuid|oid):([A-Za-z0-9\-.]{1,64})$")
_MINUTES: Final = {"s": 1 / 60, "min": 1.0, "h": 60.0}  # UCUM


def text(record: Record, name: str) -> str | None:
    """Return a string element, None where it is absent."""
    value = record.get(name)
    if value is not None and not isinstance(value, str):
        raise RecordError(name)
    return value


def child(record: Record, name: str) -> Record:
    """Return an object element, empty where it is absent."""
    value = record.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RecordError(name)
    return value


def children(record: Record, name: str) -> list[Record]:
    """Return the objects of a list element, none where it is absent."""
    value = record.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise RecordError(name)
    return value


def texts(record: Record, name: str) -> list[str]:
    """Return the strings of a list element, none where it is absent."""
    value = record.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise RecordError(name)
    return [item for item in value if isinstance(item, str)]


def labels(codings: list[Record]) -> list[Label]:
    """Return codings as (system, code), trimmed; a coding without a code says nothing."""
    found = [(text(coding, "system") or "", text(coding, "code") or "") for coding in codings]
    return [(system.strip(), code.strip()) for system, code in found if code.strip()]


def codings(record: Record, name: str, *, many: bool = False) -> list[Label]:
    """Return the codings of a CodeableConcept, or of a list of them."""
    concepts = children(record, name) if many else [child(record, name)]
    return [label for concept in concepts for label in labels(children(concept, "coding"))]


def security(record: Record) -> list[Label]:
    """Return the record's security labels."""
    return labels(children(child(record, "meta"), "security"))


def target(reference: Record, kind: str) -> str | None:
    """Return the id that a reference names, None where it names no resource of that kind.

    Relative, absolute and ``urn:uuid`` references are understood; contained and identifier-only ones name
    nobody.
    """
    stated = text(reference, "reference") or ""
    found = _REFERENCE.search(stated)
    if found:
        return found[2] if found[1] == kind else None
    urn = _URN.match(stated)
    return urn[1] if urn and text(reference, "type") in (None, kind) else None


def first_target(references: list[Record], kind: str) -> str | None:
    """Return the first id of that kind among references."""
    return next((found for reference in references if (found := target(reference, kind)) is not None), None)


def day(stated: str | None) -> str | None:
    """Return the calendar day of a date or dateTime as it was written, at the place where it happened.

    What is no whole day is returned as it stands, so that the contract holds the row.
    """
    return stated[:_DAY_BYTES] if stated is not None and _INSTANT.fullmatch(stated) else stated


def instant(stated: str | None) -> datetime | None:
    """Return a dateTime with time and offset as an instant in UTC, None where it is no such thing."""
    found = _INSTANT.fullmatch(stated or "")
    if not found:
        return None
    fraction = (found[2] or "0")[:6].ljust(6, "0")
    offset = found[3].replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(f"{found[1]}.{fraction}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def version(stated: str | None) -> str | None:
    """Return an instant as text that sorts by time: ``YYYY-MM-DDTHH:MM:SS.ffffffZ``."""
    found = instant(stated)
    return found.strftime(_VERSION) if found else None


def span(stated: str | None) -> tuple[date, date] | None:
    """Return the first day of a date, year, month or instant and the day after its last."""
    written = day(stated) or ""
    if not _DATE.fullmatch(written):
        return None
    year, month, number = (*(int(part) for part in written.split("-")), 0, 0)[:3]
    try:
        first = date(year, month or 1, number or 1)
        if number:
            return first, first + timedelta(days=1)
        return first, date(year + (month in (0, 12)), month % 12 + 1 if month else 1, 1)
    except (ValueError, OverflowError):
        return None


def number(value: object, column: str) -> float | int:
    """Return a JSON number; text that looks like one is not one (FHIR R4, datatype decimal)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RecordError(column, NOT_A_NUMBER)
    return value


def minutes(record: Record) -> float | None:
    """Return a visit's minutes from its period, else from its stated length; None where neither says."""
    period = child(record, "period")
    start, end = instant(text(period, "start")), instant(text(period, "end"))
    if start and end:
        return (end - start).total_seconds() / 60
    length = child(record, "length")
    factor = _MINUTES.get(text(length, "code") or text(length, "unit") or "")
    return number(length["value"], "minutes") * factor if factor and length.get("value") is not None else None


def chosen(record: Record, stem: str) -> tuple[str, Any] | None:
    """Return name and value of the one ``stem[x]`` element; several of them contradict R4."""
    found = [
        (name, value) for name, value in record.items()
        if name.startswith(stem) and name[len(stem):len(stem) + 1].isupper() and value is not None
    ]
    if len(found) > 1:
        raise RecordError(f"{stem}[x]")
    return found[0] if found else None
