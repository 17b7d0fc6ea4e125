"""The identity hub: what a first night costs, and a later one that brings a thousand new records.

    python bench/identity_hub.py [--hub 400000] [--new 1000] [--seed 7]

Half of the hub is a roster, half a clinic's file about the same children (``synth pairs``). CPU seconds of this
process, wall times say nothing on a shared machine. The later night is measured as a night runs it: in a process
that has opened the store, from sealed parts to committed memberships.
"""

from __future__ import annotations

import argparse
import json
import resource
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

REPO: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / floor) for floor in ("etl", "schemas", "pipelines", "privacy")]

import polars as pl  # noqa: E402 - the path comes first

from wellbridge.etl.identity.sealed import Seals  # noqa: E402
from wellbridge.etl.identity.step import link  # noqa: E402
from wellbridge.etl.store import open_store  # noqa: E402
from wellbridge.etl.vault import VAULT, Vault  # noqa: E402
from wellbridge.pipelines.synth.pairs import make_pairs  # noqa: E402

MAX_NEW_CPU_S: Final = 3.0  # 1,000 new records against a hub of 400,000
MAX_IDLE_CPU_S: Final = 0.5  # nothing new


class Costs:
    """What each step took."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []

    @contextmanager
    def step(self, name: str, records: int) -> Iterator[None]:
        """Measure what is done inside."""
        started = time.process_time()
        yield
        cpu_s = time.process_time() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.found.append(
            {"step": name, "records": records, "cpu_s": round(cpu_s, 3), "peak_mb": round(peak)}
        )


def traits(records: pl.DataFrame) -> pl.DataFrame:
    """Return a file's records with the vault's names of traits."""
    return records.select(
        "unique_id",
        "first_name",
        "sex",
        "address",
        "phone",
        last_name="surname",
        birth_date="dob",
        zip_code="zip",
        version=pl.lit("2026-08-01.000"),
    )


def take(vault: Vault, feed: str, name: str, records: pl.DataFrame) -> None:
    """Take a file into the vault, as intake does."""
    keys = vault.namespace(feed, name).keys(records["unique_id"], defines=True)
    keyed = traits(records).join(keys.select(unique_id="source_id", subject_key="key"), on="unique_id")
    vault.set_traits(keyed.drop("unique_id"))


def night(folder: Path, key: bytes, change: Callable[[Vault], None]) -> pl.DataFrame:
    """Open the vault, change it, link, commit."""
    with open_store(folder / "vault.duckdb", VAULT) as store, store.transaction():
        vault = Vault(store, Seals(key, folder / "records.keys"))
        change(vault)
        return link(vault, secrets.token_hex(16))


def measure(folder: Path, hub: int, new: int, seed: int) -> dict[str, Any]:
    """Run the nights and return their costs."""
    roster, clinic = make_pairs(children=hub // 2 + new, seed=seed)
    roster, later, clinic = roster.head(hub // 2), clinic.tail(new), clinic.head(hub - hub // 2)
    key, costs = secrets.token_bytes(32), Costs()

    def first(vault: Vault) -> None:
        with costs.step("seal the hub's records", hub):
            take(vault, "oneroster", "student", roster)
            take(vault, "clinic", "patient", clinic)

    with costs.step("first night, all in all", hub):
        night(folder, key, first)
    with costs.step("a night with nothing new", 0):
        night(folder, key, lambda _vault: None)
    with costs.step("the same clinic's file again", clinic.height):
        night(folder, key, lambda vault: take(vault, "clinic", "patient", clinic))
    with costs.step("a night with new records", new):
        moved = night(folder, key, lambda vault: take(vault, "clinic", "patient", later))
    size = (folder / "vault.duckdb").stat().st_size / 2**20
    return {"hub": hub, "new": new, "moved": moved.height, "vault_mb": round(size), "steps": costs.found}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hub", type=int, default=400_000)
    parser.add_argument("--new", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wellbridge-bench-") as name:
        found = measure(Path(name), options.hub, options.new, options.seed)
    if options.json:
        print(json.dumps(found))
        return
    for row in found["steps"]:
        print(f"{row['step']:<32}{row['records']:>10,}{row['cpu_s']:>10.2f} CPU s{row['peak_mb']:>8} MB peak")
    print(f"vault {found['vault_mb']} MB; {found['moved']} of {found['new']} new records linked\n")
    costs = {row["step"]: row["cpu_s"] for row in found["steps"]}
    for step, most in (
        ("a night with new records", MAX_NEW_CPU_S),
        ("a night with nothing new", MAX_IDLE_CPU_S),
    ):
        print(
            f"{'reached' if costs[step] <= most else 'MISSED ':<8} {step}: {costs[step]:.2f} (at most {most:g} CPU s)"
        )


if __name__ == "__main__":
    main()
