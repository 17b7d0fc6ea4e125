"""The same model through Splink: the settings it is on any of Splink's engines, and scores of given pairs.

Splink compares and scores; it neither blocks nor clusters here (reference/linkage.md 3). On DuckDB ``scoring`` asks
the same levels without it, and a test holds both to the same weights; on Spark (``spark``) Splink does it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import polars as pl
from splink import DuckDBAPI, Linker

from wellbridge.etl.identity.comparisons import HOME, Comparison
from wellbridge.etl.identity.model import M_FLOOR, Compared, Model, Weight
from wellbridge.etl.identity.scoring import connect

_HOME_BITS: Final = (
    64  # Splink wants shares: other children of a home are given as of 2**64 records, and taken back
)


def _as_it_is(sql: str) -> str:
    return sql


def settings(
    model: Model, *, unique_id: str, retained: Sequence[str] = (), dialect: Callable[[str], str] = _as_it_is
) -> dict[str, Any]:
    """Return the model as Splink's settings for ``dedupe_only`` over all records, the prior left to us.

    ``match_weight`` is our weight; for pairs that share a home it is 64 bits more, because Splink wants a share of all
    pairs where the model counts children of the home.

    Args:
        model: the model.
        unique_id: the column that tells records apart.
        retained: columns that are wanted with the scores; with any, the digits (``gamma_*``, one less than ours) and
            the compared columns come too.
        dialect: puts the SQL of a level into the engine's words.
    """
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": unique_id,
        "probability_two_random_records_match": 0.5,
        "blocking_rules_to_generate_predictions": [],
        "retain_intermediate_calculation_columns": True,
        "retain_matching_columns": bool(retained),
        "additional_columns_to_retain": list(retained),
        "comparisons": [_comparison(one, dialect) for one in model.compared],
    }


def predicted(api: Any, records: Any, pairs: Any, asked: dict[str, Any]) -> Any:
    """Have Splink compare and score given pairs.

    Args:
        api: Splink's door to an engine.
        records: in a form that the engine takes.
        pairs: ``match_key, join_key_l, join_key_r``, likewise.
        asked: ``settings``.

    Returns:
        Splink's frame of the pairs.
    """
    linker = Linker(api.register(records), asked, log_level=logging.ERROR, validate_settings=False)
    linker.table_management.register_blocked_pairs_for_predict(api.register(pairs))
    return linker.inference.predict(warning_mode="never")


def digit_of(one: Comparison) -> str:
    """Return the SQL of a comparison's digit in what Splink predicts."""
    return f"gamma_{_output(one)} + 1"


def _output(one: Comparison) -> str:
    return "".join(c if c.isalnum() else "_" for c in one.name)


def _comparison(one: Compared, dialect: Callable[[str], str]) -> dict[str, Any]:
    levels: list[dict[str, Any]] = [
        {
            "sql_condition": dialect(one.comparison.missing),
            "label_for_charts": "missing",
            "is_null_level": True,
        }
    ]
    for number in range(len(one.comparison.levels) - 1, -1, -1):
        level, weight = one.comparison.levels[number], one.weights[number]
        levels.append(
            {
                "sql_condition": dialect(level.sql) if number else "ELSE",
                "label_for_charts": level.label,
                "m_probability": max(weight.m, M_FLOOR),
                "u_probability": _by_chance(weight),
            }
        )
    return {"output_column_name": _output(one.comparison), "comparison_levels": levels}


def _by_chance(weight: Weight) -> float:
    return (
        weight.u if weight.others is None and weight.u is not None else (weight.others or 0.0) / 2**_HOME_BITS
    )


def score_with_splink(
    left: pl.DataFrame, right: pl.DataFrame, model: Model, pairs: pl.DataFrame
) -> pl.DataFrame:
    """Score given pairs with Splink.

    Args:
        left, right: ``STANDARD`` frames, no record in both.
        model: what to score by.
        pairs: ``record_a, record_b``.

    Returns:
        ``record_a, record_b, weight``, in no order; the weight as ``scoring.score`` says it.
    """
    columns = ["record_id", *sorted({column for one in model.comparisons for column in one.columns})]
    with connect() as connection:
        records = pl.concat([left.select(columns), right.select(columns)]).to_arrow()
        wanted = pairs.select(pl.lit("0").alias("match_key"), join_key_l="record_a", join_key_r="record_b")
        asked = settings(model, unique_id="record_id")
        found = predicted(DuckDBAPI(connection=connection), records, wanted.to_arrow(), asked)
        scored = connection.table(found.physical_name).pl()
    home = f"mw_{HOME.name}"
    at_home = pl.col(home) > _HOME_BITS / 2 if home in scored.columns else pl.lit(False)
    weight = pl.col("match_weight") - pl.when(at_home).then(_HOME_BITS).otherwise(0)
    return scored.select(record_a="record_id_l", record_b="record_id_r", weight=weight)
