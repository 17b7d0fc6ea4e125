"""Columns of many rows at once: draws, ids, dates as text, and the night that delivers a date."""

from __future__ import annotations

import numpy as np
import polars as pl

from wellbridge.pipelines.synth.district import Plan, quota
from wellbridge.pipelines.synth.stream import Layout


def draw(people: pl.DataFrame, rng: np.random.Generator, share: float, least: int) -> pl.DataFrame:
    """Choose a share of the children, at least ``least`` where there are as many."""
    chosen = rng.permutation(people.height)[: quota(people.height, share, least)]
    return people[np.sort(chosen)]


def repeat(frame: pl.DataFrame, times: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pl.DataFrame:
    """Repeat each row as often as said."""
    return frame[np.repeat(np.arange(frame.height), times)]


def numbered(prefix: str, block: int, count: int) -> pl.Series:
    """Return record ids that are unique over the district."""
    return pl.Series([f"{prefix}{block:03d}{n:06d}" for n in range(count)], dtype=pl.String)


def choice(rng: np.random.Generator, options: tuple[str, ...], count: int) -> pl.Series:
    """Draw texts, each option as likely as the other."""
    return pl.Series(list(options), dtype=pl.String).gather(rng.integers(0, len(options), count))


def iso(column: str) -> pl.Expr:
    """Return a date column as ISO 8601 text."""
    return pl.col(column).dt.strftime("%Y-%m-%d")


def night_column(plan: Plan, column: str) -> pl.Expr:
    """Return the night that delivers each date; ``nights + 1`` for later ones."""
    ends = [pl.col(column) > end for end in plan.night_days]
    return (1 + pl.sum_horizontal(*(end.cast(pl.Int64) for end in ends))).cast(pl.Int64)


def text(frame: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """Return the frame with the file's columns as text."""
    return frame.with_columns(pl.col(layout.header).cast(pl.String))
