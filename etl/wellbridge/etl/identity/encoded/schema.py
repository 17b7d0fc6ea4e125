"""Linkage schemas of clkhash, version 3: which column is cut how and sets how many bits.

Read as clkhash 0.18.3 reads them, so that a partner who encodes with it and one who encodes with us make the same
filters. ``doubleHash`` is refused, as CODI's own tools do. Source: clkhash ``schemas/v3.json`` and its manual.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from wellbridge.etl.identity.encoded.filters import TokenLists
from wellbridge.etl.identity.encoded.schema_values import encodable, is_whole, normaliser, tokeniser, wrong
from wellbridge.schemas.errors import ConfigurationError

_MAX_KEY: Final = 64  # bytes that BLAKE2b takes
_ENCODINGS: Final = ("ascii", "utf-8", "utf-16", "utf-32")
_HASHES: Final = ("SHA256", "SHA512")


@dataclass(frozen=True)
class Feature:
    """One column of a schema.

    Attributes:
        name: the column's ``identifier``.
        encoding: how its tokens become bytes.
        tokenise: cuts distinct values into tokens.
        bits: how many bits a token sets, or a whole value where ``is_per_value``.
        normalise: brings a value into its form, or returns None where the schema does not allow it.
        missing: what stands for a missing value, and what is hashed in its place.
    """

    name: str
    encoding: str
    tokenise: Callable[[Sequence[str]], TokenLists]
    bits: int
    is_per_value: bool
    normalise: Callable[[str], str | None]
    missing: tuple[str, str] | None

    def prepared(self, value: str) -> str | None:
        """Return what of a value is cut and hashed; None where the schema does not allow the value."""
        if self.missing is not None and value == self.missing[0]:
            return self.missing[1]
        return self.normalise(value)


@dataclass(frozen=True)
class LinkageSchema:
    """A schema that was read.

    Attributes:
        features: one per column of the file, None where the column is ignored.
        names: identifiers of all columns, ignored ones too.
        bits: length of a filter in the end.
        folds: how often a filter is folded on the way there.
        kdf: hash, salt, info and key size in bytes of the key derivation.
        sha256: of the schema's meaning: the same for two files that differ in blanks or order of keys alone.
    """

    features: tuple[Feature | None, ...]
    names: tuple[str, ...]
    bits: int
    folds: int
    kdf: tuple[str, bytes | None, bytes | None, int]
    sha256: str


def read_schema(path: Path) -> LinkageSchema:
    """Read a schema file.

    Raises:
        ConfigurationError: WB-E-080 when it hashes twice; WB-E-081 when it is no schema of version 3.
    """
    try:
        said = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise wrong("It is missing, or no JSON object.", path.name)
    return schema_from(said, path.name)


def schema_from(said: Mapping[str, Any], name: str) -> LinkageSchema:
    """Read a schema from its JSON object; ``name`` stands in messages. Raises as ``read_schema``."""
    if "doubleHash" in json.dumps(said):
        raise ConfigurationError("WB-E-080", "The schema asks for double hashing.", f"schema {name}")
    if said.get("version") != 3:
        raise wrong("Its version is not 3.", name)
    config, features = said.get("clkConfig"), said.get("features")
    if not isinstance(config, dict) or not isinstance(features, list) or not features:
        raise wrong("It has no clkConfig or no features.", name)
    bits, folds = config.get("l"), config.get("xor_folds", 0)
    if config.get("xorFolds"):
        raise wrong(
            "It says xorFolds, which clkhash 0.18.3 does not read; it reads xor_folds.", f"{name} · clkConfig"
        )
    if not is_whole(bits, 8) or not is_whole(folds, 0) or bits & (bits - 1):
        raise wrong("The length of a filter must be a power of two from 8 on.", f"{name} · clkConfig")
    kdf = _kdf(config.get("kdf"), name)
    read = tuple(_feature(one, f"{name} · feature {number}") for number, one in enumerate(features, 1))
    meaning = json.dumps(said, sort_keys=True, separators=(",", ":"))
    names = tuple(str(one["identifier"]) for one in features)
    return LinkageSchema(read, names, bits, folds, kdf, sha256(meaning.encode()).hexdigest())


def _kdf(said: Any, name: str) -> tuple[str, bytes | None, bytes | None, int]:
    where = f"{name} · kdf"
    if not isinstance(said, dict) or said.get("type") != "HKDF" or said.get("hash", "SHA256") not in _HASHES:
        raise wrong("Keys are derived by HKDF with SHA256 or SHA512.", where)
    size = said.get("keySize", _MAX_KEY)
    if not is_whole(size, 1) or size > _MAX_KEY:
        raise wrong("A key has 1 to 64 bytes.", where)
    given: dict[str, bytes | None] = {}
    for part in ("salt", "info"):
        try:
            given[part] = base64.b64decode(said[part], validate=True) if part in said else None
        except (binascii.Error, ValueError, TypeError):
            given[part] = b"\0broken"
    if b"\0broken" in given.values():
        raise wrong("Salt and info are base64.", where)
    return said.get("hash", "SHA256"), given["salt"], given["info"], size


def _feature(said: Any, where: str) -> Feature | None:
    if not isinstance(said, dict) or not isinstance(said.get("identifier"), str):
        raise wrong("A feature has no identifier.", where)
    if said.get("ignored", False):
        return None
    shape, hashing = said.get("format"), said.get("hashing")
    if not isinstance(shape, dict) or not isinstance(hashing, dict):
        raise wrong("A feature has no format or no hashing.", where)
    if hashing.get("hash", {"type": "blakeHash"}) != {"type": "blakeHash"}:
        raise wrong("A feature is hashed by blakeHash alone.", where)
    encoding = shape.get("encoding", "utf-8") if shape.get("type") == "string" else "utf-8"
    strategy = hashing.get("strategy")
    known = [
        key for key in ("bitsPerToken", "bitsPerFeature") if isinstance(strategy, dict) and key in strategy
    ]
    if (
        encoding not in _ENCODINGS
        or not isinstance(strategy, dict)
        or not known
        or not is_whole(strategy[known[0]], 1)
    ):
        raise wrong("The encoding or the strategy is not known.", where)
    return Feature(
        said["identifier"],
        encoding,
        tokeniser(hashing.get("comparison"), where),
        strategy[known[0]],
        known[0] == "bitsPerFeature",
        partial(encodable, encoding, normaliser(shape, hashing, where)),
        _missing(hashing.get("missingValue"), where),
    )


def _missing(said: Any, where: str) -> tuple[str, str] | None:
    if said is None:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("sentinel"), str):
        raise wrong("missingValue has no sentinel.", where)
    instead = said.get("replaceWith")
    return said["sentinel"], said["sentinel"] if instead is None else str(instead)
