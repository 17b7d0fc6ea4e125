"""``wellbridge identity``: who is who, across sources and over time."""

from __future__ import annotations

from typing import Final

import click

from wellbridge.pipelines.cli.group import LazyGroup

# command → ("module:attribute", one line of help), as in ``group.COMMANDS``.
IDENTITY_COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "train": (
        "identity_evaluate:train_command",
        "Learn the weights of a model from labelled pairs, or without.",
    ),
    "evaluate": (
        "identity_evaluate:evaluate_command",
        "Link two files and score the links against a known truth.",
    ),
    "status": (
        "identity_hub:status_command",
        "Count records, persons, links and questions, and check the chain of key events.",
    ),
    "as-of": (
        "identity_hub:as_of_command",
        "Say whom a record was about, as believed then or as it was in the world.",
    ),
    "explain": (
        "identity_hub:explain_command",
        "Show why two records are, or are not, one person: never what they say.",
    ),
    "merge": ("identity_hub:merge_command", "Say that two records are one child."),
    "split": (
        "identity_hub:split_command",
        "Say that a record is about another child than the records it is linked to.",
    ),
    "undo": (
        "identity_hub:undo_command",
        "Take a decision back: an automatic link, a merge, a split, or an earlier undo.",
    ),
    "forget": (
        "identity_hub:forget_command",
        "Destroy what a record or person says, for good; a tombstone stays.",
    ),
    "review": ("identity_review:review", "Decide doubtful pairs of records: one child or two."),
}


@click.group(cls=LazyGroup, known=IDENTITY_COMMANDS)
def identity() -> None:
    """Link the records of one child, review doubtful pairs, explain and undo."""
