"""How good links are, overall and for every group of children, against a truth that the matcher never saw.

Intervals are Wilson's (1927). A group's gap counts when it is over the limit and more than chance: the intervals of
the group and of all others do not meet. Both sides are uncertain, and of many groups (150 schools) some are low by
luck, so both intervals are widened by the number of groups compared (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import polars as pl

from wellbridge.etl.identity.matching import Matched
from wellbridge.etl.identity.model import M_FLOOR, Model

MAX_GAP: Final = 0.05  # reference/linkage.md 4.6 (3)
MAX_DRIFT_BITS: Final = 1.0  # a link's odds are doubted by a factor of two
CONFIDENCE: Final = 0.95
_LEAST_GROUP: Final = 30  # true pairs; a smaller group's recall is chance, and its name may point at a child


@dataclass(frozen=True)
class Truth:
    """What only the judge knows, by record.

    Attributes:
        left, right: ``record_id, truth``, a null truth counts for nothing; ``household`` where it is known; and
            a column for each group, text or Boolean.
        groups: names of those columns.
    """

    left: pl.DataFrame
    right: pl.DataFrame
    groups: tuple[str, ...] = ()

    @property
    def is_known(self) -> bool:
        """Tell whether there is a truth at all: one record of each side has one."""
        return all(frame["truth"].count() > 0 for frame in (self.left, self.right))


def wilson(hits: int, of: int, confidence: float = CONFIDENCE) -> list[float] | None:
    """Return Wilson's interval of a share, rounded to five digits; None of nothing."""
    if of == 0:
        return None
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, denominator = hits / of, 1 + z * z / of
    middle = (share + z * z / (2 * of)) / denominator
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / denominator
    return [round(max(0.0, middle - half), 5), round(min(1.0, middle + half), 5)]


def judge(
    matched: Matched, truth: Truth, model: Model, reference: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Score decided pairs against the truth.

    Args:
        matched: two files.
        truth: of their records.
        model: which decided.
        reference: shares of levels among the links of the model's training, or of the last run (``level_shares``).

    Returns:
        A document of counts and shares; see docs/identity.md. It holds no value of any record. Without a truth all
        that would need one is None, and no group is compared.
    """
    true = truth.left.drop_nulls("truth").join(truth.right.drop_nulls("truth"), on="truth", suffix="_r")
    if matched.left is matched.right:
        true = true.filter(pl.col("record_id") < pl.col("record_id_r"))
    pairs = _judged(matched.decided, truth)
    links, asked = pairs.filter(pl.col("outcome") == "link"), pairs.filter(pl.col("outcome") == "review")
    best = _best(pairs)
    found = links.filter("is_true").select("record_a", "record_b")
    true = true.select(
        pl.col("record_id").alias("record_a"), pl.col("record_id_r").alias("record_b"),
        *(pl.col(name) for name in truth.groups), *(pl.col(f"{name}_r") for name in truth.groups),
    ).join(found.with_columns(is_found=True), on=["record_a", "record_b"], how="left").with_columns(
        pl.col("is_found").fill_null(False)
    )  # fmt: skip
    shares = level_shares(links, model)
    known = {"true_pairs": true.height, "judged_links": links["is_true"].count(),
             "wrong_links": int((~links["is_true"]).sum())}  # fmt: skip
    return {
        "left": matched.left.height,
        "right": matched.right.height,
        "links": links.height,
        **(known if truth.is_known else dict.fromkeys(known)),
        **_rates(links, true.height),
        "one_to_one": None if matched.left is matched.right else _rates(best, true.height),
        "collisions": _collisions(links, matched) if truth.is_known else None,
        "review": {
            "pairs": asked.height,
            "records": asked["record_b"].n_unique(),
            "share": round(asked["record_b"].n_unique() / max(matched.right.height, 1), 5),
            "true_share": _share(asked),
            "by_reason": _counts(asked, "reason"),
        },
        "links_by_tier": _counts(links, "tier"),
        "groups": recall_by_group(_with_groups(true, truth.groups), truth.groups),
        "level_shares": shares,
        "drift": drift(shares, reference),
        "flags": {
            side: dict(
                frame["flags"].str.split(" ").explode().drop_nulls().value_counts().sort("flags").iter_rows()
            )
            for side, frame in (("left", _flagged(matched.left)), ("right", _flagged(matched.right)))
        },
    }


def _flagged(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("flags") != "").select("flags")


def _share(pairs: pl.DataFrame) -> float | None:
    """Return the share of true pairs among those whose truth is known."""
    judged = pairs["is_true"].count()
    return round(int(pairs["is_true"].sum()) / judged, 5) if judged else None


def _rates(pairs: pl.DataFrame, true: int) -> dict[str, Any]:
    """Return precision and recall of pairs that are taken for one child; pairs of unknown truth count for nothing."""
    hits, linked = int(pairs["is_true"].sum()), pairs["is_true"].count()
    precision, recall = hits / linked if linked else None, hits / true if true else None
    both = (precision or 0.0) + (recall or 0.0)
    return {
        "precision": None if precision is None else round(precision, 6),
        "precision_interval": wilson(hits, linked),
        "recall": None if recall is None else round(recall, 6),
        "recall_interval": wilson(hits, true),
        "f1": round(2 * (precision or 0.0) * (recall or 0.0) / both, 6) if both else None,
    }


def _counts(pairs: pl.DataFrame, by: str) -> dict[str, int]:
    return dict(pairs.group_by(by).len().sort(by).iter_rows())


def _judged(decided: pl.DataFrame, truth: Truth) -> pl.DataFrame:
    """Add ``is_true`` (null where the truth of a side is not known) and, where households are, ``same_household``."""
    known = [
        name for name in ("truth", "household") if name in truth.left.columns and name in truth.right.columns
    ]
    for end, frame in (("a", truth.left), ("b", truth.right)):
        decided = decided.join(
            frame.select(
                pl.col("record_id").alias(f"record_{end}"), *(pl.col(k).alias(f"{k}_{end}") for k in known)
            ),
            on=f"record_{end}",
            how="left",
        )
    same = {"truth": "is_true", "household": "same_household"}
    return decided.with_columns((pl.col(f"{k}_a") == pl.col(f"{k}_b")).alias(same[k]) for k in known)


def _best(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return pairs at even odds that are the best of both their records: no guard, no margin, no review."""
    is_best = (pl.col("bits") == pl.col("bits").max().over("record_a")) & (
        pl.col("bits") == pl.col("bits").max().over("record_b")
    )
    return pairs.filter(pl.col("bits") >= 0).filter(is_best)


def _collisions(links: pl.DataFrame, matched: Matched) -> dict[str, Any]:
    """Count links between children of one household: brothers and sisters, and of these twins."""
    wrong = links.filter(~pl.col("is_true"))
    for end, frame in (("a", matched.left), ("b", matched.right)):
        columns = ("last_compact", "address_key", "birth_date")
        wrong = wrong.join(
            frame.select(
                pl.col("record_id").alias(f"record_{end}"), *(pl.col(c).alias(f"{c}_{end}") for c in columns)
            ),
            on=f"record_{end}",
        )
    is_known = "same_household" in wrong.columns
    estimated = (pl.col("last_compact_a") == pl.col("last_compact_b")) & (
        pl.col("address_key_a") == pl.col("address_key_b")
    )
    siblings = wrong.filter(pl.col("same_household") if is_known else estimated)  # a null is no sibling
    return {
        "household": "column" if is_known else "same last name and address",
        "sibling_links": siblings.height,
        "twin_links": siblings.filter(pl.col("birth_date_a") == pl.col("birth_date_b")).height,
    }


def _with_groups(true: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Return true pairs with each group as either side knows it, each of size 1."""
    return true.select(
        "is_found",
        pl.lit(1).alias("size"),
        *(
            pl.coalesce(name, f"{name}_r")
            if true[name].dtype != pl.Boolean
            else (pl.col(name) | pl.col(f"{name}_r"))
            for name in names
        ),
    )


def recall_by_group(pairs: pl.DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return recall of every value of every group that is not small, beside all others'.

    A gap is more than chance where the two intervals do not meet, at a confidence widened by the number of all groups
    that are compared. Both sides count: of eight others who were all found nothing follows.

    Args:
        pairs: ``is_found``, ``size`` (how many true pairs a row stands for) and a column for each group.
        names: of those columns.
    """
    whole, all_hits = round(pairs["size"].sum()), int(pairs["is_found"].sum())
    sums = [(name, *row) for name in names for row in _sums(pairs, name).iter_rows()]
    confidence = 1 - (1 - CONFIDENCE) / max(len(sums), 1)
    return [
        {
            "group": name, "value": value, "true_pairs": size, "recall": round(min(hits / size, 1.0), 5),
            "recall_interval": wilson(hits, size),
            **_beside((hits, size), (min(all_hits - hits, whole - size), whole - size), confidence),
        }
        for name, value, size, hits in sums
    ]  # fmt: skip


def _sums(pairs: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return ``value, size, is_found`` of the values of a group that are not small."""
    sums = (
        pairs.group_by(pl.col(name).cast(pl.String).alias("value"))
        .agg(pl.col("size").sum().round().cast(pl.Int64), pl.col("is_found").sum())
        .drop_nulls()
    )
    return sums.filter(pl.col("size") >= _LEAST_GROUP).sort("value")


def _beside(own: tuple[int, int], others: tuple[int, int], confidence: float) -> dict[str, Any]:
    """Compare a group with all others, each as how many were found of how many; None where there are no others."""
    if others[1] <= 0:
        return {"others_recall": None, "gap": None, "is_more_than_chance": False}
    recall, rest = min(own[0] / own[1], 1.0), others[0] / others[1]
    high, low = wilson(*own, confidence), wilson(*others, confidence)
    return {
        "others_recall": round(rest, 5),
        "gap": round(rest - recall, 5),
        "is_more_than_chance": bool(high and low and high[1] < low[0]),
    }


def level_shares(links: pl.DataFrame, model: Model) -> dict[str, list[float]]:
    """Return, by comparison, how often each level holds among links, from the lowest up."""
    return shares_of(links.drop_nulls("levels").group_by("levels").len(), model)


def shares_of(by_levels: pl.DataFrame, model: Model) -> dict[str, list[float]]:
    """Return the shares of ``level_shares`` from links counted by their ``levels`` (``len``)."""
    count = by_levels["len"].to_numpy().astype(float)
    shares = {}
    for place, one in enumerate(model.comparisons):
        digits = by_levels["levels"].str.slice(place, 1).cast(pl.Int64).to_numpy()
        sums = np.bincount(digits, weights=count, minlength=len(one.levels) + 1)[1:]
        shares[one.name] = [round(float(share), 5) for share in sums / max(sums.sum(), 1.0)]
    return shares


def drift(now: Mapping[str, Sequence[float]], before: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Say how far weights learnt from this run's links are from those before: bits a link, on average, by comparison.

    Both sides are shares among links, so that what linking leaves out is left out of both.
    """
    bits = {
        name: round(
            sum(
                max(a, b) * abs(math.log2(max(a, M_FLOOR) / max(b, M_FLOOR)))
                for a, b in zip(now[name], before[name], strict=True)
            ),
            3,
        )
        for name in now
        if name in before and len(before[name]) == len(now[name])
    }
    return {"bits": bits, "most": max(bits.values(), default=None)}


def gates(
    document: Mapping[str, Any], *, max_gap: float = MAX_GAP, max_drift: float = MAX_DRIFT_BITS
) -> list[dict[str, Any]]:
    """Return each gate with whether it holds, and what fails it: group names and levels, never a record.

    ``holds`` is None where there is nothing to judge: no group beside others, or nothing to measure drift from.
    """
    compared = [one for one in document["groups"] if one["gap"] is not None]
    low = [
        f"{one['group']}={one['value']}"
        for one in compared
        if one["gap"] > max_gap and one["is_more_than_chance"]
    ]
    drifted = document["drift"]["bits"]
    far = [name for name, bits in drifted.items() if bits > max_drift]
    return [
        {"gate": "recall_gap", "limit": max_gap, "holds": not low if compared else None, "failed_by": low},
        {"gate": "drift_bits", "limit": max_drift, "holds": not far if drifted else None, "failed_by": far},
    ]
