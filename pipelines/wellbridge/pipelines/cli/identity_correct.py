"""``wellbridge identity merge|split|undo|forget``: decisions of persons about who is who."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wellbridge.pipelines.cli.identity_hub import DAY, SHOWN, day_of
from wellbridge.pipelines.cli.output import (
    Choice,
    command,
    document,
    json_option,
    named_person,
    project_option,
    show_json,
)
from wellbridge.pipelines.site import load_site
from wellbridge.schemas.errors import Exit

if TYPE_CHECKING:
    from wellbridge.etl.identity.hub import By
    from wellbridge.etl.vault import Vault

_WHY_FORGOTTEN = ("asked", "law", "mistake", "ended")  # as ``hub.WHY_FORGOTTEN``, which a test compares


def _by_option(function: Any) -> Any:
    """Add who decides: kept with every decision. Accounts and names are the site's."""
    return click.option(
        "--by", "reviewer", default=getpass.getuser, show_default="your account", metavar="NAME",
        callback=named_person, help="Who decides.",
    )(function)  # fmt: skip


def _said(function: Any) -> Any:
    """Add the options of a command that changes who is who: its decision is kept with who and why."""
    for option in (
        click.option("--reason", required=True, metavar="TEXT", help="Why; kept sealed with the decision."),
        click.option(
            "--second", metavar="NAME", callback=named_person,
            help="Who else agreed; where the site asks for two reviewers.",
        ),
        _by_option,
        project_option,
        json_option,
    ):  # fmt: skip
        function = option(function)
    return function


def _since(function: Any) -> Any:
    return click.option("--since", type=DAY, help="The day since which it is so; always, without.")(function)


@click.command("merge")
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@_since
@_said
@command
def merge_command(
    one: str,
    other: str,
    since: datetime | None,
    reason: str,
    reviewer: str,
    second: str | None,
    project: Path,
    as_json: bool,
) -> Exit:
    """Say that two records are one child."""
    from wellbridge.etl.identity.explain import find_record
    from wellbridge.etl.identity.hub import By, decide_by_hand

    def change(vault: Vault, by: By) -> str:
        pair = (find_record(vault.store, one), find_record(vault.store, other))
        by = _with_sealed_reason(vault, by, pair)
        return decide_by_hand(vault.store, [pair], "link", by, since=day_of(since))

    return _changed(project, "identity.merge", change, By(reviewer, reason, second=second), as_json)


@click.command("split")
@click.argument("record", metavar="RECORD")
@click.option(
    "--from", "other", metavar="RECORD", help="Only from this record; from its whole person, without."
)
@_since
@_said
@command
def split_command(
    record: str,
    other: str | None,
    since: datetime | None,
    reason: str,
    reviewer: str,
    second: str | None,
    project: Path,
    as_json: bool,
) -> Exit:
    """Say that a record is about another child than the records it is linked to."""
    from wellbridge.etl.identity.explain import find_record, split_pairs
    from wellbridge.etl.identity.hub import By, decide_by_hand

    def change(vault: Vault, by: By) -> str:
        store = vault.store
        pairs = split_pairs(store, find_record(store, record), find_record(store, other) if other else None)
        by = _with_sealed_reason(vault, by, [end for pair in pairs for end in pair])
        return decide_by_hand(store, pairs, "nonlink", by, since=day_of(since))

    return _changed(project, "identity.split", change, By(reviewer, reason, second=second), as_json)


@click.command("undo")
@click.argument("decision", metavar="DECISION")
@_said
@command
def undo_command(
    decision: str, reason: str, reviewer: str, second: str | None, project: Path, as_json: bool
) -> Exit:
    """Take a decision back: an automatic link, a merge, a split, or an earlier undo."""
    from wellbridge.etl.identity.hub import By, records_of, undo

    def change(vault: Vault, by: By) -> str:
        return undo(vault.store, decision, _with_sealed_reason(vault, by, records_of(vault.store, decision)))

    return _changed(project, "identity.undo", change, By(reviewer, reason, second=second), as_json)


@click.command("forget", short_help="Destroy what a record or person says, for good; a tombstone stays.")
@click.argument("name", metavar="RECORD|PERSON")
@click.option("--dry-run", is_flag=True, help="Say how many records would be forgotten; change nothing.")
@click.option(
    "--reason", required=True, type=Choice(_WHY_FORGOTTEN), help="Why; a choice, so that no name stays."
)
@_by_option
@project_option
@json_option
@command
def forget_command(
    name: str, dry_run: bool, reason: str, reviewer: str, project: Path, as_json: bool
) -> Exit:
    """Destroy what the vault knows of a record, or of all records of a person, for good.

    The key that opens it is destroyed and the vault written anew; with it goes what the reasons of decisions about it
    said. A tombstone stays, so that a later delivery of the same record stays out. Deliveries in the landing store and
    releases are not reached: see docs/identity-hub.md.
    """
    from wellbridge.etl.identity.explain import find_records
    from wellbridge.etl.identity.hub import By
    from wellbridge.pipelines.nightly.identity_change import forget_records
    from wellbridge.pipelines.nightly.stores import read_vault

    site = load_site(project)
    with read_vault(site) as store:
        records = find_records(store, name)
    decisions = [] if dry_run else forget_records(site, records, By(reviewer, reason))
    if as_json:
        show_json(document(Exit.DONE, records=len(records), decisions=decisions))
    else:
        click.echo(f"{len(records):,} records {'would be ' if dry_run else ''}forgotten.")
    return Exit.DONE


def _with_sealed_reason(vault: Vault, by: By, records: Sequence[str]) -> By:
    """Return who decides, the reason sealed under the keys of the records that it is about."""
    from wellbridge.etl.identity.reasons import sealed_reason

    return replace(by, reason=sealed_reason(vault, records, by.reason))


def _changed(project: Path, action: str, change: Callable[[Vault, By], str], by: By, as_json: bool) -> Exit:
    """Apply a decision; the ledger holds its id, and neither words nor names."""
    from wellbridge.pipelines.nightly.identity_change import change_identity

    site = load_site(project)
    by.check_count(site.reviewers)

    def applied(vault: Vault, run_id: str) -> tuple[str, str]:
        decision = change(vault, replace(by, run_id=run_id))
        return decision, f"decision {decision}"

    decision = change_identity(site, action, applied)
    if as_json:
        show_json(document(Exit.DONE, decision_id=decision))
    else:
        click.echo(
            f"Decision {decision}. To take it back: wellbridge identity undo {decision[:SHOWN]} --reason …"
        )
    return Exit.DONE
