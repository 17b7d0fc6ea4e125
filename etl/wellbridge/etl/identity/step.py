"""The nightly step of the hub: who is who, after what came tonight.

New and changed records are read and scored against the hub; then everything that a change could touch is decided
anew from the stored pairs and what persons said. Pairs, constraints and sizes decide alone, so the order of
deliveries, their repetition and a kill in between do not matter. Sizes count as the next power of two: a hub that
grows then seldom asks for a decision about records that nothing else touches, and when it does all are decided.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from typing import Final

import polars as pl

from wellbridge.etl.failpoint import reach
from wellbridge.etl.identity.candidates import ANCHOR, PAIR_COLUMNS, holds_a_child_once, read, unread
from wellbridge.etl.identity.decide import DECIDED, SCORED, Source, decide
from wellbridge.etl.identity.history import Moment, commit
from wellbridge.etl.identity.hub import now
from wellbridge.etl.identity.matcher import Matcher
from wellbridge.etl.identity.persons import Evidence, wanted_memberships
from wellbridge.etl.store import Store
from wellbridge.etl.vault import Vault, random_keys

# What hangs together, by hashes of record ids: a collision would only decide a record anew that did not need it.
_ENDS: Final = (
    "SELECT hash(record_a) AS one, hash(record_b) AS other FROM scored_pair "
    "UNION ALL SELECT hash(record_a), hash(record_b) FROM link_constraint"
)
_LARGE: Final = 2_000  # new records in one night for which a quadratic plan would be felt
MOVED: Final = {"subject_key": pl.String, "person_key": pl.String}


def link(vault: Vault, run_id: str = "", matcher: Matcher | None = None) -> pl.DataFrame:
    """Decide again what changed; store and return ``subject_key, person_key`` of the subjects that moved.

    Args:
        vault: the vault, in a transaction.
        run_id: the night's id, kept with every decision and event.
        matcher: what reads and scores; default: the shipped model on DuckDB.
    """
    store, moment, matcher = vault.store, Moment(run_id, now()), matcher or Matcher()
    new = unread(store, matcher)
    sources = _sources(store, matcher.repeating)
    config = _config(matcher, sources)
    is_other = config != store.value("SELECT config_hash FROM identity_run ORDER BY ended_at DESC LIMIT 1")
    seeds, gone = pl.DataFrame(schema={"record_id": pl.String}), None
    if new.height:
        if new.height >= _LARGE and matcher.engine == "duckdb":
            _check_engine(store)
        seeds, gone = read(store, vault.seals, new, sources, moment, matcher, vault.recall)
        reach("identity.scored")
    touched = _touched(store, seeds, is_all=is_other)
    if not touched.height:
        return pl.DataFrame(schema=MOVED)
    decided, log = _decide(store, touched, sources, gone, moment, matcher)
    evidence = Evidence(decided, log, _causes(store, touched))
    moved = commit(store, wanted_memberships(store, touched, evidence, ANCHOR), moment)
    reach("identity.committed")
    store.run(
        "UPDATE source_record SET is_decided = true FROM touched t WHERE source_record.record_id = t.record_id",
        touched=touched,
    )
    moves = _subjects_moved(store, touched)
    vault.set_persons(moves)
    _note_run(store, moment, matcher, config, new, decided, moved)
    return moves


def _check_engine(store: Store) -> None:
    """Check an engine that has not linked here before: a plan that is quadratic shows on a thousand records."""
    last = store.value("SELECT engine_versions FROM identity_run ORDER BY ended_at DESC LIMIT 1")
    if last != _engines():
        from wellbridge.etl.identity.scoring import self_check  # noqa: PLC0415 - as in ``matcher``

        self_check()


def _engines() -> str:
    return json.dumps({name: importlib.metadata.version(name) for name in ("duckdb", "polars", "splink")})


def _sources(store: Store, repeating: Sequence[str]) -> list[Source]:
    """Return every source, the anchor first, with its size rounded up to a power of two."""
    counted = store.frame(
        "SELECT namespace, count(*) AS n FROM subject GROUP BY namespace ORDER BY namespace"
    )
    sizes = {ANCHOR: 0, **dict(counted.iter_rows())}
    return [
        Source(name, 1 << max(size - 1, 0).bit_length(), holds_a_child_once(name, repeating))
        for name, size in sorted(sizes.items(), key=lambda item: (item[0] != ANCHOR, item[0]))
    ]


def _config(matcher: Matcher, sources: list[Source]) -> str:
    stated = [matcher.version, *([one.name, one.size, one.is_unique] for one in sources)]
    return hashlib.sha256(json.dumps(stated).encode()).hexdigest()


def _touched(store: Store, seeds: pl.DataFrame, *, is_all: bool) -> pl.DataFrame:
    """Return ``record_id`` of all records whose decisions hang together with the seeds' or with what persons said."""
    if is_all:
        return store.frame("SELECT record_id FROM source_record")
    marked = store.frame("SELECT record_id FROM source_record WHERE NOT is_decided")
    ends = store.frame(_ENDS)
    ends = pl.concat([ends, ends.select(one="other", other="one")])
    front = store.frame("SELECT hash(record_id) AS one FROM seeds", seeds=pl.concat([seeds, marked]).unique())
    known = front
    while front.height:
        near = ends.join(front, on="one", how="semi").select(pl.col("other").unique().alias("one"))
        front = near.join(known, on="one", how="anti")
        known = pl.concat([known, front])
    return store.frame(
        "SELECT record_id FROM source_record SEMI JOIN known ON hash(record_id) = one", known=known
    )


def _decide(
    store: Store,
    touched: pl.DataFrame,
    sources: list[Source],
    gone: pl.DataFrame | None,
    moment: Moment,
    matcher: Matcher,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Decide the touched pairs; return them, and the decisions that are new (``decision_id``, the pair, outcome)."""
    stored = store.frame(
        "SELECT p.* FROM scored_pair p SEMI JOIN touched t ON p.record_a = t.record_id", touched=touched
    )
    said = store.frame(
        "SELECT c.record_a, c.record_b, c.kind, a.source AS source_a, b.source AS source_b FROM link_constraint c "
        "JOIN source_record a ON a.record_id = c.record_a JOIN source_record b ON b.record_id = c.record_b "
        "SEMI JOIN touched t ON c.record_a = t.record_id WHERE c.asserted_to IS NULL",
        touched=touched,
    )
    decided = pl.DataFrame(schema=DECIDED)
    if stored.height or said.height:
        decided = decide(stored.select(list(SCORED)), said, sources, matcher.model.limits)
    scored = decided.filter(pl.col("tier") != "person").join(
        stored.select("record_a", "record_b", "model_hash"), on=["record_a", "record_b"], how="left"
    )
    before = stored.filter(pl.col("outcome").is_not_null()).select(PAIR_COLUMNS)
    if gone is not None:
        before = pl.concat([before, gone])
    _store_outcomes(store, stored, scored)
    return decided, _log(store, scored, before, moment)


def _store_outcomes(store: Store, stored: pl.DataFrame, scored: pl.DataFrame) -> None:
    other = scored.join(stored, on=list(scored.columns), how="anti", nulls_equal=True)
    if not other.height:
        return
    store.run(
        "DELETE FROM scored_pair p USING other o WHERE p.record_a = o.record_a AND p.record_b = o.record_b",
        other=other.select("record_a", "record_b"),
    )
    store.append("scored_pair", other.select(*DECIDED, "model_hash"))


def _log(store: Store, scored: pl.DataFrame, before: pl.DataFrame, moment: Moment) -> pl.DataFrame:
    """Write down automatic decisions that are new: links, questions, and links that are no more."""
    is_said = pl.col("outcome").is_in(["link", "review"])
    ends = ["record_a", "record_b"]
    new = scored.filter(is_said).join(before, on=list(PAIR_COLUMNS), how="anti", nulls_equal=True)
    still = scored.filter(pl.col("outcome") == "link").select(ends)
    links = before.filter(pl.col("outcome") == "link").join(still, on=ends, how="anti")
    ended = links.select(ends).unique().join(scored, on=ends, how="left").with_columns(outcome=pl.lit("none"))
    ended = ended.join(new.select(ends), on=ends, how="anti")
    rows = pl.concat([new, ended.select(new.columns)], how="vertical_relaxed")
    rows = rows.select(
        random_keys(rows.height).alias("decision_id"),
        pl.lit("auto").alias("kind"),
        *ends,
        *("outcome", "tier", "weight", "levels", "margin", "runner_up", "model_hash"),
        pl.lit(moment.run_id).alias("run_id"),
        "reason",
        pl.lit(moment.at, pl.Datetime("us")).alias("decided_at"),
    )
    if rows.height:
        store.append("decision", rows)
    return rows.select("decision_id", *ends, "outcome")


def _causes(store: Store, touched: pl.DataFrame) -> pl.DataFrame:
    """Return ``record_id, decision_id``: the last decision by hand about each record that waits for one."""
    return store.frame(
        "SELECT record_id, arg_max(decision_id, said_at) AS decision_id FROM ("
        "SELECT unnest([record_a, record_b]) AS record_id, coalesce(closed_by, decision_id) AS decision_id, "
        "coalesce(asserted_to, asserted_from) AS said_at FROM link_constraint) c "
        "SEMI JOIN (SELECT r.record_id FROM source_record r SEMI JOIN touched t USING (record_id) "
        "WHERE NOT r.is_decided) u USING (record_id) GROUP BY record_id",
        touched=touched,
    )


def _subjects_moved(store: Store, touched: pl.DataFrame) -> pl.DataFrame:
    return store.frame(
        "SELECT s.subject_key, m.person_key FROM subject s JOIN membership m ON m.record_id = s.subject_key "
        "SEMI JOIN touched t ON t.record_id = s.subject_key "
        "WHERE m.asserted_to IS NULL AND m.valid_to IS NULL AND m.person_key <> s.person_key",
        touched=touched,
    )


def _note_run(
    store: Store,
    moment: Moment,
    matcher: Matcher,
    config: str,
    new: pl.DataFrame,
    decided: pl.DataFrame,
    moved: pl.DataFrame,
) -> None:
    outcomes = dict(decided.group_by("outcome").len().sort("outcome").iter_rows())
    metrics = {"read": new.height, "decided": outcomes, "moved": moved.height}
    inputs = store.frame("SELECT count(*) AS records, bit_xor(content) AS content FROM source_record").row(0)
    row = {
        "run_id": moment.run_id,
        "ended_at": moment.at,
        "inputs_hash": hashlib.sha256(repr(inputs).encode()).hexdigest(),
        "config_hash": config,
        "model_hash": matcher.model.sha256,
        "code_version": importlib.metadata.version("wellbridge"),
        "engine_versions": _engines(),
        "metrics": json.dumps(metrics),
    }
    store.run("DELETE FROM identity_run WHERE run_id = ?", [moment.run_id])
    store.append("identity_run", pl.DataFrame([row], schema_overrides={"ended_at": pl.Datetime("us")}))
