"""``wellbridge report``."""

from __future__ import annotations

from pathlib import Path

import click

from wellbridge.pipelines.cli.output import command, document, json_option, project_option, show_json
from wellbridge.pipelines.site import load_site
from wellbridge.schemas.errors import Exit


@click.group()
def report() -> None:
    """Write pages for people."""


@report.command("site", short_help="Write the page for the district's lead.")
@project_option
@json_option
@command
def report_site(project: Path, as_json: bool) -> Exit:
    """Write the district lead's page: one offline HTML file, nothing below the minimum cell."""
    from wellbridge.pipelines.report import write_site_report

    path = write_site_report(load_site(project))
    if as_json:
        show_json(document(Exit.DONE, path=str(path)))
    else:
        click.echo(str(path))
    return Exit.DONE
