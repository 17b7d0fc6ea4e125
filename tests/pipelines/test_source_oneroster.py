"""OneRoster packages: what is read of them, how members become students, and which packages are refused."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from school_files import (
    REAL,
    checked,
    copied,
    counts,
    csv_text,
    delivery,
    header_12,
    held,
    is_row_by_row_and_keyed,
    manifest,
    needs_real_files,
    one,
    package,
    read,
    shaped,
)
from wellbridge.etl.reading import Chunk, Deferred, Refused
from wellbridge.pipelines.sources.source import source

DAY = date(2026, 10, 19)
SCHOOLS = [
    {"sourcedId": "d1", "name": "District", "type": "district"},
    {
        "sourcedId": "o1",
        "name": "Bay Middle School",
        "type": "school",
        "identifier": "S01",
        "parentSourcedId": "d1",
    },
    {"sourcedId": "o2", "name": "Academy", "type": "school", "parentSourcedId": "d1"},
]
YEAR = [
    {"sourcedId": "sy", "title": "y", "type": "schoolYear", "startDate": "2026-08-17", "schoolYear": "2027"}
]


def user(number: str, **more: str) -> dict[str, str]:
    return {
        "sourcedId": f"u{number}",
        "identifier": number,
        "givenName": "Given",
        "familyName": "Family",
        "grades": "07",
        "primaryOrgSourcedId": "o1",
        "password": "hunter2",
        "phone": "361-555-0100",
        "email": "x@example.org",
        "middleName": "Middle",
        **more,
    }


def role(number: str, name: str = "student", kind: str = "primary", org: str = "o1") -> dict[str, str]:
    return {
        "sourcedId": f"r{number}{name}{kind}",
        "userSourcedId": f"u{number}",
        "roleType": kind,
        "role": name,
        "orgSourcedId": org,
    }


def traits(number: str, **more: str) -> dict[str, str]:
    return {
        "sourcedId": f"u{number}",
        "birthDate": "2014-02-03",
        "sex": "female",
        "cityOfBirth": "Salem",
        **more,
    }


def members(**more: list[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    return {
        "academicSessions": YEAR,
        "orgs": SCHOOLS,
        "users": [user("001")],
        "roles": [role("001")],
        "demographics": [traits("001")],
        **more,
    }


def taken(
    folder: Path, day: date | None = DAY, mode: str = "bulk", **more: list[dict[str, str]]
) -> list[Chunk]:
    path = package(folder / "oneroster_2026-10-19.zip", members(**more), mode)
    return read("oneroster", delivery(path, day))


def observed(chunks: list[Chunk]) -> pl.DataFrame:
    return shaped(source("oneroster"), one(chunks, "students"))["student_observation"]


@needs_real_files
@pytest.mark.parametrize(
    ("name", "roster", "rows_for_keys"),
    [
        ("or11_bulk_small", "oneroster", 5239),
        ("or11_delta_small", "oneroster_delta", 5239),
        ("or12_bulk_small", "oneroster", 5872),
        ("or12_delta_small", "oneroster_delta", 5872),
    ],
)
def test_every_row_of_a_real_package_is_read_and_none_is_held(
    tmp_path: Path, name: str, roster: str, rows_for_keys: int
) -> None:
    found = source("oneroster")
    chunks = read("oneroster", delivery(copied(REAL / f"oneroster/synthetic/{name}.zip", tmp_path), DAY))
    assert counts(chunks) == {
        "orgs": 3,
        "students": 600,
        "staff": 33,
        "results": 60,
        "members": rows_for_keys,
    }
    assert held(chunks) == []
    assert sum(checked(found, chunk).held.height for chunk in chunks if not chunk.deletes) == 0
    rows = observed(chunks)
    assert rows["roster"].unique().to_list() == [roster]
    assert rows["school_id"].n_unique() == 3
    assert rows["birth_year"].null_count() == rows["sex"].null_count() == 0


def test_each_resource_becomes_rows_of_its_warehouse_table(tmp_path: Path) -> None:
    chunks = taken(
        tmp_path,
        users=[user("001"), user("T1", grades="")],
        roles=[role("001"), role("T1", "counselor")],
        lineItems=[{"sourcedId": "li"}],
        results=[
            {
                "sourcedId": "x1",
                "lineItemSourcedId": "li",
                "studentSourcedId": "u001",
                "score": "78",
                "scoreStatus": "fully graded",
                "scoreDate": "2026-09-18",
            }
        ],
    )
    tables = {}
    for resource in ("orgs", "students", "staff", "results"):
        frames = shaped(source("oneroster"), one(chunks, resource))
        assert is_row_by_row_and_keyed(frames)
        tables |= frames
    assert set(tables) == {"school", "student_observation", "staff", "course_result"}
    assert tables["school"].sort("school_id")["school_level"].to_list() == ["middle", None]
    assert tables["staff"].select("staff_key", "staff_role", "school_id").row(0) == ("T1", "counselor", "S01")
    assert tables["course_result"].select("subject_key", "score", "score_status").row(0) == (
        "001",
        78.0,
        "fully_graded",
    )


def test_a_student_is_joined_from_users_roles_demographics_and_orgs(tmp_path: Path) -> None:
    row = observed(taken(tmp_path, demographics=[traits("001", asian="true")])).row(0, named=True)
    expected = {
        "subject_key": "001",
        "school_id": "S01",
        "grade": "07",
        "sex": "female",
        "birth_year": 2014,
        "race_ethnicity": "asian",
        "as_of": DAY,
        "roster": "oneroster",
        "is_active": True,
        "is_readable": True,
    }
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("flags", "category"),
    [
        ({"white": "true", "hispanicOrLatinoEthnicity": "true"}, "hispanic"),
        ({"hispanicOrLatinoEthnicity": "TRUE"}, "hispanic"),
        ({"white": "true", "asian": "true"}, "two_or_more"),
        ({"demographicRaceTwoOrMoreRaces": "true"}, "two_or_more"),
        ({"nativeHawaiianOrOtherPacificIslander": "true", "white": "false"}, "pacific_islander"),
        ({"white": "false", "asian": "false"}, None),
        ({}, None),
    ],
)
def test_races_become_one_federal_category(
    tmp_path: Path, flags: dict[str, str], category: str | None
) -> None:
    rows = observed(taken(tmp_path, demographics=[traits("001", **flags)]))
    assert rows["race_ethnicity"].to_list() == [category]


def test_what_must_not_be_kept_is_dropped_before_anything_else_sees_it(tmp_path: Path) -> None:
    path = package(
        tmp_path / "oneroster_2026-10-19.zip",
        members(),
        users=csv_text(
            [*header_12("users"), "metadata.ssn"], [{**user("001"), "metadata.ssn": "078-05-1120"}]
        ),
    )
    chunks = read("oneroster", delivery(path, DAY))
    cells = {str(cell) for chunk in chunks for row in chunk.rows.iter_rows() for cell in row}
    assert "Given" in cells
    assert cells.isdisjoint({"hunter2", "361-555-0100", "x@example.org", "Middle", "Salem", "078-05-1120"})


def test_the_student_number_is_the_identifier_and_else_the_sourced_id(tmp_path: Path) -> None:
    chunks = taken(
        tmp_path,
        users=[user("001"), user("002", identifier="")],
        roles=[role("001"), role("002")],
        demographics=[],
    )
    assert one(chunks, "students").rows["studentNumber"].to_list() == ["001", "u002"]


def test_a_school_without_an_identifier_is_named_by_the_feeds_own_table(tmp_path: Path) -> None:
    path = package(tmp_path / "o.zip", members(users=[user("001", primaryOrgSourcedId="o2")]))
    plain = read("oneroster", delivery(path, DAY))
    mapped = read("oneroster", delivery(path, DAY), {"school_ids": {"o2": "S02"}})
    assert one(plain, "students").rows["schoolId"].to_list() == ["o2"]
    assert one(mapped, "students").rows["schoolId"].to_list() == ["S02"]
    assert one(mapped, "orgs").rows["schoolId"].to_list() == ["S01", "S02"]


def test_a_primary_role_goes_before_a_secondary_one(tmp_path: Path) -> None:
    chunks = taken(
        tmp_path,
        users=[user("001"), user("002"), user("003")],
        demographics=[],
        roles=[
            role("001", "teacher", "secondary"),
            role("001"),
            role("002", "student", "secondary"),
            role("002", "aide"),
            role("003", "guardian"),
        ],
    )
    assert one(chunks, "students").rows["studentNumber"].to_list() == ["001"]
    assert one(chunks, "staff").rows["staffNumber"].to_list() == ["002"]
    assert counts(chunks)["members"] == 1 + 1 + 5 + 1  # session, district, roles, the guardian


def test_rows_that_refer_to_nothing_in_a_bulk_package_are_held(tmp_path: Path) -> None:
    chunks = taken(
        tmp_path,
        users=[user("001"), user("002"), user("003", primaryOrgSourcedId="o9")],
        roles=[role("001"), role("003"), role("009")],
        demographics=[traits("001"), traits("008")],
        lineItems=[{"sourcedId": "li"}],
        results=[
            {
                "sourcedId": "x",
                "lineItemSourcedId": "li",
                "studentSourcedId": "u007",
                "scoreDate": "2026-09-18",
                "scoreStatus": "submitted",
            }
        ],
        enrollments=[{"sourcedId": "e", "userSourcedId": "u006", "schoolSourcedId": "o1"}],
    )
    name = "oneroster_2026-10-19.zip"
    assert held(chunks) == [
        (f"{name}/demographics.csv", 3, "sourcedId", "WB-R-031"),
        (f"{name}/enrollments.csv", 2, "userSourcedId", "WB-R-031"),
        (f"{name}/results.csv", 2, "student_id", "WB-R-031"),
        (f"{name}/roles.csv", 4, "userSourcedId", "WB-R-031"),
        (f"{name}/users.csv", 3, "role", "WB-R-031"),
        (f"{name}/users.csv", 4, "school_id", "WB-R-031"),
    ]
    assert sum(counts(chunks).values()) == 1 + 3 + 3 + 3 + 2 + 1 + 1 + 1


def test_a_second_demographics_row_of_a_user_is_held(tmp_path: Path) -> None:
    chunks = taken(tmp_path, demographics=[traits("001"), traits("001", sex="male")])
    assert [row[1:] for row in held(chunks)] == [(3, "sourcedId", "WB-R-030")]
    assert one(chunks, "students").rows["sex"].to_list() == ["female"]


def test_a_score_outside_its_line_items_range_is_held(tmp_path: Path) -> None:
    result = {
        "lineItemSourcedId": "li",
        "studentSourcedId": "u001",
        "scoreStatus": "fully graded",
        "scoreDate": "2026-09-18",
    }
    chunks = taken(
        tmp_path,
        lineItems=[{"sourcedId": "li", "resultValueMin": "0", "resultValueMax": "100"}],
        results=[{**result, "sourcedId": "a", "score": "100"}, {**result, "sourcedId": "b", "score": "101"}],
    )
    split = checked(source("oneroster"), one(chunks, "results"))
    assert split.held.select("_row", "rule").rows() == [(3, "WB-R-021")]


def test_a_delta_says_who_left_and_takes_back_what_was_deleted(tmp_path: Path) -> None:
    stamp = {"status": "active", "dateLastModified": "2026-10-12T06:00:00.000Z"}
    gone = {"status": "tobedeleted", "dateLastModified": "2026-10-14T06:00:00.000Z"}
    chunks = taken(
        tmp_path,
        mode="delta",
        academicSessions=[{**YEAR[0], **stamp}],
        orgs=[{**SCHOOLS[1], **stamp}, {**SCHOOLS[2], **gone}],
        users=[{**user("001"), **stamp}, {**user("002"), **gone}, {**user("T1"), **gone}],
        roles=[
            {**role("001"), **gone, "status": "active"},
            {**role("002"), **stamp},
            {**role("T1", "aide"), **stamp},
        ],
        demographics=[],
        results=[{"sourcedId": "x", "studentSourcedId": "u001", **gone}],
    )
    rows = observed(chunks).sort("subject_key")
    assert rows.select("subject_key", "as_of", "is_active", "roster").rows() == [
        ("001", date(2026, 10, 14), True, "oneroster_delta"),
        ("002", date(2026, 10, 14), False, "oneroster_delta"),
    ]
    assert one(chunks, "orgs", deletes=True).rows["schoolId"].to_list() == ["o2"]
    assert one(chunks, "staff", deletes=True).rows["staffNumber"].to_list() == ["T1"]
    assert one(chunks, "results", deletes=True).rows["sourcedId"].to_list() == ["x"]


def test_a_delta_row_may_refer_to_what_an_earlier_delivery_brought(tmp_path: Path) -> None:
    chunks = taken(tmp_path, mode="delta", enrollments=[{"sourcedId": "e", "userSourcedId": "u999"}])
    assert held(chunks) == []


def test_a_status_that_is_none_of_onerosters_holds_the_row(tmp_path: Path) -> None:
    chunks = taken(tmp_path, users=[user("001", status="perhaps")])
    split = checked(source("oneroster"), one(chunks, "students"))
    assert split.held.select("column", "rule").rows() == [("is_active", "WB-R-013")]


def test_a_roster_without_a_date_speaks_for_the_first_day_of_its_school_year(tmp_path: Path) -> None:
    assert one(taken(tmp_path, day=None), "students").rows["asOf"].to_list() == ["2026-08-17"]
    assert one(taken(tmp_path, day=None, academicSessions=[]), "students").rows["asOf"].to_list() == [
        "1970-01-01"
    ]


@pytest.mark.parametrize(
    ("rule", "texts"),
    [
        ("WB-D-006", {"notes": "sourcedId\n1\n"}),
        ("WB-D-007", {"manifest": ""}),
        ("WB-D-007", {"roles": ""}),
        ("WB-D-007", {"categories": "sourcedId,status,dateLastModified,title,weight\n"}),
        ("WB-D-007", {"manifest": manifest(dict.fromkeys(members(), "bulk"), "1.0")}),
        ("WB-D-007", {"manifest": manifest(dict.fromkeys(members(), "weekly"))}),
        ("WB-D-007", {"manifest": manifest({**dict.fromkeys(members(), "bulk"), "secrets": "absent"})}),
        (
            "WB-D-003",
            {"users": csv_text([n if n != "familyName" else "lastName" for n in header_12("users")], [])},
        ),
        ("WB-D-003", {"users": csv_text([*header_12("users"), "role"], [])}),
    ],
)
def test_a_package_that_is_not_what_it_declares_is_refused(
    tmp_path: Path, rule: str, texts: dict[str, str]
) -> None:
    path = package(tmp_path / "o.zip", members(), **texts)
    with pytest.raises(Refused) as refused:
        read("oneroster", delivery(path, DAY))
    assert refused.value.rule == rule


def test_a_zip_that_is_still_uploading_is_deferred(tmp_path: Path) -> None:
    path = package(tmp_path / "o.zip", members())
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(Deferred) as deferred:
        read("oneroster", delivery(path, DAY))
    assert deferred.value.rule == "WB-D-002"


def test_nothing_of_a_package_is_left_beside_it(tmp_path: Path) -> None:
    taken(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["oneroster_2026-10-19.zip"]
