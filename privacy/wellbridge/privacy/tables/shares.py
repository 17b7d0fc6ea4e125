"""Measures by breakdown in which no share or mean says something about a few persons.

A share is shown only where both counts behind it, those with and those without, may be shown. Where one of them is
small or zero ("nobody", "everybody") and the group is large enough, the share is coded as at most or at least a
round percentage, so wide that the small count could be one that may be shown. All breakdowns of all measures of a
release are protected as one system: numbers that must add up are added up by an attacker too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl

from wellbridge.privacy.tables.linked import Fact, LinkedTables, Need, Reason, unbounded
from wellbridge.privacy.tables.margins import ALL
from wellbridge.privacy.tables.sums import UNBOUNDED, Ints
from wellbridge.schemas.errors import PrivacyError

# Ends in percent. NCES 2011-603 steps by the size of the group (1 % from 300 on, 5 % from 40 on …); here the step
# also has to leave room for a count that may be shown, which is never finer than the brief for groups below 200.
ENDS: Final = (1, 2, 5, 10, 20, 25, 30, 40, 50)

KEY: Final = ("measure_id", "period", "dimension", "member")


@dataclass(frozen=True)
class MeasureRow:
    """One row of a measure with the numbers of its cells; −1 where it has no such cell."""

    facts: dict[str, Any]
    size: int
    numerator: int
    total: int = -1
    those_with: int = -1
    those_without: int = -1
    end: int = UNBOUNDED

    @property
    def key(self) -> tuple[str, ...]:
        """Measure, period, dimension and member."""
        return tuple(str(self.facts[name]) for name in KEY)


@dataclass(frozen=True)
class Population:
    """Whom measures count, as their definitions say and so as every reader knows.

    Attributes:
        everyone: measures whose denominator is every student.
        some: measures whose denominator is some of the students, each once: what is left of a group's students is a
            group that a reader can work out.
        absent: member of breakdowns that holds those who are no current students.
        parts: for a dimension's member those of another dimension that make it up: the schools of a grade band.
    """

    everyone: Collection[str] = ()
    some: Collection[str] = ()
    absent: str = ""
    parts: Mapping[tuple[str, str], Collection[tuple[str, str]]] = field(default_factory=dict)


NOBODY_KNOWN: Final = Population()


@dataclass(frozen=True)
class MeasureTables:
    """Measures that are part of a system of linked tables.

    Attributes:
        rows: the rows with their cells.
        adding_up: measure, period and dimension of breakdowns whose members add up to the whole exactly.
    """

    rows: list[MeasureRow]
    adding_up: list[tuple[str, str, str]]


def end_percent(size: int, min_cell: int) -> int | None:
    """Return the end at which a share of a group of ``size`` is coded; None where the group is too small."""
    return next((end for end in ENDS if end * size // 100 >= min_cell), None)


def add_measures(
    linked: LinkedTables, table: pl.DataFrame, *, means: Collection[str] = (), population: Population = NOBODY_KNOWN
) -> MeasureTables:
    """Add measures to a system of linked tables; see ``published_shares.protect_measures``."""
    # Measures of every student come first: the others' denominators are seen against theirs.
    is_partial = ~pl.col("measure_id").is_in(list(population.everyone))
    ordered = table.sort(is_partial, "measure_id", "period", "dimension", "member")
    out = MeasureTables([], [])
    for _, group in ordered.group_by(["measure_id", "period"], maintain_order=True):
        measure_id = group["measure_id"][0]
        is_mean = measure_id in means
        measure = _Breakdowns(linked, _counted(group, is_mean=is_mean), is_mean=is_mean)
        out.rows.extend(measure.rows)
        out.adding_up.extend(measure.adding_up)
        measure.relate_parts(population)
        if measure_id in population.everyone:
            measure.note_heads()
        elif measure_id in population.some:
            measure.relate_to_heads(population.absent)
    out.rows.sort(key=lambda row: row.key)
    return out


def _counted(group: pl.DataFrame, *, is_mean: bool) -> list[MeasureRow]:
    rows = []
    for facts in group.iter_rows(named=True):
        size, numerator = facts["denominator"], facts["numerator"]
        if size is None or numerator is None or size < 0 or size != int(size):
            raise _broken(facts, "A measure's denominator is no whole count.")
        if not is_mean and (numerator != int(numerator) or not 0 <= numerator <= size):
            raise _broken(facts, "A share's numerator is no whole part of its denominator.")
        rows.append(MeasureRow(facts, int(size), 0 if is_mean else int(numerator)))
    return rows


def _broken(facts: dict[str, Any], what: str) -> PrivacyError:
    return PrivacyError("WB-E-046", what, f"measure {facts['measure_id']} · dimension {facts['dimension']}")


class _Breakdowns:
    """The cells of one measure in one period, with every sum that a reader can make of them."""

    def __init__(self, linked: LinkedTables, rows: list[MeasureRow], *, is_mean: bool) -> None:
        self.linked, self.is_mean = linked, is_mean
        self.adding_up: list[tuple[str, str, str]] = []
        wholes = [row for row in rows if row.facts["dimension"] == ALL]
        if len(wholes) != 1:
            raise _broken(rows[0].facts, 'A measure has no single row of dimension "all".')
        if self._is_small(wholes[0]):
            self.rows = rows  # nothing of it is shown, so there is nothing to add up
            return
        self.whole = self._with_cells([wholes[0]], fixed=True)[0]
        self.rows = [self.whole]
        for dimension in dict.fromkeys(row.facts["dimension"] for row in rows):
            if dimension != ALL:
                self._add_breakdown([row for row in rows if row.facts["dimension"] == dimension])

    def _is_small(self, row: MeasureRow) -> bool:
        least = self.linked.min_cell
        return row.size < least or int(row.facts["persons"] or 0) < least

    def _add_breakdown(self, rows: list[MeasureRow]) -> None:
        members = self._with_cells(rows, fixed=False)
        self.rows += members
        sizes, hits = sum(row.size for row in members), sum(row.numerator for row in members)
        if sizes <= self.whole.size:
            if (sizes, hits) == (self.whole.size, self.whole.numerator):
                facts = members[0].facts
                self.adding_up.append((facts["measure_id"], facts["period"], facts["dimension"]))
            self._partition(members)
        elif not self.is_mean and hits == self.whole.size and all(r.size == self.whole.size for r in members):
            self._composition(members)
        else:
            for row in members:  # groups overlap: each stands against everybody else
                self._partition([row])

    def note_heads(self) -> None:
        """Take the denominators for the number of all students of each group."""
        for row in self.rows:
            if row.total != -1:
                self.linked.heads.setdefault((row.facts["dimension"], row.facts["member"]), row.total)

    def relate_to_heads(self, absent: str) -> None:
        """Those of a group whom the denominator leaves out are a group of their own.

        Nobody may tell exactly how many they are. More cannot be asked: how many are left out of the whole is often
        few, and the whole is shown. A group cannot hold more of them than that.
        """
        values = self.linked.sums.values
        everyone = self.linked.heads.get((ALL, ALL), -1)
        left_out = int(values[everyone]) - self.rows[0].size if everyone != -1 else UNBOUNDED
        for row in self.rows:
            head = self.linked.heads.get((row.facts["dimension"], row.facts["member"]), -1)
            is_within = row.facts["dimension"] != ALL and row.facts["member"] != absent
            if is_within and -1 not in (head, row.total) and head != row.total and row.size <= values[head]:
                rest = self._add([int(values[head]) - row.size], virtual=True, need=Need.WEAK)
                room = max(0, left_out - int(values[head]) + row.size)
                self.linked.up[rest] = np.minimum(self.linked.up[rest], room)
                self.linked.sums.add_relations(np.array([head]), np.array([[row.total, int(rest[0])]]))

    def _partition(self, members: Sequence[MeasureRow]) -> None:
        """Members that add up to the whole; what is missing is a group that a reader can work out."""
        rest = self.whole.size - sum(row.size for row in members)
        hits = self.whole.numerator - sum(row.numerator for row in members)
        if not self.is_mean and not 0 <= hits <= rest:
            return  # no group could have these counts, so no reader can subtract them
        self._add_up(self.whole, members, self._virtual(rest, hits) if rest else None)

    def relate_parts(self, population: Population) -> None:
        """Relate members that others make up, where their numbers do add up; the absent are one group everywhere."""
        by_place = {(row.facts["dimension"], row.facts["member"]): row for row in self.rows if row.total != -1}
        absent = [place for place in by_place if place[1] == population.absent]
        for place, of in [*population.parts.items(), *((place, absent[:1]) for place in absent[1:])]:
            whole, members = by_place.get(place), [by_place[part] for part in of if part in by_place]
            sizes, hits = sum(row.size for row in members), sum(row.numerator for row in members)
            if whole is not None and members and (sizes, hits) == (whole.size, whole.numerator):
                self._add_up(whole, members)

    def _add_up(
        self, whole: MeasureRow, members: Sequence[MeasureRow], extra: tuple[int, int, int] | None = None
    ) -> None:
        for place, name in enumerate(("total", "those_with", "those_without")):
            cells = [getattr(row, name) for row in members] + ([extra[place]] if extra else [])
            if -1 not in cells and getattr(whole, name) != -1:
                self.linked.sums.add_relations(np.array([getattr(whole, name)]), np.array([cells]))

    def _composition(self, members: Sequence[MeasureRow]) -> None:
        """Shares of one whole: those with add up to everybody."""
        sums = self.linked.sums
        sums.add_relations(np.array([self.whole.total]), np.array([[row.those_with for row in members]]))
        for row in members:
            if row.numerator + self.whole.numerator == self.whole.size:
                sums.add_relations(np.array([row.those_with]), np.array([[self.whole.those_without]]))

    def _virtual(self, size: int, hits: int) -> tuple[int, int, int]:
        total = int(self._add([size], virtual=True)[0])
        if self.is_mean:
            return total, -1, -1
        with_, without = (int(cell) for cell in self._add([hits, size - hits], virtual=True))
        self.linked.sums.add_relations(np.array([total]), np.array([[with_, without]]))
        return total, with_, without

    def _add(self, counts: list[int], *, virtual: bool, need: Need | None = None) -> Ints:
        values = np.array(counts, dtype=np.int64)
        size = len(values)
        small = [Reason.SMALL if 0 < n < self.linked.min_cell else Reason.SHOWN for n in counts]
        flags = np.full(size, virtual)
        nothing = np.zeros(size, dtype=np.bool_)
        fact = Fact(small, flags, nothing, nothing, np.zeros(size), unbounded(size))
        return self.linked.add(values, fact, need)

    def _with_cells(self, rows: list[MeasureRow], *, fixed: bool) -> list[MeasureRow]:
        totals = self._totals(rows, fixed=fixed)
        if self.is_mean:
            return [MeasureRow(row.facts, row.size, row.numerator, int(n)) for row, n in zip(rows, totals, strict=True)]
        return [self._split(row, int(total), is_whole=fixed) for row, total in zip(rows, totals, strict=True)]

    def _totals(self, rows: list[MeasureRow], *, fixed: bool) -> Ints:
        """The denominators' cells: those of a breakdown with the same numbers, where there is one."""
        by_member = sorted((str(row.facts["member"]), row.size, place) for place, row in enumerate(rows))
        key: tuple[object, ...] = (rows[0].facts["dimension"], tuple((m, n) for m, n, _ in by_member))
        if fixed:
            key = (ALL, rows[0].size)
        few = any(self._is_small(row) and row.size >= self.linked.min_cell for row in rows)
        known = None if few else self.linked.known.get(key)
        if known is None:
            known = self._new_totals([rows[place] for _, _, place in by_member], fixed=fixed)
            if not few:
                self.linked.known[key] = known
        order = np.argsort([place for _, _, place in by_member])
        return known[order]

    def _new_totals(self, rows: list[MeasureRow], *, fixed: bool) -> Ints:
        values = np.array([row.size for row in rows], dtype=np.int64)
        size = len(rows)
        return self.linked.add(values, Fact(
            reason=[Reason.SMALL if self._is_small(row) else Reason.SHOWN for row in rows],
            virtual=np.zeros(size, dtype=np.bool_),
            # A mean has no other cell to hide than its denominator.
            margin=np.full(size, not self.is_mean), fixed=np.full(size, fixed),
            cost=8 * (1 + np.log1p(values)), upper=unbounded(size),
        ))

    def _split(self, row: MeasureRow, total: int, *, is_whole: bool) -> MeasureRow:
        without = row.size - row.numerator
        counts = np.array([row.numerator, without], dtype=np.int64)
        least, small = self.linked.min_cell, self._is_small(row)
        reasons = [
            Reason.SMALL if small or 0 < n < least else Reason.END if n < least else Reason.SHOWN
            for n in (row.numerator, without)
        ]
        end = None if small or min(counts) >= least else end_percent(row.size, least)
        bound = UNBOUNDED if end is None else end * row.size // 100
        cells = self.linked.add(counts, Fact(
            # The district's own value is the last to be given up.
            reason=reasons, virtual=np.zeros(2, dtype=np.bool_), margin=np.full(2, is_whole),
            fixed=np.zeros(2, dtype=np.bool_), cost=(1 + np.log1p(counts)) * (8 if is_whole else 0.5),
            upper=np.where(counts < least, bound, UNBOUNDED).astype(np.int64),
        ))
        self.linked.sums.add_relations(np.array([total]), cells.reshape(1, 2))
        return MeasureRow(row.facts, row.size, row.numerator, total, int(cells[0]), int(cells[1]),
                    UNBOUNDED if end is None else end)
