"""Law 5: the same deliveries, whatever their order and however often each comes, make the same warehouse.

The vault too: the same records are one person, and the same ones are buried under their families' opt-outs.
"""

from __future__ import annotations

import csv
import random
import shutil
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from wellbridge.etl.digest import digest
from wellbridge.etl.store import open_store
from wellbridge.etl.vault import VAULT
from wellbridge.pipelines.demo import run_nights
from wellbridge.pipelines.nightly.run import run_night
from wellbridge.pipelines.nightly.stores import seals_of
from wellbridge.pipelines.site import Site, init_site
from wellbridge.pipelines.synth.generate import generate
from wellbridge.schemas.warehouse import METADATA

SEED = (
    datetime.now(UTC).date().toordinal()
)  # another district every day; printed, so that a failure can be repeated
STUDENTS = 150
District = tuple[Path, dict[str, str], tuple[set[frozenset[str]], set[str]]]


def _digest(site: Site) -> dict[str, str]:
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        return digest(warehouse)


def _people(site: Site, synthetic: Path) -> tuple[set[frozenset[str]], set[str]]:
    """Return which of the sources' records are one person, and which are buried, by the sources' own ids."""
    with (synthetic / "truth" / "records.csv").open() as file:
        told = pl.DataFrame(list(csv.DictReader(file))).select("feed", "namespace", "source_id").unique()
    full = (
        pl.when(pl.col("namespace") == "student")
        .then("namespace")
        .otherwise(pl.format("{}/{}", "feed", "namespace"))
    )
    seals = seals_of(site)
    ids = pl.concat(
        of_one.with_columns(seals.tombstones(str(space), of_one["source_id"]))
        for (space,), of_one in told.select(full.alias("namespace"), "source_id")
        .unique()
        .group_by("namespace")
    )
    with open_store(site.vault, VAULT, read_only=True) as vault:
        found = vault.frame(
            "SELECT i.namespace || ':' || i.source_id AS name, s.person_key, b.record_id IS NOT NULL AS is_buried "
            "FROM ids i LEFT JOIN source_key k USING (namespace, source_id) "
            "LEFT JOIN buried_record b ON b.token = i.token AND NOT b.is_lifted "
            "JOIN subject s ON s.subject_key = coalesce(k.key, b.record_id)",
            ids=ids,
        )
    groups = found.group_by("person_key").agg("name")["name"].to_list()
    return {frozenset(group) for group in groups}, set(found.filter("is_buried")["name"])


@pytest.fixture(scope="module")
def district(tmp_path_factory: pytest.TempPathFactory) -> District:
    root = tmp_path_factory.mktemp("order")
    generate(root / "synthetic", students=STUDENTS, nights=3, seed=SEED)
    site = init_site(root / "site")
    list(run_nights(site, root / "synthetic", lambda _feed, _step, _rows: None))
    return root / "synthetic", _digest(site), _people(site, root / "synthetic")


def _put(delivery: Path, inbox: Path) -> None:
    """Put a file or folder, with its sidecar, in place of what lies there under its name."""
    target = inbox / delivery.name
    if delivery.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(delivery, target)
        return
    for path in (delivery, delivery.with_name(delivery.name + ".done")):
        if path.exists():
            shutil.copy(path, inbox / path.name)


def _shuffled_runs(site: Site, synthetic: Path, chance: random.Random) -> None:
    """Deliver every file one to three times, a few at a time, in random order.

    A file that lies unread under its name is never written over: the one beneath would not have been delivered at all.
    """
    deliveries = [
        path
        for path in sorted(synthetic.glob("night-*/*/*"))
        if path.suffix != ".done"
        for _ in range(chance.choice([1, 1, 2, 3]))
    ]
    chance.shuffle(deliveries)
    while deliveries:
        unread: set[tuple[str, str]] = set()
        for _ in range(min(len(deliveries), chance.randint(5, 20))):
            delivery = deliveries.pop()
            name = (delivery.parent.name, delivery.name)
            if name in unread:
                deliveries.insert(0, delivery)
                continue
            unread.add(name)
            _put(delivery, site.feeds[delivery.parent.name].inbox)
        run_night(site)


def _check(district: District, folder: Path, number: int) -> None:
    synthetic, wanted, (people, buried) = district
    print(f"district seed {SEED}, order {number}")
    site = init_site(folder / "site")
    _shuffled_runs(site, synthetic, random.Random(SEED * 1000 + number))
    found = _digest(site)
    assert {name for name in wanted if wanted[name] != found[name]} == set()
    assert _people(site, synthetic) == (people, buried)
    assert len(people) > STUDENTS / 2


def test_single_deliveries_in_random_order_and_repeated_converge(district: District, tmp_path: Path) -> None:
    _check(district, tmp_path, 0)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 21))
def test_many_random_orders_converge(district: District, tmp_path: Path, number: int) -> None:
    _check(district, tmp_path, number)
