"""Re-check a protected table of amounts from what was released, by arithmetic alone.

Standard library and ``verifier`` beside it, whose sums and completions are the same; nothing that solves. A release is
``table.csv`` with blanks for hidden amounts, in whole units, and ``certificate.json``. What is shown to everybody:
the printed amounts add up over every axis with the *completions*, and every hidden amount could be another.

With the auditor's certificate, which holds every cell's number of contributors and its largest contributions, it is
shown besides that no sensitive amount is printed, and that every sensitive one could be as much more and as much less
as the rules ask: for an outsider, and for each contributor who is alone in hidden cells and knows those.
"""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

from wellbridge.privacy.tables.verifier import (
    NAME,
    UNREADABLE,
    Axes,
    Blanks,
    Json,
    Violation,
    check_signature,
    read_json,
    table_cells,
)

FORMAT, SEALED = "wellbridge-amounts/2", "wellbridge-amounts-sealed/2"
LEAST = 3  # contributors, whatever a certificate says
KEYS = {"format", "file", "sha256", "count", "unit", "rules", "axes", "digits", "completions"}
RULES = {"least", "largest", "share", "margin", "known", "zeros", "spread"}


def verify(folder: str | Path, sealed: Json | None = None, keys: str | None = None) -> list[str]:
    """Return the violations found in a release folder as sentences; none for a sound release."""
    try:
        content = (Path(folder) / NAME).read_bytes()
        check_signature(Path(folder) / NAME, content, keys)
        certificate = read_json(content)
        if {path.name for path in Path(folder).iterdir()} - {certificate["file"], NAME, f"{NAME}.sig"}:
            raise Violation("the folder holds other files than a table, its certificate and a signature")
        if certificate.keys() != KEYS:
            raise Violation(f"{NAME}: says more or less than its format has")
        counts = {name: value for name, value in certificate.items() if name not in ("unit", "rules")}
        return _violations(certificate, *table_cells(Path(folder), counts, FORMAT), sealed)
    except (Violation, *UNREADABLE) as error:
        return [str(error) if isinstance(error, Violation) else f"the release cannot be read ({type(error).__name__})"]


def holds_amounts(folder: Path) -> bool:
    """Whether a release says that it is one of amounts."""
    try:
        found = read_json((folder / NAME).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("format") == FORMAT


def _violations(certificate: Json, found: list[int | None], axes: Axes, sealed: Json | None) -> list[str]:
    rules = certificate["rules"]
    if set(rules) != RULES or type(rules["least"]) is not int or rules["least"] < LEAST:
        return ["certificate.json: its rules are not known"]
    pinned = Blanks(found, [axes], certificate).is_open(0).count(False)
    problems = [f"{pinned} hidden amount(s) are not shown to be open"] if pinned else []
    if sealed is not None and not problems:
        problems = _sealed(certificate, found, axes, sealed)
    return problems


def _sealed(certificate: Json, shown: list[int | None], axes: Axes, sealed: Json) -> list[str]:
    digest = hashlib.sha256(json.dumps(certificate, sort_keys=True).encode()).hexdigest()
    if sealed["format"] != SEALED or sealed["certificate"] != digest:
        return ["the auditor's certificate is of another release"]
    blanks, facts = Blanks(shown, [axes], sealed), sealed["facts"]
    if len(facts) != len(shown):
        return ["the auditor's certificate has not the facts of every cell"]
    totals: list[Any] = list(shown)
    hidden = [place for place, n in enumerate(shown) if n is None]
    for place, truth in zip(hidden, _truths(blanks), strict=True):
        totals[place] = truth
    asked = [_asked(certificate["rules"], total, *fact) for total, fact in zip(totals, facts, strict=True)]
    if open_ones := sum(1 for n, need in zip(shown, asked, strict=True) if n is not None and need):
        return [f"{open_ones} sensitive amount(s) are printed"]
    single = {unit for unit, place in enumerate(hidden) if facts[place][0] == 1}
    if sorted(unit for group in sealed["alone"] for unit in group) != sorted(single):
        return ["the auditor's certificate does not say who is alone in a hidden cell"]
    needs = [(asked[place], min(asked[place], totals[place])) for place in hidden]
    bare = set()
    for known in ([], *sealed["alone"]):
        bare |= _bare(needs, blanks, set(known))
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


def _truths(blanks: Blanks) -> list[int]:
    return [number >> blanks.ones.bit_length() - 1 for number in blanks.numbers]


def _bare(needs: list[tuple[int, int]], blanks: Blanks, known: set[int]) -> set[int]:
    """Return the hidden cells that no completion protects against whoever knows some of them."""
    truths = _truths(blanks)
    higher = blanks.reach([truth + rise for truth, (rise, _) in zip(truths, needs, strict=True)])
    not_lower = blanks.reach([truth - fall + 1 for truth, (_, fall) in zip(truths, needs, strict=True)])
    # Of use against her are the completions that leave what she knows as it is, the truth among them.
    above, at_least, used = blanks.reach([truth + 1 for truth in truths]), blanks.reach(truths), blanks.tops
    for unit in known:
        used &= at_least[unit] & ~above[unit]
    return {unit for unit in range(len(needs)) if unit not in known
            and (not higher[unit] & used or not_lower[unit] & used == used)}
