"""The warehouse after any order of deliveries is the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellbridge.etl.loading import Claim, clear_days, delete, owned_days, replace_days, upsert
from wellbridge.etl.store import Store, open_store
from wellbridge.schemas.warehouse import ATTENDANCE, METADATA, REFERRAL

DAY = date(2026, 10, 1)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with TemporaryDirectory() as folder, open_store(Path(folder) / "warehouse.duckdb", METADATA) as opened:
        yield opened


def _clear(store: Store) -> None:
    for name in (ATTENDANCE.name, REFERRAL.name, "tombstone"):
        store.run(f"DELETE FROM {name}")


def _referrals(rows: list[tuple[str, str, str]], batch: str) -> pl.DataFrame:
    """Rows of ``referral``: key, version, type."""
    frame = pl.DataFrame(
        rows,
        schema={"referral_key": pl.String, "version": pl.String, "referral_type": pl.String},
        orient="row",
    )
    return _complete(frame.with_columns(pl.lit(batch).alias("batch_id")), REFERRAL)


def _complete(frame: pl.DataFrame, table: object) -> pl.DataFrame:
    names = [column.name for column in table.columns]  # type: ignore[attr-defined]
    whole = frame.with_columns(pl.lit(None).alias(name) for name in names if name not in frame.columns)
    dates = [n for n in names if n.endswith("_date") and whole.schema[n] == pl.Null]
    return whole.with_columns(pl.col(dates).cast(pl.Date)).with_row_index("_id").select("_id", *names)


def test_highest_version_wins_in_every_order(store: Store) -> None:
    deliveries = [
        _referrals([("a", "1", "school"), ("b", "1", "clinic")], "x"),
        _referrals([("a", "3", "clinic")], "y"),
        _referrals([("a", "2", "other"), ("b", "2", "other")], "z"),
    ]
    results = set()
    for order in itertools.permutations(deliveries):
        _clear(store)
        for rows in order:
            upsert(store, REFERRAL, rows)
        found = store.frame("SELECT referral_key, referral_type FROM referral ORDER BY referral_key")
        results.add(tuple(found.iter_rows()))
    assert results == {(("a", "clinic"), ("b", "other"))}


def test_same_content_again_counts_as_unchanged(store: Store) -> None:
    _clear(store)
    first = upsert(store, REFERRAL, _referrals([("a", "1", "school"), ("b", "1", "clinic")], "x"))
    again = upsert(store, REFERRAL, _referrals([("a", "2", "school"), ("b", "2", "other")], "y"))
    assert first.len() == 2
    assert again.to_list() == [1]


def test_deleted_row_stays_deleted_whatever_comes_late(store: Store) -> None:
    old, new = _referrals([("a", "1", "school")], "x"), _referrals([("a", "5", "clinic")], "z")
    gone = pl.DataFrame({"_id": [0], "referral_key": ["a"], "version": ["3"], "batch_id": ["y"]})
    for late, left in ((old, []), (new, ["clinic"])):
        for order in itertools.permutations(["old", "gone", "late"]):
            _clear(store)
            for step in order:
                if step == "gone":
                    delete(store, REFERRAL, gone)
                else:
                    upsert(store, REFERRAL, old if step == "old" else late)
            assert store.frame("SELECT referral_type FROM referral")["referral_type"].to_list() == left


# -- PERIOD tables: any set of overlapping claims, in any order -------------------------------------------------

_claims = st.lists(
    st.tuples(
        st.integers(0, 5), st.integers(0, 3), st.integers(1, 3), st.sets(st.integers(0, 8), max_size=5)
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda c: c[:3],
)


def _as_claims(drawn: list[tuple[int, int, int, set[int]]]) -> list[tuple[Claim, list[date]]]:
    found = []
    for number, (start, length, revision, days) in enumerate(drawn):
        first, last = DAY + timedelta(start), DAY + timedelta(start + length)
        inside = [DAY + timedelta(day) for day in sorted(days) if first <= DAY + timedelta(day) <= last]
        found.append((Claim(f"batch{number}", first, last, revision), inside))
    return found


def _attendance(claim: Claim, days: list[date]) -> pl.DataFrame:
    frame = pl.DataFrame({"event_date": days}, schema={"event_date": pl.Date}).with_columns(
        pl.lit("child").alias("subject_key"),
        pl.lit("S01").alias("school_id"),
        pl.lit(claim.batch_id).alias("status"),
        pl.lit(claim.batch_id).alias("batch_id"),
        pl.lit("v").alias("version"),
        pl.lit("daily").alias("event_kind"),
    )
    return _complete(frame, ATTENDANCE)


def _place(store: Store, claim: Claim, days: list[date], earlier: list[Claim]) -> None:
    overlapping = [o for o in earlier if o.start <= claim.end and o.end >= claim.start]
    ranges = owned_days(claim, overlapping)
    weaker = [o.batch_id for o in overlapping if o.priority < claim.priority]
    own = [day for day in days if any(a <= day <= b for a, b in ranges)]
    replace_days(store, ATTENDANCE, _attendance(claim, own), "event_date", ranges, weaker)
    clear_days(store, ATTENDANCE, "event_date", ranges, weaker)


@settings(max_examples=25, deadline=None)
@given(_claims, st.randoms(use_true_random=False))
def test_each_day_belongs_to_one_delivery_in_any_order(store: Store, drawn: list, random: object) -> None:  # type: ignore[type-arg]
    claims = _as_claims(drawn)
    results = set()
    for _ in range(3):
        random.shuffle(claims)  # type: ignore[attr-defined]
        _clear(store)
        for number, (claim, days) in enumerate(claims):
            _place(store, claim, days, [other for other, _ in claims[:number]])
        found = store.frame("SELECT event_date, status FROM attendance ORDER BY event_date, status")
        results.add(tuple(found.iter_rows()))
    assert len(results) == 1
    expected = []
    for day in sorted({day for claim, days in claims for day in days}):
        owner, said = max(
            ((c, d) for c, d in claims if c.start <= day <= c.end), key=lambda pair: pair[0].priority
        )
        if day in said:
            expected.append((day, owner.batch_id))
    assert results == {tuple(expected)}


def test_new_row_without_content_counts_as_loaded(store: Store) -> None:
    _clear(store)
    rows = _referrals([("a", "1", "x")], "b").with_columns(pl.lit(None, pl.String).alias("referral_type"))
    assert upsert(store, REFERRAL, rows).len() == 1
    assert upsert(store, REFERRAL, rows).len() == 0
