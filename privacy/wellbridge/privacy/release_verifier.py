"""Re-check a site's release, or a protected table, and who signed it, from the released files alone.

Standard library and the two verifiers of tables; nothing else of the toolkit, so that the three can be handed over as
one file (``wellbridge extract verifier``). Of a release are looked at the signature of its manifest, the hash of every
file, that every column is in the dictionary and no cell runs as a formula; then of each table of counts
and of the measures, by the certificate beside it, that nothing small is printed, all sums hold and every blank stays
open; and of each record file that every child is one of k alike.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from wellbridge.privacy.tables import amounts_verifier, verifier

Json = dict[str, Any]
Key = tuple[str, ...]
Range = tuple[int, int, bool]  # least and greatest count by what is printed, and whether readers must not know it
FORMAT, MEASURES, MANIFEST, ALL = "wellbridge-release/2", "wellbridge-measures/2", "manifest.json", "all"
ROW = ("measure_id", "period", "dimension", "member")
BESIDE = ("suppressed.csv", "README.txt")
DISTANCES = ("equal", "ordered")
CHECKED = {"min_cell": "minimum cell {}", "need": "{} need", "blank_least": "no blank below {}",
           "k": "{} persons alike", "quasi": "in {}", "sensitive": "of {}", "rules": "{}"}
FLOOR = 10  # no cell and no class below it, whatever a manifest says
RISKY = re.compile("^[ \u00a0\ufeff\"'`\u2018\u2019\u201c\u201d]*[=+\\-@\\t\\r\\n\\x00\uff1d\uff0b\uff0d\uff20]")
NUMBER = re.compile(r"^-\d+(\.\d+)?([eE][+-]?\d+)?$")


def verify(folder: str | Path, sealed: Json | None = None, keys: str | None = None) -> list[str]:
    """Return the violations found in a folder as sentences; none for a sound release.

    Args:
        folder: a site's release, or a protected table, which has no manifest.
        sealed: the auditor's certificate of a protected table, opened.
        keys: the text of a file of public keys, one of which has to have signed; any or none without.
    """
    folder = Path(folder)
    if (folder / verifier.NAME).exists() and not (folder / MANIFEST).exists():
        if amounts_verifier.holds_amounts(folder):
            return amounts_verifier.verify(folder, sealed, keys)
        return verifier.verify(folder, sealed, keys)
    try:
        content = (folder / MANIFEST).read_bytes()
        verifier.check_signature(folder / MANIFEST, content, keys)
        manifest = verifier.read_json(content)
        found = [] if manifest["format"] == FORMAT else ["manifest.json: unknown format"]
        named = re.search(r"_([0-9a-f]{12})$", folder.name)
        if named and named[1] != hashlib.sha256(content).hexdigest()[:12]:
            found.append("manifest.json: its digest is not the one in the folder's name")
        found += _files(folder, manifest["files"], _named(manifest)) + _limits(manifest)
        return found or [problem for table in manifest["tables"] for problem in _table(folder, manifest, table)]
    except (verifier.Violation, *verifier.UNREADABLE) as error:
        what = f"manifest.json or a file it names cannot be read as a release ({type(error).__name__})"
        return [str(error) if isinstance(error, verifier.Violation) else what]


def checked(folder: str | Path) -> Json:
    """Return the limits that a sound folder was checked against, which are its own: whoever asked for more sees it."""
    manifest, alone = Path(folder) / MANIFEST, Path(folder) / verifier.NAME
    said: Json = verifier.read_json((manifest if manifest.exists() else alone).read_bytes())
    limits = {name: said[name] for name in CHECKED if name in said}
    records = [table for table in said.get("tables", ()) if table["kind"] == "records"]
    if not records:
        limits.pop("k", None)
        return limits
    asked = {name: rule for table in records for name, rule in table.get("sensitive", {}).items()}
    quasi = sorted({name for table in records for name in table["quasi"]})
    return limits | {"quasi": quasi} | ({"sensitive": asked} if asked else {})


def in_words(limits: Json) -> str:
    """Return what ``checked`` says on one line."""
    asked = [f"{name} {rule['distinct']} value(s)" + (f" and t {rule['t']}" if rule["t"] is not None else "")
             for name, rule in limits.get("sensitive", {}).items()]
    parts: Json = {**limits, "quasi": ", ".join(limits.get("quasi", ())), "sensitive": ", ".join(asked),
                   "rules": ", ".join(f"{name} {value}" for name, value in limits.get("rules", {}).items())}
    text = ", ".join(form.format(parts[name]) for name, form in CHECKED.items() if name in limits)
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _named(manifest: Json) -> set[str]:
    """Return the files that the manifest says the meaning of; a release holds no others."""
    tables = {table[what] for table in manifest["tables"] for what in ("file", "certificate") if what in table}
    return tables | {manifest["dictionary"], *BESIDE}


def _files(folder: Path, files: Json, named: set[str]) -> list[str]:
    present = {path.name for path in folder.iterdir()} - {MANIFEST, f"{MANIFEST}.sig"}
    found = [f"{name}: is not in the manifest" for name in sorted((present | named) - set(files))]
    found += [f"{name}: nothing says what it holds" for name in sorted(set(files) - named)]
    for name, facts in sorted(files.items()):
        if name not in present or "/" in name or "\\" in name:
            found.append(f"{name}: is missing")
        elif hashlib.sha256((folder / name).read_bytes()).hexdigest() != facts["sha256"]:
            found.append(f"{name}: its content does not match the manifest")
    return found


def _limits(manifest: Json) -> list[str]:
    found = [f"manifest.json: {name} is below {FLOOR}" for name in ("min_cell", "k")
             if type(manifest[name]) is not int or manifest[name] < FLOOR]
    if manifest["need"] != "strong":
        found.append("manifest.json: its need is not strong")
    if not manifest["agreement"]["id"] or "99.33" not in manifest["notice"]:
        found.append("manifest.json: agreement or notice of 34 CFR 99.33 is missing")
    return found


def _table(folder: Path, manifest: Json, table: Json) -> list[str]:
    name = table["file"]
    with (folder / name).open(encoding="utf-8", newline="") as source:
        header, *cells = list(csv.reader(source, strict=True))
    found = [] if header == table["columns"] else [f"{name}: its header is not the manifest's"]
    with (folder / manifest["dictionary"]).open(encoding="utf-8", newline="") as source:
        words = [row for row in csv.DictReader(source) if row["file"] == name]
    known = {row["column"] for row in words}
    found += [f"{name}: column {column} is not in the data dictionary" for column in header if column not in known]
    if len(cells) != table["rows"] or any(len(row) != len(header) for row in cells):
        found.append(f"{name}: has not the manifest's number of rows or fields")
    risky = sum(1 for row in cells for cell in row if RISKY.search(cell) and not NUMBER.search(cell)
                and not cell.startswith(manifest["formula_prefix"]))
    found += [f"{name}: {risky} cell(s) could run as formulas"] if risky else []
    if table["kind"] == "records":
        found += [f"{name}: {problem}" for problem in _records_rules(table, words)]
    check = {"counts": _counts, "measures": _measures, "records": _records}[table["kind"]]
    try:
        rows = [dict(zip(header, row, strict=False)) for row in cells]
        return found or [f"{name}: {problem}" for problem in check(folder, rows, table, manifest)]
    except verifier.Violation as error:
        return [f"{name}: {error}"]


def _certificate(folder: Path, table: Json, manifest: Json) -> Json:
    """Return a file's certificate, which has to speak of that file under the manifest's limits."""
    certificate: Json = verifier.read_json((folder / table["certificate"]).read_bytes())  # its hash was compared
    said = [certificate["file"], certificate["min_cell"], certificate["need"], certificate["sha256"]]
    sha256 = manifest["files"][table["file"]]["sha256"]
    if said != [table["file"], manifest["min_cell"], manifest["need"], sha256]:
        raise verifier.Violation("its certificate is not of this file, or has other limits")
    return certificate


def _counts(folder: Path, rows: list[Json], table: Json, manifest: Json) -> list[str]:
    certificate = _certificate(folder, table, manifest)
    verifier.check_cells(*verifier.table_cells(folder, certificate, verifier.FORMAT), certificate)
    is_said = [axis["columns"] for axis in certificate["axes"]] == table["axes"]
    return [] if is_said and certificate["count"] == table["count"] else ["its axes are not the manifest's"]


# -- measures ----------------------------------------------------------------------------------------------


def _measures(folder: Path, rows: list[Json], table: Json, manifest: Json) -> list[str]:
    certificate, least = _certificate(folder, table, manifest), manifest["min_cell"]
    said = [certificate[name] for name in ("format", "means", "adding_up")]
    if said != [MEASURES, table["means"], table["adding_up"]]:
        raise verifier.Violation("its certificate is not of these measures")
    found = [problem for row in rows for problem in _row(row, table, least)]
    if found:
        return found
    printed = [one for row in rows for one in share_ranges(row, table["means"])]
    # With and without are all, and the members of each dimension the whole.
    crosses = [[[-1] * len(rows), [2, 2, -1]], *([each, [-1] * 3] for each in families(rows, table["adding_up"]))]
    if unsaid := _add_up(rows, table["means"]) - {tuple(key) for key in table["adding_up"]}:
        raise verifier.Violation(f"{len(unsaid)} breakdown(s) are not said to add up, and do")
    blanks = verifier.Blanks([count_of(one) for one in printed], crosses, certificate)
    hidden = [one for one in printed if count_of(one) is None]
    is_below = any(reached != blanks.tops for reached in blanks.reach([low for low, _, _ in hidden]))
    if is_below or any(blanks.reach([high + 1 for _, high, _ in hidden])):
        raise verifier.Violation("the completions leave what is printed of a share")
    is_open = blanks.is_open(least if manifest["need"] == "strong" else 0)
    closed = sum(1 for (_, _, must), is_so in zip(hidden, is_open, strict=True) if must and not is_so)
    return [f"{closed} hidden count(s) are not shown to be open"] if closed else []


def _row(row: Json, table: Json, least: int) -> list[str]:
    """Say what is wrong with one printed row."""
    where, alone = "measure " + " · ".join(row[name] for name in ROW[:3]), bool(table.get("percent_only"))
    size, given = row["denominator"], [name for name in ("value", "at_most", "at_least") if row[name] != ""]
    ends = [["at_most"], ["at_least"], ["at_most", "at_least"]]
    allowed: Json = {"exact": [["value"]], "coded": ends, "hidden": [[]]}
    if row["shown"] not in allowed:
        return [f"{where}: a row is neither shown nor hidden"]
    if size != "" and (alone or not least <= int(size) <= verifier.MOST):
        return [f"{where}: a share is not alone" if alone else f"{where}: a group below {least} is shown"]
    if given not in allowed[row["shown"]] or (given and size == "" and not alone):
        return [f"{where}: a row shows more than it says"]
    if size == "" or row["shown"] == "hidden" or row["measure_id"] in table["means"]:
        return []
    (few, many, _), (_, rest, _), _ = share_ranges(row, ())
    return [f"{where}: a share rests on fewer than {least}"] if few > many or min(many, rest) < least else []


def share_ranges(row: Json, means: Collection[str]) -> tuple[Range, Range, Range]:
    """Return what a row of measures prints of the counts of those with, those without, and all together."""
    size = int(row["denominator"]) if row["denominator"] != "" else None
    whole = (0, verifier.MOST, True) if size is None else (size, size, False)
    if row["measure_id"] in means:  # of a mean all are counted
        return (*whole[:2], False), (0, 0, False), whole
    low, high = (round(100 * float(row[end])) if row[end] != "" else None for end in ("at_least", "at_most"))
    # A share between two ends is such as may be shown, and only coarsened.
    is_open = row["shown"] != "exact" and (low is None or high is None)
    if size is None:
        return (0, verifier.MOST, is_open), (0, verifier.MOST, is_open), whole
    few, many = 0, size
    if row["shown"] == "exact":  # in ten thousandths
        share = round(10_000 * float(row["value"]))
        few, many = -(-(2 * share - 1) * size // 20_000), (2 * share + 1) * size // 20_000
    elif low is not None and high is not None:  # in whole percents: less than one beyond either end
        few, many = -(-(low - 1) * size // 100), (high + 1) * size // 100
    elif high is not None:
        many = high * size // 100
    elif low is not None:
        few = size - (100 - low) * size // 100
    few, many = max(0, few), min(size, many)
    return (few, many, is_open), (size - many, size - few, is_open), whole


def count_of(one: Range) -> int | None:
    """Return a count that is printed, None for a blank."""
    return one[0] if one[0] == one[1] and not one[2] else None


def families(rows: list[Json], adding_up: list[list[str]]) -> list[list[int]]:
    """Return, for each dimension whose members add up, the number of every row's whole, -1 where it has none."""
    number = {tuple(row[name] for name in ROW): place for place, row in enumerate(rows)}
    whole = {key: number[key[0], key[1], ALL, ALL] for key in map(tuple, adding_up)}
    return [[whole.get(tuple(row[name] for name in ROW[:3]), -1) if row["dimension"] == dimension else -1
             for row in rows] for dimension in sorted({key[2] for key in whole})]


def _add_up(rows: list[Json], means: Collection[str]) -> set[Key]:
    """Return the breakdowns all of whose printed sizes make up the whole's, if what is printed of shares allows it."""
    own: dict[Key, list[tuple[Range, Range, Range]]] = {}
    for row in rows:
        own.setdefault(tuple(row[name] for name in ROW[:3]), []).append(share_ranges(row, means))
    out = set()
    for key, parts in own.items():
        (whole,) = own[*key[:2], ALL]
        least, most = ([sum(part[place][end] for part in parts) for place in (0, 2)] for end in (0, 1))
        is_size = least[1] == most[1] == whole[2][0] == whole[2][1]
        if key[2] != ALL and is_size and least[0] <= whole[0][1] and most[0] >= whole[0][0]:
            out.add(key)
    return out


# -- records -----------------------------------------------------------------------------------------------


def _records_rules(table: Json, words: list[dict[str, str]]) -> list[str]:
    """Say where a record file's own rules are none, or leave out a column that its dictionary calls quasi.

    They may name more: a definition can have any column count as a quasi-identifier.
    """
    quasi, columns = table["quasi"], {*table["columns"]}
    found, called = [], {row["column"] for row in words if row["privacy_class"] == "quasi"}
    if type(quasi) is not list or not columns.issuperset(quasi) or table["code"] in quasi:
        found.append("its quasi-identifiers are not columns of it")
    elif unsaid := len((called & columns) - {*quasi}):
        found.append(f"{unsaid} quasi-identifier(s) of the data dictionary are none for the manifest")
    for name, rule in table.get("sensitive", {}).items():
        distinct, t = rule["distinct"], rule["t"]
        is_rule = name in columns and type(distinct) is int and distinct >= 1 and rule["distance"] in DISTANCES
        if not is_rule or not (t is None or (type(t) in (int, float) and 0 <= t <= 1)):
            found.append(f"what is asked of {name} cannot be meant")
    return found


def _records(folder: Path, rows: list[Json], table: Json, manifest: Json) -> list[str]:
    code, quasi, k = table["code"], table["quasi"], manifest["k"]
    codes = [row[code] for row in rows]
    found = [] if all(re.fullmatch(r"[0-9a-f]{32}", c) for c in codes) else ["a code is not of random form"]
    if codes != sorted(codes):
        found.append("the rows are not in the order of their codes")
    sequences: dict[str, list[Key]] = {}
    for row in rows:
        sequences.setdefault(row[code], []).append(tuple(row[name] for name in quasi))
    classes = Counter(tuple(sorted(sequence)) for sequence in sequences.values())
    few = sum(1 for size in classes.values() if size < k)
    found += [f"{few} class(es) have fewer than {k} persons"] if few else []
    return found + [problem for name, rule in table.get("sensitive", {}).items()
                    for problem in _spread(rows, code, sequences, name, rule)]


def _spread(rows: list[Json], code: str, sequences: dict[str, list[Key]], name: str, rule: Json) -> list[str]:
    """Say which classes hold too few values of a sensitive column, or lie too far from the whole file."""
    values: dict[tuple[Key, ...], Counter[str]] = {}
    for person, value in {(row[code], row[name]) for row in rows}:
        values.setdefault(tuple(sorted(sequences[person])), Counter())[value] += 1
    whole = sum(values.values(), Counter())
    few = sum(1 for held in values.values() if len(held) < rule["distinct"])
    found = [f"{few} class(es) have fewer than {rule['distinct']} values of {name}"] if few else []
    if rule["t"] is not None and rule["distance"] == "equal":
        far = sum(1 for held in values.values() if _apart(held, whole) > rule["t"] + 1e-9)
        found += [f"{far} class(es) are farther than {rule['t']} from all in {name}"] if far else []
    return found


def _apart(held: Counter[str], whole: Counter[str]) -> float:
    """Half the sum of differences of shares: the earth mover's distance where all values are equally far apart."""
    size, total = sum(held.values()), sum(whole.values())
    return sum(abs(held[value] / size - count / total) for value, count in whole.items()) / 2


def main() -> None:
    """Check the folder that the command line names: exit 18 on a violation, 2 where nothing could be looked at."""
    parser = argparse.ArgumentParser(description="Check a release, or a protected table, by its files alone.")
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--key", metavar="KEYS.pub", type=Path, help="public keys, one of which must have signed")
    parser.add_argument("--sealed", metavar="SEALED.json", type=Path, help="of a table: the auditor's certificate")
    given = parser.parse_args()
    if not given.folder.is_dir():
        parser.error("DIR is no folder")
    try:
        keys = given.key.read_text(encoding="utf-8") if given.key else None
        sealed = verifier.read_json(given.sealed.read_bytes()) if given.sealed else None
    except (OSError, ValueError, RecursionError):
        parser.error("the keys or the auditor's certificate cannot be read")
    problems = verify(given.folder, sealed, keys)
    print("\n".join(problems) or f"sound: {in_words(checked(given.folder))}")
    sys.exit(18 if problems else 0)


if __name__ == "__main__":
    main()
