"""``wellbridge identity new-key``, ``encode`` and ``link-bundle``: linking by codes alone.

``encode`` runs at a partner's, with what `requirements-encode.lock` installs and nothing more.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from wellbridge.pipelines.cli.output import command, document, json_option, show_json, table
from wellbridge.schemas.errors import ConfigurationError, Exit

if TYPE_CHECKING:
    import polars as pl

    from wellbridge.etl.identity.encoded.linking import Linked

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
    from wellbridge.etl.identity.encoded.partner import prepare
    from wellbridge.privacy.records.files import read_records

    rows = out.with_name(f"{out.name}.rows.csv")
    refuse_existing(out, rows)
    keys = read_pair_key(key, agreement, epoch)
    prepared = prepare(read_records(file).frame, keys.of, columns=_columns(columns), dummies=dummies)
    write_private(prepared.rows, rows)
    manifest = write_bundle(out, prepared.records, keys)
    facts = {
        "file": file.name,
        "read": prepared.read,
        "encoded": prepared.read - sum(prepared.left_out.values()),
        "left_out": prepared.left_out,
        "dummies": prepared.dummies,
        "bundle": str(out),
        "rows": str(rows),
    }
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


@click.command("link-bundle")
@click.argument("left", type=FILE)
@click.argument("right", type=FILE)
@click.option(
    "--key", required=True, type=FILE, help="The hub's key; it is destroyed when the links are written."
)
@agreement_option
@epoch_option
@out_option
@click.option(
    "--precision",
    type=click.FloatRange(0.5, 1, max_open=True),
    default=0.999,
    show_default=True,
    help="Share of links that must be right, by the look-alikes within LEFT.",
)
@click.option("--left-rows", type=FILE, help="LEFT's own .rows.csv, where it is here.")
@click.option("--right-rows", type=FILE, help="RIGHT's own .rows.csv, where it is here.")
@click.option(
    "--truth", type=FILE, help="To evaluate: a file of true pairs, columns left and right, as record ids."
)
@json_option
@command
def link_bundle_command(
    left: Path,
    right: Path,
    key: Path,
    agreement: str,
    epoch: int,
    out: Path,
    precision: float,
    left_rows: Path | None,
    right_rows: Path | None,
    truth: Path | None,
    as_json: bool,
) -> Exit:
    """Link two bundles, LEFT the roster; then destroy the hub's key and both bundles.

    A bundle that was made for another linkage is refused before anything of it is opened. The links are pairs of
    rows; who they are only the owners' own .rows.csv tell.
    """
    from wellbridge.etl.identity.encoded.bundle import check_manifest, open_bundle, read_manifest
    from wellbridge.etl.identity.encoded.keys import destroy, read_hub_key
    from wellbridge.etl.identity.encoded.linking import link
    from wellbridge.etl.identity.encoded.scorer import built_in

    rows = {"left": left_rows, "right": right_rows}
    if truth is not None and None in rows.values():
        raise ConfigurationError(
            "WB-E-011",
            "True pairs are record ids, so both files of rows are needed.",
            "--truth",
            todo="Add --left-rows and --right-rows",
        )
    refuse_existing(out)
    private = read_hub_key(key)
    manifests = [read_manifest(path) for path in (left, right)]
    for path, manifest in zip((left, right), manifests, strict=True):
        check_manifest(manifest, path, agreement=agreement, epoch=epoch, key_check=manifests[0].key_check)
    records = [open_bundle(path, one, private) for path, one in zip((left, right), manifests, strict=True)]
    found = link(records[0], records[1], precision=precision)
    known = _with_ids(found.links, rows)
    scores = None if truth is None else _scores(known, truth)
    write_private(known, out)
    for path in (key, left, right):
        destroy(path)
    facts: dict[str, Any] = {
        "left": manifests[0].records,
        "right": manifests[1].records,
        "candidates": found.candidates,
        "links": found.links.height,
        **_expected(found),
        "model": built_in().name,
        "model_sha256": built_in().sha256,
        "destroyed": [path.name for path in (key, left, right)],
        "out": str(out),
        "evaluation": scores,
    }
    if as_json:
        show_json(document(Exit.DONE, **facts, cpu_s=round(time.process_time(), 3)))
    else:
        click.echo(_summary(facts))
    return Exit.DONE


def _expected(found: Linked) -> dict[str, Any]:
    return {
        "pairs": found.outcomes,
        "limit_bits": round(found.limit_bits, 2),
        "is_calibrated": found.is_calibrated,
        "expected_false": round(found.calibration.false, 1) if found.is_calibrated else None,
    }


def _summary(facts: dict[str, Any]) -> str:
    expected = (
        f"of them expected to be wrong: {facts['expected_false']:,.1f} at most"
        if facts["is_calibrated"]
        else "the files are too small to find a limit, so the usual one holds"
    )
    lines = [
        f"{facts['out']}: {facts['links']:,} links between {facts['left']:,} and {facts['right']:,} rows",
        f"{expected}; limit {facts['limit_bits']} bits",
        f"destroyed: {', '.join(facts['destroyed'])}",
    ]
    return "\n\n".join(["\n".join(lines), *([table([facts["evaluation"]])] if facts["evaluation"] else [])])


def _with_ids(links: pl.DataFrame, rows: dict[str, Path | None]) -> pl.DataFrame:
    """Put the owners' record ids beside the rows where their files are here; links to dummies are no links."""
    import polars as pl

    from wellbridge.privacy.records.files import read_records

    for side, path in rows.items():
        if path is None:
            continue
        frame = read_records(path).frame
        if not {"row", "record_id"} <= set(frame.columns):
            raise ConfigurationError(
                "WB-E-082", "The file has no columns row and record_id.", f"--{side}-rows {path.name}"
            )
        ids = frame.select(
            pl.col("row").cast(pl.Int64, strict=False).alias(f"{side}_row"),
            pl.col("record_id").alias(f"{side}_id"),
        )
        links = links.join(ids, on=f"{side}_row", how="left", maintain_order="left").filter(
            pl.col(f"{side}_id").is_not_null() & (pl.col(f"{side}_id") != "")
        )
    return links


def _scores(links: pl.DataFrame, truth: Path) -> dict[str, Any]:
    import polars as pl

    from wellbridge.privacy.records.files import read_records

    frame = read_records(truth).frame
    if not {"left", "right"} <= set(frame.columns):
        raise ConfigurationError(
            "WB-E-082", "The file has no columns left and right.", f"--truth {truth.name}"
        )
    pairs = frame.select(pl.col("left").cast(pl.String), pl.col("right").cast(pl.String)).unique()
    right = links.join(pairs, left_on=["left_id", "right_id"], right_on=["left", "right"], how="semi").height
    return {
        "true_pairs": pairs.height,
        "links": links.height,
        "right": right,
        "wrong": links.height - right,
        "precision": right / max(links.height, 1),
        "recall": right / max(pairs.height, 1),
    }
