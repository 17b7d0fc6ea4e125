"""What a site's reviewers decided, with the records it is about: what the site's own model is trained on.

The roster's records stand left, those of one other source right, as the hub compares them: opened from the vault into
memory, written nowhere. What is buried or forgotten is not among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from wellbridge.etl.identity.candidates import ANCHOR, spoken
from wellbridge.etl.identity.review import decided_pairs
from wellbridge.etl.identity.sealed import Seals
from wellbridge.etl.identity.train import check_enough
from wellbridge.etl.store import Store
from wellbridge.schemas.errors import ConfigurationError


@dataclass(frozen=True)
class Decided:
    """Two sources and the pairs of theirs that persons decided.

    Attributes:
        source: the namespace of the right side; the left is the roster's.
        left, right: ``record_id, source`` and traits, all text.
        pairs: ``record_a`` (of left), ``record_b`` (of right), ``is_match``.
        counts: ``given``, decided pairs of the two sources; ``used``; ``silent``, of records that say nothing any more.
    """

    source: str
    left: pl.DataFrame
    right: pl.DataFrame
    pairs: pl.DataFrame
    counts: Mapping[str, int]


def decided_records(store: Store, seals: Seals, source: str | None = None) -> Decided:
    """Open the records of the roster and of another source, and return what persons decided about them.

    Args:
        store: the vault's store; it is only read.
        seals: of the site.
        source: the other source's namespace; None where decisions are about one alone.

    Raises:
        ConfigurationError: WB-E-015, no such source; WB-E-011, decisions are about several and none is named.
        ContractError: WB-E-100, under 50 pairs are of one child.
    """
    pairs = decided_pairs(store).filter(pl.col("source_a") == ANCHOR)
    chosen = _source(store, pairs, source)
    of_source = pairs.filter(pl.col("source_b") == chosen).select("record_a", "record_b", "is_match")
    where = f"decided pairs of {chosen}" if chosen else "decided pairs of the roster and another source"
    check_enough(of_source, where)
    left, right = (_opened(store, seals, name) for name in (ANCHOR, chosen))
    known = of_source.join(left, left_on="record_a", right_on="record_id", how="semi").join(
        right, left_on="record_b", right_on="record_id", how="semi"
    )
    check_enough(known, f"{where} · records that still say something")
    counts = {"given": of_source.height, "used": known.height, "silent": of_source.height - known.height}
    return Decided(chosen, left, right, known, counts)


def _source(store: Store, pairs: pl.DataFrame, source: str | None) -> str:
    """Return the source that is meant; "" where nothing was decided and none is named."""
    if source is not None:
        known = store.frame(
            "SELECT DISTINCT namespace FROM subject WHERE namespace <> ? ORDER BY 1", [ANCHOR]
        )
        if source not in known["namespace"]:
            names = " · ".join(known["namespace"]) or "none"
            raise ConfigurationError(
                "WB-E-015", "No other source is called so.", f"--source · known: {names}"
            )
        return source
    decided = sorted(pairs["source_b"].unique())
    if len(decided) > 1:
        raise ConfigurationError(
            "WB-E-011",
            "Persons decided about several sources, and a model is trained on one.",
            f"--source · {' · '.join(decided)}",
            todo="Choose one: --source NAME",
        )
    return decided[0] if decided else ""


def _opened(store: Store, seals: Seals, source: str) -> pl.DataFrame:
    records = store.frame(
        "SELECT s.subject_key AS record_id, s.namespace AS source FROM subject s "
        "ANTI JOIN record_tombstone t ON t.record_id = s.subject_key WHERE s.namespace = ? ORDER BY record_id",
        [source],
    )
    return spoken(store, seals, records)
