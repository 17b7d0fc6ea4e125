"""Contracts put to typed rows through pandera, and the one place where pandera's failures become rule codes.

``SchemaErrors`` carries every failing value and the whole frame, so it never leaves this module: what goes on is
(file, row, column, rule). Validation repeats on the rows that are left until it finds nothing more.
"""

from __future__ import annotations

import re
from typing import Final

import pandera.errors
import polars as pl

from wellbridge.etl.parsing import Split
from wellbridge.etl.reading import HELD_SCHEMA
from wellbridge.schemas.contract import Contract
from wellbridge.schemas.errors import SafeError

# pandera's own checks by the start of their names → rule; checks of ours are named by their rule.
_CHECK_RULES: Final = (
    (re.compile(r"^not_nullable"), "WB-R-010"),
    (re.compile(r"^isin|^notin"), "WB-R-020"),
    (re.compile(r"^(in_range|greater|less|equal_to|not_equal_to)"), "WB-R-021"),
    (re.compile(r"^str_"), "WB-R-022"),
)
_OWN_RULE: Final = re.compile(r"^WB-R-\d{3}$")


def validate(parsed: Split, contract: Contract) -> Split:
    """Hold every row that breaks the contract, each with all its failing rules.

    Args:
        parsed: typed rows, and the cells that parsing could not read; those rows are held too.

    Returns:
        ``kept``: rows on which the contract finds nothing. ``held``: all faults of all other rows.
    """
    held = [parsed.held]
    rows = parsed.kept.with_row_index("_index")
    found = _not_yet_known(_faults(rows, contract), rows, parsed.held)
    held.append(found)
    faulty = pl.concat(held).select("_file", "_row").unique()
    kept = rows.join(faulty, on=["_file", "_row"], how="anti") if faulty.height else rows
    while faulty.height and kept.height:
        found = _faults(kept.drop("_index").with_row_index("_index"), contract)
        if not found.height:
            break
        held.append(found.drop("_index"))
        kept = kept.join(found, on=["_file", "_row"], how="anti")
    return Split(kept.drop("_index"), pl.concat([part.select(*HELD_SCHEMA) for part in held]))


def _faults(rows: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Return ``_index`` and ``HELD_SCHEMA`` of every fault that pandera finds."""
    cases = _failure_cases(rows.drop("_index", "_file", "_row"), contract)
    if cases is None:
        return pl.DataFrame(schema={"_index": pl.UInt32, **HELD_SCHEMA})
    placed = cases.join(rows.select("_index", "_file", "_row"), on="_index", how="inner")
    if placed.select("_index").n_unique() < cases.select("_index").n_unique():
        raise _own_fault(contract, "it failed as a whole, not on rows")
    return placed.select("_index", *HELD_SCHEMA)


def _failure_cases(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame | None:
    cases = None
    failed = ""
    try:
        contract.model.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases.select("index", "column", "check", "schema_context")
    except Exception as error:  # any other failure of the validator may quote values too
        failed = type(error).__name__
    if failed:
        raise _own_fault(contract, failed)
    if cases is None:
        return None
    if cases["index"].null_count():
        raise _own_fault(contract, "it failed as a whole, not on rows")
    names = {name: _rule(name) for name in cases["check"].unique()}
    found: pl.DataFrame = cases.select(
        pl.col("index").cast(pl.UInt32).alias("_index"),
        pl.when(pl.col("schema_context") == "Column").then(pl.col("column")).alias("column"),
        pl.col("check").replace_strict(names, return_dtype=pl.String).alias("rule"),
    )
    return found


def _own_fault(contract: Contract, failed: str) -> SafeError:
    """Return the error of a contract that cannot be put to rows: whatever the partner sent, that is ours to mend."""
    return SafeError(
        "WB-E-001", "A contract could not be put to the rows.", f"contract {contract.name} · {failed}"
    )


def _rule(check: str) -> str:
    if _OWN_RULE.match(check):
        return check
    return next((rule for pattern, rule in _CHECK_RULES if pattern.match(check)), "WB-R-022")


def _not_yet_known(found: pl.DataFrame, rows: pl.DataFrame, unread: pl.DataFrame) -> pl.DataFrame:
    """Leave out what only follows from a cell that could not be read: it is null, not missing."""
    if not found.height or not unread.height:
        return found.select(*HELD_SCHEMA)
    same_cell = found.join(unread, on=["_file", "_row", "column"], how="anti")
    across = same_cell.filter(pl.col("column").is_null())
    doubtful = across.join(unread, on=["_file", "_row"], how="semi")
    return same_cell.join(doubtful, on=["_index", "rule"], how="anti").select(*HELD_SCHEMA)
