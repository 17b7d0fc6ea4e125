"""Naughty strings (minimaxir, MIT) as cells, headers and keys: read back equal, never in a message."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from wellbridge.etl.readers.delimited import read_delimited
from wellbridge.etl.readers.json_records import read_ndjson
from wellbridge.etl.reading import Refused

BLNS = Path(__file__).parents[2] / "../shared/data/hostile/blns"

pytestmark = pytest.mark.skipif(not BLNS.exists(), reason="shared data is not here")


@pytest.fixture(scope="module")
def strings() -> list[str]:
    [file] = BLNS.glob("*.json")
    return [text for text in json.loads(file.read_bytes()) if text and "\0" not in text]


def table(rows: list[list[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()


def test_naughty_cells_are_read_back_equal(tmp_path: Path, strings: list[str]) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(table([["a", "b"], *([text, "x"] for text in strings)]))
    [(rows, held)] = read_delimited(path, name="f", headers=["a", "b"])
    assert held.height == 0
    assert rows.get_column("a").to_list() == strings
    assert len(strings) > 400


def test_naughty_headers_of_the_contract_are_found_by_name(tmp_path: Path, strings: list[str]) -> None:
    names = list(dict.fromkeys(text.strip() for text in strings if text.strip()))
    path = tmp_path / "f.csv"
    path.write_bytes(table([names, [str(place) for place in range(len(names))]]))
    [(rows, held)] = read_delimited(path, name="f", headers=names)
    assert held.height == 0
    assert rows.row(0)[:-2] == tuple(str(place) for place in range(len(names)))


def test_naughty_rows_in_place_of_a_header_are_refused_unnamed(tmp_path: Path, strings: list[str]) -> None:
    path = tmp_path / "f.csv"
    for text in strings:
        path.write_bytes(table([[text, "b"], ["1", "2"]]))
        with pytest.raises(Refused) as caught:
            list(read_delimited(path, name="f", headers=["id", "date", "score"]))
        assert caught.value.rule == "WB-D-003"
        assert set(caught.value.columns) <= {"id", "date", "score", "column 1", "column 2"}


def test_naughty_keys_and_values_of_json_lines_are_read_back_equal(
    tmp_path: Path, strings: list[str]
) -> None:
    path = tmp_path / "f.ndjson"
    path.write_text("".join(json.dumps({text: text, "n": {text: [text]}}) + "\n" for text in strings))
    [read] = read_ndjson(path, name="f")
    assert read.held.height == 0
    assert read.records == [{text: text, "n": {text: [text]}} for text in strings]
