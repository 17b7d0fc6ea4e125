"""Filters by clkhash's schemas are bit for bit those that clkhash 0.18.3 made; what it would refuse is refused."""

from __future__ import annotations

import copy
import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.identity.encoded.clkhash_records import (
    CODI,
    CODI_COUNT,
    CODI_KINDS,
    COUNT,
    DIGEST_BYTES,
    SCHEMAS,
    rows,
    secret,
)
from source_tree import REPO
from wellbridge.etl.identity.encoded.clk import encode
from wellbridge.etl.identity.encoded.filters import ngrams
from wellbridge.etl.identity.encoded.schema import read_schema, schema_from
from wellbridge.schemas.errors import SafeError

HERE = Path(__file__).parent
SHARED = REPO.parent / "shared" / "data" / "linkage" / "codi"


def _digests(name: str, said: dict[str, Any], kinds: tuple[str, ...], count: int) -> list[bytes]:
    columns = [f"column {number}" for number in range(len(kinds))]
    records = pl.DataFrame(rows(name, kinds, count), schema=columns, orient="row")
    filters = encode(records, schema_from(said, name), secret(name).encode())
    assert filters.shape == (count, said["clkConfig"]["l"] // 8)
    return [blake2b(row.tobytes(), digest_size=DIGEST_BYTES).digest() for row in filters]


def _stored(file: str, number: int, count: int) -> list[bytes]:
    whole = (HERE / file).read_bytes()
    part = whole[number * count * DIGEST_BYTES : (number + 1) * count * DIGEST_BYTES]
    assert len(part) == count * DIGEST_BYTES
    return [part[at : at + DIGEST_BYTES] for at in range(0, len(part), DIGEST_BYTES)]


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_a_thousand_filters_of_each_schema_are_those_of_clkhash(name: str) -> None:
    said, kinds = SCHEMAS[name]
    assert _digests(name, said, kinds, COUNT) == _stored(
        "clkhash_vectors.bin", list(SCHEMAS).index(name), COUNT
    )


def test_the_stored_filters_are_ten_thousand_and_differ() -> None:
    whole = (HERE / "clkhash_vectors.bin").read_bytes()
    assert len(whole) == 10_000 * DIGEST_BYTES
    assert (
        len({whole[at : at + DIGEST_BYTES] for at in range(0, len(whole), DIGEST_BYTES)}) > 8_900
    )  # "short" repeats


@pytest.mark.parametrize("name", CODI)
def test_filters_of_codi_s_schemas_are_those_of_clkhash(name: str) -> None:
    file = SHARED / f"schema-name-sex-dob-{name}.json"
    if not file.exists():
        pytest.skip("CODI's schemas are not here (../shared/data/linkage/codi)")
    said = json.loads(file.read_text("utf-8"))
    assert _digests(name, said, CODI_KINDS, CODI_COUNT) == _stored(
        "codi_vectors.bin", CODI.index(name), CODI_COUNT
    )


def test_a_schema_that_hashes_twice_is_refused_wherever_it_says_so() -> None:
    said = copy.deepcopy(SCHEMAS["names"][0])
    said["features"][1]["hashing"]["hash"] = {"type": "doubleHash"}
    elsewhere = copy.deepcopy(SCHEMAS["names"][0])
    elsewhere["clkConfig"]["hash"] = {"type": "doubleHash"}
    for one in (said, elsewhere):
        with pytest.raises(SafeError, match="WB-E-080"):
            schema_from(one, "test")


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(version=2),
        lambda s: s.update(version="3"),
        lambda s: s.pop("features"),
        lambda s: s["clkConfig"].update(l=1000),
        lambda s: s["clkConfig"].update(l=True),
        lambda s: s["clkConfig"].update(xorFolds=1),
        lambda s: s["clkConfig"].pop("kdf"),
        lambda s: s["clkConfig"]["kdf"].update(keySize=65),
        lambda s: s["clkConfig"]["kdf"].update(salt="no base64"),
        lambda s: s["clkConfig"]["kdf"].update(type="legacy"),
        lambda s: s["features"][1]["format"].update(type="float"),
        lambda s: s["features"][1]["format"].update(encoding="latin-1"),
        lambda s: s["features"][1]["format"].update(pattern="("),
        lambda s: s["features"][1]["hashing"].update(strategy={"k": 3}),
        lambda s: s["features"][1]["hashing"].update(comparison={"type": "soundex"}),
        lambda s: s["features"][1]["hashing"].update(
            comparison={"type": "numeric", "thresholdDistance": 0, "resolution": 1}
        ),
        lambda s: s["features"][1].pop("identifier"),
    ],
)
def test_a_schema_that_is_not_understood_is_refused(change: Any) -> None:
    said = copy.deepcopy(SCHEMAS["names"][0])
    change(said)
    with pytest.raises(SafeError, match="WB-E-081"):
        schema_from(said, "test")


def test_a_schema_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    for text in ("", "[]", "{", "\x00", "[" * 12_000):
        file.write_text(text, "utf-8")
        with pytest.raises(SafeError, match="WB-E-081"):
            read_schema(file)
    with pytest.raises(SafeError, match="WB-E-081"):
        read_schema(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("derived", 0, "Quokkaname"),
        ("derived", 2, "Quokkasex"),
        ("dates", 0, "Quokkaday"),
        ("numbers", 0, "Quokka"),
        ("numbers", 0, "-10000"),
        ("numbers", 1, "Quokka"),
        ("numbers", 1, "inf"),
        ("patterns", 0, "Quokka"),
        ("patterns", 1, "Quokka" * 20),
    ],
)
def test_a_value_that_the_schema_forbids_is_told_by_row_and_column_alone(
    name: str, column: int, value: str
) -> None:
    said, kinds = SCHEMAS[name]
    made = rows(name, kinds, 20)
    made[7][column] = value
    records = pl.DataFrame(made, schema=[f"c{number}" for number in range(len(kinds))], orient="row")
    with pytest.raises(SafeError, match="WB-E-082") as refusal:
        encode(records, schema_from(said, name), b"x")
    told = refusal.value.render()
    assert "record 8" in told
    assert said["features"][column]["identifier"] in told
    assert value not in told
    assert refusal.value.__context__ is None


def test_a_file_of_other_columns_is_refused() -> None:
    with pytest.raises(SafeError, match="WB-E-082"):
        encode(pl.DataFrame({"one": ["a"]}), schema_from(SCHEMAS["names"][0], "names"), b"x")


def test_the_order_of_keys_and_blanks_do_not_change_a_schema_s_hash_but_its_meaning_does() -> None:
    said = SCHEMAS["names"][0]
    turned = json.loads(json.dumps(said, indent=4))
    turned["features"][1] = dict(reversed(turned["features"][1].items()))
    other = copy.deepcopy(said)
    other["features"][1]["hashing"]["strategy"]["bitsPerToken"] += 1
    assert schema_from(said, "a").sha256 == schema_from(turned, "b").sha256
    assert schema_from(said, "a").sha256 != schema_from(other, "a").sha256


TEXTS = st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8), max_size=12)


@given(TEXTS, st.integers(1, 5))
def test_n_grams_are_those_of_their_definition(values: list[str], n: int) -> None:
    lists = ngrams(values, n)
    ends = np.cumsum(lists.counts)
    for value, end, count in zip(values, ends, lists.counts, strict=True):
        padded = " " * (n - 1) + value + " " * (n - 1)
        expected = [padded[i : i + n] for i in range(len(padded) - n + 1)] if value else []
        assert [lists.tokens[token] for token in lists.of[end - count : end]] == expected
