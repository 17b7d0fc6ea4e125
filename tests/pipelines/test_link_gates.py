"""A night whose links fail a gate of the site's policy does not commit: drift, and the gap of a group."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from pipelines.one_night import after_one_night
from wellbridge.etl.store import open_store
from wellbridge.etl.vault import VAULT
from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.demo import deliver
from wellbridge.pipelines.site import Site, init_site, load_site
from wellbridge.schemas.warehouse import METADATA


@pytest.fixture(scope="module")
def one_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("gates")
    site = after_one_night(root, students=2500, nights=2, seed=11)
    deliver(site, root / "synthetic" / "night-2")
    return root / "site"


@pytest.fixture
def site(one_night: Path, tmp_path: Path) -> Site:
    shutil.copytree(one_night, tmp_path / "site")
    return load_site(tmp_path / "site")


def _run(site: Site, *options: str) -> tuple[Result, dict[str, Any]]:
    done = CliRunner().invoke(cli, ["run", "--project", str(site.root), "--json", *options])
    return done, json.loads(done.stdout)


def _stores(site: Site) -> tuple[list[Any], list[Any], list[Any]]:
    """Return what a night would have changed: runs, decisions and who is who."""
    with (
        open_store(site.warehouse, METADATA, read_only=True) as warehouse,
        open_store(site.vault, VAULT, read_only=True) as vault,
    ):
        return (
            warehouse.frame("SELECT run_id, exit_code FROM run ORDER BY ALL").rows(),
            vault.frame("SELECT decision_id FROM decision ORDER BY ALL").rows(),
            vault.frame("SELECT subject_key, person_key FROM subject ORDER BY ALL").rows(),
        )


def _set_last_shares(site: Site, level: int) -> None:
    """Make the last run one in which all links of the largest source had one level of first names."""
    with open_store(site.vault, VAULT) as vault:
        run_id, metrics = vault.frame("SELECT run_id, metrics FROM identity_run").row(0)
        kept = json.loads(metrics)
        shares = kept["links"]["level_shares"]["fhir/patient"]["first_name"]
        kept["links"]["level_shares"]["fhir/patient"]["first_name"] = [
            float(place == level) for place in range(len(shares))
        ]
        vault.run("UPDATE identity_run SET metrics = ? WHERE run_id = ?", [json.dumps(kept), run_id])


def _largest_school(site: Site) -> str:
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        return str(
            warehouse.value(
                "SELECT school_id FROM student WHERE is_current GROUP BY ALL ORDER BY count(*) DESC, school_id LIMIT 1"
            )
        )


def _make_questions(site: Site, count: int, *, school: str = "%") -> pl.DataFrame:
    """Turn links into questions that are probably true, as a bad rule would; return ``record_a, person_key``."""
    with open_store(site.warehouse, METADATA) as warehouse:
        people = warehouse.frame(
            "SELECT person_key FROM student WHERE is_current AND school_id LIKE ? ORDER BY person_key",
            [school],
        )
    with open_store(site.vault, VAULT) as vault:
        linked = vault.frame(
            "SELECT p.record_a, p.record_b, s.person_key FROM scored_pair p "
            "JOIN subject s ON s.subject_key = p.record_a SEMI JOIN people l ON l.person_key = s.person_key "
            "WHERE p.outcome = 'link' AND p.source_a = 'student' "
            "ORDER BY s.person_key LIMIT ?",
            [count],
            people=people,
        )
        vault.run(
            "UPDATE scored_pair SET is_enough = false, tier = 'model' FROM linked l "
            "WHERE scored_pair.record_a = l.record_a AND scored_pair.record_b = l.record_b",
            linked=linked,
        )
        vault.run(
            "UPDATE source_record SET is_decided = false FROM linked l WHERE source_record.record_id = l.record_a "
            "OR source_record.record_id = l.record_b",
            linked=linked,
        )
    return linked


def _put_in_program(site: Site, linked: pl.DataFrame, program: str) -> None:
    with open_store(site.warehouse, METADATA) as warehouse:
        rows = warehouse.frame("SELECT * FROM program_participation LIMIT 1")
        marked = linked.select("record_a", "person_key").unique("person_key")
        new = pl.concat([rows] * marked.height).with_columns(
            subject_key=marked["record_a"],
            person_key=marked["person_key"],
            program=pl.lit(program),
            end_date=pl.lit(None, pl.Date),
        )
        warehouse.append("program_participation", new)


def test_a_night_says_how_its_links_stand(site: Site) -> None:
    done, found = _run(site)
    assert done.exit_code in {0, 13}
    links = found["links"]
    fhir = next(one for one in links["sources"] if one["source"] == "fhir/patient")
    assert fhir["by_rule"] + fhir["by_model"] > 100
    assert [one["holds"] for one in links["gates"]] == [True, True]
    assert links["drift"]["most"] is not None
    assert {"double_surname", "english_learner"} <= {one["group"] for one in links["groups"]}
    status = CliRunner().invoke(cli, ["identity", "status", "--project", str(site.root)])
    assert "Links to the roster after run" in status.output
    assert "Drift since the run before" in status.output


def test_drift_since_the_last_run_stops_the_night_and_nothing_is_committed(site: Site) -> None:
    _set_last_shares(site, level=0)
    before = _stores(site)
    done, found = _run(site)
    assert done.exit_code == 14
    assert [one["code"] for one in found["errors"]] == ["WB-E-105"]
    assert found["errors"][0]["where"] == "drift_bits: fhir/patient first_name"
    assert _stores(site) == before
    again, _ = _run(site)
    assert again.exit_code == 14, "what was not taken waits, and is stopped again"


def test_a_site_can_let_links_pass_for_one_night_and_the_ledger_knows(site: Site) -> None:
    _set_last_shares(site, level=0)
    done, found = _run(site, "--gates", "warn")
    assert done.exit_code in {0, 13}
    assert [one["gate"] for one in found["links"]["gates"] if not one["holds"]] == ["drift_bits"]
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        noted = warehouse.frame("SELECT detail FROM ledger_event WHERE action = 'identity.gate'")
    assert noted["detail"].to_list() == ["drift_bits: fhir/patient first_name"]


def test_a_group_whose_records_wait_where_others_are_linked_stops_the_night(site: Site) -> None:
    _put_in_program(site, _make_questions(site, 60), "homeless")
    before = _stores(site)
    done, found = _run(site)
    assert done.exit_code == 14, found["errors"]
    assert "homeless" in found["errors"][0]["where"]
    assert _stores(site) == before
    settings = site.root / "wellbridge.toml"
    settings.write_text(settings.read_text().replace("max_gap = 0.05", "max_gap = 1.0"))
    assert _run(site)[0].exit_code in {0, 13}


def test_a_school_that_falls_behind_stops_the_night_and_is_not_named(site: Site) -> None:
    school = _largest_school(site)
    assert _make_questions(site, 60, school=school).height >= 40
    done, found = _run(site)
    assert done.exit_code == 14, found["errors"]
    where = found["errors"][0]["where"]
    assert "school" in where
    assert school not in where
    failed = next(gate for gate in found["links"]["gates"] if not gate["holds"])
    assert failed["failed_by"] == [f"school={school}"]
    told = next(one for one in found["links"]["groups"] if one["value"] == school)
    assert told["true_pairs"] >= 40
    assert told["others_recall"] - told["recall"] == pytest.approx(told["gap"], abs=1e-4)
    assert told["waits_in"] in {one["source"] for one in found["links"]["sources"] if one["for_review"]}


def test_a_refused_night_shows_the_groups_that_fail_and_status_keeps_it_until_one_is_taken(
    site: Site,
) -> None:
    school = _largest_school(site)
    _make_questions(site, 60, school=school)
    told = CliRunner().invoke(cli, ["run", "--project", str(site.root)])
    assert told.exit_code == 14
    row = next(line for line in told.stdout.splitlines() if line.startswith("school ") and school in line)
    assert len(row.split()) == 7, "group, value, size, recall, others', gap, source"
    assert "wellbridge run --gates warn" in told.stderr
    assert "wellbridge identity review next" in told.stderr
    assert site.refused_links.stat().st_mode & 0o077 == 0

    def status() -> tuple[str, dict[str, Any]]:
        arguments = ["identity", "status", "--project", str(site.root)]
        text, found = (CliRunner().invoke(cli, [*arguments, *more]).stdout for more in ([], ["--json"]))
        return text, json.loads(found)

    text, found = status()
    assert row in text.splitlines()
    assert found["refused"]["links"]["gates"][0]["failed_by"] == [f"school={school}"]
    taken, _ = _run(site, "--gates", "warn")
    assert taken.exit_code in {0, 13}
    assert status()[1]["refused"] is None
    assert status()[1]["review"] >= 40, "now its questions can be answered"


def test_a_first_night_that_is_refused_is_told_though_there_is_no_hub_yet(site: Site, tmp_path: Path) -> None:
    _make_questions(site, 60, school=_largest_school(site))
    assert _run(site)[0].exit_code == 14
    other = init_site(tmp_path / "other")
    shutil.copy(site.refused_links, other.refused_links)
    told = CliRunner().invoke(cli, ["identity", "status", "--project", str(other.root)])
    assert told.exit_code == 15
    assert "FAILS by school=" in told.stdout
    asked = CliRunner().invoke(cli, ["identity", "status", "--project", str(other.root), "--json"])
    assert json.loads(asked.stdout)["refused"]["links"]["groups"]


def test_status_lists_groups_that_are_behind_and_more_than_chance_first(site: Site) -> None:
    school = _largest_school(site)
    _make_questions(site, 60, school=school)
    _run(site, "--gates", "warn")
    text = CliRunner().invoke(cli, ["identity", "status", "--project", str(site.root)]).stdout
    lines = text[text.index("furthest behind") :].splitlines()
    place = lines[1].index("chance")
    rows = [line for line in lines[3:] if line][: lines[3:].index("")]
    assert next(row for row in rows if row.startswith("school "))[place:].strip() == "no"
    assert school in next(row for row in rows if row.startswith("school "))
    assert [float(row.split()[5]) > 0 for row in rows] == [True] * len(rows)
    chances = [row[place:].strip() for row in rows]
    assert chances == sorted(chances)


def test_a_persons_decision_is_never_stopped(site: Site) -> None:
    _set_last_shares(site, level=0)
    with open_store(site.vault, VAULT, read_only=True) as vault:
        record = vault.value(
            "SELECT record_b FROM scored_pair WHERE outcome = 'link' ORDER BY record_b LIMIT 1"
        )
    arguments = ["identity", "split", record, "--reason", "two", "--project", str(site.root)]
    assert CliRunner().invoke(cli, arguments).exit_code == 0


@pytest.mark.parametrize("setting", ['gates = "no"', "max_gap = 2.0", "max_drift = -1", "max_drift = nan"])
def test_a_policy_that_cannot_be_is_refused(site: Site, setting: str) -> None:
    settings = site.root / "wellbridge.toml"
    name = setting.partition(" ")[0]
    kept = [line for line in settings.read_text().splitlines() if not line.startswith(name)]
    settings.write_text("\n".join([*kept, setting]))
    done, found = _run(site)
    assert (done.exit_code, found["errors"][0]["code"]) == (10, "WB-E-011")
