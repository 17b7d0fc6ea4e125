"""``wellbridge policy``: what the commands say, and how they end."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from source_tree import FLOORS, REPO
from wellbridge.etl.store import open_store
from wellbridge.pipelines.cli.catalogue import explain
from wellbridge.pipelines.cli.policy import policy
from wellbridge.pipelines.doctor import FAIL, examine
from wellbridge.pipelines.policy import site_rules
from wellbridge.pipelines.policy.check import check_site
from wellbridge.pipelines.policy.coverage import contracts, coverage
from wellbridge.pipelines.policy.page import render_coverage
from wellbridge.pipelines.policy.site_rules import remember
from wellbridge.pipelines.site import Site, init_site
from wellbridge.privacy.rules.book import builtin
from wellbridge.privacy.rules.local import tightened
from wellbridge.schemas.warehouse import METADATA

BOOK = builtin()
GAP = replace(BOOK, rules={name: rule for name, rule in BOOK.rules.items() if name != "W-05"})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return init_site(tmp_path / "site")


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(policy, [str(argument) for argument in arguments])
    return done.exit_code, done.output


def document(*arguments: str | Path) -> dict[str, Any]:
    code, output = run(*arguments, "--json")
    found = json.loads(output)
    assert found["exit_code"] == code
    assert isinstance(found, dict)
    return found


def local_rules(site: Site, text: str) -> None:
    (site.root / "policy" / "rules.toml").write_text(text, encoding="utf-8")


# -- show and explain --------------------------------------------------------------------------------------


def test_show_lists_every_rule_with_its_source_and_whether_it_was_verified(site: Site) -> None:
    found = document("show", "--project", site.root)
    assert [one["rule"] for one in found["rules"]] == list(BOOK.rules)
    assert {one["status"] for one in found["rules"]} == {"verified", "not verified"}
    assert all(one["doubt"] for one in found["rules"] if one["status"] == "not verified")
    assert found["policy_sha256"] == BOOK.digest
    code, text = run("show", "f-05", "--project", site.root)
    assert code == 0
    assert "34 CFR 99.31(b)(2)" in text
    assert f"1 of {len(BOOK.rules)} rules" in text


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_show_fits_the_terminal_and_leaves_nothing_out(
    site: Site, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    code, text = run("show", "--project", site.root)
    assert code == 0
    assert max(len(line) for line in text.splitlines()) <= columns
    whole = " ".join(text.split())
    for rule in BOOK.rules.values():
        assert f"{rule.id} {rule.law}" in whole
        assert all(" ".join(said.split()) in whole for said in (rule.says, rule.citation))


def test_show_can_be_narrowed_by_law_and_class(site: Site) -> None:
    part2 = document("show", "--regime", "part2", "--project", site.root)["rules"]
    assert {"S-01", "H-03", "F-01"} <= {one["rule"] for one in part2}
    assert {"I-01", "M-01"} & {one["rule"] for one in part2} == set()
    idea = document("show", "--regime", "IDEA", "--class", "key", "--project", site.root)["rules"]
    assert {one["law"] for one in idea} == {"IDEA"}
    for wrong in (["--regime", "GDPR"], ["--class", "secret"], ["F-99"]):
        assert document("show", *wrong, "--project", site.root)["exit_code"] == 10


def test_explain_tells_everything_of_a_rule(site: Site) -> None:
    found = document("explain", "F-05", "--project", site.root)
    assert found["citation"] == "34 CFR 99.31(b)(2)(i)–(iii)"
    assert "privacy/wellbridge/privacy/codes.py" in found["kept_by"]
    assert found["shown_by"] == "test_f05_…"
    assert found["columns"] > 0


@pytest.mark.parametrize("name", [("edfi.students", "birthDate"), ("edfi.students", "birth_date"),
                                  ("edfi.students.birthDate",)])
def test_explain_tells_which_rules_met_and_which_won(site: Site, name: tuple[str, ...]) -> None:
    found = document("explain", *name, "--project", site.root)
    stored = next(reason for reason in found["reasons"] if reason["purpose"] == "warehouse")
    assert stored["what"] == "the year of birth only"
    assert [rule["rule"] for rule in stored["deciding"]] == ["W-02"]
    assert "W-01" in {rule["rule"] for rule in stored["also"]}


def test_explain_knows_the_warehouse_and_what_an_extract_can_name(site: Site) -> None:
    assert document("explain", "student", "zip3", "--project", site.root)["class"] == "quasi"
    homeless = document("explain", "extract", "homeless", "--project", site.root)
    assert "M-01" in {rule["rule"] for reason in homeless["reasons"] for rule in reason["also"]}
    code, text = run("explain", "hl7v2.screenings", "event_date", "--project", site.root)
    assert code == 0
    assert re.search(r"in a record file: the year only\n  decided by H-03", text)


def test_explain_lists_the_columns_of_a_contract_that_is_named_alone(site: Site) -> None:
    found = document("explain", "edfi.students", "--project", site.root)
    assert [one["column"] for one in found["columns"]] == list(contracts()["edfi.students"].columns)
    assert "the year of birth only (W-02)" in run("explain", "EDFI.students", "--project", site.root)[1]


@pytest.mark.parametrize("name", [("edfi.student", "birthDate"), ("edfi.students", "birthdy"), ("F-5",)])
def test_explain_names_what_is_near(site: Site, name: tuple[str, ...]) -> None:
    found = document("explain", *name, "--project", site.root)
    assert found["exit_code"] == 10
    assert found["errors"][0]["where"].startswith("near: ")


def test_the_general_explain_knows_rules_of_the_book_too() -> None:
    done = CliRunner().invoke(explain, ["f-05", "--json"])
    found = json.loads(done.output)
    assert (found["code"], found["why"]) == ("F-05", "34 CFR 99.31(b)(2)(i)–(iii)")


@pytest.mark.parametrize("arguments", ["--help", "policy --help"])
def test_help_does_not_read_the_book(arguments: str) -> None:
    program = (
        f"import sys; sys.argv = ['wellbridge', *{arguments.split()!r}]; import runpy\n"
        "try:\n    runpy.run_module('wellbridge', run_name='__main__')\nexcept SystemExit:\n    pass\n"
        "sys.exit(any(name.startswith(('wellbridge.privacy', 'polars', 'tomllib')) for name in sys.modules))"
    )
    paths = ":".join(str(REPO / floor) for floor in FLOORS)
    done = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": paths}, capture_output=True, check=False)
    assert (done.returncode, b"policy" in done.stdout) == (0, True)


# -- check -------------------------------------------------------------------------------------------------


def test_a_new_site_keeps_every_rule(site: Site) -> None:
    found = document("check", "--project", site.root)
    assert (found["exit_code"], found["errors"]) == (0, [])
    assert found["checked"]["contracts"] == len(contracts())
    assert "Every rule is kept" in run("check", "--project", site.root)[1]


def rewritten(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")


def test_check_ends_by_what_it_found_and_names_it(site: Site) -> None:
    local_rules(site, "[tighten.N-01]\nmin_cell = 5")
    found = document("check", "--project", site.root)
    assert (found["exit_code"], found["errors"][0]["code"]) == (14, "WB-E-044")
    assert "N-01 min_cell" in found["errors"][0]["where"]
    local_rules(site, "[tighten")
    assert document("check", "--project", site.root)["exit_code"] == 10


@pytest.mark.parametrize(("file", "before", "after", "code", "named"), [
    ("extracts/student-supports.toml", "title =", "targeted_request = true\ntitle =", "WB-E-071", "F-03"),
    ("extracts/student-supports.toml", '"sex", ', '"sex", "homeless", ', "WB-E-041", "homeless"),
    ("extracts/student-supports.toml", '"sea-evaluation"', '"sea-other"', "WB-E-040", "agreements"),
    ("extracts/student-supports.toml", '"record"', '"records"', "WB-E-011", "kind"),
    ("policy/agreements/sea-evaluation.toml", "purpose =", "# purpose =", "WB-E-040", "purpose"),
    ("policy/agreements/sea-evaluation.toml", "# debarred_until", "debarred_until", "WB-E-040", "sea-evaluation"),
])
def test_check_finds_what_a_release_would_be_refused_for(
    site: Site, file: str, before: str, after: str, code: str, named: str
) -> None:
    rewritten(site.root / file, before, after)
    found = document("check", "--project", site.root)
    errors = {error["code"]: error["where"] for error in found["errors"]}
    assert found["exit_code"] == (10 if code == "WB-E-011" else 14)
    assert named in errors[code]


def test_check_finds_destruction_that_nobody_attested(site: Site) -> None:
    late = datetime(2099, 1, 1, tzinfo=UTC)
    checked = check_site(site.root, late)
    assert {one.error.code for one in checked.violations} >= {"WB-E-072", "WB-E-040"}
    assert any("F-07" in one.error.where for one in checked.violations)


def test_check_finds_a_local_rule_under_which_rows_cannot_be_told_apart(site: Site) -> None:
    local_rules(site, '[tighten.W-01]\neffect = "suppress"')
    found = document("check", "--project", site.root)
    assert found["exit_code"] == 10
    assert any("contract edfi.students" in error["where"] for error in found["errors"])


def test_the_doctor_says_so_too(site: Site) -> None:
    assert not [one for one in examine(site.root) if one.check == "rules" and one.state == FAIL]
    local_rules(site, 'remove = ["F-05"]')
    found = [one for one in examine(site.root) if one.check == "rules"]
    assert [(one.state, int(one.exit)) for one in found] == [(FAIL, 14)]


# -- diff --------------------------------------------------------------------------------------------------


def a_run(site: Site, digest: str) -> None:
    with open_store(site.warehouse, METADATA) as store:
        store.run(
            "INSERT INTO run (run_id, ended_at, policy_hash) VALUES ('r', TIMESTAMP '2026-11-01 00:00:00', ?)", [digest]
        )


def test_diff_compares_with_the_built_in_book_and_says_what_is_stricter(site: Site) -> None:
    assert document("diff", "--project", site.root)["against_builtin"] == []
    local_rules(site, "[tighten.N-01]\nmin_cell = 15")
    found = document("diff", "--project", site.root)
    assert found["against_builtin"] == [
        {"rule": "N-01", "what": "min_cell", "before": "10", "now": "15", "change": "stricter"}]
    assert (found["last_run_sha256"], found["against_last_run"]) == (None, None)


def test_diff_compares_with_the_rules_of_the_last_run(site: Site) -> None:
    before = tightened(BOOK, "[tighten.N-01]\nmin_cell = 20")
    a_run(site, before.digest)
    assert document("diff", "--project", site.root)["against_last_run"] is None
    assert "not on file" in run("diff", "--project", site.root)[1]
    remember(site, before)
    found = document("diff", "--project", site.root)
    assert found["last_run_sha256"] == before.digest
    assert [(one["what"], one["before"], one["now"], one["change"]) for one in found["against_last_run"]] == [
        ("min_cell", "20", "10", "looser")]


def test_the_rules_of_a_run_are_private(site: Site) -> None:
    remember(site, BOOK)
    (path,) = (site.state / "policies").iterdir()
    assert path.stat().st_mode & 0o077 == 0


# -- coverage ----------------------------------------------------------------------------------------------


class Cells(HTMLParser):
    """The words of each row of each table, and what a page could fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[str] = []
        self.tags: Counter[str] = Counter()
        self.links: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]
        if tag == "tr":
            self.rows.append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "tr"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.rows[-1] += f"{data} "


@pytest.fixture(scope="module")
def page() -> Cells:
    cells = Cells()
    cells.feed(render_coverage(BOOK, coverage(BOOK), date(2026, 11, 2)))
    return cells


def test_no_column_of_any_contract_table_or_extract_is_without_a_rule() -> None:
    lines = coverage(BOOK)
    assert [line for line in lines if not line.is_covered] == []
    found = Counter(line.owner for line in lines if line.place == "contract")
    assert found == {name: len(made.columns) for name, made in contracts().items()}
    stored = Counter(line.owner for line in lines if line.place == "warehouse")
    assert stored == {name: len(table.columns) for name, table in METADATA.tables.items()}
    assert all(line.privacy and outcome.deciding for line in lines for outcome in line.outcomes.values())


def test_coverage_says_what_happens_to_every_column(site: Site) -> None:
    found = document("coverage", "--project", site.root)
    by_name = {(one["owner"], one["column"]): one for one in found["columns"]}
    assert found["exit_code"] == 0
    assert by_name["edfi.students", "student_id"]["warehouse"]["what"] == "never; a random subject_key stands for it"
    assert by_name["fhir.patients", "zip_code"]["warehouse"]["what"] == "the first 3 digits, 000 where few live"
    assert by_name["fhir.screenings", "event_date"]["record"]["what"] == "the year only"
    assert by_name["sis.optout", "scope"]["warehouse"]["what"].startswith("not loaded")
    assert by_name["student", "person_key"]["record"]["what"] == "a random code of the agreement"
    assert by_name["columns and breakdowns", "school"]["aggregate"]["what"] == "counted; cells under 10 hidden"


def test_coverage_follows_the_site_s_own_rules(site: Site) -> None:
    local_rules(site, "[tighten.N-01]\nmin_cell = 15\n[tighten.W-03]\ndigits = 2")
    found = document("coverage", "--project", site.root)
    said = {one["aggregate"]["what"] for one in found["columns"] if "aggregate" in one}
    assert "counted; cells under 15 hidden" in said
    assert "the first 2 digits, 000 where few live" in said


def test_a_column_without_a_rule_ends_with_18_and_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_rules, "effective", lambda *_: GAP)
    for command in ("coverage", "check"):
        found = document(command, "--project", site.root)
        assert found["exit_code"] == 18
        assert "WB-E-073" in {error["code"] for error in found["errors"]}
    assert run("coverage", "--project", site.root)[0] == 18


def test_the_page_holds_a_row_for_every_column_and_every_rule(page: Cells) -> None:
    lines, heads = coverage(BOOK), 1 + len({(line.place, line.owner) for line in coverage(BOOK)})
    assert len(page.rows) == len(lines) + len(BOOK.rules) + heads
    wanted = Counter(line.column for line in lines)
    assert wanted <= Counter(row.split()[0] for row in page.rows)
    for rule in BOOK.rules.values():
        row = next(row for row in page.rows if row.startswith(f"{rule.id} "))
        assert rule.citation in row
        assert rule.doubt in row
        assert rule.missing in row


def test_the_page_fetches_nothing_runs_nothing_and_links_only_within_itself(page: Cells) -> None:
    assert not {"script", "img", "link", "iframe", "object", "form"} & set(page.tags)
    assert page.links
    assert all(link.startswith("#") for link in page.links)
    text = render_coverage(BOOK, coverage(BOOK), date(2026, 11, 2))
    assert "default-src &#39;none&#39;; style-src &#39;sha256-" in text
    assert text == render_coverage(BOOK, coverage(BOOK), date(2026, 11, 2))


def test_the_page_names_the_columns_without_a_rule() -> None:
    text = render_coverage(GAP, coverage(GAP), date(2026, 11, 2))
    assert 'id="gaps"' in text
    assert "no rule covers it: refuses the release" in text


def test_the_page_is_written_where_it_is_asked_for(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "coverage.html"
    found = document("coverage", "--html", path, "--project", site.root)
    assert found["html"] == str(path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
