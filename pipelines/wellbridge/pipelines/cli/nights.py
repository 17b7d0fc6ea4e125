"""``wellbridge plan``, ``run``, ``retry``, ``status`` and ``runs``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wellbridge.pipelines.cli.output import (
    Progress,
    command,
    document,
    json_option,
    project_option,
    show_json,
    table,
)
from wellbridge.pipelines.nightly.run import RunReport, Wanted, new_arrivals, run_night
from wellbridge.pipelines.site import FAIL_ON, GATES, Site, load_site
from wellbridge.schemas.errors import Exit, HeldError, PrivacyError, render

HELD_ROWS = "WB-E-031"
_SHOWN = 3  # reasons for which rows are held that are told one by one
GROUP_COLUMNS = ["group", "value", "true_pairs", "recall", "others_recall", "gap", "waits_in"]
_COUNTS = ["feed", "read", "loaded", "unchanged", "held", "removed"]

select_option = click.option(
    "-s", "--select", "select", multiple=True, metavar="FEED", help="Feed name or glob; repeatable."
)
exclude_option = click.option(
    "--exclude", multiple=True, metavar="FEED", help="Feed name or glob to leave out."
)
quiet_option = click.option("--quiet", is_flag=True, help="Print nothing on 0 and 99.")


@click.command()
@select_option
@exclude_option
@project_option
@json_option
@command
def plan(select: tuple[str, ...], exclude: tuple[str, ...], project: Path, as_json: bool) -> Exit:
    """Say what a run would take, read-only."""
    from wellbridge.etl.inbox import SeenFiles

    site = load_site(project)
    feeds = site.select(select, exclude)
    site.check_inboxes(feeds)
    new = [
        {"feed": a.feed, "delivery": a.path.name, "kind": site.feeds[a.feed].kind}
        for a in new_arrivals(site, feeds, SeenFiles(site.seen))
    ]
    code = Exit.DONE if new else Exit.NOTHING_NEW
    if as_json:
        show_json(document(code, deliveries=new))
    else:
        click.echo(table(new) if new else "Nothing new: a run would end with exit 99.")
    return code


@click.command()
@select_option
@exclude_option
@click.option(
    "--fail-on", type=click.Choice(FAIL_ON), default=None, help="When held rows end the run with exit 13."
)
@click.option(
    "--gates", type=click.Choice(GATES), default=None, help="Whether links that fail a gate stop the run."
)
@click.option("--dry-run", is_flag=True, help="As `plan`: write nothing.")
@quiet_option
@project_option
@json_option
@click.pass_context
@command
def run(
    context: click.Context,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    fail_on: str | None,
    gates: str | None,
    dry_run: bool,
    quiet: bool,
    project: Path,
    as_json: bool,
) -> Exit:
    """Take every new delivery through the walk."""
    if dry_run:
        context.invoke(plan, select=select, exclude=exclude, project=project, as_json=as_json)
    site = _with(load_site(project), fail_on=fail_on, gates=gates)
    return _run(site, select, exclude, None, quiet=quiet, as_json=as_json)


def _with(site: Site, **said: str | None) -> Site:
    """Return the site with what the command line says instead of its settings."""
    from dataclasses import replace

    given: dict[str, Any] = {name: value for name, value in said.items() if value}
    return replace(site, **given)


def _run(
    site: Site,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
    wanted: Wanted | None,
    *,
    quiet: bool,
    as_json: bool,
) -> Exit:
    try:
        report = _night(site, select, exclude, wanted)
    except PrivacyError as refused:
        if "links" in refused.facts and not as_json:
            show_links(refused.facts["links"])
            click.echo()
        raise
    over = report.feeds_over(site.held_limit)
    tried = _tried(report, wanted)
    if as_json:
        show_json({**report.as_dict(), "feeds_over_limit": over, **tried})
    elif not (quiet and report.exit in {Exit.DONE, Exit.NOTHING_NEW}):
        show_report(report)
        if over:
            click.echo(f"\nMore than {site.held_limit:.0%} of the rows are held of: {', '.join(over)}.")
        if tried:
            click.echo("\nTried {tried:,} held rows again: {placed:,} found their place.".format(**tried))
    return report.exit


def _night(site: Site, select: tuple[str, ...], exclude: tuple[str, ...], wanted: Wanted | None) -> RunReport:
    progress = Progress()
    try:
        return run_night(site, site.select(select, exclude), wanted=wanted, progress=progress)
    finally:
        progress.close()


def _tried(report: RunReport, wanted: Wanted | None) -> dict[str, int]:
    """Count the held rows that were asked to be tried again, and those that found their place."""
    if wanted is None or wanted.rows is None:
        return {}
    placed = sum(counts["read_again"] for counts in report.feeds.values())
    return {"tried": wanted.rows.height, "placed": placed}


def show_report(report: RunReport, *, is_brief: bool = False) -> None:
    """Print a night for a person: the identity per feed, and why rows were held or removed.

    Brief: one line a rule for all feeds, and no advice.
    """
    from wellbridge.schemas.rules import RULES

    if report.exit is Exit.NOTHING_NEW:
        click.echo("Nothing new since the last run.")
        return
    click.echo(f"Run {report.run_id}: {report.as_dict()['outcome']} (exit {int(report.exit)})\n")
    click.echo(table([{"feed": feed, **counts} for feed, counts in report.feeds.items()], _COUNTS))
    if report.reasons:
        click.echo("\nHeld or removed, by rule (a row with several faults counts under each):")
        click.echo(_by_rule(report.reasons) if is_brief else _reasons(report.reasons))
    if report.links and not is_brief:
        show_links(report.links)
    refused = [row for row in report.deliveries if row["status"] == "held"]
    if refused:
        click.echo("\nDeliveries held whole:")
        click.echo(
            table(
                [{**row, "meaning": RULES[row["rule"]].title} for row in refused],
                ["feed", "name", "rule", "meaning"],
            )
        )
    if report.waiting:
        click.echo("\nWaiting, not complete yet:")
        click.echo(table(report.waiting, ["feed", "name", "rule"]))
    for problem in [] if is_brief else _few(report.errors):
        click.echo(f"\n{render(problem)}", err=True)


def show_links(links: dict[str, Any]) -> None:
    """Print how links stand: by source and tier, what waits, the gates, and the groups that fail one."""
    if not links["sources"]:
        return
    click.echo("\nLinks to the roster, and records that wait for review:")
    click.echo(table(links["sources"]))
    for gate in links["gates"]:
        failed = f"FAILS by {', '.join(gate['failed_by'])}"
        failed = "nothing to judge" if gate["holds"] is None else "holds" if gate["holds"] else failed
        click.echo(f"Gate {gate['gate']} (limit {gate['limit']:g}): {failed}.")
    failing = {what for gate in links["gates"] for what in gate["failed_by"]}
    behind = [one for one in links["groups"] if f"{one['group']}={one['value']}" in failing]
    if behind:
        click.echo("\nGroups that are behind, by recall as estimated from open questions:")
        click.echo(table(behind, GROUP_COLUMNS))


def _reasons(rows: list[dict[str, Any]]) -> str:
    from wellbridge.schemas.rules import RULES

    meant = [{**row, "meaning": RULES[row["rule"]].title} for row in rows]
    return table(meant, ["feed", "resource", "rule", "rows", "meaning"])


def _by_rule(rows: list[dict[str, Any]]) -> str:
    from wellbridge.schemas.rules import RULES

    lines = []
    for rule in sorted({row["rule"] for row in rows}):
        under = [row for row in rows if row["rule"] == rule]
        count, feeds = sum(row["rows"] for row in under), len({row["feed"] for row in under})
        lines.append({"rule": rule, "rows": count, "feeds": feeds, "meaning": RULES[rule].title})
    return table(lines)


def _few(problems: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the held rows of many rules into one message: `held list` has a line for each."""
    rows = [problem for problem in problems if problem["code"] == HELD_ROWS]
    others = [problem for problem in problems if problem["code"] != HELD_ROWS]
    if len(rows) <= _SHOWN:
        return problems
    feeds = sorted({problem["where"].split(" · ")[0].removeprefix("feed ") for problem in rows})
    whole = HeldError(
        HELD_ROWS,
        f"Rows are held for {len(rows)} reasons.",
        f"feeds {', '.join(feeds)}",
        todo="wellbridge held list, held show, and explain RULE",
    )
    return [*others, whole.as_dict()]


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@quiet_option
@project_option
@json_option
@command
def retry(run_id: str | None, quiet: bool, project: Path, as_json: bool) -> Exit:
    """Try the held and waiting work of a run again.

    RUN is a run's id or the start of it; without it the last run is meant. Held rows are put to the current
    contracts; deliveries held whole are read again.
    """
    from wellbridge.pipelines.nightly.review import wanted_of_run

    site = load_site(project)
    return _run(site, (), (), wanted_of_run(site, run_id), quiet=quiet, as_json=as_json)


@click.command()
@project_option
@json_option
@command
def status(project: Path, as_json: bool) -> Exit:
    """Show where the site stands since the last run."""
    from wellbridge.pipelines.nightly.review import held_lines

    site = load_site(project)
    last = None
    if site.warehouse.exists():
        with _open_warehouse(project) as warehouse:
            newest = warehouse.value("SELECT run_id FROM run ORDER BY started_at DESC LIMIT 1")
            last = _facts(warehouse, newest) if newest else None
    still = held_lines(site).select("batch_id", "file", "row").n_unique()
    if as_json:
        show_json(document(Exit.DONE, last_run=last, held_open=still))
    elif last is None:
        click.echo("No run yet. Next: wellbridge run")
    else:
        click.echo(
            f"Last run {last['run_id']}: {last['outcome']} (exit {last['exit_code']})\n"
            f"It ended at {last['ended_at'].isoformat(' ', 'seconds')} UTC.\n"
        )
        click.echo(table(last["feeds"], _COUNTS))
        click.echo(f"\nHeld since the first run and still open: {still:,}. See: wellbridge held list")
    return Exit.DONE


@click.group()
def runs() -> None:
    """List or show runs."""


def _open_warehouse(project: Path) -> Any:
    from wellbridge.etl.store import open_store
    from wellbridge.schemas.warehouse import METADATA

    return open_store(load_site(project).warehouse, METADATA, read_only=True)


def _facts(warehouse: Any, run_id: str) -> dict[str, Any]:
    """Return a run with its counts per feed and its reasons."""
    (found,) = warehouse.frame("SELECT * FROM run WHERE run_id = ?", [run_id]).to_dicts()
    feeds = warehouse.frame("SELECT * EXCLUDE run_id FROM run_feed WHERE run_id = ? ORDER BY feed", [run_id])
    reasons = warehouse.frame(
        "SELECT * EXCLUDE run_id FROM run_reason WHERE run_id = ? ORDER BY ALL", [run_id]
    )
    return {**found, "feeds": feeds.to_dicts(), "reasons": reasons.to_dicts()}


@runs.command("list")
@project_option
@json_option
@command
def runs_list(project: Path, as_json: bool) -> Exit:
    """List all runs, the newest last."""
    from wellbridge.pipelines.nightly.review import short_ids

    with _open_warehouse(project) as warehouse:
        rows = warehouse.frame(
            "SELECT run_id, started_at, outcome, exit_code, coalesce(sum(read), 0)::BIGINT AS read, "
            "coalesce(sum(loaded), 0)::BIGINT AS loaded, coalesce(sum(held), 0)::BIGINT AS held "
            "FROM run LEFT JOIN run_feed USING (run_id) GROUP BY ALL ORDER BY started_at"
        ).to_dicts()
    if as_json:
        show_json(document(Exit.DONE, runs=rows))
    else:
        short = short_ids([row["run_id"] for row in rows])
        click.echo(table([{**row, "run_id": short[row["run_id"]]} for row in rows]))
    return Exit.DONE


@runs.command("show")
@click.argument("run_id", metavar="RUN")
@project_option
@json_option
@command
def runs_show(run_id: str, project: Path, as_json: bool) -> Exit:
    """Show a run, named by its id or the start of it: the identity per feed, and its reasons by rule."""
    from wellbridge.pipelines.nightly.review import run_named

    with _open_warehouse(project) as warehouse:
        found = _facts(warehouse, run_named(warehouse, run_id))
    if as_json:
        show_json(document(Exit.DONE, run=found))
    else:
        click.echo(f"Run {found['run_id']}: {found['outcome']} (exit {found['exit_code']})\n")
        click.echo(f"{table(found['feeds'], _COUNTS)}\n")
        click.echo(_reasons(found["reasons"]))
    return Exit.DONE
