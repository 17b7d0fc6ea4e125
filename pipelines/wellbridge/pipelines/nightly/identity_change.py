"""Changes to who is who, made by a person: each is a night of its own, so that all facts follow in one commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wellbridge.etl.failpoint import reach
from wellbridge.etl.identity.erasure import forget, forgotten, keyless
from wellbridge.etl.identity.hub import WHY_FORGOTTEN, By
from wellbridge.etl.store import open_store, rewrite
from wellbridge.etl.vault import VAULT, Vault
from wellbridge.pipelines.nightly.run import Wanted, forgetting, run_night
from wellbridge.pipelines.nightly.stores import SHEETS, begin_forgetting, seals_of, settle
from wellbridge.pipelines.site import Site
from wellbridge.schemas.errors import ConfigurationError
from wellbridge.schemas.warehouse import METADATA


def change_identity(site: Site, action: str, change: Callable[[Vault, str], tuple[Any, str]]) -> Any:
    """Apply a change to the vault and let every fact follow; return what the change returned.

    Args:
        site: the site.
        action: names the event in the ledger, such as ``identity.merge``.
        change: given the vault and the run's id; returns any result and the event's detail, without personal data.

    Raises:
        SafeError: the change was refused; neither store changed.
    """
    results = []

    def applied(vault: Vault, run_id: str) -> tuple[str, str]:
        result, detail = change(vault, run_id)
        results.append(result)
        return action, detail

    run_night(site, (), wanted=Wanted(change=applied))
    return results[0]


def forget_records(site: Site, records: Sequence[str], by: By) -> list[str]:
    """Forget records: in the stores, then their keys, then the vault's old blocks; return the decisions' ids.

    A kill anywhere leaves a mark, and the next run ends what was begun.

    Args:
        site: the site.
        records: ids of records; those that are forgotten already are left out.
        by: who, and a key of ``hub.WHY_FORGOTTEN``: a text would name the child, and stay.

    Raises:
        ConfigurationError: WB-E-016, the reason is none of these.
    """
    if by.reason not in WHY_FORGOTTEN:
        what = f"The reason for forgetting is one of {', '.join(WHY_FORGOTTEN)}."
        raise ConfigurationError("WB-E-016", what, "reason")

    def erase(vault: Vault, run_id: str) -> tuple[list[str], str]:
        begin_forgetting(site, may_be_on_sheets=True)
        known = set(forgotten(vault.store))
        new = [record for record in records if record not in known]
        decisions = forget(vault, new, By(by.reviewer, by.reason, run_id, by.second))
        return decisions, f"{len(decisions)} records · {by.reason}"  # a code, as checked above

    done: list[str] = change_identity(site, "identity.forget", erase)
    return done


def finish_forgetting(site: Site) -> None:
    """End what was begun: destroy keys of forgotten and buried records, remove review sheets, write the vault anew.

    Does nothing where nothing was begun. The site is locked by the caller, and neither store is open.
    """
    if not forgetting(site).exists():
        return
    with open_store(site.warehouse, METADATA) as warehouse:
        settle(site, warehouse)
    if site.vault.exists():
        with open_store(site.vault, VAULT) as vault:
            gone = keyless(vault)
        seals_of(site).keys.destroy(gone)
        reach("forget.keys")
        if forgetting(site).read_text() == SHEETS:
            for sheet in sheets_of(site).glob("*"):  # which children are on a sheet is not known
                sheet.unlink()
        rewrite(site.vault, VAULT)
    forgetting(site).unlink()
    reach("forget.done")


def sheets_of(site: Site) -> Path:
    """Return where the site's own review sheets lie: files that hold names of children."""
    return site.state / "review"
