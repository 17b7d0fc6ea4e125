"""Law 5 where two deliveries speak for the same days under the same revision and say different things."""

from __future__ import annotations

import hashlib
import io
import random
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from wellbridge.etl.digest import digest
from wellbridge.etl.store import open_store
from wellbridge.pipelines.nightly.review import discard, held_lines, wanted_of
from wellbridge.pipelines.nightly.run import RunReport, run_night
from wellbridge.pipelines.site import Site, init_site
from wellbridge.schemas.errors import Exit
from wellbridge.schemas.warehouse import METADATA

SEED = (
    datetime.now(UTC).date().toordinal()
)  # another order every day; printed, so that a failure can be repeated
CONFLICT = "WB-D-005"
SESSIONS = "staff_id,session_id,session_date,topic,hours,ceus\n"
CASES = "student_id,case_id,opened_date,closed_date,goal_domain,status,agency\n"
SERVICES = "service_id,student_id,service_date,minutes,category,modality,provider\n"
REENTRY = "plan_id,student_id,discharge_date,meeting_date\n"
OPT_OUTS = "student_id,scope,effective_date,withdrawn_date\n"

Paper = tuple[str, str, bytes]  # feed, name, content


def _text(feed: str, name: str, header: str, *rows: str) -> Paper:
    return feed, name, "".join((header, *(f"{row}\n" for row in rows))).encode()


def _roster() -> Paper:
    """Return a smallest package: a school and three students."""
    users = (
        "sourcedId,status,dateLastModified,enabledUser,username,userIds,givenName,familyName,middleName,identifier,"
        "email,sms,phone,agentSourcedIds,grades,password,userMasterIdentifier,preferredGivenName,preferredMiddleName,"
        "preferredFamilyName,primaryOrgSourcedId,pronouns\n"
    )
    roles = "sourcedId,status,dateLastModified,userSourcedId,roleType,role,beginDate,endDate,orgSourcedId,"
    members = {
        "manifest.csv": "propertyName,value\nmanifest.version,1.0\noneroster.version,1.2\nfile.orgs,bulk\n"
        "file.users,bulk\nfile.roles,bulk\n",
        "orgs.csv": "sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId\no1,,,High,school,S1,\n",
        "users.csv": users
        + "".join(f"u{n},,,true,u{n},,Ann{n},Lee{n},,00{n},,,,,09,,,,,,o1,\n" for n in (1, 2, 3)),
        "roles.csv": roles
        + "userProfileSourcedId\n"
        + "".join(f"r{n},,,u{n},primary,student,,,o1,\n" for n in (1, 2, 3)),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        for name, text in members.items():
            package.writestr(name, text)
    return "oneroster", "oneroster_2026-10-01.zip", buffer.getvalue()


DAY_X = _text("staff_training", "sessions_2026-10-19.csv", SESSIONS, "T1,A,2026-10-19,trauma_informed,1,0.1")
DAY_Y = _text(
    "staff_training",
    "sessions-2026-10-19.csv",
    SESSIONS,
    "T1,A,2026-10-19,trauma_informed,2,0.2",
    "T2,A,2026-10-19,trauma_informed,2,0.2",
    "T3,A,nonsense,trauma_informed,2,",
)
DAY_R2 = _text(
    "staff_training", "sessions_2026-10-19_r2.csv", SESSIONS, "T1,A,2026-10-19,trauma_informed,3,0.3"
)
MONTH = _text(
    "staff_training",
    "sessions_2026-10-01_2026-10-31.csv",
    SESSIONS,
    "T1,A,2026-10-19,trauma_informed,5,0.5",
    "T9,A,2026-10-19,trauma_informed,5,0.5",
    "T9,B,2026-10-20,trauma_informed,6,0.5",
)
DECK = (
    _roster(),
    MONTH,
    DAY_X,
    DAY_Y,
    _text(
        "case_management",
        "cases_2026-10-02.csv",
        CASES,
        "003,C1,2026-09-01,,academic,open,x",
        "003,C3,2026-09-02,,family,open,x",
    ),
    _text(
        "case_management",
        "cases_2026-10-19.csv",
        CASES,
        "003,C1,2026-09-01,2026-10-01,academic,closed,x",
        "003,C2,2026-09-03,,academic,open,x",
    ),
    _text("case_management", "cases-2026-10-19.csv", CASES, "003,C1,2026-09-01,,attendance,open,x"),
    _text(
        "case_management",
        "services_2026-10-18.csv",
        SERVICES,
        "S1,001,2026-10-18,10,mentoring,video,q",
        "S2,002,2026-10-18,20,mentoring,video,q",
    ),
    _text("sis", "optout_2026-10-17.csv", OPT_OUTS, "001,partners,2026-10-01,"),
    _text("sis", "optout-2026-10-17.csv", OPT_OUTS, "002,partners,2026-10-01,"),
)


def _put(site: Site, *papers: Paper) -> RunReport:
    for feed, name, content in papers:
        path = site.feeds[feed].inbox / name
        path.write_bytes(content)
        if feed == "case_management":
            path.with_name(f"{name}.done").write_text(
                f"{hashlib.sha256(content).hexdigest()}  {len(content)}\n"
            )
    report = run_night(site)
    for counts in report.feeds.values():
        assert counts["read"] == sum(counts[name] for name in ("loaded", "unchanged", "held", "removed"))
    return report


def _says(site: Site) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the warehouse's digest, and the deliveries that wait for a person: feed and rule."""
    whole = held_lines(site).filter(row=0).select("feed", "file", "rule").sort("feed", "file")
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        return digest(warehouse), [(feed, rule) for feed, _, rule in whole.iter_rows()]


def _hours(site: Site) -> list[float]:
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        return warehouse.frame("SELECT hours FROM training_attendance ORDER BY 1")["hours"].to_list()


@pytest.mark.parametrize("papers", [(DAY_X, DAY_Y), (DAY_Y, DAY_X)], ids=["xy", "yx"])
def test_of_two_that_contradict_neither_counts_and_what_stood_before_comes_back(
    papers: tuple[Paper, ...], tmp_path: Path
) -> None:
    site = init_site(tmp_path / "site")
    _put(site, MONTH)
    first = _put(site, papers[0])
    assert first.exit in {Exit.DONE, Exit.HELD}
    assert _hours(site) != [5, 5, 6]
    second = _put(site, papers[1])
    assert second.exit is Exit.CONTRACT
    assert [(row["status"], row["rule"]) for row in second.deliveries] == [("held", CONFLICT)] * 2
    assert second.feeds["staff_training"]["held"] == 1 + 3
    assert _hours(site) == [5, 5, 6]
    assert _says(site)[1] == [("staff_training", CONFLICT)] * 2


def test_two_that_contradict_in_one_night_are_both_held_with_their_rows(tmp_path: Path) -> None:
    site = init_site(tmp_path / "site")
    report = _put(site, MONTH, DAY_X, DAY_Y)
    counts = report.feeds["staff_training"]
    assert (counts["read"], counts["loaded"], counts["held"]) == (3 + 1 + 3, 3, 4)
    assert _hours(site) == [5, 5, 6]


def test_a_person_discards_the_wrong_one_and_releases_the_right_one(tmp_path: Path) -> None:
    site = init_site(tmp_path / "site")
    _put(site, MONTH)
    _put(site, DAY_X)
    _put(site, DAY_Y)
    lines = held_lines(site, rule=CONFLICT)
    assert run_night(site, wanted=wanted_of(lines)).exit is Exit.CONTRACT  # both again: nothing is decided
    assert discard(site, held_lines(site, rule=CONFLICT).filter(file=DAY_Y[1]), "sent by mistake") == 1
    report = run_night(site, wanted=wanted_of(held_lines(site, rule=CONFLICT)))
    assert (report.exit, report.feeds["staff_training"]["loaded"]) == (Exit.DONE, 1)
    assert _hours(site) == [1, 6]
    assert _says(site)[1] == []


def test_a_higher_revision_answers_both(tmp_path: Path) -> None:
    found = []
    for number, order in enumerate([(DAY_X, DAY_Y, DAY_R2), (DAY_R2, DAY_Y, DAY_X), (DAY_Y, DAY_R2, DAY_X)]):
        site = init_site(tmp_path / str(number))
        for paper in (MONTH, *order):
            _put(site, paper)
        assert _hours(site) == [3, 6]
        found.append(_says(site))
        assert found[-1][1] == []
    assert all(one == found[0] for one in found)


def test_a_name_without_a_date_is_restated_by_a_number(tmp_path: Path) -> None:
    site = init_site(tmp_path / "site")
    _put(site, ("staff_training", "sessions.csv", DAY_X[2]))
    _put(site, ("staff_training", "sessions.csv", DAY_Y[2]))
    assert _hours(site) == []
    assert _put(site, ("staff_training", "sessions_r2.csv", DAY_X[2])).exit is Exit.DONE
    assert _hours(site) == [1]
    assert _says(site)[1] == []


def test_p07_of_two_opt_outs_as_new_the_stricter_holds_in_both_orders(tmp_path: Path) -> None:
    """The one that never ended, and not the one whose text sorts last."""
    ended = _text("sis", "optout_2026-10-17.csv", OPT_OUTS, "003,partners,2026-10-01,2026-10-05")
    holds = _text("sis", "optout-2026-10-17.csv", OPT_OUTS, "003,partners,2026-10-01,")
    cases = _text("case_management", "cases_2026-10-02.csv", CASES, "003,C1,2026-09-01,,academic,open,x")
    for number, order in enumerate([(ended, holds), (holds, ended)]):
        site = init_site(tmp_path / str(number))
        for paper in (_roster(), cases, *order):
            _put(site, paper)
        with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
            assert warehouse.value("SELECT count(*) FROM case_plan") == 0
        assert _says(site)[1] == []


def _shuffled(site: Site, chance: random.Random) -> None:
    """Deliver everything one to three times, some at a time, in random order."""
    deliveries = [paper for paper in DECK for _ in range(chance.choice([1, 2, 3]))]
    chance.shuffle(deliveries)
    while deliveries:
        _put(site, *(deliveries.pop() for _ in range(min(len(deliveries), chance.randint(1, 12)))))


ANSWERED = (
    _roster(),
    _text(
        "case_management",
        "cases_2026-10-02.csv",
        CASES,
        "003,C1,2026-09-01,,nonsense,open,x",
        "003,C9,2026-09-02,,family,open,x",
        "003,C8,2026-09-02,,nonsense,open,x",
    ),
    _text("case_management", "cases_2026-10-19.csv", CASES, "003,C1,2026-09-01,,academic,open,x"),
    _text(
        "case_management",
        "services_2026-10-18.csv",
        SERVICES,
        "S1,001,2026-10-18,10,mentoring,video,q",
        "S2,001,2026-10-18,nonsense,mentoring,video,q",
    ),
    _text(
        "case_management", "services_2026-10-18_r2.csv", SERVICES, "S1,001,2026-10-18,20,mentoring,video,q"
    ),
    _text("case_management", "reentry_2026-10-18.csv", REENTRY, "P1,002,2026-10-01,"),
    _text("case_management", "reentry_2026-10-18_r2.csv", REENTRY),
)


@pytest.mark.parametrize("number", range(6))
def test_a_held_row_has_one_end_whatever_the_order(tmp_path: Path, number: int) -> None:
    """Rows that were never held in one order have no line in it; a line that there is says the same in all."""
    print(f"seed {SEED}, order {number}")
    chance = random.Random(SEED * 1000 + number)
    papers = list(ANSWERED)
    chance.shuffle(papers)
    site = init_site(tmp_path / "site")
    while papers:
        _put(site, *(papers.pop() for _ in range(min(len(papers), chance.randint(1, 3)))))
    lines = held_lines(site, status=None).select("file", "row", "status").unique()
    ends = {(file, row): status for file, row, status in lines.iter_rows()}
    assert lines.height == len(ends)
    always = {
        ("cases_2026-10-02.csv", 2): "superseded",
        ("cases_2026-10-02.csv", 4): "open",
        ("services_2026-10-18.csv", 3): "superseded",
    }
    orphans = {
        ("cases_2026-10-02.csv", 2): "superseded",
        ("cases_2026-10-02.csv", 3): "released",
        ("cases_2026-10-19.csv", 2): "released",
        ("services_2026-10-18.csv", 2): "superseded",
        ("services_2026-10-18_r2.csv", 2): "released",
        ("reentry_2026-10-18.csv", 2): "released",
    }
    assert always.items() <= ends.items()
    assert ends.items() <= (always | orphans).items()
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        assert warehouse.frame("SELECT minutes FROM service_encounter")["minutes"].to_list() == [20]
        assert warehouse.value("SELECT count(*) FROM case_plan") == 2
        assert warehouse.value("SELECT count(*) FROM reentry_plan") == 1


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], list[tuple[str, str]]]:
    site = init_site(tmp_path_factory.mktemp("disputes") / "site")
    _put(site, *DECK)
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        assert warehouse.value("SELECT count(*) FROM case_plan WHERE case_status = 'open'") == 2
        assert warehouse.value("SELECT count(*) FROM service_encounter") == 0  # both opt-outs are honoured
    return _says(site)


def _check(wanted: tuple[dict[str, str], list[tuple[str, str]]], folder: Path, number: int) -> None:
    print(f"seed {SEED}, order {number}")
    site = init_site(folder / "site")
    _shuffled(site, random.Random(SEED * 1000 + number))
    found = _says(site)
    assert {name for name in wanted[0] if wanted[0][name] != found[0][name]} == set()
    assert found[1] == wanted[1]


@pytest.mark.parametrize("number", range(4))
def test_disputed_deliveries_converge(
    wanted: tuple[dict[str, str], list[tuple[str, str]]], tmp_path: Path, number: int
) -> None:
    _check(wanted, tmp_path, number)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4, 34))
def test_disputed_deliveries_converge_in_many_orders(
    wanted: tuple[dict[str, str], list[tuple[str, str]]], tmp_path: Path, number: int
) -> None:
    _check(wanted, tmp_path, number)
