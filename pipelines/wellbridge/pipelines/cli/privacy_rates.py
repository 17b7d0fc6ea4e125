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
