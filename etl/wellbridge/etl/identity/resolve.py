"""One to one: which of the pairs that may be linked are linked, given their rivals and what persons said.

Pairs with the anchor are resolved at once, in rounds: a pair that beats every rival by the margin, on both sides, is
the only one of its records, so no order is needed. What is left over, and what touches a constraint, is joined pair
by pair, best first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

_ROUNDS: Final = (
    4  # a round frees rivals of the links before it; what a fifth would bring is left to a person
)

# "taken": one of the two records is linked to a better one; "settled": both are.
STATES: Final = ("open", "link", "taken", "settled", "same_person", "two_persons", "forbidden")
_OPEN, _LINK, _TAKEN, _SETTLED, _SAME_PERSON, _TWO_PERSONS, _FORBIDDEN = range(len(STATES))

Bits = NDArray[np.float64]
Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Groups:
    """Records that are one person, joined pair by pair.

    Args:
        cannot: pairs of records that are never in one group.
        single: the sources of which a group holds one record at most.
    """

    def __init__(self, cannot: Iterable[tuple[str, str]] = (), single: Iterable[str] = ()) -> None:
        self._of: dict[str, set[str]] = {}
        self._source: dict[str, str] = {}
        self._single = frozenset(single)
        self._cannot: dict[str, set[str]] = {}
        for one, other in cannot:
            self._cannot.setdefault(one, set()).add(other)
            self._cannot.setdefault(other, set()).add(one)

    def add(self, record: str, source: str) -> set[str]:
        """Return the record's group, a new one when it is not known."""
        self._source.setdefault(record, source)
        return self._of.setdefault(record, {record})

    def join(self, one: str, other: str) -> None:
        """Make two groups one."""
        small, large = sorted((self.add(one, ""), self.add(other, "")), key=len)
        if small is not large:
            large |= small
            for record in small:
                self._of[record] = large

    def is_one(self, one: str, other: str) -> bool:
        """Tell whether two records are in one group."""
        return self._of[one] is self._of[other]

    def is_forbidden(self, one: str, other: str) -> bool:
        """Tell whether somebody said that a record of one group is not the child of the other group."""
        return any(not self._of[other].isdisjoint(self._cannot.get(record, ())) for record in self._of[one])

    def repeats_source(self, one: str, other: str) -> bool:
        """Tell whether the groups hold records of one source that holds a child once."""
        held = [
            {self._source[r] for r in self._of[record] if self._source[r] in self._single}
            for record in (one, other)
        ]
        return not held[0].isdisjoint(held[1])

    def are_both_grown(self, one: str, other: str) -> bool:
        """Tell whether both groups hold more than one record: joining them is for a person to decide."""
        return len(self._of[one]) > 1 and len(self._of[other]) > 1

    def all(self) -> Iterator[set[str]]:
        """Return every group once."""
        return iter({id(group): group for group in self._of.values()}.values())


class _Side:
    """One record of every pair, with the pairs that compete for it.

    Args:
        key: equal for pairs of one record with records of one source.
        is_single: that source holds a child once, so that such pairs are rivals.
        bits: of the pairs.
    """

    def __init__(self, key: Rows, is_single: Flags, bits: Bits) -> None:
        self._key, self._is_single, self._bits = key, is_single, bits
        self._order = np.lexsort((np.arange(len(key)), -bits, key))

    def rivals(self, is_alive: Flags) -> tuple[Bits, Rows]:
        """Return the bits and the row of every pair's best living rival; minus infinity and -1 without one."""
        bits, rows = np.full(len(self._key), -np.inf), np.full(len(self._key), -1)
        order = self._order[(is_alive & self._is_single)[self._order]]
        if not len(order):
            return bits, rows
        is_first = np.diff(self._key[order], prepend=-1) != 0
        starts = np.flatnonzero(is_first)
        rows[order] = np.repeat(order[starts], np.diff(starts, append=len(order)))
        has_second = ~np.append(is_first, True)[starts + 1]
        leaders = order[starts]
        rows[leaders] = -1
        rows[leaders[has_second]] = order[starts[has_second] + 1]
        bits[rows >= 0] = self._bits[rows[rows >= 0]]
        return bits, rows

    def competing(self, rows: Rows) -> Flags:
        """Tell which pairs compete with these, they themselves among them."""
        taken = self._key[rows[self._is_single[rows]]]
        found: Flags = self._is_single & np.isin(self._key, taken)
        return found


class Resolution:
    """The state of one ``decide``.

    Args:
        pairs: scored pairs with ``said``, ``bits`` and ``guard``, sorted by their records.
        anchor: the source to which the others attach; None inside one source.
        unique: the sources that hold a child once.
        margin: bits by which a link must beat every rival.
    """

    def __init__(self, pairs: pl.DataFrame, anchor: str | None, unique: list[str], margin: float) -> None:
        self._pairs, self._anchor, self._unique, self._least = pairs, anchor, unique, margin
        codes = pl.concat([pairs["record_a"], pairs["record_b"]]).rank("dense").to_numpy().astype(np.int64)
        self._a, self._b = codes[: pairs.height], codes[pairs.height :]
        places = {name: n for n, name in enumerate(sorted({*pairs["source_a"], *pairs["source_b"]}))}
        source_a, source_b = (_codes(pairs[name], places) for name in ("source_a", "source_b"))
        single = np.array([name in unique or name == anchor for name in places], dtype=bool)
        self._bits: Bits = pairs["bits"].fill_null(-np.inf).to_numpy()
        self._sides = tuple(
            _Side(record * max(len(places), 1) + source, single[source], self._bits)
            for record, source in ((self._a, source_b), (self._b, source_a))
        )
        said = pairs["said"]
        is_said = said.is_not_null().to_numpy()
        self._is_must: Flags = said.eq_missing("must").to_numpy()
        self._is_alive: Flags = said.ne_missing("cannot").to_numpy().copy()
        self._may: Flags = pairs["guard"].is_null().to_numpy() & ~self._is_must
        self._is_rule: Flags = pairs["tier"].eq_missing("rule").to_numpy()
        self._with_anchor: Flags = (pairs["source_a"] == anchor).to_numpy() & (
            pairs["source_b"] != anchor
        ).to_numpy()
        spoken = np.union1d(self._a[is_said], self._b[is_said])
        self._is_spoken_of: Flags = np.isin(self._a, spoken) | np.isin(self._b, spoken)
        self._state = np.full(pairs.height, _OPEN, dtype=np.int8)

    def resolve(self) -> pl.DataFrame:
        """Return the pairs with ``state``, ``margin`` and ``runner_up``."""
        self._join(np.flatnonzero(self._is_must))
        margin, rival = self._margins()
        for _ in range(_ROUNDS):
            sure = self._sure(margin) & self._with_anchor & ~self._is_spoken_of
            if not sure.any():
                break
            self._accept(np.flatnonzero(sure))
            margin, rival = self._after(margin, rival)
        rest = np.flatnonzero(self._sure(margin))
        self._join(rest[np.lexsort((rest, -self._bits[rest], ~self._with_anchor[rest]))])
        return self._pairs.with_columns(
            pl.Series("state", self._state).replace_strict(dict(enumerate(STATES)), return_dtype=pl.String),
            pl.Series("margin", margin).replace(np.inf, None),
            self._runner_up(rival),
        )

    def _sure(self, margin: Bits) -> Flags:
        is_ahead = (margin >= self._least) | (self._is_rule & (margin > 0))
        sure: Flags = self._may & self._is_alive & is_ahead & (self._state == _OPEN)
        return sure

    def _margins(self) -> tuple[Bits, Rows]:
        """Return each pair's lead over its best living rival (infinite without one), and that rival's row."""
        (bits_a, rows_a), (bits_b, rows_b) = (side.rivals(self._is_alive) for side in self._sides)
        best, rival = np.maximum(bits_a, bits_b), np.where(bits_b > bits_a, rows_b, rows_a)
        lead = np.full(len(best), np.inf)
        has = np.isfinite(best)
        lead[has] = self._bits[has] - best[has]
        return lead, np.where(has, rival, -1)

    def _after(self, margin: Bits, rival: Rows) -> tuple[Bits, Rows]:
        """Return the margins of pairs that are still open; the others keep what they had when they were decided."""
        now, by = self._margins()
        is_open = self._is_alive & (self._state == _OPEN)
        return np.where(is_open, now, margin), np.where(is_open, by, rival)

    def _accept(self, rows: Rows) -> None:
        """Link these pairs; their rivals are nobody's rivals any more."""
        self._state[rows] = _LINK
        for side in self._sides:
            lost = side.competing(rows)
            self._state[lost & (self._state == _TAKEN)] = _SETTLED
            lost &= (self._state == _OPEN) & self._is_alive
            self._state[lost] = _TAKEN
            self._is_alive[lost] = False

    def _join(self, rows: Rows) -> None:
        """Link pairs one after the other, as far as the groups that they are in allow it."""
        if not len(rows):
            return
        groups = self._groups(rows)
        ends = self._pairs[rows.tolist()].select("record_a", "record_b").rows()
        for row, (one, other) in zip(rows.tolist(), ends, strict=True):
            self._state[row] = _joined(groups, one, other, is_must=bool(self._is_must[row]))
        self._accept(rows[self._state[rows] == _LINK])

    def _groups(self, rows: Rows) -> Groups:
        """Return the groups so far, of the records of these pairs alone."""
        linked = np.flatnonzero(self._state == _LINK)
        records = np.union1d(self._a[rows], self._b[rows])
        near = np.isin(self._a[linked], records) | np.isin(self._b[linked], records)
        anchors = np.union1d(self._a[linked[near]], self._b[linked[near]])
        linked = linked[np.isin(self._a[linked], anchors) | np.isin(self._b[linked], anchors)]
        names = ("record_a", "record_b", "source_a", "source_b")
        cannot = self._pairs.filter(pl.col("said") == "cannot").select(names[:2]).rows()
        groups = Groups(cannot, {*self._unique, *([self._anchor] if self._anchor else [])})
        for one, other, source, other_source in (
            self._pairs[[*linked.tolist(), *rows.tolist()]].select(names).rows()
        ):
            groups.add(one, source)
            groups.add(other, other_source)
        for one, other in self._pairs[linked.tolist()].select(names[:2]).rows():
            groups.join(one, other)
        return groups

    def _runner_up(self, rival: Rows) -> pl.Series:
        """Return the record that competes with one of the pair's own."""
        other = np.where(
            self._a[rival] == self._a, 1, 0
        )  # the rival shares a, so it brings another b; or else
        ends = [self._pairs[name].gather(np.maximum(rival, 0)) for name in ("record_a", "record_b")]
        chosen = pl.select(pl.when(pl.Series(other == 1)).then(ends[1]).otherwise(ends[0])).to_series()
        return pl.select(pl.when(pl.Series(rival >= 0)).then(chosen)).to_series().alias("runner_up")


def _joined(groups: Groups, one: str, other: str, *, is_must: bool) -> int:
    """Join the groups of a pair if they may be joined; return the state that the pair is in then."""
    if not is_must and groups.is_one(one, other):
        return _SAME_PERSON
    if groups.is_forbidden(one, other):
        return _FORBIDDEN
    if not is_must and groups.repeats_source(one, other):
        return _TAKEN
    if not is_must and groups.are_both_grown(one, other):
        return _TWO_PERSONS
    groups.join(one, other)
    return _LINK


def _codes(names: pl.Series, places: dict[str, int]) -> Rows:
    return names.replace_strict(places, return_dtype=pl.Int64).to_numpy()
