"""``privacy protect`` and ``privacy verify`` on any file: what is written, said and refused."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from pipelines.answer import Answer
from privacy.independent_attacker import hidden_ranges
from wellbridge.pipelines.cli.group import cli

CANARY = "Quetzalcoatlus"
COUNT = 40_427  # of no cell and no sum but the one that it is planted in
BY = ("--by", "school", "--by", "race", "--count", "n")
# School A has 84 children, 4 of them AM: ACRO 1.0.2 blanks the 4, prints 80 as the row's total and 84 in the
# one-way table of the same session.
LEAKING = [
    ("A", "AM", 4), ("A", "BL", 20), ("A", "WH", 60), ("B", "AM", 12), ("B", "BL", 30), ("B", "WH", 70),
    ("C", "AM", 15), ("C", "BL", 40), ("C", "WH", 50),
]
Rows = Sequence[tuple[object, ...]]


def run(*arguments: str | Path) -> Answer:
    done = CliRunner().invoke(cli, ["privacy", *(str(one) for one in arguments)])
    answer = Answer(done.exit_code, done.stdout, done.stderr)
    assert CANARY not in answer.stdout + answer.stderr
    assert str(COUNT) not in answer.stdout + answer.stderr
    return answer


def write(folder: Path, rows: Rows = LEAKING, header: str = "school,race,n") -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows), ""]), encoding="utf-8")
    return path


def refused(folder: Path, file: Path, *arguments: str | Path, code: str, exit_code: int) -> dict[str, Any]:
    """Ask for what must be refused, as text and as JSON; return the error of the latter."""
    before = sorted(folder.rglob("*"))
    out = () if "--out" in arguments else ("--out", folder / "out")
    text = run("protect", file, *arguments, *out)
    assert text.exit == exit_code, text.stderr
    assert f"{code} · exit {exit_code}" in text.stderr
    (error,) = run("protect", file, *arguments, *out, "--json").document["errors"]
    assert all(error.values())
    assert (error["code"], error["exit_code"]) == (code, exit_code)
    assert sorted(folder.rglob("*")) == before, "nothing is written"
    return dict(error)


def without(rows: Rows, place: int, *cells: object) -> list[tuple[object, ...]]:
    return [*rows[:place], cells, *rows[place + 1:]]


def test_protect_writes_a_private_release_that_verifies_and_says_what_it_did(tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = run("protect", write(tmp_path), *BY, "--out", out, "--json").document
    assert {"cells", "primary", "secondary", "unprotected", "optimal", "lower_bound", "cpu_s"} <= set(said)
    assert (said["cells"], said["primary"], said["secondary"], said["unprotected"]) == (16, 1, 3, 0)
    assert (said["optimal"], said["lower_bound"], said["min_cell"], said["need"]) == (True, 3, 10, "strong")
    assert sorted(path.name for path in out.iterdir()) == ["certificate.json", "table.csv"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}
    assert run("verify", out).exit == 0
    assert run("verify", out, "--json").document["violations"] == []


def test_acros_leak_is_blocked_when_the_two_way_table_is_given(tmp_path: Path) -> None:
    assert run("protect", write(tmp_path), *BY, "--out", tmp_path / "out").exit == 0
    found = pl.read_csv(tmp_path / "out" / "table.csv", schema_overrides={"n": pl.Int64})
    shown = {(school, race): n for school, race, n in found.iter_rows()}
    assert shown["A", "AM"] is None
    assert shown["A", "all"] == 84
    hidden = list(hidden_ranges(found, ["school", "race"]))
    assert all(least < greatest for _, least, greatest in hidden)
    small = [(least, greatest) for row, least, greatest in hidden if (row["school"], row["race"]) == ("A", "AM")]
    assert small[0][0] <= 1
    assert small[0][1] >= 10


def test_a_table_with_its_margins_and_one_without_give_the_same_release(tmp_path: Path) -> None:
    names = ["A", "B", "C", "all"], ["AM", "BL", "WH", "all"]
    full = [
        (school, race, sum(n for s, r, n in LEAKING if school in ("all", s) and race in ("all", r)))
        for school in names[0] for race in names[1]
    ]
    for name, rows in (("inner", LEAKING), ("full", full)):
        assert run("protect", write(tmp_path, rows), *BY, "--out", tmp_path / name).exit == 0
    for name in ("table.csv", "certificate.json"):
        assert (tmp_path / "inner" / name).read_bytes() == (tmp_path / "full" / name).read_bytes()


def test_a_table_with_nothing_small_is_released_whole(tmp_path: Path) -> None:
    for number, rows in enumerate(([*LEAKING[1:]], [("A", "AM", 50)], [("A", "AM", 0), ("B", "BL", 0)])):
        out = tmp_path / str(number)
        said = run("protect", write(tmp_path, rows), *BY, "--out", out, "--json").document
        assert (said["primary"], said["secondary"], said["optimal"]) == (0, 0, True)
        assert run("verify", out).exit == 0


def test_members_that_a_spreadsheet_would_run_are_made_harmless(tmp_path: Path) -> None:
    rows = [("=1+1" if school == "A" else school, race, n) for school, race, n in LEAKING]
    assert run("protect", write(tmp_path, rows), *BY, "--out", tmp_path / "out").exit == 0
    assert "\n'=1+1,AM,\n" in (tmp_path / "out" / "table.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ['"a,b"', '"a""b"', " a ", "é", "#a", '""', "all of them"])
def test_members_of_any_spelling_are_released_and_verified(tmp_path: Path, name: str) -> None:
    rows = [(name if school == "A" else school, race, n) for school, race, n in LEAKING]
    assert run("protect", write(tmp_path, rows), *BY, "--out", tmp_path / "out").exit == 0
    assert run("verify", tmp_path / "out").exit == 0


@pytest.mark.parametrize(
    "count", ["-1", f"-{COUNT}", "1.5", "", "NaN", "inf", "1e300", "abc", CANARY, str(2**40), str(2**64)]
)
def test_a_count_that_is_none_is_refused(tmp_path: Path, count: str) -> None:
    file = write(tmp_path, without(LEAKING, 0, CANARY, "AM", count))
    row = 1 + next(at for at, line in enumerate(file.read_text(encoding="utf-8").splitlines()[1:]) if CANARY in line)
    assert refused(tmp_path, file, *BY, code="WB-E-046", exit_code=14)["where"] == f"column n · row {row}"


def test_of_several_counts_that_are_none_the_first_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, [(school, race, n if n < 30 else -n) for school, race, n in LEAKING])
    assert refused(tmp_path, file, *BY, code="WB-E-046", exit_code=14)["where"] == "column n · row 3 and 4 more"


MARGINS = [("A", "AM", 40), ("A", "all", 40), ("all", "AM", 40), ("all", "all", 40)]


@pytest.mark.parametrize(
    "rows",
    [without(MARGINS, 3, "all", "all", COUNT), MARGINS[:3], [*MARGINS, MARGINS[0]], without(MARGINS, 0, "A", "", 40)],
    ids=["a margin that is no sum", "a margin missing", "a cell twice", "a member without a name"],
)
def test_margins_that_do_not_fit_are_refused(tmp_path: Path, rows: Rows) -> None:
    refused(tmp_path, write(tmp_path, rows), *BY, code="WB-E-046", exit_code=14)


def test_a_member_with_two_parents_is_refused(tmp_path: Path) -> None:
    rows = [("North", CANARY, "AM", COUNT), ("South", CANARY, "BL", 30)]
    file = write(tmp_path, rows, "district,school,race,n")
    error = refused(tmp_path, file, "--by", "school<district", "--by", "race", "--count", "n", code="WB-E-046",
                    exit_code=14)
    assert error["where"] == "dimensions school, district"


@pytest.mark.parametrize("wrong", [("--by", "scool", "--count", "n"), ("--by", "school<distrct", "--count", "n"),
                                   ("--by", "school", "--count", "nn")])
def test_a_column_that_is_not_there_is_refused_with_the_near_names(tmp_path: Path, wrong: tuple[str, ...]) -> None:
    file = write(tmp_path, [("D", *row) for row in LEAKING], "district,school,race,n")
    where = refused(tmp_path, file, *wrong, code="WB-E-015", exit_code=10)["where"]
    assert any(name in where.partition("near: ")[2].split(", ") for name in ("school", "district", "n"))


@pytest.mark.parametrize("by", [("school", "school"), ("school", "n"), ("school<school",)], ids=" ".join)
def test_a_column_that_is_named_twice_is_refused(tmp_path: Path, by: tuple[str, ...]) -> None:
    options = [part for one in by for part in ("--by", one)]
    refused(tmp_path, write(tmp_path), *options, "--count", "n", code="WB-E-011", exit_code=10)


def test_names_that_would_break_the_released_lines_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path, without(LEAKING, 0, f'"{CANARY}\nA"', "AM", COUNT))
    refused(tmp_path, file, *BY, code="WB-E-046", exit_code=14)
    file = write(tmp_path, LEAKING, 'school,"race, short",n')
    refused(tmp_path, file, "--by", "school", "--by", "race, short", "--count", "n", code="WB-E-011", exit_code=10)


def test_a_table_of_small_cells_alone_is_refused_and_the_dimension_to_drop_is_named(tmp_path: Path) -> None:
    rows = [(school, f"{CANARY} {race}", 3) for school in "AB" for race in range(3)]
    error = refused(tmp_path, write(tmp_path, rows), *BY, code="WB-E-042", exit_code=14)
    assert error["where"] == "drop dimension race"


@pytest.mark.parametrize("least", ["-5", "0", "1", "2"])
def test_a_minimum_cell_below_three_is_refused(tmp_path: Path, least: str) -> None:
    refused(tmp_path, write(tmp_path), *BY, "--min-cell", least, code="WB-E-044", exit_code=14)


@pytest.mark.parametrize("text", [None, "", "school,race,n\n", "school,race,n\nA,AM,4,5\n"])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "table.csv"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    refused(tmp_path, file, *BY, code="WB-E-023", exit_code=11)


def test_a_folder_that_is_not_empty_or_is_none_is_refused_before_any_work(tmp_path: Path) -> None:
    file, full = write(tmp_path), tmp_path / "full"
    full.mkdir()
    (full / "theirs.txt").write_text("kept", encoding="utf-8")
    for out in (full, full / "theirs.txt"):
        refused(tmp_path, file, *BY, "--out", out, code="WB-E-011", exit_code=10)


def test_a_seal_without_its_key_and_a_key_without_its_seal_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path)
    for option in ("--sealed", "--seal-key"):
        refused(tmp_path, file, *BY, option, tmp_path / "new", code="WB-E-011", exit_code=10)


def test_a_seal_that_could_not_be_written_is_refused_before_the_release_is(tmp_path: Path) -> None:
    file, other, none = write(tmp_path), tmp_path / "other", tmp_path / "none"
    other.write_bytes(b"x" * 31)
    other.chmod(0o600)
    refused(tmp_path, file, *BY, "--sealed", other, "--key", tmp_path / "key", code="WB-E-011", exit_code=10)
    refused(tmp_path, file, *BY, "--sealed", none / "s", "--key", tmp_path / "key", code="WB-E-011", exit_code=10)
    refused(tmp_path, file, *BY, "--sealed", none, "--key", none, code="WB-E-011", exit_code=10)
    refused(tmp_path, file, *BY, "--sealed", none, "--key", other, code="WB-E-052", exit_code=15)
    other.chmod(0o644)
    refused(tmp_path, file, *BY, "--sealed", none, "--key", other, code="WB-E-051", exit_code=15)


def test_the_auditors_certificate_opens_with_its_key_alone(tmp_path: Path) -> None:
    file = write(tmp_path)
    for name in ("one", "two"):
        assert run("protect", file, *BY, "--out", tmp_path / name, "--sealed", tmp_path / f"{name}.sealed", "--key",
                   tmp_path / f"{name}.key").exit == 0
    one, sealed, key = tmp_path / "one", tmp_path / "one.sealed", tmp_path / "one.key"
    assert run("verify", one, "--sealed", sealed, "--seal-key", key).exit == 0
    assert b'"base"' not in sealed.read_bytes()
    assert run("verify", one, "--sealed", sealed, "--seal-key", tmp_path / "two.key").exit == 15
    assert run("verify", one, "--sealed", sealed).exit == 10
    assert run("verify", one, "--sealed", tmp_path / "none", "--seal-key", key).exit == 11
    assert run("verify", one, "--sealed", sealed, "--seal-key", tmp_path / "none").exit == 15
    sealed.write_bytes(sealed.read_bytes()[:-1] + b"x")
    assert run("verify", one, "--sealed", sealed, "--seal-key", key).exit == 15


def test_the_auditors_certificate_is_opened_for_the_verifier_of_one_file(tmp_path: Path) -> None:
    out, opened, alone = tmp_path / "out", tmp_path / "opened.json", tmp_path / "verify.pyz"
    locked = ("--sealed", tmp_path / "sealed", "--seal-key", tmp_path / "key")
    assert run("protect", write(tmp_path), *BY, "--out", out, *locked).exit == 0
    said = run("verify", out, *locked, "--open", opened, "--json")
    assert (said.exit, said.document["checked"]) == (0, {"min_cell": 10, "need": "strong"})
    assert "holds the true counts" in said.stderr
    assert stat.S_IMODE(opened.stat().st_mode) == 0o600
    for more in (("--open", opened, *locked), ("--open", out / "opened.json", *locked),
                 ("--open", tmp_path / "none" / "x", *locked), ("--open", tmp_path / "new")):
        assert run("verify", out, *more).exit == 10
    assert run("verify", out).exit == 0, "nothing was written beside the table"
    assert CliRunner().invoke(cli, ["extract", "verifier", str(alone)]).exit_code == 0

    def verified(sealed: Path) -> tuple[int, str]:
        command = [sys.executable, "-I", "-S", str(alone), str(out), "--sealed", str(sealed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    assert verified(opened) == (0, "sound: minimum cell 10, strong need\n")
    truth = json.loads(opened.read_text(encoding="utf-8"))
    opened.write_text(json.dumps({**truth, "certificate": "0" * 64}), encoding="utf-8")
    assert verified(opened) == (18, "the auditor's certificate is of another release\n")


def test_verify_says_which_limits_were_checked_so_that_lower_ones_are_seen(tmp_path: Path) -> None:
    for limits in ((10, "strong"), (3, "weak")):
        out = tmp_path / limits[1]
        assert run("protect", write(tmp_path), *BY, "--min-cell", str(limits[0]), "--need", limits[1], "--out",
                   out).exit == 0
        assert f"Checked: minimum cell {limits[0]}, {limits[1]} need.\n" in run("verify", out).stdout
        assert run("verify", out, "--json").document["checked"] == {"min_cell": limits[0], "need": limits[1]}
    (tmp_path / "weak" / "truth.csv").write_text("A,AM,4\n", encoding="utf-8")
    answer = run("verify", tmp_path / "weak", "--json")
    assert (answer.exit, answer.document["checked"]) == (18, {})


def test_a_release_is_signed_with_a_key_that_is_made_once_and_verifies_with_its_public_half(tmp_path: Path) -> None:
    file, key = write(tmp_path), tmp_path / "my.key"
    for name in ("one", "two"):
        assert run("protect", file, *BY, "--out", tmp_path / name, "--sign", key).exit == 0
    assert key.stat().st_mode & 0o077 == 0
    assert run("protect", file, *BY, "--out", tmp_path / "other", "--sign", tmp_path / "other.key").exit == 0
    assert run("protect", file, *BY, "--out", tmp_path / "unsigned").exit == 0
    public = tmp_path / "my.key.pub"
    for name in ("one", "two"):
        said = run("verify", tmp_path / name, "--key", public, "--json")
        assert (said.exit, said.document["origin"].endswith("a key that was given.")) == (0, True)
    for name in ("other", "unsigned"):
        assert run("verify", tmp_path / name, "--key", public).exit == 18
    assert "No key was given" in run("verify", tmp_path / "other").stdout
    assert "Not signed" in run("verify", tmp_path / "unsigned").stdout
    assert run("verify", tmp_path / "one", "--key", file).exit == 10
    refused(tmp_path, file, *BY, "--sign", tmp_path / "none" / "key", code="WB-E-011", exit_code=10)
    refused(tmp_path, file, *BY, "--sign", file, code="WB-E-051", exit_code=15)
    copied = tmp_path / "bare" / "table.csv"
    copied.parent.mkdir()
    copied.write_bytes((tmp_path / "one" / "table.csv").read_bytes())
    assert run("certify", copied.parent, *BY, "--sign", key).exit == 0
    assert run("verify", copied.parent / "certified", "--key", public).exit == 0


def test_settings_come_from_a_policy_or_from_options_and_not_from_both(tmp_path: Path) -> None:
    file, policy = write(tmp_path), tmp_path / "policy.toml"
    policy.write_text('by = ["school", "race"]\ncount = "n"\nmin_cell = 5\nneed = "weak"\n', encoding="utf-8")
    said = run("protect", file, "--policy", policy, "--out", tmp_path / "out", "--json").document
    assert (said["min_cell"], said["need"]) == (5, "weak")
    error = refused(tmp_path, file, "--policy", policy, "--min-cell", "10", "--out", tmp_path / "other",
                    code="WB-E-011", exit_code=10)
    assert "min_cell" in error["where"]


@pytest.mark.parametrize(
    ("line", "code"),
    [('need = "medium"', "WB-E-011"), ('min_cell = "ten"', "WB-E-011"), ("min_cell = true", "WB-E-011"),
     ("min_cell = 10.5", "WB-E-011"), ("mincell = 10", "WB-E-011"), ("by = [1, 2]", "WB-E-011"),
     ("by = []", "WB-E-011"), ("by = [", "WB-E-011"), ("min_cell = 0", "WB-E-044"), ("", "WB-E-011")],
)
def test_a_policy_that_says_something_strange_is_refused(tmp_path: Path, line: str, code: str) -> None:
    policy = tmp_path / "policy.toml"
    known = {"by": 'by = ["school", "race"]', "count": 'count = "n"'}
    known.pop(line.partition(" ")[0], None)
    policy.write_text("\n".join([*known.values(), line]) if line else "", encoding="utf-8")
    refused(tmp_path, write(tmp_path), "--policy", policy, code=code, exit_code=14 if code == "WB-E-044" else 10)


def test_a_release_that_was_changed_is_a_violation(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("protect", write(tmp_path), *BY, "--out", out).exit == 0
    table = out / "table.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("A,AM,\n", "A,AM,0\n"), encoding="utf-8")
    answer = run("verify", out, "--json")
    assert answer.exit == 18
    assert answer.document["violations"]
    table.unlink()
    assert run("verify", out).exit == 18
