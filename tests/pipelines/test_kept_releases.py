"""A site's releases are out for good: what is made after them is made beside all of them, or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipelines.answer import Answer
from wellbridge.etl.store import open_store
from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.demo import run_nights
from wellbridge.pipelines.kept_releases import BUILDING
from wellbridge.pipelines.release_history import PAGES
from wellbridge.pipelines.release_tables import SIZES
from wellbridge.pipelines.site import Site, init_site
from wellbridge.pipelines.synth.generate import generate
from wellbridge.schemas.warehouse import METADATA

SHARES, RECORDS = "shares", "student-supports"
DONE, REFUSED = 0, 14
CANARY = "canary-4711"


def told(site: Site, *words: str) -> Answer:
    done = CliRunner().invoke(cli, [*words, "--project", str(site.root), "--json"])
    return Answer(done.exit_code, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site that released records, and shares without their sizes."""
    root = tmp_path_factory.mktemp("kept")
    generate(root / "synthetic", students=200, nights=1, seed=3)
    found = init_site(root / "site")
    list(run_nights(found, root / "synthetic", lambda _feed, _step, _rows: None))
    tables = (found.root / "extracts" / "district-outcomes.toml").read_text()
    (found.root / "extracts" / f"{SHARES}.toml").write_text(tables.split("[[counts]]")[0])
    with (found.root / "policy" / "rules.toml").open("a") as rules:
        rules.write("\n[tighten.N-03]\npercent_only = true\n")
    for extract in (RECORDS, SHARES):
        assert told(found, "extract", "build", extract).exit == DONE
    return found


def folder(site: Site, extract: str) -> Path:
    return sorted(site.releases.glob(f"{extract}_*"))[0]


def sizes(site: Site) -> Path:
    return site.releases / SIZES / folder(site, SHARES).name


def changed(path: Path) -> None:
    path.write_bytes(path.read_bytes() + f"{CANARY}\n".encode())


def emptied(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


def one_size_changed(site: Site) -> None:
    path = sizes(site) / "measures.csv"
    head, *rows = path.read_text().splitlines()
    place = head.split(",").index("denominator")
    number, cells = next((n, row.split(",")) for n, row in enumerate(rows) if row.split(",")[place].isdigit())
    cells[place] = str(int(cells[place]) + 1)
    rows[number] = ",".join(cells)
    path.write_text("\n".join([head, *rows]) + "\n")


# What befalls the folder of releases, and what the refusal names.
DAMAGE: dict[str, tuple[Callable[[Site], Any], str]] = {
    "moved": (lambda site: shutil.move(folder(site, RECORDS), site.root / "elsewhere"), f"{RECORDS}_*_"),
    "renamed": (lambda site: folder(site, SHARES).rename(site.releases / "old"), f"{SHARES}_*_"),
    "dated anew": (
        lambda site: folder(site, SHARES).rename(
            site.releases / f"{SHARES}_2020-01-01_{folder(site, SHARES).name[-12:]}"
        ),
        "its name",
    ),
    "hidden": (
        lambda site: folder(site, RECORDS).rename(site.releases / f".{folder(site, RECORDS).name}"),
        "its name",
    ),
    "emptied": (lambda site: emptied(folder(site, RECORDS)), "manifest.json"),
    "all deleted": (lambda site: shutil.rmtree(site.releases), f"{SHARES}_*_"),
    "manifest unreadable": (
        lambda site: (folder(site, SHARES) / "manifest.json").write_text("{"),
        "manifest.json",
    ),
    "manifest changed": (lambda site: changed(folder(site, RECORDS) / "manifest.json"), "manifest.json"),
    "records changed": (lambda site: changed(folder(site, RECORDS) / "records.csv"), "records.csv"),
    "records deleted": (lambda site: (folder(site, RECORDS) / "records.csv").unlink(), "records.csv"),
    "shares changed": (lambda site: changed(folder(site, SHARES) / "measures.csv"), "measures.csv"),
    "sizes deleted": (lambda site: shutil.rmtree(site.releases / SIZES), SIZES),
    "a size changed": (one_size_changed, SIZES),
}


def everything(site: Site) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(site.root.rglob("*")) if path.is_file()}


def events(site: Site) -> list[str]:
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        return warehouse.frame("SELECT detail FROM ledger_event ORDER BY seq")["detail"].to_list()


def releases_line(site: Site) -> tuple[set[str], str]:
    """What the doctor says of releases."""
    checks = json.loads(told(site, "doctor").stdout)["checks"]
    lines = [one for one in checks if one["check"] == "releases"]
    return {one["state"] for one in lines}, " ".join(one["detail"] for one in lines)


@pytest.fixture
def kept(site: Site, tmp_path: Path) -> Path:
    """A copy of the folder of releases."""
    copy: Path = shutil.copytree(site.releases, tmp_path / "backup")
    return copy


def restore(site: Site, kept: Path) -> None:
    shutil.rmtree(site.releases, ignore_errors=True)
    shutil.copytree(kept, site.releases)


@pytest.mark.parametrize("what", DAMAGE)
def test_nothing_is_made_beside_a_history_that_is_not_whole(site: Site, kept: Path, what: str) -> None:
    damage, named = DAMAGE[what]
    damage(site)
    try:
        before, ledger = everything(site), events(site)
        for words in (("extract", "build", RECORDS), ("extract", "build", SHARES), ("report", "site")):
            answer = told(site, *words)
            assert (answer.exit, answer.error["code"]) == (REFUSED, "WB-E-048")
            assert named in answer.error["where"]
            assert CANARY not in answer.stdout + answer.stderr
        after = everything(site)
        stores = {path for path in after if path.suffix in (".duckdb", ".wal", ".lock")}
        assert {path: after[path] for path in after.keys() - stores} == {
            path: before[path] for path in before.keys() - stores
        }
        assert events(site) == ledger
        states, detail = releases_line(site)
        assert states == {"FAIL"}
        assert named in detail
    finally:
        restore(site, kept)
    assert releases_line(site)[0] == {"OK"}, releases_line(site)


def test_restored_folders_are_built_beside(site: Site, kept: Path) -> None:
    shutil.rmtree(site.releases)
    assert told(site, "extract", "build", SHARES).exit == REFUSED
    restore(site, kept)
    for extract in (RECORDS, SHARES):
        assert told(site, "extract", "build", extract).exit == DONE
    assert told(site, "report", "site").exit == DONE
    assert list((site.releases / PAGES).iterdir())


def test_a_build_that_was_killed_after_the_ledger_knew_it_is_published_by_the_next(
    site: Site, kept: Path
) -> None:
    """The folder lies aside as the kill left it; the site's doctor takes it for whole and touches nothing."""
    was = folder(site, SHARES)
    left, strange = site.releases / f"{BUILDING}0", site.releases / f"{BUILDING}1"
    was.rename(left)
    strange.mkdir()
    assert releases_line(site)[0] == {"OK"}, releases_line(site)
    assert left.exists()
    assert told(site, "report", "site").exit == DONE
    assert was.exists()
    assert not left.exists()
    assert not strange.exists()  # no event names it
    restore(site, kept)


def test_a_hidden_definition_is_none_since_its_releases_would_be_in_no_history(site: Site) -> None:
    hidden = site.root / "extracts" / f".{RECORDS}.toml"
    shutil.copy(site.root / "extracts" / f"{RECORDS}.toml", hidden)
    before = sorted(site.releases.iterdir())
    assert told(site, "extract", "build", hidden.stem).error["code"] == "WB-E-015"
    assert sorted(site.releases.iterdir()) == before
    hidden.unlink()
