"""What the rules allow in the warehouse, and the step that makes it so.

The rule book decides, once for each contract; what no rule allows is taken out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import polars as pl
import sqlalchemy as sa

from wellbridge.privacy.rules import generalise
from wellbridge.privacy.rules.book import Book, builtin
from wellbridge.privacy.rules.decide import Decision, decide, regimes_of
from wellbridge.privacy.rules.rule import Purpose
from wellbridge.privacy.rules.strictness import Treatment
from wellbridge.schemas.classes import PrivacyClass
from wellbridge.schemas.contract import Column, Contract
from wellbridge.schemas.errors import ConfigurationError

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


@dataclass(frozen=True)
class _Plan:
    """What becomes of each column of one contract under one book; None: it is taken out."""

    contract: Contract  # kept, so that its id is not given to another
    columns: Mapping[str, pl.Expr | None]


_PLANS: Final[dict[tuple[int, str], _Plan]] = {}


@cache
def warehouse_classes() -> frozenset[PrivacyClass]:
    """Return the classes whose values may stand in the warehouse; all others stay in the vault or are dropped."""
    book = builtin()
    return frozenset(
        privacy for privacy in PrivacyClass
        if not decide(book, book.facts_by_name("", privacy), (), Purpose.WAREHOUSE).treatment.shows_nothing
    )


def policy_hash(book: Book | None = None) -> str:
    """Return the digest of the rules in force, kept with every run and release; of the built-in ones without a book."""
    return (book or builtin()).digest


def decisions(contract: Contract, book: Book, purpose: Purpose = Purpose.WAREHOUSE) -> dict[str, Decision]:
    """Return what happens to each column of a contract, by name."""
    laws = regimes_of(contract)
    return {name: decide(book, book.facts_of(column), laws, purpose) for name, column in contract.columns.items()}


def deidentify(frame: pl.DataFrame, contract: Contract, book: Book | None = None) -> pl.DataFrame:
    """Drop direct identifiers and free text, and generalise what the rules say.

    Args:
        frame: validated rows in which identifiers are already replaced by keys.
        contract: says each column's class and law.
        book: the rules in force; the built-in ones where not given.

    Returns:
        The same rows with the columns that may stand in the warehouse, keys and system columns included.

    Raises:
        ConfigurationError: WB-E-070 when a local rule takes away a column that identifies rows.
    """
    columns = _plan(contract, book or builtin()).columns
    kept: list[pl.Expr] = []
    for name in frame.columns:
        if name in columns:
            expression = columns[name]
            if expression is not None:
                kept.append(expression)
        elif name in SYSTEM_COLUMNS or name.endswith("_key"):
            kept.append(pl.col(name))
    return frame.select(kept)


def check_contract(contract: Contract, book: Book) -> None:
    """Refuse rules under which a contract's rows could not be told apart.

    Raises:
        ConfigurationError: WB-E-070.
    """
    _plan(contract, book)


def _plan(contract: Contract, book: Book) -> _Plan:
    key = (id(contract), book.digest)
    if key not in _PLANS:
        before, now = decisions(contract, builtin()), decisions(contract, book)
        columns = {
            name: _outcome(contract, column, before[name], now[name]) for name, column in contract.columns.items()
        }
        _PLANS[key] = _Plan(contract, columns)
    return _PLANS[key]


def _outcome(contract: Contract, column: Column, before: Decision, now: Decision) -> pl.Expr | None:
    """Return the column as it may stand in the warehouse; None where the built-in rules take it out.

    What only a site's own rule takes out keeps its place without its values, so that what reads the column finds it.
    """
    if before.treatment.shows_nothing:
        return None
    kept_as = generalise.NAMES.get(before.treatment, column.name)
    fits = not _is_day(before.treatment) or column.dtype in (pl.Date, pl.Datetime("us", "UTC"))
    if now.treatment.shows_nothing or not fits:
        _check_not_needed(contract, column, now)
        return pl.lit(None, dtype=column.dtype).alias(kept_as)
    if now.treatment is Treatment.KEEP:
        return pl.col(column.name)
    if now.treatment is not before.treatment:
        place = f"contract {contract.name} · column {column.name} · {', '.join(rule.id for rule in now.deciding)}"
        raise ConfigurationError(
            "WB-E-070", "A local rule generalises a column that the warehouse keeps in its own type.", place,
            todo="Let the rule suppress the column, or leave the purpose warehouse out of it",
        )
    return generalise.generalised(column.name, now.treatment, now.limits)


def _is_day(treatment: Treatment) -> bool:
    return treatment in {Treatment.BIRTH_YEAR, Treatment.YEAR, Treatment.SCHOOL_YEAR}


def _check_not_needed(contract: Contract, column: Column, decision: Decision) -> None:
    if column.name in {*contract.key, contract.period, contract.version}:
        raise ConfigurationError(
            "WB-E-070", "A local rule takes away a column by which rows are told apart.",
            f"contract {contract.name} · column {column.name} · {', '.join(rule.id for rule in decision.deciding)}",
            todo="Narrow the rule by traits, classes or purposes, or leave the feed out of the site",
        )


def check_loadable(table: sa.Table, frame: pl.DataFrame) -> None:
    """Refuse a frame with a column that the table does not know or whose class may not load.

    Raises:
        ConfigurationError: WB-E-014.
    """
    allowed = warehouse_classes()
    for name in frame.columns:
        known = table.columns.get(name)
        if known is None or known.info.get("privacy") not in allowed:
            raise ConfigurationError(
                "WB-E-014",
                "A column without a privacy class that may load was about to be loaded.",
                f"table {table.name} · column {name}",
            )
