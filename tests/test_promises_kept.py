"""The promises of PRIVACY.md, shown on one small night with canaries in every cell that tells who it is."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from source_tree import FLOORS, REPO, modules
from wellbridge.etl.identity.parts import TRAIT_NAMES
from wellbridge.etl.vault import VAULT, random_keys
from wellbridge.pipelines.nightly.tally import Tally
from wellbridge.privacy.consent import removal_rule, standing
from wellbridge.schemas.classes import PrivacyClass
from wellbridge.schemas.errors import IdentityError
from wellbridge.schemas.warehouse import METADATA

# Runs a command under an audit hook that ends it at the first attempt to reach another machine.
WATCHED = """
import sys
def watch(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind"}:
        print("NETWORK", event, file=sys.stderr)
        raise SystemExit(77)
sys.addaudithook(watch)
from wellbridge.pipelines.cli import main
main(sys.argv[1:])
"""
HOMELESS = "studentHomelessProgramAssociations"
CANARIES = {
    "name": "Zyxcanary",
    "other_name": "Qwvcanary",
    "student": "77300000",
    "stranger": "77399999",
    "birth": "2011-03-29",
    "date": "2026-0canary",
    "status": "canarystatus",
    "minutes": "canaryminutes",
}


@dataclass(frozen=True)
class Watched:
    """A site after one night with canaries in every cell that tells who a child is, and in bad cells."""

    root: Path
    said: str
    document: dict[str, Any]


def _watched(*arguments: str) -> subprocess.CompletedProcess[str]:
    paths = ":".join(str(REPO / floor) for floor in FLOORS)
    return subprocess.run(
        [sys.executable, "-c", WATCHED, *arguments],
        env={"PYTHONPATH": paths, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


PROGRAM = {
    "programName": "Homeless",
    "programTypeDescriptor": "uri://ed-fi.org/ProgramTypeDescriptor#Homeless",
    "educationOrganizationId": 1,
}


def _pull(inbox: Path, day: str, pages: dict[str, dict[str, Any]]) -> None:
    """Write an Ed-Fi pull of one record a page: resource → record."""
    pull = inbox / "edfi" / f"edfi_{day}"
    for path, record in pages.items():
        page = pull / path / "page-0001.json"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(json.dumps([record]), encoding="utf-8")
    members = [{"path": f"{path}/page-0001.json", "rows": 1} for path in pages]
    (pull / "pull.json").write_text(json.dumps({"period": day, "members": members}), encoding="utf-8")


def _deliver(inbox: Path) -> None:
    changed = {"_lastModifiedDate": "2026-08-14T00:00:00Z"}
    student = {
        "id": "0" * 32,
        "studentUniqueId": CANARIES["student"],
        "firstName": CANARIES["name"],
        "lastSurname": CANARIES["other_name"],
        "birthDate": CANARIES["birth"],
    }
    homeless = {
        "id": "1" * 32,
        "studentReference": {"studentUniqueId": CANARIES["student"]},
        "programReference": PROGRAM,
        "educationOrganizationReference": {"educationOrganizationId": 1},
        "beginDate": "2026-08-10",
    }
    _pull(inbox, "2026-08-14", {"students": student | changed, HOMELESS: homeless | changed})
    rows = [
        "Student ID,School,Date,Status,Minutes Absent",
        f"{CANARIES['student']},S01,2026-08-17,P,0",
        f"{CANARIES['student']},S01,{CANARIES['date']},P,0",
        f"{CANARIES['student']},S01,2026-08-18,{CANARIES['status']},0",
        f"{CANARIES['student']},S01,2026-08-19,P,{CANARIES['minutes']}",
        f"{CANARIES['stranger']},S01,2026-08-17,P,0",
        f"{CANARIES['student']},S01",
    ]
    path = inbox / "sis" / "attendance_2026-08-17_2026-08-21.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Make a site, deliver and run, then ask for everything that it tells about the night."""
    root = tmp_path_factory.mktemp("promises") / "site"
    assert _watched("init", str(root)).returncode == 0
    _deliver(root / "inbox")
    place = ("--project", str(root))
    ran = _watched("run", *place, "--json", "--fail-on", "never")
    assert ran.stdout, ran.stderr
    asked = [
        _watched(*words, *place)
        for words in (
            ("status",),
            ("runs", "list"),
            ("held", "list"),
            ("doctor",),
            ("retry",),
            ("run", "-s", "nowhere"),
        )
    ]
    said = "\n".join(done.stdout + done.stderr for done in (ran, *asked))
    return Watched(root, said, json.loads(ran.stdout))


def test_p01_a_night_with_bad_rows_adds_up(night: Watched) -> None:
    (sis,) = (feed for feed in night.document["feeds"] if feed["feed"] == "sis")
    assert (sis["read"], sis["loaded"], sis["held"]) == (6, 1, 5)
    assert all(
        feed["read"] == feed["loaded"] + feed["unchanged"] + feed["held"] + feed["removed"]
        for feed in night.document["feeds"]
    )


@pytest.mark.parametrize("wrong", [{"read": 4}, {"read": 2}, {"read": 3, "held": -2, "removed": 2}])
def test_p01_a_night_that_does_not_add_up_is_refused(wrong: dict[str, int]) -> None:
    tally = Tally()
    tally.add("sis", read=0, loaded=2, unchanged=0, held=1, removed=0)
    tally.add("sis", **wrong)
    with pytest.raises(IdentityError, match="WB-E-002"):
        tally.check()


@pytest.mark.parametrize("name", sorted(CANARIES))
def test_p02_nothing_that_is_said_holds_what_a_cell_held(night: Watched, name: str) -> None:
    assert CANARIES[name].lower() not in night.said.lower()


def test_p04_no_warehouse_column_is_direct_or_free_text() -> None:
    allowed = set(PrivacyClass) - {PrivacyClass.DIRECT, PrivacyClass.FREE_TEXT}
    columns = [column for table in METADATA.sorted_tables for column in table.columns]
    assert len(columns) > 100
    assert [str(column) for column in columns if column.info.get("privacy") not in allowed] == []


def test_p04_the_warehouse_has_no_place_for_a_trait() -> None:
    names = {column.name for table in METADATA.sorted_tables for column in table.columns}
    assert names & set(TRAIT_NAMES) <= {"sex"}


def test_p04_no_identifying_value_is_in_the_warehouse(night: Watched) -> None:
    """Asked of the file's bytes and of every cell, because the file's strings may be compressed."""
    path = night.root / "state" / "warehouse.duckdb"
    with duckdb.connect(str(path), read_only=True) as warehouse:
        cells = "\n".join(warehouse.table(name).pl().write_csv() for name in METADATA.tables)
    content = (path.read_bytes() + cells.encode()).lower()
    assert [name for name, value in CANARIES.items() if value.lower().encode() in content] == []


def test_p05_keys_are_never_the_same_and_have_their_full_length() -> None:
    keys = random_keys(10_000)
    assert keys.n_unique() == 10_000
    assert keys.str.len_chars().unique().to_list() == [32]
    assert set(random_keys(10_000)) & set(keys) == set()


def test_p05_what_draws_keys_knows_no_hash() -> None:
    (vault,) = (module for module in modules() if module.name == "wellbridge.etl.vault")
    imported = {name.split(".")[0] for name in vault.imports()}
    assert "secrets" in imported
    assert imported & {"hashlib", "hmac", "random", "uuid", "zlib", "cryptography"} == set()


def test_p06_no_table_of_the_vault_is_in_the_warehouse(night: Watched) -> None:
    assert set(VAULT.tables) & set(METADATA.tables) == set()
    stores = {path.relative_to(night.root).as_posix() for path in night.root.rglob("*.duckdb")}
    assert stores == {"state/warehouse.duckdb", "state/vault/vault.duckdb"}


def _standing_of(decision: str, *, on: date = date(2026, 10, 1), end: date | None = None) -> pl.DataFrame:
    consents = pl.DataFrame(
        {
            "subject_key": ["s"],
            "decision": [decision],
            "start_date": [date(2026, 9, 1)],
            "end_date": [end],
            "is_active": [True],
        },
        schema_overrides={"end_date": pl.Date},
    )
    return standing(consents, pl.DataFrame({"subject_key": ["s"], "person_key": ["p"]}), on)


def _rule(known: pl.DataFrame, *, is_part2: bool | None) -> str | None:
    rows = pl.DataFrame({"subject_key": ["s"], "is_part2": pl.Series([is_part2], dtype=pl.Boolean)})
    found: str | None = (
        rows.join(known, on="subject_key", how="left")
        .select(removal_rule(rows.join(known, on="subject_key", how="left")))
        .to_series()[0]
    )
    return found


@pytest.mark.parametrize(
    ("decision", "is_part2", "rule"),
    [
        ("deny", False, "WB-P-001"),
        ("permit_part2", True, None),
        ("optout_partners", False, "WB-P-003"),
        ("optout_all", False, "WB-P-003"),
        ("permit_part2", None, None),
        (
            "permit_other",
            None,
            "WB-P-002",
        ),  # nobody said whether it is Part 2, so it is treated as if it were
        ("permit_other", True, "WB-P-002"),
        ("permit_other", False, None),
    ],
)
def test_p07_a_row_stays_only_if_nothing_forbids_it(
    decision: str, is_part2: bool | None, rule: str | None
) -> None:
    assert _rule(_standing_of(decision), is_part2=is_part2) == rule


def test_p07_a_consent_that_has_ended_permits_nothing() -> None:
    ended = _standing_of("permit_part2", end=date(2026, 9, 30))
    assert _rule(ended, is_part2=True) == "WB-P-002"


def _programs(root: Path) -> int:
    with duckdb.connect(str(root / "state" / "warehouse.duckdb"), read_only=True) as warehouse:
        found = warehouse.execute("SELECT count(*) FROM program_participation").fetchone()
    assert found
    return int(found[0])


def test_p12_what_a_source_deletes_goes_and_stays_away(night: Watched) -> None:
    assert _programs(night.root) == 1
    key = {
        "beginDate": "2026-08-10",
        "educationOrganizationId": 1,
        "programEducationOrganizationId": 1,
        "programName": PROGRAM["programName"],
        "programTypeDescriptor": PROGRAM["programTypeDescriptor"],
        "studentUniqueId": CANARIES["student"],
    }
    gone = {"id": "1" * 32, "changeVersion": 9, "keyValues": key}
    _pull(night.root / "inbox", "2026-08-15", {f"{HOMELESS}/deletes": gone})
    ran = _watched("run", "--project", str(night.root), "--json")
    assert _programs(night.root) == 0, ran.stdout
    again = json.loads((night.root / "inbox/edfi/edfi_2026-08-14" / HOMELESS / "page-0001.json").read_text())
    _pull(night.root / "inbox", "2026-08-13", {HOMELESS: again[0]})
    assert _watched("run", "--project", str(night.root), "--json").returncode == 0
    assert _programs(night.root) == 0


def test_p14_nobody_else_can_read_what_a_night_leaves(night: Watched) -> None:
    state = night.root / "state"
    open_to_others = [
        path.relative_to(night.root).as_posix()
        for path in (state, *state.rglob("*"))
        if stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert open_to_others == []


def test_p14_a_store_that_others_may_read_is_not_opened(night: Watched) -> None:
    warehouse = night.root / "state" / "warehouse.duckdb"
    warehouse.chmod(0o644)
    try:
        done = _watched("runs", "list", "--project", str(night.root))
    finally:
        warehouse.chmod(0o600)
    assert done.returncode == 15
    assert "WB-E-051" in done.stderr


def test_p15_no_module_imports_what_opens_a_connection() -> None:
    network = (
        "socket",
        "ssl",
        "http",
        "urllib.request",
        "ftplib",
        "smtplib",
        "requests",
        "httpx",
        "aiohttp",
        "urllib3",
    )
    users = [
        f"{module.name}: {name}"
        for module in modules()
        for name in module.imports()
        if any(name == part or name.startswith(part + ".") for part in network)
    ]
    assert users == []


def test_p15_a_night_tries_to_reach_nobody(night: Watched) -> None:
    assert "NETWORK" not in night.said
    assert night.document["outcome"] in {"done", "held"}
