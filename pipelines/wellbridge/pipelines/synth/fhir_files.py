"""The clinic's Bulk Data folders: NDJSON by resource type, manifest, deletions, and planted defects."""

from __future__ import annotations

import copy
from typing import Any, Final

import orjson
import polars as pl

from wellbridge.pipelines.synth.clinic import Record, RecordFlaw, choose, counted
from wellbridge.pipelines.synth.district import FIRST_DAY, Plan
from wellbridge.pipelines.synth.fhir import PHQ9, Child
from wellbridge.pipelines.synth.known import known
from wellbridge.pipelines.synth.truth import Place, Truth, write_json
from wellbridge.pipelines.synth.writing import LineFile

_KEYS_ONLY: Final = frozenset({"QuestionnaireResponse", "Practitioner"})
_UNKNOWN_TYPE: Final = "WellnessDiary"


def _set(rule: str, kind: str, path: str, value: Any, *, needs: str = "", lacks: str = "") -> RecordFlaw:
    """Return the flaw that sets ``path``; only for bodies that have the field ``needs`` and not ``lacks``."""

    def change(body: Any) -> None:
        *outer, last = path.split(".")
        for name in outer:
            body = body[name]
        body[last] = value

    return RecordFlaw(
        rule, kind, path, change, able=lambda body: (not needs or needs in body) and lacks not in body
    )


def _another_total(body: dict[str, Any]) -> None:
    quantity = body["valueQuantity"]
    quantity["value"] += 1 if quantity["value"] < 20 else -1


def _without(name: str) -> Any:
    return lambda body: body.pop(name) and None


def _long_visit(body: dict[str, Any]) -> None:
    body["period"]["end"] = "2026-12-24T15:00:00-05:00"


def _again(body: dict[str, Any]) -> None:
    body["status"] = "amended"


def _stranger(body: dict[str, Any]) -> None:
    body.update(id=body["id"] + "-x", subject={"reference": "Patient/pat-none"})
    body.pop("derivedFrom", None)


def _unknown_type(body: dict[str, Any]) -> bytes:
    return orjson.dumps({"resourceType": _UNKNOWN_TYPE, "id": body["id"] + "-w", "status": "final"})


FLAWS: Final = (
    _set("WB-R-011", "Observation", "effectiveDateTime", "2026-02-30T10:00:00-05:00"),
    _set("WB-R-020", "Observation", "status", "nearly final"),
    _set("WB-R-021", "Observation", "valueQuantity.value", 400, lacks="derivedFrom"),
    RecordFlaw(
        "WB-R-034",
        "Observation",
        "valueQuantity.value",
        _another_total,
        able=lambda body: "derivedFrom" in body,
    ),
    RecordFlaw("WB-R-010", "Observation", "effectiveDateTime", _without("effectiveDateTime")),
    RecordFlaw("WB-R-003", "Observation", "", lambda body: orjson.dumps(body)[:-3], is_copy=True),
    RecordFlaw("WB-R-030", "Observation", "", _again, is_copy=True),
    RecordFlaw("WB-R-031", "Observation", "subject", _stranger, is_copy=True),
    RecordFlaw("WB-R-004", "Observation", "", _unknown_type, is_copy=True),
    _set("WB-R-011", "Encounter", "period.start", "last Tuesday"),
    _set("WB-R-020", "Encounter", "class.code", "PICNIC"),
    RecordFlaw(
        "WB-R-021", "Encounter", "period.end", _long_visit, able=lambda body: body["class"]["code"] != "EMER"
    ),
    _set("WB-R-020", "ServiceRequest", "status", "wished for"),
    _set("WB-R-011", "ServiceRequest", "authoredOn", "2026-13-01"),
)


class Fhir:
    """Writes the clinic's folder of every night."""

    def __init__(self, plan: Plan, truth: Truth) -> None:
        self.plan, self.truth = plan, truth
        self._files: dict[tuple[int, str], LineFile] = {}

    def folder_name(self, night: int) -> str:
        """Return the name of a night's folder."""
        return f"fhir_{self.plan.day(night)}"

    def block(self, people: pl.DataFrame, block: int) -> dict[str, pl.DataFrame]:
        """Write a block's patients; return the events that measures count."""
        rng = self.plan.rng(block, "fhir")
        records: list[Record] = []
        children = []
        for number, person in enumerate(people.filter(pl.col("pathway") == "fhir").iter_rows(named=True)):
            said = known(rng, person)
            child = Child(self.plan, rng, person, said, *_consent(number, bool(person["opt_out"])))
            self.truth.record(person["person_id"], "fhir", "patient", f"pat-{child.key}", said)
            child.identity()
            child.course()
            children.append(child)
        if self.plan.nights > 1:
            self._mistakes(children, block)
        records = [record for child in children for record in child.records]
        self._write(records, choose(rng, records, FLAWS, self.plan.defects(block)))
        return counted(records)

    def _mistakes(self, children: list[Child], block: int) -> None:
        """A visit that the second night deletes, and a screening that it takes back as entered in error."""
        calm = [c for c in children if not c.rule and not any(r.kind == "ServiceRequest" for r in c.records)]
        for child in calm[: self.plan.defects(block)]:
            visit = child.visit(FIRST_DAY, "EMER", is_true=False)
            self._delete(2, f"Encounter/{visit.body['id']}")
            wrong = child.screen(PHQ9, FIRST_DAY, 22, with_items=False, free=False)
            wrong.counts = None
            body = {**wrong.body, "status": "entered-in-error", "meta": child.meta(2)}
            child.records.append(Record("Observation", 2, body, free=False))

    def _delete(self, night: int, url: str) -> None:
        bundle = {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [{"request": {"method": "DELETE", "url": url}}],
        }
        self._file(night, "deleted").line(orjson.dumps(bundle))
        self.truth.count("fhir", "deleted", "read", 1)
        self.truth.delivery(
            night, "fhir", self.folder_name(night), "", "deletes a visit and takes back a screening"
        )

    def _write(self, records: list[Record], chosen: list[tuple[RecordFlaw, Record]]) -> None:
        for record in records:
            if record.kept or record.rule:
                row = self._line(record.night, record.kind, orjson.dumps(record.body))
                self._policy(record, row)
        for flaw, record in chosen:
            body = copy.deepcopy(record.body)
            written = flaw.change(body)
            kind = _UNKNOWN_TYPE if flaw.rule == "WB-R-004" else flaw.kind
            row = self._line(record.night, kind, written if written is not None else orjson.dumps(body))
            self.truth.defect(self._place(record, kind, row), flaw.place, flaw.rule)

    def _policy(self, record: Record, row: int) -> None:
        """Note a row that is removed: by its patient's rule, or as read for its keys only."""
        if record.rule and record.kind not in _KEYS_ONLY:
            self.truth.removal(self._place(record, record.kind, row), record.rule)
        elif record.kind in _KEYS_ONLY:
            self.truth.count("fhir", record.kind, "removed WB-P-004", 1)

    def _place(self, record: Record, kind: str, row: int) -> Place:
        return Place("fhir", kind, f"{self.folder_name(record.night)}/{kind}.ndjson", row, record.night)

    def _file(self, night: int, kind: str) -> LineFile:
        if (night, kind) not in self._files:
            folder = self.plan.folder(night, "fhir") / self.folder_name(night)
            self._files[night, kind] = LineFile(folder / f"{kind}.ndjson")
        return self._files[night, kind]

    def _line(self, night: int, kind: str, line: bytes) -> int:
        self.truth.count("fhir", kind, "read", 1)
        return self._file(night, kind).line(line)

    def close(self) -> None:
        """End the files and write each night's manifest."""
        for night in range(1, self.plan.nights + 1):
            output: list[dict[str, Any]] = []
            deleted: list[dict[str, Any]] = []
            for (of, kind), file in self._files.items():
                if of == night:
                    file.close()
                    entry = {"url": file.path.name, "count": file.last_row}
                    (deleted if kind == "deleted" else output).append(
                        entry | {"type": "Bundle" if kind == "deleted" else kind}
                    )
            folder = self.plan.folder(night, "fhir") / self.folder_name(night)
            folder.mkdir(exist_ok=True)
            write_json(
                folder / "manifest.json",
                {
                    "transactionTime": f"{self.plan.day(night)}T23:00:00Z",
                    "request": "https://clinic.example/fhir/$export",
                    "requiresAccessToken": False,
                    "output": output,
                    "deleted": deleted,
                    "error": [],
                },
            )


def _consent(number: int, opted_out: bool) -> tuple[str, bool]:
    """Return consent and whether the records are a SUD program's, for the n-th patient of a block."""
    if opted_out:
        return "permit", False
    kinds = {
        3: ("deny", False),
        5: ("part2", True),
        7: ("permit", True),
        11: ("expired", True),
        13: ("none", False),
    }
    return kinds.get(number % 25, ("permit", False))
