"""Shares that stand without sizes: whoever knows a size has the counts, so they are attacked like any others."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.district_memory import AS_OF, SIGNER, small_district
from pipelines.site_templates import write_templates
from pipelines.test_page_history import other_choice
from wellbridge.etl.store import Store
from wellbridge.pipelines.extract_definitions import ExtractDefinition, load_definition
from wellbridge.pipelines.extracts import Release, build, verify_release
from wellbridge.pipelines.release_attack import attack_releases
from wellbridge.pipelines.release_history import PAGES, check_history
from wellbridge.pipelines.release_tables import SIZES, told_by, told_in
from wellbridge.pipelines.report.shown import shown_measures
from wellbridge.privacy.agreements import Agreement, load_agreement
from wellbridge.privacy.codes import MemoryCrosswalk
from wellbridge.privacy.manifest import read_manifest
from wellbridge.privacy.rules.book import Book, builtin
from wellbridge.privacy.rules.local import tightened
from wellbridge.privacy.rules.practice import practice
from wellbridge.privacy.tables.joint import JointAttack, attack_together
from wellbridge.privacy.tables.released import Shares
from wellbridge.schemas.errors import PrivacyError

NOW = datetime(2026, 11, 2, 6, 0, tzinfo=UTC)
SEED = (
    datetime.now(UTC).date().toordinal()
)  # other districts every day; printed, so that a failure can be repeated
SEEDS = range(SEED, SEED + 12)
K = 10
MEASURE, PERIOD, DAY = "exclusionary_discipline", "2026-27", "2026-10-19"  # it counts all students
HEADER = "measure_id,period,dimension,member,denominator,value,at_most,at_least,shown\n"


class Schools:
    """Schools of which one has a small count: sizes, and those with."""

    def __init__(self, seed: int) -> None:
        draw = random.Random(seed)
        names = [f"S{n:02}" for n in range(draw.randint(4, 8))]
        self.sizes = {name: draw.randint(60, 400) for name in names}
        self.hits = {name: draw.randint(K, size - K) for name, size in self.sizes.items()}
        self.small, self.other, self.third = draw.sample(names, 3)
        self.hits[self.small] = draw.randint(1, K - 1)

    def measures(self, hidden: set[str], *, alone: bool) -> bytes:
        """Return the measure by school, with the shares of some hidden and, where they stand alone, all sizes."""
        rows = [("all", "all", sum(self.sizes.values()), sum(self.hits.values()))]
        rows += [("school", name, size, self.hits[name]) for name, size in self.sizes.items()]
        lines = [
            f"{MEASURE},{PERIOD},{dimension},{name},{'' if alone else size},"
            + (",,,hidden" if name in hidden else f"{n / size:.4f},,,exact")
            for dimension, name, size, n in rows
        ]
        return (HEADER + "\n".join(lines) + "\n").encode()

    def counts(self) -> bytes:
        lines = [f"{name},{size}" for name, size in {**self.sizes, "all": sum(self.sizes.values())}.items()]
        return ("school,n\n" + "\n".join(lines) + "\n").encode()


COUNTED = {"file": "students.csv", "kind": "counts", "axes": [["school"]], "count": "n", "on": DAY}


def entry(*, alone: bool) -> dict[str, Any]:
    facts = {
        "file": "measures.csv",
        "kind": "measures",
        "means": [],
        "on": DAY,
        "adding_up": [[MEASURE, PERIOD, "school"]],
    }
    return {**facts, "percent_only": True} if alone else facts


def manifest(*tables: dict[str, Any]) -> dict[str, Any]:
    return {
        "extract": "new",
        "min_cell": K,
        "need": "strong",
        "created": "2026-11-02T06:00:00+00:00",
        "agreement": {"id": "one"},
        "tables": list(tables),
    }


def publish(folder: Path, table: dict[str, Any], content: bytes, sizes: bytes = b"") -> None:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(manifest(table)))
    (folder / table["file"]).write_bytes(content)
    if sizes:
        kept = folder.parent / SIZES / folder.name
        kept.mkdir(parents=True)
        (kept / table["file"]).write_bytes(sizes)


def attacked(out: Path, names: list[str]) -> JointAttack:
    return attack_releases([out / name for name in names])


def is_found(seen: JointAttack, school: str) -> bool:
    """Whether the small school's count is told exactly."""
    return any(one.is_exact and one.kind == "count" and school in one.cell.values() for one in seen.exposures)


# -- planted, and clean ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("planted", [True, False])
@pytest.mark.parametrize("where", ["kept", "second", "first", "table", "nowhere"])
def test_a_share_tells_a_count_where_the_size_is_known_and_only_then(
    tmp_path: Path, where: str, planted: bool
) -> None:
    """Each release hides the small school and another one: the same one, or, where it is planted, another."""
    print("seeds", SEEDS)
    for seed in SEEDS:
        of, out = Schools(seed), tmp_path / str(seed)
        first, second = {of.small, of.other}, {of.small, of.third if planted else of.other}
        kept = of.measures(first, alone=False) if where == "kept" else b""
        publish(
            out / "first", entry(alone=where != "first"), of.measures(first, alone=where != "first"), kept
        )
        if where == "table":
            publish(out / "students", COUNTED, of.counts())
        alone = where not in {"second", "kept"}  # who builds a release knows its sizes and attacks with them
        new = manifest(entry(alone=where != "second"))
        contents = {"measures.csv": of.measures(second, alone=alone)}
        if planted and where != "nowhere":
            with pytest.raises(PrivacyError, match="WB-E-042") as refused:
                check_history(out, new, contents)
            assert "first" in refused.value.where
        else:
            check_history(out, new, contents)
        publish(
            out / "second",
            entry(alone=where != "second"),
            of.measures(second, alone=where != "second"),
            of.measures(second, alone=False) if where == "kept" else b"",
        )
        names = ["first", "second", *(["students"] if where == "table" else [])]
        seen = attacked(out, names)
        assert is_found(seen, of.small) == (planted and where != "nowhere")
        assert not (seen.exposures and not planted)


def test_the_releases_that_give_a_count_away_are_named_with_the_share_and_the_size(tmp_path: Path) -> None:
    of = Schools(SEED)
    publish(tmp_path / "first", entry(alone=True), of.measures({of.small, of.other}, alone=True))
    publish(tmp_path / "second", entry(alone=False), of.measures({of.small, of.third}, alone=False))
    told = attacked(tmp_path, ["first", "second"])
    because = [one for exposure in told.exposures for one in exposure.because]
    assert {name for name, _ in because} == {"first/measures.csv", "second/measures.csv"}
    shares = [cell for name, cell in because if name.startswith("first")]
    assert any(
        cell.get("school") == of.third for cell in shares
    )  # hidden in the second, a share in the first


def test_a_share_that_does_not_fit_a_printed_size_is_of_other_records_and_tells_nothing(
    tmp_path: Path,
) -> None:
    """Corrections between two builds of a day: what was a clean night must not be refused for it."""
    for seed in SEEDS:
        of, out = Schools(seed), tmp_path / str(seed)
        publish(out / "first", entry(alone=True), of.measures({of.small, of.other}, alone=True))
        of.sizes = {name: size + 7 for name, size in of.sizes.items()}
        contents = {"measures.csv": of.measures({of.small, of.other}, alone=False)}
        check_history(out, manifest(entry(alone=False)), contents)


@given(
    st.lists(
        st.tuples(st.integers(1, 3000), st.integers(0, 3000), st.integers(0, 40)), min_size=1, max_size=5
    ),
    st.sampled_from([2, 4]),
)
def test_what_a_share_tells_of_a_group_between_two_sizes_holds_the_true_counts(
    groups: list[tuple[int, int, int]], decimals: int
) -> None:
    size, some, slack = (np.array(column) for column in zip(*groups, strict=True))
    hits, at = np.minimum(some, size), np.arange(len(size))
    share, off = np.round(hits / size, decimals), 0.5 / 10**decimals + 1e-9
    shares = Shares(3 * at, 3 * at + 1, 3 * at + 2, np.maximum(share - off, 0), np.minimum(share + off, 1))
    for few, many in (
        (size, size),
        (np.maximum(size - slack, 0), size + slack),
        (0 * size, 0 * size + (1 << 40)),
    ):
        (low, high), (rest_low, rest_high) = shares.counts(few, many)
        assert ((low <= hits) & (hits <= high)).all()
        assert ((rest_low <= size - hits) & (size - hits <= rest_high)).all()
    (low, high), _ = shares.counts(size, size)
    if decimals == 4:
        assert (high - low <= size * 1e-4 + 1e-6).all()  # a share in four decimals is nearly the count


# -- a site ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_templates(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def agreement(site: Path) -> Agreement:
    return load_agreement(site / "policy" / "agreements" / "sea-evaluation.toml")


@pytest.fixture(scope="module")
def measures(site: Path) -> ExtractDefinition:
    return replace(load_definition(site / "extracts" / "district-outcomes.toml"), counts=())


@pytest.fixture
def district() -> Iterator[Store]:
    with small_district() as store:
        yield store


ALONE = "[tighten.N-03]\npercent_only = true"
RANGES = f'[tighten.N-02]\nbands = ["edfacts"]\n{ALONE}'


def built(
    store: Store, definition: ExtractDefinition, agreement: Agreement, out: Path, book: Book, day: int = 0
) -> Release:
    when = {"now": NOW + timedelta(days=day), "as_of": AS_OF + timedelta(days=day)}
    return build(definition, agreement, store, MemoryCrosswalk(), out, signer=SIGNER, rules=book, **when)


@pytest.mark.parametrize("text", [ALONE, RANGES])
def test_n03_the_sizes_behind_shares_stay_at_home_and_the_attack_reads_them(
    district: Store, measures: ExtractDefinition, agreement: Agreement, tmp_path: Path, text: str
) -> None:
    out, book = tmp_path / "releases", tightened(builtin(), text)
    release = built(district, measures, agreement, out, book)
    open_ = built(
        district,
        measures,
        agreement,
        tmp_path / "open",
        tightened(builtin(), text.replace(ALONE, "")) if text != ALONE else builtin(),
    )
    kept = pl.read_csv(out / SIZES / release.path.name / "measures.csv", infer_schema=False)
    plain = pl.read_csv(open_.path / "measures.csv", infer_schema=False)
    assert kept.equals(plain)  # who knows the sizes holds what a site without the rule would have told
    shown = pl.read_csv(release.path / "measures.csv", infer_schema=False)
    assert shown["denominator"].null_count() == shown.height
    assert shown.drop("denominator").equals(plain.drop("denominator"))
    # Canaries: of sizes that no other number could be, none is in any file that leaves.
    sizes = {size for size in plain["denominator"].drop_nulls() if len(size) >= 3}
    assert sizes
    for path in release.path.iterdir():
        cells = set(path.read_text(encoding="utf-8").replace("\n", ",").replace('"', "").split(","))
        if path.suffix == ".csv":
            assert not sizes & cells
    assert all(path.stat().st_mode & 0o077 == 0 for path in (out / SIZES).rglob("*"))
    assert verify_release(release.path) == []
    told = told_in(release.path, read_manifest(release.path) or {})
    assert [one.table.counts.tolist() for one in told] == [
        one.table.counts.tolist() for one in told_in(open_.path, read_manifest(open_.path) or {})
    ]


@pytest.mark.parametrize("text", [ALONE, pytest.param(RANGES, marks=pytest.mark.slow)])
def test_ordinary_nights_of_a_site_whose_shares_stand_alone_leave_and_tell_nothing_together(
    district: Store, measures: ExtractDefinition, agreement: Agreement, tmp_path: Path, text: str
) -> None:
    book, out, releases = tightened(builtin(), text), tmp_path / "releases", []
    for day in range(2):
        page = shown_measures(district, AS_OF + timedelta(days=day), K, practice(book), out)
        page.remember(out)
        releases.append(built(district, measures, agreement, out, book, day).path)
        district.run(
            f"UPDATE student SET is_current = false WHERE person_key IN ('p{8 * day + 8}', 'p{8 * day + 9}')"
        )
    folders = [*releases, *sorted((out / PAGES).iterdir())]
    told = [one.table for folder in folders for one in told_in(folder, read_manifest(folder) or {})]
    seen = attack_together(told, explained=0)
    assert (seen.given_away, seen.narrowed) == (0, 0)
    assert seen.hidden > 0
    assert attack_releases(releases).exposures == ()  # those who hold the folders alone find nothing either


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_second_release_of_shares_alone_hides_what_a_reader_of_public_sizes_would_learn(
    district: Store, measures: ExtractDefinition, agreement: Agreement, tmp_path: Path, is_kept: bool
) -> None:
    """The earlier release hid other rows for the small ones' sake; sizes are printed nowhere."""
    book, out = tightened(builtin(), ALONE), tmp_path / "releases"
    first = built(district, measures, agreement, out, book)
    turned = other_choice(district, built(district, measures, agreement, tmp_path / "open", builtin()))
    (out / SIZES / first.path.name / "measures.csv").write_bytes(turned.write_csv().encode())
    if not is_kept:
        shutil.rmtree(out / SIZES)
    no_size = pl.lit(None, dtype=pl.Int64).alias("denominator")
    (first.path / "measures.csv").write_bytes(turned.with_columns(no_size).write_csv().encode())
    alone = built(district, measures, agreement, tmp_path / "alone", book)
    before = exposed(first.path)
    assert exposed(first.path, alone.path) > before  # else the test shows nothing
    beside = built(district, measures, agreement, out, book)
    assert exposed(first.path, beside.path) == before
    assert beside.hidden != alone.hidden


def exposed(*folders: Path) -> int:
    return len(attack_together([one for folder in folders for one in _told(folder)], explained=0).exposures)


def _told(folder: Path) -> list[Any]:
    return [one.table for one in told_in(folder, read_manifest(folder) or {})]


def test_a_page_of_shares_alone_is_attacked_with_the_sizes_behind_it(
    district: Store, measures: ExtractDefinition, agreement: Agreement, tmp_path: Path
) -> None:
    book, out = tightened(builtin(), ALONE), tmp_path / "releases"
    page = shown_measures(district, AS_OF, K, practice(book), out)
    page.remember(out)
    assert page.values["denominator"].null_count() == page.values.height  # nothing of it can be printed
    (kept,) = (out / PAGES).iterdir()
    rows = pl.read_csv(kept / "measures.csv", infer_schema=False)
    assert rows["denominator"].null_count() < rows.height
    tables = [one.table for one in told_in(kept, read_manifest(kept) or {})]
    open_ = shown_measures(district, AS_OF, K, practice(builtin()))
    facts = {"min_cell": K, "need": "strong", "tables": [{"file": "measures.csv", **open_.files[0].facts}]}
    exact = [
        one.table
        for one in told_by("page", facts, {"measures.csv": open_.files[0].frame.write_csv().encode()})
    ]
    for mine, its in zip(tables, exact, strict=True):
        # Whole percents tell less than four decimals, of sizes that are as well known.
        assert ((mine.counts == -1) | (mine.counts == its.counts)).all()
        assert (mine.counts != -1).any() or (its.counts == -1).all()
    built(district, measures, agreement, out, book)
