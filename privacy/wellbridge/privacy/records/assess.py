"""How well a record file hides each person: classes, uniques, risks, and what the classes tell of sensitive values.

It changes nothing and needs no hierarchy. The result holds counts, shares and column names; never a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from wellbridge.privacy.records.criteria import Sensitive
from wellbridge.privacy.records.hierarchy import Hierarchy
from wellbridge.privacy.records.ladders import Ints, Ladder, number_all, numbered
from wellbridge.privacy.records.population import Population, Rows, Sequences, owners
from wellbridge.privacy.records.risk import (
    Risk,
    journalist,
    journalist_by_fraction,
    population_uniques,
    prosecutor,
)
from wellbridge.privacy.records.spread import Distance, distinct_l, entropy_l, t_distance
from wellbridge.schemas.errors import SourceError

# A person whose risk is above one in ten is at risk: the class would be below the floor of a site's releases.
THRESHOLD: Final = 0.1


@dataclass(frozen=True)
class ColumnRisk:
    """What one quasi-identifier contributes.

    Attributes:
        column: its name.
        values: different values in the file, a missing value being one.
        alone: persons whom it makes unique by itself.
        without: persons who stay unique when this column alone is hidden.
    """

    column: str
    values: int
    alone: int
    without: int


@dataclass(frozen=True)
class SensitiveRisk:
    """What knowing a person's class tells of a sensitive attribute.

    Attributes:
        column: its name.
        values: different values in the file.
        distinct_l: different values in the class with fewest.
        entropy_l: exponential of the entropy of the class with least.
        t: distance of the class that is farthest from the whole file.
        distance: the ground distance of ``t``.
        told: persons in a class where everybody has the same value: who finds the class, knows it.
    """

    column: str
    values: int
    distinct_l: int
    entropy_l: float
    t: float
    distance: Distance
    told: int


@dataclass(frozen=True)
class Presence:
    """Delta-presence: the least and the greatest share of a class of the population that is in the file.

    Source: M. Nergiz, M. Atzori, C. Clifton, Hiding the presence of individuals from shared databases (SIGMOD 2007).
    """

    least: float
    greatest: float


@dataclass(frozen=True)
class Assessment:
    """The measures of one file.

    Attributes:
        persons, rows: how many there are.
        quasi, within: the quasi-identifiers; those among which the attacker knows already where to look.
        k: persons in the smallest class.
        classes: number of classes by their size in persons.
        uniques: persons whom nobody is like.
        prosecutor, journalist: see ``risk``; their averages are the marketer's risk against each.
        population_uniques: estimate of persons who are unique in the population.
        estimator: how it was estimated.
        fraction: share of the population that is in the file.
        threshold: above it a person is at risk.
        columns: what each quasi-identifier contributes.
        sensitive: what classes tell.
        presence: None without a population.
    """

    persons: int
    rows: int
    quasi: tuple[str, ...]
    within: tuple[str, ...]
    k: int
    classes: Mapping[int, int]
    uniques: int
    prosecutor: Risk
    journalist: Risk
    population_uniques: float
    estimator: str
    fraction: float
    threshold: float
    columns: tuple[ColumnRisk, ...]
    sensitive: tuple[SensitiveRisk, ...]
    presence: Presence | None = None

    @property
    def marketer(self) -> float:
        """The share of persons whom a marketer can expect to name rightly."""
        return self.journalist.average


def assess(
    frame: pl.DataFrame, *, quasi: Sequence[str], per_person: str | None, sensitive: Sequence[Sensitive] = (),
    within: Sequence[str] = (), hierarchies: Mapping[str, Hierarchy] | None = None,
    population: pl.DataFrame | None = None, fraction: float = 1.0, threshold: float = THRESHOLD,
) -> Assessment:
    """Measure how well a file hides each person.

    Args:
        frame: the file.
        quasi: quasi-identifiers.
        per_person: the column that says whose row it is; None: every row is a person.
        sensitive: sensitive attributes; of each the column and the distance are used.
        within: columns that the attacker knows beside (school, grade): they count as quasi-identifiers.
        hierarchies: of sensitive attributes, for the hierarchical distance.
        population: everybody the file was drawn from, with the quasi-identifiers coded alike, one row a person.
        fraction: the share of the population that is in the file, where there is no table of it.
        threshold: above it a person is at risk.

    Raises:
        SourceError: WB-E-023 when there is no row.
    """
    if per_person is not None:
        frame = frame.filter(pl.col(per_person).is_not_null())
    if not frame.height:
        raise SourceError("WB-E-023", "There is no record to assess.")
    names = list(dict.fromkeys([*within, *quasi]))
    owner = None if per_person is None else owners(frame[per_person])
    if owner is not None and int(owner.max()) + 1 == frame.height:
        owner = None  # one row a person: no sequences to compare
    # A quasi-identifier may be shown or hidden, so that what each contributes is a node of this small lattice.
    ladders, numbers = number_all(frame, {name: Hierarchy() for name in names})
    persons: Population = Rows(ladders, numbers) if owner is None else Sequences(ladders, numbers, owner)
    sizes = _sizes(persons.look((0,) * len(names)).counts)
    behind = None if population is None else _behind(frame, population, names)
    estimate, estimator = population_uniques(sizes, fraction)
    return Assessment(
        persons=persons.persons, rows=frame.height, quasi=tuple(quasi), within=tuple(within), k=min(sizes),
        classes=sizes, uniques=sizes.get(1, 0), prosecutor=prosecutor(sizes, threshold),
        journalist=journalist_by_fraction(sizes, fraction, threshold) if behind is None
        else journalist(*_present(behind), threshold),
        population_uniques=estimate, estimator=estimator, fraction=fraction, threshold=threshold,
        columns=tuple(_column(persons, place) for place in range(len(names))),
        sensitive=_told(frame, ladders, numbers, owner, sensitive, hierarchies or {}),
        presence=None if behind is None else _presence(behind),
    )


def _sizes(counts: Ints) -> dict[int, int]:
    size, classes = np.unique(counts, return_counts=True)
    return {int(one): int(n) for one, n in zip(size, classes, strict=True)}


def _column(persons: Population, place: int) -> ColumnRisk:
    """Look at one quasi-identifier with all others hidden, and at all others with it hidden."""
    ladder, count = persons.ladders[place], len(persons.ladders)
    only = persons.look(tuple(int(other != place) for other in range(count))).counts
    others = persons.look(tuple(int(other == place) for other in range(count))).counts
    return ColumnRisk(ladder.column, ladder.sizes[0], int((only == 1).sum()), int((others == 1).sum()))


def _told(
    frame: pl.DataFrame, ladders: Sequence[Ladder], numbers: Sequence[Ints], owner: Ints | None,
    sensitive: Sequence[Sensitive], hierarchies: Mapping[str, Hierarchy],
) -> tuple[SensitiveRisk, ...]:
    found = []
    for rule in sensitive:  # one at a time: together they would split classes into many more parts
        tree, values = numbered(frame[rule.column], hierarchies.get(rule.column, Hierarchy(())))
        persons: Population = (
            Rows(ladders, numbers, [tree], [values]) if owner is None
            else Sequences(ladders, numbers, owner, [tree], [values])
        )
        look = persons.look((0,) * len(ladders))
        spread = persons.spread(look, 0)
        distinct = distinct_l(spread)
        found.append(SensitiveRisk(
            rule.column, tree.sizes[0], int(distinct.min()), float(entropy_l(spread).min()),
            float(t_distance(spread, rule.distance, tree).max()), rule.distance, int(look.counts[distinct == 1].sum()),
        ))
    return tuple(found)


def _behind(frame: pl.DataFrame, population: pl.DataFrame, names: Sequence[str]) -> tuple[Ints, Ints]:
    """Return for each class of file and population the persons in the file and in the population."""
    keys = [pl.col(name).cast(pl.String).alias(f"q{number}") for number, name in enumerate(names)]
    inside, behind = (table.select(keys).group_by(pl.all()).len("n") for table in (frame, population))
    on = [f"q{number}" for number in range(len(names))]
    both = inside.join(behind, on=on, how="full", nulls_equal=True, coalesce=True)
    found = both.select(pl.col("n", "n_right").fill_null(0).cast(pl.Int64))
    return found["n"].to_numpy(), found["n_right"].to_numpy()


def _present(behind: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    """Leave out the classes of which nobody is in the file; a person of the file is in the population."""
    inside = behind[0] > 0
    return behind[0][inside], np.maximum(behind[0], behind[1])[inside]


def presence_of(frame: pl.DataFrame, population: pl.DataFrame, names: Sequence[str]) -> Presence:
    """Return how present the classes of a population are in a file that is coded alike, one row a person."""
    return _presence(_behind(frame, population, names))


def _presence(behind: tuple[Ints, Ints]) -> Presence:
    share = behind[0] / np.maximum(behind[0], behind[1])
    return Presence(float(share.min()), float(share.max()))
