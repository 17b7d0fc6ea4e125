"""``wellbridge identity link-bundle``: the hub links two bundles, then destroys them and the key that opens them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wellbridge.pipelines.cli.identity_encoded import (
    FILE,
    agreement_option,
    epoch_option,
    out_option,
    refuse_existing,
    write_private,
)
from wellbridge.pipelines.cli.output import command, document, json_option, show_json, table
from wellbridge.schemas.errors import ConfigurationError, Exit

if TYPE_CHECKING:
    import polars as pl

    from wellbridge.etl.identity.encoded.linking import Linked


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
    "--project",
    type=click.Path(path_type=Path, file_okay=False),
    help="A site, where this is one: its agreement must be on file and in force.",
)
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
    project: Path | None,
    truth: Path | None,
    as_json: bool,
) -> Exit:
    """Link two bundles, LEFT the roster; then destroy the hub's key and both bundles.

    A bundle that was made for another linkage is refused before anything of it is opened. The links are pairs of
    rows; who they are only the owners' own .rows.csv tell. Pairs that only a person could decide are written too, as
    outcome "review".
    """
    from wellbridge.etl.identity.encoded.bundle import check_manifest, open_bundle, read_manifest
    from wellbridge.etl.identity.encoded.keys import destroy_all, read_hub_key
    from wellbridge.etl.identity.encoded.linking import link
    from wellbridge.etl.identity.encoded.rows import read_rows
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
    if project is not None:
        from wellbridge.pipelines.agreed import agreement_in_force
        from wellbridge.pipelines.site import load_site

        agreement_in_force(load_site(project), agreement)
    private = read_hub_key(key)
    manifests = [read_manifest(path) for path in (left, right)]
    for path, manifest in zip((left, right), manifests, strict=True):
        check_manifest(manifest, path, agreement=agreement, epoch=epoch, key_check=manifests[0].key_check)
    if manifests[0].sender == manifests[1].sender:
        raise ConfigurationError(
            "WB-E-011",
            "The two bundles are one and the same.",
            f"{left.name} · {right.name}",
            todo="Give the roster's bundle and the partner's",
        )
    known = {
        side: read_rows(path, manifest)
        for (side, path), manifest in zip(rows.items(), manifests, strict=True)
        if path is not None
    }
    pairs = None if truth is None else _true_pairs(truth)
    records = [open_bundle(path, one, private) for path, one in zip((left, right), manifests, strict=True)]
    found = link(records[0], records[1], precision=precision)
    told = _told(found, known, agreement)
    links = told.filter(outcome="link")
    scores = None if pairs is None else _scores(links, pairs)
    write_private(told, out)
    facts: dict[str, Any] = {
        "left": manifests[0].records,
        "right": manifests[1].records,
        "candidates": found.candidates,
        "links": links.height,
        "review": told.height - links.height,
        "with_dummies": found.pairs.height - told.height,
        **_expected(found),
        "model": built_in().name,
        "model_sha256": built_in().sha256,
        "destroyed": destroy_all((key, left, right), out),
        "out": str(out),
        "evaluation": scores,
    }
    if as_json:
        show_json(document(Exit.DONE, **facts, cpu_s=round(time.process_time(), 3)))
    else:
        click.echo(_summary(facts))
    return Exit.DONE


def _told(found: Linked, known: dict[str, pl.DataFrame], agreement: str) -> pl.DataFrame:
    """Return what is written of the pairs: with record ids where they are known, under what and by which model."""
    import polars as pl

    from wellbridge.etl.identity.encoded.rows import with_ids
    from wellbridge.etl.identity.encoded.scorer import built_in

    told = found.pairs
    for side, rows in known.items():
        told = with_ids(told, side, rows)
    first = [name for name in ("left_row", "right_row", "left_id", "right_id") if name in told.columns]
    return told.select(
        *first,
        pl.exclude(first),
        pl.lit(agreement).alias("agreement"),
        pl.lit(built_in().sha256).alias("model_sha256"),
    )


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
        f"for a person to decide (outcome review): {facts['review']:,}; with made-up records, left out: "
        f"{facts['with_dummies']:,}",
        f"destroyed: {', '.join(facts['destroyed'])}",
    ]
    return "\n\n".join(["\n".join(lines), *([table([facts["evaluation"]])] if facts["evaluation"] else [])])


def _true_pairs(truth: Path) -> pl.DataFrame:
    import polars as pl

    from wellbridge.privacy.records.files import read_records

    frame = read_records(truth).frame
    if not {"left", "right"} <= set(frame.columns):
        raise ConfigurationError(
            "WB-E-082", "The file has no columns left and right.", f"--truth {truth.name}"
        )
    return frame.select(pl.col("left").cast(pl.String), pl.col("right").cast(pl.String)).unique()


def _scores(links: pl.DataFrame, pairs: pl.DataFrame) -> dict[str, Any]:
    right = links.join(pairs, left_on=["left_id", "right_id"], right_on=["left", "right"], how="semi").height
    return {
        "true_pairs": pairs.height,
        "links": links.height,
        "right": right,
        "wrong": links.height - right,
        "precision": right / max(links.height, 1),
        "recall": right / max(pairs.height, 1),
    }
