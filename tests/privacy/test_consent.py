"""Of two words about one decision the newer counts, and of two as new the stricter, in whatever order they came."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from wellbridge.privacy.consent import PERMIT, STANDING_SCHEMA, standing, strictest

FIRST = date(2026, 9, 1)
SUBJECTS = pl.DataFrame({"subject_key": ["s", "t"], "person_key": ["p", "q"]})
SCHEMA = {
    "feed": pl.String, "consent_id": pl.String, "decision": pl.String, "subject_key": pl.String,
    "start_date": pl.Date, "end_date": pl.Date, "is_active": pl.Boolean, "version": pl.String,
}

days = st.integers(0, 5).map(lambda number: FIRST + timedelta(days=number))
words = st.tuples(
    st.just("f"), st.sampled_from(["c", "d"]), st.sampled_from([PERMIT, "deny", "optout_partners"]),
    st.sampled_from(["s", "s", "t"]), st.none() | days, st.none() | days, st.booleans(), st.sampled_from(["1", "2"]),
)


def _frame(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, SCHEMA, orient="row")


def _flags(rows: pl.DataFrame, on: date) -> dict[str, tuple[bool, ...]]:
    found = standing(rows.drop("feed", "consent_id", "version"), SUBJECTS, on)
    return {row["subject_key"]: tuple(row[name] for name in list(STANDING_SCHEMA)[1:]) for row in found.to_dicts()}


@given(st.lists(words, min_size=1, max_size=6), st.randoms())
def test_p07_order_and_portions_do_not_matter(rows: list[tuple[object, ...]], chance: object) -> None:
    whole = strictest(_frame(rows)).sort(pl.all())
    shuffled = list(rows)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    bit_by_bit = _frame([])
    for row in shuffled:
        bit_by_bit = strictest(pl.concat([bit_by_bit, _frame([row])]))
    assert bit_by_bit.select(whole.columns).sort(pl.all()).equals(whole)


@given(st.lists(words, min_size=1, max_size=6), days)
def test_p07_no_word_of_the_newest_version_is_stricter_than_what_was_settled(
    rows: list[tuple[object, ...]], on: date
) -> None:
    said = _frame(rows)
    newest = said.filter(pl.col("version") == pl.col("version").max().over("consent_id", "decision"))
    settled = _flags(strictest(said), on)
    for subject, (is_denied, _, is_opted_out) in _flags(newest, on).items():
        found = settled.get(subject, (False, False, False))
        assert found[0] >= is_denied
        assert found[2] >= is_opted_out
    for subject, (_, permits, _) in settled.items():
        each = newest.filter(decision=PERMIT).partition_by("consent_id")
        assert not permits or any(
            all(_flags(_frame([row]), on).get(subject, (0, False))[1] for row in one.select(list(SCHEMA)).iter_rows())
            for one in each
        )
