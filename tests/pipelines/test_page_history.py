"""The lead's page beside releases: it is published too, so both together may give nothing away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import polars as pl
import pytest

from pipelines.district_memory import AS_OF, SIGNER, small_district
from wellbridge.etl.store import Store
from wellbridge.pipelines.extract_definitions import load_definition
from wellbridge.pipelines.extracts import Release, build
from wellbridge.pipelines.measures.measure import Kind
from wellbridge.pipelines.measures.registry import MEASURES
from wellbridge.pipelines.release_history import PAGES, remember_page
from wellbridge.pipelines.release_tables import Told, told_by
from wellbridge.pipelines.report.shown import ShownMeasures, shown_measures
from wellbridge.privacy.agreements import load_agreement
from wellbridge.privacy.codes import MemoryCrosswalk
from wellbridge.privacy.manifest import read_manifest
from wellbridge.privacy.rules.practice import Practice
from wellbridge.privacy.tables.joint import attack_together
from wellbridge.privacy.tables.published_shares import HIDDEN

NOW = datetime(2026, 11, 2, 6, 0, tzinfo=UTC)
STYLE = Practice(10)
MEANS = [measure.id for measure in MEASURES.values() if measure.kind is Kind.MEAN]


@pytest.fixture
def district() -> Iterator[Store]:
    with small_district() as store:
        yield store


def template(folder: str, name: str, tmp_path: Path) -> Path:
    text = (resources.files("wellbridge.pipelines") / "templates" / "site" / folder / name).read_text(encoding="utf-8")
    days = {"{start}": "2026-07-01", "{end}": "2027-06-30", "{destruction}": "2027-12-31", "{district}": "D"}
    for mark, value in days.items():
        text = text.replace(mark, value)
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def extract(store: Store, tmp_path: Path, out: Path) -> Release:
    definition = load_definition(template("extracts", "district-outcomes.toml", tmp_path))
    agreement = load_agreement(template("policy/agreements", "sea-evaluation.toml", tmp_path))
    return build(definition, agreement, store, MemoryCrosswalk(), out, NOW, signer=SIGNER, as_of=AS_OF)


def told_in(folder: Path) -> list[Told]:
    manifest = read_manifest(folder)
    assert manifest is not None
    contents = {table["file"]: (folder / table["file"]).read_bytes() for table in manifest["tables"]}
    return told_by(folder.name, manifest, contents)


def told_by_pages(out: Path) -> list[Told]:
    return [one for folder in sorted((out / PAGES).iterdir()) for one in told_in(folder)]


def exposures(*told: list[Told]) -> int:
    return len(attack_together([one.table for part in told for one in part], explained=0).exposures)


def exact(page: ShownMeasures) -> list[Told]:
    """What a page would tell that did not round."""
    file = page.files[0]
    facts = {"file": file.name, **file.facts}
    manifest = {"min_cell": page.limits.min_cell, "need": "strong", "tables": [facts]}
    return told_by("page", manifest, {file.name: file.frame.write_csv().encode()})


def test_page_and_release_together_give_nothing_away_whichever_is_first(district: Store, tmp_path: Path) -> None:
    for first in ("page", "release"):
        out = tmp_path / first
        if first == "release":
            extract(district, tmp_path, out)
        page = shown_measures(district, AS_OF, 10, STYLE, out)
        page.remember(out)
        if first == "page":
            extract(district, tmp_path, out)
        release = next(path for path in out.iterdir() if path.name != PAGES)
        began = time.process_time()
        assert exposures(told_by_pages(out), told_in(release)) == 0
        print(first, round(time.process_time() - began, 2), "CPU-s",
              page.values.filter(pl.col("shown") == HIDDEN).height, "of", page.values.height, "hidden")
        if first == "release":  # a page that comes second is safe even for a reader to whom it does not round
            assert exposures(exact(page), told_in(release)) == 0


def other_choice(store: Store, release: Release) -> pl.DataFrame:
    """The release's measures, but for the sake of a small row another row hidden than the release hides."""
    truth = store.frame("SELECT measure_id, dimension, member, numerator, denominator FROM measure_value")
    rows = pl.read_csv(release.path / "measures.csv", schema_overrides={"denominator": pl.Int64, "value": pl.Float64,
                                                                        "at_most": pl.Float64, "at_least": pl.Float64})
    rows = rows.join(truth, on=["measure_id", "dimension", "member"], how="left", maintain_order="left")
    is_safe = (pl.col("numerator") >= 10) & (pl.col("denominator_right") - pl.col("numerator") >= 10)
    is_hidden, size = pl.col("shown") == HIDDEN, pl.col("denominator_right").cast(pl.Int64)
    by = ["measure_id", "dimension"]
    is_alone = ((is_hidden & ~is_safe).sum() == 1) & ((is_hidden & is_safe).sum() >= 1)
    is_turned = is_alone.over(by) & (pl.col("dimension") != "all") & ~pl.col("measure_id").is_in(MEANS)
    shows = is_turned & is_hidden & is_safe
    can_hide = is_turned & (pl.col("shown") == "exact")
    hides = can_hide & (size == size.filter(pl.col("shown") == "exact").min().over(by))
    share = (pl.col("numerator") / pl.col("denominator_right")).round(4)
    return rows.with_columns(
        pl.when(shows).then(size).when(~hides).then("denominator").alias("denominator"),
        pl.when(shows).then(share).when(~hides).then("value").alias("value"),
        pl.when(shows).then(pl.lit("exact")).when(hides).then(pl.lit(HIDDEN)).otherwise("shown").alias("shown"),
    ).drop("numerator", "denominator_right")


def test_beside_a_page_that_hides_other_rows_a_release_hides_more_or_does_not_leave(
    district: Store, tmp_path: Path
) -> None:
    alone, page = extract(district, tmp_path, tmp_path / "alone"), shown_measures(district, AS_OF, 10, STYLE)
    turned = replace(page, files=(replace(page.files[0], frame=other_choice(district, alone)),))
    before = exposures(exact(turned))
    assert exposures(exact(turned), told_in(alone.path)) > before  # else the test shows nothing
    remember_page(tmp_path / "out", turned.limits, turned.files)
    beside = extract(district, tmp_path, tmp_path / "out")
    assert exposures(exact(turned), told_in(beside.path)) == before
    assert beside.hidden["measures.csv"]["hidden"] > alone.hidden["measures.csv"]["hidden"]


def test_pages_of_another_day_and_the_same_page_again_add_nothing(district: Store, tmp_path: Path) -> None:
    for day in (AS_OF, AS_OF, AS_OF - timedelta(days=1)):
        shown_measures(district, day, 10, STYLE, tmp_path).remember(tmp_path)
    names = sorted(path.name[:15] for path in (tmp_path / PAGES).iterdir())
    assert names == sorted(f"page_{day}" for day in (AS_OF, AS_OF - timedelta(days=1)))
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / PAGES).rglob("*"))
