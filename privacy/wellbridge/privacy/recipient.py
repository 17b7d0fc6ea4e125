"""Sealing for one recipient by its public key: the sender cannot open what it sealed.

When the private key is destroyed nobody can, however many copies of the file there are. X25519 (RFC 7748) with a fresh
key of the sender for each file, HKDF-SHA256 (RFC 5869) over both public keys and what the file says of itself, then
``seal.Sealer``; the pattern of RFC 9180's base mode.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from wellbridge.privacy.derivation import hkdf
from wellbridge.privacy.seal import Sealer

KEY_BYTES: Final = 32
_PURPOSE: Final = b"wellbridge/recipient/v1|"


def new_private() -> bytes:
    """Draw a private key."""
    return X25519PrivateKey.generate().private_bytes_raw()


def public_of(private: bytes) -> bytes:
    """Return the public key that belongs to a private one."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def sealer_for(public: bytes, private: bytes, bound: bytes) -> Sealer | None:
    """Return the sealer of one file; the sender and the recipient find the same.

    Args:
        public: of the other side.
        private: of this side; the sender's is new for every file.
        bound: what the file says of itself in clear; changed, the file does not open.

    Returns:
        None where the public key is none.
    """
    own = public_of(private)
    try:
        shared = X25519PrivateKey.from_private_bytes(private).exchange(
            X25519PublicKey.from_public_bytes(public)
        )
    except ValueError:
        return None
    salt = b"".join(sorted((own, public)))
    return Sealer(hkdf(shared, KEY_BYTES, salt=salt, info=_PURPOSE + bound))
