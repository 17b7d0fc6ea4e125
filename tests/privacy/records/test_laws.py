"""Laws of the search, on small random files: compared with plain loops that share no line with it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from plain_anonymity import (
    Trees,
    distinct_l,
    entropy_l,
    exhaustive,
    recoded,
    signatures,
    smallest_class,
    t_equal,
    t_hierarchical,
    t_ordered,
)

from wellbridge.privacy.records.anonymize import Anonymized, anonymize
from wellbridge.privacy.records.assess import assess
from wellbridge.privacy.records.criteria import Criteria, Sensitive
from wellbridge.privacy.records.descent import descend
from wellbridge.privacy.records.hierarchy import Hierarchy
from wellbridge.privacy.records.ladders import number_all
from wellbridge.privacy.records.lattice import Clock, Lattice, Limits
from wellbridge.privacy.records.population import Rows, Sequences
from wellbridge.privacy.records.spread import Distance
from wellbridge.schemas.errors import PrivacyError

# Three trees: of eight values in four levels, of four in three, of two in two.
TREES: Trees = {
    "a": {v: [v, v[:2], v[:1], "*"] for v in ("x1p", "x1q", "x2p", "x2q", "y1p", "y1q", "y2p", "y2q")},
    "b": {v: [v, v[0], "*"] for v in ("m1", "m2", "n1", "n2")},
    "c": {v: [v, "*"] for v in ("f", "g")},
}
HIERARCHIES = {
    name: Hierarchy(
        tuple({labels[i]: labels[i + 1] for labels in tree.values()} for i in range(height)),
        values=frozenset(tree), name=name)
    for (name, tree), height in zip(TREES.items(), (3, 2, 1), strict=True)
}
VALUES = [sorted(tree) for tree in TREES.values()]
SECRETS = ("s0", "s1", "s2", "s3")
SECRET_TREE = {"s0": ["s0", "low", "*"], "s1": ["s1", "low", "*"], "s2": ["s2", "high", "*"], "s3": ["s3", "high", "*"]}

row = st.tuples(*(st.sampled_from(values) for values in VALUES), st.sampled_from(SECRETS), st.integers(0, 9))
frames = st.lists(row, min_size=4, max_size=40).map(
    lambda rows: pl.DataFrame(rows, schema=["a", "b", "c", "secret", "person"], orient="row").cast(pl.String))
FEW = settings(max_examples=60, deadline=None)


def released(frame: pl.DataFrame, **asked: object) -> Anonymized | None:
    """Anonymise; None where it is refused because k cannot be reached."""
    code = ""
    try:
        return anonymize(frame, quasi=HIERARCHIES, least_k=2, **{"per_person": None, **asked})  # type: ignore[arg-type]
    except PrivacyError as error:
        code = error.code
    assert code == "WB-E-043"
    return None


@FEW
@given(
    frames, st.integers(2, 4), st.sampled_from([0.0, 0.1, 0.3]),
    st.sampled_from([{}, {"a": 5.0}, {"b": 3.0, "c": 0.5}]),
)
def test_the_optimum_is_that_of_exhaustive_search(
    frame: pl.DataFrame, k: int, share: float, weights: Mapping[str, float]
) -> None:
    found = released(frame, k=k, max_suppressed=share, weights=weights)
    best = exhaustive(frame.to_dicts(), TREES, k, int(share * frame.height), weights)
    assert (found is None) == (best is None)
    if found is not None:
        assert found.losses.generalized == pytest.approx(best, abs=1e-8)
        assert found.is_optimal


@FEW
@given(frames, st.integers(2, 4), st.sampled_from([0.0, 0.1, 0.3]), st.sampled_from([3, 8, 20, None]))
def test_a_search_that_is_stopped_says_a_bound_that_nothing_is_below(
    frame: pl.DataFrame, k: int, share: float, nodes: int | None
) -> None:
    """The search of large lattices, on small ones, where the optimum is known."""
    allowed = int(share * frame.height)
    best = exhaustive(frame.to_dicts(), TREES, k, allowed)
    lattice = Lattice(Rows(*number_all(frame, HIERARCHIES)), Criteria(k), allowed)
    _, certain = lattice.check(lattice.top)
    assume(best is not None and certain < np.inf)
    bound = descend(lattice, Clock(Limits(nodes), lattice))
    assert best is not None
    assert lattice.best is not None
    assert bound <= best + 1e-8
    assert lattice.best.loss >= best - 1e-8
    if nodes is None:
        assert lattice.best.loss == pytest.approx(best, abs=1e-8)


@FEW
@given(frames, st.integers(2, 4), st.integers(1, 12))
def test_a_search_stopped_early_is_safe_and_bounded_too(frame: pl.DataFrame, k: int, nodes: int) -> None:
    found = released(frame, k=k, max_suppressed=0.2, limits=Limits(nodes))
    best = exhaustive(frame.to_dicts(), TREES, k, int(0.2 * frame.height))
    if found is not None and best is not None:
        assert smallest_class(found.table.to_dicts(), list(TREES)) >= k
        assert found.bound - 1e-6 <= best <= found.loss + 1e-6
        assert not found.is_optimal or best == pytest.approx(found.loss, abs=1e-6)


@FEW
@given(frames, st.integers(2, 4), st.booleans())
def test_a_release_is_k_anonymous_and_every_kept_row_is_one_of_the_file_recoded(
    frame: pl.DataFrame, k: int, local: bool
) -> None:
    found = released(frame, k=k, max_suppressed=0.4, local=local)
    assume(found is not None)
    assert found is not None
    shown = found.table.to_dicts()
    assert smallest_class(shown, list(TREES)) >= k
    assert len(shown) == found.persons - found.suppressed
    assert found.suppressed <= int(0.4 * frame.height)
    labels = {name: {label for one in tree.values() for label in one} for name, tree in TREES.items()}
    assert all(line[name] in labels[name] for line in shown for name in TREES)
    assert sum(size * n for size, n in found.classes.items()) == len(shown)


@FEW
@given(frames, st.integers(2, 3))
def test_recoding_in_parts_never_costs_more(frame: pl.DataFrame, k: int) -> None:
    whole, parts = (released(frame, k=k, max_suppressed=0.2, local=local) for local in (False, True))
    assume(whole is not None)
    assert whole is not None
    assert parts is not None
    assert parts.loss <= whole.loss + 1e-9


@FEW
@given(frames, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(frame: pl.DataFrame, random: object) -> None:
    order = list(range(frame.height))
    random.shuffle(order)  # type: ignore[attr-defined]
    one, other = released(frame, k=2, max_suppressed=0.2), released(frame[order], k=2, max_suppressed=0.2)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert (one.node, one.loss, one.classes) == (other.node, other.loss, other.classes)
        assert one.table.sort(pl.all()).equals(other.table.sort(pl.all()))


@FEW
@given(frames)
def test_who_is_alike_at_a_node_is_alike_at_every_coarser_one(frame: pl.DataFrame) -> None:
    ladders, numbers = number_all(frame, HIERARCHIES)
    population = Rows(ladders, numbers)
    left: dict[tuple[int, ...], int] = {}
    for levels in product(*(range(ladder.height + 1) for ladder in ladders)):
        counts = population.look(levels).counts
        plain = signatures(recoded(frame.to_dicts(), TREES, dict(zip(TREES, levels, strict=True))), list(TREES))
        assert sorted(counts) == sorted(np.unique(list(map(str, plain.values())), return_counts=True)[1])
        left[levels] = int(counts[counts < 3].sum())
    for levels, few in left.items():
        for place in range(len(levels)):
            finer = (*levels[:place], levels[place] - 1, *levels[place + 1:])
            assert left.get(finer, frame.height) >= few


@FEW
@given(frames, st.integers(2, 3))
def test_all_rows_of_a_person_are_one_record(frame: pl.DataFrame, k: int) -> None:
    found = released(frame, k=k, max_suppressed=0.5, per_person="person")
    assume(found is not None)
    assert found is not None
    shown = found.table.to_dicts()
    assert smallest_class(shown, list(TREES), "person") >= k
    kept = set(found.table["person"])
    assert found.table.height == frame.filter(pl.col("person").is_in(list(kept))).height


@FEW
@given(frames)
def test_a_person_with_one_row_is_treated_alike_with_and_without_sequences(frame: pl.DataFrame) -> None:
    ladders, numbers = number_all(frame, HIERARCHIES)
    plain, runs = Rows(ladders, numbers), Sequences(ladders, numbers, np.arange(frame.height))
    for levels in ((0, 0, 0), (1, 1, 0), (2, 0, 1), (3, 2, 1)):
        assert sorted(plain.look(levels).counts) == sorted(runs.look(levels).counts)


@FEW
@given(frames, st.integers(1, 3), st.sampled_from([1.0, 1.5, 2.0]), st.sampled_from([0.2, 0.5, None]))
def test_classes_of_a_release_keep_l_and_t(frame: pl.DataFrame, distinct: int, entropy: float, t: float | None) -> None:
    rule = Sensitive("secret", distinct=distinct, entropy=entropy, t=t)
    found = released(frame, k=2, max_suppressed=0.5, sensitive=[rule])
    assume(found is not None)
    assert found is not None
    shown = found.table.to_dicts()
    assert distinct_l(shown, list(TREES), "secret") >= distinct
    assert entropy_l(shown, list(TREES), "secret") >= entropy - 1e-6
    assert t is None or t_equal(shown, list(TREES), "secret") <= t + 1e-6


@FEW
@given(frames)
def test_l_and_t_are_those_of_plain_loops(frame: pl.DataFrame) -> None:
    rows, quasi = frame.to_dicts(), ["a", "b"]
    tree = Hierarchy(tuple({labels[i]: labels[i + 1] for labels in SECRET_TREE.values()} for i in range(2)))
    seen = {value: SECRET_TREE[value] for value in set(frame["secret"])}
    rules = [Sensitive("secret", distance=distance) for distance in Distance]
    found = assess(frame, quasi=quasi, per_person=None, sensitive=rules, hierarchies={"secret": tree})
    equal, ordered, hierarchical = found.sensitive
    assert equal.distinct_l == distinct_l(rows, quasi, "secret")
    assert equal.entropy_l == pytest.approx(entropy_l(rows, quasi, "secret"))
    assert equal.t == pytest.approx(t_equal(rows, quasi, "secret"), abs=1e-9)
    assert hierarchical.t == pytest.approx(t_hierarchical(rows, quasi, "secret", seen), abs=1e-9)
    if len(seen) > 1:
        # With a hierarchy, values are in the order of its branches.
        order = sorted(seen, key=lambda value: (SECRET_TREE[value][::-1][:2], value))
        assert ordered.t == pytest.approx(t_ordered(rows, quasi, "secret", order), abs=1e-9)
