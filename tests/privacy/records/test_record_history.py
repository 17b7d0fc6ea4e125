"""Sequences of record files: Hypothesis, against a count of sequences that knows nothing of the search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellbridge.privacy.records.anonymize import Anonymized, anonymize
from wellbridge.privacy.records.check import class_numbers, class_sizes
from wellbridge.privacy.records.company import company
from wellbridge.privacy.records.criteria import Sensitive
from wellbridge.privacy.records.hierarchy import Hierarchy
from wellbridge.privacy.records.history import PAST, classes, follow, pasts, standing_alone
from wellbridge.schemas.errors import PrivacyError

K = 3
LABELS = [
    {grade: grade for grade in "abcd"},
    {"a": "ab", "b": "ab", "c": "cd", "d": "cd"},
    dict.fromkeys("abcd", "*"),
]
SHARES = [0.0, 1 / 3, 1.0]  # of the domain of four grades that a label leaves open
GRADES = Hierarchy((LABELS[1], "*"), frozenset("abcd"))
File = dict[str, str]

FILES = st.lists(
    st.dictionaries(st.sampled_from([f"{n:02}" for n in range(30)]), st.sampled_from("abcd"), min_size=8),
    min_size=2,
    max_size=4,
)


def frame(file: File) -> pl.DataFrame:
    return pl.DataFrame(
        {"code": list(file), "grade": list(file.values())}, schema=dict.fromkeys(("code", "grade"), pl.String)
    )


def told_by(files: Sequence[File]) -> pl.DataFrame:
    return pasts([classes(frame(one), ["grade"], "code") for one in files])


def following(file: File, before: Sequence[File], *, local: bool = False, most: float = 1.0) -> Anonymized:
    """Make a file that follows others; here a person's key is its code."""
    rows = frame(file).rename({"code": "person_key"})
    known = rows.select("person_key", pl.col("person_key").alias("code"))
    rows, followed = follow(rows, known, told_by(before))
    return anonymize(
        rows,
        quasi={"grade": GRADES},
        per_person="person_key",
        k=K,
        max_suppressed=most,
        least_k=2,
        followed=followed,
        local=local,
    )


def shown(found: Anonymized) -> File:
    assert found.table.columns == ["person_key", "grade"]  # the past does not leave
    return dict(found.table.iter_rows())


def sequences(files: Sequence[File]) -> Counter[tuple[str | None, ...]]:
    every = {code for file in files for code in file}
    return Counter(tuple(file.get(code) for file in files) for code in every)


def going(file: File, before: Sequence[File], level: int) -> int:
    """Count by hand who cannot be in a file at a level."""
    past = {code: tuple(one.get(code) for one in before) for one in before for code in one}
    cells: Counter[tuple[object, str]] = Counter(
        (past.get(code), LABELS[level][grade]) for code, grade in file.items()
    )
    out = sum(n for n in cells.values() if n < K)
    absent = Counter(past[code] for code in past if code not in file)
    for (whose, _), n in cells.items():
        if n < K and whose is not None:
            absent[whose] += n  # type: ignore[index]
    for whose, n in absent.items():
        sizes = [size for (other, _), size in cells.items() if other == whose and size >= K]
        if 0 < n < K and sizes:
            can_spare = sum(size - K for size in sizes) >= K - n
            out += K - n if can_spare else min(sizes)
    return out


@settings(max_examples=150, deadline=None)
@given(FILES, st.booleans())
def test_every_sequence_is_of_k_children_or_of_nobody(files: list[File], local: bool) -> None:
    out: list[File] = []
    for file in files:
        try:
            found = shown(following(file, out, local=local))
        except PrivacyError as error:
            if error.code != "WB-E-043":
                raise
            continue  # nobody could stay
        assert standing_alone(told_by(out), classes(frame(found), ["grade"], "code"), K) == 0
        out.append(found)
        assert all(n >= K for n in sequences(out).values())


@settings(max_examples=150, deadline=None)
@given(FILES)
def test_a_file_that_follows_others_loses_as_little_as_can_be_lost(files: list[File]) -> None:
    out: list[File] = []
    for file in files:
        lost = [going(file, out, level) for level in range(3)]
        losses = [(n + (len(file) - n) * share) / len(file) for n, share in zip(lost, SHARES, strict=True)]
        possible = [loss for loss, n in zip(losses, lost, strict=True) if n < len(file)]
        if not possible:
            with pytest.raises(PrivacyError, match="WB-E-043"):
                following(file, out)
            continue
        found = following(file, out)
        assert found.loss == pytest.approx(min(possible), abs=1e-6)
        assert (found.suppressed, found.is_optimal) == (lost[found.node["grade"]], True)
        out.append(shown(found))


def test_who_left_is_joined_by_others_and_nothing_else_goes() -> None:
    first = {f"{n:02}": "a" for n in range(10)} | {f"{n:02}": "b" for n in range(10, 20)}
    second = {code: grade for code, grade in first.items() if code != "00"}
    left_out = second.keys() - shown(following(second, [first])).keys()
    assert len(left_out) == K - 1
    assert {first[code] for code in left_out} == {"a"}


def test_a_file_keeps_the_levels_at_which_children_can_be_followed_safely() -> None:
    """What is best of a file alone cuts across the classes of the last one: every child would be one of two."""
    both = {"grade": Hierarchy(("*",)), "sex": Hierarchy(("*",))}
    rows = pl.DataFrame(
        {
            "person_key": [f"{n:02}" for n in range(32)],
            "grade": ["6", "7"] * 16,
            "sex": ["f"] * 16 + ["m"] * 16,
        }
    )
    known = rows.select("person_key", pl.col("person_key").alias("code"))
    asked = {"quasi": both, "per_person": "person_key", "k": 10, "max_suppressed": 0.05}
    first = anonymize(rows, **asked, weights={"grade": 2.0})  # type: ignore[arg-type]
    told = pasts([classes(first.table.rename({"person_key": "code"}), ["grade", "sex"], "code")])
    alone = anonymize(rows, **asked, weights={"sex": 2.0})  # type: ignore[arg-type]
    assert (first.node, alone.node) == ({"grade": 0, "sex": 1}, {"grade": 1, "sex": 0})
    assert (
        standing_alone(told, classes(alone.table.rename({"person_key": "code"}), list(both), "code"), 10)
        == 32
    )
    joined, followed = follow(rows, known, told)
    found = anonymize(joined, **asked, weights={"sex": 2.0}, followed=followed)  # type: ignore[arg-type]
    assert (found.node, found.suppressed) == (first.node, 0)
    assert PAST not in found.table.columns
    assert found.loss == pytest.approx(2 / 3)  # a past costs nothing: it is not shown


def test_what_classes_keep_of_a_sensitive_attribute_they_keep_among_children_of_one_past() -> None:
    """Nine of each class had another past than the other nine, and one service each: a follower would know it."""
    rows = pl.DataFrame(
        {
            "person_key": [f"{n:02}" for n in range(36)],
            "grade": ["6"] * 18 + ["7"] * 18,
            "service": (["x"] * 9 + ["y"] * 9) * 2,
        }
    )
    known = rows.select("person_key", pl.col("person_key").alias("code"))
    before = rows.with_columns(pl.Series("grade", (["1"] * 9 + ["2"] * 9) * 2)).rename({"person_key": "code"})
    joined, followed = follow(rows, known, pasts([classes(before, ["grade"], "code")]))
    asked = {
        "quasi": {"grade": Hierarchy(("*",))},
        "per_person": "person_key",
        "k": 5,
        "least_k": 2,
        "sensitive": [Sensitive("service", distinct=2)],
    }
    assert anonymize(rows, **asked).suppressed == 0  # type: ignore[arg-type]
    with pytest.raises(PrivacyError, match="WB-E-043") as refused:
        anonymize(joined, **asked, followed=followed)  # type: ignore[arg-type]
    assert "new agreement" in refused.value.todo
    mixed = joined.with_columns(pl.Series("service", ["x", "y"] * 18))
    assert anonymize(mixed, **asked, followed=followed).suppressed == 0  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.booleans()), min_size=1, max_size=12),
    st.lists(st.integers(0, 6), min_size=4, max_size=4),
)
def test_company_is_no_more_than_needed_and_leaves_no_class_small(
    cells: list[tuple[int, int, bool]], absent: list[int]
) -> None:
    past, sizes, is_kept = (np.array(column) for column in zip(*cells, strict=True))
    counts = np.where(is_kept, np.maximum(sizes, K), sizes).astype(np.int64)
    out = company(past.astype(np.int64), counts, is_kept, np.array(absent, dtype=np.int64), K)
    assert ((out == 0) | ((counts - out >= K) | (out == counts)) & is_kept).all()
    for number, n in enumerate(absent):
        mine = is_kept & (past == number)
        joined = int(out[mine].sum())
        if not 0 < n < K or not mine.any():
            assert joined == 0
        else:
            assert n + joined == K if (counts[mine] - K).sum() >= K - n else joined == counts[mine].min()


def test_the_same_file_again_leaves_nobody_out() -> None:
    file = {f"{n:02}": "a" for n in range(5)}
    assert following(file, [file, file]).suppressed == 0


def test_a_first_file_is_not_asked_anything_and_a_past_of_few_stands_alone() -> None:
    file = {f"{n:02}": "a" for n in range(5)}
    assert told_by([]).height == 0
    assert following(file, []).suppressed == 0
    alone = {"00": "a"}
    new = classes(frame(file), ["grade"], "code")
    assert standing_alone(told_by([alone]), new, K) == 1
    with pytest.raises(PrivacyError, match="WB-E-043"):
        following(alone | {f"{n:02}": "a" for n in range(20, 22)}, [alone])


def test_unlike_rows_are_of_different_classes() -> None:
    table = pl.DataFrame({"code": ["a", "b", "c", "d"], "grade": ["x", "x", "y", "y"]})
    for per_person in ("code", None):
        assert class_numbers(table, ["grade"], per_person)["class"].n_unique() == 2
    twice = pl.concat([table, table.head(1)])
    assert class_sizes(twice, ["grade"], "code") == {1: 2, 2: 1}
