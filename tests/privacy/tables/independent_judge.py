"""Whether a certificate is true, judged by whole completions and a dense matrix; shares no line with the verifier."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

ALL = "all"


def read_completions(certificate: dict[str, Any]) -> list[list[int]]:
    """The completions of a certificate, each a list of the blanks' counts."""
    digits, lines = certificate["digits"], certificate["completions"]
    many = -(-len(lines[0]) // digits) if lines else 1
    hexes = [f"{int(line, 16):0{many * digits}x}" for line in lines]
    assert all(len(line) == many * digits and "-" not in line for line in hexes)
    return [[int(line[at * digits:(at + 1) * digits], 16) for line in hexes] for at in range(many)]


def written(completions: list[list[int]], digits: int) -> list[str]:
    """Completions as a certificate holds them; what does not fit in its digits is cut."""
    return ["".join(f"{n % 16**digits:0{digits}x}" for n in counts) for counts in zip(*completions, strict=True)]


class Judge:
    """Judges certificates that speak of one table; what the table's axes are is known from elsewhere.

    Args:
        axes: the true axes, as a certificate writes them.
        count: the name of the column of counts.
    """

    def __init__(self, axes: list[dict[str, Any]], count: str) -> None:
        self.axes, self.count = axes, count
        nodes = [list(csv.reader(axis["labels"])) for axis in axes]
        rows: list[list[str]] = [[]]
        for members in nodes:
            rows = [before + member for before in rows for member in members]
        self.rows = rows
        atoms = [row for row in rows if ALL not in row]
        self.inner = [place for place, row in enumerate(rows) if ALL not in row]
        self.members = np.array(
            [[all(c in (ALL, a) for c, a in zip(row, atom, strict=True)) for atom in atoms] for row in rows],
            dtype=object,
        )

    def holds(self, folder: Path, sealed: dict[str, Any] | None = None) -> bool:
        """Whether the release in a folder is true, and the auditor's certificate of it where one is given."""
        try:
            written = (folder / "certificate.json").read_bytes()
            public = json.loads(written)
            content = (folder / "table.csv").read_bytes()
            if public["sha256"] != hashlib.sha256(content).hexdigest() or not self._is_known(public):
                return False
            header, *lines = list(csv.reader(io.StringIO(content.decode())))
            if header != [name for axis in self.axes for name in axis["columns"]] + [self.count]:
                return False
            if [line[:-1] for line in lines] != self.rows:
                return False
            counts = [int(line[-1]) if line[-1] else None for line in lines]
            if any(n is not None and (n < 0 or 0 < n < public["min_cell"]) for n in counts):
                return False
            completions = self._completions(counts, public)
            hidden = np.array([n is None for n in counts], dtype=bool)
            least, greatest = completions.min(axis=0)[hidden], completions.max(axis=0)[hidden]
            is_strong = public["need"] == "strong"
            is_open = bool((least < greatest).all() and (not is_strong or (greatest >= public["min_cell"]).all()))
            digest = hashlib.sha256(written).hexdigest()
            return is_open and (sealed is None or self._is_proved(public, digest, sealed, counts, hidden))
        except (LookupError, TypeError, ValueError, AssertionError):
            return False

    def _is_known(self, public: dict[str, Any]) -> bool:
        return (
            public["format"] == "wellbridge-table/2" and public["file"] == "table.csv" and public["axes"] == self.axes
            and public["count"] == self.count and public["need"] in ("weak", "strong") and public["min_cell"] >= 3
        )

    def _completions(self, counts: list[int | None], certificate: dict[str, Any]) -> np.ndarray:
        hidden = [place for place, n in enumerate(counts) if n is None]
        every = []
        for completion in read_completions(certificate):
            assert len(completion) == len(hidden)
            cells = [0 if n is None else n for n in counts]
            for place, n in zip(hidden, completion, strict=True):
                cells[place] = n
            every.append(cells)
        found = np.array(every, dtype=object)
        self._has_room(found[:, hidden], certificate["digits"])
        assert (found >= 0).all()
        assert (found[:, self.inner] @ self.members.T == found).all()
        return found

    def _has_room(self, found: np.ndarray, digits: int) -> None:
        """Whatever the digits of a count can say, in each part of the longest sum and in the sum, fits in a place."""
        longest = max(Counter(n for n in axis["parent"] if n >= 0).most_common(1)[0][1] for axis in self.axes
                      if len(axis["parent"]) > 1)
        bits = int(found.max(initial=0)).bit_length()
        assert 1 <= digits <= 16
        assert 2**bits * max(2, longest + 1) <= 16**digits

    def _is_proved(
        self, public: dict[str, Any], digest: str, sealed: dict[str, Any], counts: list[int | None], hidden: np.ndarray
    ) -> bool:
        if sealed["format"] != "wellbridge-table-sealed/2" or sealed["certificate"] != digest:
            return False
        own = self._completions(counts, sealed)
        truth, least = own[0][hidden], public["min_cell"]
        completions = np.concatenate([own, self._completions(counts, public)])
        up = np.array([(least - n if public["need"] == "strong" else 1) if 0 < n < least else 0 for n in truth])
        down = np.array([(min(n, 3) if public["need"] == "strong" else 1) if 0 < n < least else 0 for n in truth])
        risen, fallen = completions.max(axis=0)[hidden] - truth, truth - completions.min(axis=0)[hidden]
        return bool((risen >= up).all() and (fallen >= down).all())
