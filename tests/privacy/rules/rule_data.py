"""Made-up contracts and rows on which the rules are shown."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path
from typing import Any

import pandera.polars as pa
import polars as pl

from wellbridge.privacy.policy import decisions, deidentify
from wellbridge.privacy.rules.apply import treated
from wellbridge.privacy.rules.book import Book, builtin
from wellbridge.privacy.rules.rule import Purpose
from wellbridge.schemas.classes import PrivacyClass, Regime
from wellbridge.schemas.contract import Column, Contract, Mode

P = PrivacyClass
TYPES: dict[type, Any] = {str: pl.String(), int: pl.Int64(), date: pl.Date(), bool: pl.Boolean()}


def column(name: str, privacy: PrivacyClass, kind: type = str, **facts: Any) -> Column:
    return Column(name=name, dtype=TYPES[kind], privacy=privacy, header=facts.pop("header", name), **facts)


def contract(*columns: Column, regime: Regime = Regime.HIPAA) -> Contract:
    """A contract that nobody registered."""
    by_name = {one.name: one for one in columns}
    return Contract("made.up", "Made up.", pa.DataFrameModel, by_name, ("row",), Mode.UPSERT, regime)


def rows(made: Contract, **values: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(values, schema={name: made.columns[name].dtype for name in values})


def in_record(made: Contract, frame: pl.DataFrame, book: Book | None = None) -> pl.DataFrame:
    """What of the rows may stand in a record file."""
    return treated(frame, decisions(made, book or builtin(), Purpose.RECORD))


def is_taken_out(name: str, **facts: Any) -> bool:
    """Whether a column of that name is in no record file and no table, while a harmless column beside it stays.

    Somebody classified it as plain, and as sensitive; its rows arrived under either law.
    """
    for privacy in (P.PLAIN, P.SENSITIVE):
        for regime in (Regime.HIPAA, Regime.FERPA):
            made = contract(column(name, privacy, **facts), column("minutes", P.SENSITIVE, int), regime=regime)
            frame = rows(made, **{name: ["Zyxcanary"], "minutes": [30]})
            left = [in_record(made, frame), treated(frame, decisions(made, builtin(), Purpose.AGGREGATE))]
            if any(one.columns != ["minutes"] for one in left):
                return False
    return True


def in_warehouse(made: Contract, frame: pl.DataFrame, book: Book | None = None) -> pl.DataFrame:
    return deidentify(frame, made, book)


def released_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as source:
        return list(csv.DictReader(source))
