"""Expectations of the loaded warehouse, put to it by Great Expectations: keys unique, keys present, numbers in range.

Contracts judge rows before they load; this judges the tables after it, whatever way the rows came. Great Expectations
lists failing values by default, so only ``BOOLEAN_ONLY`` is ever asked for, and nothing of its own is kept or sent.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from duckdb_engine import Dialect
from sqlalchemy.dialects import registry

from wellbridge.schemas.errors import StoreError
from wellbridge.schemas.warehouse import METADATA

# Least and greatest value of measured columns, wherever they occur; units as in the warehouse.
RANGES: Final[dict[str, tuple[float, float]]] = {
    "absent_fraction": (0, 1),
    "tier": (1, 3),
    "minutes": (0, 1440),
    "hours": (0, 24),
    "level": (0, 3),
    "denominator": (0, float(2**53)),
    "read": (0, float(2**53)),
    "held": (0, float(2**53)),
}


class ReadOnlyDialect(Dialect):
    """DuckDB for readers: no transactions, because a commit closes the result that is about to be read."""

    supports_statement_cache = False

    def do_begin(self, connection: Any) -> None:
        """Begin nothing."""

    def do_commit(self, connection: Any) -> None:
        """Commit nothing."""

    def do_rollback(self, connection: Any) -> None:
        """Roll nothing back."""


registry.register("duckdb.wellbridge_readonly", __name__, "ReadOnlyDialect")


@dataclass(frozen=True)
class Expected:
    """One expectation of one table and whether it is met."""

    table: str
    expectation: str
    columns: tuple[str, ...]
    is_met: bool


def check_warehouse(path: Path) -> list[Expected]:
    """Put every expectation to the warehouse.

    Raises:
        StoreError: WB-E-050 when it cannot be read.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # no network, ever
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    failed = ""
    try:
        return list(_checked(path))
    except Exception as error:  # its messages may quote values
        failed = type(error).__name__
    raise StoreError("WB-E-050", "The warehouse could not be checked.", f"store {path.name} · {failed}")


def _checked(path: Path) -> Iterator[Expected]:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_sql(
        "warehouse",
        connection_string=f"duckdb+wellbridge_readonly:///{path.resolve()}",
        create_temp_table=False,
        kwargs={"connect_args": {"read_only": True}},
    )
    for table in METADATA.sorted_tables:
        asset = source.add_table_asset(table.name, table_name=table.name)
        batch = asset.add_batch_definition_whole_table("all").get_batch()
        for name, columns, expectation in _expectations(table):
            result = batch.validate(expectation, result_format="BOOLEAN_ONLY")
            if result.exception_info.get("raised_exception"):
                raise RuntimeError(name)
            yield Expected(table.name, name, columns, bool(result.success))
    sys.stderr.flush()


def _expectations(table: sa.Table) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    from great_expectations import expectations as gxe

    key = tuple(table.info["key"])
    for column in key:
        yield "key is present", (column,), gxe.ExpectColumnValuesToNotBeNull(column=column)
    if len(key) == 1:
        yield "key is unique", key, gxe.ExpectColumnValuesToBeUnique(column=key[0])
    else:
        yield "key is unique", key, gxe.ExpectCompoundColumnsToBeUnique(column_list=list(key))
    for column in (c.name for c in table.columns if c.name in RANGES):
        least, greatest = RANGES[column]
        expectation = gxe.ExpectColumnValuesToBeBetween(column=column, min_value=least, max_value=greatest)
        yield f"between {least:g} and {greatest:g}", (column,), expectation
