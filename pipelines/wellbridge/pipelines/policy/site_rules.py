"""The rules in force at a site, and those of the runs before."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from wellbridge.etl.landing import write_private
from wellbridge.etl.store import open_store
from wellbridge.pipelines.site import Site
from wellbridge.privacy.rules.book import Book, builtin
from wellbridge.privacy.rules.local import effective
from wellbridge.schemas.warehouse import METADATA


def rules_of(root: Path, on: date | None = None) -> Book:
    """Return the rules in force in a project folder; the built-in ones where it has no rules of its own.

    Args:
        root: the project folder.
        on: the day, today (UTC) where not given.

    Raises:
        ConfigurationError: WB-E-070 when the site's own rules cannot be understood.
        PrivacyError: WB-E-044 when one of them is looser than the built-in one.
    """
    return effective(root / "policy", on or datetime.now(UTC).date())


def remember(site: Site, book: Book) -> None:
    """Keep what the rules of a run were, under their digest, so that later ones can be compared with them."""
    path = _path(site, book.digest)
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, json.dumps(book.substance(), sort_keys=True))


def recall(site: Site, digest: str) -> dict[str, Any] | None:
    """Return what the rules of that digest were; None where nobody kept them."""
    if digest == builtin().digest:
        return builtin().substance()
    found = None
    try:
        found = json.loads(_path(site, digest).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    return found if isinstance(found, dict) else None


def _path(site: Site, digest: str) -> Path:
    return site.state / "policies" / f"{digest}.json"


def last_digest(site: Site) -> str | None:
    """Return the digest of the rules of the last run; None before the first.

    Raises:
        StoreError: WB-E-050 when the warehouse cannot be opened.
    """
    if not site.warehouse.exists():
        return None
    with open_store(site.warehouse, METADATA, read_only=True) as store:
        found = store.frame("SELECT policy_hash FROM run ORDER BY ended_at DESC LIMIT 1")["policy_hash"].to_list()
    return str(found[0]) if found else None
