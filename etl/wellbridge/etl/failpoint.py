"""Named points at which a test can kill a run, to show that running again ends in the same warehouse.

``WELLBRIDGE_FAILPOINT=NAME:N`` kills the process (SIGKILL) when ``NAME`` is reached for the N-th time;
``WELLBRIDGE_FAILPOINT=record:FILE`` writes every point reached to a file, so that new points are covered by
themselves. Without the variable a point does nothing.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Final

_WANTED: Final = os.environ.get("WELLBRIDGE_FAILPOINT", "")
_hits: Counter[str] = Counter()


def reach(name: str) -> None:
    """Mark a point of the run."""
    if not _WANTED:
        return
    _hits[name] += 1
    wanted, _, detail = _WANTED.partition(":")
    if wanted == "record":
        with Path(detail).open("a", encoding="utf-8") as file:
            file.write(f"{name}:{_hits[name]}\n")
    elif wanted == name and str(_hits[name]) == detail:
        os.kill(os.getpid(), signal.SIGKILL)
