"""Survey and vital-statistics formats: fixed width, WONDER exports, SPSS and SAS transport files."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import polars as pl
import pyreadstat
import pytest

from wellbridge.etl.readers.fixed_width import read_fixed_width
from wellbridge.etl.readers.survey_files import read_survey_file
from wellbridge.etl.readers.wonder import WonderExport, read_wonder
from wellbridge.etl.reading import Deferred, Refused

SEOW = Path(__file__).parents[2] / "../shared/data/seow"
needs_data = pytest.mark.skipif(not SEOW.exists(), reason="shared data is not here")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "f.dat"


# -- fixed width -------------------------------------------------------------------------------------------


def fixed(
    path: Path, content: bytes, chunk_rows: int = 100, width: int = 0
) -> tuple[list[object], list[object]]:
    path.write_bytes(content)
    fields = {"b": (3, 5), "a": (1, 1)}
    chunks = list(read_fixed_width(path, name="f", fields=fields, width=width, chunk_rows=chunk_rows))
    rows = [row for frame, _ in chunks for row in frame.select("a", "b", "_file", "_row").iter_rows()]
    return rows, [row for _, frame in chunks for row in frame.select("_row", "rule").iter_rows()]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_positions_are_one_based_and_inclusive_and_blanks_are_missing(path: Path, end: bytes) -> None:
    rows, held = fixed(path, end.join([b"1x 2 zz", b" x   ", b"9xabc", b""]))
    assert rows == [("1", "2", "f", 1), (None, None, "f", 2), ("9", "abc", "f", 3)]
    assert held == []


def test_lines_that_are_short_or_not_ascii_are_held(path: Path) -> None:
    rows, held = fixed(path, b"1xabc\n1xab\r\n\n1xab\xc3\xa9\n1xa\xff\xff\n2xabc\n")
    assert [row[-1] for row in rows] == [1, 6]  # type: ignore[index]
    assert held == [(2, "WB-R-001"), (3, "WB-R-001"), (4, "WB-R-002"), (5, "WB-R-002")]


def test_quotes_and_separators_mean_nothing_in_fixed_width(path: Path) -> None:
    rows, held = fixed(path, b'"x,",\n1x"""\n\x1fx\t,\x1f\n')
    assert [row[:2] for row in rows] == [('"', ',",'), ("1", '"""'), ("\x1f", ",\x1f")]  # type: ignore[index]
    assert held == []


def test_a_stated_width_holds_lines_that_end_before_it(path: Path) -> None:
    assert fixed(path, b"1xabc\n1xabc 7\n", width=7)[1] == [(1, "WB-R-001")]


def test_fixed_width_comes_in_chunks_that_account_for_every_line(path: Path) -> None:
    rows, held = fixed(path, b"1xabc\nx\n" * 50, chunk_rows=7)
    assert [row[-1] for row in rows] == list(range(1, 101, 2))  # type: ignore[index]
    assert [row[0] for row in held] == list(range(2, 101, 2))  # type: ignore[index]


@pytest.mark.parametrize(
    ("content", "rule"), [(b"", "WB-D-001"), (b"\n", "WB-D-001"), (b"1x\0bc\n", "WB-D-004")]
)
def test_what_has_no_lines_or_is_no_text_is_refused(path: Path, content: bytes, rule: str) -> None:
    with pytest.raises(Refused, match=rule):
        fixed(path, content)


# -- WONDER ------------------------------------------------------------------------------------------------


def export(path: Path, *lines: str) -> WonderExport:
    path.write_bytes("\r\n".join([*lines, ""]).encode())
    return read_wonder(path, name="f")


def test_an_export_is_its_table_and_what_its_footer_says(path: Path) -> None:
    found = export(
        path,
        '"Notes"\t"County"\t"County Code"\tDeaths',
        '\t"Able, TX"\t"01001"\tSuppressed',
        '"Total"\t\t\t80',
        '"---"',
        '"Dataset: Causes, 1999-2020"',
        '"Query Parameters:"',
        '"Codes: T40.0 (Opium);"',
        '"T40.6 (Other)"',
        '"Group By: County"',
        '"---"',
        '"Query Date: Oct 24, 2019 5:20:09 PM"',
        '"---"',
        "Footnotes:",
        '"1. See ""below"": more."',
        '"---"',
        "Caveats:",
        '"1. More information: http://x"',
        '"Help: y"',
    )
    assert found.rows.rows() == [
        (None, "Able, TX", "01001", "Suppressed", "f", 2),
        ("Total", None, None, "80", "f", 3),
    ]
    assert found.held.height == 0
    assert found.query == {
        "Dataset": "Causes, 1999-2020",
        "Codes": "T40.0 (Opium); T40.6 (Other)",
        "Group By": "County",
        "Query Date": "Oct 24, 2019 5:20:09 PM",
        "Footnotes": '1. See "below": more.',
        "Caveats": "1. More information: http://x Help: y",
    }


def test_cells_are_stripped_and_ragged_rows_held(path: Path) -> None:
    found = export(path, "Year\tDeaths", '"2020 "\t 1 ', "2021", "---")
    assert found.rows.rows() == [("2020", "1", "f", 2)]
    assert found.held.rows() == [("f", 3, None, "WB-R-001")]
    assert found.query == {}


def test_an_export_without_rows_or_footer_is_read_as_such(path: Path) -> None:
    found = export(path, "Notes\tDeaths")
    assert (found.rows.height, found.rows.columns, found.query) == (
        0,
        ["Notes", "Deaths", "_file", "_row"],
        {},
    )


def test_two_columns_of_one_name_are_refused(path: Path) -> None:
    with pytest.raises(Refused) as caught:
        export(path, "Deaths\tDeaths", "1\t2", "---")
    assert (caught.value.rule, caught.value.columns, caught.value.rows) == (
        "WB-D-003", ("column 1", "column 2"), 1
    )


@needs_data
def test_the_real_export_has_every_county_and_its_provenance() -> None:
    found = read_wonder(SEOW / "wonder/opioid_county_2006-2012_with_ci.txt", name="f")
    assert (found.rows.height, found.held.height) == (3_148, 0)
    assert found.rows.columns[:4] == ["Notes", "County", "County Code", "Deaths"]
    assert found.rows.filter(pl.col("County Code").str.len_chars() == 5).height == 3_147
    asked = {
        key: found.query[key] for key in ("Dataset", "Group By", "Show Suppressed", "Calculate Rates Per")
    }
    assert asked == {
        "Dataset": "Multiple Cause of Death, 1999-2017",
        "Group By": "County",
        "Show Suppressed": "True",
        "Calculate Rates Per": "100,000",
    }
    assert found.query["UCD - Drug/Alcohol Induced Causes"].endswith("Undetermined (Y10-Y14)")


# -- survey files ------------------------------------------------------------------------------------------


@pytest.fixture
def survey(tmp_path: Path) -> dict[str, Path]:
    frame = pl.DataFrame(
        {"Q1": [1.0, 2.5, None], "name": ["a ", "", "c"], "Day": [date(2026, 1, 2), None, date(2026, 3, 4)]}
    )
    files = {"sav": tmp_path / "f.sav", "xpt": tmp_path / "f.xpt"}
    pyreadstat.write_sav(frame, files["sav"])
    pyreadstat.write_xport(frame, files["xpt"])
    return files


@pytest.mark.parametrize("kind", ["sav", "xpt"])
@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 100])
def test_survey_records_come_as_text_in_chunks(survey: dict[str, Path], kind: str, chunk_rows: int) -> None:
    chunks = list(
        read_survey_file(survey[kind], name="f", columns=("DAY", "q1", "name"), chunk_rows=chunk_rows)
    )
    assert all(rows.height <= chunk_rows and held.height == 0 for rows, held in chunks)
    assert pl.concat(rows for rows, _ in chunks).rows() == [
        ("2026-01-02", "1", "a", "f", 1),
        (None, "2.5", None, "f", 2),
        ("2026-03-04", None, "c", "f", 3),
    ]


@pytest.mark.parametrize("kind", ["sav", "xpt"])
def test_a_variable_that_is_missing_is_header_drift(survey: dict[str, Path], kind: str) -> None:
    with pytest.raises(Refused) as caught:
        list(read_survey_file(survey[kind], name="f", columns=("Q1", "Q2")))
    assert (caught.value.rule, caught.value.columns) == ("WB-D-003", ("Q2",))


def test_files_of_another_kind_or_damaged_are_refused_without_the_librarys_words(
    survey: dict[str, Path],
) -> None:
    sav = survey["sav"].read_bytes()
    for content, rule in (
        (b"", "WB-D-001"),
        (b"a,b\n", "WB-D-007"),
        (sav[:-4], "WB-D-007"),
        (sav[:300], "WB-D-007"),
    ):
        survey["sav"].write_bytes(content)
        with pytest.raises(Refused) as caught:
            list(read_survey_file(survey["sav"], name="f", columns=("Q1",)))
        assert (caught.value.rule, caught.value.__context__) == (rule, None)


def test_a_transport_file_that_ends_inside_a_block_is_still_uploading(survey: dict[str, Path]) -> None:
    content = survey["xpt"].read_bytes()
    survey["xpt"].write_bytes(content[:-7])
    with pytest.raises(Deferred):
        list(read_survey_file(survey["xpt"], name="f", columns=("Q1",)))


@needs_data
def test_the_real_survey_file_and_its_fixed_width_layout_are_read_whole(path: Path) -> None:
    chunks = list(
        read_survey_file(SEOW / "yrbs/yrbs2019.sav", name="f", columns=("site", "q1", "weight", "psu"))
    )
    rows = pl.concat(rows for rows, _ in chunks)
    assert rows.height == 13_677
    assert rows.get_column("weight").cast(pl.Float64).sum() == pytest.approx(13_677.007, abs=0.001)
    with (SEOW / "yrbs/yrbs2019_layout.csv").open() as handle:
        fields = {line["name"]: (int(line["start"]), int(line["end"])) for line in csv.DictReader(handle)}
    line = [" "] * max(end for _, end in fields.values())
    for name, text in (("site", "XX"), ("q1", "4"), ("weight", "0.3735")):
        start, end = fields[name]
        line[start - 1 : end] = text.rjust(end - start + 1)
    path.write_text("".join(line) + "\n")
    [(found, held)] = read_fixed_width(path, name="f", fields=fields)
    assert (held.height, found.row(0, named=True)["weight"], found.row(0, named=True)["q1"]) == (
        0,
        "0.3735",
        "4",
    )
