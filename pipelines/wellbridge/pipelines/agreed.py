"""Whether a site may link or spend under an agreement: on file, in force, its party in good standing."""

from __future__ import annotations

from datetime import UTC, datetime

from wellbridge.etl.store import Store, open_store
from wellbridge.pipelines.extracts import ledger_time
from wellbridge.pipelines.releases import AGREEMENTS
from wellbridge.pipelines.site import Site
from wellbridge.privacy.agreements import Agreement, find_agreement, in_force
from wellbridge.privacy.parties import check_party
from wellbridge.schemas.warehouse import METADATA


def agreement_in_force(site: Site, agreement_id: str, *, now: datetime | None = None) -> Agreement:
    """Return an agreement of the site that is in force.

    Args:
        site: the site; its ledger's last event counts, so that a clock turned back revives nothing.
        agreement_id: as its file in ``policy/agreements`` is named.
        now: the instant; the system's, without.

    Raises:
        PrivacyError: WB-E-040 when there is none, or none in force; WB-E-072 when its party owes destruction of data or
            is barred.
    """
    agreement = find_agreement(site.root / AGREEMENTS, agreement_id)
    if not site.warehouse.exists():
        check_in_force(site, agreement, None, now)
        return agreement
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        check_in_force(site, agreement, warehouse, now)
    return agreement


def check_in_force(
    site: Site, agreement: Agreement, warehouse: Store | None, now: datetime | None = None
) -> None:
    """Refuse an agreement as ``agreement_in_force`` does, with the warehouse open; None where there is none yet."""
    last = None if warehouse is None else ledger_time(warehouse)
    check_party(site.root / AGREEMENTS, agreement, in_force(agreement, now or datetime.now(UTC), last))
