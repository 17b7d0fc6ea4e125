"""Faults of our own: told by type and place, never by their text, which may quote what a cell held."""

from __future__ import annotations

from typing import Final

from wellbridge.schemas.errors import SafeError

_FRAMES: Final = 3  # innermost lines of ours: enough to find a fault, few enough to read


def own_fault(error: BaseException, *where: str) -> SafeError:
    """Return the error that stands for an unforeseen one; raise it after the ``except`` block.

    Args:
        error: what nobody foresaw.
        where: feed, delivery or step, as far as they are known.
    """
    trace, lines = error.__traceback__, []
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module.startswith("wellbridge"):
            lines.append(f"{module.removeprefix('wellbridge.')}:{trace.tb_lineno}")
        trace = trace.tb_next
    places = " < ".join(lines[: -_FRAMES - 1 : -1])
    return SafeError(
        "WB-E-001", "Wellbridge met a fault of its own.", " · ".join((*where, type(error).__name__, places))
    )
