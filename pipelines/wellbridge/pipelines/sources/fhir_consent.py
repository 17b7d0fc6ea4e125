"""What a FHIR R4 Consent decides, the strictest reading winning.

A decision is one of two: nothing of the patient is shared (``deny``), or records under 42 CFR Part 2 may be
too (``permit_part2``). Whatever else a Consent says comes down to one of them, active or not:

- root ``deny``, or a nested one beyond Part 2 and never-kept labels, which cannot be kept in part: deny;
- root ``permit``, nested ``permit`` for 42CFRPart2 or SUD, made out to us, nothing nested against it, and an
  end: permit_part2 (42 CFR 2.31(a) asks for recipient, description and expiry);
- everything else, revoked, proposed or unreadable consents included: no permit.

A Consent is never held for what it says, because a refusal that waits is a refusal that is not honoured.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from wellbridge.pipelines.sources.fhir_values import (
    Record,
    child,
    children,
    codings,
    labels,
    span,
    target,
    text,
)
from wellbridge.pipelines.sources.sheet import Cells, RecordError
from wellbridge.schemas.labels import NEVER_KEPT, PART2, Label, covers_part2, permits_part2

DENY: Final = "deny"
PERMIT_PART2: Final = "permit_part2"
# consent-state codes of decisions that are not in force; a status that is not known leaves a refusal in
# force.
_NOT_IN_FORCE: Final = frozenset({"draft", "proposed", "rejected", "inactive", "entered-in-error"})
_OPT_OUT: Final = frozenset({"OPTOUT", "OPTOUTE"})  # v3-ActCode, where the root provision has no type
# Conditions that narrow a permit in a way that is not evaluated here, so that it does not count.
_NARROWING: Final = ("class", "code", "data", "dataPeriod", "purpose")


@dataclass(frozen=True)
class Decision:
    """One decision: ``end`` is the first day on which it no longer holds."""

    decision: str
    is_active: bool
    start: date | None
    end: date | None

    def cells(self) -> Cells:
        """Return the decision as text."""
        return {
            "decision": self.decision, "active": str(self.is_active).lower(),
            "start": self.start.isoformat() if self.start else None,
            "end": self.end.isoformat() if self.end else None,
        }


def decide(consent: Record, recipients: Collection[str]) -> Decision:
    """Return what a Consent decides.

    Args:
        consent: the resource.
        recipients: references that stand for the district, such as ``Organization/district-1``. A permit that
            names other recipients, or any where none are configured, is not made out to us.
    """
    is_refusal_alive = consent.get("status") not in _NOT_IN_FORCE
    try:
        if _is_denied(consent, recipients):
            return _dated(DENY, is_refusal_alive, consent)
        return _permit(consent, recipients)
    except RecordError:
        return Decision(DENY, is_refusal_alive, None, None)


def _is_denied(consent: Record, recipients: Collection[str]) -> bool:
    root = child(consent, "provision")
    kind = text(root, "type") or text(consent, "decision")  # the latter in R5
    if kind == DENY:
        return True
    if kind is None and any(code in _OPT_OUT for _, code in codings(consent, "policyRule")):
        return True
    return any(_denies_all(nested) for nested in _nested(root)
               if text(nested, "type") == DENY and _concerns_us(nested, recipients))


def _nested(provision: Record) -> Iterator[Record]:
    for nested in children(provision, "provision"):
        yield nested
        yield from _nested(nested)


def _denies_all(provision: Record) -> bool:
    """Whether a refusal goes beyond records that stay out anyway."""
    codes = {code for _, code in _labels(provision)}
    return not codes or not codes <= PART2 | NEVER_KEPT


def _labels(provision: Record) -> list[Label]:
    return labels(children(provision, "securityLabel"))


def _actors(provision: Record) -> list[str]:
    references = [child(actor, "reference") for actor in children(provision, "actor")]
    return [text(reference, "reference") or "" for reference in references]


def _concerns_us(provision: Record, recipients: Collection[str]) -> bool:
    """Whether a refusal may be meant for us; one that names others does not, once we know our own names."""
    actors = _actors(provision)
    return not actors or not recipients or not set(actors).isdisjoint(recipients)


def _is_made_out_to_us(provision: Record, recipients: Collection[str]) -> bool:
    actors = _actors(provision)
    return not actors or not set(actors).isdisjoint(recipients)


def _permit(consent: Record, recipients: Collection[str]) -> Decision:
    root = child(consent, "provision")
    nested = list(_nested(root))
    permits = [one for one in nested if text(one, "type") == "permit" and permits_part2(_labels(one))]
    refused = any(text(one, "type") == DENY and covers_part2(_labels(one)) for one in nested)
    whole = [one for one in permits if _is_whole(one, recipients)]
    is_valid = (
        text(consent, "status") == "active" and text(root, "type") == "permit" and bool(whole) and not refused
        and _is_whole(root, recipients) and not consent.get("modifierExtension")
    )
    decision = _dated(PERMIT_PART2, is_valid, consent, *whole[:1])
    has_expiry = decision.end is not None and _dates_are_readable(consent, *whole[:1])
    return decision if has_expiry else Decision(PERMIT_PART2, False, decision.start, decision.end)


def _is_whole(provision: Record, recipients: Collection[str]) -> bool:
    is_narrow = any(provision.get(name) for name in (*_NARROWING, "modifierExtension"))
    return not is_narrow and _is_made_out_to_us(provision, recipients)


def _periods(consent: Record, provisions: tuple[Record, ...]) -> list[Record]:
    return [child(one, "period") for one in (child(consent, "provision"), *provisions)]


def _dates_are_readable(consent: Record, *provisions: Record) -> bool:
    stated = [text(period, name) for period in _periods(consent, provisions) for name in ("start", "end")]
    return all(span(one) is not None for one in stated if one is not None)


def _dated(decision: str, is_active: bool, consent: Record, *provisions: Record) -> Decision:
    """Date a decision by the narrowest of its periods; a date that cannot be read narrows nothing."""
    periods = _periods(consent, provisions)
    starts = [found[0] for period in periods if (found := span(text(period, "start")))]
    ends = [found[1] for period in periods if (found := span(text(period, "end")))]
    return Decision(decision, is_active, max(starts, default=None), min(ends, default=None))


def patient_of(consent: Record) -> str:
    """Return the patient's id.

    Raises:
        RecordError: WB-R-010 where the consent names nobody, WB-R-003 where it is malformed.
    """
    found = target(child(consent, "patient"), "Patient")
    if found is None:
        raise RecordError("patient_id", "WB-R-010")
    return found
