"""The difference attack over whole histories, against a judge who shares no line with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.tables.release_histories import KINDS, Cell, History, around_a_ring, history, judged
from wellbridge.privacy.tables.cohorts import UNSAID, Cohort, Tie
from wellbridge.privacy.tables.crosses import crosses
from wellbridge.privacy.tables.joint import Exposure, attack_together
from wellbridge.privacy.tables.relations import related
from wellbridge.privacy.tables.released import BLANK, ReleasedAxis, ReleasedTable
from wellbridge.schemas.errors import PrivacyError

HISTORIES = 50


def drawn(what: str) -> np.random.Generator:
    """Draw with today's date, so that each day tries other histories; the seed is printed."""
    seed = int(datetime.now(UTC).strftime("%Y%m%d"))
    print(f"{what}: seed {seed}")
    return np.random.default_rng([seed, len(what)])


def cells(found: tuple[Exposure, ...], *, differences: bool) -> set[Cell]:
    return {frozenset(one.cell.items()) for one in found if (one.kind != "count") == differences}


def agrees(found: History) -> tuple[Exposure, ...]:
    """Attack a history and compare the outcome with the judge's, cell by cell."""
    seen = attack_together(found.releases, explained=3).exposures
    sure = judged(found)
    for differences, word in ((True, "difference"), (False, "count")):
        assert cells(seen, differences=differences) == {
            cell for kind, cell in sure if kind.startswith(word)
        }, found.kind
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_every_planted_exposure_is_found_and_explained(kind: str):
    draw = drawn("planted")
    for number in range(-(-HISTORIES // len(KINDS))):
        found = history(kind, np.random.default_rng(draw.integers(2**32, size=number + 2)), is_planted=True)
        seen = agrees(found)
        assert found.planted in cells(seen, differences=True)
        related = {r.name for r, regions in zip(found.releases, found.made_of, strict=True) if regions}
        for one in seen[:3]:
            names = {name for name, _ in one.because}
            assert names <= related
            assert one.because or not one.is_exact


@pytest.mark.parametrize("kind", KINDS)
def test_clean_histories_pass(kind: str):
    draw = drawn("clean")
    passed = 0
    while passed < -(-HISTORIES // len(KINDS)):
        found = history(kind, draw, is_planted=False)
        if judged(found):
            agrees(found)  # two releases that are not clean after all
            continue
        assert attack_together(found.releases).exposures == ()
        passed += 1


def test_tables_around_a_ring_are_attacked_on_the_cross_of_all() -> None:
    draw = drawn("ring")
    exposures = sum(len(agrees(around_a_ring(draw))) for _ in range(6))
    print(f"{exposures} exposures around rings")


@given(st.lists(st.frozensets(st.integers(0, 5), max_size=3), min_size=1, max_size=8))
def test_every_table_has_a_cross_and_each_cross_hangs_on_one_before_it(used: list[frozenset[int]]) -> None:
    found = crosses(used)
    assert all(any(one <= set(cross.dimensions) for cross in found) for one in used)
    seen: set[int] = set()
    for number, cross in enumerate(found):
        shared = seen & set(cross.dimensions)
        assert (cross.parent is None) == (number == 0)
        assert cross.parent is None or shared <= set(found[cross.parent].dimensions)
        seen |= set(cross.dimensions)


def test_crosses_stay_apart_where_they_can() -> None:
    tree = [frozenset({0, 1}), frozenset({1, 2}), frozenset({3}), frozenset({0})]
    assert sorted(cross.dimensions for cross in crosses(tree)) == [(0, 1), (1, 2), (3,)]
    ring = [frozenset({0, 1}), frozenset({1, 2}), frozenset({0, 2})]
    assert [cross.dimensions for cross in crosses(ring)] == [(0, 1, 2)]


def alike(name: str, counts: list[int], cohort: Cohort) -> ReleasedTable:
    axis = ReleasedAxis(("race",), (("a",), ("b",), ("c",), ("all",)), np.array([3, 3, 3, -1]))
    return ReleasedTable(name, (axis,), np.array(counts), 10, is_strong=True, cohort=cohort)


def test_a_guess_that_cannot_be_is_dropped_and_a_claim_that_cannot_be_is_refused() -> None:
    # Every printed count grew, but what is hidden would have shrunk.
    before, after = [-1, -1, 20, 100], [-1, -1, 60, 110]
    assert attack_together([alike("one", before, UNSAID), alike("two", after, UNSAID)]).exposures == ()
    said = [alike("one", before, Cohort("a", "p", within=("b",))), alike("two", after, Cohort("b", "p"))]
    with pytest.raises(PrivacyError, match="WB-E-046") as refused:
        attack_together(said)
    assert refused.value.where == "releases one, two"


def on_day(day: int) -> Cohort:
    return Cohort(
        name=f"students {day}", population="students", first=date(2026, 9, day), last=date(2026, 9, day)
    )


def test_two_days_that_print_nothing_different_need_not_be_the_same() -> None:
    """A district's next night: children moved among hidden counts only, so that all that both days print is equal."""
    first = alike("first", [20, BLANK, BLANK, 80], on_day(1))
    second = alike("second", [BLANK, 30, 35, 80], on_day(2))
    seen = attack_together([first, second])  # of the same children they would be 85
    assert seen.groups == (0, 0)
    with pytest.raises(PrivacyError) as refused:
        attack_together([first, replace(second, cohort=on_day(1))])
    assert refused.value.code == "WB-E-046"
    assert refused.value.where == "releases first, second"
    assert not any(str(count) in refused.value.where for count in (20, 30, 35, 80))


def test_what_is_said_to_be_one_day_stays_one_cohort() -> None:
    """One table of the second day agrees with the first day, the other does not: both are of the second."""
    told = [
        alike("a", [20, 30, 30, 80], on_day(1)),
        alike("b", [BLANK, BLANK, 30, 80], on_day(2)),
        alike("c", [21, 29, 30, 80], on_day(2)),
    ]
    (group,) = related(told)
    assert group.cohorts == ((0,), (1, 2))
    assert group.ties == {(0, 1): Tie.RESTATED}
