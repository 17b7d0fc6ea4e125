"""Which files of a FHIR Bulk Data delivery hold what, and whether all of it is there.

A manifest names every file (HL7/bulk-data, STU 1 to 4: errors are called ``error`` or ``outcome``, a further
page is a ``next`` link). A folder without one is taken only where its feed says ``complete = "settled"``;
then every NDJSON file is a member and its type is that of its first record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from wellbridge.etl.readers.json_records import NotStrictJsonError, loads_strict, read_ndjson
from wellbridge.etl.readers.packages import open_expanded
from wellbridge.etl.reading import Deferred, Delivery, Refused
from wellbridge.pipelines.sources.fhir_values import children, text, version
from wellbridge.pipelines.sources.sheet import RecordError

MANIFEST: Final = "manifest.json"
LOG: Final = "log.ndjson"  # of the client that downloaded the export: no records
PENDING: Final = "#pending"  # a publisher's link to a page that does not exist yet
# What others need comes first: persons, then refusals, then the answers that totals are checked against.
_ORDER: Final = {"Patient": 0, "Consent": 1, "QuestionnaireResponse": 2}


@dataclass(frozen=True)
class Member:
    """One file of resources.

    Attributes:
        name: the member's name in the delivery.
        path: where it can be read.
        kind: the resource type its manifest declares or its first record has; "" where neither says.
        deletes: it holds bundles of deletions.
        count: records that the manifest declares.
    """

    name: str
    path: Path
    kind: str
    deletes: bool = False
    count: int | None = None


@dataclass(frozen=True)
class Package:
    """A delivery's files in reading order.

    Attributes:
        members: the files.
        as_of: the instant they speak for; None where it is not stated.
        is_listed: a manifest names them.
    """

    members: tuple[Member, ...]
    as_of: str | None
    is_listed: bool = True


def open_package(delivery: Delivery, settings: Mapping[str, Any]) -> Package:
    """Find the members of a delivery.

    Raises:
        Deferred: WB-D-002 where the manifest, a page of it or a file it lists is missing.
        Refused: WB-D-007 for a manifest that is none, WB-D-006 for a file of records that it does not list.
    """
    listed = _named(delivery, MANIFEST)
    if listed is None:
        if settings.get("complete") != "settled":
            raise Deferred("WB-D-002", MANIFEST)
        return _unlisted(delivery)
    pages = list(_pages(delivery, listed))
    members = [member for page in pages for member in _listed(delivery, page)]
    _refuse_unlisted(delivery, {member.name for member in members})
    return Package(tuple(sorted(members, key=_rank)), version(_string(pages[0], "transactionTime")))


def check_counts(package: Package) -> None:
    """Compare the records of each listed file with the manifest's count.

    Raises:
        Deferred: WB-D-002 where a file stops in the middle of a record.
        Refused: WB-D-008 where it holds more or fewer.
    """
    for member in package.members if package.is_listed else ():
        lines, is_whole = _lines(member)
        if not is_whole:
            raise Deferred("WB-D-002", member.name)
        stated = lines if member.count is None else member.count
        if lines != stated and not (member.deletes and sum(_entries(member)) == stated):
            raise Refused("WB-D-008", member.name, rows=lines)


def _rank(member: Member) -> tuple[bool, int, str]:
    return member.deletes, _ORDER.get(member.kind, len(_ORDER)), member.name


def _named(delivery: Delivery, name: str) -> str | None:
    """Return the member that an address names: its path, else the one member with its last part."""
    if name in delivery.files:
        return name
    same = [member for member in delivery.files if member.rpartition("/")[2] == name.rpartition("/")[2]]
    return same[0] if len(same) == 1 else None


# -- with a manifest ---------------------------------------------------------------------------------------


def _pages(delivery: Delivery, name: str) -> Iterator[dict[str, Any]]:
    seen = set()
    page: str | None = name
    while page is not None:
        seen.add(page)
        manifest = _manifest(delivery, page)
        yield manifest
        links = [link for link in _list(manifest, "link") if _string(link, "relation") == "next"]
        addresses = [_string(link, "url") for link in links]
        page = next((_member(delivery, url) for url in addresses if url and url != PENDING), None)
        if page in seen:
            raise Refused("WB-D-007", name)


def _manifest(delivery: Delivery, name: str) -> dict[str, Any]:
    data = delivery.files[name].read_bytes()
    try:
        manifest = loads_strict(data)
    except NotStrictJsonError:
        manifest = None
    if isinstance(manifest, dict):
        return manifest
    if not data.rstrip().endswith(b"}"):
        raise Deferred("WB-D-002", name)
    raise Refused("WB-D-007", name)


def _listed(delivery: Delivery, manifest: Mapping[str, Any]) -> Iterator[Member]:
    for section in ("output", "deleted", "error", "outcome"):
        for entry in _list(manifest, section):
            name = _member(delivery, _string(entry, "url") or "")
            kind = _string(entry, "type") or ("" if section == "output" else "OperationOutcome")
            count = entry.get("count")
            yield Member(
                name, delivery.files[name], kind or sniff(delivery.files[name], name), section == "deleted",
                count if isinstance(count, int) and not isinstance(count, bool) else None,
            )


def _member(delivery: Delivery, url: str) -> str:
    path = unquote(urlsplit(url).path)
    name = _named(delivery, path) if path else None
    if name is None:
        raise Deferred("WB-D-002", MANIFEST)
    return name


def _refuse_unlisted(delivery: Delivery, listed: set[str]) -> None:
    for name in delivery.files:
        if name not in listed and _is_data(name):
            raise Refused("WB-D-006", name)


def _list(manifest: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    try:
        return children(manifest, name)
    except RecordError:
        pass
    raise Refused("WB-D-007", MANIFEST, columns=[name])


def _string(entry: Mapping[str, Any], name: str) -> str | None:
    value = entry.get(name)
    return value if isinstance(value, str) else None


# -- without one -------------------------------------------------------------------------------------------


def _is_data(name: str) -> bool:
    return name.removesuffix(".gz").endswith(".ndjson") and name.rpartition("/")[2] != LOG


def _unlisted(delivery: Delivery) -> Package:
    files = [(name, path) for name, path in delivery.files.items() if _is_data(name)]
    members = [Member(name, path, sniff(path, name)) for name, path in files]
    log = _named(delivery, LOG)
    as_of = _logged_time(delivery.files[log], log) if log else None
    return Package(tuple(sorted(members, key=_rank)), as_of, is_listed=False)


def sniff(path: Path, name: str) -> str:
    """Return the resource type of a file's first record, "" where it has none."""
    first = next((record for chunk in read_ndjson(path, name=name) for record in chunk.records), {})
    kind = first.get("resourceType")
    return kind if isinstance(kind, str) else ""


def _logged_time(path: Path, name: str) -> str | None:
    """Return the export's last transaction time from the log of the client that downloaded it."""
    found = None
    for chunk in read_ndjson(path, name=name):
        for event in chunk.records:
            try:
                detail = event.get("eventDetail")
                stated = version(text(detail, "transactionTime")) if isinstance(detail, dict) else None
            except RecordError:
                stated = None
            found = stated or found
    return found


# -- counts ------------------------------------------------------------------------------------------------


def _lines(member: Member) -> tuple[int, bool]:
    """Return how many lines are not blank, and whether the last one is ended or a record all the same."""
    count, last = 0, b"\n"
    with open_expanded(member.path, member.name) as handle:
        for line in handle:
            count += not line.isspace()
            last = line
    return count, last.endswith(b"\n") or _is_record(last)


def _is_record(line: bytes) -> bool:
    try:
        loads_strict(line)
    except NotStrictJsonError:
        return False
    return True


def _entries(member: Member) -> Iterator[int]:
    """Yield the number of deletions on each line; a manifest may count those instead of lines."""
    for chunk in read_ndjson(member.path, name=member.name):
        for record in chunk.records:
            entries = record.get("entry")
            yield len(entries) if isinstance(entries, list) else 1


__all__ = ["Member", "Package", "check_counts", "open_package", "sniff"]
