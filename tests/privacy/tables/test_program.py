"""What the solver says of its own answers."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from wellbridge.privacy.tables.program import Program


def cover(seed: int, size: int = 150) -> Program:
    """Choose the fewest columns so that each of some random rows has one."""
    draw = np.random.default_rng(seed)
    rows = csr_matrix((draw.random((size, size)) < 0.05).astype(np.float64))
    rows = rows[np.diff(rows.indptr) > 0]
    nothing = np.zeros(0)
    program = Program(csc_matrix((0, size)), nothing, nothing, np.zeros(size), np.ones(size), np.ones(size))
    program.require(rows, np.ones(rows.shape[0]))
    return program


def test_an_answer_within_an_allowed_gap_is_called_optimal_only_where_it_is():
    answers = []
    for draw in range(4):
        exact, rough = cover(draw), cover(draw)
        exact.make_whole(gap=0.0, nodes=1_000_000)
        rough.make_whole(gap=0.5, nodes=1_000_000)
        best, found = exact.solve(), rough.solve()
        assert best is not None
        assert found is not None
        assert best.is_optimal
        assert found.bound <= best.objective + 1e-6
        assert not found.is_optimal or found.objective <= best.objective + 1e-6
        answers.append(found.objective > best.objective)
    assert any(answers), "no seed shows the fault any more: choose others"


def test_a_program_without_unknowns_has_an_answer():
    nothing = np.zeros(0)
    found = Program(csc_matrix((0, 0)), nothing, nothing, nothing, nothing, nothing).solve()
    assert found is not None
    assert (found.objective, len(found.columns), found.is_optimal) == (0.0, 0, True)
