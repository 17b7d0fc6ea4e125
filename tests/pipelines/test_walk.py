"""A synthetic district's nights through the whole walk, held against the truth."""

from __future__ import annotations

import itertools
import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from wellbridge.etl.digest import digest
from wellbridge.etl.store import open_store
from wellbridge.pipelines.demo import (
    check_deliveries,
    check_held,
    check_removed,
    deliver,
    measures_beside_truth,
    run_nights,
)
from wellbridge.pipelines.nightly.run import RunReport, run_night
from wellbridge.pipelines.site import Site, init_site
from wellbridge.pipelines.synth.generate import generate
from wellbridge.schemas.errors import Exit
from wellbridge.schemas.warehouse import METADATA

STUDENTS, NIGHTS, SEED = 250, 3, 20


def _silent(_feed: str, _step: str, _rows: int) -> None:
    pass


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "district"
    generate(folder, students=STUDENTS, nights=NIGHTS, seed=SEED)
    return folder


@pytest.fixture(scope="module")
def district(synthetic: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, list[RunReport]]:
    site = init_site(tmp_path_factory.mktemp("site") / "site")
    return site, list(run_nights(site, synthetic, _silent))


def _digest(site: Site) -> dict[str, str]:
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        return digest(warehouse)


def test_p01_every_row_is_accounted_for(district: tuple[Site, list[RunReport]], synthetic: Path) -> None:
    """The identity holds per feed and night, and its sums are what the truth says was sent, held and removed."""
    _, reports = district
    expected = json.loads((synthetic / "truth" / "expected.json").read_text())
    for report in reports:
        for feed, counts in report.feeds.items():
            parts = sum(counts[name] for name in ("loaded", "unchanged", "held", "removed"))
            assert counts["read"] == parts, feed
    for feed, wanted in expected.items():
        totals = {
            name: sum(report.feeds.get(feed, {}).get(name, 0) for report in reports)
            for name in ("read", "held", "removed", "read_again")
        }
        whole = wanted.get("held_whole", 0)
        assert totals["read"] - totals["read_again"] == wanted["read"] + whole, feed
        assert totals["held"] == wanted["held"] + whole, feed
        assert totals["removed"] == wanted["removed"], feed


def test_held_rows_are_the_planted_defects_no_more_and_no_fewer(
    district: tuple[Site, list[RunReport]], synthetic: Path
) -> None:
    found = check_held(district[0], synthetic / "truth")
    assert found.agree > 50
    assert found.holds, found


def test_deliveries_held_whole_are_the_planted_ones(
    district: tuple[Site, list[RunReport]], synthetic: Path
) -> None:
    found = check_deliveries(district[0], synthetic / "truth")
    assert found.agree > 0
    assert found.holds, found


def test_p07_refused_records_are_removed_and_counted_by_rule(
    district: tuple[Site, list[RunReport]], synthetic: Path
) -> None:
    found = check_removed(district[0], synthetic / "truth")
    assert found.agree > 0
    assert found.holds, found


def test_measures_are_what_the_delivered_rows_say(
    district: tuple[Site, list[RunReport]], synthetic: Path
) -> None:
    rows = measures_beside_truth(district[0], synthetic / "truth")
    assert len(rows) >= 14
    assert [row for row in rows if not row["same"]] == []


def test_measures_by_school_are_what_the_delivered_rows_say(
    district: tuple[Site, list[RunReport]], synthetic: Path
) -> None:
    truth = json.loads((synthetic / "truth" / "measures.json").read_text())
    with open_store(district[0].warehouse, METADATA, read_only=True) as warehouse:
        found = warehouse.frame(
            "SELECT measure_id, member, numerator, denominator FROM measure_value WHERE dimension = 'school'"
        )
    by_school = {(m, s): (n, d) for m, s, n, d in found.iter_rows()}
    checked = 0
    for measure_id, wanted in truth.items():
        for school, cell in wanted.get("by_school", {}).items():
            assert by_school[measure_id, school] == (cell["numerator"], cell["denominator"]), (
                measure_id,
                school,
            )
            checked += 1
    assert checked >= 12


def test_nothing_new_is_exit_99_and_touches_nothing(
    district: tuple[Site, list[RunReport]], synthetic: Path
) -> None:
    site = district[0]
    before = {path: path.stat().st_mtime_ns for path in site.state.rglob("*") if path.name != "run.lock"}
    assert run_night(site).exit is Exit.NOTHING_NEW
    assert {
        path: path.stat().st_mtime_ns for path in site.state.rglob("*") if path.name != "run.lock"
    } == before


@pytest.mark.parametrize(
    "order", list(itertools.permutations(range(NIGHTS))), ids=lambda o: "".join(map(str, o))
)
def test_any_order_with_every_delivery_repeated_gives_one_digest(
    order: tuple[int, ...], district: tuple[Site, list[RunReport]], synthetic: Path, tmp_path: Path
) -> None:
    site = init_site(tmp_path / "site")
    nights = sorted(synthetic.glob("night-*"))
    for number in order:
        deliver(site, nights[number])
        run_night(site)
        deliver(site, nights[number])
        assert run_night(site).exit in {Exit.NOTHING_NEW, Exit.SOURCE}
    assert _digest(site) == _digest(district[0])


def test_all_nights_at_once_give_the_same_digest(
    district: tuple[Site, list[RunReport]], synthetic: Path, tmp_path: Path
) -> None:
    site = init_site(tmp_path / "site")
    for night in sorted(synthetic.glob("night-*")):
        deliver(site, night)
    run_night(site)
    assert _digest(site) == _digest(district[0])


def test_digest_notices_one_changed_cell(district: tuple[Site, list[RunReport]], tmp_path: Path) -> None:
    site = district[0]
    copy = tmp_path / "warehouse.duckdb"
    copy.write_bytes(site.warehouse.read_bytes())
    copy.chmod(0o600)
    with open_store(copy, METADATA) as warehouse:
        before = digest(warehouse)
        warehouse.run(
            "UPDATE attendance SET status = 'tardy' "
            "WHERE rowid = (SELECT min(rowid) FROM attendance WHERE status = 'present')"
        )
        after = digest(warehouse)
    assert {name for name in before if before[name] != after[name]} >= {"attendance"}


# -- what must not be anywhere ----------------------------------------------------------------------------------


def _canaries(truth: Path) -> list[bytes]:
    """Names, addresses and source ids of the truth that are long enough not to occur by chance."""
    people = pl.read_csv(truth / "people.csv", infer_schema=False)
    records = pl.read_csv(truth / "records.csv", infer_schema=False)
    numbers = people["student_number"].to_list()
    names = [f"{first},{last}" for first, last in people.select("first_name", "last_name").iter_rows()]
    last = [name for name in people["last_name"].unique() if len(name) >= 7]
    ids = [value for value in records["source_id"].drop_nulls().unique() if len(value) >= 7]
    return [text.encode() for text in {*numbers, *names, *last, *ids}]


def test_p04_no_direct_identifier_is_in_the_warehouse_or_beside_it(
    district: tuple[Site, list[RunReport]], synthetic: Path
) -> None:
    """Every file of the site but the inbox, the vault and what `synth` wrote is searched for every identifier."""
    site = district[0]
    canaries = _canaries(synthetic / "truth")
    assert len(canaries) > STUDENTS
    searched = 0
    for path in site.root.rglob("*"):
        inside = path.relative_to(site.root).parts
        if not path.is_file() or inside[0] == "inbox" or "vault" in inside:
            continue
        content = path.read_bytes()
        searched += 1
        assert not [c for c in canaries if c in content], inside
    assert searched > 30
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        for table in METADATA.sorted_tables:
            text = warehouse.frame(f'SELECT * FROM "{table.name}"').write_csv().encode()
            assert not [c for c in canaries if c in text], table.name


def test_p05_keys_are_random_and_never_the_same_twice(
    district: tuple[Site, list[RunReport]], synthetic: Path, tmp_path: Path
) -> None:
    other = init_site(tmp_path / "site")
    deliver(other, synthetic / "night-1")
    run_night(other)
    keys = []
    for site in (district[0], other):
        with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
            keys.append(set(warehouse.frame("SELECT DISTINCT person_key FROM student")["person_key"]))
    assert len(keys[0]) > STUDENTS * 0.9
    assert keys[0].isdisjoint(keys[1])
    assert all(len(key) == 32 for key in keys[0])


def test_p14_stores_and_keys_are_readable_by_their_owner_alone(
    district: tuple[Site, list[RunReport]],
) -> None:
    site = district[0]
    paths = [site.state, *site.state.rglob("*")]
    assert len(paths) > 10
    assert [path for path in paths if path.stat().st_mode & 0o077] == []


def test_p07_a_child_opted_out_of_all_sharing_is_in_no_record_file(
    district: tuple[Site, list[RunReport]], synthetic: Path
) -> None:
    from wellbridge.pipelines.extract_tables import student_rows

    people = pl.read_csv(synthetic / "truth" / "people.csv", infer_schema=False)
    wanted = people.filter(pl.col("opt_out") == "all").height
    with open_store(district[0].warehouse, METADATA, read_only=True) as warehouse:
        refused = warehouse.frame("SELECT person_key FROM extract_refusal")
        students = student_rows(warehouse, date(2026, 9, 30), ["tier"])
    assert refused.height == wanted > 0
    assert students.join(refused, on="person_key", how="semi").height == wanted


def test_a_deletion_of_the_evening_outranks_a_change_of_the_same_day(tmp_path: Path) -> None:
    """Ed-Fi states when a record changed, but of a deletion only in which pull it came."""
    site = init_site(tmp_path / "site")
    folder = site.feeds["edfi"].inbox / "edfi_2026-10-20"
    student = {"studentUniqueId": "0000001", "firstName": "A", "lastSurname": "B", "birthDate": "2012-01-02"}
    program = {
        "studentReference": {"studentUniqueId": "0000001"}, "beginDate": "2026-10-01",
        "programReference": {"programName": "Homeless", "programTypeDescriptor": "uri://ed-fi.org/P#Homeless"},
        "educationOrganizationReference": {"educationOrganizationId": 1},
        "_lastModifiedDate": "2026-10-20T22:00:00Z",
    }
    keys = {
        "studentUniqueId": "0000001", "beginDate": "2026-10-01", "programName": "Homeless",
        "programTypeDescriptor": "uri://ed-fi.org/P#Homeless", "educationOrganizationId": 1,
        "programEducationOrganizationId": 1,
    }
    pages = {
        "students/p.json": [student], "studentHomelessProgramAssociations/p.json": [program],
        "studentHomelessProgramAssociations/deletes/p.json": [{"id": "1", "changeVersion": 2, "keyValues": keys}],
    }
    for name, page in pages.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(page))
    members = [{"path": name, "rows": 1} for name in pages]
    (folder / "pull.json").write_text(json.dumps({"period": "2026-10-20", "members": members}))
    assert run_night(site).feeds["edfi"]["held"] == 0
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        assert warehouse.value("SELECT count(*) FROM student_observation") == 1
        assert warehouse.value("SELECT count(*) FROM program_participation") == 0
