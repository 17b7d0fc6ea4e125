"""Ed-Fi pulls: pages, deletes, and folders that are no pull."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from edfi_records import DAY, SETTLED, action, pulled, uri
from school_files import (
    REAL,
    checked,
    counts,
    delivery,
    held,
    is_row_by_row_and_keyed,
    needs_real_files,
    one,
    pull,
    read,
    shaped,
)
from wellbridge.etl.reading import Chunk, Deferred, Refused
from wellbridge.pipelines.sources.source import source

# -- real files --------------------------------------------------------------------------------------------


def _settled(folder: Path, settings: dict[str, Any] = SETTLED) -> list[Chunk]:
    return read("edfi", delivery(folder, DAY), settings)


def _rules(chunks: list[Chunk]) -> list[str]:
    found = [checked(source("edfi"), chunk).held for chunk in chunks if not chunk.deletes]
    return pl.concat(found)["rule"].to_list()


@needs_real_files
def test_northridges_pages_are_read_whole_and_the_delete_without_a_key_is_held(tmp_path: Path) -> None:
    folder = tmp_path / "edfi_2022-08-11"
    shutil.copytree(REAL / "edfi/northridge_api_json", folder, ignore=shutil.ignore_patterns("all_*"))
    chunks = _settled(folder)
    assert counts(chunks) == {
        "schools": 8,
        "students": 501,
        "studentSchoolAssociations": 503,
        "schools deletes": 1,
    }
    assert [row[1:] for row in held(chunks)] == [(1, "keyValues", "WB-R-010")]
    assert _rules(chunks) == []
    ids = one(chunks, "students").rows["studentUniqueId"]
    assert (ids.str.len_chars() == 6).all()
    assert ids.str.starts_with("00").any()


@needs_real_files
def test_all_of_northridge_reads_from_compressed_pages(tmp_path: Path) -> None:
    for resource in ("students", "studentSchoolAssociations"):
        (tmp_path / "edfi" / resource).mkdir(parents=True)
        shutil.copy(REAL / f"edfi/northridge_api_json/all_{resource}.jsonl.gz", tmp_path / "edfi" / resource)
    chunks = _settled(tmp_path / "edfi")
    assert counts(chunks) == {"students": 6501, "studentSchoolAssociations": 6503}
    assert _rules(chunks) == []
    enrolled = one(chunks, "studentSchoolAssociations").rows["studentUniqueId"]
    assert enrolled.is_in(one(chunks, "students").rows["studentUniqueId"].implode()).all()


@needs_real_files
def test_grand_bend_is_read_whole_and_nothing_is_held() -> None:
    chunks = _settled(REAL / "edfi/ds52_as_api_jsonl")
    assert counts(chunks) == {
        "schools": 3,
        "calendarDates": 2,
        "students": 960,
        "studentSchoolAttendanceEvents": 1917,
        "disciplineIncidents": 21,
        "disciplineActions": 25,
        "studentProgramAssociations": 237,
        "interventions": 1,
        "studentInterventionAssociations": 25,
        "members": 299,
    }
    assert held(chunks) == []
    assert _rules(chunks) == []
    shapes = {
        chunk.resource: shaped(source("edfi"), chunk)
        for chunk in chunks
        if chunk.resource not in {"members", "interventions"}
    }
    assert all(is_row_by_row_and_keyed(frames) for frames in shapes.values())
    actions = shapes["disciplineActions"]["discipline_action"]
    assert actions["is_exclusionary"].sum() == 25
    assert actions["incident_key"].null_count() == 0
    events = shapes["studentSchoolAttendanceEvents"]["attendance"]
    assert events["absent_fraction"].sum() == 1077 + 773 + 0.5
    assert events.select("subject_key", "school_id", "event_date").is_duplicated().sum() == 2
    assert not events.select("subject_key", "school_id", "event_date", "event_kind").is_duplicated().any()
    assert shapes["studentInterventionAssociations"]["intervention"][
        "intervention_class"
    ].unique().to_list() == ["practice"]


@needs_real_files
def test_earthmovers_demographics_become_observations(tmp_path: Path) -> None:
    folder = tmp_path / "edfi"
    shutil.copytree(REAL / "edfi/earthmover_example_output", folder, ignore=shutil.ignore_patterns("*.csv"))
    chunks = _settled(folder)
    assert counts(chunks) == {
        "schools": 6,
        "students": 2398,
        "studentDemographics": 2398,
        "studentSchoolAssociations": 2398,
    }
    assert _rules(chunks) == []
    observed = shaped(source("edfi"), one(chunks, "studentDemographics"))["student_observation"]
    found = dict(observed["race_ethnicity"].value_counts().iter_rows())
    assert found == {"asian": 473, "black": 484, "white": 480, None: 961}


# -- deletes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "resource", "key", "cells"),
    [
        (
            "students",
            "students",
            {"studentUniqueId": "007"},
            {"studentUniqueId": "007", "roster": "edfi_students"},
        ),
        (
            "studentSchoolAssociations",
            "studentSchoolAssociations",
            {"studentUniqueId": "007", "schoolId": 1, "entryDate": "2026-08-17"},
            {"studentUniqueId": "007", "schoolId": "S01", "entryDate": "2026-08-17"},
        ),
        (
            "studentSchoolAttendanceEvents",
            "studentSchoolAttendanceEvents",
            {
                "studentUniqueId": "007",
                "schoolId": 1,
                "eventDate": "2026-10-16",
                "schoolYear": 2027,
                "sessionName": "Fall",
                "attendanceEventCategoryDescriptor": uri("AttendanceEventCategory", "Tardy"),
            },
            {
                "studentUniqueId": "007",
                "schoolId": "S01",
                "eventDate": "2026-10-16",
                "eventKind": "tardy 2027 Fall",
            },
        ),
        (
            "disciplineIncidents",
            "disciplineIncidents",
            {"incidentIdentifier": "I1", "schoolId": 1},
            {"incidentId": "S01:I1"},
        ),
        (
            "disciplineActions",
            "disciplineActions",
            {"disciplineActionIdentifier": "A1", "disciplineDate": "2026-10-16", "studentUniqueId": "007"},
            {"actionId": "A1:2026-10-16", "studentUniqueId": "007"},
        ),
        (
            "studentHomelessProgramAssociations",
            "studentProgramAssociations",
            {
                "beginDate": "2026-08-17",
                "programName": "Homeless",
                "studentUniqueId": "007",
                "programTypeDescriptor": uri("ProgramType", "Homeless"),
                "educationOrganizationId": 990001,
            },
            {"studentUniqueId": "007", "program": "Homeless", "beginDate": "2026-08-17"},
        ),
        (
            "studentInterventionAssociations",
            "studentInterventionAssociations",
            {
                "educationOrganizationId": 990001,
                "interventionIdentificationCode": "C",
                "studentUniqueId": "007",
            },
            {"studentUniqueId": "007", "interventionId": "990001:C"},
        ),
    ],
)
def test_a_delete_names_the_same_key_as_the_record_it_takes_back(
    tmp_path: Path, endpoint: str, resource: str, key: dict[str, Any], cells: dict[str, str]
) -> None:
    row = {"id": "a" * 32, "changeVersion": 9, "keyValues": key}
    chunks = pulled(tmp_path, **{f"{endpoint}/deletes": [row]})
    found = one(chunks, resource, deletes=True).rows.drop("_file", "_row").row(0, named=True)
    assert found.pop("_lastModifiedDate").endswith("T24:00:00Z")  # as late as its pull's day
    assert found == cells
    tables = source("edfi").resources[resource].delete_from
    assert len(tables) == 1


def test_deletes_come_after_all_records_and_in_the_reverse_order(tmp_path: Path) -> None:
    key = {
        "incidentIdentifier": "I1",
        "schoolId": 1,
        "disciplineActionIdentifier": "A1",
        "disciplineDate": "2026-10-16",
        "studentUniqueId": "007",
    }
    chunks = pulled(
        tmp_path,
        **{
            "disciplineIncidents/deletes": [{"keyValues": key}],
            "disciplineActions/deletes": [{"keyValues": key}],
            "disciplineActions": [action("Other")],
        },
    )
    assert [(c.resource, c.deletes) for c in chunks if c.read] == [
        ("disciplineActions", False),
        ("disciplineActions", True),
        ("disciplineIncidents", True),
    ]


def test_a_deleted_record_that_is_never_kept_is_counted_and_changes_nothing(tmp_path: Path) -> None:
    chunks = pulled(
        tmp_path,
        **{
            "staffs/deletes": [{"keyValues": {"staffUniqueId": "1"}}],
            "interventions/deletes": [{"keyValues": {}}],
        },
    )
    assert counts(chunks) == {"members": 2}


# -- what is no pull ---------------------------------------------------------------------------------------


def test_an_unknown_resource_and_changed_keys_are_held(tmp_path: Path) -> None:
    chunks = pulled(tmp_path, **{"studentSecrets": [{}, {}], "students/keyChanges": [{"oldKeyValues": {}}]})
    assert [rule for _, _, _, rule in held(chunks)] == ["WB-R-004"] * 3
    assert counts(chunks) == {"members": 3}


def test_an_element_that_is_no_object_is_held_and_the_rest_is_read(tmp_path: Path) -> None:
    chunks = pulled(tmp_path, schools=[{"schoolId": 1, "nameOfInstitution": "A"}, 5, None])
    assert one(chunks, "schools").rows["_row"].to_list() == [1]
    assert [(row, rule) for _, row, _, rule in held(chunks)] == [(2, "WB-R-003"), (3, "WB-R-003")]


def test_fields_of_the_wrong_type_are_missing_cells(tmp_path: Path) -> None:
    record = {
        "studentReference": "007",
        "schoolReference": [1],
        "eventDate": {"day": 1},
        "attendanceEventCategoryDescriptor": ["x"],
        "sessionReference": 5,
    }
    split = checked(
        source("edfi"),
        one(pulled(tmp_path, studentSchoolAttendanceEvents=[record]), "studentSchoolAttendanceEvents"),
    )
    assert set(split.held["rule"]) == {"WB-R-010"}
    assert split.kept.height == 0


def test_a_pull_that_is_not_whole_is_deferred(tmp_path: Path) -> None:
    folder = pull(tmp_path / "edfi", {"schools/page-0001.json": []}, {"schools/page-0002.json": 3})
    with pytest.raises(Deferred):
        read("edfi", delivery(folder, DAY))
    (folder / "pull.json").unlink()
    with pytest.raises(Deferred):
        read("edfi", delivery(folder, DAY))
    assert counts(read("edfi", delivery(folder, DAY), SETTLED)) == {}


@pytest.mark.parametrize(
    ("rule", "name", "content"),
    [
        ("WB-D-008", "pull.json", {"members": [{"path": "schools/page-0001.json", "rows": 2}]}),
        ("WB-D-007", "pull.json", {"members": [{"rows": 2}]}),
        ("WB-D-007", "pull.json", []),
        ("WB-D-007", "pull.json", {"period": "soon", "members": []}),
        ("WB-D-007", "students/page-0001.json", []),
        ("WB-D-006", "students/page-0001.xml", []),
    ],
)
def test_a_folder_that_is_not_what_it_declares_is_refused(
    tmp_path: Path, rule: str, name: str, content: Any
) -> None:
    folder = pull(tmp_path / "edfi", {"schools/page-0001.json": [{"schoolId": 1}]})
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(Refused) as refused:
        read("edfi", delivery(folder, DAY))
    assert refused.value.rule == rule


def test_compressed_pages_and_a_namespace_folder_are_members_too(tmp_path: Path) -> None:
    page = tmp_path / "edfi/ed-fi/schools/page.jsonl.gz"
    page.parent.mkdir(parents=True)
    page.write_bytes(gzip.compress(b'\xef\xbb\xbf{"schoolId": 1, "nameOfInstitution": "A"}\n'))
    chunks = read("edfi", delivery(tmp_path / "edfi", None), SETTLED)
    assert one(chunks, "schools").rows.select("schoolId", "_file", "_row").rows() == [
        ("1", "edfi/ed-fi/schools/page.jsonl.gz", 1)
    ]


def test_an_undated_pull_takes_each_records_own_day(tmp_path: Path) -> None:
    people = [{"studentUniqueId": "1", "_lastModifiedDate": "2026-09-01T05:00:00Z"}, {"studentUniqueId": "2"}]
    (tmp_path / "students.json").write_text(json.dumps(people), encoding="utf-8")
    chunks = read("edfi", delivery(tmp_path, None), SETTLED)
    assert one(chunks, "students").rows["asOf"].to_list() == ["2026-09-01", "1970-01-01"]
