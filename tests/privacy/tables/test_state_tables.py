"""The state tables of the shared data: how many cells are hidden, what is proved, and within which cost."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from source_tree import REPO
from wellbridge.privacy.tables.certificate import sealed_certificate, write_release
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.moves import unproved
from wellbridge.privacy.tables.protection import Dimension, ProtectedTable, protect, read_table
from wellbridge.privacy.tables.verifier import verify

STATE_TABLES: Final = REPO / "../shared/data/privacy/state_tables"
FLAT: Final = ("school<district", "race")
BY: Final = {"T1": FLAT, "T2": FLAT, "T3": ("school<district", "grade", "race"),
             "T4": ("school<district", "grade<band", "race"), "T5": ("school<district", "grade<band", "race")}
# Cells and small ones, counted before this engine was: reference/privacy.md, section 5.
SIZES: Final = {"T1": (200, 40), "T2": (568, 130), "T3": (7_952, 781), "T4": (46_376, 3_613), "T5": (231_336, 24_007)}

pytestmark = pytest.mark.skipif(not STATE_TABLES.exists(), reason=f"no folder {STATE_TABLES.name} in the shared data")


@cache
def found(name: str, need: Need) -> tuple[ProtectedTable, float]:
    by = [Dimension.read(text) for text in BY[name]]
    rows = read_table(STATE_TABLES / f"{name}.csv.gz", by, "freq")
    started = time.process_time()
    table = protect(rows, by=by, count="freq", need=need)
    cost = time.process_time() - started
    assert (table.table.height, table.primary) == SIZES[name]
    assert not len(table.found.failed)
    assert not len(unproved(table.task, table.found))
    print(f"{name} {need}: {table.secondary} hidden, bound {table.found.lower_bound:.1f}, {cost:.2f} CPU-s")
    return table, cost


# The optima that an exact program found before (reference/privacy.md, section 5).
@pytest.mark.parametrize(
    ("name", "need", "least"),
    [("T1", Need.WEAK, 10), ("T2", Need.WEAK, 19), ("T3", Need.WEAK, 193), ("T1", Need.STRONG, 13),
     ("T2", Need.STRONG, 35)],
)
def test_the_optimum_is_found_and_proved(name: str, need: Need, least: int) -> None:
    table, _ = found(name, need)
    assert (table.secondary, table.found.is_optimal) == (least, True)
    assert table.found.lower_bound == pytest.approx(least, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "need", "known_least", "most"), [("T3", Need.STRONG, 0, 511), ("T4", Need.WEAK, 1_078, 1_425)]
)
def test_a_large_table_hides_fewer_cells_than_moves_alone_did(
    name: str, need: Need, known_least: int, most: int
) -> None:
    table, _ = found(name, need)
    assert known_least <= table.found.lower_bound <= table.secondary <= most


@pytest.mark.parametrize(("name", "need"), [("T1", Need.WEAK), ("T2", Need.STRONG), ("T3", Need.WEAK)])
def test_the_release_and_the_auditors_certificate_of_a_state_table_verify(
    name: str, need: Need, tmp_path: Path
) -> None:
    table, _ = found(name, need)
    public = write_release(table, tmp_path / "out")
    assert verify(tmp_path / "out") == []
    assert verify(tmp_path / "out", sealed_certificate(table, public)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["T3", "T4"])
def test_completions_are_found_for_every_blank_of_a_large_table_under_the_strong_need(
    name: str, tmp_path: Path
) -> None:
    table, _ = found(name, Need.STRONG)
    public = write_release(table, tmp_path / "out")
    assert verify(tmp_path / "out", sealed_certificate(table, public)) == []


@pytest.mark.slow
def test_a_whole_state_is_protected_and_verified_in_a_moment_weak(tmp_path: Path) -> None:
    whole_state(Need.WEAK, 7_276, tmp_path)


@pytest.mark.slow
def test_a_whole_state_is_protected_and_verified_in_a_moment_strong(tmp_path: Path) -> None:
    whole_state(Need.STRONG, 13_489, tmp_path)


def whole_state(need: Need, most: int, folder: Path) -> None:
    table, _ = found("T5", need)
    assert table.found.lower_bound <= table.secondary <= most
    public = write_release(table, folder / "out")
    sealed = sealed_certificate(table, public)
    started = time.process_time()
    assert verify(folder / "out") == []
    print(f"verified in {time.process_time() - started:.2f} CPU-s")
    assert verify(folder / "out", sealed) == []
