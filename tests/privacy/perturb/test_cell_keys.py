"""Perturbation tables keep what they promise; the same persons get the same noise wherever they are counted."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from wellbridge.privacy.noise.cellkey import COUNT, keyed_counts, keyed_records, perturbed
from wellbridge.privacy.noise.programme import new_programme, read_programme, write_programme
from wellbridge.privacy.noise.ptable import KEY_BITS, feasible_variance, perturbation_table
from wellbridge.privacy.tables.protection import Dimension
from wellbridge.schemas.errors import ConfigurationError, PrivacyError, SafeError, StoreError

BY = [Dimension.read("school<district"), Dimension.read("grade"), Dimension.read("race")]


def persons(size: int = 4_000) -> pl.DataFrame:
    chance = np.random.default_rng(7)
    school = chance.integers(0, 12, size)
    return pl.DataFrame({
        "id": np.arange(size).astype(str), "school": school.astype(str), "district": (school % 3).astype(str),
        "grade": chance.integers(0, 5, size).astype(str),
        "race": chance.choice(list("ABCDE"), size, p=[0.6, 0.3, 0.07, 0.02, 0.01]),
    })


@st.composite
def noises(draw: st.DrawFn) -> tuple[int, float, int]:
    max_noise = draw(st.integers(1, 40))
    hidden_to = draw(st.integers(0, max(0, min(9, max_noise - 1))))
    least, greatest = feasible_variance(max_noise, hidden_to)
    if least > greatest:
        hidden_to, least = 0, 0.0
    share = draw(st.sampled_from([0.0, 0.02, 0.3, 0.5, 0.9, 1.0]))
    return max_noise, max(least + share * (greatest - least), 0.05), hidden_to


@settings(max_examples=60, deadline=None)
@given(noises())
def test_every_row_is_unbiased_with_exactly_the_variance_and_shows_nothing_forbidden(
    wanted: tuple[int, float, int],
) -> None:
    assert perturbation_table(*wanted).problems() == []


@pytest.mark.parametrize("wanted", [(2, 1.0, 0), (5, 3.0, 2), (4, 2.5, 1)])
def test_rows_have_the_greatest_entropy_of_an_independent_optimiser(wanted: tuple[int, float, int]) -> None:
    made = perturbation_table(*wanted)
    for count in range(1, len(made.rows)):
        after = count + made.noises
        allowed = made.noises[(after == 0) | (after > wanted[2])].astype(float)
        conditions = [
            {"type": "eq", "fun": lambda p, facts=facts, aim=aim: facts @ p - aim}
            for facts, aim in ((np.ones_like(allowed), 1), (allowed, 0), (allowed**2, wanted[1]))
        ]
        start = np.full(len(allowed), 1 / len(allowed))
        found = minimize(lambda p: p @ np.log(np.maximum(p, 1e-300)), start, bounds=[(1e-12, 1)] * len(allowed),
                         constraints=conditions, method="SLSQP", options={"maxiter": 500, "ftol": 1e-13})
        row = made.rows[count][made.rows[count] > 0]
        assert -row @ np.log(row) >= -found.fun - 1e-6


@pytest.mark.parametrize("wanted", [(2, 3.0, 0), (5, 1.0, 2), (3, 0.0, 0), (0, 1.0, 0), (5, 3.0, 5), (9, 3.0, 5)])
def test_noise_that_cannot_be_is_refused_and_never_weaker(wanted: tuple[int, float, int]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        perturbation_table(*wanted)
    assert refused.value.code == "WB-E-011"


def test_keys_over_their_whole_range_give_each_noise_its_share() -> None:
    made = perturbation_table(5, 3.0, 2)
    step = 1 << 14
    keys = np.arange(0, 1 << KEY_BITS, step, dtype=np.int64)
    for count in range(len(made.rows) + 2):
        noise = made.noise(np.full(len(keys), count), keys)
        share = np.bincount(noise + 5, minlength=11) / len(keys)
        assert np.abs(share - made.rows[min(count, len(made.rows) - 1)]).max() <= 2 * step / (1 << KEY_BITS)


def test_the_same_persons_get_the_same_noise_in_every_table_of_a_programme() -> None:
    people, programme = persons(), new_programme(5, 3.0, 2)
    one = perturbed(keyed_records(people, programme, by=BY, person="id"), programme, by=BY)
    swapped = [Dimension.read("race"), Dimension.read("school<district")]
    two = perturbed(keyed_records(people.sample(fraction=1, shuffle=True, seed=1), programme, by=swapped, person="id"),
                    programme, by=swapped)
    names = ["school", "district", "race"]
    both = one.filter(pl.col("grade") == "all").join(two, on=names, how="full", suffix="_two")
    assert both.height > 80
    assert both.filter(pl.col(COUNT).eq_missing(pl.col("n_two"))).height == both.height


def test_margins_hold_what_was_promised_of_counts() -> None:
    people, programme = persons(), new_programme(5, 3.0, 2)
    cells = keyed_records(people, programme, by=BY, person="id")
    shown = perturbed(cells, programme, by=BY)
    names = ["school", "district", "grade", "race"]
    truth = pl.concat([
        people.with_columns(pl.lit("all").alias(name) for name in closed).group_by(names).len()
        for closed in [(*place, *grade, *race) for place in ((), ("school",), ("school", "district"))
                       for grade in ((), ("grade",)) for race in ((), ("race",))]
    ])
    both = truth.join(shown, on=names, how="left").with_columns(pl.col(COUNT).fill_null(0))
    noise = (both[COUNT] - both["len"]).to_numpy()
    assert shown.join(truth, on=names, how="anti").height == 0  # nobody stays nobody
    assert shown[COUNT].min() > 2
    assert np.abs(noise).max() <= 5
    # Overlapping margins share keys, so this is no sum of independent draws; six deviations are generous.
    assert abs(noise.mean()) < 6 * np.sqrt(3.0 / len(noise))
    assert 0.7 < noise.var() / 3.0 < 1.3


def test_another_programme_gives_other_noise() -> None:
    people = persons()
    first, second = (
        perturbed(keyed_records(people, programme, by=BY, person="id"), programme, by=BY)
        for programme in (new_programme(5, 3.0, 2), new_programme(5, 3.0, 2))
    )
    both = first.join(second, on=["school", "district", "grade", "race"])
    assert (both[COUNT] != both["n_right"]).mean() > 0.5


def test_a_table_without_records_has_the_noise_of_its_cells_whatever_the_order() -> None:
    programme = new_programme(5, 3.0, 2)
    by = BY[1:]
    table = persons().group_by("grade", "race").len("freq")
    one = perturbed(keyed_counts(table, programme, by=by, count="freq"), programme, by=by)
    two = perturbed(keyed_counts(table.reverse(), programme, by=by[::-1], count="freq"), programme, by=by[::-1])
    assert one.sort("grade", "race").equals(two.select("grade", "race", COUNT).sort("grade", "race"))


def test_persons_counted_twice_or_without_a_name_are_refused() -> None:
    programme = new_programme(5, 3.0, 2)
    twice = pl.DataFrame({"id": ["a", "a"], "grade": ["1", "2"]})
    nameless = pl.DataFrame({"id": ["a", None], "grade": ["1", "2"]})
    called = pl.DataFrame({"id": ["a", "b"], "grade": ["1", "all"]})
    by = [Dimension.read("grade")]
    for frame, code in ((twice, "WB-E-046"), (nameless, "WB-E-015"), (called, "WB-E-046")):
        with pytest.raises(SafeError) as refused:
            perturbed(keyed_records(frame, programme, by=by, person="id"), programme, by=by)
        assert refused.value.code == code


def test_a_programme_is_private_and_its_changes_show(tmp_path: Path) -> None:
    programme, path = new_programme(5, 3.0, 2), tmp_path / "programme.json"
    write_programme(programme, path)
    assert path.stat().st_mode & 0o077 == 0
    again = read_programme(path)
    assert again.secret == programme.secret
    assert np.array_equal(again.table.rows, programme.table.rows)
    assert programme.secret.hex() not in repr(programme)
    with pytest.raises(ConfigurationError):
        write_programme(programme, path)
    facts = json.loads(path.read_text())
    facts["rows"][3][2] += 0.01
    path.write_text(json.dumps(facts))
    with pytest.raises(StoreError) as changed:
        read_programme(path)
    assert changed.value.code == "WB-E-052"
    path.chmod(0o644)
    with pytest.raises(StoreError) as open_to_all:
        read_programme(path)
    assert open_to_all.value.code == "WB-E-051"


def test_noise_depends_on_count_and_key_alone_and_key_order_is_noise_order() -> None:
    made = perturbation_table(3, 1.5, 0)
    keys = np.linspace(0, (1 << KEY_BITS) - 1, 1_000).astype(np.int64)
    noise = made.noise(np.full(len(keys), 50), keys)
    assert all(a <= b for a, b in pairwise(noise.tolist()))


def test_bad_programmes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    for text in ("", "[]", "{}", '{"format": "x"}', "nonsense"):
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises((StoreError, PrivacyError)):
            read_programme(path)


@pytest.mark.slow
def test_a_million_persons_in_all_margins_take_seconds() -> None:
    chance, size = np.random.default_rng(1), 1_000_000
    school = chance.integers(0, 1_500, size)
    people = pl.DataFrame({
        "id": np.arange(size), "school": school, "district": school % 200, "grade": chance.integers(0, 13, size),
        "race": chance.choice(7, size, p=[0.5, 0.25, 0.1, 0.06, 0.05, 0.03, 0.01]), "sex": chance.integers(0, 2, size),
    })
    by = [*BY, Dimension.read("sex")]
    programme = new_programme(5, 3.0, 2)
    started = time.process_time()
    found = perturbed(keyed_records(people, programme, by=by, person="id"), programme, by=by)
    cpu_s = time.process_time() - started
    print(f"cells {found.height}, cpu_s {cpu_s:.2f}")
    assert found.height > 300_000
    assert cpu_s < 6
