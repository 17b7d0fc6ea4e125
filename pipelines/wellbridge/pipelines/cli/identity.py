"""``wellbridge identity``: who is who, across sources and over time."""

from __future__ import annotations

from typing import Final

import click

from wellbridge.pipelines.cli.group import LazyGroup

# command → ("module:attribute", one line of help), as in ``group.COMMANDS``.
IDENTITY_COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "evaluate": ("identity_evaluate:evaluate_command", "Link two files and score the links against a known truth."),
}


@click.group(cls=LazyGroup, known=IDENTITY_COMMANDS)
def identity() -> None:
    """Link the records of one child, review doubtful pairs, explain and undo."""
