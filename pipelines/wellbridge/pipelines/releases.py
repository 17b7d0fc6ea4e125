"""Releases of a site: its definitions, agreements and stores brought together, each build an event of the ledger."""

from __future__ import annotations

import difflib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from wellbridge.etl.crosswalk import VaultCrosswalk
from wellbridge.etl.lock import run_lock
from wellbridge.etl.store import open_store
from wellbridge.etl.vault import VAULT
from wellbridge.pipelines.extract_definitions import ExtractDefinition, load_definitions
from wellbridge.pipelines.extracts import Release, build, ledger_time
from wellbridge.pipelines.kept_releases import EVENT, Recorded
from wellbridge.pipelines.nightly.stores import settle, write_event
from wellbridge.pipelines.policy.site_rules import remember, rules_of
from wellbridge.pipelines.site import Site
from wellbridge.privacy.agreements import Agreement, effective_day, find_agreement
from wellbridge.privacy.parties import check_party
from wellbridge.privacy.signing import read_signing_key
from wellbridge.schemas.errors import ConfigurationError
from wellbridge.schemas.warehouse import METADATA

AGREEMENTS: Final = Path("policy", "agreements")


def definitions(site: Site) -> dict[str, ExtractDefinition]:
    """Return the site's extract definitions, by id."""
    return load_definitions(site.root / "extracts")


def build_release(site: Site, extract_id: str, *, now: datetime | None = None) -> Release:
    """Build one extract under the agreement it names, and write that to the ledger.

    Raises:
        ConfigurationError: WB-E-015 when there is no such definition.
        PrivacyError: the privacy gate refused; nothing was written.
        StoreError: WB-E-050 when the site has no signing key; nothing was written.
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
    agreement, signer = _agreement(site, definition), read_signing_key(site.signing_key)
    clock = now or datetime.now(UTC)
    with run_lock(site.lock), open_store(site.warehouse, METADATA) as warehouse:
        today = effective_day(clock, ledger_time(warehouse))
        rules = rules_of(site.root, today)
        check_party(site.root / AGREEMENTS, agreement, today)

        def record(made: Recorded) -> None:
            with warehouse.transaction():
                write_event(warehouse, EVENT, None, made.detail())
                write_event(warehouse, "disclosure", None, disclosure(definition, agreement, made.digest))

        # A killed run's vault goes back first: codes drawn in one that goes back later would be lost.
        settle(site, warehouse)
        with open_store(site.vault, VAULT) as vault:
            crosswalk = VaultCrosswalk(vault)
            release = build(
                definition, agreement, warehouse, crosswalk, site.releases, clock, record=record, rules=rules,
                signer=signer,
            )
    remember(site, rules)
    return release


def disclosure(definition: ExtractDefinition, agreement: Agreement, digest: str) -> str:
    """Return the record of a disclosure that 34 CFR 99.32(a)(3) asks for (F-08): by group, never by student.

    A de-identified release needs none by law; it is written down all the same, because later ones are judged by it.
    """
    facts = {
        "agreement": agreement.id, "exception": agreement.citation, "extract": definition.id, "group": agreement.scope,
        "interest": agreement.purpose, "parties": [agreement.recipient, *agreement.representatives], "release": digest,
    }
    return json.dumps(facts, ensure_ascii=False, sort_keys=True)


def _agreement(site: Site, definition: ExtractDefinition) -> Agreement:
    # Read that one alone: a broken file of another agreement is no reason to refuse this one.
    return find_agreement(site.root / AGREEMENTS, definition.agreement)


def build_all(site: Site) -> list[Path]:
    """Build every extract of a site; return the folders of the releases."""
    return [build_release(site, extract_id).path for extract_id in definitions(site)]
