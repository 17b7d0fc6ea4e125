"""Methods that publish without hiding: CPU seconds of each on the state tables, and OpenDP's own draw beside ours.

    python bench/noise.py [--tables T3 T4]

In one process: the tables are read and their margins added once, and what is measured is the method alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import polars as pl

from nightly import REPO
from wellbridge.privacy.noise.cellkey import keyed_counts, perturbed
from wellbridge.privacy.noise.frequency import FrequencyTable
from wellbridge.privacy.noise.private import Noise, mechanism
from wellbridge.privacy.noise.programme import new_programme
from wellbridge.privacy.tables.protection import Dimension, read_table

TABLES: Final = REPO / "../shared/data/privacy/state_tables"


def cost(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return CPU seconds and the outcome."""
    begin = time.process_time()
    found = work()
    return time.process_time() - begin, found


def state_table(path: Path) -> FrequencyTable:
    """Read a state table by all of its dimensions, coarser columns rolled up."""
    columns = pl.read_csv(path, n_rows=1).columns
    chains = {"school": "school<district", "grade": "grade<band"}
    names = [chains[name] if name in chains and chains[name].split("<")[1] in columns else name
             for name in columns if name not in ("district", "band", "freq")]
    by = [Dimension.read(name) for name in names]
    return FrequencyTable.of(read_table(path, by, "freq"), by=by, count="freq")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="+", default=["T3", "T4"])
    given = parser.parse_args()
    if not TABLES.exists():
        sys.exit("the state tables are not beside the repository")
    programme = new_programme(5, 3.0, 2)
    print(f"{'':<4} {'cells':>8} {'cell keys':>10} {'dp':>8} {'OpenDP':>8} {'ratio':>6} {'rounding':>9}  rounded how")
    for name in given.tables:
        table = state_table(TABLES / f"{name}.csv.gz")
        by, cells = list(table.by), table.frame.height
        inner = table.inner()
        keyed, _ = cost(lambda: perturbed(keyed_counts(inner, programme, by=by, count="freq"), programme, by=by))  # noqa: B023
        how = mechanism(Noise.GAUSSIAN, 0.1, cells_of_one=table.margin_sets)
        ours, _ = cost(lambda: table.noised(how))  # noqa: B023 - called at once
        theirs, _ = cost(lambda: how.draw(table.grid.counts.ravel()))  # noqa: B023
        rounding, (_, found) = cost(lambda: table.rounded(3))  # noqa: B023
        print(f"{name:<4} {cells:>8,} {keyed:>9.2f}s {ours:>7.2f}s {theirs:>7.2f}s {ours / theirs:>5.2f}× "
              f"{rounding:>8.2f}s  {found.how}, {found.distance / max(found.lower_bound, 1) - 1:.2%} over the bound")


if __name__ == "__main__":
    main()
