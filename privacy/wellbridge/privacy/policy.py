"""What each privacy class allows in the warehouse, and the step that makes it so.

Deny by default: what a column may keep is decided by its class alone, and a class that is not listed keeps nothing.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

import polars as pl
import sqlalchemy as sa

from wellbridge.schemas.classes import PrivacyClass
from wellbridge.schemas.contract import Contract
from wellbridge.schemas.errors import ConfigurationError

# Classes whose values may stand in the warehouse; all others stay in the vault or are dropped.
WAREHOUSE_CLASSES: Final = frozenset(
    {PrivacyClass.KEY, PrivacyClass.QUASI, PrivacyClass.SENSITIVE, PrivacyClass.PLAIN}
)

# ZIP prefixes with 20,000 people or fewer, 45 CFR 164.514(b)(2)(i)(B): union of HHS's list (Census 2000) and the
# list of the 2010 Census in public tools. No list of the 2020 Census could be verified.
RESTRICTED_ZIP3: Final = frozenset(
    {"036", "059", "063", "102", "203", "205", "369", "556", "692", "790",
     "821", "823", "830", "831", "878", "879", "884", "890", "893"}
)

SYSTEM_COLUMNS: Final = (
    "_id",
    "_file",
    "_row",
    "person_key",
    "subject_key",
    "staff_key",
    "version",
    "is_part2",
)


def policy_hash() -> str:
    """Return a digest of the built-in policy, kept with every run."""
    facts = [sorted(WAREHOUSE_CLASSES), sorted(RESTRICTED_ZIP3)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def deidentify(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Drop direct identifiers and free text, and generalise what the contract says.

    Args:
        frame: validated rows in which identifiers are already replaced by keys.
        contract: says each column's class.

    Returns:
        The same rows with the columns that may stand in the warehouse, keys and system columns included.
    """
    kept: list[pl.Expr] = []
    for name in frame.columns:
        column = contract.columns.get(name)
        if column is None:
            if name in SYSTEM_COLUMNS or name.endswith("_key"):
                kept.append(pl.col(name))
            continue
        if column.ids is not None:
            continue
        if column.generalise is not None:
            kept.append(_generalised(column.name, column.generalise))
        elif column.privacy in WAREHOUSE_CLASSES:
            kept.append(pl.col(name))
    return frame.select(kept)


def _generalised(name: str, how: str) -> pl.Expr:
    if how == "birth_year":
        return pl.col(name).dt.year().cast(pl.Int64).alias("birth_year")
    if how == "zip3":
        return zip3(pl.col(name)).alias("zip3")
    year = pl.col(name).dt.year() + (pl.col(name).dt.month() >= 7).cast(pl.Int32)
    return year.cast(pl.Int64).alias("school_year")


def zip3(zip_code: pl.Expr) -> pl.Expr:
    """Return the first three digits of a ZIP code, ``000`` for small areas and for anything that is no US ZIP code.

    Source: 45 CFR 164.514(b)(2)(i)(B). Four-digit codes lost a leading zero and get it back before the cut.
    """
    digits = zip_code.str.strip_chars().str.replace(r"-\d{4}$", "")
    whole = pl.when(digits.str.contains(r"^\d{4,5}$")).then(digits.str.zfill(5).str.slice(0, 3))
    unsafe = whole.is_null() | whole.is_in(sorted(RESTRICTED_ZIP3))
    return pl.when(zip_code.is_null()).then(None).when(unsafe).then(pl.lit("000")).otherwise(whole)


def check_loadable(table: sa.Table, frame: pl.DataFrame) -> None:
    """Refuse a frame with a column that the table does not know or whose class may not load.

    Raises:
        ConfigurationError: WB-E-014.
    """
    for name in frame.columns:
        known = table.columns.get(name)
        if known is None or known.info.get("privacy") not in WAREHOUSE_CLASSES:
            raise ConfigurationError(
                "WB-E-014",
                "A column without a privacy class that may load was about to be loaded.",
                f"table {table.name} · column {name}",
            )
