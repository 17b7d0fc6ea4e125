"""A sheet of questions for offline work: what a reviewer is shown, and what comes back.

A question has an id of its own, a keyed digest over who is asked, which records they are and what those say. So no key
of the vault leaves it, and an id that is not in the queue any more is about something that has changed. A seal over
reviewer, days and ids tells when a sheet was altered or comes from another site; a code for each row of a CSV tells
when what was shown of a question was. A page's cells do not come back. Nothing about a sheet is stored.
"""

from __future__ import annotations

import base64
import csv
import hmac
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import polars as pl

from wellbridge.etl.identity.cards import FIELDS, Card
from wellbridge.etl.identity.review import OUTCOMES, WHY
from wellbridge.privacy.envelope import subkey
from wellbridge.privacy.formula import PREFIX, neutralise
from wellbridge.schemas.errors import SourceError

_FORM: Final = "wellbridge-review-1"
_ID_DIGITS: Final = 11
_SEEN_DIGITS: Final = 16
_SIDES: Final = ("A", "B", "also near")
# What a row of a CSV shows; whatever else stands in it, a reviewer may have added.
_SHOWN: Final = (
    "source A",
    "source B",
    "score",
    *(f"{title} {side}" for title in FIELDS.values() for side in _SIDES),
)


@dataclass(frozen=True)
class Sheet:
    """Who is asked what, and until when.

    Attributes:
        reviewer: whose answers it takes.
        made: when it was made.
        expires: the last day on which answers are taken.
        is_blind: it does not show the model's score.
        questions: the ids, in order.
    """

    reviewer: str
    made: date
    expires: date
    is_blind: bool
    questions: tuple[str, ...]


@dataclass(frozen=True)
class Returned:
    """What came back: the sheet, and ``(question, outcome, why)`` of each that was answered."""

    sheet: Sheet
    answers: tuple[tuple[str, str, str], ...]


class Desk:
    """Makes and reads sheets of a site.

    Args:
        site_key: the site's key.
    """

    def __init__(self, site_key: bytes) -> None:
        self._key = subkey(site_key, "wellbridge/identity/v1|review")

    def named(self, questions: pl.DataFrame, reviewer: str, *, is_blind: bool) -> pl.DataFrame:
        """Add ``question``, the id under which this reviewer is asked each of ``questions.questions``.

        Asked with the score in view it is another, so that an answer tells what was seen.
        """
        rows = questions.select("record_a", "record_b", "content_a", "content_b").iter_rows()
        # A letter first: a spreadsheet takes an id of digits for a number.
        ids = [f"q{self._mac('question', reviewer, is_blind, *row)[:_ID_DIGITS]}" for row in rows]
        return questions.with_columns(pl.Series("question", ids, dtype=pl.String))

    def seal(self, sheet: Sheet) -> str:
        """Return a sheet's seal: what it says, and a code that only this site can make."""
        said = {
            "form": _FORM, "reviewer": sheet.reviewer, "made": sheet.made.isoformat(),
            "expires": sheet.expires.isoformat(), "is_blind": sheet.is_blind,
        }  # fmt: skip
        text = base64.urlsafe_b64encode(json.dumps(said, sort_keys=True).encode()).decode()
        return f"{text}.{self._mac('sheet', text, *sorted(sheet.questions))}"

    def read(self, path: Path, today: date) -> Returned:
        """Read a sheet that came back, CSV or what the page saved.

        Raises:
            SourceError: WB-E-096 when it is no such sheet, was altered, or holds an answer that is not known;
                WB-E-097 when its last day is over.
        """
        is_csv = path.suffix.lower() == ".csv"
        seal, rows = self._csv_rows(path) if is_csv else _json_rows(path)
        sheet = self._opened_seal(seal, tuple(question for question, _, _ in rows), path)
        if sheet.expires < today:
            raise SourceError("WB-E-097", "The sheet's last day is over.", f"file {path.name}")
        return Returned(sheet, _answers(rows, path))

    def seen(self, row: Mapping[str, str | None]) -> str:
        """Return the code of what a row of a CSV shows of its question: as it is, and in plain letters and digits.

        The second is for files that a spreadsheet wrote in letters of its own, where accents are lost. Spaces and an
        apostrophe before a value do not count.
        """
        said = [(name, " ".join((row.get(name) or "").lstrip("'").split())) for name in _SHOWN]
        plain = [
            (name, "".join(c for c in text.lower() if c.isascii() and c.isalnum())) for name, text in said
        ]
        codes = (
            self._mac("seen", row["question"], *((name, text) for name, text in form if text))
            for form in (said, plain)
        )
        return "s" + ".".join(code[:_SEEN_DIGITS] for code in codes)

    def _csv_rows(self, path: Path) -> tuple[str, list[tuple[str, str, str]]]:
        """Read a CSV; a spreadsheet may have changed the separator, and the letters that are not plain."""
        rows, is_whole = _csv_cells(path)
        seals = {row["sheet"] for row in rows}
        if len(seals) != 1:
            raise _refused("The file is no review sheet, or its rows are of several.", path)
        for number, row in enumerate(rows, start=1):
            claimed, found = (code.split(".") for code in (row["seen"], self.seen(row)))
            if claimed != found and (is_whole or claimed[1:] != found[1:]):
                raise _refused("What a question shows is not as it was made.", path, f"question {number}")
        return seals.pop(), [(row["question"], row["answer"], row["why"]) for row in rows]

    def _opened_seal(self, seal: str, questions: tuple[str, ...], path: Path) -> Sheet:
        text, _, code = seal.partition(".")
        if not hmac.compare_digest(code.encode(), self._mac("sheet", text, *sorted(questions)).encode()):
            raise _refused("The sheet's questions are not those that it was made with here.", path)
        said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text))
        return Sheet(
            reviewer=said["reviewer"],
            made=date.fromisoformat(said["made"]),
            expires=date.fromisoformat(said["expires"]),
            is_blind=said["is_blind"],
            questions=questions,
        )

    def _mac(self, *parts: object) -> str:
        return hmac.digest(self._key, json.dumps([_FORM, *parts]).encode(), sha256).hex()


def _refused(what: str, path: Path, where: str = "") -> SourceError:
    return SourceError("WB-E-096", what, f"file {path.name}" + (f" · {where}" if where else ""))


def as_csv(desk: Desk, sheet: Sheet, seal: str, cards: Sequence[Card]) -> str:
    """Return a sheet as CSV: one row a question, to be filled in at ``answer`` and ``why``.

    It begins with a byte order mark, without which spreadsheets break accents. A value that a spreadsheet would run as
    a formula, or take for a number or a date and write otherwise, begins with an apostrophe.
    """
    sides = _SIDES if any(card.has_rival for card in cards) else _SIDES[:2]
    rows = []
    for question, card in zip(sheet.questions, cards, strict=True):
        row = {
            "question": question,
            "answer": "",
            "why": "",
            "source A": card.sources[0],
            "source B": card.sources[1],
        }
        row |= {f"{title} {side}": "" for title in FIELDS.values() for side in sides}
        for line in card.lines:
            values = zip(sides, (line.a, line.b, line.rival), strict=False)
            row |= {f"{line.title} {side}": _as_text(value) for side, value in values}
        rows.append({**row, "score": card.score})
    shown = neutralise(pl.DataFrame(rows))[0]
    seen = pl.Series("seen", [desk.seen(row) for row in shown.iter_rows(named=True)], dtype=pl.String)
    return shown.with_columns(seen, pl.lit(seal).alias("sheet")).write_csv(include_bom=True)


def _as_text(value: str) -> str:
    """Return a value in the form in which a spreadsheet leaves it as it is."""
    is_number = any(c.isdigit() for c in value) and not any(c.isalpha() for c in value)
    return f"{PREFIX}{value}" if is_number else value


def _csv_cells(path: Path) -> tuple[list[dict[str, str]], bool]:
    """Return the rows of a CSV, and whether all its letters could be read; no rows where it is no sheet."""
    found, is_whole = list[dict[str, str]](), True
    needed = ("question", "answer", "why", "seen", "sheet")
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig", errors="replace")
        is_whole = "\N{REPLACEMENT CHARACTER}" not in text
        separator = ";" if text.startswith(("question;", '"question";')) else ","
        for row in csv.DictReader(io.StringIO(text, newline=""), delimiter=separator):
            found.append({name: row[name] or "" for name in (*needed, *(n for n in _SHOWN if n in row))})
    except (OSError, csv.Error, KeyError):
        found = []
    return found, is_whole


def _json_rows(path: Path) -> tuple[str, list[tuple[str, str, str]]]:
    found: list[tuple[str, str, str]] | None = None
    try:
        said = json.loads(path.read_bytes())
        found = [(str(one["question"]), str(one["answer"]), str(one["why"])) for one in said["answers"]]
        seal = str(said["sheet"])
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if found is None:
        raise _refused("The file is no review sheet.", path)
    return seal, found


def _answers(rows: Sequence[tuple[str, str, str]], path: Path) -> tuple[tuple[str, str, str], ...]:
    """Return the rows that are answered; refuse the file when one says what is not asked."""
    answers = []
    for number, (question, *said) in enumerate(rows, start=1):
        outcome, why = (text.strip().lower() for text in said)
        if not outcome and not why:
            continue
        for given, choice, name in ((outcome, OUTCOMES, "answer"), (why, WHY, "why")):
            if given not in choice:
                raise _refused(
                    f"An answer is none of {', '.join(choice)}.", path, f"question {number} · column {name}"
                )
        answers.append((question, outcome, why))
    return tuple(answers)
