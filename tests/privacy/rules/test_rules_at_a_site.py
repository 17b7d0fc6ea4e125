"""A site's own rules through a night and a release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wellbridge.etl.store import open_store
from wellbridge.pipelines.demo import run_nights
from wellbridge.pipelines.extract_definitions import load_definition
from wellbridge.pipelines.nightly import walk
from wellbridge.pipelines.policy.release import check_release
from wellbridge.pipelines.policy.site_rules import last_digest, recall, rules_of
from wellbridge.pipelines.releases import build_release
from wellbridge.pipelines.report import page
from wellbridge.pipelines.site import Site, init_site
from wellbridge.pipelines.synth.generate import generate
from wellbridge.privacy.agreements import load_agreement
from wellbridge.privacy.rules.book import Book, builtin
from wellbridge.privacy.rules.local import tightened
from wellbridge.schemas.errors import PrivacyError
from wellbridge.schemas.warehouse import METADATA

STRICTER = """
profile = "DE"

[tighten.W-03]
digits = 2

[[rule]]
id = "L-01"
citation = "Board policy 5125"
says = "Of disabilities nothing is kept."
on = "column"
effect = "suppress"
classes = ["any"]
regimes = ["any"]
purposes = ["any"]
traits = ["disability"]
since = 2026-01-01
"""


def a_site(root: Path, rules: str) -> Site:
    site = init_site(root / "site")
    (site.root / "policy" / "rules.toml").write_text(rules, encoding="utf-8")
    return site


def nights(site: Site, deliveries: Path) -> None:
    list(run_nights(site, deliveries, lambda _feed, _step, _rows: None))


@pytest.fixture(scope="module")
def deliveries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("deliveries")
    generate(root, students=150, nights=1, seed=11)
    return root


@pytest.fixture(scope="module")
def strict(deliveries: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, int]:
    """A site after a night under stricter rules, and how often the night read them."""
    site = a_site(tmp_path_factory.mktemp("strict"), STRICTER)
    read = []

    def counted(root: Path) -> Book:
        read.append(root)
        return rules_of(root)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walk, "rules_of", counted)
        nights(site, deliveries)
    return site, len(read)


def test_p16_a_night_under_looser_rules_does_not_begin(deliveries: Path, tmp_path: Path) -> None:
    site = a_site(tmp_path, "[tighten.N-01]\nmin_cell = 3")
    with pytest.raises(PrivacyError) as caught:
        nights(site, deliveries)
    assert caught.value.exit == 14
    assert "N-01 min_cell" in caught.value.where
    assert not site.warehouse.exists()


def test_p16_a_night_under_stricter_rules_keeps_less(strict: tuple[Site, int]) -> None:
    with open_store(strict[0].warehouse, METADATA, read_only=True) as store:
        found = store.frame("SELECT DISTINCT zip3 FROM student WHERE zip3 IS NOT NULL")["zip3"].to_list()
        assert store.value("SELECT count(*) FROM student WHERE disability IS NOT NULL") == 0
        assert store.value("SELECT count(*) FROM student WHERE english_learner IS NOT NULL") > 0
    assert found
    assert {len(zip_code) for zip_code in found if zip_code != "000"} == {2}


def test_a_night_reads_the_rules_once_and_keeps_what_they_were(strict: tuple[Site, int]) -> None:
    site, times_read = strict
    book = rules_of(site.root)
    assert times_read == 1
    assert last_digest(site) == book.digest != builtin().digest
    assert recall(site, book.digest) == book.substance()


def test_a_release_keeps_the_site_s_limits_and_names_its_rules(strict: tuple[Site, int]) -> None:
    site = strict[0]
    manifest = json.loads((build_release(site, "district-outcomes").path / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["min_cell"] == 16
    assert manifest["determination"]["thresholds"]["min_cell"] == 16
    assert manifest["policy_sha256"] == rules_of(site.root).digest


def test_a_release_of_what_a_site_s_rule_takes_out_is_refused(strict: tuple[Site, int]) -> None:
    site = strict[0]
    assert "disability" in load_definition(site.root / "extracts" / "student-supports.toml").columns
    with pytest.raises(PrivacyError) as caught:
        build_release(site, "student-supports")
    assert (caught.value.code, "disability (L-01)" in caught.value.where) == ("WB-E-074", True)


def test_a_site_s_rule_that_refuses_a_release_is_kept(strict: tuple[Site, int], tmp_path: Path) -> None:
    definition = load_definition(strict[0].root / "extracts" / "district-outcomes.toml")
    agreement = load_agreement(strict[0].root / "policy" / "agreements" / "sea-evaluation.toml")
    own = STRICTER[STRICTER.index("[[rule]]"):].replace('"column"', '"release"').replace('"suppress"', '"refuse"')
    book = tightened(builtin(), own.replace('traits = ["disability"]', "traits = []"))
    with pytest.raises(PrivacyError) as caught:
        check_release(definition, agreement, book)
    assert (caught.value.code, "L-01" in caught.value.where) == ("WB-E-074", True)


def test_the_site_s_page_shows_nothing_below_the_site_s_least_cell(
    strict: tuple[Site, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    build = page.build_report
    monkeypatch.setattr(page, "build_report", lambda *parts, **facts: asked.append(facts) or build(*parts, **facts))
    page.write_site_report(strict[0])
    assert [facts["min_n"] for facts in asked] == [16]
