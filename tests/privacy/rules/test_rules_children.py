"""42 CFR Part 2, McKinney-Vento and IDEA on rows and releases."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from privacy.rules.rule_data import P, column, contract, in_record, in_warehouse, rows
from wellbridge.etl.loading import delete, upsert
from wellbridge.etl.store import open_store
from wellbridge.pipelines.extract_definitions import ExtractDefinition, load_definition
from wellbridge.pipelines.extracts import Release
from wellbridge.pipelines.policy.release import Limits, determination
from wellbridge.pipelines.releases import disclosure
from wellbridge.privacy.agreements import Agreement, check_elements
from wellbridge.privacy.consent import removal_rule, standing
from wellbridge.privacy.policy import decisions
from wellbridge.privacy.rules.book import builtin
from wellbridge.privacy.rules.decide import regimes_of
from wellbridge.privacy.rules.rule import Purpose
from wellbridge.schemas.classes import Regime
from wellbridge.schemas.errors import PrivacyError
from wellbridge.schemas.warehouse import METADATA, PROGRAM_PARTICIPATION

TODAY = date(2026, 11, 2)
CONSENTS = {
    "subject_key": pl.String, "decision": pl.String, "start_date": pl.Date, "end_date": pl.Date,
    "is_active": pl.Boolean,
}


def removed(is_part2: bool | None, *consents: tuple[str, date | None, date | None, bool]) -> str | None:
    """The rule that removes a health record of a child with these consents: decision, start, end, active."""
    given = pl.DataFrame([("s1", *one) for one in consents], schema=CONSENTS, orient="row")
    subjects = pl.DataFrame({"subject_key": ["s1"], "person_key": ["p1"]})
    row = pl.DataFrame({"subject_key": ["s1"], "is_part2": [is_part2]}, schema_overrides={"is_part2": pl.Boolean})
    known = row.join(standing(given, subjects, TODAY), on="subject_key", how="left")
    found: str | None = known.select(removal_rule(known).alias("rule"))["rule"][0]
    return found


PERMIT = ("permit_part2", date(2026, 1, 1), date(2027, 1, 1), True)


def test_s01_a_record_of_treatment_is_removed_without_a_consent_and_stays_with_one() -> None:
    assert removed(True) == "WB-P-002"
    assert removed(True, PERMIT) is None
    assert removed(False) is None


@pytest.mark.parametrize("consent", [
    ("permit_part2", date(2025, 1, 1), date(2026, 11, 2), True), ("permit_part2", date(2026, 11, 3), None, True),
    ("permit_part2", date(2026, 1, 1), None, False),
], ids=["expired", "not begun", "revoked"])
def test_s02_a_consent_that_is_not_in_force_permits_nothing(
    consent: tuple[str, date | None, date | None, bool]
) -> None:
    assert removed(True, consent) == "WB-P-002"


def test_s03_a_record_that_does_not_say_is_taken_for_one_of_treatment() -> None:
    assert removed(None) == "WB-P-002"
    assert removed(None, PERMIT) is None


def test_s04_a_notice_against_further_disclosure_goes_with_every_release(releases: dict[str, Release]) -> None:
    for release in releases.values():
        text = (release.path / "README.txt").read_text(encoding="utf-8")
        assert "may not disclose them to any other party" in text
        assert "42 CFR part 2 prohibits unauthorized use or disclosure of these records" in text


def test_s05_rows_that_can_be_of_treatment_are_de_identified_as_hipaa_asks() -> None:
    made = contract(
        column("is_part2", P.SENSITIVE, bool), column("event_date", P.QUASI, date), column("city", P.QUASI),
        regime=Regime.PART2,
    )
    assert Regime.PART2 in regimes_of(made)
    frame = rows(made, is_part2=[True], event_date=[date(2026, 3, 29)], city=["Springfield"])
    assert in_record(made, frame).to_dicts() == [{"is_part2": True, "event_date": 2026}]
    assert "S-05 require:k_alike" in decisions(made, builtin(), Purpose.RECORD)["event_date"].checks


def test_w08_a_family_s_refusal_removes_its_child_s_rows() -> None:
    assert removed(False, ("deny", None, None, True)) == "WB-P-001"
    assert removed(False, ("optout_all", date(2026, 1, 1), None, True)) == "WB-P-003"
    assert removed(False, ("optout_all", date(2026, 12, 1), None, True)) is None


# -- McKinney-Vento and IDEA -------------------------------------------------------------------------------


def test_m01_homelessness_leaves_only_where_an_agreement_lists_it(folder: Path, agreement: Agreement) -> None:
    definition = replace(
        load_definition(folder / "extracts" / "student-supports.toml"), columns=("grade_band", "homeless")
    )
    assert "homeless" not in agreement.elements
    with pytest.raises(PrivacyError) as caught:
        check_elements(agreement, definition.elements)
    assert "homeless" in caught.value.where
    check_elements(replace(agreement, elements=(*agreement.elements, "homeless")), definition.elements)


def test_m02_a_living_situation_that_somebody_took_for_directory_information_is_taken_out() -> None:
    for privacy, left in ((P.PLAIN, []), (P.SENSITIVE, ["nighttime_residence"])):
        made = contract(column("nighttime_residence", privacy), regime=Regime.FERPA)
        frame = rows(made, nighttime_residence=["shelter"])
        assert in_warehouse(made, frame).columns == left
        assert in_record(made, frame).columns == left


def test_i01_disability_leaves_only_where_an_agreement_lists_it(folder: Path, agreement: Agreement) -> None:
    definition = load_definition(folder / "extracts" / "student-supports.toml")
    assert "disability" in definition.elements
    check_elements(agreement, definition.elements)
    without = replace(agreement, elements=tuple(name for name in agreement.elements if name != "disability"))
    with pytest.raises(PrivacyError, match="WB-E-041"):
        check_elements(without, definition.elements)


def test_i02_an_official_is_named_in_the_determination_of_a_release() -> None:
    definition = ExtractDefinition("x", "X", "record", "a", determined_by="Director of special education")
    found = determination(definition, builtin(), datetime(2026, 11, 2, tzinfo=UTC), Limits(10, 10), {})
    assert found["made_by"] == "Director of special education"
    assert "I-02" in found["rules"]


def test_i03_party_purpose_and_release_of_each_access_are_written_down(folder: Path, agreement: Agreement) -> None:
    definition = load_definition(folder / "extracts" / "student-supports.toml")
    found = json.loads(disclosure(definition, agreement, "0" * 64))
    assert found["parties"] == ["State Education Agency", "Director of Student Supports"]
    assert found["interest"] == agreement.purpose
    assert found["release"] == "0" * 64


def test_i04_what_a_school_deletes_goes_out_of_the_warehouse_and_stays_out(tmp_path: Path) -> None:
    table = PROGRAM_PARTICIPATION
    facts = {"subject_key": "s1", "program": "special_education", "begin_date": date(2026, 8, 10), "batch_id": "b"}
    types = {"begin_date": pl.Date, "end_date": pl.Date, "_id": pl.Int64}
    names = [column.name for column in table.columns]

    def frame(version: str, only: list[str]) -> pl.DataFrame:
        row = {name: facts.get(name) for name in only} | {"version": version, "_id": 0}
        return pl.DataFrame([row], schema={name: types.get(name, pl.String) for name in row})

    with open_store(tmp_path / "warehouse.duckdb", METADATA) as store:
        upsert(store, table, frame("1", names))
        assert store.value("SELECT count(*) FROM program_participation") == 1
        delete(store, table, frame("2", [*table.info["key"], "batch_id"]))
        upsert(store, table, frame("1", names))
        assert store.value("SELECT count(*) FROM program_participation") == 0
