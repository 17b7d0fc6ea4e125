"""Record files in which every person is one of at least k who look alike: recoded, measured, and checked again.

Global recoding: one level for each quasi-identifier and the whole file, proved to be the least lossy at which few
enough persons are left out. Local recoding, where the agreement allows it, coarsens further only those who would be
left out. A person's rows are one record.

Source: L. Sweeney, k-anonymity (IJUFKS 10(5), 2002); 34 CFR 99.3 "reasonable person in the school community": the
school is a quasi-identifier like any other, so k holds within it wherever it is released.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import polars as pl

from wellbridge.privacy.records.check import check_release, class_numbers, class_sizes
from wellbridge.privacy.records.company import in_company
from wellbridge.privacy.records.criteria import Criteria, Sensitive
from wellbridge.privacy.records.hierarchy import Hierarchy
from wellbridge.privacy.records.history import NEW, Followed
from wellbridge.privacy.records.ladders import Ints, Ladder, number_all, numbered
from wellbridge.privacy.records.lattice import Found, Lattice, Limits
from wellbridge.privacy.records.local import recode_rest
from wellbridge.privacy.records.loss import Losses, Part, losses
from wellbridge.privacy.records.population import Population, Rows, Sequences, owners
from wellbridge.schemas.errors import PrivacyError, SourceError

# The floor of a site's releases. A file of its own may ask for less, but never for one alone.
K_FLOOR: Final = 10
K_LEAST: Final = 2
FOLLOWED: Final = (
    "Wait until more children have changed, or release under a new agreement: its codes cannot be followed"
)


@dataclass(frozen=True)
class Anonymized:
    """A k-anonymous record file.

    Attributes:
        table: the rows kept, in their order, quasi-identifiers recoded as text.
        node: the level of each quasi-identifier; the finest one where the file is recoded locally.
        persons: persons in the file before.
        suppressed: persons left out.
        classes: number of classes by their size in persons.
        loss: the generalised loss, see ``Losses.generalized``.
        losses: all measures.
        checked: nodes examined.
        nodes: nodes of the lattice.
        is_optimal: whether no node of the lattice has a smaller loss.
        bound: no node has a smaller loss than this.
        parts: nodes of a locally recoded file with their rows; of a global one the node alone.
    """

    table: pl.DataFrame
    node: dict[str, int]
    persons: int
    suppressed: int
    classes: dict[int, int]
    loss: float
    losses: Losses
    checked: int
    nodes: int = 1
    is_optimal: bool = True
    bound: float = 0.0
    parts: Sequence[tuple[Mapping[str, int], int]] = field(default_factory=tuple)


@dataclass(frozen=True)
class Coded:
    """A file as numbers: what populations of all or some of its rows are made of."""

    ladders: Sequence[Ladder]
    numbers: Sequence[Ints]
    sensitive: Sequence[Ladder]
    values: Sequence[Ints]
    owner: Ints | None

    def population(self, rows: Ints | None = None) -> Population:
        """Return the persons of all rows, or of some rows that hold whole persons."""
        numbers = [number if rows is None else number[rows] for number in self.numbers]
        values = [value if rows is None else value[rows] for value in self.values]
        if self.owner is None:
            return Rows(self.ladders, numbers, self.sensitive, values)
        owner = self.owner if rows is None else np.unique(self.owner[rows], return_inverse=True)[1]
        return Sequences(self.ladders, numbers, owner.astype(np.int64), self.sensitive, values)


def anonymize(
    frame: pl.DataFrame, *, quasi: Mapping[str, Hierarchy], per_person: str | None, k: int = K_FLOOR,
    max_suppressed: float = 0.05, within: Sequence[str] = (), sensitive: Sequence[Sensitive] = (),
    hierarchies: Mapping[str, Hierarchy] | None = None, weights: Mapping[str, float] | None = None,
    local: bool = False, limits: Limits | None = None, least_k: int = K_FLOOR, followed: Followed | None = None,
) -> Anonymized:
    """Recode quasi-identifiers so that every person is one of at least ``k`` alike.

    Args:
        frame: quasi-identifiers of any type, missing values are a value; other columns are not touched.
        quasi: the quasi-identifiers with their hierarchies; the school among them where it is released.
        per_person: the column that says whose row it is; None: every row is a person. Rows without a person in it
            are left out.
        k: least number of persons in a class (persons, not rows).
        max_suppressed: greatest share of persons left out, 0 to 1.
        within: columns that are shown as they are; k holds within each combination of them.
        sensitive: what every class must keep of a sensitive attribute.
        hierarchies: of sensitive attributes, for the hierarchical distance.
        weights: how much the recipient needs a quasi-identifier; 1 where not named.
        local: whether those who would be left out may be coarsened further than the others.
        limits: when a search that is not finished stops; the file is then safe, and ``bound`` says what was missed.
        least_k: the floor of ``k``.
        followed: what is known of the persons by earlier files with the same codes. Whoever of a class has one past
            must then fulfil what the class must, and no fewer than ``k`` of one past are absent. Needs ``per_person``.

    Returns:
        The least lossy file over all levels; of equal losses the one that coarsens least.

    Raises:
        PrivacyError: WB-E-043 when no level reaches ``k``, WB-E-044 when ``k`` is below the floor.
        SourceError: WB-E-023 when there is no row.
        ConfigurationError: WB-E-047 when a value is not in its hierarchy.
    """
    if k < least_k:
        raise PrivacyError("WB-E-044", f"k is below {least_k}.", "setting k")
    if per_person is not None and frame[per_person].null_count():
        frame = frame.filter(pl.col(per_person).is_not_null())
    if not frame.height:
        raise SourceError("WB-E-023", "There is no record to anonymise.")
    fixed = {name: Hierarchy(()) for name in within}
    past = {} if followed is None else {followed.column: Hierarchy(())}  # the last: see ``Criteria.gone``
    trees = {**quasi, **fixed, **past}
    weights = {**(weights or {}), **dict.fromkeys(past, 0.0 if len(trees) > 1 else 1.0)}
    coded = _coded(frame, trees, per_person, sensitive, hierarchies or {})
    population = coded.population()
    allowed = int(max_suppressed * population.persons)
    if k > population.persons:
        raise PrivacyError(
            "WB-E-043", f"k is {k}, but there are only {population.persons} persons.", "setting k",
            todo="Widen the cohort, or do not release records of it",
        )
    criteria = Criteria(k, sensitive, None if followed is None else _gone(coded.ladders[-1], followed, k))
    found = Lattice(population, criteria, allowed, weights).search(limits)
    if found.best is None:
        raise PrivacyError(
            "WB-E-043", f"No level of the hierarchies makes classes of {k} with at most {allowed} of "
            f"{population.persons} persons left out" + (
                "." if followed is None else ", so that nobody is alone who follows codes over earlier files."),
            f"quasi-identifiers {', '.join((*quasi, *fixed))}", todo=None if followed is None else FOLLOWED,
        )

    def finished(parts: Sequence[Part]) -> tuple[Anonymized, str]:
        if criteria.gone is not None and per_person is not None:
            parts = _joined(frame, coded, parts, criteria.gone, k, per_person)
        made = _finished(frame, coded, parts, found, population.persons, k, weights, per_person, [*quasi, *fixed])
        sizes = None if past else made.classes
        problem = check_release(made.table, list(trees), criteria, hierarchies or {}, per_person, sizes)
        return replace(made, table=made.table.drop(past)), problem

    whole, problem = finished(
        [Part(found.best.levels, np.flatnonzero(~population.rows_of(found.best.look, found.best.failing)))]
    )
    if local:
        tried, broken = finished(recode_rest(coded, replace(criteria, gone=None), weights, limits))
        # Recoding in parts is kept only where it costs less and breaks no condition.
        if not broken and tried.suppressed <= allowed and tried.loss < whole.loss:
            return tried
    if problem and followed is not None:
        raise PrivacyError("WB-E-043", f"Among children with one past in earlier files {problem}.", todo=FOLLOWED)
    if problem:
        raise PrivacyError("WB-E-043", f"The recoded file did not pass its own check: {problem}.", todo="Report this")
    return whole


def _coded(
    frame: pl.DataFrame, quasi: Mapping[str, Hierarchy], per_person: str | None, sensitive: Sequence[Sensitive],
    hierarchies: Mapping[str, Hierarchy],
) -> Coded:
    ladders, numbers = number_all(frame, quasi)
    pairs = [numbered(frame[rule.column], hierarchies.get(rule.column, Hierarchy(()))) for rule in sensitive]
    owner = None
    if per_person is not None:
        owner = owners(frame[per_person])
        if int(owner.max(initial=-1)) + 1 == frame.height:
            owner = None  # one row a person: no sequences to compare
    return Coded(ladders, numbers, [ladder for ladder, _ in pairs], [value for _, value in pairs], owner)


def _gone(past: Ladder, followed: Followed, k: int) -> Ints:
    """Return by number of a past who is not in the file. Of new persons nobody knows that one is absent."""
    known = {**followed.gone, NEW: k}
    return np.array([known.get(label, 0) for label in past.labels[0]], dtype=np.int64)


def _joined(
    frame: pl.DataFrame, coded: Coded, parts: Sequence[Part], gone: Ints, k: int, per_person: str
) -> list[Part]:
    """Leave out of the parts who has to go so that nobody is absent alone; who that is says nothing of them."""
    alike = class_numbers(_table(frame, coded, parts)[1], [ladder.column for ladder in coded.ladders], per_person)
    told = pl.DataFrame([frame[per_person].alias("person"), pl.Series("past", coded.numbers[-1])]).unique()
    drawn = in_company(told.join(alike, on="person", how="left"), gone, k)
    left = frame[per_person].is_in(drawn.to_list()).to_numpy()
    return [replace(part, rows=part.rows[~left[part.rows]]) for part in parts]


def _table(frame: pl.DataFrame, coded: Coded, parts: Sequence[Part]) -> tuple[Ints, pl.DataFrame]:
    """Return which rows leave, in their order, and these rows recoded."""
    rows = np.sort(np.concatenate([part.rows for part in parts])) if parts else np.zeros(0, dtype=np.int64)
    # Not gathered, only held in place.
    kept = frame.with_columns(pl.lit("").alias(ladder.column) for ladder in coded.ladders)
    return rows, (kept if len(rows) == frame.height else kept[rows]).with_columns(
        _recoded(ladder, number, [(part.levels[place], part.rows) for part in parts], rows)
        for place, (ladder, number) in enumerate(zip(coded.ladders, coded.numbers, strict=True))
    )


def _finished(
    frame: pl.DataFrame, coded: Coded, parts: Sequence[Part], found: Found, persons: int, k: int,
    weights: Mapping[str, float], per_person: str | None, names: Sequence[str],
) -> Anonymized:
    _, table = _table(frame, coded, parts)
    shown = len(names)  # of the quasi-identifiers; a past is none that leaves
    person = None if coded.owner is None else per_person
    classes = class_sizes(table, names, person)
    measured = losses(coded.ladders[:shown], coded.numbers[:shown], parts, weights=weights, classes=classes,
                      persons=persons, k=k)
    is_local = len(parts) > 1
    finest = np.min([part.levels for part in parts], axis=0).tolist() if parts else []
    return Anonymized(
        table=table, node=dict(zip(names, finest, strict=False)), persons=persons,
        suppressed=persons - sum(size * count for size, count in classes.items()), classes=classes,
        loss=round(measured.generalized, 6), losses=measured, checked=found.checked, nodes=found.nodes,
        is_optimal=found.is_optimal and not is_local, bound=0.0 if is_local else round(found.bound, 6),
        parts=[(dict(zip(names, part.levels, strict=False)), len(part.rows)) for part in parts],
    )


def _recoded(ladder: Ladder, number: Ints, parts: Sequence[tuple[int, Ints]], rows: Ints) -> pl.Series:
    if len(parts) == 1:
        level = parts[0][0]
        return ladder.labels[level].gather(ladder.codes[level][number[rows]]).alias(ladder.column)
    offsets = np.cumsum([0, *(size for size in ladder.sizes)])
    code = np.zeros(len(number), dtype=np.int64)
    for level, some in parts:
        code[some] = offsets[level] + ladder.codes[level][number[some]]
    return pl.concat([labels.alias(ladder.column) for labels in ladder.labels]).gather(code[rows])
