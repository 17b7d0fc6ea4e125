"""``wellbridge privacy protect --value``: tables of amounts, such as minutes of service or cents."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from wellbridge.pipelines.cli.output import document, show_json, table
from wellbridge.schemas.errors import ConfigurationError, Exit

if TYPE_CHECKING:
    from wellbridge.privacy.tables.primary import MagnitudeRules
    from wellbridge.privacy.tables.suppress import Effort

_RULE: Final = re.compile(r"(?P<kind>p%|pq|nk):(?P<first>\d+(?:\.\d+)?)(?:,(?P<second>\d+(?:\.\d+)?))?")
_KNOWN: Final = "p%:10 (the p % rule), pq:10,50 (with prior knowledge q), nk:2,90 (dominance of n over k %)"
_NUMBERS: Final = {"p%": 1, "pq": 2, "nk": 2}


def amount_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a table of amounts to a command."""
    for option in (
        click.option("--unit", type=float, help="What an amount is rounded to and counted in; 1 without."),
        click.option("--rule", multiple=True, metavar="RULE",
                     help="When an amount says something about one contributor: p%:10, pq:10,50, nk:2,90. Without, "
                          "p%:10 and nk:2,90."),
        click.option("--contributor", metavar="COLUMN", help="Who contributed a row's amount; never released."),
        click.option("--value", metavar="COLUMN", help="In place of --count: the column of amounts to sum."),
    ):
        command = option(command)
    return command


def or_amounts(protect: Callable[..., Exit]) -> Callable[..., Exit]:
    """Return a command that protects amounts where it is asked to, and counts otherwise."""

    @functools.wraps(protect)
    def chosen(
        file: Path, value: str | None, contributor: str | None, rule: tuple[str, ...], unit: float | None, **given: Any
    ) -> Exit:
        if value is not None:
            return _protect(file, value, contributor, rule, unit, given)
        if contributor or rule or unit is not None:
            what = "Contributors, rules and a unit belong to a table of amounts."
            raise ConfigurationError("WB-E-011", what, "--value")
        return protect(file=file, **given)

    return chosen


def _protect(
    file: Path, value: str, contributor: str | None, rule: Sequence[str], unit: float | None, given: Mapping[str, Any]
) -> Exit:
    """Refuse what says something about counts only, and protect."""
    known = {"by", "min_cell", "effort", "out", "sealed", "key", "sign", "as_json"}
    strange = sorted(f"--{name.replace('_', '-')}" for name, said in given.items() if said and name not in known)
    if strange or not given["by"]:
        what = "A table of amounts goes by --value, --contributor, --by, --rule, --unit and --min-cell."
        raise ConfigurationError("WB-E-011", what, ", ".join(strange) or "--by")
    from wellbridge.privacy.tables.suppress import EXACT, QUICK

    effort = {"exact": EXACT, "quick": QUICK, None: None}[given["effort"]]
    places = {name: given[name] for name in ("out", "sealed", "key", "sign", "as_json")}
    if (places["sealed"] is None) != (places["key"] is None):
        raise ConfigurationError("WB-E-011", "An auditor's certificate needs a file and a key.", "--sealed, --seal-key")
    return protect_amounts_file(
        file, by=given["by"], value=value, contributor=contributor, rule=rule, unit=unit, least=given["min_cell"],
        effort=effort, **places,
    )


def read_rules(texts: Sequence[str], least: int | None) -> MagnitudeRules:
    """Return the rules of ``--rule`` and ``--min-cell``; ACRO's where none is given.

    Raises:
        ConfigurationError: WB-E-011 when one is not understood or given twice.
    """
    from wellbridge.privacy.tables.primary import MagnitudeRules

    enough = 10 if least is None else least
    if not texts:
        return MagnitudeRules(least=max(1, enough))
    facts: dict[str, float] = {"largest": 1, "share": 1.0, "margin": 0.0}
    seen = set()
    for text in texts:
        found = _RULE.fullmatch(text.strip().lower().replace(" ", ""))
        numbers = [float(part) for part in found.groups()[1:] if part] if found else []
        if found is None or found["kind"] in seen or len(numbers) != _NUMBERS[found["kind"]]:
            raise ConfigurationError("WB-E-011", "A rule for amounts is not understood, or given twice.",
                                     f"--rule · known: {_KNOWN}")
        seen |= {found["kind"], *({"p%", "pq"} if found["kind"] != "nk" else ())}
        if found["kind"] == "nk":
            if numbers[0] != int(numbers[0]):
                raise ConfigurationError("WB-E-011", "A number of contributors is whole.", "--rule nk:N,K")
            facts |= {"largest": int(numbers[0]), "share": numbers[1] / 100}
        else:
            facts |= {"margin": numbers[0] / 100, "known": numbers[1] / 100 if len(numbers) > 1 else 1.0}
    return MagnitudeRules(least=max(1, enough), **facts)  # type: ignore[arg-type]  # ``largest`` is whole, see above


def protect_amounts_file(
    file: Path, *, by: Sequence[str], value: str, contributor: str | None, rule: Sequence[str], unit: float | None,
    least: int | None, effort: Effort | None, out: Path, sealed: Path | None, key: Path | None, sign: Path | None,
    as_json: bool,
) -> Exit:
    """Protect a table of amounts, see ``privacy protect``."""
    from wellbridge.privacy.signing import signing_key
    from wellbridge.privacy.tables.amounts import protect_amounts
    from wellbridge.privacy.tables.amounts_certificate import sealed_certificate, write_amounts
    from wellbridge.privacy.tables.certificate import check_places, write_sealed
    from wellbridge.privacy.tables.primary import FACTS, TOP
    from wellbridge.privacy.tables.protection import Dimension, read_table

    rules = read_rules(rule, least)
    check_places(out, sealed, key)
    dimensions = [Dimension.read(text) for text in by]
    tops = [TOP.format(place + 1) for place in range(rules.places)]
    started = time.process_time()
    rows = read_table(file, dimensions, value, [contributor] if contributor else [FACTS[0], *tops])
    found = protect_amounts(
        rows, by=dimensions, value=value, contributor=contributor, rules=rules, unit=1.0 if unit is None else unit,
        effort=effort,
    )
    cpu_s = time.process_time() - started
    public = write_amounts(found, out, None if sign is None else signing_key(sign))
    if sealed is not None and key is not None:
        write_sealed(sealed_certificate(found, public), sealed, key)
    facts = {
        "cells": found.table.height, "primary": found.primary, "secondary": found.secondary, "unprotected": 0,
        "alone": found.attackers, "optimal": found.found.is_optimal, "lower_bound": round(found.found.lower_bound, 3),
        "cpu_s": round(cpu_s, 3), "cpu_s_with_attack": round(time.process_time() - started, 3), "out": str(out),
    }
    if as_json:
        show_json(document(Exit.DONE, file=file.name, unit=found.unit, rules=public["rules"], **facts))
    else:
        click.echo(table([{name: fact for name, fact in facts.items() if name != "out"}]))
        click.echo(f"Release: {out}")
    return Exit.DONE
