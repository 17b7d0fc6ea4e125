"""Rules for where a child can be found: address, ZIP code and phone.

Source: street suffixes, directions and unit designators after USPS Publication 28 (appendices B and C), the words
that school and clinic systems write.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from wellbridge.etl.identity.names import fold

_WORDS: Final[dict[str, str]] = {
    word: short
    for short, words in {
        "aly": "alley allee", "ave": "avenue av aven avn avnue", "blvd": "boulevard boul boulv", "bnd": "bend",
        "cir": "circle circ crcl", "cv": "cove", "crk": "creek", "cres": "crescent crsnt", "xing": "crossing",
        "ct": "court crt", "cts": "courts", "dr": "drive drv driv", "est": "estate", "ests": "estates",
        "expy": "expressway expr", "ext": "extension", "fwy": "freeway frwy", "grv": "grove", "hbr": "harbor",
        "hts": "heights", "hwy": "highway hiway", "holw": "hollow", "jct": "junction", "lk": "lake", "ldg": "landing",
        "ln": "lane", "loop": "loops", "mnr": "manor", "mdws": "meadows", "mt": "mount", "mtn": "mountain",
        "pkwy": "parkway pky pkway", "pl": "place", "plz": "plaza", "pt": "point", "rdg": "ridge", "rd": "road",
        "rte": "route", "sq": "square", "st": "street str strt",
        "ter": "terrace terr", "trl": "trail", "tpke": "turnpike",
        "vw": "view", "vlg": "village", "vis": "vista", "way": "wy",
        "n": "north", "s": "south", "e": "east", "w": "west",
        "ne": "northeast", "nw": "northwest", "se": "southeast", "sw": "southwest",
        "#": "apt apartment unit suite ste room rm lot trlr trailer spc space fl floor bldg building no number",
    }.items()
    for word in words.split()
}  # fmt: skip
_PATTERNS: Final = {f" {word} ": f" {short} " for word, short in _WORDS.items()}
_NO_ADDRESS: Final = (
    r"^(?:unknown|unk|none|null|same|n a|na|homeless|no (?:fixed )?(?:address|home)|general delivery|transient|tbd"
    r"|x+|0+|9{3,})(?: |$)"
)


def address_key(addresses: pl.Series) -> pl.Series:
    """Return one form of each street address: words as USPS abbreviates them, a unit behind "#".

    Null where it is no place ("homeless", "unknown") or too short to tell one home from another.
    """
    if addresses.dtype != pl.String or addresses.null_count() == addresses.len():
        return addresses.cast(pl.String)
    text = fold(addresses.str.replace_all("#", " unit ", literal=True))
    padded = " " + text.str.replace_all(" ", "  ", literal=True) + " "
    short = padded.str.replace_many(_PATTERNS).str.replace_all("  ", " ", literal=True).str.strip_chars()
    short = short.str.replace_all(r"(?:# )+", "# ").str.replace(r"^p o box ", "po box ")
    is_place = (short.str.len_bytes() >= 5) & ~text.str.contains(_NO_ADDRESS)
    return pl.select(pl.when(is_place).then(short)).to_series()


def zip_code(codes: pl.Series) -> pl.Series:
    """Return five digits (a leading zero that a spreadsheet ate put back), or a foreign code's letters and digits."""
    letters = codes.cast(pl.String).str.to_lowercase().str.replace_all(r"[^a-z0-9]+", "")
    is_number = letters.str.contains(r"^[0-9]+$")
    digits = letters.str.zfill(5).str.slice(0, 5)
    kept = pl.select(pl.when(is_number).then(digits).otherwise(letters)).to_series()
    is_code = (letters.str.len_bytes() >= 3) & ~kept.str.contains(r"^(?:0+|9+|x+|unk|unknown|none|null)$")
    return pl.select(pl.when(is_code).then(kept)).to_series()


def phone(numbers: pl.Series) -> pl.Series:
    """Return the last ten digits; null where there are fewer than seven, or one digit over and over."""
    digits = numbers.cast(pl.String).str.replace_all(r"[^0-9]+", "").str.slice(-10)
    same = "|".join(f"{digit}+" for digit in range(10))
    is_number = (digits.str.len_bytes() >= 7) & ~digits.str.contains(f"^(?:{same}|1234567890|0123456789)$")
    return pl.select(pl.when(is_number).then(digits)).to_series()
