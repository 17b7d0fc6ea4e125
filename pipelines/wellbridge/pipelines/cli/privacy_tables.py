"""``wellbridge privacy protect`` and ``verify``: tables of counts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from wellbridge.pipelines.cli.output import command, document, json_option, show_json, table
from wellbridge.pipelines.cli.privacy_amounts import amount_options, or_amounts
from wellbridge.schemas.errors import ConfigurationError, Exit, VerifyError

if TYPE_CHECKING:
    from wellbridge.privacy.tables.cohorts import Cohort

_FILE: Final = click.Path(path_type=Path)
_SETTINGS: Final = ("count", "by", "min_cell", "need")


@click.command("protect")
@click.argument("file", type=_FILE, metavar="TABLE")
@click.option("--by", multiple=True, metavar="COLUMN[<COARSER…]", help="A dimension, finest first: 'school<district'.")
@click.option("--count", metavar="COLUMN", help="The column of counts of persons.")
@amount_options
@click.option("--min-cell", type=int, help="Smallest count that may be shown; 10 where nothing is said.")
@click.option("--need", type=click.Choice(["weak", "strong"]),
              help="How open a small count must stay; strong where nothing is said.")
@click.option("--zeros-known", is_flag=True, help="Protect also from a reader who knows that a blank is never zero.")
@click.option("--hide-zeros", type=click.FloatRange(0, 1, max_open=True), default=0.0, metavar="SHARE",
              help="Hide zeros too, this share beside the small cells, so that a blank may be one for any reader.")
@click.option("--seed", type=click.IntRange(0), help="Draw the zeros again as with this seed; keep it secret.")
@click.option("--structural", type=_FILE, metavar="FILE",
              help="Combinations that there are not, by members of dimensions: zeros that stay.")
@click.option("--full", multiple=True, metavar="COLUMN",
              help="A dimension in which no group may be seen to be all of one member: its zeros are hidden too.")
@click.option("--effort", type=click.Choice(["exact", "quick"]), help="Look for the optimum, or for a good pattern.")
@click.option("--policy", type=_FILE, help="Take these settings from a file: by, count, min_cell, need.")
@click.option("--out", type=_FILE, required=True, help="The folder of the release: the table and its certificate.")
@click.option("--after", multiple=True, type=_FILE, metavar="DIR",
              help="An earlier release, to whomever: more is hidden, or all refused, where both give a count away.")
@click.option("--cohort", type=_FILE, metavar="TOML", help="Whom the table counts; its certificate says it.")
@click.option("--sealed", type=_FILE, help="Also write the auditor's certificate, sealed; not into the release.")
@click.option("--seal-key", "--key", "key", type=_FILE, help="The key that seals it; made where there is none.")
@click.option("--sign", type=_FILE, metavar="KEYFILE",
              help="Sign the certificate; KEYFILE and KEYFILE.pub are made where there are none.")
@json_option
@command
@or_amounts
def protect_command(
    file: Path, zeros_known: bool, hide_zeros: float, seed: int | None, structural: Path | None,
    full: tuple[str, ...], effort: str | None, policy: Path | None, out: Path, after: tuple[Path, ...],
    cohort: Path | None, sealed: Path | None, key: Path | None, sign: Path | None, as_json: bool, **given: Any,
) -> Exit:
    """Hide the small cells of a table of counts, and the fewest others that would give them away.

    With --value a table of amounts (minutes, cents) from one row for each contribution: hidden are the totals that
    say too much about one contributor, also to another one who is alone in a hidden cell.

    The table has one row for each inner cell, or all margins too, where "all" stands for the sum. Weak: a small count
    could be one more and one less. Strong: it could be large enough to be shown, and three less or nothing.
    """
    from wellbridge.privacy.records.files import read_records
    from wellbridge.privacy.signing import signing_key
    from wellbridge.privacy.tables.certificate import (
        check_places,
        sealed_certificate,
        write_release,
        write_sealed,
    )
    from wellbridge.privacy.tables.further import protect_after
    from wellbridge.privacy.tables.linked import Need
    from wellbridge.privacy.tables.protection import Dimension, protect, read_table
    from wellbridge.privacy.tables.released import read_release
    from wellbridge.privacy.tables.suppress import EXACT, QUICK

    if (sealed is None) != (key is None):
        raise ConfigurationError("WB-E-011", "An auditor's certificate needs a file and a key.", "--sealed, --seal-key")
    hides = bool(hide_zeros or full)
    if (zeros_known and hides) or (structural is not None and not hides) or (seed is not None and not hide_zeros):
        raise ConfigurationError(
            "WB-E-011", "Zeros are known or may be hidden, not both; structural ones and a seed go with hidden ones.",
            "--zeros-known, --hide-zeros, --full, --structural, --seed",
        )
    wanted = _settings(given, policy)
    check_places(out, sealed, key)
    signer = None if sign is None else signing_key(sign)
    by = [Dimension.read(text) for text in wanted["by"]]
    whom = read_cohort(cohort)
    started = time.process_time()
    rows = read_table(file, by, wanted["count"])
    alone = protect(
        rows, by=by, count=wanted["count"], min_cell=10 if wanted["min_cell"] is None else wanted["min_cell"],
        need=Need(wanted["need"] or "strong"),
        effort={"exact": EXACT, "quick": QUICK, None: None}[effort], blank_least=1 if zeros_known else 0,
        hide_zeros=hide_zeros, seed=seed, structural=None if structural is None else read_records(structural).frame,
        full=full,
    )
    earlier = [read_release(folder) for folder in after]
    found = protect_after(alone, earlier, name=out.name, cohort=whom) if earlier else alone
    cpu_s = time.process_time() - started
    certificate = write_release(found, out, cohort=whom, signer=signer)
    if sealed is not None and key is not None:
        write_sealed(sealed_certificate(found, certificate), sealed, key)
    facts = {
        "cells": found.table.height, "primary": alone.primary,
        "secondary": int(found.found.hidden.sum()) - alone.primary,
        "unprotected": 0, "optimal": found.found.is_optimal, "lower_bound": _whole(found.found.lower_bound),
        "cpu_s": round(cpu_s, 3), "cpu_s_with_attack": round(time.process_time() - started, 3), "out": str(out),
    }
    if as_json:
        show_json(document(Exit.DONE, file=file.name, min_cell=found.min_cell, need=str(found.need), **facts))
    else:
        click.echo(table([{name: value for name, value in facts.items() if name != "out"}]))
        click.echo(f"Release: {out}")
    return Exit.DONE


def read_cohort(path: Path | None) -> Cohort:
    """Return the cohort of ``--cohort``; nothing is said without.

    Raises:
        ConfigurationError: WB-E-011 when it is not understood.
    """
    from wellbridge.pipelines.site import read_toml
    from wellbridge.privacy.tables.cohorts import UNSAID, cohort_of

    return UNSAID if path is None else cohort_of(read_toml(path), f"--cohort {path.name}")


def _whole(bound: float) -> int:
    """Patterns cost whole cells, so a bound is rounded up."""
    return -int(-(bound - 1e-6) // 1)


def _settings(given: dict[str, Any], policy: Path | None) -> dict[str, Any]:
    said = {name: value for name, value in given.items() if value not in (None, ())}
    if policy is None:
        missing = [name for name in ("by", "count") if name not in said]
        if missing:
            raise ConfigurationError("WB-E-011", "A table needs its dimensions and its column of counts.",
                                     ", ".join(f"--{name}" for name in missing))
        return given
    if said:
        raise ConfigurationError("WB-E-011", "Settings are given twice: in the policy and on the command line.",
                                 f"--policy {policy.name} · {', '.join(sorted(said))}")
    from wellbridge.pipelines.site import read_toml

    facts = read_toml(policy)
    strange = sorted(set(facts) - set(_SETTINGS))
    by, least = facts.get("by"), facts.get("min_cell", 10)
    is_known = isinstance(by, list) and all(isinstance(one, str) for one in by) and isinstance(facts.get("count"), str)
    is_known &= type(least) is int and facts.get("need", "strong") in ("weak", "strong")
    if strange or not is_known:
        raise ConfigurationError("WB-E-011", "A table's policy says by (a list), count, min_cell and need.",
                                 f"--policy {policy.name}" + (f" · {strange[0]}" if strange else ""))
    return {name: facts.get(name) for name in _SETTINGS}


@click.command("verify")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR")
@click.option("--key", type=_FILE, help="Public key(s), one of which must have signed.")
@click.option("--sealed", type=_FILE, help="The auditor's certificate.")
@click.option("--seal-key", type=_FILE, help="The key that sealed it.")
@click.option("--open", "opened", type=_FILE, metavar="SEALED.json",
              help="Write it opened, for a verifier without the key's program; it holds the true counts.")
@json_option
@command
def verify_command(
    folder: Path, key: Path | None, sealed: Path | None, seal_key: Path | None, opened: Path | None, as_json: bool
) -> Exit:
    """Check a protected table by arithmetic alone; exit 18 on a violation.

    With the auditor's certificate also that every small count is proved protected. A site's release is checked as
    `extract verify` does. Without --key nobody is taken for the one who must have signed.
    """
    from wellbridge.privacy import release_verifier
    from wellbridge.privacy.signing import origin, read_public_keys
    from wellbridge.privacy.tables.certificate import read_sealed, write_opened

    if (sealed is None) != (seal_key is None) or (opened is not None and sealed is None):
        raise ConfigurationError("WB-E-011", "An auditor's certificate needs a file and a key.", "--sealed, --seal-key")
    truth = None if sealed is None or seal_key is None else read_sealed(sealed, seal_key)
    keys = None if key is None else read_public_keys(key)
    if opened is not None and truth is not None:
        write_opened(truth, opened, folder)
        click.echo(f"{opened.name} holds the true counts, and is open: delete it when the check is done.", err=True)
    started = time.process_time()
    violations = release_verifier.verify(folder, truth, keys)
    cpu_s = round(time.process_time() - started, 3)
    code, signed = Exit.VERIFY if violations else Exit.DONE, folder / release_verifier.MANIFEST
    limits = {} if violations else release_verifier.checked(folder)
    who = origin(signed if signed.exists() else folder / "certificate.json", keys)
    if as_json:
        failed = VerifyError("WB-E-045", f"{len(violations)} violation(s) found.", folder.name)
        show_json(document(code, path=str(folder), violations=violations, checked=limits, origin=who, cpu_s=cpu_s,
                           errors=[failed.as_dict()] if violations else []))
    elif violations:
        click.echo("\n".join(f"VIOLATION {violation}" for violation in violations))
    else:
        click.echo(f"The table is as it was certified: by its sums every hidden count could be another.\n"
                   f"Checked: {release_verifier.in_words(limits)}.\n{who}")
    return code
