"""``wellbridge completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from wellbridge.pipelines.cli.output import command
from wellbridge.schemas.errors import Exit


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@command
def completion(shell: str) -> Exit:
    """Print a shell's completion script."""
    from wellbridge.pipelines.cli.group import cli

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "wellbridge", "_WELLBRIDGE_COMPLETE").source())
    return Exit.DONE
