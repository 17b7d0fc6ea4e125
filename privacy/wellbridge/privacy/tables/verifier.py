"""Re-check a protected table, and who signed it, from what was released: by arithmetic alone.

Standard library alone: ``python verifier.py FOLDER [--key KEYS.pub] [--sealed SEALED.json]``. Shown is: nothing small
is printed; with the *completions*, counts for all blanks, all sums hold; a blank has two counts and, if the need is
strong, one that may be printed; and by an auditor's, whose first is true, that small counts stay hidden.
"""

import base64
import csv
import json
import sys
from functools import reduce
from hashlib import sha256, sha512
from itertools import chain, product
from math import prod
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Axes = list[list[int]]  # of a cross: each node's parent, -1 where it has none; cells come with the first axis slowest
FORMAT, SEALED, NAME, ALL, MOST = "wellbridge-table/2", "wellbridge-table-sealed/2", "certificate.json", "all", 2**40
KEYS = {"format", "file", "sha256", "count", "min_cell", "need", "axes", "cohort", "blank_least", "hides_zeros",
        "digits", "completions"}
SOUND = "sound: minimum cell {min_cell}, {need} need"
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, csv.Error)
P, ORDER, KIND = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493, b"ssh-ed25519"
D, ROOT, BASE_Y = -121665 * pow(121666, -1, P) % P, pow(2, (P - 1) // 4, P), 4 * pow(5, -1, P) % P


class Violation(Exception):
    """What a release promises and does not keep."""


def verify(folder: str | Path, sealed: Json | None = None, keys: str | None = None) -> list[str]:
    """Return what is wrong with a protected table's folder, as sentences; ``keys`` is the text of a file of keys."""
    try:
        content = (Path(folder) / NAME).read_bytes()
        check_signature(Path(folder) / NAME, content, keys)
        certificate = read_json(content)
        if {path.name for path in Path(folder).iterdir()} - {certificate["file"], NAME, f"{NAME}.sig"}:
            raise Violation("the folder holds other files than a table, its certificate and a signature")
        if sealed is not None and (sealed["format"], sealed["certificate"]) != (SEALED, sha256(content).hexdigest()):
            raise Violation("the auditor's certificate is of another release")
        check_cells(*table_cells(Path(folder), certificate, FORMAT), certificate, sealed)
    except (Violation, *UNREADABLE) as error:
        return [str(error) if isinstance(error, Violation) else f"the release cannot be read ({type(error).__name__})"]
    return []


def read_json(text: str | bytes) -> Any:
    """Read JSON; refuse NaN and the infinite, which are less than nothing, and names that stand twice in an object."""
    return json.loads(text, parse_constant=int, object_pairs_hook=lambda pairs: dict(
        zip(dict(pairs), (value for _, value in pairs), strict=True)))


def check_signature(path: Path, content: bytes, keys: str | None) -> str | None:
    """Return the key of the SSH signature beside a file, None for none; refuse a wrong one, and keys not among ours."""
    def strings(*parts: bytes) -> bytes:
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    name, beside = None, path.with_name(f"{path.name}.sig")
    if beside.exists():
        text = beside.read_text(encoding="ascii").replace("\n", "").removeprefix("-----BEGIN SSH SIGNATURE-----")
        blob = base64.b64decode(text := text.removesuffix("-----END SSH SIGNATURE-----"))
        key, signature, about = blob[33:65], blob[-64:], strings(f"{path.name}@wellbridge".encode(), b"", b"sha512")
        whole = b"SSHSIG\0\0\0\1" + strings(strings(KIND, key)) + about + strings(strings(KIND, signature))
        signed = b"SSHSIG" + about + strings(sha512(content).digest())
        if base64.b64encode(whole).decode() != text or not is_signed(signed, signature, key):
            raise Violation(f"{beside.name}: is no signature of {path.name}")
        name = base64.b64encode(strings(KIND, key)).decode()
    lines = [line.split() for line in (keys or "").split("\n")]  # what does not begin as a key, a comment, is none
    if keys is not None and name not in {line[1] for line in lines if line[:1] == ["ssh-ed25519"] and line[1:]}:
        raise Violation(f"{path.name}: is not signed" + (" with a key that was given" if name else ""))
    return name


def is_signed(message: bytes, signature: bytes, key: bytes) -> bool:
    """Whether R = S·B − h·A (RFC 8032, 5.1.7). Keys of small order and numbers beyond their range are refused."""
    def point(number: int) -> tuple[int, int]:
        y, sign = number % 2**255, number >> 255
        square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        root = pow(square, (P + 3) // 8, P)
        x = root if root * root % P == square else root * ROOT % P
        if y >= P or x * x % P != square or (x == 0 and sign):
            raise Violation("a key is no point of the curve")
        return x if x % 2 == sign else P - x, y
    def plus(x: int, y: int, u: int, v: int) -> tuple[int, int]:
        product = D * x * y * u * v % P
        inverse = pow(1 - product * product, -1, P)
        return (x * v + u * y) * (1 - product) * inverse % P, (y * v + x * u) * (1 + product) * inverse % P
    def times(number: int, x: int, y: int) -> tuple[int, int]:
        half = times(number // 2, x, y) if number else (0, 1)
        return plus(*plus(*half, *half), x, y) if number % 2 else plus(*half, *half)
    s, public = int.from_bytes(signature[32:], "little"), point(int.from_bytes(key, "little"))
    h = int.from_bytes(sha512(signature[:32] + key + message).digest(), "little") % ORDER
    x, y = plus(*times(s, *point(BASE_Y)), *times(h, P - public[0], public[1]))
    is_within = len(signature) == 64 and len(key) == 32 and s < ORDER and times(8, *public) != (0, 1)
    return is_within and (y + (x % 2 << 255)).to_bytes(32, "little") == signature[:32]


def table_cells(folder: Path, certificate: Json, known: str) -> tuple[list[int | None], Axes]:
    """Return a certified table's counts in the order of its axes, None where blank, and the axes."""
    if certificate["format"] != known or certificate.keys() - KEYS or Path(name := certificate["file"]).name != name:
        raise Violation(f"{NAME}: unknown format, or says more than that")
    content, axes = (folder / certificate["file"]).read_bytes(), certificate["axes"]
    if sha256(content).hexdigest() != certificate["sha256"]:
        raise Violation("the table is not the one that was certified")
    parts = [[f"{label}," for label in axis["labels"]] for axis in axes]
    header, *rows = content.decode().removesuffix("\n").split("\n")
    ends = [*map(str.removeprefix, rows, map("".join, product(*parts)))]
    size, names = prod(map(len, parts)), [name for axis in axes for name in axis["columns"]] + [certificate["count"]]
    taken = sum(len("".join(part)) * size // len(part) for part in parts)  # off the rows, if all begin as they should
    is_cross = header == ",".join(names) and len(rows) == size and len("".join(rows)) == taken + len("".join(ends))
    if not is_cross or "".join(different := {*ends}).strip("0123456789"):
        raise Violation("the table does not hold every combination of its axes in their order")
    number = {end: int(end) for end in different if end}
    return [*map(number.get, ends)], [_parents(axis) for axis in axes]


def _parents(axis: Json) -> list[int]:
    """A node's parent is the node with its finest open column closed; the last node stands for all."""
    place = {tuple(label): number for number, label in enumerate(csv.reader(axis["labels"]))}
    parents = [-1 if (at := next((n for n, name in enumerate(label) if name != ALL), -1)) < 0
               else place.get((*label[:at], ALL, *label[at + 1:]), -2) for label in place]
    is_tree = len(axis) == 3 and len(place) == len(axis["labels"]) and -2 not in parents and parents.count(-1) == 1
    if not is_tree or [*place][-1] != (ALL,) * len(axis["columns"]) or parents != axis["parent"]:
        raise Violation("an axis repeats a node, has no total or names a wrong parent")
    return parents


class Blanks:
    """What completions, of which all sums hold, say of blanks: one of ``numbers`` for each, its digits the counts."""

    def __init__(self, counts: list[int | None], crosses: list[Axes], proof: Json, lowest: int = 0) -> None:
        bits, texts = {digits: 4 * digits for digits in range(1, 17)}[proof["digits"]], proof["completions"]
        self.numbers, places = [int(text, 16) for text in texts], range(0, 4 * len(texts[0]) if texts else bits, bits)
        self.size, self.half, self.ones = 1 << bits, 1 << bits - 1, sum(1 << place for place in places)
        self.tops, together, following = self.ones << bits - 1, reduce(int.__or__, self.numbers, 0), iter(self.numbers)
        most = max((together >> place) % self.size for place in places)
        if (len(texts) != counts.count(None) or together >> bits * len(places) or most >= min(MOST, self.half)
                or (lowest and any(reached != self.tops for reached in self.reach([lowest] * len(texts))))):
            raise Violation(f"the completions do not fill the blanks, or not with numbers of persons from {lowest}")
        cells = [next(following) if n is None else n * self.ones for n in counts]
        for axes in crosses:
            _check_sums(cells, axes, self.size >> most.bit_length())

    def reach(self, least: list[int]) -> list[int]:
        """Return for each blank the completions, as top bits of their digits, in which it has at least so much."""
        lift = {count: (self.half - min(max(count, 0), self.half)) * self.ones for count in {*least}}
        return [n + lift[count] & self.tops for n, count in zip(self.numbers, least, strict=True)]

    def is_open(self, least: int) -> list[bool]:
        """Return whether each blank has two possible counts, and one of at least so much."""
        return [bool(reached) and n != n % self.size * self.ones
                for n, reached in zip(self.numbers, self.reach([least] * len(self.numbers)), strict=True)]


def _check_sums(cells: list[int], axes: Axes, longest: int) -> None:
    """Refuse sums of a cross that do not hold, in all completions at once: none is so long that a digit runs over."""
    for parents in axes:
        size, parts = len(cells) // len(parents), dict[int, list[list[int]]]()
        nodes = [cells[start:start + size] for start in range(0, len(cells), size)]
        for node, parent in zip(nodes, parents, strict=True):
            parts.setdefault(parent, []).append(node)
        for parent, own in parts.items():
            if parent != -1 and (len(own) >= longest or [*map(sum, zip(*own, strict=True))] != nodes[parent]):
                raise Violation("the cells do not add up with the completions in the blanks")
        # The next axis is made the slowest. Where the sums of parts hold over it, so do those of their sums.
        cells = [*chain.from_iterable(zip(*(n for at, n in enumerate(nodes) if at not in parts), strict=True))]


def check_cells(counts: list[int | None], axes: Axes, proof: Json, sealed: Json | None = None) -> None:
    """Refuse small counts that are printed, sums that do not hold and blanks that are not shown to be open."""
    least, need, lowest = proof["min_cell"], proof["need"], proof.get("blank_least", 0)
    if type(least) is not int or least < 3 or need not in ("weak", "strong") or lowest not in (0, 1):
        raise Violation("the limits are not known")
    if small := sum(1 for n in counts if n is not None and not (n == 0 or least <= n <= MOST)):
        raise Violation(f"{small} cell(s) below {least} are printed")
    public = Blanks(counts, [axes], proof, lowest)
    if closed := public.is_open(least if need == "strong" else 0).count(False):
        raise Violation(f"{closed} hidden cell(s) are not shown to be open")
    if sealed is not None and (bare := _unproved(least, need, lowest, public, Blanks(counts, [axes], sealed, lowest))):
        raise Violation(f"{bare} small cell(s) are not proved protected")


def _unproved(least: int, need: str, lowest: int, public: Blanks, sealed: Blanks) -> int:
    """Return how many small counts, the first of an auditor's completions being true, none takes as far as is asked."""
    truths = [n >> sealed.ones.bit_length() - 1 for n in sealed.numbers]
    up = [least if need == "strong" else truth + 1 for truth in truths]
    over = [truth + 1 - min(3 if need == "strong" else 1, truth - lowest) for truth in truths]
    shown = zip(truths, public.reach(up), sealed.reach(up), public.reach(over), sealed.reach(over), strict=True)
    return sum(1 for truth, one, two, three, four in shown if 0 < truth < least
               and not ((one or two) and (three < public.tops or four < sealed.tops)))


if __name__ == "__main__":
    folder, *rest = sys.argv[1:]
    given = {name: Path(file).read_text(encoding="utf-8") for name, file in zip(rest[::2], rest[1::2], strict=True)}
    problems = verify(folder, read_json(given.get("--sealed", "null")), given.get("--key"))
    print("\n".join(problems) or SOUND.format_map(read_json((Path(folder) / NAME).read_bytes())))
    sys.exit(18 if problems else 0)
