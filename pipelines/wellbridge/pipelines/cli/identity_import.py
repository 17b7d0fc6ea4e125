"""``wellbridge identity import-links``: links by codes become decisions of the hub."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from wellbridge.pipelines.cli.output import (
    command,
    document,
    json_option,
    named_person,
    project_option,
    show_json,
    table,
)
from wellbridge.pipelines.site import load_site
from wellbridge.schemas.errors import Exit


@click.command("import-links")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--feed", required=True, metavar="FEED", help="The feed whose rows carry the ids of the right side."
)
@click.option(
    "--agreement",
    required=True,
    metavar="ID",
    help="Under which the files were linked, on file and in force.",
)
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept sealed with every decision.")
@click.option(
    "--by", "reviewer", default=getpass.getuser, show_default="your account", metavar="NAME",
    callback=named_person, help="Who imports.",
)  # fmt: skip
@click.option(
    "--second", metavar="NAME", callback=named_person,
    help="Who else agreed; where the site asks for two reviewers.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would become of every row; change nothing.")
@project_option
@json_option
@command
def import_links_command(
    file: Path,
    feed: str,
    agreement: str,
    reason: str,
    reviewer: str,
    second: str | None,
    dry_run: bool,
    project: Path,
    as_json: bool,
) -> Exit:
    """Take links that link-bundle found into the hub, each as a decision.

    FILE holds the record ids of both sides: the roster's student numbers left, right the partner's own ids as its rows
    carry them. All links take effect in one run, with the facts that wait for them. A row that the hub knows better
    about is left out; every row is counted. To take a link back: identity undo.
    """
    from wellbridge.etl.identity.hub import By
    from wellbridge.etl.identity.imported import FATES
    from wellbridge.pipelines.importing import import_links

    site, by = load_site(project), By(reviewer, reason, second=second)
    by.check_count(site.reviewers)
    counts = import_links(site, file, feed, agreement, by, dry_run=dry_run)
    read = sum(counts.values())
    if as_json:
        show_json(
            document(
                Exit.DONE,
                file=file.name,
                feed=feed,
                agreement=agreement,
                dry_run=dry_run,
                read=read,
                rows=counts,
            )
        )
        return Exit.DONE
    rows = [{"rows": count, "what": fate, "because": FATES[fate]} for fate, count in counts.items() if count]
    change = "Nothing was changed" if dry_run or not counts["imported"] else "Imported"
    click.echo(f"{table(rows)}\n\n{change}: {file.name}, {read:,} rows, feed {feed}, agreement {agreement}.")
    return Exit.DONE
