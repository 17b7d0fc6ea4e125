"""Differentially private tables of a site: paid from its one budget, under an agreement in force, told to the ledger.

The budget's file lies in the site's private folder beside the stores, because a warehouse can be made anew from its
deliveries and a spent budget cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from wellbridge.etl.lock import run_lock
from wellbridge.etl.store import open_store
from wellbridge.pipelines.agreed import check_in_force
from wellbridge.pipelines.nightly.stores import write_event
from wellbridge.pipelines.releases import AGREEMENTS
from wellbridge.pipelines.site import Site
from wellbridge.privacy.agreements import find_agreement
from wellbridge.privacy.noise.agreed import granted
from wellbridge.privacy.noise.budget import Account, BudgetLedger, Loss, open_ledger
from wellbridge.privacy.signing import Signer, read_signing_key
from wellbridge.schemas.warehouse import METADATA

BUDGET: Final = "budget.jsonl"

Spend = Callable[[Account, Loss, str], None]


@contextmanager
def site_budget(
    site: Site, agreement_id: str, population: str, *, now: datetime | None = None
) -> Iterator[tuple[BudgetLedger, Spend, Signer]]:
    """Open a site's budget for one release, how to spend from it, and what signs; an agreement's is granted once.

    Spending writes an event to the warehouse's ledger in a transaction that commits after the loss is written down:
    a kill in between has spent and published nothing.

    Raises:
        PrivacyError: WB-E-040 or WB-E-072 when the agreement is not in force or its recipient may receive nothing,
            WB-E-075 when it states no budget for the population, WB-E-044 when it stated another one before.
        StoreError: WB-E-050 when the site has no signing key.
    """
    agreement, signer = find_agreement(site.root / AGREEMENTS, agreement_id), read_signing_key(site.signing_key)
    with run_lock(site.lock), open_store(site.warehouse, METADATA) as warehouse:
        check_in_force(site, agreement, warehouse, now)
        budget = granted(agreement.privacy_budget, agreement.id, population)
        with open_ledger(site.state / BUDGET) as ledger:
            ledger.grant(Account(agreement.id, population), budget)

            def spend(account: Account, loss: Loss, release: str) -> None:
                with warehouse.transaction():
                    detail = f"{account.agreement} · {account.population} · {loss.measure} · {release}"
                    write_event(warehouse, "budget.spend", None, detail)
                    ledger.spend(account, loss, release)

            yield ledger, spend, signer
