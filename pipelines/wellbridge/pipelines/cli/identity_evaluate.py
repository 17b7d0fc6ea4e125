"""``wellbridge identity evaluate`` and ``train``: how good links are, and what they are made by."""

from __future__ import annotations

import json
import resource
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from wellbridge.pipelines.cli.output import command, document, json_option, show_json, table
from wellbridge.schemas.errors import ConfigurationError, Exit, PrivacyError, UsageError

if TYPE_CHECKING:
    import polars as pl

    from wellbridge.etl.identity.evaluate import Truth
    from wellbridge.etl.identity.model import Model

_FILE: Final = click.Path(path_type=Path)
_GROUPS: Final = ("twin", "mover", "language", "school", "homeless", "homeless_flag", "foster", "foster_flag")
_HOUSEHOLDS: Final = ("hid", "household", "household_id")

_left = click.option("--left", type=_FILE, required=True, help="The roster: CSV or Parquet.")
_right = click.option(
    "--right", type=_FILE, help="The other file; left out, the first is searched for doubles."
)
_labels = click.option("--labels", type=_FILE, metavar="FILE",
                       help="Pairs a person looked at: left_id, right_id, is_match.")  # fmt: skip
_model = click.option(
    "--model", "model_file", type=_FILE, metavar="FILE", help="Default: the model that is shipped."
)


@click.command("evaluate")
@_left
@_right
@click.option("--truth", metavar="COLUMN", help="Who it is, in both files; the matcher never sees it.")
@_labels
@_model
@click.option("--group", "groups", multiple=True, metavar="COLUMN", help="Compare recall by this column too.")
@click.option("--household", metavar="COLUMN", help="Who lives together; default: hid, or name and address.")
@click.option("--last", type=_FILE, metavar="FILE", help="The JSON of the last run, to measure drift from.")
@click.option("--gate", is_flag=True, help="Exit 14 when a gate fails.")
@click.option(
    "--max-gap", type=float, default=0.05, show_default=True, help="Largest gap in recall of a group."
)
@click.option(
    "--max-drift", type=float, default=2.0, show_default=True, help="Largest drift of a weight, in bits."
)
@json_option
@command
def evaluate_command(
    left: Path, right: Path | None, truth: str | None, labels: Path | None, model_file: Path | None,
    groups: tuple[str, ...], household: str | None, last: Path | None, gate: bool, max_gap: float, max_drift: float,
    as_json: bool,
) -> Exit:  # fmt: skip
    """Link two files and score the links against a known truth.

    Says precision and recall with intervals, recall by group, links between brothers and sisters, what is left for
    review, and how far the weights have drifted. Nothing of any record is printed.
    """
    from wellbridge.etl.identity.evaluate import gates, judge
    from wellbridge.etl.identity.matching import match, match_within

    tables = _tables(left, right)
    hidden = _hidden(tables, truth, groups, household)
    model = _trained(tables, hidden, labels, model_file)
    records = _records(tables, hidden, model)
    matched = match(records[0], records[1], model) if right else match_within(records[0], model)
    judged = judge(
        matched,
        _truth(tables, [matched.left, matched.right], truth, groups, household),
        model,
        _reference(last, model),
    )
    checked = gates(judged, max_gap=max_gap, max_drift=max_drift)
    facts = {
        "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
        **judged,
        "gates": checked,
        "cpu_s": round(time.process_time(), 3),
        "peak_mb": _peak_mb(),
    }
    failed = [one for one in checked if gate and not one["holds"]]
    code = Exit.PRIVACY if failed else Exit.DONE
    error = PrivacyError("WB-E-101", "A gate of linking fails.", ", ".join(one["gate"] for one in failed))
    if as_json:
        show_json(document(code, **facts, errors=[error.as_dict()] if failed else []))
        return code
    click.echo(_text(facts))
    if failed:
        raise error
    return code


@click.command("train")
@_left
@_right
@_labels
@click.option("--truth", metavar="COLUMN", help="Who it is, in both files, in place of labels.")
@click.option("--out", type=_FILE, required=True, metavar="FILE", help="The model to write.")
@click.option("--name", default="children", show_default=True, help="What to call it.")
@click.option("--version", type=int, default=1, show_default=True, help="Goes up with every change.")
@click.option("--reviewer", default="nobody yet", show_default=True, help="Who answers for it.")
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
    tables = _tables(left, right)
    hidden = _hidden(tables, truth, (), None)
    blank = untrained(name)
    records = _records(tables, hidden, blank)
    one, other = (prepared(frame, blank) for frame in records)
    if labels or truth:
        pairs = _labelled(tables, hidden, labels) if labels else _true_pairs(tables, records, truth or "")
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
             "cpu_s": round(time.process_time(), 3), "peak_mb": _peak_mb()}  # fmt: skip
    if as_json:
        show_json(document(Exit.DONE, **facts))
    else:
        click.echo(table([facts]))
    return Exit.DONE


def _tables(left: Path, right: Path | None) -> list[pl.DataFrame]:
    from wellbridge.etl.identity.files import read_table

    return [read_table(path) for path in ((left, right) if right else (left,))]


def _hidden(
    tables: list[pl.DataFrame], truth: str | None, groups: tuple[str, ...], household: str | None
) -> frozenset[str]:
    """Return the columns that only the judge may see; each must be there."""
    for name in (truth, household):
        if name and any(name not in frame.columns for frame in tables):
            raise ConfigurationError("WB-E-011", "A column is not in both files.", f"column {name!r}")
    for name in groups:
        if all(name not in frame.columns for frame in tables):
            raise ConfigurationError("WB-E-011", "A column is in neither file.", f"column {name!r}")
    return frozenset(name for name in (truth, household, *groups, *_GROUPS, *_HOUSEHOLDS) if name)


def _records(tables: list[pl.DataFrame], hidden: frozenset[str], model: Model) -> list[pl.DataFrame]:
    """Return the records of both files, of one file twice; what is hidden is not among them."""
    from wellbridge.etl.identity.files import as_records
    from wellbridge.etl.identity.standard import STANDARD

    also = sorted({column for one in model.comparisons for column in one.columns} - set(STANDARD))
    found = [
        as_records(frame, side, hidden=hidden, also=also) for frame, side in zip(tables, "ab", strict=False)
    ]
    return found if len(found) == 2 else found * 2


def _trained(
    tables: list[pl.DataFrame], hidden: frozenset[str], labels: Path | None, model_file: Path | None
) -> Model:
    from wellbridge.etl.identity.matching import prepared
    from wellbridge.etl.identity.model import read_model, shipped
    from wellbridge.etl.identity.train import train_by_labels

    model = read_model(model_file) if model_file else shipped()
    if labels is None:
        return model
    one, other = (prepared(frame, model) for frame in _records(tables, hidden, model))
    return train_by_labels(one, other, _labelled(tables, hidden, labels), model, seed=1)


def _labelled(tables: list[pl.DataFrame], hidden: frozenset[str], labels: Path) -> pl.DataFrame:
    """Return labelled pairs by the records' numbers; the file names rows as the two files do."""
    import polars as pl

    from wellbridge.etl.identity.files import ids_of, read_table

    given = read_table(labels)
    if not {"left_id", "right_id", "is_match"} <= set(given.columns):
        raise ConfigurationError(
            "WB-E-011", "Labels need left_id, right_id and is_match.", f"file {labels.name}"
        )
    pairs = given.select(
        pl.col("left_id", "right_id").cast(pl.String),
        pl.col("is_match").cast(pl.String).str.to_lowercase().is_in(["1", "true", "yes", "y"]),
    )
    ends = (("left_id", "a", tables[0]), ("right_id", "b" if len(tables) == 2 else "a", tables[-1]))
    for column, side, frame in ends:
        ids = ids_of(frame, hidden)
        if ids is None:
            raise ConfigurationError(
                "WB-E-011", "Labels name rows by an id that the file has not.", f"{side} file"
            )
        numbered = pl.DataFrame({column: ids}).with_row_index().select(
            column, pl.format(f"{side}:{{}}", "index").alias(f"record_{'a' if column == 'left_id' else 'b'}")
        )  # fmt: skip
        pairs = pairs.join(numbered, on=column)
    return pairs.select("record_a", "record_b", "is_match")


def _true_pairs(tables: list[pl.DataFrame], records: list[pl.DataFrame], truth: str) -> pl.DataFrame:
    import polars as pl

    known = [
        pl.DataFrame({"record": frame["record_id"], "truth": table[truth]}).drop_nulls()
        for frame, table in zip(records, (tables[0], tables[-1]), strict=True)
    ]
    pairs = known[0].join(known[1], on="truth", suffix="_b").filter(pl.col("record") != pl.col("record_b"))
    return pairs.select(record_a="record", record_b="record_b", is_match=pl.lit(True))


def _truth(
    tables: list[pl.DataFrame], standard: list[pl.DataFrame], truth: str | None, groups: tuple[str, ...],
    household: str | None,
) -> Truth:  # fmt: skip
    """Return what only the judge knows; a double surname is found by itself."""
    import polars as pl

    from wellbridge.etl.identity.evaluate import Truth

    both = (tables[0], tables[-1])
    wanted = [
        name for name in dict.fromkeys((*groups, *_GROUPS)) if any(name in frame.columns for frame in both)
    ]
    home = household or next(
        (name for name in _HOUSEHOLDS if all(name in frame.columns for frame in both)), None
    )

    def nothing(frame: pl.DataFrame) -> pl.Series:
        return pl.Series([None] * frame.height, dtype=pl.String)

    known = []
    for table_, frame in zip(both, standard, strict=True):
        columns: dict[str, Any] = {
            "record_id": frame["record_id"],
            "truth": table_[truth].cast(pl.String) if truth else nothing(table_),
            "double_surname": frame["last_names"].list.len() > 1,
        }
        if home:
            columns["household"] = table_[home]
        for name in wanted:
            columns[name] = table_[name] if name in table_.columns else nothing(table_)
        known.append(pl.DataFrame(columns))
    return Truth(known[0], known[1], ("double_surname", *wanted))


def _reference(last: Path | None, model: Model) -> dict[str, list[float]]:
    if last is None:
        return model.linked_shares
    shares: dict[str, list[float]] | None = None
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        found = json.loads(last.read_text("utf-8"))["level_shares"]
        shares = {str(name): [float(share) for share in given] for name, given in found.items()}
    if shares is None:
        raise ConfigurationError("WB-E-011", "The last run's JSON cannot be read.", f"file {last.name}")
    return shares


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1024 / (1024 if sys.platform == "darwin" else 1), 1)


def _text(facts: dict[str, Any]) -> str:
    review, hits = facts["review"], facts["collisions"]
    rates = [
        {
            "rate": "precision of links",
            "value": facts["precision"],
            "95 % interval": _span(facts["precision_interval"]),
        },
        {
            "rate": "recall of links",
            "value": facts["recall"],
            "95 % interval": _span(facts["recall_interval"]),
        },
    ]
    parts = [
        f"{facts['left']:,} and {facts['right']:,} records, {facts['true_pairs']:,} true pairs; {facts['links']:,} "
        f"linked without a person, {facts['wrong_links']:,} of them wrong,\n{hits['sibling_links']:,} between children "
        f"of one household ({hits['twin_links']:,} of one birth date; household by {hits['household']}).",
        table(rates),
        f"For review: {review['pairs']:,} pairs of {review['records']:,} records ({review['share']:.2%}), of which "
        f"{review['true_share']:.0%} are true.",
        table([{"tier": tier, "links": count} for tier, count in facts["links_by_tier"].items()]),
        _groups_text(facts["groups"]),
        table([
            {"gate": one["gate"], "limit": one["limit"], "holds": one["holds"],
             "failed by": ", ".join(one["failed_by"])}
            for one in facts["gates"]
        ]),
        f"model {facts['model']['name']} {facts['model']['version']} ({facts['model']['sha256'][:12]}), "
        f"{facts['cpu_s']:.1f} CPU-s, {facts['peak_mb']:,.0f} MB",
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part)


def _groups_text(groups: list[dict[str, Any]]) -> str:
    """Return the groups; of a column with many values the five that are found least."""
    shown = []
    for name in dict.fromkeys(one["group"] for one in groups):
        of = sorted((one for one in groups if one["group"] == name), key=lambda one: one["recall"])
        shown += of[:5]
    return table(
        [
            {"group": f"{one['group']}={one['value']}", "pairs": one["true_pairs"], "recall": one["recall"],
             "others": one["others_recall"], "95 % interval": _span(one["recall_interval"])}
            for one in shown
        ]
    ) if shown else ""  # fmt: skip


def _span(interval: list[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"
