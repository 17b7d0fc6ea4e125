"""The ways of being of some cohorts and not of others: the groups that differences of cohorts are counts of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from wellbridge.privacy.tables.cohorts import Tie

MOST_REGIONS: Final = 64

Ties = Mapping[tuple[int, int], Tie]  # of two cohorts, the lower number first


def all_regions(
    size: int, ties: Ties, differs: Mapping[tuple[int, int], int], unions: Mapping[int, Sequence[int]]
) -> list[frozenset[int]] | None:
    """Return the regions of all cohorts; cohorts that nothing ties have regions of their own."""
    linked: list[set[int]] = [{number} for number in range(size)]
    pairs = [pair for pair, found in ties.items() if found in {Tie.WITHIN, Tie.AROUND} or pair in differs]
    for one, other in [*pairs, *((whole, part) for whole, parts in unions.items() for part in parts)]:
        joined = linked[one] | linked[other]
        for number in joined:
            linked[number] = joined
    out: list[frozenset[int]] = []
    for group in {id(group): sorted(group) for group in linked}.values():
        place = {number: at for at, number in enumerate(group)}
        inside = [
            (one, other) if found is Tie.WITHIN else (other, one)
            for (one, other), found in ties.items()
            if found in {Tie.WITHIN, Tie.AROUND} and one in place
        ]
        found = regions(
            len(group),
            within=[(place[a], place[b]) for a, b in inside],
            disjoint=[
                (place[a], place[b])
                for (a, b), found in ties.items()
                if found is Tie.DISJOINT and a in place and b in place
            ],
            unions={
                place[whole]: [place[part] for part in parts]
                for whole, parts in unions.items()
                if whole in place
            },
            most=MOST_REGIONS,
        )
        if found is None or len(out) + len(found) > MOST_REGIONS:
            return None
        out += [frozenset(group[at] for at in way) for way in found]
    return out


def regions(
    size: int,
    *,
    within: Iterable[tuple[int, int]],
    disjoint: Iterable[tuple[int, int]],
    unions: Mapping[int, Sequence[int]],
    most: int,
) -> list[frozenset[int]] | None:
    """Return every way in which a person can be of some of ``size`` cohorts; None where there are over ``most``.

    Args:
        within: pairs, the first within the second.
        disjoint: pairs without a common person.
        unions: a cohort, and those whose persons are all of its persons.
        most: ways that can be looked at.
    """
    inside, never = list(within), list(disjoint)
    found: list[frozenset[int]] = [frozenset()]
    for number in range(size):
        grown = [way | extra for way in found for extra in (frozenset(), frozenset((number,)))]
        found = [
            way
            for way in grown
            if not any(a in way and b not in way and b <= number for a, b in inside)
            and not any(a in way and b in way for a, b in never)
        ]
        if len(found) > 4 * most:
            return None
    kept = [
        way
        for way in found
        if way and not any(whole in way and not way.intersection(parts) for whole, parts in unions.items())
    ]
    return kept if len(kept) <= most else None
