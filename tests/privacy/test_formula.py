from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellbridge.privacy.formula import neutralise, restore

PAYLOADS = [
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "=cmd|'/C calc'!A0", "=HYPERLINK(\"http://x\",\"y\")", " =1+1", "\t=1+1",
    "\r=1+1", "\n=1+1", "\x00=1", "\u00a0=1", "\ufeff=1", '"=1+1"', "'=1+1", "＝1+1", "＋1", "－1", "＠x",
    "\tx", "-2+3+cmd", "- 2", "--1", "=", "-",
]
HARMLESS = ["", "a=b", "S01", "-2.5", "-7", "-1e5", "3-4", "two or more", "'quoted'", "x@y", "K-5", "0"]


def one(cell: str) -> str:
    frame, _ = neutralise(pl.DataFrame({"cell": [cell]}))
    return str(frame["cell"][0])


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_cell_that_could_run_begins_with_an_apostrophe_and_can_be_restored(payload: str):
    assert one(payload) == "'" + payload
    assert restore(one(payload)) == payload


@pytest.mark.parametrize("cell", HARMLESS)
def test_a_harmless_cell_stays_as_it_is(cell: str):
    assert one(cell) == cell


@given(st.text())
def test_every_text_can_be_restored(text: str):
    assert restore(one(text)) == text


def test_changes_are_counted_by_column_and_numbers_are_left_alone():
    frame = pl.DataFrame({"a": ["=1", "x", "@y", None], "b": ["p", "q", "r", "s"], "n": [-1, 2, 3, 4]})
    changed, counts = neutralise(frame)
    assert counts == {"a": 2}
    assert changed["n"].to_list() == [-1, 2, 3, 4]
    assert changed["a"].to_list() == ["'=1", "x", "'@y", None]
