"""Re-check a release from its own files: hashes, small cells, cells given away by margins, classes under k.

Standard library only and nothing of the toolkit, so that an auditor can read this one file and run it alone:
``python verifier.py RELEASE_FOLDER``. It proves what arithmetic can prove from what was released: every hidden cell
keeps a range of possible counts under all sums of its table, and the range reaches a count that may be shown.
"""


from __future__ import annotations

import csv
import hashlib
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Key = tuple[str, ...]
Ranges = dict[Key, list[int]]
Sums = list[tuple[Key, list[Key]]]

FORMAT = "wellbridge-release/1"
FLOOR = 10  # no cell and no class below it, whatever a manifest says
ALL = "all"
MANIFEST = "manifest.json"
INFINITE = 10**15
RISKY = re.compile("^[ \u00a0\ufeff\"'`\u2018\u2019\u201c\u201d]*[=+\\-@\\t\\r\\n\\x00\uff1d\uff0b\uff0d\uff20]")
NUMBER = re.compile(r"^-\d+(\.\d+)?([eE][+-]?\d+)?$")


def manifest_digest(manifest: Json) -> str:
    """Return the digest of a manifest's content, without the digest it states itself."""
    facts = {name: value for name, value in manifest.items() if name != "digest"}
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def verify(folder: str | Path) -> list[str]:
    """Return the violations found in a release folder as sentences; none for a sound release."""
    folder = Path(folder)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        stated = manifest["digest"]
        found = [] if manifest["format"] == FORMAT else ["manifest.json: unknown format"]
        if stated != manifest_digest(manifest):
            found.append("manifest.json: its digest does not match its content")
        if re.search(r"_[0-9a-f]{12}$", folder.name) and not folder.name.endswith(stated[:12]):
            found.append("manifest.json: its digest is not the one in the folder's name")
        found += _files(folder, manifest["files"])
        found += _limits(manifest)
        if not found:
            for table in manifest["tables"]:
                found += _table(folder, manifest, table)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, csv.Error) as error:
        return [f"manifest.json or a file it names cannot be read as a release ({type(error).__name__})"]
    return found


def _files(folder: Path, files: Json) -> list[str]:
    present = {path.name for path in folder.iterdir()} - {MANIFEST}
    found = [f"{name}: is not in the manifest" for name in sorted(present - set(files))]
    for name, facts in sorted(files.items()):
        if name not in present or "/" in name or "\\" in name:
            found.append(f"{name}: is missing")
        elif hashlib.sha256((folder / name).read_bytes()).hexdigest() != facts["sha256"]:
            found.append(f"{name}: its content does not match the manifest")
    return found


def _limits(manifest: Json) -> list[str]:
    found = [f"manifest.json: {name} is below {FLOOR}" for name in ("min_cell", "k") if manifest[name] < FLOOR]
    if not manifest["agreement"]["id"] or "99.33" not in manifest["notice"]:
        found.append("manifest.json: agreement or notice of 34 CFR 99.33 is missing")
    return found


def _table(folder: Path, manifest: Json, table: Json) -> list[str]:
    name = table["file"]
    with (folder / name).open(encoding="utf-8", newline="") as source:
        lines = list(csv.reader(source, strict=True))
    header, cells = lines[0], lines[1:]
    found = []
    if header != table["columns"]:
        found.append(f"{name}: its header is not the manifest's")
    with (folder / manifest["dictionary"]).open(encoding="utf-8", newline="") as source:
        known = {row["column"] for row in csv.DictReader(source) if row["file"] == name}
    found += [f"{name}: column {column} is not in the data dictionary" for column in header if column not in known]
    if len(cells) != table["rows"] or any(len(row) != len(header) for row in cells):
        found.append(f"{name}: has not the manifest's number of rows or fields")
    risky = sum(1 for row in cells for cell in row if RISKY.search(cell) and not NUMBER.search(cell)
                and not cell.startswith(manifest["formula_prefix"]))
    if risky:
        found.append(f"{name}: {risky} cell(s) could run as formulas")
    check = {"counts": _counts, "measures": _measures, "records": _records}[table["kind"]]
    rows = [dict(zip(header, row, strict=False)) for row in cells]
    return found or [f"{name}: {problem}" for problem in check(rows, table, manifest)]


# -- ranges ------------------------------------------------------------------------------------------------


def narrowed(ranges: Ranges, sums: Sums) -> bool:
    """Narrow ranges by sums until nothing changes; return whether the cells can be true together.

    Args:
        ranges: cell → [least, greatest], changed in place.
        sums: list of (total, parts), cells of ``ranges``.
    """
    changed = True
    while changed:
        changed = False
        for total, parts in sums:
            low = sum(ranges[part][0] for part in parts)
            high = sum(ranges[part][1] for part in parts)
            changed |= _cut(ranges[total], low, high)
            for part in parts:
                least, greatest = ranges[part]
                others_high, others_low = high - greatest, low - least
                roof = ranges[total][1] - others_low
                floor = ranges[total][0] - others_high if high < INFINITE else least
                changed |= _cut(ranges[part], floor, roof if ranges[total][1] < INFINITE else greatest)
                high, low = others_high + ranges[part][1], others_low + ranges[part][0]
        if any(least > greatest for least, greatest in ranges.values()):
            return False
    return True


def _cut(cell: list[int], low: int, high: int) -> bool:
    before = list(cell)
    cell[0], cell[1] = max(cell[0], low), min(cell[1], high)
    return cell != before


def _given_away(ranges: Ranges, hidden: list[Key], min_cell: int, need: str) -> list[str]:
    """Count hidden cells with one possible count only, and hidden cells that are certainly small."""
    pinned = sum(1 for cell in hidden if ranges[cell][0] == ranges[cell][1])
    small = sum(1 for cell in hidden if ranges[cell][0] < ranges[cell][1] < min_cell) if need == "strong" else 0
    found = [f"{pinned} hidden cell(s) can be worked out"] if pinned else []
    return found + ([f"{small} hidden cell(s) are certainly below {min_cell}"] if small else [])


# -- counts ------------------------------------------------------------------------------------------------


def _counts(rows: list[Json], table: Json, manifest: Json) -> list[str]:
    axes, count, least = table["axes"], table["count"], manifest["min_cell"]
    columns = [column for axis in axes for column in axis]
    cells = {tuple(row[c] for c in columns): row[count] for row in rows}
    if len(cells) != len(rows):
        return ["a combination is repeated"]
    found = []
    small = sum(1 for n in cells.values() if n != "" and 0 < int(n) < least)
    if small:
        found.append(f"{small} cell(s) below {least} are shown")
    sums = _cross_sums(list(cells), axes)
    if sums is None:
        return [*found, "a combination or margin is missing"]
    ranges = {key: [int(n), int(n)] if n != "" else [0, INFINITE] for key, n in cells.items()}
    if any(low < 0 for low, _ in ranges.values()) or not narrowed(ranges, sums):
        return [*found, "the cells do not add up to their margins"]
    hidden = [key for key, n in cells.items() if n == ""]
    return found + _given_away(ranges, hidden, least, manifest["need"])


def _cross_sums(keys: list[Key], axes: list[list[str]]) -> Sums | None:
    """Every cell with an open axis belongs to the sum over that axis's next coarser level."""
    present, start = set(keys), 0
    groups: dict[tuple[int, Key], list[Key]] = {}
    for axis in axes:
        places = range(start, start + len(axis))
        for key in keys:
            first_open = next((place for place in places if key[place] != ALL), None)
            if first_open is None:
                continue
            total = (*key[:first_open], ALL, *key[first_open + 1:])
            if total not in present:
                return None
            groups.setdefault((start, total), []).append(key)
        start += len(axis)
    return [(total, parts) for (_, total), parts in groups.items()]


# -- measures ----------------------------------------------------------------------------------------------


def _measures(rows: list[Json], table: Json, manifest: Json) -> list[str]:
    least, means, alone = manifest["min_cell"], set(table["means"]), bool(table.get("percent_only"))
    found: list[str] = []
    ranges: Ranges = {}
    sums: Sums = []
    hidden: list[Key] = []
    for row in rows:
        key = (row["measure_id"], row["period"], row["dimension"], row["member"])
        found += _measure_row(row, key, row["measure_id"] in means, least, alone)
        size = [int(row["denominator"])] * 2 if row["denominator"] != "" else [0, INFINITE]
        ranges[(*key, "n")] = size
        if row["measure_id"] not in means:
            ranges[(*key, "with")], ranges[(*key, "without")] = _two_counts(row, size)
            sums.append(((*key, "n"), [(*key, "with"), (*key, "without")]))
            if row["shown"] != "exact" and not _is_range(row):
                hidden += [(*key, "with"), (*key, "without")]
        if row["denominator"] == "":
            hidden.append((*key, "n"))
    for measure, period, dimension in table["adding_up"]:
        for part in ("n",) if measure in means else ("n", "with", "without"):
            members = [key for key in ranges if (key[0], key[1], key[2], key[4]) == (measure, period, dimension, part)]
            sums.append(((measure, period, ALL, ALL, part), members))
    if found or not narrowed(ranges, sums):
        return found or ["the groups do not add up to the whole"]
    return _given_away(ranges, hidden, least, manifest["need"])


def _is_range(row: Json) -> bool:
    """Whether a share stands between two ends: the counts behind it are such as may be shown, and only coarsened."""
    return bool(row["at_most"] != "" and row["at_least"] != "")


def _measure_row(row: Json, key: Key, is_mean: bool, least: int, alone: bool) -> list[str]:
    where = "measure " + " · ".join(key[:3])
    if row["shown"] not in {"exact", "coded", "hidden"}:
        return [f"{where}: a row is neither shown nor hidden"]
    if row["denominator"] != "" and (alone or int(row["denominator"]) < least):
        return [f"{where}: a group is shown that is below {least}" if not alone else f"{where}: a share is not alone"]
    given = [name for name in ("value", "at_most", "at_least") if row[name] != ""]
    ends = [["at_most"], ["at_least"], ["at_most", "at_least"]]
    allowed: Json = {"exact": [["value"]], "coded": ends, "hidden": [[]]}
    if given not in allowed[row["shown"]] or (given and row["denominator"] == "" and not alone):
        return [f"{where}: a row shows more than it says"]
    if row["denominator"] == "":
        return []
    if _is_range(row):
        low, high = _percents(row)
        size = int(row["denominator"])
        bad = low > high or min((high + 1) * size // 100, size - max(0, (low - 1) * size // 100)) < least
        return [f"{where}: a range is no range of {least} or more"] if bad else []
    if row["shown"] == "exact" and not is_mean:
        size, share = int(row["denominator"]), float(row["value"])
        if min(round(share * size), size - round(share * size)) < least:
            return [f"{where}: a share rests on fewer than {least}"]
    if row["shown"] == "coded" and _end(row) * int(row["denominator"]) // 100 < least:
        return [f"{where}: an end is too narrow"]
    return []


def _end(row: Json) -> int:
    """Return the end of a coded share in percent."""
    return round(100 * (float(row["at_most"]) if row["at_most"] != "" else 1 - float(row["at_least"])))


def _percents(row: Json) -> tuple[int, int]:
    return round(100 * float(row["at_least"])), round(100 * float(row["at_most"]))


def _two_counts(row: Json, size: list[int]) -> tuple[list[int], list[int]]:
    """Return the ranges of those with and those without."""
    if size[0] != size[1]:
        return [0, size[1]], [0, size[1]]
    if _is_range(row):  # whole percents: the share itself is less than one beyond either end
        low, high = _percents(row)
        least, most = max(0, -(-(low - 1) * size[0] // 100)), min(size[0], (high + 1) * size[0] // 100)
        return [least, most], [size[0] - most, size[0] - least]
    if row["shown"] == "exact":
        hits = round(float(row["value"]) * size[0])
        return [hits, hits], [size[0] - hits] * 2
    if row["shown"] == "coded":
        few, many = [0, _end(row) * size[0] // 100], [0, size[0]]
        return (few, many) if row["at_most"] != "" else (many, few)
    return [0, size[1]], [0, size[1]]


# -- records -----------------------------------------------------------------------------------------------


def _records(rows: list[Json], table: Json, manifest: Json) -> list[str]:
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


if __name__ == "__main__":
    problems = verify(sys.argv[1])
    print("\n".join(problems) or "sound")
    sys.exit(18 if problems else 0)
