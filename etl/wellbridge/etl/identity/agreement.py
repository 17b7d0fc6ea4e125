"""How well reviewers agree, beyond what chance would bring: Cohen's kappa.

Source: J. Cohen, A coefficient of agreement for nominal scales (1960), for each two reviewers; over several of them the
mean of the pairs' kappas, weighted by the questions they share (after R. J. Light, 1971).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import polars as pl

_TWO_SIDED: Final = 1.959963984540054  # standard normal, 95 %


@dataclass(frozen=True)
class Agreement:
    """How well reviewers agree on the questions that two of them answered.

    Attributes:
        pairs: questions with two answers.
        share: of them, answered alike; None without any.
        kappa: 1 = always alike, 0 = as chance would; None where chance alone makes all alike.
        low: lower end of its 95 % confidence interval.
        high: upper end.
    """

    pairs: int
    share: float | None = None
    kappa: float | None = None
    low: float | None = None
    high: float | None = None


def agreement(answers: pl.DataFrame) -> Agreement:
    """Return how well the first two reviewers of each pair agree.

    Args:
        answers: ``record_a, record_b, reviewer, outcome`` in the order in which they were given.
    """
    both = (
        answers.unique(["record_a", "record_b", "reviewer"], keep="first", maintain_order=True)
        .group_by("record_a", "record_b", maintain_order=True)
        .agg(pl.struct("reviewer", "outcome").head(2).alias("two"))
        .filter(pl.col("two").list.len() == 2)
        .select(pl.col("two").list.eval(pl.element().sort_by(pl.element().struct.field("reviewer"))))
        .select(
            *(pl.col("two").list.get(n).struct.field("reviewer").alias(f"reviewer_{n}") for n in (0, 1)),
            *(pl.col("two").list.get(n).struct.field("outcome").alias(f"outcome_{n}") for n in (0, 1)),
        )
    )
    if not both.height:
        return Agreement(pairs=0)
    share = float(both.select((pl.col("outcome_0") == pl.col("outcome_1")).mean()).item())
    found = [_kappa(group) for _, group in both.group_by("reviewer_0", "reviewer_1", maintain_order=True)]
    known = [one for one in found if one is not None]
    if not known:
        return Agreement(both.height, share)
    weight = sum(count for count, _, _ in known)
    kappa = sum(count * value for count, value, _ in known) / weight
    error = _TWO_SIDED * math.sqrt(sum((count / weight) ** 2 * variance for count, _, variance in known))
    return Agreement(both.height, share, kappa, max(-1.0, kappa - error), min(1.0, kappa + error))


def _kappa(both: pl.DataFrame) -> tuple[int, float, float] | None:
    """Return questions, kappa and its variance, p(1 - p) / (n (1 - e)^2), of two reviewers."""
    shares = [dict(both[f"outcome_{n}"].value_counts(normalize=True).iter_rows()) for n in (0, 1)]
    expected = sum(share * shares[1].get(outcome, 0.0) for outcome, share in shares[0].items())
    if expected >= 1:
        return None
    observed = float(both.select((pl.col("outcome_0") == pl.col("outcome_1")).mean()).item())
    variance = observed * (1 - observed) / (both.height * (1 - expected) ** 2)
    return both.height, (observed - expected) / (1 - expected), variance
