"""HL7 v2 deliveries: 138 sample files, trigger events, labels, time stamps, batches."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from taken_delivery import Taken, health, is_refused, shaped, take, waits

from wellbridge.etl.reading import Deferred, Refused
from wellbridge.pipelines.sources.hl7v2_values import day
from wellbridge.schemas.instruments import INSTRUMENTS

CANARY = "Zyxwvut-Canary"
PID = (
    "PID|1||H1^^^HOSP^MR~999-99-9999^^^SSA^SS||Lee^Ann||20100506|F|||1 Elm St^^Town^TX^79901||555-0100"
    "||||||999999999"
)
LOINC = {"PHQ-9": "44261-6", "GAD-7": "70274-6"}


def header(kind: str, **fields: str) -> str:
    time, mode = fields.get("time", "20261018200000-0500"), fields.get("mode", "P")
    return f"MSH|^~\\&|HOSP|H|WB|D|{time}||{kind}|C1|{mode}|2.5.1"


def fields(name: str, **values: str) -> str:
    """A segment with some fields, named ``f1`` for the first."""
    numbers = {int(key[1:]): value for key, value in values.items()}
    return "|".join([name, *(numbers.get(number, "") for number in range(1, max(numbers) + 1))])


def message(kind: str, *segments: str, **header_fields: str) -> str:
    return "\r".join([header(kind, **header_fields), PID, *segments]) + "\r"


def stay(kind: str = "ADT^A01", **visit: str) -> str:
    values = {"f2": "I", "f10": "PSY", "f19": "V1", "f44": "202610160300-0500"} | visit
    return message(kind, fields("PV1", **values))


def appointment(kind: str = "SIU^S12", **schedule: str) -> str:
    values = {"f2": "A1^HOSP", "f11": "^^^202610200900-0500", "f25": "Booked"} | schedule
    return message(kind, fields("SCH", **values))


def referral(kind: str = "REF^I12", **request: str) -> str:
    values = {"f1": "P^Pending", "f3": "Psy", "f6": "R1^HOSP", "f7": "20261016"} | request
    return message(kind, fields("RF1", **values))


def result(*results: str, order: str = "SC1^HOSP", before: str = "") -> str:
    request = fields("OBR", f3=order, f7="202610161400-0500")
    return message("ORU^R01^ORU_R01", *filter(None, [before]), request, *results)


def score(instrument: str = "PHQ-9", value: str = "12", **more: str) -> str:
    code = f"{LOINC.get(instrument, instrument)}^text^LN"
    return fields("OBX", **({"f2": "NM", "f3": code, "f5": value, "f11": "F", "f14": "20261016"} | more))


def send(path: Path, *messages: str, **settings: Any) -> Taken:
    """Write a batch with its envelope and take it."""
    file = path / "hl7_2026-10-19.hl7"
    body = "".join(messages)
    file.write_text(f"FHS|^~\\&|HOSP\rBHS|^~\\&|HOSP\r{body}BTS|{len(messages)}\rFTS|1\r", newline="")
    taken = take("hl7v2", {file.name: file}, **settings)
    assert taken.add_up()
    return taken


# -- real messages -----------------------------------------------------------------------------------------


def samples() -> list[Path]:
    return sorted(health("hl7v2").rglob("*.hl7"))


def test_every_message_of_the_sample_files_is_accounted_for() -> None:
    kept: Counter[str] = Counter()
    deleted: Counter[str] = Counter()
    held: Counter[tuple[str, str | None, str]] = Counter()
    whole: Counter[tuple[str, str]] = Counter()
    read = 0
    for path in samples():
        try:
            taken = take("hl7v2", {path.name: path}, complete="settled")
        except (Deferred, Refused) as verdict:
            whole[type(verdict).__name__, verdict.rule] += 1
            continue
        assert taken.add_up(), path.name
        read += taken.read
        kept.update(taken.counts)
        deleted.update({name: rows.height for name, rows in taken.deleted.items()})
        held.update(taken.held)
    assert len(samples()) == 138
    assert read == 137
    # A lone batch trailer, envelopes out of order; batches that were opened and never closed.
    assert whole == {("Refused", "WB-D-007"): 4, ("Deferred", "WB-D-002"): 2}
    assert kept == {"other": 85, "appointments": 13, "referrals": 4, "crises": 2}
    assert deleted == {"appointments": 2}
    # No header or message type; orders, documents, immunisations and problems have no contract.
    assert held == {("other", None, "WB-R-003"): 4, ("other", "MSH-9", "WB-R-004"): 27}


def test_message_types_that_a_feed_says_it_ignores_are_counted_instead_of_held() -> None:
    path = health("hl7v2/ms_fhir_converter/MDM-T01-02.hl7")
    taken = take("hl7v2", {path.name: path}, complete="settled", ignored_types=["MDM"])
    assert (taken.counts, taken.held_rows) == ({"other": 1}, 0)


# -- who it is about ---------------------------------------------------------------------------------------


def test_a_message_brings_its_patients_traits_and_never_the_social_security_number(tmp_path: Path) -> None:
    row = send(tmp_path, stay()).only("crises")
    assert (row["patient_id"], row["first_name"], row["last_name"]) == ("H1", "Ann", "Lee")
    assert (row["birth_date"], row["sex"], row["zip_code"]) == (date(2010, 5, 6), "female", "79901")
    assert (row["address"], row["phone"]) == ("1 Elm St", "555-0100")
    assert "999" not in str(row).replace("79901", "")


def test_the_social_security_number_is_no_patient_id_even_where_it_comes_first(tmp_path: Path) -> None:
    body = stay().replace("H1^^^HOSP^MR~999-99-9999^^^SSA^SS", "999-99-9999^^^SSA^SS~H1^^^HOSP^MR")
    assert send(tmp_path, body).only("crises")["patient_id"] == "H1"
    only_ssn = stay().replace("H1^^^HOSP^MR~", "")
    assert send(tmp_path, only_ssn).held == {("crises", "patient_id", "WB-R-010"): 1}


def test_the_districts_number_links_where_the_feed_names_its_assigner(tmp_path: Path) -> None:
    body = stay().replace("H1^^^HOSP^MR", "0042^^^ISD~H1^^^HOSP^MR")
    row = send(tmp_path, body, student_number_assigners=["ISD"]).only("crises")
    assert (row["patient_id"], row["student_number"]) == ("H1", "0042")


def test_an_empty_pair_of_quotes_is_a_missing_value(tmp_path: Path) -> None:
    row = send(tmp_path, stay().replace("20100506|F", '""|""')).only("crises")
    assert (row["birth_date"], row["sex"]) == (None, None)


def test_half_a_birth_date_is_missing_and_a_wrong_one_holds_the_row(tmp_path: Path) -> None:
    assert send(tmp_path, stay().replace("20100506", "201005")).only("crises")["birth_date"] is None
    wrong = send(tmp_path, stay().replace("20100506", "06.05.2010"))
    assert wrong.held == {("crises", "birth_date", "WB-R-011"): 1}


# -- ADT ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ADT^A01", "ADT^A03", "ADT^A04"])
@pytest.mark.parametrize(("code", "meaning"), [("E", "emergency"), ("I", "inpatient")])
def test_emergency_and_inpatient_visits_are_crises(
    tmp_path: Path, kind: str, code: str, meaning: str
) -> None:
    row = send(tmp_path, stay(kind, f2=code, f45="202610181700-0500")).only("crises")
    assert (row["crisis_id"], row["crisis_kind"]) == ("V1", meaning)
    assert (row["event_date"], row["discharge_date"]) == (date(2026, 10, 16), date(2026, 10, 18))
    assert row["message_time"] == "2026-10-19T01:00:00.000000Z"


@pytest.mark.parametrize(("kind", "visit"), [
    ("ADT^A01", {"f2": "O"}), ("ADT^A08", {}), ("ADT^A40", {}), ("ADT^A01", {"f10": "SUR"}), ("ADT^A02", {}),
])
def test_visits_and_events_that_are_no_crisis_are_counted(
    tmp_path: Path, kind: str, visit: dict[str, str]
) -> None:
    assert send(tmp_path, stay(kind, **visit)).counts == {"other": 1}


def test_a_cancelled_admission_deletes_the_visit(tmp_path: Path) -> None:
    taken = send(tmp_path, stay("ADT^A11"))
    assert taken.deleted["crises"].select("PV1-19", "MSH-7").row(0) == ("V1", "2026-10-19T01:00:00.000000Z")


def test_a_cancelled_discharge_takes_the_discharge_back(tmp_path: Path) -> None:
    assert send(tmp_path, stay("ADT^A13", f45="20261018")).only("crises")["discharge_date"] is None


@pytest.mark.parametrize(("visit", "fault"), [
    ({"f2": "Z"}, ("crisis_kind", "WB-R-020")), ({"f2": ""}, ("crisis_kind", "WB-R-010")),
    ({"f19": ""}, ("crisis_id", "WB-R-010")), ({"f44": "20261399"}, ("event_date", "WB-R-011")),
    ({"f44": "2026"}, ("event_date", "WB-R-011")), ({"f44": "20260230"}, ("event_date", "WB-R-011")),
    ({"f45": "20261001"}, (None, "WB-R-032")),
])
def test_a_stay_that_cannot_be_is_held(
    tmp_path: Path, visit: dict[str, str], fault: tuple[str | None, str]
) -> None:
    assert send(tmp_path, stay(**visit)).held == {("crises", *fault): 1}


# -- SIU, REF ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "stated", "status"), [
    ("SIU^S12", "Booked", "booked"), ("SIU^S12", "COMPLETE", "kept"), ("SIU^S15", "", "cancelled"),
    ("SIU^S26", "", "no_show"), ("SIU^S26", "Noshow", "no_show"), ("SIU^S14", "Pending", "pending"),
])
def test_appointments_keep_what_became_of_them(tmp_path: Path, kind: str, stated: str, status: str) -> None:
    row = send(tmp_path, appointment(kind, f25=stated)).only("appointments")
    assert (row["appointment_id"], row["event_date"]) == ("A1", date(2026, 10, 20))
    assert row["appointment_status"] == status


def test_a_deleted_appointment_is_deleted(tmp_path: Path) -> None:
    assert send(tmp_path, appointment("SIU^S17")).deleted["appointments"]["SCH-2"].to_list() == ["A1"]


def test_a_status_that_no_table_knows_holds_the_appointment(tmp_path: Path) -> None:
    taken = send(tmp_path, appointment(f25="Perhaps"))
    assert taken.held == {("appointments", "appointment_status", "WB-R-020"): 1}


@pytest.mark.parametrize(("kind", "stated", "status"), [
    ("REF^I12", "P", "referred"), ("REF^I15", "A^Accepted", "accepted"), ("REF^I13", "R", "declined"),
    ("REF^I15", "E", "expired"), ("REF^I14", "P", "cancelled"),
])
def test_referrals_become_a_referral_and_its_status(
    tmp_path: Path, kind: str, stated: str, status: str
) -> None:
    taken = send(tmp_path, referral(kind, f1=stated, f9="20261017"))
    tables = shaped("hl7v2", "referrals", taken.kept["referrals"])
    row, change = tables["referral"].row(0, named=True), tables["referral_status"].row(0, named=True)
    assert (row["referral_key"], row["event_date"]) == ("R1", date(2026, 10, 16))
    assert row["referral_type"] == "mental_health"
    assert (change["referral_key"], change["status"]) == ("R1", status)
    assert change["status_date"] == date(2026, 10, 17)


def test_a_referral_without_a_process_date_changed_on_the_day_of_its_message(tmp_path: Path) -> None:
    assert send(tmp_path, referral()).only("referrals")["status_date"] == date(2026, 10, 18)


# -- ORU ---------------------------------------------------------------------------------------------------


def screening_rows(taken: Taken) -> list[dict[str, Any]]:
    tables = shaped("hl7v2", "screenings", taken.kept["screenings"])
    return tables["screening"].sort("screening_key").to_dicts()


def test_a_total_score_becomes_a_screening(tmp_path: Path) -> None:
    (row,) = screening_rows(send(tmp_path, result(score())))
    assert (row["screening_key"], row["instrument"], row["score"]) == ("SC1", "PHQ-9", 12.0)
    assert (row["band"], row["is_positive"], row["event_date"]) == ("moderate", True, date(2026, 10, 16))


def test_two_totals_of_one_message_are_two_screenings_and_one_source_row(tmp_path: Path) -> None:
    taken = send(tmp_path, result(score(), fields("OBR", f3="SC2^HOSP"), score("GAD-7", "11")))
    assert taken.read == 1
    first, second = screening_rows(taken)
    assert (first["screening_key"], first["instrument"], first["is_positive"]) == ("SC1", "PHQ-9", True)
    assert (second["screening_key"], second["instrument"], second["band"]) == ("SC2", "GAD-7", "moderate")
    assert first["_id"] == second["_id"]


def test_two_totals_under_one_order_keep_ids_of_their_own(tmp_path: Path) -> None:
    rows = screening_rows(send(tmp_path, result(score(), score("GAD-7", "4"))))
    assert [row["screening_key"] for row in rows] == ["SC1/44261-6", "SC1/70274-6"]


def test_items_beside_a_total_are_checked_and_give_the_safety_flag(tmp_path: Path) -> None:
    items = [score(code, "1") for code in INSTRUMENTS["PHQ-9"].items]
    (row,) = screening_rows(send(tmp_path, result(score(value="9"), *items)))
    assert row["safety_flag"] is True
    assert send(tmp_path, result(score(value="12"), *items)).held == {("screenings", "score", "WB-R-034"): 1}


def test_numbers_under_panel_codes_and_laboratory_results_are_counted(tmp_path: Path) -> None:
    assert send(tmp_path, result(score("69737-5")), result(score("8867-4"))).counts == {"other": 2}


def test_preliminary_results_are_counted_and_deleted_ones_deleted(tmp_path: Path) -> None:
    taken = send(tmp_path, result(score(f11="P")), result(score(f11="D"), order="SC9"))
    assert taken.counts == {"other": 1}
    assert taken.deleted["screenings"]["OBR-3"].to_list() == ["SC9"]


@pytest.mark.parametrize(("more", "fault"), [
    ({"f5": "eleven"}, ("score", "WB-R-012")), ({"f5": "400"}, (None, "WB-R-021")),
    ({"f5": "12~13"}, ("score", "WB-R-003")), ({"f5": ""}, ("score", "WB-R-010")),
    ({"f2": "SN", "f5": ">^12"}, ("score", "WB-R-012")), ({"f14": "yesterday"}, ("event_date", "WB-R-011")),
])
def test_a_score_that_cannot_be_is_held(
    tmp_path: Path, more: dict[str, str], fault: tuple[str | None, str]
) -> None:
    assert send(tmp_path, result(score(**more))).held == {("screenings", *fault): 1}


# -- labels ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("segment", "is_part2"), [
    (fields("ORC", f28="42CFRPart2"), True), (fields("ORC", f28="ETH"), True), (fields("ORC", f28="V"), True),
    (fields("ORC", f28="NEWCODE"), True), (fields("ORC", f28="R"), False),
    (fields("ARV", f3="42CFRPart2CD"), True),
    (fields("ARV", f3="DEM"), False), (fields("PD1", f12="Y"), True), (fields("PD1", f12="N"), False),
    (fields("ORC", f1="RE"), False),
])
def test_confidentiality_and_access_restrictions_put_a_message_under_part_2(
    tmp_path: Path, segment: str, is_part2: bool
) -> None:
    assert send(tmp_path, result(score(), before=segment)).only("screenings")["is_part2"] is is_part2


def test_a_message_labelled_hiv_is_never_loaded(tmp_path: Path) -> None:
    assert send(tmp_path, result(score(), before=fields("ORC", f28="HIV"))).counts == {"other": 1}


def test_training_and_debugging_messages_are_counted_and_not_loaded(tmp_path: Path) -> None:
    test = message("SIU^S12", fields("SCH", f2="A1", f11="^^^20261020", f25="Booked"), mode="T")
    assert send(tmp_path, test).counts == {"other": 1}


# -- files and values --------------------------------------------------------------------------------------


def test_a_message_whose_time_is_missing_or_wrong_has_no_version_and_is_held(tmp_path: Path) -> None:
    visit = fields("PV1", f2="I", f19="V1", f44="20261016")
    taken = send(tmp_path, message("ADT^A01", visit, time=""), message("ADT^A01", visit, time="2026-10-18"))
    assert taken.held == {
        ("crises", "message_time", "WB-R-010"): 1, ("crises", "message_time", "WB-R-011"): 1}


def test_a_type_outside_the_four_families_is_held(tmp_path: Path) -> None:
    taken = send(tmp_path, stay(), message("MDM^T02^MDM_T02", "TXA|1"))
    assert taken.held == {("other", "MSH-9", "WB-R-004"): 1}


def test_a_trailer_that_counts_otherwise_refuses_the_batch_and_a_missing_one_waits(tmp_path: Path) -> None:
    file = tmp_path / "hl7_2026-10-19.hl7"
    file.write_text(f"FHS|^~\\&\rBHS|^~\\&\r{stay()}BTS|2\rFTS|1\r", newline="")
    with is_refused("WB-D-008"):
        take("hl7v2", {file.name: file})
    file.write_text(f"FHS|^~\\&\rBHS|^~\\&\r{stay()}", newline="")
    with waits("WB-D-002"):
        take("hl7v2", {file.name: file})


def test_a_file_without_envelope_that_stops_in_a_line_waits_unless_it_is_settled(tmp_path: Path) -> None:
    file = tmp_path / "one.hl7"
    file.write_text(stay().rstrip("\r"), newline="")
    with waits("WB-D-002"):
        take("hl7v2", {file.name: file})
    assert take("hl7v2", {file.name: file}, complete="settled").counts == {"crises": 1}


@pytest.mark.parametrize(("stated", "found"), [
    ("20261016", "2026-10-16"), ("202610162330-0500", "2026-10-16"),
    ("20261016233000.1234+0000", "2026-10-16"),
    ("2026101624", "2026101624"), ("20261016 1200", "20261016 1200"), ("202610", "202610"),
    ("20261016233000.12345", "20261016233000.12345"), ("20261301", "20261301"), (None, None),
])
def test_time_stamps_are_days_where_they_are_whole_and_stay_as_written_where_not(
    stated: str | None, found: str | None
) -> None:
    assert day(stated) == found


def test_held_messages_are_named_by_column_and_rule_and_never_by_their_values(tmp_path: Path) -> None:
    taken = send(tmp_path, stay(f2=CANARY), result(score(value=CANARY)), appointment(f25=CANARY))
    assert taken.held_rows == 3
    assert CANARY not in str(taken.held)


def test_free_text_and_relatives_never_reach_a_frame(tmp_path: Path) -> None:
    note = result(score(), fields("NTE", f3=CANARY), before=fields("NK1", f2=f"{CANARY}^Mother"))
    taken = send(tmp_path, note)
    assert not any(CANARY in str(rows.rows()) for rows in taken.kept.values())
    assert isinstance(taken.kept["screenings"], pl.DataFrame)
