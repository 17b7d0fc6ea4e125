"""FHIR R4 records to cells: which records load, which are retracted, which are only counted.

Nothing is copied that no contract asks for: narrative, notes, ``display`` and ``text`` stay behind. A record
goes one of four ways: to its contract; to the deletions (it was entered in error, or did not take place); to
``other`` (no fact of the warehouse, or not one yet); or it is held (``RecordError``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wellbridge.pipelines.sources import fhir_scores
from wellbridge.pipelines.sources.fhir_consent import decide, patient_of
from wellbridge.pipelines.sources.fhir_values import (
    Record,
    child,
    children,
    chosen,
    codings,
    day,
    first_target,
    minutes,
    number,
    security,
    target,
    text,
    texts,
    version,
)
from wellbridge.pipelines.sources.sheet import (
    MISSING,
    NOT_A_NUMBER,
    OTHER,
    TOTAL_DIFFERS,
    UNKNOWN_CODE,
    Cells,
    Flat,
    RecordError,
)
from wellbridge.schemas.contracts.fhir import ENCOUNTER_STATUS, RESOURCE_TYPES
from wellbridge.schemas.instruments import INSTRUMENTS, TOTAL_CODES, Answers
from wellbridge.schemas.labels import is_never_kept, is_part2

_LOINC: Final = "http://loinc.org"
_RETRACTED: Final = frozenset({"entered-in-error", "cancelled"})
_PROVISIONAL: Final = frozenset({"registered", "preliminary", "unknown"})
_UNORDERED: Final = frozenset({"proposal", "plan", "option"})  # intents that ask nobody for anything
# v3-ActCode: classes of visits that are no service and no emergency.
_OTHER_CLASSES: Final = frozenset({"IMP", "ACUTE", "NONAC", "OBSENC", "PRENC", "SS"})
# SNOMED CT. The first five are the value set of ServiceRequest.category in R4; the others name referrals.
_NO_REFERRAL: Final = frozenset({"108252007", "363679005", "387713003", "409073007"})
_REFERRAL_TYPES: Final = {
    "409063005": "mental_health", "3457005": "other", "306206005": "other", "183524004": "mental_health",
}
_SNOMED: Final = "http://snomed.info/sct"


@dataclass
class Context:
    """What a record's meaning depends on beside itself.

    Attributes:
        as_of: version of records that state none.
        settings: the feed's own: ``recipients``, ``referral_codes``, ``student_number_systems``.
        responses: answers of the questionnaire responses of the delivery, by id.
    """

    as_of: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    responses: dict[str, tuple[str, Answers]] = field(default_factory=dict)

    def names(self, setting: str) -> Collection[str]:
        """Return a setting that is a list of names."""
        return frozenset(self.settings.get(setting, ()))


def flatten(record: Record, context: Context) -> Flat:
    """Turn a record into the cells of its contract.

    Raises:
        RecordError: the rule under which the record is held.
    """
    kind = text(record, "resourceType")
    if kind not in RESOURCE_TYPES:
        raise RecordError("resourceType", "WB-R-004")
    if kind not in _FLATTEN or is_never_kept(security(record)):
        return other(kind)
    if record.get("modifierExtension") and kind != "Consent":
        raise RecordError("modifierExtension", UNKNOWN_CODE)
    return _FLATTEN[kind](record, context)


def other(kind: str) -> Flat:
    """Count a record without loading it."""
    return Flat(OTHER, {"resourceType": kind})


def _own(record: Record, context: Context) -> Cells:
    return {
        "id": text(record, "id"),
        "last_updated": version(text(child(record, "meta"), "lastUpdated")) or context.as_of,
    }


def _labelled(record: Record, context: Context) -> Cells:
    return {
        **_own(record, context), "subject": target(child(record, "subject"), "Patient"),
        "is_part2": str(is_part2(security(record))).lower(),
    }


# -- Patient -----------------------------------------------------------------------------------------------


def _patient(record: Record, context: Context) -> Flat:
    name = _preferred(children(record, "name"), ("official", "usual", ""))
    address = _preferred(children(record, "address"), ("home", "", "work"))
    phones = [one for one in children(record, "telecom") if text(one, "system") in ("phone", "sms")]
    gender = text(record, "gender")
    given, family = next(iter(texts(name, "given")), None), text(name, "family")
    # Some systems know a name as one text alone; linking divides it (``identity.standard``).
    whole = text(name, "text") if given is None and family is None else None
    return Flat("patients", {
        **_own(record, context),
        "first_name": given or whole, "last_name": family,
        "birthDate": _whole_date(text(record, "birthDate")),
        "gender": None if gender == "unknown" else gender,
        "postalCode": text(address, "postalCode"), "address": " ".join(texts(address, "line")) or None,
        "phone": text(_preferred(phones, ("home", "mobile", "")), "value"),
        "student_number": _student_number(record, context),
    })


def _preferred(options: list[Record], uses: tuple[str, ...]) -> Record:
    """Return the option of the first use that occurs, one still in use before one that ended."""
    ranked = [
        (bool(text(child(one, "period"), "end")), uses.index(use) if use in uses else len(uses), place)
        for place, one in enumerate(options) for use in [text(one, "use") or ""]
    ]
    return options[min(ranked)[2]] if ranked else {}


def _whole_date(stated: str | None) -> str | None:
    """Return a birth date, None where R4 leaves out its day: half a birth date finds nobody."""
    is_partial = stated is not None and len(stated) in (4, 7) and stated[:4].isdigit()
    return None if is_partial else stated


def _student_number(record: Record, context: Context) -> str | None:
    systems = context.names("student_number_systems")
    return next(
        (text(one, "value") for one in children(record, "identifier") if text(one, "system") in systems), None
    )


# -- Observation, QuestionnaireResponse --------------------------------------------------------------------


def _observation(record: Record, context: Context) -> Flat:
    if not record.get("code"):
        raise RecordError("code", MISSING)
    stated = codings(record, "code")
    code = next((code for system, code in stated if system == _LOINC and code in TOTAL_CODES), None)
    status = text(record, "status")
    if code is None or status in _PROVISIONAL:
        return other("Observation")
    if status in _RETRACTED:
        return Flat("screenings", _own(record, context), deletes=True)
    value = chosen(record, "value")
    if value is None and record.get("dataAbsentReason"):
        return other("Observation")
    score = _score(value)
    answers = _answers(record, context)
    instrument = INSTRUMENTS[TOTAL_CODES[code]]
    computed = instrument.total(answers)
    if computed is not None and score is not None and computed != score:
        raise RecordError("score", TOTAL_DIFFERS)
    unsafe = instrument.is_unsafe(answers)
    labelled = _labelled(record, context)
    return Flat("screenings", {
        **labelled, "is_part2": "true" if instrument.is_substance_use else labelled["is_part2"],
        "status": status, "code": code, "effective": _effective(record),
        "value": None if score is None else repr(score),
        "safety": None if unsafe is None else str(unsafe).lower(),
    })


def _score(value: tuple[str, Any] | None) -> float | int | None:
    if value is None:
        return None
    name, content = value
    if name == "valueQuantity":
        stated = content.get("value") if isinstance(content, dict) else content
        return None if stated is None else number(stated, "score")
    if name == "valueInteger":
        return number(content, "score")
    raise RecordError("score", NOT_A_NUMBER)


def _effective(record: Record) -> str | None:
    stated = chosen(record, "effective")
    if stated is None:
        return None
    name, content = stated
    if name == "effectivePeriod" and isinstance(content, dict):
        return day(text(content, "start"))
    return day(text(record, name)) if name in ("effectiveDateTime", "effectiveInstant") else None


def _answers(record: Record, context: Context) -> Answers:
    sources = [target(one, "QuestionnaireResponse") for one in children(record, "derivedFrom")]
    return next((context.responses[one][1] for one in sources if one in context.responses), {})


def _response(record: Record, context: Context) -> Flat:
    own = _own(record, context)
    status, key, newest = text(record, "status"), own["id"], own["last_updated"] or ""
    answers = fhir_scores.answers(record)
    if key and status in fhir_scores.USABLE_STATUS and newest >= context.responses.get(key, ("", {}))[0]:
        context.responses[key] = (newest, answers)
    return Flat("responses", {**own, "status": status})


# -- ServiceRequest ----------------------------------------------------------------------------------------


def _service_request(record: Record, context: Context) -> Flat:
    status, intent = text(record, "status"), text(record, "intent")
    if status == "entered-in-error":
        return Flat("referrals", _own(record, context), deletes=True)
    kind = _referral_type(record, context)
    if kind is None or status == "draft" or intent in _UNORDERED or record.get("doNotPerform") is True:
        return other("ServiceRequest")
    authored = day(text(record, "authoredOn"))
    changed = day(version(text(child(record, "meta"), "lastUpdated")))
    support = [*children(record, "supportingInfo"), *children(record, "reasonReference")]
    return Flat("referrals", {
        **_labelled(record, context),
        "status": status, "intent": intent, "type": kind, "authoredOn": authored,
        "status_date": authored if status == "active" else changed or authored,
        "supportingInfo": first_target(support, "Observation"),
    })


def _referral_type(record: Record, context: Context) -> str | None:
    """Return what a request refers to, None where it is an order of another kind.

    A request whose category is a partner's own code is a referral only where the feed's ``referral_codes``
    says so.
    """
    categories = codings(record, "category", many=True)
    stated = [*categories, *codings(record, "code")]
    known = {**_REFERRAL_TYPES, **context.settings.get("referral_codes", {})}
    found = next((known[code] for _, code in stated if code in known), None)
    if found is not None:
        return str(found)
    is_foreign = any(code in _NO_REFERRAL for _, code in categories) or any(
        system != _SNOMED for system, _ in categories
    )
    return None if is_foreign else "other"


# -- Encounter ---------------------------------------------------------------------------------------------


def _encounter(record: Record, context: Context) -> Flat:
    status, code = text(record, "status"), text(child(record, "class"), "code")
    own = _own(record, context)
    both = {**own, "crisis": own["id"]}  # a visit is a service or a crisis
    if status in _RETRACTED:
        return Flat("encounters", both, deletes=True)
    if code in _OTHER_CLASSES or (status in ENCOUNTER_STATUS and status != "finished"):
        return other("Encounter")
    period, length = child(record, "period"), minutes(record)
    return Flat("encounters", {
        **_labelled(record, context), **both, "status": status, "class": code.strip() if code else None,
        "start": day(text(period, "start")), "end": day(text(period, "end")),
        "minutes": None if length is None else repr(length),
        "basedOn": first_target(children(record, "basedOn"), "ServiceRequest"),
    })


# -- Consent -----------------------------------------------------------------------------------------------


def _consent(record: Record, context: Context) -> Flat:
    decision = decide(record, context.names("recipients"))
    return Flat("consents", {**_own(record, context), "patient": patient_of(record), **decision.cells()})


def deleted(kind: str, key: str, when: str | None) -> Flat:
    """Turn the deletion of ``kind/key`` into the row that undoes the record."""
    own: Cells = {"id": key, "last_updated": when}
    if kind == "Consent":  # a decision that no longer holds, with the version of the deletion
        return Flat("consents", {**own, "patient": None, "decision": "deny", "active": "false",
                                 "start": None, "end": None})
    resource = _DELETABLE.get(kind)
    if resource is None:
        return other(kind)
    return Flat(resource, {**own, "crisis": key} if resource == "encounters" else own, deletes=True)


_DELETABLE: Final = {"Observation": "screenings", "ServiceRequest": "referrals", "Encounter": "encounters"}
_FLATTEN: Final[Mapping[str, Callable[[Record, Context], Flat]]] = {
    "Patient": _patient, "Observation": _observation, "QuestionnaireResponse": _response,
    "ServiceRequest": _service_request, "Encounter": _encounter, "Consent": _consent,
}
RESOURCE_OF: Final = {
    "Patient": "patients", "QuestionnaireResponse": "responses", "Consent": "consents", **_DELETABLE,
}
