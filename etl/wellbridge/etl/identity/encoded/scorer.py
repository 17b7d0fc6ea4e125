"""How much the likeness of two encoded records says, in bits: additive weights that were trained on other children.

Each group's similarity falls into a level with a weight; each shared token adds its own. The weights of a pair add up
and can be told one by one, as in Fellegi and Sunter's model, but they were fitted together (logistic regression), so
that what goes together, such as a surname and a home, is not counted twice.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wellbridge.etl.identity.decide import SCORED
from wellbridge.etl.identity.encoded.matching import Pairs
from wellbridge.etl.identity.encoded.profile import FLAGS, GROUPS, schema_hash
from wellbridge.etl.identity.encoded.tokens import BLOCKS

Floats = NDArray[np.float64]

# Least similarity of each level from the second on. Names and dates have nearly equal as a level of its own: one
# wrong letter, a nickname, one part of a date.
EDGES: Final[dict[str, tuple[float, ...]]] = {
    "first": (0.3, 0.45, 0.6, 0.7, 0.8, 0.9, 0.999),
    "surname": (0.3, 0.45, 0.6, 0.7, 0.8, 0.9, 0.999),
    "birth": (0.3, 0.5, 0.6, 0.7, 0.8, 0.999),
    "household": (0.08, 0.15, 0.25, 0.35, 0.5, 0.7, 0.9),
    "record": (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97),
}
TWIN_GROUPS: Final = ("birth", "household")
_KNOWN: Final = FLAGS[
    :3
]  # what both records hold of phone, address and ZIP code: then unlike is no missing value
_FIRST_AGREES: Final = 0.45  # as similar as a name with two wrong letters
_SAME_NAME: Final = (
    "name_birth",
    "names_day",
    "names_year",
)  # tokens that hold the first name, nicknames resolved
_TWIN_FIRST: Final = 0.55  # below this, one day and one home may be two children
_SAME_FIRST: Final = 0.999
_SAME_BIRTH: Final = 0.999
_SAME_HOME: Final = 0.35  # one of phone and address is the same
_RIDGE: Final = 1.0
_STEPS: Final = 50


@dataclass(frozen=True)
class Model:
    """Weights in bits, with where they come from.

    Attributes:
        name: of the model's file.
        schema: hash of the filters that it compares.
        trained_on: what children, in words.
        date: when.
        reviewer: who looked at it; "" nobody yet.
        children: rows of each file that it was trained on.
        share: of them that were in both.
        intercept: bits of a pair at the lowest levels.
        levels: group → weight of each level.
        shared: block → weight of a token in common.
        known: flag → weight where both records have it.
    """

    name: str
    schema: str
    trained_on: str
    date: str
    reviewer: str
    children: int
    share: float
    intercept: float
    levels: Mapping[str, Sequence[float]]
    shared: Mapping[str, float]
    known: Mapping[str, float]

    def text(self) -> str:
        """Return the model as JSON, one form for one meaning."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @property
    def sha256(self) -> str:
        """Hash of the text, to say which model decided."""
        return sha256(self.text().encode()).hexdigest()


@cache
def built_in() -> Model:
    """Return the model that comes with the package."""
    file = resources.files("wellbridge.etl.identity.encoded") / "models" / "encoded-v1.json"
    said: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return Model(**said)


def levels(pairs: Pairs) -> NDArray[np.int8]:
    """Return each group's level of every pair, from 0 (unlike) on."""
    return np.column_stack(
        [np.digitize(pairs.dice[:, place], EDGES[group.name]) for place, group in enumerate(GROUPS)]
    ).astype(np.int8)


def _design(pairs: Pairs) -> NDArray[np.bool_]:
    """Return one column for each weight: which of them speak about a pair.

    A level's weight is the sum of the steps up to it, so that one with few pairs lies between its neighbours.
    """
    level = levels(pairs)
    columns = [np.ones(len(pairs), bool)]
    for place, group in enumerate(GROUPS):
        columns += [level[:, place] >= number for number in range(1, len(EDGES[group.name]) + 1)]
    columns += [(pairs.shared >> place) & 1 == 1 for place in range(len(BLOCKS))]
    columns += [(pairs.flags >> place) & 1 == 1 for place in range(len(_KNOWN))]
    return np.column_stack(columns)


def posterior_bits(pairs: Pairs, model: Model) -> Floats:
    """Return log2 odds that a pair is one child, had it come from the children the model was trained on."""
    level = levels(pairs)
    bits = np.full(len(pairs), model.intercept)
    for place, group in enumerate(GROUPS):
        table = np.array(model.levels[group.name])
        bits += table[level[:, place]]
    for place, name in enumerate(BLOCKS):
        bits += model.shared[name] * ((pairs.shared >> place) & 1)
    for place, name in enumerate(_KNOWN):
        bits += model.known[name] * ((pairs.flags >> place) & 1)
    return bits


def evidence_bits(pairs: Pairs, model: Model) -> Floats:
    """Return the weight of each pair, the prior not in it; see ``decide.prior_bits`` for which prior belongs to it."""
    prior = math.log2(model.share) - np.where(shares_home(pairs), 0.0, math.log2(model.children))
    return posterior_bits(pairs, model) - prior


def shares_home(pairs: Pairs) -> NDArray[np.bool_]:
    """Tell which pairs have a phone or an address in common."""
    return _dice(pairs, "household") >= _SAME_HOME


def has_twin(within: Pairs, records: int) -> NDArray[np.bool_]:
    """Tell which records of a file have another one there of the same day and home (``TWIN_GROUPS``)."""
    is_twin = _is_born_together(within)
    found = np.zeros(records, bool)
    found[within.left[is_twin]] = True
    found[within.right[is_twin]] = True
    return found


def _is_born_together(pairs: Pairs) -> NDArray[np.bool_]:
    return (_dice(pairs, "birth") >= _SAME_BIRTH) & shares_home(pairs)


def _dice(pairs: Pairs, name: str) -> NDArray[np.float32]:
    return pairs.dice[:, [group.name for group in GROUPS].index(name)]


def scored(
    pairs: Pairs,
    model: Model,
    names: tuple[pl.Series, pl.Series],
    sources: tuple[str, str],
    twins: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> pl.DataFrame:
    """Return the pairs as ``decide.SCORED``.

    Args:
        pairs: of ``matching.compared``.
        model: the weights.
        names: record ids of the rows of either file.
        sources: names of the two files.
        twins: which records of either file have a twin there (``has_twin``); such a child's first name must be the
            same, others' may differ by a few letters.
    """
    first = _dice(pairs, "first")
    is_name = pairs.shared & np.uint8(sum(1 << list(BLOCKS).index(name) for name in _SAME_NAME)) > 0
    is_twin = twins[0][pairs.left] | twins[1][pairs.right]
    may_be_twin = ~is_name & (first < np.where(is_twin, _SAME_FIRST, _TWIN_FIRST))
    digits = pl.DataFrame(levels(pairs), schema=[group.name for group in GROUPS])
    frame = pl.DataFrame(
        {
            "record_a": names[0].gather(pairs.left),
            "record_b": names[1].gather(pairs.right),
            "weight": evidence_bits(pairs, model),
            "shares_home": shares_home(pairs),
            "first_agrees": is_name | (first >= _FIRST_AGREES),
            "is_twin_like": _is_born_together(pairs) & may_be_twin,
            "levels": digits.select(pl.concat_str(pl.all().cast(pl.String))).to_series(),
        }
    )
    return frame.with_columns(
        pl.lit(sources[0]).alias("source_a"),
        pl.lit(sources[1]).alias("source_b"),
        pl.lit("model").alias("tier"),
        pl.lit(True).alias("is_enough"),  # what holds too little is not encoded
    ).select(list(SCORED))


def train(pairs: Pairs, is_match: NDArray[np.bool_], **told: Any) -> Model:
    """Fit a model to pairs whose truth is known: ridge logistic regression by Newton's method.

    Args:
        pairs: of ``matching.compared``, of files whose children are not those that will be linked.
        is_match: which of them are one child.
        told: ``name, trained_on, date, reviewer, children, share`` of the model.
    """
    design, truth = _design(pairs).astype(float), is_match.astype(float)
    weights = np.zeros(design.shape[1])
    penalty = _RIDGE * np.eye(len(weights))
    for _ in range(_STEPS):
        likely = 1 / (1 + np.exp(-design @ weights))
        curve = (design * (likely * (1 - likely))[:, None]).T @ design + penalty
        step = np.linalg.solve(curve, design.T @ (truth - likely) - _RIDGE * weights)
        weights += step
        if np.abs(step).max() < 1e-9:
            break
    return _model((weights / math.log(2)).tolist(), **told)


def _model(bits: list[float], **told: Any) -> Model:
    rest = iter(bits)
    intercept = _rounded(next(rest))
    steps = {group.name: [0.0, *(next(rest) for _ in EDGES[group.name])] for group in GROUPS}
    return Model(
        schema=schema_hash(),
        intercept=intercept,
        levels={
            name: [_rounded(sum(step[: place + 1])) for place in range(len(step))]
            for name, step in steps.items()
        },
        shared={name: _rounded(next(rest)) for name in BLOCKS},
        known={name: _rounded(next(rest)) for name in _KNOWN},
        **told,
    )


def _rounded(bits: float) -> float:
    return round(bits, 3)
