"""An attacker who shares no code with the toolkit: an integer program over the inner cells, solved by SciPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy.optimize import Bounds, LinearConstraint, milp

ALL = "all"


def hidden_ranges(
    table: pl.DataFrame, columns: Sequence[str], wanted: Callable[[dict[str, Any]], bool] = lambda row: True
) -> Iterator[tuple[dict[str, Any], int, float]]:
    """Yield each wanted hidden row with its least and greatest possible count (infinity: unbounded)."""
    rows = table.to_dicts()
    inner = [row for row in rows if all(row[name] != ALL for name in columns)]
    open_to = [[all(row[c] in (ALL, atom[c]) for c in columns) for atom in inner] for row in rows]
    members = np.array(open_to, dtype=float)
    known = [place for place, row in enumerate(rows) if row["n"] is not None]
    counts = np.array([rows[place]["n"] for place in known], dtype=float)
    published = LinearConstraint(members[known], counts, counts)
    for place, row in enumerate(rows):
        if row["n"] is None and wanted(row):
            least, greatest = (_extreme(sign * members[place], published) for sign in (1, -1))
            yield row, round(least), -greatest


def _extreme(cost: np.ndarray, published: LinearConstraint) -> float:
    found = milp(cost, constraints=published, bounds=Bounds(0, np.inf), integrality=np.ones(len(cost)))
    if found.status in (3, 4):  # 4: unbounded or contradictory, and what was published is no contradiction
        return -np.inf
    assert found.status == 0, found.message
    return float(found.fun)
