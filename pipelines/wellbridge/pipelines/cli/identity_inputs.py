"""What ``wellbridge identity evaluate`` and ``train`` are given: two files, labels, and what only the judge may see."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from wellbridge.schemas.errors import ConfigurationError

if TYPE_CHECKING:
    import polars as pl

    from wellbridge.etl.identity.model import Model

FILE: Final = click.Path(path_type=Path)
GROUPS: Final = ("twin", "mover", "language", "school", "homeless", "homeless_flag", "foster", "foster_flag")
HOUSEHOLDS: Final = ("hid", "household", "household_id")

left_option = click.option("--left", type=FILE, required=True, help="The roster: CSV or Parquet.")
right_option = click.option(
    "--right", type=FILE, help="The other file; left out, the first is searched for doubles."
)
labels_option = click.option("--labels", type=FILE, metavar="FILE",
                       help="Pairs a person looked at: left_id, right_id, is_match.")  # fmt: skip


def tables_of(left: Path, right: Path | None) -> list[pl.DataFrame]:
    """Read one file or two."""
    from wellbridge.etl.identity.files import read_table

    return [read_table(path) for path in ((left, right) if right else (left,))]


def hidden_columns(
    tables: list[pl.DataFrame], truth: str | None, groups: tuple[str, ...], household: str | None
) -> frozenset[str]:
    """Return the columns that only the judge may see; each must be there."""
    for name in (truth, household):
        if name and any(name not in frame.columns for frame in tables):
            raise ConfigurationError("WB-E-011", "A column is not in both files.", f"column {name!r}")
    for name in groups:
        if all(name not in frame.columns for frame in tables):
            raise ConfigurationError("WB-E-011", "A column is in neither file.", f"column {name!r}")
    return frozenset(name for name in (truth, household, *groups, *GROUPS, *HOUSEHOLDS) if name)


def records_of(tables: list[pl.DataFrame], hidden: frozenset[str], model: Model) -> list[pl.DataFrame]:
    """Return the records of both files, of one file twice; what is hidden is not among them."""
    from wellbridge.etl.identity.files import as_records
    from wellbridge.etl.identity.standard import STANDARD

    also = sorted({column for one in model.comparisons for column in one.columns} - set(STANDARD))
    found = [
        as_records(frame, side, hidden=hidden, also=also) for frame, side in zip(tables, "ab", strict=False)
    ]
    return found if len(found) == 2 else found * 2


def labelled_pairs(tables: list[pl.DataFrame], hidden: frozenset[str], labels: Path) -> pl.DataFrame:
    """Return labelled pairs by the records' numbers; the file names rows as the two files do."""
    import polars as pl

    from wellbridge.etl.identity.files import ids_of, read_table

    given = read_table(labels)
    if not {"left_id", "right_id", "is_match"} <= set(given.columns):
        raise ConfigurationError(
            "WB-E-011", "Labels need left_id, right_id and is_match.", f"file {labels.name}"
        )
    pairs = given.select(
        pl.col("left_id", "right_id").cast(pl.String),
        pl.col("is_match").cast(pl.String).str.to_lowercase().is_in(["1", "true", "yes", "y"]),
    )
    ends = (("left_id", "a", tables[0]), ("right_id", "b" if len(tables) == 2 else "a", tables[-1]))
    for column, side, frame in ends:
        ids = ids_of(frame, hidden)
        if ids is None:
            raise ConfigurationError(
                "WB-E-011", "Labels name rows by an id that the file has not.", f"{side} file"
            )
        numbered = pl.DataFrame({column: ids}).with_row_index().select(
            column, pl.format(f"{side}:{{}}", "index").alias(f"record_{'a' if column == 'left_id' else 'b'}")
        )  # fmt: skip
        pairs = pairs.join(numbered, on=column)
    return pairs.select("record_a", "record_b", "is_match")


def peak_mb() -> float:
    """Return the most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1024 / (1024 if sys.platform == "darwin" else 1), 1)
