"""Whether a site may link under an agreement: on file, in force, its party in good standing, as for a release."""

from __future__ import annotations

from datetime import UTC, datetime

from wellbridge.etl.store import open_store
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
    folder = site.root / AGREEMENTS
    agreement = find_agreement(folder, agreement_id)
    last = None
    if site.warehouse.exists():
        with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
            last = ledger_time(warehouse)
    check_party(folder, agreement, in_force(agreement, now or datetime.now(UTC), last))
    return agreement
