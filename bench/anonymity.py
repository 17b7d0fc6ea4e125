"""Anonymity of record files: CPU seconds and peak memory of our commands, pycanon beside them.

    python bench/anonymity.py [--rows 1000000] [--adult DIR] [--pycanon PYTHON] [--exhaustive 100000]

Each figure is a process of its own, its start and imports included. `make pycanon` installs pycanon where this looks
for it; without it our figures stand alone. pycanon measures on fewer rows: what takes it hours is said by the ratio
of a part.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from anonymity_file import HEIGHTS, hierarchies, rows, write
from nightly import REPO, measured

ADULT: Final = REPO / "../shared/data/privacy/adult"
ADULT_QI: Final = ("sex", "age", "race", "marital-status", "education", "native-country", "workclass", "occupation",
                   "salary-class")
PYCANON: Final = REPO / ".venv-pycanon/bin/python"
MAX_CPU_S: Final = 25.0
MAX_PEAK_MB: Final = 4096.0
MAX_ADULT_CPU_S: Final = 1.0
TIMES_PYCANON: Final = 20.0
ARX_CPU_S: Final = 667.0  # ARX 3.9.2 on another synthetic file of this shape, reference/privacy.md 3.1


def anonymize(file: Path, quasi: Sequence[tuple[str, Path]], out: Path, *more: str) -> dict[str, Any]:
    """Run the command; return what it said and what it cost."""
    options = [part for name, tree in quasi for part in ("--qi", f"{name}={tree}")]
    command = [sys.executable, "-m", "wellbridge", "privacy", "anonymize", str(file), *options, "--k", "5",
               "--max-suppressed", "0.04", "--out", str(out), "--json", *more]
    cost = measured("anonymize", 0, command)
    return {**json.loads(cost.output), "whole_cpu_s": cost.cpu_s, "peak_mb": cost.peak_mb}


def assess(file: Path, quasi: Sequence[str], sensitive: Sequence[str]) -> dict[str, Any]:
    options = [part for name in quasi for part in ("--qi", name)]
    options += [part for name in sensitive for part in ("--sensitive", name)]
    command = [sys.executable, "-m", "wellbridge", "privacy", "assess", str(file), *options, "--json"]
    cost = measured("assess", 0, command)
    return {**json.loads(cost.output), "whole_cpu_s": cost.cpu_s, "peak_mb": cost.peak_mb}


def pycanon(
    python: Path, file: Path, quasi: Sequence[str], sensitive: str, only: str, limit_s: float
) -> dict[str, Any]:
    command = [str(python), str(REPO / "bench/pycanon_numbers.py"), str(file), "--qi", ",".join(quasi), "--sensitive",
               sensitive, "--only", only]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return {"stopped_after_s": limit_s}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def ours(file: Path, quasi: Sequence[str], sensitive: str) -> dict[str, float]:
    """Return the CPU seconds that k, and k, l and t together take us, the file being read already."""
    import polars as pl  # noqa: PLC0415 - the parent process stays small

    from wellbridge.privacy.records.criteria import Sensitive  # noqa: PLC0415
    from wellbridge.privacy.records.measures import measure  # noqa: PLC0415

    frame = pl.read_csv(file)
    begin = time.process_time()
    measure(frame, quasi)
    middle = time.process_time()
    measure(frame, quasi, [Sensitive(sensitive)])
    return {"k": middle - begin, "klt": time.process_time() - middle}


def exhaustive(count: int, k: int = 5, share: float = 0.04) -> tuple[float, tuple[int, ...], int]:
    """Look at every node of the lattice, one after the other, with nothing of the search in it.

    Returns:
        The least loss, its node, and how many rows it leaves out.
    """
    table, trees = rows(count, 20261126), hierarchies()
    codes, shares = [], []
    for name, lines in trees.items():
        level_codes, level_shares = [], []
        place = {line[0]: number for number, line in enumerate(lines)}
        number = np.array([place[value] for value in table[name]])
        for level in range(HEIGHTS[name] + 1):
            labels, of = np.unique([line[level] for line in lines], return_inverse=True)
            under = np.bincount(of, minlength=len(labels))
            level_codes.append(of[number].astype(np.int64))
            level_shares.append(((under - 1) / (len(lines) - 1))[of[number]])
        codes.append(level_codes)
        shares.append(level_shares)
    best: tuple[float, tuple[int, ...], int] = (2.0, (), 0)
    for node in np.ndindex(*(height + 1 for height in HEIGHTS.values())):
        key = np.zeros(count, dtype=np.int64)
        loss = np.zeros(count)
        for place, level in enumerate(node):
            key = key * (int(codes[place][level].max()) + 1) + codes[place][level]
            loss += shares[place][level] / len(node)
        order = np.argsort(key)
        starts = np.flatnonzero(np.diff(key[order], prepend=-1))
        size = np.repeat(np.diff(starts, append=count), np.diff(starts, append=count))
        alone = order[size < k]
        if len(alone) <= int(share * count):
            loss[alone] = 1.0
            best = min(best, (float(loss.mean()), node, len(alone)))
    return best


def line(name: str, value: float, target: float, unit: str, *, at_most: bool = True) -> bool:
    fits = value <= target if at_most else value >= target
    print(f"{name:<58} {value:>12,.3f} {unit:<6} {'≤' if at_most else '≥'} {target:>9,.1f}  {'yes' if fits else 'NO'}")
    return fits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--adult", type=Path, default=ADULT)
    parser.add_argument("--pycanon", type=Path, default=PYCANON)
    parser.add_argument("--pycanon-rows", type=int, default=20_000)
    parser.add_argument("--pycanon-limit", type=float, default=300.0)
    parser.add_argument("--exhaustive", type=int, default=0, help="rows; about ten minutes for 100,000")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = write(folder, given.rows)
        quasi = [(column, folder / f"{column}.csv") for column in HEIGHTS]
        found = anonymize(file, quasi, folder / "out.csv")
        print(f"{given.rows:,} rows: node {tuple(found['node'].values())}, loss {found['loss']}, left out "
              f"{found['suppressed']:,}, {found['checked']:,} of {found['nodes']:,} nodes, "
              f"proved {found['is_optimal']}")
        line("  anonymize, the whole command (ARX's search: 667)", found["whole_cpu_s"], MAX_CPU_S, "CPU-s")
        line("  peak memory", found["peak_mb"], MAX_PEAK_MB, "MB")
        faster = ARX_CPU_S / found["whole_cpu_s"]
        line("  times faster than ARX (its own synthetic file)", faster, 27, "×", at_most=False)
        measures = assess(file, list(HEIGHTS), ["service", "score"])
        print(f"assess: k {measures['k']}; {measures['whole_cpu_s']:.3f} CPU-s, {measures['peak_mb']:.0f} MB")
        if given.adult.exists():
            trees = [(column, given.adult / f"adult_hierarchy_{column}.csv") for column in ADULT_QI]
            found = anonymize(given.adult / "adult.csv", trees, folder / "adult.csv")
            print(f"Adult: node {tuple(found['node'].values())}, loss {found['loss']}, {found['checked']:,} of "
                  f"{found['nodes']:,} nodes")
            line("  anonymize, the whole command", found["whole_cpu_s"], MAX_ADULT_CPU_S, "CPU-s")
            found = anonymize(given.adult / "adult.csv", trees, folder / "adult.csv", "--local")
            print(f"  --local: loss {found['loss']}, {found['whole_cpu_s']:.3f} CPU-s")
        if given.pycanon.exists():
            beside(given, folder, file)
        if given.exhaustive:
            part = write(folder, given.exhaustive)
            found = anonymize(part, quasi, folder / "out.csv")
            loss, node, left = exhaustive(given.exhaustive)
            same = node == tuple(found["node"].values()) and abs(loss - found["losses"]["generalized"]) < 1e-8
            print(f"{given.exhaustive:,} rows: exhaustive search: node {node}, loss {loss:.9f}, left out {left:,}: "
                  f"{'the same' if same else 'ANOTHER'}")


def beside(given: argparse.Namespace, folder: Path, whole: Path) -> None:
    """Compare with pycanon: k on the whole file, l and t on the part that it can do."""
    names, part = list(HEIGHTS), write(folder, given.pycanon_rows)
    theirs = pycanon(given.pycanon, whole, names, "service", "k", given.pycanon_limit)
    if "k_cpu_s" in theirs:
        faster = theirs["k_cpu_s"] / ours(whole, names, "service")["k"]
        line(f"  k of {given.rows:,} rows: times faster than pycanon", faster, TIMES_PYCANON, "×", at_most=False)
    theirs = pycanon(given.pycanon, part, names, "service", "k,l,t", given.pycanon_limit)
    if "t_cpu_s" in theirs:
        cost = sum(theirs[f"{name}_cpu_s"] for name in "klt")
        line(f"  k, l, t of {given.pycanon_rows:,} rows: times faster than pycanon",
             cost / ours(part, names, "service")["klt"], TIMES_PYCANON, "×", at_most=False)
    else:
        print(f"  pycanon was stopped after {given.pycanon_limit:.0f} s on {given.pycanon_rows:,} rows")


if __name__ == "__main__":
    main()
