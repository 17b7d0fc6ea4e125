"""The least that could be done: read with polars, load into DuckDB. No checks, no keys, no privacy."""

from __future__ import annotations

import sys

import duckdb
import polars as pl


def main(source: str, store: str) -> None:
    """Read as text, cast what is no text, load."""
    frame = pl.read_csv(source, infer_schema=False, truncate_ragged_lines=True).with_columns(
        pl.col("Date").str.to_date("%Y-%m-%d", strict=False),
        pl.col("Minutes Absent").cast(pl.Float64, strict=False),
    )
    with duckdb.connect(store) as connection:
        connection.register("frame", frame.to_arrow())
        connection.execute("CREATE TABLE attendance AS SELECT * FROM frame")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
