"""``wellbridge identity train``: the weights of a model, from labelled pairs or without."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wellbridge.pipelines.cli.identity_inputs import (
    FILE,
    hidden_columns,
    labelled_pairs,
    labels_option,
    left_option,
    peak_mb,
    records_of,
    right_option,
    tables_of,
)
from wellbridge.pipelines.cli.output import command, document, json_option, show_json, table
from wellbridge.schemas.errors import Exit, UsageError

if TYPE_CHECKING:
    import polars as pl


@click.command("train")
@left_option
@right_option
@labels_option
@click.option("--truth", metavar="COLUMN", help="Who it is, in both files, in place of labels.")
@click.option("--out", type=FILE, required=True, metavar="FILE", help="The model to write.")
@click.option("--name", default="children", show_default=True, help="What to call it.")
@click.option("--version", type=int, default=1, show_default=True, help="Goes up with every change.")
@click.option("--reviewer", default="", help="Who answers for it; a site links by no model without.")
@click.option("--about", default="", metavar="TEXT", help="Which children the files are of.")
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Of the random pairs that are looked at."
)
@json_option
@command
def train_command(
    left: Path, right: Path | None, labels: Path | None, truth: str | None, out: Path, name: str, version: int,
    reviewer: str, about: str, seed: int, as_json: bool,
) -> Exit:  # fmt: skip
    """Learn the weights of a model from labelled pairs, or without.

    Without --labels or --truth the weights are guessed from pairs that agree in much: such a model links true pairs
    that look like those, and says so in its file. Have it reviewed on labelled pairs before it links anything.
    """
    from dataclasses import replace

    from wellbridge.etl.identity.evaluate import level_shares
    from wellbridge.etl.identity.matching import match, match_within, prepared
    from wellbridge.etl.identity.train import CHILDREN_TIGHT, train_by_labels, train_unsupervised, untrained

    if labels and truth:
        raise UsageError("WB-E-016", "A model is trained from labels or from a truth.", "--labels, --truth")
    tables = tables_of(left, right)
    hidden = hidden_columns(tables, truth, (), None)
    blank = untrained(name)
    records = records_of(tables, hidden, blank)
    one, other = (prepared(frame, blank) for frame in records)
    if labels or truth:
        pairs = (
            labelled_pairs(tables, hidden, labels) if labels else _true_pairs(tables, records, truth or "")
        )
        method = f"{int(pairs['is_match'].sum())} labelled pairs of one child"
        model = train_by_labels(one, other, pairs, blank, seed)
    else:
        method = "no labels: expectation and maximisation within tight blocks, not yet checked by anyone"
        model = train_unsupervised(one, other, blank, CHILDREN_TIGHT, seed)
        click.echo(
            "No labels: the weights are learnt from pairs that agree in much, so they may be too sure of what is\n"
            "always written alike. Check a random sample of links and questions before the model is used.",
            err=True,
        )
    model = replace(
        model, version=version, about={"made": datetime.now(UTC).date().isoformat(), "reviewer": reviewer,
                                       "trained_on": about, "method": method},
    )  # fmt: skip
    matched = match(records[0], records[1], model) if right else match_within(records[0], model)
    links = matched.decided.filter(matched.decided["outcome"] == "link")
    model = model.with_linked_shares(level_shares(links, model))
    model.write(out)
    facts = {"out": str(out), "sha256": model.sha256, "method": method, "links": links.height,
             "cpu_s": round(time.process_time(), 3), "peak_mb": peak_mb()}  # fmt: skip
    if as_json:
        show_json(document(Exit.DONE, **facts))
    else:
        click.echo(table([facts]))
    return Exit.DONE


def _true_pairs(tables: list[pl.DataFrame], records: list[pl.DataFrame], truth: str) -> pl.DataFrame:
    import polars as pl

    known = [
        pl.DataFrame({"record": frame["record_id"], "truth": table[truth]}).drop_nulls()
        for frame, table in zip(records, (tables[0], tables[-1]), strict=True)
    ]
    pairs = known[0].join(known[1], on="truth", suffix="_b").filter(pl.col("record") != pl.col("record_b"))
    return pairs.select(record_a="record", record_b="record_b", is_match=pl.lit(True))
