"""Splink: the model as its settings, and what it makes of candidate pairs, on whichever engine.

Splink compares and weighs; it neither blocks nor clusters here, because its joins on an inequality take a night and
its clusters merge siblings (reference/linkage.md 0.1, 0.4 and 3).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from wellbridge.etl.identity.comparisons import RULE_COLUMNS, Comparison
from wellbridge.etl.identity.model import M_FLOOR, Compared, Model, Weight
from wellbridge.etl.identity.statements import statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Splink wants shares of all pairs: other children of a home are given as of 2**64 records, and taken back.
_HOME_BITS: Final = 64
_PLACES: Final = 9  # two engines add in another order, and a weight must be one number on both
_ASKED: Final = ("middle_name", "is_known", "is_enough", *RULE_COLUMNS)  # by rules and guards, after Splink


def _as_it_is(sql: str) -> str:
    return sql


def settings(model: Model, dialect: Callable[[str], str] = _as_it_is) -> dict[str, Any]:
    """Return the model as Splink's settings for ``dedupe_only`` over records numbered ``n``, the prior left to us.

    Args:
        model: the model.
        dialect: puts the SQL of a level into the engine's words.
    """
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "n",
        "probability_two_random_records_match": 0.5,
        "blocking_rules_to_generate_predictions": [],
        "retain_intermediate_calculation_columns": False,
        "retain_matching_columns": True,
        "additional_columns_to_retain": list(_ASKED),
        "comparisons": [_comparison(one, dialect) for one in model.compared],
    }


def predicted(api: Any, records: Any, pairs: Any, asked: dict[str, Any]) -> Any:
    """Have Splink compare and weigh given pairs.

    Args:
        api: Splink's door to an engine.
        records: in a form that the engine takes.
        pairs: ``match_key, join_key_l, join_key_r``, likewise.
        asked: ``settings``.

    Returns:
        Splink's frame of the pairs: ``n_l, n_r, match_weight``, digits, and the columns of both records.
    """
    from splink import Linker  # noqa: PLC0415 - dear to import, and most commands link nothing

    linker = Linker(api.register(records), asked, log_level=logging.ERROR, validate_settings=False)
    linker.table_management.register_blocked_pairs_for_predict(api.register(pairs))
    return linker.inference.predict(warning_mode="never")


def on_duckdb(connection: DuckDBPyConnection, model: Model, pairs: str) -> str:
    """Compare and weigh pairs of a connection's ``record``; return the name of the table.

    Args:
        connection: with a table ``record``, ``scoring.both_sides``.
        model: what to weigh by.
        pairs: SQL of ``x, y``, numbers of records.
    """
    from splink import DuckDBAPI  # noqa: PLC0415 - as above

    connection.execute(
        statement(
            "CREATE TABLE pair AS SELECT '0' AS match_key, x AS join_key_l, y AS join_key_r FROM ($pairs)",
            pairs=pairs,
        )
    )
    api = DuckDBAPI(connection=connection)
    found = predicted(api, connection.table("record"), connection.table("pair"), settings(model))
    return str(found.physical_name)


def digit_sql(one: Comparison) -> str:
    """Return the SQL of a comparison's digit in what Splink predicts."""
    return f"gamma_{_output(one)} + 1"


def weight_sql(shares_home: str) -> str:
    """Return the SQL of a pair's weight in bits in what Splink predicts.

    For pairs that share a home (SQL) Splink's is 64 more, because it wants a share of all pairs where the model
    counts children of the home.
    """
    return f"round(match_weight - CASE WHEN {shares_home} THEN {_HOME_BITS} ELSE 0 END, {_PLACES})"


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
