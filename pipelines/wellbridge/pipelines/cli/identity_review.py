"""``wellbridge identity review``: doubtful pairs of records, decided by persons."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from wellbridge.pipelines.cli.output import (
    Choice,
    command,
    document,
    json_option,
    named_person,
    project_option,
    show_json,
    table,
)
from wellbridge.pipelines.site import load_site
from wellbridge.schemas.errors import Exit, PrivacyError

if TYPE_CHECKING:
    from wellbridge.etl.identity.cards import Card
    from wellbridge.etl.identity.review import Taken

# As ``review.OUTCOMES`` and ``review.WHY``, which a test compares; those bring polars.
_OUTCOMES: Final = ("link", "nonlink", "unsure")
_WHY: Final = ("written", "moved", "renamed", "sibling", "namesake", "known", "too_little")


def _reviewer_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--reviewer",
        "--by",
        "reviewer",
        default=getpass.getuser,
        show_default="this account",
        metavar="NAME",
        callback=named_person,
        help="Who answers.",
    )(function)


_score_option = click.option(
    "--with-score", is_flag=True, help="Also show what the model says; recorded with every answer."
)


def is_terminal() -> bool:
    """Tell whether a person reads what is printed."""
    return sys.stdout.isatty()


@click.group()
def review() -> None:
    """Decide doubtful pairs of records: one child or two."""


@review.command("next")
@_reviewer_option
@_score_option
@project_option
@json_option
@command
def next_command(reviewer: str, with_score: bool, project: Path, as_json: bool) -> Exit:
    """Show the question whose answer tells most. Names of children: at a terminal only.

    With --json only how the fields compare is shown, and no value.
    """
    from wellbridge.pipelines.reviewing import next_card

    site = load_site(project)
    if not as_json and not is_terminal():
        raise PrivacyError("WB-E-098", "Records of children are shown at a terminal only.", "standard output")
    card = next_card(site, reviewer, with_score=with_score)
    if as_json:
        show_json(document(Exit.DONE, question=_compared(card) if card else None))
    elif card is None:
        click.echo("Nothing waits for this reviewer.")
    else:
        click.echo(_shown(card))
    return Exit.DONE


def _compared(card: Card) -> dict[str, Any]:
    marks = {line.title: line.mark for line in card.lines}
    return {"id": card.question, "sources": list(card.sources), "fields": marks, "score": card.score or None}


def _shown(card: Card) -> str:
    from wellbridge.etl.identity.cards import MARKS
    from wellbridge.etl.identity.review import OUTCOMES, WHY

    names = (f"A · {card.sources[0]}", f"B · {card.sources[1]}")
    rows = [
        {" ": line.title, names[0]: line.a, "  ": MARKS[line.mark][0], names[1]: line.b}
        | ({"also near": line.rival} if card.has_rival else {})
        for line in card.lines
    ]
    legend = "   ".join(f"{sign} {meaning}" for sign, meaning in MARKS.values())
    answers, reasons = (
        "\n".join(f"  {code:<10}  {text}" for code, text in one.items()) for one in (OUTCOMES, WHY)
    )
    score = [f"The model says: {card.score}"] if card.score else []
    todo = f"wellbridge identity review decide {card.question} ANSWER --why WHY"
    return "\n".join([table(rows), "", legend, *score, "", "ANSWER", answers, "WHY", reasons, "", todo])


@review.command("decide")
@click.argument("question", metavar="QUESTION")
@click.argument("outcome", metavar="|".join(_OUTCOMES), type=Choice(_OUTCOMES))
@click.option("--why", required=True, type=Choice(_WHY), help="Why; a choice, so that no name is written.")
@_reviewer_option
@project_option
@json_option
@command
def decide_command(
    question: str, outcome: str, why: str, reviewer: str, project: Path, as_json: bool
) -> Exit:
    """Answer a question. Every fact follows at once; identity undo takes it back."""
    from wellbridge.pipelines.reviewing import decide

    site = load_site(project)
    _tell(decide(site, question, outcome, why, reviewer), as_json, stale=0)
    return Exit.DONE


def _tell(taken: Taken, as_json: bool, stale: int) -> None:
    if as_json:
        counts = {"decided": taken.decided, "waiting": taken.waiting, "known": taken.known, "stale": stale}
        show_json(document(Exit.DONE, **counts))
        return
    click.echo(f"{taken.decided:,} decided, {taken.waiting:,} wait for another reviewer or stay open.")
    if taken.known:
        click.echo(f"{taken.known:,} were answered by this reviewer before and were not taken.")
    if stale:
        click.echo(f"{stale:,} are about records that have changed, or need no answer any more; not taken.")


@review.command("export")
@_reviewer_option
@click.option("--format", "form", type=click.Choice(("html", "csv")), default="html", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Most questions.")
@click.option(
    "--spot-checks",
    "spots",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Also ask about so many automatic links, drawn at random, that look like the others.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to; else the site's private folder."
)
@_score_option
@project_option
@json_option
@command
def export_command(
    reviewer: str,
    form: str,
    limit: int,
    spots: int,
    out: Path | None,
    with_score: bool,
    project: Path,
    as_json: bool,
) -> Exit:
    """Write a sheet of questions to answer offline: a page, or CSV. It holds names of children."""
    from wellbridge.pipelines.reviewing import export

    site = load_site(project)
    written = export(site, reviewer, form=form, limit=limit, spots=spots, out=out, with_score=with_score)
    if as_json:
        facts = (
            {"path": str(written.path), "expires": written.expires, "questions": written.questions}
            if written
            else {}
        )
        show_json(document(Exit.DONE, sheet=facts or None, left=written.left if written else 0))
    elif written is None:
        click.echo("Nothing waits for this reviewer.")
    else:
        click.echo(f"{written.questions:,} questions for {reviewer}, until {written.expires}: {written.path}")
        click.echo(
            "It holds names of children. Only its owner can read it; keep it so, and send it to nobody.",
            err=True,
        )
    return Exit.DONE


@review.command("import")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@project_option
@json_option
@command
def import_command(file: Path, project: Path, as_json: bool) -> Exit:
    """Take the answers of a sheet: the CSV, or what the page saved. The file is deleted."""
    from wellbridge.pipelines.reviewing import take_in

    taken, stale = take_in(load_site(project), file)
    _tell(taken, as_json, stale)
    if file.exists():
        click.echo("The file could not be deleted here. Delete it: it may hold names of children.", err=True)
    return Exit.DONE


@review.command("status")
@project_option
@json_option
@command
def status_command(project: Path, as_json: bool) -> Exit:
    """Say how many questions wait, and how well reviewers agree."""
    from wellbridge.pipelines.reviewing import state

    found = state(load_site(project))
    if as_json:
        show_json(document(Exit.DONE, **found))
        return Exit.DONE
    agreed = found["agreement"]
    click.echo(
        f"Questions that wait: {found['open']:,}, with an answer {found['started']:,}, disputed "
        f"{found['disputed']:,}.\n"
        f"Pairs decided: {found['decided']:,}. Answers given: {found['answers']:,}, with the score in view "
        f"{found['unblinded']:,}."
    )
    if found["contradicted"]:
        click.echo(f"{found['contradicted']:,} decisions contradict each other: wellbridge identity undo")
    if agreed["kappa"] is not None:
        click.echo(
            f"Two reviewers agree on {agreed['share']:.0%} of {agreed['pairs']:,} questions; Cohen's kappa "
            f"{agreed['kappa']:.2f} ({agreed['low']:.2f} to {agreed['high']:.2f})."
        )
    if found["checked"]:
        low, high = found["confirmed_interval"]
        click.echo(
            f"{found['confirmed']:,} of {found['checked']:,} automatic links drawn at random are one child "
            f"({low:.1%} to {high:.1%} of all, at 95 %)."
        )
    if found["sheets"]:
        click.echo(f"Sheets in the site's private folder, named by their last day: {len(found['sheets'])}.")
    return Exit.DONE


@review.command("labels")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@project_option
@json_option
@command
def labels_command(file: Path, project: Path, as_json: bool) -> Exit:
    """Write the pairs that persons decided as CSV, for identity train --labels. It holds ids of children."""
    from wellbridge.pipelines.reviewing import write_labels

    count = write_labels(load_site(project), file)
    if as_json:
        show_json(document(Exit.DONE, labels=count, path=str(file)))
    else:
        click.echo(f"{count:,} labelled pairs in {file}.")
    return Exit.DONE
