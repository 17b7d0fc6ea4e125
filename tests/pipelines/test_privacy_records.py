"""``privacy assess`` and ``privacy anonymize`` on any file: what is written, said and refused."""

from __future__ import annotations

import csv
import stat
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from pipelines.answer import Answer
from wellbridge.pipelines.cli.group import cli

CANARY = "Quetzalcoatlus"
GRADES = "06;6-8;*\n07;6-8;*\n08;6-8;*\n09;9-12;*\n10;9-12;*\n"


def run(*arguments: str | Path) -> Answer:
    done = CliRunner().invoke(cli, ["privacy", *(str(one) for one in arguments)])
    answer = Answer(done.exit_code, done.stdout, done.stderr)
    assert CANARY not in answer.stdout + answer.stderr
    return answer


def pupils(rows: int = 300, seed: int = 7) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    return pl.DataFrame({
        "student": [f"{CANARY}-{n}" for n in range(rows)], "grade": draw.choice(["06", "07", "08", "09", "10"], rows),
        "sex": draw.choice(["f", "m"], rows), "school": draw.choice(["north", "south"], rows),
        "score": draw.integers(0, 27, rows), "note": ["=cmd|'/c calc'!A1"] * rows,
        "seen": ["2026-03-01"] * rows,
    })


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pupils().write_csv(tmp_path / "pupils.csv", separator=";")
    (tmp_path / "grade.csv").write_text(GRADES, encoding="utf-8")
    return tmp_path


def classes(path: Path, columns: list[str]) -> dict[tuple[str, ...], int]:
    found: dict[tuple[str, ...], int] = {}
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter=";"):
            key = tuple(row[name] for name in columns)
            found[key] = found.get(key, 0) + 1
    return found


def test_anonymize_writes_a_private_k_anonymous_file_and_says_what_it_did(folder: Path) -> None:
    out = folder / "out.csv"
    answer = run("anonymize", folder / "pupils.csv", "--qi", f"grade={folder / 'grade.csv'}", "--qi", "sex",
                 "--qi", "school", "--keep", "score", "--k", "12", "--max-suppressed", "0.04", "--out", out, "--json")
    said = answer.document
    assert answer.exit == 0
    assert {"node", "suppressed", "loss", "checked", "cpu_s", "losses", "is_optimal", "bound"} <= set(said)
    assert said["dropped"] == ["student", "note", "seen"]
    assert said["smallest_class"] >= 12
    assert min(classes(out, ["grade", "sex", "school"]).values()) >= 12
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert CANARY not in out.read_text(encoding="utf-8")
    assert not list(folder.glob(".out.csv*"))


def test_the_same_file_in_another_order_gives_the_same_bytes(folder: Path) -> None:
    pupils().sample(fraction=1, shuffle=True, seed=3).write_csv(folder / "mixed.csv", separator=";")
    for name in ("pupils", "mixed"):
        assert run("anonymize", folder / f"{name}.csv", "--qi", f"grade={folder / 'grade.csv'}", "--qi", "sex",
                   "--keep", "score", "--out", folder / f"{name}.out").exit == 0
    assert (folder / "pupils.out").read_bytes() == (folder / "mixed.out").read_bytes()


def test_k_holds_within_school_and_school_stays_as_it_is(folder: Path) -> None:
    out = folder / "out.csv"
    assert run("anonymize", folder / "pupils.csv", "--qi", f"grade={folder / 'grade.csv'}", "--qi", "sex",
               "--within", "school", "--out", out).exit == 0
    found = classes(out, ["school", "grade", "sex"])
    assert min(found.values()) >= 10
    assert {key[0] for key in found} == {"north", "south"}


def test_parquet_goes_in_and_out_and_formulas_are_made_harmless(folder: Path) -> None:
    pupils().write_parquet(folder / "pupils.parquet")
    answer = run("anonymize", folder / "pupils.parquet", "--qi", "sex", "--keep", "note", "--k", "2",
                 "--out", folder / "out.parquet", "--json")
    assert answer.document["made_harmless"] == {"note": 300}
    found = pl.read_parquet(folder / "out.parquet")
    assert found.columns == ["sex", "note"]
    assert found["note"].str.starts_with("'=").all()


POLICY = """
k = 10
max_suppressed = 0.05
per_person = "student"
[columns]
student = {class = "direct", treatment = "code"}
grade = "quasi"
sex = "quasi"
school = "plain"
score = {class = "sensitive", treatment = "microaggregate", group = 5}
note = "free_text"
seen = {class = "plain", treatment = "date_shift"}
[quasi.grade]
hierarchy = "grade.csv"
weight = 3.0
[sensitive.score]
distinct = 4
t = 0.5
distance = "ordered"
"""


def with_policy(folder: Path, text: str, *more: str | Path) -> Answer:
    (folder / "policy.toml").write_text(text, encoding="utf-8")
    return run("anonymize", folder / "pupils.csv", "--policy", folder / "policy.toml", "--out", folder / "out.csv",
               "--json", *more)


def test_a_policy_says_the_same_in_a_file(folder: Path) -> None:
    said = with_policy(folder, POLICY).document
    assert said["exit_code"] == 0
    assert said["treated"] == {"student": "code", "score": "microaggregate", "seen": "date_shift"}
    assert said["dropped"] == ["note"]
    out = pl.read_csv(folder / "out.csv", separator=";", infer_schema=False)
    assert out["student"].str.len_chars().unique().to_list() == [32]
    assert CANARY not in (folder / "out.csv").read_text(encoding="utf-8")
    assert out["seen"].n_unique() > 5
    assert min(out.group_by("score").len()["len"]) >= 5


@pytest.mark.parametrize(
    ("old", "new", "code", "exit_code", "place"),
    [
        ('sex = "quasi"\n', "", "WB-E-014", 10, "sex"),
        ('"free_text"', '{class = "free_text", treatment = "keep"}', "WB-E-011", 10, "columns.note"),
        ('{class = "direct", treatment = "code"}', '{class = "direct", treatment = "keep"}', "WB-E-011", 10, "student"),
        ('"free_text"', '"secret"', "WB-E-011", 10, "columns.note.class"),
        ("max_suppressed", "max_supressed", "WB-E-015", 10, "near: max_suppressed"),
        ("[quasi.grade]", "[quasi.grad]", "WB-E-015", 10, "near: grade"),
        ('"grade.csv"', '"nowhere.csv"', "WB-E-047", 10, "nowhere.csv"),
        ("k = 10", "k = 1", "WB-E-011", 10, "k"),
        ("k = 10", "k = 301", "WB-E-043", 14, "setting k"),
        ("distinct = 4", "distinct = 400", "WB-E-043", 14, "quasi-identifiers"),
        ("k = 10", f"k = {CANARY}", "WB-E-011", 10, "policy.toml"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(
    folder: Path, old: str, new: str, code: str, exit_code: int, place: str
) -> None:
    answer = with_policy(folder, POLICY.replace(old, new, 1))
    assert (answer.error["code"], answer.exit) == (code, exit_code)
    assert place in answer.error["where"]
    assert not (folder / "out.csv").exists()


def test_a_setting_is_not_given_twice(folder: Path) -> None:
    assert with_policy(folder, POLICY, "--k", "5").error["code"] == "WB-E-011"


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["--qi", "grad"], "WB-E-015", 10),
        (["--qi", "grade=tree.csv"], "WB-E-047", 10),
        (["--qi", "grade=half.csv"], "WB-E-047", 10),
        (["--qi", "grade=circle.csv"], "WB-E-047", 10),
        (["--qi", "grade=astrology"], "WB-E-015", 10),
        (["--qi", "sex", "--k", "301"], "WB-E-043", 14),
        (["--qi", "sex", "--k", "1"], "WB-E-044", 14),
        (["--qi", "student=half.csv", "--k", "5"], "WB-E-047", 10),
        ([], "WB-E-011", 10),
        (["--qi", "sex", "--weight", "sex=much"], "WB-E-011", 10),
        (["--qi", "sex", "--keep", "sex"], "WB-E-011", 10),
        (["--qi", "sex", "--t", "2"], "WB-E-016", 2),
    ],
)
def test_a_command_that_cannot_be_meant_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: str, exit_code: int
) -> None:
    monkeypatch.chdir(folder)
    Path("half.csv").write_text("06;*\n07;*\n", encoding="utf-8")
    Path("circle.csv").write_text(f"06;{CANARY};*\n{CANARY};06;*\n", encoding="utf-8")
    answer = run("anonymize", "pupils.csv", *arguments, "--out", "out.csv", "--json")
    assert (answer.error["code"], answer.exit) == (code, exit_code)
    assert not Path("out.csv").exists()


@pytest.mark.parametrize("command", ["assess", "anonymize"])
@pytest.mark.parametrize(
    "content",
    [None, b"", b"\n", b"a,b\n", b"a,a\n1,2\n", b"a,b\n1,2,3\n", b"a,b\n1,\xff\n", b"PAR1 and nothing",
     b"\x00\x01,b\n1,2"],
    ids=["missing", "empty", "blank", "header only", "two names", "ragged", "no UTF-8", "no Parquet", "binary"],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, command: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "bad.csv").write_bytes(content)
    more = ["--out", str(tmp_path / "out.csv")] if command == "anonymize" else []
    answer = run(command, tmp_path / "bad.csv", "--qi", "a", *more, "--json")
    assert (answer.error["code"], answer.exit) == ("WB-E-023", 11)
    assert "bad.csv" in answer.error["where"]


def test_a_file_is_not_written_over_itself_or_into_nothing(folder: Path) -> None:
    for out in (folder / "pupils.csv", folder / "no" / "such.csv"):
        answer = run("anonymize", folder / "pupils.csv", "--qi", "sex", "--out", out, "--json")
        assert (answer.error["code"], answer.exit) == ("WB-E-011", 10)


def test_assess_measures_and_writes_one_offline_page_without_a_value(folder: Path) -> None:
    page = folder / "risk.html"
    answer = run("assess", folder / "pupils.csv", "--qi", "student", "--qi", "grade", "--sensitive", "score",
                 "--html", page, "--json")
    said = answer.document
    assert (said["k"], said["uniques"], said["sensitive"][0]["distance"]) == (1, 300, "ordered")
    text = page.read_text(encoding="utf-8")
    assert "<svg" in text
    assert "http" not in text.replace("http-equiv", "")
    assert "<script" not in text
    assert CANARY not in text
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


def test_a_page_hides_what_few_stand_behind(folder: Path) -> None:
    few = pl.DataFrame({"q": ["a"] * 40 + ["b"] * 40 + [f"u{n}" for n in range(4)]})
    few.write_csv(folder / "few.csv")
    assert run("assess", folder / "few.csv", "--qi", "q", "--html", folder / "few.html").exit == 0
    text = (folder / "few.html").read_text(encoding="utf-8")
    assert "hidden" in text
    assert "5%" not in text  # four of eighty-four


def test_assess_without_options_takes_every_column_and_says_so_in_words(folder: Path) -> None:
    answer = run("assess", folder / "pupils.csv", "--per-person", "student", "--sensitive", "score")
    assert answer.exit == 0
    assert "grade, sex, school, note, seen" in answer.stdout
    assert "300 persons in 300 rows" in answer.stdout


def test_a_blank_line_is_no_person_and_a_row_of_nobody_is_counted(tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_bytes(b"\xef\xbb\xbfn,class\na,1\n\na,2\na,\n,\n")
    assert run("assess", tmp_path / "some.csv", "--qi", "n", "--json").document["persons"] == 3
    said = run("anonymize", tmp_path / "some.csv", "--qi", "n", "--per-person", "class", "--k", "2",
               "--out", tmp_path / "out.csv", "--json").document
    assert (said["blank_lines"], said["unowned_rows"], said["persons"], said["rows"]) == (2, 1, 2, 2)
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == "n\na\na\n"


def test_columns_may_have_any_name(tmp_path: Path) -> None:
    names = ["n", "class", "person", "q0", "=1+1", "row", "value", "0"]
    pl.DataFrame({name: ["x", "y"] * 10 for name in names}).write_csv(tmp_path / "some.csv")
    options = [part for name in names for part in ("--qi", name)]
    answer = run("anonymize", tmp_path / "some.csv", *options, "--out", tmp_path / "out.csv", "--json")
    assert answer.exit == 0
    assert run("assess", tmp_path / "some.csv", *options, "--json").document["k"] == 10
    header = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == ",".join(names).replace("=1+1", "'=1+1")


def test_lists_in_a_parquet_file_are_refused_by_column(tmp_path: Path) -> None:
    pl.DataFrame({"a": [[1], [2]], "b": [1, 2]}).write_parquet(tmp_path / "nested.parquet")
    assert run("assess", tmp_path / "nested.parquet", "--qi", "b", "--json").error["code"] == "WB-E-023"


def test_a_search_that_is_stopped_says_so(folder: Path) -> None:
    said = run("anonymize", folder / "pupils.csv", "--qi", f"grade={folder / 'grade.csv'}", "--qi", "sex", "--qi",
               "school", "--k", "40", "--max-nodes", "1", "--out", folder / "out.csv", "--json").document
    assert said["checked"] <= 2
    assert not said["is_optimal"]
    assert said["bound"] < said["loss"]
    assert said["smallest_class"] >= 40
