"""A vault with a few children, and what its hub says of them in the sources' own names."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from wellbridge.etl.identity.hub import By, decide_by_hand, undo
from wellbridge.etl.identity.sealed import Seals
from wellbridge.etl.identity.step import link
from wellbridge.etl.store import open_store
from wellbridge.etl.vault import VAULT, Vault

KEY = bytes(range(32))
BY = By("a steward", "for the test", "run")
Said = Mapping[str, Any]

# Feed, namespace and id of a record, then what it says.
ANA = {"first_name": "Ana", "last_name": "Quixote", "birth_date": "2014-03-02", "sex": "f", "zip_code": "97201",
       "phone": "503-555-0101", "address": "12 Alder Court"}  # fmt: skip
BEN = {"first_name": "Benedict", "last_name": "Oyelaran", "birth_date": "2012-11-23", "sex": "m", "zip_code": "97214",
       "phone": "503-555-0202", "address": "7 Birch Street"}  # fmt: skip
CLEO = {"first_name": "Cleopatra", "last_name": "Zimmerhof", "birth_date": "2015-07-19", "sex": "f",
        "zip_code": "97333", "phone": "541-555-0303", "address": "44 Cedar Loop"}  # fmt: skip


class SmallHub:
    """A vault in a folder, open for writing."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.store = open_store(folder / "vault.duckdb", VAULT)
        self.vault = Vault(self.store, Seals(KEY, folder / "records.keys"))
        self._runs = itertools.count(1)

    def __enter__(self) -> SmallHub:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.__exit__()

    def say(self, name: str, said: Said, version: str = "2026-08-01.000") -> None:
        """Take in one statement about the record ``NAMESPACE:ID`` (``student:1``, ``clinic/patient:9``)."""
        self.say_all([(name, said, version)])

    def say_all(self, statements: Sequence[tuple[str, Said, str]]) -> None:
        """Take in statements, one after the other."""
        for name, said, version in statements:
            space, _, source_id = name.partition(":")
            feed, _, namespace = space.rpartition("/")
            keys = self.vault.namespace(feed, namespace).keys(pl.Series([source_id]), defines=True)
            row = {"subject_key": keys["key"][0], "version": version, **said}
            self.vault.set_traits(pl.DataFrame([row], schema=dict.fromkeys(row, pl.String)))

    def link(self) -> pl.DataFrame:
        """Run the step of a night."""
        with self.store.transaction():
            return link(self.vault, f"run-{next(self._runs)}")

    def record(self, name: str) -> str:
        """Return the id of the record of a name."""
        return self.ids()[name]

    def ids(self) -> dict[str, str]:
        """Return every record's id by name."""
        rows = self.store.frame(
            "SELECT k.namespace || ':' || k.source_id, k.key FROM source_key k JOIN subject s ON s.subject_key = k.key"
        )
        return dict(rows.iter_rows())

    def keys(self) -> dict[str, str]:
        """Return every record's person key by the record's name."""
        persons = dict(self.store.frame("SELECT subject_key, person_key FROM subject").iter_rows())
        return {name: persons[record] for name, record in self.ids().items()}

    def partition(self) -> set[frozenset[str]]:
        """Return which records are one person."""
        groups: dict[str, set[str]] = {}
        for name, key in self.keys().items():
            groups.setdefault(key, set()).add(name)
        return {frozenset(group) for group in groups.values()}

    def decide(self, one: str, other: str, outcome: str, **options: Any) -> str:
        """Decide by hand about two names, and run the step."""
        decision = decide_by_hand(
            self.store, [(self.record(one), self.record(other))], outcome, BY, **options
        )
        self.link()
        return decision

    def undo(self, decision: str) -> str:
        """Undo a decision, and run the step."""
        undoing = undo(self.store, decision, BY)
        self.link()
        return undoing
