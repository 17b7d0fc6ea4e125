"""Two files in, decided pairs out: standardise, block, score, decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from wellbridge.etl.identity.decide import CONSTRAINT, Source, decide
from wellbridge.etl.identity.doubles import decide_within
from wellbridge.etl.identity.model import Model
from wellbridge.etl.identity.scoring import score
from wellbridge.etl.identity.standard import standardise


@dataclass(frozen=True)
class Matched:
    """Two files, matched.

    Attributes:
        left, right: ``STANDARD`` frames.
        decided: ``DECIDED`` pairs.
    """

    left: pl.DataFrame
    right: pl.DataFrame
    decided: pl.DataFrame


class Scorer(Protocol):
    """What scores: ``scoring.score``, or ``spark.score_on_spark``. Both give the same pairs."""

    def __call__(
        self,
        left: pl.DataFrame,
        right: pl.DataFrame,
        model: Model,
        order: Sequence[str],
        *,
        least_size: int | None = None,
    ) -> pl.DataFrame:
        """Return ``SCORED``, every candidate pair of the two frames once."""


def scorer(engine: str) -> Scorer:
    """Return what scores on an engine, "duckdb" or "spark"."""
    if engine == "spark":
        from wellbridge.etl.identity.spark import score_on_spark  # noqa: PLC0415 - Splink, for such sites alone

        return score_on_spark
    return score


def match(left: pl.DataFrame, right: pl.DataFrame, model: Model, score: Scorer = score) -> Matched:
    """Match two files of records (``RECORD``), each of one source that holds a child once."""
    one, other = prepared(left, model), prepared(right, model)
    sources = [Source(frame["source"][0], frame.height) for frame in (one, other) if frame.height]
    scored = score(one, other, model, [source.name for source in sources])
    return Matched(one, other, decide(scored, pl.DataFrame(schema=CONSTRAINT), sources, model.limits))


def prepared(records: pl.DataFrame, model: Model) -> pl.DataFrame:
    """Return the standard frame, as the model asks for it."""
    return standardise(records, earliest=model.born[0], latest=model.born[1])


def match_within(records: pl.DataFrame, model: Model, score: Scorer = score) -> Matched:
    """Search one file for records of the same child."""
    frame = prepared(records, model)
    source = Source(frame["source"][0] if frame.height else "a", frame.height, is_unique=False)
    scored = score(frame, frame, model, [source.name])
    return Matched(frame, frame, decide_within(scored, source, model.limits))
