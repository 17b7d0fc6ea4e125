"""Sequences of record files: Hypothesis, against a count of sequences that knows nothing of the search."""

from __future__ import annotations

from collections import Counter

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from wellbridge.privacy.records.check import class_numbers, class_sizes
from wellbridge.privacy.records.history import classes, keep_sequences

K = 3
File = dict[str, str]


def frame(file: File) -> pl.DataFrame:
    return pl.DataFrame(
        {"code": list(file), "grade": list(file.values())}, schema={"code": pl.String, "grade": pl.String}
    )


def released(files: list[File]) -> tuple[list[File], int]:
    """Release each file in turn, leaving out whom the history asks to leave out."""
    out: list[File] = []
    stuck = 0
    for file in files:
        told = [classes(frame(one), ["grade"], "code") for one in out]
        sizes = Counter(file.values())
        alone = {
            code: grade for code, grade in file.items() if sizes[grade] >= K
        }  # each file is k-anonymous alone
        found = keep_sequences(told, classes(frame(alone), ["grade"], "code"), K)
        stuck += found.stuck
        out.append({code: grade for code, grade in alone.items() if code not in found.left_out})
    return out, stuck


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from([f"{n:02}" for n in range(30)]), st.sampled_from("abc"), min_size=8),
        min_size=2,
        max_size=4,
    )
)
def test_every_sequence_is_of_k_children_or_of_nobody(files: list[File]) -> None:
    told, stuck = released(files)
    every = {code for file in told for code in file}
    sequences = Counter(tuple(file.get(code) for file in told) for code in every)
    assert stuck == 0
    assert all(n >= K for n in sequences.values())


def test_who_left_is_joined_by_others_and_nothing_else_goes() -> None:
    first = {f"{n:02}": "a" for n in range(10)} | {f"{n:02}": "b" for n in range(10, 20)}
    second = {code: grade for code, grade in first.items() if code != "00"}
    found = keep_sequences(
        [classes(frame(first), ["grade"], "code")], classes(frame(second), ["grade"], "code"), K
    )
    assert len(found.left_out) == K - 1
    assert {first[code] for code in found.left_out} == {"a"}


def test_the_same_file_again_leaves_nobody_out() -> None:
    file = {f"{n:02}": "a" for n in range(5)}
    told = classes(frame(file), ["grade"], "code")
    assert keep_sequences([told, told], told, K).left_out == frozenset()


def test_a_first_file_is_not_asked_anything_and_a_past_of_few_is_stuck() -> None:
    file = {"00": "a"}
    told = classes(frame(file), ["grade"], "code")
    assert keep_sequences([], told, K).left_out == frozenset()
    assert keep_sequences([told], told, K).stuck == 1


def test_unlike_rows_are_of_different_classes() -> None:
    table = pl.DataFrame({"code": ["a", "b", "c", "d"], "grade": ["x", "x", "y", "y"]})
    for per_person in ("code", None):
        assert class_numbers(table, ["grade"], per_person)["class"].n_unique() == 2
    twice = pl.concat([table, table.head(1)])
    assert class_sizes(twice, ["grade"], "code") == {1: 2, 2: 1}
