"""What ``wellbridge identity evaluate`` and ``train`` are given: two files, labels, and what only the judge may see."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from wellbridge.schemas.errors import ConfigurationError, PrivacyError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from wellbridge.etl.identity.model import Model

FILE: Final = click.Path(path_type=Path)
GROUPS: Final = ("twin", "mover", "language", "school", "homeless", "homeless_flag", "foster", "foster_flag")
HOUSEHOLDS: Final = ("hid", "household", "household_id")
_WORDS: Final = {
    "given": "given",
    "used": "used",
    "other_source": "of another source",
    "no_answer": "neither true nor false",
    "no_row": "name no row, or several",
    "repeated": "said before",
    "contradicted": "contradicted",
    "silent": "of records that say nothing any more",
}
_ENDS: Final = (("left", "a"), ("right", "b"))

_LEFT: Final = "The roster: CSV or Parquet."
left_option = click.option("--left", type=FILE, required=True, help=_LEFT)
optional_left_option = click.option("--left", type=FILE, help=_LEFT)
right_option = click.option(
    "--right", type=FILE, help="The other file; left out, the first is searched for doubles."
)
labels_option = click.option("--labels", type=FILE, metavar="FILE",
                       help="Pairs a person looked at: left_id, right_id, is_match.")  # fmt: skip
left_source_option = click.option(
    "--left-source", metavar="NAME", help="Take labels of this left_source alone."
)
right_source_option = click.option(
    "--right-source", metavar="NAME", help="Take labels of this right_source alone."
)


@dataclass(frozen=True)
class Labels:
    """Labelled pairs that can be used, and what became of all that were given.

    Attributes:
        pairs: ``record_a, record_b, is_match``, every pair once.
        counts: ``given``, and of these ``used`` and, by why, those that are not: ``other_source``, ``no_answer``
            (``is_match`` is neither true nor false), ``no_row`` (an id names no row of its file, or several),
            ``repeated``, ``contradicted`` (the pair is said to be both), ``silent`` (a record is buried or forgotten).
    """

    pairs: pl.DataFrame
    counts: Mapping[str, int]

    @property
    def words(self) -> str:
        """Return the counts as text; those that are 0 are left out."""
        return " · ".join(f"{count} {_WORDS[key]}" for key, count in self.counts.items() if count)


@dataclass(frozen=True)
class Wanted:
    """Which labels are meant: the file, and the sources whose ids it is to be read by (None: it has but one)."""

    file: Path
    left: str | None = None
    right: str | None = None


def wanted_labels(labels: Path | None, left: str | None, right: str | None) -> Wanted | None:
    """Return which labels are meant, if any.

    Raises:
        UsageError: WB-E-016, a source of labels is named and no labels are.
    """
    if labels is None and (left is not None or right is not None):
        raise UsageError("WB-E-016", "A source is chosen of labels, and there are none.", "--labels")
    return None if labels is None else Wanted(labels, left, right)


def tables_of(left: Path, right: Path | None) -> list[pl.DataFrame]:
    """Read one file or two."""
    from wellbridge.etl.identity.files import read_table

    return [read_table(path) for path in ((left, right) if right else (left,))]


def hidden_columns(
    tables: list[pl.DataFrame], truth: str | None, groups: tuple[str, ...], household: str | None
) -> frozenset[str]:
    """Return the columns that only the judge may see; each must be there.

    Raises:
        ConfigurationError: WB-E-011, a column is not there.
        PrivacyError: WB-E-098, a group would be what records are told apart by: its values would be printed.
    """
    from wellbridge.etl.identity.files import compared_columns

    for name in (truth, household):
        if name and any(name not in frame.columns for frame in tables):
            raise ConfigurationError("WB-E-011", "A column is not in both files.", f"column {name!r}")
    telling = {truth, household, *HOUSEHOLDS}.union(*(compared_columns(frame) for frame in tables))
    for name in groups:
        if all(name not in frame.columns for frame in tables):
            raise ConfigurationError("WB-E-011", "A column is in neither file.", f"column {name!r}")
        if name in telling:
            raise PrivacyError(
                "WB-E-098",
                "A group is a category of children, and this column tells single children apart.",
                f"--group {name}",
                todo="Group by a column of few values that no record is matched by: school, language, a flag",
            )
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


def labelled_pairs(tables: list[pl.DataFrame], hidden: frozenset[str], wanted: Wanted) -> Labels:
    """Return labelled pairs by the records' numbers; the file names rows as the two files do.

    Raises:
        ConfigurationError: WB-E-011, columns are missing, labels of several sources are mixed and none is chosen, or
            no label is left; the message counts what became of them.
    """
    import polars as pl

    from wellbridge.etl.identity.files import as_flags, as_ids, read_table

    given = read_table(wanted.file)
    if not {"left_id", "right_id", "is_match"} <= set(given.columns):
        raise ConfigurationError(
            "WB-E-011", "Labels need left_id, right_id and is_match.", f"file {wanted.file.name}"
        )
    of_source = _of_sources(given, wanted)
    answered = of_source.select(
        as_ids(of_source["left_id"]), as_ids(of_source["right_id"]), as_flags(of_source["is_match"])
    ).drop_nulls("is_match")
    pairs = answered
    for (side, end), frame in zip(_ENDS, (tables[0], tables[-1]), strict=True):
        numbered = _numbered(frame, hidden, "a" if len(tables) == 1 else end, side)
        pairs = pairs.join(numbered.rename({"id": f"{side}_id", "record": f"record_{end}"}), on=f"{side}_id")
    said = pairs.group_by("record_a", "record_b", maintain_order=True).agg(
        pl.col("is_match").first(), pl.len(), (pl.col("is_match").n_unique() > 1).alias("is_both")
    )
    agreed = said.filter(~pl.col("is_both"))
    found = Labels(
        agreed.select("record_a", "record_b", "is_match"),
        {
            "given": given.height, "used": agreed.height, "other_source": given.height - of_source.height,
            "no_answer": of_source.height - answered.height, "no_row": answered.height - pairs.height,
            "repeated": int(agreed["len"].sum()) - agreed.height,
            "contradicted": int(said.filter("is_both")["len"].sum()),
        },
    )  # fmt: skip
    if not found.pairs.height:
        raise ConfigurationError(
            "WB-E-011", "No label can be used.", f"file {wanted.file.name} · {found.words}",
            todo="Give the files whose ids the labels name, and true or false in is_match",
        )  # fmt: skip
    return found


def _of_sources(given: pl.DataFrame, wanted: Wanted) -> pl.DataFrame:
    """Return the labels of the sources that are meant: another source's ids may be the same by chance."""
    for side, name in (("left", wanted.left), ("right", wanted.right)):
        column = f"{side}_source"
        where = f"file {wanted.file.name} · {column}"
        if name is not None and column not in given.columns:
            raise ConfigurationError("WB-E-011", "The labels do not say their sources.", where)
        if column not in given.columns:
            continue
        if name is not None:
            given = given.filter(given[column].eq(name).fill_null(value=False))
        elif (sources := given[column].n_unique()) > 1:
            raise ConfigurationError(
                "WB-E-011", f"The labels are of {sources} sources, and one file cannot be all of them.", where,
                todo=f"Choose one: --{side}-source NAME",
            )  # fmt: skip
    return given


def _numbered(table: pl.DataFrame, hidden: frozenset[str], mark: str, side: str) -> pl.DataFrame:
    """Return ``id, record`` of the rows that have an id of their own."""
    import polars as pl

    from wellbridge.etl.identity.files import ids_of

    ids = ids_of(table, hidden)
    if ids is None:
        raise ConfigurationError(
            "WB-E-011", "Labels name rows by an id that the file has not.", f"{side} file"
        )
    numbered = pl.DataFrame({"id": ids}).with_row_index().drop_nulls("id").filter(pl.col("id").is_unique())
    return numbered.select("id", pl.format(f"{mark}:{{}}", "index").alias("record"))


def peak_mb() -> float:
    """Return the most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1024 / (1024 if sys.platform == "darwin" else 1), 1)
