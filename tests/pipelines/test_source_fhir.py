"""FHIR deliveries: real exports, lines that break the format, consents, totals, deletions, manifests."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from taken_delivery import Taken, delivery, folder, health, is_refused, shaped, take, waits

from wellbridge.pipelines.sources.fhir_values import span, target, version
from wellbridge.pipelines.sources.sheet import RecordError
from wellbridge.pipelines.sources.source import CONSENT, source
from wellbridge.privacy.consent import standing

CANARY = "Zyxwvut-Canary"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
PHQ_ITEMS = (
    "44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8",
)
ANSWERS = ("LA6568-5", "LA6569-3", "LA6570-1", "LA6571-9")


def observation(**changes: Any) -> dict[str, Any]:
    """A PHQ-9 total of 12, as valid as can be; a change to None leaves the element out."""
    body = {
        "resourceType": "Observation", "id": "o1", "status": "final",
        "meta": {"lastUpdated": "2026-10-18T21:00:00Z"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "44261-6", "display": CANARY}],
                 "text": CANARY},
        "subject": {"reference": "Patient/p1", "display": CANARY},
        "effectiveDateTime": "2026-10-16T20:30:00-05:00",
        "valueQuantity": {"value": 12}, "note": [{"text": CANARY}],
    } | changes
    return {name: value for name, value in body.items() if value is not None}


def response(scores: tuple[int, ...], **changes: Any) -> dict[str, Any]:
    items = [
        {"linkId": f"/{code}", "text": CANARY, "answer": [{"valueCoding": {"code": ANSWERS[score]}}]}
        for code, score in zip(PHQ_ITEMS, scores, strict=True)
    ]
    body = {"resourceType": "QuestionnaireResponse", "id": "q1", "status": "completed", "item": items}
    return body | changes


def request(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest", "id": "s1", "status": "active", "intent": "order",
        "meta": {"lastUpdated": "2026-10-18T21:00:00Z"}, "subject": {"reference": "Patient/p1"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "183524004"}]},
        "authoredOn": "2026-10-16T09:00:00-05:00", "supportingInfo": [{"reference": "Observation/o1"}],
    } | changes


def visit(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"system": ACT, "code": "VR"},
        "subject": {"reference": "Patient/p1"}, "basedOn": [{"reference": "ServiceRequest/s1"}],
        "period": {"start": "2026-10-16T13:00:00-05:00", "end": "2026-10-16T13:45:00-05:00"},
    } | changes


def consent(provision: Any, **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Consent", "id": "c1", "status": "active", "patient": {"reference": "Patient/p1"},
        "provision": provision,
    } | changes


def permit(*labels: str, **changes: Any) -> dict[str, Any]:
    """A provision that permits for a year, with one nested permit for the labels."""
    nested = {"type": "permit", "securityLabel": [{"system": ACT, "code": label} for label in labels]}
    period = {"start": "2026-07-01", "end": "2027-06-30"}
    return {"type": "permit", "period": period, "provision": [nested | changes]}


def export(path: Path, *bodies: dict[str, Any], **settings: Any) -> Taken:
    """Write resources to one file a type, without a manifest, and take them."""
    files: dict[str, Path] = {}
    for body in bodies:
        name = f"{body['resourceType']}.ndjson"
        files[name] = path / name
        with files[name].open("a") as handle:
            handle.write(json.dumps(body) + "\n")
    taken = take("fhir", files, complete="settled", **settings)
    assert taken.add_up()
    return taken


def package(path: Path, manifest: dict[str, Any], **files: list[dict[str, Any]]) -> dict[str, Path]:
    """Write a folder with a manifest."""
    for name, bodies in files.items():
        (path / f"{name}.ndjson").write_text("".join(json.dumps(body) + "\n" for body in bodies))
    (path / "manifest.json").write_text(json.dumps(manifest))
    return folder(path)


def listing(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"transactionTime": "2026-10-19T23:00:00Z", "output": list(output)} | more


# -- real exports ------------------------------------------------------------------------------------------


def test_every_row_of_a_synthea_export_without_manifest_is_accounted_for() -> None:
    taken = take("fhir", folder(health("fhir_bulk/synthea10")), complete="settled")
    assert taken.read == 4_184
    assert taken.add_up()
    # 49 stays and everything without a contract only count; five "ambulatory" visits last for days.
    assert taken.counts == {"patients": 13, "encounters": 1_161, "other": 3_005}
    assert taken.held == {("encounters", None, "WB-R-021"): 5}
    assert taken.kept["encounters"]["last_updated"].unique().to_list() == ["2024-08-06T18:12:57.000000Z"]


def test_epic_shaped_exports_load_visits_and_count_orders_that_are_no_referrals() -> None:
    taken = take("fhir", folder(health("fhir_bulk/cumulus_library")), complete="settled")
    assert taken.read == 2_503
    assert taken.add_up()
    assert taken.counts == {"patients": 50, "encounters": 50, "other": 2_342}
    # The two completion tables of Cumulus are no FHIR resources.
    assert taken.held == {("other", "resourceType", "WB-R-004"): 61}


def test_observations_that_are_no_total_scores_are_counted_and_not_loaded() -> None:
    taken = take("fhir", folder(health("fhir_bulk/pathling_r4")), complete="settled")
    assert (taken.read, taken.counts) == (1_583, {"patients": 9, "other": 1_574})
    assert not taken.held


def test_each_broken_line_is_held_under_its_own_rule_and_the_good_ones_load() -> None:
    path = health("derived/Observation.bad_lines.ndjson")
    taken = take("fhir", {path.name: path}, complete="settled")
    assert taken.read == 29  # the blank line is no record
    assert taken.kept["screenings"]["_row"].to_list() == [1, 21, 24]
    assert taken.held == {
        ("screenings", None, "WB-R-003"): 9,  # truncated, BOM, comma, NaN, doubled key, array, surrogate …
        ("screenings", "resourceType", "WB-R-003"): 1, ("screenings", "code", "WB-R-003"): 1,
        ("screenings", "value[x]", "WB-R-003"): 1, ("screenings", "score", "WB-R-012"): 1,
        ("screenings", "code", "WB-R-010"): 1, ("screenings", "status", "WB-R-010"): 1,
        ("screenings", "patient_id", "WB-R-010"): 1, ("screenings", "screening_id", "WB-R-010"): 1,
        ("screenings", "status", "WB-R-020"): 1, ("screenings", "event_date", "WB-R-011"): 6,
        ("screenings", "screening_id", "WB-R-022"): 2,
    }
    assert taken.add_up()


# -- screenings --------------------------------------------------------------------------------------------


def test_a_total_score_becomes_a_screening_with_band_and_verdict(tmp_path: Path) -> None:
    taken = export(tmp_path, observation())
    row = shaped("fhir", "screenings", taken.kept["screenings"])["screening"].row(0, named=True)
    assert (row["screening_key"], row["subject_key"]) == ("o1", "p1")
    assert (row["instrument"], row["score"], row["band"]) == ("PHQ-9", 12.0, "moderate")
    assert row["is_positive"] is True
    assert (row["event_date"], row["safety_flag"]) == (date(2026, 10, 16), None)


def test_the_day_of_an_event_is_the_day_where_it_happened_and_versions_are_utc(tmp_path: Path) -> None:
    late = observation(
        effectiveDateTime="2026-10-16T20:30:00-05:00", meta={"lastUpdated": "2026-10-18T21:00:00-05:00"})
    row = export(tmp_path, late).only("screenings")
    assert row["event_date"] == date(2026, 10, 16)
    assert row["last_updated"] == "2026-10-19T02:00:00.000000Z"


@pytest.mark.parametrize("code", ["69737-5", "44249-1", "55757-9", "8302-2"])
def test_a_number_under_a_panel_code_is_no_score(tmp_path: Path, code: str) -> None:
    taken = export(tmp_path, observation(code={"coding": [{"system": "http://loinc.org", "code": code}]}))
    assert taken.counts == {"other": 1}


def test_a_loinc_number_under_another_system_is_another_code(tmp_path: Path) -> None:
    taken = export(tmp_path, observation(code={"coding": [{"system": "urn:local", "code": "44261-6"}]}))
    assert taken.counts == {"other": 1}


def test_a_score_outside_the_instruments_range_is_held(tmp_path: Path) -> None:
    taken = export(tmp_path, observation(valueQuantity={"value": 28}))
    assert taken.held == {("screenings", None, "WB-R-021"): 1}


def test_a_preliminary_score_and_a_refused_screening_are_counted_and_not_loaded(tmp_path: Path) -> None:
    taken = export(tmp_path, observation(status="preliminary"),
                   observation(id="o2", valueQuantity=None, dataAbsentReason={"text": "refused"}))
    assert taken.counts == {"other": 2}


def test_what_was_entered_in_error_is_deleted_with_its_own_version(tmp_path: Path) -> None:
    taken = export(tmp_path, observation(status="entered-in-error"), request(status="entered-in-error"),
                   visit(status="cancelled"))
    assert {name: rows.height for name, rows in taken.deleted.items()} == {
        "screenings": 1, "referrals": 1, "encounters": 1}
    assert taken.deleted["screenings"].select("id", "last_updated").row(0) == (
        "o1", "2026-10-18T21:00:00.000000Z")
    assert taken.deleted["encounters"].select("id", "crisis").row(0) == ("e1", "e1")


def test_a_total_that_is_not_the_sum_of_its_answers_is_held(tmp_path: Path) -> None:
    stated = [{"reference": "QuestionnaireResponse/q1"}]
    taken = export(tmp_path, observation(derivedFrom=stated), response((2, 2, 2, 2, 1, 1, 2, 0, 1)))
    assert taken.held == {("screenings", "score", "WB-R-034"): 1}


def test_answers_are_found_before_the_totals_whatever_the_files_are_called(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text(
        json.dumps(observation(derivedFrom=[{"reference": "QuestionnaireResponse/q1"}])) + "\n")
    (tmp_path / "b.ndjson").write_text(json.dumps(response((2, 2, 2, 2, 1, 1, 2, 0, 0))) + "\n")
    taken = take("fhir", folder(tmp_path), complete="settled")
    assert taken.counts == {"responses": 1, "screenings": 1}
    assert taken.only("screenings")["safety_flag"] is False


@pytest.mark.parametrize(("item_nine", "flag"), [(0, False), (1, True), (3, True)])
def test_item_nine_sets_the_safety_flag_whatever_the_total(
    tmp_path: Path, item_nine: int, flag: bool
) -> None:
    scores = (0,) * 8 + (item_nine,)
    total = observation(
        valueQuantity={"value": item_nine}, derivedFrom=[{"reference": "QuestionnaireResponse/q1"}])
    assert export(tmp_path, total, response(scores)).only("screenings")["safety_flag"] is flag


@pytest.mark.parametrize(
    "link", ["44260-8", "/44260-8", "/44249-1/44260-8", "PHQ.9", "phq9", "PHQ9_9", "phq-9.9"])
@pytest.mark.parametrize("answer", [
    {"valueInteger": 2}, {"valueDecimal": 2.0}, {"valueCoding": {"code": " LA6570-1 "}},
    {"valueCoding": {"code": "x", "extension": [
        {"url": "http://hl7.org/fhir/StructureDefinition/ordinalValue", "valueDecimal": 2}]}},
])
def test_items_are_known_by_all_the_names_and_answers_that_partners_use(
    tmp_path: Path, link: str, answer: dict[str, Any]
) -> None:
    given = response((0,) * 9, item=[{"linkId": "group", "item": [{"linkId": link, "answer": [answer]}]}])
    source_url = "https://ehr.example/fhir/QuestionnaireResponse/q1/_history/2"
    total = observation(derivedFrom=[{"reference": source_url}])
    assert export(tmp_path, total, given).only("screenings")["safety_flag"] is True


def test_an_unfinished_or_partly_answered_response_contradicts_nothing(tmp_path: Path) -> None:
    total = observation(derivedFrom=[{"reference": "QuestionnaireResponse/q1"}])
    part = response((1,) * 9)
    part["item"] = part["item"][:5]
    assert export(tmp_path, total, part).counts["screenings"] == 1


def test_a_modifier_extension_that_nobody_knows_holds_the_record(tmp_path: Path) -> None:
    taken = export(tmp_path, observation(modifierExtension=[{"url": "urn:x", "valueBoolean": True}]))
    assert taken.held == {("screenings", "modifierExtension", "WB-R-020"): 1}


# -- labels ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "is_part2"), [
    ("42CFRPart2", True), ("SUD", True), ("ETH", True), ("OPIOIDUD", True), ("UNHEARDOF", True),
    ("MH", False),
])
def test_security_labels_put_a_row_under_part_2(tmp_path: Path, code: str, is_part2: bool) -> None:
    row = export(tmp_path, observation(meta={"security": [{"system": ACT, "code": code}]})).only("screenings")
    assert row["is_part2"] is is_part2


def test_a_substance_use_score_from_a_health_partner_counts_as_part_2(tmp_path: Path) -> None:
    dast = {"coding": [{"system": "http://loinc.org", "code": "82667-7"}]}
    row = export(tmp_path, observation(code=dast, valueQuantity={"value": 3})).only("screenings")
    assert row["is_part2"] is True


def test_psychotherapy_notes_are_never_loaded(tmp_path: Path) -> None:
    notes = visit(meta={"security": [{"system": ACT, "code": "PSYTHPN"}]})
    assert export(tmp_path, notes).counts == {"other": 1}


# -- referrals and visits ----------------------------------------------------------------------------------


def test_a_service_request_becomes_a_referral_and_its_status(tmp_path: Path) -> None:
    taken = export(tmp_path, request())
    tables = shaped("fhir", "referrals", taken.kept["referrals"])
    referral, status = tables["referral"].row(0, named=True), tables["referral_status"].row(0, named=True)
    assert (referral["referral_key"], referral["screening_key"]) == ("s1", "o1")
    assert (referral["event_date"], referral["referral_type"]) == (date(2026, 10, 16), "mental_health")
    assert (status["status"], status["status_date"]) == ("referred", date(2026, 10, 16))


def test_a_completed_referral_is_dated_by_its_last_change(tmp_path: Path) -> None:
    row = export(tmp_path, request(status="completed")).only("referrals")
    assert (row["status"], row["status_date"]) == ("completed", date(2026, 10, 18))


@pytest.mark.parametrize("changes", [
    {"intent": "proposal"}, {"status": "draft"}, {"doNotPerform": True},
    {"code": {}, "category": [{"coding": [{"system": "http://snomed.info/sct", "code": "108252007"}]}]},
    {"code": {}, "category": [{"coding": [{"system": "urn:oid:1.2.840.114350", "code": "7"}]}]},
])
def test_requests_that_refer_nobody_are_counted_and_not_loaded(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    assert export(tmp_path, request(**changes)).counts == {"other": 1}


def test_a_partners_own_referral_code_loads_once_the_feed_maps_it(tmp_path: Path) -> None:
    local = request(code={}, category=[{"coding": [{"system": "urn:local", "code": "BH-REF"}]}])
    assert export(tmp_path, local, referral_codes={"BH-REF": "mental_health"}).counts == {"referrals": 1}


def test_a_visit_becomes_a_service_with_its_minutes(tmp_path: Path) -> None:
    tables = shaped("fhir", "encounters", export(tmp_path, visit()).kept["encounters"])
    row = tables["service_encounter"].row(0, named=True)
    assert (row["minutes"], row["modality"], row["category"]) == (45.0, "video", "clinical")
    assert (row["event_date"], row["referral_key"]) == (date(2026, 10, 16), "s1")
    assert tables["crisis_event"].height == 0


def test_an_emergency_visit_is_a_crisis_and_no_service(tmp_path: Path) -> None:
    emergency = visit(**{"class": {"code": "EMER"}})
    tables = shaped("fhir", "encounters", export(tmp_path, emergency).kept["encounters"])
    assert tables["service_encounter"].height == 0
    row = tables["crisis_event"].row(0, named=True)
    assert (row["crisis_key"], row["crisis_kind"]) == ("e1", "emergency")
    assert row["discharge_date"] == date(2026, 10, 16)


@pytest.mark.parametrize(("changes", "fault"), [
    ({"class": {"code": "PICNIC"}}, ("encounter_class", "WB-R-020")),
    ({"status": "over"}, ("status", "WB-R-020")),
    ({"period": {"start": "2026-10-16T13:00:00Z", "end": "2026-10-16T12:00:00Z"}}, (None, "WB-R-032")),
    ({"period": {"start": "2026-10-16T13:00:00Z", "end": "2026-10-19T12:00:00Z"}}, (None, "WB-R-021")),
    ({"period": {"start": "16.10.2026"}}, ("event_date", "WB-R-011")),
    ({"subject": {"reference": "Group/g1"}}, ("patient_id", "WB-R-010")),
])
def test_a_visit_that_cannot_be_is_held(
    tmp_path: Path, changes: dict[str, Any], fault: tuple[str | None, str]
) -> None:
    taken = export(tmp_path, visit(**changes))
    assert taken.held == {("encounters", *fault): 1}


def test_a_visit_without_end_takes_its_minutes_from_the_stated_length(tmp_path: Path) -> None:
    stated = visit(period={"start": "2026-10-16"}, length={"value": 0.5, "code": "h"})
    assert export(tmp_path, stated).only("encounters")["minutes"] == 30.0


# -- patients ----------------------------------------------------------------------------------------------


def test_a_patient_gives_traits_to_the_vault_and_no_fact(tmp_path: Path) -> None:
    patient = {
        "resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "2010-05-06",
        "name": [{"use": "maiden", "family": "Old"},
                 {"use": "official", "family": "Lee", "given": ["Ann", "M"]}],
        "telecom": [{"system": "email", "value": "a@b.example"}, {"system": "phone", "value": "555-0100"}],
        "address": [{"use": "old", "postalCode": "99999"},
                    {"use": "home", "line": ["1 Elm St"], "postalCode": "79901"}],
        "identifier": [{"system": "urn:ssn", "value": "1"}, {"system": "urn:district", "value": "0042"}],
    }
    taken = export(tmp_path, patient, student_number_systems=["urn:district"])
    row = taken.only("patients")
    assert (row["first_name"], row["last_name"], row["birth_date"], row["sex"]) == (
        "Ann", "Lee", date(2010, 5, 6), "female")
    assert (row["phone"], row["address"], row["zip_code"], row["student_number"]) == (
        "555-0100", "1 Elm St", "79901", "0042")
    assert shaped("fhir", "patients", taken.kept["patients"]) == {}


def test_a_name_that_is_one_text_is_kept_and_names_in_parts_come_before_it(tmp_path: Path) -> None:
    def named(**name: Any) -> tuple[Any, Any]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        row = export(folder, {"resourceType": "Patient", "id": "p1", "birthDate": "2010-05-06", "name": [name]}).only(
            "patients")
        return row["first_name"], row["last_name"]

    assert named(text="Lee, Ann") == ("Lee, Ann", None)
    assert named(text="Ann Lee", family="Lee") == (None, "Lee")
    assert named(text="Ann M Lee", family="Lee", given=["Ann"]) == ("Ann", "Lee")


def test_half_a_birth_date_and_an_unknown_gender_are_missing_not_wrong(tmp_path: Path) -> None:
    row = export(tmp_path, {
        "resourceType": "Patient", "id": "p1", "gender": "unknown", "birthDate": "2010-05"}).only("patients")
    assert (row["birth_date"], row["sex"]) == (None, None)


# -- consents ----------------------------------------------------------------------------------------------


def in_force(rows: pl.DataFrame, day: date) -> dict[str, tuple[bool, bool]]:
    """Return by patient what stands on a day: (denied, permits Part 2)."""
    decisions = shaped("fhir", "consents", rows)[CONSENT]
    nobody = pl.DataFrame(schema={"subject_key": pl.String, "person_key": pl.String})
    stands = standing(decisions, nobody, day)
    return {key: (denied, permits) for key, denied, permits, _ in stands.iter_rows() if denied or permits}


def decided(path: Path, body: dict[str, Any], day: date = date(2026, 10, 19), **settings: Any) -> str:
    stands = in_force(export(path, body, **settings).kept["consents"], day).get("p1", (False, False))
    return "deny" if stands[0] else "permit" if stands[1] else "nothing"


def test_the_sample_consents_permit_no_part_2_record_and_deny_only_while_in_force() -> None:
    path = health("derived/Consent.r4.derived.ndjson")
    taken = take("fhir", {path.name: path}, complete="settled")
    assert taken.counts == {"consents": 6}
    # Denials of HIV, SUD and psychotherapy notes concern records that stay out anyway.
    assert in_force(taken.kept["consents"], date(2024, 10, 1)) == {}
    # The expired one denied mental health records as long as it lasted, its last day included.
    assert in_force(taken.kept["consents"], date(2021, 1, 1)) == {"s004": (True, False)}
    assert in_force(taken.kept["consents"], date(2021, 1, 2)) == {}


def test_a_root_refusal_denies_everything(tmp_path: Path) -> None:
    assert decided(tmp_path, consent({"type": "deny"})) == "deny"


@pytest.mark.parametrize("label", ["42CFRPart2", "SUD"])
def test_a_nested_permit_for_part_2_permits_it_until_it_ends(tmp_path: Path, label: str) -> None:
    body = consent(permit(label))
    assert decided(tmp_path, body) == "permit"
    assert decided(tmp_path, body, date(2027, 7, 1)) == "nothing"
    assert decided(tmp_path, body, date(2026, 6, 30)) == "nothing"


@pytest.mark.parametrize(
    "status", ["inactive", "rejected", "proposed", "draft", "entered-in-error", "nonsense", None])
def test_a_consent_that_is_not_active_permits_nothing(tmp_path: Path, status: str | None) -> None:
    assert decided(tmp_path, consent(permit("SUD"), status=status)) == "nothing"


@pytest.mark.parametrize("nested", [
    {"actor": [{"reference": {"reference": "Organization/another-clinic"}}]},
    {"purpose": [{"code": "HRESCH"}]}, {"class": [{"code": "Observation"}]},
    {"period": {"end": "2026-10-01"}}, {"period": {"end": "soon"}},
    {"provision": [{"type": "deny", "securityLabel": [{"system": ACT, "code": "ETH"}]}]},
])
def test_a_permit_that_is_narrower_than_our_use_permits_nothing(
    tmp_path: Path, nested: dict[str, Any]
) -> None:
    assert decided(tmp_path, consent(permit("42CFRPart2", **nested))) == "nothing"


def test_a_permit_made_out_to_the_district_holds_once_the_feed_knows_its_name(tmp_path: Path) -> None:
    body = consent(permit("SUD", actor=[{"reference": {"reference": "Organization/district-1"}}]))
    assert decided(tmp_path, body, recipients=["Organization/district-1"]) == "permit"


def test_a_permit_without_an_end_permits_nothing(tmp_path: Path) -> None:
    provision = permit("SUD")
    del provision["period"]["end"]
    assert decided(tmp_path, consent(provision)) == "nothing"


@pytest.mark.parametrize("provision", [
    {"type": "permit", "provision": [{"type": "deny", "securityLabel": [{"system": ACT, "code": "MH"}]}]},
    {"type": "permit", "provision": [{"type": "deny"}]},
    [{"type": "permit"}], "permit", {"type": "permit", "provision": {"type": "deny"}},
    {"type": "deny", "period": 7},
])
def test_a_refusal_that_cannot_be_kept_in_part_or_read_denies_everything(
    tmp_path: Path, provision: Any
) -> None:
    assert decided(tmp_path, consent(provision)) == "deny"


@pytest.mark.parametrize("status", [None, "nonsense"])
def test_a_refusal_of_unknown_status_is_honoured(tmp_path: Path, status: str | None) -> None:
    assert decided(tmp_path, consent({"type": "deny"}, status=status)) == "deny"


def test_a_refusal_with_unreadable_dates_has_no_end(tmp_path: Path) -> None:
    period = {"start": "sometime", "end": "whenever"}
    assert decided(tmp_path, consent({"type": "deny", "period": period})) == "deny"


def test_a_revoked_refusal_is_no_longer_in_force(tmp_path: Path) -> None:
    assert decided(tmp_path, consent({"type": "deny"}, status="inactive")) == "nothing"


def test_a_consent_without_a_patient_is_held(tmp_path: Path) -> None:
    taken = export(tmp_path, consent({"type": "deny"}, patient={"display": CANARY}))
    assert taken.held == {("consents", "patient_id", "WB-R-010"): 1}


def test_a_consent_says_both_what_it_decides_and_what_it_does_not(tmp_path: Path) -> None:
    rows = export(tmp_path, consent({"type": "deny"})).kept["consents"]
    decisions = shaped("fhir", "consents", rows)[CONSENT]
    assert set(decisions.select("decision", "is_active").iter_rows()) == {
        ("deny", True), ("permit_part2", False)}


# -- packages ----------------------------------------------------------------------------------------------


def test_a_folder_without_manifest_waits_unless_its_feed_says_that_it_is_settled(tmp_path: Path) -> None:
    (tmp_path / "Observation.ndjson").write_text(json.dumps(observation()) + "\n")
    with waits("WB-D-002"):
        take("fhir", folder(tmp_path))


def test_a_folder_waits_for_a_file_that_its_manifest_lists(tmp_path: Path) -> None:
    files = package(tmp_path, listing({"type": "Observation", "url": "late.ndjson"}))
    with waits("WB-D-002"):
        take("fhir", files)


def test_a_manifest_that_is_cut_short_waits_and_one_that_is_broken_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text('{"output": [')
    with waits("WB-D-002"):
        take("fhir", folder(tmp_path))
    path.write_text('{"output": [}')
    with is_refused("WB-D-007"):
        take("fhir", folder(tmp_path))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_count_that_differs_from_the_manifest_holds_the_delivery(tmp_path: Path, count: int) -> None:
    entry = {"type": "Observation", "url": "https://bulk.example/out/obs.ndjson", "count": count}
    files = package(tmp_path, listing(entry), obs=[observation(), observation(id="o2")])
    with is_refused("WB-D-008") as found:
        take("fhir", files)
    assert (found.value.file, found.value.rows) == ("obs.ndjson", 2)


def test_a_file_that_is_still_growing_waits(tmp_path: Path) -> None:
    files = package(tmp_path, listing({"type": "Observation", "url": "obs.ndjson", "count": 2}))
    files["obs.ndjson"] = tmp_path / "obs.ndjson"
    files["obs.ndjson"].write_text(json.dumps(observation()) + '\n{"resourceType": "Obs')
    with waits("WB-D-002"):
        take("fhir", files)
    files["obs.ndjson"].write_text(json.dumps(observation())[:-30])
    with waits("WB-D-002"):
        take("fhir", files)


def test_a_file_of_records_that_the_manifest_does_not_list_holds_the_delivery(tmp_path: Path) -> None:
    files = package(tmp_path, listing(), stray=[observation()])
    with is_refused("WB-D-006"):
        take("fhir", files)


def test_a_manifest_of_several_pages_is_read_whole(tmp_path: Path) -> None:
    pending = [{"relation": "next", "url": "#pending"}]
    second = listing({"type": "Encounter", "url": "enc.ndjson"}, link=pending)
    (tmp_path / "page-2.json").write_text(json.dumps(second))
    first = listing({"type": "Observation", "url": "obs.ndjson"},
                    link=[{"relation": "next", "url": "https://bulk.example/page-2.json"}])
    taken = take("fhir", package(tmp_path, first, obs=[observation()], enc=[visit()]))
    assert taken.counts == {"screenings": 1, "encounters": 1}


@pytest.mark.parametrize("section", ["error", "outcome"])
def test_outcomes_of_both_generations_of_manifests_are_counted(tmp_path: Path, section: str) -> None:
    entry = {"type": "OperationOutcome", "url": "errors.ndjson", "count": 1}
    files = package(tmp_path, listing(**{section: [entry]}), errors=[{"resourceType": "OperationOutcome"}])
    assert take("fhir", files).counts == {"other": 1}


def test_compressed_files_are_read_like_plain_ones(tmp_path: Path) -> None:
    (tmp_path / "obs.ndjson.gz").write_bytes(gzip.compress(json.dumps(observation()).encode() + b"\n"))
    files = package(tmp_path, listing({"type": "Observation", "url": "obs.ndjson.gz", "count": 1}))
    assert take("fhir", files).counts == {"screenings": 1}


def test_a_line_of_another_type_than_its_file_declares_is_held(tmp_path: Path) -> None:
    files = package(tmp_path, listing({"type": "AllergyIntolerance", "url": "a.ndjson"}),
                    a=[{"resourceType": "Patient", "id": "p1"}])
    assert take("fhir", files).held == {("other", "resourceType", "WB-R-003"): 1}


def test_a_type_that_fhir_does_not_know_is_held(tmp_path: Path) -> None:
    taken = export(tmp_path, {"resourceType": "WellnessDiary", "id": "w1"})
    assert taken.held == {("other", "resourceType", "WB-R-004"): 1}


def test_deletions_delete_what_loads_and_count_what_does_not(tmp_path: Path) -> None:
    urls = ["Observation/o1", "ServiceRequest/s1", "Encounter/e1", "Practitioner/x"]
    bundle = {"resourceType": "Bundle", "type": "transaction",
              "entry": [{"request": {"method": "DELETE", "url": url}} for url in urls]}
    bare = {"request": {"method": "DELETE", "url": "Observation/o2"}}
    files = package(tmp_path, listing(deleted=[{"url": "gone.ndjson", "count": 2}]), gone=[bundle, bare])
    taken = take("fhir", files)
    assert {name: rows["id"].to_list() for name, rows in taken.deleted.items()} == {
        "screenings": ["o1", "o2"], "referrals": ["s1"], "encounters": ["e1"]}
    assert taken.counts == {"other": 1}
    assert taken.deleted["screenings"]["last_updated"].unique().to_list() == ["2026-10-19T23:00:00.000000Z"]


def test_a_deleted_consent_takes_back_what_it_decided(tmp_path: Path) -> None:
    gone = [{"request": {"method": "DELETE", "url": "Consent/c1"}}]
    taken = take("fhir", package(tmp_path, listing(deleted=[{"url": "gone.ndjson"}]), gone=gone))
    decisions = shaped("fhir", "consents", taken.kept["consents"])[CONSENT]
    assert decisions.select("consent_key", "decision", "is_active").rows() == [
        ("c1", "deny", False), ("c1", "permit_part2", False)]


def test_a_deletion_that_names_nothing_is_held(tmp_path: Path) -> None:
    gone: list[dict[str, Any]] = [
        {"request": {"method": "DELETE", "url": CANARY}}, {"resourceType": "Bundle", "entry": []}]
    taken = take("fhir", package(tmp_path, listing(deleted=[{"url": "gone.ndjson"}]), gone=gone))
    assert taken.rules == {"WB-R-003": 2}


# -- values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reference", "found"), [
    ({"reference": "Patient/a-1.B"}, "a-1.B"), ({"reference": "https://x.example/fhir/Patient/7"}, "7"),
    ({"reference": "Patient/7/_history/3"}, "7"), ({"reference": "urn:uuid:0c1d"}, "0c1d"),
    ({"reference": "urn:uuid:0c1d", "type": "Group"}, None), ({"reference": "#p1"}, None),
    ({"reference": "Group/7"}, None), ({"reference": "Practitioner?identifier=x|7"}, None), ({}, None),
])
def test_references_name_a_resource_of_the_kind_that_is_asked_for(
    reference: dict[str, str], found: str | None
) -> None:
    assert target(reference, "Patient") == found


@pytest.mark.parametrize(("stated", "text"), [
    ("2026-10-19T23:30:00.1234567-05:00", "2026-10-20T04:30:00.123456Z"),
    ("2026-10-19T23:30:00Z", "2026-10-19T23:30:00.000000Z"),
    ("2026-10-19T23:30:00", None), ("2026-10-19", None), ("2026-02-30T10:00:00Z", None), (None, None),
])
def test_versions_are_instants_in_utc_that_sort_as_text(stated: str | None, text: str | None) -> None:
    assert version(stated) == text


@pytest.mark.parametrize(("stated", "days"), [
    ("2026", (date(2026, 1, 1), date(2027, 1, 1))), ("2026-12", (date(2026, 12, 1), date(2027, 1, 1))),
    ("2026-02-28", (date(2026, 2, 28), date(2026, 3, 1))),
    ("2026-02-30", None), ("2026-13", None), ("", None),
])
def test_a_partial_date_stands_for_all_its_days(stated: str, days: tuple[date, date] | None) -> None:
    assert span(stated) == days


# -- what nobody may see -----------------------------------------------------------------------------------


def test_narrative_notes_and_displays_never_reach_a_frame(tmp_path: Path) -> None:
    taken = export(tmp_path, observation(), response((1,) * 9), visit(text={"div": CANARY}))
    assert not any(CANARY in str(rows.rows()) for rows in taken.kept.values())


@pytest.mark.parametrize("body", [
    observation(subject=CANARY), observation(code=CANARY), observation(valueQuantity={"value": CANARY}),
    observation(meta=CANARY), observation(status={CANARY: CANARY}), visit(period=[CANARY]),
])
def test_what_breaks_a_record_is_named_by_column_and_rule_and_never_by_its_value(
    tmp_path: Path, body: dict[str, Any]
) -> None:
    taken = export(tmp_path, body)
    assert taken.held_rows == 1
    assert CANARY not in str(taken.held)


def test_a_record_error_holds_column_and_rule_only() -> None:
    assert str(RecordError("code")) == "WB-R-003"


def test_refusals_name_the_file_and_nothing_inside_it(tmp_path: Path) -> None:
    entry = {"type": "Observation", "url": "obs.ndjson", "count": 9}
    files = package(tmp_path, listing(entry), obs=[observation(id=CANARY)])
    with is_refused("WB-D-008") as found:
        source("fhir").check(delivery(files), {})
    assert CANARY not in repr(found.value) + repr(vars(found.value)) + repr(found.value.__context__)
