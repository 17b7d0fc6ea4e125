"""Bloom filters of text, many at once: every token is hashed once, every value put together once.

A record of fifty thousand is mostly made of what others hold too: the same pairs of letters, the same names. So each
distinct token is hashed once and each distinct value's filter is made once; records gather theirs.

The hash is keyed BLAKE2b (RFC 7693, 2.9) cut into 16-bit slices, one slice a bit, as clkhash's ``blakeHash`` does
it: independent slices, unlike double hashing, whose few codes per token can be read (Kroll and Steinmetzer 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

Filters = NDArray[np.uint8]  # one row per value or record, bits packed with the first bit highest
Words = NDArray[np.uint8] | NDArray[np.uint64]
Numbers = NDArray[np.int64]

_SLICES: Final = 32  # 16-bit slices in one 64-byte digest
_AT_ONCE: Final = 1 << 13  # filters put together at once, so that they stay in the processor's cache
_TABLE: Final = 16  # numbers are looked up in a table that is at most so many times as long as they are many


@dataclass(frozen=True)
class TokenLists:
    """Which tokens each of several values is made of, in order.

    Attributes:
        tokens: distinct tokens.
        of: index into ``tokens`` of every token of every value, value after value.
        counts: how many tokens each value has.
    """

    tokens: list[str]
    of: Numbers
    counts: Numbers


def factorised(values: pl.Series) -> tuple[list[str], Numbers]:
    """Return the distinct values in order of appearance, a null counting as "", and each row's place among them."""
    texts = values.cast(pl.String).fill_null("")
    distinct = texts.unique(maintain_order=True)
    places = pl.Series(range(len(distinct)), dtype=pl.Int64)
    of = texts.replace_strict(distinct, places, return_dtype=pl.Int64).to_numpy()
    return distinct.to_list(), of.astype(
        np.int64, copy=False
    )  # of no texts polars makes numbers that are no integers


def listed(lists: Sequence[Sequence[str]]) -> TokenLists:
    """Number the tokens of values that were cut one by one."""
    numbers: dict[str, int] = {}
    of = [numbers.setdefault(token, len(numbers)) for tokens in lists for token in tokens]
    counts = np.fromiter(map(len, lists), np.int64, len(lists))
    return TokenLists(list(numbers), np.array(of, np.int64), counts)


def whole(values: Sequence[str]) -> TokenLists:
    """Take each of several distinct values as one token; "" has none."""
    counts = np.fromiter(map(bool, values), np.int64, len(values))
    return TokenLists([value for value in values if value], np.arange(counts.sum()), counts)


def words(values: Sequence[str]) -> TokenLists:
    """Cut values at their blanks."""
    parts = pl.Series(values, dtype=pl.String).str.extract_all(r"[^ ]+")
    tokens, of = factorised(parts.explode().drop_nulls())
    return TokenLists(tokens, of, parts.list.len().cast(pl.Int64).to_numpy())


def ngrams(values: Sequence[str], n: int) -> TokenLists:
    """Cut values into all runs of ``n`` characters, ``n - 1`` blanks put before and after; "" has none."""
    pad = " " * (n - 1)
    text = pl.Series(values, dtype=pl.String)
    lengths = text.str.len_chars().cast(pl.Int64).to_numpy()
    counts = np.where(lengths > 0, lengths + n - 1, 0)
    width = int(lengths.max(initial=0)) + 2 * (n - 1)
    padded = np.array([f"{pad}{value}{pad}" for value in values], dtype=f"U{max(width, 1)}")
    points = padded.view(np.uint32).reshape(len(values), max(width, 1)).astype(np.int64)
    base = int(points.max(initial=0)) + 1
    if base**n >= 1 << 62:
        return listed(
            [[f"{pad}{v}{pad}"[i : i + n] for i in range(c)] for v, c in zip(values, counts, strict=True)]
        )
    runs = points.shape[1] - n + 1
    number = np.zeros((len(values), max(runs, 0)), np.int64)
    for place in range(n):
        number = number * base + points[:, place : place + runs]
    kept = number[np.arange(number.shape[1]) < counts[:, None]]
    distinct, of = numbered(kept, base**n)
    return TokenLists(_texts(distinct, base, n), of, counts)


def numbered(numbers: Numbers, above: int) -> tuple[Numbers, Numbers]:
    """Return the distinct ones of numbers below ``above``, sorted, and each one's place among them."""
    if above > _TABLE * max(len(numbers), 4096):
        distinct, of = np.unique(numbers, return_inverse=True)
        return distinct, of
    seen = np.zeros(above, bool)
    seen[numbers] = True
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[numbers]


def _texts(numbers: Numbers, base: int, n: int) -> list[str]:
    points = np.empty((len(numbers), n), np.int64)
    rest = numbers
    for place in reversed(range(n)):
        rest, points[:, place] = np.divmod(rest, base)
    return ["".join(map(chr, row)) for row in points.tolist()]


def salted(lists: TokenLists, value: Numbers, salt: Numbers) -> TokenLists:
    """Return the tokens of pairs of a value and a salt: one letter pair has another token under every salt.

    Args:
        lists: tokens of the values.
        value: of each pair, its place in ``lists``.
        salt: of each pair, a number from 0 on.
    """
    counts = lists.counts[value]
    starts = (np.cumsum(lists.counts) - lists.counts)[value]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    salts = int(salt.max(initial=0)) + 1
    both = lists.of[np.repeat(starts, counts) + within] * salts + np.repeat(salt, counts)
    distinct, of = numbered(both, len(lists.tokens) * salts)
    token, number = (part.tolist() for part in np.divmod(distinct, salts))
    before = [f"{one}:" for one in range(salts)]
    return TokenLists([before[n] + lists.tokens[t] for t, n in zip(token, number, strict=True)], of, counts)


def per_token(lists: TokenLists, bits: int) -> Numbers:
    """Return how many bits each token sets when every token sets the same number."""
    return np.full(len(lists.of), bits, np.int64)


def per_value(lists: TokenLists, bits: int) -> Numbers:
    """Return how many bits each token sets when every value sets the same number, the first tokens one more."""
    counts = lists.counts[lists.counts > 0]
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    each = np.repeat(bits // counts, counts)
    rest = np.repeat(bits % counts, counts)
    return each + (np.arange(len(lists.of)) - starts < rest)


def slices(tokens: Sequence[bytes], key: bytes, count: int, bits: int) -> NDArray[np.uint16]:
    """Hash tokens to ``count`` bit numbers below ``bits`` (a power of two) each.

    Args:
        tokens: as bytes.
        key: up to 64 bytes.
        count: bits per token; each 32 take one keyed hash, told apart by the salt "0", "1", …
        bits: length of the filter.
    """
    salts = [str(number).encode() for number in range(-(-count // _SLICES))]
    digests = b"".join([blake2b(token, key=key, salt=salt).digest() for salt in salts for token in tokens])
    drawn = np.frombuffer(digests, "<u2").reshape(len(salts), len(tokens), _SLICES)
    return np.hstack([*drawn, np.empty((len(tokens), 0), "<u2")])[:, :count] & np.uint16((bits - 1) & 0xFFFF)


def add_filters(
    out: Filters, of: Numbers, lists: TokenLists, times: Numbers, places: NDArray[np.uint16], bits: int
) -> None:
    """Set the bits of every record's value in its filter.

    Args:
        out: ``(records, bits / 8)``; changed.
        of: each record's value, its place in ``lists``.
        lists: the values' tokens.
        times: how many bits each of ``lists.of`` sets.
        places: bit numbers of each distinct token, at least ``times.max()`` of them.
        bits: length of the filters, a multiple of 8.
    """
    most = int(times.max(initial=0)) + 1
    distinct, token = numbered(lists.of * most + times, len(lists.tokens) * most)
    tokens = _token_filters(places, distinct // most, distinct % most, bits)
    order = np.argsort(
        -lists.counts, kind="stable"
    )  # those with most tokens first: who has one more is then a slice
    counts = lists.counts[order]
    starts = (np.cumsum(lists.counts) - lists.counts)[order]
    values = np.zeros((len(counts), tokens.shape[1]), tokens.dtype)
    for start in range(0, len(counts), _AT_ONCE):
        some = values[start : start + _AT_ONCE]
        longer = np.searchsorted(
            -counts[start : start + _AT_ONCE], -np.arange(1, counts[start] + 1), side="right"
        )
        for place, size in enumerate(longer):
            some[:size] |= tokens[token[starts[start : start + size] + place]]
    place_of = np.empty(len(order), np.int64)
    place_of[order] = np.arange(len(order))
    rows = place_of[of]
    words = out.view(values.dtype)
    for start in range(0, len(rows), _AT_ONCE):
        words[start : start + _AT_ONCE] |= values[rows[start : start + _AT_ONCE]]


def _token_filters(places: NDArray[np.uint16], token: Numbers, times: Numbers, bits: int) -> Words:
    """Return one packed filter for each pair of token and number of bits, in the widest words that fit."""
    packed = np.zeros(len(token) * (bits // 8), np.uint8)
    rows = np.arange(len(token))
    for place in range(int(times.max(initial=0))):
        rows = rows[times[rows] > place]
        bit = places[token[rows], place]
        packed[rows * (bits // 8) + (bit >> 3)] |= np.uint8(128) >> (bit & 7).astype(np.uint8)
    out = packed.reshape(len(token), bits // 8)
    return out.view(np.uint64) if bits % 64 == 0 else out


def folded(filters: Filters, folds: int) -> Filters:
    """Lay the two halves of every filter over each other by exclusive or, ``folds`` times."""
    for _ in range(folds):
        half = filters.shape[1] // 2
        filters = filters[:, :half] ^ filters[:, half:]
    return filters


def as_words(filters: Filters, width: int) -> NDArray[np.uint64]:
    """Return filters of ``width`` bytes as 64-bit words, zeros behind them where they do not fill the last one."""
    rest = -width % 8
    whole = np.pad(filters, ((0, 0), (0, rest))) if rest else np.ascontiguousarray(filters)
    return (
        whole.reshape(len(filters), -1).view(np.uint64)
        if len(filters)
        else np.zeros((0, (width + rest) // 8), np.uint64)
    )


def weights_of(words: NDArray[np.uint64]) -> Numbers:
    """Return how many bits are set, over the last axis."""
    counts: Numbers = np.bitwise_count(words).sum(axis=-1, dtype=np.int64)
    return counts
