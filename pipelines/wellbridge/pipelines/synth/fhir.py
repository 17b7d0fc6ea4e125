"""The clinic's FHIR resources: patients, consents, screenings, referrals and visits."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

import numpy as np

from wellbridge.pipelines.synth.clinic import CONSENT_DENIED, OPTED_OUT, PART2, Record, items_of, recent_day
from wellbridge.pipelines.synth.district import FIRST_DAY, Plan
from wellbridge.pipelines.synth.known import Known
from wellbridge.pipelines.synth.measures import POSITIVE_FROM

LOINC: Final = "http://loinc.org"
_ACT: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_PHQ_ITEMS: Final = (
    "44250-9",
    "44255-8",
    "44259-0",
    "44254-1",
    "44251-7",
    "44258-2",
    "44252-5",
    "44253-3",
    "44260-8",
)
_GAD_ITEMS: Final = ("69725-0", "68509-9", "69733-4", "69734-2", "69735-9", "69689-8", "69736-7")
_ANSWERS: Final = ("LA6568-5", "LA6569-3", "LA6570-1", "LA6571-9")


@dataclass(frozen=True)
class Instrument:
    """A questionnaire: its name, LOINC codes of panel and total, and items."""

    name: str
    panel: str
    total: str
    items: tuple[str, ...]

    @property
    def most(self) -> int:
        """The highest total."""
        return 3 * len(self.items)


PHQ9: Final = Instrument("PHQ-9", "44249-1", "44261-6", _PHQ_ITEMS)
PHQA: Final = Instrument("PHQ-A", "89206-7", "89204-2", _PHQ_ITEMS)
GAD7: Final = Instrument("GAD-7", "69737-5", "70274-6", _GAD_ITEMS)


@dataclass
class Child:
    """A child's records as the clinic makes them.

    Attributes:
        consent: ``permit``, ``deny``, ``part2`` (permits the SUD program's records), ``expired`` (did so
        once) or
            ``none``.
        is_sud: the records are of a substance use disorder program and labelled so.
    """

    plan: Plan
    rng: np.random.Generator
    person: dict[str, Any]
    said: Known
    consent: str
    is_sud: bool
    records: list[Record] = field(default_factory=list)
    number: int = 0

    @property
    def key(self) -> str:
        """The clinic's number of the child, out of order with the district's."""
        return f"{(self.person['index'] * 48_271 + 11) % 2_147_483_647:010d}"

    @property
    def reference(self) -> dict[str, str]:
        """The reference to the patient."""
        return {"reference": f"Patient/pat-{self.key}"}

    @property
    def rule(self) -> str:
        """The policy rule that removes the child's clinical records, if any."""
        if self.person["opt_out"]:
            return OPTED_OUT
        if self.consent == "deny":
            return CONSENT_DENIED
        return PART2 if self.is_sud and self.consent != "part2" else ""

    def new_id(self, prefix: str) -> str:
        """Return the next record id."""
        self.number += 1
        return f"{prefix}-{self.key}-{self.number}"

    def meta(self, night: int, *, clinical: bool = True) -> dict[str, Any]:
        """Return a resource's meta: when last changed, and the label where the law asks for one."""
        meta: dict[str, Any] = {"lastUpdated": f"{self.plan.day(night)}T21:00:00Z"}
        if clinical and self.is_sud:
            meta["security"] = [{"system": _ACT, "code": "42CFRPart2"}]
        return meta

    def add(self, kind: str, night: int, body: dict[str, Any], **more: Any) -> Record:
        """Add a clinical record."""
        if self.is_sud:
            more["free"] = False  # a defect must not depend on how the label is read
        record = Record(kind, night, {"resourceType": kind, **body}, rule=self.rule, **more)
        self.records.append(record)
        return record

    def identity(self) -> None:
        """Add the patient and the consent."""
        said, night = self.said, 1
        self.records.append(
            Record(
                "Patient",
                night,
                {
                    "resourceType": "Patient",
                    "id": f"pat-{self.key}",
                    "meta": self.meta(night, clinical=False),
                    "name": [{"use": "official", "family": said.last_name, "given": [said.first_name]}],
                    "gender": "female" if self.person["is_girl"] else "male",
                    "birthDate": said.birth_date.isoformat(),
                    "telecom": [{"system": "phone", "value": said.phone}],
                    "address": [{"line": [said.street], "postalCode": said.zip_code}],
                },
                free=False,
            )
        )
        if self.consent != "none":
            self.records.append(Record("Consent", night, self._consent(night), free=False))

    def _consent(self, night: int) -> dict[str, Any]:
        start, end = (
            ("2025-07-01", "2026-06-30") if self.consent == "expired" else ("2026-07-01", "2027-06-30")
        )
        provision: dict[str, Any] = {
            "type": "deny" if self.consent == "deny" else "permit",
            "period": {"start": start, "end": end},
        }
        if self.consent in {"part2", "expired"}:
            provision["provision"] = [
                {
                    "type": "permit",
                    "action": [
                        {
                            "coding": [
                                {
                                    "system": "http://terminology.hl7.org/CodeSystem/consentaction",
                                    "code": "disclose",
                                }
                            ]
                        }
                    ],
                    "securityLabel": [{"system": _ACT, "code": "42CFRPart2"}],
                }
            ]
        return {
            "resourceType": "Consent",
            "id": f"con-{self.key}",
            "meta": self.meta(night, clinical=False),
            "status": "active",
            "patient": self.reference,
            "dateTime": "2026-08-10T10:00:00-05:00",
            "scope": {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/consentscope",
                        "code": "patient-privacy",
                    }
                ]
            },
            "category": [{"coding": [{"system": LOINC, "code": "59284-0"}]}],
            "policyRule": {"coding": [{"system": _ACT, "code": "INFA"}]},
            "provision": provision,
        }

    def screen(
        self, instrument: Instrument, day: date, score: int, *, with_items: bool, free: bool
    ) -> Record:
        """Add a screening: the total as Observation and, ``with_items``, the answers it is the sum of."""
        night, number = self.plan.night_of(day), self.new_id("obs")
        body: dict[str, Any] = {
            "id": number,
            "meta": self.meta(night),
            "status": "final",
            "category": [
                {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                            "code": "survey",
                        }
                    ]
                }
            ],
            "code": {"coding": [{"system": LOINC, "code": instrument.total}]},
            "subject": self.reference,
            "effectiveDateTime": f"{day}T10:30:00-05:00",
            "valueQuantity": {"value": score, "system": "http://unitsofmeasure.org", "code": "{score}"},
        }
        if with_items:
            response = f"qr-{number}"
            body["derivedFrom"] = [{"reference": f"QuestionnaireResponse/{response}"}]
            self.add(
                "QuestionnaireResponse",
                night,
                self._response(instrument, response, night, day, score),
                free=False,
            )
        counts = (
            "screens",
            {"index": self.person["index"], "day": day, "instrument": instrument.name, "score": score},
        )
        return self.add("Observation", night, body, free=free, counts=counts)

    def _response(
        self, instrument: Instrument, number: str, night: int, day: date, score: int
    ) -> dict[str, Any]:
        scores = items_of(self.rng, score, len(instrument.items))
        return {
            "id": number,
            "meta": self.meta(night),
            "status": "completed",
            "subject": self.reference,
            "questionnaire": f"http://loinc.org/q/{instrument.panel}",
            "authored": f"{day}T10:30:00-05:00",
            "item": [
                {
                    "linkId": f"/{code}",
                    "answer": [{"valueCoding": {"system": LOINC, "code": _ANSWERS[value]}}],
                }
                for code, value in zip(instrument.items, scores, strict=True)
            ],
        }

    def refer(self, screening: Record, day: date, seen: date | None) -> None:
        """Add a referral for a screening, and the visit it leads to; both only as far as delivered."""
        night = self.plan.night_of(day)
        if night > self.plan.nights:
            return
        number = self.new_id("sr")
        visit = self.plan.night_of(seen) if seen else self.plan.nights + 1
        follows = visit <= self.plan.nights
        status = "completed" if visit == night else "active"
        self._request(number, night, day, status, screening, free=not follows)
        if seen and follows:
            if visit > night:
                self._request(number, visit, day, "completed", screening, free=False, counted=False)
            self.visit(seen, "VR" if self.rng.random() < 0.5 else "AMB", based_on=number)

    def _request(
        self,
        number: str,
        night: int,
        day: date,
        status: str,
        screening: Record,
        *,
        free: bool,
        counted: bool = True,
    ) -> None:
        counts = ("referrals", {"index": self.person["index"], "day": day}) if counted else None
        self.add(
            "ServiceRequest",
            night,
            {
                "id": number,
                "meta": self.meta(night),
                "status": status,
                "intent": "order",
                "subject": self.reference,
                "code": {"coding": [{"system": "http://snomed.info/sct", "code": "183524004"}]},
                "authoredOn": f"{day}T11:00:00-05:00",
                "supportingInfo": [{"reference": f"Observation/{screening.body['id']}"}],
            },
            free=free,
            counts=counts,
        )

    def visit(self, day: date, kind: str, *, based_on: str = "", is_true: bool = True) -> Record:
        """Add a visit; one that is not true is deleted later and counts for nothing."""
        night = self.plan.night_of(day)
        minutes = int(self.rng.integers(6, 13)) * 5
        body: dict[str, Any] = {
            "id": self.new_id("enc"),
            "meta": self.meta(night),
            "status": "finished",
            "class": {"system": _ACT, "code": kind},
            "subject": self.reference,
            "period": {
                "start": f"{day}T13:00:00-05:00",
                "end": f"{day}T{13 + minutes // 60}:{minutes % 60:02d}:00-05:00",
            },
        }
        if based_on:
            body["basedOn"] = [{"reference": f"ServiceRequest/{based_on}"}]
        event = {"index": self.person["index"], "day": day, "minutes": minutes, "category": "clinic"}
        counts = ("encounters", event) if is_true and kind != "EMER" else None
        return self.add("Encounter", night, body, counts=counts, free=is_true)

    def course(self) -> None:
        """Add a course of care: screens, referral and visit where positive, and a later score."""
        rng, plan = self.rng, self.plan
        # Two thirds are screened early, so that thirty days have passed and a second score can be there.
        early = rng.random() < 0.66
        day = FIRST_DAY + timedelta(days=int(rng.integers(0, 12))) if early else recent_day(plan, rng, 10)
        positive = bool(rng.random() < 0.5)
        screens = []
        for instrument in self._instruments():
            low, high = (POSITIVE_FROM, instrument.most + 1) if positive else (0, POSITIVE_FROM)
            score = int(rng.integers(low, min(high, 25)))
            screens.append(
                self.screen(instrument, day, score, with_items=bool(rng.random() < 0.75), free=not positive)
            )
        if positive and rng.random() < 0.8:
            sent = day + timedelta(days=int(rng.integers(0, 8)))
            seen = sent + timedelta(days=int(rng.integers(0, 35))) if rng.random() < 0.85 else None
            self.refer(screens[0], sent, seen)
        elif not positive and rng.random() < 0.15:
            self.visit(day, "EMER")
        self._second_score(day, screens[0])

    def _instruments(self) -> list[Instrument]:
        depression = PHQA if self.rng.random() < 0.5 else PHQ9
        draw = self.rng.random()
        return [depression] if draw < 0.5 else [depression, GAD7] if draw < 0.85 else [GAD7]

    def _second_score(self, day: date, first: Record) -> None:
        assert first.counts is not None
        facts, later = first.counts[1], day + timedelta(days=28 + int(self.rng.integers(0, 8)))
        wanted = facts["instrument"] != GAD7.name and facts["score"] >= 10 and self.rng.random() < 0.75
        if wanted and self.plan.night_of(later) <= self.plan.nights:
            instrument = PHQA if facts["instrument"] == PHQA.name else PHQ9
            score = int(self.rng.integers(0, facts["score"] + 2))
            self.screen(instrument, later, min(score, instrument.most), with_items=True, free=True)
