"""What a reviewer sees of a question: two records side by side, field by field, with signs for what differs."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Final

import polars as pl

from wellbridge.etl.identity.parts import opened
from wellbridge.etl.identity.sealed import Seals
from wellbridge.etl.store import Store

FIELDS: Final[dict[str, str]] = {
    "first_name": "First name",
    "last_name": "Last name",
    "birth_date": "Birth date",
    "sex": "Sex",
    "address": "Address",
    "zip_code": "ZIP code",
    "phone": "Telephone",
    "student_number": "Student number",
}
# How two values compare: a sign that needs no colour, and what it means.
MARKS: Final[dict[str, tuple[str, str]]] = {
    "same": ("=", "same"),
    "written": ("≈", "written otherwise"),
    "differs": ("≠", "differs"),
    "missing": ("–", "not known on one side"),
}
_ALIKE: Final = (
    0.5  # share of letters in common from which on single letters are marked instead of the whole value
)


@dataclass(frozen=True)
class Piece:
    """A part of a value, and whether the other value has it not."""

    text: str
    differs: bool


@dataclass(frozen=True)
class Line:
    """One field of two records: title, both values in pieces, its mark, and the rival's value."""

    title: str
    left: tuple[Piece, ...]
    right: tuple[Piece, ...]
    mark: str
    rival: str

    @property
    def a(self) -> str:
        """The left value whole."""
        return "".join(piece.text for piece in self.left)

    @property
    def b(self) -> str:
        """The right value whole."""
        return "".join(piece.text for piece in self.right)


@dataclass(frozen=True)
class Card:
    """One question as a reviewer sees it.

    Attributes:
        question: its id.
        sources: the two records' sources.
        lines: the fields.
        has_rival: another record fits nearly as well; it is shown beside.
        score: what the model says, in words; empty when the reviewer is blind to it.
    """

    question: str
    sources: tuple[str, str]
    lines: tuple[Line, ...]
    has_rival: bool = False
    score: str = ""


def cards_of(store: Store, seals: Seals, questions: pl.DataFrame, *, with_score: bool) -> list[Card]:
    """Return what a reviewer sees of questions, in their order.

    Args:
        store: the vault's store.
        seals: what opens the site's records.
        questions: of ``review.questions``, with ``question``, their id.
        with_score: also say what the model says, which a reviewer who is blind to it does not see.
    """
    sides = [questions["record_a"], questions["record_b"], questions["runner_up"]]
    wanted = pl.concat(sides).drop_nulls().unique().to_frame("record_id")
    known = {row.pop("record_id"): row for row in opened(store, seals, wanted).to_dicts()}
    return [_card(row, known, with_score) for row in questions.iter_rows(named=True)]


def _card(row: dict[str, Any], known: Mapping[str, Mapping[str, str | None]], with_score: bool) -> Card:
    left, right, rival = (known.get(row[name], {}) for name in ("record_a", "record_b", "runner_up"))
    lines = [
        _line(title, *(str(record.get(name) or "") for record in (left, right, rival)))
        for name, title in FIELDS.items()
        if left.get(name) or right.get(name)
    ]
    return Card(
        row["question"],
        (row["source_a"], row["source_b"]),
        tuple(lines),
        bool(rival),
        _score(row) if with_score else "",
    )


def _score(row: dict[str, Any]) -> str:
    bits = "" if row["bits"] is None else f"{row['bits']:+.1f} bits"
    margin = "" if row["margin"] is None else f"margin {row['margin']:+.1f} bits"
    return ", ".join(
        part
        for part in (bits, margin, f"levels {row['levels']}" if row["levels"] else "", row["reason"])
        if part
    )


def _line(title: str, left: str, right: str, rival: str) -> Line:
    mark = compared(left, right)
    if mark == "missing":
        return Line(title, (Piece(left, False),), (Piece(right, False),), mark, rival)
    return Line(title, *_pieces(left, right), mark, rival)


def _pieces(left: str, right: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Cut two values where they differ; values of which too much differs are not cut."""
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    if matcher.ratio() < _ALIKE:
        return (Piece(left, True),), (Piece(right, True),)
    of_left, of_right = list[Piece](), list[Piece]()
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        of_left.append(Piece(left[start:end], kind != "equal"))
        of_right.append(Piece(right[other_start:other_end], kind != "equal"))
    return tuple(one for one in of_left if one.text), tuple(one for one in of_right if one.text)


def compared(left: str, right: str) -> str:
    """Return how two values compare: a key of ``MARKS``; accents, case, signs and the order of words are form."""
    if not left or not right:
        return "missing"
    if left == right:
        return "same"
    return "written" if _folded(left) == _folded(right) else "differs"


def _folded(text: str) -> list[str]:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).casefold()
    if any(c.isdigit() for c in plain) and not any(c.isalpha() for c in plain):
        return ["".join(c for c in plain if c.isdigit())]
    return sorted("".join(c if c.isalnum() else " " for c in plain).split())
