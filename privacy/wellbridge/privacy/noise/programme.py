"""A programme of perturbed tables: its secret and its perturbation table, kept together in one private file.

All tables of a programme are perturbed with the same secret, so that the same persons counted again get the same
noise; two programmes have nothing in common. The file never leaves, and the secret is not told by any message.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from wellbridge.privacy.noise.ptable import KEY_BITS, PerturbationTable, perturbation_table
from wellbridge.privacy.seal import wrote_new
from wellbridge.privacy.tables.sums import Ints
from wellbridge.schemas.errors import ConfigurationError, StoreError

FORMAT: Final = "wellbridge-noise-programme-1"
_SECRET_BYTES: Final = 32
_KEY_BYTES: Final = KEY_BITS // 8


@dataclass(frozen=True)
class Programme:
    """A secret and a perturbation table.

    Attributes:
        secret: of 32 bytes.
        table: the transition probabilities.
    """

    secret: bytes = field(repr=False)
    table: PerturbationTable

    def record_keys(self, names: pl.Series) -> Ints:
        """Return a key from 0 to 2³² − 1 for each name: keyed BLAKE2b, the same name always the same key.

        What names a record must stay the same for as long as the programme lasts, and need not be a secret.

        Raises:
            ConfigurationError: WB-E-015 when a record has no name: it would have no key of its own.
        """
        if names.null_count():
            raise ConfigurationError(
                "WB-E-015", "Records without a name cannot have a key.", f"{names.null_count()} row(s)",
                todo="Give every record the name of its person",
            )
        distinct = names.cast(pl.String).unique()
        blake = hashlib.blake2b
        joined = b"".join(
            blake(name.encode(), digest_size=_KEY_BYTES, key=self.secret).digest() for name in distinct
        )
        keys = pl.DataFrame({"name": distinct, "key": np.frombuffer(joined, dtype="<u4").astype(np.int64)})
        return names.cast(pl.String).to_frame("name").join(keys, on="name", how="left", maintain_order="left")[
            "key"
        ].to_numpy()


def new_programme(max_noise: int, variance: float, hidden_to: int) -> Programme:
    """Draw a secret and compute the table; see ``perturbation_table``."""
    return Programme(secrets.token_bytes(_SECRET_BYTES), perturbation_table(max_noise, variance, hidden_to))


def write_programme(programme: Programme, path: Path) -> None:
    """Write a programme to a new file that only its owner may read.

    Raises:
        ConfigurationError: WB-E-011 when the file exists or cannot be written.
    """
    facts = {
        "format": FORMAT, "secret": programme.secret.hex(), "max_noise": programme.table.max_noise,
        "variance": programme.table.variance, "hidden_to": programme.table.hidden_to,
        "rows": programme.table.rows.tolist(),
    }
    if not wrote_new(path, lambda file: file.write(json.dumps(facts).encode())):
        raise ConfigurationError("WB-E-011", "The programme exists already or cannot be written.", f"file {path.name}")


def read_programme(path: Path) -> Programme:
    """Read a programme and check that its table keeps what it promises.

    Raises:
        StoreError: WB-E-050 when it is missing, WB-E-051 when others may read it, WB-E-052 when it was changed.
    """
    if not path.is_file() or path.is_symlink():
        raise StoreError("WB-E-050", "The programme's file is missing.", f"file {path.name}")
    if path.stat().st_mode & 0o077:
        raise StoreError("WB-E-051", "The programme's secret can be read by other accounts.", f"file {path.name}")
    programme = None
    try:
        programme = _understood(json.loads(path.read_bytes()))
    except (ValueError, KeyError, TypeError):
        programme = None
    if programme is None:
        raise StoreError("WB-E-052", "The programme's file was changed or is none.", f"file {path.name}",
                         todo="Restore it from backup; a new one would give the same tables other noise")
    return programme


def _understood(facts: dict[str, Any]) -> Programme | None:
    rows = np.array(facts["rows"], dtype=np.float64)
    table = PerturbationTable(int(facts["max_noise"]), float(facts["variance"]), int(facts["hidden_to"]), rows)
    secret = bytes.fromhex(facts["secret"])
    fits = rows.shape == (table.max_noise + table.hidden_to + 2, 2 * table.max_noise + 1)
    is_one = facts["format"] == FORMAT and len(secret) == _SECRET_BYTES and fits and not table.problems()
    return Programme(secret, table) if is_one else None
