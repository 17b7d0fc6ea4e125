"""Who goes too, so that nobody is absent from a record file alone.

Whoever holds an agreement's earlier files knows by their codes who is absent from the new one. Fewer than k who are
absent with one past are singled out like fewer than k who are there, so others of that past are left out with them.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from wellbridge.privacy.records.ladders import Bools, Ints


def company(past: Ints, counts: Ints, kept: Bools, absent: Ints, k: int) -> Ints:
    """Return for each class of one past how many of its persons are left out to keep the absent company.

    They are taken where more than ``k`` are, of large classes first; where too few can be spared, the smallest class
    goes whole. Who has nobody left to go with stays alone: such a file must not leave.

    Args:
        past: number of each class's past.
        counts: persons of each class.
        kept: classes that are not left out anyway; none of fewer than ``k``.
        absent: by number of a past, its persons who are not in the file.
        k: least number of persons who are absent with one past.
    """
    out = np.zeros_like(counts)
    need = np.where((absent > 0) & (absent < k), k - absent, 0)
    asked = np.flatnonzero(kept & (need[past] > 0))
    if not len(asked):
        return out
    order = asked[np.lexsort((-counts[asked], past[asked]))]  # by past, the largest first
    of, spare = past[order], counts[order] - k
    first = np.flatnonzero(np.diff(of, prepend=-1))
    last = np.append(first[1:], len(of)) - 1
    before = np.cumsum(spare) - spare
    before -= np.repeat(before[first], last - first + 1)
    can_spare = np.repeat(np.add.reduceat(spare, first), last - first + 1) >= need[of]
    out[order] = np.where(can_spare, np.clip(need[of] - before, 0, spare), 0)
    smallest = last[~can_spare[last]]
    out[order[smallest]] = counts[order[smallest]]
    return out


def in_company(members: pl.DataFrame, gone: Ints, k: int) -> pl.Series:
    """Return the persons of a recoded file who are left out to keep the absent company.

    Args:
        members: ``person``, ``past`` (its number) and ``class``, which is of one past; null for who is left out anyway.
        gone: by number of a past, its persons who are in no row.
        k: least number of persons who are absent with one past.
    """
    here = members.filter(pl.col("class").is_not_null()).sort(
        "person"
    )  # keys are random: a draw, the same each time
    away = members.filter(pl.col("class").is_null())["past"].to_numpy()
    absent = gone + np.bincount(away, minlength=len(gone))
    sizes = here.group_by("class", "past").len("n").sort("class")
    past, counts = (sizes[name].cast(pl.Int64).to_numpy() for name in ("past", "n"))
    going = company(past, counts, np.ones(len(past), dtype=np.bool_), absent, k)
    asked = here.join(sizes.select("class", pl.Series("going", going)), on="class", maintain_order="left")
    return asked.filter(pl.int_range(pl.len()).over("class") < pl.col("going"))["person"]
