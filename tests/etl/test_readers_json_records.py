"""JSON lines and pages: strict, line by line, nothing lost and nothing taken twice."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellbridge.etl.readers.json_records import (
    MAX_DEPTH,
    MAX_LINE,
    JsonRecords,
    NotStrictJsonError,
    loads_strict,
    read_json_array,
    read_json_records,
    read_ndjson,
)
from wellbridge.etl.reading import Deferred, Refused

SHARED = Path(__file__).parents[2] / "../shared/data"
BOM = b"\xef\xbb\xbf"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "f.json"


def lines(path: Path, content: bytes) -> JsonRecords:
    path.write_bytes(content)
    return merged(list(read_ndjson(path, name="f")))


def page(path: Path, content: bytes) -> JsonRecords:
    path.write_bytes(content)
    return merged(list(read_json_array(path, name="f")))


def merged(chunks: list[JsonRecords]) -> JsonRecords:
    whole = JsonRecords()
    held = whole.held
    for chunk in chunks:
        whole.records.extend(chunk.records)
        whole.rows.extend(chunk.rows)
        whole.offsets.extend(chunk.offsets)
        held = held.vstack(chunk.held)
    return JsonRecords(whole.records, whole.rows, whole.offsets, held)


def held(read: JsonRecords) -> list[tuple[int, str]]:
    return list(read.held.select("_row", "rule").iter_rows())


# -- strictness --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [
    b'{"a":1,"a":1}', b'{"a":1, "b":{"c":1 , "c" : ":"}}', b'[{"a":null,"a":null}]', b'{"a":1,"\\u0061":2}',
    b'{"a":"\\u003a","a":"::"}', b'{"a":1,"a":"\\u003A"}', b'{"a":{"x":":"},"a":1}', b'{":":1,"\\u003a":1}',
])
def test_duplicate_keys_are_refused_at_any_depth_and_however_written(text: bytes) -> None:
    with pytest.raises(NotStrictJsonError):
        loads_strict(text)


@pytest.mark.parametrize("text", [
    b'{"a":1,"b":{"a":1}}', b'{"a": "b:\\"c\\":", "d" : [":", {"e":"http://x:1"}]}',
    b'{"a":"\\u003a","b":":"}', b'":::"', b"1", b"null",
    b'{"a":"\\/\\u00e9\\ud83d\\ude00"}', b'{":":1,"::":2}',
])
def test_colons_in_strings_and_equal_keys_in_different_objects_are_accepted(text: bytes) -> None:
    assert loads_strict(text) == json.loads(text)


def test_a_refusal_carries_nothing_of_the_text() -> None:
    with pytest.raises(NotStrictJsonError) as caught:
        loads_strict(b'{"name":"Maria Lopez"')
    assert (caught.value.args, caught.value.__context__, caught.value.__cause__) == ((), None, None)


@pytest.mark.parametrize(
    ("depth", "ok"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False), (1_000, False), (10**6, False)]
)
@pytest.mark.parametrize(("open_", "close"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_limited_without_recursion(depth: int, ok: bool, open_: bytes, close: bytes) -> None:
    text = open_ * depth + b"1" + close * depth
    if ok:
        loads_strict(text)
    else:
        with pytest.raises(NotStrictJsonError):
            loads_strict(text)


def test_many_shallow_brackets_are_not_deep() -> None:
    assert len(loads_strict(b"[" + b",".join([b"[{}]"] * 500) + b"]")) == 500


keys = st.text(st.sampled_from('ab:"\\\u00e9'), max_size=2)
values = st.recursive(
    st.one_of(st.none(), st.integers(-9, 9), st.floats(allow_nan=False, allow_infinity=False), keys),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=12)


@settings(max_examples=300, deadline=None)
@given(values, st.booleans(), st.sampled_from([(",", ":"), (", ", ": "), (" ,", "\t:\n")]))
def test_any_value_without_duplicate_keys_is_accepted(
    value: Any, ascii_only: bool, separators: tuple[str, str]
) -> None:
    assert loads_strict(json.dumps(value, ensure_ascii=ascii_only, separators=separators).encode()) == value


pairs = st.recursive(
    st.one_of(st.integers(0, 9), keys),
    lambda inner: st.lists(st.tuples(keys, inner), max_size=4).map(tuple), max_leaves=8)


def written(value: Any, ascii_only: bool) -> tuple[str, bool]:
    """Return an object of key-value pairs as JSON, and whether a key occurs twice in one object."""
    if not isinstance(value, tuple):
        return json.dumps(value, ensure_ascii=ascii_only), False
    texts = [json.dumps(key, ensure_ascii=ascii_only) for key, _ in value]
    parts = [(text, *written(inner, ascii_only)) for text, (_, inner) in zip(texts, value, strict=True)]
    doubled = len({key for key, _ in value}) < len(value) or any(part[2] for part in parts)
    return "{" + ",".join(f"{key}:{text}" for key, text, _ in parts) + "}", doubled


@settings(max_examples=300, deadline=None)
@given(pairs, st.booleans(), st.booleans())
def test_an_object_is_refused_exactly_when_a_key_occurs_twice(
    value: Any, ascii_only: bool, escaped: bool
) -> None:
    text, doubled = written(value, ascii_only)
    if escaped:
        text = text.replace('":', '" :').replace("a", "\\u0061")
    try:
        loads_strict(text.encode())
        refused = False
    except NotStrictJsonError:
        refused = True
    assert refused == doubled


# -- JSON lines --------------------------------------------------------------------------------------------


def test_lines_carry_their_number_and_offset_and_blank_lines_are_no_records(path: Path) -> None:
    read = lines(path, BOM + b'{"a":1}\r\n\n  \n{"a":2}\n{"a":3}')
    assert read.records == [{"a": 1}, {"a": 2}, {"a": 3}]
    assert read.rows == [1, 4, 5]
    assert read.offsets == [0, 16, 24]
    assert held(read) == []


@pytest.mark.parametrize("bad", [
    b'{"a":1', b"[]", b'"a"', b"NaN", b'{"a":NaN}', b'{"a":1,"a":2}', BOM + b'{"a":1}', b'{"a":"\xff"}',
    b'{"a":1}{"a":2}', b'{"a":1e999}', b"\0",
])
def test_a_bad_line_is_held_by_number_and_its_neighbours_load(path: Path, bad: bytes) -> None:
    read = lines(path, b'{"a":1}\n' + bad + b'\n{"a":3}\n')
    assert read.rows == [1, 3]
    assert held(read) == [(2, "WB-R-003")]


def test_an_endless_line_is_held_and_the_next_one_loads(path: Path) -> None:
    read = lines(path, b'{"a":"' + b"x" * (MAX_LINE + 5) + b'"}\n{"a":1}\n')
    assert (read.rows, read.offsets, held(read)) == ([2], [MAX_LINE + 14], [(1, "WB-R-003")])


@pytest.mark.parametrize("content", [b"", BOM, b"\n\n"])
def test_no_lines_are_no_records(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert list(read_ndjson(path, name="f")) == []


@pytest.mark.parametrize("content", ['{"a":1}\n'.encode("utf-16"), '{"a":1}\n'.encode("utf-16-le")])
def test_utf16_is_refused(path: Path, content: bytes) -> None:
    with pytest.raises(Refused) as caught:
        lines(path, content)
    assert caught.value.rule == "WB-D-004"


def test_long_files_come_in_chunks_that_account_for_every_line(path: Path) -> None:
    path.write_bytes(b"".join(b'{"n":%d}\n' % n if n % 10 else b"{\n" for n in range(60_000)))
    chunks = list(read_ndjson(path, name="f"))
    assert len(chunks) > 2
    numbers = [sorted([*chunk.rows, *chunk.held.get_column("_row")]) for chunk in chunks]
    assert [number for chunk in numbers for number in chunk] == list(range(1, 60_001))
    assert merged(chunks).held.height == 6_000


def test_gzip_is_told_by_its_first_bytes(path: Path) -> None:
    assert lines(path, gzip.compress(b'{"a":1}\n')).records == [{"a": 1}]
    assert page(path, gzip.compress(b'[{"a":1}]')).records == [{"a": 1}]


def test_the_bad_observations_are_held_as_their_key_says() -> None:
    source = SHARED / "health/derived/Observation.bad_lines.ndjson"
    if not source.exists():
        pytest.skip("shared data is not here")
    [read] = read_ndjson(source, name="f")
    key = (source.parent / "Observation.bad_lines.key.tsv").read_text().splitlines()[1:]
    cases = dict(line.split("\t") for line in key)
    malformed = {"truncated", "BOM", "trailing comma", "NaN", "dup key", "array line", "lone surrogate",
                 "control char", "big int"}
    assert {cases[str(row)] for row, _ in held(read)} == malformed
    assert {cases[str(row)] for row in read.rows} == set(cases.values()) - malformed - {"blank"}
    assert len(read.rows) + read.held.height == 29


# -- pages -------------------------------------------------------------------------------------------------


def test_a_page_yields_its_objects_by_place_and_holds_what_is_none(path: Path) -> None:
    read = page(path, BOM + b' [{"a":1}, 2, [], {"a":{"b":1,"b":2}}, {"a":":"}] \n')
    assert read.records == [{"a": 1}, {"a": ":"}]
    assert read.rows == [1, 5]
    assert held(read) == [(2, "WB-R-003"), (3, "WB-R-003"), (4, "WB-R-003")]


def test_an_element_that_is_too_deep_is_held_and_the_others_load(path: Path) -> None:
    deep = b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1)
    read = page(path, b'[{"a":1},' + deep + b"]")
    assert (read.rows, held(read)) == ([1], [(2, "WB-R-003")])


@pytest.mark.parametrize("content", [BOM, BOM + b"\n", b"[]", b" \n"])
def test_an_empty_page_has_no_records(path: Path, content: bytes) -> None:
    assert page(path, content).rows == []


@pytest.mark.parametrize(("content", "rule", "rows"), [
    (b"", "WB-D-001", 0), (b'{"a":1}', "WB-D-007", 0), (b'[{"a":1},{"a":2},{"a"]', "WB-D-007", 2),
    (b'[{"a":1}', "WB-D-007", 1), (b"[\xff]", "WB-D-007", 0), ("[]".encode("utf-16"), "WB-D-004", 0),
    (b"[" * 5000, "WB-D-007", 0), (b'[{"a":1},' + b"[" * 1000 + b"]" * 1000 + b"]", "WB-D-007", 1),
])
def test_a_broken_page_is_refused_whole_and_says_how_far_it_could_count(
    path: Path, content: bytes, rule: str, rows: int
) -> None:
    with pytest.raises(Refused) as caught:
        page(path, content)
    assert (caught.value.rule, caught.value.rows, caught.value.__context__) == (rule, rows, None)


def test_a_file_is_a_page_when_it_begins_with_a_bracket(path: Path) -> None:
    for content in (b'{"a":1}\n{"a":2}\n', BOM + b'\n[{"a":1},{"a":2}]'):
        path.write_bytes(content)
        assert merged(list(read_json_records(path, name="f"))).records == [{"a": 1}, {"a": 2}]


# -- gzip --------------------------------------------------------------------------------------------------


def test_a_gzip_file_that_ends_early_is_still_uploading(path: Path) -> None:
    whole = gzip.compress(b'{"a":1}\n' * 100)
    for size in range(2, len(whole)):
        with pytest.raises(Deferred):
            lines(path, whole[:size])


def test_a_gzip_bomb_damaged_gzip_and_gzip_in_gzip_are_refused(path: Path) -> None:
    damaged = bytearray(gzip.compress(b'{"a":1}\n' * 100))
    damaged[-6] ^= 1
    for content in (gzip.compress(b"\n" * (1 << 24)), bytes(damaged), gzip.compress(gzip.compress(b"{}"))):
        with pytest.raises(Refused) as caught:
            lines(path, content)
        assert (caught.value.rule, caught.value.__context__) == ("WB-D-007", None)


def test_a_name_that_promises_gzip_must_keep_it(tmp_path: Path) -> None:
    path = tmp_path / "f.gz"
    path.write_bytes(b"\x1f")
    with pytest.raises(Deferred):
        list(read_ndjson(path, name="f.gz"))
    path.write_bytes(b"{}\n")
    with pytest.raises(Refused):
        list(read_ndjson(path, name="f.gz"))


# -- real pages --------------------------------------------------------------------------------------------


def test_real_ed_fi_pages_with_marks_and_empty_pages_are_read_whole() -> None:
    folder = SHARED / "school/edfi/northridge_api_json"
    if not folder.exists():
        pytest.skip("shared data is not here")
    pages = [source for source in folder.rglob("*") if source.suffix in (".json", ".gz", ".jsonl")]
    counts = {source: merged(list(read_json_records(source, name=source.name))) for source in pages}
    assert all(read.held.height == 0 for read in counts.values())
    assert len(counts[folder / "all_students.jsonl.gz"].rows) == 6_501
    assert any(source.stat().st_size == 3 and not read.rows for source, read in counts.items())
