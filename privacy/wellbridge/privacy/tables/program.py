"""Linear and integer programs, solved by HiGHS; a model stays warm over many questions."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import highspy
import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from wellbridge.privacy.tables.sums import UNBOUNDED, Floats, Ints
from wellbridge.schemas.errors import PrivacyError

WHOLE: Final = 1e-6  # HiGHS's own tolerance of a feasible solution
_HUB: Final = 60  # whole numbers are searched near a fraction, but not over rows of more columns
_GAP: Final = 0.2  # of the cost


@dataclass(frozen=True)
class Solution:
    """What a program found.

    Attributes:
        columns: the columns' values.
        rows: price of each row (its dual value); meaningless for an integer program.
        objective: cost of ``columns``.
        bound: no columns cost less than this.
        is_optimal: whether ``columns`` cost least, rather than being the best found within the limits.
    """

    columns: Floats
    rows: Floats
    objective: float
    bound: float
    is_optimal: bool

    @property
    def fractional(self) -> Ints:
        """Numbers of the columns that are not whole."""
        return np.flatnonzero(np.abs(self.columns - np.rint(self.columns)) > WHOLE)

    def whole(self) -> Ints:
        """Return the columns as whole numbers; only meant where none is fractional."""
        return np.rint(self.columns).astype(np.int64)


class Program:
    """Minimise ``cost · columns`` within bounds, subject to ``low ≤ matrix · columns ≤ high``.

    Args:
        matrix: one row for each constraint, one column for each unknown.
        low, high: bounds of the rows; equal for an equation.
        lower, upper: bounds of the columns; ``UNBOUNDED`` and more bounds nothing.
        cost: cost of one unit of each column.
        presolve: simplify first; without, a changed question starts from the last answer.
    """

    def __init__(
        self, matrix: csc_matrix, low: Floats, high: Floats, lower: Floats, upper: Floats, cost: Floats,
        *, presolve: bool = False,
    ) -> None:
        _greet()
        self._model = highspy.Highs()  # type: ignore[no-untyped-call]
        self._model.setOptionValue("output_flag", False)
        self._model.setOptionValue("threads", 1)
        self._model.setOptionValue("random_seed", 1)
        self._model.setOptionValue("presolve", "choose" if presolve else "off")
        self._model.setOptionValue("mip_rel_gap", 0.0)
        self._size, self._is_whole = len(cost), False
        self._model.passModel(_model(matrix, low, high, lower, upper, cost))

    def bound(self, columns: Ints, lower: Floats, upper: Floats) -> None:
        """Set the bounds of some columns."""
        self._model.changeColsBounds(len(columns), columns.astype(np.int32), lower, _unbounded(upper))

    def price(self, columns: Ints, cost: Floats) -> None:
        """Set the cost of some columns."""
        self._model.changeColsCost(len(columns), columns.astype(np.int32), cost)

    def require(self, rows: csr_matrix, low: Floats) -> None:
        """Add rows that must be at least ``low``."""
        count = rows.shape[0]
        self._model.addRows(
            count, low, np.full(count, highspy.kHighsInf), rows.nnz, rows.indptr[:-1].astype(np.int32),
            rows.indices.astype(np.int32), rows.data.astype(np.float64),
        )

    def make_whole(self, *, gap: float, nodes: int) -> None:
        """Ask for whole-numbered columns from now on.

        Args:
            gap: share of the cost by which an answer may miss the optimum.
            nodes: most branches examined. A number of nodes, not of seconds, so that a slow machine answers the same.
        """
        self._is_whole = True
        kinds = np.full(self._size, int(highspy.HighsVarType.kInteger), dtype=np.uint8)
        self._model.changeColsIntegrality(self._size, np.arange(self._size, dtype=np.int32), kinds)
        self._model.setOptionValue("mip_rel_gap", gap)
        self._model.setOptionValue("mip_max_nodes", nodes)
        self._model.setOptionValue("presolve", "choose")

    def make_fractional(self) -> None:
        """Take ``make_whole`` back."""
        self._is_whole = False
        kinds = np.full(self._size, int(highspy.HighsVarType.kContinuous), dtype=np.uint8)
        self._model.changeColsIntegrality(self._size, np.arange(self._size, dtype=np.int32), kinds)
        self._model.setOptionValue("presolve", "off")

    def solve(self) -> Solution | None:
        """Return the cheapest columns found, None where no columns satisfy all.

        Raises:
            PrivacyError: WB-E-042 when the solver gives up: a table that cannot be examined is not released.
        """
        if not self._size:
            return Solution(np.zeros(0), np.zeros(self._model.getNumRow()), 0.0, 0.0, is_optimal=True)
        self._model.run()
        status = self._model.getModelStatus()
        if status == highspy.HighsModelStatus.kInfeasible:
            return None
        info: Any = self._model.getInfo()
        is_optimal = status == highspy.HighsModelStatus.kOptimal
        if not is_optimal and info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
            raise PrivacyError(
                "WB-E-042", "The table is too large or too odd to be examined.", f"solver: {status.name}"
            )
        found = self._model.getSolution()
        objective = float(info.objective_function_value)
        # An answer within the gap that was allowed counts as optimal for HiGHS; its bound tells whether it is.
        bound = float(info.mip_dual_bound) if self._is_whole else objective
        is_proved = is_optimal and objective - bound <= WHOLE * max(1.0, abs(objective))
        return Solution(
            np.asarray(found.col_value, dtype=np.float64), np.asarray(found.row_dual, dtype=np.float64), objective,
            bound, is_proved,
        )

    def solve_whole(self, *, gap: float = 0.0) -> Solution | None:
        """Return the cheapest whole-numbered columns found, None where there are none.

        They are only the cheapest where ``is_optimal`` says so: the search ends within ``gap``, a share of the cost,
        and after many branches in any case.
        """
        found = self.solve()
        if found is not None and len(found.fractional):
            self.make_whole(gap=gap, nodes=100_000)
            found = self.solve()
            self.make_fractional()
        return found


def whole_near(
    program: Program, matrix: csc_matrix, corner: Solution, lower: Floats, upper: Floats
) -> Ints | None:
    """Return columns in whole numbers near a corner that has fractions; None where none were found.

    What is near a fraction is searched again in whole numbers, and cheap is cheap enough; the rest stays.

    Args:
        program: the program, with equations alone.
        matrix: its matrix.
        corner: its solution.
        lower, upper: its bounds.
    """
    if not len(corner.fractional):
        return corner.whole()
    rows = matrix.tocsr()
    touched = np.unique(matrix[:, corner.fractional].indices)
    near = np.union1d(corner.fractional, rows[touched[np.diff(rows.indptr)[touched] <= _HUB]].indices)
    still = np.setdiff1d(np.arange(matrix.shape[1]), near)
    fixed = np.rint(corner.columns[still])
    program.bound(still, fixed, fixed)
    found = program.solve_whole(gap=_GAP)
    program.bound(still, lower[still], upper[still])
    return None if found is None else found.whole()


@cache
def _greet() -> None:
    """Let HiGHS say its name where nobody listens.

    The first model of a process prints two lines to standard output before any option can stop it, which would
    spoil a command's one JSON document. They are printed by C, so the file descriptor is turned aside and C's
    buffer emptied before it is turned back.
    """
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        highspy.Highs()  # type: ignore[no-untyped-call]
        ctypes.CDLL(None).fflush(None)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _unbounded(bounds: Floats) -> Floats:
    return np.where(bounds >= UNBOUNDED, highspy.kHighsInf, bounds).astype(np.float64)


def _model(
    matrix: csc_matrix, low: Floats, high: Floats, lower: Floats, upper: Floats, cost: Floats
) -> highspy.HighsLp:
    model = highspy.HighsLp()
    model.num_row_, model.num_col_ = matrix.shape
    model.col_cost_ = cost.astype(np.float64)
    model.col_lower_, model.col_upper_ = lower.astype(np.float64), _unbounded(upper)
    model.row_lower_, model.row_upper_ = low.astype(np.float64), _unbounded(high)
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.num_row_, model.a_matrix_.num_col_ = matrix.shape
    model.a_matrix_.start_ = matrix.indptr.astype(np.int32)
    model.a_matrix_.index_ = matrix.indices.astype(np.int32)
    model.a_matrix_.value_ = matrix.data.astype(np.float64)
    return model


def chosen_rows(matrix: csc_matrix, columns: Ints) -> tuple[csc_matrix, Ints]:
    """Return the matrix seen from some columns only, rows without any of them left out, and the rows' numbers."""
    seen = matrix[:, columns]
    rows = np.unique(seen.indices)
    compact = csc_matrix((seen.data, np.searchsorted(rows, seen.indices), seen.indptr), shape=(len(rows), len(columns)))
    return compact, rows.astype(np.int64)


