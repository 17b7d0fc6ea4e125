"""``wellbridge doctor``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from wellbridge.pipelines.cli.output import command, document, json_option, project_option, show_json
from wellbridge.schemas.errors import Exit


@click.command()
@project_option
@json_option
@command
def doctor(project: Path, as_json: bool) -> Exit:
    """Check the site, read-only."""
    from wellbridge.pipelines.doctor import examine, verdict

    findings = examine(project)
    code = verdict(findings)
    if as_json:
        shown = [{key: value for key, value in asdict(f).items() if key != "exit"} for f in findings]
        show_json(document(code, checks=shown))
    else:
        for finding in findings:
            click.echo(f"{finding.state:<5} {finding.check:<14} {finding.detail}")
            if finding.todo:
                click.echo(f"{'':<20} do: {finding.todo}")
    return code
