"""PTAC's and NCES's guidance on released tables and files, and the ranges of published percentages."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from pipelines.district_memory import AS_OF
from privacy.rules.rule_data import P, released_rows
from wellbridge.etl.store import Store
from wellbridge.pipelines.extract_columns import student_rows
from wellbridge.pipelines.extract_definitions import load_definition
from wellbridge.pipelines.extracts import Release, verify_release
from wellbridge.pipelines.policy.release import check_release
from wellbridge.pipelines.release_tables import told_by
from wellbridge.privacy.agreements import Agreement
from wellbridge.privacy.rules.book import builtin
from wellbridge.privacy.rules.decide import decide
from wellbridge.privacy.rules.local import tightened
from wellbridge.privacy.rules.rule import Purpose
from wellbridge.privacy.rules.states import all_bands, profiles
from wellbridge.privacy.tables.joint import attack_together
from wellbridge.schemas.errors import PrivacyError

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "privacy"
EDFACTS = SHARED / "edfacts" / "EdFacts_ACGR_LEA_2015.csv"


def students(releases: dict[str, Release]) -> list[dict[str, str]]:
    return released_rows(releases["aggregate"].path / "students.csv")


def test_t01_without_names_the_rows_are_still_unique_and_in_a_release_none_is(
    district: Store, releases: dict[str, Release]
) -> None:
    found = released_rows(releases["record"].path / "records.csv")
    names = ["school_level", "grade_band", "race_ethnicity", "sex", "english_learner", "disability"]
    nameless = student_rows(district, AS_OF, names).group_by(names).len()
    assert nameless["len"].min() == 1
    assert not {"first_name", "last_name", "person_key"} & set(found[0])
    sizes: dict[tuple[str, ...], int] = defaultdict(int)
    for row in found:
        sizes[tuple(row[name] for name in names)] += 1
    assert min(sizes.values()) >= 10


def test_t02_releases_are_examined_together_and_it_says_what_is_not(releases: dict[str, Release]) -> None:
    assert verify_release(releases["aggregate"].path) == []
    manifest = (releases["aggregate"].path / "manifest.json").read_text(encoding="utf-8")
    assert '"not_examined"' in manifest
    assert "earlier releases" not in manifest
    assert "T-02" in manifest
    # Both releases, tables and records of one day, are one system in which nothing small follows.
    told = []
    for release in releases.values():
        facts = json.loads((release.path / "manifest.json").read_text(encoding="utf-8"))
        files = {table["file"]: (release.path / table["file"]).read_bytes() for table in facts["tables"]}
        told += [one.table for one in told_by(release.path.name, facts, files)]
    counted = {axis.columns[0] for one in told if not one.is_lower_bound for axis in one.axes}
    seen = attack_together([one for one in told if not one.is_lower_bound or one.axes[0].columns[0] in counted])
    assert seen.hidden > 0
    assert seen.exposures == ()


def test_t03_no_cell_below_the_absolute_least_is_shown(releases: dict[str, Release]) -> None:
    least = builtin().rules["T-03"].limits["min_cell"]
    assert not [row for row in students(releases) if row["n"] and 0 < int(row["n"]) < int(least)]  # type: ignore[arg-type]


def test_t04_no_line_has_exactly_one_hidden_cell(releases: dict[str, Release]) -> None:
    found = students(releases)
    lines: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in found:
        if "all" not in (row["school"], row["race_ethnicity"]):
            lines["school", row["school"]].append(row["n"])
            lines["race", row["race_ethnicity"]].append(row["n"])
    hidden = {line: cells.count("") for line, cells in lines.items()}
    shown_total = {("school", row["school"]) for row in found if row["race_ethnicity"] == "all" and row["n"]}
    assert sum(hidden.values()) > 0
    assert {line: n for line, n in hidden.items() if n == 1 and line in shown_total} == {}


def test_n01_no_count_from_one_to_nine_is_shown(releases: dict[str, Release], district: Store) -> None:
    true = student_rows(district, AS_OF, ["school", "race_ethnicity"]).group_by("school", "race_ethnicity").len()
    assert true["len"].min() < 10  # type: ignore[operator]  # a count
    assert not [row for row in students(releases) if row["n"] and 0 < int(row["n"]) < 10]


@pytest.mark.parametrize(("n", "percent", "shown"), [
    (9, 50, None), (10, 80, (80, 100)), (19, 20, (0, 20)), (20, 91, (90, 100)), (39, 10, (0, 10)), (40, 96, (95, 100)),
    (99, 4, (0, 5)), (100, 98, (98, 100)), (299, 2, (0, 2)), (300, 1, (0, 1)), (300, 50, (50, 50)), (15, 47, (40, 49)),
])
def test_n02_a_percentage_near_its_end_is_wider_the_smaller_its_group(
    n: int, percent: int, shown: tuple[int, int] | None
) -> None:
    assert all_bands()["nces-2011-603"].blur(n, percent) == shown


@pytest.mark.parametrize("name", sorted(all_bands()))
def test_n02_ranges_hold_the_percentage_and_do_not_overlap(name: str) -> None:
    bands = all_bands()[name]
    for n in range(1, 400):
        shown = [bands.blur(n, percent) for percent in range(101)]
        ranges = sorted({one for one in shown if one is not None})
        assert all(one is None or one[0] <= percent <= one[1] for percent, one in enumerate(shown))
        assert all(a[1] < b[0] for a, b in pairwise(ranges))


def test_n02_shares_at_their_ends_are_coded_in_a_release(releases: dict[str, Release]) -> None:
    found = released_rows(releases["aggregate"].path / "measures.csv")
    exact = [float(row["value"]) for row in found if row["shown"] == "exact" and row["measure_id"] == "chronic_absence"]
    assert exact
    assert not {0.0, 1.0} & set(exact)
    assert [row for row in found if row["shown"] == "coded" and (row["at_most"] or row["at_least"])]


def test_n03_where_it_is_turned_on_counts_are_refused_and_measures_are_not(
    folder: Path, agreement: Agreement
) -> None:
    definition = load_definition(folder / "extracts" / "district-outcomes.toml")
    facts = builtin().facts_by_name("tier", P.SENSITIVE)
    for text in ("[tighten.N-03]\npercent_only = true", 'profile = "UT"'):
        book = tightened(builtin(), text)
        with pytest.raises(PrivacyError) as caught:
            check_release(definition, agreement, book)
        assert (caught.value.code, "N-03" in caught.value.where) == ("WB-E-074", True)
        check_release(replace(definition, counts=()), agreement, book)
        assert "N-03 require:no_counts" in decide(book, facts, (), Purpose.AGGREGATE).checks
    check_release(definition, agreement, builtin())
    assert "N-03 require:no_counts" not in decide(builtin(), facts, (), Purpose.AGGREGATE).checks


def _range(text: str) -> tuple[int, int] | None:
    if text == "PS":
        return None
    kind, number = text[:2], text[2:]
    ends = {"LT": lambda n: (0, n - 1), "LE": lambda n: (0, n), "GE": lambda n: (n, 100)}
    if kind in ends:
        return ends[kind](int(number))
    low, _, high = text.partition("-")
    return int(low), int(high or low)


@pytest.mark.skipif(not EDFACTS.is_file(), reason="the EDFacts file is not on this machine")
def test_n04_every_value_of_the_federal_file_is_in_the_ranges_of_its_cohort() -> None:
    bands = all_bands()["edfacts"]
    possible = {n: {bands.blur(n, p) for p in range(101)} for n in range(1, 1000)}
    looked = strange = coarser = 0
    with EDFACTS.open(encoding="latin-1", newline="") as source:
        for row in csv.DictReader(source):
            cohort, rate = row["ALL_COHORT_1415"], row["ALL_RATE_1415"]
            if cohort.isdigit() and 0 < int(cohort) < 1000 and rate not in {".", ""}:
                looked += 1
                is_coarser = 200 < int(cohort) <= 300 and _range(rate) in possible[200]
                coarser += is_coarser and _range(rate) not in possible[int(cohort)]
                strange += _range(rate) not in possible[int(cohort)] and not is_coarser
    assert looked > 10_000
    assert strange == 0
    assert coarser < looked / 100  # a few schools of 201 to 300 keep the ranges of smaller ones


def test_n04_the_ranges_of_the_federal_file_are_as_derived() -> None:
    blur = all_bands()["edfacts"].blur
    assert [blur(5, 50), blur(6, 49), blur(15, 50), blur(16, 21), blur(31, 11), blur(61, 6), blur(201, 1)] == [
        None, (0, 49), (50, 100), (21, 39), (11, 19), (6, 9), (0, 1)]


@pytest.mark.parametrize("state", profiles().values(), ids=profiles())
def test_a_state_s_practice_makes_the_rules_stricter_or_leaves_them(state: object) -> None:
    name = state.id  # type: ignore[attr-defined]
    book = tightened(builtin(), f'profile = "{name}"')
    assert book.profile == name
    assert book.number("min_cell") == max(10, state.min_n_report)  # type: ignore[attr-defined]
    assert book.digest != builtin().digest
