"""``wellbridge warehouse``."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from wellbridge.pipelines.cli.output import command, document, json_option, project_option, show_json, table
from wellbridge.pipelines.site import load_site
from wellbridge.schemas.errors import Exit


@click.group()
def warehouse() -> None:
    """Look at the warehouse as a whole."""


@warehouse.command("digest", short_help="Print a digest of what each table says.")
@project_option
@json_option
@command
def warehouse_digest(project: Path, as_json: bool) -> Exit:
    """Print a digest per table of what it says, whatever the row order, engine, run ids and random keys."""
    from wellbridge.etl.digest import digest
    from wellbridge.etl.store import open_store
    from wellbridge.schemas.warehouse import METADATA

    with open_store(load_site(project).warehouse, METADATA, read_only=True) as store:
        found = digest(store)
    whole = hashlib.sha256(
        "".join(f"{name}={value}\n" for name, value in sorted(found.items())).encode()
    ).hexdigest()
    if as_json:
        show_json(document(Exit.DONE, digest=whole, tables=found))
    else:
        click.echo(table([{"table": name, "sha256": value} for name, value in found.items()]))
        click.echo(f"\nwhole warehouse  {whole}")
    return Exit.DONE


@warehouse.command("check", short_help="Check the loaded tables; exit 18 on a violation.")
@project_option
@json_option
@command
def warehouse_check(project: Path, as_json: bool) -> Exit:
    """Put the expectations of the loaded tables to the warehouse; exit 18 when one is not met.

    Keys present and unique, numbers in range. Takes some seconds: Great Expectations is loaded for it.
    """
    from wellbridge.etl.expectations import check_warehouse

    found = check_warehouse(load_site(project).warehouse)
    broken = [expected for expected in found if not expected.is_met]
    code = Exit.VERIFY if broken else Exit.DONE
    rows = [{"table": e.table, "expectation": e.expectation, "columns": ", ".join(e.columns)} for e in broken]
    if as_json:
        show_json(document(code, checked=len(found), violations=rows))
    elif broken:
        click.echo(table(rows))
    else:
        click.echo(f"{len(found)} expectations of {len({e.table for e in found})} tables are met.")
    return code
