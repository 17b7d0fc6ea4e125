"""Record files of one agreement over time: who keeps a code can be followed, so the whole sequence must be shared.

A child's sequence is, for each release, the class it was in or that it was absent. Fewer than k with one sequence are
a group that a reader can single out: three who left, two whose grade changed. They are left out of the new file; who
is then newly absent is joined by others of the same past, so that at least k are absent with them.

Source: 34 CFR 99.31(b)(1), "whether through single or multiple releases"; (b)(2), record codes; on sequences of
releases: X. Xiao, Y. Tao, m-invariance (SIGMOD 2007), whose point is that absence tells as much as presence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from wellbridge.privacy.records.check import class_numbers

_NEW: Final = ""  # the past of a child who was in no earlier file


@dataclass(frozen=True)
class Kept:
    """What leaves of a new file.

    Attributes:
        left_out: codes that must not be in it.
        stuck: children whose past is shared by fewer than k, whatever is left out now.
    """

    left_out: frozenset[str]
    stuck: int


def classes(table: pl.DataFrame, quasi: Sequence[str], code: str) -> pl.DataFrame:
    """Return the class of each code of a record file: ``code``, ``class``."""
    return class_numbers(table, quasi, code).select(
        pl.col("person").alias("code"), pl.col("class").cast(pl.Int64)
    )


def keep_sequences(earlier: Sequence[pl.DataFrame], new: pl.DataFrame, k: int) -> Kept:
    """Say whom to leave out, so that every sequence over all releases is of at least ``k`` children or of nobody.

    Args:
        earlier: ``classes`` of each earlier file of the agreement, oldest first.
        new: ``classes`` of the file that is about to leave.
        k: least number of children of one sequence.
    """
    if not earlier:
        return Kept(frozenset(), 0)
    members = _with_past(earlier, new)
    while True:
        sizes = members.group_by("past", "class").len("n")
        small = sizes.filter(pl.col("class").is_not_null() & (pl.col("n") < k))
        if small.height:
            members = _absent(members, small.select("past", "class"))
            continue
        lonely = sizes.filter(pl.col("class").is_null() & (pl.col("n") < k) & (pl.col("past") != _NEW))
        joined = [_company(members, past, k - n) for past, n in lonely.select("past", "n").iter_rows()]
        more = [codes for codes in joined if codes]
        if not more:
            stuck = int(lonely["n"].sum())
            break
        gone = pl.col("code").is_in([code for codes in more for code in codes])
        members = members.with_columns(pl.when(~gone).then(pl.col("class")).alias("class"))
    kept = members.filter(pl.col("class").is_not_null())["code"]
    return Kept(frozenset(set(new["code"].to_list()) - set(kept.to_list())), stuck)


def _with_past(earlier: Sequence[pl.DataFrame], new: pl.DataFrame) -> pl.DataFrame:
    """Return every code with its past, one text, and its class in the new file (null where it is absent)."""
    codes = pl.concat([frame.select("code") for frame in (*earlier, new)]).unique()
    for number, frame in enumerate(earlier):
        codes = codes.join(frame.rename({"class": f"past{number}"}), on="code", how="left")
    names = [f"past{number}" for number in range(len(earlier))]
    past = pl.concat_str([pl.col(name).cast(pl.String).fill_null("-") for name in names], separator=" ")
    was_there = pl.any_horizontal(pl.col(names).is_not_null())
    told = codes.select("code", pl.when(was_there).then(past).otherwise(pl.lit(_NEW)).alias("past"))
    # Codes are random, so their order is a draw that is the same each time.
    return told.join(new, on="code", how="left").sort("code")


def _absent(members: pl.DataFrame, sequences: pl.DataFrame) -> pl.DataFrame:
    few = sequences.with_columns(pl.lit(value=True).alias("few"))
    marked = members.join(few, on=["past", "class"], how="left", maintain_order="left")
    return marked.select(
        "code", "past", pl.when(pl.col("few").is_null()).then(pl.col("class")).alias("class")
    )


def _company(members: pl.DataFrame, past: str, need: int) -> list[str]:
    """Return codes of the same past that go too: of the largest class, and all of it where too few would stay."""
    same = members.filter((pl.col("past") == past) & pl.col("class").is_not_null())
    if not same.height:
        return []
    largest = same.group_by("class").len("n").sort("n", "class")["class"][-1]
    of_it: list[str] = same.filter(pl.col("class") == largest)["code"].to_list()
    return of_it[:need]
