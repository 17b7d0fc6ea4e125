"""``wellbridge init``."""

from __future__ import annotations

from pathlib import Path

import click

from wellbridge.pipelines.cli.output import command, document, json_option, show_json
from wellbridge.pipelines.site import init_site
from wellbridge.schemas.errors import Exit


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--district", default="Example Unified School District", show_default=True, help="Name shown on reports."
)
@json_option
@command
def init(directory: Path, district: str, as_json: bool) -> Exit:
    """Make a new site in DIR.

    Deliveries are read from DIR/inbox/FEED/. Stores and keys lie in DIR/state, readable by you alone.
    """
    from wellbridge.privacy.signing import fingerprint

    site = init_site(directory, district=district)
    signs = fingerprint(site.public_key.read_text(encoding="utf-8").split()[1])
    if as_json:
        facts = {"site": str(directory), "feeds": sorted(site.feeds), "public_key": str(site.public_key)}
        show_json(document(Exit.DONE, **facts, fingerprint=signs))
    else:
        click.echo(f"Site made in {directory}: {len(site.feeds)} feeds.")
        click.echo(f"Releases will be signed by {signs}; give {site.public_key} to whoever checks them.")
        click.echo(
            f"Next: put deliveries into {directory}/inbox/FEED/, then: wellbridge run --project {directory}"
        )
    return Exit.DONE
