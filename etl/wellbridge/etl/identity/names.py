"""Rules for names: folding, parts, suffixes, particles, placeholders and nicknames.

Every rule works on distinct values: a district has a hundred times fewer names than records.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Final

import polars as pl

# Letters that NFKD leaves whole.
_LETTERS: Final = {
    "ß": "ss",
    "ø": "o",
    "æ": "ae",
    "œ": "oe",
    "ł": "l",
    "đ": "d",
    "ð": "d",
    "þ": "th",
    "ı": "i",
}
# UTF-8 that was read as Latin-1 or Windows-1252.
_MOJIBAKE: Final = "[ÃÂÄÅ][\u0080-\u00bf\u0152-\u0192\u2010-\u2122]"
_SUFFIXES: Final = {"jr": "jr", "sr": "sr", "2nd": "ii", "3rd": "iii", "ii": "ii", "iii": "iii", "iv": "iv"}
_PARTICLES: Final = "de|del|la|las|los|da|do|dos|das|di|della|van|von|der|den|ter|el|al|bin|bint|ibn|y|e"
# A name of such words alone is none. A hard word is never a name; a soft one may be a family's.
_HARD: Final = (
    "test|tester|testing|unknown|unk|unnamed|noname|fnu|lnu|nfn|null|none|infant|newborn|x{2,}|z{3,}|[0-9]+"
)
_SOFT: Final = (
    "student|patient|baby|boy|girl|male|female|name|no|not|first|last|sample|dummy|fake|person|user|child"
)


def per_value(values: pl.Series, rule: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Apply a rule to the distinct values of a column."""
    distinct = values.unique()
    if distinct.len() * 2 > values.len():
        return rule(values)
    frame = pl.DataFrame({"value": distinct, "found": rule(distinct)})
    return values.to_frame("value").join(
        frame, on="value", how="left", nulls_equal=True, maintain_order="left"
    )["found"]


def fold(text: pl.Series) -> pl.Series:
    """Return lower case letters and digits in words: accents, punctuation and broken encodings gone, "" as null.

    An apostrophe joins ("o'brien" is "obrien"), anything else divides ("garcia-lopez" is "garcia lopez").
    """
    broken = text.str.contains(_MOJIBAKE)
    if broken.any():
        mended = pl.Series([_mended(value) for value in text.filter(broken)], dtype=pl.String)
        text = text.clone().scatter(broken.arg_true(), mended)
    folded = (
        text.str.normalize("NFKD")
        .str.to_lowercase()
        .str.replace_all(r"[\p{M}'’‘ʻ`´]", "")
        .str.replace_many(_LETTERS)
        .str.replace_all(r"[^\p{L}\p{N}]+", " ")
        .str.strip_chars()
    )
    return pl.select(pl.when(folded != "").then(folded)).to_series()


def _mended(value: str) -> str:
    """Undo UTF-8 read as a single-byte encoding, where undoing it gives text."""
    for encoding in ("latin-1", "cp1252"):
        try:
            return unicodedata.normalize("NFC", value.encode(encoding).decode("utf-8"))
        except UnicodeError:
            continue
    return value


def without_placeholders(first: pl.Series, last: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return folded first and last names, null where the words are no name: "test student", "baby boy", "unknown"."""
    no_name = f"{_HARD}|{_SOFT}"
    hard = [
        per_value(first, _is_all_of(f"{_HARD}|baby|babyboy|babygirl")),
        per_value(last, _is_all_of(_HARD)),
    ]
    soft = [per_value(names, _is_all_of(no_name)) for names in (first, last)]
    many = [per_value(names, lambda distinct: distinct.str.contains(" ")) for names in (first, last)]
    dropped = [hard[i] | (soft[i] & (many[i] | hard[1 - i] | (soft[0] & soft[1]))) for i in (0, 1)]
    kept = [
        pl.select(pl.when(~drop.fill_null(False)).then(names)).to_series()
        for names, drop in zip((first, last), dropped, strict=True)
    ]
    return kept[0], kept[1]


def _is_all_of(words: str) -> Callable[[pl.Series], pl.Series]:
    """Return a rule that tells whether every word of a name is one of these."""

    def rule(names: pl.Series) -> pl.Series:
        return names.str.contains(f"^(?:{words})(?: (?:{words}))*$").fill_null(False)

    return rule


def split_suffix(names: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return names without a generation's suffix, and the suffix in one form; a name of it alone stays."""
    found = per_value(names, lambda distinct: distinct.str.extract(rf"\S (({'|'.join(_SUFFIXES)}))$", 1))
    bare = per_value(names, lambda distinct: distinct.str.replace(rf"(\S) (?:{'|'.join(_SUFFIXES)})$", "$1"))
    return bare, found.replace(_SUFFIXES)


def without_particles(names: pl.Series) -> pl.Series:
    """Return surnames without "de la", "van" and the like; what consists of them alone stays."""

    def rule(distinct: pl.Series) -> pl.Series:
        doubled = " " + distinct.str.replace_all(" ", "  ") + " "
        left = (
            doubled.str.replace_all(rf" (?:{_PARTICLES}) ", " ").str.replace_all(" +", " ").str.strip_chars()
        )
        return pl.select(pl.when(left != "").then(left).otherwise(distinct)).to_series()

    return per_value(names, rule)


def parts(names: pl.Series, *, in_order: bool) -> pl.Series:
    """Return the words of each name as a list, sorted where their order says nothing."""

    def rule(distinct: pl.Series) -> pl.Series:
        words = distinct.str.split(" ")
        return words if in_order else words.list.sort()

    return per_value(names, rule)


def split_full_name(full: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return the first and the last name of a name in one column: "Last, First Middle" or "First Middle Last".

    Without a comma everything after the first word is taken for surnames, initials apart: a middle name among the
    surnames does little harm, because they are compared part by part, and a surname that is lost does much.
    """
    suffixes = "|".join(_SUFFIXES)
    turned = full.str.replace(rf"(?i),\s*({suffixes})\.?\s*$", " $1").str.extract_groups(
        r"^(?P<last>[^,]*\S),\s*(?P<first>\S[^,]*)"
    )
    last, first = (fold(turned.struct.field(name)) for name in ("last", "first"))
    folded = fold(full)
    rest = folded.str.extract(r"^\S+ (.+)$", 1)
    named = pl.DataFrame(
        {"first": first, "last": last, "head": folded.str.extract(r"^(\S+)", 1), "rest": rest}
    )
    named = named.with_columns(pl.col("rest").str.replace_all(r"^(?:\w )+(\S)", "$1"))
    has_comma = pl.col("last").is_not_null()
    return (
        named.select(pl.when(has_comma).then("first").otherwise("head")).to_series(),
        named.select(pl.when(has_comma).then("last").otherwise("rest")).to_series(),
    )


@cache
def nicknames() -> dict[str, tuple[str, ...]]:
    """Return every known name with the full names that it may stand for, the likeliest first.

    Own compilation of English and Spanish short forms in common use in the United States; a name stands for itself.
    """
    text = files("wellbridge.etl.identity").joinpath("nicknames.csv").read_text("utf-8")
    found: dict[str, list[str]] = {}
    for row in csv.DictReader(text.splitlines()):
        found.setdefault(row["name"], []).insert(0, row["name"])
        for short in (row["nicknames"] or "").split():
            found.setdefault(short, []).append(row["name"])
    return {name: tuple(dict.fromkeys(roots)) for name, roots in found.items()}


def nickname_roots(first_parts: pl.Series) -> pl.Series:
    """Return the full names that each first name may stand for; the name itself where none is known."""

    def rule(distinct: pl.Series) -> pl.Series:
        return distinct.replace({name: " ".join(full) for name, full in nicknames().items()}).str.split(" ")

    return per_value(first_parts, rule)
