"""Hierarchies: how a quasi-identifier is coarsened, step by step, from its values to one label for all.

A hierarchy is a tree: every value has one label on every level, and what two values share on a level they share on
all coarser ones. Anything else is refused when it is read, because a value that no level covers, or that has two
parents, would be shown as it is or hide less than it seems to.

Source: L. Sweeney, Achieving k-anonymity privacy protection using generalization and suppression (IJUFKS 10(5),
2002); the CSV form is ARX's: one line a value, ``value;level 1;level 2;…``, no header.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import polars as pl

from wellbridge.schemas.errors import ConfigurationError

ANYTHING: Final = "*"
NOT_REPORTED: Final = "not reported"
_DELIMITERS: Final = (";", ",", "\t", "|")

# What a level makes of the labels of the level before: a table, one label for all, or a rule on a text column.
Step = Mapping[str, str] | str | Callable[[pl.Series], pl.Series]


@dataclass(frozen=True)
class Hierarchy:
    """How a quasi-identifier is coarsened.

    Attributes:
        levels: each maps what the level before shows to something coarser; a table leaves alone what it does not
            name, ``"*"`` maps everything to one label, and a rule returns null for what it does not understand.
        values: all values there may be, where they are declared; None: any.
        least: the finest level that may be shown (a ZIP code never shows more than three digits).
        name: of the file it was read from, for messages.
    """

    levels: tuple[Step, ...] = (ANYTHING,)
    values: frozenset[str] | None = None
    least: int = 0
    name: str = ""

    @property
    def height(self) -> int:
        """The coarsest level; 0 shows values as they are."""
        return len(self.levels)

    def labels(self, values: pl.Series, column: str) -> pl.DataFrame:
        """Return each value's label at every level, columns ``"0"`` to ``str(height)``.

        Args:
            values: distinct values as text; null (no value) is shown as "not reported" until all are alike.
            column: the column's name, for messages.

        Raises:
            ConfigurationError: WB-E-047, with the number of values that are not covered.
        """
        missing = values.is_null()
        unknown = 0
        if self.values is not None:
            unknown = int((~missing & ~values.is_in(list(self.values))).sum())
        labels = [values.fill_null(NOT_REPORTED).alias("0")]
        for number, step in enumerate(self.levels, 1):
            found = _stepped(labels[-1], step)
            unknown = max(unknown, int((found.is_null() & ~missing).sum()))
            whole = self._whole(number)
            labels.append(found.scatter(missing.arg_true(), whole or NOT_REPORTED).alias(str(number)))
        if unknown:
            raise _broken(
                f"{unknown} distinct value(s) of a column are not in its hierarchy.",
                f"column {column}" + (f" · hierarchy {self.name}" if self.name else ""),
            )
        return pl.DataFrame(labels)

    def _whole(self, number: int) -> str | None:
        """Return the one label of a level where everything is alike."""
        step = self.levels[number - 1]
        if isinstance(step, str):
            return step
        tops = set(step.values()) if isinstance(step, Mapping) and self.values is not None else set()
        return tops.pop() if len(tops) == 1 else None


def _stepped(labels: pl.Series, step: Step) -> pl.Series:
    if isinstance(step, str):
        return pl.Series([step], dtype=pl.String).new_from_index(0, len(labels))
    if isinstance(step, Mapping):
        table = {old: new for old, new in step.items() if old != new}
        return labels.replace(list(table), list(table.values())) if table else labels
    return step(labels).cast(pl.String)


def read_hierarchy(path: Path) -> Hierarchy:
    """Read a hierarchy from CSV, the delimiter found by looking at the first line.

    Raises:
        ConfigurationError: WB-E-047, naming the line but not what stands there.
    """
    lines = _lines(path)
    if not lines:
        raise _broken("A hierarchy is empty.", f"hierarchy {path.name}")
    width = len(lines[0][1])
    steps: list[dict[str, str]] = [{} for _ in range(width - 1)]
    for number, cells in lines:
        place = f"hierarchy {path.name} · line {number}"
        if len(cells) != width:
            raise _broken(f"A line has {len(cells)} columns, the first line {width}.", place)
        if not all(cells):
            raise _broken("A line holds an empty cell.", place)
        for step, label, parent in zip(steps, cells, cells[1:], strict=False):
            if step.setdefault(label, parent) != parent:
                raise _broken("A label has two parents: this line gives it another than a line before.", place)
    looping = _loops(lines)
    if looping:
        raise _broken(
            "Labels go round in a circle: one that was coarsened comes back on a coarser level.",
            f"hierarchy {path.name} · line {looping}",
        )
    return Hierarchy(tuple(steps), frozenset(cells[0] for _, cells in lines), name=path.name)


def read_levels(levels: Any, where: str) -> Hierarchy:
    """Return a hierarchy from a settings file's list of tables or ``"*"``.

    Raises:
        ConfigurationError: WB-E-047 when it is anything else.
    """
    fine = isinstance(levels, list | tuple) and all(
        level == ANYTHING or (isinstance(level, dict) and all(isinstance(label, str) for label in level.values()))
        for level in levels
    )
    if not fine:
        raise _broken('Levels must be a list of tables of values, or "*".', where)
    if _circle({(old, new) for level in levels if isinstance(level, dict) for old, new in level.items()}):
        raise _broken("Labels go round in a circle: one that was coarsened comes back.", where)
    return Hierarchy(tuple(levels))


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    text = None
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        text = None
    if text is None:
        raise _broken("A hierarchy cannot be read: there is no such file, or it is not UTF-8.",
                      f"hierarchy {path.name}")
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(_DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    found: list[tuple[int, list[str]]] = []
    failed = False
    try:
        found = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except csv.Error:
        failed = True
    if failed:
        raise _broken("A line of a hierarchy cannot be read.", f"hierarchy {path.name} · line {reader.line_num}")
    return found


def _loops(lines: Sequence[tuple[int, Sequence[str]]]) -> int:
    """Return the number of the first line by which some label becomes its own ancestor; 0 where none does."""
    if not _circle(_edges(lines)):
        return 0
    low, high = 1, len(lines)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _circle(_edges(lines[:middle])) else (middle + 1, high)
    return lines[low - 1][0]


def _edges(lines: Iterable[tuple[int, Sequence[str]]]) -> set[tuple[str, str]]:
    return {pair for _, cells in lines for pair in pairwise(cells)}


def _circle(edges: set[tuple[str, str]]) -> bool:
    """Return whether some label is its own ancestor; one that stays as it is for a level is none."""
    parents: dict[str, set[str]] = {}
    for label, parent in edges:
        if label != parent:
            parents.setdefault(label, set()).add(parent)
    below = dict.fromkeys({parent for found in parents.values() for parent in found}, 0)
    for found in parents.values():
        for parent in found:
            below[parent] += 1
    free = [label for label in parents if label not in below]
    while free:
        for parent in parents.pop(free.pop(), ()):
            below[parent] -= 1
            if not below[parent]:
                free.append(parent)
    return bool(parents)


def _broken(what: str, where: str) -> ConfigurationError:
    return ConfigurationError("WB-E-047", what, where)
