"""What the page prints of measures: those of an extract of all measures, made coarser.

The page is published, so its measures are made as a release's are: protected as one system, then attacked together with
every release of the site. What it prints is written down for the releases of its day that come after it.

Source: 34 CFR 99.31(b)(1), "whether through single or multiple releases".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from wellbridge.etl.store import Store
from wellbridge.pipelines.extract_definitions import AGGREGATE, ExtractDefinition
from wellbridge.pipelines.extract_tables import DataFile, Hide, aggregate_files
from wellbridge.pipelines.kept_releases import check_kept
from wellbridge.pipelines.measures.measure import PERSON_DIMENSIONS, Kind
from wellbridge.pipelines.measures.registry import MEASURES
from wellbridge.pipelines.policy.release import Limits
from wellbridge.pipelines.reduced import protected
from wellbridge.pipelines.release_history import PAGE, beside_earlier, remember_page
from wellbridge.pipelines.report import words
from wellbridge.privacy.rules.practice import Practice
from wellbridge.privacy.tables.published_shares import COLUMNS, HIDDEN
from wellbridge.privacy.tables.shares import KEY
from wellbridge.schemas.errors import PrivacyError

_OWN: Final = tuple(dict.fromkeys(m.own_dimension for m in MEASURES.values() if m.own_dimension is not None))
_PAGE: Final = ExtractDefinition(
    id=PAGE,
    title="The page for the district's lead",
    kind=AGGREGATE,
    agreement="",
    measures=tuple(MEASURES),
    dimensions=(*PERSON_DIMENSIONS, *(name for name in _OWN if name not in PERSON_DIMENSIONS)),
)


@dataclass(frozen=True)
class ShownMeasures:
    """What the page prints of measures.

    Attributes:
        values: a row for every row of ``measure_value``: ``COLUMNS`` of a release's measures, nothing where hidden.
        files: the same as a release would hold it; none where no measure may be shown.
        limits: the least cell.
    """

    values: pl.DataFrame
    files: tuple[DataFile, ...]
    limits: Limits

    def remember(self, out_dir: Path) -> None:
        """Write down what is about to be printed, so that releases are attacked beside it."""
        if self.files:
            remember_page(out_dir, self.limits, [_printed(file) for file in self.files])


def shown_measures(
    store: Store, as_of: date, min_n: int, asked: Practice, out_dir: Path | None = None
) -> ShownMeasures:
    """Protect all measures for the page.

    Args:
        store: the warehouse.
        as_of: the day the measures stand on.
        min_n: the page's minimum cell; a measure's own where it is greater.
        asked: ranges of shares, and whether they stand alone.
        out_dir: the folder of the site's releases; without, the page is not seen beside any.

    Where all breakdowns together cannot be protected, the page has fewer of them; at last nothing.

    Raises:
        PrivacyError: WB-E-048 when an earlier release is not whole.
    """
    if out_dir is not None:
        check_kept(store, out_dir)
    limits = Limits(max(min_n, *(measure.min_n for measure in MEASURES.values())), 0)
    keys = store.frame("SELECT measure_id, period, dimension, member FROM measure_value").sort(KEY)
    files = _protected(store, as_of, limits, asked, out_dir) if keys.height else []
    found = files[0].frame if files else pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))
    values = keys.join(found, on=KEY, how="left", maintain_order="left")
    return ShownMeasures(values.with_columns(pl.col("shown").fill_null(HIDDEN)), tuple(files), limits)


def _printed(file: DataFile) -> DataFile:
    """Return the measures in the page's tens and whole percents; more is not out."""
    rows = file.frame.select("measure_id", "denominator", "value").iter_rows()
    printed = [(None if size is None else words.tens(size), _printed_value(name, value)) for name, size, value in rows]
    schema = {"denominator": pl.Int64, "value": pl.Float64}
    frame = file.frame.with_columns(pl.DataFrame(printed, schema=schema, orient="row").get_columns())
    return replace(file, frame=frame, facts={**file.facts, "in_tens": True})


def _printed_value(measure_id: str, value: float | None) -> float | None:
    measure = MEASURES[measure_id]
    if value is None:
        return None
    size = words.rounded(measure, value)
    return round(size / 100, 2) if measure.kind is Kind.PROPORTION else size


def _protected(
    store: Store, as_of: date, limits: Limits, asked: Practice, out_dir: Path | None
) -> list[DataFile]:
    """Return the measures with as many breakdowns as can be protected; nothing where none can."""

    def made(definition: ExtractDefinition) -> list[DataFile]:
        def make(hide: Hide) -> list[DataFile]:
            return aggregate_files(store, definition, as_of, limits.min_cell, asked, hide)

        return make({}) if out_dir is None else beside_earlier(out_dir, PAGE, limits, make)

    try:
        return protected(_PAGE, made)[0]
    except PrivacyError as error:
        if error.code != "WB-E-042":
            raise
    return []
