"""What fields of an HL7 v2 message mean: time stamps, names, addresses, phones, labels and totals."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import Final

from wellbridge.etl.readers.hl7v2 import Message, Segment
from wellbridge.pipelines.sources.sheet import MISSING, NOT_A_DATE, Cells, RecordError
from wellbridge.schemas.labels import HL7_ACCESS_RESTRICTION, HL7_CONFIDENTIALITY, Label

# TS, HL7 2.5.1 section 2.A.76: YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ].
_TIME: Final = re.compile(
    r"(?P<day>\d{4}(?:(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])))"
    r"(?:(?P<hour>[01]\d|2[0-3])(?:(?P<minute>[0-5]\d)(?:(?P<second>[0-5]\d)(?:\.(?P<fraction>\d{1,4}))?)?)?)?"
    r"(?P<offset>[+-](?:0\d|1[0-4])[0-5]\d)?"
)
_PARTIAL: Final = re.compile(r"\d{4}(?:0[1-9]|1[0-2])?")
# Table 0203, identifier types that are not the sender's own number of a patient; some must never be kept.
_FOREIGN_IDS: Final = frozenset({"SS", "DL", "PPN", "MA", "MC", "NI", "NH", "TAX", "XX", "SSN"})


def value(segment: Segment | None, field: int, component: int = 1, repetition: int = 0) -> str | None:
    """Return a component's first subcomponent, None where it is empty or deleted (``""``)."""
    return ((segment.get(field, repetition, component) or "").strip() or None) if segment else None


def repetitions(segment: Segment | None, field: int, component: int = 1) -> Iterator[tuple[int, str | None]]:
    """Yield the number of each repetition of a field and one of its components."""
    if segment is not None:
        for number in range(segment.repetitions(field)):
            yield number, value(segment, field, component, number)


def day(stated: str | None) -> str | None:
    """Return the calendar day of a time stamp as it was written, ISO 8601.

    What is no whole day is returned as it stands, so that the contract holds the row.
    """
    found = _TIME.fullmatch(stated or "")
    return f"{found['day'][:4]}-{found['day'][4:6]}-{found['day'][6:]}" if found else stated


def message_time(message: Message) -> str:
    """Return MSH-7 as text that sorts by time; one without an offset is taken as it stands.

    Raises:
        RecordError: WB-R-010 or WB-R-011.
    """
    stated = value(message.segment("MSH"), 7)
    if stated is None:
        raise RecordError("message_time", MISSING)
    found = _TIME.fullmatch(stated)
    instant = None
    if found:
        digits = found["day"] + "".join((found[part] or "00") for part in ("hour", "minute", "second"))
        fraction = (found["fraction"] or "").ljust(6, "0")
        try:
            instant = datetime.strptime(f"{digits}{fraction}{found['offset'] or '+0000'}", "%Y%m%d%H%M%S%f%z")
        except ValueError:
            instant = None
    if instant is None:
        raise RecordError("message_time", NOT_A_DATE)
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def patient(message: Message, district_assigners: Collection[str]) -> Cells:
    """Return what PID says about the patient; SSN and other identifiers of PID are not read."""
    pid = message.segment("PID")
    ids = list(repetitions(pid, 3))
    ours = [number for number, _ in ids if value(pid, 3, 4, number) in district_assigners]
    own = next((one for number, one in ids if one and number not in ours and _is_own(pid, number)), None)
    student = next((one for number, one in ids if one and number in ours), None)
    birth, sex = value(pid, 7), value(pid, 8)
    return {
        "PID-3": own, "PID-5.1": value(pid, 5, 1), "PID-5.2": value(pid, 5, 2),
        "PID-7": None if birth and _PARTIAL.fullmatch(birth) else day(birth),
        "PID-8": None if sex in ("U", "N") else sex,
        "PID-11.1": value(pid, 11, 1), "PID-11.5": value(pid, 11, 5),
        "PID-13": _phone(pid), "student_number": student,
    }


def _is_own(pid: Segment | None, number: int) -> bool:
    return value(pid, 3, 5, number) not in _FOREIGN_IDS


def _phone(pid: Segment | None) -> str | None:
    for number, whole in repetitions(pid, 13):
        if value(pid, 13, 3, number) not in (None, "PH", "CP"):
            continue
        parts = f"{value(pid, 13, 6, number) or ''}{value(pid, 13, 7, number) or ''}"
        stated = whole or parts or value(pid, 13, 12, number)
        if stated:
            return stated
    return None


def labels(message: Message) -> list[Label]:
    """Return the message's security labels: ORC-28, ARV-3 and ARV-4, PD1-12 (protect the patient's data)."""
    orders = message.segments("ORC")
    found = [(HL7_CONFIDENTIALITY, code) for order in orders for _, code in repetitions(order, 28)]
    for arv in message.segments("ARV"):
        found += [(HL7_ACCESS_RESTRICTION, code) for _, code in repetitions(arv, 3)]
        found += [("", code) for _, code in repetitions(arv, 4) if code and code.startswith("42CFR")]
    if value(message.segment("PD1"), 12) == "Y":
        found.append((HL7_ACCESS_RESTRICTION, "PD1-12"))
    return [(system, code) for system, code in found if code]
