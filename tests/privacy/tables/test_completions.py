"""Completions of a certificate: few that show what many moves do, and how they are written."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from privacy.tables.independent_judge import read_completions
from wellbridge.privacy.tables.completions import as_json, completed, enough_of, from_json

FREE = 1 << 40


@given(st.lists(st.lists(st.integers(0, 10**9), min_size=1, max_size=4), min_size=1, max_size=5), st.integers(2, 500))
def test_completions_are_read_as_they_were_written_and_a_sum_of_them_fits_in_their_digits(
    rows: list[list[int]], longest: int
) -> None:
    width = min(map(len, rows))
    completions = np.array([row[:width] for row in rows])
    found = as_json(completions, longest)
    assert from_json(found).tolist() == read_completions(found) == completions.tolist()
    assert int(completions.max()) * longest < 16 ** found["digits"]
    assert int(completions.max()) * 2 < 16 ** found["digits"]


@st.composite
def proofs(draw: st.DrawFn) -> tuple[np.ndarray, ...]:
    """Counts, moves that stay above nothing, what is asked of them, and what two readers know."""
    cells = draw(st.integers(2, 8))
    base = np.array(draw(st.lists(st.integers(0, 6), min_size=cells, max_size=cells)))
    move = st.lists(st.sampled_from([0, 0, 0, -2, -1, 1, 2, 3]), min_size=cells, max_size=cells)
    moves = np.maximum(np.array(draw(st.lists(move, min_size=1, max_size=9))), -base)
    asked = st.lists(st.integers(0, 3), min_size=cells, max_size=cells)
    known = [np.array(draw(st.lists(st.integers(0, cells - 1), min_size=1, max_size=2, unique=True))) for _ in "ab"]
    return base, moves, np.array(draw(asked)), np.array(draw(asked)), *known


def shown(changes: np.ndarray, up: np.ndarray, down: np.ndarray, known: list[np.ndarray]) -> set[tuple[int, int, bool]]:
    """What the changes show to whom: each reader, count, and whether it rises, as far as is asked."""
    out = set()
    for who, own in enumerate([np.zeros(0, dtype=int), *known]):
        seen = changes[(changes[:, own] == 0).all(axis=1)]
        for cell in range(changes.shape[1]):
            if up[cell] and (seen[:, cell] >= up[cell]).any():
                out.add((who, cell, True))
            if down[cell] and (-seen[:, cell] >= down[cell]).any():
                out.add((who, cell, False))
    return out


@given(proofs())
def test_few_completions_show_every_reader_all_that_the_moves_did_and_stay_within_bounds(
    drawn: tuple[np.ndarray, ...]
) -> None:
    base, moves, up, down, *known = drawn
    bounds = (np.zeros_like(base), np.full_like(base, FREE))
    completions = completed(base, csr_matrix(moves), up, down, bounds, known)
    assert (completions[0] == base).all()
    assert completions.min() >= 0
    assert len(completions) <= len(moves) + 1
    assert shown(completions - base, up, down, known) >= shown(moves, up, down, known)


def test_moves_in_different_places_become_one_completion_and_those_at_odds_do_not() -> None:
    base = np.array([3, 3, 3, 3])
    moves = csr_matrix(np.array([[1, -1, 0, 0], [0, 0, 1, -1], [-1, 1, 0, 0]]))
    every = np.ones(4, dtype=np.int64)
    completions = completed(base, moves, every, 0 * every, (0 * base, base + 9))
    assert sorted(completions[1:].tolist()) == [[2, 4, 3, 3], [4, 2, 4, 2]]


def test_what_a_greater_count_would_pass_is_not_added_up() -> None:
    base = np.array([3, 3, 3])
    moves = csr_matrix(np.array([[1, -1, 0], [1, 0, -1]]))
    down = np.array([0, 1, 1])
    for most, many in ((5, 2), (4, 3)):
        found = completed(base, moves, 0 * down, down, (0 * base, np.full(3, most)))
        assert len(found) == many
        assert found.max() <= most


def test_a_move_whose_things_others_show_is_left_out_the_largest_first() -> None:
    shows = csr_matrix(np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=bool))
    assert enough_of(shows, np.array([9, 2, 3])).tolist() == [1, 2]
