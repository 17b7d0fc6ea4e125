"""Short texts sealed one by one, each under a key of its own: nonce (12 bytes), then what AES-256-GCM made of it.

A nonce is random, which is sound as long as a key seals far fewer than 2^32 texts (NIST SP 800-38D, 8.3).
"""

from __future__ import annotations

import hmac
import os
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16


class Envelope:
    """Seals and opens texts under one key of 256 bits."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, plain: bytes, bound: bytes) -> bytes:
        """Seal a text; ``bound`` says what it belongs to and must be said again to open it."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plain, bound)

    def open(self, sealed: bytes, bound: bytes) -> bytes | None:
        """Return the plain text; None when a byte was changed, or key or ``bound`` are others."""
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
        except (InvalidTag, ValueError):
            return None


def subkey(key: bytes, purpose: str) -> bytes:
    """Derive a key of 256 bits for one purpose: HKDF-SHA256 (RFC 5869) without salt, one block."""
    extracted = hmac.digest(bytes(32), key, sha256)
    return hmac.digest(extracted, purpose.encode() + b"\x01", sha256)
