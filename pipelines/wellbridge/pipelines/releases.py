"""Releases of a site: its definitions, agreements and stores brought together, each build an event of the ledger."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from pathlib import Path

from wellbridge.etl.crosswalk import VaultCrosswalk
from wellbridge.etl.lock import run_lock
from wellbridge.etl.store import open_store
from wellbridge.etl.vault import VAULT
from wellbridge.pipelines.extract_definitions import ExtractDefinition, load_definitions
from wellbridge.pipelines.extracts import Release, build
from wellbridge.pipelines.nightly.stores import settle, write_event
from wellbridge.pipelines.site import Site
from wellbridge.privacy.agreements import Agreement, find_agreement
from wellbridge.schemas.errors import ConfigurationError
from wellbridge.schemas.warehouse import METADATA


def definitions(site: Site) -> dict[str, ExtractDefinition]:
    """Return the site's extract definitions, by id."""
    return load_definitions(site.root / "extracts")


def build_release(site: Site, extract_id: str, *, now: datetime | None = None) -> Release:
    """Build one extract under the agreement it names, and write that to the ledger.

    Raises:
        ConfigurationError: WB-E-015 when there is no such definition.
        PrivacyError: the privacy gate refused; nothing was written.
    """
    known = definitions(site)
    if extract_id not in known:
        near = difflib.get_close_matches(extract_id, known, n=3)
        raise ConfigurationError(
            "WB-E-015",
            "There is no extract of that name.",
            f"near: {', '.join(near)}" if near else f"known: {', '.join(known)}",
            todo="Use one of the names above",
        )
    definition = known[extract_id]
    agreement = _agreement(site, definition)
    clock = now or datetime.now(UTC)
    with run_lock(site.lock), open_store(site.warehouse, METADATA) as warehouse:

        def record(digest: str) -> None:
            write_event(warehouse, "extract.build", None, f"{definition.id} · {agreement.id} · {digest}")

        # A killed run's vault goes back first: codes drawn in one that goes back later would be lost.
        settle(site, warehouse)
        with open_store(site.vault, VAULT) as vault:
            crosswalk = VaultCrosswalk(vault)
            release = build(definition, agreement, warehouse, crosswalk, site.releases, clock, record=record)
    return release


def _agreement(site: Site, definition: ExtractDefinition) -> Agreement:
    # Read that one alone: a broken file of another agreement is no reason to refuse this one.
    return find_agreement(site.root / "policy" / "agreements", definition.agreement)


def build_all(site: Site) -> list[Path]:
    """Build every extract of a site; return the folders of the releases."""
    return [build_release(site, extract_id).path for extract_id in definitions(site)]
