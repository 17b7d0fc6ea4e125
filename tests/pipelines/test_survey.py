from __future__ import annotations

import csv
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from wellbridge.pipelines.survey import (
    Design,
    crude_rate,
    mean,
    poisson_limits,
    proportion,
    ratio,
    t_quantile,
    total,
)
from wellbridge.schemas.errors import SourceError

SEOW = Path(__file__).parents[3] / "shared" / "data" / "seow"
needs_data = pytest.mark.skipif(not SEOW.exists(), reason="the shared public-use files are not here")


@cache
def microdata(year: int) -> tuple[pl.DataFrame, Design]:
    frame = pl.read_parquet(SEOW / "yrbs" / f"yrbs{year}.parquet")
    frame = frame.rename({name: name.lower() for name in frame.columns})
    return frame, Design(*(frame[name].to_numpy() for name in ("weight", "stratum", "psu")))


def answers(year: int, variable: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    cell = microdata(year)[0][variable.lower()].cast(pl.Float64).to_numpy()
    return np.where(np.isnan(cell), np.nan, (cell == 1).astype(float))


# year, variable, df, n, %, SE, lower, upper, weighted n: from the public-use files, as CDC prints them
ANCHORS = [
    (2015, "QN26", 41, 15455, 29.871, 0.9255, 28.036, 31.773, 15430.8),
    (2015, "QN27", 41, 15434, 17.740, 0.5295, 16.696, 18.834, 15431.9),
    (2017, "QN25", 36, 14527, 31.474, 0.9531, 29.574, 33.438, 14611.6),
    (2017, "QN26", 36, 14553, 17.201, 0.5198, 16.173, 18.281, 14587.3),
    (2019, "QN25", 37, 13421, 36.711, 0.7786, 35.149, 38.303, 13490.4),
    (2019, "QN26", 37, 13437, 18.752, 0.5954, 17.575, 19.989, 13477.8),
    (2019, "QN27", 37, 13422, 15.710, 0.5487, 14.630, 16.854, 13477.4),
    (2019, "QN28", 37, 10520, 8.906, 0.5292, 7.890, 10.038, 11429.5),
    (2019, "QN23", 37, 13447, 19.519, 0.6849, 18.169, 20.944, 13506.9),
    (2019, "QN24", 37, 13485, 15.710, 0.5568, 14.615, 16.872, 13524.9),
    (2019, "QN32", 37, 12317, 5.961, 0.5393, 4.958, 7.153, 13111.0),
    (2019, "QN35", 37, 12767, 32.747, 1.0166, 30.721, 34.839, 12842.0),
    (2019, "QN41", 37, 12611, 29.222, 0.9557, 27.324, 31.195, 12688.6),
    (2019, "QN47", 37, 13305, 21.749, 0.9438, 19.897, 23.722, 13352.0),
    (2019, "QN49", 37, 12983, 14.264, 0.7672, 12.779, 15.891, 12971.2),
    (2019, "QN8", 37, 11149, 6.545, 0.6499, 5.345, 7.991, 12131.9),
    (2019, "QN58", 37, 11040, 38.448, 1.5231, 35.412, 41.577, 11688.7),
    (2019, "QN52", 37, 12711, 1.766, 0.2979, 1.253, 2.482, 12949.8),
]


@needs_data
@pytest.mark.parametrize("anchor", ANCHORS, ids=lambda a: f"{a[0]}-{a[1]}")
def test_an_estimate_from_the_public_use_file_is_its_anchor_to_every_digit(anchor: tuple[Any, ...]) -> None:
    year, variable, df, n, *numbers = anchor
    found = proportion(microdata(year)[1], answers(year, variable))
    assert (found.df, found.n) == (df, n)
    shown = [100 * found.value, 100 * found.se, 100 * found.lower, 100 * found.upper, found.weighted]
    assert [f"{x:.{d}f}" for x, d in zip(shown, (3, 4, 3, 3, 1), strict=True)] == [
        f"{x:.{d}f}" for x, d in zip(numbers, (3, 4, 3, 3, 1), strict=True)]


DOMAINS = {
    "Total": pl.lit(True), "Male": pl.col("q2") == "Male", "Female": pl.col("q2") == "Female",
    "G9": pl.col("q3") == "9th grade", "G10": pl.col("q3") == "10th grade",
    "G11": pl.col("q3") == "11th grade", "G12": pl.col("q3") == "12th grade",
    "age<=15": pl.col("q1").str.contains("^1[2-5]"), "age16-17": pl.col("q1").str.contains("^1[67]"),
    "age>=18": pl.col("q1").str.contains("^18"), "White_NH": pl.col("raceeth") == "White",
    "Black_NH": pl.col("raceeth").str.contains("^Black"),
    "Hispanic": pl.col("raceeth").str.contains("^(Hispanic|Multiple - Hispanic)"),
}


@needs_data
def test_all_156_numbers_that_the_mmwr_prints_come_out() -> None:
    with (SEOW / "golden" / "mmwr_su6901a7_table1_2019.csv").open() as file:
        printed = list(csv.DictReader(file))
    frame, design = microdata(2019)
    same = 0
    for row in printed:
        domain = frame.select(DOMAINS[row["subgroup"]].fill_null(False).alias("d"))["d"].to_numpy()
        inside = np.broadcast_to(domain, frame.height)
        found = proportion(design, answers(2019, row["variable"]), inside)
        shown = [f"{100 * x:.1f}" for x in (found.value, found.lower, found.upper)]
        same += sum(a == f"{float(b):.1f}" for a, b in
                    zip(shown, (row["pct"], row["lci"], row["uci"]), strict=True))
    assert (len(printed) * 3, same) == (156, 156)


@needs_data
def test_a_subgroup_keeps_the_degrees_of_freedom_of_the_whole_design() -> None:
    frame, design = microdata(2019)
    one_stratum = (frame["stratum"] == frame["stratum"][0]).to_numpy()
    assert proportion(design, answers(2019, "QN25"), one_stratum).df == 53 - 16


@needs_data
def test_dropping_the_others_instead_of_keeping_the_design_gives_another_standard_error() -> None:
    frame, design = microdata(2019)
    y = answers(2019, "QN8")
    kept = ~np.isnan(y)
    dropped = frame.filter(kept)
    smaller = Design(*(dropped[name].to_numpy() for name in ("weight", "stratum", "psu")), lonely="certainty")
    whole, part = proportion(design, y), proportion(smaller, y[kept])
    assert whole.value == pytest.approx(part.value)
    assert f"{100 * whole.se:.2f} {100 * part.se:.2f}" == "0.65 0.62"  # CDC's own table: SUDAAN, SurveyFreq


# -- by hand ------------------------------------------------------------------------------------------------

SMALL = {"weight": np.array([1.0, 3.0, 2.0, 2.0]), "stratum": np.array([1, 1, 1, 1]),
         "psu": np.array([1, 1, 2, 2])}


def test_a_mean_of_four_students_in_two_units_is_as_worked_out_by_hand() -> None:
    found = mean(Design(**SMALL), np.array([1.0, 0.0, 1.0, 1.0]))
    # p = 5/8; unit sums of w(y - p)/8 are -1.5/8 and 1.5/8; V = 2 * 2 * (1.5/8)^2
    assert found.value == 5 / 8
    assert found.se == pytest.approx(2 * 1.5 / 8)
    assert found.deff == pytest.approx((2 * 1.5 / 8) ** 2 / (5 / 8 * 3 / 8 / 4))


def test_a_total_and_a_ratio_are_as_worked_out_by_hand() -> None:
    y, x = np.array([1.0, 0.0, 1.0, 1.0]), np.array([1.0, 1.0, 2.0, 0.0])
    summed, share = total(Design(**SMALL), y), ratio(Design(**SMALL), y, x)
    assert (summed.value, summed.se) == (5.0, pytest.approx(3.0))  # units 1 and 4: V = 2 * 2 * 1.5^2
    # R = 5/8; unit sums of w(y - Rx)/8: (1 - 20/8)/8 and (4 - 20/8)/8
    assert (share.value, share.se) == (5 / 8, pytest.approx(3 / 8))


def test_drawing_every_unit_leaves_no_variance() -> None:
    assert total(Design(**SMALL, population=np.full(4, 2.0)), np.ones(4)).se == 0


def test_unit_codes_need_be_unique_within_their_stratum_only() -> None:
    codes = np.array([1, 1, 2, 2, 1, 1, 2, 2])
    design = Design(np.ones(8), np.array([1, 1, 1, 1, 2, 2, 2, 2]), codes)
    assert (design.strata, design.units, design.df) == (2, 4, 2)


@pytest.mark.parametrize(("lonely", "se"), [("certainty", 0.0), ("adjust", math.sqrt(0.5))])
def test_a_stratum_with_a_single_unit_does_what_it_is_told(lonely: Any, se: float) -> None:
    # totals 1 and 2, each alone in its stratum, mean 1.5
    design = Design(np.ones(2), np.array([1, 2]), np.array([1, 1]), lonely=lonely)
    assert total(design, np.array([1.0, 2.0])).se == pytest.approx(se)


def test_a_stratum_with_a_single_unit_fails_unless_told_otherwise() -> None:
    with pytest.raises(SourceError, match="single sampling unit"):
        Design(np.ones(3), np.array([1, 1, 2]), np.array([1, 2, 1]))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_none_or_all_has_no_interval(share: float) -> None:
    found = proportion(Design(**SMALL), np.full(4, share))
    assert found.value == share
    assert math.isnan(found.lower)
    assert math.isnan(found.upper)


def test_an_empty_subgroup_has_no_estimate_and_counts_nobody() -> None:
    found = proportion(Design(**SMALL), np.ones(4), np.zeros(4, dtype=bool))
    assert math.isnan(found.value)
    assert (found.n, found.weighted) == (0, 0.0)


def test_the_order_of_students_changes_nothing() -> None:
    y = np.array([1.0, 0.0, 1.0, np.nan])
    turned = {name: column[::-1] for name, column in SMALL.items()}
    assert proportion(Design(**SMALL), y) == proportion(Design(**turned), y[::-1])


# -- quantiles: vectors computed with SciPy 1.17 ------------------------------------------------------------


@pytest.mark.parametrize(("p", "df", "expected"), [
    (0.975, 1, 12.706204736174694), (0.975, 2, 4.302652729749462), (0.975, 3, 3.1824463052837078),
    (0.975, 4, 2.7764451051977934), (0.975, 5, 2.5705818356363146), (0.975, 10, 2.228138851986274),
    (0.975, 35, 2.030107928250343), (0.975, 36, 2.0280940009804502), (0.975, 37, 2.0261924630291093),
    (0.975, 41, 2.019540970441376), (0.975, 1000, 1.9623390808264083), (0.6, 2, 0.2886751345948128),
    (0.6, 37, 0.25517640064519126), (0.9995, 1, 636.6192487687897), (0.9995, 36, 3.582149701456376),
])
def test_a_t_quantile_is_scipys(p: float, df: int, expected: float) -> None:
    assert t_quantile(p, df) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("events", "lower", "upper"), [
    (0, 0.0, 3.6888794541139354), (1, 0.025317807984289876, 5.571643390938898),
    (10, 4.7953886961324335, 18.39035604201778), (20, 12.216519585403944, 30.8883779026746),
    (99, 80.46231485419538, 120.52894775315546),
])
def test_poisson_limits_are_half_the_chi_square_quantiles(events: int, lower: float, upper: float) -> None:
    assert poisson_limits(events) == pytest.approx((lower, upper), rel=1e-10)


def test_a_rate_of_a_hundred_deaths_or_more_is_1_96_standard_errors_wide_each_way() -> None:
    found = crude_rate(100, 1_000_000)
    assert (found.value, found.se) == pytest.approx((10.0, 1.0))
    assert (found.lower, found.upper) == pytest.approx((8.04, 11.96))
