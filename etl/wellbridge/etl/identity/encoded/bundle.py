"""A bundle: a line in clear that says how it was made, then the encoded records, sealed to the hub.

The line holds nothing of any record. It is part of what the seal is made with, so a bundle whose line was changed
does not open. A hub compares the lines before it opens anything: records encoded with another key, schema, agreement,
epoch or normaliser would simply match nobody, and that looks like an answer.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np

from wellbridge.etl.identity.encoded.keys import LinkKeys
from wellbridge.etl.identity.encoded.profile import GROUPS, Encoded, schema_hash
from wellbridge.etl.identity.encoded.tokens import BLOCKS, TOKEN_BYTES
from wellbridge.etl.identity.standard import STANDARD_VERSION
from wellbridge.privacy.recipient import new_private, public_of, sealer_for
from wellbridge.privacy.seal import wrote_whole
from wellbridge.schemas.errors import PrivacyError, SafeError, SourceError, StoreError

FORMAT: Final = "wellbridge-bundle-1"
MOST_RECORDS: Final = 1 << 24
_MOST_LINE: Final = 1 << 14
_HEX: Final = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        format: of the file.
        agreement: for which it was encoded.
        epoch: of the keys.
        schema: hash of the filters and tokens.
        normaliser: version of the rules that names were put into form by.
        key_check: the same on both sides when their keys are (``LinkKeys.check``).
        records: how many, dummies among them.
        hub: public key that it is sealed to.
        sender: public key that it was sealed with.
        sealed_bytes: length of what follows the line.
        sealed_sha256: hash of it.
    """

    format: str
    agreement: str
    epoch: int
    schema: str
    normaliser: str
    key_check: str
    records: int
    hub: str
    sender: str
    sealed_bytes: int
    sealed_sha256: str

    def bound(self) -> bytes:
        """Return what the seal is made with: all that is known before sealing."""
        said = {name: value for name, value in asdict(self).items() if not name.startswith("sealed")}
        return json.dumps(said, sort_keys=True).encode()


def write_bundle(path: Path, records: Encoded, keys: LinkKeys, private: bytes | None = None) -> Manifest:
    """Seal records to the hub and write the bundle, whole or not at all, readable by its owner alone.

    Args:
        path: where to.
        records: of one file.
        keys: of the linkage.
        private: the key that it is sealed with, drawn for this bundle alone; drawn here, without.

    Raises:
        StoreError: WB-E-050 when it cannot be written.
    """
    private = private or new_private()
    facts = {
        "format": FORMAT,
        "agreement": keys.agreement,
        "epoch": keys.epoch,
        "schema": schema_hash(),
        "normaliser": STANDARD_VERSION,
        "key_check": keys.check,
        "records": len(records),
        "hub": keys.hub.hex(),
        "sender": public_of(private).hex(),
    }
    open_manifest = Manifest(**facts, sealed_bytes=0, sealed_sha256="")  # type: ignore[arg-type]  # checked by tests
    sealer = sealer_for(keys.hub, private, open_manifest.bound())
    if sealer is None:
        raise SourceError("WB-E-089", "The pair key names a hub that is none.", "--key")
    sealed = io.BytesIO()
    sealer.seal(io.BytesIO(_packed(records)), sealed)
    content = sealed.getbuffer()
    manifest = Manifest(**facts, sealed_bytes=len(content), sealed_sha256=sha256(content).hexdigest())  # type: ignore[arg-type]
    _write(path, json.dumps(asdict(manifest)).encode() + b"\n", content)
    return manifest


def _write(path: Path, line: bytes, content: memoryview) -> None:
    if not wrote_whole(path, lambda file: file.writelines((line, content))):
        raise StoreError(
            "WB-E-050",
            "The bundle cannot be written: no such folder, no right to, or no room.",
            f"file {path.name}",
            todo="Name a folder that exists and may be written to",
        )


def read_manifest(path: Path) -> Manifest:
    """Read the line of a bundle.

    Raises:
        SourceError: WB-E-083 when it is no bundle.
    """
    try:
        with path.open("rb") as file:
            line = file.readline(_MOST_LINE)
        said = json.loads(line)
    except (OSError, ValueError, RecursionError):
        said = None
    manifest = None
    if (
        isinstance(said, dict)
        and said.get("format") == FORMAT
        and said.keys() == Manifest.__annotations__.keys()
    ):
        kinds = {name: int if name in {"epoch", "records", "sealed_bytes"} else str for name in said}
        fits = all(type(said[name]) is kind for name, kind in kinds.items())
        keys = [said[name] for name in ("hub", "sender")]
        if (
            fits
            and all(_HEX.fullmatch(key) and len(key) == 64 for key in keys)
            and 0 <= said["records"] <= MOST_RECORDS
        ):
            manifest = Manifest(**said)
    if manifest is None:
        raise _damaged("The file is no bundle.", path)
    return manifest


# What of two manifests must be the same, in the order in which it is looked at, and what it means when it is not.
_CHECKS: Final[tuple[tuple[str, str, str], ...]] = (
    ("schema", "WB-E-087", "The bundle's filters were made by another schema."),
    ("normaliser", "WB-E-088", "The bundle's names were put into form by another version of the rules."),
    ("agreement", "WB-E-085", "The bundle was encoded for another agreement."),
    ("epoch", "WB-E-086", "The bundle was encoded for another epoch."),
    ("key_check", "WB-E-084", "The bundle was encoded with another key."),
)


def check_manifest(manifest: Manifest, path: Path, *, agreement: str, epoch: int, key_check: str) -> None:
    """Refuse a bundle that was not made for this linkage; nothing of it is opened.

    Raises:
        PrivacyError: WB-E-084 another key, WB-E-085 agreement, WB-E-086 epoch, WB-E-087 schema, WB-E-088 normaliser.
    """
    expected = {
        "schema": schema_hash(),
        "normaliser": STANDARD_VERSION,
        "agreement": agreement,
        "epoch": epoch,
        "key_check": key_check,
    }
    for name, code, what in _CHECKS:
        if getattr(manifest, name) != expected[name]:
            raise PrivacyError(code, what, f"file {path.name}")


def open_bundle(path: Path, manifest: Manifest, private: bytes) -> Encoded:
    """Open a bundle whose manifest was checked.

    Raises:
        SourceError: WB-E-083 when it is cut, changed or sealed to another hub.
    """
    if public_of(private).hex() != manifest.hub:
        raise _damaged("The bundle is sealed to another hub's key.", path)
    with path.open("rb") as file:
        file.readline(_MOST_LINE)
        content = file.read()
    if len(content) != manifest.sealed_bytes or sha256(content).hexdigest() != manifest.sealed_sha256:
        raise _damaged("The bundle is not whole: its length or hash is not what its first line says.", path)
    sealer = sealer_for(bytes.fromhex(manifest.sender), private, manifest.bound())
    plain = io.BytesIO()
    failed = sealer is None
    try:
        if sealer is not None:
            sealer.open(io.BytesIO(content), plain)
    except SafeError:
        failed = True
    if failed or len(plain.getbuffer()) != manifest.records * record_bytes():
        raise _damaged("The bundle does not open: its first line or its content was changed.", path)
    return _unpacked(plain.getbuffer(), manifest.records)


def _damaged(what: str, path: Path) -> SourceError:
    return SourceError("WB-E-083", what, f"file {path.name}")


def record_bytes() -> int:
    """Return how long one record is."""
    return sum(group.bits for group in GROUPS) // 8 + len(BLOCKS) * TOKEN_BYTES + 1


def _packed(records: Encoded) -> bytes:
    filters = [np.ascontiguousarray(records.filters[group.name]).tobytes() for group in GROUPS]
    return b"".join([*filters, records.tokens.astype("<u8").tobytes(), records.flags.tobytes()])


def _unpacked(plain: memoryview, count: int) -> Encoded:
    at = 0

    def taken(width: int, dtype: str) -> np.ndarray:
        nonlocal at
        size = count * width
        part = (
            np.frombuffer(plain[at : at + size], dtype).reshape(count, -1)
            if count
            else np.zeros((0, width), dtype)
        )
        at += size
        return part

    filters = {group.name: taken(group.bits // 8, "u1") for group in GROUPS}
    tokens = taken(len(BLOCKS) * TOKEN_BYTES, "<u8").astype(np.uint64)
    return Encoded(filters, tokens.reshape(count, len(BLOCKS)), taken(1, "u1").reshape(count))
