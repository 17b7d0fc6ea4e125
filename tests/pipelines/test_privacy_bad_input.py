"""What cannot be meant, or cannot be protected, through the command line: a clear error or a stated fallback."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.answer import Answer
from pipelines.test_privacy_records import CANARY, GRADES, POLICY, pupils, run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pupils().write_csv(tmp_path / "pupils.csv", separator=";")
    (tmp_path / "grade.csv").write_text(GRADES, encoding="utf-8")
    return tmp_path


def anonymized(folder: Path, *more: str | Path) -> Answer:
    return run("anonymize", folder / "pupils.csv", *more, "--out", folder / "out.csv", "--json")


@pytest.mark.parametrize(("lines", "place"), [
    ("06;6-8;*\n07;6-8;*\n08;6-8;*\n09;9-12;*\n", "value"),  # a grade of the file is not in it
    (f"{GRADES};6-8;*\n06;9-12;*\n", "line"),  # one grade twice, under two parents
    ("06;6-8;06;*\n07;6-8;06;*\n08;6-8;06;*\n09;9-12;12;*\n10;9-12;12;*\n", "line"),  # above itself: a cycle
    ("06;6-8;9-12\n07;6-8;9-12\n08;6-8;9-12\n09;9-12;6-8\n10;9-12;6-8\n", "line"),  # two labels above each other
    ("06;6-8;*\n07;6-8\n08;6-8;*\n09;9-12;*\n10;9-12;*\n", "line"),  # a level is missing
    ("06;6-8;*\n07;;*\n08;6-8;*\n09;9-12;*\n10;9-12;*\n", "line"),  # a label is missing
    (f"{CANARY};{CANARY}", "value"), ("", ""),
])
def test_a_hierarchy_that_is_no_tree_over_the_file_is_refused(folder: Path, lines: str, place: str) -> None:
    (folder / "grade.csv").write_text(lines, encoding="utf-8")
    found = anonymized(folder, "--qi", f"grade={folder / 'grade.csv'}", "--k", "5")
    assert (found.exit, found.error["code"]) == (10, "WB-E-047"), found.stdout
    assert place in found.error["what"].lower() + found.error["where"].lower()
    assert not (folder / "out.csv").exists()


@pytest.mark.parametrize("k", ["301", "100000"])
def test_a_k_above_the_cohort_is_refused_and_nothing_weaker_is_written(folder: Path, k: str) -> None:
    found = anonymized(folder, "--qi", f"grade={folder / 'grade.csv'}", "--qi", "sex", "--k", k)
    assert (found.exit, found.error["code"]) == (14, "WB-E-043")
    (folder / "policy.toml").write_text(POLICY.replace("k = 10", f"k = {k}"), encoding="utf-8")
    by_policy = anonymized(folder, "--policy", folder / "policy.toml")
    assert (by_policy.exit, by_policy.error["code"]) == (14, "WB-E-043")
    assert not (folder / "out.csv").exists()


def test_a_column_without_a_class_is_named_and_nothing_leaves(folder: Path) -> None:
    (folder / "policy.toml").write_text(POLICY.replace('school = "plain"\n', ""), encoding="utf-8")
    found = anonymized(folder, "--policy", folder / "policy.toml")
    assert found.error["code"] == "WB-E-014"
    assert "school" in found.error["where"]
    assert not (folder / "out.csv").exists()


def large(folder: Path) -> Path:
    """More cells than the exact method takes on: 90 schools of 13 grades by 12 groups, most of them small."""
    chance = np.random.default_rng(20261127)
    shape = (90, 13, 12)
    counts = chance.poisson(chance.gamma(0.6, 12, shape))
    places = np.indices(shape).reshape(3, -1)
    path = folder / "large.csv"
    pl.DataFrame({"school": places[0], "grade": places[1], "race": places[2], "n": counts.ravel()}).write_csv(path)
    return path


@pytest.mark.slow
def test_a_table_too_large_for_the_exact_method_is_protected_and_called_optimal_only_at_its_bound(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    said = run("protect", large(tmp_path), "--by", "school", "--by", "grade", "--by", "race", "--count", "n", "--need",
               "weak", "--out", out, "--json").document
    assert said["unprotected"] == 0
    assert said["lower_bound"] <= said["secondary"]
    assert said["optimal"] == (said["lower_bound"] == said["secondary"])
    assert run("verify", out).exit == 0
    assert run("attack", out).exit == 0


@pytest.mark.parametrize("count", ["-1", "2.5", "", "x", "nan", "inf", "1e12"])
def test_noise_and_rounding_take_no_count_that_is_none(tmp_path: Path, count: str) -> None:
    file = tmp_path / "t.csv"
    file.write_text(f"school,race,n\nA,x,{count}\nB,x,20\n", encoding="utf-8")
    for method in ("rounding", "dp"):
        money = () if method == "rounding" else ("--rho", "1", "--budget", tmp_path / "b", "--budget-limit", "zcdp:9",
                                                 "--agreement", "a", "--population", "p")
        found = run("perturb", file, "--by", "school", "--by", "race", "--count", "n", "--method", method, *money,
                    "--out", tmp_path / "o.csv", "--json")
        assert (found.exit, found.error["code"]) == (14, "WB-E-046")
        assert not (tmp_path / "o.csv").exists()


def test_a_file_without_header_is_refused_and_its_first_child_is_not_named(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("03601,CANARYNAME,3,2015-02-03\n03601,OTHER,4,2015-02-04\n", encoding="utf-8")
    out = tmp_path / "o.csv"
    for asked in (("assess", file, "--qi", "grade"), ("anonymize", file, "--qi", "grade", "--out", out)):
        found = run(*asked, "--json")
        assert (found.exit, found.error["code"]) == (11, "WB-E-023")
        assert "CANARY" not in json.dumps(found.document)
    file.write_text("B,CANARYNAME,3\nB,OTHER,4\n", encoding="utf-8")  # a line that may be a header
    found = run("assess", file, "--qi", "grade", "--json")
    assert (found.exit, found.error["code"]) == (10, "WB-E-015")
    assert "CANARY" not in json.dumps(found.document)


@pytest.mark.parametrize("rho", ["1e-300", "0", "-1", "nan"])
def test_a_loss_too_small_to_draw_for_is_refused_at_once(tmp_path: Path, rho: str) -> None:
    file = tmp_path / "t.csv"
    file.write_text("school,race,n\nA,x,30\nB,x,20\n", encoding="utf-8")
    found = run("perturb", file, "--by", "school", "--by", "race", "--count", "n", "--method", "dp", "--rho", rho,
                "--budget", tmp_path / "b", "--budget-limit", "zcdp:9", "--agreement", "a", "--population", "p",
                "--out", tmp_path / "o.csv", "--json")
    assert (found.exit, found.error["code"]) == (10, "WB-E-011")
    assert not (tmp_path / "o.csv").exists()


def test_l_and_t_of_nothing_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("grade,name\n" + "3,x\n" * 30, encoding="utf-8")
    found = run("anonymize", file, "--qi", "grade", "--l", "2", "--out", tmp_path / "o.csv", "--json")
    assert (found.exit, found.error["code"]) == (10, "WB-E-011")
