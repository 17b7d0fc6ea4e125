"""Keys made from keys: HKDF (RFC 5869), so that each use has a key of its own and none tells another."""

from __future__ import annotations

from typing import Final

_HASHES: Final = ("SHA256", "SHA512")


def hkdf(
    secret: bytes, length: int, *, info: bytes | None, salt: bytes | None = None, algorithm: str = "SHA256"
) -> bytes:
    """Derive ``length`` bytes from a secret.

    Args:
        secret: unpredictable input; a passphrase is none.
        length: bytes, at most 255 digests.
        info: what the key is for.
        salt: public and random, where there is one.
        algorithm: "SHA256" or "SHA512".
    """
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - what derives nothing imports nothing
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    if algorithm not in _HASHES:
        raise ValueError("an algorithm that is not known")
    return HKDF(getattr(hashes, algorithm)(), length, salt, info).derive(secret)
