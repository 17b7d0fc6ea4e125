"""Links that were found elsewhere, by codes alone, taken into the hub as decisions.

The hub cannot score such a pair: all that it knows of the partner's record is its id. So a link is a decision of kind
"import" with the weight and the model that found it, and a constraint that the two are one person; undoing, explaining,
opt-outs and later facts follow from that as from any other decision. What the hub knows goes before what a file says:
a link that contradicts it is left out and counted.

Source: reference/linkage.md 4.2 (kind "import"), 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from wellbridge.etl.identity.candidates import ANCHOR, holds_a_child_once
from wellbridge.etl.identity.hub import By, now, undecide
from wellbridge.etl.identity.matcher import REPEATING
from wellbridge.etl.identity.reasons import sealed_reasons
from wellbridge.etl.identity.sealed import Seals
from wellbridge.etl.store import Store
from wellbridge.etl.vault import Keys, Vault, random_keys

# What is read of a file of links, as ``link-bundle`` writes it.
LINKS: Final = pl.Schema(
    {
        "left_id": pl.String,  # the roster's
        "right_id": pl.String,  # the partner's own
        "outcome": pl.String,  # "link" | "review"
        "weight": pl.Float64,
        "margin": pl.Float64,
        "model_sha256": pl.String,
    }
)
TIER: Final = "encoded"

# What becomes of a row, the first that fits.
FATES: Final[dict[str, str]] = {
    "review": "a question that only a person could decide",
    "no_id": "one of the two ids is missing",
    "forgotten": "one of the two was forgotten",
    "unknown": "the roster does not know the child",
    "known": "the two are one person already",
    "taken_back": "somebody took this link back",
    "contradicts": "somebody said that they are two children",
    "another_child": "the partner's record is linked to another child",
    "two_for_one": "two records claim one child, or one record two children",
    "imported": "the two are one person from now on",
}
# Ids that the hub has met: their records, persons and whether a source has brought them.
_RECORDS: Final = """
    SELECT k.source_id, k.key AS record, s.person_key AS person, k.is_known, false AS is_forgotten FROM source_key k
    SEMI JOIN ids i ON i.source_id = k.source_id JOIN subject s ON s.subject_key = k.key WHERE k.namespace = ?
    UNION ALL SELECT i.source_id, b.record_id, s.person_key, true, false FROM buried_record b
    JOIN ids i ON i.token = b.token JOIN subject s ON s.subject_key = b.record_id WHERE b.namespace = ?
    UNION ALL SELECT i.source_id, t.record_id, NULL, true, true FROM record_tombstone t
    JOIN ids i ON i.token = t.token WHERE t.namespace = ?"""
# Persons of whom somebody said that a record of the one is not the child of the other.
_APART: Final = """
    SELECT DISTINCT a.person_key AS person_a, b.person_key AS person_b FROM (
        SELECT record_a, record_b FROM link_constraint WHERE asserted_to IS NULL AND kind = 'cannot' UNION ALL
        SELECT record_b, record_a FROM link_constraint WHERE asserted_to IS NULL AND kind = 'cannot') c
    JOIN subject a ON a.subject_key = c.record_a JOIN subject b ON b.subject_key = c.record_b"""
_TAKEN_BACK: Final = """
    SELECT DISTINCT least(d.record_a, d.record_b) AS one, greatest(d.record_a, d.record_b) AS other FROM decision d
    SEMI JOIN decision u ON u.undoes = d.decision_id WHERE d.kind = 'import' AND d.tier = ?"""
_HELD: Final = """
    SELECT DISTINCT s.person_key AS person, s.namespace FROM subject s
    SEMI JOIN persons p ON p.person = s.person_key"""


def fates(
    store: Store, seals: Seals, links: pl.DataFrame, namespace: str, repeating: Sequence[str] = REPEATING
) -> pl.DataFrame:
    """Say what would become of every row of a file of links; nothing is changed.

    Args:
        store: the vault's store.
        seals: of the site.
        links: ``LINKS``; ids that are missing are null.
        namespace: of the partner's ids, with its feed.
        repeating: patterns of the sources in which several records may be about one child.

    Returns:
        The rows in their order, with ``record_a`` (the roster's), ``record_b`` (null where the hub has not met the id)
        and ``fate``, a key of ``FATES``.
    """
    rows = links.with_row_index()
    for side, end, space in (("a", "left_id", ANCHOR), ("b", "right_id", namespace)):
        found = _records(store, seals, space, rows[end])
        named = found.rename({name: f"{name}_{side}" for name in found.columns if name != "source_id"})
        rows = rows.join(named, left_on=end, right_on="source_id", how="left", maintain_order="left")
    is_known = pl.col("is_known_a").fill_null(False)
    is_forgotten = pl.any_horizontal(pl.col("is_forgotten_a", "is_forgotten_b").fill_null(False))
    claim = (pl.col("outcome") == "link") & is_known & ~is_forgotten & pl.col("right_id").is_not_null()
    single = _single(store, namespace, repeating)
    claims = rows.filter(claim).with_columns(pl.coalesce("person_b", "right_id").alias("claimant"))
    fate = (
        pl.when(pl.col("outcome") != "link").then(pl.lit("review"))
        .when(pl.any_horizontal(pl.col("left_id", "right_id").is_null())).then(pl.lit("no_id"))
        .when(is_forgotten).then(pl.lit("forgotten"))
        .when(~is_known).then(pl.lit("unknown"))
        .when((pl.col("person_a") == pl.col("person_b")).fill_null(False)).then(pl.lit("known"))
        .when(_is_in(_taken_back(store, claims))).then(pl.lit("taken_back"))
        .when(_is_in(_apart(store, claims))).then(pl.lit("contradicts"))
        .when(_is_in(_held(store, claims, namespace, [ANCHOR]))).then(pl.lit("another_child"))
        .when(_is_in(_two_for_one(claims)) | _is_in(_held(store, claims, namespace, single)))
        .then(pl.lit("two_for_one"))
        .when(pl.struct("outcome", "left_id", "right_id").is_first_distinct()).then(pl.lit("imported"))
        .otherwise(pl.lit("known"))  # said twice
    )  # fmt: skip
    return rows.with_columns(fate.alias("fate")).select(*LINKS, "record_a", "record_b", "fate")


def take(vault: Vault, keys: Keys, told: pl.DataFrame, by: By) -> int:
    """Write down the links that are new, as decisions with their constraints; return how many.

    Ids that the hub has not met get their keys, so that facts find them whether they came before or come later.

    Args:
        vault: the vault, in a transaction.
        keys: of the partner's ids.
        told: of ``fates``.
        by: who, why in words, and the run.
    """
    new = told.filter(fate="imported")
    if not new.height:
        return 0
    met = keys.keys(new["right_id"], defines=True).select("source_id", "key")
    ends = new.join(met, left_on="right_id", right_on="source_id", maintain_order="left")
    decided = ends.select(
        random_keys(ends.height).alias("decision_id"),
        pl.lit("import").alias("kind"),
        pl.min_horizontal("record_a", "key").alias("record_a"),
        pl.max_horizontal("record_a", "key").alias("record_b"),
        pl.lit("link").alias("outcome"),
        pl.lit(TIER).alias("tier"),
        *("weight", "margin", pl.col("model_sha256").alias("model_hash")),
        pl.lit(by.run_id).alias("run_id"),
        pl.lit(by.reviewer).alias("reviewer1"),
        pl.lit(by.second, pl.String).alias("reviewer2"),
        pl.lit(now(), pl.Datetime("us")).alias("decided_at"),
    )
    pairs = decided.select("record_a", "record_b").rows()
    reasons = pl.Series("reason", sealed_reasons(vault, pairs, by.reason), dtype=pl.String)
    store = vault.store
    store.append("decision", decided.with_columns(reasons))
    set_now = decided.select(
        "record_a", "record_b", "decision_id", pl.lit("must").alias("kind"), asserted_from="decided_at"
    )
    store.append("link_constraint", set_now)
    undecide(store, set_now)
    return decided.height


def _records(store: Store, seals: Seals, namespace: str, ids: pl.Series) -> pl.DataFrame:
    distinct = ids.drop_nulls().unique().to_frame("source_id")
    tokens = seals.tombstones(namespace, distinct["source_id"])
    found = store.frame(_RECORDS, [namespace] * 3, ids=distinct.with_columns(tokens))
    return found.unique("source_id", keep="first", maintain_order=True)


def _is_in(rows: pl.DataFrame) -> pl.Expr:
    return pl.col("index").is_in(rows["index"].implode())


def _two_for_one(claims: pl.DataFrame) -> pl.DataFrame:
    """Return the links of a child that several records claim, or of a record or person that claims several."""
    is_several = (pl.col("right_id").n_unique().over("person_a") > 1) | (
        pl.col("person_a").n_unique().over("claimant") > 1
    )
    return claims.filter(is_several)


def _taken_back(store: Store, claims: pl.DataFrame) -> pl.DataFrame:
    undone = store.frame(_TAKEN_BACK, [TIER])
    ends = claims.with_columns(
        pl.min_horizontal("record_a", "record_b").alias("one"),
        pl.max_horizontal("record_a", "record_b").alias("other"),
    )
    return ends.join(undone, on=["one", "other"], how="semi")


def _apart(store: Store, claims: pl.DataFrame) -> pl.DataFrame:
    return claims.join(store.frame(_APART), on=["person_a", "person_b"], how="semi")


def _single(store: Store, namespace: str, repeating: Sequence[str]) -> list[str]:
    """Return the sources that hold a child once."""
    names = {namespace, *store.frame("SELECT DISTINCT namespace FROM subject")["namespace"]}
    return sorted(name for name in names if holds_a_child_once(name, repeating))


def _held(store: Store, claims: pl.DataFrame, namespace: str, sources: list[str]) -> pl.DataFrame:
    """Return the links whose two persons both hold a record of one of these sources."""
    persons = pl.concat([claims["person_a"], claims["person_b"]]).drop_nulls().unique().to_frame("person")
    held = store.frame(_HELD, persons=persons).filter(pl.col("namespace").is_in(sources))
    new = claims.filter(pl.col("person_b").is_null()).select("index", pl.lit(namespace).alias("namespace"))
    left, right = (
        claims.select("index", person=f"person_{side}").join(held, on="person").select("index", "namespace")
        for side in "ab"
    )
    return left.join(pl.concat([right, new]), on=["index", "namespace"], how="semi")
