"""Ed-Fi records: descriptors, references and lists, and what becomes of each resource."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from edfi_records import (
    DAY,
    DEMOGRAPHICS,
    DISTRICT,
    SCHOOL,
    STUDENT,
    action,
    event,
    program,
    pulled,
    rows_of,
    uri,
)
from school_files import checked, counts, one, shaped
from wellbridge.pipelines.sources.source import source
from wellbridge.schemas.errors import ConfigurationError

# -- cells and shapes --------------------------------------------------------------------------------------


def test_a_school_takes_its_level_from_its_category_and_else_from_its_grades(tmp_path: Path) -> None:
    schools = [
        {
            "schoolId": 1,
            "nameOfInstitution": "A",
            "schoolCategories": [{"schoolCategoryDescriptor": uri("SchoolCategory", "Junior High School")}],
        },
        {
            "schoolId": 2,
            "nameOfInstitution": "B",
            "gradeLevels": [
                {"gradeLevelDescriptor": uri("GradeLevel", "Kindergarten")},
                {"gradeLevelDescriptor": uri("GradeLevel", "Fifth grade")},
            ],
        },
        {"schoolId": 3, "nameOfInstitution": "C"},
    ]
    found = shaped(source("edfi"), one(pulled(tmp_path, schools=schools), "schools"))["school"]
    assert found.select("school_id", "school_level").rows() == [
        ("S01", "middle"),
        ("S02", "elementary"),
        ("S03", None),
    ]


def test_school_ids_are_mapped_by_the_feeds_table_before_its_pattern(tmp_path: Path) -> None:
    schools = [
        {"schoolId": 255901001, "nameOfInstitution": "A"},
        {"schoolId": "7 ", "nameOfInstitution": "B"},
        {"schoolId": "X-1", "nameOfInstitution": "C"},
    ]
    found = one(pulled(tmp_path, {"school_ids": {"255901001": "S99"}}, schools=schools), "schools")
    assert found.rows["schoolId"].to_list() == ["S99", "S07", "X-1"]


def test_a_pattern_that_no_number_fits_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        pulled(tmp_path, {"school_id_format": "S{name}"}, schools=[])


@pytest.mark.parametrize(
    ("races", "hispanic", "category"),
    [
        (["White"], False, "white"),
        (["  white "], False, "white"),
        (["White", "Asian"], False, "two_or_more"),
        (["White", "Middle Eastern or North African"], False, "white"),
        (["Hispanic or Latino", "White"], False, "hispanic"),
        (["Asian"], True, "hispanic"),
        (["Other"], False, None),
        (["Choose Not to Respond", "Black - African American"], False, "black"),
        ([], False, None),
    ],
)
def test_races_become_one_federal_category(
    tmp_path: Path, races: list[str], hispanic: bool, category: str | None
) -> None:
    record = {
        **DEMOGRAPHICS,
        "hispanicLatinoEthnicity": hispanic,
        "races": [{"raceDescriptor": uri("Race", race)} for race in races],
    }
    row = rows_of(tmp_path, "studentDemographics", record, "student_observation")
    assert row["race_ethnicity"] == category


def test_a_race_that_no_list_has_holds_the_row(tmp_path: Path) -> None:
    record = {
        **DEMOGRAPHICS,
        "races": [
            {"raceDescriptor": uri("Race", "White")},
            {"raceDescriptor": "uri://tx.gov/RaceDescriptor#Martian"},
        ],
    }
    split = checked(
        source("edfi"), one(pulled(tmp_path, studentDemographics=[record]), "studentDemographics")
    )
    assert split.held.select("column", "rule").rows() == [("race_ethnicity", "WB-R-020")]


@pytest.mark.parametrize(
    ("stated", "economic"),
    [
        ({"economicDisadvantage": True}, True),
        (
            {"economicDisadvantageDescriptor": uri("EconomicDisadvantage", "Not Economically Disadvantaged")},
            False,
        ),
        (
            {
                "studentCharacteristics": [
                    {
                        "studentCharacteristicDescriptor": uri(
                            "StudentCharacteristic", "Economic Disadvantaged"
                        )
                    }
                ]
            },
            True,
        ),
        (
            {
                "studentCharacteristics": [
                    {
                        "studentCharacteristicDescriptor": uri(
                            "StudentCharacteristic", "Economic Disadvantaged"
                        ),
                        "periods": [{"beginDate": "2025-08-17", "endDate": "2026-06-01"}],
                    }
                ]
            },
            False,
        ),
        ({"studentCharacteristics": []}, False),
        ({}, None),
    ],
)
def test_economic_disadvantage_is_read_from_every_data_standards_place(
    tmp_path: Path, stated: dict[str, Any], economic: bool | None
) -> None:
    row = rows_of(tmp_path, "studentDemographics", {**DEMOGRAPHICS, **stated}, "student_observation")
    assert row["economically_disadvantaged"] is economic


def test_demographics_say_the_same_in_data_standard_5_and_6(tmp_path: Path) -> None:
    record = {
        **DEMOGRAPHICS,
        "limitedEnglishProficiencyDescriptor": uri("LimitedEnglishProficiency", "Limited"),
        "disabilities": [{"disabilityDescriptor": uri("Disability", "Deafness")}],
        "addresses": [
            {"addressTypeDescriptor": uri("AddressType", "Mailing"), "postalCode": "10001"},
            {"addressTypeDescriptor": uri("AddressType", "Home"), "postalCode": "78401"},
        ],
    }
    older, newer = (
        rows_of(tmp_path / name, "studentDemographics", record, "student_observation", name)
        for name in ("studentEducationOrganizationAssociations", "studentDemographics")
    )
    assert older == newer
    expected = {
        "subject_key": "007",
        "roster": "edfi",
        "as_of": DAY,
        "sex": "female",
        "zip3": "784",
        "english_learner": True,
        "disability": True,
        "is_readable": True,
    }
    assert {name: newer[name] for name in expected} == expected


def test_an_association_that_says_nothing_about_the_student_is_read_for_its_keys(tmp_path: Path) -> None:
    chunks = pulled(
        tmp_path, studentEducationOrganizationAssociations=[{**STUDENT, **DISTRICT, "cohortYears": []}]
    )
    assert counts(chunks) == {"members": 1}


def test_only_the_named_organisations_demographics_are_taken(tmp_path: Path) -> None:
    other = {**DEMOGRAPHICS, "educationOrganizationReference": {"educationOrganizationId": 1}}
    chunks = pulled(
        tmp_path, {"education_organizations": ["990001"]}, studentDemographics=[other, DEMOGRAPHICS]
    )
    assert counts(chunks) == {"studentDemographics": 1, "members": 1}
    assert one(chunks, "studentDemographics").rows["_row"].to_list() == [2]


@pytest.mark.parametrize(
    ("category", "more", "status", "fraction"),
    [
        ("Unexcused Absence", {}, "unexcused", 1.0),
        ("excused absence ", {"eventDuration": 0.25}, "excused", 0.25),
        ("Partial", {}, "half_day", 0.5),
        ("Partial", {"eventDuration": 0.3}, "half_day", 0.3),
        ("Tardy", {"eventDuration": 0.1}, "tardy", 0.0),
        ("Early departure", {}, "early_departure", 0.0),
        ("In Attendance", {}, "present", 0.0),
    ],
)
def test_attendance_events_become_shares_of_a_day(
    tmp_path: Path, category: str, more: dict[str, Any], status: str, fraction: float
) -> None:
    row = rows_of(tmp_path, "studentSchoolAttendanceEvents", event(category, **more), "attendance")
    assert (row["status"], row["absent_fraction"], row["school_id"]) == (status, fraction, "S01")


def test_two_events_of_one_day_are_two_rows_and_their_reasons_go_nowhere(tmp_path: Path) -> None:
    events = [event("Tardy", attendanceEventReason="overslept"), event("Excused Absence")]
    chunk = one(pulled(tmp_path, studentSchoolAttendanceEvents=events), "studentSchoolAttendanceEvents")
    kinds = shaped(source("edfi"), chunk)["attendance"]["event_kind"].to_list()
    assert kinds == ["tardy 2027 Fall", "excused absence 2027 Fall"]
    assert "overslept" not in str(chunk.rows.rows())


@pytest.mark.parametrize(
    ("disciplines", "kept", "is_exclusionary"),
    [
        (["Community Service"], "community_service", False),
        (["Removal from Classroom"], "removal_from_classroom", False),
        (["Community Service", "Expulsion with Services", "Other"], "expulsion", True),
        (["In School Suspension"], "in_school_suspension", True),
    ],
)
def test_the_most_severe_discipline_of_an_action_counts(
    tmp_path: Path, disciplines: list[str], kept: str, is_exclusionary: bool
) -> None:
    row = rows_of(tmp_path, "disciplineActions", action(*disciplines), "discipline_action")
    assert (row["action"], row["is_exclusionary"]) == (kept, is_exclusionary)
    assert (row["incident_key"], row["length_days"], row["school_id"]) == ("S01:I1", 5.0, "S01")


def test_an_action_finds_its_incident(tmp_path: Path) -> None:
    incident = {
        **SCHOOL,
        "incidentIdentifier": "I1",
        "incidentDate": "2026-10-15",
        "reporterName": "Doe, Jane",
        "behaviors": [
            {"behaviorDescriptor": uri("Behavior", "Other")},
            {"behaviorDescriptor": uri("Behavior", "State Offense")},
        ],
    }
    row = rows_of(tmp_path, "disciplineIncidents", incident, "discipline_incident")
    assert (row["incident_key"], row["behavior"]) == ("S01:I1", "state_offense")
    assert "Doe, Jane" not in str(row)


def test_an_action_of_several_students_before_data_standard_3_is_held(tmp_path: Path) -> None:
    one_student, two = action("Other", students=[STUDENT]), action("Other", students=[STUDENT, STUDENT])
    del one_student["studentReference"], two["studentReference"]
    split = checked(
        source("edfi"), one(pulled(tmp_path, disciplineActions=[one_student, two]), "disciplineActions")
    )
    assert split.kept["student_id"].to_list() == ["007"]
    assert split.held.select("_row", "column", "rule").rows() == [(2, "student_id", "WB-R-010")]


@pytest.mark.parametrize(
    ("endpoint", "record", "code"),
    [
        ("studentHomelessProgramAssociations", program("Homeless"), "homeless"),
        ("studentFosterCareProgramAssociations", program("Other"), "foster_care"),
        ("studentProgramAssociations", program("Other", "Foster Care Services"), "foster_care"),
        ("studentProgramAssociations", program("Migrant Education"), "migrant"),
        ("studentProgramAssociations", program("Title I Part A"), "title_i"),
        (
            "studentProgramAssociations",
            program("English as a Second Language (ESL)"),
            "english_as_a_second_language_esl",
        ),
        ("studentSpecialEducationProgramAssociations", program("Special Education"), "special_education"),
        ("studentSection504ProgramAssociations", program("Section 504 Placement"), "section_504"),
    ],
)
def test_program_associations_of_every_kind_become_participation(
    tmp_path: Path, endpoint: str, record: dict[str, Any], code: str
) -> None:
    row = rows_of(tmp_path, "studentProgramAssociations", record, "program_participation", endpoint)
    assert (row["program"], row["begin_date"]) == (code, date(2026, 8, 17))


def test_an_unknown_program_type_is_not_hidden_by_a_programs_name(tmp_path: Path) -> None:
    chunk = one(
        pulled(tmp_path, studentProgramAssociations=[program("Time travel", "Foster Care")]),
        "studentProgramAssociations",
    )
    assert checked(source("edfi"), chunk).held["rule"].to_list() == ["WB-R-020"]


def test_an_intervention_gives_its_class_to_the_students_in_it(tmp_path: Path) -> None:
    intervention = {
        **DISTRICT,
        "interventionIdentificationCode": "CHECK-IN",
        "interventionClassDescriptor": uri("InterventionClass", "Practice"),
        "deliveryMethodDescriptor": uri("DeliveryMethod", "Small Group"),
    }
    reference = {"educationOrganizationId": 990001, "interventionIdentificationCode": "CHECK-IN"}
    chunks = pulled(
        tmp_path,
        studentInterventionAssociations=[
            {**STUDENT, "interventionReference": reference, "dosage": 30, "diagnosticStatement": "secret"}
        ],
        interventions=[intervention],
    )
    row = shaped(source("edfi"), one(chunks, "studentInterventionAssociations"))["intervention"].row(
        0, named=True
    )
    assert (row["intervention_class"], row["delivery_method"], row["dosage"]) == (
        "practice",
        "small_group",
        30,
    )
    assert counts(chunks)["interventions"] == 1


def test_a_day_is_instructional_where_any_calendar_of_the_school_says_so(tmp_path: Path) -> None:
    def day(calendar: str, *events: str) -> dict[str, Any]:
        return {
            "calendarReference": {"calendarCode": calendar, "schoolId": 1, "schoolYear": 2027},
            "date": "2026-10-16",
            "calendarEvents": [{"calendarEventDescriptor": uri("CalendarEvent", e)} for e in events],
        }

    days = [day("A", "Holiday"), day("B", "Teacher only day", "Make-up day")]
    chunk = one(pulled(tmp_path, calendarDates=days), "calendarDates")
    found = shaped(source("edfi"), chunk)["calendar_day"]
    assert found.select("school_id", "calendar_date", "is_instructional").rows() == [
        ("S01", date(2026, 10, 16), True)
    ]


@pytest.mark.parametrize(("left", "spoken"), [(None, 1), ("2026-10-30", 1), ("2026-10-19", 0)])
def test_open_enrolments_are_a_roster_only_where_the_feed_says_so(
    tmp_path: Path, left: str | None, spoken: int
) -> None:
    record = {
        **STUDENT,
        **SCHOOL,
        "entryDate": "2026-08-17",
        "exitWithdrawDate": left,
        "entryGradeLevelDescriptor": uri("GradeLevel", "Seventh grade"),
    }
    plain = pulled(tmp_path / "plain", studentSchoolAssociations=[record])
    assert set(shaped(source("edfi"), one(plain, "studentSchoolAssociations"))) == {"enrollment"}
    roster = pulled(
        tmp_path / "roster", {"roster_from_enrollments": True}, studentSchoolAssociations=[record]
    )
    frames = shaped(source("edfi"), one(roster, "studentSchoolAssociations"))
    assert frames["enrollment"].select("school_id", "grade").row(0) == ("S01", "07")
    assert frames.get("student_observation", pl.DataFrame()).height == spoken


def test_an_enrolment_that_ends_before_it_begins_is_held(tmp_path: Path) -> None:
    record = {
        **STUDENT,
        **SCHOOL,
        "entryDate": "2026-08-17",
        "exitWithdrawDate": "2026-06-01",
        "entryGradeLevelDescriptor": uri("GradeLevel", "Seventh grade"),
    }
    chunk = one(pulled(tmp_path, studentSchoolAssociations=[record]), "studentSchoolAssociations")
    assert checked(source("edfi"), chunk).held.select("column", "rule").rows() == [(None, "WB-R-032")]
