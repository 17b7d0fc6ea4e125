"""A crosswalk of its own for record files that no site releases: codes and date shifts, sealed in one file.

Later files of the same scope (one recipient, one study) give a person the code and the shift that she has, and two
scopes have nothing in common. Both are drawn at random, so nothing about a person is in them; who has file and key can
undo them, and to destroy the key is to destroy the crosswalk.

Source: 34 CFR 99.31(b)(2) (record codes of de-identified data for research; rule F-05).
"""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import polars as pl

from wellbridge.privacy.codes import SCHEMA as CODES
from wellbridge.privacy.codes import MemoryCrosswalk
from wellbridge.privacy.records.transforms import MAX_DAYS, SHIFTS, MemoryShifts
from wellbridge.privacy.seal import Sealer, new_key, read_key, wrote_whole
from wellbridge.schemas.errors import ConfigurationError, StoreError

_CODE, _SHIFT = "code", "shift"
_SCHEMA: Final = {"kind": pl.String, "scope": pl.String, "person": pl.String, "value": pl.String}


class SealedCrosswalk:
    """Codes and shifts that outlive the process; see ``open_crosswalk``."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path, self._sealer = path, Sealer(key)
        kept = self._read() if path.exists() else pl.DataFrame(schema=_SCHEMA)
        self._codes = MemoryCrosswalk({
            scope: part.select(pl.col("person").alias("person_key"), pl.col("value").alias("code"))
            for (scope,), part in kept.filter(pl.col("kind") == _CODE).group_by("scope")
        })
        self._shifts = {
            scope: part.select("person", pl.col("value").cast(pl.Int64).alias("days"))
            for (scope,), part in kept.filter(pl.col("kind") == _SHIFT).group_by("scope")
        }
        self.max_days = MAX_DAYS

    def codes(self, agreement_id: str, person_keys: pl.Series) -> pl.DataFrame:
        """Return ``person_key, code``; see ``codes.Crosswalk``."""
        return self._codes.codes(agreement_id, person_keys)

    def days(self, scope: str, persons: pl.Series) -> pl.DataFrame:
        """Return ``person, days``; see ``transforms.Shifts``.

        Raises:
            ConfigurationError: WB-E-011 when a kept shift is farther than the policy allows now.
        """
        shifts = MemoryShifts(self.max_days, self._shifts)
        found = shifts.days(scope, persons)
        if found["days"].abs().max() is not None and found["days"].abs().max() > self.max_days:  # type: ignore[operator]
            raise ConfigurationError("WB-E-011", "The crosswalk holds shifts farther than max_days.",
                                     f"file {self._path.name}", todo="Use the former max_days, or a new crosswalk")
        return found

    def save(self) -> None:
        """Seal what is known now; the file is replaced whole.

        Raises:
            ConfigurationError: WB-E-011 when it cannot be written.
        """
        parts = [_rows(_CODE, scope, frame, *CODES) for scope, frame in self._codes.known.items()]
        parts += [_rows(_SHIFT, scope, frame, *SHIFTS) for scope, frame in self._shifts.items()]
        plain = io.BytesIO()
        pl.concat([pl.DataFrame(schema=_SCHEMA), *parts]).write_parquet(plain)
        plain.seek(0)
        if not wrote_whole(self._path, lambda file: self._sealer.seal(plain, file)):
            raise _unwritable(self._path)

    def _read(self) -> pl.DataFrame:
        plain = io.BytesIO()
        found: pl.DataFrame | None = None
        try:
            with self._path.open("rb") as file:
                self._sealer.open(file, plain)
            plain.seek(0)
            found = pl.read_parquet(plain)
        except (pl.exceptions.PolarsError, OSError, StoreError):
            found = None
        if found is None or dict(found.schema) != _SCHEMA:
            raise StoreError("WB-E-052", "The crosswalk was changed, or another key sealed it.",
                             f"file {self._path.name}", todo="Restore crosswalk and key from the same backup")
        return found


@contextmanager
def open_crosswalk(path: Path, key: Path) -> Iterator[SealedCrosswalk]:
    """Open a crosswalk for one release, others wait; a new one, and a new key, are made where there is none.

    Raises:
        ConfigurationError: WB-E-011 when it or its key cannot be written, or both are one file.
        StoreError: WB-E-051 when others may read the key, WB-E-052 when the file does not open with it.
    """
    if path == key or (path.exists() and not key.exists()):
        raise ConfigurationError("WB-E-011", "A crosswalk needs the key that sealed it.", f"file {path.name}")
    number = -1
    try:
        number = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(number, fcntl.LOCK_EX)
        if not key.exists():
            new_key(key)
        is_open = True
    except OSError:
        is_open = False
    try:
        if not is_open:
            raise _unwritable(path)
        yield SealedCrosswalk(path, read_key(key))
    finally:
        if number >= 0:
            os.close(number)


def _rows(kind: str, scope: str, frame: pl.DataFrame, person: str, value: str) -> pl.DataFrame:
    return frame.select(
        pl.lit(kind).alias("kind"), pl.lit(scope).alias("scope"), pl.col(person).alias("person"),
        pl.col(value).cast(pl.String).alias("value"),
    )


def _unwritable(path: Path) -> ConfigurationError:
    return ConfigurationError("WB-E-011", "The crosswalk or its key cannot be written.", f"file {path.name}")
