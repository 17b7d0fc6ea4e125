"""Why two records are, or are not, one person: levels in words, weights, rivals, decisions and key events.

Nothing of this holds what a record says: a level says that two first names agree, never which.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from wellbridge.etl.identity.candidates import holds_a_child_once
from wellbridge.etl.identity.decide import REASONS
from wellbridge.etl.identity.history import memberships, resolve, verify_events
from wellbridge.etl.identity.matcher import REPEATING, in_words
from wellbridge.etl.identity.model import Model
from wellbridge.etl.identity.questions import SHOWN
from wellbridge.etl.store import Store
from wellbridge.schemas.errors import ConfigurationError

_LEAST_KEY = 8  # characters of a key that name it


def find_records(store: Store, name: str) -> list[str]:
    """Return the records that a name stands for: one record, or all of a person.

    Args:
        store: the vault's store.
        name: ``NAMESPACE:SOURCE_ID``, or at least eight characters of a record's or a person's key; a person's key
            may be one that was redirected.

    Raises:
        ConfigurationError: WB-E-015 when nothing, or more than one, is named so. The name is not repeated: it may be
            a source's id.
    """
    namespace, _, source_id = name.partition(":")
    if source_id:
        found = store.frame(
            "SELECT k.key FROM source_key k JOIN subject s ON s.subject_key = k.key "
            "WHERE k.namespace = ? AND k.source_id = ?",
            [namespace, source_id],
        )["key"].to_list()
    else:
        found = _by_key(store, name.lower()) if len(name) >= _LEAST_KEY else []
    if not found:
        raise ConfigurationError(
            "WB-E-015",
            "No record or person is named so, or more than one.",
            "record",
            todo="Name it NAMESPACE:ID, or by eight characters or more of its key",
        )
    return found


def find_record(store: Store, name: str) -> str:
    """Return the one record that a name stands for; of a person, the record that lends its key.

    Raises:
        ConfigurationError: WB-E-015, as in ``find_records``.
    """
    found = find_records(store, name)
    if len(found) == 1:
        return found[0]
    owner = store.value(
        "SELECT subject_key FROM subject WHERE own_person_key = person_key "
        "AND person_key = (SELECT person_key FROM subject WHERE subject_key = ?)",
        [found[0]],
    )
    return str(owner or found[0])


def explain(store: Store, one: str, other: str, model: Model) -> dict[str, Any]:
    """Say why two records are, or are not, one person.

    Args:
        store: the vault's store.
        one, other: record ids.
        model: of the site; levels are in its words, and empty where another has scored the pair.

    Returns:
        ``records`` (id, source, person key; one where both are one), ``are_one``, ``compared`` (null where they never
        were: levels with words and bits, weight, bits, margin, runner_up, outcome, reason, model), ``constraints``,
        ``decisions`` (of the pair, and the forgetting or burial of one of them) and ``events``, oldest first.
    """
    pair = [one, other]
    records = [_record(store, record) for record in dict.fromkeys(pair)]
    keys = sorted({record["person_key"] for record in records if record["person_key"]})
    return {
        "records": records,
        "are_one": len(keys) == 1,
        "compared": _compared(store, pair, model),
        "constraints": store.frame(
            "SELECT kind, since, decision_id, asserted_from, asserted_to, closed_by FROM link_constraint "
            "WHERE record_a IN (?, ?) AND record_b IN (?, ?) ORDER BY asserted_from, decision_id",
            pair * 2,
        ).to_dicts(),
        "decisions": store.frame(
            "SELECT decision_id, decided_at, kind, outcome, tier, weight, reason, reviewer1, reviewer2, run_id, undoes "
            "FROM decision WHERE record_a IN (?, ?) AND coalesce(record_b, record_a) IN (?, ?) "
            "ORDER BY decided_at, decision_id",
            pair * 2,
        ).to_dicts(),
        "events": _events(store, pair),
    }


def as_of(store: Store, record: str, asserted: datetime | None, valid: date | None) -> dict[str, Any]:
    """Say whom a record was about: as we believed at an instant, as it was in the world on a day.

    Returns:
        ``person_key`` (null where the record was not known then), ``key_now`` (where that key leads today), ``records``
        of the person then: id, source, since when believed, by which decision.
    """
    found = memberships(store, record_id=record, asserted=asserted, valid=valid)
    key = str(found["person_key"][0]) if found.height else None
    fellows = (
        memberships(store, person_key=key, asserted=asserted, valid=valid).drop("person_key").to_dicts()
        if key
        else []
    )
    return {"person_key": key, "key_now": resolve(store, key) if key else None, "records": fellows}


def _by_key(store: Store, start: str) -> list[str]:
    """Return a record, or a person's records, by the start of its key; nothing where the start is not enough."""
    records = store.frame("SELECT subject_key FROM subject WHERE starts_with(subject_key, ?)", [start])[
        "subject_key"
    ]
    keys = store.frame(
        "SELECT person_key AS key FROM subject WHERE starts_with(person_key, ?) "
        "UNION SELECT old_key FROM key_redirect WHERE starts_with(old_key, ?)",
        [start, start],
    )["key"].to_list()
    if records.len() + len(keys) != 1:
        return []
    if records.len():
        return records.to_list()
    return store.frame(
        "SELECT subject_key FROM subject WHERE person_key = ? ORDER BY subject_key", [resolve(store, keys[0])]
    )["subject_key"].to_list()


def _record(store: Store, record: str) -> dict[str, Any]:
    found = store.frame(
        "SELECT s.subject_key AS record_id, s.namespace AS source, s.person_key, r.seen_at, "
        "t.record_id IS NOT NULL AS is_forgotten, b.record_id IS NOT NULL AS is_buried FROM subject s "
        "LEFT JOIN source_record r ON r.record_id = s.subject_key "
        "LEFT JOIN record_tombstone t ON t.record_id = s.subject_key "
        "LEFT JOIN buried_record b ON b.record_id = s.subject_key AND NOT b.is_lifted "
        "WHERE s.subject_key = ?",
        [record],
    )
    return found.row(0, named=True)


def _compared(store: Store, pair: list[str], model: Model) -> dict[str, Any] | None:
    found = store.frame(
        "SELECT tier, weight, bits, levels, margin, runner_up, outcome, reason, model_hash FROM scored_pair "
        "WHERE record_a IN (?, ?) AND record_b IN (?, ?)",
        pair * 2,
    ).to_dicts()
    if not found:
        return None
    row = found[0]
    meaning = REASONS.get(str(row["reason"]), "")
    is_its = row["model_hash"] == model.sha256
    levels = in_words(str(row["levels"] or ""), model) if is_its else []
    return {**row, "levels": levels, "meaning": meaning}


def _events(store: Store, pair: list[str]) -> list[dict[str, Any]]:
    """Return the events of every key that a record of the pair ever had."""
    keys = store.frame("SELECT DISTINCT person_key FROM membership WHERE record_id IN (?, ?)", pair)
    return store.frame(
        "SELECT DISTINCT e.seq, e.event_id, e.happened_at, e.kind, e.from_key, e.to_key, e.records, e.decision_id, "
        "e.run_id FROM key_event e SEMI JOIN keys k ON e.from_key = k.person_key OR e.to_key = k.person_key "
        "ORDER BY e.seq",
        keys=keys,
    ).to_dicts()


def split_pairs(store: Store, record: str, other: str | None) -> list[tuple[str, str]]:
    """Return the pairs that part a record from another, or from all others of its person.

    Raises:
        ConfigurationError: WB-E-015 when there is nothing to part.
    """
    if other is not None:
        return [(record, other)]
    fellows = store.frame(
        "SELECT o.subject_key FROM subject s JOIN subject o ON o.person_key = s.person_key "
        "AND o.subject_key <> s.subject_key WHERE s.subject_key = ? ORDER BY o.subject_key",
        [record],
    )["subject_key"].to_list()
    if not fellows:
        raise ConfigurationError(
            "WB-E-015", "The record is alone: there is nothing to part it from.", "record"
        )
    return [(record, fellow) for fellow in fellows]


def summary(
    store: Store, repeating: Sequence[str] = REPEATING, ends: Sequence[tuple[int, str]] = ()
) -> dict[str, Any]:
    """Count what the hub holds.

    Args:
        store: the vault's store.
        repeating: patterns of the sources in which several records may be about one child.
        ends: of the chain of key events, as they were noted elsewhere (``history.verify_events``).

    Returns:
        ``sources`` (``repeats``: it may hold a child several times) and ``decided`` (rows), ``persons``, ``review`` and
        ``constraints`` (counts), ``events`` (count, and the first that is not as it was written or is missing), ``run``
        (the last).
    """
    decided = store.frame(
        "SELECT outcome, reason, count(*) AS pairs FROM scored_pair GROUP BY ALL ORDER BY outcome, pairs DESC, reason"
    )
    last = store.frame("SELECT * FROM identity_run ORDER BY ended_at DESC LIMIT 1").to_dicts()
    sources = store.frame(
        "SELECT s.namespace AS source, count(*) AS records, "
        "count(*) FILTER (person_key <> own_person_key) AS linked, "
        "count(t.record_id) AS forgotten, count(b.record_id) AS buried FROM subject s "
        "LEFT JOIN record_tombstone t ON t.record_id = s.subject_key "
        "LEFT JOIN buried_record b ON b.record_id = s.subject_key AND NOT b.is_lifted "
        "GROUP BY s.namespace ORDER BY s.namespace"
    ).to_dicts()
    return {
        "sources": [{**one, "repeats": not holds_a_child_once(one["source"], repeating)} for one in sources],
        "persons": store.value("SELECT count(DISTINCT person_key) FROM subject"),
        "decided": decided.to_dicts(),
        "review": store.value(f"SELECT count(*) FROM scored_pair p {SHOWN} WHERE p.outcome = 'review'"),
        "constraints": store.value("SELECT count(*) FROM link_constraint WHERE asserted_to IS NULL"),
        "events": {
            "count": store.value("SELECT count(*) FROM key_event"),
            "first_broken": verify_events(store, ends),
        },
        "run": last[0] if last else None,
    }
