"""A burial changes what the vault keeps and nothing that it decides, whatever comes before, with and after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_hub import ANA, BEN, BY, CLEO, Said, SmallHub

from wellbridge.etl.identity.erasure import bury, forget, keyless, lift
from wellbridge.etl.identity.explain import summary
from wellbridge.etl.identity.history import memberships
from wellbridge.etl.identity.hub import undo
from wellbridge.etl.identity.parts import buried, opened
from wellbridge.etl.identity.questions import questions
from wellbridge.schemas.errors import ConfigurationError

NAMES = (
    "student:1", "student:2", "student:3", "clinic/patient:a", "clinic/patient:b", "club/patient:c", "police/client:n",
)  # fmt: skip
# What records say: three children, and slips and moves by which one looks like another or like two.
SAID = (
    ANA, BEN, CLEO,
    {**ANA, "last_name": "Quixot"}, {**ANA, "phone": "541-555-0999", "address": "9 Elm Street"},
    {**ANA, "first_name": "Anna", "birth_date": "2014-02-03"}, {**CLEO, "last_name": "Quixote", "zip_code": "97201"},
    {name: ANA[name] for name in ("first_name", "last_name", "birth_date")}, {"phone": ANA["phone"]},
)  # fmt: skip
_STATEMENT = st.tuples(st.sampled_from(NAMES), st.sampled_from(SAID), st.integers(1, 4))
_NIGHT = st.tuples(st.lists(_STATEMENT, max_size=4), st.none() | st.sampled_from(NAMES[:3]))
_FIRST = ([("student:1", ANA, 1), ("clinic/patient:a", ANA, 1), ("club/patient:c", ANA, 1)], "student:1")


class OptOuts(SmallHub):
    """A hub that remembers what it was told, as the landing store does, and which students' families opted out."""

    def __init__(self, folder: Path, *, buries: bool = True) -> None:
        super().__init__(folder)
        self.buries, self.told, self.opted = buries, [], set()
        self.known: dict[str, str] = {}
        self.vault.recall = self._recall

    def night(self, statements: list[tuple[str, Said, int]], turned: str | None = None) -> None:
        """Take statements in, let a family say or take back its opt-out, link, and bury and lift as the night does."""
        if turned is not None:
            self.opted ^= {turned}
        told = [(name, said, f"2026-08-{day:02d}.000") for name, said, day in statements]
        self.told += told
        self.say_all(told)
        self.known |= self.ids()
        self.link()
        if self.buries:
            self._follow()

    def people(self) -> set[frozenset[str]]:
        """Return which records are one person, by the names that they came under."""
        persons = dict(self.store.frame("SELECT subject_key, person_key FROM subject").iter_rows())
        names = {record: name for name, record in self.known.items()}
        groups: dict[str, set[str]] = {}
        for record, person in persons.items():
            groups.setdefault(person, set()).add(names[record])
        return {frozenset(group) for group in groups.values()}

    def reached(self) -> set[str]:
        """Return the records of partners that an opt-out reaches."""
        return {
            name for group in self.people() if group & self.opted for name in group if name not in NAMES[:3]
        }

    def under_ground(self) -> set[str]:
        gone = set(buried(self.store)["record_id"])
        return {name for name, record in self.known.items() if record in gone}

    def sealed(self) -> set[str]:
        """Return the records of which a text is kept."""
        rows = self.store.frame("SELECT DISTINCT record_id FROM record_part WHERE sealed IS NOT NULL")
        held = set(rows["record_id"])
        return {name for name, record in self.known.items() if record in held}

    def _recall(self, records: pl.DataFrame) -> pl.DataFrame:
        wanted = set(records["record_id"])
        found = []
        for name, said, version in self.told:
            space, _, source_id = name.partition(":")
            feed, _, namespace = space.rpartition("/")
            keys = self.vault.namespace(feed, namespace).keys(pl.Series([source_id]), defines=True)
            if keys["key"][0] in wanted:
                found.append({"subject_key": keys["key"][0], "version": version, **said})
        schema = dict.fromkeys(["subject_key", "version", *ANA], pl.String)
        return pl.DataFrame(found, schema=schema)

    def _follow(self) -> None:
        reached = {self.known[name] for name in self.reached()}
        below = set(buried(self.store)["record_id"])
        with self.store.transaction():
            if reached - below:
                bury(self.vault, _records(reached - below), BY)
            if below - reached:
                lift(self.vault, _records(below - reached), BY)
        self.vault.seals.keys.destroy(keyless(self.store))
        self.vault._keys.clear()  # another night


def _records(ids: set[str]) -> pl.DataFrame:
    return pl.DataFrame({"record_id": sorted(ids)}, schema={"record_id": pl.String})


@contextmanager
def _hub(folder: Path, *, buries: bool = True) -> Iterator[OptOuts]:
    with OptOuts(folder, buries=buries) as hub:
        yield hub


@pytest.mark.slow  # a district's matcher starts some hundred times
@settings(max_examples=25, deadline=None)
@given(nights=st.lists(_NIGHT, min_size=1, max_size=3).map(lambda later: [_FIRST, *later]), data=st.data())
def test_who_is_who_is_as_if_nothing_were_buried_in_any_order(
    tmp_path_factory: pytest.TempPathFactory,
    nights: list[tuple[list[tuple[str, Said, int]], str | None]],
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("burial")
    with _hub(folder / "buries") as hub, _hub(folder / "keeps", buries=False) as plain:
        for statements, turned in nights:
            hub.night(statements, turned)
            plain.night(statements, turned)
            assert hub.people() == plain.people()
            assert hub.under_ground() == plain.reached()
            assert hub.sealed() == plain.sealed() - plain.reached()
        with _hub(folder / "otherwise") as other:
            for statements, turned in data.draw(st.permutations(nights)):
                other.night(statements, turned)
            other.night([])
            assert other.people() == hub.people()
            assert other.under_ground() == hub.under_ground()
        for name in sorted(plain.opted):
            hub.night([], name)
        assert hub.under_ground() == set()
        assert hub.sealed() == plain.sealed()
        for name, record in plain.known.items():
            one, two = _records({record}), _records({hub.known[name]})
            mine, theirs = (opened(h.store, h.vault.seals, r) for h, r in ((plain, one), (hub, two)))
            assert mine.drop("record_id").equals(theirs.drop("record_id"))


def test_a_record_that_fits_a_child_enrolled_after_the_burial_as_well_comes_back(tmp_path: Path) -> None:
    """It cannot be told any more whose it is, as in every other order; tokens of the buried record show it."""
    with OptOuts(tmp_path) as hub:
        hub.night([("student:1", ANA, 1), ("clinic/patient:a", ANA, 1)], "student:1")
        assert hub.under_ground() == {"clinic/patient:a"}
        hub.night([("student:2", ANA, 1)])
        assert frozenset({"clinic/patient:a"}) in hub.people()
        assert hub.under_ground() == set()
        assert hub.sealed() == {"student:1", "student:2", "clinic/patient:a"}


def test_a_record_keeps_its_keys_and_its_history_under_ground_and_when_it_is_lifted(tmp_path: Path) -> None:
    with OptOuts(tmp_path) as hub:
        hub.night([("student:1", ANA, 1), ("clinic/patient:a", ANA, 1)])
        record = hub.known["clinic/patient:a"]
        before = memberships(hub.store, record_id=record).rows()
        hub.night([], "student:1")
        assert "clinic/patient:a" not in hub.ids()
        assert memberships(hub.store, record_id=record).rows() == before
        hub.night([("clinic/patient:a", {**ANA, "last_name": "Canary"}, 2)])
        assert hub.sealed() == {"student:1"}
        hub.night([], "student:1")
        assert hub.ids()["clinic/patient:a"] == record
        assert opened(hub.store, hub.vault.seals, _records({record}))["last_name"].to_list() == ["Canary"]
        kinds = hub.store.frame(
            "SELECT kind, reason FROM decision WHERE record_b IS NULL ORDER BY decided_at"
        )
        assert kinds["kind"].to_list() == ["opt_out", "undo"]


def test_nobody_is_asked_about_a_buried_record_and_nobody_can_undo_a_burial(tmp_path: Path) -> None:
    near = {**ANA, "birth_date": "2014-03-03"}
    with OptOuts(tmp_path) as hub:
        hub.night(
            [
                ("student:1", ANA, 1),
                ("clinic/patient:a", ANA, 1),
                ("student:2", near, 1),
                ("club/patient:c", near, 1),
            ]
        )
        asked = questions(hub.store).select("one", "other").rows()
        assert asked == [tuple(sorted((hub.known["clinic/patient:a"], hub.known["club/patient:c"])))]
        hub.night([], "student:1")
        assert hub.under_ground() == {"clinic/patient:a"}
        assert questions(hub.store).height == summary(hub.store)["review"] == 0
        burial = hub.store.value("SELECT decision_id FROM decision WHERE kind = 'opt_out'")
        with pytest.raises(ConfigurationError, match="WB-E-015"):
            undo(hub.store, burial, BY)
        hub.night([], "student:1")
        assert questions(hub.store).select("one", "other").rows() == asked


def test_a_buried_record_can_be_forgotten_and_stays_so_when_the_opt_out_ends(tmp_path: Path) -> None:
    with OptOuts(tmp_path) as hub:
        hub.night([("student:1", ANA, 1), ("clinic/patient:a", ANA, 1)], "student:1")
        with hub.store.transaction():
            forget(hub.vault, [hub.known["clinic/patient:a"]], BY)
        hub.night([("clinic/patient:a", ANA, 2)], "student:1")
        assert hub.under_ground() == set()
        assert hub.sealed() == {"student:1"}
        assert hub.store.value("SELECT count(*) FROM record_tombstone") == 1
        assert "clinic/patient:a" not in hub.ids()
