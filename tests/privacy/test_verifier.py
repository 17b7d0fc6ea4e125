"""The verifier of releases: what it imports, and its judgement of measures beside one by linear programs."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from privacy.tables.independent_judge import read_completions, written
from wellbridge.privacy import formula, release_verifier
from wellbridge.privacy import manifest as manifest_module
from wellbridge.privacy.release_verifier import count_of, families, share_ranges
from wellbridge.privacy.tables import linked, margins, verifier
from wellbridge.privacy.tables.published_shares import protect_measures
from wellbridge.privacy.tables.release_certificates import certified_measures
from wellbridge.schemas.errors import PrivacyError

Json = dict[str, Any]
NAMES = ("measure_id", "period", "dimension", "member", "denominator", "value", "at_most", "at_least", "shown")


@pytest.mark.parametrize("module", [verifier, release_verifier])
def test_the_verifiers_import_nothing_but_the_standard_library_and_each_other(module: object):
    tree = ast.parse(inspect.getsource(module))  # type: ignore[arg-type]
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    others = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    assert others <= ({"verifier", "wellbridge"} if module is release_verifier else set())
    assert {name for name in names if name.startswith("wellbridge")} <= {"wellbridge.privacy.tables"}


def test_the_verifiers_constants_are_the_toolkits():
    assert release_verifier.FLOOR == linked.MIN_CELL_FLOOR
    assert release_verifier.ALL == verifier.ALL == margins.ALL
    assert (release_verifier.FORMAT, release_verifier.MANIFEST) == (manifest_module.FORMAT, manifest_module.NAME)


@pytest.mark.parametrize("cell", ["=1", " =1", "\ufeff-x", "＝1", "\tx", "-1.5", "plain", "'=1", '"@x', ""])
def test_the_verifier_and_the_writer_agree_on_dangerous_cells(cell: str):
    ours = bool(release_verifier.RISKY.search(cell)) and not release_verifier.NUMBER.search(cell)
    theirs = pl.select(formula.is_dangerous(pl.lit(cell))).item()
    assert ours == theirs


# -- records -----------------------------------------------------------------------------------------------


def record_release(folder: Path, change: Callable[[Json], object] = lambda manifest: None, odd: str = "F") -> Path:
    """Write an unsigned release of 21 persons, one of them alone where ``odd`` is another sex, hashes as they are."""
    people = [["F", "K-5", "1"]] * 10 + [["M", "K-5", "2"]] * 10 + [[odd, "K-5", "1"]]
    content = {
        "records.csv": [["code", "sex", "grade_band", "tier"], *([f"{n:032x}", *row] for n, row in enumerate(people))],
        "data_dictionary.csv": [["file", "column", "type", "meaning", "privacy_class", "values"], *(
            ["records.csv", name, "text", "", kind, ""] for name, kind in
            (("code", "key"), ("sex", "quasi"), ("grade_band", "quasi"), ("tier", "sensitive")))],
        "suppressed.csv": [["file", "what", "cell", "count", "why"]], "README.txt": [["99.33"]],
    }
    folder.mkdir()
    for name, lines in content.items():
        (folder / name).write_text("".join(f"{','.join(line)}\n" for line in lines), encoding="utf-8")
    table: Json = {
        "file": "records.csv", "kind": "records", "code": "code", "quasi": ["grade_band", "sex"], "rows": len(people),
        "columns": content["records.csv"][0],
        "sensitive": {"tier": {"distinct": 1, "entropy": 1.0, "t": 0.9, "distance": "equal"}},
    }
    manifest: Json = {
        "format": manifest_module.FORMAT, "min_cell": 10, "need": "strong", "k": 10, "tables": [table],
        "dictionary": "data_dictionary.csv", "agreement": {"id": "a"}, "notice": "34 CFR 99.33", "formula_prefix": "'",
        "files": {name: {"sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()} for name in content},
    }
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_a_record_release_is_sound_or_not_by_its_classes_and_says_its_limits(tmp_path: Path):
    assert release_verifier.verify(record_release(tmp_path / "sound")) == []
    limits = release_verifier.checked(tmp_path / "sound")
    rule = {"distinct": 1, "entropy": 1.0, "t": 0.9, "distance": "equal"}
    assert limits == {"min_cell": 10, "need": "strong", "k": 10, "quasi": ["grade_band", "sex"],
                      "sensitive": {"tier": rule}}
    said = release_verifier.in_words(limits)
    assert said == "minimum cell 10, strong need, 10 persons alike, in grade_band, sex, of tier 1 value(s) and t 0.9"
    assert release_verifier.verify(record_release(tmp_path / "alone", odd="X")) == [
        "records.csv: 1 class(es) have fewer than 10 persons"]
    more = record_release(tmp_path / "more", lambda m: m["tables"][0].update(quasi=["grade_band", "sex", "tier"]))
    assert release_verifier.verify(more) == []


def asked(**rule: object) -> Callable[[Json], object]:
    return lambda manifest: manifest["tables"][0]["sensitive"]["tier"].update(rule)


@pytest.mark.parametrize("change", [
    *(lambda m, k=k: m.update(k=k) for k in (float("nan"), float("-inf"), True, 1e9, 10.0, "10", None, 9)),
    *(lambda m, n=n: m.update(min_cell=n) for n in (float("nan"), float("inf"), True, 10.0, "10", None, 9)),
    *(lambda m, q=q: m["tables"][0].update(quasi=q)
      for q in ([], ["sex"], ["grade_band"], None, "sexgrade_band", ["grade_band", "sex", "other"], {"sex": 1})),
    *(asked(t=t) for t in (float("nan"), float("inf"), 1.5, -0.1, True, "0.1")),
    *(asked(distinct=n) for n in (float("nan"), None, True, 1.0, 0, "1")),
    asked(distance="none"), lambda m: m.update(need="weak"),
])
@pytest.mark.parametrize("odd", ["F", "X"])
def test_a_manifest_whose_limits_are_none_is_refused_though_all_hashes_agree(
    change: Callable[[Json], object], odd: str, tmp_path: Path
):
    assert release_verifier.verify(record_release(tmp_path / "forged", change, odd))


def test_a_manifest_with_a_name_that_stands_twice_is_refused(tmp_path: Path):
    path = record_release(tmp_path / "forged") / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"k": 10', '"k": 30, "k": 10'), encoding="utf-8")
    assert len(release_verifier.verify(path.parent)) == 1


# -- measures ----------------------------------------------------------------------------------------------


def row(member: str, size: int | str, **shown: str) -> dict[str, str]:
    dimension = "all" if member == "all" else "school"
    kind = "exact" if "value" in shown else "coded" if shown else "hidden"
    given = {"value": "", "at_most": "", "at_least": "", **shown}
    return {"measure_id": "m", "period": "p", "dimension": dimension, "member": member, "denominator": str(size),
            **given, "shown": kind}


@pytest.mark.parametrize(("size", "value"), [(80, "0.25"), (4_999, "0.3333"), (60_000, "0.1234"), (250_000, "0.5")])
def test_a_share_to_four_decimals_is_a_count_or_as_many_as_round_to_it(size: int, value: str):
    (low, high, is_open), (rest_low, rest_high, _), whole = share_ranges(row("A", size, value=value), ())
    fit = [n for n in range(size + 1) if abs(n / size - float(value)) <= 0.00005 + 1e-12]
    assert (low, high) == (fit[0], fit[-1])
    assert (rest_low, rest_high, is_open) == (size - fit[-1], size - fit[0], False)
    assert whole == (size, size, False)
    assert (count_of((low, high, is_open)) is None) == (len(fit) > 1)


def possible(rows: list[dict[str, str]]) -> tuple[list[int], list[int]] | None:
    """The least and greatest number of those with, by linear programs over every sum; None where none is possible."""
    n = len(rows)
    ranges = [one for each in rows for one in share_ranges(each, ())]
    sums = []
    for place in range(n):
        line = np.zeros(3 * n)
        line[3 * place:3 * place + 3] = [1, 1, -1]
        sums.append(line)
    for part in range(3):
        line = np.zeros(3 * n)
        line[part::3] = [-1 if each["member"] == "all" else 1 for each in rows]
        sums.append(line)
    within = Bounds(np.array([r[0] for r in ranges]), np.array([min(r[1], 10**6) for r in ranges]))
    ends: tuple[list[int], list[int]] = ([], [])
    for place in range(3 * n):
        for sign, out in ((1, ends[0]), (-1, ends[1])):
            price = np.zeros(3 * n)
            price[place] = sign
            found = milp(price, constraints=LinearConstraint(np.array(sums), 0, 0), bounds=within,
                         integrality=np.ones(3 * n))
            if not found.success:
                return None
            out.append(round(sign * found.fun))
    return ends


def published(draw: random.Random) -> list[dict[str, str]]:
    """Rows that add up, coded or hidden at random, with and without care."""
    members = []
    for name in "ABCD"[:draw.randrange(2, 5)]:
        size = draw.randrange(20, 120)
        members.append((name, size, draw.randrange(0, size + 1)))
    total, hits = sum(m[1] for m in members), sum(m[2] for m in members)
    rows = []
    for name, size, n in members:
        end = next((e for e in (10, 20, 50) if e * size // 100 >= 10), 50)
        how = draw.random()
        if n < 10 and end * size // 100 >= max(n, 10):
            rows.append(row(name, size, at_most=str(end / 100)))
        elif how < 0.5 and min(n, size - n) >= 10:
            rows.append(row(name, size, value=str(round(n / size, 4))))
        else:
            rows.append(row(name, size))
    return [row("all", total, value=str(round(hits / total, 4))), *rows]


def test_measures_are_certified_just_where_linear_programs_find_every_hidden_count_open(tmp_path: Path):
    draw, sound, refused = random.Random(11), 0, 0
    for number in range(120):
        rows = published(draw)
        share = float(rows[0]["value"])
        if min(share, 1 - share) * int(rows[0]["denominator"]) < 10:
            continue
        content = pl.DataFrame(rows).select(NAMES).write_csv().encode()
        ends = possible(rows)
        ranges = [one for each in rows for one in share_ranges(each, ())]
        is_open = ends is not None and all(low < high and high >= 10 for low, high, r in zip(*ends, ranges, strict=True)
                                           if r[2])
        try:
            certificate = json.loads(certified_measures("measures.csv", content, [], [["m", "p", "school"]], 10))
        except PrivacyError:
            assert not is_open, number
            refused += 1
            continue
        assert is_open, number
        sound += 1
        assert judged(tmp_path, content, certificate, rows) == [], number
        completions, digits = read_completions(certificate), certificate["digits"]
        for missing in range(1, len(completions)):
            forged = [*completions[:missing], *completions[missing + 1:]]
            assert judged(tmp_path, content, {**certificate, "completions": written(forged, digits)}, rows), number
        for place in range(len(completions[0])):
            forged = [list(counts) for counts in completions]
            forged[0][place] += 1
            assert judged(tmp_path, content, {**certificate, "completions": written(forged, digits)}, rows), number
    assert sound > 20
    assert refused > 5
    print(f"{sound} sound, {refused} refused")


def judged(
    folder: Path, content: bytes, certificate: dict[str, object], rows: list[dict[str, str]],
    adding_up: Sequence[list[str]] = (["m", "p", "school"],),
) -> list[str]:
    (folder / "measures.csv").write_bytes(content)
    (folder / "measures.certificate.json").write_text(json.dumps(certificate), encoding="utf-8")
    table = {"file": "measures.csv", "certificate": "measures.certificate.json", "means": [],
             "adding_up": list(adding_up)}
    files = {"measures.csv": {"sha256": certificate["sha256"]}, "measures.certificate.json": {}}
    try:
        return release_verifier._measures(folder, rows, table, {"min_cell": 10, "need": "strong", "files": files})
    except verifier.Violation as error:
        return [str(error)]


def test_a_breakdown_that_adds_up_by_its_printed_sizes_has_to_be_said_to(tmp_path: Path):
    rows = [row("all", 100, value="0.5"), row("A", 40, value="0.5"), row("B", 60, value="0.5")]
    content = pl.DataFrame(rows).select(NAMES).write_csv().encode()
    assert judged(tmp_path, content, json.loads(
        certified_measures("measures.csv", content, [], [["m", "p", "school"]], 10)), rows) == []
    unsaid = json.loads(certified_measures("measures.csv", content, [], [], 10))
    assert judged(tmp_path, content, unsaid, rows, adding_up=[]) == ["1 breakdown(s) are not said to add up, and do"]
    for other in ({"denominator": "62"}, {"denominator": "", "value": "", "shown": "hidden"}, {"value": "0.6"}):
        # More than the whole, not known, or with others than the whole has: the members need not make it up.
        changed = [*rows[:2], {**rows[2], **other}]
        content = pl.DataFrame(changed).select(NAMES).write_csv().encode()
        certificate = json.loads(certified_measures("measures.csv", content, [], [], 10))
        assert judged(tmp_path, content, certificate, changed, adding_up=[]) == []


def test_a_breakdown_names_the_whole_of_each_of_its_rows_only():
    rows = [row("all", 50), row("A", 20), row("B", 30), {**row("x", 10), "dimension": "sex"}]
    assert families(rows, [["m", "p", "school"]]) == [[-1, 0, 0, -1]]
    assert families(rows, []) == []


def test_protected_measures_of_a_large_district_are_certified(tmp_path: Path):
    sizes = {"A": 61_234, "B": 8_111, "C": 9, "D": 77, "E": 40_001}
    hits = {"A": 20_411, "B": 4, "C": 3, "D": 20, "E": 39_999}
    facts = [("m", "p", "school", name, float(hits[name]), float(size), size) for name, size in sizes.items()]
    total = sum(sizes.values())
    facts.append(("m", "p", "all", "all", float(sum(hits.values())), float(total), total))
    schema = ["measure_id", "period", "dimension", "member", "numerator", "denominator", "persons"]
    found = protect_measures(pl.DataFrame(facts, schema=schema, orient="row")).table
    content = found.write_csv().encode()
    certificate = json.loads(certified_measures("measures.csv", content, [], [["m", "p", "school"]], 10))
    rows = [{name: "" if cell is None else str(cell) for name, cell in each.items()}
            for each in found.iter_rows(named=True)]
    assert judged(tmp_path, content, certificate, rows) == []
