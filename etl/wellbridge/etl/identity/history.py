"""Who was who, when: memberships in two times, and the events of keys.

A membership says that a record is about the person of a key. *Valid* is when it was so in the world, *asserted* when
we believed it; nothing is overwritten, a belief that ends gets its end. A group of records carries the own key of its
anchor, or of the record seen first where it has none; so a key is a function of who belongs together, and what is
taken back has the keys of before. A key whose record now belongs to another person's is redirected, never deleted.

Source: the reference on linking, 4.2; bi-temporal tables after Snodgrass, Developing Time-Oriented Database
Applications in SQL (1999).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import polars as pl

from wellbridge.etl.store import Store
from wellbridge.etl.vault import random_keys

WANTED: Final = pl.Schema(
    {
        "record_id": pl.String,
        "person_key": pl.String,
        "valid_from": pl.Date,
        "valid_to": pl.Date,
        "decision_id": pl.String,
    }
)
_MEMBERSHIPS: Final = """
SELECT m.record_id, r.source, m.person_key, m.valid_from, m.valid_to, m.asserted_from, m.decision_id
FROM membership m LEFT JOIN source_record r ON r.record_id = m.record_id
WHERE coalesce(m.person_key = CAST(? AS VARCHAR), true) AND coalesce(m.record_id = CAST(? AS VARCHAR), true)
    AND coalesce(m.asserted_from <= CAST(? AS TIMESTAMP), true)
    AND CASE WHEN ? THEN m.asserted_to IS NULL ELSE coalesce(m.asserted_to > CAST(? AS TIMESTAMP), true) END
    AND coalesce(m.valid_from <= CAST(? AS DATE), true)
    AND CASE WHEN ? THEN m.valid_to IS NULL ELSE coalesce(m.valid_to > CAST(? AS DATE), true) END
ORDER BY m.record_id, m.person_key
"""
_HASHED: Final = (
    "seq",
    "event_id",
    "kind",
    "from_key",
    "to_key",
    "records",
    "decision_id",
    "run_id",
    "happened_at",
)


@dataclass(frozen=True)
class Moment:
    """The run and instant under which changes are written."""

    run_id: str
    at: datetime


def commit(store: Store, wanted: pl.DataFrame, moment: Moment) -> pl.DataFrame:
    """Make memberships as wanted: end beliefs that are no longer held, begin new ones, write what happened to keys.

    Args:
        store: the vault's store, in a transaction.
        wanted: ``WANTED``: all memberships of the records it names; exactly one of each record is without an end.
        moment: the run and its instant.

    Returns:
        ``record_id, old_key, new_key`` of records that had a person and have another now.
    """
    known = store.frame(
        "SELECT m.record_id, m.person_key, m.valid_from, m.valid_to FROM membership m SEMI JOIN wanted w "
        "ON m.record_id = w.record_id WHERE m.asserted_to IS NULL",
        wanted=wanted.select("record_id").unique(),
    )
    row = ["record_id", "person_key", "valid_from", "valid_to"]
    ended = known.join(wanted, on=row, how="anti", nulls_equal=True)
    begun = wanted.join(known, on=row, how="anti", nulls_equal=True)
    if not ended.height and not begun.height:
        return _moved(known, wanted)
    moved = _moved(known, wanted)
    if ended.height:
        store.run(
            "UPDATE membership SET asserted_to = ? FROM ended e WHERE membership.record_id = e.record_id "
            "AND membership.person_key = e.person_key AND membership.asserted_to IS NULL "
            "AND membership.valid_from IS NOT DISTINCT FROM e.valid_from "
            "AND membership.valid_to IS NOT DISTINCT FROM e.valid_to",
            [moment.at],
            ended=ended,
        )
    store.run(
        "INSERT INTO membership BY NAME SELECT *, CAST(? AS TIMESTAMP) AS asserted_from, "
        "CAST(NULL AS TIMESTAMP) AS asserted_to FROM begun",
        [moment.at],
        begun=begun,
    )
    _write_events(store, moved, moment)
    return moved


def resolve(store: Store, key: str) -> str:
    """Return the key in force for any key that ever was; itself where nothing redirects it."""
    seen: set[str] = set()
    while key not in seen:
        seen.add(key)
        further = store.value(
            "SELECT new_key FROM key_redirect WHERE old_key = ? AND asserted_to IS NULL", [key]
        )
        if further is None:
            return key
        key = str(further)
    return key


def memberships(
    store: Store,
    *,
    person_key: str | None = None,
    record_id: str | None = None,
    asserted: datetime | None = None,
    valid: date | None = None,
) -> pl.DataFrame:
    """Return ``record_id, source, person_key, valid_from, valid_to, asserted_from, decision_id``, by record.

    Args:
        store: the vault's store.
        person_key: only of this person; of all, without.
        record_id: only of this record; of all, without.
        asserted: as we believed at this instant (UTC); as we believe now, without.
        valid: as it was in the world on this day; as it is, without.
    """
    return store.frame(
        _MEMBERSHIPS,
        [person_key, record_id, asserted, asserted is None, asserted, valid, valid is None, valid],
    )


def person_of(
    store: Store, record_id: str, *, asserted: datetime | None = None, valid: date | None = None
) -> str | None:
    """Return the key of the person whom a record is about, as in ``memberships``. None: not known then."""
    found = memberships(store, record_id=record_id, asserted=asserted, valid=valid)
    return str(found["person_key"][0]) if found.height else None


def dated(store: Store) -> pl.DataFrame:
    """Return the memberships in force of records that are, or once were, about one person until a day and then another.

    Returns:
        ``subject_key, person_key, valid_from, valid_to``; of most hubs nothing or a handful.
    """
    return store.frame(
        "SELECT m.record_id AS subject_key, m.person_key, m.valid_from, m.valid_to FROM membership m "
        "SEMI JOIN (SELECT record_id FROM membership WHERE valid_to IS NOT NULL) d ON d.record_id = m.record_id "
        "WHERE m.asserted_to IS NULL"
    )


def end_of_chain(store: Store) -> tuple[int, str]:
    """Return how many key events there are, and the hash of the last; "" of none."""
    last = store.frame("SELECT seq, hash FROM key_event ORDER BY seq DESC LIMIT 1").rows()
    return last[0] if last else (0, "")


def verify_events(store: Store, ends: Sequence[tuple[int, str]] = ()) -> int | None:
    """Return the number of the first event that is not as it was written, or is missing; None when all are there.

    Args:
        store: the vault's store.
        ends: how many events there were at some time, and the hash of the last of them, kept elsewhere.
    """
    noted: dict[int, set[str]] = {}
    for count, last in ends:
        noted.setdefault(count, set()).add(last)
    before, events = "", store.frame("SELECT * FROM key_event ORDER BY seq").to_dicts()
    for number, event in enumerate(events, start=1):
        is_as_written = event["seq"] == number and event["hash"] == _hash(before, event)
        if not is_as_written or noted.get(number, {event["hash"]}) != {event["hash"]}:
            return number
        before = event["hash"]
    return len(events) + 1 if max(noted, default=0) > len(events) else None


def _moved(known: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    old = known.filter(pl.col("valid_to").is_null()).select("record_id", old_key="person_key")
    new = wanted.filter(pl.col("valid_to").is_null()).select("record_id", "decision_id", new_key="person_key")
    return old.join(new, on="record_id").filter(pl.col("old_key") != pl.col("new_key")).sort("record_id")


def _members(store: Store, moved: pl.DataFrame) -> dict[str, int]:
    """Count the members of the keys that a change touches."""
    if not moved.height:
        return {}
    found = store.frame(
        "SELECT m.person_key, count(*) AS n FROM membership m JOIN keys k ON m.person_key = k.person_key "
        "WHERE m.asserted_to IS NULL AND m.valid_to IS NULL GROUP BY m.person_key",
        keys=pl.concat([moved["old_key"], moved["new_key"]]).unique().to_frame("person_key"),
    )
    return dict(found.iter_rows())


def _write_events(store: Store, moved: pl.DataFrame, moment: Moment) -> None:
    if not moved.height:
        return
    after = _members(store, moved)
    seq, chain = end_of_chain(store)
    changes = (
        moved.group_by("old_key", "new_key")
        .agg(pl.len().alias("records"), pl.col("decision_id").max())
        .sort("old_key", "new_key")
    )
    rows = []
    for number, (change, event_id) in enumerate(
        zip(changes.to_dicts(), random_keys(changes.height), strict=True), start=seq + 1
    ):
        event = {
            "seq": number,
            "event_id": event_id,
            "kind": _kind(after.get(change["old_key"], 0), after[change["new_key"]] - change["records"]),
            "from_key": change["old_key"],
            "to_key": change["new_key"],
            "records": change["records"],
            "decision_id": change["decision_id"],
            "run_id": moment.run_id,
            "happened_at": moment.at,
        }
        chain = _hash(chain, event)
        rows.append({**event, "hash": chain})
    events = pl.DataFrame(rows, schema_overrides={"decision_id": pl.String, "happened_at": pl.Datetime("us")})
    store.run("INSERT INTO key_event BY NAME SELECT * FROM events", events=events)
    _redirect(store, moved, events, moment)


def _kind(left: int, others: int) -> str:
    """Name what happened between two keys: ``left`` stay under the old one, ``others`` are under the new one too."""
    if not left and others:
        return "merge"
    return "split" if left and not others else "reassign"


def _hash(before: str, event: dict[str, Any]) -> str:
    text = json.dumps([before, *(event[name] for name in _HASHED)], default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _redirect(store: Store, moved: pl.DataFrame, events: pl.DataFrame, moment: Moment) -> None:
    """Point the own key of each moved record to where the record went; a record that came home needs no pointer."""
    owned = store.frame(
        "SELECT s.own_person_key AS old_key, m.old_key AS from_key, m.new_key FROM subject s JOIN moved m "
        "ON s.subject_key = m.record_id",
        moved=moved,
    )
    store.run(
        "UPDATE key_redirect SET asserted_to = ? FROM owned o WHERE key_redirect.old_key = o.old_key "
        "AND key_redirect.asserted_to IS NULL",
        [moment.at],
        owned=owned,
    )
    away = owned.filter(pl.col("old_key") != pl.col("new_key")).join(
        events.select("event_id", "from_key", pl.col("to_key").alias("new_key")), on=["from_key", "new_key"]
    )
    store.run(
        "INSERT INTO key_redirect BY NAME SELECT old_key, new_key, event_id, CAST(? AS TIMESTAMP) AS asserted_from, "
        "CAST(NULL AS TIMESTAMP) AS asserted_to FROM away",
        [moment.at],
        away=away,
    )
