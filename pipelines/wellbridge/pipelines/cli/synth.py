"""``wellbridge synth``."""

from __future__ import annotations

from pathlib import Path

import click

from wellbridge.pipelines.cli.output import Progress, command, document, json_option, show_json
from wellbridge.schemas.errors import ConfigurationError, Exit


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--students", type=click.IntRange(min=50), default=5_000, show_default=True, help="Size of the district."
)
@click.option(
    "--nights", type=click.IntRange(min=1), default=3, show_default=True, help="Nights of deliveries."
)
@click.option(
    "--pairs",
    "is_pairs",
    is_flag=True,
    help="Write two files about the same children instead, with who is who, to measure linking with.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same bytes.")
@json_option
@command
def synth(directory: Path, students: int, nights: int, is_pairs: bool, seed: int, as_json: bool) -> Exit:
    """Write a synthetic district's deliveries, with the truth.

    DIR/night-1..K/FEED/ holds what each partner would send, DIR/truth/ who is who, every planted defect, and the true
    value of every measure. Every person in it is invented.
    """
    if directory.is_dir() and any(directory.iterdir()):
        raise ConfigurationError(
            "WB-E-011", "The folder holds something already.", directory.name, todo="Choose another folder"
        )
    if is_pairs:
        return _pairs(directory, students, seed, as_json)
    from wellbridge.pipelines.synth.generate import generate

    progress = Progress()
    try:
        generate(
            directory,
            students=students,
            nights=nights,
            seed=seed,
            progress=lambda done, _of: progress("synth", "students", done),
        )
    finally:
        progress.close()
    if as_json:
        show_json(document(Exit.DONE, directory=str(directory), students=students, nights=nights, seed=seed))
    else:
        click.echo(f"{students:,} students, {nights} nights, seed {seed}, in {directory}.")
    return Exit.DONE


def _pairs(directory: Path, children: int, seed: int, as_json: bool) -> Exit:
    from wellbridge.pipelines.synth.pairs import write_pairs

    write_pairs(directory, children=children, seed=seed)
    if as_json:
        show_json(document(Exit.DONE, directory=str(directory), children=children, seed=seed))
    else:
        click.echo(
            f"left.parquet and right.parquet of {children:,} children each, seed {seed}, in {directory}."
        )
    return Exit.DONE
