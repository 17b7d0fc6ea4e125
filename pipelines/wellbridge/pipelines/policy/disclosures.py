"""The record of disclosures (34 CFR 99.32), and of what recipients destroyed (99.35(b)(2))."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from wellbridge.etl.lock import run_lock
from wellbridge.etl.store import open_store
from wellbridge.pipelines.nightly.stores import write_event
from wellbridge.pipelines.site import Site
from wellbridge.privacy.agreements import find_agreement
from wellbridge.privacy.attestations import Attestation, read_attestation, write_attestation
from wellbridge.schemas.warehouse import METADATA


def disclosures(site: Site, first: date | None = None, last: date | None = None) -> list[dict[str, Any]]:
    """Return what was disclosed, oldest first: day, parties, interest, exception, agreement, group and release.

    Args:
        site: whose warehouse holds the record.
        first, last: days, both inclusive.

    Raises:
        StoreError: WB-E-050 when there is no warehouse yet.
    """
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        events = warehouse.frame(
            "SELECT happened_at, detail FROM ledger_event WHERE action = 'disclosure' ORDER BY seq"
        )
    found = [{"day": at.date().isoformat(), **json.loads(detail)} for at, detail in events.iter_rows()]
    return [
        one for one in found
        if (first is None or one["day"] >= first.isoformat()) and (last is None or one["day"] <= last.isoformat())
    ]


def attest(site: Site, agreement_id: str, document: Path, destroyed_on: date) -> Attestation:
    """Record that a recipient destroyed what an agreement gave, and tell the ledger.

    Raises:
        PrivacyError: WB-E-040 when there is no such agreement.
        SourceError, ConfigurationError: see ``attestations.write_attestation``.
        StoreError: WB-E-050 when there is no warehouse yet.
    """
    folder = site.root / "policy" / "agreements"
    agreement = find_agreement(folder, agreement_id)
    with run_lock(site.lock), open_store(site.warehouse, METADATA) as warehouse:
        known = read_attestation(folder, agreement)
        made = write_attestation(folder, agreement, document, destroyed_on, datetime.now(UTC).date())
        if known is None:
            with warehouse.transaction():
                detail = f"{made.agreement} · {made.destroyed_on.isoformat()} · {made.sha256}"
                write_event(warehouse, "agreement.destroyed", None, detail)
    return made
