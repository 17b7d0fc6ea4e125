"""A release's manifest: what the files are, under which agreement they left, and how they were protected."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from wellbridge.privacy import release_verifier
from wellbridge.privacy.agreements import Agreement
from wellbridge.privacy.formula import PREFIX
from wellbridge.privacy.tables.linked import Need

FORMAT: Final[str] = release_verifier.FORMAT
NAME: Final[str] = release_verifier.MANIFEST

NOTICE: Final = (
    "These data come from education records. Under 34 CFR 99.33 the recipient may use them only for the purpose for "
    "which they were disclosed, may not disclose them to any other party without prior written consent except as "
    "99.33(b) allows, and must destroy them by the date stated. The recipient shall not try to identify a child, nor "
    "join these data with others for that end. A party that rediscloses improperly may be denied access for at "
    "least five years (20 USC 1232g(b)(4)(B)). Of what came from substance use disorder treatment: 42 CFR part 2 "
    "prohibits unauthorized use or disclosure of these records."
)


def build_manifest(
    *, extract: str, title: str, kind: str, agreement: Agreement, now: datetime, files: Mapping[str, bytes],
    tables: Sequence[Mapping[str, Any]], dictionary: str, suppression: Mapping[str, Any], policy_sha256: str,
    code_version: str, min_cell: int, k: int, formulas: Mapping[str, Any], determination: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the manifest of a release.

    Args:
        files: every file of the release but the manifest, by name.
        tables: for each data file its ``file``, ``kind``, ``columns``, ``rows`` and what re-checking needs.
        suppression: counts of what is hidden; never which of the hidden cells is small.
        formulas: how many cells were prefixed so that no spreadsheet runs them, by file and column.
        determination: the record of 34 CFR 99.31(b)(1): who, when, method, limits, attacker, results.
    """
    return {
        "format": FORMAT, "extract": extract, "title": title, "kind": kind,
        "created": now.astimezone(UTC).isoformat(timespec="seconds"),
        "agreement": {
            "id": agreement.id, "recipient": agreement.recipient, "basis": str(agreement.basis),
            "citation": agreement.citation, "purpose": agreement.purpose, "end": agreement.end.isoformat(),
            "destruction_date": agreement.destruction_date.isoformat(), "sha256": agreement.digest(),
        },
        "policy_sha256": policy_sha256, "code_version": code_version,
        "min_cell": min_cell, "need": str(Need.STRONG), "k": k, "determination": dict(determination),
        "tables": [dict(table) for table in tables], "dictionary": dictionary,
        "suppression": dict(suppression), "formula_prefix": PREFIX, "formulas": dict(formulas), "notice": NOTICE,
        "files": {name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
                  for name, content in sorted(files.items())},
    }


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    """Return the manifest as it is written."""
    return (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """Return the digest that names a release: SHA-256 of its manifest as it is written."""
    return hashlib.sha256(manifest_bytes(manifest)).hexdigest()


def read_manifest(directory: Path) -> dict[str, Any] | None:
    """Return a release's manifest; None where there is none that can be read."""
    try:
        found = json.loads((directory / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def verify(directory: Path, keys: str | None = None) -> list[str]:
    """Return the violations of a release, see ``release_verifier``; empty when it is sound."""
    return release_verifier.verify(directory, keys=keys)
