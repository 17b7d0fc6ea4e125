"""Both stores of a site, opened for a change that commits in both or in neither."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl

from wellbridge.etl.failpoint import reach
from wellbridge.etl.identity.sealed import Seals
from wellbridge.etl.landing import sync, write_private
from wellbridge.etl.loading import insert
from wellbridge.etl.lock import holder
from wellbridge.etl.store import Store, open_store
from wellbridge.etl.undo import UndoCopy
from wellbridge.etl.vault import VAULT
from wellbridge.pipelines.nightly.run import forgetting
from wellbridge.pipelines.site import Site
from wellbridge.privacy.seal import read_key
from wellbridge.schemas.errors import LockedError, StoreError
from wellbridge.schemas.warehouse import LEDGER_EVENT, METADATA

SHEETS: Final = "sheets"  # stands in the mark of a forgetting that has to end review sheets too


@contextmanager
def open_stores(site: Site, change_id: str) -> Iterator[tuple[Store, Store]]:
    """Open warehouse and vault in one transaction each; the vault goes back where the warehouse did not commit.

    Args:
        site: the site, locked by the caller.
        change_id: names the change; a change that must last writes a ledger event of this id.
    """
    with open_store(site.warehouse, METADATA) as warehouse:
        undo = settle(site, warehouse)
        undo.begin(change_id)
        reach("undo.begun")
        with open_store(site.vault, VAULT) as vault:
            with warehouse.transaction():
                with vault.transaction():
                    yield warehouse, vault
                    reach("commit.before")
                reach("commit.vault")
            reach("commit.both")
        undo.done()
        reach("undo.done")


def settle(site: Site, warehouse: Store) -> UndoCopy:
    """Settle what a killed change left behind, before anything is read from the vault or written to it.

    Args:
        site: the site, locked by the caller.
        warehouse: its warehouse, open.
    """
    undo = UndoCopy(site.vault)
    undo.recover(lambda change: _is_committed(warehouse, change))
    if site.vault.with_name(site.vault.name + ".wal").exists():
        # What a killed run committed lies in the vault's log alone; a copy of the file would be without it.
        with open_store(site.vault, VAULT) as vault:
            vault.run("CHECKPOINT")
    return undo


@contextmanager
def read_vault(site: Site) -> Iterator[Store]:
    """Open the vault for reading, as it stands after the last change that committed.

    Raises:
        LockedError: WB-E-060 while a run holds the stores.
        StoreError: WB-E-050, WB-E-051 as in ``open_store``.
    """
    with told_of_a_run(site):
        store = open_store(vault_in_force(site), VAULT, read_only=True)
    with store:
        yield store


@contextmanager
def told_of_a_run(site: Site) -> Iterator[None]:
    """Say that a run holds the stores, where a store cannot be opened because one does.

    Raises:
        LockedError: WB-E-060.
    """
    problem: StoreError | None = None
    try:
        yield
    except StoreError as error:
        problem = error
    if problem is not None and (who := holder(site.lock)):
        raise LockedError("WB-E-060", "A run holds the stores.", who)
    if problem is not None:
        raise problem


def vault_in_force(site: Site) -> Path:
    """Return the file in which the vault may be read; no such file where no change has committed yet.

    A killed change may have left the vault a step ahead of the warehouse until the next one takes it back. Who only
    reads takes nothing back and reads what was before.
    """

    def committed(change_id: str) -> bool:
        with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
            return _is_committed(warehouse, change_id)

    return UndoCopy(site.vault).in_force(committed)


def _is_committed(warehouse: Store, change_id: str) -> bool:
    return bool(warehouse.value("SELECT count(*) FROM ledger_event WHERE run_id = ?", [change_id]))


def write_event(warehouse: Store, action: str, change_id: str | None, detail: str) -> None:
    """Add an event to the ledger: names, counts and codes only."""
    number = int(warehouse.value("SELECT coalesce(max(seq), 0) FROM ledger_event")) + 1
    now = datetime.now(UTC).replace(tzinfo=None)
    insert(
        warehouse,
        LEDGER_EVENT,
        pl.DataFrame(
            [{"seq": number, "happened_at": now, "action": action, "run_id": change_id, "detail": detail}],
            schema_overrides={"run_id": pl.String},
        ),
    )


def begin_forgetting(site: Site, *, may_be_on_sheets: bool) -> None:
    """Mark that records are being forgotten or buried; whoever runs next ends it (``finish_forgetting``).

    Called before anything commits. What does not commit is not in the vault either, and there is nothing to end.

    Args:
        site: the site, locked by the caller.
        may_be_on_sheets: one of the records was in the vault before, so a review sheet may hold what it said.
    """
    write_private(forgetting(site), SHEETS if may_be_on_sheets else "")
    sync(forgetting(site).parent)
    reach("forget.marked")


def seals_of(site: Site) -> Seals:
    """Return what seals the site's records; their keys lie beside the site's key, apart from the vault."""
    return Seals(read_key(site.key), site.key.with_name("records.keys"))
