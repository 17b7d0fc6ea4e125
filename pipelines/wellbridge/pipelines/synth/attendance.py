"""Daily attendance: one status a student and day, in the SIS file or, for two schools, as Ed-Fi events.

Statuses are made for a whole block at once; no Python touches a single student-day but the defects.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wellbridge.pipelines.synth.district import HISTORY_DAYS, Plan
from wellbridge.pipelines.synth.stream import Flaw, Layout, Stream
from wellbridge.pipelines.synth.truth import Truth
from wellbridge.pipelines.synth.writing import CsvFile

_STATUS: Final = np.array(["P", "A", "E", "T", "H"], dtype=object)
_HALVES: Final = np.array([0, 2, 2, 0, 1])  # half days absent
_MINUTES: Final = np.array(["0", "390", "390", "15", "195"], dtype=object)
_HEADER: Final = ("Student ID", "School", "Date", "Status", "Minutes Absent")
_QUOTED_HEADER: Final = ",".join(f"'{name}'" for name in _HEADER)

_FLAWS: Final = (
    Flaw("WB-R-011", "Date", "2026-09-31"),
    Flaw("WB-R-014", "Date", "0206-09-10"),
    Flaw("WB-R-020", "Status", "X"),
    Flaw("WB-R-031", "Student ID", how="stranger", salt=6),
    Flaw("WB-R-030", "Status", "E", how="again"),
    Flaw("WB-R-001", how="ragged"),
    Flaw("WB-R-002", "Status", how="bytes"),
    Flaw("WB-R-010", "Status", "NULL"),
    Flaw("WB-R-012", "Minutes Absent", "all day"),
    Flaw("WB-R-021", "Minutes Absent", "99999"),
    Flaw("WB-R-033", "Date", "2026-06-02"),
)
LAYOUT: Final = Layout(
    "sis",
    "attendance",
    _HEADER,
    _FLAWS,
    is_range=True,
    has_sidecar=False,
    is_partner=False,
    quote="always",
    header_line=_QUOTED_HEADER,
)
RESTATED_NIGHT: Final = 2  # whose file is restated a night later


class Attendance:
    """Writes the SIS attendance files and hands the events of the Ed-Fi schools to their writer."""

    def __init__(self, plan: Plan, truth: Truth) -> None:
        self.plan, self.truth = plan, truth
        self.stream = Stream(plan, truth, LAYOUT)
        self.restated = self._restated() if plan.nights > RESTATED_NIGHT else None

    def _restated(self) -> CsvFile:
        name = LAYOUT.name(self.plan.day(RESTATED_NIGHT) + "_r2")
        self.truth.delivery(RESTATED_NIGHT + 1, "sis", name, "", "restates the file of the night before")
        path = self.plan.folder(RESTATED_NIGHT + 1, "sis") / name
        return CsvFile(path, _HEADER, quote="always", header_line=_QUOTED_HEADER)

    def block(self, people: pl.DataFrame, block: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Write a block's SIS rows.

        Returns:
            Days and half days absent by person and side (``value`` or ``delivered``) of the SIS schools,
            and the
            student-days of the Ed-Fi schools.
        """
        days = student_days(self.plan, people, self.plan.rng(block, "attendance"))
        is_edfi = pl.col("school").is_in(sorted(self.plan.edfi_schools))
        sums = []
        for night in range(1, self.plan.nights + 1):
            rows = _text(days.filter(~is_edfi, pl.col("night") == night))
            first = rows
            if self.restated and night == RESTATED_NIGHT:
                first = _mistaken(rows, self.plan.rng(block, "mistaken"))
                self.restated.rows(rows)
                self.truth.count("sis", "attendance", "read", rows.height)
            sums += day_sums(self.stream.put(night, first, block), rows["halves"])
        return pl.concat(sums), days.filter(is_edfi)

    def close(self) -> None:
        """End the files."""
        self.stream.close()
        if self.restated:
            self.restated.close()


def student_days(plan: Plan, people: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Return a row for each child and instructional day: person, school, date, night and status."""
    nights = np.maximum(1, np.arange(len(plan.days)) - HISTORY_DAYS + 2)
    enrolled = (people["from_night"].to_numpy()[:, None] <= nights) & (
        nights <= people["to_night"].to_numpy()[:, None]
    )
    row, column = np.nonzero(enrolled)
    moved = people["move_night"].to_numpy()[row]
    new, old = people["new_school"].to_numpy()[row], people["school"].to_numpy()[row]
    school = np.where((moved > 0) & (nights[column] >= moved), new, old)
    return pl.DataFrame(
        {
            "at": row,
            "school": school,
            "day": column,
            "night": nights[column],
            "status": _statuses(rng, row, column, people.height, np.isin(school, sorted(plan.edfi_schools))),
            "index": people["index"].to_numpy()[row],
            "student_number": people["student_number"].gather(row),
            "date": pl.Series(plan.days, dtype=pl.Date).gather(column),
        }
    )


def _statuses(
    rng: np.random.Generator,
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    count: int,
    is_edfi: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Draw statuses; one child in seven is absent often. Ed-Fi's events here know no half days."""
    often = rng.random(count) < 0.15
    rate = np.where(often, rng.uniform(0.08, 0.3, count), rng.beta(1.2, 40, count))[row]
    draw, kind = rng.random(len(row)), rng.random(len(row))
    status = np.where(draw < rate, np.where(kind < 0.45, 1, np.where(kind < 0.9, 2, 4)), 0)
    status = np.where((status == 0) & (draw > 0.975), 3, status)
    plain: NDArray[np.int64] = np.where(is_edfi & (status == 4), 1, status)
    return plain


def _text(days: pl.DataFrame) -> pl.DataFrame:
    """Return the SIS columns as text, dates in the three forms that one export mixes."""
    status = days["status"].to_numpy()
    day = pl.col("date")
    noon = (day.cast(pl.Datetime("ms")) + pl.duration(hours=12)).dt.epoch("ms").cast(pl.String)
    form = (pl.col("index") + pl.col("day")) % 10
    date_text = (
        pl.when(form < 7)
        .then(day.dt.strftime("%Y-%m-%d"))
        .when(form < 9)
        .then(day.dt.strftime("%m/%d/%Y"))
        .otherwise(noon)
    )
    present = pl.Series(status == 0) & (days["index"] % 5 == 0)
    return days.select(
        "index",
        pl.col("student_number").alias("Student ID"),
        ("S" + pl.col("school").cast(pl.String).str.zfill(2)).alias("School"),
        date_text.alias("Date"),
        pl.Series("Status", _STATUS[status], dtype=pl.String),
        pl.when(present)
        .then(pl.lit("NULL"))
        .otherwise(pl.Series(_MINUTES[status], dtype=pl.String))
        .alias("Minutes Absent"),
        pl.Series("halves", _HALVES[status]),
    )


def _mistaken(rows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Return the rows as first sent: one present child in 200, and the first one, is wrongly marked absent.

    At least one, because a restated file with the same bytes would be the same delivery.
    """
    present = rows["Status"] == "P"
    wrong = present & (pl.Series(rng.random(rows.height) < 0.005) | (present.cum_sum() == 1))
    return rows.with_columns(pl.when(wrong).then(pl.lit("A")).otherwise("Status").alias("Status"))


def day_sums(rows: pl.DataFrame, halves: pl.Series) -> list[pl.DataFrame]:
    """Return days and half days absent by person, once of all rows and once of those kept."""
    rows = rows.with_columns(halves.alias("halves"))
    sums = (pl.len().cast(pl.Int64).alias("days"), pl.col("halves").sum())
    return [
        frame.group_by("index", maintain_order=True).agg(*sums).with_columns(pl.lit(side).alias("side"))
        for side, frame in (("value", rows), ("delivered", rows.filter("kept")))
    ]
