"""The attendance night against a bare and a naive script: CPU seconds, peak memory and their ratios.

    python bench/nightly.py --rows 1000000 [--scale 10] [--without naive]

Each variant runs in its own process, and its children are counted with it. Look at CPU seconds and ratios
of one run; wall times of different machines cannot be compared. This process stays small on purpose: Linux
counts what a parent held when it started a child to the child's peak.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
REPO: Final = HERE.parent
MEBI: Final = 1024.0  # ru_maxrss is in KiB on Linux

# What issue A reaches for.
MAX_CPU_S_PER_MILLION: Final = 8.0
MAX_TIMES_BARE: Final = 2.5
MAX_CPU_GROWTH: Final = 1.1  # CPU of 10× the rows at most 11×
MAX_PEAK_MB: Final = 3072.0
MAX_IDLE_SHARE: Final = 0.02


@dataclass(frozen=True)
class Cost:
    """What a process and its children took."""

    variant: str
    rows: int
    cpu_s: float
    wall_s: float
    peak_mb: float
    output: str


def measured(variant: str, rows: int, command: Sequence[str | Path], accepted: Sequence[int] = (0,)) -> Cost:
    """Run a command and return its cost; stop the benchmark when it ends otherwise than accepted."""
    roots = ":".join(str(REPO / floor) for floor in ("etl", "schemas", "pipelines", "privacy"))
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [str(c) for c in command], stdout=output, env={**os.environ, "PYTHONPATH": roots}
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode()
    if process.returncode not in accepted:
        sys.exit(f"{variant}: ended with {process.returncode}\n{text[-2000:]}")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Cost(variant, rows, cpu_s, time.monotonic() - started, usage.ru_maxrss / MEBI, text)


def _python(*arguments: str | Path) -> list[str | Path]:
    return [sys.executable, *arguments]


def _wellbridge(site: Path, *arguments: str | Path) -> list[str | Path]:
    return _python("-m", "wellbridge", *arguments, "--project", site, "--json")


def ours(folder: Path, files: Path, rows: int) -> tuple[Cost, Cost]:
    """Return the cost of the attendance night and of the night after it, with nothing new.

    The site and its roster are made beforehand: they are not the attendance night.
    """
    site = folder / f"site-{rows}"
    measured("init", 0, _python("-m", "wellbridge", "init", site))
    shutil.copytree(files / "edfi", site / "inbox" / "edfi", dirs_exist_ok=True)
    measured("roster", 0, _wellbridge(site, "run"))
    shutil.copytree(files / "sis", site / "inbox" / "sis", dirs_exist_ok=True)
    night = measured("wellbridge run", rows, _wellbridge(site, "run"))
    _check_counts(json.loads(night.output), rows)
    idle = measured("wellbridge run, nothing new", rows, _wellbridge(site, "run"), accepted=(99,))
    shutil.rmtree(site)
    return night, idle


def _check_counts(document: dict[str, Any], rows: int) -> None:
    """A fast night that lost or kept the wrong rows is no result."""
    from attendance import defective  # noqa: PLC0415 - keeps polars out of this process until all is measured

    (counts,) = (feed for feed in document["feeds"] if feed["feed"] == "sis")
    expected = {
        "read": rows,
        "loaded": rows - defective(rows),
        "held": defective(rows),
        "unchanged": 0,
        "removed": 0,
    }
    found = {name: counts[name] for name in expected}
    if found != expected:
        sys.exit(f"The night is wrong: found {found}, expected {expected}")


def run_all(folder: Path, rows: int, without: Sequence[str]) -> list[Cost]:
    """Write the night's files and run every variant on them."""
    files = folder / f"files-{rows}"
    files.mkdir()
    measured("files", rows, _python(HERE / "attendance.py", files, str(rows)))
    (source,) = (files / "sis").iterdir()
    costs = []
    if "bare" not in without:
        costs.append(
            measured("bare polars + DuckDB", rows, _python(HERE / "bare.py", source, folder / f"bare-{rows}"))
        )
    costs.extend(ours(folder, files, rows))
    if "naive" not in without:
        command = _python(HERE / "naive.py", source, files / "edfi", folder / f"naive-{rows}")
        costs.append(measured("naive pandas + pandera", rows, command))
    shutil.rmtree(files)
    return costs


def show(costs: Sequence[Cost]) -> None:
    """Print one line per variant; the last column is CPU per row against the first variant."""
    base = costs[0]
    print(f"\n{'variant':<30}{'rows':>12}", end="")
    print(f"{'CPU s':>9}{'wall s':>9}{'peak MB':>9}{'rows/CPU s':>12}{'x first':>9}")
    for cost in costs:
        ratio = cost.cpu_s / base.cpu_s * base.rows / cost.rows
        print(
            f"{cost.variant:<30}{cost.rows:>12,}{cost.cpu_s:>9.2f}{cost.wall_s:>9.2f}{cost.peak_mb:>9.0f}"
            f"{cost.rows / cost.cpu_s:>12,.0f}{ratio:>9.2f}"
        )


def verdicts(costs: Sequence[Cost]) -> list[tuple[str, float, float]]:
    """Return each reach that these costs can tell about: what, found, most allowed."""
    of = {(cost.variant, cost.rows): cost for cost in costs}
    nights = [cost for cost in costs if cost.variant == "wellbridge run"]
    first, last = nights[0], nights[-1]
    found = [
        ("CPU seconds per million rows", first.cpu_s / first.rows * 1e6, MAX_CPU_S_PER_MILLION),
        ("peak MB", last.peak_mb, MAX_PEAK_MB),
    ]
    if bare := of.get(("bare polars + DuckDB", first.rows)):
        found.append(("times the bare script", first.cpu_s / bare.cpu_s, MAX_TIMES_BARE))
    idle = of["wellbridge run, nothing new", first.rows]
    found.append(("a night with nothing new, share of a full one", idle.cpu_s / first.cpu_s, MAX_IDLE_SHARE))
    if last is not first:
        times = last.rows / first.rows
        found.append((f"CPU growth at {times:g}x the rows", last.cpu_s / first.cpu_s, times * MAX_CPU_GROWTH))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument(
        "--scale", type=int, default=1, help="also run our night with this many times the rows"
    )
    parser.add_argument("--without", nargs="*", default=[], choices=["bare", "naive"])
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wellbridge-bench-") as name:
        costs = run_all(Path(name), options.rows, options.without)
        if options.scale > 1:
            costs += run_all(Path(name), options.rows * options.scale, ["bare", "naive"])
    if options.json:
        keys = ("variant", "rows", "cpu_s", "wall_s", "peak_mb")
        print(json.dumps([{key: getattr(cost, key) for key in keys} for cost in costs]))
        return
    show(costs)
    print()
    for what, value, most in verdicts(costs):
        print(f"{'reached' if value <= most else 'MISSED ':<8} {what}: {value:.3g} (at most {most:.3g})")


if __name__ == "__main__":
    main()
