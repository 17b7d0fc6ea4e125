from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.warehouse_memory import empty_warehouse, insert
from wellbridge.pipelines.students import derive_students

MONDAY = date(2026, 10, 19)


def day(number: int) -> date:
    return MONDAY + timedelta(days=number)


def seen(as_of: int, person: str = "p1", roster: str = "oneroster", **values: Any) -> dict[str, Any]:
    row = {
        "person_key": person,
        "subject_key": f"s-{person}",
        "roster": roster,
        "as_of": day(as_of),
        "is_readable": True,
        "is_active": True,
    }
    return row | values


def history(rows: list[dict[str, Any]], person: str = "p1", *names: str) -> list[tuple[Any, ...]]:
    """(first day, day of the end, attribute …) of each span, in days after Monday."""
    with empty_warehouse() as store:
        insert(store, "student_observation", rows)
        derive_students(store)
        frame = store.frame("SELECT * FROM student ORDER BY person_key, valid_from")
    spans = frame.filter(frame["person_key"] == person).iter_rows(named=True)
    return [
        (
            (s["valid_from"] - MONDAY).days,
            (s["valid_to"] - MONDAY).days if s["valid_to"] else None,
            *(s[name] for name in names),
        )
        for s in spans
    ]


def test_unchanged_attributes_are_one_span():
    assert history([seen(0, grade="03"), seen(1, grade="03"), seen(2, grade="03")]) == [(0, None)]


def test_a_changed_attribute_ends_one_span_and_begins_the_next_on_that_day():
    rows = [seen(0, grade="03"), seen(1, grade="04"), seen(2, grade="04")]
    assert history(rows, "p1", "grade") == [(0, 1, "03"), (1, None, "04")]


def test_exactly_the_open_span_is_current():
    with empty_warehouse() as store:
        insert(store, "student_observation", [seen(0, grade="03"), seen(1, grade="04")])
        assert derive_students(store) == 2
        frame = store.frame("SELECT is_current, valid_to FROM student ORDER BY valid_from")
    assert frame["is_current"].to_list() == [False, True]
    assert frame["valid_to"].to_list() == [day(1), None]


def test_a_student_absent_from_the_next_bulk_roster_is_ended_that_day():
    rows = [seen(0), seen(0, "p2"), seen(1, "p2"), seen(2, "p2")]
    assert history(rows) == [(0, 1)]


def test_a_student_who_comes_back_has_a_gap():
    rows = [seen(0), seen(0, "p2"), seen(1, "p2"), seen(2), seen(2, "p2")]
    assert history(rows) == [(0, 1), (2, None)]


def test_a_held_row_is_presence_and_carries_the_last_good_values():
    rows = [seen(0, grade="03"), seen(1, is_readable=False, is_active=None), seen(2, grade="03")]
    assert history(rows, "p1", "grade") == [(0, None, "03")]


def test_values_of_a_held_row_are_never_believed():
    rows = [seen(0, grade="03"), seen(1, is_readable=False, is_active=False, grade="99")]
    assert history(rows, "p1", "grade") == [(0, None, "03")]


def test_a_held_row_alone_begins_no_history():
    assert history([seen(0, is_readable=False, is_active=None), seen(0, "p2"), seen(1, "p2")]) == []


def test_a_held_row_after_an_absence_brings_the_student_back_with_the_last_values():
    rows = [seen(0, grade="03"), seen(1, "p2"), seen(2, is_readable=False, is_active=None)]
    assert history(rows, "p1", "grade") == [(0, 1, "03"), (2, None, "03")]


def test_inactive_ends_and_stays_ended_under_a_held_row():
    rows = [seen(0), seen(1, is_active=False), seen(2, is_readable=False, is_active=None)]
    assert history(rows) == [(0, 1)]


def test_another_roster_does_not_keep_alive_whom_the_bulk_roster_ended():
    rows = [seen(0), seen(1, "p2"), seen(2, roster="edfi", sex="F")]
    assert history(rows) == [(0, 1)]


def test_a_roster_that_is_not_bulk_ends_nobody_by_silence():
    rows = [seen(0, roster="edfi"), seen(1, "p2", roster="edfi")]
    assert history(rows) == [(0, None)]


def test_a_change_between_bulk_rosters_is_the_same_roster_speaking():
    change = seen(1, roster="oneroster_delta", is_active=False)
    assert history([seen(0), change, seen(0, "p2"), seen(3, "p2")]) == [(0, 1)]
    assert history([seen(0), change, seen(3)]) == [(0, 1), (3, None)]


def test_a_student_brought_by_a_change_is_ended_by_the_next_bulk_roster_that_does_not_name_the_student():
    rows = [seen(0, "p2"), seen(1, roster="oneroster_delta"), seen(3, "p2"), seen(5, "p2")]
    assert history(rows) == [(1, 3)]


def test_silence_of_changes_ends_nobody():
    rows = [seen(0), seen(1, "p2", roster="oneroster_delta"), seen(2, "p2", roster="oneroster_delta")]
    assert history(rows) == [(0, None)]


def test_rosters_complete_each_other():
    rows = [seen(0, grade="03"), seen(0, roster="edfi", race_ethnicity="Asian"), seen(1, grade="03")]
    assert history(rows, "p1", "grade", "race_ethnicity") == [(0, None, "03", "Asian")]


def test_a_missing_value_does_not_take_back_what_was_said():
    rows = [seen(0, english_learner=True), seen(1, english_learner=None)]
    assert history(rows, "p1", "english_learner") == [(0, None, True)]


def test_on_one_day_the_roster_that_goes_first_wins():
    rows = [seen(0, sex="F"), seen(0, roster="edfi", sex="M")]
    assert history(rows, "p1", "sex") == [(0, None, "F")]


def test_the_later_word_wins_over_the_roster_that_goes_first():
    rows = [seen(0, sex="F"), seen(1, roster="edfi", sex="M")]
    assert history(rows, "p1", "sex") == [(0, 1, "F"), (1, None, "M")]


@pytest.mark.parametrize(
    ("grade", "band"),
    [
        ("PK", "K-5"),
        ("KG", "K-5"),
        ("05", "K-5"),
        ("06", "6-8"),
        ("08", "6-8"),
        ("09", "9-12"),
        ("12", "9-12"),
        ("UG", "other"),
        (None, "other"),
    ],
)
def test_each_grade_has_its_band(grade: str | None, band: str):
    assert history([seen(0, grade=grade)], "p1", "grade_band") == [(0, None, band)]


def test_deriving_again_gives_the_same_rows():
    with empty_warehouse() as store:
        insert(store, "student_observation", [seen(0), seen(1, grade="04"), seen(1, "p2")])
        first = (derive_students(store), sorted(store.connection.execute("FROM student").fetchall(), key=str))
        second = (
            derive_students(store),
            sorted(store.connection.execute("FROM student").fetchall(), key=str),
        )
    assert first == second


observations = st.lists(
    st.builds(
        seen,
        st.integers(0, 4),
        st.sampled_from(["p1", "p2"]),
        st.sampled_from(["oneroster", "oneroster_delta", "edfi", "other"]),
        grade=st.sampled_from([None, "03", "04"]),
        sex=st.sampled_from([None, "F", "M"]),
        english_learner=st.sampled_from([None, True, False]),
        is_readable=st.booleans(),
        is_active=st.sampled_from([True, True, False, None]),
        subject_key=st.sampled_from(["a", "b"]),
    ),
    max_size=14,
    unique_by=lambda row: (row["person_key"], row["subject_key"], row["roster"], row["as_of"]),
)


def derived(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    store = derived.__dict__.setdefault("store", empty_warehouse())
    store.run("DELETE FROM student_observation")
    insert(store, "student_observation", rows)
    derive_students(store)
    return store.connection.execute("SELECT * FROM student ORDER BY person_key, valid_from").fetchall()


@settings(max_examples=40, deadline=None)
@given(observations, st.randoms(use_true_random=False))
def test_history_does_not_depend_on_the_order_of_rows_or_on_random_keys(
    rows: list[dict[str, Any]], random: Any
):
    expected = derived(rows)
    renamed = {"a": "z", "b": "b"}
    shuffled = [row | {"subject_key": renamed[row["subject_key"]]} for row in rows]
    random.shuffle(shuffled)
    assert derived(shuffled) == expected


@settings(max_examples=40, deadline=None)
@given(observations)
def test_spans_of_a_student_never_overlap_and_at_most_the_last_is_open(rows: list[dict[str, Any]]):
    spans = derived(rows)
    for before, after in pairwise(spans):
        if before[0] == after[0]:
            assert before[2] is not None
            assert before[1] < before[2] <= after[1]


def model(rows: list[dict[str, Any]], person: str, at: int) -> tuple[Any, ...] | None:
    """What the rules of the module say about a person on a day, written a second time without SQL."""
    mine = [r for r in rows if r["person_key"] == person and r["as_of"] <= day(at)]
    words = []
    bulk_days = {r["as_of"] for r in rows if r["roster"] == "oneroster" and r["as_of"] <= day(at)}
    for voice in ({"oneroster", "oneroster_delta"}, {"edfi"}, {"other"}):
        own = [r for r in mine if r["roster"] in voice]
        if not any(r["is_readable"] for r in own):
            continue
        word, is_absent = True, False
        for d in sorted({r["as_of"] for r in own} | (bulk_days if "oneroster" in voice else set())):
            stated = {r["is_active"] for r in own if r["as_of"] == d and r["is_readable"]} - {None}
            word = any(stated) if stated else word
            is_absent = d not in {r["as_of"] for r in own}
        words.append(word and not is_absent)
    if not words or not all(words):
        return None
    values = []
    for name in ("grade", "sex", "english_learner"):
        stated = [r for r in mine if r["is_readable"] and r[name] is not None]
        order = ("other", "edfi", "oneroster_delta", "oneroster")
        best = max(((r["as_of"], order.index(r["roster"]), r[name]) for r in stated), default=(0, 0, None))
        values.append(best[2])
    return tuple(values)


@settings(max_examples=60, deadline=None)
@given(observations, st.integers(0, 4), st.sampled_from(["p1", "p2"]))
def test_the_history_says_on_every_day_what_the_rules_say(rows: list[dict[str, Any]], at: int, person: str):
    derived(rows)
    store = derived.__dict__["store"]
    found = store.connection.execute(
        "SELECT grade, sex, english_learner FROM student WHERE person_key = ? AND valid_from <= ? "
        "AND (valid_to IS NULL OR valid_to > ?)",
        [person, day(at), day(at)],
    ).fetchall()
    expected = model(rows, person, at)
    assert found == ([] if expected is None else [expected])
