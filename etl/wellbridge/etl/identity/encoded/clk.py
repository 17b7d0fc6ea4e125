"""Cryptographic long-term keys of records by a clkhash schema: the same bits as clkhash 0.18.3, many times faster.

For partners of CODI and users of anonlink. A record's one filter holds all its fields and is neither salted nor, in
CODI's schemas, folded: between ourselves ``profile`` is used instead.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from wellbridge.etl.identity.encoded.filters import (
    Filters,
    add_filters,
    factorised,
    folded,
    per_token,
    per_value,
    slices,
)
from wellbridge.etl.identity.encoded.schema import Feature, LinkageSchema
from wellbridge.privacy.derivation import hkdf
from wellbridge.schemas.errors import ContractError

_KEYS_PER_FEATURE = 2  # clkhash derives a second one for the double hashing that we refuse


def encode(records: pl.DataFrame, schema: LinkageSchema, secret: bytes) -> Filters:
    """Return the filter of every record.

    Args:
        records: text columns in the schema's order, of any names; a null counts as "".
        schema: which columns are hashed, and how.
        secret: what all partners share; for CODI the text of its subkey in UTF-8.

    Returns:
        ``(records, schema.bits / 8)`` bytes, first bit highest, as anonlink writes them.

    Raises:
        ContractError: WB-E-082 when a value is not one that the schema allows; nothing of it is told.
    """
    if records.width != len(schema.features):
        raise ContractError(
            "WB-E-082", f"The file has {records.width} columns, the schema {len(schema.features)}.", "columns"
        )
    algorithm, salt, info, size = schema.kdf
    derived = hkdf(
        secret, _KEYS_PER_FEATURE * size * len(schema.features), salt=salt, info=info, algorithm=algorithm
    )
    bits = schema.bits << schema.folds
    out = np.zeros((records.height, bits // 8), np.uint8)
    for number, feature in enumerate(schema.features):
        if feature is not None:
            begin = _KEYS_PER_FEATURE * size * number
            _add(out, records.to_series(number), feature, derived[begin : begin + size], bits)
    return folded(out, schema.folds)


def _add(out: Filters, column: pl.Series, feature: Feature, key: bytes, bits: int) -> None:
    """Set the bits of one column in every record's filter."""
    distinct, of = factorised(column)
    prepared = [feature.prepared(value) for value in distinct]
    refused = np.array([form is None for form in prepared], bool)[of]
    if refused.any():
        raise ContractError(
            "WB-E-082",
            f"{refused.sum():,} value(s) are not what the schema allows, the first in record "
            f"{refused.argmax() + 1:,}.",
            f"column {feature.name}",
        )
    lists = feature.tokenise([form for form in prepared if form is not None])
    times = per_value(lists, feature.bits) if feature.is_per_value else per_token(lists, feature.bits)
    tokens = [token.encode(feature.encoding) for token in lists.tokens]
    places = slices(tokens, key, int(times.max(initial=0)), bits)
    add_filters(out, of, lists, times, places, bits)
