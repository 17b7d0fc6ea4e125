"""Attestations of destruction: a recipient's written word that what an agreement gave is destroyed, and its document.

``policy/attestations/ID.toml`` says the day and the document's SHA-256; the document lies beside it. A day alone is no
proof: where the document is missing or was changed, nothing is attested.

Source: 34 CFR 99.35(b)(2), 99.31(a)(6)(iii)(C)(4). Rule F-07.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

from wellbridge.privacy.agreements import Agreement
from wellbridge.privacy.seal import private_file, private_folder
from wellbridge.schemas.errors import ConfigurationError, SourceError

FOLDER: Final = "attestations"  # beside the folder of agreements
_MOST_BYTES: Final = 50_000_000


@dataclass(frozen=True)
class Attestation:
    """What was attested.

    Attributes:
        agreement: its id.
        destroyed_on: the day of destruction, as the recipient says.
        sha256: of the document.
        document: its name beside the record.
    """

    agreement: str
    destroyed_on: date
    sha256: str
    document: str


def is_attested(agreements: Path, agreement: Agreement) -> bool:
    """Whether the destruction under an agreement is attested by a document that is there and unchanged.

    Args:
        agreements: the site's folder of agreements.
        agreement: one of them.
    """
    return read_attestation(agreements, agreement) is not None


def read_attestation(agreements: Path, agreement: Agreement) -> Attestation | None:
    """Return what was attested under an agreement; None where nothing is, or its document is not what it was."""
    folder = agreements.parent / FOLDER
    found: Attestation | None = None
    try:
        facts = tomllib.loads((folder / f"{agreement.id}.toml").read_text(encoding="utf-8"))
        found = Attestation(facts["agreement"], facts["destroyed_on"], facts["sha256"], facts["document"])
        content = (folder / Path(found.document).name).read_bytes()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    is_day = isinstance(found.destroyed_on, date) and not isinstance(found.destroyed_on, datetime)
    fits = found.agreement == agreement.id and is_day and found.destroyed_on >= agreement.start
    return found if fits and hashlib.sha256(content).hexdigest() == found.sha256 else None


def write_attestation(
    agreements: Path, agreement: Agreement, document: Path, destroyed_on: date, today: date
) -> Attestation:
    """Keep a recipient's document as the attestation of destruction under an agreement; once, and never changed.

    Raises:
        SourceError: WB-E-023 when the document cannot be read, is empty or too large.
        ConfigurationError: WB-E-011 when the day is before the agreement or not yet, or another was kept before.
    """
    if not agreement.start <= destroyed_on <= today:
        raise ConfigurationError("WB-E-011", "The day of destruction is before the agreement, or not yet.",
                                 f"agreement {agreement.id} · --on")
    content = b""
    try:
        content = document.read_bytes() if document.stat().st_size <= _MOST_BYTES else b""
    except OSError:
        content = b""
    if not content:
        raise SourceError("WB-E-023", "The document is missing, empty or too large.", f"file {document.name}")
    suffix = document.suffix if document.suffix.isascii() and document.suffix[1:].isalnum() else ".bin"
    made = Attestation(agreement.id, destroyed_on, hashlib.sha256(content).hexdigest(), f"{agreement.id}{suffix}")
    known = read_attestation(agreements, agreement)
    if known is not None:
        if known != made:
            raise ConfigurationError("WB-E-011", "Another attestation of that agreement was kept before.",
                                     f"agreement {agreement.id}")
        return known
    folder = agreements.parent / FOLDER
    private_folder(folder)
    record = (
        f'agreement = "{made.agreement}"\ndestroyed_on = {made.destroyed_on.isoformat()}\n'
        f'sha256 = "{made.sha256}"\ndocument = "{made.document}"\n'
    )
    for name, text in ((made.document, content), (f"{made.agreement}.toml", record.encode())):
        path = folder / name
        path.unlink(missing_ok=True)  # of an attestation that does not hold
        with private_file(path) as file:
            file.write(text)
    return made
