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
    Labels,
    Wanted,
    hidden_columns,
    labelled_pairs,
    labels_option,
    left_option,
    left_source_option,
    peak_mb,
    records_of,
    right_option,
    right_source_option,
    tables_of,
    wanted_labels,
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
@left_source_option
@right_source_option
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
@click.option("--gate", is_flag=True, help="Exit 14 when a gate fails, or has nothing to judge.")
@click.option(
    "--max-gap", type=float, default=0.05, show_default=True, help="Largest gap in recall of a group."
)
@click.option(
    "--max-drift", type=float, default=1.0, show_default=True, help="Largest drift of a weight, in bits."
)
@json_option
@command
def evaluate_command(
    left: Path, right: Path | None, truth: str | None, labels: Path | None, left_source: str | None,
    right_source: str | None, model_file: Path | None, groups: tuple[str, ...], household: str | None,
    last: Path | None, engine: str, gate: bool, max_gap: float, max_drift: float, as_json: bool,
) -> Exit:  # fmt: skip
    """Link two files and score the links against a known truth.

    Says precision and recall with intervals, recall by group, links between brothers and sisters, what is left for
    review, and how far the weights have drifted. Nothing of any record is printed. Without --truth it says how many
    links there are, by what, and what waits; whether they are right is not known then.
    """
    from wellbridge.etl.identity.evaluate import gates, judge
    from wellbridge.etl.identity.matching import match, match_within, scorer

    tables = tables_of(left, right)
    hidden = hidden_columns(tables, truth, groups, household)
    wanted = wanted_labels(labels, left_source, right_source)
    model, found = _trained(tables, hidden, wanted, model_file)
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
        "labels": found.counts if found else None,
        **judged,
        "gates": checked,
        "cpu_s": round(time.process_time(), 3),
        "peak_mb": peak_mb(),
    }
    refused = _refused(checked) if gate else None
    code = refused.exit if refused else Exit.DONE
    if as_json:
        show_json(document(code, **facts, errors=[refused.as_dict()] if refused else []))
        return code
    click.echo(_text(facts))
    if found:
        click.echo(f"labels of {found.words}")
    if refused:
        raise refused
    return code


def _refused(gates: list[dict[str, Any]]) -> PrivacyError | None:
    """Return why links may not be taken; a gate that had nothing to judge is no pass."""
    failed = [one["gate"] for one in gates if one["holds"] is False]
    if failed:
        return PrivacyError("WB-E-101", "A gate of linking fails.", ", ".join(failed))
    silent = [one["gate"] for one in gates if one["holds"] is None]
    if silent:
        return PrivacyError("WB-E-108", "A gate of linking had nothing to judge.", ", ".join(silent))
    return None


def _trained(
    tables: list[pl.DataFrame], hidden: frozenset[str], wanted: Wanted | None, model_file: Path | None
) -> tuple[Model, Labels | None]:
    from wellbridge.etl.identity.matching import prepared
    from wellbridge.etl.identity.model import read_model, shipped
    from wellbridge.etl.identity.train import check_enough, train_by_labels

    model = read_model(model_file) if model_file else shipped()
    if wanted is None:
        return model, None
    found = labelled_pairs(tables, hidden, wanted)
    check_enough(found.pairs, f"labels · {found.words}")
    one, other = (prepared(frame, model) for frame in records_of(tables, hidden, model))
    return train_by_labels(one, other, found.pairs, model, seed=1), found


def _truth(
    tables: list[pl.DataFrame], standard: list[pl.DataFrame], truth: str | None, groups: tuple[str, ...],
    household: str | None,
) -> Truth:  # fmt: skip
    """Return what only the judge knows, in one form of both files; a double surname is found by itself."""
    import polars as pl

    from wellbridge.etl.identity.evaluate import Truth
    from wellbridge.etl.identity.files import as_groups, as_ids

    both = (tables[0], tables[-1])
    wanted = [
        name for name in dict.fromkeys((*groups, *GROUPS)) if any(name in frame.columns for frame in both)
    ]
    home = household or next(
        (name for name in HOUSEHOLDS if all(name in frame.columns for frame in both)), None
    )

    def held(table_: pl.DataFrame, name: str | None) -> pl.Series:
        found = name if name in table_.columns else None
        return table_[found] if found else pl.Series([None] * table_.height, dtype=pl.String)

    in_groups = {name: as_groups(*(held(table_, name) for table_ in both)) for name in wanted}
    known = []
    for side, (table_, frame) in enumerate(zip(both, standard, strict=True)):
        columns: dict[str, pl.Series] = {
            "record_id": frame["record_id"],
            "truth": as_ids(held(table_, truth)),
            "double_surname": frame["last_names"].list.len() > 1,
        }
        if home:
            columns["household"] = as_ids(table_[home])
        known.append(pl.DataFrame({**columns, **{name: of[side] for name, of in in_groups.items()}}))
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
    review = facts["review"]
    rates = [
        {"rate": f"{rate} of links", "value": _or_unknown(facts[rate]),
         "95 % interval": _span(facts[f"{rate}_interval"])}
        for rate in ("precision", "recall")
    ]  # fmt: skip
    true = f", of which {review['true_share']:.0%} are true" if review["true_share"] is not None else ""
    parts = [
        f"{facts['left']:,} and {facts['right']:,} records; {facts['links']:,} linked without a person.\n"
        + _judged_text(facts),
        table(rates),
        f"For review: {review['pairs']:,} pairs of {review['records']:,} records ({review['share']:.2%}){true}.",
        table([{"tier": tier, "links": count} for tier, count in facts["links_by_tier"].items()]),
        _groups_text(facts["groups"]),
        table([
            {"gate": one["gate"], "limit": one["limit"],
             "holds": "not judged" if one["holds"] is None else one["holds"],
             "failed by": ", ".join(one["failed_by"])}
            for one in facts["gates"]
        ]),
        f"model {facts['model']['name']} {facts['model']['version']} ({facts['model']['sha256'][:12]}), "
        f"{facts['cpu_s']:.1f} CPU-s, {facts['peak_mb']:,.0f} MB",
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part)


def _judged_text(facts: dict[str, Any]) -> str:
    hits = facts["collisions"]
    if facts["true_pairs"] == 0:
        return "No value of the truth stands in both files, so no pair of records is known to be one child."
    if hits is None:
        return (
            "Whether they are right is not known: no truth was given that both files hold (--truth COLUMN)."
        )
    return (
        f"{facts['true_pairs']:,} true pairs are known. Of {facts['judged_links']:,} links that can be judged "
        f"{facts['wrong_links']:,} are wrong,\n{hits['sibling_links']:,} between children of one household "
        f"({hits['twin_links']:,} of one birth date; household by {hits['household']})."
    )


def _or_unknown(value: float | None) -> float | str:
    return "not known" if value is None else value


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
