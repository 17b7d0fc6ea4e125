"""``wellbridge privacy perturb``: tables with noise, rounded, or recoded into ranges."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from wellbridge.pipelines.cli.output import command, document, json_option, show_json, table
from wellbridge.schemas.errors import ConfigurationError, Exit

if TYPE_CHECKING:
    import polars as pl

    from wellbridge.pipelines.private_releases import Spend
    from wellbridge.privacy.noise.budget import BudgetLedger, Loss
    from wellbridge.privacy.signing import Signer
    from wellbridge.privacy.tables.protection import Dimension

_FILE: Final = click.Path(path_type=Path)
_DELTA: Final = 1e-6
# Which options a method knows; one of another method would be ignored unseen.
_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "cell-key": ("programme", "max_noise", "variance", "never", "person"),
    "rounding": ("base",),
    "dp": (
        "epsilon", "rho", "per_person", "budget", "project", "agreement", "population", "budget_limit",
        "population_limit",
    ),
    "ranges": ("bands", "recode", "need", "percent_only"),
}


@click.command("perturb")
@click.argument("file", type=_FILE, metavar="TABLE")
@click.option("--method", type=click.Choice(list(_OPTIONS)), required=True, help="How noise is made.")
@click.option("--by", multiple=True, metavar="COLUMN[<COARSER…]",
              help="A dimension, finest first: 'school<district'.")
@click.option("--count", metavar="COLUMN", help="The column of counts of persons.")
@click.option("--out", type=_FILE, required=True, help="The table with noise, CSV or Parquet.")
@click.option("--person", metavar="COLUMN", help="cell-key: rows are persons, named by this column; no --count then.")
@click.option("--programme", type=_FILE, help="cell-key: the programme's secret file; made where there is none.")
@click.option("--max-noise", type=int, help="cell-key: most by which a count changes; 5 for a new programme.")
@click.option("--variance", type=float, help="cell-key: variance of the noise; 3 for a new programme.")
@click.option("--never", type=int, help="cell-key: counts from 1 to this are never shown; 2 for a new programme.")
@click.option("--base", type=int, help="rounding: the base; 5 where nothing is said.")
@click.option("--epsilon", type=float, help="dp: Laplace noise with this loss.")
@click.option("--rho", type=float, help="dp: Gaussian noise with this loss (zCDP).")
@click.option("--per-person", type=int, help="dp: most inner cells that one person is in; 1 where nothing is said.")
@click.option("--budget", type=_FILE, help="dp: the ledger of what is spent; made where there is none.")
@click.option("--project", type=_FILE, help="dp: a site, whose budget pays and whose agreement must be in force.")
@click.option("--agreement", help="dp: the agreement under which the table leaves.")
@click.option("--population", help="dp: whose data they are: a school year's students.")
@click.option("--budget-limit", type=str, metavar="zcdp:RHO|pure:EPSILON",
              help="dp: grant this budget; once, and never changed. Of a site the agreement states it.")
@click.option("--population-limit", type=str, metavar="zcdp:RHO|pure:EPSILON",
              help="dp: grant this budget to all agreements together; once, and never changed.")
@click.option("--bands", metavar="NAME", help="ranges: of which list; nces-2011-603 where nothing is said.")
@click.option("--recode", type=click.Choice(["always", "where-small"]),
              help="ranges: all groups, or those of a unit in which one is too small to be shown.")
@click.option("--need", type=click.Choice(["weak", "strong"]),
              help="ranges: no withheld rate may follow exactly, or (strong) be narrowed at all.")
@click.option("--percent-only", is_flag=True, default=None, help="ranges: publish no sizes.")
@json_option
@command
def perturb_command(
    file: Path, method: str, by: tuple[str, ...], count: str | None, out: Path, as_json: bool, **given: Any
) -> Exit:
    """Publish a table with noise, rounded, private, or in ranges.

    cell-key: the same persons get the same noise in every table of a programme. rounding: multiples of a base, all
    margins add up. dp: differentially private, paid from a budget that is granted once; refused when it is spent.
    ranges: rates (unit, dimension, member, n, numerator) as ranges by the size of their group, attacked before they
    are written.
    """
    from wellbridge.privacy.tables.protection import Dimension

    said = {name for name, value in given.items() if value is not None}
    strange = sorted(said - set(_OPTIONS[method]))
    if strange:
        raise ConfigurationError("WB-E-011", f"Options do not belong to the method {method}.",
                                 ", ".join(f"--{name.replace('_', '-')}" for name in strange))
    if method == "ranges":
        if by or count:
            raise ConfigurationError("WB-E-011", "A table of rates names its columns itself.", "--by, --count")
    elif not by:
        raise ConfigurationError("WB-E-011", "A table needs its dimensions.", "--by")
    elif (count is None) == (given["person"] is None):
        raise ConfigurationError("WB-E-011", "A table has a column of counts, or persons, not both.",
                                 "--count, --person")
    started = time.process_time()
    dimensions = [Dimension.read(text) for text in by]
    work = {"cell-key": _cell_key, "rounding": _rounding, "dp": _dp, "ranges": _ranges}[method]
    facts = work(file, dimensions, count or "", out, given)
    facts = {"method": method, **facts, "cpu_s": round(time.process_time() - started, 3), "out": str(out)}
    if as_json:
        show_json(document(Exit.DONE, file=file.name, **facts))
    else:
        click.echo(table([{name: value for name, value in facts.items() if name != "out"}]))
        click.echo(f"Table: {out}")
    return Exit.DONE


def _cell_key(
    file: Path, by: Sequence[Dimension], count: str, out: Path, given: Mapping[str, Any]
) -> dict[str, Any]:
    from wellbridge.privacy.noise.cellkey import COUNT, keyed_counts, keyed_records, perturbed
    from wellbridge.privacy.noise.frequency import FrequencyTable
    from wellbridge.privacy.noise.programme import new_programme, read_programme, write_programme
    from wellbridge.privacy.records.files import read_records, write_records
    from wellbridge.privacy.tables.protection import read_table

    path: Path | None = given["programme"]
    if path is None:
        raise ConfigurationError("WB-E-011", "Cell keys need a programme, whose secret all its tables share.",
                                 "--programme")
    wanted = {"max_noise": given["max_noise"], "variance": given["variance"], "hidden_to": given["never"]}
    is_new = not path.exists()
    if is_new:
        programme = new_programme(*(5 if wanted["max_noise"] is None else wanted["max_noise"],
                                    3.0 if wanted["variance"] is None else wanted["variance"],
                                    2 if wanted["hidden_to"] is None else wanted["hidden_to"]))
    else:
        programme = read_programme(path)
        if any(value not in (None, getattr(programme.table, name)) for name, value in wanted.items()):
            raise ConfigurationError("WB-E-011", "The programme's noise is another one, and is not changed.",
                                     f"--programme {path.name}", todo="Leave the noise out, or begin a new programme")
    if given["person"]:
        rows = read_records(file).frame
        _check_columns(rows, [name for d in by for name in d.columns] + [given["person"]], file)
        cells = keyed_records(rows, programme, by=by, person=given["person"])
    else:
        checked = FrequencyTable.of(read_table(file, by, count), by=by, count=count)
        cells = keyed_counts(checked.inner(), programme, by=by, count=count)
    found = perturbed(cells, programme, by=by)
    if is_new:
        write_programme(programme, path)
    write_records(found.rename({COUNT: count}) if count else found, out)
    facts = {"cells": found.height, "max_noise": programme.table.max_noise, "variance": programme.table.variance}
    return {**facts, "never": programme.table.hidden_to, "programme": path.name, "is_new": is_new, "adds_up": False}


def _rounding(
    file: Path, by: Sequence[Dimension], count: str, out: Path, given: Mapping[str, Any]
) -> dict[str, Any]:
    from wellbridge.privacy.noise.frequency import FrequencyTable
    from wellbridge.privacy.records.files import write_records
    from wellbridge.privacy.tables.protection import read_table

    base = 5 if given["base"] is None else given["base"]
    frame, found = FrequencyTable.of(read_table(file, by, count), by=by, count=count).rounded(base)
    write_records(frame, out)
    return {
        "cells": frame.height, "base": base, "rounded": str(found.how), "steps": found.steps,
        "distance": found.distance, "optimal": found.is_optimal, "lower_bound": round(found.lower_bound, 6),
        "adds_up": True,
    }


def _dp(file: Path, by: Sequence[Dimension], count: str, out: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    from wellbridge.privacy.noise.budget import EVERYBODY, Account, Measure
    from wellbridge.privacy.noise.frequency import FrequencyTable
    from wellbridge.privacy.noise.private import Noise, epsilon_of, mechanism
    from wellbridge.privacy.tables.protection import read_table

    missing = [name for name in ("agreement", "population") if not given[name]]
    places = [name for name in ("budget", "project") if given[name]]
    if missing or len(places) != 1 or (given["epsilon"] is None) == (given["rho"] is None):
        raise ConfigurationError("WB-E-011", "A private table needs one budget to pay from, and one loss to pay.",
                                 "--budget or --project; --agreement, --population; --epsilon or --rho")
    noise, amount = (Noise.LAPLACE, given["epsilon"]) if given["rho"] is None else (Noise.GAUSSIAN, given["rho"])
    read = FrequencyTable.of(read_table(file, by, count), by=by, count=count)
    per_person = 1 if given["per_person"] is None else given["per_person"]
    how = mechanism(noise, amount, cells_of_one=read.margin_sets * per_person)
    account = Account(given["agreement"], given["population"])
    grants = {account: _limit(given["budget_limit"], "--budget-limit"),
              Account(EVERYBODY, account.population): _limit(given["population_limit"], "--population-limit")}
    with _budget(given) as (ledger, spend, signer):
        for whose, granted in grants.items():
            if granted is not None:
                ledger.grant(whose, granted)
        ledger.check(account, how.loss)  # before any noise is drawn
        _write_paid(read.noised(how), out, lambda digest: spend(account, how.loss, digest), signer)
        balance = ledger.balance(account)
    assert balance is not None
    is_rho = balance.measure is Measure.ZCDP
    return {
        "cells": read.frame.height, "noise": str(noise), "scale": how.scale, "loss": float(how.loss.amount),
        "within_95": how.accuracy, "cells_of_one": read.margin_sets * per_person, "measure": str(balance.measure),
        "granted": float(balance.granted), "spent": float(balance.spent), "left": float(balance.left),
        "epsilon_spent": epsilon_of(balance.spent, _DELTA) if is_rho else float(balance.spent),
        "delta": _DELTA if is_rho else 0.0, "adds_up": False,
    }


@contextmanager
def _budget(given: Mapping[str, Any]) -> Iterator[tuple[BudgetLedger, Spend, Signer | None]]:
    """Open the budget of a site, which signs what it pays for, or one that stands alone."""
    from wellbridge.privacy.noise.budget import open_ledger

    if given["project"] is None:
        with open_ledger(given["budget"]) as ledger:
            yield ledger, ledger.spend, None
        return
    from wellbridge.pipelines.private_releases import site_budget
    from wellbridge.pipelines.site import load_site

    if given["budget_limit"]:
        raise ConfigurationError("WB-E-011", "A site's budget is what the agreement states.",
                                 "--budget-limit · [privacy_budget] of the agreement")
    with site_budget(load_site(given["project"]), given["agreement"], given["population"]) as opened:
        yield opened


def _ranges(file: Path, by: Sequence[Dimension], count: str, out: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    from wellbridge.pipelines.cli.privacy_rates import blur_rates_file

    return blur_rates_file(
        file, out, bands=given["bands"] or "nces-2011-603", recode=given["recode"] or "always",
        need=given["need"] or "strong", percent_only=bool(given["percent_only"]),
    )


def _write_paid(frame: pl.DataFrame, out: Path, pay: Callable[[str], None], signer: Signer | None) -> None:
    """Write a table aside, with the signature of whoever signs, pay for it, and only then give them their names."""
    from wellbridge.privacy.records.files import write_records

    aside = out.with_name(f".{secrets.token_hex(8)}{out.suffix}")
    signature = aside.with_name(f"{aside.name}.sig")
    try:
        write_records(frame, aside)
        content = aside.read_bytes()
        if signer is not None:
            signature.write_bytes(signer.sign(out.name, content))
        pay(hashlib.sha256(content).hexdigest())
        if signer is not None:
            signature.replace(out.with_name(f"{out.name}.sig"))  # first: no table is out unsigned
        aside.replace(out)
    finally:
        for left in (aside, signature):
            left.unlink(missing_ok=True)


def _limit(text: str | None, option: str) -> Loss | None:
    from wellbridge.privacy.noise.budget import Loss, Measure

    if text is None:
        return None
    measure, _, amount = text.partition(":")
    value = None
    try:
        value = Fraction(amount)
    except (ValueError, ZeroDivisionError):
        value = None
    if measure not in set(Measure) or value is None or value <= 0:
        raise ConfigurationError("WB-E-011", "A budget is a measure and a positive amount.",
                                 option, todo=f"For example: {option} zcdp:0.5")
    return Loss(Measure(measure), value)


def _check_columns(frame: pl.DataFrame, names: Sequence[str], file: Path) -> None:
    import difflib

    for name in names:
        if name not in frame.columns:
            near = ", ".join(difflib.get_close_matches(name, frame.columns, n=3)) or "none"
            raise ConfigurationError("WB-E-015", "A table has no column of a name that was given.",
                                     f"file {file.name} · near: {near}")
