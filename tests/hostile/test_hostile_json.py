"""The JSON parsing test suite (nst/JSONTestSuite, MIT): what must be refused is, what must be accepted is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wellbridge.etl.readers.json_records import (
    NotStrictJsonError,
    loads_strict,
    read_json_array,
    read_ndjson,
)
from wellbridge.etl.reading import Refused

FOLDER = Path(__file__).parents[2] / "../shared/data/hostile/jsontestsuite/test_parsing"
SUITE = sorted(FOLDER.glob("*.json"))
# RFC 8259 lets objects repeat a key; which value is meant then is anyone's guess, so they are refused here.
DOUBLED = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}

pytestmark = pytest.mark.skipif(not SUITE, reason="shared data is not here")


def accepts(data: bytes) -> bool:
    try:
        loads_strict(data)
    except NotStrictJsonError:
        return False
    return True


def of_kind(kind: str) -> list[Path]:
    return [file for file in SUITE if file.name.startswith(kind)]


def test_all_188_texts_that_must_be_refused_are() -> None:
    files = of_kind("n_")
    assert len(files) == 188
    assert [file.name for file in files if accepts(file.read_bytes())] == []


def test_93_of_95_texts_that_must_be_accepted_are_and_mean_the_same() -> None:
    files = of_kind("y_")
    assert len(files) == 95
    assert {file.name for file in files if not accepts(file.read_bytes())} == DOUBLED
    for file in files:
        if file.name not in DOUBLED:
            assert loads_strict(file.read_bytes()) == json.loads(file.read_bytes())


def test_texts_that_may_be_either_end_in_an_answer() -> None:
    files = of_kind("i_")
    assert len(files) == 35
    assert {accepts(file.read_bytes()) for file in files} == {True, False}


def test_each_refused_text_is_a_held_line_between_lines_that_load(tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    for file in of_kind("n_"):
        content = file.read_bytes().replace(b"\n", b" ").replace(b"\r", b" ").strip()
        if not content or b"\0" in content[:4]:
            continue
        path.write_bytes(b'{"a":1}\n' + content + b'\n{"a":3}\n')
        [read] = read_ndjson(path, name="f")
        assert (read.rows, read.held.get_column("_row").to_list()) == ([1, 3], [2]), file.name


def test_each_refused_text_refuses_its_page_unless_the_page_is_blank() -> None:
    for file in of_kind("n_"):
        if not file.read_bytes().removeprefix(b"\xef\xbb\xbf").strip() and file.stat().st_size:
            assert list(read_json_array(file, name="f")) == [], file.name
            continue
        with pytest.raises(Refused):
            list(read_json_array(file, name="f"))
