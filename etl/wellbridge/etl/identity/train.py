"""Training: how often each level holds among true pairs (m) and among others (u).

m comes from labelled pairs, or without them from tight blocks by expectation and maximisation: pairs that agree in so
much that most of them are true. Wide blocks are no way: at a district's size they halve the weight of an equal birth
date (reference/linkage.md 0.2). u is counted over all pairs where a level is an equality, and sampled elsewhere; the
levels of one home are always counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wellbridge.etl.identity.blocking import KEYS
from wellbridge.etl.identity.comparisons import BIRTH_DATE, FIRST_NAME, HOME, SEX, Comparison
from wellbridge.etl.identity.decide import Limits
from wellbridge.etl.identity.model import GUARDS, M_FLOOR, Compared, Model, Weight
from wellbridge.etl.identity.scoring import compare
from wellbridge.schemas.errors import ContractError

SAMPLE: Final = 600_000  # random pairs for u
LEAST_PAIRS: Final = 50  # of one child; of fewer a level's share cannot be told
_HOMES: Final = (("address_key",), ("phone",))
_STEPS: Final = 200
_CLOSE: Final = 1e-6

Shares = NDArray[np.float64]

CHILDREN_BLOCKING: Final = (
    ("birth_date", "any_name"),
    ("birth_date", "first_start"),
    ("birth_date", "first_end"),
    ("address_key", "first_initial"),
    ("address_key", "last_start"),
    ("phone", "first_initial"),
    ("phone", "last_start"),
    ("first_name", "last_compact", "birth_year"),
    ("first_name", "last_compact", "birth_day"),
    ("student_number",),
)
CHILDREN_TIGHT: Final = (
    ("birth_date", "last_compact", "zip_code"),
    ("birth_date", "first_name", "last_compact"),
    ("birth_date", "first_name"),
    ("first_name", "last_compact", "zip_code"),
    ("first_name", "address_key"),
)
CHILDREN_NEEDS: Final = (
    ("first_name",),
    ("last_name",),
    ("birth_date",),
    ("zip_code", "phone", "address_key"),
)


def untrained(
    name: str,
    comparisons: Sequence[Comparison] = (FIRST_NAME, BIRTH_DATE, SEX, HOME),
    blocking: Sequence[Sequence[str]] = CHILDREN_BLOCKING,
    needs: Sequence[Sequence[str]] = CHILDREN_NEEDS,
    born: tuple[date, date] = (date(1990, 1, 1), date(2079, 12, 31)),
    limits: Limits | None = None,
    guards: Sequence[str] = GUARDS,
) -> Model:
    """Return a model without knowledge: every weight is 0. Default: the comparisons of children."""
    return Model(
        name=name,
        version=1,
        compared=tuple(Compared(one, tuple(Weight(1.0, 1.0) for _ in one.levels)) for one in comparisons),
        blocking=tuple(tuple(one) for one in blocking),
        needs=tuple(tuple(one) for one in needs),
        limits=limits or Limits(),
        born=born,
        guards=tuple(guards),
    )


def train_by_labels(
    left: pl.DataFrame, right: pl.DataFrame, labels: pl.DataFrame, blank: Model, seed: int
) -> Model:
    """Train from pairs that persons, or a known truth, called one child.

    Args:
        left, right: ``STANDARD`` frames; the same frame twice for one file.
        labels: ``record_a`` (of left), ``record_b`` (of right), ``is_match``. Pairs that are none teach nothing: of
            them there are enough.
        blank: what to train; its weights do not matter.
        seed: of the sample for u.

    Raises:
        ContractError: WB-E-100, under 50 pairs match.
    """
    check_enough(labels)
    seen = compare(left, right, blank, labels.filter("is_match"))
    m = [_shares(seen, place, one) for place, one in enumerate(blank.comparisons)]
    return _with_weights(left, right, blank, m, _by_chance(left, right, blank, seed))


def check_enough(labels: pl.DataFrame, where: str = "labels") -> None:
    """Refuse labels of which too few pairs match to tell a level's share.

    Args:
        labels: ``is_match``, every pair once.
        where: what they are, in words and counts.

    Raises:
        ContractError: WB-E-100, under 50 do.
    """
    true = int(labels["is_match"].sum())
    if true < LEAST_PAIRS:
        what = f"There are fewer than {LEAST_PAIRS} labelled pairs of one child."
        raise ContractError("WB-E-100", what, f"{where} · {true} of one child")


def train_unsupervised(
    left: pl.DataFrame, right: pl.DataFrame, blank: Model, tight: Sequence[Sequence[str]], seed: int
) -> Model:
    """Train without labels, by expectation and maximisation within tight blocks.

    In the pairs of a block a comparison is learnt when it looks at none of the block's keys.

    Args:
        left, right: ``STANDARD`` frames; the same frame twice for one file.
        blank: what to train.
        tight: blocks in which most pairs are one child.
        seed: of the sample for u.
    """
    u = _by_chance(left, right, blank, seed)
    sums = [np.zeros(len(one.levels)) for one in blank.comparisons]
    for block in tight:
        free = [place for place, one in enumerate(blank.comparisons) if not _looks_at(one, block)]
        seen = compare(left, right, replace(blank, blocking=(tuple(block),)))
        if not free or not seen.height:
            continue
        for place, m in zip(free, _maximised(seen, free, [u[place] for place in free]), strict=True):
            sums[place] += m * float(seen["pairs"].sum())
    if any(one.sum() == 0 for one in sums):
        raise ContractError("WB-E-100", "A comparison has no tight block to be learnt in.", "blocks")
    return _with_weights(left, right, blank, [one / one.sum() for one in sums], u)


def _looks_at(one: Comparison, block: Sequence[str]) -> bool:
    """Tell whether a comparison weighs what a block's pairs agree in already."""
    return any(column in KEYS.get(key, key) for key in block for column in one.evidence)


def _maximised(seen: pl.DataFrame, free: Sequence[int], u: list[Shares]) -> list[Shares]:
    """Return m of the free comparisons; u stays as it was counted."""
    digits = np.array([[int(text[place]) for place in free] for text in seen["levels"]])
    count = seen["pairs"].to_numpy().astype(float)
    m = [np.linspace(0.1, 1.0, len(one)) ** 2 for one in u]
    m = [one / one.sum() for one in m]
    share = 0.9
    for _ in range(_STEPS):
        true, other = np.full(len(count), share), np.full(len(count), 1 - share)
        for place, (one, two) in enumerate(zip(m, u, strict=True)):
            digit = digits[:, place]
            given = digit > 0
            true[given] *= one[digit[given] - 1]
            other[given] *= two[digit[given] - 1]
        belongs = count * true / (true + other)
        found = []
        for place, one in enumerate(m):
            sums = np.bincount(digits[:, place], weights=belongs, minlength=len(one) + 1)[1:]
            found.append(np.maximum(sums / max(sums.sum(), 1e-12), 1e-6))
        change = max(float(np.abs(a - b).max()) for a, b in zip(m, found, strict=True))
        m, share = found, float(np.clip(belongs.sum() / count.sum(), 0.01, 0.99))
        if change < _CLOSE:
            break
    return m


def _shares(seen: pl.DataFrame, place: int, one: Comparison) -> Shares:
    """Return how often each level of a comparison is seen where a side is not missing; floored, sum 1."""
    digits = np.array([int(text[place]) for text in seen["levels"]], dtype=np.int64)
    sums = np.bincount(digits, weights=seen["pairs"].to_numpy(), minlength=len(one.levels) + 1)[1:].astype(
        float
    )
    shares: Shares = sums / max(sums.sum(), 1.0)
    return shares


def _with_weights(
    left: pl.DataFrame, right: pl.DataFrame, blank: Model, m: list[Shares], u: list[Shares]
) -> Model:
    """Return the model with these shares; for levels of one home, other children of the home are counted."""
    homes = None
    compared = []
    for place, one in enumerate(blank.comparisons):
        true = np.maximum(m[place], M_FLOOR) / np.maximum(m[place], M_FLOOR).sum()
        weights = [Weight(round(float(a), 6), float(f"{b:.6g}")) for a, b in zip(true, u[place], strict=True)]
        if any(level.is_home for level in one.levels):
            homes = compare(left, right, replace(blank, blocking=_HOMES)) if homes is None else homes
            others = _at_home(homes, place, one, true * blank.limits.share, min(left.height, right.height))
            for number, count in others.items():
                weights[number] = replace(weights[number], u=None, others=round(count, 6))
        compared.append(Compared(one, tuple(weights)))
    return replace(blank, compared=tuple(compared))


def _by_chance(left: pl.DataFrame, right: pl.DataFrame, blank: Model, seed: int) -> list[Shares]:
    """Return u of every level: counted where it is an equality, else from pairs drawn at random."""
    rng = np.random.default_rng(seed)
    sample = pl.DataFrame(
        {"record_a": left["record_id"].gather(rng.integers(0, left.height, SAMPLE)),
         "record_b": right["record_id"].gather(rng.integers(0, right.height, SAMPLE))}
    )  # fmt: skip
    seen = compare(left, right, blank, sample.filter(pl.col("record_a") != pl.col("record_b")))
    found = []
    for place, one in enumerate(blank.comparisons):
        u = np.maximum(_shares(seen, place, one), 0.5 / SAMPLE)
        for number, level in enumerate(one.levels):
            if level.counted:
                u[number] = _counted(left, right, level.counted, blank.limits.share)
        found.append(u)
    return found


def _counted(left: pl.DataFrame, right: pl.DataFrame, columns: tuple[str, ...], share: float) -> float:
    """Return the share of pairs of two children that are equal in these columns, where both have them.

    The pairs of one child that are expected (of one file also each record with itself) are taken out of all that are
    equal; at least a tenth of these is left.
    """
    sizes = [frame.select(columns).drop_nulls().group_by(columns).len() for frame in (left, right)]
    both = sizes[0].join(sizes[1], on=columns, suffix="_r")
    equal = max(float((both["len"].cast(pl.Float64) * both["len_r"].cast(pl.Float64)).sum()), 1.0)
    whole = [float(one["len"].sum()) for one in sizes]
    of_one_child = min(whole) * (share + (1.0 if left is right else 0.0))
    return max(equal - of_one_child, equal / 10) / max(whole[0] * whole[1], 1.0)


def _at_home(seen: pl.DataFrame, place: int, one: Comparison, true: Shares, size: int) -> dict[int, float]:
    """Return, by level, how many records of other children share a home with a record."""
    digits = np.array([int(text[place]) for text in seen["levels"]], dtype=np.int64)
    pairs = np.bincount(digits, weights=seen["pairs"].to_numpy(), minlength=len(one.levels) + 1)[1:]
    return {
        number: max(float(pairs[number]) / size - float(true[number]), 0.01)
        for number, level in enumerate(one.levels)
        if level.is_home
    }
