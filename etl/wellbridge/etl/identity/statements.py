"""How a statement of matching is put together: a literal, and parts declared in code.

The parts are SQL of comparisons and blocking keys, column names that a model may name (one small pattern) and numbers:
never a cell of a file.
"""

from __future__ import annotations

import re
from string import Template
from typing import Final

_COLUMN: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")
_ENDS_A_STATEMENT: Final = (";", "--", "/*", '"')


def statement(text: str, **parts: str) -> str:
    """Return a statement with its parts in place of ``$name``.

    Raises:
        ValueError: a part could end the statement; our own mistake, since nothing from outside is a part.
    """
    if any(mark in part for part in parts.values() for mark in _ENDS_A_STATEMENT):
        raise ValueError("a part of a statement could end it")
    return Template(text).substitute(parts)


def is_column(name: str) -> bool:
    """Tell whether a model may name this column."""
    return _COLUMN.fullmatch(name) is not None
