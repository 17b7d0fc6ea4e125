"""Signatures of what is released, in the form of OpenSSH, so that everybody's ``ssh-keygen`` can make and check them.

A file ``NAME`` is signed beside it in ``NAME.sig`` (PROTOCOL.sshsig, Ed25519, SHA-512) under the namespace
``NAME@wellbridge``: a signature of a certificate is none of a manifest. By hand:
``ssh-keygen -Y check-novalidate -n manifest.json@wellbridge -s manifest.json.sig < manifest.json``.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wellbridge.privacy.seal import private_file, read_private
from wellbridge.privacy.tables.verifier import UNREADABLE, Violation, check_signature
from wellbridge.schemas.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_KIND: Final = b"ssh-ed25519"
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_WIDTH: Final = 70


@dataclass(frozen=True)
class Signer:
    """A private signing key.

    Attributes:
        public: its public half as one line, ``ssh-ed25519 AAAA… comment``, to be given to whoever checks.
    """

    _key: Ed25519PrivateKey
    public: str

    def sign(self, name: str, content: bytes) -> bytes:
        """Return the content of ``NAME.sig`` for a file of that name."""
        about = _strings(f"{name}@wellbridge".encode(), b"", b"sha512")
        signature = self._key.sign(b"SSHSIG" + about + _strings(hashlib.sha512(content).digest()))
        public = base64.b64decode(self.public.split()[1])
        blob = b"SSHSIG\0\0\0\1" + _strings(public) + about + _strings(_strings(_KIND, signature))
        text = base64.b64encode(blob).decode()
        lines = [text[at:at + _WIDTH] for at in range(0, len(text), _WIDTH)]
        return "\n".join([_BEGIN, *lines, _END, ""]).encode()


def new_signing_key(path: Path, owner: str = "wellbridge") -> Signer:
    """Make a signing key: the private half in ``path``, for its owner alone, the public one in ``path.pub``.

    Args:
        path: a file that does not exist.
        owner: whose key it is; the comment of the public half.
    """
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - few commands sign
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    key = Ed25519PrivateKey.generate()
    with private_file(path) as file:
        file.write(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption()))
    signer = _signer(key, owner)
    with private_file(path.with_name(f"{path.name}.pub")) as file:
        file.write(f"{signer.public}\n".encode())
    return signer


def read_signing_key(path: Path) -> Signer:
    """Read a signing key, made here or by ``ssh-keygen -t ed25519`` without a passphrase.

    Raises:
        StoreError: WB-E-050 when it is missing, WB-E-051 when others may read it, WB-E-052 when it is no such key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    content, key = read_private(path), None
    try:
        key = form.load_ssh_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise StoreError("WB-E-052", "The file is no Ed25519 signing key without a passphrase.", f"file {path.name}")
    return _signer(key, "wellbridge")


def signing_key(path: Path) -> Signer:
    """Read a signing key, made anew where there is none.

    Raises:
        ConfigurationError: WB-E-011 when it cannot be written there.
        StoreError: as ``read_signing_key`` does.
    """
    if path.exists():
        return read_signing_key(path)
    try:
        return new_signing_key(path)
    except OSError:
        pass
    raise ConfigurationError("WB-E-011", "A signing key cannot be made there.", f"--sign {path.name}")


def read_public_keys(path: Path) -> str:
    """Read a file of public keys, lines ``ssh-ed25519 AAAA… comment``; a line that begins otherwise is none.

    Raises:
        ConfigurationError: WB-E-011 when there is none, or it holds no such key.
    """
    text = ""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError:
        text = ""
    if not any(line.split()[:1] == [_KIND.decode()] for line in text.split("\n")):
        raise ConfigurationError("WB-E-011", "The file holds no public Ed25519 key.", f"--key {path.name}")
    return text


def origin(path: Path, keys: str | None) -> str:
    """Return in words who signed a file, for whoever checks it; empty where its signature is wrong."""
    try:
        public = check_signature(path, path.read_bytes(), None)
    except (Violation, *UNREADABLE):
        return ""
    if public is None:
        return "Not signed: this shows that the release is sound in itself, not whose it is."
    known = ". No key was given: nothing was changed since, whoever that is."
    if keys is not None:
        known = f", {'a' if _is_among(path, keys) else 'no'} key that was given."
    return f"Signed by {fingerprint(public)}{known}"


def _is_among(path: Path, keys: str) -> bool:
    try:
        return check_signature(path, path.read_bytes(), keys) is not None
    except (Violation, *UNREADABLE):
        return False


def fingerprint(public: str) -> str:
    """Return the fingerprint of a public key in base64, as ``ssh-keygen -l`` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(base64.b64decode(public)).digest()).decode().rstrip("=")


def _signer(key: Ed25519PrivateKey, owner: str) -> Signer:
    public = base64.b64encode(_strings(_KIND, key.public_key().public_bytes_raw())).decode()
    return Signer(key, f"{_KIND.decode()} {public} {'-'.join(owner.split())}")


def _strings(*parts: bytes) -> bytes:
    """Write strings as SSH does, each after its length (RFC 4251, 5)."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
