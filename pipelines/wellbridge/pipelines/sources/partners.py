"""Community partners' CSV files: one header row, then data, one file a stream.

The file's name before its date says which contract it is under. A partner whose headers are named otherwise
maps them in the feed's file (``rename = {"their name" = "our header"}``), and only so: nothing is matched by
likeness. Local codes are mapped there too (``codes``), when the cells are parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

import wellbridge.schemas.contracts.partners  # noqa: F401 - registers the contracts
from wellbridge.etl.readers.completeness import check_complete
from wellbridge.etl.readers.delimited import Dialect, read_delimited
from wellbridge.etl.reading import Chunk, Delivery, Refused
from wellbridge.pipelines.sources.source import Resource, Shape, Source
from wellbridge.schemas.contract import CONTRACTS, Contract

_TELEHEALTH: Final = "telehealth"

# Columns that the partner does not send: contract name → column → how it follows from the sent ones.
_DERIVED: Final[dict[str, dict[str, pl.Expr]]] = {
    "telehealth.referrals": {
        "session_id": pl.when(pl.col("first_session_date").str.strip_chars() != "").then("referral_id")},
    "handle_with_care.notices": {"child_id": pl.col("notice_id")},
    "needs_assessment.answers": {
        "need_id": pl.concat_str(pl.col("assessment_id").str.strip_chars(), pl.lit("/"),
                                 pl.col("domain").str.strip_chars().str.to_lowercase())},
}


# -- reading ----------------------------------------------------------------------------------------------


def sent_headers(contract: Contract) -> list[str]:
    """Return the headers that the partner's file must have, in contract order."""
    made = _DERIVED.get(contract.name, {})
    return [header for header, name in contract.headers.items() if name not in made]


def check(delivery: Delivery, settings: Mapping[str, Any]) -> None:
    """Defer a file whose sidecar does not match or that stops in the middle of a line."""
    for path in delivery.files.values():
        check_complete(path)


def _reader(contracts: Mapping[str, Contract]) -> Callable[[Delivery, Mapping[str, Any]], Iterator[Chunk]]:
    def read(delivery: Delivery, settings: Mapping[str, Any]) -> Iterator[Chunk]:
        for name, path in delivery.files.items():
            contract = contracts.get(delivery.stream)
            if contract is None:
                raise Refused("WB-D-006", name)
            yield from _read_file(contract, name, path, settings)

    return read


def _read_file(contract: Contract, name: str, path: Path, settings: Mapping[str, Any]) -> Iterator[Chunk]:
    ours = {their: our for their, our in dict(settings.get("rename", {})).items() if our in contract.headers}
    theirs = {our: their for their, our in ours.items()}
    made = _DERIVED.get(contract.name, {})
    for rows, held in read_delimited(
        path, name=name, headers=[theirs.get(header, header) for header in sent_headers(contract)],
        extra=(*contract.extra_headers, *settings.get("extra", ())),
        dialect=Dialect(separator=settings.get("separator", ",")), encoding=settings.get("encoding", "utf-8"),
    ):
        named = rows.rename(ours, strict=False)
        whole = named.with_columns(value.alias(column) for column, value in made.items())
        yield Chunk(contract.resource, whole, held)


# -- shapes -----------------------------------------------------------------------------------------------


def shape_telehealth(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """One row of a referral: the referral, its newest status, and the first session once it took place."""
    referral = frame.with_columns(
        event_date="referred_date", referral_type="reason", provider=pl.lit(_TELEHEALTH))
    session = frame.filter(pl.col("session_key").is_not_null()).with_columns(
        encounter_key="session_key", event_date="first_session_date", minutes="session_minutes",
        provider=pl.lit(_TELEHEALTH), category=pl.lit(_TELEHEALTH), modality=pl.lit("video"))
    return {"referral": referral, "referral_status": frame, "service_encounter": session}


# -- the sources ------------------------------------------------------------------------------------------


def _source(kind: str, tables: Mapping[str, str | Shape], *, is_partner: bool = True) -> Source:
    """Build a source from stream → the warehouse table it fills, or the shape that says."""
    resources = {}
    for stream, target in tables.items():
        table, shape = (target, None) if isinstance(target, str) else (None, target)
        resources[stream] = Resource(CONTRACTS[f"{kind}.{stream}"], table=table, shape=shape)
    by_stream = {stream: resource.contract for stream, resource in resources.items()}
    return Source(kind=kind, rank=1, resources=resources, read=_reader(by_stream), check=check,
                  is_partner=is_partner)


SOURCES: Final[dict[str, Source]] = {
    source.kind: source
    for source in (
        _source("case_management", {
            "cases": "case_plan", "tiers": "tier_assignment", "services": "service_encounter",
            "reentry": "reentry_plan"}),
        _source("out_of_school", {"enrolment": "ost_enrollment", "attendance": "ost_attendance"}),
        _source("telehealth", {"referrals": shape_telehealth}),
        _source("handle_with_care", {"notices": "handle_with_care"}),
        # About members of staff, so a family's opt-out does not reach it.
        _source("staff_training", {"sessions": "training_attendance"}, is_partner=False),
        _source("needs_assessment", {"answers": "needs_assessment"}),
    )
}
