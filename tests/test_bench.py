"""The benchmark's files are what it says they are, and all of it still runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from source_tree import REPO

ROWS = 3_000


def test_the_benchmark_writes_as_many_rows_as_it_is_asked_for(tmp_path: Path) -> None:
    subprocess.run([sys.executable, REPO / "bench" / "attendance.py", tmp_path, str(ROWS)], check=True)
    (file,) = (tmp_path / "sis").iterdir()
    assert len(file.read_text(encoding="utf-8").splitlines()) == ROWS + 1


@pytest.mark.slow
def test_the_benchmark_finds_every_variant_sound_and_measures_it() -> None:
    program = [sys.executable, str(REPO / "bench" / "nightly.py"), "--rows", str(ROWS), "--json"]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    costs = json.loads(done.stdout)
    assert [cost["variant"].split()[0] for cost in costs] == ["bare", "wellbridge", "wellbridge", "naive"]
    assert all(cost["cpu_s"] > 0 and cost["peak_mb"] > 1 for cost in costs)


@pytest.mark.slow
def test_the_node_of_the_anonymity_benchmark_is_that_of_exhaustive_search() -> None:
    program = [sys.executable, str(REPO / "bench" / "anonymity.py"), "--rows", str(ROWS), "--exhaustive", str(ROWS),
               "--pycanon-rows", str(ROWS)]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    assert done.stdout.rstrip().endswith(": the same")


@pytest.mark.skipif(not (REPO / "../shared/data/privacy/state_tables").exists(), reason="the state tables are not here")
def test_the_tables_benchmark_meets_its_targets_on_the_small_tables() -> None:
    program = [sys.executable, str(REPO / "bench" / "tables.py"), "--only", "T1,T2"]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    assert done.stdout.count("all met") == 4


@pytest.mark.slow
def test_the_linking_benchmark_measures_ours_beside_splink_s_plain_model() -> None:
    program = [sys.executable, str(REPO / "bench" / "identity.py"), "--children", str(ROWS)]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if "precision" in line]
    assert [line.split()[0] for line in lines] == ["ours", "Splink's", "the"]
    siblings = [int(line.split("siblings")[1].split()[0].replace(",", "")) for line in lines]
    assert siblings[0] <= 1 < siblings[1]
