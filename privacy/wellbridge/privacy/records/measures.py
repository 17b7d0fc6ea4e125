"""The bare numbers of a record file: k, and l and t of sensitive attributes, all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from wellbridge.privacy.records.criteria import Sensitive
from wellbridge.privacy.records.hierarchy import Hierarchy
from wellbridge.privacy.records.ladders import number_all, numbered
from wellbridge.privacy.records.population import Rows
from wellbridge.privacy.records.spread import distinct_l, entropy_l, t_distance


@dataclass(frozen=True)
class Measures:
    """What the worst class of a file has; of l and t by sensitive attribute."""

    k: int
    distinct_l: Mapping[str, int]
    entropy_l: Mapping[str, float]
    t: Mapping[str, float]


def measure(frame: pl.DataFrame, quasi: Sequence[str], sensitive: Sequence[Sensitive] = ()) -> Measures:
    """Measure a file in which every row is a person.

    Args:
        frame: at least one row.
        quasi: quasi-identifiers.
        sensitive: attributes; of each the column and the distance are used.
    """
    ladders, numbers = number_all(frame, {name: Hierarchy(()) for name in quasi})
    distinct, entropy, far = {}, {}, {}
    k = 0
    for rule in sensitive:  # one at a time: together they would split classes into many more parts
        tree, values = numbered(frame[rule.column], Hierarchy(()))
        rows = Rows(ladders, numbers, [tree], [values])
        look = rows.look((0,) * len(ladders))
        spread = rows.spread(look, 0)
        k = int(look.counts.min())
        distinct[rule.column] = int(distinct_l(spread).min())
        entropy[rule.column] = float(entropy_l(spread).min())
        far[rule.column] = float(t_distance(spread, rule.distance, tree).max())
    return Measures(k or int(Rows(ladders, numbers).look((0,) * len(ladders)).counts.min()), distinct, entropy, far)
