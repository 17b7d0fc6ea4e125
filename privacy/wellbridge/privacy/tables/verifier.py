"""Re-check a protected table, and who signed it, from what was released: by arithmetic alone.

Standard library and nothing of the toolkit: ``python verifier.py FOLDER [--key KEYS.pub] [--sealed SEALED.json]``. A
release is ``table.csv``, every cell of a cross, hidden counts blank; ``certificate.json``, a *base* (counts for the
blanks with which all sums hold) and *moves* (changes of blanks that keep every sum); and its signature (ssh-keygen's).
Shown is: no small count is printed, sums hold, each blank has two possible counts and, if the need is strong, one that
could be printed; by an auditor's, with the true base: each small count could be more and less by what its need asks.
"""

import base64
import csv
import gc
import hashlib
import json
import secrets
import sys
from operator import mul
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Point = tuple[int, int]
Blanks = tuple[int, list[int], int]  # of a table: the weighed sum of what is printed, each blank's weight, least count
FORMAT, SEALED, NAME, ALL, MOST = "wellbridge-table/1", "wellbridge-table-sealed/1", "certificate.json", "all", 2**40
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, csv.Error)
PRIME, P, ORDER, KIND = 2**89 - 1, 2**255 - 19, 2**252 + 27742317777372353535851937790883648493, b"ssh-ed25519"
D, ROOT, BASE_Y = -121665 * pow(121666, -1, P) % P, pow(2, (P - 1) // 4, P), 4 * pow(5, -1, P) % P


class Violation(Exception):
    """What a release promises and does not keep."""


def verify(folder: str | Path, sealed: Json | None = None, keys: str | None = None) -> list[str]:
    """Return what is wrong with a protected table's folder, as sentences; ``keys`` is the text of a file of keys."""
    try:
        content = (Path(folder) / NAME).read_bytes()
        check_signature(Path(folder) / NAME, content, keys)
        certificate = json.loads(content)
        counts, blanks = table_cells(Path(folder), certificate, FORMAT)
        check_cells(counts, blanks, certificate)
        if sealed is not None:
            check_sealed(sealed, certificate, hashlib.sha256(content).hexdigest(), blanks)
    except (Violation, *UNREADABLE) as error:
        return [str(error) if isinstance(error, Violation) else f"the release cannot be read ({type(error).__name__})"]
    return []


def check_signature(path: Path, content: bytes, keys: str | None) -> str | None:
    """Return the key of the SSH signature beside a file, None for none; refuse a wrong one, and keys not among ours."""
    name, beside = None, path.with_name(f"{path.name}.sig")
    if beside.exists():
        text = beside.read_text(encoding="ascii").replace("\n", "").removeprefix("-----BEGIN SSH SIGNATURE-----")
        blob = base64.b64decode(text := text.removesuffix("-----END SSH SIGNATURE-----"))
        key, signature, about = blob[33:65], blob[-64:], _strings(f"{path.name}@wellbridge".encode(), b"", b"sha512")
        whole = b"SSHSIG\0\0\0\1" + _strings(_strings(KIND, key)) + about + _strings(_strings(KIND, signature))
        signed = b"SSHSIG" + about + _strings(hashlib.sha512(content).digest())
        if base64.b64encode(whole).decode() != text or not is_signed(signed, signature, key):
            raise Violation(f"{beside.name}: is no signature of {path.name}")
        name = base64.b64encode(_strings(KIND, key)).decode()
    if keys is not None and name not in keys.split():
        raise Violation(f"{path.name}: is not signed" + (" with a key that was given" if name else ""))
    return name


def _strings(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def is_signed(message: bytes, signature: bytes, key: bytes) -> bool:
    """Whether R = S·B − h·A (RFC 8032, 5.1.7). Keys of small order and numbers beyond their range are refused."""
    def point(number: int) -> Point:
        y, sign = number % 2**255, number >> 255
        square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        root = pow(square, (P + 3) // 8, P)
        x = root if root * root % P == square else root * ROOT % P
        if y >= P or x * x % P != square or (x == 0 and sign):
            raise Violation("a key is no point of the curve")
        return x if x % 2 == sign else P - x, y

    def plus(one: Point, two: Point) -> Point:
        (x, y), (u, v) = one, two
        product = D * x * y * u * v % P
        inverse = pow(1 - product * product, -1, P)
        return (x * v + u * y) * (1 - product) * inverse % P, (y * v + x * u) * (1 + product) * inverse % P

    def times(a: int, one: Point, b: int, two: Point) -> Point:
        out, added = (0, 1), {(1, 0): one, (0, 1): two, (1, 1): plus(one, two)}
        for bit in reversed(range(max(a, b).bit_length())):
            out, which = plus(out, out), (a >> bit & 1, b >> bit & 1)
            out = plus(out, added[which]) if which in added else out
        return out

    s, public = int.from_bytes(signature[32:], "little"), point(int.from_bytes(key, "little"))
    if len(signature) != 64 or len(key) != 32 or s >= ORDER or times(8, public, 0, public) == (0, 1):
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    x, y = times(s, point(BASE_Y), h, (P - public[0], public[1]))
    return (y + (x % 2 << 255)).to_bytes(32, "little") == signature[:32]


def table_cells(folder: Path, certificate: Json, known: str) -> tuple[list[int | None], Blanks]:
    """Return a certified table's counts in the order of its axes, None where blank, and what proofs about it need."""
    if certificate["format"] != known or Path(certificate["file"]).name != certificate["file"]:
        raise Violation(f"{NAME}: unknown format")
    content, axes, lines = (folder / certificate["file"]).read_bytes(), certificate["axes"], [""]
    if hashlib.sha256(content).hexdigest() != certificate["sha256"]:
        raise Violation("the table is not the one that was certified")
    for axis in axes:
        lines = [f"{before}{label}," for before in lines for label in axis["labels"]]
    header, *rows = content.decode().removesuffix("\n").split("\n")
    ends = [*map(str.removeprefix, rows, lines)]
    names = ",".join([name for axis in axes for name in axis["columns"]] + [certificate["count"]])
    is_cross = header == names and len(rows) == len(lines) and all(map(str.startswith, rows, lines))
    if not is_cross or "".join(ends).strip("0123456789") or max(map(len, ends)) > 15:
        raise Violation("the table does not hold every combination of its axes in their order")
    counts = [int(end) if end else None for end in ends]
    return counts, blanks_of(counts, [_parents(axis) for axis in axes], certificate.get("blank_least", 0))


def _parents(axis: Json) -> list[int]:
    """A node's parent is the node with its finest open column closed; the last node stands for all."""
    labels = [*map(tuple, csv.reader(axis["labels"]))]
    place = {label: number for number, label in enumerate(labels)}
    opened = [next((at for at, name in enumerate(label) if name != ALL), None) for label in labels]
    parents = [-1 if at is None else place.get((*label[:at], ALL, *label[at + 1:]), -2)
               for label, at in zip(labels, opened, strict=True)]
    if len(place) != len(axis["labels"]) or labels[-1] != (ALL,) * len(axis["columns"]) or parents != axis["parent"]:
        raise Violation("an axis repeats a node, has no total or names a wrong parent")
    return parents


def blanks_of(counts: list[int | None], axes: list[list[int]], lowest: int) -> Blanks:
    """Give each cell of a cross a weight: where all sums hold, counts times weights add up to 0 modulo a prime."""
    # Every sum, less its parts, times random numbers, all added up (Freivalds 1977): a broken one passes 1 in 2**80.
    out, factors = [0], [1]
    for parents in axes:
        chosen, drawn, totals = secrets.randbelow(PRIME), [secrets.randbelow(PRIME) for _ in parents], set(parents)
        nodes = [(chosen * ((drawn[up] if up != -1 else 0) - (mine if node in totals else 0)) % PRIME, mine)
                 for node, (up, mine) in enumerate(zip(parents, drawn, strict=True))]
        before = [(out % PRIME, factor % PRIME) for out, factor in zip(out, factors, strict=True)]
        out = [sums * mine + factor * own for sums, factor in before for own, mine in nodes]
        factors = [factor * mine for _, factor in before for _, mine in nodes] if parents is not axes[-1] else []
    printed = sum(map(mul, [n or 0 for n in counts], out))
    return printed, [weight for n, weight in zip(counts, out, strict=True) if n is None], lowest


def check_cells(counts: list[int | None], blanks: Blanks, proof: Json) -> None:
    """Refuse small counts that are printed, sums that do not hold and blanks that are not shown to be open."""
    least, need = proof["min_cell"], proof["need"]
    if type(least) is not int or least < 3 or need not in ("weak", "strong") or blanks[2] not in (0, 1):
        raise Violation("the limits are not known")
    if small := sum(1 for n in counts if n is not None and not (n == 0 or least <= n <= MOST)):
        raise Violation(f"{small} cell(s) below {least} are printed")
    reached = ranges(proof, blanks)
    if closed := sum(1 for low, high in reached if low == high or (need == "strong" and high < least)):
        raise Violation(f"{closed} hidden cell(s) are not shown to be open")


def ranges(proof: Json, blanks: Blanks) -> list[tuple[int, int]]:
    """Return the least and greatest count of each blank over the base and the moves of a proof."""
    base, (printed, weights, lowest) = proof["base"], blanks
    is_whole = len(base) == len(weights) and {*map(type, base)} <= {int}
    if not is_whole or (printed + sum(map(mul, base, weights))) % PRIME:
        raise Violation("the cells do not add up with the base in the blanks")
    lows, highs = list(base), list(base)
    for units, changes in proof["moves"]:
        is_whole = {*map(type, changes)} == {int} and len({*units}) == len(units) == len(changes) and min(units) >= 0
        if not is_whole or sum(map(mul, changes, map(weights.__getitem__, units))) % PRIME:
            raise Violation("a move does not keep the sums")
        for unit, change in zip(units, changes, strict=True):
            if (value := base[unit] + change) < lows[unit]:
                lows[unit] = value
            elif value > highs[unit]:
                highs[unit] = value
    if min(lows, default=lowest) < lowest or max(highs, default=0) > MOST:
        raise Violation(f"base or moves leave a count below {lowest}, or above any number of persons")
    return list(zip(lows, highs, strict=True))


def check_sealed(sealed: Json, certificate: Json, digest: str, blanks: Blanks) -> None:
    """Refuse an auditor's certificate of another release, or one that leaves a small count unproved."""
    if sealed["format"] != SEALED or sealed["certificate"] != digest:
        raise Violation("the auditor's certificate is of another release")
    least, bare = certificate["min_cell"], 0
    for truth, (low, high) in zip(sealed["base"], ranges(sealed, blanks), strict=True):
        if 0 < truth < least:
            up, down = (least - truth, 3) if certificate["need"] == "strong" else (1, 1)
            bare += high - truth < up or truth - low < min(down, truth - blanks[2])
    if bare:
        raise Violation(f"{bare} small cell(s) are not proved protected")


if __name__ == "__main__":
    gc.disable()  # nothing here is a cycle, and looking for them takes a tenth of the time
    folder, *rest = sys.argv[1:]
    given = {name: Path(file).read_text(encoding="utf-8") for name, file in zip(rest[::2], rest[1::2], strict=True)}
    problems = verify(folder, json.loads(given.get("--sealed", "null")), given.get("--key"))
    print("\n".join(problems) or "sound")
    sys.exit(18 if problems else 0)
