"""Laws of links taken in from a file, whatever the file says and whatever the hub knows already."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from small_hub import ANA, BEN, BY, CLEO, SmallHub

from wellbridge.etl.identity.candidates import holds_a_child_once
from wellbridge.etl.identity.imported import FATES, LINKS, fates, take

DANA = {"first_name": "Dana", "last_name": "Ferreira", "birth_date": "2013-05-30", "sex": "f", "zip_code": "97301",
        "phone": "541-555-0404", "address": "9 Dogwood Way"}  # fmt: skip
STUDENTS = ("1", "2", "3")
THEIRS = ("a", "b", "c", "new")
SPACES = ("codes/client", "clinic/patient")
# What the hub knows before: the partner's records by what they say, and what persons said of pairs.
_said = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([ANA, BEN, CLEO, DANA])), max_size=3)
_pair = st.tuples(st.sampled_from(STUDENTS), st.sampled_from("abc"), st.sampled_from(["link", "nonlink"]))
_row = st.tuples(
    st.sampled_from([*STUDENTS, "no-such", None]),
    st.sampled_from([*THEIRS, None]),
    st.sampled_from(["link", "link", "review"]),
)


def _links(rows: Sequence[tuple[str | None, str | None, str]]) -> pl.DataFrame:
    ids = pl.DataFrame(rows, schema=["left_id", "right_id", "outcome"], orient="row")
    full = ids.with_columns(
        weight=pl.lit(20.0), margin=pl.lit(None, pl.Float64), model_sha256=pl.lit("0" * 64)
    )
    return full.select(list(LINKS)).cast(dict(LINKS))


def _imported(told: pl.DataFrame) -> set[tuple[str, str]]:
    return set(told.filter(fate="imported").select("left_id", "right_id").rows())


def _twice(hub: SmallHub) -> set[frozenset[str]]:
    """Return pairs of records of one source that are one person, where the source holds a child once."""
    return {
        frozenset((one, other))
        for group in hub.partition()
        for one in group
        for other in group
        if one < other
        and one.partition(":")[0] == other.partition(":")[0]
        and holds_a_child_once(one.partition(":")[0])
    }


@settings(max_examples=25, deadline=None)
@given(
    space=st.sampled_from(SPACES),
    said=_said,
    pairs=st.lists(_pair, max_size=2),
    rows=st.lists(_row, min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_a_file_of_links_never_joins_what_the_hub_keeps_apart_and_is_known_when_it_comes_again(
    space: str,
    said: list[tuple[str, dict[str, str]]],
    pairs: list[tuple[str, str, str]],
    rows: list[tuple[str | None, str | None, str]],
    order: object,
) -> None:
    with tempfile.TemporaryDirectory() as folder, SmallHub(Path(folder)) as hub:
        for number, child in zip(STUDENTS, (ANA, BEN, CLEO), strict=True):
            hub.say(f"student:{number}", child)
        for name, child in said:
            hub.say(f"{space}:{name}", child)
        hub.link()
        for left, right, outcome in pairs:
            if f"{space}:{right}" in hub.ids():
                hub.decide(f"student:{left}", f"{space}:{right}", outcome)
        before, twice, links = hub.partition(), _twice(hub), _links(rows)
        told = fates(hub.store, hub.vault.seals, links, space)
        assert told["fate"].is_in(list(FATES)).all()
        assert told.select(list(LINKS)).equals(links)
        turned = list(rows)
        order.shuffle(turned)  # type: ignore[attr-defined]
        assert _imported(fates(hub.store, hub.vault.seals, _links(turned), space)) == _imported(told)
        feed, _, namespace = space.partition("/")
        with hub.store.transaction():
            assert take(hub.vault, hub.vault.namespace(feed, namespace), told, BY) == len(_imported(told))
        hub.link()
        keys = hub.keys()
        assert all(keys[f"student:{left}"] == keys[f"{space}:{right}"] for left, right in _imported(told))
        assert _twice(hub) <= twice  # neither two students nor two of the partner's children became one
        again = fates(hub.store, hub.vault.seals, links, space)
        assert _imported(again) == set()
        if not _imported(told):
            assert hub.partition() == before
        decisions = hub.store.frame(
            "SELECT decision_id FROM decision WHERE kind = 'import' ORDER BY decided_at, 1"
        )
        for decision in decisions["decision_id"]:
            hub.undo(decision)
        known = {record for group in before for record in group}
        assert {group & known for group in hub.partition()} - {frozenset()} == before


def test_a_source_that_holds_a_child_once_gives_a_child_one_record_and_another_several(
    tmp_path: Path,
) -> None:
    for space, fate in (("codes/client", "imported"), ("clinic/patient", "two_for_one")):
        with SmallHub(tmp_path / space) as hub:
            hub.say("student:1", ANA)
            hub.link()
            feed, _, namespace = space.partition("/")
            for name, expected in (("a", "imported"), ("b", fate)):
                told = fates(hub.store, hub.vault.seals, _links([("1", name, "link")]), space)
                assert told["fate"].to_list() == [expected]
                take(hub.vault, hub.vault.namespace(feed, namespace), told, BY)
                hub.link()
