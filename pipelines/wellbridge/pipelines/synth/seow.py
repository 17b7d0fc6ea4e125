"""Area data as epidemiologists get it: survey microdata at CDC's positions and a CDC WONDER text export."""

from __future__ import annotations

from typing import Final

import numpy as np

from wellbridge.pipelines.synth.district import Plan
from wellbridge.pipelines.synth.truth import Truth
from wellbridge.pipelines.synth.writing import LineFile
from wellbridge.schemas.layouts import LAYOUTS

YRBS_YEAR: Final = 2019
WONDER_YEAR: Final = 2024
YRBS_RECORDS: Final = 3_000
_STRATA, _PSUS = 8, 4  # sampling units are numbered anew in every stratum, as in CDC's files
_WONDER_HEADER: Final = (
    '"Notes"',
    '"County"',
    '"County Code"',
    "Deaths",
    "Population",
    "Crude Rate",
    "Crude Rate Lower 95% Confidence Interval",
    "Crude Rate Upper 95% Confidence Interval",
    "Crude Rate Standard Error",
    "Age Adjusted Rate",
    "Age Adjusted Rate Lower 95% Confidence Interval",
    "Age Adjusted Rate Upper 95% Confidence Interval",
    "Age Adjusted Rate Standard Error",
    "% of Total Deaths",
)
_COUNTIES: Final = (
    "Alderfield",
    "Brightwater",
    "Cedar Flats",
    "Dunmore",
    "Eastbank",
    "Fairhaven",
    "Glenrock",
    "Harborview",
    "Ironwood",
    "Junction",
    "Kestrel",
    "Larkmoor",
)
_FOOTER: Final = (
    '"---"',
    '"Dataset: Multiple Cause of Death, 2018-2024, Single Race (invented)"',
    '"Query Parameters:"',
    f'"Year/Month: {WONDER_YEAR}"',
    '"Group By: County"',
    '"Show Totals: True"',
    '"Show Zero Values: True"',
    '"Show Suppressed: True"',
    '"Calculate Rates Per: 100,000"',
    '"---"',
    '"Query Date: Aug 3, 2026 9:12:44 AM"',
    '"---"',
    "Caveats:",
    '"1. Data are Suppressed when the data meet the criteria for confidentiality constraints."',
    '"2. Rates are flagged as Unreliable when the rate is calculated with a numerator of 20 or less."',
)


def write_area_data(plan: Plan, truth: Truth) -> None:
    """Write both files into the first night."""
    _yrbs(plan, truth)
    _wonder(plan, truth)


def _yrbs(plan: Plan, truth: Truth) -> None:
    layout, rng = LAYOUTS[YRBS_YEAR], plan.rng(0, "yrbs")
    file = LineFile(plan.folder(1, "yrbs") / f"yrbs_{YRBS_YEAR}.dat")
    weights = rng.gamma(3.0, 1.0, YRBS_RECORDS)
    weights = np.round(weights * YRBS_RECORDS / weights.sum(), 4)
    for number in range(YRBS_RECORDS):
        stratum, psu = number % _STRATA, number // _STRATA % _PSUS
        cells = {
            "site": "XX",
            "age": str(rng.integers(3, 8)),
            "sex": str(rng.integers(1, 3)),
            "grade": str(rng.integers(1, 5)),
            "race_ethnicity": str(rng.integers(1, 9)),
            "weight": f"{weights[number]:.4f}",
            "stratum": str(101 + stratum),
            "psu": str(psu + 1),
        }
        for position, concept in enumerate(layout.concepts):
            share = 0.08 + 0.03 * position + 0.01 * psu
            draw = rng.random()
            cells[concept] = "" if draw > 0.97 else "1" if draw < share else "2"
        file.line(_fixed(cells, layout.fields, layout.width))
    file.close()
    truth.count("yrbs", "records", "read", YRBS_RECORDS)


def _fixed(cells: dict[str, str], fields: object, width: int) -> bytes:
    line = [" "] * width
    assert hasattr(fields, "__getitem__")
    for name, cell in cells.items():
        first, last = fields[name]
        line[first - 1 : last] = cell.rjust(last - first + 1)
    return "".join(line).encode("ascii")


def _wonder(plan: Plan, truth: Truth) -> None:
    rng, rows, total, people = plan.rng(0, "wonder"), [], 0, 0
    for number, county in enumerate(_COUNTIES):
        population = int(rng.integers(9_000, 400_000))
        deaths = (4, 13, 0)[number] if number < 3 else max(21, int(population * rng.uniform(1e-4, 3e-4)))
        total, people = total + deaths, people + population
        rows.append(_county(f"{county} County, TX", f"489{number * 2 + 1:02d}", deaths, population))
    rows.append('"Total"\t\t\t' + "\t".join([str(total), str(people), *_rates(total, people), "100.0%"]))
    path = plan.folder(1, "wonder") / f"wonder_{WONDER_YEAR}.txt"
    path.write_bytes(("\r\n".join(["\t".join(_WONDER_HEADER), *rows, *_FOOTER]) + "\r\n").encode())
    truth.count("wonder", "counties", "read", len(rows))


def _county(name: str, code: str, deaths: int, population: int) -> str:
    """One county's row: 1 to 9 deaths suppressed, a rate on fewer than 20 unreliable, as CDC prints them."""
    start = f'\t"{name}"\t"{code}"\t'
    if 0 < deaths < 10:
        return start + "\t".join(["Suppressed", str(population), *["Suppressed"] * 9])
    cells = _rates(deaths, population)
    if deaths < 20:
        cells[0] = cells[4] = "Unreliable"
    return start + "\t".join([str(deaths), str(population), *cells, "0.1%"])


def _rates(deaths: int, population: int) -> list[str]:
    """Crude and age-adjusted rate per 100,000 with limits and standard error; both the same here."""
    rate, error = deaths / population * 1e5, deaths**0.5 / population * 1e5
    four = [
        f"{rate:.1f}",
        f"{max(0.0, rate - 1.96 * error):.1f}",
        f"{rate + 1.96 * error:.1f}",
        f"{error:.1f}",
    ]
    return [*four, *four]
