"""Splink's plain model on two files of children: one comparison per column, trained by EM as its tutorial does.

    python bench/splink_plain.py LEFT RIGHT

Prints one JSON document. The truth (pid) and the household (hid) only score. Not ours: what ours is measured beside.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import duckdb
import polars as pl
import splink.comparison_library as cl
from splink import DuckDBAPI, Linker, block_on

COLUMNS = ("unique_id", "first_name", "surname", "dob", "sex", "zip", "address", "phone")


def linked(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
    """Return pairs at probability .99 and over."""
    settings: dict[str, Any] = {
        "link_type": "link_only",
        "unique_id_column_name": "unique_id",
        "comparisons": [
            cl.JaroWinklerAtThresholds("first_name", [0.92, 0.8]).configure(term_frequency_adjustments=True),
            cl.JaroWinklerAtThresholds("surname", [0.92, 0.8]).configure(term_frequency_adjustments=True),
            cl.LevenshteinAtThresholds("dob", [1, 2]),
            cl.ExactMatch("sex"),
            cl.ExactMatch("zip"),
            cl.LevenshteinAtThresholds("address", [2]),
            cl.ExactMatch("phone"),
        ],
        "blocking_rules_to_generate_predictions": [
            block_on("first_name", "dob"), block_on("surname", "dob"), block_on("first_name", "surname"),
            block_on("address"), block_on("phone"),
        ],
    }  # fmt: skip
    connection = duckdb.connect(":memory:")
    api = DuckDBAPI(connection=connection)
    tables = [
        api.register(frame.select(_plain(column) for column in COLUMNS).to_arrow()) for frame in (left, right)
    ]
    linker = Linker(tables, settings, log_level=logging.ERROR, validate_settings=False)
    linker.training.estimate_probability_two_random_records_match(
        [block_on("first_name", "surname", "dob")], recall=0.7
    )
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6)
    for block in (block_on("first_name", "surname"), block_on("dob")):
        linker.training.estimate_parameters_using_expectation_maximisation(block)
    found = linker.inference.predict(threshold_match_probability=0.99)
    return connection.table(found.physical_name).pl()


def _plain(column: str) -> pl.Expr:
    return pl.col(column).str.to_lowercase() if column != "unique_id" else pl.col(column)


def main() -> None:
    left, right = (pl.read_parquet(path) for path in sys.argv[1:3])
    pairs = linked(left, right)
    true = left.join(right, on="pid").height
    known = ("pid", "hid")
    for end, frame in (("l", left), ("r", right)):
        named = frame.select(
            pl.col("unique_id").alias(f"unique_id_{end}"), *(pl.col(k).alias(f"{k}_{end}") for k in known)
        )
        pairs = pairs.join(named, on=f"unique_id_{end}")
    rates = {}
    best = pairs.filter(
        (pl.col("match_weight") == pl.col("match_weight").max().over("unique_id_l"))
        & (pl.col("match_weight") == pl.col("match_weight").max().over("unique_id_r"))
    )
    for name, links in (("pairs", pairs), ("one_to_one", best)):
        right_ones = links.filter(pl.col("pid_l") == pl.col("pid_r")).height
        siblings = links.filter(
            (pl.col("pid_l") != pl.col("pid_r")) & (pl.col("hid_l") == pl.col("hid_r"))
        ).height
        rates[name] = {"links": links.height, "precision": right_ones / max(links.height, 1),
                       "recall": right_ones / true, "sibling_links": siblings}  # fmt: skip
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
