"""The loaded warehouse is checked as a whole, by yes and no alone."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from wellbridge.etl.expectations import check_warehouse
from wellbridge.etl.loading import insert
from wellbridge.etl.store import open_store
from wellbridge.schemas.errors import StoreError
from wellbridge.schemas.warehouse import METADATA, OST_ATTENDANCE

pytestmark = pytest.mark.filterwarnings("ignore")  # Great Expectations warns of its own dependencies
CANARY = "Zyxwyn"


def _warehouse(path: Path, rows: list[tuple[str, str, float]]) -> Path:
    with open_store(path, METADATA) as store:
        frame = pl.DataFrame(rows, schema=["subject_key", "program_code", "hours"], orient="row")
        insert(store, OST_ATTENDANCE, frame.with_columns(event_date=pl.date(2026, 10, 1)))
    return path


def _broken(path: Path) -> set[tuple[str, str]]:
    return {(found.table, found.expectation) for found in check_warehouse(path) if not found.is_met}


def test_a_sound_warehouse_meets_every_expectation(tmp_path: Path) -> None:
    path = _warehouse(tmp_path / "w.duckdb", [("a", "x", 2.0), ("b", "x", 1.5)])
    assert _broken(path) == set()
    assert len(check_warehouse(path)) > 100


def test_doubled_keys_and_numbers_out_of_range_are_named_without_values(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = _warehouse(tmp_path / "w.duckdb", [(CANARY, "x", 2.0), (CANARY, "x", 99.0)])
    assert _broken(path) == {("ost_attendance", "key is unique"), ("ost_attendance", "between 0 and 24")}
    printed = capfd.readouterr()
    assert CANARY not in printed.out + printed.err


def test_a_missing_warehouse_is_a_safe_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        check_warehouse(tmp_path / "none.duckdb")
    assert caught.value.code == "WB-E-050"
