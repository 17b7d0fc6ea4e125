"""``wellbridge identity``: who is who, across sources and over time."""

from __future__ import annotations

from typing import Final

import click

from wellbridge.pipelines.cli.group import LazyGroup

# command → ("module:attribute", one line of help), as in ``group.COMMANDS``.
IDENTITY_COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "train": (
        "identity_train:train_command",
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
    "merge": ("identity_correct:merge_command", "Say that two records are one child."),
    "split": (
        "identity_correct:split_command",
        "Say that a record is about another child than the records it is linked to.",
    ),
    "undo": (
        "identity_correct:undo_command",
        "Take a decision back: an automatic link, a merge, a split, or an earlier undo.",
    ),
    "forget": (
        "identity_correct:forget_command",
        "Destroy what a record or person says, for good; a tombstone stays.",
    ),
    "review": ("identity_review:review", "Decide doubtful pairs of records: one child or two."),
    "new-key": (
        "identity_encoded:new_key_command",
        "Make the hub's key of one linkage, or with --for the pair key that both sides encode with.",
    ),
    "encode": (
        "identity_encoded:encode_command",
        "Encode a file's children into a sealed bundle of filters and tokens; no name or date leaves.",
    ),
    "link-bundle": (
        "identity_link:link_bundle_command",
        "Link two bundles, LEFT the roster; then destroy the hub's key and both bundles.",
    ),
    "import-links": (
        "identity_import:import_links_command",
        "Take links that link-bundle found into the hub, each as a decision.",
    ),
    "encode-clks": (
        "identity_clks:encode_clks_command",
        "Encode a file by a clkhash schema for partners of CODI or anonlink; neither salted nor sealed.",
    ),
    "link-clks": (
        "identity_clks:link_clks_command",
        "Link two files of clks, or CODI's ZIPs schema by schema, one to one; then delete both.",
    ),
}


@click.group(cls=LazyGroup, known=IDENTITY_COMMANDS)
def identity() -> None:
    """Link the records of one child, review doubtful pairs, explain and undo."""
