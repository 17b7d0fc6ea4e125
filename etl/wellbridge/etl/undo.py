"""Two stores, one commit: an undo copy of the vault that lives exactly as long as a run is under way.

The vault commits just before the warehouse. A kill between the two would leave a vault that knows of releases and
consents which the warehouse never saw. So the vault is copied aside before a run; when a copy is found at the next
start, the warehouse says whether that run committed: if it did, the copy goes, if not, the vault goes back.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from wellbridge.etl.landing import sync, write_private


class UndoCopy:
    """The undo copy of one store's file."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._copy = store.with_name(store.name + ".before")
        self._mark = store.with_name("run-under-way.json")

    def recover(self, committed: Callable[[str], bool]) -> None:
        """Settle what a killed run left behind.

        Args:
            committed: whether the warehouse holds the run of that id.
        """
        if self.in_force(committed) != self._store:
            self._restore()
        self.done()

    def in_force(self, committed: Callable[[str], bool]) -> Path:
        """Return the file that holds what is in force, without changing anything.

        That is the copy while a run is marked as under way that the warehouse does not hold; there is no such file
        where there was no store before that run.

        Args:
            committed: as in ``recover``; asked only where a run is marked.
        """
        if not self._mark.exists():
            return self._store
        return self._store if committed(json.loads(self._mark.read_text())["run_id"]) else self._copy

    def begin(self, run_id: str) -> None:
        """Copy the store aside, then mark the run as under way."""
        if self._store.exists():
            temporary = self._copy.with_suffix(".copying")
            temporary.unlink(missing_ok=True)
            shutil.copyfile(self._store, temporary)
            temporary.chmod(0o600)
            sync(temporary)
            temporary.rename(self._copy)
        self._store.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self._mark, json.dumps({"run_id": run_id}))
        sync(self._store.parent)

    def done(self) -> None:
        """The run is settled: remove the mark, then the copy."""
        self._mark.unlink(missing_ok=True)
        self._copy.unlink(missing_ok=True)

    def _restore(self) -> None:
        self._store.with_name(self._store.name + ".wal").unlink(missing_ok=True)
        if self._copy.exists():
            shutil.copyfile(self._copy, self._store)
            sync(self._store)
        else:
            self._store.unlink(missing_ok=True)
