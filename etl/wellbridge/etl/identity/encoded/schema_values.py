"""What a column of a clkhash schema may hold, the form in which it is hashed, and the tokens it is cut into."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeGuard

from wellbridge.etl.identity.encoded.filters import TokenLists, listed, ngrams, whole
from wellbridge.schemas.errors import ConfigurationError

_MOST_PRECISE: Final = 300  # digits; a float has no more


def tokeniser(said: Any, where: str) -> Callable[[Sequence[str]], TokenLists]:
    """Return the function of a schema's ``comparison``; ``where`` stands in messages."""
    kind = said.get("type") if isinstance(said, dict) else None
    if kind == "ngram" and is_whole(said.get("n"), 1):
        return _positional(said["n"]) if said.get("positional") else partial(ngrams, n=said["n"])
    if kind == "exact":
        return whole
    if kind == "numeric":
        return _numeric(said, where)
    raise wrong("A comparison is ngram, exact or numeric.", where)


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
    if (
        not is_number
        or not is_whole(resolution, 1)
        or not is_whole(precision, 0)
        or precision > _MOST_PRECISE
    ):
        raise wrong("A numeric comparison has a distance above 0 and a resolution from 1 on.", where)
    step = round(distance * 10**precision)
    if not step:
        raise wrong("The precision is too small for the distance.", where)

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


def encodable(encoding: str, normalise: Callable[[str], str | None], value: str) -> str | None:
    """Return the form of a value that the encoding can write; None for another."""
    try:
        value.encode(encoding)
    except UnicodeEncodeError:
        return None
    return normalise(value)


def normaliser(
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
    raise wrong("A format is string, integer, date or enum, with what belongs to it.", where)


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
            raise wrong("A pattern is no regular expression.", where)
    case, least, most = shape.get("case", "mixed"), shape.get("minLength"), shape.get("maxLength")
    if case not in {"lower", "upper", "mixed"}:
        raise wrong("A case is lower, upper or mixed.", where)

    def normalised(value: str) -> str | None:
        if pattern is not None:
            return value if pattern.fullmatch(value) else None
        fits = (least is None or len(value) >= least) and (most is None or len(value) <= most)
        cased = case == "mixed" or value == (value.upper() if case == "upper" else value.lower())
        return value if fits and cased else None

    return normalised


def is_whole(value: Any, least: int) -> TypeGuard[int]:
    """Tell whether a value of a JSON file is a whole number from ``least`` on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def wrong(what: str, where: str) -> ConfigurationError:
    """Return the refusal of a schema."""
    return ConfigurationError("WB-E-081", f"The linkage schema cannot be used. {what}", f"schema {where}")
