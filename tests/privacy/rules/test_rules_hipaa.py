"""HIPAA's rules on rows: a column is caught by what it is, also where somebody classified it too mildly."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import polars as pl
import pytest

from privacy.rules.rule_data import (
    P,
    column,
    contract,
    in_record,
    in_warehouse,
    is_taken_out,
    released_rows,
    rows,
)
from wellbridge.pipelines.extract_definitions import ExtractDefinition
from wellbridge.pipelines.extracts import Release
from wellbridge.pipelines.policy.release import STATEMENT, Limits, determination
from wellbridge.privacy.codes import MemoryCrosswalk
from wellbridge.privacy.policy import decisions
from wellbridge.privacy.records.builtin import zips
from wellbridge.privacy.rules.apply import treated
from wellbridge.privacy.rules.book import builtin
from wellbridge.privacy.rules.generalise import generalised, shown_areas, zip3
from wellbridge.privacy.rules.local import tightened
from wellbridge.privacy.rules.rule import Purpose
from wellbridge.privacy.rules.strictness import Treatment
from wellbridge.schemas.classes import Regime
from wellbridge.schemas.errors import SafeError


def test_h01_names_are_taken_out() -> None:
    assert is_taken_out("guardian_name")
    assert is_taken_out("contact", header="lastSurname")
    assert is_taken_out("somebody", trait="first_name")


def test_h02_places_smaller_than_a_state_are_taken_out_of_health_records() -> None:
    made = contract(*(column(name, P.PLAIN) for name in ("city", "county", "state")))
    frame = rows(made, city=["Smallville"], county=["Kent"], state=["KS"])
    assert in_record(made, frame).columns == ["state"]


def test_h02_of_a_zip_code_three_digits_stay_where_enough_people_live() -> None:
    made = contract(column("zip_code", P.QUASI, trait="zip_code", generalise="zip3"))
    found = in_record(made, rows(made, zip_code=["94501", "03601", "3601", "94501-1234", "K1A 0B1", None]))
    assert found.to_dict(as_series=False) == {"zip3": ["945", "000", "000", "945", "000", None]}


@pytest.mark.parametrize("prefix", ["036", "692", "878", "893", "205", "369"])
def test_h02_each_small_area_becomes_000(prefix: str) -> None:
    limits = builtin().rules["W-03"].limits
    small = limits["small_areas"]
    assert isinstance(small, frozenset)
    assert prefix in small
    assert shown_of(f"{prefix}01") == "000"


@pytest.mark.parametrize("prefix", [
    "090", "096", "340", "962", "966",  # military
    "000", "004", "099", "213", "269", "343", "345", "348", "353", "419", "428", "517", "529", "533", "536", "552",
    "568", "578", "589", "621", "632", "642", "659", "663", "682", "694", "702", "709", "715", "732", "742", "771",
    "817", "839", "848", "854", "858", "861", "866", "876", "886", "892", "896", "899", "909", "929", "987",  # nowhere
    "569", "772", "202", "204", "999",  # the government's, a company's, and where an estimate is too close
])
def test_h02_what_is_not_known_to_be_a_large_civil_area_becomes_000(prefix: str) -> None:
    assert shown_of(f"{prefix}01") == "000"


def test_h02_most_areas_stay() -> None:
    assert [shown_of(f"{prefix}01") for prefix in ("006", "100", "606", "787", "945", "995")] == [
        "006", "100", "606", "787", "945", "995"]
    stay = {area for number in range(1000) if (area := shown_of(f"{number:03}01")) != "000"}
    assert 800 < len(stay) < 900


def test_h02_a_generalisation_that_knows_no_areas_shows_none() -> None:
    frame = pl.DataFrame({"zip": ["94501", None]})
    assert frame.select(generalised("zip", Treatment.ZIP3, {}))["zip3"].to_list() == ["000", None]


def test_h02_a_site_can_make_the_areas_fewer_and_not_more() -> None:
    fewer = tightened(builtin(), '[tighten.W-03]\nknown_areas = ["943-949"]')
    assert fewer.rules["W-03"].limits["known_areas"] == frozenset(f"{area}" for area in range(943, 950))
    with pytest.raises(SafeError) as caught:
        tightened(builtin(), '[tighten.W-03]\nknown_areas = ["940", "962-963"]')
    assert caught.value.code == "WB-E-044"


def shown_of(code: str) -> str:
    areas = shown_areas(builtin().rules["W-03"].limits)
    found = pl.select(zip3(pl.lit(code), areas)).item()
    assert found == levels_of_zips(code)  # the record engine says the same
    return str(found)


def levels_of_zips(code: str) -> str:
    return str(zips().labels(pl.Series("zip", [code]), "zip").row(0)[1])


def test_h03_of_persons_over_89_one_year_of_birth_stands_for_all() -> None:
    now = datetime.now(UTC).year
    days = [date(now - age, 6, 1) for age in (89, 90, 91, 110)]
    made = contract(column("dob", P.QUASI, date), column("event_date", P.QUASI, date))
    found = in_record(made, rows(made, dob=days, event_date=days))
    assert found["birth_year"].to_list() == found["event_date"].to_list() == [now - 89, now - 90, now - 90, now - 90]


def test_h03_of_a_day_about_a_patient_the_year_stays() -> None:
    made = contract(column("event_date", P.QUASI, date), column("reported", P.PLAIN, date))
    frame = rows(made, event_date=[date(2026, 3, 29), None], reported=[date(2026, 3, 30)] * 2)
    found = in_record(made, frame)
    assert found["event_date"].to_list() == [2026, None]
    assert found["reported"].to_list() == [date(2026, 3, 30)] * 2


def test_h03_under_ferpa_alone_a_day_is_a_quasi_identifier_like_others() -> None:
    made = contract(column("event_date", P.QUASI, date), regime=Regime.FERPA)
    decision = decisions(made, builtin(), Purpose.RECORD)["event_date"]
    assert decision.treatment is Treatment.KEEP
    assert "F-02 require:k_alike" in decision.checks


def test_h04_telephone_numbers_are_taken_out() -> None:
    assert is_taken_out("phone_number")
    assert is_taken_out("how_to_reach", trait="phone")


def test_h05_fax_numbers_are_taken_out() -> None:
    assert is_taken_out("fax")


def test_h06_mail_addresses_are_taken_out() -> None:
    assert is_taken_out("email")
    assert is_taken_out("contact", header="emailAddress")


def test_h07_social_security_numbers_are_taken_out() -> None:
    assert is_taken_out("ssn")
    assert is_taken_out("number", header="Social Security Number")


def test_h08_medical_record_numbers_are_taken_out() -> None:
    assert is_taken_out("mrn")


def test_h09_health_plan_numbers_are_taken_out() -> None:
    assert is_taken_out("medicaid_id")


def test_h10_account_numbers_are_taken_out() -> None:
    assert is_taken_out("account_number")


def test_h11_licence_numbers_are_taken_out() -> None:
    assert is_taken_out("drivers_license")


def test_h12_vehicle_identifiers_are_taken_out() -> None:
    assert is_taken_out("license_plate")


def test_h13_device_identifiers_are_taken_out() -> None:
    assert is_taken_out("serial_number")


def test_h14_web_addresses_are_taken_out() -> None:
    assert is_taken_out("url")


def test_h15_internet_addresses_are_taken_out() -> None:
    assert is_taken_out("ip_address")


def test_h16_biometric_identifiers_are_taken_out() -> None:
    assert is_taken_out("fingerprint")


def test_h17_photographs_are_taken_out() -> None:
    assert is_taken_out("photo")


def test_h18_every_identifier_of_a_source_is_taken_out_and_a_random_key_stands_for_it() -> None:
    assert is_taken_out("student_number")
    made = contract(column("visit_id", P.PLAIN, ids="encounter"), column("minutes", P.SENSITIVE, int))
    frame = rows(made, visit_id=["Zyxcanary"], minutes=[30]).with_columns(pl.lit("00ff").alias("visit_key"))
    assert in_warehouse(made, frame).columns == ["minutes", "visit_key"]


def test_h19_ages_above_89_are_one_group() -> None:
    made = contract(column("age", P.QUASI, int))
    found = in_record(made, rows(made, age=[7, 89, 90, 104, None]))
    assert found["age"].to_list() == ["7", "89", "90 or older", "90 or older", None]


def test_h20_the_person_named_states_that_nobody_knows_a_way() -> None:
    def made_by(person: str) -> dict[str, object]:
        definition = ExtractDefinition("x", "X", "record", "a", determined_by=person)
        return determination(definition, builtin(), datetime(2026, 11, 2, tzinfo=UTC), Limits(10, 10), {})

    assert made_by("Data privacy officer")["statement"] == STATEMENT
    assert made_by("")["statement"] == ""
    assert "H-20" in made_by("")["rules"]  # type: ignore[operator]  # a list


def test_h21_method_and_results_of_the_determination_are_written_down(releases: dict[str, Release]) -> None:
    found = json.loads((releases["record"].path / "manifest.json").read_text(encoding="utf-8"))["determination"]
    assert "H-21" in found["rules"]
    assert found["method"]
    assert found["results"]["records.csv"]["rows"] == len(released_rows(releases["record"].path / "records.csv"))


def test_h22_a_code_is_not_derived_from_the_person() -> None:
    made = contract(column("person_key", P.KEY), column("minutes", P.SENSITIVE, int))
    decision = decisions(made, builtin(), Purpose.RECORD)["person_key"]
    assert {rule.id for rule in decision.deciding} == {"F-05", "H-22"}
    assert in_record(made, rows(made, person_key=["k"], minutes=[30])).columns == ["minutes"]
    keys = pl.Series(["same"] * 3)
    codes = {MemoryCrosswalk().codes("sea", keys)["code"][0] for _ in range(10)}
    assert len(codes) == 10


@pytest.mark.parametrize("name", [
    "last_name", "address", "phone", "fax", "email", "ssn", "mrn", "medicaid_id", "account", "certificate_number",
    "vin", "device_id", "website", "ip", "voice_print", "portrait",
])
def test_h23_sixteen_kinds_of_identifiers_are_not_in_the_warehouse_whatever_their_class(name: str) -> None:
    for privacy in P:
        made = contract(column(name, privacy), column("minutes", P.SENSITIVE, int))
        frame = rows(made, **{name: ["Zyxcanary"], "minutes": [30]})
        assert in_warehouse(made, frame).columns == ["minutes"]


def test_h23_days_and_towns_may_stay_in_the_warehouse() -> None:
    made = contract(column("city", P.QUASI), column("event_date", P.QUASI, date))
    assert in_warehouse(made, rows(made, city=["Springfield"], event_date=[date(2026, 3, 29)])).height == 1
    assert in_warehouse(made, rows(made, city=["x"], event_date=[None])).columns == ["city", "event_date"]


def test_h24_no_release_is_a_limited_data_set() -> None:
    """Days and towns, which a limited data set may hold, are generalised or taken out of what leaves."""
    made = contract(column("city", P.QUASI), column("event_date", P.QUASI, date), column("minutes", P.SENSITIVE, int))
    frame = rows(made, city=["Springfield"], event_date=[date(2026, 3, 29)], minutes=[30])
    assert in_record(made, frame).to_dicts() == [{"event_date": 2026, "minutes": 30}]
    in_tables = treated(frame, decisions(made, builtin(), Purpose.AGGREGATE))
    assert "city" not in in_tables.columns
    assert "H-24 require:data_use_agreement" in decisions(made, builtin(), Purpose.RECORD)["minutes"].checks
