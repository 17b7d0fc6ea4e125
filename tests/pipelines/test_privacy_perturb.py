"""``privacy perturb``: what is written, said and refused."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from pipelines.answer import Answer
from wellbridge.etl.store import open_store
from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.private_releases import BUDGET
from wellbridge.pipelines.site import Site, init_site
from wellbridge.privacy.noise.private import epsilon_of
from wellbridge.privacy.tables.verifier import Violation, check_signature
from wellbridge.schemas.warehouse import METADATA

CANARY = "Quetzalcoatlus"
BY = ("--by", "school<district", "--by", "grade")
COUNTED = (*BY, "--count", "freq")
BUDGETED = ("--agreement", "sea", "--population", "students-2026")


def run(method: str, *arguments: str | Path) -> Answer:
    given = ["privacy", "perturb", "--method", method, "--json", *(str(one) for one in arguments)]
    done = CliRunner().invoke(cli, given)
    assert CANARY not in done.stdout + done.stderr
    return Answer(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        (f"{CANARY}-{school}", f"d{school % 2}", grade, (3 * school + 7 * grade) % 11)
        for school in range(5) for grade in range(4)
    ]
    frame = pl.DataFrame(rows, schema=["school", "district", "grade", "freq"], orient="row")
    frame.write_csv(tmp_path / "t.csv")
    persons = frame.select(pl.exclude("freq").repeat_by("freq")).explode(pl.all()).drop_nulls()
    persons.with_row_index("pupil").write_csv(tmp_path / "p.csv")
    return tmp_path


def test_rounding_writes_multiples_that_add_up_and_says_how_near(folder: Path) -> None:
    found = run("rounding", folder / "t.csv", *COUNTED, "--base", "5", "--out", folder / "o.csv").document
    assert (found["rounded"], found["optimal"], found["adds_up"], found["steps"]) == ("neighbours", True, True, 0)
    out = pl.read_csv(folder / "o.csv")
    assert stat.S_IMODE((folder / "o.csv").stat().st_mode) == 0o600
    assert (out["freq"] % 5 == 0).all()
    inner = out.filter((pl.col("school") != "all") & (pl.col("grade") != "all"))
    assert inner["freq"].sum() == out.filter((pl.col("district") == "all") & (pl.col("grade") == "all"))["freq"][0]


def test_persons_and_a_programme_give_the_same_table_twice(folder: Path) -> None:
    arguments = (folder / "p.csv", *BY, "--person", "pupil", "--programme", folder / "secret.json")
    first = run("cell-key", *arguments, "--out", folder / "one.csv").document
    second = run("cell-key", *arguments, "--out", folder / "two.csv").document
    assert (first["is_new"], second["is_new"]) == (True, False)
    assert (folder / "one.csv").read_bytes() == (folder / "two.csv").read_bytes()
    assert pl.read_csv(folder / "one.csv")["n"].min() > 2
    secret = json.loads((folder / "secret.json").read_text())["secret"]
    assert secret not in json.dumps([first, second])
    refused = run("cell-key", *arguments, "--variance", "4", "--out", folder / "three.csv")
    assert refused.error["code"] == "WB-E-011"


def test_a_table_of_counts_has_cell_keys_too(folder: Path) -> None:
    found = run("cell-key", folder / "t.csv", *COUNTED, "--programme", folder / "s.json", "--max-noise", "3",
                "--variance", "2", "--never", "0", "--out", folder / "o.parquet").document
    assert (found["max_noise"], found["variance"], found["never"]) == (3, 2.0, 0)
    assert pl.read_parquet(folder / "o.parquet").columns == ["school", "district", "grade", "freq"]


def test_a_budget_pays_until_it_is_spent_then_nothing_is_written(folder: Path) -> None:
    arguments = (folder / "t.csv", *COUNTED, *BUDGETED, "--budget", folder / "budget")
    found = run("dp", *arguments, "--rho", "0.3", "--budget-limit", "zcdp:0.5", "--out", folder / "o.csv").document
    assert found["left"] == pytest.approx(0.2)
    assert found["cells_of_one"] == 6
    before = (folder / "budget").read_bytes()
    spent = run("dp", *arguments, "--rho", "0.3", "--out", folder / "p2.csv")
    assert (spent.exit, spent.error["code"]) == (14, "WB-E-075")
    assert not (folder / "p2.csv").exists()
    assert (folder / "budget").read_bytes() == before
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    raised = run("dp", *arguments, "--rho", "0.3", "--budget-limit", "zcdp:5", "--out", folder / "p2.csv")
    assert (raised.exit, raised.error["code"]) == (14, "WB-E-044")


def test_every_count_keeps_its_place(folder: Path) -> None:
    budget = ("--budget", folder / "b", *BUDGETED, "--budget-limit", "zcdp:1e12")
    # So large a loss is no noise at all.
    run("dp", folder / "t.csv", *COUNTED, *budget, "--rho", "1e9", "--out", folder / "exact.csv")
    run("rounding", folder / "t.csv", *COUNTED, "--base", "3", "--out", folder / "near.csv")
    exact, near = pl.read_csv(folder / "exact.csv"), pl.read_csv(folder / "near.csv")
    given = pl.read_csv(folder / "t.csv")
    for row in exact.iter_rows(named=True):
        part = given
        for name in ("school", "district", "grade"):
            part = part if row[name] == "all" else part.filter(pl.col(name).cast(pl.String) == row[name])
        assert row["freq"] == part["freq"].sum()
    assert exact.select("school", "district", "grade").equals(near.select("school", "district", "grade"))
    assert ((exact["freq"] - near["freq"]).abs() < 3).all()


def test_what_was_paid_names_the_file_that_was_published(folder: Path) -> None:
    import hashlib

    run("dp", folder / "t.csv", *COUNTED, *BUDGETED, "--budget", folder / "b", "--epsilon", "2", "--budget-limit",
        "pure:2", "--out", folder / "o.csv")
    last = json.loads((folder / "b").read_text().splitlines()[-1])
    assert last["release"] == hashlib.sha256((folder / "o.csv").read_bytes()).hexdigest()


def test_a_table_that_cannot_be_written_costs_nothing(folder: Path) -> None:
    refused = run("dp", folder / "t.csv", *COUNTED, *BUDGETED, "--budget", folder / "b", "--rho", "0.1",
                  "--budget-limit", "zcdp:1", "--out", folder / "no" / "o.csv")
    assert refused.error["code"] == "WB-E-011"
    assert len((folder / "b").read_text().splitlines()) == 1  # the grant


def test_rates_become_ranges_that_survive_the_attack(folder: Path) -> None:
    rows = [("u", "all", "ALL", 90, 88), ("u", "race", CANARY, 84, 84), ("u", "race", "b", 6, 4)]
    names = ["unit", "dimension", "member", "n", "numerator"]
    pl.DataFrame(rows, schema=names, orient="row").write_csv(folder / "r.csv")
    found = run("ranges", folder / "r.csv", "--bands", "edfacts", "--percent-only", "--out", folder / "o.csv").document
    assert found["exact"] == found["narrowed"] == 0
    assert pl.read_csv(folder / "o.csv").columns == ["unit", "dimension", "member", "rate"]


@pytest.mark.parametrize(("method", "arguments", "code"), [
    ("rounding", ("t.csv", *COUNTED, "--base", "2"), "WB-E-044"),
    ("rounding", ("t.csv", *COUNTED, "--rho", "1"), "WB-E-011"),
    ("rounding", ("t.csv", "--count", "freq"), "WB-E-011"),
    ("rounding", ("t.csv", *BY, "--count", "frek"), "WB-E-015"),
    ("rounding", ("none.csv", *COUNTED), "WB-E-023"),
    ("rounding", ("bad.csv", *COUNTED), "WB-E-046"),
    ("cell-key", ("t.csv", *COUNTED), "WB-E-011"),
    ("cell-key", ("p.csv", *BY, "--person", "pupill", "--programme", "s"), "WB-E-015"),
    ("cell-key", ("t.csv", *COUNTED, "--person", "pupil", "--programme", "s"), "WB-E-011"),
    ("cell-key", ("t.csv", *COUNTED, "--programme", "s", "--max-noise", "3", "--variance", "1"), "WB-E-011"),
    ("dp", ("t.csv", *COUNTED, *BUDGETED, "--rho", "1"), "WB-E-011"),
    ("dp", ("t.csv", *COUNTED, *BUDGETED, "--budget", "b", "--rho", "1"), "WB-E-075"),
    ("dp", ("t.csv", *COUNTED, *BUDGETED, "--budget", "b", "--rho", "1", "--epsilon", "1"), "WB-E-011"),
    ("dp", ("t.csv", *COUNTED, *BUDGETED, "--budget", "b", "--rho", "-1"), "WB-E-011"),
    ("dp", ("t.csv", *COUNTED, *BUDGETED, "--budget", "b", "--rho", "1", "--budget-limit", "lots"), "WB-E-011"),
    ("ranges", ("t.csv",), "WB-E-015"),
    ("ranges", ("t.csv", "--bands", "edfakts"), "WB-E-015"),
    ("ranges", ("t.csv", *COUNTED), "WB-E-011"),
])
def test_bad_input_is_told_in_five_parts_and_nothing_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, method: str, arguments: tuple[str, ...], code: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "bad.csv").write_text(f"school,district,grade,freq\n{CANARY},d,1,-4\n")
    refused = run(method, *arguments, "--out", "o.csv")
    assert refused.error["code"] == code
    assert not (folder / "o.csv").exists()


AGREEMENT = """id = "sea"
recipient = "State agency"
parties = ["District", "State agency"]
basis = "deidentified"
purpose = "Planning"
scope = "Students"
representatives = ["Analyst"]
elements = ["students"]
start = {start}
end = {end}
destruction_date = {end}
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = init_site(tmp_path / "site")
    today = datetime.now(UTC).date()
    text = AGREEMENT.format(start=today - timedelta(days=9), end=today + timedelta(days=90))
    (made.root / "policy" / "agreements" / "sea.toml").write_text(text)
    with open_store(made.warehouse, METADATA):
        pass
    return made


def agreed(site: Site, text: str) -> None:
    path = site.root / "policy" / "agreements" / "sea.toml"
    path.write_text(path.read_text(encoding="utf-8").partition("[privacy_budget]")[0] + text, encoding="utf-8")


def test_a_site_pays_what_its_agreement_states_and_its_ledger_says_so(folder: Path, site: Site) -> None:
    arguments = (folder / "t.csv", *COUNTED, "--project", site.root, "--population", "students", "--rho", "0.2")
    agreed(site, '[privacy_budget]\nrho = "0.3"\npopulations = ["students"]\n')
    found = run("dp", *arguments, "--agreement", "sea", "--out", folder / "o.csv").document
    assert (found["granted"], found["measure"]) == (pytest.approx(0.3), "zcdp")
    assert found["left"] == pytest.approx(0.1)
    assert (site.state / BUDGET).is_file()
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        events = warehouse.frame("SELECT detail FROM ledger_event WHERE action = 'budget.spend'")["detail"].to_list()
    assert len(events) == 1
    spent = run("dp", *arguments, "--agreement", "sea", "--out", folder / "o2.csv")
    assert (spent.exit, spent.error["code"]) == (14, "WB-E-075")
    unknown = run("dp", *arguments, "--agreement", "others", "--out", folder / "o2.csv")
    assert (unknown.exit, unknown.error["code"]) == (14, "WB-E-040")
    # A budget that is stated anew is not raised, and none is granted on the command line.
    agreed(site, '[privacy_budget]\nrho = "3"\npopulations = ["students"]\n')
    raised = run("dp", *arguments, "--agreement", "sea", "--out", folder / "o2.csv")
    assert (raised.exit, raised.error["code"]) == (14, "WB-E-044")
    given = run("dp", *arguments, "--agreement", "sea", "--budget-limit", "zcdp:9", "--out", folder / "o2.csv")
    assert (given.exit, given.error["code"]) == (10, "WB-E-011")
    assert not (folder / "o2.csv").exists()


def test_what_a_site_pays_for_leaves_signed_by_the_site_or_not_at_all(folder: Path, site: Site) -> None:
    agreed(site, '[privacy_budget]\nrho = "0.9"\npopulations = ["students"]\n')
    arguments = (folder / "t.csv", *COUNTED, "--project", site.root, "--population", "students", "--rho", "0.2",
                 "--agreement", "sea")
    assert run("dp", *arguments, "--out", folder / "o.csv").exit == 0
    table, keys = folder / "o.csv", site.signing_key.with_name(f"{site.signing_key.name}.pub").read_text()
    assert check_signature(table, table.read_bytes(), keys) in keys.split()
    with pytest.raises(Violation):
        check_signature(table, table.read_bytes() + b"1", keys)
    site.signing_key.unlink()
    unsigned = run("dp", *arguments, "--out", folder / "o2.csv")
    assert (unsigned.exit, unsigned.error["code"]) == (15, "WB-E-050")
    assert not list(folder.glob("*o2*"))


@pytest.mark.parametrize("stated", ["", '[privacy_budget]\nrho = 1\npopulations = ["others"]\n'])
def test_an_agreement_that_states_no_budget_for_the_population_has_none(
    folder: Path, site: Site, stated: str
) -> None:
    agreed(site, stated)
    found = run("dp", folder / "t.csv", *COUNTED, "--project", site.root, "--population", "students", "--rho", "0.2",
                "--agreement", "sea", "--out", folder / "o.csv")
    assert (found.exit, found.error["code"]) == (14, "WB-E-075")
    assert not (folder / "o.csv").exists()


def test_epsilon_and_delta_of_an_agreement_are_kept_by_opendp_s_own_conversion(folder: Path, site: Site) -> None:
    agreed(site, '[privacy_budget]\nepsilon = 1\ndelta = "1e-6"\npopulations = ["students"]\n')
    arguments = (folder / "t.csv", *COUNTED, "--project", site.root, "--population", "students", "--agreement", "sea")
    found = run("dp", *arguments, "--rho", "0.001", "--out", folder / "o.csv").document
    assert 0 <= 1 - epsilon_of(Fraction(found["granted"]), 1e-6) < 1e-6
    over = run("dp", *arguments, "--rho", str(found["left"] * 1.001), "--out", folder / "o2.csv")
    assert (over.exit, over.error["code"]) == (14, "WB-E-075")
    assert run("dp", *arguments, "--rho", str(found["left"] * 0.999), "--out", folder / "o2.csv").exit == 0


@pytest.mark.parametrize("text", [
    "rho = 0", "rho = -1", "rho = true", "rho = 'much'", "epsilon = 1\ndelta = 2", "rho = 1\nepsilon = 1",
    "delta = 0.1", "rho = 1\nother = 2", "rho = 1\npopulations = []", "rho = 1\npopulations = ['*']", "",
])
def test_a_budget_that_is_none_makes_the_agreement_none(folder: Path, site: Site, text: str) -> None:
    names = "" if "populations" in text else "populations = ['students']\n"
    agreed(site, f"[privacy_budget]\n{names}{text}\n")
    found = run("dp", folder / "t.csv", *COUNTED, "--project", site.root, "--population", "students", "--rho", "0.2",
                "--agreement", "sea", "--out", folder / "o.csv")
    assert (found.exit, found.error["code"]) == (14, "WB-E-040")
