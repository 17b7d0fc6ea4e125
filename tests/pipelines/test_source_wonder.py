from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from wellbridge.etl.parsing import Split, parse
from wellbridge.etl.reading import Deferred, Delivery, Refused
from wellbridge.etl.validation import validate
from wellbridge.pipelines.sources.wonder import SOURCES
from wellbridge.pipelines.survey import crude_rate
from wellbridge.privacy.policy import deidentify
from wellbridge.schemas.contract import CONTRACTS
from wellbridge.schemas.warehouse import METADATA

REAL = Path(__file__).parents[3] / "shared/data/seow/wonder/opioid_county_2006-2012_with_ci.txt"
needs_data = pytest.mark.skipif(not REAL.exists(), reason="the shared WONDER export is not here")
CONTRACT = CONTRACTS["wonder.areas"]
SOURCE = SOURCES["wonder"]

HEADER = ("Notes", "County", "County Code", "Deaths", "Population", "Crude Rate",
          "Crude Rate Lower 95% Confidence Interval", "Crude Rate Upper 95% Confidence Interval",
          "Crude Rate Standard Error")
FOOTER = (
    "---", "Dataset: Multiple Cause of Death, 1999-2020", "Query Parameters:", "Year/Month: 2019",
    "Group By: County", "Show Totals: True", "Show Zero Values: True", "Show Suppressed: True",
    "Calculate Rates Per: 100,000", "---", "Query Date: Jan 5, 2026 1:00:00 PM", "---",
)
GOOD = ('"Able County, TX"', '"48001"', "80", "1255530", "6.4", "5.1", "7.9", "0.7")


def delivered(path: Path) -> Delivery:
    return Delivery("wonder", path.name, "wonder", "0", files={path.name: path})


def taken(path: Path, settings: dict[str, Any] | None = None) -> Split:
    (chunk,) = SOURCE.read(delivered(path), settings or {})
    split = validate(parse(chunk.rows, CONTRACT), CONTRACT)
    held = pl.concat([split.held, chunk.held]).select("_file", "_row").n_unique()
    assert chunk.read == split.kept.height + held
    return split


def indicators(split: Split) -> pl.DataFrame:
    shape = SOURCE.resources["areas"].shape
    assert shape is not None
    return shape(deidentify(split.kept.with_row_index("_id"), CONTRACT))["indicator"]


@cache
def real() -> tuple[Split, pl.DataFrame]:
    split = taken(REAL, {"indicator": "opioid_overdose_deaths", "title": "Opioid overdose deaths"})
    return split, indicators(split)


def export(path: Path, *rows: tuple[str, ...], header: tuple[str, ...] = HEADER,
           footer: tuple[str, ...] = FOOTER) -> Path:
    lines = ["\t".join(f'"{name}"' for name in header), *("\t".join(("", *row)) for row in rows),
             *(f'"{line}"' for line in footer)]
    path.write_text("\r\n".join(lines) + "\r\n", newline="")
    return path


# -- the real export ---------------------------------------------------------------------------------------


@needs_data
def test_every_area_of_the_real_export_is_read_and_none_is_held() -> None:
    split, frame = real()
    assert (split.kept.height, split.held.height, frame.height) == (3148, 0, 3148)
    assert dict(frame["status"].value_counts().rows()) == {
        "suppressed_primary": 1584, "reported": 1067, "unreliable": 491, "not_available": 6}


@needs_data
def test_a_withheld_number_is_empty_and_never_nought() -> None:
    _, frame = real()
    withheld = frame.filter(pl.col("status").is_in(["suppressed_primary", "not_available"]))
    for name in ("numerator", "estimate", "ci_lower", "ci_upper", "se"):
        assert withheld[name].null_count() == withheld.height
    assert frame.filter(pl.col("status") == "unreliable")["estimate"].null_count() == 491


@needs_data
def test_every_printed_limit_and_error_is_reproduced() -> None:
    stated = real()[0].kept.filter(pl.col("ci_lower").is_not_null())
    same = 0
    for row in stated.iter_rows(named=True):
        rate = crude_rate(int(row["numerator"]), int(row["denominator"]))
        printed = (row["ci_lower"], row["ci_upper"], row["se"], row["estimate"])
        made = (rate.lower, rate.upper, rate.se, rate.value)
        same += all(p is None or f"{p:.1f}" == f"{m:.1f}" for p, m in zip(printed, made, strict=True))
    assert (stated.height, same) == (1558, 1558)


@needs_data
def test_the_total_is_an_area_of_its_own_and_codes_keep_their_zeros() -> None:
    _, frame = real()
    total = frame.row(by_predicate=pl.col("geo_id") == "total", named=True)
    assert (total["geo_type"], total["numerator"], total["estimate"], total["ci_method"]) == (
        "region", 143_104, 6.7, "normal")
    baldwin = frame.row(by_predicate=pl.col("geo_id") == "01003", named=True)
    assert (baldwin["geo_name"], baldwin["numerator"], baldwin["estimate"], baldwin["ci_method"]) == (
        "Baldwin County, AL", 80, 6.4, "poisson_exact")


@needs_data
def test_an_indicator_says_what_was_asked_of_whom_and_when() -> None:
    _, frame = real()
    told = ("indicator_id", "period_start", "period_end", "period_type", "source_release")
    assert frame.select(told).unique().rows() == [(
        "opioid_overdose_deaths", date(2006, 1, 1), date(2012, 12, 31), "pooled",
        "Multiple Cause of Death, 1999-2017 · Oct 24, 2019 5:20:09 PM")]
    table = METADATA.tables["indicator"]
    assert set(table.columns.keys()) - set(frame.columns) == {
        "n_unweighted", "n_weighted", "df", "deff", "source_var", "version", "batch_id"}
    assert not frame.select(table.info["key"]).is_duplicated().any()


# -- small exports -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [
    "Group By: County", "Show Suppressed: True", "Show Zero Values: True", "Calculate Rates Per: 100,000"])
def test_an_export_whose_footer_does_not_say_what_it_is_is_refused(tmp_path: Path, line: str) -> None:
    path = export(tmp_path / "wonder_2019.txt", GOOD, footer=tuple(x for x in FOOTER if x != line))
    with pytest.raises(Refused) as refused:
        taken(path)
    assert (refused.value.rule, refused.value.rows) == ("WB-D-007", 1)


@pytest.mark.parametrize(("line", "other"), [
    ("Group By: County", "Group By: Race"), ("Show Suppressed: True", "Show Suppressed: False"),
    ("Calculate Rates Per: 100,000", "Calculate Rates Per: 1,000"),
    ("Year/Month: 2019", "Year/Month: 2015; 2019")])
def test_an_export_that_was_asked_otherwise_is_refused(tmp_path: Path, line: str, other: str) -> None:
    footer = tuple(other if x == line else x for x in FOOTER)
    with pytest.raises(Refused, match="WB-D-007"):
        taken(export(tmp_path / "wonder_2019.txt", GOOD, footer=footer))


def test_an_export_without_a_footer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="WB-D-007"):
        taken(export(tmp_path / "wonder_2019.txt", GOOD, footer=()))


def test_an_export_without_a_needed_column_is_refused_by_its_name(tmp_path: Path) -> None:
    header = tuple("Rate" if name == "Crude Rate" else name for name in HEADER)
    with pytest.raises(Refused) as refused:
        taken(export(tmp_path / "wonder_2019.txt", GOOD, header=header))
    assert (refused.value.rule, refused.value.columns) == ("WB-D-003", ("Crude Rate",))


@pytest.mark.parametrize(("place", "cell", "fault"), [
    (2, "about 80", ("numerator", "WB-R-012")), (2, "-80", ("numerator", "WB-R-021")),
    (1, '"4801"', ("geo_id", "WB-R-022")), (5, "9.9", (None, "WB-R-032")), (6, "3.1", (None, "WB-R-032")),
])
def test_an_area_that_breaks_the_contract_is_held_and_no_other(
        tmp_path: Path, place: int, cell: str, fault: tuple[str | None, str]) -> None:
    bad = (*GOOD[:place], cell, *GOOD[place + 1:])
    split = taken(export(tmp_path / "wonder_2019.txt", bad, GOOD))
    assert split.held.select("_row", "column", "rule").rows() == [(2, *fault)]
    assert split.kept["_row"].to_list() == [3]


def test_a_suppressed_area_that_shows_a_rate_all_the_same_is_held(tmp_path: Path) -> None:
    bad = (*GOOD[:2], "Suppressed", *GOOD[3:])
    split = taken(export(tmp_path / "wonder_2019.txt", bad))
    assert split.held.select("column", "rule").rows() == [(None, "WB-R-032")]


def test_no_deaths_are_a_true_zero_even_where_the_rate_is_called_unreliable(tmp_path: Path) -> None:
    none = (*GOOD[:2], "0", "5000", "Unreliable", "0.0", "73.8", "0.0")
    row = indicators(taken(export(tmp_path / "wonder_2019.txt", none))).row(0, named=True)
    assert (row["status"], row["numerator"], row["estimate"]) == ("true_zero", 0, 0)


def test_limits_that_the_export_lacks_are_made_as_wonder_makes_them(tmp_path: Path) -> None:
    path = export(tmp_path / "wonder_2019.txt", GOOD[:5], header=HEADER[:6])
    row = indicators(taken(path)).row(0, named=True)
    assert [f"{row[name]:.1f}" for name in ("ci_lower", "ci_upper", "se")] == ["5.1", "7.9", "0.7"]


def test_an_unreliable_rate_is_not_made_from_its_count(tmp_path: Path) -> None:
    area = (*GOOD[:2], "12", "90000", "Unreliable")
    path = export(tmp_path / "wonder_2019.txt", area, header=HEADER[:6])
    row = indicators(taken(path)).row(0, named=True)
    assert (row["status"], row["estimate"]) == ("unreliable", None)
    assert (row["ci_lower"], row["ci_upper"]) == (None, None)


@pytest.mark.parametrize(("hidden", "flag"), [(1, "disclosure:subtractable"), (2, "")])
def test_a_total_that_gives_back_a_lone_suppressed_area_is_flagged(
        tmp_path: Path, hidden: int, flag: str) -> None:
    suppressed = [(f'"County {n}"', f'"4800{n + 2}"', "Suppressed", "900", *["Suppressed"] * 4)
                  for n in range(hidden)]
    path = export(tmp_path / "wonder_2019.txt", GOOD, *suppressed)
    total = '"Total"\t\t\t85\t1256430\t6.8\t5.4\t8.4\t0.7'
    path.write_text(path.read_text().replace('"---"', f'{total}\n"---"', 1))
    frame = indicators(taken(path))
    assert frame.filter(pl.col("geo_id") == "total")["flags"].to_list() == [flag]
    assert frame.filter(pl.col("status") == "suppressed_primary")["numerator"].to_list() == [None] * hidden


def test_states_are_read_as_counties_are(tmp_path: Path) -> None:
    header = tuple(name.replace("County", "State") for name in HEADER)
    footer = tuple(line.replace("County", "State") for line in FOOTER)
    path = export(tmp_path / "wonder_2019.txt", ('"Texas"', '"48"', *GOOD[2:]), header=header, footer=footer)
    row = indicators(taken(path)).row(0, named=True)
    assert (row["geo_type"], row["geo_id"], row["geo_name"]) == ("state", "48", "Texas")


def test_an_export_that_is_still_growing_waits(tmp_path: Path) -> None:
    path = export(tmp_path / "wonder_2019.txt", GOOD)
    SOURCE.check(delivered(path), {})
    path.write_text(path.read_text()[:-3])
    with pytest.raises(Deferred, match="WB-D-002"):
        SOURCE.check(delivered(path), {})
