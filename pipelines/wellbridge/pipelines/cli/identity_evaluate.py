"""``wellbridge identity evaluate``: how good links are."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wellbridge.pipelines.cli.identity_inputs import (
    FILE,
    GROUPS,
    HOUSEHOLDS,
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
from wellbridge.schemas.errors import ConfigurationError, Exit, PrivacyError

if TYPE_CHECKING:
    import polars as pl

    from wellbridge.etl.identity.evaluate import Truth
    from wellbridge.etl.identity.model import Model

_model = click.option(
    "--model", "model_file", type=FILE, metavar="FILE", help="Default: the model that is shipped."
)


@click.command("evaluate")
@left_option
@right_option
@click.option("--truth", metavar="COLUMN", help="Who it is, in both files; the matcher never sees it.")
@labels_option
@_model
@click.option("--group", "groups", multiple=True, metavar="COLUMN", help="Compare recall by this column too.")
@click.option("--household", metavar="COLUMN", help="Who lives together; default: hid, or name and address.")
@click.option("--last", type=FILE, metavar="FILE", help="The JSON of the last run, to measure drift from.")
@click.option(
    "--engine",
    type=click.Choice(["duckdb", "spark"]),
    default="duckdb",
    show_default=True,
    help="What scores.",
)
@click.option("--gate", is_flag=True, help="Exit 14 when a gate fails.")
@click.option(
    "--max-gap", type=float, default=0.05, show_default=True, help="Largest gap in recall of a group."
)
@click.option(
    "--max-drift", type=float, default=1.0, show_default=True, help="Largest drift of a weight, in bits."
)
@json_option
@command
def evaluate_command(
    left: Path, right: Path | None, truth: str | None, labels: Path | None, model_file: Path | None,
    groups: tuple[str, ...], household: str | None, last: Path | None, engine: str, gate: bool, max_gap: float,
    max_drift: float, as_json: bool,
) -> Exit:  # fmt: skip
    """Link two files and score the links against a known truth.

    Says precision and recall with intervals, recall by group, links between brothers and sisters, what is left for
    review, and how far the weights have drifted. Nothing of any record is printed.
    """
    from wellbridge.etl.identity.evaluate import gates, judge
    from wellbridge.etl.identity.matching import match, match_within, scorer

    tables = tables_of(left, right)
    hidden = hidden_columns(tables, truth, groups, household)
    model = _trained(tables, hidden, labels, model_file)
    records = records_of(tables, hidden, model)
    score = scorer(engine)
    matched = match(records[0], records[1], model, score) if right else match_within(records[0], model, score)
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
        "peak_mb": peak_mb(),
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


def _trained(
    tables: list[pl.DataFrame], hidden: frozenset[str], labels: Path | None, model_file: Path | None
) -> Model:
    from wellbridge.etl.identity.matching import prepared
    from wellbridge.etl.identity.model import read_model, shipped
    from wellbridge.etl.identity.train import train_by_labels

    model = read_model(model_file) if model_file else shipped()
    if labels is None:
        return model
    one, other = (prepared(frame, model) for frame in records_of(tables, hidden, model))
    return train_by_labels(one, other, labelled_pairs(tables, hidden, labels), model, seed=1)


def _truth(
    tables: list[pl.DataFrame], standard: list[pl.DataFrame], truth: str | None, groups: tuple[str, ...],
    household: str | None,
) -> Truth:  # fmt: skip
    """Return what only the judge knows; a double surname is found by itself."""
    import polars as pl

    from wellbridge.etl.identity.evaluate import Truth

    both = (tables[0], tables[-1])
    wanted = [
        name for name in dict.fromkeys((*groups, *GROUPS)) if any(name in frame.columns for frame in both)
    ]
    home = household or next(
        (name for name in HOUSEHOLDS if all(name in frame.columns for frame in both)), None
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
