"""``wellbridge held``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wellbridge.pipelines.cli.nights import _run
from wellbridge.pipelines.cli.output import command, document, json_option, project_option, show_json, table
from wellbridge.pipelines.site import Site, load_site
from wellbridge.schemas.errors import ConfigurationError, Exit

if TYPE_CHECKING:
    import polars as pl

_SHOWN = 40
_ID_SHOWN = 10  # characters of a delivery's id: enough for --delivery


def _selectors(function: Any) -> Any:
    for option in (
        click.option(
            "-s", "--select", "select", multiple=True, metavar="FEED", help="Feed name or glob; repeatable."
        ),
        click.option("--rule", metavar="RULE", help="Only rows held under this rule, e.g. WB-R-011."),
        click.option("--delivery", metavar="ID", help="Only this delivery, by the start of its id."),
    ):
        function = option(function)
    return function


def _lines(
    site: Site, select: tuple[str, ...], rule: str | None, delivery: str | None, status: str | None = "open"
) -> pl.DataFrame:
    from wellbridge.pipelines.nightly.review import held_lines

    feeds = [feed.name for feed in site.select(select)] if select else []
    return held_lines(site, status=status, feeds=feeds, rule=_known_rule(rule), delivery=delivery)


def _known_rule(rule: str | None) -> str | None:
    from wellbridge.schemas.rules import RULES

    if rule is not None and rule.upper() not in RULES:
        raise ConfigurationError(
            "WB-E-015", "There is no rule of that code.", f"rule {rule}", todo="See docs/rules.md"
        )
    return rule.upper() if rule else None


@click.group()
def held() -> None:
    """List, show, release or discard held rows."""


@held.command("list")
@_selectors
@click.option("--all", "everything", is_flag=True, help="Also released, superseded and discarded rows.")
@project_option
@json_option
@command
def held_list(
    select: tuple[str, ...],
    rule: str | None,
    delivery: str | None,
    everything: bool,
    project: Path,
    as_json: bool,
) -> Exit:
    """Count held rows by feed, rule and column."""
    from wellbridge.pipelines.nightly.review import summary
    from wellbridge.schemas.rules import RULES

    lines = _lines(load_site(project), select, rule, delivery, None if everything else "open")
    rows = [{**row, "meaning": RULES[row["rule"]].title} for row in summary(lines)]
    if as_json:
        show_json(document(Exit.DONE, held=rows))
    else:
        state = ["status"] if everything else []
        click.echo(table(rows, ["feed", "resource", "rule", "column", *state, "rows", "meaning"]))
    return Exit.DONE


@held.command("show")
@_selectors
@click.option("--all", "everything", is_flag=True, help="Show every line, also of closed rows.")
@project_option
@json_option
@command
def held_show(
    select: tuple[str, ...],
    rule: str | None,
    delivery: str | None,
    everything: bool,
    project: Path,
    as_json: bool,
) -> Exit:
    """Show where each held row is: file, row, column and rule. Never what it holds."""
    rows = _lines(load_site(project), select, rule, delivery, None if everything else "open").to_dicts()
    if as_json:
        show_json(document(Exit.DONE, held=rows))
        return Exit.DONE
    shown = [
        {**row, "row": row["row"] or None, "delivery": row["batch_id"][:_ID_SHOWN]}
        for row in (rows if everything else rows[:_SHOWN])
    ]
    state = ["status"] if everything else []
    click.echo(table(shown, ["feed", "resource", "file", "row", "column", "rule", *state, "delivery"]))
    if len(shown) < len(rows):
        click.echo(f"\n{len(shown)} of {len(rows):,} lines shown. --rule RULE for fewer, --all for all.")
    return Exit.DONE


@held.command("release", short_help="Try held rows again, and load those that pass.")
@_selectors
@click.option("--dry-run", is_flag=True, help="Say how many rows would be tried; write nothing.")
@project_option
@json_option
@command
def held_release(
    select: tuple[str, ...],
    rule: str | None,
    delivery: str | None,
    dry_run: bool,
    project: Path,
    as_json: bool,
) -> Exit:
    """Put held rows to the current contracts again, and load those that pass.

    They load through the ordinary walk with their own period and revision, so that a newer revision still wins.
    """
    from wellbridge.pipelines.nightly.review import wanted_of

    site = load_site(project)
    lines = _lines(site, select, rule, delivery)
    if not lines.height:
        raise ConfigurationError(
            "WB-E-012",
            "The selection matches no held row.",
            "held rows that are open",
            todo="wellbridge held list",
        )
    wanted = wanted_of(lines)
    if dry_run:
        rows = wanted.rows.height if wanted.rows is not None else 0
        if as_json:
            show_json(document(Exit.DONE, rows=rows, deliveries=list(wanted.deliveries)))
        else:
            click.echo(f"{rows:,} rows and {len(wanted.deliveries)} deliveries held whole would be tried.")
        return Exit.DONE
    return _run(site, (), (), wanted, quiet=False, as_json=as_json)


@held.command("discard")
@_selectors
@click.option("--reason", required=True, help="Why; kept in the ledger. No personal data, please.")
@click.option("--dry-run", is_flag=True, help="Say how many rows would be given up; write nothing.")
@project_option
@json_option
@command
def held_discard(
    select: tuple[str, ...],
    rule: str | None,
    delivery: str | None,
    reason: str,
    dry_run: bool,
    project: Path,
    as_json: bool,
) -> Exit:
    """Give held rows up, with a reason. The delivery stays in the landing store."""
    from wellbridge.pipelines.nightly.review import discard

    site = load_site(project)
    lines = _lines(site, select, rule, delivery)
    if not lines.height:
        raise ConfigurationError(
            "WB-E-012",
            "The selection matches no held row.",
            "held rows that are open",
            todo="wellbridge held list",
        )
    rows = lines.select("batch_id", "file", "row").n_unique() if dry_run else discard(site, lines, reason)
    if as_json:
        show_json(document(Exit.DONE, rows=rows))
    else:
        click.echo(f"{rows:,} held rows {'would be ' if dry_run else ''}discarded.")
    return Exit.DONE
