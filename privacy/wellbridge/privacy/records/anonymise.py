"""Record files in which every child shares all quasi-identifiers with at least k − 1 others.

Global recoding over declared hierarchies: one level for each quasi-identifier and the whole file, the least lossy
at which few enough children are left out. A child's rows are one record: classes are of children whose whole
sequences of rows look alike, so that knowing several years of a child finds no smaller group.

Source: L. Sweeney, k-anonymity (IJUFKS 10(5), 2002); 34 CFR 99.3 "reasonable person in the school community": the
school is a quasi-identifier like any other, so k holds within it wherever it is released.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Final

import numpy as np
import polars as pl

from wellbridge.privacy.tables.sums import Ints
from wellbridge.schemas.errors import PrivacyError

K_FLOOR: Final = 10
MOST_NODES: Final = 10_000
ANYTHING: Final = "*"
NOT_REPORTED: Final = "not reported"

Level = Mapping[str, str] | str


@dataclass(frozen=True)
class Hierarchy:
    """How a quasi-identifier is coarsened, step by step.

    Attributes:
        levels: each maps what the level before shows to something coarser, what it does not name staying as it is;
            ``"*"`` maps everything to one value.
    """

    levels: tuple[Level, ...] = (ANYTHING,)

    @property
    def height(self) -> int:
        """The coarsest level; 0 shows values as they are."""
        return len(self.levels)

    def at(self, value: str, level: int) -> str:
        """Return a value as it is shown at a level."""
        for step in self.levels[:level]:
            value = step if isinstance(step, str) else step.get(value, value)
        return value


@dataclass(frozen=True)
class Anonymised:
    """A k-anonymous record file.

    Attributes:
        table: the rows kept, quasi-identifiers recoded as text.
        node: the level of each quasi-identifier.
        persons: children in the file before.
        suppressed: children left out.
        classes: number of classes by their size in children.
        loss: 0 (nothing recoded) to 1 (everything), the mean share of each hierarchy climbed.
        checked: nodes examined.
    """

    table: pl.DataFrame
    node: dict[str, int]
    persons: int
    suppressed: int
    classes: dict[int, int]
    loss: float
    checked: int


def k_anonymise(
    frame: pl.DataFrame, *, quasi: Mapping[str, Hierarchy], k: int = K_FLOOR, max_suppressed: float = 0.05,
    per_person: str = "code", weights: Mapping[str, float] | None = None,
) -> Anonymised:
    """Recode quasi-identifiers so that every child is one of at least ``k`` alike.

    Args:
        frame: one row or several for each person; quasi-identifiers of any type, missing values are a value.
        quasi: the quasi-identifiers with their hierarchies; the school among them where it is released.
        k: least number of persons in a class (persons, not rows).
        max_suppressed: greatest share of persons left out, 0 to 1.
        per_person: the column that says whose row it is.
        weights: how much the recipient needs a quasi-identifier; 1 where not named.

    Returns:
        The least lossy file over all levels; of equal losses the one that leaves out fewest persons.

    Raises:
        PrivacyError: WB-E-043 when no level reaches ``k``, WB-E-044 when ``k`` is below the floor.
    """
    if k < K_FLOOR:
        raise PrivacyError("WB-E-044", f"k is below {K_FLOOR}.", "setting k")
    names = list(quasi)
    lattice = _Lattice(frame, quasi, per_person, k, weights or {})
    allowed = int(max_suppressed * lattice.persons)
    best = lattice.search(allowed)
    if best is None:
        raise PrivacyError(
            "WB-E-043", f"No level of the hierarchies makes classes of {k} with at most {allowed} of "
            f"{lattice.persons} persons left out.", f"quasi-identifiers {', '.join(names)}",
        )
    return _anonymised(frame, lattice, best, per_person)


@dataclass(frozen=True)
class _Node:
    levels: tuple[int, ...]
    loss: float
    suppressed: int
    sizes: Ints = field(repr=False)


class _Lattice:
    """All combinations of levels, each examined on the distinct sequences of the file only."""

    def __init__(
        self, frame: pl.DataFrame, quasi: Mapping[str, Hierarchy], per_person: str, k: int, weights: Mapping[str, float]
    ) -> None:
        self.names, self.k, self.checked = list(quasi), k, 0
        self.heights = [quasi[name].height for name in self.names]
        if int(np.prod([height + 1 for height in self.heights])) > MOST_NODES:
            raise PrivacyError(
                "WB-E-043", f"The hierarchies have more than {MOST_NODES} combinations of levels.",
                f"quasi-identifiers {', '.join(self.names)}", todo="Declare fewer levels",
            )
        self.weights = [float(weights.get(name, 1.0)) for name in self.names]
        text = frame.select(per_person, *(_text(name) for name in self.names))
        self.labels = {name: _labels(text[name], quasi[name]) for name in self.names}
        self.codes = {name: _codes(self.labels[name]) for name in self.names}
        self.sequence_of, self.rows, self.sizes = _sequences(text, self.names, per_person, self.labels)
        self.persons = int(self.sizes.sum())

    def search(self, allowed: int) -> _Node | None:
        """Return the least lossy node that leaves out at most ``allowed`` persons."""
        failed: list[tuple[int, ...]] = []
        best: _Node | None = None
        for loss, levels in self._by_loss():
            if best is not None and loss > best.loss:
                break
            # Coarser levels merge classes and never split them, so below a failed node all fail.
            if any(all(a <= b for a, b in zip(levels, worse, strict=True)) for worse in failed):
                continue
            node = self._examine(levels, loss)
            if node.suppressed > allowed:
                failed.append(levels)
            elif best is None or node.suppressed < best.suppressed:
                best = node
        return best

    def _by_loss(self) -> Iterator[tuple[float, tuple[int, ...]]]:
        top = tuple(self.heights)
        nodes = product(*(range(height + 1) for height in self.heights))
        ranked = sorted((round(self._loss(levels), 9), levels) for levels in nodes)
        if self._examine(top, 1.0).suppressed:
            return  # even when nothing is told apart there are fewer than k persons
        yield from ranked

    def _loss(self, levels: Sequence[int]) -> float:
        climbed = [w * level / h for w, level, h in zip(self.weights, levels, self.heights, strict=True) if h]
        total = sum(w for w, h in zip(self.weights, self.heights, strict=True) if h)
        return sum(climbed) / total if total else 0.0

    def _examine(self, levels: tuple[int, ...], loss: float) -> _Node:
        self.checked += 1
        sizes = self.class_sizes(levels)
        return _Node(levels, loss, int(self.sizes[sizes < self.k].sum()), sizes)

    def class_sizes(self, levels: Sequence[int]) -> Ints:
        """Return for each distinct sequence the number of persons who look alike at these levels."""
        packed = np.zeros(self.rows.height, dtype=np.int64)
        for name, level in zip(self.names, levels, strict=True):
            codes = self.codes[name][level]
            packed = packed * (int(codes.max(initial=0)) + 1) + codes[self.rows[name].to_numpy()]
        alike = self.rows.select("sequence").with_columns(pl.Series("row", packed))
        signs = alike.sort("sequence", "row").group_by("sequence", maintain_order=True).agg("row")
        counted = signs.with_columns(pl.Series("persons", self.sizes[signs["sequence"].to_numpy()]))
        total = counted.select(pl.col("persons").sum().over("row"))["persons"].to_numpy()
        sizes = np.zeros(len(self.sizes), dtype=np.int64)
        sizes[signs["sequence"].to_numpy()] = total
        return sizes


def _text(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String).fill_null(NOT_REPORTED)


def _labels(values: pl.Series, hierarchy: Hierarchy) -> pl.DataFrame:
    """Return each distinct value with its label at every level, one column for each level."""
    distinct = values.unique().sort().to_list()
    levels = range(hierarchy.height + 1)
    return pl.DataFrame({str(level): [hierarchy.at(value, level) for value in distinct] for level in levels},
                        schema={str(level): pl.String for level in levels})


def _codes(labels: pl.DataFrame) -> list[Ints]:
    """For each level, the number of the label of each distinct value."""
    return [np.unique(labels[name].to_numpy(), return_inverse=True)[1].astype(np.int64) for name in labels.columns]


def _sequences(
    text: pl.DataFrame, names: list[str], per_person: str, labels: Mapping[str, pl.DataFrame]
) -> tuple[pl.DataFrame, pl.DataFrame, Ints]:
    """Number the distinct sequences of rows: persons' sequence, rows of each sequence as value numbers, persons."""
    numbered = text.select(
        per_person,
        *(pl.col(name).replace_strict(labels[name]["0"], np.arange(labels[name].height), return_dtype=pl.Int64)
          for name in names),
    )
    rows = numbered.sort(per_person, *names).group_by(per_person, maintain_order=True).agg(names)
    distinct = rows.group_by(names, maintain_order=True).agg(pl.len().alias("persons")).with_row_index("sequence")
    of_person = rows.join(distinct.select("sequence", *names), on=names).select(per_person, "sequence")
    exploded = distinct.select("sequence", *names).explode(names)
    return of_person, exploded, distinct["persons"].cast(pl.Int64).to_numpy()


def _anonymised(frame: pl.DataFrame, lattice: _Lattice, best: _Node, per_person: str) -> Anonymised:
    sizes = pl.DataFrame({"sequence": np.arange(len(best.sizes)), "_size": best.sizes},
                         schema={"sequence": lattice.sequence_of.schema["sequence"], "_size": pl.Int64})
    kept = lattice.sequence_of.join(sizes, on="sequence").filter(pl.col("_size") >= lattice.k)
    recoded = []
    for name, level in zip(lattice.names, best.levels, strict=True):
        labels = lattice.labels[name]
        recoded.append(_text(name).replace_strict(labels["0"], labels[str(level)], return_dtype=pl.String))
    table = frame.join(kept.select(per_person), on=per_person, how="semi", maintain_order="left").with_columns(recoded)
    counted = kept["_size"].value_counts(name="persons").sort("_size")
    classes = {int(size): int(persons) // int(size) for size, persons in counted.iter_rows()}
    node = dict(zip(lattice.names, best.levels, strict=True))
    return Anonymised(
        table, node, lattice.persons, best.suppressed, classes, round(best.loss, 6), lattice.checked
    )
