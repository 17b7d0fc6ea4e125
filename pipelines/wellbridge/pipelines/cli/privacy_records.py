"""``wellbridge privacy assess`` and ``privacy anonymize``: record files."""

from __future__ import annotations

from pathlib import Path

import click

from wellbridge.pipelines.cli.output import command, json_option
from wellbridge.schemas.errors import Exit

file_argument = click.argument("file", type=click.Path(path_type=Path))


@click.command("assess")
@file_argument
@json_option
@command
def assess_command(file: Path, as_json: bool) -> Exit:
    """Measure how well a record file hides each person."""
    raise NotImplementedError


@click.command("anonymize")
@file_argument
@json_option
@command
def anonymize_command(file: Path, as_json: bool) -> Exit:
    """Recode a record file until every person is one of k alike."""
    raise NotImplementedError
