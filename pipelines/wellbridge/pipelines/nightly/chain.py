"""The end of the chain of key events, written down in the other store after every run that made it longer.

A chain alone shows that no event was changed; that the last ones are missing shows only who knows how long it was. The
ledger in the warehouse does: whoever shortens the vault's chain would have to change both stores.
"""

from __future__ import annotations

from typing import Final

from wellbridge.etl.identity.history import end_of_chain
from wellbridge.etl.store import Store, open_store
from wellbridge.pipelines.nightly.night import Night
from wellbridge.pipelines.nightly.stores import told_of_a_run, write_event
from wellbridge.pipelines.site import Site
from wellbridge.schemas.warehouse import METADATA

_ACTION: Final = "identity.chain"


def note_chain(night: Night) -> None:
    """Write the chain's length and last hash to the ledger, where they are not what stands there."""
    count, last = end_of_chain(night.vault.store)
    if count and (count, last) not in _noted(night.warehouse)[-1:]:
        write_event(night.warehouse, _ACTION, night.run_id, f"{count} · {last}")


def noted_ends(site: Site) -> list[tuple[int, str]]:
    """Return every end of the chain that was ever noted, oldest first: how many events, and the hash of the last."""
    with told_of_a_run(site):
        warehouse = open_store(site.warehouse, METADATA, read_only=True)
    with warehouse:
        return _noted(warehouse)


def _noted(warehouse: Store) -> list[tuple[int, str]]:
    found = warehouse.frame("SELECT detail FROM ledger_event WHERE action = ? ORDER BY seq", [_ACTION])
    parts = [detail.split(" · ") for detail in found["detail"]]
    return [(int(count), last) for count, last in parts]
