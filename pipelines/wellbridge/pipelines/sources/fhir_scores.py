"""Questionnaire responses: the answers to known items, however the questionnaire names and codes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from wellbridge.pipelines.sources.fhir_values import Record, children, text
from wellbridge.schemas.instruments import ANSWER_ORDINALS, ITEM_CODES, ITEM_FAMILIES, Answers

USABLE_STATUS: Final = frozenset({"completed", "amended"})
# Link ids that are a family and a number: "PHQ.1" (MII), "phq1"; with the instrument's size, "gad7_3",
# "PHQ-9.1".
_NUMBERED: Final = re.compile(r"(phq|gad)(?:-?(?:9|7|2|a)(?=[._-])|)[._-]?([1-9])", re.IGNORECASE)
_MAX_DEPTH: Final = 20
# Extensions that state an answer's ordinal: FHIR R4, R5 and SDC.
_ORDINAL_EXTENSIONS: Final = (
    "http://hl7.org/fhir/StructureDefinition/ordinalValue",
    "http://hl7.org/fhir/StructureDefinition/itemWeight",
    "http://hl7.org/fhir/StructureDefinition/iso21090-CO-value",
)


def answers(response: Record) -> Answers:
    """Return the answers to known items; one that is missing, ambiguous or no ordinal is left out.

    Raises:
        RecordError: WB-R-003 where items are no objects.
    """
    found: Answers = {}
    for item in _items(response, 0):
        code = item_code(text(item, "linkId") or "")
        if code is None:
            continue
        stated = [ordinal(answer) for answer in children(item, "answer")]
        if len(stated) == 1 and stated[0] is not None:
            found[code] = stated[0]
    return found


def _items(parent: Record, depth: int) -> Iterator[Record]:
    if depth > _MAX_DEPTH:
        return
    for item in children(parent, "item"):
        yield item
        yield from _items(item, depth + 1)
        for answer in children(item, "answer"):
            yield from _items(answer, depth + 1)


def item_code(link_id: str) -> str | None:
    """Return the LOINC code of the item that a link id names: ``/44250-9``, ``PHQ.1``, ``phq1``."""
    last = link_id.strip().rpartition("/")[2]
    if last in ITEM_CODES:
        return last
    numbered = _NUMBERED.fullmatch(last)
    if numbered is None:
        return None
    family = ITEM_FAMILIES[numbered[1].lower()]
    place = int(numbered[2])
    return family[place - 1] if place <= len(family) else None


def ordinal(answer: Record) -> int | None:
    """Return an answer's ordinal, from a number, a LOINC answer code or an extension."""
    for name in ("valueInteger", "valueDecimal"):
        if name in answer:
            return _whole(answer[name])
    coding = answer.get("valueCoding")
    if not isinstance(coding, dict):
        return None
    known = ANSWER_ORDINALS.get((text(coding, "code") or "").strip())
    return known if known is not None else _extended(coding)


def _extended(coding: Record) -> int | None:
    stated = [one for one in children(coding, "extension") if one.get("url") in _ORDINAL_EXTENSIONS]
    return _whole(stated[0].get("valueDecimal")) if stated else None


def _whole(value: Any) -> int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and value == int(value) else None
