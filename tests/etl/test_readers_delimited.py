"""Delimited text: every record is read or held, as the dialect says and as no other."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wellbridge.etl.readers.delimited import ASPEN, RFC4180, TAB, Dialect, read_delimited
from wellbridge.etl.readers.record_scan import FINE, MALFORMED, MAX_RECORD, RAGGED, Records, Scanner
from wellbridge.etl.reading import HELD_SCHEMA, Refused
from wellbridge.schemas.errors import ConfigurationError

SHARED = Path(__file__).parents[2] / "../shared/data"
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

Cells = list[tuple[object, ...]]


def read(path: Path, content: bytes | str, headers: list[str], **options: object) -> tuple[Cells, Cells]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    chunks = list(read_delimited(path, name="f.csv", headers=headers, **options))  # type: ignore[arg-type]
    for rows, held in chunks:
        assert rows.columns == [*headers, "_file", "_row"]
        assert held.schema == pl.Schema(HELD_SCHEMA)
        assert set(rows.get_column("_file")) | set(held.get_column("_file")) <= {"f.csv"}
    rows = [(*row[:-2], row[-1]) for frame, _ in chunks for row in frame.rows()]
    return rows, [(row, rule) for _, frame in chunks for _, row, _, rule in frame.rows()]


def refusal(path: Path, content: bytes | str, headers: list[str], **options: object) -> Refused:
    with pytest.raises(Refused) as caught:
        read(path, content, headers, **options)
    assert caught.value.__context__ is None
    return caught.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "f.csv"


# -- what is read ------------------------------------------------------------------------------------------


def test_cells_come_as_text_in_the_order_asked_for_with_the_record_number(path: Path) -> None:
    rows, held = read(path, "b,a\n01,x\n\u00e9 , y\n", ["a", "b"])
    assert rows == [("x", "01", 2), (" y", "\u00e9 ", 3)]
    assert held == []


@pytest.mark.parametrize("cell", ["", '""'])
def test_an_empty_cell_is_missing_with_or_without_quotes(path: Path, cell: str) -> None:
    assert read(path, f"a,b\n{cell},x\n", ["a", "b"])[0] == [(None, "x", 2)]


def test_null_literals_are_missing_cells_and_nothing_else_is(path: Path) -> None:
    dialect = Dialect(null_literals=("NULL",))
    rows, _ = read(path, 'a,b\n"NULL",NULL\nnull,NULLS\n', ["a", "b"], dialect=dialect)
    assert rows == [(None, None, 2), ("null", "NULLS", 3)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quoted_cells_hold_separators_quotes_and_line_ends(path: Path, end: str) -> None:
    rows, held = read(path, f'a,b{end}"x,""y""{end}z",1{end}q,"2"{end}', ["a", "b"])
    assert rows == [(f'x,"y"{end}z', "1", 2), ("q", "2", 3)]
    assert held == []


def test_a_quote_inside_an_unquoted_cell_is_text(path: Path) -> None:
    rows, held = read(path, 'a,b\n5\'6",x"y"\n"1\n2",3\n', ["a", "b"])
    assert rows == [("5'6\"", 'x"y"', 2), ("1\n2", "3", 3)]
    assert held == []


def test_a_byte_order_mark_is_no_part_of_the_first_header(path: Path) -> None:
    assert read(path, b"\xef\xbb\xbfa,b\n1,2\n", ["a", "b"])[0] == [("1", "2", 2)]


@pytest.mark.parametrize("tail", ["", "\n", "\r\n", "\n\n\n", "\r\n\r\n"])
def test_blank_lines_at_the_end_and_a_missing_line_end_change_nothing(path: Path, tail: str) -> None:
    assert read(path, f"a,b\n1,2{tail}", ["a", "b"]) == ([("1", "2", 2)], [])


def test_a_file_with_its_header_only_is_a_valid_empty_delivery(path: Path) -> None:
    path.write_text("a,b\n")
    [(rows, held)] = read_delimited(path, name="f.csv", headers=["a", "b"])
    assert (rows.height, held.height) == (0, 0)
    assert rows.schema == pl.Schema({"a": pl.String, "b": pl.String, "_file": pl.String, "_row": pl.Int64})


def test_extra_and_optional_headers_are_dropped_and_filled(path: Path) -> None:
    content = "metadata.x,a,metadata.x\n9,1,9\n"
    rows, _ = read(path, content, ["a", "c"], extra=["metadata.*"], optional=["c"])
    assert rows == [("1", None, 2)]


def test_tabs_and_unquoted_dialects_are_declared_not_sniffed(path: Path) -> None:
    assert read(path, "a\tb\n1,2\t3\n", ["a", "b"], dialect=TAB)[0] == [("1,2", "3", 2)]
    rows, held = read(path, 'a|b\n"1|2"\n', ["a", "b"], dialect=Dialect(separator="|", quote=None))
    assert (rows, held) == ([('"1', '2"', 2)], [])


def test_aspen_exports_are_read_with_single_quoted_headers_and_backslash_escapes(path: Path) -> None:
    content = "'a','b,c'\n\"SAID \\\"LATE\\\"\",\"home\\\\\"\n\"C:\\dir\",\"\"\"x\"\n\\,NULL\n"
    rows, held = read(path, content, ["a", "b,c"], dialect=ASPEN)
    assert rows == [('SAID "LATE"', "home\\", 2), ("C:\\dir", '"x', 3), ("\\", None, 4)]
    assert held == []
    assert read(path, '"a",b\n1,2\n', ["a", "b"], dialect=ASPEN)[0] == [("1", "2", 2)]


def test_the_real_aspen_export_loads_whole() -> None:
    source = SHARED / "school/sis/studentinsights/attendance_dump.csv"
    if not source.exists():
        pytest.skip("shared data is not here")
    headers = ["ATT_DATE", "ATT_COMMENT"]
    [(rows, held)] = read_delimited(source, name="f", headers=headers, extra=["ATT_*"], dialect=ASPEN)
    assert rows.rows() == [("2005-05-03", 'MTHR CALLED "FEW MINUTES LATE"', "f", 2),
                           ("2005-05-03", "still away with family\\", "f", 3)]
    assert held.height == 0


def test_one_byte_encodings_are_read_when_declared(path: Path) -> None:
    content = "a,b\nJos\u00e9,1\n".encode("cp1252") + b"\x81,2\n"
    rows, held = read(path, content, ["a", "b"], encoding="cp1252")
    assert rows == [("Jos\u00e9", "1", 2)]
    assert held == [(3, "WB-R-002")]


@pytest.mark.parametrize("encoding", ["utf-16", "no-such", "rot13", "cp037", "shift_jis"])
def test_encodings_that_do_not_extend_ascii_are_refused_as_configuration(path: Path, encoding: str) -> None:
    with pytest.raises(ConfigurationError):
        read(path, "a\n", ["a"], encoding=encoding)


# -- what is held ------------------------------------------------------------------------------------------


def test_ragged_rows_are_held_by_number_and_their_neighbours_load(path: Path) -> None:
    rows, held = read(path, "a,b\n1,2\n1\n1,2,3\n\n5,6\n", ["a", "b"])
    assert rows == [("1", "2", 2), ("5", "6", 6)]
    assert held == [(3, "WB-R-001"), (4, "WB-R-001"), (5, "WB-R-001")]


def test_a_blank_line_between_rows_is_held_even_where_there_is_one_column(path: Path) -> None:
    assert read(path, "a\n1\n\n2\r\n\r\n\"\"\n", ["a"]) == (
        [("1", 2), ("2", 4), (None, 6)], [(3, "WB-R-001"), (5, "WB-R-001")])


def test_rows_that_are_not_utf8_are_held_and_their_neighbours_load(path: Path) -> None:
    rows, held = read(path, b"a,b\nJos\xe9,1\nJos\xc3\xa9,2\n\xed\xb2\x81,3\n", ["a", "b"])
    assert rows == [("Jos\u00e9", "2", 3)]
    assert held == [(2, "WB-R-002"), (4, "WB-R-002")]


@pytest.mark.parametrize("line", ['"a"b,x', 'x,"a', 'x,"a" ', "x\ry,z", '"a""b"c,x'])
def test_a_quote_or_return_out_of_place_holds_its_own_line_only(path: Path, line: str) -> None:
    rows, held = read(path, f"a,b\n1,2\n{line}\n3,4\n5,6\n", ["a", "b"])
    assert rows == [("1", "2", 2), ("3", "4", 4), ("5", "6", 5)]
    assert held == [(3, "WB-R-003")]


def test_a_quote_that_never_closes_swallows_no_rows(path: Path) -> None:
    lines = [f"{n},x" for n in range(200_000)]
    lines[1000] = '"1000,x'
    rows, held = read(path, "a,b\n" + "\n".join(lines) + "\n", ["a", "b"])
    assert len(rows) == 199_999
    assert held == [(1002, "WB-R-003")]


def test_a_cell_of_more_than_a_mebibyte_is_held(path: Path) -> None:
    big = "x" * (3 * MAX_RECORD)
    rows, held = read(path, f'a,b\n1,2\n{big},2\n3,4\n"{big}\n",5\n6,7\n', ["a", "b"])
    assert rows == [("1", "2", 2), ("3", "4", 4), ("6", "7", 7)]
    assert held == [(3, "WB-R-003"), (5, "WB-R-003"), (6, "WB-R-003")]


# -- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"\n\r\n", b"\xef\xbb\xbf"])
def test_a_file_without_a_header_is_refused_as_empty(path: Path, content: bytes) -> None:
    assert refusal(path, content, ["a"]).rule == "WB-D-001"


@pytest.mark.parametrize(
    "content", ["a,b\n1,2\n".encode("utf-16"), "a,b\n1,2\n".encode("utf-16-le"), b"a,b\n1,\0\n"]
)
def test_utf16_and_nul_bytes_are_refused_before_any_row(path: Path, content: bytes) -> None:
    refused = refusal(path, content, ["a", "b"])
    assert (refused.rule, refused.rows) == ("WB-D-004", 1)


@pytest.mark.parametrize(("header", "at_fault"), [
    ("a,b", ["c"]), ("a,b,x", ["c", "column 3"]), ("a,b,c,x", ["column 4"]), ("a,b,c,a", ["a"]),
    ("a,b,C", ["c", "column 3"]), ("a,x,b,y,c,x", ["column 2", "column 4", "column 6"]),
    ("a,b,c,", ["column 4"]), ("a,b,c,2008-01-02", ["column 4"]), ("a,b,c,x@y.org", ["column 4"]),
])
def test_header_drift_names_our_headers_and_the_places_of_others_and_counts_the_rows(
    path: Path, header: str, at_fault: list[str]
) -> None:
    refused = refusal(path, f'{header}\n1,2,"3\n"\n4,5,6\n', ["a", "b", "c"])
    assert (refused.rule, list(refused.columns), refused.rows) == ("WB-D-003", at_fault, 2)


def test_a_first_row_that_is_no_header_is_never_quoted(path: Path) -> None:
    refused = refusal(path, "Maria,Lopez,2011-01-02\nJo,Doe,2012-02-03\n", ["first", "last", "birth"])
    assert refused.columns == ("first", "last", "birth", "column 1", "column 2", "column 3")
    assert "Maria" not in repr(refused) + str(vars(refused))


@pytest.mark.parametrize("header", ["x," * 1_000_000, 'x,"', "x" * (2 * MAX_RECORD), "\xff,\n"])
def test_headers_that_cannot_be_read_are_refused(path: Path, header: str) -> None:
    refused = refusal(path, header.encode("latin-1") + b"\n1,2\n", ["a", "b"])
    assert (refused.rule, refused.columns) == ("WB-D-003", ("a", "b"))


# -- laws --------------------------------------------------------------------------------------------------

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
tricky = st.text(st.sampled_from('a,"\r\n\\ \u00e9'), max_size=5)


@QUICK
@given(st.integers(1, 4).flatmap(
    lambda n: st.lists(st.lists(st.one_of(text, tricky), min_size=n, max_size=n), max_size=8)),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.sampled_from(["\n", "\r\n"]))
def test_whatever_a_csv_writer_writes_is_read_back_equal(
    tmp_path: Path, table: list[list[str]], quoting: int, end: str
) -> None:
    headers = [f"h{n}" for n in range(len(table[0]) if table else 2)]
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writerows([headers, *table])
    # The writer leaves a bare return unquoted when lines end in LF; that is no RFC 4180.
    if quoting == csv.QUOTE_MINIMAL and end == "\n" and any("\r" in cell for row in table for cell in row):
        return
    rows, held = read(tmp_path / "f.csv", buffer.getvalue(), headers)
    assert held == []
    assert [list(row[:-1]) for row in rows] == [[cell or None for cell in row] for row in table]
    assert [row[-1] for row in rows] == list(range(2, 2 + len(table)))


atoms = [b"a", b",", b'"', b'""', b"\n", b"\r\n", b"\r", b"\\", b'\\"', b"\xff", b"\xc3\xa9", b'",',
         b',"', b'\n"', b'"\n', b"1,2\n"]
hostile = st.lists(st.sampled_from(atoms), max_size=30).map(b"".join)


class SlowScanner(Scanner):
    """The same records by the grammar alone."""

    def _quick(self, data: bytes) -> tuple[Records, int]:
        return Records(b"", np.empty(0, np.int64), np.empty(0, np.uint8)), 0


def listed(scanned: Iterator[Records]) -> list[tuple[bytes, int]]:
    found = []
    for records in scanned:
        starts = np.concatenate(([0], records.ends[:-1]))
        shapes = zip(starts, records.ends, records.faults, strict=True)
        found += [(b"" if fault else records.data[start:end], int(fault)) for start, end, fault in shapes]
    return found


@QUICK
@given(hostile, st.integers(1, 9), st.integers(1, 3), st.sampled_from([RFC4180, ASPEN]))
def test_pieces_of_any_size_and_both_scanners_find_the_same_records(
    data: bytes, size: int, fields: int, dialect: Dialect
) -> None:
    data += b"\n"
    marks = dialect.marks()
    pieces = [data[at:at + size] for at in range(0, len(data), size)]
    whole = listed(Scanner(marks, fields).scan([data]))
    assert listed(Scanner(marks, fields).scan(pieces)) == whole
    assert listed(SlowScanner(marks, fields).scan([data])) == whole
    assert listed(SlowScanner(marks, fields).scan(pieces)) == whole


@QUICK
@given(hostile, st.sampled_from([RFC4180, ASPEN]), st.integers(1, 5))
def test_rows_and_held_are_every_record_once_in_order(
    tmp_path: Path, data: bytes, dialect: Dialect, chunk_rows: int
) -> None:
    rows, held = read(tmp_path / "f.csv", b"a,b\n" + data, ["a", "b"], dialect=dialect, chunk_rows=chunk_rows)
    kept, refused = [row[-1] for row in rows], [row[0] for row in held]
    assert kept == sorted(kept)
    assert refused == sorted(refused)
    assert sorted(kept + refused) == list(range(2, 2 + len(kept) + len(refused)))
    content = (b"a,b\n" + data).rstrip(b"\r\n") + b"\n"
    scanned = listed(Scanner(dialect.marks(), 2).scan([content]))[1:]
    assert [number for number, (_, fault) in enumerate(scanned, 2) if fault == FINE] == kept
    assert len(scanned) == len(kept) + len(refused)


@QUICK
@given(st.lists(st.lists(tricky, min_size=2, max_size=2), max_size=6))
def test_backslash_escaped_cells_are_read_back_equal(tmp_path: Path, table: list[list[str]]) -> None:
    escaped = [[cell.replace("\\", "\\\\").replace('"', '\\"') for cell in row] for row in table]
    lines = [",".join(f'"{cell}"' for cell in row) for row in escaped]
    rows, held = read(tmp_path / "f.csv", "\n".join(["a,b", *lines]) + "\n", ["a", "b"], dialect=ASPEN)
    assert held == []
    expected = [[None if cell in ("", "NULL") else cell for cell in row] for row in table]
    assert [list(row[:-1]) for row in rows] == expected


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 7, 100])
def test_chunks_hold_at_most_so_many_records_and_keep_held_beside_kept(path: Path, chunk_rows: int) -> None:
    path.write_text("a,b\n" + "".join("1,2\n" if n % 3 else "1\n" for n in range(20)))
    seen = 2
    for rows, held in read_delimited(path, name="f", headers=["a", "b"], chunk_rows=chunk_rows):
        numbers = sorted([*rows.get_column("_row"), *held.get_column("_row")])
        assert numbers == list(range(seen, seen + len(numbers)))
        assert 0 < len(numbers) <= chunk_rows
        seen += len(numbers)
    assert seen == 22


# -- csv-spectrum (BSD-2-Clause) ---------------------------------------------------------------------------

SPECTRUM = sorted((SHARED / "hostile/csv-spectrum/csvs").glob("*.csv"))


@pytest.mark.skipif(not SPECTRUM, reason="shared data is not here")
@pytest.mark.parametrize("source", SPECTRUM, ids=lambda source: source.stem)
def test_csv_spectrum_parses_as_its_authors_say(source: Path) -> None:
    expected = json.loads((source.parents[1] / "json" / f"{source.stem}.json").read_bytes())
    expected = expected if isinstance(expected, list) else [expected]
    if source.stem == "location_coordinates":  # its authors changed the phone number in one of the two files
        expected[0]["Contact Phone Number"] = "2095257564"
    headers = list(expected[0])
    chunks = list(read_delimited(source, name="f", headers=headers))
    rows = [dict(zip(headers, row, strict=False)) for frame, _ in chunks for row in frame.rows()]
    assert [{key: value or "" for key, value in row.items()} for row in rows] == expected
    assert sum(held.height for _, held in chunks) == 0


@pytest.mark.skipif(not SPECTRUM, reason="shared data is not here")
def test_all_twelve_files_of_csv_spectrum_were_tried() -> None:
    assert len(SPECTRUM) == 12


def test_faults_of_the_quick_scan_are_told_apart() -> None:
    scanned = listed(Scanner(RFC4180.marks(), 2).scan([b'1,2\n1\n"1"x,2\n']))
    assert [fault for _, fault in scanned] == [FINE, RAGGED, MALFORMED]
