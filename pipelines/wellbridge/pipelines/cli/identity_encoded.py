"""``wellbridge identity new-key`` and ``encode``: codes in place of names.

``encode`` runs at a partner's, with what `requirements-encode.lock` installs and nothing more.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from wellbridge.pipelines.cli.output import command, document, json_option, show_json
from wellbridge.schemas.errors import ConfigurationError, Exit

if TYPE_CHECKING:
    import polars as pl

    from wellbridge.etl.identity.encoded.partner import Prepared

FILE: Final = click.Path(path_type=Path, dir_okay=False)

agreement_option = click.option(
    "--agreement", required=True, metavar="ID", help="The agreement that it is for."
)
epoch_option = click.option(
    "--epoch", required=True, type=click.IntRange(1), help="Counts up whenever the keys change."
)
out_option = click.option("--out", required=True, type=FILE, help="Where the result is written.")


@click.command("new-key")
@click.argument("file", type=FILE)
@click.option(
    "--for", "hub", type=FILE, metavar="HUB.pub", help="Make the pair key for the hub with this public key."
)
@json_option
@command
def new_key_command(file: Path, hub: Path | None, as_json: bool) -> Exit:
    """Make the hub's key of one linkage, or with --for the pair key that both sides encode with."""
    from wellbridge.etl.identity.encoded.keys import new_hub_key, new_pair_key

    written = [file]
    if hub is None:
        written.append(new_hub_key(file))
    else:
        new_pair_key(file, hub)
    if as_json:
        show_json(document(Exit.DONE, written=[str(one) for one in written]))
    else:
        click.echo("\n".join(f"written: {one}" for one in written))
    return Exit.DONE


@click.command("encode")
@click.argument("file", type=FILE)
@click.option("--key", required=True, type=FILE, help="The pair key, as the hub gave it.")
@agreement_option
@epoch_option
@click.option(
    "--out",
    required=True,
    type=FILE,
    help="Where the bundle is written; NAME.rows.csv beside it stays here.",
)
@click.option(
    "--column", "columns", multiple=True, metavar="TRAIT=COLUMN", help="The file's own name of a trait."
)
@click.option(
    "--dummies",
    type=click.FloatRange(0, 0.5),
    default=0.0,
    show_default=True,
    help="Share of all that leaves that is made up, so that nobody can tell who is in the file.",
)
@json_option
@command
def encode_command(
    file: Path,
    key: Path,
    agreement: str,
    epoch: int,
    out: Path,
    columns: tuple[str, ...],
    dummies: float,
    as_json: bool,
) -> Exit:
    """Encode a file's children into a sealed bundle of filters and tokens; no name or date leaves.

    Every child once. Records with too little to be linked are left out and counted.
    """
    from dataclasses import asdict

    from wellbridge.etl.identity.encoded.bundle import write_bundle
    from wellbridge.etl.identity.encoded.keys import read_pair_key
    from wellbridge.etl.identity.encoded.partner import prepare, read_children
    from wellbridge.etl.identity.encoded.rows import named
    from wellbridge.privacy.recipient import new_private, public_of

    rows = out.with_name(f"{out.name}.rows.csv")
    refuse_existing(out, rows)
    keys = read_pair_key(key, agreement, epoch)
    prepared = prepare(read_children(file), keys.of, columns=_columns(columns), dummies=dummies)
    private = new_private()
    write_private(named(prepared.rows, public_of(private)), rows)
    manifest = write_bundle(out, prepared.records, keys, private)
    facts = {
        "file": file.name,
        "read": prepared.read,
        "encoded": prepared.read - sum(prepared.left_out.values()),
        "left_out": prepared.left_out,
        "twice": prepared.twice,
        "dummies": prepared.dummies,
        "bundle": str(out),
        "rows": str(rows),
    }
    for line in _held_twice(prepared):
        click.echo(line, err=True)
    if as_json:
        show_json(
            document(Exit.DONE, **facts, manifest=asdict(manifest), cpu_s=round(time.process_time(), 3))
        )
    else:
        left = "".join(f"\n  left out, {why}: {count:,}" for why, count in prepared.left_out.items())
        click.echo(
            f"{out}: {facts['encoded']:,} of {prepared.read:,} records, {prepared.dummies:,} made up{left}\n"
            f"Send the bundle; keep {rows}, which says whose rows they are."
        )
    return Exit.DONE


def _held_twice(prepared: Prepared) -> list[str]:
    return [
        f"Warning: {count:,} records have the {what} of a record before them. A file should hold a child once: of two "
        "records of one child one stays unlinked, and more are taken for look-alikes."
        for what, count in prepared.twice.items()
        if count
    ]


def _columns(said: tuple[str, ...]) -> dict[str, str]:
    from wellbridge.etl.identity.standard import RECORD

    found = dict(text.partition("=")[::2] for text in said)
    unknown = [name for name, column in found.items() if name not in RECORD or not column]
    if unknown:
        raise ConfigurationError(
            "WB-E-015",
            "A trait is not known, or its column is not said.",
            "--column",
            todo=f"TRAIT=COLUMN, a trait being one of {', '.join(RECORD)}",
        )
    return found


def write_private(frame: pl.DataFrame, path: Path) -> None:
    """Write a new CSV that its owner alone may read."""
    from wellbridge.privacy.seal import wrote_new
    from wellbridge.schemas.errors import StoreError

    if not wrote_new(path, frame.write_csv):
        raise StoreError(
            "WB-E-050",
            "The result cannot be written: the folder is missing or closed, or has no room.",
            f"file {path.name}",
            todo="Name a new file in a folder that exists and may be written to",
        )


def refuse_existing(*paths: Path) -> None:
    """Refuse to write over a file: it may be a bundle, or the only word on whose rows are whose."""
    there = [path.name for path in paths if path.exists()]
    if there:
        raise ConfigurationError(
            "WB-E-011",
            "A file of this name exists already.",
            f"--out · {', '.join(there)}",
            todo="Name a new file, or remove the old ones",
        )
