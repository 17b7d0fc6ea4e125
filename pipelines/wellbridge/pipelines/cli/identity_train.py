"""``wellbridge identity train``: the weights of a model, from labelled pairs or without."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wellbridge.pipelines.cli.identity_inputs import (
    FILE,
    Labels,
    Wanted,
    hidden_columns,
    labelled_pairs,
    labels_option,
    left_source_option,
    optional_left_option,
    peak_mb,
    records_of,
    right_option,
    right_source_option,
    tables_of,
    wanted_labels,
)
from wellbridge.pipelines.cli.output import command, document, json_option, show_json, table
from wellbridge.schemas.errors import ConfigurationError, Exit, UsageError

if TYPE_CHECKING:
    import polars as pl

    from wellbridge.etl.identity.model import Model


@click.command("train")
@optional_left_option
@right_option
@labels_option
@left_source_option
@right_source_option
@click.option("--truth", metavar="COLUMN", help="Who it is, in both files, in place of labels.")
@click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="SITE",
    help="In place of files: a site's records, and the pairs that its reviewers decided.",
)
@click.option(
    "--source", metavar="NAME", help="With --project: the source beside the roster, as clinic/patient."
)
@click.option("--out", type=FILE, required=True, metavar="FILE", help="The model to write; a new file.")
@click.option("--name", default="children", show_default=True, help="What to call it.")
@click.option("--version", type=int, default=1, show_default=True, help="Goes up with every change.")
@click.option("--reviewer", default="", help="Who answers for it; a site links by no model without.")
@click.option("--about", default="", metavar="TEXT", help="Which children the records are of.")
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Of the random pairs that are looked at."
)
@json_option
@command
def train_command(
    left: Path | None, right: Path | None, labels: Path | None, left_source: str | None, right_source: str | None,
    truth: str | None, project: Path | None, source: str | None, out: Path, name: str, version: int, reviewer: str,
    about: str, seed: int, as_json: bool,
) -> Exit:  # fmt: skip
    """Learn the weights of a model from labelled pairs, or without.

    With --project the pairs are those that the site's reviewers decided, and the records are opened in memory: no file
    with names or ids is written. Else give --left. Without --labels or --truth the weights are guessed from pairs that
    agree in much: such a model links true pairs that look like those, and says so in its file. Have it reviewed on
    labelled pairs before it links anything.
    """
    from dataclasses import replace

    from wellbridge.etl.identity.evaluate import level_shares
    from wellbridge.etl.identity.matching import match, match_within
    from wellbridge.etl.identity.train import untrained

    files = {"--left": left, "--right": right, "--labels": labels, "--left-source": left_source,
             "--right-source": right_source, "--truth": truth}  # fmt: skip
    _check_usage(project, source, files)
    _check_place(out)
    blank = untrained(name)
    if project is not None:
        given = _of_site(project, source)
    elif left is not None:
        wanted = wanted_labels(labels, left_source, right_source)
        given = _of_files(left, right, wanted, truth, blank)
    model, method = _trained(given, blank, seed)
    model = replace(
        model, version=version, about={"made": datetime.now(UTC).date().isoformat(), "reviewer": reviewer,
                                       "trained_on": about, "method": method},
    )  # fmt: skip
    one, other = given.records
    matched = match_within(one, model) if one is other else match(one, other, model)
    links = matched.decided.filter(matched.decided["outcome"] == "link")
    model = model.with_linked_shares(level_shares(links, model))
    model.write_new(out)
    facts = {"out": str(out), "sha256": model.sha256, "method": method, "links": links.height,
             "cpu_s": round(time.process_time(), 3), "peak_mb": peak_mb()}  # fmt: skip
    if as_json:
        show_json(document(Exit.DONE, **facts, labels=given.labels.counts if given.labels else None))
    else:
        click.echo(table([facts]))
        if given.labels:
            click.echo(f"labels of {given.labels.words}")
    return Exit.DONE


@dataclass(frozen=True)
class _Given:
    """What a model is trained on: two frames of records (one of them twice), and labelled pairs of them."""

    records: tuple[pl.DataFrame, pl.DataFrame]
    pairs: pl.DataFrame | None = None
    labels: Labels | None = None


def _check_usage(project: Path | None, source: str | None, files: Mapping[str, object]) -> None:
    """Refuse a command line that names a site and files, or neither, or labels in two ways."""
    named = [option for option, value in files.items() if value is not None]
    if project is not None and named:
        raise UsageError("WB-E-016", "A model is trained on a site or on files.", f"--project, {named[0]}")
    if project is None and source is not None:
        raise UsageError("WB-E-016", "Files are no source of a site.", "--source without --project")
    if project is None and files["--left"] is None:
        raise UsageError("WB-E-016", "There is nothing to train on.", "--left FILE or --project SITE")
    if files["--labels"] is not None and files["--truth"] is not None:
        raise UsageError("WB-E-016", "A model is trained from labels or from a truth.", "--labels, --truth")


def _check_place(out: Path) -> None:
    """Refuse to write over a file, before anything is learnt: it may be a model in force, or the labels."""
    if out.exists() or not out.parent.is_dir():
        what = "A file of this name exists already." if out.exists() else "The folder is not there."
        raise ConfigurationError(
            "WB-E-011", what, f"--out · {out.name}", todo="Name a new file in a folder that exists"
        )


def _of_site(project: Path, source: str | None) -> _Given:
    """Return a site's records and decided pairs, read as they stand after the last change that committed."""
    from wellbridge.etl.identity.decided import decided_records
    from wellbridge.pipelines.nightly.stores import read_vault, seals_of
    from wellbridge.pipelines.site import load_site

    site = load_site(project)
    with read_vault(site) as store:
        found = decided_records(store, seals_of(site), source)
    return _Given((found.left, found.right), found.pairs, Labels(found.pairs, found.counts))


def _of_files(
    left: Path, right: Path | None, wanted: Wanted | None, truth: str | None, blank: Model
) -> _Given:
    from wellbridge.etl.identity.train import check_enough

    tables = tables_of(left, right)
    hidden = hidden_columns(tables, truth, (), None)
    one, other = records_of(tables, hidden, blank)
    if wanted is not None:
        labels = labelled_pairs(tables, hidden, wanted)
        check_enough(labels.pairs, f"labels · {labels.words}")
        return _Given((one, other), labels.pairs, labels)
    return _Given((one, other), _true_pairs(tables, [one, other], truth) if truth else None)


def _trained(given: _Given, blank: Model, seed: int) -> tuple[Model, str]:
    """Return the model and how it was learnt."""
    from wellbridge.etl.identity.matching import prepared
    from wellbridge.etl.identity.train import CHILDREN_TIGHT, train_by_labels, train_unsupervised

    one, other = (prepared(frame, blank) for frame in given.records)
    if given.pairs is not None:
        method = f"{int(given.pairs['is_match'].sum())} labelled pairs of one child"
        return train_by_labels(one, other, given.pairs, blank, seed), method
    click.echo(
        "No labels: the weights are learnt from pairs that agree in much, so they may be too sure of what is\n"
        "always written alike. Check a random sample of links and questions before the model is used.",
        err=True,
    )
    method = "no labels: expectation and maximisation within tight blocks, not yet checked by anyone"
    return train_unsupervised(one, other, blank, CHILDREN_TIGHT, seed), method


def _true_pairs(tables: list[pl.DataFrame], records: list[pl.DataFrame], truth: str) -> pl.DataFrame:
    import polars as pl

    from wellbridge.etl.identity.files import as_ids

    known = [
        pl.DataFrame({"record": frame["record_id"], "truth": as_ids(table[truth])}).drop_nulls()
        for frame, table in zip(records, (tables[0], tables[-1]), strict=True)
    ]
    pairs = known[0].join(known[1], on="truth", suffix="_b").filter(pl.col("record") != pl.col("record_b"))
    return pairs.select(record_a="record", record_b="record_b", is_match=pl.lit(True))
