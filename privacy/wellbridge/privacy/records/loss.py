"""What recoding costs: four measures of one released file, each of which says something the others do not.

Persons who are left out are charged in every measure, so no file looks better for leaving more of them out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wellbridge.privacy.records.classes import Levels
from wellbridge.privacy.records.ladders import Floats, Ints, Ladder


@dataclass(frozen=True)
class Part:
    """Rows that are recoded alike.

    Attributes:
        levels: the level of each quasi-identifier.
        rows: which rows of the file.
    """

    levels: Levels
    rows: Ints


@dataclass(frozen=True)
class Losses:
    """The measures.

    Attributes:
        generalized: mean over rows and quasi-identifiers of the share of the domain that the label leaves open, 0
            (every value shown) to 1; a row that is left out counts 1. Quasi-identifiers weigh what the recipient
            declared. This is what the search makes least. Source: V. Iyengar (KDD 2002), loss metric; the same as
            the normalised certainty penalty of J. Xu et al. (KDD 2006).
        columns: the same for each quasi-identifier.
        entropy: bits of the quasi-identifiers that are lost over bits there were, each value's bits by its
            frequency in the file; 0 to 1. Source: A. Gionis, T. Tassa (TKDE 21(2), 2009), non-uniform entropy.
        discernibility: for each person the number of persons alike, all persons of the file for one who is left
            out; summed. Source: R. Bayardo, R. Agrawal (ICDE 2005).
        average_class: persons in a class on average, over k: 1 is the best there can be. Source: K. LeFevre et al.,
            Mondrian (ICDE 2006).
    """

    generalized: float
    columns: Mapping[str, float]
    entropy: float
    discernibility: int
    average_class: float


def losses(
    ladders: Sequence[Ladder], numbers: Sequence[Ints], parts: Sequence[Part], *, weights: Mapping[str, float],
    classes: Mapping[int, int], persons: int, k: int,
) -> Losses:
    """Measure a released file.

    Args:
        ladders: the quasi-identifiers.
        numbers: each row's value numbers in the file before.
        parts: the released rows.
        weights: by column, 1 where not named.
        classes: number of released classes by their size in persons.
        persons: persons in the file before.
        k: least size of a class.
    """
    columns, lost, held = {}, 0.0, 0.0
    for place, (ladder, number) in enumerate(zip(ladders, numbers, strict=True)):
        before = np.bincount(number, minlength=ladder.sizes[0])
        shown = [(part.levels[place], np.bincount(number[part.rows], minlength=ladder.sizes[0])) for part in parts]
        columns[ladder.column] = _open_share(ladder, before, shown)
        gone, had = _bits(ladder, before, shown)
        lost, held = lost + gone, held + had
    weight = {name: float(weights.get(name, 1.0)) for name in columns}
    kept = sum(size * count for size, count in classes.items())
    return Losses(
        generalized=_ratio(sum(weight[name] * share for name, share in columns.items()), sum(weight.values())),
        columns=columns, entropy=_ratio(lost, held),
        discernibility=sum(size * size * count for size, count in classes.items()) + (persons - kept) * persons,
        average_class=_ratio(_ratio(kept, sum(classes.values())), k),
    )


def _open_share(ladder: Ladder, before: Ints, shown: Sequence[tuple[int, Ints]]) -> float:
    rows = float(before.sum())
    open_rows = rows - sum(float(counted.sum()) for _, counted in shown)
    open_rows += sum(float(counted @ ladder.share[level][ladder.codes[level]]) for level, counted in shown)
    return _ratio(open_rows, rows)


def _bits(ladder: Ladder, before: Ints, shown: Sequence[tuple[int, Ints]]) -> tuple[float, float]:
    """Return the bits lost and the bits there were: −log₂ of a value's frequency among those its label leaves open."""
    own = np.log2(np.maximum(before, 1).astype(np.float64))
    had = np.log2(max(1, int(before.sum()))) - own
    left = before - sum((counted for _, counted in shown), start=np.zeros_like(before))
    lost = float(left @ had)
    for level, counted in shown:
        lost += float(counted @ (_label_bits(ladder, level, before) - own))
    return lost, float(before @ had)


def _label_bits(ladder: Ladder, level: int, before: Ints) -> Floats:
    code = ladder.codes[level]
    bits: Floats = np.log2(np.maximum(np.bincount(code, weights=before), 1.0))[code]
    return bits


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
