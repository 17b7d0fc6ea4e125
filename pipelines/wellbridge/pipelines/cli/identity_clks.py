"""``wellbridge identity encode-clks`` and ``link-clks``: with partners of CODI and anonlink."""

from __future__ import annotations

from pathlib import Path

import click

from wellbridge.pipelines.cli.identity_encoded import FILE, out_option, refuse_existing, write_private
from wellbridge.pipelines.cli.output import command, document, json_option, show_json, table
from wellbridge.schemas.errors import ConfigurationError, Exit


@click.command("encode-clks")
@click.argument("file", type=FILE)
@click.option("--schema", required=True, type=FILE, help="A linkage schema of clkhash, version 3.")
@click.option("--secret", required=True, type=FILE, help="The shared secret: hexadecimal text.")
@click.option("--codi", is_flag=True, help="Make the key from the secret as CODI's tools do.")
@out_option
@json_option
@command
def encode_clks_command(file: Path, schema: Path, secret: Path, codi: bool, out: Path, as_json: bool) -> Exit:
    """Encode a file by a clkhash schema for partners of CODI or anonlink; neither salted nor sealed."""
    from wellbridge.etl.identity.encoded.clk import encode
    from wellbridge.etl.identity.encoded.clks import codi_key, read_secret, write_clks
    from wellbridge.etl.identity.encoded.schema import read_schema
    from wellbridge.privacy.records.files import read_records

    read = read_schema(schema)
    key = codi_key(secret) if codi else read_secret(secret)
    records = read_records(file).frame
    if tuple(records.columns) != read.names:
        raise ConfigurationError(
            "WB-E-082",
            "The file's columns are not those of the schema, in its order.",
            f"file {file.name}",
            todo="Give it the columns that the schema lists, ignored ones too",
        )
    filters = encode(records, read, key)
    write_clks(out, filters)
    if as_json:
        show_json(
            document(Exit.DONE, records=len(filters), bits=read.bits, schema_sha256=read.sha256, out=str(out))
        )
    else:
        click.echo(
            f"{out}: {len(filters):,} filters of {read.bits:,} bits. The file is not sealed: send it encrypted, "
            "and delete it when it was linked."
        )
    return Exit.DONE


@click.command("link-clks")
@click.argument("left", type=FILE)
@click.argument("right", type=FILE)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.75,
    show_default=True,
    help="Least Dice coefficient of a link.",
)
@click.option("--keep", is_flag=True, help="Keep both files: a partner's tools still need them.")
@out_option
@json_option
@command
def link_clks_command(
    left: Path, right: Path, threshold: float, keep: bool, out: Path, as_json: bool
) -> Exit:
    """Link two files of clks, or CODI's ZIPs schema by schema, one to one; then delete both.

    The files are not sealed, and as sensitive as the names: --keep leaves that to you.
    """
    import polars as pl

    from wellbridge.etl.identity.encoded.clks import match, read_clks
    from wellbridge.etl.identity.encoded.keys import destroy_all

    refuse_existing(out)
    if left.exists() and right.exists() and left.samefile(right):
        raise ConfigurationError(
            "WB-E-011",
            "The two files are one and the same.",
            f"file {left.name}",
            todo="Give two owners' files",
        )
    sides = [read_clks(path) for path in (left, right)]
    alone = len(sides[0]) == len(sides[1]) == 1
    names = [(one, other) for one in sides[0] for other in sides[1] if alone or one == other]
    if not names:
        raise ConfigurationError(
            "WB-E-087", "The two files have no schema in common.", f"{left.name} · {right.name}"
        )
    found = {one: match(sides[0][one], sides[1][other], threshold) for one, other in names}
    write_private(
        pl.concat([links.select(pl.lit(name).alias("schema"), pl.all()) for name, links in found.items()]),
        out,
    )
    rows = [
        {
            "schema": name,
            "left": len(sides[0][name]),
            "right": len(sides[1][other]),
            "links": found[name].height,
        }
        for name, other in names
    ]
    gone = [] if keep else destroy_all((left, right), out)
    if as_json:
        show_json(document(Exit.DONE, schemas=rows, threshold=threshold, out=str(out), destroyed=gone))
    else:
        kept = "Both files are kept and hold personal data: delete them when their tools are done."
        last = kept if keep else f"destroyed: {', '.join(gone)}"
        click.echo(f"{table(rows)}\n\nwritten: {out}\n{last}")
    return Exit.DONE
