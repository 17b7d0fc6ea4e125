"""Certificates of a protected table: what its verifier needs, a public one and one for auditors.

The public one holds completions, made from the published table alone (``audit``): whoever reads it learns nothing
that was not published. The auditor's holds the true counts of the hidden cells, and completions beside them that prove
every small one protected; it must never be with the release.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix

from wellbridge.privacy.seal import Sealer, new_key, private_file, private_folder, read_key, wrote_new
from wellbridge.privacy.signing import Signer
from wellbridge.privacy.tables.attacker import Published
from wellbridge.privacy.tables.audit import Audit, audit
from wellbridge.privacy.tables.cohorts import UNSAID, Cohort
from wellbridge.privacy.tables.completions import as_json, completed, enough_of, from_json
from wellbridge.privacy.tables.joint import ReleasedTable, attack_together, released
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.margins import Axis
from wellbridge.privacy.tables.moves import Task
from wellbridge.privacy.tables.protection import ProtectedTable
from wellbridge.privacy.tables.sums import UNBOUNDED, Bools
from wellbridge.privacy.tables.verifier import FORMAT, SEALED, verify
from wellbridge.schemas.errors import ConfigurationError, PrivacyError, SourceError

TABLE: Final = "table.csv"
NAME: Final = "certificate.json"


def table_bytes(found: ProtectedTable) -> bytes:
    """Return the published table as it is written: the full cross in the order of its axes."""
    return found.table.write_csv(line_terminator="\n", quote_style="necessary").encode()


def attacked(found: ProtectedTable) -> Audit:
    """Attack a protected table as any reader could: the truth of hidden cells is not looked at."""
    hidden = found.found.hidden
    shown = np.where(hidden, 0, found.task.values)
    published = Published(shown, hidden, found.task.lower, found.task.upper, found.task.links)
    return audit(published, min_cell=found.min_cell, is_strong=found.need is Need.STRONG)


def public_certificate(
    found: ProtectedTable, content: bytes, seen: Audit, cohort: Cohort = UNSAID
) -> dict[str, Any]:
    """Return the certificate that goes with the release; it says whom the table counts, where that is said."""
    whom = cohort.as_dict()
    return {
        "format": FORMAT, "file": TABLE, "sha256": hashlib.sha256(content).hexdigest(), "count": found.count,
        "min_cell": found.min_cell, "need": str(found.need), "axes": [axis_as_json(axis) for axis in found.grid.axes],
        **({"cohort": whom} if whom else {}),
        **({"blank_least": found.blank_least} if found.blank_least else {}),
        **({"hides_zeros": True} if found.hides_zeros else {}),
        **proof_of(seen, found.min_cell, found.need, longest_of(found.task)),
    }


def longest_of(task: Task) -> int:
    """Return how many cells the longest sum of a task ties."""
    return int(np.bincount(task.links.row, minlength=1).max())


def proof_of(seen: Audit, min_cell: int, need: Need, longest: int, asked: Bools | None = None) -> dict[str, Any]:
    """Return completions that show what an attack left open, as certificates hold them.

    Args:
        seen: the attack.
        min_cell, need: of a hidden cell two counts are shown, and where the need is strong one that may be printed.
        longest: how many cells the longest sum ties.
        asked: which of the hidden cells must be shown to be open; all without.
    """
    base = seen.completions[0]
    moves = csr_matrix(seen.completions[1:] - base)
    rises = np.where(base < min_cell, min_cell - base, 0) if need is Need.STRONG else 0 * base
    is_asked = np.ones(len(base), dtype=np.bool_) if asked is None else asked
    is_other = moves.copy()
    is_other.data = ((moves.data >= rises[moves.indices]) | (rises[moves.indices] == 0)) & is_asked[moves.indices]
    is_other.eliminate_zeros()
    kept = enough_of(is_other, np.diff(moves.indptr))
    return as_json(seen.completions[[0, *(kept + 1)]], longest)


def certificate_bytes(public: dict[str, Any]) -> bytes:
    """Return a certificate as it is written."""
    return json.dumps(public).encode()


def sealed_certificate(found: ProtectedTable, public: dict[str, Any]) -> dict[str, Any]:
    """Return the certificate for auditors who may see the true table."""
    task, hidden = found.task, np.flatnonzero(found.found.hidden)
    truth, seen = task.values[hidden], from_json(public)
    # What the public completions show of the truth need not be shown again.
    up = np.where(seen.max(axis=0, initial=0) >= truth + task.up[hidden], 0, task.up[hidden])
    down = np.where(seen.min(axis=0, initial=UNBOUNDED) <= truth - task.down[hidden], 0, task.down[hidden])
    moves, bounds = found.found.moves[:, hidden].tocsr(), (task.lower[hidden], task.upper[hidden])
    completions = completed(truth, moves, up, down, bounds)
    return {
        "format": SEALED, "certificate": hashlib.sha256(certificate_bytes(public)).hexdigest(),
        **as_json(completions, longest_of(task)),
        "secondary": int(found.secondary), "optimal": found.found.is_optimal, "lower_bound": found.found.lower_bound,
    }


def axis_as_json(axis: Axis) -> dict[str, Any]:
    """Return an axis as verifiers read it: columns, nodes as lines of CSV, and each node's parent."""
    return {"columns": list(axis.columns), "labels": _labels(axis.nodes), "parent": axis.parent.tolist()}


def _labels(nodes: pl.DataFrame) -> list[str]:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(nodes.iter_rows())
    return text.getvalue().split("\n")[:-1]


def check_places(folder: Path, sealed: Path | None, key: Path | None) -> None:
    """Check, before any work, that a release can be written where it should be.

    Raises:
        ConfigurationError: WB-E-011 when the folder exists and is not empty, the auditor's certificate exists already,
            or the folder that it or its key should lie in does not.
        StoreError: WB-E-051 when other accounts can read the key, WB-E-052 when it is none.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError("WB-E-011", "The folder of a release must be new or empty.", f"--out {folder.name}")
    if sealed is None or key is None:
        return
    if key.exists():
        read_key(key)
    if sealed.exists() or sealed == key or not sealed.parent.is_dir() or not key.parent.is_dir():
        raise ConfigurationError(
            "WB-E-011", "The auditor's certificate exists already, or there is no folder for it or its key.",
            f"file {sealed.name}",
        )


def write_release(
    found: ProtectedTable, folder: Path, *, cohort: Cohort = UNSAID, earlier: Sequence[ReleasedTable] = (),
    signer: Signer | None = None,
) -> dict[str, Any]:
    """Attack a protected table, write it with its public certificate, and check what was written.

    The folder appears whole or not at all.

    Args:
        found: the protected table.
        folder: the release's folder.
        cohort: whom it counts; part of the certificate.
        earlier: what was released before, to whomever; attacked together with this one.
        signer: signs the certificate; unsigned without.

    Returns:
        The public certificate.

    Raises:
        ConfigurationError: WB-E-011 when the folder exists and is not empty, or cannot be written to.
        PrivacyError: WB-E-042 when the attack or the verifier finds fault; nothing is written then.
    """
    content = table_bytes(found)
    seen = attacked(found)
    if len(seen.given_away) + len(seen.narrowed):
        raise PrivacyError("WB-E-042", "The attack on the protected table found a cell that is not protected.")
    public = public_certificate(found, content, seen, cohort)
    if earlier:
        _check_together([*earlier, released(folder.name, public, content)])
    publish(folder, {TABLE: content, NAME: certificate_bytes(public)}, verify, signer)
    return public


def publish(
    folder: Path, contents: Mapping[str, bytes], check: Callable[[Path], list[str]], signer: Signer | None = None
) -> None:
    """Write the files of a release, its certificate signed, and check them; the folder appears whole or not at all.

    Raises:
        ConfigurationError: WB-E-011 when the folder exists and is not empty, or cannot be written to.
        PrivacyError: WB-E-042 when the check finds fault; nothing is written then.
    """
    check_places(folder, None, None)
    signature = {} if signer is None else {f"{NAME}.sig": signer.sign(NAME, contents[NAME])}
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}")
    is_written = False
    try:
        private_folder(aside)
        for name, content in {**contents, **signature}.items():
            with private_file(aside / name) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        problems = check(aside)
        if not problems:
            folder.mkdir(parents=True, exist_ok=True)
            aside.rename(folder)
        is_written = True
    except OSError:
        is_written = False
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    if not is_written:
        raise ConfigurationError("WB-E-011", "The release cannot be written.", f"--out {folder.name}")
    if problems:
        raise PrivacyError("WB-E-042", f"The re-check found {len(problems)} violation(s).", " · ".join(problems))


def _check_together(releases: Sequence[ReleasedTable]) -> None:
    found = attack_together(releases)
    if found.given_away + found.narrowed:
        raise PrivacyError(
            "WB-E-042", f"Together with {len(releases) - 1} earlier release(s) {found.given_away} small count(s) could "
            f"be worked out, and {found.narrowed} would be certainly small.",
            f"releases {', '.join(release.name for release in releases[:-1])}",
            todo="Drop a dimension, or release the same table again as it was",
        )


def write_sealed(certificate: dict[str, Any], path: Path, key: Path) -> None:
    """Write an auditor's certificate, sealed with a key; a new key is made where there is none.

    Raises:
        ConfigurationError: WB-E-011 when the file exists or cannot be written.
        StoreError: WB-E-051 when other accounts can read the key.
    """
    if not key.exists():
        new_key(key)
    sealer, plain = Sealer(read_key(key)), io.BytesIO(json.dumps(certificate).encode())
    if not wrote_new(path, lambda file: sealer.seal(plain, file)):
        raise ConfigurationError(
            "WB-E-011", "The auditor's certificate exists already or cannot be written.", f"file {path.name}"
        )


def write_opened(certificate: dict[str, Any], path: Path, release: Path) -> None:
    """Write an opened auditor's certificate, which holds the true counts, for its owner alone and into no release.

    Raises:
        ConfigurationError: WB-E-011 when the file exists, cannot be written, or would lie in the release.
    """
    content = json.dumps(certificate).encode()
    is_apart = release.resolve() not in path.resolve().parents
    if not is_apart or not wrote_new(path, lambda file: file.write(content)):
        raise ConfigurationError(
            "WB-E-011", "The opened certificate exists already, cannot be written, or would lie in the release.",
            f"--open {path.name}",
        )


def read_sealed(path: Path, key: Path) -> dict[str, Any]:
    """Open an auditor's certificate.

    Raises:
        SourceError: WB-E-023 when it is missing.
        StoreError: WB-E-052 when it was changed, or another key sealed it.
    """
    if not path.is_file():
        raise SourceError("WB-E-023", "There is no such certificate.", f"file {path.name}")
    plain = io.BytesIO()
    with path.open("rb") as file:
        Sealer(read_key(key)).open(file, plain)
    found: dict[str, Any] = json.loads(plain.getvalue())
    return found
