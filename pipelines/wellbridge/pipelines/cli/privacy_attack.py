"""``wellbridge privacy attack`` and ``certify``: what published tables give away."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import click

from wellbridge.pipelines.cli.output import command, document, json_option, show_json, table
from wellbridge.schemas.errors import ConfigurationError, Exit, SourceError, VerifyError

_PATH: Final = click.Path(path_type=Path)
_CERTIFICATE: Final = "certificate.json"


@click.command("attack")
@click.argument("paths", type=_PATH, nargs=-1, required=True, metavar="PATH…")
@click.option("--zeros-known", is_flag=True, help="As a reader who knows that a blank is never zero.")
@json_option
@command
def attack_command(paths: tuple[Path, ...], zeros_known: bool, as_json: bool) -> Exit:
    """Attack published tables together; exit 18 where a count follows.

    A PATH is a site's release (`extract build`), one of `privacy protect`, or rates published as ranges: a CSV, or a
    folder of such. Numbers of cells are told, and which printed counts give some of them away; never a value. Whom a
    release counts is said in its manifest or certificate (`privacy protect --cohort`); else it is guessed from what
    is printed.
    """
    from wellbridge.pipelines.release_attack import is_release

    started = time.process_time()
    releases = [path for path in paths if is_release(path)]
    rates = [file for path in paths if path not in releases for file in _rate_files(path)]
    facts: dict[str, Any] = {"tables": _together(releases, zeros_known), "rates": _rates(rates)}
    given = facts["tables"]["given_away"] + facts["tables"]["narrowed"] if releases else 0
    given += sum(one["races"]["exact"] + one["races"]["narrowed"] for one in facts["rates"])
    code = Exit.VERIFY if given else Exit.DONE
    if as_json:
        failed = VerifyError("WB-E-077", "What was published gives small counts away.", f"{given} cell(s)")
        show_json(document(code, **facts, cpu_s=round(time.process_time() - started, 3),
                           errors=[failed.as_dict()] if given else []))
    else:
        click.echo(_text(facts))
    return code


def _rate_files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(path.glob("*.csv"))
        if found:
            return found
    elif path.is_file():
        return [path]
    raise SourceError("WB-E-023", "There is nothing that could be attacked.", f"path {path.name}")


def _together(folders: list[Path], zeros_known: bool) -> dict[str, Any] | None:
    if not folders:
        return None
    from wellbridge.pipelines.release_attack import attack_releases

    return attack_releases(folders, zeros_known=zeros_known).as_dict()


def _rates(files: list[Path]) -> list[dict[str, Any]]:
    if not files:
        return []
    from wellbridge.pipelines.cli.privacy_rates import attack_rates_file

    return [attack_rates_file(file) for file in files]


def _text(facts: dict[str, Any]) -> str:
    parts = []
    if facts["tables"] is not None:
        found = facts["tables"]
        parts.append(table([{name: found[name] for name in ("hidden", "given_away", "narrowed", "differences")}]))
        parts += [_reason(one) for one in found["explained"]]
        if len(set(found["groups"])) > 1:
            parts.append("Some are of different cohorts, as they say or as their printed counts show; only those that\n"
                         "are related were put together.")
    for one in facts["rates"]:
        rows = [{"reading": name, **one[name]} for name in ("races", "every_group", "certain")]
        parts.append(f"{one['file']}, one school at a time\n{table(rows)}")
    return "\n\n".join(parts)


def _reason(one: dict[str, Any]) -> str:
    """Return in words what is given away, and by which printed counts."""
    kinds = {"count": "A hidden count of {}", "difference": "Those of {} who are not of {}", "change": "What changed "
             "from {} to {}", "common": "Those of both {} and {}"}
    about = [*one["about"], "the others"]
    lines = [f"{kinds[one['kind']].format(*about)}, {_cell(one['cell'])}, {'follow' if one['exact'] else 'are few'}:"]
    return "\n".join([*lines, *(f"  {part['release']}: {_cell(part['cell'])}" for part in one["because"])])


def _cell(cell: dict[str, str]) -> str:
    return " · ".join(f"{column} {member}" for column, member in cell.items()) or "all"


@click.command("certify")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR")
@click.option("--by", multiple=True, metavar="COLUMN[<COARSER…]", help="A dimension, finest first.")
@click.option("--count", metavar="COLUMN", help="The column of counts, blank where hidden.")
@click.option("--min-cell", type=int, default=10, show_default=True, help="Smallest count that may be shown.")
@click.option("--need", type=click.Choice(["weak", "strong"]), default="strong", show_default=True,
              help="How open a hidden count must be.")
@click.option("--cohort", type=_PATH, metavar="TOML", help="Whom the table counts; its certificate says it.")
@click.option("--sign", type=_PATH, metavar="KEYFILE",
              help="Sign the certificate; KEYFILE and KEYFILE.pub are made where there are none.")
@json_option
@command
def certify_command(
    folder: Path, by: tuple[str, ...], count: str | None, min_cell: int, need: str, cohort: Path | None,
    sign: Path | None, as_json: bool,
) -> Exit:
    """Attack a table that was protected elsewhere, and certify it.

    It is DIR/table.csv; exit 14 when it gives a small count away. The certificate is made from the published table
    alone, so it tells nothing that the table does not.
    """
    from wellbridge.pipelines.cli.privacy_tables import read_cohort
    from wellbridge.privacy import certify
    from wellbridge.privacy.signing import signing_key
    from wellbridge.privacy.tables.linked import Need
    from wellbridge.privacy.tables.protection import Dimension

    if not by or not count:
        raise ConfigurationError("WB-E-011", "A table needs its dimensions and its column of counts.", "--by, --count")
    if (folder / _CERTIFICATE).exists():
        raise ConfigurationError("WB-E-011", "The table has a certificate already.", f"folder {folder.name}",
                                 todo="wellbridge privacy verify DIR")
    started = time.process_time()
    found = certify(
        folder, by=[Dimension.read(text) for text in by], count=count, min_cell=min_cell, need=Need(need),
        cohort=read_cohort(cohort), signer=None if sign is None else signing_key(sign),
    )
    # What gives something away is refused, see ``certify``.
    facts = {"cells": found.cells, "hidden": found.hidden, "given_away": 0, "narrowed": 0,
             "completions": found.completions, "out": str(found.out),
             "cpu_s": round(time.process_time() - started, 3)}
    if as_json:
        show_json(document(Exit.DONE, **facts))
    else:
        click.echo(table([facts]))
    return Exit.DONE
