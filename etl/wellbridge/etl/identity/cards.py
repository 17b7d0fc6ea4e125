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
from wellbridge.etl.identity.standard import standardise
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
_FORMS: Final = {**{name: name for name in FIELDS}, "last_name": "last_names", "address": "address_key"}
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
        questions: of ``questions.questions``, with ``question``, their id.
        with_score: also say what the model says, which a reviewer who is blind to it does not see.
    """
    sides = [questions["record_a"], questions["record_b"], questions["runner_up"]]
    wanted = pl.concat(sides).drop_nulls().unique().to_frame("record_id")
    records = opened(store, seals, wanted)
    forms = standardise(records.with_columns(pl.lit("").alias("source")))
    known = {
        said.pop("record_id"): _Record(said, {name: form[column] for name, column in _FORMS.items()})
        for said, form in zip(records.to_dicts(), forms.to_dicts(), strict=True)
    }
    return [_card(row, known, with_score) for row in questions.iter_rows(named=True)]


@dataclass(frozen=True)
class _Record:
    """What a record says, and the form in which each field is compared."""

    said: Mapping[str, str | None]
    form: Mapping[str, Any]

    def value(self, name: str) -> str:
        return self.said.get(name) or ""


_NOTHING: Final = _Record({}, {})


def _card(row: dict[str, Any], known: Mapping[str, _Record], with_score: bool) -> Card:
    left, right, rival = (known.get(row[name], _NOTHING) for name in ("record_a", "record_b", "runner_up"))
    lines = [
        _line(
            title,
            (left.value(name), right.value(name), rival.value(name)),
            (left.form.get(name), right.form.get(name)),
        )
        for name, title in FIELDS.items()
        if left.value(name) or right.value(name)
    ]
    sources, score = (row["source_a"], row["source_b"]), _score(row) if with_score else ""
    return Card(row["question"], sources, tuple(lines), rival is not _NOTHING, score)


def _score(row: dict[str, Any]) -> str:
    bits = "" if row["bits"] is None else f"{row['bits']:+.1f} bits"
    margin = "" if row["margin"] is None else f"margin {row['margin']:+.1f} bits"
    return ", ".join(
        part
        for part in (bits, margin, f"levels {row['levels']}" if row["levels"] else "", row["reason"])
        if part
    )


def _line(title: str, values: tuple[str, str, str], forms: tuple[Any, Any]) -> Line:
    left, right, rival = values
    mark = compared(left, right, forms)
    if mark != "differs":
        return Line(title, (Piece(left, False),), (Piece(right, False),), mark, rival)
    return Line(title, *_pieces(left, right), mark, rival)


def compared(left: str, right: str, forms: tuple[Any, Any]) -> str:
    """Return how two values compare: a key of ``MARKS``.

    Args:
        left: a value as a source wrote it; "" = it does not say.
        right: the other.
        forms: both as ``standardise`` writes them; None where it could make nothing of one.
    """
    if not left or not right:
        return "missing"
    if left == right:
        return "same"
    return "written" if forms[0] and forms[0] == forms[1] else "differs"


def _pieces(left: str, right: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Cut two values where they differ; values of which too much differs are not cut.

    Accents, case and signs alone are no difference.
    """
    matcher = SequenceMatcher(None, _plain(left), _plain(right), autojunk=False)
    if matcher.ratio() < _ALIKE:
        return (Piece(left, True),), (Piece(right, True),)
    of_left, of_right = list[Piece](), list[Piece]()
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        for pieces, text in ((of_left, left[start:end]), (of_right, right[other_start:other_end])):
            if text:
                pieces.append(Piece(text, kind != "equal" and any(c.isalnum() for c in text)))
    return tuple(of_left), tuple(of_right)


def _plain(text: str) -> str:
    """Return a text of the same length without accents and case."""
    return "".join(unicodedata.normalize("NFKD", c)[0].lower()[0] for c in text)
