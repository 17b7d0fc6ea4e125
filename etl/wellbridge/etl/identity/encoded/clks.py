"""Files of anonlink and CODI: filters as base64 in JSON, one file or a ZIP of one for each schema; and their matching.

Such filters are neither salted nor sealed: who holds the file and a list of names finds most of the children in it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import zipfile
import zlib
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wellbridge.etl.identity.encoded.filters import Filters, as_words, weights_of
from wellbridge.privacy.seal import wrote_new
from wellbridge.schemas.errors import ConfigurationError, SourceError, StoreError

_Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]

THRESHOLD: Final = 0.75  # CODI's, for its schemas of 4,096 bits
_MOST_BYTES: Final = 1 << 31
_MOST_MEMBERS: Final = 64
_AT_ONCE: Final = 1 << 18  # pairs compared at once, so that they stay in the processor's cache
_LEAST_SECRET: Final = 32  # hexadecimal digits, as CODI's tools ask for


def codi_key(secret: Path) -> bytes:
    """Return the key that CODI's tools encode children with, made from the shared secret's file.

    It is HMAC-SHA256 of the secret's text over the word "households" (data-owner-tools, ``garble.py``), as
    hexadecimal text.

    Raises:
        ConfigurationError: WB-E-089 when the file is no secret of at least 32 hexadecimal digits.
    """
    return hmac.new(read_secret(secret), b"households", sha256).hexdigest().encode()


def read_secret(path: Path) -> bytes:
    """Read a shared secret: hexadecimal text. Raises as ``codi_key``."""
    text = path.read_bytes() if path.is_file() and path.stat().st_size < 1 << 16 else b""
    digits = text.strip()
    if len(digits) < _LEAST_SECRET or digits.translate(None, b"0123456789abcdefABCDEF"):
        raise ConfigurationError(
            "WB-E-089", "The secret is missing, or not 32 or more hexadecimal digits.", f"file {path.name}"
        )
    return text


def write_clks(path: Path, filters: Filters) -> None:
    """Write filters as anonlink reads them: ``{"clks": [base64, …]}``, readable by their owner alone.

    Raises:
        StoreError: WB-E-050 when the file is there already or cannot be written.
    """
    text = json.dumps({"clks": [base64.b64encode(row.tobytes()).decode() for row in filters]})
    if not wrote_new(path, lambda file: file.write(text.encode())):
        raise StoreError(
            "WB-E-050",
            "The filters cannot be written: the file exists, or its folder does not.",
            f"file {path.name}",
            todo="Name a file that does not exist, in a folder that does",
        )


def read_clks(path: Path) -> dict[str, Filters]:
    """Read filters: name of the file, or of the ZIP's member, without its ending → filters.

    Raises:
        SourceError: WB-E-083 when it is no such file.
    """
    if not path.is_file():
        raise _damaged("There is no such file.", path)
    if not zipfile.is_zipfile(path):
        return {path.stem: _filters(path.read_bytes() if path.stat().st_size < _MOST_BYTES else b"", path)}
    try:
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if one.filename.endswith(".json")]
            whole = len(members) <= _MOST_MEMBERS and sum(one.file_size for one in members) <= _MOST_BYTES
            texts = {PurePosixPath(one.filename).stem: archive.read(one) for one in members} if whole else {}
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError, zlib.error):
        texts = {}
    if not texts:
        raise _damaged("The ZIP is damaged, too large, or holds no JSON.", path)
    return {name: _filters(text, path) for name, text in sorted(texts.items())}


def _filters(text: bytes, path: Path) -> Filters:
    try:
        said = json.loads(text)
        rows = [base64.b64decode(one, validate=True) for one in said["clks"]]
    except (ValueError, TypeError, KeyError, binascii.Error, RecursionError):
        rows = [b"", b"?"]
    if len({len(row) for row in rows}) > 1 or b"" in rows:
        raise _damaged("The file holds no list `clks` of filters of one length.", path)
    width = len(rows[0]) if rows else 1
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), width)


def _damaged(what: str, path: Path) -> SourceError:
    return SourceError("WB-E-083", what, f"file {path.name}", todo="Ask the partner to send it again")


def match(left: Filters, right: Filters, threshold: float = THRESHOLD) -> pl.DataFrame:
    """Link filters one to one, most alike first; of two equally alike the pair of lower rows, as anonlink does.

    Args:
        left: filters of one file.
        right: of the other, of the same length.
        threshold: least Dice coefficient of a link.

    Returns:
        ``left_row, right_row`` (from 1), ``dice``, sorted by row.
    """
    if len(left) and len(right) and left.shape[1] != right.shape[1]:
        raise SourceError("WB-E-087", "The two files' filters have different lengths.", "clks")
    found = _alike(left, right, threshold)
    order = np.lexsort((found[1], found[0], -found[2]))
    taken: tuple[set[int], set[int]] = (set(), set())
    links: list[tuple[int, int, float]] = []
    for a, b, dice in zip(*(column[order].tolist() for column in found), strict=True):
        if a not in taken[0] and b not in taken[1]:
            taken[0].add(a)
            taken[1].add(b)
            links.append((a + 1, b + 1, dice))
    schema = {"left_row": pl.Int64, "right_row": pl.Int64, "dice": pl.Float64}
    return pl.DataFrame(sorted(links), schema=schema, orient="row")


def _alike(left: Filters, right: Filters, threshold: float) -> _Found:
    """Compare all with all; return rows of left, rows of right and similarity of what reaches the threshold."""
    width = left.shape[1] if len(left) else right.shape[1]
    words = [as_words(side, width) for side in (left, right)]
    turned = np.ascontiguousarray(words[1].T)
    weights = [weights_of(side) for side in words]
    step = max(1, _AT_ONCE // max(1, len(words[1])))
    parts: list[_Found] = []
    for start in range(0, len(left), step):
        block = words[0][start : start + step]
        both = np.zeros((len(block), len(words[1])), np.int32)
        for one, other in zip(
            block.T, turned, strict=True
        ):  # word by word: nothing is summed over a short axis
            both += np.bitwise_count(one[:, None] & other)
        dice = 2 * both / np.maximum(weights[0][start : start + step, None] + weights[1][None, :], 1)
        a, b = np.nonzero(dice >= threshold)
        parts.append((a + start, b, dice[a, b]))
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    a, b, dice = (np.concatenate(column) for column in zip(*parts, strict=True))
    return a, b, dice
