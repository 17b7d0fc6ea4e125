"""Laws of the engine, checked by plain arithmetic over the table and nothing of ours."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.tables.independent_optimum import ALL, cross
from privacy.tables.random_tables import Sample, sample
from wellbridge.privacy.tables.certificate import table_bytes, write_release
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.merged import merged
from wellbridge.privacy.tables.protection import ProtectedTable
from wellbridge.privacy.tables.suppress import EXACT, QUICK

COUNTS = st.one_of(st.just(0), st.integers(1, 12), st.integers(10, 80), st.integers(1_000, 2_000_000))


@st.composite
def tables(draw: st.DrawFn) -> Sample:
    """Two or three dimensions, counts from none to millions, districts of one school and of several."""
    schools, races, sexes = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 2))
    rows = [
        (f"S{s}", f"D{s // 2}", f"R{r}", f"X{x}", draw(COUNTS))
        for s in range(schools) for r in range(races) for x in range(sexes)
    ]
    by = [("school", "district") if draw(st.booleans()) else ("school",), ("race",)] + ([("sex",)] if sexes > 1 else [])
    names = ("school", "district", "race", "sex")
    frame = pl.DataFrame(rows, schema={**dict.fromkeys(names, pl.String), "n": pl.Int64}, orient="row")
    return Sample(frame, tuple(by), draw(st.integers(3, 12)), draw(st.sampled_from(list(Need))))


def changes(found: ProtectedTable, names: list[str]) -> list[dict[tuple[str, ...], int]]:
    """Return every move of a proof as what it adds to each cell, by the cell's members."""
    labels = list(found.table.select(names).iter_rows())
    moves = found.found.moves.toarray()
    return [{labels[place]: int(move[place]) for place in range(len(labels))} for move in moves]


@settings(max_examples=60, deadline=None)
@given(table=tables())
def test_moves_keep_every_sum_touch_hidden_cells_alone_and_leave_no_count_below_nothing(table: Sample) -> None:
    found = table.protected()
    if found is None:
        return
    names = table.columns
    truth: dict[tuple[str, ...], int] = {}
    published = dict(zip(found.table.select(names).iter_rows(), found.table["n"], strict=True))
    for row in table.rows.iter_rows(named=True):
        for cell in published:
            if all(member in (ALL, row[name]) for member, name in zip(cell, names, strict=True)):
                truth[cell] = truth.get(cell, 0) + row["n"]
    assert all(n is None or n == truth[cell] for cell, n in published.items())
    for move in changes(found, names):
        inner = {cell: change for cell, change in move.items() if ALL not in cell}
        for cell, change in move.items():
            parts = [c for other, c in inner.items() if all(a in (ALL, b) for a, b in zip(cell, other, strict=True))]
            assert change == sum(parts)
            assert change == 0 or published[cell] is None
            assert truth[cell] + change >= 0


@settings(max_examples=40, deadline=None)
@given(table=tables(), seed=st.integers(0, 1_000))
def test_the_order_of_rows_does_not_matter_nor_whether_a_cell_comes_in_parts(table: Sample, seed: int) -> None:
    draw = random.Random(seed)
    parts = []
    for row in table.rows.iter_rows():
        part = draw.randint(0, row[-1])
        parts += [(*row[:-1], part), (*row[:-1], row[-1] - part)]
    draw.shuffle(parts)
    one = table.protected()
    two = table.protected(rows=pl.DataFrame(parts, schema=table.rows.schema, orient="row"))
    assert (one is None) == (two is None)
    if one is not None and two is not None:
        assert table_bytes(one) == table_bytes(two)
        assert (one.found.moves != two.found.moves).nnz == 0


@settings(max_examples=60, deadline=None)
@given(table=tables())
def test_cells_of_one_unit_change_alike_in_every_completion_and_cells_of_none_do_not_change(table: Sample) -> None:
    found = table.protected()
    if found is None:
        return
    units = merged(found.task)
    truth = cross(table.rows, table.by, "n")
    place = {label: number for number, label in enumerate(truth.labels)}
    members = truth.members[[place[label] for label in found.table.select(table.columns).iter_rows()]]
    # What no reader can see change are the cells that can be hidden at all; the others' sums are known.
    known = members[found.task.values == 0]
    rank = rank_of(known)
    for unit in np.unique(units.of):
        cells = np.flatnonzero(units.of == unit)
        first = np.zeros_like(members[0]) if unit < 0 else members[cells[0]]
        for cell in cells:
            assert rank_of(np.vstack([known, members[cell] - first])) == rank


def rank_of(matrix: np.ndarray) -> int:
    return int(np.linalg.matrix_rank(matrix)) if len(matrix) else 0


def test_running_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for seed in range(30):
        one, two = (sample(seed).protected((EXACT, QUICK, None)[seed % 3]) for _ in range(2))
        assert (one is None) == (two is None)
        if one is None or two is None:
            continue
        for name, found in (("one", one), ("two", two)):
            write_release(found, tmp_path / f"{name}{seed}")
        assert one.found.lower_bound == two.found.lower_bound
        for name in ("table.csv", "certificate.json"):
            assert (tmp_path / f"one{seed}" / name).read_bytes() == (tmp_path / f"two{seed}" / name).read_bytes()
