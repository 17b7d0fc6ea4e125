"""``privacy protect --value``: tables of amounts through the command line; what is written, said and refused."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from pipelines.answer import Answer
from wellbridge.pipelines.cli.group import cli

CANARY = "Quetzalcoatlus"
BY = ("--by", "school<district", "--by", "service")
AMOUNTS = ("--value", "minutes", "--contributor", "who", *BY, "--min-cell", "3")


def run(*arguments: str | Path) -> Answer:
    done = CliRunner().invoke(cli, ["privacy", *(str(one) for one in arguments)])
    assert CANARY not in done.stdout + done.stderr
    return Answer(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    chance = np.random.default_rng(20261127)
    school = chance.integers(0, 8, 400)
    frame = pl.DataFrame({
        "school": school, "district": school // 4, "service": chance.choice(["a", "b", "c", "d"], 400),
        "who": [f"{CANARY}{n}" for n in chance.integers(0, 150, 400)],
        "minutes": np.round(chance.lognormal(3, 1.2, 400), 1),
    })
    one = pl.DataFrame({"school": [0], "district": [0], "service": ["e"], "who": [CANARY], "minutes": [7777.7]})
    more = pl.DataFrame({"school": [5], "district": [1], "service": ["e"], "who": [f"{CANARY}x"], "minutes": [5555.5]})
    path = tmp_path / "services.csv"
    pl.concat([frame, one.cast(frame.schema), more.cast(frame.schema)]).write_csv(path)
    return path


def refused(file: Path, *arguments: str | Path, code: str, exit_code: int) -> dict[str, str]:
    before = sorted(file.parent.rglob("*"))
    out = () if "--out" in arguments else ("--out", file.parent / "out")
    done = run("protect", file, *arguments, *out, "--json")
    assert done.exit == exit_code, done.stdout
    (error,) = done.document["errors"]
    assert (error["code"], all(error.values())) == (code, True)
    assert sorted(file.parent.rglob("*")) == before, "nothing is written"
    return dict(error)


def test_a_release_of_amounts_is_private_verifies_and_holds_no_contributor(file: Path) -> None:
    out, sealed, key = (file.parent / name for name in ("out", "auditor.bin", "key"))
    rules = ("--rule", "p%:10", "--rule", "nk:1,75", "--unit", "0.1")
    said = run("protect", file, *AMOUNTS, *rules, "--out", out, "--sealed", sealed, "--key", key, "--json").document
    assert (said["unprotected"], said["unit"], said["alone"] >= 2) == (0, 0.1, True)
    assert (said["rules"]["margin"], said["rules"]["share"], said["rules"]["largest"]) == ("0.1", "0.75", 1)
    assert said["primary"] >= 2
    assert said["secondary"] >= 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}
    for path in (*out.iterdir(), sealed):
        content = path.read_bytes()
        assert CANARY.encode() not in content
        assert b"77777" not in content
    assert run("verify", out).exit == 0
    assert run("verify", out, "--sealed", sealed, "--seal-key", key).exit == 0
    table = (out / "table.csv").read_text(encoding="utf-8")
    (out / "table.csv").write_text(table.replace("all,all,all,", "all,all,all,1"), encoding="utf-8")
    assert run("verify", out).exit == 18


def test_totals_that_are_shown_are_true(file: Path) -> None:
    out = file.parent / "out"
    assert run("protect", file, *AMOUNTS, "--unit", "0.1", "--out", out).exit == 0
    true = pl.read_csv(file).group_by("school", "district", "service").agg(
        (pl.col("minutes") * 10).round(0).sum().cast(pl.Int64)).cast({"school": pl.String, "district": pl.String})
    found = pl.read_csv(out / "table.csv", infer_schema=False)
    both = found.join(true, on=["school", "district", "service"], suffix="_true").filter(pl.col("minutes") != "")
    assert both.height > 10
    assert both["minutes"].cast(pl.Int64).to_list() == both["minutes_true"].to_list()


@pytest.mark.parametrize(("extra", "code"), [
    (("--rule", "p%"), "WB-E-011"), (("--rule", "nk:1.5,80"), "WB-E-011"), (("--rule", "nk:1,180"), "WB-E-011"),
    (("--rule", "p%:10", "--rule", "pq:10,50"), "WB-E-011"), (("--rule", "p%:120"), "WB-E-011"),
    (("--need", "weak"), "WB-E-011"), (("--count", "minutes"), "WB-E-011"), (("--zeros-known",), "WB-E-011"),
    (("--unit", "0"), "WB-E-011"), (("--unit", "nan"), "WB-E-011"), (("--sealed", "s.bin"), "WB-E-011"),
])
def test_what_is_not_understood_is_refused(file: Path, extra: tuple[str, ...], code: str) -> None:
    refused(file, *AMOUNTS, *extra, code=code, exit_code=10)


def test_counts_have_no_contributors_and_three_is_the_least(file: Path) -> None:
    error = refused(file, "--count", "minutes", *BY, "--contributor", "who", code="WB-E-011", exit_code=10)
    assert "--value" in error["where"]
    refused(file, *AMOUNTS[:-1], "2", code="WB-E-044", exit_code=14)


def test_cells_need_their_margins_or_their_contributors(file: Path) -> None:
    refused(file, "--value", "minutes", *BY, code="WB-E-015", exit_code=10)
    cells = file.with_name("cells.csv")
    cells.write_text("school,district,service,minutes,contributors,top_1,top_2\n1,1,a,50,9,9,8\n", encoding="utf-8")
    refused(cells, "--value", "minutes", *BY, code="WB-E-046", exit_code=14)


@pytest.mark.parametrize(("column", "value"), [("minutes", "-1"), ("minutes", ""), ("minutes", "x"), ("who", ""),
                                               ("minutes", "1e30"), ("minutes", "nan"), ("minutes", "inf")])
def test_negative_missing_and_strange_amounts_are_refused(file: Path, column: str, value: str) -> None:
    frame = pl.read_csv(file, infer_schema=False)
    frame[0, column] = value
    frame.write_csv(file)
    refused(file, *AMOUNTS, code="WB-E-046", exit_code=14)


def test_where_nothing_can_be_protected_all_is_refused_and_the_dimension_is_named(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("school,district,service,who,minutes\n1,1,a,x,50\n2,1,a,y,60\n", encoding="utf-8")
    error = refused(path, *AMOUNTS, code="WB-E-042", exit_code=14)
    assert "drop dimension" in error["where"]
