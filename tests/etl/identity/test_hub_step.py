"""The step of the hub: who is one person after each night, whatever the order, and under which key."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from small_hub import ANA, BEN, CLEO, Said, SmallHub

from wellbridge.etl.identity import scoring, step
from wellbridge.etl.identity.explain import as_of, explain
from wellbridge.etl.identity.history import memberships, person_of, resolve, verify_events
from wellbridge.etl.identity.model import shipped
from wellbridge.schemas.errors import ConfigurationError

SEED = datetime.now(UTC).date().toordinal()
TODAY = [
    ("student:1", ANA),
    ("student:2", BEN),
    ("student:3", CLEO),
    ("clinic/patient:a", {**ANA, "phone": "971-555-0999"}),
    ("clinic/patient:b", {**BEN, "first_name": "Benedikt"}),
    ("club/patient:b", BEN),
    ("police/client:n1", {k: CLEO[k] for k in ("first_name", "last_name", "birth_date")}),
    ("police/client:n2", {k: CLEO[k] for k in ("first_name", "last_name", "birth_date")}),
    ("clinic/patient:z", {"first_name": "Nobody", "last_name": "Elsewhere", "birth_date": "2013-01-15"}),
]
PERSONS = {
    frozenset({"student:1", "clinic/patient:a"}),
    frozenset({"student:2", "clinic/patient:b", "club/patient:b"}),
    frozenset({"student:3", "police/client:n1", "police/client:n2"}),
    frozenset({"clinic/patient:z"}),
}
_TABLES = (
    "membership",
    "decision",
    "link_constraint",
    "key_event",
    "key_redirect",
    "scored_pair",
    "identity_run",
)


def _counts(hub: SmallHub) -> dict[str, int]:
    return {name: hub.store.value(f"SELECT count(*) FROM {name}") for name in _TABLES}


def _said(name: str) -> Said:
    return dict(TODAY)[name]


@pytest.fixture
def hub(tmp_path: Path) -> SmallHub:
    with SmallHub(tmp_path) as one:
        one.say_all([(name, said, "2026-08-01.000") for name, said in TODAY])
        one.link()
        yield one  # type: ignore[misc]


def test_records_of_one_child_are_one_person_with_the_rosters_key(hub: SmallHub) -> None:
    assert hub.partition() == PERSONS
    own = dict(hub.store.frame("SELECT subject_key, own_person_key FROM subject").iter_rows())
    keys = hub.keys()
    for name in ("student:1", "student:2", "student:3"):
        assert keys[name] == own[hub.record(name)]


def test_running_again_and_hearing_it_again_change_nothing(hub: SmallHub) -> None:
    keys, counts = hub.keys(), _counts(hub)
    assert hub.link().height == 0
    hub.say_all(
        [(name, said, version) for name, said in TODAY for version in ("2026-08-01.000", "2026-08-02.000")]
    )
    assert hub.link().height == 0
    assert hub.keys() == keys
    assert _counts(hub) | {"identity_run": 0} == counts | {"identity_run": 0}


@pytest.mark.parametrize("number", range(3))
def test_any_order_and_any_nights_give_the_same_persons(tmp_path: Path, number: int) -> None:
    print(f"seed {SEED}, order {number}")
    chance = random.Random(SEED * 100 + number)
    statements = [
        (name, said, "2026-08-01.000") for name, said in TODAY for _ in range(chance.choice([1, 1, 2]))
    ]
    chance.shuffle(statements)
    with SmallHub(tmp_path) as hub:
        while statements:
            hub.say_all([statements.pop() for _ in range(min(len(statements), chance.randint(1, 4)))])
            hub.link()
        assert hub.partition() == PERSONS
        for name in ("student:1", "student:2", "student:3"):
            record = hub.record(name)
            assert hub.keys()[name] == hub.store.value(
                "SELECT own_person_key FROM subject WHERE subject_key = ?", [record]
            )
        assert verify_events(hub.store) is None


def test_a_person_whose_anchor_comes_late_is_merged_and_redirected(tmp_path: Path) -> None:
    with SmallHub(tmp_path) as hub:
        hub.say("clinic/patient:a", ANA)
        hub.link()
        before = hub.keys()["clinic/patient:a"]
        hub.say("student:1", ANA)
        moved = hub.link()
        after = hub.keys()
        assert after["clinic/patient:a"] == after["student:1"] != before
        assert moved["subject_key"].to_list() == [hub.record("clinic/patient:a")]
        assert resolve(hub.store, before) == after["student:1"]
        (event,) = hub.store.frame("SELECT kind, from_key, to_key, records FROM key_event").to_dicts()
        assert event == {"kind": "merge", "from_key": before, "to_key": after["student:1"], "records": 1}


def test_a_correction_moves_a_record_and_the_past_stays_answerable(hub: SmallHub) -> None:
    """Before the clinic corrects itself its record is Ana's; afterwards Cleo's. Both can still be asked."""
    record, before = hub.record("clinic/patient:a"), hub.keys()["student:1"]
    believed = hub.store.value("SELECT max(asserted_from) FROM membership")
    hub.say("clinic/patient:a", CLEO, "2026-08-05.000")
    hub.link()
    now = hub.keys()["student:3"]
    assert person_of(hub.store, record) == now
    assert person_of(hub.store, record, asserted=believed) == before
    told = as_of(hub.store, record, believed, None)
    assert (told["person_key"], told["key_now"]) == (before, before)
    assert {row["record_id"] for row in told["records"]} == {record, hub.record("student:1")}


def test_before_it_came_a_record_was_nobodys(hub: SmallHub) -> None:
    assert person_of(hub.store, hub.record("student:1"), asserted=datetime(2020, 1, 1)) is None


def test_who_it_was_in_the_world_on_a_day(hub: SmallHub) -> None:
    """A clinic gave a number to another child in August 2025: the record was Ana's until then."""
    record, since = hub.record("clinic/patient:a"), date(2025, 8, 1)
    ana = hub.keys()["student:1"]
    hub.decide("clinic/patient:a", "student:1", "nonlink", since=since)
    own = hub.keys()["clinic/patient:a"]
    assert own != ana
    assert person_of(hub.store, record) == person_of(hub.store, record, valid=since) == own
    assert person_of(hub.store, record, valid=date(2025, 7, 31)) == ana
    then = memberships(hub.store, person_key=ana, valid=date(2025, 7, 31))["record_id"]
    assert set(then) == {record, hub.record("student:1")}


def test_a_split_lasts_through_later_nights_and_an_undo_gives_the_keys_of_before(hub: SmallHub) -> None:
    keys = hub.keys()
    split = hub.decide("clinic/patient:a", "student:1", "nonlink")
    assert hub.keys()["clinic/patient:a"] != keys["student:1"]
    hub.say("clinic/patient:a", {**_said("clinic/patient:a"), "zip_code": "97202"}, "2026-08-09.000")
    hub.link()
    assert frozenset({"clinic/patient:a"}) in hub.partition()
    hub.undo(split)
    assert hub.keys() == keys
    assert verify_events(hub.store) is None


def test_an_automatic_link_can_be_undone_and_that_too(hub: SmallHub) -> None:
    keys = hub.keys()
    pair = sorted([hub.record("student:1"), hub.record("clinic/patient:a")])
    (automatic,) = hub.store.frame(
        "SELECT decision_id FROM decision WHERE kind = 'auto' AND record_a IN (?, ?) AND record_b IN (?, ?)",
        pair * 2,
    )["decision_id"]
    undoing = hub.undo(automatic)
    assert hub.keys()["clinic/patient:a"] != keys["student:1"]
    hub.undo(undoing)
    assert hub.keys() == keys
    with pytest.raises(ConfigurationError, match="WB-E-015"):
        hub.undo(undoing)


def test_persons_with_an_anchor_each_are_merged_by_a_person_alone(hub: SmallHub) -> None:
    keys = hub.keys()
    assert keys["student:1"] != keys["student:3"]
    merge = hub.decide("student:1", "student:3", "link")
    merged = hub.keys()
    assert merged["student:1"] == merged["student:3"] == merged["police/client:n1"]
    gone = ({keys["student:1"], keys["student:3"]} - {merged["student:1"]}).pop()
    assert resolve(hub.store, gone) == merged["student:1"]
    hub.undo(merge)
    assert hub.keys() == keys
    assert resolve(hub.store, gone) == gone


def test_one_said_of_two_records_is_decided_for_the_pair_and_not_for_its_order(hub: SmallHub) -> None:
    hub.decide("clinic/patient:z", "student:1", "link")
    hub.decide("student:1", "clinic/patient:z", "nonlink")
    assert hub.partition() == PERSONS


def test_undoing_a_decision_brings_back_the_one_that_it_had_replaced(hub: SmallHub) -> None:
    hub.decide("clinic/patient:z", "student:1", "link")
    merged = hub.keys()
    parted = hub.decide("clinic/patient:z", "student:1", "nonlink")
    assert hub.keys() != merged
    hub.undo(parted)
    assert hub.keys() == merged


def test_a_record_that_is_not_there_or_twice_in_a_pair_is_refused(hub: SmallHub) -> None:
    with pytest.raises(ConfigurationError, match="WB-E-015"):
        hub.decide("student:1", "student:1", "link")


def test_explain_says_why_and_no_value(hub: SmallHub) -> None:
    told = explain(hub.store, hub.record("student:2"), hub.record("clinic/patient:b"), shipped())
    assert told["are_one"]
    levels = {row["comparison"]: row["level"] for row in told["compared"]["levels"]}
    assert levels["birth_date"] == "the same"
    assert told["compared"]["outcome"] == "link"
    assert [row["kind"] for row in told["decisions"]] == ["auto"]
    text = repr(told).lower()
    shown = [value for value in (*BEN.values(), "Benedikt") if len(value) > 2 and value.lower() in text]
    assert shown == []


def test_two_that_were_never_compared_say_so(hub: SmallHub) -> None:
    told = explain(hub.store, hub.record("student:1"), hub.record("clinic/patient:z"), shipped())
    assert (told["are_one"], told["compared"]) == (False, None)


@pytest.mark.parametrize("column", ["kind", "from_key", "run_id", "hash"])
def test_a_changed_event_breaks_the_chain(hub: SmallHub, column: str) -> None:
    for _ in range(2):
        hub.undo(hub.decide("clinic/patient:a", "student:1", "nonlink"))
    assert verify_events(hub.store) is None
    hub.store.run(f"UPDATE key_event SET {column} = 'x' WHERE seq = 2")
    assert verify_events(hub.store) == 2


def test_a_missing_event_breaks_the_chain(hub: SmallHub) -> None:
    hub.undo(hub.decide("clinic/patient:a", "student:1", "nonlink"))
    hub.store.run("DELETE FROM key_event WHERE seq = 1")
    assert verify_events(hub.store) == 1


@pytest.mark.parametrize("name", ["Ana Quixote", "Quixote, Ana"])
def test_a_notice_with_the_name_in_one_line_finds_its_child(tmp_path: Path, name: str) -> None:
    with SmallHub(tmp_path / "hub") as hub:
        for place, child in enumerate((ANA, BEN, CLEO)):
            hub.say(f"student:{place}", child)
        hub.say("police/client:n", {"first_name": name, "birth_date": ANA["birth_date"]})
        hub.link()
        assert frozenset({"student:0", "police/client:n"}) in hub.partition()


@pytest.mark.parametrize(
    ("roster", "found"),
    [
        (["Quixote-Vega"], {0}),
        (["Vega Quixote", "Quixote"], {1}),  # who bears the name whole comes before who bears it in part
        (["Quixote-Vega", "Quixote Lorca"], set()),  # two children may be meant: a person decides
        (["Vega"], set()),
    ],
)
def test_a_notice_with_one_part_of_a_double_surname_finds_its_child_if_nobody_else_may_be_meant(
    tmp_path: Path, roster: list[str], found: set[int]
) -> None:
    with SmallHub(tmp_path / "hub") as hub:
        for place, surname in enumerate(roster):
            home = {"zip_code": f"9{place}001", "phone": f"971-555-01{place}0", "address": f"{place}7 Some St"}
            hub.say(f"student:{place}", {**ANA, **home, "last_name": surname})
        hub.say("student:ben", BEN)
        hub.say("police/client:n", {n: ANA[n] for n in ("first_name", "last_name", "birth_date")})
        hub.link()
        (fellows,) = (group for group in hub.partition() if "police/client:n" in group)
        assert fellows == {f"student:{place}" for place in found} | {"police/client:n"}


def test_twins_and_siblings_stay_apart(tmp_path: Path) -> None:
    twins = [{**ANA, "first_name": name} for name in ("Ana", "Ida")]
    orders = list(
        itertools.permutations([("student:1", twins[0]), ("student:2", twins[1]), ("c/patient:1", twins[1])])
    )
    for number, order in enumerate(orders):
        with SmallHub(tmp_path / str(number)) as hub:
            for name, said in order:
                hub.say(name, said)
                hub.link()
            assert hub.partition() == {frozenset({"student:1"}), frozenset({"student:2", "c/patient:1"})}


def test_an_engine_that_has_not_linked_here_is_checked_before_a_large_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[int] = []
    monkeypatch.setattr(scoring, "self_check", lambda: checks.append(1))
    monkeypatch.setattr(step, "_LARGE", 2)
    with SmallHub(tmp_path / "hub") as hub:
        hub.say("student:1", ANA)
        hub.link()
        assert checks == []  # a small night needs none
        hub.store.run("DELETE FROM identity_run")
        hub.say("student:2", BEN)
        hub.say("clinic/patient:9", CLEO)
        hub.link()
        assert checks == [1]
        hub.say("student:3", CLEO)
        hub.say("clinic/patient:8", ANA)
        hub.link()
        assert checks == [1]  # the same engine as the last time
