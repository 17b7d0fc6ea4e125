"""Releases beside earlier ones through the command line: cohorts, further protection, refusal, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from wellbridge.pipelines.cli import main

CANARY = "Zebra-Elementary-7731"


def run(*words: str | Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main([str(word) for word in (*words, "--json")])
    text = capsys.readouterr().out
    assert isinstance(done.value.code, int)
    return done.value.code, json.loads(text), text


def rows(seed: int, *, times: int = 1, least: int = 12) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    cells = [
        (school, f"G{grade}", f"R{race}", int(draw.integers(least, 90)) * times)
        for school in (CANARY, "S1", "S2", "S3")
        for grade in range(3)
        for race in range(3)
    ]
    return pl.DataFrame(cells, schema=["school", "grade", "race", "n"], orient="row")


def with_more(frame: pl.DataFrame, place: int, more: int) -> pl.DataFrame:
    counts = frame["n"].to_list()
    counts[place] += more
    return frame.with_columns(pl.Series("n", counts))


def protect(
    folder: Path,
    frame: pl.DataFrame,
    name: str,
    cohort: str = "",
    after: tuple[str, ...] = (),
    by: tuple[str, ...] = ("school", "grade", "race"),
    *,
    capsys: pytest.CaptureFixture[str],
) -> tuple[int, dict[str, Any], str]:
    frame.write_csv(folder / f"{name}.csv")
    words: list[str | Path] = [
        "privacy",
        "protect",
        folder / f"{name}.csv",
        "--count",
        "n",
        "--out",
        folder / name,
    ]
    words += [word for column in by for word in ("--by", column)]
    words += [word for earlier in after for word in ("--after", folder / earlier)]
    if cohort:
        (folder / f"{name}.toml").write_text(cohort)
        words += ["--cohort", folder / f"{name}.toml"]
    return run(*words, capsys=capsys)


YEAR = 'population = "served"\nfrom = 2025-08-01\nto = 2026-07-31\n'
YEARS = 'population = "served"\nfrom = 2023-08-01\nto = 2026-07-31\n'


def test_a_year_beside_three_years_gives_the_difference_away_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    year = rows(1)
    years = with_more(year.with_columns(pl.col("n") + 40), 5, -36)
    assert protect(tmp_path, year, "year", YEAR, capsys=capsys)[0] == 0
    assert protect(tmp_path, years, "years", YEARS, capsys=capsys)[0] == 0
    code, told, _ = run("privacy", "attack", tmp_path / "year", tmp_path / "years", capsys=capsys)
    assert code == 18
    assert told["tables"]["differences"] == told["tables"]["given_away"] == 1
    why = told["tables"]["explained"][0]
    assert why["kind"] == "difference"
    assert {part["release"] for part in why["because"]} == {"year", "years"}
    assert len(why["because"]) == 2
    assert all(part["cell"] == why["cell"] for part in why["because"])


def test_the_same_two_tables_are_clean_when_they_say_that_they_count_other_children(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protect(tmp_path, rows(1), "ours", 'population = "ours"', capsys=capsys)
    protect(tmp_path, with_more(rows(1), 3, 4), "theirs", 'population = "theirs"', capsys=capsys)
    code, told, _ = run("privacy", "attack", tmp_path / "ours", tmp_path / "theirs", capsys=capsys)
    assert (code, told["tables"]["groups"]) == (0, [0, 1])


@pytest.mark.parametrize("cohort", ["", 'population = "students"\nas_of = 2025-10-05\n'])
def test_a_correction_is_hidden_beside_what_was_told_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cohort: str
) -> None:
    first = 'population = "students"\nas_of = 2025-10-01\n' if cohort else ""
    before = rows(2)
    after = with_more(with_more(before, 4, 3), 7, -3)  # three children of another race than was told
    protect(tmp_path, before, "before", first, capsys=capsys)
    protect(tmp_path, after, "bare", cohort, capsys=capsys)
    assert run("privacy", "attack", tmp_path / "before", tmp_path / "bare", capsys=capsys)[0] == 18
    code, told, _ = protect(tmp_path, after, "further", cohort, ("before",), capsys=capsys)
    assert code == 0
    assert told["secondary"] > 0
    assert run("privacy", "attack", tmp_path / "before", tmp_path / "further", capsys=capsys)[0] == 0
    assert run("privacy", "verify", tmp_path / "further", capsys=capsys)[0] == 0


def test_what_hiding_cannot_mend_is_refused_naming_release_and_dimension_and_no_member(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows(3)
    protect(tmp_path, before, "before", YEAR, by=("school",), capsys=capsys)
    after = before
    for school in range(4):  # a few in every school: nothing but the total could still be told
        after = with_more(after, 9 * school, 4)
    code, told, text = protect(tmp_path, after, "after", YEARS, ("before",), ("school",), capsys=capsys)
    assert code == 14
    error = told["errors"][0]
    assert error["code"] == "WB-E-042"
    assert "before" in error["where"]
    assert "drop dimension school" in error["where"]
    assert CANARY not in text
    assert not (tmp_path / "after").exists()


def test_a_district_beside_its_state_is_placed_by_what_all_its_children_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = rows(4, least=4)
    mine = state.filter(pl.col("school") == CANARY)
    protect(tmp_path, state, "state", 'population = "students"', capsys=capsys)
    protect(
        tmp_path,
        mine,
        "mine",
        f'population = "students"\nwhere = {{ school = "{CANARY}" }}',
        by=("grade", "race"),
        capsys=capsys,
    )
    _, told, _ = run("privacy", "attack", tmp_path / "state", tmp_path / "mine", capsys=capsys)
    assert told["tables"]["groups"] == [0, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        "population = 3",
        'strange = "x"',
        "on = 2025-01-01\nfrom = 2024-01-01",
        "from = 2025-01-01",
        "from = 2025-01-02\nto = 2025-01-01",
        'on = "yesterday"',
        "where = { school = 3 }",
        "within = 3",
        "differs = { a = -1 }",
    ],
)
def test_a_cohort_that_is_not_understood_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    code, told, _ = protect(tmp_path, rows(5), "table", wrong, capsys=capsys)
    assert (code, told["errors"][0]["code"]) == (10, "WB-E-011")
    assert not (tmp_path / "table").exists()


def test_whom_a_table_counts_is_said_in_its_certificate_and_cannot_be_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows(7).write_csv(tmp_path / "t.csv")
    (tmp_path / "whom.toml").write_text(YEAR)
    sealed = ("--sealed", tmp_path / "sealed", "--seal-key", tmp_path / "sealing")
    named = ("--count", "n", "--by", "school", "--by", "grade", "--by", "race")
    said = ("--cohort", tmp_path / "whom.toml")
    run(
        "privacy",
        "protect",
        tmp_path / "t.csv",
        *named,
        *said,
        *sealed,
        "--sign",
        tmp_path / "key",
        "--out",
        tmp_path / "out",
        capsys=capsys,
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "table.csv",
        "certificate.json",
        "certificate.json.sig",
    }
    checks = (["--key", tmp_path / "key.pub"], list(sealed), [])
    for words in checks:
        assert run("privacy", "verify", tmp_path / "out", *words, capsys=capsys)[0] == 0
    certificate = tmp_path / "out" / "certificate.json"
    text = certificate.read_text()
    certificate.write_text(text.replace('"population": "served"', '"population": "others"'))
    assert certificate.read_text() != text
    for words in checks:
        assert run("privacy", "verify", tmp_path / "out", *words, capsys=capsys)[0] == 18
    (
        tmp_path / "out" / "certificate.json.sig"
    ).unlink()  # whoever has no key to compare with still has the sealed one
    assert [run("privacy", "verify", tmp_path / "out", *words, capsys=capsys)[0] for words in checks] == [
        18,
        18,
        0,
    ]


def test_certify_says_whom_a_table_counts_that_was_protected_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    year = rows(1)
    years = with_more(year.with_columns(pl.col("n") + 40), 5, -36)
    for name, frame, whom in (("year", year, YEAR), ("years", years, YEARS)):
        protect(tmp_path, frame, f"{name}-made", capsys=capsys)
        (tmp_path / name).mkdir()
        (tmp_path / name / "table.csv").write_bytes((tmp_path / f"{name}-made" / "table.csv").read_bytes())
        (tmp_path / f"{name}.toml").write_text(whom)
        code, _, _ = run(
            "privacy",
            "certify",
            tmp_path / name,
            "--count",
            "n",
            "--by",
            "school",
            "--by",
            "grade",
            "--by",
            "race",
            "--cohort",
            tmp_path / f"{name}.toml",
            capsys=capsys,
        )
        assert code == 0
    folders = [tmp_path / name / "certified" for name in ("year", "years")]
    code, told, _ = run("privacy", "attack", *folders, capsys=capsys)
    assert (code, told["tables"]["differences"]) == (18, 1)


def test_a_cohort_in_a_certificate_that_is_not_understood_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protect(tmp_path, rows(1), "year", YEAR, capsys=capsys)
    certificate = tmp_path / "year" / "certificate.json"
    certificate.write_text(certificate.read_text().replace('"population"', '"people"'))
    code, told, _ = run("privacy", "attack", tmp_path / "year", capsys=capsys)
    assert (code, told["errors"][0]["code"]) == (10, "WB-E-011")


def test_releases_said_to_count_the_same_children_that_contradict_each_other_are_taken_for_corrections(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = 'population = "students"'
    protect(tmp_path, rows(6), "one", same, capsys=capsys)
    protect(tmp_path, with_more(rows(6), 2, 5), "two", same, capsys=capsys)
    code, told, _ = run("privacy", "attack", tmp_path / "one", tmp_path / "two", capsys=capsys)
    assert code == 18
    assert told["tables"]["explained"][0]["kind"] == "change"
