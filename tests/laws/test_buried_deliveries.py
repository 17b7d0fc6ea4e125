"""Law 5 under opt-outs that bury: roster, clinic and families in any order leave one warehouse and one vault."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from wellbridge.etl.digest import digest
from wellbridge.etl.identity.parts import opened
from wellbridge.etl.store import open_store
from wellbridge.etl.vault import VAULT
from wellbridge.pipelines.nightly.run import run_night
from wellbridge.pipelines.nightly.stores import seals_of
from wellbridge.pipelines.site import Site, init_site
from wellbridge.pipelines.synth.generate import generate
from wellbridge.schemas.warehouse import METADATA

SEED = (
    datetime.now(UTC).date().toordinal()
)  # another district every day; printed, so that a failure can be repeated
ORDERS, SLOW_ORDERS = 1, 3
HEADER = "student_id,scope,effective_date,withdrawn_date"
Step = Callable[[Site], None]
# Digests of the warehouse; of each patient its student, whether it is buried, and what it says.
State = tuple[dict[str, str], dict[str, tuple[str | None, bool, tuple[str | None, ...]]]]


def _put(source: Path, feed: str, name: str) -> Step:
    def put(site: Site) -> None:
        target = site.feeds[feed].inbox / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)

    return put


def _changed_names(clinic: Path, target: Path) -> Path:
    """Write the clinic's patients once more, a week later, each with another telephone or a second surname."""
    shutil.copytree(clinic, target)
    lines = []
    for number, line in enumerate((target / "Patient.ndjson").read_text().splitlines()):
        said = json.loads(line)
        said["meta"]["lastUpdated"] = "2026-10-05T21:00:00Z"
        if number % 2:
            said["name"][0]["family"] += "-Rivera"
        else:
            said["telecom"] = [{"system": "phone", "value": "361-555-0000"}]
        lines.append(json.dumps(said, ensure_ascii=False))
    (target / "Patient.ndjson").write_text("\n".join(lines) + "\n")
    return target


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Step]:
    """Return deliveries by name; all families opt out, half take it back, some opt out again."""
    root = tmp_path_factory.mktemp("buried")
    generate(root, students=300, nights=1, seed=SEED)
    (roster,) = (root / "night-1" / "oneroster").glob("*.zip")
    (students,) = (root / "night-1" / "edfi").iterdir()
    (clinic,) = (root / "night-1" / "fhir").iterdir()
    truth = pl.read_csv(root / "truth" / "people.csv", infer_schema=False)
    numbers = truth["student_number"].drop_nulls().to_list()
    said = {
        "2026-10-01": [f"{number},all,2026-10-01," for number in numbers],
        "2026-10-07": [f"{number},all,2026-10-01,2026-10-07" for number in numbers[::2]],
        "2026-10-12": [f"{number},all,2026-10-11," for number in numbers[::6]],
    }
    found = {
        "roster": _put(roster, "oneroster", roster.name),
        "students": _put(students, "edfi", students.name),
        "clinic": _put(clinic, "fhir", clinic.name),
        "clinic again": _put(_changed_names(clinic, root / "again"), "fhir", "fhir_2026-10-05"),
    }
    for day, lines in said.items():
        path = root / f"optout_{day}.csv"
        path.write_text("\n".join([HEADER, *lines, ""]))
        found[path.name] = _put(path, "sis", path.name)
    return found


def _state(site: Site) -> State:
    """Return the warehouse's digest, and of each patient whose it is, whether it is buried, and what it says."""
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        tables = digest(warehouse)
    with open_store(site.vault, VAULT, read_only=True) as vault:
        seals = seals_of(site)
        told = pl.read_ndjson(next(site.feeds["fhir"].inbox.glob("fhir_*")) / "Patient.ndjson")["id"]
        ids = told.to_frame("source_id").with_columns(seals.tombstones("fhir/patient", told))
        rows = vault.frame(
            "SELECT i.source_id, s.subject_key AS record_id, n.source_id AS student, b.record_id IS NOT NULL AS gone "
            "FROM ids i LEFT JOIN source_key k ON k.source_id = i.source_id AND k.namespace = 'fhir/patient' "
            "LEFT JOIN buried_record b ON b.token = i.token AND NOT b.is_lifted "
            "JOIN subject s ON s.subject_key = coalesce(k.key, b.record_id) "
            "LEFT JOIN subject a ON a.person_key = s.person_key AND a.namespace = 'student' "
            "LEFT JOIN source_key n ON n.key = a.subject_key",
            ids=ids,
        )
        words = {row[0]: row[1:] for row in opened(vault, seals, rows.select("record_id")).rows()}
        assert rows.height == told.len()
        return tables, {
            row["source_id"]: (row["student"], row["gone"], words.get(row["record_id"], ()))
            for row in rows.to_dicts()
        }


def _check(folder: Path, steps: dict[str, Step], order: list[str], chance: random.Random) -> State:
    """Run the steps in this order, some of them in one night."""
    site = init_site(folder)
    for number, name in enumerate(order):
        steps[name](site)
        if number == len(order) - 1 or chance.random() < 2 / 3:
            run_night(site)
    return _state(site)


def _orders(tmp_path: Path, steps: dict[str, Step], count: int, seed: int) -> None:
    print(f"district seed {SEED}, orders from {seed}")
    chance = random.Random(seed)
    tables, people = _state_of_one_night(tmp_path / "one", steps)
    buried = {name for name, (_, gone, _) in people.items() if gone}
    assert 0 < len(buried) < len(people)
    for name, (student, gone, words) in people.items():
        assert bool(words) != gone, name
        assert student or not gone
    for number in range(count):
        order = chance.sample(list(steps), len(steps))
        print(order)
        found = _check(tmp_path / str(number), steps, order, chance)
        assert found == (tables, people)


def _state_of_one_night(folder: Path, steps: dict[str, Step]) -> State:
    site = init_site(folder)
    for step in steps.values():
        step(site)
    run_night(site)
    return _state(site)


def test_any_order_leaves_the_same_records_buried_linked_and_told(
    tmp_path: Path, steps: dict[str, Step]
) -> None:
    _orders(tmp_path, steps, ORDERS, SEED)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 9))
def test_many_orders_do(tmp_path: Path, steps: dict[str, Step], number: int) -> None:
    _orders(tmp_path, steps, SLOW_ORDERS, SEED * 100 + number)
