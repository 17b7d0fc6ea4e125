"""Linking two files: CPU seconds, peak memory and quality of ours, Splink's plain model beside it in the same run.

    python bench/identity.py [--children 50000,400000] [--splink 50000] [--seed N]

Each figure is a process of its own: start, imports, reading, standardising, blocking, scoring, deciding and judging.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from nightly import REPO, measured

# children → CPU seconds, MB
TARGETS: Final = {50_000: (12.0, 2560.0), 400_000: (40.0, 2560.0)}
WRITE: Final = (
    "import sys; from pathlib import Path; from wellbridge.pipelines.synth.pairs import write_pairs;"
    "write_pairs(Path(sys.argv[1]), children=int(sys.argv[2]), seed=int(sys.argv[3]))"
)


def ours(folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "wellbridge", "identity", "evaluate", "--left", str(folder / "left.parquet"),
               "--right", str(folder / "right.parquet"), "--truth", "pid", "--json"]  # fmt: skip
    cost = measured("identity evaluate", 0, command)
    return {**json.loads(cost.output), "whole_cpu_s": cost.cpu_s, "whole_peak_mb": cost.peak_mb}


def plain(folder: Path) -> dict[str, Any]:
    script = REPO / "bench" / "splink_plain.py"
    cost = measured("splink", 0, [sys.executable, script, folder / "left.parquet", folder / "right.parquet"])
    return {**json.loads(cost.output), "whole_cpu_s": cost.cpu_s, "whole_peak_mb": cost.peak_mb}


def show(name: str, found: dict[str, Any], rates: dict[str, Any], siblings: int) -> None:
    print(f"  {name:<34} precision {rates['precision']:.5f}  recall {rates['recall']:.4f}  siblings {siblings:>6,}"
          f"  {found['whole_cpu_s']:>6.1f} CPU-s  {found['whole_peak_mb']:>6,.0f} MB")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", default="50000,400000")
    parser.add_argument("--splink", type=int, default=50_000, help="largest number that Splink's plain model is run on")
    parser.add_argument("--seed", type=int, default=20261127)
    given = parser.parse_args()
    for children in map(int, given.children.split(",")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            subprocess.run([sys.executable, "-c", WRITE, name, str(children), str(given.seed)], check=True)
            print(f"{children:,} and {children:,} children, seed {given.seed}")
            found = ours(folder)
            show("ours", found, found, found["collisions"]["sibling_links"])
            print(f"  {'':<34} review {found['review']['share']:.2%}")
            if children in TARGETS:
                for what, value, limit in zip(
                    ("CPU-s", "MB"), (found["whole_cpu_s"], found["whole_peak_mb"]), TARGETS[children], strict=True
                ):
                    print(f"  {value:,.1f} {what} ≤ {limit:,.0f}: {'yes' if value <= limit else 'NO'}")
            if children <= given.splink:
                other = plain(folder)
                show("Splink's plain model, pairs >= .99", other, other["pairs"], other["pairs"]["sibling_links"])
                show("the same, best pairs only", other, other["one_to_one"], other["one_to_one"]["sibling_links"])
                print(f"  its CPU seconds are {other['whole_cpu_s'] / found['whole_cpu_s']:.1f} times ours, its memory "
                      f"{other['whole_peak_mb'] / found['whole_peak_mb']:.1f} times")


if __name__ == "__main__":
    main()
