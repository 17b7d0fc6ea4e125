"""``wellbridge identity status|as-of|explain``: what the hub of who is who holds."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from wellbridge.pipelines.cli.nights import GROUP_COLUMNS, show_links
from wellbridge.pipelines.cli.output import (
    command,
    document,
    json_option,
    project_option,
    show_json,
    table,
)
from wellbridge.pipelines.site import load_site
from wellbridge.schemas.errors import ConfigurationError, Exit, StoreError

SHOWN = 12  # characters of a key in a table
DAY = click.DateTime(["%Y-%m-%d"])
_INSTANT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"])


def day_of(moment: datetime | None) -> date | None:
    """Return the day that an option of kind ``DAY`` gave."""
    return moment.date() if moment else None


@click.command("status")
@project_option
@json_option
@command
def status_command(project: Path, as_json: bool) -> Exit:
    """Count records, persons, links and questions, and check the chain of key events."""
    from wellbridge.etl.identity.explain import summary
    from wellbridge.pipelines.nightly.chain import noted_ends
    from wellbridge.pipelines.nightly.link_gates import refused_links
    from wellbridge.pipelines.nightly.stores import read_vault

    site = load_site(project)
    refused = refused_links(site)
    try:
        with read_vault(site) as store:
            found = {**summary(store, site.repeating, noted_ends(site)), "refused": refused}
    except StoreError as nothing:  # a first night that was refused leaves no hub
        nothing.facts["refused"] = refused
        if refused and not as_json:
            _show_refused(refused)
        raise
    code = Exit.DONE if found["events"]["first_broken"] is None else Exit.VERIFY
    if as_json:
        show_json(document(code, **found))
        return code
    click.echo(table(found["sources"], ["source", "records", "linked", "forgotten", "buried", "repeats"]))
    click.echo(f"\n{found['persons']:,} persons; {found['review']:,} pairs wait for review.")
    if found["decided"]:
        click.echo(table(found["decided"], ["outcome", "reason", "pairs"]))
    for line in _last_links(found["run"]):
        click.echo(line)
    if refused:
        _show_refused(refused)
    broken = found["events"]["first_broken"]
    chain = "whole" if broken is None else f"BROKEN at event {broken}"
    click.echo(f"\n{found['events']['count']:,} key events, their chain {chain}.")
    return code


def _show_refused(refused: dict[str, Any]) -> None:
    """Print how the links of a night stood that a gate refused, and what to do."""
    click.echo(f"\nA gate refused the night of {refused['at']}; nothing of it was taken:")
    show_links(refused["links"])
    click.echo("To take it: wellbridge run --gates warn; then: wellbridge identity review next")


def _last_links(run: dict[str, Any] | None) -> list[str]:
    """Say how the links stood after the last run that decided anything: by tier, and where a group is behind."""
    links = json.loads(run["metrics"]).get("links") if run else None
    if not links:
        return []
    groups = [one for one in links["groups"] if (one["gap"] or 0) > 0]
    groups.sort(key=lambda one: (not one["is_more_than_chance"], -one["gap"]))
    behind: dict[str, dict[str, Any]] = {}  # of each kind of group the first
    for one in groups:
        behind.setdefault(one["group"], one)
    lines = [f"\nLinks to the roster after run {run['run_id']}:", table(links["sources"])] if run else []
    if behind:
        title = "Of each kind of group the one furthest behind, by recall as estimated from open questions"
        rows = [{**one, "chance": not one["is_more_than_chance"]} for one in behind.values()]
        lines += [f"\n{title} (chance: by no more than chance):", table(rows, [*GROUP_COLUMNS, "chance"])]
    most = links["drift"]["most"]
    return [
        *lines,
        "\nDrift since the run before: " + ("nothing to compare." if most is None else f"{most:.2f} bits."),
    ]


@click.command("as-of")
@click.argument("record", metavar="RECORD")
@click.option(
    "--known", type=_INSTANT, help="As it was believed then (UTC; of a day, its end); as now, without."
)
@click.option("--on", "day", type=DAY, help="Who it was in the world on that day; now, without.")
@project_option
@json_option
@command
def as_of_command(
    record: str, known: datetime | None, day: datetime | None, project: Path, as_json: bool
) -> Exit:
    """Say whom a record was about, as believed then or as it was in the world."""
    from wellbridge.etl.identity.explain import as_of, find_record
    from wellbridge.pipelines.nightly.stores import read_vault

    with read_vault(load_site(project)) as store:
        found = as_of(store, find_record(store, record), _end(known), day_of(day))
    if as_json:
        show_json(document(Exit.DONE, **found))
        return Exit.DONE
    if found["person_key"] is None:
        click.echo("The record was not known then.")
        return Exit.DONE
    same = "" if found["key_now"] == found["person_key"] else f", today {found['key_now']}"
    click.echo(f"person {found['person_key']}{same}")
    click.echo(
        table(_short(found["records"]), ["record_id", "source", "valid_from", "valid_to", "asserted_from"])
    )
    return Exit.DONE


@click.command("explain")
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@project_option
@json_option
@command
def explain_command(one: str, other: str, project: Path, as_json: bool) -> Exit:
    """Show why two records are, or are not, one person: never what they say."""
    from wellbridge.etl.identity.explain import explain, find_record
    from wellbridge.etl.identity.matcher import matcher_of
    from wellbridge.etl.identity.reasons import with_reasons
    from wellbridge.pipelines.nightly.stores import read_vault, seals_of

    site = load_site(project)
    model = matcher_of(site.model, site.engine).model
    with read_vault(site) as store:
        found = explain(store, find_record(store, one), find_record(store, other), model)
        found["decisions"] = with_reasons(seals_of(site), found["decisions"])
    if as_json:
        show_json(document(Exit.DONE, **found))
    else:
        click.echo(_explained(found))
    return Exit.DONE


def _end(known: datetime | None) -> datetime | None:
    """Return the instant meant: of a bare day its last."""
    if known is None or known.time() != datetime.min.time():
        return known
    if known > datetime.now(UTC).replace(tzinfo=None):
        raise ConfigurationError(
            "WB-E-016", "What will be believed on a day to come is not known.", "--known"
        )
    return datetime.combine(known.date(), datetime.max.time())


def _short(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    keys = ("record_id", "decision_id", "event_id", "from_key", "to_key", "runner_up")
    return [
        {name: value[:SHOWN] if name in keys and value else value for name, value in row.items()}
        for row in rows
    ]


def _explained(found: dict[str, Any]) -> str:
    is_same = len(found["records"]) == 1
    title = "One and the same record." if is_same else "One person." if found["are_one"] else "Two persons."
    lines, compared = [title, "", table(_short(found["records"]))], found["compared"]
    if compared is None and not is_same:
        lines += ["", "The two were never compared: they share too little to be candidates."]
    elif compared is not None:
        other = "Another model than the site's scored the pair; the next night scores it anew."
        levels = compared["levels"]
        lines += ["", table(levels, ["comparison", "level", "bits"]) if levels else other, ""]
        lines += [f"weight {_bits(compared['weight'])}, with the prior {_bits(compared['bits'])}"]
        rival = compared["runner_up"]
        lines += [f"margin {_bits(compared['margin'])} to {rival[:SHOWN]}" if rival else "no rival"]
        lines += [f"{compared['tier']}: {compared['outcome']}, {compared['reason']}: {compared['meaning']}"]
    for title in ("constraints", "decisions", "events"):
        if found[title]:
            lines += ["", title, table(_short(found[title]))]
    return "\n".join(lines)


def _bits(number: float | None) -> str:
    return "(none)" if number is None else f"{number:.1f} bits"
