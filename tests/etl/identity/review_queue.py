"""A hub with questions in it, written straight into its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from wellbridge.etl.identity.matcher import Matcher
from wellbridge.etl.store import Store
from wellbridge.etl.vault import random_keys

NOW = datetime(2026, 11, 2, 3)
PAIR = {
    "tier": "model", "weight": 3.5, "levels": "2311", "shares_home": True, "first_agrees": True, "is_twin_like": False,
    "is_enough": True, "bits": 3.0, "margin": None, "runner_up": None, "outcome": "review", "reason": "band",
    "model_hash": "m1",
}  # fmt: skip
_KINDS = {"weight": pl.Float64, "bits": pl.Float64, "margin": pl.Float64, "runner_up": pl.String}


def add_records(store: Store, records: Mapping[str, str], contents: Mapping[str, int] | None = None) -> None:
    """Add records (id → source) that are decided; their content's digest is 1 unless told otherwise."""
    seen = {"matcher": Matcher().version, "is_decided": True, "seen_at": NOW, "run_id": "r1"}
    rows = [
        {"record_id": one, "source": source, "content": (contents or {}).get(one, 1), **seen}
        for one, source in records.items()
    ]
    store.run("INSERT INTO source_record BY NAME SELECT * FROM rows", rows=pl.DataFrame(rows))
    add_subjects(store, records)


def add_subjects(store: Store, records: Mapping[str, str]) -> None:
    """Add what the vault knows of records (id → source) before anything was linked."""
    subjects = [
        {"subject_key": one, "namespace": source, "own_person_key": one[::-1], "person_key": one[::-1]}
        for one, source in records.items()
    ]
    named = [
        {"namespace": source, "source_id": id_of(one), "key": one, "is_known": True}
        for one, source in records.items()
    ]
    store.run("INSERT INTO subject BY NAME SELECT * FROM subjects", subjects=pl.DataFrame(subjects))
    store.run("INSERT INTO source_key BY NAME SELECT * FROM named", named=pl.DataFrame(named))


def id_of(record: str) -> str:
    """Return what its source calls a record."""
    return f"no {record[:8]}"


def add_pairs(store: Store, pairs: Sequence[tuple[str, str]], **facts: Any) -> None:
    """Add scored pairs of known records, a on the anchor's side; ``facts`` overrides ``PAIR``."""
    sources = dict(store.frame("SELECT record_id, source FROM source_record").iter_rows())
    rows = [
        {"record_a": a, "record_b": b, "source_a": sources[a], "source_b": sources[b], **PAIR, **facts}
        for a, b in pairs
    ]
    store.run(
        "INSERT INTO scored_pair BY NAME SELECT * FROM rows", rows=pl.DataFrame(rows, schema_overrides=_KINDS)
    )


def ids(count: int) -> list[str]:
    """Draw record ids, in order."""
    return sorted(random_keys(count))
