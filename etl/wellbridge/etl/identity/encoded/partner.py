"""What a data owner does: records into standard form, those with too little left out, the rest encoded and mixed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from wellbridge.etl.identity.encoded.profile import Encoded, encode
from wellbridge.etl.identity.standard import RECORD, standardise
from wellbridge.schemas.errors import ContractError

_PLACES: Final = ("zip_code", "phone", "address")
# Reason → column of the standard form that is missing. A link on less would be a guess (reference/linkage.md 4.3).
_NEEDED: Final = {"no first name": "first_name", "no last name": "last_name", "no birth date": "birth_date"}
_NO_PLACE: Final = "no ZIP code, phone or address"


@dataclass(frozen=True)
class Prepared:
    """Encoded records, and what stays with their owner.

    Attributes:
        records: encoded, in random order, dummies among them.
        rows: ``row`` (from 1) and ``record_id`` of every encoded record; null where it is a dummy.
        read: records of the file.
        left_out: reason → records that were not encoded for it; one with several reasons counts under the first.
        dummies: how many were added.
    """

    records: Encoded
    rows: pl.DataFrame
    read: int
    left_out: Mapping[str, int]
    dummies: int


def prepare(
    records: pl.DataFrame,
    key_of: Callable[[str], bytes],
    *,
    columns: Mapping[str, str] | None = None,
    dummies: float = 0.0,
) -> Prepared:
    """Encode a file's records.

    Args:
        records: one row each; text.
        key_of: the key of a field (``LinkKeys.of``).
        columns: name of a trait (``standard.RECORD``) → the file's column of it, where they differ.
        dummies: share of all that leaves that is made up: each a mixture of several children's traits.

    Raises:
        ContractError: WB-E-082 when the file lacks what every link needs.
    """
    frame = _named(records, columns or {})
    standard = standardise(frame.with_columns(pl.lit("").alias("source")))
    missing = [pl.when(pl.col(name).is_null()).then(pl.lit(why)) for why, name in _NEEDED.items()]
    placed = pl.any_horizontal(pl.col("zip_code", "phone", "address_key").is_not_null())
    reason = standard.select(pl.coalesce(*missing, pl.when(~placed).then(pl.lit(_NO_PLACE)))).to_series()
    whole = standard.filter(reason.is_null())
    left_out = {why: int((reason == why).sum()) for why in (*_NEEDED, _NO_PLACE)}
    rng = np.random.default_rng(secrets.randbits(256))
    made_up = _mixed(whole, round(whole.height * dummies / (1 - dummies)), rng)
    everyone = pl.concat([whole, made_up])
    order = rng.permutation(everyone.height)
    encoded = encode(everyone, key_of).taken(order)
    rows = everyone[order].select(pl.int_range(1, pl.len() + 1).alias("row"), "record_id")
    return Prepared(encoded, rows, records.height, {w: n for w, n in left_out.items() if n}, made_up.height)


def _named(records: pl.DataFrame, columns: Mapping[str, str]) -> pl.DataFrame:
    """Return the traits alone, under their names; a record without an id is told by its place in the file."""
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
    frame = records.select(pl.col(column).cast(pl.String).alias(name) for name, column in given.items())
    if "record_id" in given:
        return frame
    return frame.with_columns(pl.int_range(1, pl.len() + 1).cast(pl.String).alias("record_id"))


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
