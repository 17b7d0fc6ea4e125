"""What ``wellbridge privacy attack`` does with a file of published rates."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


def attack_rates_file(path: Path) -> dict[str, Any]:
    """Attack a file of rates published as ranges, one school at a time: numbers of cells, never a value.

    Returns:
        ``races``: race and ethnic groups against all, percents read as rounded; ``every_group``: groups that overlap
        the races (disability, income, language) as well; ``certain``: as ``races``, read so that it holds however
        percents were rounded or cut. Each as ``RatesAttack.totals``.
    """
    from wellbridge.privacy.tables.margins import ALL
    from wellbridge.privacy.tables.rate_files import RACE, read_rates
    from wellbridge.privacy.tables.rates import Reading, attack_rates

    started = time.process_time()
    rates = read_rates(path)
    is_federal = rates["dimension"].is_in([ALL, RACE]).any() and (rates["dimension"] == RACE).any()
    races = rates.filter(rates["dimension"].is_in([ALL, RACE])) if is_federal else rates
    return {
        "file": path.name,
        "races": attack_rates(races).totals(),
        "every_group": attack_rates(rates).totals(),
        "certain": attack_rates(races, reading=Reading.ANY).totals(),
        "cpu_s": round(time.process_time() - started, 3),
    }


def blur_rates_file(
    path: Path, out: Path, *, bands: str, recode: str, need: str, percent_only: bool
) -> dict[str, Any]:
    """Recode a table of rates into ranges that survive the attack, and write it.

    Args:
        path: a table with the columns ``unit``, ``dimension``, ``member``, ``n``, ``numerator``.
        out: where the ranges go: ``unit``, ``dimension``, ``member``, ``n`` and ``rate``.
        bands: the ranges' name in ``rules/states.toml``.
        recode: ``always`` or ``where-small``.
        need: ``weak`` or ``strong``.
        percent_only: publish no sizes.

    Raises:
        ConfigurationError: WB-E-015 when there are no such ranges or the table lacks a column.
    """
    import difflib

    import polars as pl

    from wellbridge.privacy.records.files import read_records, write_records
    from wellbridge.privacy.rules.states import all_bands
    from wellbridge.privacy.tables.blur import FACTS, Recode, blur_rates
    from wellbridge.privacy.tables.linked import Need
    from wellbridge.schemas.errors import ConfigurationError

    if bands not in all_bands():
        near = ", ".join(difflib.get_close_matches(bands, all_bands(), n=3)) or ", ".join(all_bands())
        raise ConfigurationError("WB-E-015", "There are no ranges of that name.", f"--bands · near: {near}")
    frame = read_records(path).frame
    lacking = [name for name in FACTS if name not in frame.columns]
    if lacking:
        raise ConfigurationError("WB-E-015", "A table of rates lacks columns.",
                                 f"file {path.name} · {', '.join(lacking)}")
    text, whole = pl.col(FACTS[:3]).cast(pl.String), pl.col(FACTS[3:]).cast(pl.String).str.to_integer(strict=False)
    found = blur_rates(frame.select(text, whole), all_bands()[bands], recode=Recode(recode), need=Need(need),
                       percent_only=percent_only)
    write_records(found.table, out)
    totals = found.attack.totals()
    return {"cells": found.table.height, "hidden": totals["hidden"], "exact": totals["exact"],
            "narrowed": totals["narrowed"], "units": totals["units"], "widened": found.widened,
            "with_unlisted_group": found.rests}
