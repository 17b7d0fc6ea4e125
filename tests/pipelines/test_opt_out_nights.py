"""Nights in which a family opts out and takes it back: what partners said of the child is buried, and comes back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from pipelines.one_night import after_one_night
from wellbridge.etl.digest import digest
from wellbridge.etl.identity.parts import opened
from wellbridge.etl.store import open_store
from wellbridge.etl.vault import VAULT
from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.nightly.stores import seals_of
from wellbridge.pipelines.site import Site, init_site, load_site
from wellbridge.schemas.warehouse import METADATA, PERSON_TABLES

CANARY = "Zkanarimouse"
# A clinic's record with facts in the warehouse that is linked to the roster's record of a child.
_LINKED = """
SELECT s.subject_key AS record, k.source_id, a.subject_key AS anchor, n.source_id AS student
FROM subject s JOIN source_key k ON k.key = s.subject_key
JOIN subject a ON a.person_key = s.person_key AND a.namespace = 'student'
JOIN source_key n ON n.key = a.subject_key
WHERE s.namespace = 'fhir/patient' ORDER BY k.source_id
"""


@pytest.fixture(scope="module")
def first_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("opt-out")
    after_one_night(root, students=120, nights=1, seed=5)
    return root


@pytest.fixture
def site(first_night: Path, tmp_path: Path) -> Site:
    shutil.copytree(first_night / "site", tmp_path / "site")
    return load_site(tmp_path / "site")


@pytest.fixture
def child(site: Site) -> dict[str, str]:
    """Return the records of a child with facts of the clinic's."""
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        with_facts = {key for key, rows in _rows(warehouse).items() if rows}
    return next(row for row in _vault(site, _LINKED) if row["record"] in with_facts)


def _vault(site: Site, sql: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
    with open_store(site.vault, VAULT, read_only=True) as vault:
        return vault.frame(sql, values or []).to_dicts()


def _rows(warehouse: Any) -> dict[str, int]:
    """Return how many facts there are of each record."""
    found = pl.concat(warehouse.frame(f"SELECT subject_key FROM {table.name}") for table in PERSON_TABLES)
    return dict(found.group_by("subject_key").len().iter_rows())


def _facts(site: Site, record: str) -> int:
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        return _rows(warehouse).get(record, 0)


def _night(site: Site) -> dict[str, Any]:
    """Run a night by its command; every row of it is accounted for."""
    done = CliRunner().invoke(cli, ["run", "--project", str(site.root), "--json"])
    report: dict[str, Any] = json.loads(done.stdout)
    assert done.exit_code in {0, 13}, done.output
    for feed in report["feeds"]:
        assert feed["read"] == feed["loaded"] + feed["unchanged"] + feed["held"] + feed["removed"], feed
    assert CANARY not in done.output
    return report


def _opt_out(site: Site, day: str, *lines: str) -> dict[str, Any]:
    text = "\n".join(["student_id,scope,effective_date,withdrawn_date", *lines, ""])
    (site.feeds["sis"].inbox / f"optout_{day}.csv").write_text(text)
    return _night(site)


def _deliver_again(site: Site, synthetic: Path, patient: str, day: str, family: str) -> None:
    """Deliver the clinic's first night again under another day, one patient's name changed."""
    (first,) = (synthetic / "night-1" / "fhir").iterdir()
    target = site.feeds["fhir"].inbox / f"fhir_{day}"
    shutil.copytree(first, target)
    lines = []
    for line in (target / "Patient.ndjson").read_text().splitlines():
        said = json.loads(line)
        if said["id"] == patient:
            said["name"][0]["family"] = family
            said["meta"]["lastUpdated"] = f"{day}T21:00:00Z"
        lines.append(json.dumps(said, ensure_ascii=False))
    (target / "Patient.ndjson").write_text("\n".join(lines) + "\n")


def _removed(report: dict[str, Any], rule: str = "WB-P-003") -> int:
    return sum(row["rows"] for row in report["reasons"] if row["rule"] == rule and row["feed"] == "fhir")


def _said(site: Site, *records: str, vault_file: Path | None = None) -> pl.DataFrame:
    with open_store(vault_file or site.vault, VAULT, read_only=True) as vault:
        return opened(vault, seals_of(site), pl.DataFrame({"record_id": list(records)}))


def _everywhere(site: Site) -> bytes:
    """Return all bytes of the site but those of deliveries."""
    return b" ".join(
        path.read_bytes()
        for path in site.root.rglob("*")
        if path.is_file() and not {"inbox", "landing"} & set(path.relative_to(site.root).parts)
    )


@pytest.mark.parametrize("scope", ["all", "partners"])
def test_an_opt_out_buries_what_partners_said_and_leaves_the_rosters_record(
    site: Site, child: dict[str, str], scope: str
) -> None:
    record, anchor = child["record"], child["anchor"]
    facts, before = _facts(site, record), _said(site, anchor)
    member = "SELECT person_key, asserted_from, asserted_to FROM membership WHERE record_id = ?"
    history = _vault(site, member, [record])
    assert _said(site, record).height == 1
    assert child["source_id"].encode() in site.vault.read_bytes()
    backup = site.root.parent / "backup.duckdb"
    shutil.copy(site.vault, backup)
    sheet = site.state / "review" / "sheet.html"
    sheet.parent.mkdir(exist_ok=True)
    sheet.write_text(CANARY)
    report = _opt_out(site, "2026-10-01", f"{child['student']},{scope},2026-10-01,")
    assert _removed(report) == facts > 0
    assert _facts(site, record) == 0
    assert _said(site, record).height == 0
    assert _said(site, record, vault_file=backup).height == 0
    assert _said(site, anchor).equals(before)
    assert child["source_id"].encode() not in _everywhere(site)
    assert (
        _vault(site, "SELECT 1 FROM record_part WHERE record_id = ? AND sealed IS NOT NULL", [record]) == []
    )
    assert _vault(site, "SELECT 1 FROM record_mark WHERE record_id = ?", [record]) == []
    assert not sheet.exists()
    (said,) = _vault(
        site,
        "SELECT d.* FROM buried_record b JOIN decision d USING (decision_id) WHERE record_id = ?",
        [record],
    )
    assert (said["kind"], said["reason"], said["reviewer1"]) == ("opt_out", "WB-P-003", "(policy)")
    assert _vault(site, member, [record]) == history
    done = CliRunner().invoke(cli, ["identity", "as-of", record, "--project", str(site.root), "--json"])
    assert json.loads(done.stdout)["person_key"] == history[0]["person_key"]
    status = CliRunner().invoke(cli, ["identity", "status", "--project", str(site.root), "--json"])
    assert sum(row["buried"] for row in json.loads(status.stdout)["sources"]) >= 1


def test_a_later_delivery_of_a_buried_record_is_removed_and_never_stored(
    site: Site, child: dict[str, str], first_night: Path
) -> None:
    record = child["record"]
    _opt_out(site, "2026-10-01", f"{child['student']},all,2026-10-01,")
    subjects = _vault(site, "SELECT count(*) AS n FROM subject")
    stones = _vault(site, "SELECT * FROM buried_record ORDER BY record_id")
    _deliver_again(site, first_night / "synthetic", child["source_id"], "2026-10-02", CANARY)
    report = _night(site)
    assert _removed(report) > 0
    assert _facts(site, record) == 0
    assert _said(site, record).height == 0
    assert _vault(site, "SELECT count(*) AS n FROM subject") == subjects
    assert _vault(site, "SELECT * FROM buried_record ORDER BY record_id") == stones
    everywhere = _everywhere(site)
    assert CANARY.lower().encode() not in everywhere.lower()
    assert child["source_id"].encode() not in everywhere


def test_a_new_record_of_the_child_is_buried_in_the_night_in_which_it_comes_and_ends_no_review_sheet(
    child: dict[str, str], first_night: Path, tmp_path: Path
) -> None:
    later = init_site(tmp_path / "later")
    for feed in ("oneroster", "edfi"):
        shutil.copytree(
            first_night / "synthetic" / "night-1" / feed, later.feeds[feed].inbox, dirs_exist_ok=True
        )
    _opt_out(later, "2026-10-01", f"{child['student']},all,2026-10-01,")
    sheet = later.state / "review" / "sheet.html"
    sheet.parent.mkdir(exist_ok=True)
    sheet.write_text("a question about others")
    shutil.copytree(
        first_night / "synthetic" / "night-1" / "fhir", later.feeds["fhir"].inbox, dirs_exist_ok=True
    )
    assert _removed(_night(later)) > 0
    (new,) = _vault(
        later, "SELECT b.record_id, r.seen_at FROM buried_record b JOIN source_record r USING (record_id)"
    )
    assert new["seen_at"] == _vault(later, "SELECT max(seen_at) AS last FROM source_record")[0]["last"]
    assert _said(later, new["record_id"]).height == 0
    assert child["source_id"].encode() not in _everywhere(later)
    assert sheet.exists()


def test_an_opt_out_taken_back_brings_the_record_its_words_and_its_facts_in_the_same_night(
    site: Site, child: dict[str, str]
) -> None:
    record = child["record"]
    facts, before = _facts(site, record), _said(site, record)
    _opt_out(site, "2026-10-01", f"{child['student']},all,2026-10-01,")
    _opt_out(site, "2026-10-09", f"{child['student']},all,2026-10-01,2026-10-09")
    assert _facts(site, record) == facts
    assert _said(site, record).equals(before)
    assert _vault(site, "SELECT key FROM source_key WHERE source_id = ?", [child["source_id"]]) == [
        {"key": record}
    ]
    assert _vault(site, "SELECT * FROM buried_record WHERE record_id = ?", [record]) == []
    _opt_out(site, "2026-10-12", f"{child['student']},all,2026-10-11,")
    assert _said(site, record).height == 0
    assert _facts(site, record) == 0
    kinds = _vault(
        site,
        "SELECT kind FROM decision WHERE record_a = ? AND record_b IS NULL ORDER BY decided_at",
        [record],
    )
    assert [one["kind"] for one in kinds] == ["opt_out", "undo", "opt_out"]


def test_a_night_that_needs_a_delivery_which_is_gone_says_so_and_changes_nothing(
    site: Site, child: dict[str, str]
) -> None:
    _opt_out(site, "2026-10-01", f"{child['student']},all,2026-10-01,")
    shutil.rmtree(site.landing)
    site.landing.mkdir()
    text = f"student_id,scope,effective_date,withdrawn_date\n{child['student']},all,2026-10-01,2026-10-09\n"
    (site.feeds["sis"].inbox / "optout_2026-10-09.csv").write_text(text)
    done = CliRunner().invoke(cli, ["run", "--project", str(site.root), "--json"])
    assert [error["code"] for error in json.loads(done.stdout)["errors"]] == ["WB-E-053"]
    assert done.exit_code == 15
    assert _facts(site, child["record"]) == 0
    assert _vault(site, "SELECT is_lifted FROM buried_record WHERE record_id = ?", [child["record"]]) == [
        {"is_lifted": False}
    ]


def test_what_changed_while_a_record_was_buried_is_what_comes_back(
    site: Site, child: dict[str, str], first_night: Path, tmp_path: Path
) -> None:
    """The same deliveries with the opt-out and its end in one night, where nothing is ever buried, say the same."""
    sites = [site, load_site(Path(shutil.copytree(site.root, tmp_path / "other")))]
    line = f"{child['student']},all,2026-10-01,"
    steps = [
        lambda one: _opt_out(one, "2026-10-01", line),
        lambda one: (
            _deliver_again(one, first_night / "synthetic", child["source_id"], "2026-10-02", CANARY),
            _night(one),
        ),
        lambda one: _opt_out(one, "2026-10-09", f"{line}2026-10-09"),
    ]
    found = []
    for one, order in zip(sites, (steps, steps[::-1]), strict=True):
        for step in order:
            step(one)
        with open_store(one.warehouse, METADATA, read_only=True) as warehouse:
            said = _said(one, child["record"]).rows()
            people = _vault(one, "SELECT subject_key, person_key FROM subject ORDER BY ALL")
            found.append((said, people, digest(warehouse)))
    assert CANARY in found[0][0][0]
    assert found[0] == found[1]
