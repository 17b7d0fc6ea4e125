"""What sources said opens with the record's key alone, and with nothing once that key is destroyed."""

from __future__ import annotations

import itertools
import shutil
import stat
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_hub import ANA, BEN, BY, KEY, SmallHub

from wellbridge.etl.identity.erasure import forget
from wellbridge.etl.identity.hub import decide_by_hand
from wellbridge.etl.identity.parts import TRAIT_NAMES, opened
from wellbridge.etl.identity.sealed import Seals
from wellbridge.etl.store import open_store, rewrite
from wellbridge.etl.vault import VAULT, random_keys
from wellbridge.schemas.errors import ConfigurationError, StoreError

RECORDS = random_keys(3).to_list()
KINDS = ["name", "name", "phone"]
TEXTS = ["Ana", "", "Grüße 🌲"]


@pytest.fixture
def seals(tmp_path: Path) -> Seals:
    return Seals(KEY, tmp_path / "records.keys")


def test_what_was_sealed_opens_also_for_who_comes_later(seals: Seals, tmp_path: Path) -> None:
    sealed = seals.seal(RECORDS, KINDS, TEXTS)
    assert seals.open(RECORDS, KINDS, sealed) == TEXTS
    assert Seals(KEY, tmp_path / "records.keys").open(RECORDS, KINDS, sealed) == TEXTS


def test_the_same_text_is_sealed_differently_every_time(seals: Seals) -> None:
    twice = [seals.seal([RECORDS[0]], ["name"], ["Ana"])[0] for _ in range(2)]
    assert twice[0] != twice[1]


def test_a_changed_byte_another_record_and_another_kind_are_refused(seals: Seals) -> None:
    sealed = seals.seal(RECORDS, KINDS, TEXTS)
    flipped = sealed[0][:-1] + bytes([sealed[0][-1] ^ 1])
    for records, kinds, texts in (
        (RECORDS[:1], KINDS[:1], [flipped]),
        (RECORDS[:1], KINDS[:1], [sealed[0][:20]]),
        (RECORDS[1:2], KINDS[:1], sealed[:1]),
        (RECORDS[:1], ["phone"], sealed[:1]),
    ):
        with pytest.raises(StoreError, match="WB-E-052"):
            seals.open(records, kinds, texts)


def test_another_sites_key_opens_nothing(seals: Seals, tmp_path: Path) -> None:
    sealed = seals.seal(RECORDS, KINDS, TEXTS)
    with pytest.raises(StoreError, match="WB-E-052"):
        Seals(bytes(32), tmp_path / "records.keys").open(RECORDS, KINDS, sealed)


def test_a_destroyed_key_leaves_its_record_closed_and_the_others_open(seals: Seals, tmp_path: Path) -> None:
    sealed = seals.seal(RECORDS, KINDS, TEXTS)
    before = (tmp_path / "records.keys").read_bytes()
    assert seals.keys.destroy([RECORDS[1]]) == 1
    assert seals.keys.destroy([RECORDS[1]]) == 0
    for one in (seals, Seals(KEY, tmp_path / "records.keys")):
        assert one.open(RECORDS, KINDS, sealed) == ["Ana", None, "Grüße 🌲"]
    kept = (tmp_path / "records.keys").read_bytes()
    assert len(kept) == len(before) * 2 // 3
    assert bytes.fromhex(RECORDS[1]) not in kept


def test_a_line_cut_short_by_a_kill_is_cut_off(seals: Seals, tmp_path: Path) -> None:
    path = tmp_path / "records.keys"
    sealed = seals.seal(RECORDS, KINDS, TEXTS)
    path.write_bytes(path.read_bytes()[:-10])
    later = Seals(KEY, path)
    lost = RECORDS.index(max(RECORDS))  # new keys are written in the order of their records
    opened_now = later.open(RECORDS, KINDS, sealed)
    assert [text for n, text in enumerate(opened_now) if n != lost] == [
        t for n, t in enumerate(TEXTS) if n != lost
    ]
    assert opened_now[lost] is None
    again = later.seal(RECORDS, KINDS, TEXTS)
    assert Seals(KEY, path).open(RECORDS, KINDS, again) == TEXTS


def test_the_file_of_keys_is_its_owners_alone(seals: Seals, tmp_path: Path) -> None:
    seals.seal(RECORDS, KINDS, TEXTS)
    seals.keys.destroy(RECORDS[:1])
    assert stat.S_IMODE((tmp_path / "records.keys").stat().st_mode) == 0o600


def test_tokens_need_the_sites_key_and_tell_purposes_apart(seals: Seals, tmp_path: Path) -> None:
    texts = pl.Series(["ana|2014-03-02", "ana|2014-03-02", "ben"])
    tokens = seals.tokens(texts)
    assert tokens.to_list()[0] == tokens.to_list()[1] != tokens.to_list()[2]
    others = Seals(bytes(32), tmp_path / "other").tokens(texts)
    assert not set(tokens) & (set(others) | set(seals.digests(texts)))


# -- what all statements add up to ---------------------------------------------------------------------------

_VALUES = st.sampled_from(["Ana", "Anna", "Zoë", None])
_STATEMENT = st.fixed_dictionaries(
    {"first_name": _VALUES, "last_name": _VALUES, "phone": st.sampled_from(["1", "2", None])}
)
_VERSIONS = st.sampled_from(["2026-08-01.000", "2026-08-02.000"])


def _newest(statements: list[tuple[dict[str, str | None], str]], name: str) -> set[str | None]:
    """Return the values that may count: those of the newest version that gives the trait."""
    given_ones = [(version, said[name]) for said, version in statements if said[name] is not None]
    last = max((version for version, _ in given_ones), default="")
    return {value for version, value in given_ones if version == last} or {None}


@settings(max_examples=25, deadline=None)
@given(statements=st.lists(st.tuples(_STATEMENT, _VERSIONS), min_size=1, max_size=4), data=st.data())
def test_the_newest_value_of_each_trait_counts_in_any_order_and_repetition(
    tmp_path_factory: pytest.TempPathFactory,
    statements: list[tuple[dict[str, str | None], str]],
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    found = []
    orders = [statements, data.draw(st.permutations([*statements, statements[0]]))]
    for number, order in enumerate(orders):
        with SmallHub(folder / str(number)) as hub:
            hub.say_all([("student:1", said, version) for said, version in order])
            record = hub.record("student:1")
            said_now = opened(hub.store, hub.vault.seals, pl.DataFrame({"record_id": [record]}))
            found.append(said_now.select(TRAIT_NAMES).to_dicts())
    assert found[0] == found[1]
    for name in ("first_name", "last_name", "phone"):
        value = found[0][0][name] if found[0] else None
        assert value in _newest(statements, name)


def test_a_statement_said_again_is_not_sealed_again(tmp_path: Path) -> None:
    with SmallHub(tmp_path) as hub:
        hub.say("student:1", ANA, "2026-08-01.000")
        sealed = hub.store.frame("SELECT sealed FROM record_part")
        hub.say("student:1", ANA, "2026-08-02.000")
        assert hub.store.frame("SELECT sealed FROM record_part").equals(sealed)
        assert hub.store.value("SELECT version FROM record_part") == "2026-08-02.000"


def test_no_value_stands_in_the_vaults_file(tmp_path: Path) -> None:
    with SmallHub(tmp_path) as hub:
        hub.say("student:1", ANA)
        hub.say("clinic/patient:9", {**ANA, "first_name": "Anita"})
        hub.link()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir()).lower()
    told = [*ANA.values(), "Anita", "ana", "quixote", "5035550101", "12 alder ct"]
    assert [value for value in told if len(value) > 3 and value.lower().encode() in content] == []


def test_an_older_copy_of_the_vault_stays_closed_after_the_key_is_gone(tmp_path: Path) -> None:
    with SmallHub(tmp_path) as hub:
        hub.say("student:1", ANA)
        hub.say("student:2", BEN)
        record, other = hub.record("student:1"), hub.record("student:2")
    shutil.copy(tmp_path / "vault.duckdb", tmp_path / "backup.duckdb")
    Seals(KEY, tmp_path / "records.keys").keys.destroy([record])
    with open_store(tmp_path / "backup.duckdb", VAULT, read_only=True) as backup:
        seals = Seals(KEY, tmp_path / "records.keys")
        found = opened(backup, seals, pl.DataFrame({"record_id": [record, other]}))
    assert found["record_id"].to_list() == [other]
    assert found["last_name"].to_list() == [BEN["last_name"]]


def test_after_forgetting_not_even_deleted_blocks_hold_the_sources_id(tmp_path: Path) -> None:
    """DELETE alone leaves the id in the file, as the second assertion shows; writing the file anew does not."""
    canary = "CANARY-4711-OF-A-CHILD"
    with SmallHub(tmp_path) as hub:
        hub.say(f"student:{canary}", ANA)
        hub.say("student:2", BEN)
        hub.link()
    with SmallHub(tmp_path) as hub:
        forget(hub.vault, [hub.record(f"student:{canary}")], BY)
        hub.link()
        assert hub.store.value("SELECT count(*) FROM source_key") == 1
    assert canary.encode() in (tmp_path / "vault.duckdb").read_bytes()
    rewrite(tmp_path / "vault.duckdb", VAULT)
    assert canary.encode() not in (tmp_path / "vault.duckdb").read_bytes()
    with SmallHub(tmp_path) as hub:
        hub.say(f"student:{canary}", ANA, "2026-09-01.000")
        hub.link()
        assert hub.store.value("SELECT count(*) FROM subject") == 2
        assert hub.store.value("SELECT count(DISTINCT record_id) FROM record_part") == 1
        assert canary not in hub.store.frame("SELECT * FROM source_key").write_csv()
    assert canary.encode() not in (tmp_path / "vault.duckdb").read_bytes()


def test_nobody_decides_about_a_forgotten_record(tmp_path: Path) -> None:
    with SmallHub(tmp_path) as hub:
        for name, child in (("student:1", ANA), ("student:2", BEN)):
            hub.say(name, child)
        hub.link()
        gone, other = hub.record("student:1"), hub.record("student:2")
        forget(hub.vault, [gone], BY)
        for outcome in ("link", "nonlink"):
            with pytest.raises(ConfigurationError, match="WB-E-015"):
                decide_by_hand(hub.store, [(gone, other)], outcome, BY)
        hub.link()
        assert hub.store.value("SELECT count(DISTINCT person_key) FROM subject") == 2


def test_every_order_of_three_statements_of_one_version_gives_one_value(tmp_path: Path) -> None:
    said = [{"first_name": name} for name in ("Ana", "Anna", "Zoë")]
    found = set()
    for number, order in enumerate(itertools.permutations(said)):
        with SmallHub(tmp_path / str(number)) as hub:
            hub.say_all([("student:1", one, "2026-08-01.000") for one in order])
            found |= set(
                opened(hub.store, hub.vault.seals, pl.DataFrame({"record_id": [hub.record("student:1")]}))[
                    "first_name"
                ]
            )
    assert found == {"Zoë"}
