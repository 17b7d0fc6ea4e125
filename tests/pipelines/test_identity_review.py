"""``wellbridge identity review`` through the public door: sheets out and back, and no name where it must not be."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import stat
import unicodedata
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from etl.identity.review_queue import add_pairs, add_records, add_subjects, ids
from pipelines.answer import Answer
from wellbridge.etl.identity import review as queue
from wellbridge.etl.identity.cards import FIELDS, Card
from wellbridge.etl.identity.hub import By
from wellbridge.etl.identity.step import link
from wellbridge.etl.lock import run_lock
from wellbridge.etl.store import open_store
from wellbridge.etl.vault import VAULT, Vault
from wellbridge.pipelines import reviewing
from wellbridge.pipelines.cli import identity_review
from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.nightly.identity_change import forget_records
from wellbridge.pipelines.nightly.stores import open_stores, seals_of, write_event
from wellbridge.pipelines.site import Site, init_site

CANARY = "Zyxquivera"  # in every record, and in no message, ledger or file that is not a sheet
FORMULA = "=HYPERLINK(1)"
QUESTIONS = 4
CHILDREN = (
    ("Renée", "RENEE", "Morel"),
    ("Óscar", "OSCAR", "Fenn"),
    ("Inés", "INES", "Galt"),
    ("José", "JOSE", "Hobbs"),
)


def run(*arguments: object) -> Answer:
    done = CliRunner().invoke(cli, ["identity", "review", *map(str, arguments)])
    assert CANARY not in done.stderr
    return Answer(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return made(tmp_path / "site")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site for tests that leave its queue as it is."""
    return made(tmp_path_factory.mktemp("kept") / "site")


def made(folder: Path, day: str = "") -> Site:
    """Make a site whose queue holds questions: a clinic knows children by name alone, their birth dates a bit wrong.

    With the true ``day`` of birth the clinic also knows the home, and nothing is in question.
    """
    site = init_site(folder)
    names = ids(2 * QUESTIONS)
    anchors, others = names[:QUESTIONS], names[QUESTIONS:]
    with run_lock(site.lock), open_stores(site, "test") as (warehouse, store):
        write_event(warehouse, "test", "test", "")
        vault = Vault(store, seals_of(site))
        add_subjects(store, dict.fromkeys(anchors, "student") | dict.fromkeys(others, "clinic/patient"))
        vault.set_traits(traits(anchors, others, day))
        link(vault, "test")
        expected = "link" if day else "review"
        assert store.value("SELECT count(*) FROM scored_pair WHERE outcome = ?", [expected]) == QUESTIONS
    return site


def traits(anchors: list[str], others: list[str], day: str) -> pl.DataFrame:
    rows = []
    for number, (anchor, other) in enumerate(zip(anchors, others, strict=True)):
        first, other_first, last = CHILDREN[number]
        home = {"address": FORMULA, "phone": f"392-555-010{number}"}
        known = {"subject_key": anchor, "first_name": first, "birth_date": f"201{number}-03-01", **home}
        told = {"subject_key": other, "first_name": other_first, "birth_date": f"201{number}-03-{day or 11}"}
        told |= home if day else {}
        rows += [
            {**dict.fromkeys(home), **record, "last_name": f"{CANARY} {last}"} for record in (known, told)
        ]
    return pl.DataFrame(rows).with_columns(version=pl.lit("1"))


def two_reviewers(site: Site) -> None:
    settings = site.root / "wellbridge.toml"
    settings.write_text(settings.read_text().replace("reviewers = 1", "reviewers = 2"))


def constraints(site: Site) -> list[str]:
    with open_store(site.vault, VAULT, read_only=True) as store:
        return store.frame("SELECT kind FROM link_constraint WHERE asserted_to IS NULL ORDER BY kind")[
            "kind"
        ].to_list()


def answers_kept(site: Site) -> pl.DataFrame:
    with open_store(site.vault, VAULT, read_only=True) as store:
        return store.frame("SELECT * FROM review_answer")


def exported(site: Site, *more: object) -> Path:
    answer = run("export", "--project", site.root, "--reviewer", "ana", "--json", *more)
    assert answer.exit == 0, answer.stderr + answer.stdout
    return Path(answer.document["sheet"]["path"])


def filled(path: Path, change: Callable[[list[dict[str, str]]], None]) -> Path:
    """Fill a CSV sheet in as a spreadsheet would."""
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    change(rows)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def say(
    outcome: str, why: str = "written", rows_said: int = QUESTIONS
) -> Callable[[list[dict[str, str]]], None]:
    def change(rows: list[dict[str, str]]) -> None:
        for row in rows[:rows_said]:
            row |= {"answer": outcome, "why": why}

    return change


def saved_by_the_page(path: Path, outcome: str) -> Path:
    """What the page's script saves, made of the page's own marks."""
    page = path.read_text()
    sheet = re.findall(r'data-sheet="([^"]+)"', page)[0]
    questions = re.findall(r'<section class="question" id="([^"]+)"', page)
    answers = [{"question": one, "answer": outcome, "why": "written"} for one in questions]
    back = path.with_name("review-answers.json")
    back.write_text(json.dumps({"sheet": sheet, "answers": answers}))
    return back


def test_a_question_is_shown_at_a_terminal_only(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = run("next", "--project", site.root)
    assert answer.exit == 14
    assert "WB-E-098" in answer.stderr
    assert CANARY not in answer.stdout
    monkeypatch.setattr(identity_review, "is_terminal", lambda: True)
    answer = run("next", "--project", site.root)
    assert answer.exit == 0
    assert CANARY in answer.stdout
    assert "≠" in answer.stdout
    assert "bits" not in answer.stdout, "blind to the score"
    assert "bits" in run("next", "--project", site.root, "--with-score").stdout


def test_as_json_a_question_says_how_fields_compare_and_no_value(site: Site) -> None:
    answer = run("next", "--project", site.root, "--json")
    question = answer.document["question"]
    assert question["fields"] == {
        "First name": "written",
        "Last name": "same",
        "Birth date": "differs",
        "Address": "missing",
        "Telephone": "missing",
    }
    assert question["score"] is None
    assert CANARY not in answer.stdout


def test_next_and_decide_walk_through_the_queue(site: Site) -> None:
    for _ in range(QUESTIONS):
        question = run("next", "--project", site.root, "--json").document["question"]["id"]
        answer = run("decide", question, "nonlink", "--why", "sibling", "--project", site.root, "--json")
        assert answer.document["decided"] == 1
    assert run("next", "--project", site.root, "--json").document["question"] is None
    assert constraints(site) == ["cannot"] * QUESTIONS
    again = run("decide", question, "link", "--why", "written", "--project", site.root, "--json")
    assert again.exit == 10
    assert again.error["code"] == "WB-E-095"


def test_a_question_belongs_to_the_reviewer_who_was_asked(site: Site) -> None:
    question = run("next", "--project", site.root, "--reviewer", "ana", "--json").document["question"]["id"]
    answer = run(
        "decide", question, "link", "--why", "written", "--project", site.root, "--reviewer", "ben", "--json"
    )
    assert answer.error["code"] == "WB-E-095"


def test_seeing_the_score_is_recorded(site: Site) -> None:
    question = run("next", "--project", site.root, "--json", "--with-score").document["question"]
    assert "bits" in question["score"]
    run("decide", question["id"], "link", "--why", "written", "--project", site.root)
    assert answers_kept(site)["is_blind"].to_list() == [False]
    assert run("status", "--project", site.root, "--json").document["unblinded"] == 1


@pytest.mark.parametrize("form", ["csv", "html"])
def test_a_sheet_goes_out_and_its_answers_come_back(site: Site, form: str) -> None:
    path = exported(site, "--format", form)
    assert path.is_relative_to(site.state)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert CANARY in path.read_text(encoding="utf-8")
    back = filled(path, say("link")) if form == "csv" else saved_by_the_page(path, "link")
    answer = run("import", back, "--project", site.root, "--json")
    assert answer.document | {"decided": QUESTIONS, "waiting": 0, "known": 0, "stale": 0} == answer.document
    assert constraints(site) == ["must"] * QUESTIONS
    assert set(answers_kept(site)["kind"]) == {"import"}
    assert not back.exists()
    assert not list(path.parent.iterdir()), "sheet and answers are deleted"


def test_two_reviewers_each_with_a_sheet_of_their_own(site: Site) -> None:
    two_reviewers(site)
    sheets = {name: exported(site, "--reviewer", name, "--format", "csv") for name in ("ana", "ben")}
    first = run("import", filled(sheets["ana"], say("link")), "--project", site.root, "--json").document
    assert (first["decided"], first["waiting"]) == (0, QUESTIONS)
    ours = sheets["ben"].read_text()
    assert "link" not in ours, "nobody sees what another said"
    second = run("import", filled(sheets["ben"], say("link")), "--project", site.root, "--json").document
    assert second["decided"] == QUESTIONS
    status = run("status", "--project", site.root, "--json").document
    assert status["agreement"]["share"] == 1
    assert (status["open"], status["decided"], status["answers"]) == (0, QUESTIONS, 2 * QUESTIONS)


def test_one_reviewer_under_two_spellings_is_one(site: Site) -> None:
    two_reviewers(site)
    sheets = [exported(site, "--reviewer", name, "--format", "csv") for name in ("Ana  Ruiz", "ana ruiz")]
    run("import", filled(sheets[0], say("link")), "--project", site.root)
    assert (
        run("next", "--project", site.root, "--reviewer", "ANA RUIZ", "--json").document["question"] is None
    )
    found = run("import", filled(sheets[1], say("link")), "--project", site.root, "--json").document
    assert (found["decided"], found["waiting"]) == (0, 0)
    assert constraints(site) == []


def test_a_wrong_choice_is_not_repeated(site: Site) -> None:
    for arguments in (("decide", "q1", CANARY), ("decide", "q1", "link", "--why", CANARY)):
        answer = run(*arguments, "--project", site.root)
        assert answer.exit == 2
        assert CANARY not in answer.stdout


def test_an_automatic_question_cannot_be_undone_and_its_answers_stay(site: Site) -> None:
    two_reviewers(site)
    run("import", filled(exported(site, "--format", "csv"), say("link")), "--project", site.root)
    with open_store(site.vault, VAULT, read_only=True) as store:
        asked = store.frame("SELECT decision_id FROM decision WHERE kind = 'auto' AND outcome = 'review'")
    assert asked.height == QUESTIONS
    said = ("--reason", "no", "--by", "ana", "--second", "ben", "--project", str(site.root), "--json")
    for decision in asked["decision_id"]:
        done = CliRunner().invoke(cli, ["identity", "undo", decision, *said])
        assert done.exit_code == 10
        assert json.loads(done.stdout)["errors"][0]["code"] == "WB-E-111"
    second = filled(exported(site, "--reviewer", "ben", "--format", "csv"), say("link"))
    assert run("import", second, "--project", site.root, "--json").document["decided"] == QUESTIONS


def test_questions_left_empty_stay_open(site: Site) -> None:
    path = filled(exported(site, "--format", "csv"), say("link", rows_said=1))
    assert run("import", path, "--project", site.root, "--json").document["decided"] == 1
    assert run("status", "--project", site.root, "--json").document["open"] == QUESTIONS - 1


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _exchange(rows: list[dict[str, str]], *names: str) -> None:
    for name in names:
        rows[0][name], rows[1][name] = rows[1][name], rows[0][name]


ALTERATIONS: dict[str, Callable[[list[dict[str, str]]], Any]] = {
    "another id": lambda rows: rows[0].update(question="q00000000000"),
    "a question twice": lambda rows: rows.append(dict(rows[0])),
    "a question less": lambda rows: rows.pop(),
    "ids of other rows": lambda rows: rows[0].update(question=rows[1]["question"]),
    "another value shown": lambda rows: rows[0].update({"First name B": rows[1]["First name B"]}),
    "a day of birth less": lambda rows: rows[0].update({"Birth date A": rows[0]["Birth date B"]}),
    "a value left out": lambda rows: rows[0].update({"Last name A": ""}),
    "what is shown of two questions exchanged": lambda rows: _exchange(rows, "First name A", "First name B"),
    "the other's code": lambda rows: rows[0].update(seen=rows[1]["seen"]),
    "an accent": lambda rows: [row.update({"First name A": _plain(row["First name A"])}) for row in rows],
    "no codes": lambda rows: [row.update(seen="") for row in rows],
    "another seal": lambda rows: [row.update(sheet="e" + row["sheet"]) for row in rows],
    "an unknown answer": lambda rows: rows[0].update(answer=CANARY, why="written"),
    "an unknown reason": lambda rows: rows[0].update(answer="link", why=CANARY),
    "an answer without a reason": lambda rows: rows[0].update(why=""),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_sheet_is_refused_whole_and_no_message_quotes_it(kept: Site, name: str) -> None:
    path = filled(exported(kept, "--format", "csv"), say("link", rows_said=QUESTIONS - 1))
    filled(path, ALTERATIONS[name])
    answer = run("import", path, "--project", kept.root, "--json")
    assert answer.exit == 11
    assert answer.error["code"] == "WB-E-096"
    assert CANARY not in answer.stdout
    assert answers_kept(kept).is_empty()
    assert path.exists(), "what was not taken is not deleted"


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "question,answer,why,sheet\n", "\0\0", '{"sheet": 1, "answers": [1]}']
)
@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_file_that_is_no_sheet_is_refused(kept: Site, tmp_path: Path, text: str, suffix: str) -> None:
    path = tmp_path / f"wrong.{suffix}"
    path.write_text(text)
    assert run("import", path, "--project", kept.root, "--json").error["code"] == "WB-E-096"


def test_a_sheet_of_another_site_is_refused(site: Site, tmp_path: Path) -> None:
    path = filled(exported(site, "--format", "csv"), say("link"))
    other = init_site(tmp_path / "other")
    with run_lock(other.lock), open_stores(other, "test") as (warehouse, _):
        write_event(warehouse, "test", "test", "")
    assert run("import", path, "--project", other.root, "--json").error["code"] == "WB-E-096"


def test_a_spreadsheet_may_sort_rows_and_change_separator_and_letters(site: Site) -> None:
    path = exported(site, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    say("link")(rows)
    with path.open("w", encoding="cp1252", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "note"], delimiter=";")
        writer.writeheader()
        writer.writerows(rows[::-1])
    assert run("import", path, "--project", site.root, "--json").document["decided"] == QUESTIONS


def test_an_altered_value_is_found_also_where_a_spreadsheet_lost_the_accents(site: Site) -> None:
    path = exported(site, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    say("link")(rows)
    rows[0]["Birth date A"] = rows[0]["Birth date B"]
    with path.open("w", encoding="cp1252", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    answer = run("import", path, "--project", site.root, "--json")
    assert (answer.error["code"], answer.error["where"]) == ("WB-E-096", f"file {path.name} · question 1")
    assert answers_kept(site).is_empty()


def test_no_value_of_a_sheet_is_a_number_or_a_date_to_a_spreadsheet(kept: Site) -> None:
    rows = csv.DictReader(io.StringIO(exported(kept, "--format", "csv").read_text(encoding="utf-8-sig")))
    values = [
        value for row in rows for name, value in row.items() if name.startswith(("Birth date", "Telephone"))
    ]
    assert len([value for value in values if value]) > QUESTIONS
    assert not [value for value in values if value and not value.startswith("'")]


def test_spot_checks_look_like_questions_and_cut_a_wrong_link(tmp_path: Path) -> None:
    site = made(
        tmp_path / "site", day="01"
    )  # no birth date is wrong, and each home is known on both sides: links
    assert run("status", "--project", site.root, "--json").document["open"] == 0
    path = filled(exported(site, "--format", "csv", "--spot-checks", 2), say("nonlink", "sibling"))
    found = run("import", path, "--project", site.root, "--json").document
    assert found["decided"] == 2
    assert constraints(site) == ["cannot", "cannot"]
    status = run("status", "--project", site.root, "--json").document
    assert (status["checked"], status["confirmed"]) == (2, 0)
    assert status["confirmed_interval"][0] == 0
    with open_store(site.vault, VAULT, read_only=True) as store:
        apart = "SELECT count(DISTINCT person_key) FROM subject"
        assert store.value(apart) == QUESTIONS + 2, "in the same night the two are two again"


def test_a_rival_is_shown_beside(site: Site) -> None:
    with open_store(site.vault, VAULT) as store:
        other = store.value("SELECT max(record_a) FROM scored_pair")
        store.run("UPDATE scored_pair SET runner_up = ? WHERE record_a <> ?", [other, other])
    rows = list(
        csv.DictReader(io.StringIO(exported(site, "--format", "csv").read_text(encoding="utf-8-sig")))
    )
    assert sorted(bool(row["Last name also near"]) for row in rows) == [False] + [True] * (QUESTIONS - 1)
    assert "Also near" in exported(site).read_text()


def test_forgetting_a_child_deletes_the_sheets_that_may_name_it(site: Site) -> None:
    path = exported(site)
    with open_store(site.vault, VAULT, read_only=True) as store:
        record = str(store.value("SELECT min(record_a) FROM scored_pair"))
    forget_records(site, [record], By("lead", "asked"))
    assert not path.exists()
    assert run("status", "--project", site.root, "--json").document["open"] == QUESTIONS - 1


def test_answers_come_too_late(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    path = filled(exported(site, "--format", "csv"), say("link"))
    last = date.fromisoformat(path.name[:10])
    monkeypatch.setattr(reviewing, "today", lambda: last)
    assert run("status", "--project", site.root, "--json").document["sheets"] == [path.name]
    monkeypatch.setattr(reviewing, "today", lambda: last + timedelta(days=1))
    assert run("import", path, "--project", site.root, "--json").error["code"] == "WB-E-097"
    assert run("status", "--project", site.root, "--json").document["sheets"] == []
    assert not path.exists(), "a sheet whose last day is over is deleted"


def test_an_answer_about_records_that_changed_meanwhile_is_stale(site: Site) -> None:
    path = filled(exported(site, "--format", "csv"), say("link"))
    with run_lock(site.lock), open_stores(site, "later") as (warehouse, store):
        write_event(warehouse, "test", "later", "")
        store.run("UPDATE source_record SET content = 2")
    found = run("import", path, "--project", site.root, "--json").document
    assert (found["decided"], found["stale"]) == (0, QUESTIONS)
    assert constraints(site) == []


@pytest.mark.parametrize("folder", ["reports", "releases", "inbox", "."])
def test_a_sheet_does_not_lie_among_files_that_others_see(kept: Site, folder: str) -> None:
    place = kept.root / folder / "sheet.html"
    answer = run("export", "--project", kept.root, "--out", place, "--json")
    assert answer.exit == 14
    assert answer.error["code"] == "WB-E-098"
    assert not place.exists()


@pytest.mark.parametrize("name", ["nowhere/sheet.html", "taken.html"])
def test_a_sheet_goes_to_a_new_file_in_a_folder_that_exists(kept: Site, tmp_path: Path, name: str) -> None:
    (tmp_path / "taken.html").write_text("mine")
    answer = run("export", "--project", kept.root, "--out", tmp_path / name, "--json")
    assert answer.error["code"] == "WB-E-011"
    assert (tmp_path / "taken.html").read_text() == "mine"


@pytest.mark.parametrize("name", ["", " ", "a" * 65, "a\nb"])
def test_a_reviewer_has_a_name(kept: Site, name: str) -> None:
    answer = CliRunner().invoke(
        cli, ["identity", "review", "next", "--project", str(kept.root), "--reviewer", name]
    )
    assert answer.exit_code == 2


def test_a_sheet_may_go_elsewhere(kept: Site, tmp_path: Path) -> None:
    path = exported(kept, "--out", tmp_path / "sheet.html")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_cell_of_a_sheet_runs_in_a_spreadsheet(kept: Site) -> None:
    rows = csv.reader(io.StringIO(exported(kept, "--format", "csv").read_text(encoding="utf-8-sig")))
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@"))]


def test_a_page_fetches_nothing_and_holds_no_key_of_the_vault(kept: Site) -> None:
    page = html.unescape(exported(kept).read_text())
    assert "http" not in page.replace("http-equiv", "")
    assert re.search(
        r"default-src 'none'; style-src 'sha256-[^']+'; img-src data:; script-src 'sha256-[^']+'", page
    )
    assert "on" + "click" not in page
    with open_store(kept.vault, VAULT, read_only=True) as store:
        keys = store.frame("SELECT record_id FROM source_record")["record_id"]
    assert not [key for key in keys if key in page]


def test_names_are_escaped(site: Site) -> None:
    with run_lock(site.lock), open_stores(site, "later") as (warehouse, store):
        write_event(warehouse, "test", "later", "")
        keys = store.frame("SELECT record_id AS subject_key FROM source_record")
        later = keys.with_columns(first_name=pl.lit("<script>alert(1)</script>"), version=pl.lit("2"))
        Vault(store, seals_of(site)).set_traits(later)
    assert "<script>alert" not in exported(site).read_text()


def test_a_blind_page_does_not_show_the_score(kept: Site) -> None:
    assert "bits" not in exported(kept).read_text()
    assert "bits" in exported(kept, "--with-score").read_text()


def test_the_ledger_counts_sheets_and_answers_and_names_nobody(site: Site) -> None:
    path = filled(exported(site, "--format", "csv"), say("link"))
    run("import", path, "--project", site.root)
    with open_store(site.warehouse, VAULT, read_only=True) as warehouse:
        events = warehouse.frame("SELECT action, detail FROM ledger_event ORDER BY seq").rows()
    actions = [action for action, _ in events if action != "identity.chain"]
    assert actions[-3:] == ["identity.review.export", "identity.review", "run"]
    assert not [detail for _, detail in events if CANARY in (detail or "") or "ana" in (detail or "")]


def test_labels_name_rows_of_the_files_that_are_trained_on(site: Site, tmp_path: Path) -> None:
    run("import", filled(exported(site, "--format", "csv"), say("link")), "--project", site.root)
    path = tmp_path / "labels.csv"
    assert run("labels", path, "--project", site.root, "--json").document["labels"] == QUESTIONS
    found = pl.read_csv(path)
    assert {"left_id", "right_id", "is_match"} <= set(found.columns)
    assert set(found["left_source"]) == {"student"}
    assert found["is_match"].all()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    place = site.root / "labels.csv"
    assert run("labels", place, "--project", site.root, "--json").error["code"] == "WB-E-098"
    assert not place.exists()


@pytest.mark.parametrize(
    ("line", "part"),
    [("reviewers = 3", "reviewers"), ("reviewers = 0", "reviewers"), ("sheet_days = 0", "sheet_days")],
)
def test_settings_are_checked(site: Site, line: str, part: str) -> None:
    settings = site.root / "wellbridge.toml"
    settings.write_text(re.sub(rf"(?m)^{part} = \d+", line, settings.read_text()))
    assert run("status", "--project", site.root, "--json").error["code"] == "WB-E-011"


def test_choices_of_the_command_line_are_those_of_the_queue() -> None:
    assert tuple(queue.OUTCOMES) == identity_review._OUTCOMES
    assert tuple(queue.WHY) == identity_review._WHY
    assert reviewing.FORMATS == ("html", "csv")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Card]:
    """Return what makes the card of two records."""
    site = made(tmp_path_factory.mktemp("shown") / "site")

    def card_of(first: dict[str, str], other: dict[str, str]) -> Card:
        a, b = ids(2)
        with run_lock(site.lock), open_stores(site, "shown") as (warehouse, store):
            write_event(warehouse, "test", "shown", "")
            store.run("DELETE FROM scored_pair")
            add_records(store, {a: "student", b: "clinic/patient"})
            add_pairs(store, [(a, b)])
            said = [
                {"subject_key": key, "version": "1", **record} for key, record in ((a, first), (b, other))
            ]
            Vault(store, seals_of(site)).set_traits(pl.DataFrame(said))
        card = reviewing.next_card(site, "ana", with_score=False)
        assert card is not None
        return card

    return card_of


@pytest.mark.parametrize(
    ("field", "left", "right", "mark", "underlined"),
    [
        ("first_name", "Ana", "Ana", "same", ["", ""]),
        ("first_name", "José", "JOSE", "written", ["", ""]),
        ("first_name", "María Elena", "MARIA", "differs", [" Elena", ""]),
        ("last_name", "García López", "Lopez-Garcia", "written", ["", ""]),
        ("phone", "(392) 555-0100", "3925550100", "written", ["", ""]),
        ("phone", "392 555 0100", "3925550199", "differs", ["00", "99"]),
        ("address", "1813 Schultz St Apt 4", "1813 SCHULTZ STREET #4", "written", ["", ""]),
        ("birth_date", "2015-03-01", "2015-01-03", "differs", ["31", "13"]),
        ("sex", "F", "M", "differs", ["F", "M"]),
        ("first_name", "Oscar", "Wilhelmina", "differs", ["Oscar", "Wilhelmina"]),
    ],
)
def test_differences_are_marked_by_sign_and_underlined(
    shown: Callable[..., Card], field: str, left: str, right: str, mark: str, underlined: list[str]
) -> None:
    record = {"first_name": "Ana", "last_name": "Ruiz"}
    card = shown(record | {field: left}, record | {field: right})
    line = next(line for line in card.lines if line.title == FIELDS[field])
    assert line.mark == mark
    assert (line.a, line.b) == (left, right), "values are shown as they were written"
    sides = ["".join(piece.text for piece in side if piece.differs) for side in (line.left, line.right)]
    assert sides == underlined
