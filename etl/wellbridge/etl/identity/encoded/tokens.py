"""Blocking tokens: keyed hashes of combinations so rare that they join a child's records and few others.

A token is personally identifiable information under FERPA (34 CFR 99.3): whoever holds the key can try names and
birth dates until one fits. It lives in a sealed bundle until the linkage is done, and never in a table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wellbridge.privacy.bulk_mac import macs

TOKEN_BYTES: Final = 8

# Block → what its token is made of; a record that lacks a part has no token there. Order of usefulness, measured.
BLOCKS: Final[dict[str, tuple[str, ...]]] = {
    "name_birth": ("root", "birth"),
    "surname_birth": ("last_part", "birth"),
    "names_year": ("all_names", "year"),
    "address": ("address", "initial"),
    "phone": ("phone", "initial"),
    "names_day": ("root", "first_part", "month_day"),
    "zip_birth": ("zip", "birth"),
}


def _pieces() -> dict[str, pl.Expr]:
    birth = pl.col("birth_date")
    month, day = birth.dt.month(), birth.dt.day()
    parts = pl.col("last_names")
    root, surnames = pl.col("nickname_root"), parts.list.join("+")
    return {
        "root": root,
        "initial": root.str.slice(0, 1),
        "first_part": parts.list.first(),
        "last_part": parts.list.last(),
        "all_names": pl.when(
            root.is_not_null() & surnames.is_not_null()
        ).then(  # swapped or not: the lesser first
            pl.concat_str(pl.min_horizontal(root, surnames), pl.max_horizontal(root, surnames), separator="+")
        ),
        "birth": birth.cast(pl.String),
        "year": birth.dt.year().cast(pl.String),
        "month_day": pl.concat_str(
            pl.min_horizontal(month, day), pl.max_horizontal(month, day), separator="/"
        ),
        "phone": pl.col("phone"),
        "address": pl.col("address_key"),
        "zip": pl.col("zip_code"),
    }


def block_tokens(standard: pl.DataFrame, key_of: Callable[[str], bytes]) -> NDArray[np.uint64]:
    """Return the tokens of records in standard form: ``(records, blocks)``, 0 where there is none.

    Args:
        standard: ``standard.STANDARD``.
        key_of: the key of a field; a block's is that of "token/" and its name.
    """
    pieces = standard.select(piece.alias(name) for name, piece in _pieces().items())
    texts = pieces.select(
        pl.concat_str(made_of, separator="|").alias(name) for name, made_of in BLOCKS.items()
    )
    out = np.zeros((standard.height, len(BLOCKS)), np.uint64)
    for place, text in enumerate(texts):
        known = text.is_not_null().to_numpy()
        out[known, place] = np.maximum(macs(text.drop_nulls(), key_of(f"token/{text.name}")), 1)
    return out
