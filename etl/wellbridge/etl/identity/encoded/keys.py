"""The two keys of a linkage, each in a file of its own.

The *pair key* is what both data owners encode with, and it names the hub they encode for. The *hub's key* opens what
they send; it is made for one linkage and destroyed with it. Who links needs no pair key, so a third party can link
that could not encode a guess (reference/linkage.md 4.3, mode B).
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wellbridge.privacy.envelope import subkey
from wellbridge.privacy.recipient import KEY_BYTES, new_private, public_of
from wellbridge.privacy.seal import wrote_new
from wellbridge.schemas.errors import ConfigurationError, StoreError

_PAIR: Final = "wellbridge-pair-key-1"
_HUB: Final = "wellbridge-hub-key-1"
_HUB_PUBLIC: Final = "wellbridge-hub-public-1"
_MOST_BYTES: Final = 4096
_AGREEMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CHECK_DIGITS: Final = 32


@dataclass(frozen=True, repr=False)
class LinkKeys:
    """Keys of one agreement and epoch, made from the pair key (reference/linkage.md 4.4).

    Attributes:
        agreement: its id.
        epoch: counts up when keys change.
        hub: public key of the hub that may open the bundle.
    """

    agreement: str
    epoch: int
    hub: bytes
    _secret: bytes

    def __repr__(self) -> str:
        return f"<keys of agreement {self.agreement}, epoch {self.epoch}>"

    def of(self, field: str) -> bytes:
        """Return the key of one field, 32 bytes."""
        return subkey(self._secret, f"wellbridge/pprl/v1|{self.agreement}|{self.epoch}|{field}")

    @property
    def check(self) -> str:
        """What two sides compare to know that their keys are the same; it tells nothing about them."""
        return self.of("key check").hex()[:_CHECK_DIGITS]


def new_hub_key(path: Path) -> Path:
    """Write a new key of the hub, and its public half beside it as ``NAME.pub``; return the latter's path."""
    private, public = new_private(), path.with_name(f"{path.stem}.pub")
    _write(path, {"format": _HUB, "private": private.hex()})
    _write(public, {"format": _HUB_PUBLIC, "public": public_of(private).hex()})
    return public


def new_pair_key(path: Path, hub_public: Path) -> None:
    """Write a new pair key for the hub whose public half is given."""
    hub = _read(hub_public, _HUB_PUBLIC, "public", is_secret=False)["public"]
    _write(path, {"format": _PAIR, "secret": secrets.token_bytes(KEY_BYTES).hex(), "hub": hub})


def read_pair_key(path: Path, agreement: str, epoch: int) -> LinkKeys:
    """Read a pair key for one agreement and epoch.

    Raises:
        ConfigurationError: WB-E-089 when it is no pair key or others may read it; WB-E-011 when the agreement's id
            is none.
    """
    if not _AGREEMENT.fullmatch(agreement) or epoch < 1:
        raise ConfigurationError(
            "WB-E-011",
            "An agreement's id has letters, digits, dots, dashes; epochs start at 1.",
            "--agreement, --epoch",
            todo="Give the id as it stands in policy/agreements/ and the number of the epoch",
        )
    said = _read(path, _PAIR, "secret", "hub")
    return LinkKeys(agreement, epoch, bytes.fromhex(said["hub"]), bytes.fromhex(said["secret"]))


def read_hub_key(path: Path) -> bytes:
    """Read the hub's private key. Raises as ``read_pair_key``."""
    return bytes.fromhex(_read(path, _HUB, "private")["private"])


def destroy(path: Path) -> None:
    """Destroy a key: write over it, then remove it. What it sealed is lost for everybody, wherever copies are.

    Writing over is all a program can do; a disk or file system that keeps old blocks must be encrypted itself.
    """
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()


def destroy_all(paths: Sequence[Path], out: Path) -> list[str]:
    """Destroy what was linked, after its links were written; return the names of the files.

    Args:
        paths: keys and encoded files.
        out: the file of links, which the error names.

    Raises:
        StoreError: WB-E-091 when one could not be destroyed; the others are all the same.
    """
    gone, left = [], []
    for path in paths:
        try:
            destroy(path)
        except OSError:
            left.append(path.name)
        else:
            gone.append(path.name)
    if left:
        raise StoreError(
            "WB-E-091",
            f"The links are written, but {len(left)} of {len(paths)} files could not be destroyed.",
            f"written: {out.name} · not destroyed: {', '.join(left)} · destroyed: {', '.join(gone) or 'none'}",
            facts={"out": str(out), "destroyed": gone, "not_destroyed": left},
        )
    return gone


def _write(path: Path, said: dict[str, str]) -> None:
    if not wrote_new(path, lambda file: file.write(json.dumps(said).encode() + b"\n")):
        raise _unusable(
            "The key cannot be written: a file of this name exists, or the folder does not.", path
        )


def _read(path: Path, form: str, *fields: str, is_secret: bool = True) -> dict[str, Any]:
    if not path.is_file() or path.is_symlink():
        raise _unusable("The key is missing.", path)
    if is_secret and path.stat().st_mode & 0o077:
        raise _unusable("The key can be read by other accounts.", path)
    with path.open("rb") as file:
        text = file.read(_MOST_BYTES)
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    is_key = re.compile(f"[0-9a-f]{{{2 * KEY_BYTES}}}").fullmatch
    if (
        not isinstance(said, dict)
        or said.get("format") != form
        or not all(is_key(str(said.get(f))) for f in fields)
    ):
        raise _unusable("The file is no key of the kind that is needed here.", path)
    return said


def _unusable(what: str, path: Path) -> ConfigurationError:
    return ConfigurationError("WB-E-089", what, f"file {path.name}")
