"""``wellbridge privacy``: the privacy engine on any file, with or without a site."""

from __future__ import annotations

from typing import Final

import click

from wellbridge.pipelines.cli.group import LazyGroup

# command → ("module:attribute", one line of help), as in ``group.COMMANDS``.
PRIVACY_COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "assess": ("privacy_records:assess_command", "Measure how well a record file hides each person."),
    "anonymize": ("privacy_records:anonymize_command", "Recode a record file until every person is one of k alike."),
    "protect": (
        "privacy_tables:protect_command",
        "Hide the small cells of a table of counts, and the fewest others that would give them away.",
    ),
    "attack": ("privacy_attack:attack_command", "Attack published tables together; exit 18 where a count follows."),
    "certify": ("privacy_attack:certify_command", "Attack a table that was protected elsewhere, and certify it."),
    "verify": ("privacy_tables:verify_command", "Check a protected table by arithmetic alone; exit 18 on a violation."),
    "perturb": ("privacy_noise:perturb_command", "Publish a table with noise, rounded, private, or in ranges."),
}


@click.group(cls=LazyGroup, known=PRIVACY_COMMANDS)
def privacy() -> None:
    """De-identify, attack and prove any file, without a site."""
