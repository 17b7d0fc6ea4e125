"""``wellbridge privacy assess`` and ``privacy anonymize``: record files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from wellbridge.pipelines.cli.output import command, document, json_option, show_json, table
from wellbridge.schemas.errors import ConfigurationError, Exit

if TYPE_CHECKING:
    import polars as pl

    from wellbridge.privacy.records.assess import Assessment
    from wellbridge.privacy.records.criteria import Sensitive
    from wellbridge.privacy.records.hierarchy import Hierarchy
    from wellbridge.privacy.records.lattice import Limits
    from wellbridge.privacy.records.plan import Plan, Released

_DISTANCES: Final = ("equal", "ordered")
_FILE: Final = click.Path(path_type=Path)

file_argument = click.argument("file", type=_FILE)
person_option = click.option(
    "--per-person", metavar="COLUMN", help="Whose row it is; all rows of a person are one record.")
within_option = click.option(
    "--within", multiple=True, metavar="COLUMN", help="Shown as it is; k holds within it (school, grade).")


@click.command("assess")
@file_argument
@click.option("--qi", "quasi", multiple=True, metavar="COLUMN", help="A quasi-identifier.")
@click.option("--sensitive", multiple=True, metavar="COLUMN[:ordered|:equal]",
              help="A sensitive attribute; numbers are ordered where nothing is said.")
@within_option
@person_option
@click.option("--fraction", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True,
              help="Share of the population that is in the file.")
@click.option("--population", type=_FILE, help="A file of the whole population, coded alike.")
@click.option("--html", "page", type=_FILE, help="Write the report as one page, nothing below the minimum cell.")
@json_option
@command
def assess_command(
    file: Path, quasi: tuple[str, ...], sensitive: tuple[str, ...], within: tuple[str, ...], per_person: str | None,
    fraction: float, population: Path | None, page: Path | None, as_json: bool,
) -> Exit:
    """Measure how well a record file hides each person.

    Without --qi every column counts as a quasi-identifier that is neither sensitive nor says whose row it is.
    """
    from dataclasses import asdict

    from wellbridge.privacy.records.assess import assess
    from wellbridge.privacy.records.files import read_records
    from wellbridge.privacy.records.plan import known_columns

    records = read_records(file)
    rules = [_sensitive(text, records.frame) for text in sensitive]
    others = {*within, *(rule.column for rule in rules), per_person}
    names = quasi or tuple(name for name in records.frame.columns if name not in others)
    known_columns([*names, *within, *([per_person] if per_person else [])], records.frame.columns)
    everybody = None if population is None else read_records(population).frame
    if everybody is not None:
        known_columns([*names, *within], everybody.columns)
    found = assess(
        records.frame, quasi=names, per_person=per_person, sensitive=rules, within=within, population=everybody,
        fraction=fraction,
    )
    if page is not None:
        from wellbridge.pipelines.report.risk import write_risk_report

        write_risk_report(found, file.name, page)
    if as_json:
        facts = {"blank_lines": records.blank, "marketer": found.marketer, **asdict(found)}
        show_json(document(Exit.DONE, file=file.name, **facts))
    else:
        click.echo(_assessment(found, file.name, page))
    return Exit.DONE


def _assessment(found: Assessment, name: str, page: Path | None) -> str:
    risks = [
        {"attacker": "prosecutor", "highest": found.prosecutor.highest, "average": found.prosecutor.average,
         "above 1 in 10": found.prosecutor.at_risk},
        {"attacker": "journalist", "highest": found.journalist.highest, "average": found.journalist.average,
         "above 1 in 10": found.journalist.at_risk},
    ]
    parts = [
        f"{name}: {found.persons:,} persons in {found.rows:,} rows, "
        f"quasi-identifiers {', '.join((*found.within, *found.quasi))}",
        f"k = {found.k}: {found.uniques:,} persons are unique in the file; in the population about "
        f"{found.population_uniques:,.0f} ({found.estimator})",
        table(risks),
        table([{"column": one.column, "values": one.values, "unique by it alone": one.alone,
                "unique without it": one.without} for one in found.columns]),
    ]
    if found.sensitive:
        parts.append(table([
            {"sensitive": one.column, "values": one.values, "l": one.distinct_l, "entropy l": one.entropy_l,
             "t": one.t, "distance": str(one.distance), "told by the class": one.told} for one in found.sensitive]))
    if found.presence is not None:
        parts.append(f"presence: {found.presence.least:.4f} to {found.presence.greatest:.4f}")
    return "\n\n".join([*parts, *([f"Page: {page}"] if page else [])])


def _sensitive(text: str, frame: pl.DataFrame) -> Sensitive:
    """Read ``COLUMN`` or ``COLUMN:DISTANCE``; numbers are ordered where nothing is said."""
    import polars as pl

    from wellbridge.privacy.records.criteria import Sensitive
    from wellbridge.privacy.records.plan import known_columns
    from wellbridge.privacy.records.spread import Distance

    column, colon, word = text.rpartition(":")
    if not colon or word not in _DISTANCES or text in frame.columns:
        column, word = text, ""
    known_columns([column], frame.columns)
    if not word:
        values = frame[column].unique().cast(pl.String)
        numbers = values.cast(pl.Float64, strict=False)
        word = "ordered" if numbers.null_count() == values.null_count() < len(values) else "equal"
    return Sensitive(column, distance=Distance(word))


@click.command("anonymize")
@file_argument
@click.option("--qi", "quasi", multiple=True, metavar="COLUMN[=HIERARCHY]",
              help="A quasi-identifier with its hierarchy: a CSV file, or the name of a built-in one.")
@click.option("--sensitive", multiple=True, metavar="COLUMN[:ordered|:equal]", help="A sensitive attribute; kept.")
@click.option("--keep", multiple=True, metavar="COLUMN", help="Another column to keep as it is.")
@within_option
@person_option
@click.option("--k", type=int, help="Least number of persons alike; 10 where nothing is said.")
@click.option("--l", "distinct", type=click.IntRange(1), help="Least number of sensitive values in a class.")
@click.option("--t", "closeness", type=click.FloatRange(0, 1), help="Farthest that a class may be from all.")
@click.option("--max-suppressed", type=click.FloatRange(0, 1), help="Greatest share left out; 0.05 if not said.")
@click.option("--weight", "weights", multiple=True, metavar="COLUMN=NUMBER", help="How much a column is needed.")
@click.option("--local", is_flag=True, help="Coarsen those further who would be left out.")
@click.option("--policy", type=_FILE, help="Take all this from a file; every column needs a class there.")
@click.option("--crosswalk", type=_FILE, help="Keep codes and shifts here, sealed, for later files of the same scope.")
@click.option("--key", type=_FILE, help="The key that seals the crosswalk; made where there is none.")
@click.option("--max-nodes", type=click.IntRange(1), help="Stop the search after so many nodes.")
@click.option("--max-seconds", type=click.FloatRange(0, min_open=True), help="Stop the search after this time.")
@click.option("--out", type=_FILE, required=True, help="Where the file is written: .parquet, or CSV.")
@json_option
@command
def anonymize_command(
    file: Path, policy: Path | None, crosswalk: Path | None, key: Path | None, out: Path, as_json: bool, **given: Any
) -> Exit:
    """Recode a record file until every person is one of k alike.

    A column that nothing names does not leave. The file is written whole or not at all, and only after a check of
    its own labels.
    """
    from dataclasses import replace

    from wellbridge.privacy.records.files import read_records, write_records
    from wellbridge.privacy.records.lattice import Limits
    records = read_records(file)
    limits = Limits(given.pop("max_nodes"), given.pop("max_seconds"))
    plan = _plan(records.frame, given, limits) if policy is None else _policy(policy, records.frame, given, limits)
    if out.exists() and out.samefile(file):
        raise ConfigurationError("WB-E-011", "The file would be written over itself.", f"--out {out.name}")
    released = _carried_out(records.frame, plan, crosswalk, key)
    harmless = write_records(released.found.table, out, delimiter=records.delimiter)
    facts = _facts(released, replace(plan, limits=None))
    facts |= {"blank_lines": records.blank, "out": str(out), "made_harmless": harmless}
    facts["cpu_s"] = round(time.process_time(), 3)
    if as_json:
        show_json(document(Exit.DONE, file=file.name, **facts))
    else:
        click.echo(_summary(released, plan, out))
    return Exit.DONE


def _carried_out(frame: pl.DataFrame, plan: Plan, crosswalk: Path | None, key: Path | None) -> Released:
    """Do what the plan says; what is drawn for a person is kept before the file is written."""
    from wellbridge.privacy.records.plan import carry_out

    if crosswalk is None and key is None:
        return carry_out(frame, plan)
    if crosswalk is None or key is None or not plan.draws:
        raise ConfigurationError(
            "WB-E-011", "A crosswalk needs its key, and a policy that codes a column or shifts dates.",
            "--crosswalk, --key",
        )
    from wellbridge.privacy.records.crosswalk_file import open_crosswalk

    with open_crosswalk(crosswalk, key) as keeper:
        keeper.max_days = plan.max_days
        released = carry_out(frame, plan, keeper)
        keeper.save()
    return released


def _policy(policy: Path, frame: pl.DataFrame, given: dict[str, Any], limits: Limits) -> Plan:
    from dataclasses import replace

    from wellbridge.privacy.records.policy_file import read_policy

    said = sorted(name for name, value in given.items() if value not in (None, (), False))
    if said:
        raise ConfigurationError(
            "WB-E-011", "Settings are given twice: in the policy and on the command line.", f"--policy {policy.name} · "
            f"{', '.join(said)}", todo="Leave the others out, or write them into the policy")
    return replace(read_policy(policy, frame), limits=limits)


def _plan(frame: pl.DataFrame, given: dict[str, Any], limits: Limits) -> Plan:
    """Return the plan that the options say."""
    from dataclasses import replace

    from wellbridge.privacy.records.anonymize import K_FLOOR
    from wellbridge.privacy.records.plan import Plan, Treated, known_columns

    if not given["quasi"]:
        raise ConfigurationError("WB-E-011", "No quasi-identifier was named, and no policy.", "--qi, --policy",
                                 todo="Name each with --qi COLUMN=HIERARCHY.csv, or give --policy FILE")
    quasi = dict(_quasi(text, frame) for text in given["quasi"])
    rules = [_sensitive(text, frame) for text in given["sensitive"]]
    if not rules and (given["distinct"], given["closeness"]) != (None, None):
        raise ConfigurationError("WB-E-011", "Nothing was named that l or t could be asked of.", "--sensitive")
    if rules and given["distinct"] is None and given["closeness"] is None:
        rules_asked = []
    else:
        rules_asked = [replace(rule, distinct=given["distinct"] or 1, t=given["closeness"]) for rule in rules]
    weights = {}
    for text in given["weights"]:
        column, _, number = text.rpartition("=")
        known_columns([column], list(quasi))
        weights[column] = _weight(number, column)
    kept = [*given["keep"], *(rule.column for rule in rules)]
    return Plan(
        quasi={name: tree for name, tree in quasi.items() if name not in given["within"]},
        columns={name: Treated() for name in kept}, sensitive=rules_asked,
        k=K_FLOOR if given["k"] is None else given["k"],
        max_suppressed=0.05 if given["max_suppressed"] is None else given["max_suppressed"],
        per_person=given["per_person"], within=given["within"], weights=weights, local=given["local"], limits=limits,
    )


def _weight(text: str, column: str) -> float:
    number = None
    try:
        number = float(text)
    except ValueError:
        number = None
    if number is None or not 0 < number < float("inf"):
        raise ConfigurationError("WB-E-011", "A weight must be a number above 0.", f"--weight {column}")
    return number


def _quasi(text: str, frame: pl.DataFrame) -> tuple[str, Hierarchy]:
    """Read ``COLUMN``, ``COLUMN=FILE`` or ``COLUMN=NAME``."""
    from wellbridge.privacy.records.hierarchy import ANYTHING, Hierarchy, read_hierarchy
    from wellbridge.privacy.records.plan import known_columns
    from wellbridge.privacy.records.policy_file import built_in

    if text in frame.columns:
        return text, Hierarchy()
    column, _, source = text.partition("=")
    known_columns([column], frame.columns)
    if source in {"", ANYTHING}:
        return column, Hierarchy()
    if source.isidentifier() and not Path(source).exists():
        return column, built_in(source, f"--qi {column}", frame[column])
    return column, read_hierarchy(Path(source))


def _facts(released: Released, plan: Plan) -> dict[str, Any]:
    from dataclasses import asdict

    found = released.found
    return {
        "k": plan.k, "node": found.node, "persons": found.persons, "rows": found.table.height,
        "suppressed": found.suppressed, "unowned_rows": released.unowned,
        "loss": found.loss, "losses": asdict(found.losses), "checked": found.checked,
        "nodes": found.nodes, "is_optimal": found.is_optimal, "bound": found.bound,
        "smallest_class": min(found.classes), "classes": sum(found.classes.values()), "local": plan.local,
        "parts": [{"node": node, "rows": rows} for node, rows in found.parts],
        "dropped": list(released.dropped), "treated": dict(released.treated),
    }


def _summary(released: Released, plan: Plan, out: Path) -> str:
    found = released.found
    proved = "the least loss there is" if found.is_optimal else (
        "recoded in parts" if len(found.parts) > 1 else f"not proved least: no node is below {found.bound:.6f}")
    columns = [{"column": name, "level": level, "loss": found.losses.columns[name]}
               for name, level in found.node.items()]
    return "\n\n".join([
        f"{out}: {found.persons - found.suppressed:,} of {found.persons:,} persons, "
        f"each one of at least {min(found.classes)} alike ({plan.k} asked)",
        f"loss {found.loss:.6f}, {proved}; {found.checked:,} of {found.nodes:,} nodes looked at",
        table(columns),
        f"dropped: {', '.join(released.dropped) or 'no column'}"
        + (f"; {released.unowned:,} row(s) of nobody" if released.unowned else ""),
    ])
