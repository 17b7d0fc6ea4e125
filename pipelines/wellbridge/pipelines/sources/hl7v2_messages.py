"""HL7 v2 messages to cells: which trigger events load, which retract, which are only counted.

Trigger events outside the four families that a feed sends (ADT, SIU, REF, ORU) are unknown record types and
held, unless the feed's file names them under ``ignored_types``. Inside a family, an event that is no fact of
the warehouse (a transfer, a merge, a laboratory result) is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from wellbridge.etl.readers.hl7v2 import Message, Segment
from wellbridge.pipelines.sources.hl7v2_values import (
    day,
    labels,
    message_time,
    patient,
    repetitions,
    value,
)
from wellbridge.pipelines.sources.sheet import (
    MALFORMED,
    NOT_A_NUMBER,
    OTHER,
    TOTAL_DIFFERS,
    Cells,
    Flat,
    RecordError,
)
from wellbridge.schemas.instruments import ANSWER_ORDINALS, INSTRUMENTS, ITEM_CODES, TOTAL_CODES, Answers
from wellbridge.schemas.labels import is_never_kept, is_part2

UNKNOWN_TYPE: Final = "WB-R-004"
_CRISIS_EVENTS: Final = frozenset({"A01", "A03", "A04", "A13"})  # admit, discharge, register, undo discharge
_CANCELLED_VISIT: Final = "A11"
_CANCELLED_DISCHARGE: Final = "A13"
# Table 0004: classes of visits that are no crisis. Any other but E and I is unknown.
_OTHER_CLASSES: Final = frozenset("OPRBCNU")
# Table 0069, hospital service: medicine, surgery, urology, pulmonology, cardiology. A stay there is no crisis
# in the sense of the seed's pillar 4; what states another service, or none, is one.
_BODILY_SERVICES: Final = frozenset({"MED", "SUR", "URO", "PUL", "CAR"})
_APPOINTMENT_EVENTS: Final = {  # status where SCH-25 is empty
    "S12": "Booked", "S13": "Booked", "S14": "Booked", "S15": "Cancelled", "S16": "DC", "S26": "Noshow",
}
_DELETED_APPOINTMENT: Final = "S17"
_REFERRAL_EVENTS: Final = frozenset({"I12", "I13", "I14", "I15"})
_CANCELLED_REFERRAL: Final = "I14"
_RETRACTED: Final = frozenset({"D", "W"})  # table 0085: deleted, wrong patient
_FINAL: Final = frozenset({"F", "C", "U"})  # final, corrected, changed to final
_MOST_SCORES: Final = 2


def flatten(message: Message, settings: Mapping[str, Any]) -> Flat:
    """Turn a message into the cells of its contract.

    Args:
        message: the message.
        settings: the feed's own: ``ignored_types`` (message types to count and not load),
            ``student_number_assigners`` (PID-3.4 of the district's student number).

    Raises:
        RecordError: the rule under which the message is held.
    """
    header = message.segment("MSH")
    kind, event = value(header, 9, 1), value(header, 9, 2)
    if kind is None:
        raise RecordError("MSH-9", MALFORMED)
    family = _FAMILIES.get(kind)
    is_test = value(header, 11) in ("T", "D")  # training and debugging
    if family is None and kind not in settings.get("ignored_types", ()):
        raise RecordError("MSH-9", UNKNOWN_TYPE)
    stated = labels(message)
    if family is None or is_test or is_never_kept(stated):
        return _other(kind, event)
    found = family(message, event or "")
    if found is None:
        return _other(kind, event)
    if found.deletes:
        return Flat(found.resource, {**found.cells, "MSH-7": message_time(message)}, deletes=True)
    about = patient(message, settings.get("student_number_assigners", ()))
    restricted = is_part2(stated) or found.cells.pop("substance", None) is not None
    return Flat(found.resource, {
        **about, "MSH-7": message_time(message), "is_part2": str(restricted).lower(), **found.cells,
    })


def _other(kind: str, event: str | None) -> Flat:
    return Flat(OTHER, {"MSH-9": f"{kind}^{event or ''}"})


# -- ADT, SIU, REF -----------------------------------------------------------------------------------------


def _visit(message: Message, event: str) -> Flat | None:
    pv1 = message.segment("PV1")
    number, kind = value(pv1, 19), value(pv1, 2)
    if event == _CANCELLED_VISIT and number and kind not in _OTHER_CLASSES:
        return Flat("crises", {"PV1-19": number}, deletes=True)
    if event not in _CRISIS_EVENTS or kind in _OTHER_CLASSES or value(pv1, 10) in _BODILY_SERVICES:
        return None
    ended = None if event == _CANCELLED_DISCHARGE else day(value(pv1, 45))
    return Flat("crises", {"PV1-19": number, "PV1-2": kind, "PV1-44": day(value(pv1, 44)), "PV1-45": ended})


def _appointment(message: Message, event: str) -> Flat | None:
    schedule = message.segment("SCH")
    number = value(schedule, 2) or value(schedule, 1)
    if event == _DELETED_APPOINTMENT and number:
        return Flat("appointments", {"SCH-2": number}, deletes=True)
    if event not in _APPOINTMENT_EVENTS:
        return None
    start = value(schedule, 11, 4) or value(message.segment("TQ1"), 7) or value(message.segment("AIS"), 4)
    status = value(schedule, 25) or _APPOINTMENT_EVENTS[event]
    return Flat("appointments", {"SCH-2": number, "SCH-11.4": day(start), "SCH-25": status})


def _referral(message: Message, event: str) -> Flat | None:
    if event not in _REFERRAL_EVENTS:
        return None
    request = message.segment("RF1")
    changed = value(request, 9) or value(message.segment("MSH"), 7)
    return Flat("referrals", {
        "RF1-6": value(request, 6), "RF1-3": value(request, 3), "RF1-7": day(value(request, 7)),
        "RF1-1": "cancelled" if event == _CANCELLED_REFERRAL else value(request, 1), "RF1-9": day(changed),
    })


# -- ORU ---------------------------------------------------------------------------------------------------


def _results(message: Message, event: str) -> Flat | None:
    """Take the total scores of a result message; items beside them are checked against them."""
    scores = [(order, result) for order, result in _ordered(message) if _code(result) in TOTAL_CODES]
    retracted = [order for order, result in scores if value(result, 11) in _RETRACTED]
    if event == "R01" and len(scores) == 1 and retracted and value(retracted[0], 3):
        return Flat("screenings", {"OBR-3": value(retracted[0], 3)}, deletes=True)
    final = [(order, result) for order, result in scores if (value(result, 11) or "F") in _FINAL]
    if event != "R01" or not final:
        return None
    if len(final) > _MOST_SCORES or retracted:
        raise RecordError("OBX-3", MALFORMED)
    answers = _answers(message)
    cells: Cells = {}
    for place, (order, result) in enumerate(final):
        shared = sum(one is order for one, _ in final) > 1
        mark = "" if place == 0 else f" ({place + 1})"
        cells |= _score(order, result, answers, is_shared=shared, mark=mark)
    if len(final) == 1:
        cells |= dict.fromkeys((f"{name} (2)" for name in _SCORE_HEADERS), None)
    if any(INSTRUMENTS[TOTAL_CODES[str(_code(result))]].is_substance_use for _, result in final):
        cells["substance"] = "true"
    return Flat("screenings", cells)


_SCORE_HEADERS: Final = ("OBR-3", "OBX-3", "OBX-5", "OBX-14", "safety")


def _ordered(message: Message) -> Iterator[tuple[Segment | None, Segment]]:
    """Yield each OBX with the OBR that it belongs to."""
    order = None
    for segment in message.all:
        if segment.id == "OBR":
            order = segment
        elif segment.id == "OBX":
            yield order, segment


def _code(result: Segment) -> str | None:
    """Return the LOINC code of OBX-3, from its first or its alternate coding."""
    pairs = ((value(result, 3, 1), value(result, 3, 3)), (value(result, 3, 4), value(result, 3, 6)))
    return next((code for code, system in pairs if code and system == "LN"), None)


def _score(
    order: Segment | None, result: Segment, answers: Answers, *, is_shared: bool, mark: str
) -> Cells:
    code = str(_code(result))
    instrument = INSTRUMENTS[TOTAL_CODES[code]]
    stated = _number(result)
    computed = instrument.total(answers)
    if computed is not None and stated is not None and _float(stated) not in (None, float(computed)):
        raise RecordError("score", TOTAL_DIFFERS)
    unsafe = instrument.is_unsafe(answers)
    number = value(order, 3)
    return {
        f"OBR-3{mark}": f"{number}/{code}" if number and is_shared else number,
        f"OBX-3{mark}": code, f"OBX-5{mark}": stated,
        f"OBX-14{mark}": day(value(result, 14) or value(order, 7)),
        f"safety{mark}": None if unsafe is None else str(unsafe).lower(),
    }


def _number(result: Segment) -> str | None:
    """Return OBX-5 as text; several values, or a structured one that is no plain number, are no score."""
    stated = [found for _, found in repetitions(result, 5)]
    if len(stated) > 1:
        raise RecordError("score", MALFORMED)
    if value(result, 2) != "SN":
        return stated[0] if stated else None
    if value(result, 5, 1) not in (None, "="):
        raise RecordError("score", NOT_A_NUMBER)
    return value(result, 5, 2)


def _float(stated: str) -> float | None:
    try:
        return float(stated)
    except ValueError:
        return None


def _answers(message: Message) -> Answers:
    found: Answers = {}
    for result in message.segments("OBX"):
        code, stated = _code(result), value(result, 5)
        if code in ITEM_CODES and stated is not None:
            ordinal = int(stated) if stated in ("0", "1", "2", "3") else ANSWER_ORDINALS.get(stated)
            if ordinal is not None:
                found[str(code)] = ordinal
    return found


_FAMILIES: Final[Mapping[str, Callable[[Message, str], Flat | None]]] = {
    "ADT": _visit, "SIU": _appointment, "REF": _referral, "ORU": _results,
}
RESOURCE_OF: Final = {"ADT": "crises", "SIU": "appointments", "REF": "referrals", "ORU": "screenings"}


def resource_of(message: Message, known: Collection[str] = tuple(RESOURCE_OF)) -> str:
    """Return the resource under which a message is held."""
    kind = value(message.segment("MSH"), 9, 1)
    return RESOURCE_OF[kind] if kind in known and kind is not None else OTHER
