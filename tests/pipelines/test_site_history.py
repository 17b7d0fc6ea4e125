"""A site's releases over time: tables, measures and record files beside what left before."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.district_memory import AS_OF, SIGNER, small_district
from pipelines.site_templates import write_templates
from wellbridge.etl.store import Store
from wellbridge.pipelines.extract_definitions import ExtractDefinition
from wellbridge.pipelines.extract_tables import aggregate_files
from wellbridge.pipelines.extracts import Release, build, load_definitions
from wellbridge.pipelines.release_history import check_history
from wellbridge.pipelines.release_tables import told_by
from wellbridge.privacy.agreements import Agreement, load_agreement
from wellbridge.privacy.codes import MemoryCrosswalk
from wellbridge.privacy.rules.book import builtin
from wellbridge.privacy.rules.practice import practice
from wellbridge.privacy.tables.joint import attack_together
from wellbridge.schemas.errors import PrivacyError

NOW = datetime(2026, 11, 2, 6, 0, tzinfo=UTC)
NEXT_DAY = AS_OF + timedelta(days=1)
K = 10


@pytest.fixture
def district() -> Iterator[Store]:
    with small_district() as store:
        yield store


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_templates(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def agreement(site: Path) -> Agreement:
    return load_agreement(site / "policy" / "agreements" / "sea-evaluation.toml")


@pytest.fixture(scope="module")
def counts(site: Path) -> ExtractDefinition:
    return replace(load_definitions(site / "extracts")["district-outcomes"], measures=(), dimensions=())


@pytest.fixture(scope="module")
def records(site: Path) -> ExtractDefinition:
    return load_definitions(site / "extracts")["student-supports"]


def leave(store: Store, *children: int) -> None:
    keys = ", ".join(f"'p{child}'" for child in children)
    store.run(f"UPDATE student SET is_current = false WHERE person_key IN ({keys})")


def exposures(releases: list[Release]) -> int:
    told = []
    for release in releases:
        manifest = json.loads((release.path / "manifest.json").read_text())
        files = {table["file"]: (release.path / table["file"]).read_bytes() for table in manifest["tables"]}
        told += [one.table for one in told_by(release.path.name, manifest, files)]
    return len(attack_together(told, explained=0).exposures)


# -- tables ------------------------------------------------------------------------------------------------


def test_who_left_between_two_days_is_hidden_in_the_second_release(
    district: Store, counts: ExtractDefinition, agreement: Agreement, tmp_path: Path
) -> None:
    first = build(counts, agreement, district, MemoryCrosswalk(), tmp_path, NOW, as_of=AS_OF, signer=SIGNER)
    leave(district, 8, 16, 24)
    alone = build(
        counts, agreement, district, MemoryCrosswalk(), tmp_path / "alone", NOW, as_of=NEXT_DAY, signer=SIGNER
    )
    assert exposures([first, alone]) > 0  # else the test shows nothing
    second = build(
        counts, agreement, district, MemoryCrosswalk(), tmp_path, NOW, as_of=NEXT_DAY, signer=SIGNER
    )
    assert exposures([first, second]) == 0
    assert second.hidden["students.csv"]["hidden"] > alone.hidden["students.csv"]["hidden"]


def test_releases_of_far_days_are_of_children_who_come_and_go(
    district: Store, counts: ExtractDefinition, agreement: Agreement, tmp_path: Path
) -> None:
    build(counts, agreement, district, MemoryCrosswalk(), tmp_path, NOW, as_of=AS_OF, signer=SIGNER)
    leave(district, 8, 16, 24)
    far = AS_OF + timedelta(days=90)
    beside = build(counts, agreement, district, MemoryCrosswalk(), tmp_path, NOW, as_of=far, signer=SIGNER)
    alone = build(
        counts, agreement, district, MemoryCrosswalk(), tmp_path / "alone", NOW, as_of=far, signer=SIGNER
    )
    assert beside.hidden == alone.hidden


def test_the_same_release_again_hides_nothing_more(
    district: Store, site: Path, agreement: Agreement, tmp_path: Path
) -> None:
    crosswalk = MemoryCrosswalk()
    for definition in load_definitions(site / "extracts").values():
        once, again = (
            build(definition, agreement, district, crosswalk, tmp_path, NOW, as_of=AS_OF, signer=SIGNER)
            for _ in "12"
        )
        assert once.hidden == again.hidden


def test_cells_named_by_their_members_are_hidden(district: Store, site: Path) -> None:
    definition = load_definitions(site / "extracts")["district-outcomes"]
    asked = practice(builtin())
    before = {file.name: file.frame for file in aggregate_files(district, definition, AS_OF, K, asked)}
    rows = before["students.csv"].filter(
        pl.col("n").is_not_null()
        & (pl.col("n") > 0)
        & (pl.col("school") != "all")
        & (pl.col("race_ethnicity") != "all")
    )
    cell = rows.sort("n").row(0, named=True)
    shown = before["measures.csv"].filter((pl.col("shown") == "exact") & (pl.col("dimension") == "school"))
    measure = shown.row(0, named=True)
    hide = {
        "students.csv": [{name: cell[name] for name in ("school", "school_level", "race_ethnicity")}],
        "measures.csv": [
            {
                "measure_id": measure["measure_id"],
                "period": measure["period"],
                "dimension": "school",
                "school": measure["member"],
                "outcome": "with",
            }
        ],
    }
    after = {file.name: file.frame for file in aggregate_files(district, definition, AS_OF, K, asked, hide)}
    key = ["school", "school_level", "race_ethnicity"]
    gone = after["students.csv"].filter(pl.all_horizontal(pl.col(name) == cell[name] for name in key))
    assert gone["n"].to_list() == [None]
    told = after["measures.csv"].filter(
        pl.all_horizontal(
            pl.col(name) == measure[name] for name in ("measure_id", "period", "dimension", "member")
        )
    )
    assert told["shown"].to_list() != ["exact"]


# -- measures and record files as tables -------------------------------------------------------------------


def published(folder: Path, tables: list[dict[str, Any]], files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(manifest(tables)))
    for name, content in files.items():
        (folder / name).write_bytes(content)


def manifest(tables: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "extract": "new",
        "min_cell": K,
        "need": "strong",
        "created": "2026-11-02T06:00:00+00:00",
        "agreement": {"id": "one"},
        "tables": tables,
    }


MEASURES = {
    "file": "measures.csv",
    "kind": "measures",
    "means": [],
    "on": "2026-10-19",
    "adding_up": [["reach", "2026-27", "school"]],
}
HEADER = "measure_id,period,dimension,member,denominator,value,at_most,at_least,shown\n"


def measures(hidden: set[str]) -> bytes:
    sizes = {"A": (60, 4), "B": (80, 30), "C": (70, 25), "D": (90, 40)}
    lines = [f"reach,2026-27,all,all,300,{99 / 300:.4f},,,exact"]
    lines += [
        f"reach,2026-27,school,{name},{size},{'' if name in hidden else format(n / size, '.4f')},,,"
        f"{'hidden' if name in hidden else 'exact'}"
        for name, (size, n) in sizes.items()
    ]
    return (HEADER + "\n".join(lines) + "\n").encode()


def test_a_measure_told_twice_with_other_schools_hidden_gives_the_small_one_away(tmp_path: Path) -> None:
    published(tmp_path / "earlier", [MEASURES], {"measures.csv": measures({"A", "B"})})
    check_history(tmp_path, manifest([MEASURES]), {"measures.csv": measures({"A", "B"})})
    with pytest.raises(PrivacyError, match="WB-E-042") as refused:
        check_history(tmp_path, manifest([MEASURES]), {"measures.csv": measures({"A", "C"})})
    assert "releases earlier" in refused.value.where


def counted(hidden: set[str]) -> tuple[dict[str, Any], bytes]:
    sizes = {"asian": 5, "black": 55, "white": 140}
    lines = [f"{name},{'' if name in hidden else n}" for name, n in sizes.items()]
    facts = {
        "file": "students.csv",
        "kind": "counts",
        "axes": [["race_ethnicity"]],
        "count": "n",
        "on": "2026-10-19",
    }
    return facts, ("race_ethnicity,n\n" + "\n".join(lines) + "\nall,200\n").encode()


def record_file(sizes: dict[str, int], **facts: Any) -> tuple[dict[str, Any], bytes]:
    rows = [
        f"{place:032x},{name}"
        for place, name in enumerate(name for name, n in sizes.items() for _ in range(n))
    ]
    table = {
        "file": "records.csv",
        "kind": "records",
        "code": "code",
        "quasi": ["race_ethnicity"],
        "levels": {"race_ethnicity": 0},
        "on": "2026-10-19",
        **facts,
    }
    return table, ("code,race_ethnicity\n" + "\n".join(rows) + "\n").encode()


def test_a_record_file_that_leaves_few_out_bounds_a_hidden_count_from_above(tmp_path: Path) -> None:
    facts, content = counted({"asian", "black"})
    published(tmp_path / "earlier", [facts], {"students.csv": content})
    few, file = record_file(
        {"black": 52, "white": 140}
    )  # at most 8 of the 60 can be in the group that is not there
    with pytest.raises(PrivacyError, match="WB-E-042"):
        check_history(tmp_path, manifest([few]), {"records.csv": file})
    many, file = record_file({"black": 40, "white": 120})
    check_history(tmp_path, manifest([many]), {"records.csv": file})


def test_a_coarsened_record_file_is_counted_by_what_its_labels_stand_for(tmp_path: Path) -> None:
    facts, content = counted({"asian", "black"})
    published(tmp_path / "earlier", [facts], {"students.csv": content})
    coarse, file = record_file(
        {"of color": 58, "white": 140},
        levels={"race_ethnicity": 1},
        groups={"race_ethnicity": {"asian": "of color", "black": "of color"}},
    )
    check_history(tmp_path, manifest([coarse]), {"records.csv": file})


def test_a_table_of_one_school_lies_within_the_district(tmp_path: Path) -> None:
    facts, _ = counted(set())
    published(
        tmp_path / "earlier", [facts], {"students.csv": b"race_ethnicity,n\nasian,40\nblack,60\nall,100\n"}
    )
    some = {**facts, "schools": ["S1", "S2"]}
    told = {"students.csv": b"race_ethnicity,n\nasian,36\nblack,40\nall,76\n"}
    with pytest.raises(PrivacyError, match="WB-E-042"):
        check_history(tmp_path, manifest([some]), told)


# -- codes over releases -----------------------------------------------------------------------------------


def sequences(releases: list[Release], quasi: list[str]) -> Counter[tuple[Any, ...]]:
    files = []
    for release in releases:
        with (release.path / "records.csv").open(newline="") as source:
            files.append({row["code"]: tuple(row[name] for name in quasi) for row in csv.DictReader(source)})
    every = {code for file in files for code in file}
    return Counter(tuple(file.get(code) for file in files) for code in every)


def test_who_leaves_a_record_file_leaves_with_others(
    district: Store, records: ExtractDefinition, agreement: Agreement, tmp_path: Path
) -> None:
    crosswalk = MemoryCrosswalk()
    # Few columns, so that classes are large and it is the codes that would single out.
    definition = replace(records, columns=("grade_band", "chronic_absence"), quasi={}, weights={})
    first = build(definition, agreement, district, crosswalk, tmp_path, NOW, as_of=AS_OF, signer=SIGNER)
    leave(district, 8, 16, 24)
    second = build(
        definition,
        agreement,
        district,
        crosswalk,
        tmp_path,
        NOW + timedelta(hours=1),
        as_of=NEXT_DAY,
        signer=SIGNER,
    )
    apart = build(
        definition, agreement, district, crosswalk, tmp_path / "alone", NOW, as_of=NEXT_DAY, signer=SIGNER
    )
    assert min(sequences([first, apart], ["grade_band"]).values()) < K  # else the test shows nothing
    assert min(sequences([first, second], ["grade_band"]).values()) >= K
    told = second.hidden["records.csv"]
    assert told["hidden"] > 0
    assert second.rows["records.csv"] == told["persons"] - told["hidden"]
    third = build(
        definition,
        agreement,
        district,
        crosswalk,
        tmp_path,
        NOW + timedelta(hours=2),
        as_of=date(2026, 10, 21),
        signer=SIGNER,
    )
    assert min(sequences([first, second, third], ["grade_band"]).values()) >= K


def test_a_record_file_from_which_too_many_would_go_is_refused_and_says_what_to_do(
    district: Store, records: ExtractDefinition, agreement: Agreement, tmp_path: Path
) -> None:
    crosswalk = MemoryCrosswalk()
    definition = replace(
        records, columns=("grade_band", "chronic_absence"), quasi={}, weights={}, max_suppressed=0.0
    )
    build(definition, agreement, district, crosswalk, tmp_path, NOW, as_of=AS_OF, signer=SIGNER)
    leave(district, 8)
    with pytest.raises(PrivacyError, match="WB-E-043") as refused:
        build(definition, agreement, district, crosswalk, tmp_path, NOW, as_of=NEXT_DAY, signer=SIGNER)
    assert "new agreement" in refused.value.todo
    assert len(list(tmp_path.iterdir())) == 1


class SameForAll(MemoryCrosswalk):
    """A broken crosswalk: one code for all agreements."""

    def codes(self, agreement_id: str, person_keys: pl.Series) -> pl.DataFrame:
        return super().codes("every agreement", person_keys)


def test_f05_two_agreements_that_share_codes_are_refused(
    district: Store, records: ExtractDefinition, agreement: Agreement, tmp_path: Path
) -> None:
    crosswalk = SameForAll()
    build(records, agreement, district, crosswalk, tmp_path, NOW, as_of=AS_OF, signer=SIGNER)
    other, definition = replace(agreement, id="other"), replace(records, agreement="other")
    with pytest.raises(PrivacyError, match="WB-E-074") as refused:
        build(definition, other, district, crosswalk, tmp_path, NOW, as_of=AS_OF, signer=SIGNER)
    assert "F-05" in refused.value.where
    build(definition, other, district, MemoryCrosswalk(), tmp_path, NOW, as_of=AS_OF, signer=SIGNER)
