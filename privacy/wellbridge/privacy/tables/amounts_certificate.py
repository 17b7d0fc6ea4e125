"""Certificates of a protected table of amounts, and its release; see ``certificate`` for what is shown to whom."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from wellbridge.privacy.signing import Signer
from wellbridge.privacy.tables.amounts import ProtectedAmounts
from wellbridge.privacy.tables.amounts_verifier import FORMAT, SEALED, verify
from wellbridge.privacy.tables.attacker import Published, Ranges, attack
from wellbridge.privacy.tables.audit import audit
from wellbridge.privacy.tables.certificate import NAME, TABLE, axis_as_json, longest_of, proof_of, publish
from wellbridge.privacy.tables.completions import as_json, completed
from wellbridge.privacy.tables.contributors import known_cells
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.primary import FACTS, TOP
from wellbridge.schemas.errors import PrivacyError


def write_amounts(found: ProtectedAmounts, folder: Path, signer: Signer | None = None) -> dict[str, Any]:
    """Attack a protected table of amounts, write it with its public certificate, and check what was written.

    The folder appears whole or not at all.

    Returns:
        The public certificate.

    Raises:
        ConfigurationError: WB-E-011 when the folder exists and is not empty, or cannot be written to.
        PrivacyError: WB-E-042 when the attack or the verifier finds fault; nothing is written then.
    """
    exposed = attacked(found)
    if exposed:
        what = f"The attack narrows {exposed} amount(s) further than the rules allow."
        raise PrivacyError("WB-E-042", what, f"drop dimension {found.worst_dimension}")
    content = found.table.write_csv(line_terminator="\n", quote_style="necessary").encode()
    public = public_certificate(found, content)
    publish(folder, {TABLE: content, NAME: json.dumps(public).encode()}, verify, signer)
    return public


def attacked(found: ProtectedAmounts) -> int:
    """Return how many sensitive amounts an outsider, who sees the published table alone, can narrow too far."""
    task, hidden = found.task, found.found.hidden
    enough = Ranges(task.values - task.down, task.values + task.up)
    seen = attack(_published(found), task.hidden & hidden, enough=enough)
    narrowed = (seen.least > enough.least) | (seen.greatest < enough.greatest)
    return int((task.hidden & (narrowed | ~hidden)).sum())


def public_certificate(found: ProtectedAmounts, content: bytes) -> dict[str, Any]:
    """Return the certificate that goes with the release: completions, made from the published table alone."""
    seen = audit(_published(found), min_cell=0, is_strong=False)
    if len(seen.given_away):
        what = "The attack on the protected table found an amount that is not protected."
        raise PrivacyError("WB-E-042", what, f"drop dimension {found.worst_dimension}")
    rules = {name: str(value) if type(value) is float else value for name, value in vars(found.rules).items()}
    return {
        "format": FORMAT, "file": TABLE, "sha256": hashlib.sha256(content).hexdigest(), "count": found.value,
        "unit": str(found.unit), "rules": rules, "axes": [axis_as_json(axis) for axis in found.grid.axes],
        **proof_of(seen, 0, Need.WEAK, longest_of(found.task)),
    }


def sealed_certificate(found: ProtectedAmounts, public: dict[str, Any]) -> dict[str, Any]:
    """Return the certificate for auditors who may see the true table and its largest contributions."""
    task, hidden = found.task, np.flatnonzero(found.found.hidden)
    groups = [np.searchsorted(hidden, own) for own in known_cells(found.found.hidden, found.alone)]
    completions = completed(
        task.values[hidden], found.found.moves[:, hidden].tocsr(), task.up[hidden], task.down[hidden],
        (task.lower[hidden], task.upper[hidden]), groups,
    )
    tops = [TOP.format(place + 1) for place in range(found.rules.places)]
    digest = hashlib.sha256(json.dumps(public, sort_keys=True).encode()).hexdigest()
    return {
        "format": SEALED, "certificate": digest, **as_json(completions, longest_of(task)),
        "alone": [own.tolist() for own in groups],
        "facts": [list(row) for row in found.cells.select(FACTS[0], *tops).iter_rows()],
        "secondary": found.secondary, "optimal": found.found.is_optimal, "lower_bound": found.found.lower_bound,
    }


def _published(found: ProtectedAmounts) -> Published:
    task, hidden = found.task, found.found.hidden
    return Published(np.where(hidden, 0, task.values), hidden, task.lower, task.upper, task.links)
