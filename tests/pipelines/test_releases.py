"""Releases of a site beside a run that was killed."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wellbridge.etl.store import open_store
from wellbridge.etl.undo import UndoCopy
from wellbridge.etl.vault import VAULT
from wellbridge.pipelines import extracts
from wellbridge.pipelines.demo import run_nights
from wellbridge.pipelines.nightly.stores import open_stores
from wellbridge.pipelines.releases import build_release
from wellbridge.pipelines.site import Site, init_site
from wellbridge.pipelines.synth.generate import generate
from wellbridge.schemas.warehouse import METADATA


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    root = tmp_path_factory.mktemp("releases")
    generate(root / "synthetic", students=200, nights=1, seed=3)
    found = init_site(root / "site")
    list(run_nights(found, root / "synthetic", lambda _feed, _step, _rows: None))
    return found


def _recorded(site: Site) -> list[str]:
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        return warehouse.frame("SELECT detail FROM ledger_event WHERE action = 'extract.build'")["detail"].to_list()


def _published(site: Site) -> list[str]:
    return sorted(path.name for path in site.releases.glob("[!.]*"))


def test_codes_of_a_release_survive_the_recovery_from_a_killed_run(site: Site) -> None:
    UndoCopy(site.vault).begin("a run that was killed before it committed")
    release = build_release(site, "student-supports")
    with (release.path / "records.csv").open(encoding="utf-8") as file:
        released = {row["code"] for row in csv.DictReader(file)}
    with open_stores(site, "the next run"):
        pass
    with open_store(site.vault, VAULT, read_only=True) as vault:
        kept = set(vault.frame("SELECT code FROM crosswalk")["code"])
    assert released
    assert released <= kept


def test_no_release_appears_that_the_ledger_does_not_know(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _published(site)

    class Killed(Exception):
        pass

    def rename(_from: Path, _to: Path) -> Path:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(extracts.Path, "rename", rename)
        with pytest.raises(Killed):
            build_release(site, "district-outcomes")
    assert _published(site) == before
    assert any(detail.startswith("district-outcomes") for detail in _recorded(site))
    release = build_release(site, "district-outcomes")
    assert any(release.digest in detail for detail in _recorded(site))
    # What was killed is out as well, now that the ledger names it: each event has its folder.
    assert {name[-12:] for name in _published(site)} == {one.split(" · ")[2][:12] for one in _recorded(site)}


def test_what_a_killed_build_left_aside_is_published_by_the_next_build(site: Site) -> None:
    command = [sys.executable, "-m", "wellbridge", "extract", "build", "district-outcomes", "--project", str(site.root)]
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "WELLBRIDGE_FAILPOINT": "release.recorded:1"
    }
    assert subprocess.run(command, env=environment, check=False).returncode == -9
    assert [path for path in site.releases.iterdir() if path.name.startswith(".")]
    environment["WELLBRIDGE_FAILPOINT"] = ""
    assert subprocess.run([*command, "--json"], env=environment, check=False).returncode == 0
    assert not [path for path in site.releases.iterdir() if path.name.startswith(".")]
    assert {name[-12:] for name in _published(site)} == {one.split(" · ")[2][:12] for one in _recorded(site)}
