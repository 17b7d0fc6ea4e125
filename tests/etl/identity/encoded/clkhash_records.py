"""Schemas and invented records whose filters clkhash 0.18.3 made; both sides make the records anew from a number.

Nothing but the standard library: ``clkhash_vectors.py`` runs this in clkhash's own environment.
"""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import Any, Final

COUNT: Final = 1_000  # records per schema of ours
CODI_COUNT: Final = 500  # records per schema of CODI
CODI: Final = ("addr", "parents", "phone", "zip")
CODI_COLUMNS: Final = (
    "record_id",
    "given_name",
    "family_name",
    "DOB",
    "sex",
    "phone_number",
    "household_street_address",
    "household_zip",
    "parent_given_name",
    "parent_family_name",
    "parent_email",
)
DIGEST_BYTES: Final = 8

_SYLLABLES: Final = "ba be da do el fi ga ha is jo ka li ma na or pe qui ro sa ti un va wen xa yo zu".split()  # noqa: SIM905
_ODD: Final = ("é", "ñ", "ü", "ß", "Ł", "ø", "’", "-", " ", "'", "李", "ع", "Ж", "ǅ", "🙂", "\u0301", ".")


def _draw(*parts: object) -> int:
    return int.from_bytes(sha256("|".join(map(str, parts)).encode()).digest()[:8], "big")


def _word(*parts: object) -> str:
    draw = _draw(*parts)
    text = "".join(_SYLLABLES[_draw(*parts, i) % len(_SYLLABLES)] for i in range(1 + draw % 4))
    if draw % 7 == 0:
        odd = _ODD[draw // 7 % len(_ODD)]
        text = text[:2] + odd + text[2:]
    return text.title() if draw % 3 else text


def _ascii(*parts: object) -> str:
    draw = _draw(*parts)
    return "".join(_SYLLABLES[_draw(*parts, i) % len(_SYLLABLES)] for i in range(1 + draw % 3)).upper()


def _date(form: str, *parts: object) -> str:
    draw = _draw(*parts)
    year, month, day = 1998 + draw % 25, 1 + draw // 25 % 12, 1 + draw // 300 % 28
    return form.replace("%Y", f"{year:04}").replace("%m", f"{month:02}").replace("%d", f"{day:02}")


def _digits(count: int, *parts: object) -> str:
    return f"{_draw(*parts) % 10**count:0{count}}"


def value(kind: str, schema: str, row: int, column: int) -> str:
    """Return the invented value of one cell."""
    where = (schema, row, column)
    draw = _draw("how", *where)
    if kind == "word":
        return "" if draw % 29 == 0 else _word(*where)
    if kind == "words":
        return f"{_draw(*where) % 9999} {_word('street', *where)} {'Ave' if draw % 2 else 'st'}"
    if kind == "ascii":
        return _ascii(*where)
    if kind == "sex":
        return ("F", "M", "A", "NI", "UN", "OT", "")[draw % 7]
    if kind == "phone":
        return "" if draw % 5 == 0 else _digits(10, *where)
    if kind == "zip":
        return _digits(5, *where)
    if kind == "integer":
        return ("+{}", " {}", "{} ", "-{}", "{}", "0{}")[draw % 6].format(_draw(*where) % 5000)
    if kind == "decimal":
        return f"{_draw(*where) % 10**6 / 997:.{draw % 4}f}"
    return _date(kind, *where)


def _feature(name: str, shape: dict[str, Any], comparison: dict[str, Any], **more: Any) -> dict[str, Any]:
    per, bits = (
        ("bitsPerFeature", more.pop("feature")) if "feature" in more else ("bitsPerToken", more.pop("token"))
    )
    hashing = {"strategy": {per: bits}, "comparison": comparison, **more}
    return {"identifier": name, "format": shape, "hashing": hashing}


def _schema(
    bits: int, features: list[dict[str, Any]], kdf: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "version": 3,
        "clkConfig": {"l": bits, "kdf": {"type": "HKDF", **(kdf or {})}, **more},
        "features": features,
    }


def _ngram(n: int, *, positional: bool = False) -> dict[str, Any]:
    return {"type": "ngram", "n": n, "positional": positional}


_TEXT: Final = {"type": "string", "encoding": "utf-8"}
_BLAKE: Final = {"hash": {"type": "blakeHash"}}
_IGNORED: Final = {"identifier": "id", "ignored": True}
_SALT: Final = base64.b64encode(b"a public salt").decode()

# name → (schema, kinds of its columns)
SCHEMAS: Final[dict[str, tuple[dict[str, Any], tuple[str, ...]]]] = {
    "names": (
        _schema(
            1024,
            [
                _IGNORED,
                _feature("first", _TEXT, _ngram(2), token=20, **_BLAKE),
                _feature("last", _TEXT, {"type": "ngram", "n": 2}, token=20),
            ],
        ),
        ("zip", "word", "word"),
    ),
    "weights": (
        _schema(
            1024,
            [
                _feature("first", _TEXT, _ngram(2), feature=301),
                _feature("last", _TEXT, _ngram(3), feature=97),
                _feature("both", _TEXT, _ngram(1), feature=3),
            ],
        ),
        ("word", "words", "word"),
    ),
    "positions": (
        _schema(
            512,
            [
                _feature("zip", _TEXT, _ngram(1, positional=True), token=33),
                _feature(
                    "phone",
                    _TEXT,
                    _ngram(2, positional=True),
                    feature=200,
                    missingValue={"sentinel": "", "replaceWith": "none"},
                ),
            ],
        ),
        ("zip", "phone"),
    ),
    "dates": (
        _schema(
            1024,
            [
                _feature(
                    "born", {"type": "date", "format": "%Y-%m-%d"}, _ngram(1, positional=True), token=25
                ),
                _feature("seen", {"type": "date", "format": "%d/%m/%Y"}, {"type": "exact"}, token=70),
            ],
        ),
        ("%Y-%m-%d", "%d/%m/%Y"),
    ),
    "numbers": (
        _schema(
            2048,
            [
                _feature(
                    "n",
                    {"type": "integer", "minimum": -9999},
                    {"type": "numeric", "thresholdDistance": 50, "resolution": 4},
                    token=11,
                ),
                _feature(
                    "x",
                    _TEXT,
                    {"type": "numeric", "thresholdDistance": 2.5, "resolution": 5, "fractional_precision": 2},
                    feature=130,
                ),
                _feature("same", {"type": "integer"}, {"type": "exact"}, feature=40),
            ],
        ),
        ("integer", "decimal", "integer"),
    ),
    "folded": (
        _schema(
            512,
            [_feature("first", _TEXT, _ngram(2), token=15), _feature("last", _TEXT, _ngram(2), token=15)],
            xor_folds=2,
        ),
        ("word", "word"),
    ),
    "derived": (
        _schema(
            1024,
            [
                _feature("first", {"type": "string", "case": "upper"}, _ngram(2), token=31),
                _IGNORED,
                _feature(
                    "sex",
                    {"type": "enum", "values": ["A", "F", "M", "NI", "UN", "OT"]},
                    _ngram(1),
                    feature=200,
                    missingValue={"sentinel": ""},
                ),
            ],
            {"hash": "SHA512", "salt": _SALT, "info": base64.b64encode(b"epoch 3").decode(), "keySize": 32},
        ),
        ("ascii", "zip", "sex"),
    ),
    "wide": (
        _schema(
            1024,
            [
                _feature("first", {"type": "string", "encoding": "utf-16"}, _ngram(2), token=20),
                _feature("last", {"type": "string", "encoding": "utf-32"}, _ngram(4), token=7),
            ],
        ),
        ("word", "words"),
    ),
    "patterns": (
        _schema(
            64,
            [
                _feature("zip", {"type": "string", "pattern": "[0-9]{5}"}, _ngram(2), token=2),
                _feature("street", {"type": "string", "maxLength": 60}, _ngram(2), token=1),
            ],
        ),
        ("zip", "words"),
    ),
    "short": (
        _schema(
            8,
            [
                _feature("first", _TEXT, _ngram(2), token=1),
                _feature("last", _TEXT, {"type": "exact"}, token=1),
            ],
        ),
        ("word", "word"),
    ),
}
CODI_KINDS: Final = (
    "zip",
    "word",
    "word",
    "%Y-%m-%d",
    "sex",
    "phone",
    "words",
    "zip",
    "word",
    "word",
    "word",
)


def secret(name: str) -> str:
    """Return the secret of one schema's vectors."""
    return sha256(f"not a secret: {name}".encode()).hexdigest()


def rows(name: str, kinds: tuple[str, ...], count: int) -> list[list[str]]:
    """Return the invented records of one schema."""
    return [[value(kind, name, row, column) for column, kind in enumerate(kinds)] for row in range(count)]
