"""Tables of counts: CPU seconds, hidden cells and bounds of `privacy protect` and `verify` on the state tables.

    python bench/tables.py [--only T1,T2,T3] [--need weak] [--tables DIR]

Each figure is a process of its own; what is compared with a target leaves its start and imports out, as the peers'
figures do (reference/privacy.md, section 5), and the whole command stands beside it. Verifying is the lone file that an
auditor runs, start included. T5, a whole state, takes minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nightly import REPO, measured
from wellbridge.privacy.tables import verifier
from wellbridge.privacy.tables.certificate import read_sealed

STATE_TABLES: Final = REPO / "../shared/data/privacy/state_tables"
FLAT: Final = ("school<district", "race")
BANDED: Final = ("school<district", "grade<band", "race")
BY: Final = {"T1": FLAT, "T2": FLAT, "T3": ("school<district", "grade", "race"), "T4": BANDED, "T5": BANDED}
MAX_VERIFY_CPU_S: Final = 0.3


@dataclass(frozen=True)
class Target:
    """What is asked of one table and need.

    Attributes:
        secondary: most cells hidden beside the small ones.
        cpu_s: most CPU seconds, None where none are asked.
        optimal: whether the optimum must be proved.
        peer: what others need for the same, for the line's end.
    """

    secondary: int
    cpu_s: float | None = None
    optimal: bool = False
    peer: str = ""


TARGETS: Final = {
    ("T1", "weak"): Target(10, optimal=True, peer="GaussSuppression 13 hidden"),
    ("T2", "weak"): Target(19, optimal=True, peer="GaussSuppression 21 hidden"),
    ("T3", "weak"): Target(193, 10.0, optimal=True, peer="GaussSuppression 279 hidden, 21.3 CPU-s"),
    ("T4", "weak"): Target(1_425, 7.0, peer="GaussSuppression did not finish"),
    ("T5", "weak"): Target(7_276, 40.0),
    ("T1", "strong"): Target(13, optimal=True),
    ("T2", "strong"): Target(35, optimal=True),
    ("T3", "strong"): Target(511),
    ("T4", "strong"): Target(2_304),
    ("T5", "strong"): Target(13_489, 300.0),
}


def protect(file: Path, need: str, folder: Path) -> dict[str, Any]:
    """Protect a table and verify it twice, once with the auditor's certificate; return what was said and its cost."""
    name = file.name.partition(".")[0]
    by = [part for one in BY[name] for part in ("--by", one)]
    seal = ["--sealed", str(folder / "sealed"), "--seal-key", str(folder / "key")]
    out = folder / "out"
    program = [sys.executable, "-m", "wellbridge", "privacy"]
    cost = measured("protect", 0, [*program, "protect", str(file), *by, "--count", "freq", "--min-cell", "10", "--need",
                                   need, "--out", str(out), *seal, "--json"], accepted=(0, 14))
    if json.loads(cost.output)["exit_code"]:
        return {"refused": True, "whole_cpu_s": cost.cpu_s}
    opened = folder / "opened.json"
    opened.write_text(json.dumps(read_sealed(folder / "sealed", folder / "key")), encoding="utf-8")
    alone = [sys.executable, verifier.__file__, str(out)]
    public = measured("verify", 0, alone)
    both = measured("verify --sealed", 0, [*alone, "--sealed", str(opened)])
    return {
        **json.loads(cost.output), "whole_cpu_s": cost.cpu_s, "peak_mb": cost.peak_mb,
        "verify_cpu_s": public.cpu_s, "verify_sealed_cpu_s": both.cpu_s,
        "certificate_kb": (out / "certificate.json").stat().st_size / 1024,
    }


def misses(found: dict[str, Any], target: Target) -> list[str]:
    """Return which targets a table misses."""
    missed = {
        f"hidden ≤ {target.secondary:,}": found["secondary"] > target.secondary,
        "optimal": target.optimal and not found["optimal"],
        "unprotected 0": found["unprotected"] > 0,
        f"CPU-s ≤ {target.cpu_s}": target.cpu_s is not None and found["cpu_s"] > target.cpu_s,
        f"verified ≤ {MAX_VERIFY_CPU_S} CPU-s": found["verify_sealed_cpu_s"] > MAX_VERIFY_CPU_S,
    }
    return [what for what, is_missed in missed.items() if is_missed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(BY), help="names, with commas between")
    parser.add_argument("--need", choices=["weak", "strong"], help="one of the two; both without")
    parser.add_argument("--tables", type=Path, default=STATE_TABLES)
    given = parser.parse_args()
    names = given.only.split(",")
    if not given.tables.exists() or not set(names) <= set(BY):
        sys.exit(f"no folder {given.tables}" if set(names) <= set(BY) else f"tables are {', '.join(BY)}")
    print(f"{'table':<10}{'cells':>9}{'small':>8}{'hidden':>8}{'bound':>8}{'gap':>7}{'CPU-s':>9}{'command':>9}{'MB':>7}"
          f"{'verify':>8}{'sealed':>8}{'KB':>8}  targets")
    for name in names:
        for need in (given.need,) if given.need else ("weak", "strong"):
            with tempfile.TemporaryDirectory() as folder:
                found = protect(given.tables / f"{name}.csv.gz", need, Path(folder))
            if "refused" in found:
                print(f"{name} {need:<7}REFUSED after {found['whole_cpu_s']:.1f} CPU-s", flush=True)
                continue
            target = TARGETS[name, need]
            bound = found["lower_bound"]
            gap = "proved" if found["optimal"] else f"{found['secondary'] / max(bound, 1) - 1:.0%}"
            missed = misses(found, target)
            print(f"{name} {need:<7}{found['cells']:>9,}{found['primary']:>8,}{found['secondary']:>8,}{bound:>8,}"
                  f"{gap:>7}{found['cpu_s']:>9.2f}{found['whole_cpu_s']:>9.1f}{found['peak_mb']:>7.0f}"
                  f"{found['verify_cpu_s']:>8.3f}{found['verify_sealed_cpu_s']:>8.3f}{found['certificate_kb']:>8,.0f}  "
                  f"{'all met' if not missed else 'MISSED: ' + ', '.join(missed)}"
                  f"{'; ' + target.peer if target.peer else ''}", flush=True)


if __name__ == "__main__":
    main()
