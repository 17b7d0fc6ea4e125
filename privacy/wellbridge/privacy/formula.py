"""CSV cells that a spreadsheet would run as formulas, made harmless so that it can be undone.

A cell is dangerous when its first significant character (spaces, no-break spaces, byte order marks and quotes do
not count) begins a formula or steers the reader's parser. Plain negative numbers stay as they are.

Source: OWASP ASVS 5, 1.2.10; full-width forms as spreadsheets of East Asian locales read them.
"""

from __future__ import annotations

import re
from typing import Final

import polars as pl

PREFIX: Final = "'"

_SKIPPED: Final = "[ \u00a0\ufeff\"'`\u2018\u2019\u201c\u201d]*"
DANGEROUS: Final = f"^{_SKIPPED}[=+\\-@\\t\\r\\n\\x00\uff1d\uff0b\uff0d\uff20]"
NUMBER: Final = r"^-\d+(\.\d+)?([eE][+-]?\d+)?$"


def is_dangerous(cells: pl.Expr) -> pl.Expr:
    """Return whether a spreadsheet could run a cell."""
    return cells.str.contains(DANGEROUS) & ~cells.str.contains(NUMBER)


def neutralise(frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Put ``PREFIX`` before every dangerous cell of the text columns.

    Returns:
        The frame, and how many cells of which column were changed (columns without any are left out).
    """
    names = [name for name, kind in frame.schema.items() if kind == pl.String]
    if not names or not frame.height:
        return frame, {}
    counts = frame.select(is_dangerous(pl.col(name)).sum().alias(name) for name in names).row(0, named=True)
    changed = {name: int(count) for name, count in counts.items() if count}
    prefixed = [
        pl.when(is_dangerous(pl.col(name))).then(pl.lit(PREFIX) + pl.col(name)).otherwise(pl.col(name)).alias(name)
        for name in changed
    ]
    return frame.with_columns(prefixed), changed


def restore(cell: str) -> str:
    """Return the cell as it was before ``neutralise``."""
    rest = cell.removeprefix(PREFIX)
    was_prefixed = rest != cell and re.search(DANGEROUS, rest) and not re.search(NUMBER, rest)
    return rest if was_prefixed else cell
