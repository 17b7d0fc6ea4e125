"""What leaves of a record: five filters, seven tokens and a few flags, all under the keys of one linkage.

Filters are hardened: every token is hashed together with the birth year, so that a name has as many patterns as there
are years and frequencies tell little, and every filter is folded by exclusive or, so that no bit stands for one
token. What this protects from, and what not, is told in docs/identity-encoded.md; measured costs too.

Source: reference/linkage.md 1.1, 4.3; Niedermeyer et al. 2014 (birth year as salt), Schnell and Borgs 2016 (folding).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wellbridge.etl.identity.encoded.filters import (
    Filters,
    TokenLists,
    add_filters,
    factorised,
    folded,
    listed,
    ngrams,
    numbered,
    per_token,
    salted,
    slices,
    whole,
    words,
)
from wellbridge.etl.identity.encoded.tokens import BLOCKS, block_tokens


@dataclass(frozen=True)
class Part:
    """One column of the standard form in a group's filter.

    Attributes:
        column: as in ``standard.STANDARD``.
        cut: "pairs" of letters, "words", the "whole", or a "date" by its parts.
        bits: how many bits each token sets.
    """

    column: str
    cut: str
    bits: int


@dataclass(frozen=True)
class Group:
    """Columns that are compared together, in one filter.

    Attributes:
        name: of the group.
        bits: length of the filter that leaves, after folding.
        parts: what is in it.
    """

    name: str
    bits: int
    parts: tuple[Part, ...]


GROUPS: Final = (
    Group(
        "first",
        512,
        (
            Part("first_name", "pairs", 12),
            Part("first_name", "letters", 6),
            Part("nickname_root", "whole", 30),
        ),
    ),
    Group("surname", 512, (Part("last_name", "pairs", 12),)),
    Group("birth", 512, (Part("birth_date", "date", 16),)),
    Group(
        "household",
        512,
        (
            Part("phone", "whole", 15),
            Part("address_key", "words", 10),
            Part("zip_code", "whole", 5),
        ),
    ),
    Group(
        "record",
        512,
        (
            Part("first_name", "pairs", 4),
            Part("last_name", "pairs", 4),
            Part("birth_date", "date", 4),
            Part("sex", "whole", 8),
            Part("zip_code", "whole", 5),
        ),
    ),
)
FLAGS: Final = ("has_phone", "has_address", "has_zip", "has_sex")
_FOLDS: Final = 1
_LEAST_YEAR: Final = 1900


@dataclass(frozen=True, repr=False)
class Encoded:
    """The encoded records of one file; as sensitive as the file, so nothing prints, compares or pickles it.

    Attributes:
        filters: group → ``(records, bits / 8)`` bytes.
        tokens: ``(records, blocks)`` UInt64, 0 where a record lacks what the token is made of.
        flags: ``(records,)``, one bit for each of ``FLAGS``.
    """

    filters: dict[str, Filters]
    tokens: NDArray[np.uint64]
    flags: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.flags)

    def __repr__(self) -> str:
        return f"<{len(self)} encoded records>"

    def __reduce__(self) -> str:
        raise TypeError("encoded records travel in sealed bundles only")

    def taken(self, rows: NDArray[np.int64]) -> Encoded:
        """Return these rows, in this order."""
        return Encoded(
            {name: one[rows] for name, one in self.filters.items()}, self.tokens[rows], self.flags[rows]
        )


def schema_hash() -> str:
    """Return the hash of all that decides which bits a record sets: two sides must have the same."""
    meaning = [
        [asdict(group) for group in GROUPS],
        FLAGS,
        _FOLDS,
        "birth year",
        {name: list(b) for name, b in BLOCKS.items()},
    ]
    return sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def encode(
    standard: pl.DataFrame, key_of: Callable[[str], bytes], *, is_salted: bool = True, folds: int = _FOLDS
) -> Encoded:
    """Encode records that were put into standard form.

    Args:
        standard: ``standard.STANDARD``.
        key_of: the key of a field (a column and its cut, or "token" and a block), 32 bytes.
        is_salted: hash every token with the birth year. Off only to measure what it costs.
        folds: how often filters are folded. 0 only to measure what it costs.
    """
    year = standard["birth_date"].dt.year().cast(pl.Int64).fill_null(_LEAST_YEAR - 1).clip(_LEAST_YEAR - 1)
    salt = year.to_numpy() - (_LEAST_YEAR - 1) if is_salted else np.zeros(standard.height, np.int64)
    columns = {part.column for group in GROUPS for part in group.parts}
    values = {name: factorised(standard[name]) for name in columns}
    cuts = {(part.column, part.cut) for group in GROUPS for part in group.parts}
    lists = {(name, cut): _CUTS[cut](values[name][0]) for name, cut in cuts}
    pairs = {name: _pairs(of, salt, len(distinct)) for name, (distinct, of) in values.items()}
    under_salt = {(name, cut): salted(one, *pairs[name][:2]) for (name, cut), one in lists.items()}
    drawn = {name: _drawn(tokens, *name, key_of) for name, tokens in under_salt.items()}
    filters, used = {}, dict.fromkeys(drawn, 0)
    for group in GROUPS:
        bits = group.bits << folds
        out = np.zeros((standard.height, bits // 8), np.uint8)
        for part in group.parts:
            name = part.column, part.cut
            places = drawn[name][:, used[name] : used[name] + part.bits] & np.uint16(bits - 1)
            used[name] += part.bits
            tokens = under_salt[name]
            add_filters(out, pairs[part.column][2], tokens, per_token(tokens, part.bits), places, bits)
        filters[group.name] = folded(out, folds)
    return Encoded(filters, block_tokens(standard, key_of), _flags(standard))


def _drawn(tokens: TokenLists, column: str, cut: str, key_of: Callable[[str], bytes]) -> NDArray[np.uint16]:
    """Hash tokens once for all groups that they are in; each group takes slices of its own."""
    count = sum(
        part.bits for group in GROUPS for part in group.parts if (part.column, part.cut) == (column, cut)
    )
    return slices([token.encode() for token in tokens.tokens], key_of(f"{column}/{cut}"), count, 1 << 16)


def _pairs(of: NDArray[np.int64], salt: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], ...]:
    """Return value and salt of each distinct pair, and every row's place among the pairs."""
    salts = int(salt.max(initial=0)) + 1
    distinct, rows = numbered(of * salts + salt, count * salts)
    return (*np.divmod(distinct, salts), rows)


def _date(values: Sequence[str]) -> TokenLists:
    """Cut "2014-05-17" into year, month, day, the last two in either order, and its digits by place."""
    return listed([_date_tokens(value) if value else [] for value in values])


def _date_tokens(value: str) -> list[str]:
    year, month, day = value.split("-")
    digits = [f"{place}={digit}" for place, digit in enumerate(month + day)]
    return [f"y{year}", f"m{month}", f"d{day}", "/".join(sorted((month, day))), *digits]


_CUTS: Final[dict[str, Callable[[Sequence[str]], TokenLists]]] = {
    "pairs": partial(ngrams, n=2),
    "letters": partial(ngrams, n=1),
    "words": words,
    "whole": whole,
    "date": _date,
}


def _flags(standard: pl.DataFrame) -> NDArray[np.uint8]:
    known = [standard[name].is_not_null() for name in ("phone", "address_key", "zip_code", "sex")]
    bits = np.zeros(standard.height, np.uint8)
    for place, flag in enumerate(known):
        bits |= flag.to_numpy().astype(np.uint8) << np.uint8(place)
    return bits
