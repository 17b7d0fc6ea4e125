"""Linear and integer programs over cells, solved by HiGHS; one model is kept warm over many questions."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import Final

import highspy
import numpy as np
import numpy.typing as npt

from wellbridge.privacy.tables.sums import UNBOUNDED, Floats, Ints, Links
from wellbridge.schemas.errors import PrivacyError

_WHOLE: Final = 1e-6  # HiGHS's own tolerance of a feasible solution


class Program:
    """Minimise a cost over columns within bounds, subject to ``links · columns = rhs``."""

    def __init__(self, links: Links, rhs: Floats, lower: Floats, upper: Floats, cost: Floats) -> None:
        _greet()
        self._model = highspy.Highs()  # type: ignore[no-untyped-call]
        self._model.setOptionValue("output_flag", False)
        self._model.setOptionValue("threads", 1)
        # Without presolve the model stays warm, and "unbounded" is told apart from "infeasible".
        self._model.setOptionValue("presolve", "off")
        self._model.setOptionValue("mip_rel_gap", 0.0)
        self._size = len(lower)
        self._model.passModel(_model(links, rhs, lower, upper, cost))

    def bound(self, column: int, lower: float, upper: float) -> None:
        """Set the bounds of one column."""
        self._model.changeColBounds(column, lower, _upper(upper))

    def price(self, column: int, cost: float) -> None:
        """Set the cost of one column."""
        self._model.changeColCost(column, cost)

    def solve(self) -> Floats | None:
        """Return the cheapest columns, None where no columns satisfy all.

        Raises:
            PrivacyError: WB-E-042 when the solver gives up: a table that cannot be examined is not released.
        """
        self._model.run()
        status = self._model.getModelStatus()
        if status == highspy.HighsModelStatus.kOptimal:
            return np.asarray(self._model.getSolution().col_value, dtype=np.float64)
        if status == highspy.HighsModelStatus.kInfeasible:
            return None
        raise PrivacyError("WB-E-042", "The table is too large or too odd to be examined.", f"solver: {status.name}")

    def solve_whole(self) -> Ints | None:
        """Return the cheapest whole-numbered columns, None where there are none."""
        found = self.solve()
        if found is None:
            return None
        if np.abs(found - np.rint(found)).max(initial=0.0) > _WHOLE:
            found = self._as_integers()
        return None if found is None else np.rint(found).astype(np.int64)

    def _as_integers(self) -> Floats | None:
        columns = np.arange(self._size, dtype=np.int32)
        self._kind(columns, highspy.HighsVarType.kInteger)
        found = self.solve()
        self._kind(columns, highspy.HighsVarType.kContinuous)
        return found

    def _kind(self, columns: npt.NDArray[np.int32], kind: highspy.HighsVarType) -> None:
        self._model.changeColsIntegrality(self._size, columns, np.full(self._size, int(kind), dtype=np.uint8))


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


def _upper(bound: float) -> float:
    return highspy.kHighsInf if bound >= UNBOUNDED else bound


def _model(links: Links, rhs: Floats, lower: Floats, upper: Floats, cost: Floats) -> highspy.HighsLp:
    order = np.lexsort((links.row, links.cell))
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(lower), links.rows
    model.col_cost_ = cost
    model.col_lower_ = lower
    model.col_upper_ = np.where(upper >= UNBOUNDED, highspy.kHighsInf, upper)
    model.row_lower_ = model.row_upper_ = rhs
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.num_col_, model.a_matrix_.num_row_ = len(lower), links.rows
    model.a_matrix_.start_ = np.searchsorted(links.cell[order], np.arange(len(lower) + 1)).astype(np.int32)
    model.a_matrix_.index_ = links.row[order].astype(np.int32)
    model.a_matrix_.value_ = links.sign[order].astype(np.float64)
    return model
