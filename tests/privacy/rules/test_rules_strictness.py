"""The order of strictness is a lattice: neither the order nor the number of the rules that meet matters."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellbridge.privacy.rules.strictness import (
    DIRECTIONS,
    Direction,
    Treatment,
    Value,
    Verdict,
    is_as_strict,
    stricter,
)

NUMBERS = [name for name, way in DIRECTIONS.items() if way in {Direction.UP, Direction.DOWN}]


def values(name: str) -> st.SearchStrategy[Any]:
    if DIRECTIONS[name] is Direction.MORE:
        return st.frozensets(st.sampled_from("abcd"))
    return st.booleans() if DIRECTIONS[name] is Direction.ON else st.integers(0, 50)


@st.composite
def limits(draw: st.DrawFn) -> dict[str, Value]:
    names = draw(st.sets(st.sampled_from(sorted(DIRECTIONS)), max_size=4))
    return {name: draw(values(name)) for name in sorted(names)}


verdicts = st.builds(Verdict, st.sampled_from(Treatment), st.frozensets(st.sampled_from("xyz")), limits())


@given(verdicts, verdicts)
def test_join_is_commutative(one: Verdict, other: Verdict) -> None:
    assert one.join(other) == other.join(one)


@given(verdicts, verdicts, verdicts)
def test_join_is_associative(a: Verdict, b: Verdict, c: Verdict) -> None:
    assert a.join(b).join(c) == a.join(b.join(c))


@given(verdicts)
def test_join_is_idempotent_and_nothing_joined_changes_nothing(one: Verdict) -> None:
    assert one.join(one) == one
    assert one.join(Verdict()) == one


@given(verdicts, verdicts)
def test_a_join_is_as_strict_as_both_and_no_stricter_than_one_of_them_asks(one: Verdict, other: Verdict) -> None:
    joined = one.join(other)
    assert joined.is_as_strict_as(one)
    assert joined.is_as_strict_as(other)
    assert joined.treatment in {one.treatment, other.treatment}
    assert joined.checks == one.checks | other.checks


@given(verdicts, verdicts, verdicts)
def test_as_strict_as_is_an_order(a: Verdict, b: Verdict, c: Verdict) -> None:
    assert a.is_as_strict_as(a)
    if a.is_as_strict_as(b) and b.is_as_strict_as(c):
        assert a.is_as_strict_as(c)
    if a.is_as_strict_as(b) and b.is_as_strict_as(a):
        assert a == b


def test_treatments_have_one_order_from_keeping_to_refusing() -> None:
    ranks = [treatment.rank for treatment in Treatment]
    assert ranks == sorted(set(ranks))
    assert (Treatment.KEEP.rank, Treatment.REFUSE.rank) == (min(ranks), max(ranks))
    nothing = {treatment for treatment in Treatment if treatment.shows_nothing}
    assert nothing == {Treatment.SUPPRESS, Treatment.DROP, Treatment.REFUSE}


@pytest.mark.parametrize("name", NUMBERS)
def test_the_stricter_number_lies_in_the_declared_direction(name: str) -> None:
    strict = 9 if DIRECTIONS[name] is Direction.UP else 3
    assert stricter(name, 3, 9) == strict
    assert is_as_strict(name, strict, 3)
    assert is_as_strict(name, strict, 9)


def test_a_list_and_a_number_of_one_limit_cannot_be_compared() -> None:
    with pytest.raises(TypeError, match="small_areas"):
        stricter("small_areas", frozenset({"036"}), 1)
