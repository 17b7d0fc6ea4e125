"""Law 5 where rows wait for others: duplicates, opt-outs and orphans that come before the roster."""

from __future__ import annotations

import csv
import errno
import hashlib
import itertools
import shutil
from pathlib import Path

import pytest

from wellbridge.etl.digest import digest
from wellbridge.etl.store import open_store
from wellbridge.pipelines.nightly import intake
from wellbridge.pipelines.nightly.review import held_lines, wanted_of
from wellbridge.pipelines.nightly.run import RunReport, run_night
from wellbridge.pipelines.site import Site, init_site
from wellbridge.pipelines.synth.generate import generate
from wellbridge.schemas.errors import Exit, StoreError
from wellbridge.schemas.warehouse import METADATA

SERVICES = "service_id,student_id,service_date,minutes,category,modality,provider"
OPT_OUTS = "student_id,scope,effective_date,withdrawn_date"


@pytest.fixture(scope="module")
def roster(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Return a OneRoster package and the numbers of two of its students."""
    root = tmp_path_factory.mktemp("roster")
    generate(root, students=40, nights=1, seed=7)
    with (root / "truth" / "people.csv").open() as file:
        numbers = [row["student_number"] for row in csv.DictReader(file) if row["student_number"]]
    return next((root / "night-1" / "oneroster").glob("*.zip")), numbers[3:5]


def _put_roster(site: Site, package: Path) -> RunReport:
    shutil.copy(package, site.feeds["oneroster"].inbox)
    return run_night(site)


def _put_rows(site: Site, feed: str, name: str, *lines: str) -> RunReport:
    path = site.feeds[feed].inbox / name
    text = "\n".join([*lines, ""]).encode()
    path.write_bytes(text)
    if feed == "case_management":
        path.with_name(f"{name}.done").write_text(f"{hashlib.sha256(text).hexdigest()}  {len(text)}\n")
    return run_night(site)


def _minutes(site: Site) -> list[float]:
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        return warehouse.frame("SELECT minutes FROM service_encounter ORDER BY 1")["minutes"].to_list()


def _digest(site: Site) -> dict[str, str]:
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        return digest(warehouse)


def _held(site: Site, feed: str) -> set[tuple[str, int, str]]:
    lines = held_lines(site, feeds=[feed])
    return set(lines.select("rule", "row", "status").iter_rows())


def test_the_first_row_of_a_key_counts_whether_the_roster_comes_before_or_after(
    roster: tuple[Path, list[str]], tmp_path: Path
) -> None:
    package, (child, other) = roster
    rows = [f"X1,{child},2026-09-21,10,mentoring,video,Q", f"X1,{child},2026-09-21,90,mentoring,video,Q"]
    rows += [f"X2,{other},2026-09-21,80,mentoring,video,Q", f"X2,{other},2026-09-21,20,mentoring,video,Q"]
    found = []
    for is_first in (True, False):
        site = init_site(tmp_path / str(is_first))
        if is_first:
            _put_roster(site, package)
        report = _put_rows(site, "case_management", "services_2026-09-01_2026-09-28.csv", SERVICES, *rows)
        assert report.feeds["case_management"]["held"] == (2 if is_first else 4)
        if not is_first:
            _put_roster(site, package)
        assert _minutes(site) == [10, 80]
        assert _held(site, "case_management") == {("WB-R-030", 3, "open"), ("WB-R-030", 5, "open")}
        found.append(_digest(site))
    assert found[0] == found[1]


def test_a_duplicate_that_is_tried_again_stays_held_and_changes_nothing(
    roster: tuple[Path, list[str]], tmp_path: Path
) -> None:
    package, (child, _) = roster
    site = init_site(tmp_path / "site")
    _put_roster(site, package)
    rows = [f"X1,{child},2026-09-21,10,mentoring,video,Q", f"X1,{child},2026-09-21,90,mentoring,video,Q"]
    _put_rows(site, "case_management", "services_2026-09-01_2026-09-28.csv", SERVICES, *rows)
    before = _digest(site)
    report = run_night(site, wanted=wanted_of(held_lines(site, feeds=["case_management"])))
    assert report.exit is Exit.HELD
    assert _digest(site) == before
    assert _held(site, "case_management") == {("WB-R-030", 3, "open")}


def test_an_opt_out_that_came_before_its_child_is_honoured_in_every_order(
    roster: tuple[Path, list[str]], tmp_path: Path
) -> None:
    package, (child, other) = roster
    steps = {
        "roster": lambda site: _put_roster(site, package),
        "services": lambda site: _put_rows(
            site,
            "case_management",
            "services_2026-09-20.csv",
            SERVICES,
            f"X1,{child},2026-09-20,90,mentoring,video,Q",
            f"X2,{other},2026-09-20,10,mentoring,video,Q",
        ),
        "opt-out": lambda site: _put_rows(
            site, "sis", "optout_2026-09-19.csv", OPT_OUTS, f"{child},partners,2026-09-19,"
        ),
    }
    found = []
    for number, order in enumerate(itertools.permutations(steps)):
        site = init_site(tmp_path / str(number))
        for name in order:
            steps[name](site)
        assert _minutes(site) == [10], order
        assert _held(site, "sis") == set(), order
        found.append(_digest(site))
    assert all(one == found[0] for one in found)


def test_an_opt_out_said_twice_is_taken_and_the_one_that_never_ends_holds(
    roster: tuple[Path, list[str]], tmp_path: Path
) -> None:
    package, (child, _) = roster
    site = init_site(tmp_path / "site")
    _put_roster(site, package)
    rows = [f"{child},partners,2026-09-01,", f"{child},partners,2026-09-01,2026-09-05"]
    report = _put_rows(site, "sis", "optout_2026-09-19.csv", OPT_OUTS, *rows)
    assert report.feeds["sis"]["read"] == 2
    assert report.feeds["sis"]["held"] == 0
    line = f"X1,{child},2026-09-20,90,mentoring,video,Q"
    report = _put_rows(site, "case_management", "services_2026-09-20.csv", SERVICES, line)
    assert report.feeds["case_management"]["removed"] == 1


def test_a_full_disk_is_no_fault_of_the_partner_and_the_delivery_is_taken_once_there_is_room(
    roster: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, _ = roster
    site = init_site(tmp_path / "site")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(intake, "deidentify", full)
        with pytest.raises(StoreError) as caught:
            _put_roster(site, package)
    assert package.name in caught.value.where
    assert held_lines(site).height == 0
    assert _put_roster(site, package).feeds["oneroster"]["loaded"] > 0
