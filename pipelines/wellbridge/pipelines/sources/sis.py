"""A student information system's own CSV exports: daily attendance and families' opt-outs.

The dialect is that of Aspen X2 (school-sources, section 4): the header may be single-quoted, quotes inside
cells are escaped by backslashes, ``NULL`` is a missing cell. A feed whose headers are named otherwise maps
them in its file: ``rename = {"their name" = "our header"}``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from wellbridge.etl.readers.completeness import check_complete
from wellbridge.etl.readers.delimited import ASPEN, read_delimited
from wellbridge.etl.reading import Chunk, Delivery, Refused
from wellbridge.pipelines.sources.shaping import table_rows
from wellbridge.pipelines.sources.source import CONSENT, Resource, Source
from wellbridge.schemas.codes import ABSENT_FRACTIONS
from wellbridge.schemas.contract import CONTRACTS, Contract
from wellbridge.schemas.contracts import sis as _sis  # noqa: F401 - registers the contracts
from wellbridge.schemas.warehouse import ATTENDANCE

# Columns that a district may leave out of its export.
_OPTIONAL: Final = {"attendance": ("Minutes Absent",), "optout": ("withdrawn_date",)}


def check(delivery: Delivery, settings: Mapping[str, Any]) -> None:
    """Defer a file whose sidecar does not match or that stops in the middle of a line."""
    for path in delivery.files.values():
        check_complete(path)


def read(delivery: Delivery, settings: Mapping[str, Any]) -> Iterator[Chunk]:
    """Yield the rows of ``attendance_…csv`` or ``optout_…csv``.

    Raises:
        Refused: WB-D-006 for a file of another name; WB-D-001, -003 or -004 for one that cannot be read.
    """
    resource = RESOURCES.get(delivery.stream)
    for name, path in delivery.files.items():
        if resource is None:
            raise Refused("WB-D-006", name)
        yield from _read_file(resource.contract, name, path, settings)


def _read_file(contract: Contract, name: str, path: Path, settings: Mapping[str, Any]) -> Iterator[Chunk]:
    ours = {their: our for their, our in dict(settings.get("rename", {})).items() if our in contract.headers}
    theirs = {our: their for their, our in ours.items()}
    for rows, held in read_delimited(
        path, name=name, headers=[theirs.get(header, header) for header in contract.headers],
        optional=[theirs.get(header, header) for header in _OPTIONAL[contract.resource]],
        extra=tuple(settings.get("extra", ())), encoding=settings.get("encoding", "utf-8"),
        dialect=replace(ASPEN, separator=settings.get("separator", ",")),
    ):
        yield Chunk(contract.resource, rows.rename(ours, strict=False), held)


def shape_attendance(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """One day of a student: its status and the share of the day missed that the status stands for.

    Minutes absent give no share, because the file does not say how long the day is.
    """
    fraction = pl.col("status").replace_strict(ABSENT_FRACTIONS, default=None, return_dtype=pl.Float64)
    days = frame.with_columns(absent_fraction=fraction, event_kind=pl.lit("daily"))
    return {ATTENDANCE.name: table_rows(days, ATTENDANCE)}


def shape_optout(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """A family's decision, in force from its effective date until it is withdrawn."""
    decisions = frame.with_columns(
        decision="scope", start_date="effective_date", end_date="withdrawn_date", is_active=pl.lit(True))
    return {CONSENT: decisions.drop("scope", "effective_date", "withdrawn_date")}


RESOURCES: Final[dict[str, Resource]] = {
    "attendance": Resource(CONTRACTS["sis.attendance"], table=ATTENDANCE.name, shape=shape_attendance),
    "optout": Resource(CONTRACTS["sis.optout"], shape=shape_optout, decides=True),
}

SOURCES: Final = {
    # Of the rosters' rank, so that the night's opt-outs are known before any partner's records come.
    "sis": Source("sis", 0, RESOURCES, read, check=check),
}
