"""``wellbridge identity status|as-of|explain|merge|split|undo|forget`` on a synthetic district."""

from __future__ import annotations

import json
import re
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from pipelines.one_night import after_one_night
from wellbridge.etl.identity import hub, matcher
from wellbridge.etl.identity.parts import opened
from wellbridge.etl.loading import day_of
from wellbridge.etl.lock import run_lock
from wellbridge.etl.store import open_store
from wellbridge.etl.vault import VAULT, Vault
from wellbridge.pipelines import site as site_settings
from wellbridge.pipelines.cli import identity_correct
from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.demo import deliver
from wellbridge.pipelines.nightly.run import run_night
from wellbridge.pipelines.nightly.stores import open_stores, seals_of, write_event
from wellbridge.pipelines.site import Site, load_site
from wellbridge.schemas.warehouse import METADATA, PERSON_TABLES

_LINKED = """
SELECT s.subject_key AS record, a.subject_key AS anchor, k.source_id, s.namespace
FROM subject s JOIN subject a ON a.own_person_key = s.person_key JOIN source_key k ON k.key = s.subject_key
SEMI JOIN loaded_subject l ON l.subject_key = s.subject_key
WHERE s.person_key <> s.own_person_key ORDER BY k.source_id LIMIT 1
"""


@pytest.fixture(scope="module")
def first_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    after_one_night(root, students=120, nights=2, seed=5)
    return root


@pytest.fixture
def site(first_night: Path, tmp_path: Path) -> Site:
    shutil.copytree(first_night / "site", tmp_path / "site")
    return load_site(tmp_path / "site")


def _vault(site: Site, sql: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
    with open_store(site.vault, VAULT, read_only=True) as vault:
        return vault.frame(sql, values or []).to_dicts()


def _say(site: Site, *arguments: str, exit_code: int = 0) -> tuple[str, dict[str, Any]]:
    """Run a command with ``--json``; return all it said, and the document."""
    done = CliRunner().invoke(cli, ["identity", *arguments, "--project", str(site.root), "--json"])
    assert done.exit_code == exit_code, done.output
    return done.output, json.loads(done.stdout)


def _text(site: Site, *arguments: str) -> str:
    done = CliRunner().invoke(cli, ["identity", *arguments, "--project", str(site.root)])
    assert done.exit_code == 0, done.output
    return done.output


def _said(site: Site, records: list[str]) -> set[str]:
    """Return what sources said about records, as far as it is long enough not to stand elsewhere by chance."""
    with open_store(site.vault, VAULT, read_only=True) as vault:
        found = opened(vault, seals_of(site), pl.DataFrame({"record_id": records}))
    names = ("first_name", "last_name", "birth_date", "phone", "address")
    return {value for row in found.select(names).rows() for value in row if value and len(value) > 5}


def test_status_counts_records_persons_and_questions(site: Site) -> None:
    _, found = _say(site, "status")
    records = _vault(
        site, "SELECT namespace AS source, count(*) AS records FROM subject GROUP BY ALL ORDER BY 1"
    )
    assert [{"source": s["source"], "records": s["records"]} for s in found["sources"]] == records
    assert found["persons"] == _vault(site, "SELECT count(DISTINCT person_key) AS n FROM subject")[0]["n"]
    assert sum(source["linked"] for source in found["sources"]) > 0
    assert "chain whole" in _text(site, "status")


def test_a_broken_chain_of_events_is_told_and_exits_18(site: Site) -> None:
    linked = _vault(site, _LINKED)[0]
    _say(site, "split", linked["record"], "--reason", "two children")
    with open_store(site.vault, VAULT) as vault:
        vault.run("UPDATE key_event SET run_id = 'another'")
    _, found = _say(site, "status", exit_code=18)
    assert found["events"]["first_broken"] == 1


@pytest.mark.parametrize("is_grown_again", [False, True])
def test_a_chain_that_was_shortened_is_told_by_the_ledger(site: Site, is_grown_again: bool) -> None:
    linked = _vault(site, _LINKED)[0]
    decision = _say(site, "split", linked["record"], "--reason", "two children")[1]["decision_id"]
    assert _say(site, "status")[1]["events"]["first_broken"] is None
    count = _say(site, "status")[1]["events"]["count"]
    with open_store(site.vault, VAULT) as vault:
        vault.run("DELETE FROM key_event WHERE seq = ?", [count])
    if is_grown_again:
        _say(site, "undo", decision, "--reason", "so that it is as long as before")
        assert _vault(site, "SELECT count(*) AS n FROM key_event") == [{"n": count}]
    assert _say(site, "status", exit_code=18)[1]["events"]["first_broken"] == count


def test_while_a_run_holds_the_stores_a_question_is_told_so(site: Site) -> None:
    record = _vault(site, _LINKED)[0]["record"]
    asked = (("status",), ("explain", record, record), ("review", "status"))
    with run_lock(site.lock), open_stores(site, "a run"):
        for command in asked:
            assert _say(site, *command, exit_code=16)[1]["errors"][0]["code"] == "WB-E-060"
    for command in asked:
        _say(site, *command)


def test_a_record_is_itself_and_was_not_compared_with_itself(site: Site) -> None:
    record = _vault(site, _LINKED)[0]["record"]
    told = _text(site, "explain", record, record)
    assert "never compared" not in told
    assert "One and the same record" in told
    assert len(_say(site, "explain", record, record)[1]["records"]) == 1


def test_split_undo_and_as_of_move_the_facts_and_come_back(site: Site) -> None:
    linked = _vault(site, _LINKED)[0]
    record, anchor = linked["record"], linked["anchor"]

    def persons() -> dict[str, str]:
        rows = _vault(site, "SELECT subject_key, person_key FROM subject")
        return {row["subject_key"]: row["person_key"] for row in rows}

    def facts() -> set[str]:
        with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
            return {
                key
                for table in PERSON_TABLES
                for key in warehouse.frame(
                    f"SELECT DISTINCT person_key FROM {table.name} WHERE subject_key = ?", [record]
                )["person_key"]
            }

    before = persons()
    assert facts() == {before[record]} == {before[anchor]}
    _, split = _say(site, "split", f"{linked['namespace']}:{linked['source_id']}", "--reason", "two children")
    after = persons()
    assert after[record] != after[anchor] == before[anchor]
    assert facts() == {after[record]}
    _, now = _say(site, "as-of", record)
    assert (now["person_key"], now["key_now"]) == (after[record], after[record])
    earlier = _vault(site, "SELECT min(asserted_from) AS at_first FROM membership")[0]["at_first"]
    _, then = _say(site, "as-of", record, "--known", earlier.replace(microsecond=0).isoformat())
    assert then["person_key"] is None
    _, explained = _say(site, "explain", record, anchor)
    assert explained["are_one"] is False
    assert [one["decision_id"] for one in explained["constraints"]] == [split["decision_id"]]
    assert {one["reviewer1"] for one in explained["decisions"] if one["kind"] == "clerical"} != {None}
    _say(site, "undo", split["decision_id"][:12], "--reason", "mistaken", "--by", "the records office")
    assert persons() == before
    assert facts() == {before[record]}


def _dated_facts(site: Site, record: str) -> set[tuple[str, date, str]]:
    """Return table, day and person of each of a record's facts that have a day."""
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        return {
            (table.name, day, person)
            for table in PERSON_TABLES
            for day, person in warehouse.frame(
                f"SELECT {day_of(table)} AS day, person_key FROM {table.name} WHERE subject_key = ?", [record]
            ).rows()
            if day
        }


def _dated_record(site: Site) -> tuple[str, str, date]:
    """Return a linked record, its anchor, and a day before which and since which it has facts."""
    for linked in _vault(site, _LINKED.replace("LIMIT 1", "")):
        days = sorted({day for _, day, _ in _dated_facts(site, linked["record"])})
        if len(days) > 1:
            return linked["record"], linked["anchor"], days[len(days) // 2]
    raise AssertionError("no record has facts on two days")


def test_until_the_day_of_a_split_facts_are_the_other_childs(site: Site, first_night: Path) -> None:
    record, anchor, since = _dated_record(site)

    def persons() -> tuple[str, str]:
        rows = _vault(site, "SELECT subject_key, person_key FROM subject")
        keys = {row["subject_key"]: row["person_key"] for row in rows}
        return keys[anchor], keys[record]

    def check() -> None:
        theirs, own = persons()
        facts = _dated_facts(site, record)
        assert {person for _, day, person in facts if day < since} == {theirs}
        assert {person for _, day, person in facts if day >= since} == {own}
        assert theirs != own

    said = ("--from", anchor, "--reason", "the number was another child's")
    _say(site, "split", record, *said, "--since", since.isoformat())
    check()
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        feeds = warehouse.frame("SELECT batch_id, feed FROM batch")
    with open_store(site.vault, VAULT, read_only=True) as vault:
        held_by = vault.frame("SELECT batch_id FROM loaded_subject WHERE subject_key = ?", [record])
    feed = str(feeds.join(held_by, on="batch_id")["feed"][0])
    for one in (
        first_night / "synthetic" / "night-1" / feed
    ).iterdir():  # old facts come once more, changed in name
        copy = shutil.copytree if one.is_dir() else shutil.copy
        copy(one, site.feeds[feed].inbox / f"again-{one.name}")
    taken = [one["name"] for one in run_night(site).deliveries if one["status"] == "taken"]
    assert taken
    assert all(name.startswith("again-") for name in taken)
    check()
    deliver(site, first_night / "synthetic" / "night-2")
    run_night(site)
    check()
    whole = _say(site, "split", record, *said)[1]["decision_id"]
    assert {person for _, _, person in _dated_facts(site, record)} == {persons()[1]}
    dated = _say(site, "undo", whole, "--reason", "since a day")[1]["decision_id"]
    check()
    _say(site, "undo", dated, "--reason", "as before")
    _say(site, "merge", record, anchor, "--reason", "one child after all")
    theirs, own = persons()
    assert theirs == own
    assert {person for _, _, person in _dated_facts(site, record)} == {own}


def test_a_refusal_of_who_the_record_was_until_a_day_reaches_its_facts(site: Site) -> None:
    record, anchor, since = _dated_record(site)
    _say(site, "split", record, "--from", anchor, "--reason", "another child", "--since", since.isoformat())
    assert _dated_facts(site, record)
    number = _vault(site, "SELECT source_id FROM source_key WHERE key = ?", [anchor])[0]["source_id"]
    text = f"student_id,scope,effective_date,withdrawn_date\n{number},partners,2024-08-01,\n"
    (site.feeds["sis"].inbox / "optout_2026-09-29.csv").write_text(text)
    run_night(site)
    assert _dated_facts(site, record) == set()


def _second_number(site: Site, record: str) -> str:
    """Let the clinic give a child a second number; return the new record."""
    with run_lock(site.lock), open_stores(site, "second") as (warehouse, store):
        write_event(warehouse, "test", "second", "")
        vault = Vault(store, seals_of(site))
        said = opened(store, vault.seals, pl.DataFrame({"record_id": [record]})).drop("record_id")
        keys = vault.namespace("fhir", "patient").keys(pl.Series(["another number"]), defines=True)
        key = str(keys["key"][0])
        vault.set_traits(said.with_columns(subject_key=pl.lit(key), version=pl.lit("9")))
    return key


def _repeating(site: Site, *sources: str) -> None:
    settings = site.root / "wellbridge.toml"
    settings.write_text(re.sub("(?m)^repeating = .*$", f"repeating = {list(sources)}", settings.read_text()))


def test_a_second_number_of_a_child_is_linked_where_the_site_says_that_the_source_repeats(site: Site) -> None:
    linked = next(
        row for row in _vault(site, _LINKED.replace("LIMIT 1", "")) if row["namespace"] == "fhir/patient"
    )
    second = _second_number(site, linked["record"])
    two = [
        row["subject_key"]
        for row in _vault(site, "SELECT subject_key FROM subject WHERE namespace = 'student' LIMIT 2")
    ]

    def persons() -> list[str]:
        rows = _vault(site, "SELECT subject_key, person_key FROM subject")
        keys = {row["subject_key"]: row["person_key"] for row in rows}
        return [keys[one] for one in (linked["anchor"], linked["record"], second)]

    merge = _say(site, "merge", *two, "--reason", "a night of its own")[1]["decision_id"]
    assert len(set(persons())) > 1, "a source that holds a child once has two children here"
    pair = "SELECT outcome, reason FROM scored_pair WHERE record_a = ? AND record_b IN (?, ?)"
    asked = _vault(site, pair, [linked["anchor"], linked["record"], second])
    assert asked == [{"outcome": "review", "reason": "source_not_unique"}] * 2
    _repeating(site, "*/client", "fhir/patient")
    _say(site, "undo", merge, "--reason", "another night")
    assert len(set(persons())) == 1
    repeats = {one["source"]: one["repeats"] for one in _say(site, "status")[1]["sources"]}
    assert repeats["fhir/patient"]
    assert not repeats["student"]
    _repeating(site, "*/client")
    _say(site, "merge", *two, "--reason", "a third")
    assert len(set(persons())) > 1, "a change of what is declared decides all anew"


@pytest.mark.parametrize("said", ['"fhir/patient"', "[1]", '["patient"]', '["a/b/c"]'])
def test_repeating_sources_are_named_by_feed_and_namespace(site: Site, said: str) -> None:
    settings = site.root / "wellbridge.toml"
    settings.write_text(re.sub("(?m)^repeating = .*$", f"repeating = {said}", settings.read_text()))
    assert _say(site, "status", exit_code=10)[1]["errors"][0]["code"] == "WB-E-011"


def test_what_repeats_by_default_is_said_alike_by_site_and_matcher() -> None:
    assert site_settings.REPEATING == matcher.REPEATING


def test_doctor_warns_of_a_repeating_source_that_no_feed_has(site: Site) -> None:
    _repeating(site, "*/client", "clinnic/patient")
    done = CliRunner().invoke(cli, ["doctor", "--project", str(site.root), "--json"])
    found = [one for one in json.loads(done.stdout)["checks"] if one["check"] == "repeating"]
    assert [(one["state"], "clinnic/patient" in one["detail"]) for one in found] == [("WARN", True)]


def test_merge_of_two_students_is_one_person_until_it_is_undone(site: Site) -> None:
    two = [
        row["subject_key"]
        for row in _vault(site, "SELECT subject_key FROM subject WHERE namespace = 'student' LIMIT 2")
    ]
    _, merge = _say(site, "merge", *two, "--reason", "registered twice")
    assert _say(site, "explain", *two)[1]["are_one"]
    assert "One person." in _text(site, "explain", *two)
    _say(site, "undo", merge["decision_id"], "--reason", "two children after all")
    assert not _say(site, "explain", *two)[1]["are_one"]


def test_no_answer_and_no_ledger_holds_what_a_record_says(site: Site) -> None:
    linked = _vault(site, _LINKED)[0]
    pair = [linked["record"], linked["anchor"]]
    canaries = _said(site, pair)
    assert len(canaries) >= 3
    answers = [_text(site, "explain", *pair), _text(site, "status"), _text(site, "as-of", pair[0])]
    answers += [_say(site, "explain", *pair)[0], _say(site, "split", pair[0], "--reason", "two children")[0]]
    answers += [_say(site, "explain", canaries.copy().pop(), pair[0], exit_code=10)[0]]
    elsewhere = [
        path.read_bytes()
        for path in site.root.rglob("*")
        if path.is_file() and not {"inbox", "landing"} & set(path.relative_to(site.root).parts)
    ]
    text = " ".join(answers).lower().encode() + b" ".join(elsewhere).lower()
    assert [value for value in sorted(canaries) if value.lower().encode() in text] == []


def test_a_name_that_is_not_known_is_refused_without_repeating_it(site: Site) -> None:
    for name in ("student:Ann Canary", "00000000", "ab", ""):
        output, found = _say(site, "as-of", name, exit_code=10)
        assert found["errors"][0]["code"] == "WB-E-015"
        assert "Canary" not in output


def test_forgetting_a_person_leaves_tombstones_and_no_later_delivery_brings_it_back(
    site: Site, first_night: Path
) -> None:
    linked = _vault(site, _LINKED)[0]
    pair = [linked["record"], linked["anchor"]]
    ids = [
        row["source_id"] for row in _vault(site, "SELECT source_id FROM source_key WHERE key IN (?, ?)", pair)
    ]
    person = _vault(site, "SELECT person_key FROM subject WHERE subject_key = ?", pair[:1])[0]["person_key"]
    records = _vault(site, "SELECT subject_key FROM subject WHERE person_key = ?", [person])
    backup = site.vault.read_bytes()
    assert f"{len(records)} records would be" in _text(
        site, "forget", person, "--reason", "asked", "--dry-run"
    )
    assert site.vault.read_bytes() == backup
    _, done = _say(site, "forget", person, "--reason", "asked")
    assert done["records"] == len(done["decisions"]) == len(records)
    _check_forgotten(site, pair, ids)
    deliver(site, first_night / "synthetic" / "night-2")
    run_night(site)
    _check_forgotten(site, pair, ids)
    assert _say(site, "forget", pair[0], "--reason", "law")[1]["decisions"] == []
    shutil.copy(site.vault, site.vault.with_name("kept"))
    site.vault.with_name("kept").write_bytes(backup)
    with open_store(site.vault.with_name("kept"), VAULT, read_only=True) as older:
        assert opened(older, seals_of(site), pl.DataFrame({"record_id": pair})).height == 0


def _check_forgotten(site: Site, records: list[str], ids: list[str]) -> None:
    count = {
        name: _vault(site, f"SELECT count(*) AS n FROM {name} WHERE {column} IN (?, ?)", records)[0]["n"]
        for name, column in (
            ("record_part", "record_id"),
            ("record_mark", "record_id"),
            ("source_key", "key"),
            ("record_tombstone", "record_id"),
        )
    }
    assert count == {"record_part": 0, "record_mark": 0, "source_key": 0, "record_tombstone": 2}
    assert _vault(site, "SELECT * FROM source_key WHERE source_id IN (?, ?)", ids) == []
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        left = [
            table.name
            for table in PERSON_TABLES
            if warehouse.value(f"SELECT count(*) FROM {table.name} WHERE subject_key = ?", records[:1])
        ]
    assert left == []


def test_the_forgetting_of_a_decision_cannot_be_undone(site: Site) -> None:
    linked = _vault(site, _LINKED)[0]
    _, done = _say(site, "forget", linked["record"], "--reason", "asked")
    _, refused = _say(site, "undo", done["decisions"][0], "--reason", "regret", exit_code=10)
    assert refused["errors"][0]["code"] == "WB-E-015"


_CANARY = "Mother of Zyxquivera called"


def _refused(site: Site, *arguments: str) -> tuple[str, dict[str, Any]]:
    """Return the code and the whole of a refusal that leaves decisions and answers as they were."""
    before = _vault(site, "SELECT * FROM decision ORDER BY decision_id")
    done = CliRunner().invoke(cli, ["identity", *arguments, "--project", str(site.root), "--json"])
    assert done.exit_code not in {0, 1}, done.output
    assert _vault(site, "SELECT * FROM decision ORDER BY decision_id") == before
    return done.output, json.loads(done.stdout)["errors"][0]


def _everything(site: Site) -> bytes:
    """Return the bytes of all files of a site but its deliveries."""
    files = [path for path in site.root.rglob("*") if path.is_file()]
    outside = [p for p in files if not {"inbox", "landing"} & set(p.relative_to(site.root).parts)]
    return b" ".join(path.read_bytes() for path in outside)


def test_a_reason_is_told_by_explain_and_stands_nowhere_in_clear(site: Site) -> None:
    linked = _vault(site, _LINKED)[0]
    record, anchor = linked["record"], linked["anchor"]
    output, split = _say(site, "split", record, "--from", anchor, "--reason", _CANARY, "--by", "Ana Ruiz")
    assert "Zyxquivera" not in output
    _say(site, "undo", split["decision_id"], "--reason", f"{_CANARY} again")
    reasons = [one["reason"] for one in _say(site, "explain", record, anchor)[1]["decisions"]]
    assert [reason for reason in reasons if "Zyx" in reason] == [_CANARY, f"{_CANARY} again"]
    assert _CANARY in _text(site, "explain", record, anchor)
    assert b"Zyxquivera" not in _everything(site)
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        details = warehouse.frame("SELECT detail FROM ledger_event WHERE action = 'identity.split'")["detail"]
    assert details.to_list() == [f"decision {split['decision_id']}"]


def test_forgetting_one_of_the_records_closes_the_reason_also_in_an_older_vault(site: Site) -> None:
    linked = _vault(site, _LINKED)[0]
    record, anchor = linked["record"], linked["anchor"]
    _say(site, "split", record, "--from", anchor, "--reason", _CANARY)
    backup = site.vault.read_bytes()
    _say(site, "forget", record, "--reason", "asked")
    told = _say(site, "explain", record, anchor)[1]["decisions"]
    assert [one["reason"] for one in told if one["kind"] == "clerical"] == [None]
    assert [one["reason"] for one in told if one["kind"] == "forget"] == ["asked"]
    site.vault.write_bytes(backup)
    told = _say(site, "explain", record, anchor)[1]["decisions"]
    assert [one["reason"] for one in told if one["kind"] == "clerical"] == [None]


def test_the_reason_for_forgetting_is_a_choice_and_a_wrong_one_is_not_repeated(site: Site) -> None:
    record = _vault(site, _LINKED)[0]["record"]
    output, _ = _refused(site, "forget", record, "--reason", _CANARY)
    assert "Zyxquivera" not in output
    assert tuple(hub.WHY_FORGOTTEN) == identity_correct._WHY_FORGOTTEN


@pytest.mark.parametrize("said", ["", "  ", "\t"])
def test_an_empty_reason_or_name_is_refused(site: Site, said: str) -> None:
    linked = _vault(site, _LINKED)[0]
    pair = (linked["record"], linked["anchor"])
    automatic = _vault(
        site, "SELECT decision_id FROM decision WHERE kind = 'auto' AND outcome = 'link' LIMIT 1"
    )
    for command in (("merge", *pair), ("split", pair[0]), ("undo", automatic[0]["decision_id"])):
        assert _refused(site, *command, "--reason", said)[1]["code"] == "WB-E-016"
        assert _refused(site, *command, "--reason", "seen", "--by", said)[1]["code"] == "WB-E-016"
    assert _refused(site, "forget", pair[0], "--reason", said)[1]["code"] == "WB-E-016"


def test_where_the_site_asks_for_two_reviewers_two_are_named(site: Site) -> None:
    settings = site.root / "wellbridge.toml"
    settings.write_text(settings.read_text().replace("reviewers = 1", "reviewers = 2"))
    linked = _vault(site, _LINKED)[0]
    said = ("--reason", "two children", "--by", "Ana Ruiz")
    split = ("split", linked["record"], *said)
    undo = (
        "undo",
        _vault(site, "SELECT decision_id FROM decision WHERE outcome = 'link'")[0]["decision_id"],
        *said,
    )
    merge = ("merge", linked["record"], linked["anchor"], *said)
    for command in (split, undo, merge):
        assert _refused(site, *command)[1]["code"] == "WB-E-110"
        for same in ("Ana Ruiz", " ana  RUIZ ", "\uff21na Ruiz"):
            assert _refused(site, *command, "--second", same)[1]["code"] == "WB-E-110"
    decision = _say(site, *split, "--second", "Ben Okafor")[1]["decision_id"]
    kept = _vault(site, "SELECT reviewer1, reviewer2 FROM decision WHERE decision_id = ?", [decision])
    assert kept == [{"reviewer1": "Ana Ruiz", "reviewer2": "Ben Okafor"}]


def test_a_decision_about_a_day_to_come_is_refused(site: Site) -> None:
    linked = _vault(site, _LINKED)[0]
    pair = (linked["record"], linked["anchor"])
    to_come = (date.today() + timedelta(days=3)).isoformat()
    for command in (("merge", *pair), ("split", pair[0])):
        assert _refused(site, *command, "--reason", "seen", "--since", to_come)[1]["code"] == "WB-E-016"


@pytest.mark.parametrize("said", [_CANARY, "", "zz", "%", "0123 Zyxquivera"])
def test_a_decision_that_is_not_known_is_refused_without_repeating_it(site: Site, said: str) -> None:
    output, error = _refused(site, "undo", said, "--reason", "mistaken")
    assert (error["code"], error["where"]) == ("WB-E-015", "decision")
    assert "Zyxquivera" not in output


def test_a_decision_that_a_later_one_replaced_is_not_undone_for_nothing(site: Site) -> None:
    two = [
        row["subject_key"]
        for row in _vault(site, "SELECT subject_key FROM subject WHERE namespace = 'student' LIMIT 2")
    ]
    first = _say(site, "merge", *two, "--reason", "registered twice")[1]["decision_id"]
    second = _say(site, "split", two[0], "--from", two[1], "--reason", "two after all")[1]["decision_id"]
    assert _refused(site, "undo", first, "--reason", "no")[1]["code"] == "WB-E-111"
    third = _say(site, "undo", second, "--reason", "one after all")[1]["decision_id"]
    assert _say(site, "explain", *two)[1]["are_one"]
    _say(site, "undo", third, "--reason", "two for good")
    assert not _say(site, "explain", *two)[1]["are_one"]
