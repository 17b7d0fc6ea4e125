"""The synthetic district: the same bytes for the same seed, and a truth that the files bear out."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from wellbridge.pipelines.synth import generate

FEEDS = {
    "oneroster",
    "edfi",
    "sis",
    "fhir",
    "hl7v2",
    "case_management",
    "out_of_school",
    "telehealth",
    "handle_with_care",
    "staff_training",
    "needs_assessment",
    "yrbs",
    "wonder",
}
MEASURES = {
    "chronic_absence",
    "tier_students",
    "tier_movement",
    "screen_to_service_30",
    "phq9_response",
    "phq9_remission",
    "service_minutes",
    "homeless_served",
    "ost_regular",
    "ost_hours",
    "staff_trained",
    "training_hours",
    "reentry_timely",
    "hwc_within_day",
    "hwc_response_hours",
    "exclusionary_discipline",
    "positive_screen_rate",
}
NEVER_ROSTERED_FROM = 9_000_000


@pytest.fixture(scope="module")
def district(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("synth") / "district"
    generate(directory, students=240, nights=3, seed=11)
    return directory


def table(district: Path, name: str) -> list[dict[str, str]]:
    with (district / "truth" / f"{name}.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def document(district: Path, name: str) -> Any:
    return json.loads((district / "truth" / f"{name}.json").read_bytes())


def digest(directory: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        whole.update(str(path.relative_to(directory)).encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


def raw_row(district: Path, row: dict[str, str]) -> bytes | dict[str, Any]:
    """Read the row that a line of the truth names, straight from the delivered file."""
    folder, number = district / f"night-{row['night']}" / row["feed"], int(row["row"])
    if row["feed"] == "oneroster":
        package, member = row["file"].split("/")
        return zipfile.ZipFile(folder / package).read(member).split(b"\n")[number - 1]
    content = (folder / row["file"]).read_bytes()
    if row["feed"] == "hl7v2":
        return b"MSH" + content.split(b"BTS|")[0].split(b"\rMSH")[number]
    if row["feed"] == "edfi" and row["file"].endswith(".json"):
        page: list[dict[str, Any]] = json.loads(content)
        return page[number - 1]
    return content.split(b"\n")[number - 1]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path, district: Path) -> None:
    generate(tmp_path / "again", students=240, nights=3, seed=11)
    generate(tmp_path / "other", students=240, nights=3, seed=12)
    assert digest(tmp_path / "again") == digest(district)
    assert digest(tmp_path / "other") != digest(district)


def test_every_feed_is_delivered_in_the_first_night(district: Path) -> None:
    assert {path.name for path in (district / "night-1").iterdir()} == FEEDS
    assert all(any(path.iterdir()) for path in (district / "night-1").iterdir())
    assert not (district / ".staging").exists()


def test_a_directory_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(FileExistsError):
        generate(tmp_path, students=10, nights=1, seed=1)


@pytest.mark.parametrize(("students", "nights"), [(0, 1), (10, 0), (10, 4000)])
def test_numbers_that_make_no_district_are_refused(tmp_path: Path, students: int, nights: int) -> None:
    with pytest.raises(ValueError, match="synthetic district"):
        generate(tmp_path / "d", students=students, nights=nights, seed=1)


def test_one_night_of_a_handful_of_children_is_a_district_too(tmp_path: Path) -> None:
    generate(tmp_path / "d", students=5, nights=1, seed=1)
    assert len(table(tmp_path / "d", "people")) == 5
    assert {path.name for path in (tmp_path / "d").iterdir()} == {"night-1", "truth"}


def test_the_school_year_starts_with_thirty_days_in_the_first_night(district: Path) -> None:
    names = {path.name for path in (district / "night-1" / "sis").iterdir()}
    assert names == {"attendance_2026-08-17_2026-09-28.csv", "optout_2026-09-28.csv"}
    assert (district / "night-3" / "sis" / "attendance_2026-09-30.csv").exists()


# -- defects -----------------------------------------------------------------------------------------------


def test_every_kind_of_row_rule_is_planted(district: Path) -> None:
    planted = {row["rule"] for row in table(district, "defects")}
    wanted = {
        "001",
        "002",
        "003",
        "004",
        "010",
        "011",
        "012",
        "013",
        "014",
        "020",
        "021",
        "030",
        "031",
        "032",
        "033",
        "034",
    }
    assert planted == {f"WB-R-{number}" for number in wanted}


def test_a_row_is_named_once_and_lies_in_its_file(district: Path) -> None:
    rows = table(district, "defects")
    places = Counter((row["night"], row["feed"], row["file"], row["row"]) for row in rows)
    assert max(places.values()) == 1
    assert all(raw_row(district, row) for row in rows)


def number_of(student: str) -> int:
    """Undo the order of student numbers: 7919 and 10^7 have no common divisor."""
    return (int(student) - 104_729) * pow(7919, -1, 10_000_000) % 10_000_000


def test_a_ragged_row_has_another_number_of_fields_than_its_header(district: Path) -> None:
    for row in table(district, "defects"):
        if row["rule"] == "WB-R-001":
            header = raw_row(district, row | {"row": "1"})
            spoilt = raw_row(district, row)
            assert isinstance(header, bytes)
            assert isinstance(spoilt, bytes)
            counts = [len(next(csv.reader([line.decode()]))) for line in (header, spoilt)]
            assert counts[0] != counts[1]


def test_an_undecodable_row_is_not_utf8(district: Path) -> None:
    rows = [raw_row(district, row) for row in table(district, "defects") if row["rule"] == "WB-R-002"]
    assert rows
    for spoilt in rows:
        assert isinstance(spoilt, bytes)
        with pytest.raises(UnicodeDecodeError):
            spoilt.decode()


def test_an_orphan_has_a_student_number_that_no_child_has(district: Path) -> None:
    known = {row["student_number"] for row in table(district, "people")}
    orphans = [
        row for row in table(district, "defects") if row["rule"] == "WB-R-031" and row["feed"] == "sis"
    ]
    assert orphans
    for row in orphans:
        spoilt = raw_row(district, row)
        assert isinstance(spoilt, bytes)
        student = next(csv.reader([spoilt.decode()]))[0]
        assert student not in known
        assert number_of(student) >= NEVER_ROSTERED_FROM


def test_a_duplicate_is_the_later_of_two_rows_with_one_key(district: Path) -> None:
    row = next(
        r for r in table(district, "defects") if r["rule"] == "WB-R-030" and r["file"].startswith("services")
    )
    path = district / f"night-{row['night']}" / row["feed"] / row["file"]
    lines = path.read_bytes().split(b"\n")
    key = lines[int(row["row"]) - 1].split(b",")[0]
    at = [number for number, line in enumerate(lines, 1) if line.split(b",")[0] == key]
    assert len(at) == 2
    assert at[1] == int(row["row"])


def test_a_bad_date_in_a_json_page_stands_where_the_truth_says(district: Path) -> None:
    row = next(r for r in table(district, "defects") if r["feed"] == "edfi" and r["column"] == "eventDate")
    record = raw_row(district, row)
    assert isinstance(record, dict)
    assert record["eventDate"] == "2026-09-31"


def test_a_stated_total_is_not_the_sum_of_its_items(district: Path) -> None:
    row = next(r for r in table(district, "defects") if r["rule"] == "WB-R-034")
    line = raw_row(district, row)
    assert isinstance(line, bytes)
    observation = json.loads(line)
    wanted = observation["derivedFrom"][0]["reference"].split("/")[1]
    folder = district / f"night-{row['night']}" / "fhir" / row["file"].split("/")[0]
    responses = (
        json.loads(text) for text in (folder / "QuestionnaireResponse.ndjson").read_text().splitlines()
    )
    response = next(r for r in responses if r["id"] == wanted)
    ordinals = {"LA6568-5": 0, "LA6569-3": 1, "LA6570-1": 2, "LA6571-9": 3}
    total = sum(ordinals[item["answer"][0]["valueCoding"]["code"]] for item in response["item"])
    assert observation["valueQuantity"]["value"] != total


def test_a_spoilt_message_stands_where_the_truth_says(district: Path) -> None:
    row = next(r for r in table(district, "defects") if r["feed"] == "hl7v2" and r["column"] == "OBX-5")
    message = raw_row(district, row)
    assert isinstance(message, bytes)
    assert b"|eleven|" in message or b"|400|" in message


# -- deliveries --------------------------------------------------------------------------------------------


def test_every_kind_of_odd_delivery_is_planted(district: Path) -> None:
    rows = table(district, "deliveries")
    assert {"WB-D-001", "WB-D-002", "WB-D-003", "WB-D-004"} <= {row["rule"] for row in rows}
    notes = " ".join(row["note"] for row in rows)
    assert all(word in notes for word in ("late", "restates", "byte for byte", "deletes"))
    for row in rows:
        assert (district / f"night-{row['night']}" / row["feed"] / row["name"]).exists()


def test_a_sidecar_tells_the_whole_file(district: Path) -> None:
    for done in district.rglob("*.done"):
        stated, size = done.read_text().split()
        content = done.with_suffix("").read_bytes()
        is_whole = (stated, int(size)) == (hashlib.sha256(content).hexdigest(), len(content))
        half = done.parent.parent.name == "night-1" and done.parent.name == "handle_with_care"
        assert is_whole != half


def test_a_half_written_file_is_the_beginning_of_the_one_that_comes_later(district: Path) -> None:
    name = "notices_2026-09-28.csv"
    part = (district / "night-1" / "handle_with_care" / name).read_bytes()
    whole = (district / "night-2" / "handle_with_care" / name).read_bytes()
    assert whole.startswith(part)
    assert len(part) < len(whole)
    assert not part.endswith(b"\n")


def test_the_file_sent_twice_is_the_same_to_the_byte(district: Path) -> None:
    row = next(r for r in table(district, "deliveries") if "byte for byte" in r["note"])
    first, second = (
        district / night / row["feed"] / row["name"] for night in ("night-1", f"night-{row['night']}")
    )
    assert first.read_bytes() == second.read_bytes()


def test_manifests_and_trailers_state_what_is_there(district: Path) -> None:
    for path in district.glob("night-*/fhir/*/manifest.json"):
        manifest = json.loads(path.read_bytes())
        for entry in [*manifest["output"], *manifest["deleted"]]:
            assert (path.parent / entry["url"]).read_bytes().count(b"\n") == entry["count"]
    for path in district.glob("night-*/edfi/*/pull.json"):
        members = json.loads(path.read_bytes())["members"]
        on_disk = {str(p.relative_to(path.parent)) for p in path.parent.rglob("page-*")}
        assert {member["path"] for member in members} == on_disk
    for path in district.glob("night-*/hl7v2/*.hl7"):
        content = path.read_bytes()
        assert int(content.split(b"\rBTS|")[1].split(b"\r")[0]) == content.count(b"\rMSH|")


# -- counts and measures -----------------------------------------------------------------------------------


def test_expected_counts_are_those_of_the_files(district: Path) -> None:
    expected = document(district, "expected")
    odd = {
        (r["night"], r["feed"], r["name"])
        for r in table(district, "deliveries")
        if r["rule"] or "byte" in r["note"]
    }
    for feed in (
        "sis",
        "case_management",
        "out_of_school",
        "telehealth",
        "handle_with_care",
        "staff_training",
        "needs_assessment",
    ):
        rows = sum(
            path.read_bytes().count(b"\n") - 1
            for path in district.glob(f"night-*/{feed}/*.csv")
            if (path.parent.parent.name.removeprefix("night-"), feed, path.name) not in odd
        )
        assert expected[feed]["read"] == rows, feed
    members = (json.loads(p.read_bytes())["members"] for p in district.glob("night-*/edfi/*/pull.json"))
    assert expected["edfi"]["read"] == sum(member["rows"] for night in members for member in night)
    lines = sum(p.read_bytes().count(b"\n") for p in district.glob("night-*/fhir/*/*.ndjson"))
    assert expected["fhir"]["read"] == lines
    zipped = 0
    for path in district.glob("night-*/oneroster/*.zip"):
        package = zipfile.ZipFile(path)
        zipped += sum(
            package.read(name).count(b"\n") - 1 for name in package.namelist() if name != "manifest.csv"
        )
    assert expected["oneroster"]["read"] == zipped


def test_held_and_removed_counts_are_those_of_the_truth_tables(district: Path) -> None:
    expected = document(district, "expected")
    held = Counter(row["feed"] for row in table(district, "defects"))
    removed = Counter((row["feed"], row["rule"]) for row in table(district, "removed"))
    assert {feed: counts["held"] for feed, counts in expected.items() if counts["held"]} == held
    stated = {
        (feed, rule): rows
        for feed, counts in expected.items()
        for rule, rows in counts["removed_by_rule"].items()
        if rule != "WB-P-004"
    }
    assert stated == removed
    assert {rule for _, rule in removed} == {"WB-P-001", "WB-P-002", "WB-P-003"}


def test_every_measure_has_its_true_and_its_delivered_value(district: Path) -> None:
    measures = document(district, "measures")
    assert set(measures) == MEASURES
    assert "S01" in measures["chronic_absence"]["by_school"]
    for name, measure in measures.items():
        assert measure["denominator"] > 0, name
        assert measure["value"] == measure["numerator"] / measure["denominator"]
        assert measure["delivered"]["denominator"] <= measure["denominator"]


def test_shares_of_students_by_tier_add_up_to_one(district: Path) -> None:
    members = document(district, "measures")["tier_students"]["delivered"]["members"]
    assert sum(member["numerator"] for member in members.values()) == members["1"]["denominator"]


def test_defects_and_removals_move_the_delivered_value_of_some_measures(district: Path) -> None:
    measures = document(district, "measures")
    moved = {name for name, m in measures.items() if m.get("value") != m["delivered"].get("value")}
    assert {"service_minutes", "ost_hours", "positive_screen_rate"} <= moved


def test_chronic_absence_is_what_the_files_say(district: Path) -> None:
    """Counted once more, plainly, from the SIS files and Ed-Fi pages without the rows that must be held."""
    held = {(r["night"], r["file"], int(r["row"])) for r in table(district, "defects")}
    days: Counter[str] = Counter()
    halves: Counter[str] = Counter()
    worth = {"P": 0, "T": 0, "A": 2, "E": 2, "H": 1}
    files = [
        p for p in district.glob("night-*/sis/attendance_*.csv") if p.name != "attendance_2026-09-29.csv"
    ]
    for path in files:
        for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
            if number > 1 and (path.parent.parent.name.removeprefix("night-"), path.name, number) not in held:
                student, _, _, status, _ = next(csv.reader([line.decode()]))
                days[student] += 1
                halves[student] += worth[status]
    words = {"In Attendance": 0, "Tardy": 0, "Unexcused Absence": 2, "Excused Absence": 2}
    for path in district.glob("night-*/edfi/*/studentSchoolAttendanceEvents/*.json"):
        name = f"{path.parent.parent.name}/{path.parent.name}/{path.name}"
        for number, event in enumerate(json.loads(path.read_bytes()), 1):
            if (path.parents[3].name.removeprefix("night-"), name, number) not in held:
                student = event["studentReference"]["studentUniqueId"]
                days[student] += 1
                halves[student] += words[event["attendanceEventCategoryDescriptor"].split("#")[1]]
    active = [row["student_number"] for row in table(district, "people") if row["to_night"] == "3"]
    counted = [student for student in active if days[student] >= 20]
    delivered = document(district, "measures")["chronic_absence"]["delivered"]
    assert delivered["denominator"] == len(counted)
    assert delivered["numerator"] == sum(halves[student] / 2 >= days[student] / 10 for student in counted)


def test_a_child_has_at_most_one_clinical_pathway(district: Path) -> None:
    people = {row["person_id"]: row for row in table(district, "people")}
    clinics: dict[str, set[str]] = {}
    for record in table(district, "records"):
        if record["feed"] in {"fhir", "hl7v2"}:
            clinics.setdefault(record["person_id"], set()).add(record["feed"])
            assert people[record["person_id"]]["pathway"] == record["feed"]
    assert all(len(feeds) == 1 for feeds in clinics.values())


def test_who_opted_out_is_known_to_partners_without_error(district: Path) -> None:
    out = {row["person_id"] for row in table(district, "people") if row["opt_out"]}
    assert out
    assert not any(record["errors"] for record in table(district, "records") if record["person_id"] in out)


def test_roster_and_patients_are_the_truth_of_linking(district: Path) -> None:
    roster, patients = (
        pl.read_parquet(district / "truth" / f"{name}.parquet") for name in ("roster", "patients")
    )
    assert roster.columns == patients.columns
    assert roster["pid"].is_unique().all()
    assert patients["pid"].is_unique().all()
    assert patients["pid"].is_in(roster["pid"].implode()).all()
    said = {row["person_id"]: row for row in table(district, "records") if row["namespace"] == "patient"}
    assert patients.height == len(said)
    for row in patients.iter_rows(named=True):
        assert [row["first_name"], row["surname"], row["dob"]] == [
            said[row["pid"]][name] for name in ("first_name", "last_name", "birth_date")
        ]


def test_twins_name_each_other_and_share_a_birth_date(district: Path) -> None:
    people = {row["person_id"]: row for row in table(district, "people")}
    twins = [row for row in people.values() if row["twin_of"]]
    assert twins
    for row in twins:
        other = people[row["twin_of"]]
        assert other["twin_of"] == row["person_id"]
        assert (other["birth_date"], other["household_id"]) == (row["birth_date"], row["household_id"])
        assert other["first_name"] != row["first_name"]


def test_memory_does_not_grow_with_the_number_of_students(tmp_path: Path) -> None:
    """Peak memory of two and of four whole blocks: the larger district may not need a fifth more."""
    script = (
        "import resource, sys; from pathlib import Path; from wellbridge.pipelines.synth import generate\n"
        "generate(Path(sys.argv[1]), students=int(sys.argv[2]), nights=1, seed=1)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for students in (10_000, 20_000):
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / str(students)), str(students)],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path), "PATH": ""},
        )
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.2 * peaks[0]
