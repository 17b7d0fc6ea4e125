"""SIS exports: the Aspen dialect, its dates and codes, and families' opt-outs."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from school_files import (
    REAL,
    checked,
    counts,
    delivery,
    held,
    is_row_by_row_and_keyed,
    needs_real_files,
    one,
    read,
    shaped,
)
from wellbridge.etl.reading import Chunk, Deferred, Refused
from wellbridge.pipelines.sources.source import CONSENT, source

DAY = date(2026, 10, 19)
HEADER = "'Student ID','School','Date','Status','Minutes Absent'"
OPT_OUT = "student_id,scope,effective_date,withdrawn_date"


def taken(
    folder: Path, *lines: str, stream: str = "attendance", settings: dict[str, Any] | None = None
) -> Chunk:
    path = folder / f"{stream}_2026-10-19.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return one(read("sis", delivery(path, DAY, stream), settings), stream)


@pytest.mark.parametrize("header", [HEADER, HEADER.replace("'", '"'), HEADER.replace("'", "")])
def test_the_header_may_be_quoted_either_way_or_not_at_all(tmp_path: Path, header: str) -> None:
    chunk = taken(tmp_path, header, '"007","S01","2026-10-19","P","NULL"')
    assert chunk.rows.drop("_file", "_row").row(0) == ("007", "S01", "2026-10-19", "P", None)
    assert chunk.rows["_row"].to_list() == [2]


def test_quotes_escaped_by_backslashes_do_not_end_a_cell(tmp_path: Path) -> None:
    chunk = taken(
        tmp_path, HEADER, r'"00\"7","S01","2026-10-19","P","0"', r'"008","S\\","2026-10-19","P","0"'
    )
    assert chunk.held.height == 0
    assert chunk.rows.select("Student ID", "School").rows() == [('00"7', "S01"), ("008", "S\\")]


def test_dates_come_in_three_forms_in_one_file(tmp_path: Path) -> None:
    forms = ("2026-10-19", "10/19/2026", "1/5/2026", "1792411200000")
    chunk = taken(tmp_path, HEADER, *(f'"007","S01","{form}","P","0"' for form in forms))
    split = checked(source("sis"), chunk)
    assert split.kept["event_date"].to_list() == [DAY, DAY, date(2026, 1, 5), DAY]


@pytest.mark.parametrize(
    ("code", "status", "fraction"),
    [
        ("P", "present", 0.0),
        ("A", "unexcused", 1.0),
        ("e", "excused", 1.0),
        ("T", "tardy", 0.0),
        ("H", "half_day", 0.5),
    ],
)
def test_a_code_becomes_a_status_and_a_share_of_the_day(
    tmp_path: Path, code: str, status: str, fraction: float
) -> None:
    frames = shaped(source("sis"), taken(tmp_path, HEADER, f'"007","S01","2026-10-19","{code}","390"'))
    assert is_row_by_row_and_keyed(frames)
    row = frames["attendance"].row(0, named=True)
    assert (row["status"], row["absent_fraction"], row["event_kind"]) == (status, fraction, "daily")
    assert (row["subject_key"], row["school_id"], row["event_date"]) == ("007", "S01", DAY)


@pytest.mark.parametrize(
    ("line", "column", "rule"),
    [
        ('"NULL","S01","2026-10-19","P","0"', "student_id", "WB-R-010"),
        ('"007","S01","nodate","P","0"', "event_date", "WB-R-011"),
        ('"007","S01","0206-10-19","P","0"', "event_date", "WB-R-014"),
        ('"007","S01","2026-10-19","X","0"', "status", "WB-R-020"),
        ('"007","S01","2026-10-19","A","all day"', "minutes_absent", "WB-R-012"),
        ('"007","S01","2026-10-19","A","1441"', "minutes_absent", "WB-R-021"),
    ],
)
def test_a_cell_that_cannot_be_meant_holds_its_row(tmp_path: Path, line: str, column: str, rule: str) -> None:
    split = checked(source("sis"), taken(tmp_path, HEADER, line))
    assert split.held.select("column", "rule").rows() == [(column, rule)]
    assert split.kept.height == 0


def test_a_ragged_row_is_held_and_the_next_one_is_read(tmp_path: Path) -> None:
    chunk = taken(tmp_path, HEADER, '"007","S01"', '"008","S01","2026-10-19","P","0"')
    assert held([chunk]) == [("attendance_2026-10-19.csv", 2, None, "WB-R-001")]
    assert chunk.rows["Student ID"].to_list() == ["008"]
    assert chunk.read == 2


def test_the_feed_renames_headers_and_says_which_others_there_are(tmp_path: Path) -> None:
    settings = {"rename": {"sid": "Student ID", "day": "Date"}, "extra": ["Period"], "separator": ";"}
    chunk = taken(tmp_path, "sid;School;day;Status;Period", "007;S01;2026-10-19;P;3", settings=settings)
    assert checked(source("sis"), chunk).kept["student_id"].to_list() == ["007"]


@needs_real_files
def test_a_real_attendance_export_is_read_with_its_headers_renamed(tmp_path: Path) -> None:
    path = tmp_path / "attendance_2026-10-19.csv"
    # As published its last line has no end, which without a sidecar means: still uploading.
    path.write_bytes((REAL / "sis/oea_contoso/batch2_studentattendance.csv").read_bytes() + b"\n")
    settings = {
        "rename": {
            "student_id": "Student ID",
            "school_id": "School",
            "attendance_date": "Date",
            "AttendanceCode": "Status",
        },
        "extra": ["*"],
    }
    chunks = read("sis", delivery(path, DAY, "attendance"), settings)
    assert counts(chunks) == {"attendance": 20}
    assert held(chunks) == []
    split = checked(source("sis"), one(chunks, "attendance"))
    assert split.held.height == 0
    assert split.kept["event_date"].max() == date(2020, 9, 2)


@needs_real_files
def test_a_real_aspen_export_reads_row_by_row_in_its_dialect() -> None:
    path = REAL / "sis/studentinsights/attendance_dump.csv"
    settings = {
        "rename": {
            "ATT_STD_OID": "Student ID",
            "ATT_SKL_OID": "School",
            "ATT_DATE": "Date",
            "ATT_CODE_VIEW": "Status",
        },
        "extra": ["ATT_*"],
    }
    chunks = read("sis", delivery(path, DAY, "attendance"), settings)
    assert counts(chunks) == {"attendance": 3 - 1}
    assert held(chunks) == []
    assert checked(source("sis"), one(chunks, "attendance")).held["rule"].unique().to_list() == ["WB-R-020"]


@pytest.mark.parametrize(
    ("rule", "stream", "header"),
    [
        ("WB-D-003", "attendance", HEADER.replace("Status", "Code")),
        ("WB-D-003", "optout", OPT_OUT + ",reason"),
        ("WB-D-006", "grades", HEADER),
    ],
)
def test_a_file_of_another_name_or_header_is_refused(
    tmp_path: Path, rule: str, stream: str, header: str
) -> None:
    with pytest.raises(Refused) as refused:
        taken(tmp_path, header, stream=stream)
    assert refused.value.rule == rule


def test_a_file_that_stops_in_the_middle_of_a_line_is_deferred_unless_a_sidecar_says_it_is_whole(
    tmp_path: Path,
) -> None:
    path = tmp_path / "optout_2026-10-19.csv"
    path.write_bytes(f"{OPT_OUT}\n007,all,2026-10-01,".encode())
    with pytest.raises(Deferred):
        read("sis", delivery(path, DAY, "optout"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "optout_2026-10-19.csv.done").write_text(
        f"{digest}  {path.stat().st_size}\n", encoding="utf-8"
    )
    (chunk,) = source("sis").read(delivery(path, DAY, "optout"), {})
    assert chunk.rows.height == 1


def test_an_opt_out_becomes_a_decision_for_the_vault(tmp_path: Path) -> None:
    chunk = taken(
        tmp_path, OPT_OUT, "007,partners,2026-10-01,", "008,ALL,2026-09-01,2026-10-01", stream="optout"
    )
    assert source("sis").resources["optout"].decides
    decisions = shaped(source("sis"), chunk)[CONSENT]
    assert decisions.select("subject_key", "decision", "start_date", "end_date", "is_active").rows() == [
        ("007", "optout_partners", date(2026, 10, 1), None, True),
        ("008", "optout_all", date(2026, 9, 1), date(2026, 10, 1), True),
    ]


def test_an_opt_out_withdrawn_before_it_began_or_of_unknown_scope_is_held(tmp_path: Path) -> None:
    chunk = taken(tmp_path, OPT_OUT, "007,all,2026-10-02,2026-10-01", "008,some,2026-10-01,", stream="optout")
    split = checked(source("sis"), chunk)
    assert split.held.select("_row", "rule").sort("_row").rows() == [(2, "WB-R-032"), (3, "WB-R-020")]
