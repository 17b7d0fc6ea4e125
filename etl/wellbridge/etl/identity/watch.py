"""How a night's links stand, without a truth: by source and tier, by group of children, and against the last night.

Nobody knows tonight which children a partner's file and the roster share, so recall is estimated and called so: a
record that is linked counts as found; a record that waits for review counts as missed by the probability that its
best question is true. What was never a candidate is not seen. It tells that one group's records wait for a person
where another's are linked, which is how a matcher fails a group; it is no measure of recall (``evaluate`` is).
"""

from __future__ import annotations

import json
from typing import Any, Final

import polars as pl

from wellbridge.etl.identity.candidates import ANCHOR
from wellbridge.etl.identity.evaluate import drift, recall_by_group, shares_of
from wellbridge.etl.identity.model import Model
from wellbridge.etl.store import Store

_LEAST_LINKS: Final = 100  # of a source; shares of fewer move by chance
_CLOSE_BITS: Final = 10.0  # a rival that fits a thousandth as well
DOUBLE_SURNAME: Final = "double_surname"

# Of each record that is not the roster's, its link to the roster or else its likeliest question.
_PAIRS: Final = """
    SELECT s.person_key, p.source_b AS source, p.outcome = 'link' AS is_found,
        CASE WHEN p.outcome = 'link' THEN 1.0 ELSE 1 / (1 + pow(2, -coalesce(p.bits, 0))) END AS size,
        coalesce(a.double_surname, false) OR coalesce(b.double_surname, false) AS double_surname
    FROM (SELECT * FROM scored_pair WHERE source_a = $anchor AND source_b <> $anchor AND outcome IN ('link', 'review')
        QUALIFY row_number() OVER (PARTITION BY record_b
            ORDER BY outcome = 'review', bits DESC NULLS LAST, record_a) = 1) p
    JOIN subject s ON s.subject_key = p.record_a
    LEFT JOIN record_mark a ON a.record_id = p.record_a LEFT JOIN record_mark b ON b.record_id = p.record_b"""
_SOURCES: Final = """
    SELECT source_b AS source, count(*) FILTER (outcome = 'link' AND tier = 'rule') AS by_rule,
        count(*) FILTER (outcome = 'link' AND tier = 'model') AS by_model,
        count(*) FILTER (outcome = 'link' AND reason = 'must_link') AS by_person,
        count(DISTINCT record_b) FILTER (outcome = 'review') AS for_review,
        count(*) FILTER (outcome = 'link' AND is_sibling_near) AS near_sibling,
        count(*) FILTER (outcome = 'link' AND is_sibling_near AND margin < $close) AS close_sibling
    FROM (SELECT *, count(*) FILTER (outcome <> 'link' AND shares_home) OVER (PARTITION BY record_b) > 0
        AS is_sibling_near FROM scored_pair WHERE source_a = $anchor AND source_b <> $anchor)
    GROUP BY source_b ORDER BY source_b"""
_LEVELS: Final = """
    SELECT source_b AS source, levels, count(*) AS len FROM scored_pair
    WHERE source_a = $anchor AND source_b <> $anchor AND outcome = 'link' AND levels IS NOT NULL GROUP BY ALL"""


def watch(store: Store, run_id: str, about: pl.DataFrame, model: Model) -> dict[str, Any] | None:
    """Say how the links of the hub stand, and keep it with the run; None where the run decided nothing.

    Args:
        store: the vault's store, in the night's transaction, after its last step of linking.
        run_id: the night's id.
        model: that scored it.
        about: ``person_key`` and one column for each group that is known of the roster's children.

    Returns:
        ``sources`` (links by tier, records for review, and links beside whose record another child of the home stood:
        all, and those decided by less than ten bits), ``groups`` (estimated recall, and ``waits_in``: the source most
        of whose records wait), ``level_shares`` by source, and ``drift`` (bits a link since the last run, by source and
        comparison). It holds no value of any record.
    """
    if not store.value("SELECT count(*) FROM identity_run WHERE run_id = ?", [run_id]):
        return None
    pairs = _asked(store, _PAIRS).join(about, on="person_key", how="left")
    shares = _level_shares(store, model)
    found = {
        "sources": _asked(store, _SOURCES, close=_CLOSE_BITS).to_dicts(),
        "groups": _groups(pairs, [DOUBLE_SURNAME, *(name for name in about.columns if name != "person_key")]),
        "level_shares": shares,
        "drift": _drift(shares, _last(store, run_id)),
    }
    kept = json.loads(str(store.value("SELECT metrics FROM identity_run WHERE run_id = ?", [run_id])))
    store.run(
        "UPDATE identity_run SET metrics = ? WHERE run_id = ?", [json.dumps({**kept, "links": found}), run_id]
    )
    return found


def _groups(pairs: pl.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    """Return estimated recall by group, and the source of which most of its records wait."""
    waits_in = {name: _waits_in(pairs, name) for name in names}
    return [
        {**one, "waits_in": waits_in[one["group"]].get(one["value"])} for one in recall_by_group(pairs, names)
    ]


def _waits_in(pairs: pl.DataFrame, name: str) -> dict[str, str]:
    """Return, by value of a group, the source of which most records wait."""
    waiting = (
        pairs.filter(~pl.col("is_found"))
        .group_by(pl.col(name).cast(pl.String).alias("value"), "source")
        .agg(pl.col("size").sum())
        .sort("size", "source", descending=[True, False])
        .unique("value", keep="first", maintain_order=True)
    )
    return dict(waiting.drop_nulls("value").select("value", "source").iter_rows())


def _asked(store: Store, sql: str, **values: float) -> pl.DataFrame:
    """Run one of the queries above; its values are constants of this module."""
    for name, value in {"anchor": f"'{ANCHOR}'", **values}.items():
        sql = sql.replace(f"${name}", str(value))
    return store.frame(sql)


def _level_shares(store: Store, model: Model) -> dict[str, dict[str, list[float]]]:
    """Return, by source and comparison, how often each level holds among links; of sources that are not small."""
    counted = _asked(store, _LEVELS)
    return {
        str(source): shares_of(of_one, model)
        for (source,), of_one in sorted(counted.group_by("source"), key=lambda item: str(item[0]))
        if of_one["len"].sum() >= _LEAST_LINKS
    }


def _last(store: Store, run_id: str) -> dict[str, dict[str, list[float]]]:
    metrics = store.value(
        "SELECT metrics FROM identity_run WHERE run_id <> ? AND contains(metrics, '\"links\"') "
        "ORDER BY ended_at DESC LIMIT 1",
        [run_id],
    )
    shares: dict[str, dict[str, list[float]]] = (
        json.loads(metrics)["links"]["level_shares"] if metrics else {}
    )
    return shares


def _drift(
    now: dict[str, dict[str, list[float]]], before: dict[str, dict[str, list[float]]]
) -> dict[str, Any]:
    bits = {
        f"{source} {name}": far
        for source in now
        if source in before
        for name, far in drift(now[source], before[source])["bits"].items()
    }
    return {"bits": bits, "most": max(bits.values(), default=None)}
