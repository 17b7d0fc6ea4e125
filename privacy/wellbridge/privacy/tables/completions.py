"""A proof as certificates write it: few completions that show together what many moves do.

A completion is whole, so what counts is how many there are, not how much each moves: moves at work in different places
are added up to one as long as each still shows what it is there for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix, hstack

from wellbridge.privacy.tables.sums import Ints

_NOTHING: Final = np.zeros(0, dtype=np.int64)


def as_json(completions: Ints, longest: int) -> dict[str, Any]:
    """Return completions as the verifier reads them, the first of them first.

    Args:
        completions: one row for each, one column for each blank.
        longest: how many cells the longest sum ties; what they could add up to has to fit in a count's digits.
    """
    most = int(completions.max(initial=0)).bit_length()
    digits = -(-(most + max(1, (longest - 1).bit_length())) // 4)
    line = f"%0{digits}x" * len(completions)
    return {"digits": digits, "completions": [line % tuple(counts) for counts in completions.T.tolist()]}


def from_json(certificate: Mapping[str, Any]) -> Ints:
    """Return the completions of a certificate, one row for each."""
    digits, lines = certificate["digits"], certificate["completions"]
    counts = [[int(line[at:at + digits], 16) for at in range(0, len(line), digits)] for line in lines]
    return np.array(counts, dtype=np.int64).T


def enough_of(shows: csr_matrix, size: Ints) -> Ints:
    """Return the numbers of moves that show together what all show, the large ones left out first.

    Args:
        shows: one row for each move, one column for each thing that a move can show; true where it does.
        size: of each move; the smaller it is, the more others it can be added to.
    """
    times = np.asarray(shows.astype(np.int64).sum(axis=0)).ravel()
    kept = []
    for number in np.argsort(-size, kind="stable"):
        things = shows.indices[shows.indptr[number]:shows.indptr[number + 1]]
        if len(things) and times[things].min() == 1:
            kept.append(number)
        else:
            times[things] -= 1
    return np.sort(np.array(kept, dtype=np.int64))


def shown_by(moves: csr_matrix, up: Ints, down: Ints) -> csr_matrix:
    """Return which of the needed rises, and then which of the needed falls, each move shows."""
    rises, falls = moves.copy(), moves.copy()
    rises.data = (up[moves.indices] > 0) & (moves.data >= up[moves.indices])
    falls.data = (down[moves.indices] > 0) & (-moves.data >= down[moves.indices])
    both = hstack([rises, falls], format="csr")
    both.eliminate_zeros()
    return both


class _Piece(NamedTuple):
    """A move, and what it is there for.

    Attributes:
        change: how far each count moves.
        asked, far: which counts have to move, and at least how far; below zero where they have to fall.
        still: which counts must not move, since who is not to work something out knows them.
    """

    change: Ints
    asked: Ints
    far: Ints
    still: Ints

    def plus(self, other: _Piece) -> _Piece:
        """Return both as one move."""
        return _Piece(self.change + other.change, *map(np.concatenate, zip(self[1:], other[1:], strict=True)))

    def shows(self) -> bool:
        """Whether it does what it is there for."""
        moved = self.change[self.asked] * np.sign(self.far)
        return not self.change[self.still].any() and bool((moved >= np.abs(self.far)).all())


def completed(
    base: Ints, moves: csr_matrix, up: Ints, down: Ints, bounds: tuple[Ints, Ints], known: Sequence[Ints] = ()
) -> Ints:
    """Return few completions that show what moves do, one row each, the first of them without a move.

    Args:
        base: the counts from which the moves set out.
        moves: one row for each.
        up, down: how far each count has to be able to rise and fall.
        bounds: the least and greatest that each count may be.
        known: what each of some readers knows; a move shows her nothing where it moves that.
    """
    together: list[_Piece] = []
    for piece in _pieces(moves, up, down, [_NOTHING, *known]):
        moved = np.flatnonzero(piece.change)
        least, greatest = (bound[moved] - base[moved] - piece.change[moved] for bound in bounds)
        for place, other in enumerate(together):
            before = other.change[moved]
            is_within = (before >= least).all() and (before <= greatest).all()
            if is_within and (both := other.plus(piece)).shows():
                together[place] = both
                break
        else:
            together.append(piece)
    return np.vstack([base, *(base + piece.change for piece in together)])


def _pieces(moves: csr_matrix, up: Ints, down: Ints, readers: Sequence[Ints]) -> Iterator[_Piece]:
    """Yield as many of the moves as are needed, the largest first; what several show is asked of the first."""
    shows = csr_matrix(hstack([shown_by(_untouched(moves, own), up, down) for own in readers]))
    sizes, cells = np.diff(moves.indptr), moves.shape[1]
    is_left = np.ones(shows.shape[1], dtype=np.bool_)
    kept = enough_of(shows, sizes)
    for number in kept[np.argsort(-sizes[kept], kind="stable")]:
        things = shows.indices[shows.indptr[number]:shows.indptr[number + 1]].astype(np.int64)
        things = things[is_left[things]]
        is_left[things] = False
        reader, (falls, asked) = things // (2 * cells), np.divmod(things % (2 * cells), cells)
        still = np.concatenate([readers[who] for who in np.unique(reader)])
        yield _Piece(moves[[number]].toarray()[0], asked, np.where(falls > 0, -down[asked], up[asked]), still)


def _untouched(moves: csr_matrix, own: Ints) -> csr_matrix:
    """Return the moves, those that move what a reader knows emptied."""
    if not len(own):
        return moves
    keeps = np.asarray(np.abs(moves[:, own]).sum(axis=1)) == 0
    found = csr_matrix(moves.multiply(keeps.astype(np.int64)))
    found.eliminate_zeros()
    return found
