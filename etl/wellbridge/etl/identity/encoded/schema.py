"""Linkage schemas of clkhash, version 3: which column is cut how and sets how many bits.

Read as clkhash 0.18.3 reads them, so that a partner who encodes with it and one who encodes with us make the same
filters. ``doubleHash`` is refused, as CODI's own tools do. Source: clkhash ``schemas/v3.json`` and its manual.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeGuard

from wellbridge.etl.identity.encoded.filters import TokenLists, listed, ngrams
from wellbridge.schemas.errors import ConfigurationError

_MAX_KEY: Final = 64  # bytes that BLAKE2b takes
_MOST_PRECISE: Final = 300  # digits; a float has no more
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
        raise _wrong("It is missing, or no JSON object.", path.name)
    return schema_from(said, path.name)


def schema_from(said: Mapping[str, Any], name: str) -> LinkageSchema:
    """Read a schema from its JSON object; ``name`` stands in messages. Raises as ``read_schema``."""
    if "doubleHash" in json.dumps(said):
        raise ConfigurationError("WB-E-080", "The schema asks for double hashing.", f"schema {name}")
    if said.get("version") != 3:
        raise _wrong("Its version is not 3.", name)
    config, features = said.get("clkConfig"), said.get("features")
    if not isinstance(config, dict) or not isinstance(features, list) or not features:
        raise _wrong("It has no clkConfig or no features.", name)
    bits, folds = config.get("l"), config.get("xor_folds", 0)
    if config.get("xorFolds"):
        raise _wrong(
            "It says xorFolds, which clkhash 0.18.3 does not read; it reads xor_folds.", f"{name} · clkConfig"
        )
    if not _whole(bits, 8) or not _whole(folds, 0) or bits & (bits - 1):
        raise _wrong("The length of a filter must be a power of two from 8 on.", f"{name} · clkConfig")
    kdf = _kdf(config.get("kdf"), name)
    read = tuple(_feature(one, f"{name} · feature {number}") for number, one in enumerate(features, 1))
    meaning = json.dumps(said, sort_keys=True, separators=(",", ":"))
    names = tuple(str(one["identifier"]) for one in features)
    return LinkageSchema(read, names, bits, folds, kdf, sha256(meaning.encode()).hexdigest())


def _kdf(said: Any, name: str) -> tuple[str, bytes | None, bytes | None, int]:
    where = f"{name} · kdf"
    if not isinstance(said, dict) or said.get("type") != "HKDF" or said.get("hash", "SHA256") not in _HASHES:
        raise _wrong("Keys are derived by HKDF with SHA256 or SHA512.", where)
    size = said.get("keySize", _MAX_KEY)
    if not _whole(size, 1) or size > _MAX_KEY:
        raise _wrong("A key has 1 to 64 bytes.", where)
    given: dict[str, bytes | None] = {}
    for part in ("salt", "info"):
        try:
            given[part] = base64.b64decode(said[part], validate=True) if part in said else None
        except (binascii.Error, ValueError, TypeError):
            given[part] = b"\0broken"
    if b"\0broken" in given.values():
        raise _wrong("Salt and info are base64.", where)
    return said.get("hash", "SHA256"), given["salt"], given["info"], size


def _feature(said: Any, where: str) -> Feature | None:
    if not isinstance(said, dict) or not isinstance(said.get("identifier"), str):
        raise _wrong("A feature has no identifier.", where)
    if said.get("ignored", False):
        return None
    shape, hashing = said.get("format"), said.get("hashing")
    if not isinstance(shape, dict) or not isinstance(hashing, dict):
        raise _wrong("A feature has no format or no hashing.", where)
    if hashing.get("hash", {"type": "blakeHash"}) != {"type": "blakeHash"}:
        raise _wrong("A feature is hashed by blakeHash alone.", where)
    encoding = shape.get("encoding", "utf-8") if shape.get("type") == "string" else "utf-8"
    strategy = hashing.get("strategy")
    known = [
        key for key in ("bitsPerToken", "bitsPerFeature") if isinstance(strategy, dict) and key in strategy
    ]
    if (
        encoding not in _ENCODINGS
        or not isinstance(strategy, dict)
        or not known
        or not _whole(strategy[known[0]], 1)
    ):
        raise _wrong("The encoding or the strategy is not known.", where)
    return Feature(
        said["identifier"],
        encoding,
        _tokeniser(hashing.get("comparison"), where),
        strategy[known[0]],
        known[0] == "bitsPerFeature",
        partial(_encodable, encoding, _normaliser(shape, hashing, where)),
        _missing(hashing.get("missingValue"), where),
    )


def _missing(said: Any, where: str) -> tuple[str, str] | None:
    if said is None:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("sentinel"), str):
        raise _wrong("missingValue has no sentinel.", where)
    instead = said.get("replaceWith")
    return said["sentinel"], said["sentinel"] if instead is None else str(instead)


def _tokeniser(said: Any, where: str) -> Callable[[Sequence[str]], TokenLists]:
    kind = said.get("type") if isinstance(said, dict) else None
    if kind == "ngram" and _whole(said.get("n"), 1):
        return _positional(said["n"]) if said.get("positional") else partial(ngrams, n=said["n"])
    if kind == "exact":
        return lambda values: listed([[value] if value else [] for value in values])
    if kind == "numeric":
        return _numeric(said, where)
    raise _wrong("A comparison is ngram, exact or numeric.", where)


def _positional(n: int) -> Callable[[Sequence[str]], TokenLists]:
    pad = " " * (n - 1)

    def cut(value: str) -> list[str]:
        text = f"{pad}{value}{pad}"
        return [f"{i + 1} {text[i : i + n]}" for i in range(len(text) - n + 1)] if value else []

    return lambda values: listed([cut(value) for value in values])


def _numeric(said: Mapping[str, Any], where: str) -> Callable[[Sequence[str]], TokenLists]:
    """Cut a number into its neighbourhood on a grid (Vatsalan and Christen 2015)."""
    distance, resolution = said.get("thresholdDistance"), said.get("resolution")
    precision = said.get("fractional_precision", 0)
    is_number = (
        isinstance(distance, int | float) and not isinstance(distance, bool) and 0 < distance < math.inf
    )
    if not is_number or not _whole(resolution, 1) or not _whole(precision, 0) or precision > _MOST_PRECISE:
        raise _wrong("A numeric comparison has a distance above 0 and a resolution from 1 on.", where)
    step = round(distance * 10**precision)
    if not step:
        raise _wrong("The precision is too small for the distance.", where)

    def cut(value: str) -> list[str]:
        if not value:
            return []
        number = _scaled(value, precision) * 2 * resolution
        residue = number % step
        if residue:
            number += -residue if residue < step / 2 else step - residue
        return [str(number + i * step) for i in range(-resolution, resolution + 1)]

    return lambda values: listed([cut(value) for value in values])


def _scaled(value: str, precision: int) -> int:
    whole, factor = _integer(value), int(10**precision)
    if whole is not None:
        return whole * factor
    return round(float(value) * factor) if precision else int(float(value))


def _integer(value: str) -> int | None:
    try:
        return int(value)
    except ValueError:
        return None


def _encodable(encoding: str, normalise: Callable[[str], str | None], value: str) -> str | None:
    try:
        value.encode(encoding)
    except UnicodeEncodeError:
        return None
    return normalise(value)


def _normaliser(
    shape: Mapping[str, Any], hashing: Mapping[str, Any], where: str
) -> Callable[[str], str | None]:
    """Return the function that checks a value against its format and brings it into the form that is hashed."""
    normalised = _by_format(shape, where)
    if hashing["comparison"]["type"] != "numeric":
        return normalised
    return lambda value: normalised(value) if value == "" or _is_finite(value) else None


def _is_finite(value: str) -> bool:
    try:
        return math.isfinite(float(value))
    except (ValueError, OverflowError):
        return False


def _by_format(shape: Mapping[str, Any], where: str) -> Callable[[str], str | None]:
    kind = shape.get("type")
    if kind == "enum" and isinstance(shape.get("values"), list):
        allowed = frozenset(shape["values"])
        return lambda value: value if value in allowed else None
    if kind == "integer":
        least, most = shape.get("minimum"), shape.get("maximum")
        return partial(_whole_number, least, most)
    if kind == "date" and isinstance(shape.get("format"), str):
        return partial(_day, shape["format"])
    if kind == "string":
        return _text(shape, where)
    raise _wrong("A format is string, integer, date or enum, with what belongs to it.", where)


def _whole_number(least: int | None, most: int | None, value: str) -> str | None:
    number = _integer(value)
    if number is None or (least is not None and number < least) or (most is not None and number > most):
        return None
    return str(number)


def _day(form: str, value: str) -> str | None:
    try:
        return datetime.strptime(value, form).strftime("%Y%m%d")
    except ValueError:
        return None


def _text(shape: Mapping[str, Any], where: str) -> Callable[[str], str | None]:
    pattern = None
    if "pattern" in shape:
        try:
            pattern = re.compile(shape["pattern"])
        except (re.error, TypeError):
            pattern = None
        if pattern is None:
            raise _wrong("A pattern is no regular expression.", where)
    case, least, most = shape.get("case", "mixed"), shape.get("minLength"), shape.get("maxLength")
    if case not in {"lower", "upper", "mixed"}:
        raise _wrong("A case is lower, upper or mixed.", where)

    def normalised(value: str) -> str | None:
        if pattern is not None:
            return value if pattern.fullmatch(value) else None
        fits = (least is None or len(value) >= least) and (most is None or len(value) <= most)
        cased = case == "mixed" or value == (value.upper() if case == "upper" else value.lower())
        return value if fits and cased else None

    return normalised


def _whole(value: Any, least: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _wrong(what: str, where: str) -> ConfigurationError:
    return ConfigurationError("WB-E-081", f"The linkage schema cannot be used. {what}", f"schema {where}")
