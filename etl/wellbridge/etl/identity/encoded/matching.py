"""From two encoded files to pairs with their similarities: the tokens join, the filters are compared.

Joining on tokens leaves some hundred-thousandth of all pairs, so that comparing filters costs next to nothing; it
also raises precision, since two strangers seldom share a token (reference/linkage.md 0.8, 2.5).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wellbridge.etl.identity.encoded.filters import Filters, as_words, weights_of
from wellbridge.etl.identity.encoded.profile import GROUPS, Encoded

Numbers = NDArray[np.int64]
Shares = NDArray[np.float32]

_MOST_ALIKE: Final = 50  # records of one file with one token: more are a placeholder's, and join nobody
_AT_ONCE: Final = 1 << 17  # pairs whose filters are held side by side


@dataclass(frozen=True)
class Pairs:
    """Pairs of records that share a token.

    Attributes:
        left: row in the left file.
        right: row in the right file.
        dice: ``(pairs, groups)``, in the order of ``GROUPS``.
        shared: ``(pairs,)``, one bit for each block whose token is the same.
        flags: ``(pairs,)``, the flags that both records have.
    """

    left: Numbers
    right: Numbers
    dice: Shares
    shared: NDArray[np.uint8]
    flags: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.left)

    def taken(self, rows: NDArray[np.bool_]) -> Pairs:
        """Return some of the pairs."""
        return Pairs(self.left[rows], self.right[rows], self.dice[rows], self.shared[rows], self.flags[rows])


def dice(left: Filters, right: Filters, a: Numbers, b: Numbers) -> Shares:
    """Return twice the shared bits over all bits, of rows ``a`` of left with rows ``b`` of right, pair by pair."""
    one, other = as_words(left, left.shape[1]), as_words(right, right.shape[1])
    ones, others = weights_of(one), weights_of(other)
    out = np.zeros(len(a), np.float32)
    for start in range(0, len(a), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        both = weights_of(one[a[some]] & other[b[some]])
        out[some] = 2 * both / np.maximum(ones[a[some]] + others[b[some]], 1)
    return out


def candidates(
    left: Encoded, right: Encoded, *, within: bool = False
) -> tuple[Numbers, Numbers, NDArray[np.uint8]]:
    """Return the pairs that share a token, sorted, and which tokens they share.

    Args:
        left: one file.
        right: the other.
        within: both are one file; a pair of two records is then returned once, a record with itself never.
    """
    found = [
        _joined(left.tokens[:, block], right.tokens[:, block], block) for block in range(left.tokens.shape[1])
    ]
    both = pl.concat(found)
    if within:
        both = both.filter(pl.col("a") < pl.col("b"))
    pairs = both.group_by("a", "b").agg(pl.col("block").sum()).sort("a", "b")
    a, b = (pairs[name].to_numpy().astype(np.int64) for name in ("a", "b"))
    return a, b, pairs["block"].to_numpy().astype(np.uint8)


def _joined(left: NDArray[np.uint64], right: NDArray[np.uint64], block: int) -> pl.DataFrame:
    sides = [_rare(left, "a"), _rare(right, "b")]
    return sides[0].join(sides[1], on="token").select("a", "b", pl.lit(1 << block, pl.UInt32).alias("block"))


def _rare(tokens: NDArray[np.uint64], name: str) -> pl.DataFrame:
    rows = pl.DataFrame({"token": tokens}).with_row_index(name).filter(pl.col("token") != 0)
    return rows.filter(pl.len().over("token") <= _MOST_ALIKE)


def compared(
    left: Encoded, right: Encoded, *, within: bool = False, groups: Collection[str] | None = None
) -> Pairs:
    """Return the pairs that share a token with what is alike in them; see ``candidates``.

    Args:
        left: one file.
        right: the other.
        within: both are one file.
        groups: the only ones to compare; the others' likeness is then 0.
    """
    a, b, shared = candidates(left, right, within=within)
    alike = np.zeros((len(a), len(GROUPS)), np.float32)
    for place, group in enumerate(GROUPS):
        if groups is None or group.name in groups:
            alike[:, place] = dice(left.filters[group.name], right.filters[group.name], a, b)
    return Pairs(a, b, alike, shared, left.flags[a] & right.flags[b])
