from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from wellbridge.etl.parsing import Split, parse
from wellbridge.etl.reading import Chunk, Deferred, Delivery, Refused
from wellbridge.etl.validation import validate
from wellbridge.pipelines.sources.partners import SOURCES, sent_headers
from wellbridge.privacy.policy import deidentify
from wellbridge.schemas.classes import PrivacyClass
from wellbridge.schemas.contract import CONTRACTS
from wellbridge.schemas.warehouse import METADATA

FILES = {
    "case_management/cases": "student_id,case_id,opened_date,closed_date,goal_domain,status,agency",
    "case_management/tiers": "student_id,tier,start_date,end_date,reason,provider_side",
    "case_management/services": "service_id,student_id,service_date,minutes,category,modality,provider",
    "case_management/reentry": "plan_id,student_id,discharge_date,meeting_date",
    "out_of_school/enrolment": "student_id,program_code,school_id,start_date,end_date",
    "out_of_school/attendance": "student_id,program_code,date,hours,activity",
    "telehealth/referrals": "referral_id,student_id,first_name,last_name,birth_date,reason,referred_date,"
                            "status,status_date,first_session_date,session_minutes",
    "handle_with_care/notices": "notice_id,first_name,last_name,birth_date,school_id,notice_time,"
                                "response_time,response_kind",
    "staff_training/sessions": "staff_id,session_id,session_date,topic,hours,ceus",
    "needs_assessment/answers": "assessment_id,student_id,date,domain,level,is_met",
}
GOOD = {
    "case_management/cases": "007,C1,2026-09-01,2026-12-01,attendance,closed,CIS",
    "case_management/tiers": "007,2,2026-09-01,,screening,school",
    "case_management/services": "V1,007,2026-09-01,45,counseling,in_person,CIS",
    "case_management/reentry": "P1,007,2026-09-01,2026-09-04",
    "out_of_school/enrolment": "007,ART,S01,2026-09-01,",
    "out_of_school/attendance": "007,ART,2026-09-01,2.5,arts",
    "telehealth/referrals": "R1,007,Ann,Lee,2012-05-06,anxiety,2026-09-01,in_service,2026-09-09,"
                            "2026-09-09,50",
    "handle_with_care/notices": "N1,Ann,Lee,2012-05-06,S01,2026-09-01T22:10:00-05:00,"
                                "2026-09-02T08:00:00-05:00,check_in",
    "staff_training/sessions": "T9,X1,2026-09-01,trauma_informed,6,0.6",
    "needs_assessment/answers": "A1,007,2026-09-01,food,2,no",
}


def deliver(folder: Path, stream: str, *lines: str, header: str | None = None) -> tuple[str, Delivery]:
    kind, _, name = stream.partition("/")
    path = folder / f"{name}_2026-09-01.csv"
    path.write_text("\n".join([header or FILES[stream], *lines]) + "\n", encoding="utf-8")
    return kind, Delivery(feed=kind, name=path.name, stream=name, batch_id="0", files={path.name: path},
                          period_start=date(2026, 9, 1), period_end=date(2026, 9, 1))


def read(folder: Path, stream: str, *lines: str, settings: dict[str, Any] | None = None,
         header: str | None = None) -> Chunk:
    kind, delivery = deliver(folder, stream, *lines, header=header)
    (chunk,) = SOURCES[kind].read(delivery, settings or {})
    return chunk


def taken(folder: Path, stream: str, *lines: str, **more: Any) -> Split:
    chunk = read(folder, stream, *lines, **more)
    contract = CONTRACTS[stream.replace("/", ".")]
    return validate(parse(chunk.rows, contract, (more.get("settings") or {}).get("codes")), contract)


def faults(split: Split) -> set[tuple[str | None, str]]:
    return {(row["column"], row["rule"]) for row in split.held.to_dicts()}


@pytest.mark.parametrize("stream", FILES)
def test_a_good_row_is_kept_whole(tmp_path: Path, stream: str) -> None:
    split = taken(tmp_path, stream, GOOD[stream])
    assert (split.kept.height, split.held.height) == (1, 0)
    assert split.kept["_row"].to_list() == [2]


@pytest.mark.parametrize("stream", FILES)
def test_the_file_must_have_exactly_the_documented_header(tmp_path: Path, stream: str) -> None:
    assert sorted(sent_headers(CONTRACTS[stream.replace("/", ".")])) == sorted(FILES[stream].split(","))
    place = f"column {len(FILES[stream].split(',')) + 1}"
    with pytest.raises(Refused) as refused:
        read(tmp_path, stream, GOOD[stream] + ",x", header=FILES[stream] + ",extra")
    assert (refused.value.rule, refused.value.columns, refused.value.rows) == ("WB-D-003", (place,), 1)


@pytest.mark.parametrize(("stream", "cell", "bad", "fault"), [
    ("case_management/cases", "2026-12-01", "2026-08-01", (None, "WB-R-032")),
    ("case_management/cases", "attendance", "bingo", ("goal_domain", "WB-R-020")),
    ("case_management/cases", "C1", "", ("case_id", "WB-R-010")),
    ("case_management/tiers", ",2,", ",4,", ("tier", "WB-R-021")),
    ("case_management/tiers", ",2,", ",0,", ("tier", "WB-R-021")),
    ("case_management/tiers", "2026-09-01,,", "2026-09-01,2026-08-01,", (None, "WB-R-032")),
    ("case_management/services", ",45,", ",481,", ("minutes", "WB-R-021")),
    ("case_management/services", ",45,", ",0,", ("minutes", "WB-R-021")),
    ("case_management/services", "2026-09-01", "2026-09-31", ("event_date", "WB-R-011")),
    ("case_management/reentry", "2026-09-04", "2026-08-31", (None, "WB-R-032")),
    ("out_of_school/enrolment", "2026-09-01,", "2026-09-01,2026-08-31", (None, "WB-R-032")),
    ("out_of_school/attendance", "2.5", "0", ("hours", "WB-R-021")),
    ("out_of_school/attendance", "2.5", "12.5", ("hours", "WB-R-021")),
    ("out_of_school/attendance", "2.5", "two", ("hours", "WB-R-012")),
    ("telehealth/referrals", "in_service,2026-09-09", "in_service,2026-08-09", (None, "WB-R-032")),
    ("telehealth/referrals", "2026-09-09,50", "2026-08-31,50", (None, "WB-R-032")),
    ("telehealth/referrals", "anxiety", "spleen", ("reason", "WB-R-020")),
    ("handle_with_care/notices", "2026-09-02T08", "2026-09-01T08", (None, "WB-R-032")),
    ("handle_with_care/notices", "22:10:00-05:00", "22:10:00", ("notice_time", "WB-R-011")),
    ("staff_training/sessions", ",6,", ",60,", ("hours", "WB-R-021")),
    ("staff_training/sessions", "0.6", "-1", ("ceus", "WB-R-021")),
    ("needs_assessment/answers", "food,2", "food,4", ("level", "WB-R-021")),
    ("needs_assessment/answers", ",no", ",perhaps", ("is_met", "WB-R-013")),
    ("needs_assessment/answers", "A1", "", ("assessment_id", "WB-R-010")),
])
def test_a_bad_cell_holds_its_row_under_its_rule_and_no_other_row(
        tmp_path: Path, stream: str, cell: str, bad: str, fault: tuple[str | None, str]) -> None:
    spoilt = GOOD[stream].replace(cell, bad, 1)
    assert spoilt != GOOD[stream]
    split = taken(tmp_path, stream, spoilt, GOOD[stream])
    assert faults(split) == {fault}
    assert split.kept["_row"].to_list() == [3]


def test_a_ragged_row_is_held_by_the_reader_and_counted(tmp_path: Path) -> None:
    stream = "staff_training/sessions"
    chunk = read(tmp_path, stream, GOOD[stream], "T9,X2,2026-09-01")
    assert chunk.read == 2
    assert chunk.held.select("_row", "rule").rows() == [(3, "WB-R-001")]


def test_a_file_of_no_known_stream_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gossip_2026-09-01.csv"
    path.write_text("a\n1\n")
    delivery = Delivery("case_management", path.name, "gossip", "0", files={path.name: path})
    with pytest.raises(Refused, match="WB-D-006"):
        list(SOURCES["case_management"].read(delivery, {}))


def test_a_file_that_stops_in_a_line_waits(tmp_path: Path) -> None:
    kind, delivery = deliver(tmp_path, "needs_assessment/answers", GOOD["needs_assessment/answers"])
    SOURCES[kind].check(delivery, {})
    (path,) = delivery.files.values()
    path.write_text(path.read_text().rstrip("\n"))
    with pytest.raises(Deferred, match="WB-D-002"):
        SOURCES[kind].check(delivery, {})


def test_renamed_headers_are_taken_where_the_feed_maps_them(tmp_path: Path) -> None:
    stream = "staff_training/sessions"
    theirs = FILES[stream].replace("staff_id", "Employee No").replace("hours", "Contact Hours")
    with pytest.raises(Refused, match="WB-D-003"):
        read(tmp_path, stream, GOOD[stream], header=theirs)
    rename = {"rename": {"Employee No": "staff_id", "Contact Hours": "hours"}}
    kept = taken(tmp_path, stream, GOOD[stream], header=theirs, settings=rename).kept
    assert kept.select("staff_id", "hours").rows() == [("T9", 6.0)]


def test_local_codes_are_taken_where_the_feed_maps_them(tmp_path: Path) -> None:
    stream = "out_of_school/attendance"
    line = GOOD[stream].replace("arts", "Fine Arts")
    assert faults(taken(tmp_path, stream, line)) == {("activity", "WB-R-020")}
    mapped = taken(tmp_path, stream, line, settings={"codes": {"activity": {"Fine Arts": "arts"}}})
    assert mapped.kept["activity"].to_list() == ["arts"]


def test_each_notice_brings_one_child_with_traits_to_be_found_by(tmp_path: Path) -> None:
    kept = taken(tmp_path, "handle_with_care/notices", GOOD["handle_with_care/notices"]).kept
    assert kept.select("notice_id", "child_id").rows() == [("N1", "N1")]
    columns = CONTRACTS["handle_with_care.notices"].columns
    assert columns["child_id"].ids == "client"
    assert columns["child_id"].defines
    assert {c.trait for c in columns.values() if c.trait} == {"first_name", "last_name", "birth_date"}


def test_an_assessment_gives_one_need_per_domain(tmp_path: Path) -> None:
    other = GOOD["needs_assessment/answers"].replace("food", " Housing ")
    kept = taken(tmp_path, "needs_assessment/answers", GOOD["needs_assessment/answers"], other).kept
    assert kept["need_id"].to_list() == ["A1/food", "A1/housing"]
    assert kept["is_met"].to_list() == [False, False]


def keyed(split: Split, stream: str) -> pl.DataFrame:
    """What the walk makes of kept rows: keys beside identifiers, and identifiers gone."""
    contract = CONTRACTS[stream.replace("/", ".")]
    keys = [pl.col(c.name).alias(c.key_name) for c in contract.columns.values() if c.ids]
    frame = split.kept.with_row_index("_id").with_columns(*keys, pl.lit("p").alias("person_key"))
    return deidentify(frame, contract)


def test_a_referral_becomes_a_referral_a_status_and_once_there_is_one_a_session(tmp_path: Path) -> None:
    stream = "telehealth/referrals"
    waiting = "R2,008,Bo,Ray,2012-05-06,trauma,2026-09-01,referred,2026-09-01,,"
    frames = SOURCES["telehealth"].resources["referrals"].shape(  # type: ignore[misc]
        keyed(taken(tmp_path, stream, GOOD[stream], waiting), stream))
    assert frames["referral"].select("referral_key", "event_date", "referral_type", "provider").rows() == [
        ("R1", date(2026, 9, 1), "anxiety", "telehealth"), ("R2", date(2026, 9, 1), "trauma", "telehealth")]
    assert frames["referral_status"].select("referral_key", "status", "status_date").rows() == [
        ("R1", "in_service", date(2026, 9, 9)), ("R2", "referred", date(2026, 9, 1))]
    session = frames["service_encounter"]
    assert session.select("encounter_key", "referral_key", "event_date", "minutes").rows() == [
        ("R1", "R1", date(2026, 9, 9), 50.0)]
    assert all("_id" in frame.columns for frame in frames.values())


@pytest.mark.parametrize("stream", FILES)
def test_what_reaches_the_warehouse_names_no_child(tmp_path: Path, stream: str) -> None:
    frame = keyed(taken(tmp_path, stream, GOOD[stream]), stream)
    contract = CONTRACTS[stream.replace("/", ".")]
    direct = {c.name for c in contract.columns.values() if c.privacy is PrivacyClass.DIRECT}
    assert not direct & set(frame.columns)
    assert "birth_date" not in frame.columns


@pytest.mark.parametrize("stream", [name for name in FILES if not name.startswith("telehealth")])
def test_a_row_fills_its_table_but_for_the_columns_of_other_sources(tmp_path: Path, stream: str) -> None:
    kind, _, name = stream.partition("/")
    table = METADATA.tables[str(SOURCES[kind].resources[name].table)]
    frame = keyed(taken(tmp_path, stream, GOOD[stream]), stream)
    others = {"referral_key"} if table.name == "service_encounter" else set()
    assert set(table.columns.keys()) - {"version", "batch_id"} - set(frame.columns) == others


def test_staff_records_are_not_reached_by_a_familys_opt_out_and_childrens_are() -> None:
    assert {kind for kind, source in SOURCES.items() if not source.is_partner} == {"staff_training"}
