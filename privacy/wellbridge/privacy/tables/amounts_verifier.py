"""Re-check a protected table of amounts from what was released, by arithmetic alone.

Standard library and ``verifier`` beside it, whose sums and moves are the same; nothing that solves. A release is
``table.csv`` with blanks for hidden amounts, in whole units, and ``certificate.json``. What is shown to everybody:
the printed amounts and the *base* add up over every axis, and every hidden amount could be another.

With the auditor's certificate, which holds every cell's number of contributors and its largest contributions, it is
shown besides that no sensitive amount is printed, and that every sensitive one could be as much more and as much less
as the rules ask: for an outsider, and for each contributor who is alone in hidden cells and knows those.
"""

from __future__ import annotations

import hashlib
import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

from wellbridge.privacy.tables.verifier import (
    NAME,
    UNREADABLE,
    Blanks,
    Json,
    Violation,
    check_signature,
    ranges,
    table_cells,
)

FORMAT, SEALED = "wellbridge-amounts/1", "wellbridge-amounts-sealed/1"
LEAST = 3  # contributors, whatever a certificate says
RULES = {"least", "largest", "share", "margin", "known", "zeros", "spread"}


def verify(folder: str | Path, sealed: Json | None = None, keys: str | None = None) -> list[str]:
    """Return the violations found in a release folder as sentences; none for a sound release."""
    try:
        content = (Path(folder) / NAME).read_bytes()
        check_signature(Path(folder) / NAME, content, keys)
        certificate = json.loads(content)
        found, blanks = table_cells(Path(folder), certificate, FORMAT)
        return _violations(certificate, found, blanks, sealed)
    except (Violation, *UNREADABLE) as error:
        return [str(error) if isinstance(error, Violation) else f"the release cannot be read ({type(error).__name__})"]


def _violations(certificate: Json, found: list[int | None], blanks: Blanks, sealed: Json | None) -> list[str]:
    rules = certificate["rules"]
    if set(rules) != RULES or type(rules["least"]) is not int or rules["least"] < LEAST or blanks[2] != 0:
        return ["certificate.json: its rules are not known"]
    pinned = sum(1 for low, high in ranges(certificate, blanks) if low == high)
    problems = [f"{pinned} hidden amount(s) are not shown to be open"] if pinned else []
    if sealed is not None and not problems:
        problems = _sealed(certificate, found, blanks, sealed)
    return problems


def _sealed(certificate: Json, shown: list[int | None], blanks: Blanks, sealed: Json) -> list[str]:
    digest = hashlib.sha256(json.dumps(certificate, sort_keys=True).encode()).hexdigest()
    if sealed["format"] != SEALED or sealed["certificate"] != digest:
        return ["the auditor's certificate is of another release"]
    base, facts = sealed["base"], sealed["facts"]
    ranges(sealed, blanks)
    if len(facts) != len(shown):
        return ["the auditor's certificate has not the facts of every cell"]
    totals: list[Any] = list(shown)
    hidden = [place for place, n in enumerate(shown) if n is None]
    for place, total in zip(hidden, base, strict=True):
        totals[place] = total
    asked = [_asked(certificate["rules"], total, *fact) for total, fact in zip(totals, facts, strict=True)]
    if open_ones := sum(1 for n, need in zip(shown, asked, strict=True) if n is not None and need):
        return [f"{open_ones} sensitive amount(s) are printed"]
    single = {unit for unit, place in enumerate(hidden) if facts[place][0] == 1}
    if sorted(unit for group in sealed["alone"] for unit in group) != sorted(single):
        return ["the auditor's certificate does not say who is alone in a hidden cell"]
    needs = [(asked[place], min(asked[place], totals[place])) for place in hidden]
    bare = set()
    for known in ([], *sealed["alone"]):
        bare |= _bare(needs, sealed["moves"], set(known))
    return [f"{len(bare)} sensitive amount(s) are not proved protected"] if bare else []


def _asked(rules: Json, total: int, contributors: int, *largest: int) -> int:
    """Return how much more a cell must possibly be; 0 where it is not sensitive."""
    if not contributors:
        return 0
    share, spread = Fraction(rules["share"]), Fraction(rules["spread"])
    ratio = Fraction(rules["margin"]) / Fraction(rules["known"])
    top, rest = sum(largest[:rules["largest"]]), total - sum(largest[:2])
    asked = [0]
    if contributors < rules["least"]:
        asked.append(max(1, _up(spread * total)))
    if top > share * total:
        asked.append(max(1, _up(top / share) - total))
    if rest < ratio * largest[0]:
        asked.append(max(1, _up(ratio * largest[0]) - rest))
    if rules["zeros"] and total == 0:
        asked.append(1)
    return max(asked)


def _up(number: Fraction) -> int:
    return -(-number.numerator // number.denominator)


def _bare(needs: list[tuple[int, int]], moves: list[list[list[int]]], known: set[int]) -> set[int]:
    """Return the hidden cells that no move protects against whoever knows some of them."""
    up, down = [0] * len(needs), [0] * len(needs)
    for units, changes in moves:
        if known.isdisjoint(units):
            for unit, change in zip(units, changes, strict=True):
                up[unit], down[unit] = max(up[unit], change), max(down[unit], -change)
    return {unit for unit, (rise, fall) in enumerate(needs)
            if unit not in known and (up[unit] < rise or down[unit] < fall)}


if __name__ == "__main__":
    truth = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")) if len(sys.argv) > 2 else None
    found_problems = verify(sys.argv[1], truth)
    print("\n".join(found_problems) or "sound")
    sys.exit(18 if found_problems else 0)
