"""Writes what the benchmark's night reads: a roster as Ed-Fi pages and a term of daily attendance as SIS CSV.

Run by itself, so that its memory is not counted to anybody: ``python bench/attendance.py DIR ROWS``.
"""

from __future__ import annotations

import json
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

DAYS: Final = 50  # school days of one file, as in the measurements this follows
FIRST_DAY: Final = date(2026, 8, 17)
ROSTER_DAY: Final = "2026-08-14"
PAGE: Final = 10_000  # students of one API page
BLOCK: Final = 1_000_000  # rows written at once
ONE_IN: Final = 1_400  # rows between two of one kind of defect; seven kinds make 0.5 % of the rows
HEADER: Final = ("Student ID", "School", "Date", "Status", "Minutes Absent")
# Column and what stands there instead: bad date, unknown code, missing code, no number, out of range, orphan.
DEFECTS: Final = (
    ("Date", "2026-09-31"),
    ("Status", "X"),
    ("Status", None),
    ("Minutes Absent", "all day"),
    ("Minutes Absent", "99999"),
    ("Student ID", "99999999"),
)


def school_days() -> list[date]:
    """Return the file's school days: Mondays to Fridays."""
    days = (FIRST_DAY + timedelta(days=n) for n in range(2 * DAYS))
    return [day for day in days if day.weekday() < 5][:DAYS]


def file_name() -> str:
    """Return the name of the attendance file, which states its period."""
    days = school_days()
    return f"attendance_{days[0]}_{days[-1]}.csv"


def student_ids(count: int) -> list[str]:
    """Return district student numbers with leading zeros."""
    return [f"{number:08d}" for number in range(1, count + 1)]


def write_roster(folder: Path, ids: list[str]) -> None:
    """Write students as Ed-Fi pages of one pull."""
    pull = folder / f"edfi_{ROSTER_DAY}"
    (pull / "students").mkdir(parents=True)
    members = []
    for start in range(0, len(ids), PAGE):
        path = f"students/page-{start // PAGE + 1:04d}.json"
        page = [_student(student_id) for student_id in ids[start : start + PAGE]]
        (pull / path).write_text(json.dumps(page), encoding="utf-8")
        members.append({"path": path, "rows": len(page)})
    manifest = {"period": ROSTER_DAY, "minChangeVersion": 0, "maxChangeVersion": len(ids), "members": members}
    (pull / "pull.json").write_text(json.dumps(manifest), encoding="utf-8")


def _student(student_id: str) -> dict[str, str]:
    number = int(student_id)
    born = date(2008, 1, 1) + timedelta(days=number * 7 % 4000)
    return {
        "id": f"{number:032x}",
        "studentUniqueId": student_id,
        "firstName": f"First{number}",
        "lastSurname": f"Last{number}",
        "birthDate": born.isoformat(),
        "_lastModifiedDate": f"{ROSTER_DAY}T00:00:00Z",
    }


def write_attendance(path: Path, ids: list[str], rows: int, seed: int = 1) -> None:
    """Write exactly ``rows`` records, some of each kind of defect and some ragged ones among them."""
    with path.open("wb") as file:
        file.write((",".join(HEADER) + "\n").encode())
        for start in range(0, rows, BLOCK):
            block = _block(ids, start, min(rows, start + BLOCK), np.random.default_rng([seed, start]))
            is_ragged = pl.Series(np.arange(start, start + block.height) % ONE_IN == len(DEFECTS))
            block.filter(~is_ragged).write_csv(file, include_header=False)
            block.filter(is_ragged).select(HEADER[:-1]).write_csv(file, include_header=False)


def _block(ids: list[str], start: int, stop: int, rng: np.random.Generator) -> pl.DataFrame:
    at = np.arange(start, stop)
    student, day = at // DAYS, at % DAYS
    status = rng.choice(
        np.array(["P", "A", "E", "T", "H"], dtype=object), len(at), p=[0.9, 0.04, 0.03, 0.02, 0.01]
    )
    frame = pl.DataFrame(
        {
            "Student ID": pl.Series(ids).gather(student),
            "School": pl.Series([f"S{n:02d}" for n in range(1, 21)]).gather(student % 20),
            "Date": pl.Series(school_days()).gather(day).cast(pl.String),
            "Status": pl.Series(status, dtype=pl.String),
            "Minutes Absent": pl.Series(np.where(status == "P", "0", "195"), dtype=pl.String),
        }
    )
    for kind, (column, wrong) in enumerate(DEFECTS):
        is_wrong = pl.Series(at % ONE_IN == kind)
        frame = frame.with_columns(
            pl.when(is_wrong).then(pl.lit(wrong, pl.String)).otherwise(pl.col(column)).alias(column)
        )
    return frame


def defective(rows: int) -> int:
    """Return how many of ``rows`` rows are defective."""
    whole, rest = divmod(rows, ONE_IN)
    return whole * (len(DEFECTS) + 1) + min(rest, len(DEFECTS) + 1)


def main(folder: Path, rows: int) -> None:
    """Write both feeds into ``folder``."""
    ids = student_ids(-(-rows // DAYS))
    write_roster(folder / "edfi", ids)
    (folder / "sis").mkdir(parents=True)
    write_attendance(folder / "sis" / file_name(), ids, rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
