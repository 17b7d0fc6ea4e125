"""Record files of one agreement over time: who keeps a code can be followed, so the whole sequence must be shared.

A child's sequence is, for each release, the class it was in or that it was absent. Fewer than k with one sequence are
a group that a reader can single out: three who left, two whose grade changed. So a child's *past*, its sequence until
now, is a quasi-identifier of the new file that every holder of the earlier ones knows: it is not shown, and k holds
within it. Who is newly absent is joined by others of the same past, so that at least k are absent with them.

Source: 34 CFR 99.31(b)(1), "whether through single or multiple releases"; (b)(2), record codes; on sequences of
releases: X. Xiao, Y. Tao, m-invariance (SIGMOD 2007), whose point is that absence tells as much as presence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from wellbridge.privacy.records.check import class_numbers

NEW: Final = ""  # the past of a child who was in no earlier file
PAST: Final = "\x1fpast"  # no column of a file has this name


@dataclass(frozen=True)
class Followed:
    """What the holders of earlier files know of the persons of a new one.

    Attributes:
        column: the column of the new file that says each person's past; it never leaves.
        gone: by past, the persons who are not in the new file at all.
    """

    column: str
    gone: Mapping[str, int]


def classes(table: pl.DataFrame, quasi: Sequence[str], code: str) -> pl.DataFrame:
    """Return the class of each code of a record file: ``code``, ``class``."""
    return class_numbers(table, quasi, code).select(
        pl.col("person").alias("code"), pl.col("class").cast(pl.Int64)
    )


def pasts(earlier: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return the past of everybody who was in an earlier file: ``code``, ``past``.

    Args:
        earlier: ``classes`` of each earlier file of the agreement, oldest first.
    """
    if not earlier:
        return pl.DataFrame(schema={"code": pl.String, "past": pl.String})
    codes = pl.concat([frame.select("code") for frame in earlier]).unique()
    for number, frame in enumerate(earlier):
        codes = codes.join(frame.rename({"class": f"past{number}"}), on="code", how="left")
    told = [pl.col(f"past{number}").cast(pl.String).fill_null("-") for number in range(len(earlier))]
    return codes.select("code", pl.concat_str(told, separator=" ").alias("past"))


def follow(rows: pl.DataFrame, codes: pl.DataFrame, told: pl.DataFrame) -> tuple[pl.DataFrame, Followed]:
    """Return the rows of a new file with each person's past, and who of the earlier files is not among them.

    Args:
        rows: one or more a person, with ``person_key``.
        codes: ``person_key``, ``code`` of those who have one.
        told: ``pasts`` of the earlier files.
    """
    known = told.join(codes, on="code", how="left")
    here = known.join(rows.select("person_key").unique(), on="person_key", how="semi")
    gone = known.join(here, on="code", how="anti").group_by("past").len("n")
    past = here.select("person_key", pl.col("past").alias(PAST))
    joined = rows.join(past, on="person_key", how="left", maintain_order="left")
    return joined.with_columns(pl.col(PAST).fill_null(NEW)), Followed(PAST, dict(gone.iter_rows()))


def standing_alone(told: pl.DataFrame, new: pl.DataFrame, k: int) -> int:
    """Count the children whose sequence, the new file in it, is shared by fewer than ``k``.

    Args:
        told: ``pasts`` of the earlier files.
        new: ``classes`` of the file that is about to leave.
        k: least number of children of one sequence.
    """
    members = told.join(new, on="code", how="full", coalesce=True)
    sizes = members.group_by("past", "class").len("n")
    return int(sizes.filter(pl.col("n") < k)["n"].sum())
