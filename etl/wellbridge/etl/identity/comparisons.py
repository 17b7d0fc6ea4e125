"""What is compared, and what each level of agreement means, as data.

A level's SQL is DuckDB's and Splink's: the two records' columns end in ``_l`` and ``_r``. Levels are asked from the
best down; a pair's digit is the number of the first that holds: 0 where a side is missing, 1 where nothing agrees,
the highest where all does.

Everything that says "one home" stands in ONE comparison: surname, address, phone and ZIP code of brothers and sisters
agree together, and a model that counts them one by one merges them (reference/linkage.md 2.3: precision .605).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from wellbridge.etl.identity.statements import is_column
from wellbridge.schemas.errors import ConfigurationError


@dataclass(frozen=True)
class Level:
    """One level of agreement.

    Attributes:
        label: what it means, in words.
        sql: when it holds; "" for the lowest, which holds where no other does.
        is_home: two children of one home agree so as often as one child's records do. How often depends on the size
            of homes and not on the file's, so it is counted per record (see ``model.Weight.others``).
        counted: columns whose equality nearly is this level, so that it can be counted over all pairs of a file.
    """

    label: str
    sql: str = ""
    is_home: bool = False
    counted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """One comparison of two records.

    Attributes:
        name: as a model names it.
        columns: of the standard frame, that it looks at.
        evidence: those of them whose agreement it weighs; the others it only reads (exchanged names).
        missing: SQL, when nothing can be said.
        levels: from the lowest to the highest.
    """

    name: str
    columns: tuple[str, ...]
    evidence: tuple[str, ...]
    missing: str
    levels: tuple[Level, ...]

    @property
    def case(self) -> str:
        """Return the SQL of the digit."""
        whens = [f"WHEN {self.missing} THEN 0"]
        for digit in range(len(self.levels), 1, -1):
            whens.append(f"WHEN {self.levels[digit - 1].sql} THEN {digit}")
        return f"CASE {' '.join(whens)} ELSE 1 END"


def _either_is_null(column: str) -> str:
    return f"({column}_l IS NULL OR {column}_r IS NULL)"


# The distance is dear, so it is asked only of texts that can be so near: a CASE stops where an AND of DuckDB may not.
# One error in four letters or more leaves a Jaro-Winkler similarity over .7; in three, neighbours exchanged do not.
_ONE_TYPO: Final = (
    "CASE WHEN least(length({0}_l), length({0}_r)) < 3 OR abs(length({0}_l) - length({0}_r)) > 1 THEN false"
    " WHEN least(length({0}_l), length({0}_r)) > 3 AND jaro_winkler_similarity({0}_l, {0}_r) < 0.7 THEN false"
    " ELSE damerau_levenshtein({0}_l, {0}_r) <= 1 END"
)
_IS_SWAPPED: Final = (  # each first name stands among the other's last names
    "(list_contains(last_names_r, first_names_l[1]) AND list_contains(last_names_l, first_names_r[1])"
    " AND first_name_l <> first_name_r)"
)

# The first name is the evidence that tells brothers and sisters apart.
FIRST_NAME: Final = Comparison(
    "first_name",
    ("first_name", "first_names", "nickname_roots", "last_names"),
    ("first_name", "first_names", "nickname_roots"),
    _either_is_null("first_name"),
    (
        Level("disagree: Jaro-Winkler under .7"),
        Level(
            "faintly alike: Jaro-Winkler at least .7",
            "jaro_winkler_similarity(first_name_l, first_name_r) >= 0.7",
        ),
        Level(
            "nearly the same: one typing error, or Jaro-Winkler at least .9",
            f"CASE WHEN jaro_winkler_similarity(first_name_l, first_name_r) >= 0.9 THEN true"
            f" ELSE {_ONE_TYPO.format('first_name')} END",
        ),
        Level(
            "a nickname, or one holds all parts of the other",
            "(list_has_any(nickname_roots_l, nickname_roots_r) AND (len(first_names_l) = 1 OR len(first_names_r) = 1)"
            " OR list_has_all(first_names_l, first_names_r) OR list_has_all(first_names_r, first_names_l))",
        ),
        Level("the same, or exchanged with the last name", f"(first_name_l = first_name_r OR {_IS_SWAPPED})"),
    ),
)
FIRST_DISAGREES: Final = 1
FIRST_MAY_BE_TWIN: Final = (2, 3)  # two names of twins may be as near as this

_TWO_OF_THREE: Final = (
    "((year(birth_date_l) = year(birth_date_r))::INT + (month(birth_date_l) = month(birth_date_r))::INT"
    " + (day(birth_date_l) = day(birth_date_r))::INT >= 2)"
)
BIRTH_DATE: Final = Comparison(
    "birth_date",
    ("birth_date",),
    ("birth_date",),
    _either_is_null("birth_date"),
    (
        Level("differ"),
        Level("two of year, month and day are the same", _TWO_OF_THREE),
        Level(
            "day and month exchanged",
            "(year(birth_date_l) = year(birth_date_r) AND month(birth_date_l) = day(birth_date_r)"
            " AND day(birth_date_l) = month(birth_date_r))",
        ),
        Level("the same", "birth_date_l = birth_date_r", counted=("birth_date",)),
    ),
)
BIRTH_DATE_SAME: Final = 4

SEX: Final = Comparison(
    "sex",
    ("sex",),
    ("sex",),
    _either_is_null("sex"),
    (Level("differ"), Level("the same", "sex_l = sex_r", counted=("sex",))),
)

_SAME_SURNAME: Final = f"(last_name_l = last_name_r OR last_compact_l = last_compact_r OR {_IS_SWAPPED})"
_NEAR_SURNAME: Final = (
    "CASE WHEN list_has_any(last_names_l, last_names_r) THEN true"
    " WHEN jaro_winkler_similarity(last_compact_l, last_compact_r) >= 0.92 THEN true"
    f" ELSE {_ONE_TYPO.format('last_compact')} END"
)
_SAME_PLACE: Final = (
    "CASE WHEN address_key_l = address_key_r OR phone_l = phone_r THEN true"
    " WHEN zip_code_l = zip_code_r AND abs(length(address_key_l) - length(address_key_r)) <= 2"
    " THEN CASE WHEN jaro_winkler_similarity(address_key_l, address_key_r) < 0.8 THEN false"
    " ELSE damerau_levenshtein(address_key_l, address_key_r) <= 2 END ELSE false END"
)
HOME: Final = Comparison(
    "home",
    ("last_name", "last_compact", "last_names", "first_name", "first_names", "address_key", "phone", "zip_code"),
    ("last_name", "last_compact", "last_names", "address_key", "phone", "zip_code"),
    f"({_either_is_null('last_compact')} AND {_either_is_null('address_key')} AND {_either_is_null('phone')})",
    (
        Level("nothing in common"),
        Level("a part of the surname, or nearly the same", _NEAR_SURNAME),
        Level("the same surname", _SAME_SURNAME, counted=("last_compact",)),
        Level("the same surname and ZIP code", f"({_SAME_SURNAME} AND zip_code_l = zip_code_r)",
              counted=("last_compact", "zip_code")),
        Level("the same address or phone", _SAME_PLACE, is_home=True),
        Level("the same address or phone, and a surname that agrees at least in part",
              f"({_SAME_PLACE} AND ({_SAME_SURNAME} OR {_NEAR_SURNAME}))", is_home=True),
    ),
)  # fmt: skip
HOME_SHARED: Final = (5, 6)
HOME_OF_TWINS: Final = (3, 4, 5, 6)  # their addresses may be missing, their surname is one

# Exact rules. They link only a pair that is alone on both sides (``decide``); a name and a birth date alone never do.
RULE_COLUMNS: Final = ("first_name", "last_compact", "birth_date", "sex", "zip_code", "phone", "address_key",
                       "student_number")  # fmt: skip
RULES: Final = (
    "(first_name_l = first_name_r AND last_compact_l = last_compact_r AND birth_date_l = birth_date_r"
    " AND (sex_l = sex_r) IS NOT FALSE"
    " AND (zip_code_l = zip_code_r OR phone_l = phone_r OR address_key_l = address_key_r))"
    # The district's own number, and two things more: numbers of two systems are often the same by chance.
    " OR (student_number_l = student_number_r AND (birth_date_l = birth_date_r)::INT"
    " + (first_name_l = first_name_r)::INT + (last_compact_l = last_compact_r)::INT >= 2)"
)

_KNOWN: Final = {one.name: one for one in (FIRST_NAME, BIRTH_DATE, SEX, HOME)}
_PLAIN: Final = re.compile(r"(text|exact)\((\w+)\)")


def comparison(name: str) -> Comparison:
    """Return a comparison by name: one of the above, ``text(COLUMN)`` or ``exact(COLUMN)``.

    Raises:
        ConfigurationError: WB-E-015 for any other name.
    """
    if name in _KNOWN:
        return _KNOWN[name]
    plain = _PLAIN.fullmatch(name)
    if not plain or not is_column(plain[2]):
        raise ConfigurationError("WB-E-015", "A model names an unknown comparison.", "comparisons")
    kind, column = plain.groups()
    same = Level("the same", f"{column}_l = {column}_r", counted=(column,))
    if kind == "exact":
        return Comparison(name, (column,), (column,), _either_is_null(column), (Level("differ"), same))
    alike = f"jaro_winkler_similarity({column}_l, {column}_r)"
    return Comparison(
        name,
        (column,),
        (column,),
        _either_is_null(column),
        (
            Level("differ"),
            Level("alike: Jaro-Winkler at least .8", f"{alike} >= 0.8"),
            Level(
                "nearly the same", f"CASE WHEN {alike} >= 0.92 THEN true ELSE {_ONE_TYPO.format(column)} END"
            ),
            same,
        ),
    )
