"""Rounds of review at a site: a question at the terminal, sheets out and back, and what waits.

What a sheet shows are names of children. Its file is readable by its owner alone, lies in the site's private state
folder unless told otherwise, never among reports or releases, and is deleted when its answers come in or its last day
is over. Answers are taken as every change to who is who is, in a night of their own. Every sheet and every taking of
answers is an event of the ledger, by counts alone.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from wellbridge.etl.identity.agreement import agreement
from wellbridge.etl.identity.cards import Card, cards_of
from wellbridge.etl.identity.evaluate import wilson
from wellbridge.etl.identity.questions import questions, spot_checks
from wellbridge.etl.identity.review import Answer, Reviewer, Taken, answers, backlog, labels, take
from wellbridge.etl.identity.sheet import Desk, Sheet, as_csv
from wellbridge.etl.landing import write_private
from wellbridge.etl.lock import run_lock
from wellbridge.etl.vault import Vault
from wellbridge.pipelines.nightly.identity_change import change_identity, sheets_of
from wellbridge.pipelines.nightly.stores import open_stores, read_vault, seals_of, write_event
from wellbridge.pipelines.report.review_sheet import render_review_sheet
from wellbridge.pipelines.site import Site
from wellbridge.privacy.seal import read_key
from wellbridge.schemas.errors import ConfigurationError, PrivacyError

FORMATS: Final = ("html", "csv")
_ANSWERS: Final = "identity.review"
_NAME_DIGITS: Final = 10


@dataclass(frozen=True)
class Export:
    """A sheet that was written: where, its last day, and how many questions are on it and were left over."""

    path: Path
    expires: date
    questions: int
    left: int


def today() -> date:
    """Return the day, UTC."""
    return datetime.now(UTC).date()


def next_card(site: Site, reviewer: str, *, with_score: bool) -> Card | None:
    """Return the question whose answer tells most, for a reviewer who has not answered it; None when all is done."""
    with read_vault(site) as vault:
        desk = Desk(read_key(site.key))
        asked = desk.named(questions(vault, reviewer).head(1), reviewer, is_blind=not with_score)
        return next(iter(cards_of(vault, seals_of(site), asked, with_score=with_score)), None)


def decide(site: Site, question: str, outcome: str, why: str, reviewer: str) -> Taken:
    """Take one answer to the question of that id.

    Raises:
        ConfigurationError: WB-E-095 when this reviewer is not asked it, or not any more.
    """
    desk = Desk(read_key(site.key))

    def answered(vault: Vault, run_id: str) -> tuple[Taken, str]:
        open_ones = questions(vault.store, reviewer)
        for is_blind in (True, False):
            found = desk.named(open_ones, reviewer, is_blind=is_blind).filter(pl.col("question") == question)
            if found.height:
                said = [Answer(found["record_a"][0], found["record_b"][0], outcome, why)]
                by = Reviewer(reviewer, is_blind=is_blind, run_id=run_id)
                return _take(site, vault, said, by)
        raise ConfigurationError("WB-E-095", "The question is not asked, or not any more.", "question")

    taken: Taken = change_identity(site, _ANSWERS, answered)
    return taken


def export(
    site: Site, reviewer: str, *, form: str, limit: int, spots: int = 0, out: Path | None, with_score: bool
) -> Export | None:
    """Write a sheet for a reviewer; return None when there is nothing to ask.

    Args:
        site: the site.
        reviewer: whose sheet it is; only this reviewer's answers are taken from it.
        form: one of ``FORMATS``.
        limit: most questions.
        spots: automatic links, drawn at random, that are asked about among them and look like the others.
        out: where to; the state folder's own place for sheets without.
        with_score: also show what the model says, which is recorded with every answer.

    Raises:
        PrivacyError: WB-E-098 when it would lie among files that others see.
    """
    change = uuid.uuid4().hex
    if out is not None:
        _check_place(site, out)
    with run_lock(site.lock), open_stores(site, change) as (warehouse, vault):
        forget_expired(site)
        desk, day = Desk(read_key(site.key)), today()
        waiting = questions(vault, reviewer)
        asked = pl.concat([waiting.head(limit), spot_checks(vault, reviewer).head(spots)], how="diagonal")
        asked = desk.named(asked, reviewer, is_blind=not with_score)
        asked = asked.sort("question") if spots else asked  # an order that does not tell which are which
        if not asked.height:
            return None
        sheet = Sheet(
            reviewer, day, day + timedelta(days=site.sheet_days), not with_score, tuple(asked["question"])
        )
        seal = desk.seal(sheet)
        cards = cards_of(vault, seals_of(site), asked, with_score=with_score)
        is_csv = form == "csv"
        text = as_csv(desk, sheet, seal, cards) if is_csv else render_review_sheet(sheet, seal, cards)
        path = out or _folder(site) / f"{_name(sheet.expires, seal)}.{form}"
        write_private(path, text)
        write_event(
            warehouse, "identity.review.export", change, f"{asked.height} questions · until {sheet.expires}"
        )
    return Export(path, sheet.expires, asked.height, max(0, waiting.height - limit))


def take_in(site: Site, path: Path) -> tuple[Taken, int]:
    """Take the answers of a sheet that came back, then delete it; return what became of them and how many are stale.

    An answer about records that have changed since, or about a pair that needs none any more, is stale.

    Raises:
        SourceError: WB-E-096 when the file was altered or is no sheet of this site, WB-E-097 when it is too late.
    """
    desk = Desk(read_key(site.key))
    returned = desk.read(path, today())
    sheet = returned.sheet

    def answered(vault: Vault, run_id: str) -> tuple[tuple[Taken, int], str]:
        askable = [questions(vault.store, sheet.reviewer), spot_checks(vault.store, sheet.reviewer)]
        asked = desk.named(pl.concat(askable, how="diagonal"), sheet.reviewer, is_blind=sheet.is_blind)
        pairs = {name: (a, b) for name, a, b in asked.select("question", "record_a", "record_b").iter_rows()}
        known = [one for one in returned.answers if one[0] in pairs]
        said = [Answer(*pairs[one], outcome, why) for one, outcome, why in known]
        by = Reviewer(sheet.reviewer, is_blind=sheet.is_blind, kind="import", run_id=run_id)
        taken, detail = _take(site, vault, said, by)
        return (taken, len(returned.answers) - len(said)), detail

    result: tuple[Taken, int] = change_identity(site, _ANSWERS, answered)
    with suppress(OSError):  # a disk that is read only; the command says so
        path.unlink()
    for own in _folder(site).glob(f"{_name(sheet.expires, desk.seal(sheet))}.*"):
        own.unlink()
    return result


def state(site: Site) -> dict[str, Any]:
    """Return what waits, how well reviewers agree, and which sheets are out."""
    forget_expired(site)
    with read_vault(site) as vault:
        waiting = backlog(vault)
        said = answers(vault)
    return {
        "reviewers": site.reviewers,
        **asdict(waiting),
        "confirmed_interval": wilson(waiting.confirmed, waiting.checked),
        "agreement": asdict(agreement(said)),
        "sheets": sorted(path.name for path in _folder(site).iterdir()),
    }


def write_labels(site: Site, path: Path) -> int:
    """Write the pairs that persons decided as CSV, ``left_id, right_id, is_match``, to train on; return how many.

    Raises:
        PrivacyError: WB-E-098 when it would lie among files that others see: the ids are the sources' own.
    """
    _check_place(site, path)
    with read_vault(site) as vault:
        found = labels(vault)
    write_private(path, found.write_csv())
    return found.height


def forget_expired(site: Site) -> int:
    """Delete sheets of the state folder whose last day is over; return how many."""
    old = [path for path in _folder(site).iterdir() if path.name[:10] < today().isoformat()]
    for path in old:
        path.unlink()
    return len(old)


def _take(site: Site, vault: Vault, said: list[Answer], by: Reviewer) -> tuple[Taken, str]:
    """Take answers; return what became of them and the detail of their event: counts alone."""
    taken = take(vault.store, said, by, site.reviewers)
    return taken, f"{taken.decided} decided · {taken.waiting} waiting · {taken.known} known · {by.kind}"


def _folder(site: Site) -> Path:
    folder = sheets_of(site)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _name(expires: date, seal: str) -> str:
    return f"{expires.isoformat()}-{seal[-_NAME_DIGITS:]}"


def _check_place(site: Site, out: Path) -> None:
    """Refuse a place among the site's own files, but its private state: they are shown, shared or versioned."""
    place = out.resolve()
    if place.is_relative_to(site.root.resolve()) and not place.is_relative_to(site.state.resolve()):
        raise PrivacyError(
            "WB-E-098", "Names or ids of children may not lie in the site's folder.", f"file {out.name}"
        )
    if not place.parent.is_dir() or place.exists():
        what = "The file is there already." if place.exists() else "The folder is not there."
        raise ConfigurationError(
            "WB-E-011", what, f"file {out.name}", todo="Name a new file in a folder that exists"
        )
