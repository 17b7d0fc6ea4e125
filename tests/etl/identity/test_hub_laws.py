"""Laws of the hub under any sequence of statements, nights, merges, splits and undos."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from small_hub import ANA, BEN, CLEO, SmallHub

from wellbridge.etl.identity.history import memberships, resolve, verify_events
from wellbridge.schemas.errors import ConfigurationError

NAMES = (
    "student:1", "student:2", "student:3", "clinic/patient:a", "clinic/patient:b", "club/patient:c", "police/client:n",
)  # fmt: skip
CHILDREN = (ANA, BEN, CLEO)
_name = st.sampled_from(NAMES)


@functools.cache
def _first_night() -> Path:
    """Make a hub into which every record came, each saying that it is one of three children; return its folder.

    Every history begins with it, and to score it anew for each would take most of the time.
    """
    folder = Path(tempfile.mkdtemp(prefix="wellbridge-first-"))
    atexit.register(shutil.rmtree, folder)
    with SmallHub(folder) as hub:
        for number, name in enumerate(NAMES):
            hub.say(name, CHILDREN[number % 3])
        hub.link()
    return folder


class HubHistory(RuleBasedStateMachine):
    """A hub that is told things in any order, and what must hold after each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="wellbridge-hub-"))
        shutil.copytree(_first_night(), self.folder, dirs_exist_ok=True)
        self.hub = SmallHub(self.folder)
        self.day = 1
        self.ever: set[str] = set()
        self.believed: list[tuple[Any, dict[str, str]]] = []

    def teardown(self) -> None:
        self.hub.store.__exit__()
        shutil.rmtree(self.folder)

    @initialize()
    def first_night(self) -> None:
        """See what was believed after it."""
        self._see()

    @rule(name=_name, child=st.sampled_from(CHILDREN))
    def a_source_says_another_child(self, name: str, child: dict[str, str]) -> None:
        self.day += 1
        self.hub.say(name, child, f"2026-09-{self.day:02d}.000")
        self._link()

    @rule(one=_name, other=_name, outcome=st.sampled_from(["link", "nonlink"]))
    def a_person_decides_and_takes_it_back(self, one: str, other: str, outcome: str) -> None:
        """Undoing a decision gives the keys of before, whatever was decided before that."""
        if one == other:
            return
        before = self.hub.keys()
        decision = self.hub.decide(one, other, outcome)
        self._see()
        undoing = self.hub.undo(decision)
        assert self.hub.keys() == before
        self.hub.undo(undoing)
        self._see()

    @precondition(
        lambda self: self.hub.store.value("SELECT count(*) FROM link_constraint WHERE asserted_to IS NULL")
    )
    @rule()
    def a_person_takes_the_oldest_decision_back(self) -> None:
        decision = self.hub.store.value(
            "SELECT c.decision_id FROM link_constraint c ANTI JOIN decision d ON d.undoes = c.decision_id "
            "WHERE c.asserted_to IS NULL ORDER BY c.asserted_from, c.decision_id LIMIT 1"
        )
        self.hub.undo(decision)
        self._see()

    @invariant()
    def nothing_is_left_to_decide(self) -> None:
        """A night with nothing new moves nobody, and a rule says what it says."""
        assert self.hub.link().height == 0

    @invariant()
    def every_key_that_ever_was_leads_to_a_person(self) -> None:
        keys = self.hub.keys()
        self.ever |= set(keys.values())
        assert {resolve(self.hub.store, key) for key in self.ever} <= set(keys.values())

    @invariant()
    def the_chain_of_events_is_whole(self) -> None:
        assert verify_events(self.hub.store) is None

    @invariant()
    def what_was_believed_is_still_told(self) -> None:
        for instant, keys in self.believed:
            told = memberships(self.hub.store, asserted=instant)
            names = {record: name for name, record in self.hub.ids().items()}
            assert {names[r]: k for r, k in told.select("record_id", "person_key").iter_rows()} == keys

    @invariant()
    def who_was_said_to_be_two_are_two(self) -> None:
        keys = {record: key for name, key in self.hub.keys().items() for record in [self.hub.record(name)]}
        said = self.hub.store.frame(
            "SELECT record_a, record_b FROM link_constraint WHERE kind = 'cannot' AND asserted_to IS NULL"
        )
        assert [1 for one, other in said.iter_rows() if keys[one] == keys[other]] == []

    def _link(self) -> None:
        self.hub.link()
        self._see()

    def _see(self) -> None:
        """Remember what is believed now."""
        instant = self.hub.store.value("SELECT max(asserted_from) FROM membership")
        ended = self.hub.store.value("SELECT max(asserted_to) FROM membership")
        self.believed.append((max(filter(None, (instant, ended))), self.hub.keys()))


class TestHubHistory(HubHistory.TestCase):  # type: ignore[misc,name-defined]
    """Some histories on every run."""

    settings = settings(
        max_examples=5, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
    )


@pytest.mark.slow
class TestManyHubHistories(HubHistory.TestCase):  # type: ignore[misc,name-defined]
    """More of them, and longer ones."""

    settings = settings(
        max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )


def test_a_decision_that_is_not_there_cannot_be_undone(tmp_path: Path) -> None:
    with SmallHub(tmp_path) as hub:
        hub.say("student:1", ANA)
        hub.link()
        with pytest.raises(ConfigurationError, match="WB-E-015"):
            hub.undo("0" * 32)
