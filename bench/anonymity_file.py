"""Write the seeded record file of the anonymity benchmark: eight quasi-identifiers, 28,800 nodes.

    python bench/anonymity_file.py DIR [--rows 1000000] [--seed 20261126]

A made-up state: schools of very different size in districts, ZIP codes near their school, grades by birth month,
a few languages that nearly everybody speaks. Rows are children; two outcomes depend weakly on the rest.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

SCHOOLS: Final = 1500
HEIGHTS: Final = {"school": 4, "born": 4, "zip": 3, "grade": 3, "entered": 3, "language": 2, "race": 2, "sex": 1}
RACES: Final = ("WH", "HI", "BL", "AS", "MU", "AM", "PI")
ANY: Final = "*"


def hierarchies() -> dict[str, list[list[str]]]:
    """Return each quasi-identifier's hierarchy, one line a value."""
    schools = [[f"S{n:04d}", f"D{n // 8:03d}", f"R{n // 80:02d}", f"half {n // 800}", ANY] for n in range(SCHOOLS)]
    months = [(2008 + n // 12, n % 12 + 1) for n in range(156)]
    born = [[f"{y}-{m:02d}", f"{y}-Q{(m + 2) // 3}", f"{y}", f"{y - y % 4}+", ANY] for y, m in months]
    zips = [[f"{z}", f"{z // 100}", f"{z // 1000}", ANY] for z in range(75000, 79000, 4)]
    grades = [[f"g{n:02d}", f"{n - n % 2:02d}+", "K-5" if n < 6 else "6-12", ANY] for n in range(13)]
    entered = [[f"{y}", f"{y - y % 2}+", f"{y - y % 6}+", ANY] for y in range(2014, 2026)]
    languages = [[f"L{n:02d}", "English" if n == 0 else "Spanish" if n == 1 else "other", ANY] for n in range(30)]
    races = [[race, race if race in RACES[:3] else "other", ANY] for race in RACES]
    return {"school": schools, "born": born, "zip": zips, "grade": grades, "entered": entered,
            "language": languages, "race": races, "sex": [["female", ANY], ["male", ANY]]}


def rows(count: int, seed: int) -> pl.DataFrame:
    """Draw the records."""
    draw: Any = np.random.default_rng(seed)
    weight = draw.gamma(2.0, 1.0, SCHOOLS)
    school = draw.choice(SCHOOLS, count, p=weight / weight.sum())
    month = draw.integers(0, 156, count)
    grade = np.clip((155 - month) // 12 + draw.integers(-1, 2, count), 0, 12)
    near = draw.integers(0, 12, count)
    zip_code = 75000 + 4 * ((school * 2 // 3 + near * near) % 1000)
    entered = np.clip(2025 - draw.integers(0, grade + 1), 2014, 2025)
    language = np.where(draw.random(count) < 0.7, 0, np.where(draw.random(count) < 0.7, 1, draw.integers(2, 30, count)))
    race = np.array(RACES)[draw.choice(7, count, p=[0.42, 0.3, 0.15, 0.06, 0.04, 0.02, 0.01])]
    score = np.clip(draw.poisson(6 + 2 * (grade > 6)), 0, 27)
    service = np.array(["none", "tier 1", "tier 2", "tier 3"])[draw.choice(4, count, p=[0.7, 0.18, 0.09, 0.03])]
    table = hierarchies()
    names = {name: np.array([line[0] for line in lines]) for name, lines in table.items()}
    return pl.DataFrame({
        "school": names["school"][school], "born": names["born"][month], "zip": zip_code.astype(str),
        "grade": names["grade"][grade], "entered": entered.astype(str), "language": names["language"][language],
        "race": race, "sex": np.array(["female", "male"])[draw.integers(0, 2, count)],
        "score": score, "service": service,
    })


def write(folder: Path, count: int, seed: int = 20261126) -> Path:
    """Write the file and its hierarchies; return the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in hierarchies().items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=";").writerows(lines)
    path = folder / f"records_{count}.csv"
    rows(count, seed).write_csv(path)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=20261126)
    given = parser.parse_args()
    print(write(given.folder, given.rows, given.seed))
