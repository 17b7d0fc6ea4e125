"""The hospital's HL7 v2 batches: crisis stays, appointments, screenings and referrals.

Scores of the hospital are below the positive cut, so that the closed loop from a positive screen to a
service is
the clinic's alone and needs no linking to be counted.
"""

from __future__ import annotations

import copy
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from wellbridge.pipelines.synth.clinic import (
    OPTED_OUT,
    PART2,
    Record,
    RecordFlaw,
    choose,
    counted,
    recent_day,
)
from wellbridge.pipelines.synth.district import Plan
from wellbridge.pipelines.synth.known import Known, known
from wellbridge.pipelines.synth.measures import POSITIVE_FROM
from wellbridge.pipelines.synth.truth import Place, Truth

Message = list[list[str]]
_FACILITY: Final = "HARBOR"


def _cell(rule: str, kind: str, segment: str, number: int, value: str) -> RecordFlaw:
    def change(message: Message) -> None:
        fields = next(fields for fields in message if fields[0] == segment)
        fields[number] = value

    return RecordFlaw(rule, kind, f"{segment}-{number}", change)


def _cut(message: Message) -> bytes:
    return f"MSH|^~\\&|{_FACILITY}\r".encode()


def _other_type(message: Message) -> None:
    message[0][8], message[0][9] = "MDM^T02^MDM_T02", message[0][9] + "X"


def _again(message: Message) -> None:
    message[0][9] += "D"


# Positions of MSH count its separator as field 1, so MSH-n is item n - 1.
FLAWS: Final = (
    _cell("WB-R-011", "ADT", "PV1", 44, "20261399"),
    _cell("WB-R-020", "ADT", "PV1", 2, "Z"),
    _cell("WB-R-010", "ADT", "PV1", 19, ""),
    RecordFlaw("WB-R-030", "ADT", "", _again, is_copy=True),
    RecordFlaw("WB-R-003", "ADT", "", _cut, is_copy=True),
    RecordFlaw("WB-R-004", "ADT", "", _other_type, is_copy=True),
    _cell("WB-R-012", "ORU", "OBX", 5, "eleven"),
    _cell("WB-R-021", "ORU", "OBX", 5, "400"),
    _cell("WB-R-020", "SIU", "SCH", 25, "Perhaps"),
    _cell("WB-R-011", "REF", "RF1", 7, "20260230"),
)


class Hospital:
    """Writes the hospital's batch of every night."""

    def __init__(self, plan: Plan, truth: Truth) -> None:
        self.plan, self.truth = plan, truth
        self._handles = {
            night: (plan.folder(night, "hl7v2") / self.file_name(night)).open("wb")
            for night in range(1, plan.nights + 1)
        }
        self._counts = dict.fromkeys(self._handles, 0)
        for night, handle in self._handles.items():
            stamp = _time(plan.night_days[night - 1], 22)
            handle.write(
                f"FHS|^~\\&|{_FACILITY}|HOSP|WELLBRIDGE|DISTRICT|{stamp}||{self.file_name(night)}\r"
                f"BHS|^~\\&|{_FACILITY}|HOSP|WELLBRIDGE|DISTRICT|{stamp}\r".encode()
            )

    def file_name(self, night: int) -> str:
        """Return the name of a night's file."""
        return f"hl7_{self.plan.day(night)}.hl7"

    def block(self, people: pl.DataFrame, block: int) -> dict[str, pl.DataFrame]:
        """Write a block's messages; return the screenings and referrals that measures count."""
        rng = self.plan.rng(block, "hl7v2")
        records: list[Record] = []
        for number, person in enumerate(people.filter(pl.col("pathway") == "hl7v2").iter_rows(named=True)):
            said = known(rng, person)
            self.truth.record(person["person_id"], "hl7v2", "patient", _hospital_number(person), said)
            records += _Patient(self.plan, rng, person, said, number).messages()
        self._write(records, choose(rng, records, FLAWS, self.plan.defects(block)))
        return counted(records)

    def _write(self, records: list[Record], chosen: list[tuple[RecordFlaw, Record]]) -> None:
        for record in records:
            if record.kept or record.rule:
                row = self._message(record.night, record.kind, _encode(record.body))
                if record.rule:
                    self.truth.removal(self._place(record, row), record.rule)
        for flaw, record in chosen:
            body = copy.deepcopy(record.body)
            written = flaw.change(body)
            row = self._message(record.night, flaw.kind, written if written is not None else _encode(body))
            self.truth.defect(self._place(record, row), flaw.place, flaw.rule)

    def _place(self, record: Record, row: int) -> Place:
        return Place("hl7v2", record.kind, self.file_name(record.night), row, record.night)

    def _message(self, night: int, kind: str, message: bytes) -> int:
        self._handles[night].write(message)
        self._counts[night] += 1
        self.truth.count("hl7v2", kind, "read", 1)
        return self._counts[night]

    def close(self) -> None:
        """Write the trailers, which state the number of messages."""
        for night, handle in self._handles.items():
            handle.write(f"BTS|{self._counts[night]}\rFTS|1\r".encode())
            handle.close()


class _Patient:
    """A child's messages."""

    def __init__(
        self, plan: Plan, rng: np.random.Generator, person: dict[str, Any], said: Known, number: int
    ) -> None:
        self.plan, self.rng, self.person, self.said, self.number = plan, rng, person, said, number
        self.patient, self.control = _hospital_number(person), 0
        self.rule = OPTED_OUT if person["opt_out"] else ""

    def messages(self) -> list[Record]:
        """Return one message of each kind, in turn for neighbouring patients, so that all kinds occur."""
        kinds = (self.stay, self.appointment, self.screening, self.referral)
        drawn = [kind for n, kind in enumerate(kinds) if n == self.number % 4 or self.rng.random() < 0.45]
        return [record for kind in drawn for record in kind()]

    def _record(self, kind: str, trigger: str, night: int, segments: Message, **more: Any) -> Record:
        self.control += 1
        structure = {"ADT": "ADT_A01", "SIU": "SIU_S12", "ORU": "ORU_R01", "REF": "REF_I12"}[kind]
        head = [
            "MSH",
            "^~\\&",
            _FACILITY,
            "HOSP",
            "WELLBRIDGE",
            "DISTRICT",
            _time(self.plan.night_days[night - 1], 20),
            "",
            f"{kind}^{trigger}^{structure}",
            f"{self.patient}-{self.control}",
            "P",
            "2.5.1",
            "",
            "",
            "",
            "",
            "",
            "UNICODE UTF-8",
        ]
        more = {"rule": self.rule, **more}
        return Record(kind, night, [head, self._pid(), *segments], **more)

    def _pid(self) -> list[str]:
        said = self.said
        fields = [""] * 14
        fields[0], fields[1], fields[3] = "PID", "1", f"{self.patient}^^^{_FACILITY}^MR"
        fields[5], fields[7] = f"{said.last_name}^{said.first_name}", said.birth_date.strftime("%Y%m%d")
        fields[8] = "F" if self.person["is_girl"] else "M"
        fields[11], fields[13] = f"{said.street}^^Harborview^TX^{said.zip_code}", said.phone
        return fields

    def stay(self) -> list[Record]:
        """An emergency visit or a stay; a stay still open is told again when it ends."""
        day = recent_day(self.plan, self.rng)
        leaves = day + timedelta(days=int(self.rng.integers(0, 6)))
        night, end = self.plan.night_of(day), self.plan.night_of(leaves)
        kind = "E" if self.rng.random() < 0.4 else "I"
        visit = f"V{self.patient}"
        if end == night:
            return [self._record("ADT", "A03", night, [_visit(kind, visit, day, leaves)])]
        first = self._record(
            "ADT", "A04" if kind == "E" else "A01", night, [_visit(kind, visit, day, None)], free=False
        )
        if end > self.plan.nights:
            return [first]
        return [first, self._record("ADT", "A03", end, [_visit(kind, visit, day, leaves)], free=False)]

    def appointment(self) -> list[Record]:
        """An appointment, kept or not."""
        day = recent_day(self.plan, self.rng)
        fields = [""] * 26
        status = ("Complete", "Booked", "Cancelled", "Noshow")[int(self.rng.integers(0, 4))]
        fields[0], fields[2], fields[6] = "SCH", f"AP{self.patient}^{_FACILITY}", "ROUTINE"
        fields[11], fields[25] = f"^^^{_time(day, 9)}^{_time(day, 10)}", status
        trigger = {"Cancelled": "S15", "Noshow": "S26"}.get(status, "S12")
        return [self._record("SIU", trigger, self.plan.night_of(day), [fields])]

    def screening(self) -> list[Record]:
        """A PHQ-9 or GAD-7 total below the cut; a few come from the SUD unit and are labelled."""
        day, score = recent_day(self.plan, self.rng), int(self.rng.integers(0, POSITIVE_FROM - 1))
        code, name = (("44261-6", "PHQ-9"), ("70274-6", "GAD-7"))[int(self.rng.integers(0, 2))]
        is_sud = self.number % 12 == 2 and not self.rule
        order, request, result = ["ORC", "RE", *[""] * 27], [""] * 8, [""] * 15
        order[28] = "42CFRPart2" if is_sud else ""
        request[0], request[1], request[3] = "OBR", "1", f"SC{self.patient}^{_FACILITY}"
        request[4], request[7] = f"{code}^{name} total^LN", _time(day, 14)
        result[:6] = ["OBX", "1", "NM", f"{code}^{name} total^LN", "", str(score)]
        result[11], result[14] = "F", _time(day, 14)
        counts = ("screens", {"index": self.person["index"], "day": day, "instrument": name, "score": score})
        record = self._record("ORU", "R01", self.plan.night_of(day), [order, request, result], counts=counts)
        if is_sud:
            record.rule = PART2
        return [record]

    def referral(self) -> list[Record]:
        """A referral to outpatient care."""
        day = recent_day(self.plan, self.rng)
        fields = [
            "RF1",
            ("A", "P", "R")[int(self.rng.integers(0, 3))],
            "R",
            "Psy",
            "",
            "O",
            f"RF{self.patient}",
            _time(day, 12),
        ]
        counts = ("referrals", {"index": self.person["index"], "day": day})
        provider = ["PRD", "RT", "Harbor Outpatient"]
        message = self._record("REF", "I12", self.plan.night_of(day), [], counts=counts)
        message.body[1:1] = [fields, provider]  # RF1 and PRD come before PID
        return [message]


def _hospital_number(person: dict[str, Any]) -> str:
    return f"H{(person['index'] * 69_621 + 17) % 2_147_483_647:010d}"


def _visit(kind: str, visit: str, day: date, leaves: date | None) -> list[str]:
    fields = [""] * 46
    fields[0], fields[1], fields[2], fields[10], fields[19] = "PV1", "1", kind, "PSY", visit
    fields[44], fields[45] = _time(day, 3), _time(leaves, 17) if leaves else ""
    return fields


def _time(day: date, hour: int) -> str:
    return f"{day:%Y%m%d}{hour:02d}0000-0500"


def _encode(message: Message) -> bytes:
    return ("\r".join("|".join(fields).rstrip("|") for fields in message) + "\r").encode()
