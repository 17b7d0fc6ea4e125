"""HL7 v2 from a hospital: batches of ADT, SIU, REF and ORU into crises, appointments, referrals, scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import polars as pl

import wellbridge.schemas.contracts.hl7v2  # noqa: F401 - registers the contracts
from wellbridge.etl.readers.completeness import check_complete
from wellbridge.etl.readers.hl7v2 import Message, read_messages
from wellbridge.etl.reading import Chunk, Delivery
from wellbridge.pipelines.sources.hl7v2_messages import flatten, resource_of
from wellbridge.pipelines.sources.shaping import table_rows
from wellbridge.pipelines.sources.sheet import OTHER, RecordError, Sheet
from wellbridge.pipelines.sources.source import Resource, Source
from wellbridge.schemas import instruments
from wellbridge.schemas.contract import CONTRACTS
from wellbridge.schemas.warehouse import APPOINTMENT, CRISIS_EVENT, REFERRAL, REFERRAL_STATUS, SCREENING

_START_BYTES: Final = 64
_BEFORE_TEXT: Final = b"\xef\xbb\xbf\x0b\r\n "  # byte order mark, MLLP's frame, line ends
_CHUNK_MESSAGES: Final = 25_000
_SECOND: Final = {
    "screening_2_key": "screening_key", "instrument_2": "instrument", "score_2": "score",
    "event_date_2": "event_date", "safety_flag_2": "safety_flag",
}


def check(delivery: Delivery, settings: Mapping[str, Any]) -> None:
    """Defer a file without an envelope that stops in the middle of a line; a batch's trailers say the rest.

    ``complete = "settled"`` in the feed's file says that what lies in its inbox is whole.
    """
    if settings.get("complete") == "settled":
        return
    for path in delivery.files.values():
        with path.open("rb") as handle:
            start = handle.read(_START_BYTES).lstrip(_BEFORE_TEXT)
        if not start.startswith((b"FHS", b"BHS")):
            check_complete(path)


def read(delivery: Delivery, settings: Mapping[str, Any]) -> Iterator[Chunk]:
    """Yield every message of every file once: as a contract's row, a retraction, a counted or a held row."""
    for name, path in delivery.files.items():
        found = read_messages(path, name=name)
        unread = Sheet(name)
        for row, column, rule in found.held.select("_row", "column", "rule").iter_rows():
            unread.hold(OTHER, row, column, rule)
        yield from unread.chunks()
        for messages in _batched(found.messages, _CHUNK_MESSAGES):
            yield from _sheet(name, messages, settings).chunks()


def _batched(messages: Sequence[Message], size: int) -> Iterator[Sequence[Message]]:
    """Yield consecutive runs of messages."""
    for start in range(0, len(messages), size):
        yield messages[start:start + size]


def _sheet(name: str, messages: Sequence[Message], settings: Mapping[str, Any]) -> Sheet:
    sheet = Sheet(name)
    for message in messages:
        try:
            sheet.add(message.row, flatten(message, settings))
        except RecordError as error:
            sheet.hold(resource_of(message), message.row, error.column, error.rule)
    return sheet


# -- shapes ------------------------------------------------------------------------------------------------


def _screenings(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    second = frame.filter(pl.col("instrument_2").is_not_null()).drop(_SECOND.values()).rename(_SECOND)
    both = pl.concat([frame, second], how="diagonal")
    scored = both.with_columns(
        instruments.band().alias("band"), instruments.is_positive().alias("is_positive"))
    return {SCREENING.name: table_rows(scored, SCREENING)}


def _referrals(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {
        REFERRAL.name: table_rows(frame, REFERRAL), REFERRAL_STATUS.name: table_rows(frame, REFERRAL_STATUS),
    }


SOURCES: Final = {
    "hl7v2": Source(
        kind="hl7v2", rank=1, is_partner=True, read=read, check=check,
        resources={
            "crises": Resource(CONTRACTS["hl7v2.crises"], table=CRISIS_EVENT.name),
            "appointments": Resource(CONTRACTS["hl7v2.appointments"], table=APPOINTMENT.name),
            "referrals": Resource(CONTRACTS["hl7v2.referrals"], shape=_referrals),
            "screenings": Resource(
                CONTRACTS["hl7v2.screenings"], shape=_screenings, delete_from=(SCREENING.name,)),
            "other": Resource(CONTRACTS["hl7v2.other"]),
        },
    ),
}
