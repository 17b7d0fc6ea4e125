"""What a data owner does: records into standard form, those with too little left out, the rest encoded and mixed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from wellbridge.etl.identity.encoded.profile import GROUPS, Encoded, encode
from wellbridge.etl.identity.files import as_ids, as_text, ids_of, read_table
from wellbridge.etl.identity.standard import RECORD, standardise
from wellbridge.privacy.records.files import read_records
from wellbridge.schemas.errors import ContractError, SourceError

_PLACES: Final = ("zip_code", "phone", "address")
# Reason → column of the standard form that is missing. A link on less would be a guess (reference/linkage.md 4.3).
_NEEDED: Final = {
    "no record id": "record_id",  # in the file of rows it would look like a made-up record
    "no first name": "first_name",
    "no last name": "last_name",
    "no birth date": "birth_date",
}
_NO_PLACE: Final = "no ZIP code, phone or address"
_ENCODED: Final = sorted({part.column for group in GROUPS for part in group.parts})


@dataclass(frozen=True)
class Prepared:
    """Encoded records, and what stays with their owner.

    Attributes:
        records: encoded, in random order, dummies among them.
        rows: ``row`` (from 1) and ``record_id`` of every encoded record; null where it is a dummy.
        read: records of the file.
        left_out: reason → records that were not encoded for it; one with several reasons counts under the first.
        dummies: how many were added.
        twice: what is the same → encoded records that say it after another one: "record id", or "all traits". A file
            should hold a child once, or the look-alikes in it are counted as two children.
    """

    records: Encoded
    rows: pl.DataFrame
    read: int
    left_out: Mapping[str, int]
    dummies: int
    twice: Mapping[str, int]


def read_children(path: Path) -> pl.DataFrame:
    """Read a file of children: CSV, its delimiter found, gzipped or not, or Parquet; a sheet saved as ANSI too.

    Raises:
        SourceError: WB-E-023, it is missing or no table.
    """
    with suppress(SourceError):
        return read_records(path).frame
    return read_table(path)


def prepare(
    records: pl.DataFrame,
    key_of: Callable[[str], bytes],
    *,
    columns: Mapping[str, str] | None = None,
    dummies: float = 0.0,
) -> Prepared:
    """Encode a file's records.

    Args:
        records: one row each; numbers and dates are read as the text that a CSV would hold.
        key_of: the key of a field (``LinkKeys.of``).
        columns: name of a trait (``standard.RECORD``) → the file's column of it, where they differ.
        dummies: share of all that leaves that is made up: each a mixture of several children's traits.

    Raises:
        ContractError: WB-E-082 when the file lacks what every link needs, or all its records do.
    """
    frame = _named(records, columns or {})
    standard = standardise(frame.with_columns(pl.lit("").alias("source")))
    missing = [pl.when(pl.col(name).is_null()).then(pl.lit(why)) for why, name in _NEEDED.items()]
    placed = pl.any_horizontal(pl.col("zip_code", "phone", "address_key").is_not_null())
    reason = standard.select(pl.coalesce(*missing, pl.when(~placed).then(pl.lit(_NO_PLACE)))).to_series()
    whole = standard.filter(reason.is_null())
    counts = {why: int((reason == why).sum()) for why in (*_NEEDED, _NO_PLACE)}
    left_out = {why: count for why, count in counts.items() if count}
    if not whole.height:
        raise _nobody(records.height, left_out)
    rng = np.random.default_rng(secrets.randbits(256))
    made_up = _mixed(whole, round(whole.height * dummies / (1 - dummies)), rng)
    everyone = pl.concat([whole, made_up])
    order = rng.permutation(everyone.height)
    encoded = encode(everyone, key_of).taken(order)
    rows = everyone[order].select(pl.int_range(1, pl.len() + 1).alias("row"), "record_id")
    return Prepared(encoded, rows, records.height, left_out, made_up.height, _twice(whole))


def _nobody(read: int, left_out: Mapping[str, int]) -> ContractError:
    reasons = "".join(f" · {why}: {count:,}" for why, count in left_out.items())
    return ContractError(
        "WB-E-082",
        f"Of {read:,} records none can be encoded.",
        f"0 of {read:,}{reasons}",
        todo="See that the columns are the right ones: --column birth_date=COLUMN",
        facts={"read": read, "encoded": 0, "left_out": dict(left_out)},
    )


def _twice(whole: pl.DataFrame) -> dict[str, int]:
    """Count the records that have the id, or all that is encoded, of a record before them."""
    same = {"record id": whole["record_id"], "all traits": whole.select(pl.struct(_ENCODED)).to_series()}
    return {what: len(said) - said.n_unique() for what, said in same.items()}


def _named(records: pl.DataFrame, columns: Mapping[str, str]) -> pl.DataFrame:
    """Return the traits alone, under their names; records of a file without ids are told by their places in it."""
    absent = [theirs for theirs in columns.values() if theirs not in records.columns]
    if absent:
        raise ContractError("WB-E-082", f"The file has no column {', '.join(absent)}.", "--column")
    theirs = {name: columns.get(name, name) for name in RECORD}
    given = {name: column for name, column in theirs.items() if column in records.columns}
    is_named = "full_name" in given or {"first_name", "last_name"} <= given.keys()
    if not is_named or "birth_date" not in given or not set(_PLACES) & given.keys():
        raise ContractError(
            "WB-E-082",
            "The file needs first_name and last_name (or full_name), birth_date, and one of zip_code, phone "
            "and address.",
            "columns",
            todo="Name the file's own columns with --column birth_date=COLUMN",
        )
    frame = pl.DataFrame([as_text(records[column]).alias(name) for name, column in given.items()])
    ids = as_ids(records[given["record_id"]]) if "record_id" in given else ids_of(records)
    if ids is None:
        return frame.with_columns(pl.int_range(1, pl.len() + 1).cast(pl.String).alias("record_id"))
    return frame.with_columns(ids.alias("record_id"))


def _mixed(whole: pl.DataFrame, count: int, rng: np.random.Generator) -> pl.DataFrame:
    """Make up children: the names, the birth date, the home and the phone of each are four different children's."""
    if not count:
        return whole.clear()
    together = [
        [name for name in whole.columns if name.startswith(("first", "nickname", "middle")) or name == "sex"],
        [name for name in whole.columns if name.startswith(("last", "suffix"))],
        ["birth_date"],
        ["address_key", "zip_code"],
        ["phone"],
    ]
    drawn = [whole.select(names)[rng.integers(0, whole.height, count)] for names in together]
    mixed = pl.concat(drawn, how="horizontal")
    rest = [name for name in whole.columns if name not in mixed.columns]
    return mixed.with_columns(pl.lit(None, whole.schema[name]).alias(name) for name in rest).select(
        whole.columns
    )
