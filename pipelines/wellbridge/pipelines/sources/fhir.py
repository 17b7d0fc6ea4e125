"""FHIR R4 from a health partner: Bulk Data folders into screenings, referrals, visits and consents."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import polars as pl

from wellbridge.etl.readers.json_records import JsonRecords, read_ndjson
from wellbridge.etl.reading import Chunk, Delivery
from wellbridge.pipelines.sources.fhir_package import Member, check_counts, open_package
from wellbridge.pipelines.sources.fhir_records import RESOURCE_OF, Context, deleted, flatten
from wellbridge.pipelines.sources.fhir_values import Record, child, children, text, version
from wellbridge.pipelines.sources.shaping import table_rows
from wellbridge.pipelines.sources.sheet import MALFORMED, OTHER, Flat, RecordError, Sheet
from wellbridge.pipelines.sources.source import CONSENT, Resource, Source
from wellbridge.schemas import instruments
from wellbridge.schemas.contract import CONTRACTS
from wellbridge.schemas.contracts.fhir import MODALITY
from wellbridge.schemas.warehouse import CRISIS_EVENT, REFERRAL, REFERRAL_STATUS, SCREENING, SERVICE_ENCOUNTER

_DELETED: Final = re.compile(r"^([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})$")


def check(delivery: Delivery, settings: Mapping[str, Any]) -> None:
    """Raise ``Deferred`` while files are missing, ``Refused`` where counts differ; see ``fhir_package``."""
    check_counts(open_package(delivery, settings))


def read(delivery: Delivery, settings: Mapping[str, Any]) -> Iterator[Chunk]:
    """Yield every line of every file, once: as a row of a contract, a deletion, a counted or a held row."""
    package = open_package(delivery, settings)
    context = Context(package.as_of, settings)
    for found in package.members:
        member = replace(found, name=f"{delivery.name}/{found.name}")  # as a person finds it in the inbox
        for records in read_ndjson(member.path, name=member.name):
            yield from (_deletions if member.deletes else _resources)(member, records, context).chunks()


def _sheet(member: Member, records: JsonRecords, resource: str) -> Sheet:
    sheet = Sheet(member.name)
    for row, column, rule in records.held.select("_row", "column", "rule").iter_rows():
        sheet.hold(resource, row, column, rule)
    return sheet


def _resources(member: Member, records: JsonRecords, context: Context) -> Sheet:
    resource = RESOURCE_OF.get(member.kind, OTHER)
    sheet = _sheet(member, records, resource)
    for row, record in zip(records.rows, records.records, strict=True):
        try:
            if record.get("resourceType") not in (None, member.kind):
                raise RecordError("resourceType", MALFORMED)
            sheet.add(row, flatten(record, context))
        except RecordError as error:
            sheet.hold(resource, row, error.column, error.rule)
    return sheet


def _deletions(member: Member, records: JsonRecords, context: Context) -> Sheet:
    sheet = _sheet(member, records, OTHER)
    for row, record in zip(records.rows, records.records, strict=True):
        try:
            for flat in [_deletion(entry, record, context) for entry in _entries(record)]:
                sheet.add(row, flat)
        except RecordError as error:
            sheet.hold(OTHER, row, error.column, error.rule)
    return sheet


def _entries(record: Record) -> list[Record]:
    """Return a bundle's entries; a line may also be one bare entry."""
    entries = children(record, "entry") if record.get("resourceType") == "Bundle" else [record]
    if not entries:
        raise RecordError("entry")
    return entries


def _deletion(entry: Record, bundle: Record, context: Context) -> Flat:
    request = child(entry, "request")
    named = _DELETED.match(text(request, "url") or "")
    if text(request, "method") != "DELETE" or named is None:
        raise RecordError("request")
    return deleted(named[1], named[2], version(text(child(bundle, "meta"), "lastUpdated")) or context.as_of)


# -- shapes ------------------------------------------------------------------------------------------------


def _nothing(_frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {}


def _screenings(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    band, is_positive = instruments.band().alias("band"), instruments.is_positive().alias("is_positive")
    return {SCREENING.name: table_rows(frame.with_columns(band, is_positive), SCREENING)}


def _referrals(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {
        REFERRAL.name: table_rows(frame, REFERRAL), REFERRAL_STATUS.name: table_rows(frame, REFERRAL_STATUS),
    }


def _encounters(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    is_crisis = pl.col("encounter_class") == "EMER"
    services = frame.filter(~is_crisis).with_columns(
        pl.lit("clinical").alias("category"),
        pl.col("encounter_class").replace_strict(
            MODALITY, default=None, return_dtype=pl.String).alias("modality"),
    )
    crises = frame.filter(is_crisis).with_columns(pl.lit("emergency").alias("crisis_kind"))
    return {
        SERVICE_ENCOUNTER.name: table_rows(services, SERVICE_ENCOUNTER),
        CRISIS_EVENT.name: table_rows(crises, CRISIS_EVENT),
    }


def _consents(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Say of each consent what it decides and what it does not, so that a change takes the old word back."""
    both = [
        frame.with_columns(
            (pl.col("is_active") & (pl.col("decision") == decision)).alias("is_active"),
            pl.lit(decision).alias("decision"),
        )
        for decision in ("deny", "permit_part2")
    ]
    return {CONSENT: pl.concat(both)}


SOURCES: Final = {
    "fhir": Source(
        kind="fhir", rank=1, is_partner=True, read=read, check=check,
        resources={
            "patients": Resource(CONTRACTS["fhir.patients"], shape=_nothing, introduces=True),
            "consents": Resource(CONTRACTS["fhir.consents"], shape=_consents, decides=True),
            "responses": Resource(CONTRACTS["fhir.responses"]),
            "screenings": Resource(
                CONTRACTS["fhir.screenings"], shape=_screenings, delete_from=(SCREENING.name,)),
            "referrals": Resource(
                CONTRACTS["fhir.referrals"], shape=_referrals,
                delete_from=(REFERRAL.name, REFERRAL_STATUS.name)),
            "encounters": Resource(
                CONTRACTS["fhir.encounters"], shape=_encounters,
                delete_from=(SERVICE_ENCOUNTER.name, CRISIS_EVENT.name)),
            "other": Resource(CONTRACTS["fhir.other"]),
        },
    ),
}
