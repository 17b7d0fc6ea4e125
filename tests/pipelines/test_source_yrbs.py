from __future__ import annotations

import csv
from datetime import date
from functools import cache
from math import isnan
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from wellbridge.etl.parsing import Split, parse
from wellbridge.etl.reading import Deferred, Delivery, Refused
from wellbridge.etl.validation import validate
from wellbridge.pipelines.sources.yrbs import SOURCES, SUBGROUPS
from wellbridge.privacy.policy import deidentify
from wellbridge.schemas.contract import CONTRACTS
from wellbridge.schemas.errors import ConfigurationError
from wellbridge.schemas.layouts import CONCEPTS, LAYOUTS, layout
from wellbridge.schemas.warehouse import METADATA

SEOW = Path(__file__).parents[3] / "shared" / "data" / "seow"
needs_data = pytest.mark.skipif(not SEOW.exists(), reason="the shared public-use files are not here")
CONTRACT = CONTRACTS["yrbs.students"]
SOURCE = SOURCES["yrbs"]


def delivered(path: Path) -> Delivery:
    return Delivery("yrbs", path.name, "yrbs", "0", files={path.name: path})


def taken(path: Path) -> Split:
    (chunk,) = SOURCE.read(delivered(path), {})
    split = validate(parse(chunk.rows, CONTRACT), CONTRACT)
    assert chunk.read == split.kept.height + split.held.select("_file", "_row").n_unique()
    return split


def indicators(split: Split) -> pl.DataFrame:
    shape = SOURCE.resources["students"].shape
    assert shape is not None
    return shape(deidentify(split.kept.with_row_index("_id"), CONTRACT)).get("indicator", pl.DataFrame())


def one(frame: pl.DataFrame, concept: str, value: str = "all") -> dict[str, Any]:
    return frame.row(by_predicate=(pl.col("indicator_id") == concept) & (pl.col("subgroup_value") == value),
                     named=True)


# -- the real file, written as CDC writes it ---------------------------------------------------------------


def write_2019(path: Path) -> None:
    """Write CDC's fixed-width file of 2019 anew: the SAV's cells at the columns of CDC's program."""
    pyreadstat = pytest.importorskip("pyreadstat")
    frame, _ = pyreadstat.read_sav(SEOW / "yrbs" / "yrbs2019.sav", output_format="polars")
    cells = {name.lower(): frame[name] for name in frame.columns}
    with (SEOW / "yrbs" / "yrbs2019_layout.csv").open() as file:
        spans = [(row["name"], int(row["start"]), int(row["end"])) for row in csv.DictReader(file)]
    parts, at = [], 1
    for name, start, end in sorted(spans, key=lambda span: span[1]):
        parts += [pl.lit(" " * (start - at)), _cell(name, cells.get(name), end - start + 1)]
        at = end + 1
    line = pl.concat_str(parts)
    path.write_text("\r\n".join(frame.select(line)[:, 0]) + "\r\n", encoding="ascii", newline="")


def _cell(name: str, column: pl.Series | None, width: int) -> pl.Expr:
    if column is None:
        return pl.lit("XX".ljust(width))  # only SITE is not in the SAV
    if column.dtype == pl.String:
        return pl.lit(column.str.pad_end(width).fill_null(" " * width))
    places = {"weight": 4, "q6": 2, "q7": 2, "bmipct": 2}.get(name, 0)
    text = [" " * width if v is None or isnan(v) else f"{v:{width}.{places}f}" for v in column]
    return pl.lit(pl.Series(text))


@cache
def real(folder: Path) -> tuple[Split, pl.DataFrame]:
    path = folder / "yrbs_2019.dat"
    write_2019(path)
    split = taken(path)
    return split, indicators(split)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("yrbs")


@needs_data
def test_every_record_of_the_real_file_is_read_and_none_is_held(folder: Path) -> None:
    split, _ = real(folder)
    assert (split.kept.height, split.held.height) == (13_677, 0)
    assert split.kept["weight"].sum() == pytest.approx(13_677.007)


@needs_data
@pytest.mark.parametrize("anchor", [
    "felt_sad_hopeless QN25 13421 36.711 0.7786 35.149 38.303",
    "considered_suicide QN26 13437 18.752 0.5954 17.575 19.989",
    "suicide_plan QN27 13422 15.710 0.5487 14.630 16.854",
    "attempted_suicide QN28 10520 8.906 0.5292 7.890 10.038",
    "bullied_school QN23 13447 19.519 0.6849 18.169 20.944",
    "bullied_electronic QN24 13485 15.710 0.5568 14.615 16.872",
    "current_cigarette QN32 12317 5.961 0.5393 4.958 7.153",
    "current_evp QN35 12767 32.747 1.0166 30.721 34.839",
    "current_alcohol QN41 12611 29.222 0.9557 27.324 31.195",
    "current_marijuana QN47 13305 21.749 0.9438 19.897 23.722",
    "ever_rx_pain_misuse QN49 12983 14.264 0.7672 12.779 15.891",
])
def test_a_concept_comes_out_of_the_fixed_width_file_as_cdc_has_it(folder: Path, anchor: str) -> None:
    row = one(real(folder)[1], anchor.partition(" ")[0])
    assert (row["df"], row["status"]) == (37, "reported")
    assert anchor == (
        f"{row['indicator_id']} {row['source_var']} {row['n_unweighted']} {row['estimate']:.3f} "
        f"{row['se']:.4f} {row['ci_lower']:.3f} {row['ci_upper']:.3f}")


@needs_data
def test_subgroups_of_2019_are_those_that_the_mmwr_prints(folder: Path) -> None:
    values = {"Male": "male", "Female": "female", "G9": "09", "G10": "10", "G11": "11", "G12": "12",
              "White_NH": "white", "Black_NH": "black", "Hispanic": "hispanic", "Total": "all"}
    concepts = {"QN32": "current_cigarette", "QN35": "current_evp"}
    with (SEOW / "golden" / "mmwr_su6901a7_table1_2019.csv").open() as file:
        printed = [row for row in csv.DictReader(file)
                   if row["variable"] in concepts and row["subgroup"] in values]
    assert len(printed) == 20
    for row in printed:
        found = one(real(folder)[1], concepts[row["variable"]], values[row["subgroup"]])
        shown = [f"{found[name]:.1f}" for name in ("estimate", "ci_lower", "ci_upper")]
        assert shown == [f"{float(row[name]):.1f}" for name in ("pct", "lci", "uci")]


@needs_data
def test_the_same_students_from_the_survey_file_give_the_same_indicators(folder: Path) -> None:
    split = taken(SEOW / "yrbs" / "yrbs2019.sav")
    assert (split.kept.height, split.held.height) == (13_677, 0)
    assert indicators(split).equals(real(folder)[1])


@needs_data
def test_indicators_are_facts_of_an_area_and_name_no_student(folder: Path) -> None:
    frame = real(folder)[1]
    table = METADATA.tables["indicator"]
    assert set(frame.columns) <= set(table.columns.keys())
    assert not {"subject_key", "person_key", "record", "_id"} & set(frame.columns)
    assert frame.select(name for name in table.info["key"]).is_duplicated().any() is False
    assert frame["geo_id"].unique().to_list() == ["US"]
    days = frame.select("period_start", "period_end").unique().rows()
    assert days == [(date(2019, 1, 1), date(2019, 12, 31))]


@needs_data
def test_a_question_not_asked_in_a_year_says_so_and_has_no_value(folder: Path) -> None:
    row = one(real(folder)[1], "poor_mental_health")
    assert (row["status"], row["estimate"], row["source_var"]) == ("not_surveyed", None, None)


# -- small files -------------------------------------------------------------------------------------------


def write(path: Path, year: int, *students: dict[str, str]) -> Path:
    """Write records of a year's layout; what a student does not say is blank."""
    spans = LAYOUTS[year].fields
    lines = []
    for student in students:
        line = [" "] * LAYOUTS[year].width
        for name, value in student.items():
            start, end = spans[name]
            line[start - 1:end] = value.rjust(end - start + 1)
        lines.append("".join(line))
    path.write_text("\n".join(lines) + "\n")
    return path


def student(number: int = 0, **cells: str) -> dict[str, str]:
    return {"site": "XX", "sex": str(1 + number % 2), "grade": "1", "race_ethnicity": "5", "weight": "1.0000",
            "stratum": "101", "psu": str(number % 4), "felt_sad_hopeless": str(1 + number % 3 % 2), **cells}


@pytest.mark.parametrize("year", sorted(LAYOUTS))
def test_each_years_layout_finds_its_own_sadness(tmp_path: Path, year: int) -> None:
    students = [student(number) for number in range(60)]
    row = one(indicators(taken(write(tmp_path / f"yrbs_{year}.dat", year, *students))), "felt_sad_hopeless")
    assert row["estimate"] == pytest.approx(200 / 3)
    assert row["source_var"] == ("QN25" if year in {2019, 2021} else "QN26")


def test_the_same_column_means_another_question_in_another_year() -> None:
    spans = {year: LAYOUTS[year].fields for year in LAYOUTS}
    assert spans[2021]["felt_sad_hopeless"] == spans[2023]["bullied_electronic"]  # both are CDC's "QN25"


@pytest.mark.parametrize("name", ["yrbs_2017.dat", "yrbs.dat", "yrbs_2019_2021.dat", "yrbs_20190.dat"])
def test_a_file_without_one_known_year_in_its_name_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("x\n")
    with pytest.raises(Refused, match="WB-D-006"):
        list(SOURCE.read(delivered(path), {}))


def test_a_layout_of_an_unknown_year_is_an_error_and_no_guess() -> None:
    with pytest.raises(ConfigurationError, match="no layout"):
        layout(2027)


def test_a_file_that_stops_in_a_record_waits(tmp_path: Path) -> None:
    path = write(tmp_path / "yrbs_2019.dat", 2019, student())
    SOURCE.check(delivered(path), {})
    path.write_text(path.read_text()[:300])
    with pytest.raises(Deferred, match="WB-D-002"):
        SOURCE.check(delivered(path), {})


@pytest.mark.parametrize(("cells", "fault"), [
    ({"weight": "heavy"}, ("weight", "WB-R-012")), ({"weight": ""}, ("weight", "WB-R-010")),
    ({"weight": "16659"}, ("weight", "WB-R-021")), ({"weight": "0.0000"}, ("weight", "WB-R-021")),
    ({"felt_sad_hopeless": "3"}, ("felt_sad_hopeless", "WB-R-020")), ({"sex": "9"}, ("sex", "WB-R-020")),
    ({"psu": ""}, ("psu", "WB-R-010")), ({"site": "KY"}, ("site", "WB-R-020")),
])
def test_a_record_that_breaks_the_contract_is_held_and_no_other(
        tmp_path: Path, cells: dict[str, str], fault: tuple[str, str]) -> None:
    split = taken(write(tmp_path / "yrbs_2019.dat", 2019, student(**cells), student()))
    assert split.held.select("_row", "column", "rule").rows() == [(1, *fault)]
    assert split.kept["_row"].to_list() == [2]


def test_a_line_that_breaks_off_is_held_and_the_next_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "yrbs_2019.dat", 2019, student(), student())
    lines = path.read_text().splitlines()
    path.write_text(f"{lines[0][:398]}\n{lines[1]}\n")
    (chunk,) = SOURCE.read(delivered(path), {})
    assert chunk.held.select("_row", "rule").rows() == [(1, "WB-R-001")]
    assert chunk.rows["_row"].to_list() == [2]


def test_fewer_than_thirty_answers_are_withheld_as_unreliable(tmp_path: Path) -> None:
    frame = indicators(taken(write(tmp_path / "yrbs_2023.dat", 2023, *map(student, range(58)))))
    whole, half = one(frame, "felt_sad_hopeless"), one(frame, "felt_sad_hopeless", "male")
    assert (whole["status"], whole["n_unweighted"]) == ("reported", 58)
    assert (half["status"], half["n_unweighted"], half["estimate"]) == ("unreliable", 29, None)
    assert half["numerator"] is None


def test_a_share_of_nobody_is_a_true_zero_without_limits(tmp_path: Path) -> None:
    nobody = [student(number, felt_sad_hopeless="2") for number in range(40)]
    row = one(indicators(taken(write(tmp_path / "yrbs_2023.dat", 2023, *nobody))), "felt_sad_hopeless")
    assert (row["status"], row["estimate"], row["ci_lower"], row["ci_upper"]) == ("true_zero", 0, None, None)


def test_a_subgroup_that_nobody_belongs_to_is_not_available(tmp_path: Path) -> None:
    frame = indicators(taken(write(tmp_path / "yrbs_2023.dat", 2023, *map(student, range(40)))))
    row = one(frame, "felt_sad_hopeless", "asian")
    assert (row["status"], row["n_unweighted"], row["estimate"]) == ("not_available", 0, None)


def test_a_stratum_left_with_one_unit_withholds_every_estimate(tmp_path: Path) -> None:
    students = [*map(student, range(40)), student(stratum="102")]
    row = one(indicators(taken(write(tmp_path / "yrbs_2023.dat", 2023, *students))), "felt_sad_hopeless")
    assert (row["status"], row["estimate"], row["se"]) == ("unreliable", None, None)


def test_years_that_break_with_the_one_before_carry_a_flag(tmp_path: Path) -> None:
    flags = {}
    for year in LAYOUTS:
        frame = indicators(taken(write(tmp_path / f"yrbs_{year}.dat", year, *map(student, range(40)))))
        flags[year] = frame["flags"].unique().to_list()
    assert flags == {2019: [""], 2021: ["break:season"], 2023: ["break:mode"], 2025: [""]}


def test_every_concept_is_estimated_for_all_and_for_each_subgroup(tmp_path: Path) -> None:
    frame = indicators(taken(write(tmp_path / "yrbs_2025.dat", 2025, *map(student, range(40)))))
    groups = 1 + sum(map(len, SUBGROUPS.values()))
    assert dict(frame["indicator_id"].value_counts().rows()) == dict.fromkeys(CONCEPTS, groups)


def test_no_students_give_no_indicators(tmp_path: Path) -> None:
    split = taken(write(tmp_path / "yrbs_2019.dat", 2019, student(weight="")))
    assert indicators(split).is_empty()


@needs_data
def test_the_crosswalk_and_the_positions_are_those_of_cdcs_programs() -> None:
    with (SEOW / "golden" / "yrbs_concept_crosswalk.csv").open() as file:
        golden = {(r["concept"], int(r["year"])): r["variable"] for r in csv.DictReader(file)}
    assert {(c.name, year): c.variable(year) for c in CONCEPTS.values() for year in c.variables} == golden
    with (SEOW / "yrbs" / "yrbs2019_layout.csv").open() as file:
        spans = {r["name"]: (int(r["start"]), int(r["end"])) for r in csv.DictReader(file)}
    names = {"age": "q1", "sex": "q2", "grade": "q3", "race_ethnicity": "raceeth"}
    names |= {concept: variable.lower() for concept, variable in LAYOUTS[2019].concepts.items()}
    assert {field: spans[names.get(field, field)] for field in LAYOUTS[2019].fields} == LAYOUTS[2019].fields


@needs_data
def test_the_key_positions_of_all_years_are_those_of_cdcs_programs() -> None:
    with (SEOW / "golden" / "yrbs_layout_key.csv").open() as file:
        golden = {(r["field"], int(r["year"])): (int(r["col_start"]), int(r["col_end"]))
                  for r in csv.DictReader(file)}
    fields = {"site": "SITE", "age": "Q1_age", "sex": "Q2_sex", "grade": "Q3_grade", "weight": "WEIGHT",
              "stratum": "STRATUM", "psu": "PSU", "race_ethnicity": "RACEETH"}
    for year, years_layout in LAYOUTS.items():
        assert {ours: golden[theirs, year] for ours, theirs in fields.items()}.items() <= (
            years_layout.fields.items())
