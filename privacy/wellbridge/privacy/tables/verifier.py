"""Re-check a protected table from what was released, by arithmetic alone.

Standard library only and nothing of the toolkit, so that an auditor can read this one file and run it alone:
``python verifier.py FOLDER [SEALED.json]``. A release is ``table.csv``, every combination of its axes with blanks for
hidden counts, and ``certificate.json`` with a *base* (a count for every hidden cell, so that all sums hold) and
*moves* (changes of hidden cells that keep every sum). What is shown:

- no count from 1 to the minimum cell less one is printed;
- the printed counts and the base add up over every axis;
- every hidden cell has at least two possible counts and, where the need is strong, one that could be printed.

With the auditor's certificate, whose base is the truth, it is shown of every small count that it could be one more
and one less, or, where the need is strong, as large as a printed count and three less (or nothing).
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

FORMAT, SEALED = "wellbridge-table/1", "wellbridge-table-sealed/1"
ALL = "all"
Json = dict[str, Any]
Shape = list[tuple[int, int, list[int]]]  # for each axis: cells per step, nodes, each node's parent


def verify(folder: str | Path, sealed: Json | None = None) -> list[str]:
    """Return the violations found in a release folder as sentences; none for a sound release."""
    try:
        certificate = json.loads((Path(folder) / "certificate.json").read_text(encoding="utf-8"))
        if certificate["format"] != FORMAT or Path(certificate["file"]).name != certificate["file"]:
            return ["certificate.json: unknown format"]
        content = (Path(folder) / certificate["file"]).read_bytes()
        if hashlib.sha256(content).hexdigest() != certificate["sha256"]:
            return ["the table is not the one that was certified"]
        return _violations(certificate, content.decode("utf-8"), sealed)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError,
            csv.Error) as error:
        return [f"the release cannot be read ({type(error).__name__})"]


def _violations(certificate: Json, text: str, sealed: Json | None) -> list[str]:
    least, is_strong = certificate["min_cell"], certificate["need"] == "strong"
    found = [problem for axis in certificate["axes"] for problem in axis_problems(axis)]
    if found or certificate["need"] not in ("weak", "strong") or type(least) is not int or least < 3:
        return found or ["certificate.json: its limits are not known"]
    if (counts := printed(certificate, text)) is None:
        return ["the table does not hold every combination of its axes in their order"]
    if small := sum(1 for n in counts if n is not None and not (n == 0 or n >= least)):
        return [f"{small} cell(s) below {least} are printed"]
    shape = shape_of(certificate["axes"])
    hidden = [place for place, n in enumerate(counts) if n is None]
    lows, highs, found = proved_ranges(counts, hidden, shape, certificate, certificate)
    if not found:
        pinned = sum(1 for low, high in zip(lows, highs, strict=True) if low == high)
        never = sum(1 for high in highs if high < least) if is_strong else 0
        found += [f"{pinned} hidden cell(s) are not shown to be open"] if pinned else []
        found += [f"{never} hidden cell(s) are not shown to be possibly {least} or more"] if never else []
    if sealed is not None and not found:
        found = _sealed(certificate, counts, hidden, shape, sealed)
    return found


def _sealed(certificate: Json, counts: list[Any], hidden: list[int], shape: Shape, sealed: Json) -> list[str]:
    digest = hashlib.sha256(json.dumps(certificate, sort_keys=True).encode()).hexdigest()
    if sealed["format"] != SEALED or sealed["certificate"] != digest:
        return ["the auditor's certificate is of another release"]
    lows, highs, found = proved_ranges(counts, hidden, shape, sealed, certificate)
    if found:
        return found
    least, is_strong = certificate["min_cell"], certificate["need"] == "strong"
    bare = 0
    for truth, low, high in zip(sealed["base"], lows, highs, strict=True):
        if 0 < truth < least:
            up, down = (least - truth, 3) if is_strong else (1, 1)
            bare += high - truth < up or truth - low < min(down, truth - certificate.get("blank_least", 0))
    return [f"{bare} small cell(s) are not proved protected"] if bare else []


def axis_problems(axis: Json) -> list[str]:
    """A node's parent is the node with its finest open column closed; the last node stands for all."""
    labels, parents = list(csv.reader(axis["labels"])), axis["parent"]
    place = {tuple(label): number for number, label in enumerate(labels)}
    if len(place) != len(labels) or len(parents) != len(labels) or labels[-1] != [ALL] * len(axis["columns"]):
        return ["an axis repeats a node or has no total"]
    for label, parent in zip(labels, parents, strict=True):
        opened = next((number for number, name in enumerate(label) if name != ALL), None)
        above = None if opened is None else (*label[:opened], ALL, *label[opened + 1:])
        if (parent != -1) if above is None else (place.get(above) != parent):
            return ["an axis names a wrong parent"]
    return []


def printed(certificate: Json, text: str) -> list[int | None] | None:
    """Return the counts in the order of the axes, None where blank; None when the rows are not as they must be."""
    header = ",".join([name for axis in certificate["axes"] for name in axis["columns"]] + [certificate["count"]])
    prefixes = certificate["axes"][0]["labels"]
    for axis in certificate["axes"][1:]:
        prefixes = [f"{before},{label}" for before in prefixes for label in axis["labels"]]
    lines = text.split("\n")
    if lines[0] != header or lines[-1] != "" or len(lines) != len(prefixes) + 2:
        return None
    parts = [line.rpartition(",") for line in lines[1:-1]]
    if [part[0] for part in parts] != prefixes:
        return None
    return [int(part[2]) if part[2] else None for part in parts]


def shape_of(axes: list[Json]) -> Shape:
    """Return the steps, sizes and parents of the axes, the last axis first."""
    out, step = [], 1
    for axis in reversed(axes):
        out.append((step, len(axis["labels"]), axis["parent"]))
        step *= len(axis["labels"])
    return out


def _adds_up(values: list[int], shape: Shape) -> bool:
    """Whether every node is the sum of its children, over every axis."""
    for step, nodes, parents in shape:
        children: dict[int, list[int]] = {}
        for node, parent in enumerate(parents):
            children.setdefault(parent, []).append(node)
        families = [(up * step, [node * step for node in members]) for up, members in children.items() if up != -1]
        size, block = len(values), nodes * step  # few long runs are added up sooner than many short ones
        runs = ([(n, n + step, 1) for n in range(0, size, block)] if step * block > size
                else [(n, size - block + step, block) for n in range(step)])
        for start, stop, by in runs:
            for total, members in families:
                parts = [values[start + at:stop + at:by] for at in members]
                if [*map(sum, zip(*parts, strict=True))] != values[start + total:stop + total:by]:
                    return False
    return True


def proved_ranges(
    counts: list[Any], hidden: list[int], shape: Shape, proof: Json, public: Json
) -> tuple[list[int], list[int], list[str]]:
    """Return the least and greatest count that base and moves show of each hidden cell, and what is wrong."""
    base, lowest, name = proof["base"], public.get("blank_least", 0), proof["format"]
    if len(base) != len(hidden) or not all(type(n) is int and n >= lowest for n in base):
        return [], [], [f"{name}: the base is no count for each hidden cell"]
    filled = list(counts)
    for place, n in zip(hidden, base, strict=True):
        filled[place] = n
    if not _adds_up(filled, shape):
        return [], [], [f"{name}: the cells do not add up"]
    lows, highs, sums = list(base), list(base), _sums_of(hidden, shape)
    for units, changes in proof["moves"]:
        if not _is_move(units, changes, hidden, sums):
            return [], [], [f"{name}: a move does not keep the sums"]
        for unit, change in zip(units, changes, strict=True):
            value = base[unit] + change
            if value < lowest:
                return [], [], [f"{name}: a move leaves a count below {lowest}"]
            if value < lows[unit]:
                lows[unit] = value
            elif value > highs[unit]:
                highs[unit] = value
    return lows, highs, []


def _sums_of(hidden: list[int], shape: Shape) -> list[tuple[list[int], set[int]]]:
    """For each axis: the place of the sum that each hidden cell is part of (−1: none), and the places that are sums."""
    out = []
    for step, nodes, parents in shape:
        node_of = [(place // step) % nodes for place in hidden]
        above = [place + (parents[node] - node) * step if parents[node] != -1 else -1
                 for place, node in zip(hidden, node_of, strict=True)]
        totals = set(parents)
        out.append((above, {place for place, node in zip(hidden, node_of, strict=True) if node in totals}))
    return out


def _is_move(units: list[int], changes: list[int], hidden: list[int], sums: list[tuple[list[int], set[int]]]) -> bool:
    """Whether over every axis each sum changes by what its parts change."""
    if not all(type(change) is int for change in changes) or len(set(units)) != len(units) or min(units) < 0:
        return False
    for above, totals in sums:
        gained: dict[int, int] = {}
        for unit, change in zip(units, changes, strict=True):
            total, place = above[unit], hidden[unit]
            if total != -1:
                gained[total] = gained.get(total, 0) + change
            if place in totals:
                gained[place] = gained.get(place, 0) - change
        if any(gained.values()):
            return False
    return True


if __name__ == "__main__":
    truth = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")) if len(sys.argv) > 2 else None
    problems = verify(sys.argv[1], truth)
    print("\n".join(problems) or "sound")
    sys.exit(18 if problems else 0)
