"""Real files through the public door: what a site makes of them, row by row, with a reason for every rule.

Every test counts the records of the raw files by itself (``csv``, ``json``, line starts), so that `read` is held
against something that none of our readers said. ``Expected.reasons`` states each rule by which a row was held or
removed, and why it is right in this very file: a new rule, one that vanished, or another count fails.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from test_source_yrbs import write_2019

from wellbridge.etl.digest import digest
from wellbridge.etl.store import open_store
from wellbridge.etl.vault import VAULT
from wellbridge.pipelines.nightly.run import RunReport, run_night
from wellbridge.pipelines.site import Site, init_site, load_site
from wellbridge.schemas.errors import Exit
from wellbridge.schemas.warehouse import METADATA

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
ONEROSTER = DATA / "school" / "oneroster" / "synthetic"
EDFI = DATA / "school" / "edfi"
SYNTHEA = DATA / "health" / "fhir_bulk" / "synthea10"
HL7 = DATA / "health" / "hl7v2"
SEOW = DATA / "seow"
SETTLED = 'complete = "settled"\n'

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real sample files are not on this machine")


@dataclass(frozen=True)
class Expected:
    """What a feed's night must come to.

    Attributes:
        reasons: (resource, rule) → (rows, why this file has them).
    """

    read: int
    loaded: int
    unchanged: int = 0
    held: int = 0
    removed: int = 0
    reasons: Mapping[tuple[str, str], tuple[int, str]] = field(default_factory=dict)


def make_site(folder: Path, **settings: str) -> Site:
    """Make a site; add lines to the files of the feeds named."""
    root = init_site(folder / "site").root
    for feed, lines in settings.items():
        path = root / "feeds" / f"{feed}.toml"
        path.write_text(path.read_text() + lines)
    return load_site(root)


def inbox(site: Site, feed: str) -> Path:
    return site.feeds[feed].inbox


def check(report: RunReport, feed: str, expected: Expected, waiting: int = 0) -> None:
    """Hold a night against what it must come to; every reason must be stated, and no other may occur."""
    counts = report.feeds[feed]
    names = ("read", "loaded", "unchanged", "held", "removed")
    assert {name: counts[name] for name in names} == {name: getattr(expected, name) for name in names}
    assert expected.read == expected.loaded + expected.unchanged + expected.held + expected.removed
    found = {(row["resource"], row["rule"]): row["rows"] for row in report.reasons if row["feed"] == feed}
    assert found == {key: rows for key, (rows, _) in expected.reasons.items()}
    assert all(why for _, why in expected.reasons.values())
    assert len(report.waiting) == waiting


def rows(site: Site, sql: str) -> list[tuple[Any, ...]]:
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        return warehouse.frame(sql).rows()


def held_rows(site: Site, status: str = "open") -> list[tuple[Any, ...]]:
    """Return resource, file, row, column and rule of held rows."""
    with open_store(site.vault, VAULT, read_only=True) as vault:
        return vault.frame(
            'SELECT resource, file, "row", "column", rule FROM held_row WHERE status = ? ORDER BY ALL', [status]
        ).rows()


def tables(site: Site) -> dict[str, int]:
    """Count the rows of each fact and dimension that has any."""
    own = {"batch", "cursor", "ledger_event", "measure_value", "run", "run_feed", "run_reason"}
    found = {t.name: rows(site, f'SELECT count(*) FROM "{t.name}"')[0][0] for t in METADATA.sorted_tables}
    return {name: number for name, number in found.items() if number and name not in own}


# -- OneRoster ----------------------------------------------------------------------------------------------


def _members(path: Path) -> dict[str, list[dict[str, str]]]:
    with zipfile.ZipFile(path) as package:
        return {
            name: list(csv.DictReader(io.TextIOWrapper(package.open(name), "utf-8-sig", newline="")))
            for name in package.namelist() if name != "manifest.csv"
        }


@pytest.mark.parametrize(("version", "read"), [("11", 5_935), ("12", 6_568)])
def test_oneroster_bulk_then_delta_load_schools_people_and_results(
    version: str, read: int, tmp_path: Path
) -> None:
    site = make_site(tmp_path)
    bulk, delta = (ONEROSTER / f"or{version}_{mode}_small.zip" for mode in ("bulk", "delta"))
    raw = {path: _members(path) for path in (bulk, delta)}
    assert [sum(map(len, members.values())) for members in raw.values()] == [read, read]

    # 3 schools, 600 students, 33 staff, 60 results; the district is an org and no school.
    kinds = Counter(row["type"] for row in raw[bulk]["orgs.csv"])
    assert (kinds["school"], kinds["district"]) == (3, 1)
    facts = 3 + len(raw[bulk]["users.csv"]) + len(raw[bulk]["results.csv"])
    assert facts == 696
    keys = {("members", "WB-P-004"): (
        read - facts, "sessions, courses, classes, enrolments, demographics and the like are read for their keys")}
    shutil.copy(bulk, inbox(site, "oneroster"))
    report = run_night(site)
    assert report.exit is Exit.DONE
    check(report, "oneroster", Expected(read, facts, removed=read - facts, reasons=keys))
    loaded = {"school": 3, "staff": 33, "course_result": 60, "student": 600, "student_observation": 600}
    assert tables(site) == loaded

    # The delta says the same of everything: only that its students were seen on another roster is new.
    assert {row["status"] for member in raw[delta].values() for row in member} == {"active"}
    shutil.copy(delta, inbox(site, "oneroster"))
    report = run_night(site)
    check(report, "oneroster", Expected(read, 600, unchanged=96, removed=read - facts, reasons=keys))
    assert tables(site) == {**loaded, "student_observation": 1_200}
    assert held_rows(site) == []
    assert run_night(site).exit is Exit.NOTHING_NEW


def test_both_versions_of_oneroster_say_the_same_of_schools_and_students(tmp_path: Path) -> None:
    said = []
    for version in ("11", "12"):
        site = make_site(tmp_path / version)
        shutil.copy(ONEROSTER / f"or{version}_bulk_small.zip", inbox(site, "oneroster"))
        run_night(site)
        said.append(rows(
            site, "SELECT school_id, grade, race_ethnicity, count(*) FROM student GROUP BY ALL ORDER BY ALL"))
    assert said[0] == said[1]
    assert sum(row[-1] for row in said[0]) == 600


# -- Ed-Fi --------------------------------------------------------------------------------------------------

_RESOURCES = ("schools", "students", "studentSchoolAssociations")
# The pull of July has several pages; each of the two of 10 August is a pull of its own.
_PULLS = {("2022-07-14", 0): "edfi_2022-07-14", ("2022-08-10", 0): "edfi_2022-08-10",
          ("2022-08-10", 1): "edfi_2022-08-10_r2", ("2022-08-11", 0): "edfi_2022-08-11"}


def _northridge(into: Path) -> dict[str, Counter[str]]:
    """Lay Northridge's pages out as the pulls they were; return records by pull and resource."""
    found: dict[str, Counter[str]] = {name: Counter() for name in _PULLS.values()}
    for resource in _RESOURCES:
        for kind in ("upserts", "deletes"):
            for day in ("2022-07-14", "2022-08-10", "2022-08-11"):
                pages = sorted((EDFI / "northridge_api_json" / resource).glob(f"{kind}__rundate={day}__*"))
                for number, page in enumerate(pages):
                    pull = _PULLS[day, number if day == "2022-08-10" else 0]
                    place = into / pull / resource / ("deletes" if kind == "deletes" else ".")
                    place.mkdir(parents=True, exist_ok=True)
                    shutil.copy(page, place / f"page-{number + 1:04d}.json")
                    found[pull][f"{resource} {kind}"] += _records(page)
    return found


def _records(path: Path) -> int:
    """Count lines that hold an object; a page may hold a byte order mark only."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    return sum(isinstance(json.loads(line), dict) for line in text.split("\n") if line.strip())


def test_northridges_pulls_load_and_its_enrolments_wait_for_their_students(tmp_path: Path) -> None:
    site = make_site(tmp_path, edfi=SETTLED)
    raw = _northridge(inbox(site, "edfi"))
    of_july = {"schools upserts": 5, "schools deletes": 1, "students upserts": 501,
               "studentSchoolAssociations upserts": 503}
    assert {pull: dict(+counts) for pull, counts in raw.items()} == {
        "edfi_2022-07-14": of_july, "edfi_2022-08-10": {"schools upserts": 1},
        "edfi_2022-08-10_r2": {"schools upserts": 1}, "edfi_2022-08-11": {"schools upserts": 1}}
    report = run_night(site)
    assert report.exit is Exit.HELD
    check(report, "edfi", Expected(
        read=1_013, loaded=507, unchanged=2, held=504,
        reasons={
            ("schools", "WB-R-010"): (1, "an API before 6.1 names a deleted record by its Id, without keyValues"),
            ("studentSchoolAssociations", "WB-R-031"): (
                503, "the sample's student pages are of other students than its enrolment pages"),
        }))
    assert sum(counts.total() for counts in raw.values()) == 1_013
    # Five schools of July and the one that three later pulls repeat.
    assert tables(site) == {"school": 6, "student": 501, "student_observation": 501}

    # The students come: every enrolment that waited for one finds its place by itself.
    place = inbox(site, "edfi") / "edfi_2022-08-12" / "students"
    place.mkdir(parents=True)
    shutil.copy(EDFI / "northridge_api_json" / "all_students.jsonl.gz", place)
    assert _records(place / "all_students.jsonl.gz") == 6_501
    report = run_night(site)
    assert report.exit is Exit.DONE
    assert report.waiting == []
    counts = report.feeds["edfi"]
    assert counts["held"] == 0
    assert counts["loaded"] + counts["unchanged"] == counts["read"] == 6_501 + 503
    assert tables(site)["enrollment"] == 503
    assert tables(site)["student"] == 6_501
    assert [line[2:] for line in held_rows(site)] == [(1, "keyValues", "WB-R-010")]
    assert len(held_rows(site, "released")) == 503


def test_all_of_northridge_loads(tmp_path: Path) -> None:
    site = make_site(tmp_path, edfi=SETTLED)
    read = 0
    for resource in ("students", "studentSchoolAssociations"):
        place = inbox(site, "edfi") / "edfi_2022-08-12" / resource
        place.mkdir(parents=True)
        read += _records(Path(shutil.copy(EDFI / "northridge_api_json" / f"all_{resource}.jsonl.gz", place)))
    report = run_night(site)
    assert (report.exit, read) == (Exit.DONE, 13_004)
    check(report, "edfi", Expected(read=13_004, loaded=13_004))
    assert tables(site) == {"student": 6_501, "student_observation": 6_501, "enrollment": 6_503}


def test_grand_bend_loads_what_has_a_contract_and_counts_the_rest(tmp_path: Path) -> None:
    site = make_site(tmp_path, edfi=SETTLED)
    shutil.copytree(EDFI / "ds52_as_api_jsonl", inbox(site, "edfi") / "edfi_2012-05-31")
    raw = {path.stem: _records(path) for path in (EDFI / "ds52_as_api_jsonl").glob("*.jsonl")}
    assert (len(raw), sum(raw.values())) == (23, 3_490)
    programs = ("", "Homeless", "Section504", "SpecialEducation")
    facts = {
        "student": raw["students"], "student_observation": raw["students"], "school": raw["schools"],
        "calendar_day": raw["calendarDates"], "attendance": raw["studentSchoolAttendanceEvents"],
        "discipline_incident": raw["disciplineIncidents"], "discipline_action": raw["disciplineActions"],
        "intervention": raw["studentInterventionAssociations"],
        "program_participation": sum(raw[f"student{program}ProgramAssociations"] for program in programs),
    }
    report = run_night(site)
    assert report.exit is Exit.DONE
    check(report, "edfi", Expected(
        read=3_490, loaded=3_190, removed=300,
        reasons={
            ("interventions", "WB-P-004"): (1, "an intervention is read so that its students' associations find it"),
            ("members", "WB-P-004"): (299, "staff, sessions, assessments, health: known resources that never load"),
        }))
    assert tables(site) == facts
    assert sum(facts.values()) - facts["student_observation"] == 3_190
    assert held_rows(site) == []


# -- FHIR and HL7 v2 ----------------------------------------------------------------------------------------


def test_synthea_loads_its_visits_and_holds_those_longer_than_a_day(tmp_path: Path) -> None:
    site = make_site(tmp_path, fhir=SETTLED)
    shutil.copytree(SYNTHEA, inbox(site, "fhir") / "fhir_2026-10-19")
    raw = {path.name.split(".")[0]: _records(path) for path in SYNTHEA.glob("*.000.ndjson")}
    visits = [json.loads(line) for line in (SYNTHEA / "Encounter.000.ndjson").read_text().splitlines()]
    classes = Counter(visit["class"]["code"] for visit in visits)
    assert classes == {"AMB": 1_133, "IMP": 49, "EMER": 23, "HH": 9, "VR": 1}
    report = run_night(site)
    assert report.exit is Exit.DONE  # 5 of 4,184 are far below the limit of held rows
    counted = sum(raw.values()) - raw["Patient"] - raw["Encounter"] + classes["IMP"]
    check(report, "fhir", Expected(
        read=sum(raw.values()), loaded=1_174, held=5, removed=counted,
        reasons={
            ("encounters", "WB-R-021"): (5, "four hospice stays and one check-up of 38 hours are no visits' minutes"),
            ("other", "WB-P-004"): (3_005, "conditions, procedures, places … and 49 inpatient stays load nowhere"),
        }))
    assert counted == 3_005
    assert raw["Patient"] + raw["Encounter"] - classes["IMP"] - 5 == 1_174
    # Hospice stays and the check-up are the AMB and HH visits beyond a day; emergencies may last.
    assert tables(site) == {
        "crisis_event": classes["EMER"], "service_encounter": classes["AMB"] + classes["HH"] + classes["VR"] - 5}
    assert {line[1].rpartition("/")[2] for line in held_rows(site)} == {"Encounter.000.ndjson"}


_SAMPLES = ("ms_fhir_converter", "linuxforhealth", "phdi")  # python_hl7 are batches: a test of their own


def _samples() -> list[Path]:
    return [path for folder in _SAMPLES for path in sorted((HL7 / folder).glob("*.hl7"))]


def _messages(path: Path) -> int:
    """Count lines that begin with MSH; the one sample without any is a message that lost its own."""
    text = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\xef\xbb\xbf", b"")
    return max(sum(line.startswith(b"MSH") for line in text.split(b"\n")), 1)


def _deliver_samples(site: Site, names: list[str]) -> None:
    for path, name in zip(_samples(), names, strict=True):
        shutil.copy(path, inbox(site, "hl7v2") / name)


def test_the_117_hl7_samples_load_what_belongs_and_name_why_the_rest_does_not(tmp_path: Path) -> None:
    site = make_site(tmp_path, hl7v2=SETTLED)
    samples = _samples()
    assert (len(samples), sum(map(_messages, samples))) == (117, 117)
    _deliver_samples(site, [f"{number:03d}.hl7" for number in range(117)])
    report = run_night(site)
    assert report.exit is Exit.HELD
    check(report, "hl7v2", Expected(
        read=117, loaded=7, unchanged=13, held=28, removed=69,
        reasons={
            ("other", "WB-R-003"): (1, "its header segment is called AAA, so nothing says what it is"),
            ("other", "WB-R-004"): (27, "MDM, ORM, OMG and PPR messages are in none of the four families"),
            ("other", "WB-P-004"): (69, "visits that are no crisis, laboratory results and training messages"),
        }))
    assert Counter(line[4] for line in held_rows(site)) == {"WB-R-003": 1, "WB-R-004": 27}
    # The 15 SIU messages are about one appointment, the 4 REF about one referral: the newest of each stands.
    assert tables(site) == {
        "appointment": 1, "crisis_event": 1, "referral": 1, "referral_status": 2, "tombstone": 1}
    assert rows(site, "SELECT appointment_status, event_date::VARCHAR FROM appointment") == [("no_show", "2020-10-01")]


def test_the_hl7_samples_come_to_the_same_in_any_order(tmp_path: Path) -> None:
    digests = []
    for number, order in enumerate((range(117), reversed(range(117)))):
        site = make_site(tmp_path / str(number), hl7v2=SETTLED)
        _deliver_samples(site, [f"{place:03d}.hl7" for place in order])
        run_night(site)
        with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
            digests.append(digest(warehouse))
    assert digests[0] == digests[1]


def test_the_21_batch_samples_are_taken_waited_for_or_held_as_their_envelopes_say(tmp_path: Path) -> None:
    """Without ``settled``: whether a batch is whole is for its trailers to say."""
    site = make_site(tmp_path)
    samples = sorted((HL7 / "python_hl7" / "extracted").glob("*.hl7"))
    assert len(samples) == 21
    for path in samples:
        shutil.copy(path, inbox(site, "hl7v2"))
    report = run_night(site)
    assert report.exit is Exit.HELD
    open_ended = {"sample_batch3.hl7": "BHS without BTS", "sample_file3.hl7": "FHS without FTS"}
    assert {row["name"]: row["rule"] for row in report.waiting} == dict.fromkeys(open_ended, "WB-D-002")
    out_of_order = {
        "sample_bad_batch1.hl7": "a BHS inside a batch", "sample_bad_file1.hl7": "a BHS inside a batch",
        "sample_bad_file2.hl7": "an FHS inside a file", "sample_file5.hl7": "FTS before its BTS",
    }
    assert {row["name"]: row["rule"] for row in report.deliveries if row["status"] == "held"} == dict.fromkeys(
        out_of_order, "WB-D-007")
    read = sum(_messages(path) for path in samples if path.name not in open_ended)
    check(report, "hl7v2", Expected(
        read=read, loaded=1, held=7, removed=16,
        reasons={
            ("", "WB-D-007"): (4, "one message in each of the four files whose envelope is out of order"),
            ("other", "WB-R-003"): (3, "three files hold segments without an MSH"),
            ("other", "WB-P-004"): (16, "outpatient registrations in every layout of a batch, two laboratory results"),
        }), waiting=2)
    assert read == 24
    assert tables(site) == {"crisis_event": 1}


# -- SEOW ---------------------------------------------------------------------------------------------------


def test_yrbs_2019_from_its_fixed_width_layout_gives_the_published_figures(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    path = inbox(site, "yrbs") / "yrbs_2019.dat"
    write_2019(path)
    assert path.read_bytes().count(b"\r\n") == 13_677
    report = run_night(site)
    assert report.exit is Exit.DONE
    check(report, "yrbs", Expected(read=13_677, loaded=13_677))
    assert held_rows(site) == []
    with (SEOW / "golden" / "published_points.csv").open() as file:
        published = list(csv.DictReader(file))
    assert published
    ((value, status, n),) = rows(
        site, "SELECT estimate, status, n_unweighted FROM indicator WHERE indicator_id = 'felt_sad_hopeless' "
        "AND subgroup_dim = 'all' AND source_id = 'yrbs'")
    assert (round(value, 1), status, n) == (36.7, "reported", 13_421)


def test_the_wonder_export_loads_every_area_and_keeps_what_is_suppressed_empty(tmp_path: Path) -> None:
    site = make_site(tmp_path, wonder='indicator = "opioid_overdose_deaths"\ntitle = "Opioid overdose deaths"\n')
    source = SEOW / "wonder" / "opioid_county_2006-2012_with_ci.txt"
    lines = source.read_text(encoding="utf-8").splitlines()
    areas = lines.index('"---"') - 1
    assert areas == 3_148  # 3,147 counties and the total
    shutil.copy(source, inbox(site, "wonder") / "wonder_2012.txt")
    report = run_night(site)
    assert report.exit is Exit.DONE
    check(report, "wonder", Expected(read=areas, loaded=areas))
    found = dict(rows(site, "SELECT status, count(*) FROM indicator GROUP BY ALL"))
    assert found == {"suppressed_primary": 1_584, "reported": 1_067, "unreliable": 491, "not_available": 6}
    assert sum(line.split("\t")[3] == "Suppressed" for line in lines[1:areas + 1]) == found["suppressed_primary"]
    # The name speaks for the year the export was asked for; what its numbers cover, its footer says.
    assert rows(site, "SELECT DISTINCT period_start::VARCHAR, period_end::VARCHAR FROM indicator") == [
        ("2006-01-01", "2012-12-31")]
