"""Local recoding: those who would be left out are coarsened further, the others are not.

The file is taken apart: the least lossy node for all, whoever it leaves out; then the least lossy node for those,
among themselves; and so on. Each part's classes have k persons of their own, and parts that show the same labels
only add to each other. What is put together is checked as a whole before it is kept.

Source: the idea of recoding what is left again and again is that of ARX's local transformation (F. Prasser et al.,
PETS 2016); choosing each node by loss with nobody's leaving limited is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from wellbridge.privacy.records.criteria import Criteria
from wellbridge.privacy.records.lattice import Lattice, Limits
from wellbridge.privacy.records.loss import Part

if TYPE_CHECKING:
    from wellbridge.privacy.records.anonymize import Coded

MOST_PARTS: Final = 20


def recode_rest(
    coded: Coded, criteria: Criteria, weights: Mapping[str, float], limits: Limits | None = None
) -> list[Part]:
    """Return the parts of a locally recoded file; rows in none of them are left out.

    Args:
        coded: the file.
        criteria: what every class of every part must fulfil.
        weights: how much the recipient needs a quasi-identifier.
        limits: when the search of each part stops.
    """
    rest = np.arange(len(coded.numbers[0])) if coded.numbers else np.zeros(0, dtype=np.int64)
    parts: list[Part] = []
    while len(rest) and len(parts) < MOST_PARTS:
        population = coded.population(rest)
        if population.persons < criteria.k:
            break
        best = Lattice(population, criteria, population.persons, weights).search(limits).best
        if best is None:
            break
        left = population.rows_of(best.look, best.failing)
        parts.append(Part(best.levels, rest[~left]))
        rest = rest[left]
    return parts
