"""The review queue: what is asked first, when an answer decides, and that nothing is forgotten or seen too early."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.identity.review_queue import NOW, add_pairs, add_records, id_of, ids
from wellbridge.etl.identity.agreement import agreement
from wellbridge.etl.identity.hub import By, undo
from wellbridge.etl.identity.questions import in_force, questions, spot_checks
from wellbridge.etl.identity.review import OUTCOMES, WHY, Answer, Reviewer, Taken, backlog, labels, take
from wellbridge.etl.store import Store, open_store
from wellbridge.etl.vault import VAULT

ANA, BEN, CLEO = (Reviewer(name, run_id="r2") for name in ("ana", "ben", "cleo"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "vault.duckdb", VAULT) as opened:
        yield opened


@pytest.fixture(scope="module")
def law_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(tmp_path_factory.mktemp("law") / "vault.duckdb", VAULT) as opened:
        yield opened


def asked(store: Store, reviewer: str | None = None) -> list[tuple[str, str]]:
    return questions(store, reviewer).select("record_a", "record_b").rows()


def two_records(store: Store) -> tuple[str, str]:
    a, b = ids(2)
    add_records(store, {a: "student", b: "clinic/patient"})
    add_pairs(store, [(b, a)])  # the anchor's side first, whatever the order of the keys
    return b, a


def answer(pair: tuple[str, str], outcome: str, why: str = "written") -> list[Answer]:
    return [Answer(*pair, outcome, why)]


def constraint(store: Store) -> list[tuple[str, str, str]]:
    sql = "SELECT record_a, record_b, kind FROM link_constraint WHERE asserted_to IS NULL ORDER BY ALL"
    return store.frame(sql).rows()


@pytest.mark.parametrize(("outcome", "kind"), [("link", "must"), ("nonlink", "cannot")])
def test_one_answer_decides_where_the_site_asks_for_one(store: Store, outcome: str, kind: str) -> None:
    pair = two_records(store)
    assert take(store, answer(pair, outcome), ANA, needed=1) == Taken(decided=1, waiting=0, known=0)
    assert constraint(store) == [(*sorted(pair), kind)]
    decision = store.frame("SELECT * FROM decision").row(0, named=True)
    assert (decision["reviewer1"], decision["reviewer2"], decision["reason"]) == ("ana", None, "written")
    assert decision["run_id"] == "r2"
    assert asked(store) == []


def test_unsure_decides_nothing_and_is_not_asked_again_of_the_same_person(store: Store) -> None:
    pair = two_records(store)
    assert take(store, answer(pair, "unsure", "too_little"), ANA, needed=1).decided == 0
    assert constraint(store) == []
    assert asked(store, "ana") == []
    assert asked(store, "ben") == [pair]


def test_two_must_agree_where_the_site_asks_for_two(store: Store) -> None:
    pair = two_records(store)
    assert take(store, answer(pair, "link"), ANA, needed=2) == Taken(decided=0, waiting=1, known=0)
    assert constraint(store) == []
    assert take(store, answer(pair, "link"), ANA, needed=2) == Taken(decided=0, waiting=0, known=1)
    assert constraint(store) == [], "one person is not two reviewers"
    assert take(store, answer(pair, "link"), BEN, needed=2).decided == 1
    decision = store.frame("SELECT reviewer1, reviewer2 FROM decision").row(0)
    assert decision == ("ana", "ben")


def test_a_disagreement_waits_for_a_third_who_settles_it(store: Store) -> None:
    pair = two_records(store)
    take(store, answer(pair, "link"), ANA, needed=2)
    take(store, answer(pair, "nonlink", "sibling"), BEN, needed=2)
    assert backlog(store).disputed == 1
    assert asked(store, "ana") == asked(store, "ben") == []
    assert asked(store, "cleo") == [pair]
    take(store, answer(pair, "nonlink", "sibling"), CLEO, needed=2)
    assert constraint(store) == [(*sorted(pair), "cannot")]


def test_nobody_is_told_what_another_said(store: Store) -> None:
    pair = two_records(store)
    take(store, answer(pair, "nonlink", "sibling"), ANA, needed=2)
    shown = questions(store, "ben")
    assert not {"outcome", "why", "reviewers", "reviewer"} & set(shown.columns)


def test_undoing_a_decision_ends_what_the_answers_count_for(store: Store) -> None:
    pair = two_records(store)
    take(store, answer(pair, "link"), ANA, needed=1)
    decision = str(store.value("SELECT decision_id FROM decision"))
    undo(store, decision, By("lead", "wrong"))
    store.run("UPDATE source_record SET is_decided = true")  # as the next run does
    assert asked(store, "ana") == [pair]
    assert store.value("SELECT count(*) FROM review_answer") == 1, "nothing is deleted"
    assert take(store, answer(pair, "nonlink"), ANA, needed=1).decided == 1
    assert constraint(store) == [(*sorted(pair), "cannot")]


def test_an_answer_counts_only_for_what_the_reviewer_saw(store: Store) -> None:
    pair = two_records(store)
    take(store, answer(pair, "link"), ANA, needed=2)
    store.run("UPDATE source_record SET content = 2 WHERE record_id = ?", [pair[0]])
    take(store, answer(pair, "link"), BEN, needed=2)
    assert constraint(store) == []
    assert asked(store, "ana") == [pair], "what has changed is asked anew"


def test_a_record_that_the_next_run_decides_anew_is_not_asked_about(store: Store) -> None:
    a, b, c = ids(3)
    add_records(store, {a: "student", b: "clinic/patient", c: "clinic/patient"})
    add_pairs(store, [(a, b), (a, c)])
    take(store, answer((a, b), "link"), ANA, needed=1)
    assert asked(store) == []


def test_a_late_answer_about_a_decided_pair_counts_for_agreement_alone(store: Store) -> None:
    pair = two_records(store)
    take(store, answer(pair, "link"), ANA, needed=1)
    assert take(store, answer(pair, "nonlink", "sibling"), BEN, needed=1).decided == 0
    assert constraint(store) == [(*sorted(pair), "must")]
    assert agreement(in_force(store)).share == 0


def test_the_most_telling_question_comes_first(store: Store) -> None:
    a, b, c, d, e, f, g = ids(7)
    add_records(store, dict.fromkeys((a, b, c), "student") | dict.fromkeys((d, e, f, g), "clinic/patient"))
    add_pairs(store, [(a, d)], bits=6.0)
    add_pairs(store, [(b, e)], bits=0.1)  # the model cannot tell: more in doubt
    add_pairs(store, [(c, f)], bits=0.1)  # as much in doubt, and settles another
    add_pairs(store, [(c, g)], bits=5.0)
    found = asked(store)
    assert found[0] == (c, f)
    assert found.index((b, e)) < found.index((a, d))
    take(store, answer((a, d), "link"), ANA, needed=2)
    take(store, answer((a, d), "nonlink"), BEN, needed=2)
    assert asked(store)[0] == (a, d), "a disagreement before all"


def test_a_guard_makes_a_sure_model_doubtful(store: Store) -> None:
    a, b, c, d = ids(4)
    add_records(store, {a: "student", b: "student", c: "clinic/patient", d: "clinic/patient"})
    add_pairs(store, [(a, c)], bits=30.0, reason="band")
    add_pairs(store, [(b, d)], bits=30.0, reason="twin")
    values = dict(questions(store).select("reason", "value").iter_rows())
    assert values["twin"] == 1.0
    assert values["band"] < 0.01


def test_decided_pairs_are_labels_by_the_ids_of_their_files(store: Store) -> None:
    a, b, c, d = ids(4)
    add_records(store, {a: "clinic/patient", b: "student", c: "student", d: "clinic/patient"})
    add_pairs(store, [(b, a), (c, d)])
    take(store, [*answer((b, a), "link"), *answer((c, d), "nonlink", "namesake")], ANA, needed=1)
    named = [("student", id_of(left), "clinic/patient", id_of(right)) for left, right in ((b, a), (c, d))]
    assert labels(store).rows() == sorted([(*named[0], True), (*named[1], False)])


def auto_link(store: Store, pair: tuple[str, str]) -> None:
    """Write down that the pair was linked automatically, as the nightly step does."""
    store.run(
        "INSERT INTO decision (decision_id, kind, record_a, record_b, outcome, decided_at) "
        "VALUES (?, 'auto', ?, ?, 'link', ?)",
        [ids(1)[0], *pair, NOW],
    )


def test_spot_checks_are_automatic_links_in_one_random_order_for_everybody(store: Store) -> None:
    names = ids(40)
    anchors, others = names[::2], names[1::2]
    add_records(store, dict.fromkeys(anchors, "student") | dict.fromkeys(others, "clinic/patient"))
    pairs = list(zip(anchors, others, strict=True))
    add_pairs(store, pairs[:10], outcome="link", reason="model")
    add_pairs(store, pairs[10:], outcome="none", reason="weight")
    drawn = spot_checks(store, "ana").select("record_a", "record_b").rows()
    assert set(drawn) == set(pairs[:10])
    assert drawn == spot_checks(store, "ben").select("record_a", "record_b").rows()
    assert drawn != sorted(drawn), "in no order of the keys"
    assert asked(store) == []


def test_spot_checks_say_how_many_automatic_links_are_right(store: Store) -> None:
    names = ids(6)
    add_records(store, {name: "student" if n < 3 else "clinic/patient" for n, name in enumerate(names)})
    pairs = [(names[n], names[n + 3]) for n in range(3)]
    add_pairs(store, pairs[:2], outcome="link", reason="rule")
    add_pairs(store, pairs[2:])
    for pair in pairs[:2]:
        auto_link(store, pair)
    take(store, answer(pairs[0], "link"), ANA, needed=1)
    take(store, answer(pairs[1], "nonlink", "sibling"), ANA, needed=1)
    take(store, answer(pairs[2], "nonlink", "sibling"), ANA, needed=1)  # a question is no spot check
    found = backlog(store)
    assert (found.checked, found.confirmed) == (2, 1)
    assert sorted(kind for *_, kind in constraint(store)) == ["cannot", "cannot", "must"], (
        "a wrong link is cut"
    )


def test_persons_who_contradict_each_other_are_counted(store: Store) -> None:
    pair = two_records(store)
    take(
        store, answer(pair, "link"), ANA, needed=1
    )  # the next run leaves it at review: another decision forbids it
    assert backlog(store).contradicted == 1


ANSWERS = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(sorted(OUTCOMES)), st.sampled_from("abcd")), max_size=30
)


@settings(max_examples=40, deadline=None)
@given(answers=ANSWERS, needed=st.sampled_from([1, 2]))
def test_every_decision_rests_on_enough_answers_and_no_answer_is_lost(
    law_store: Store, answers: list[tuple[int, str, str]], needed: int
) -> None:
    store = law_store
    store.run("BEGIN TRANSACTION")
    try:
        names = ids(10)
        add_records(store, {name: "student" if n < 5 else "clinic/patient" for n, name in enumerate(names)})
        pairs = [(names[n], names[n + 5]) for n in range(5)]
        add_pairs(store, pairs)
        known = 0
        for number, outcome, who in answers:
            known += take(store, answer(pairs[number], outcome), Reviewer(who), needed).known
        kept = store.frame("SELECT * FROM review_answer")
        assert kept.height + known == len(answers)
        assert kept.height == len({(number, who) for number, _, who in answers})
        kinds = {"must": "link", "cannot": "nonlink"}
        for a, b, kind in constraint(store):
            votes = kept.filter(
                pl.col("record_a") == a, pl.col("record_b") == b, pl.col("outcome") == kinds[kind]
            )
            assert votes["reviewer"].n_unique() >= needed
        assert len(constraint(store)) == store.value("SELECT count(*) FROM decision")
    finally:
        store.run("ROLLBACK")


def test_choices_are_words_without_names() -> None:
    assert all(code.isidentifier() for code in (*OUTCOMES, *WHY))


def said(*rows: tuple[str, str, str]) -> pl.DataFrame:
    """Question, reviewer, outcome."""
    return pl.DataFrame(
        [(question, question, reviewer, outcome) for question, reviewer, outcome in rows],
        schema=["record_a", "record_b", "reviewer", "outcome"],
        orient="row",
    )


def test_kappa_is_cohens() -> None:
    # Cohen's own kind of table: 20 both link, 5 and 10 apart, 15 both nonlink: po .7, pe .5, kappa .4.
    table = (
        [("link", "link")] * 20
        + [("link", "nonlink")] * 5
        + [("nonlink", "link")] * 10
        + [("nonlink", "nonlink")] * 15
    )
    rows = [
        (f"q{n}", who, outcome)
        for n, both in enumerate(table)
        for who, outcome in zip(("ana", "ben"), both, strict=True)
    ]
    found = agreement(said(*rows))
    assert found.pairs == 50
    assert found.share == pytest.approx(0.7)
    assert found.kappa == pytest.approx(0.4)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * (0.7 * 0.3 / (50 * 0.25)) ** 0.5, rel=1e-3)
    assert agreement(said(*rows[::-1])).kappa == pytest.approx(0.4), "who answered first does not matter"


def test_agreement_needs_two_answers_of_two_people() -> None:
    assert agreement(said(("q1", "ana", "link"), ("q2", "ben", "link"))).pairs == 0
    assert agreement(said(("q1", "ana", "link"), ("q1", "ana", "link"))).pairs == 0
    same = agreement(said(("q1", "ana", "link"), ("q1", "ben", "link")))
    assert (same.share, same.kappa) == (1.0, None), "all alike by chance alone says nothing"
