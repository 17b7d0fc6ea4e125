"""What the tests of the rules share: releases of a small district, and a site after one night."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.district_memory import AS_OF, SIGNER, small_district
from pipelines.site_templates import write_templates
from wellbridge.etl.store import Store
from wellbridge.pipelines.demo import run_nights
from wellbridge.pipelines.extracts import Release, build, load_definitions
from wellbridge.pipelines.site import Site, init_site
from wellbridge.pipelines.synth.generate import generate
from wellbridge.privacy.agreements import Agreement, load_agreement
from wellbridge.privacy.codes import MemoryCrosswalk

NOW = datetime(2026, 11, 2, 6, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The templates of a new site, with days filled in."""
    return write_templates(tmp_path_factory.mktemp("templates"))


@pytest.fixture(scope="session")
def district() -> Iterator[Store]:
    with small_district() as store:
        yield store


@pytest.fixture(scope="session")
def agreement(folder: Path) -> Agreement:
    return load_agreement(folder / "policy" / "agreements" / "sea-evaluation.toml")


@pytest.fixture(scope="session")
def releases(
    district: Store, folder: Path, agreement: Agreement, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Release]:
    """One release of tables and one of records."""
    out = tmp_path_factory.mktemp("out")
    return {
        definition.kind: build(definition, agreement, district, MemoryCrosswalk(), out, NOW, as_of=AS_OF, signer=SIGNER)
        for definition in load_definitions(folder / "extracts").values()
    }


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site after one night of a synthetic district."""
    root = tmp_path_factory.mktemp("night")
    generate(root / "synthetic", students=200, nights=1, seed=5)
    site = init_site(root / "site")
    list(run_nights(site, root / "synthetic", lambda _feed, _step, _rows: None))
    return site
