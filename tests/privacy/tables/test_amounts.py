"""Protected tables of amounts: no total is known too well, by outsiders or by who is alone in a hidden cell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from privacy.tables.independent_judge import read_completions, written
from wellbridge.privacy.tables.amounts import ProtectedAmounts, protect_amounts
from wellbridge.privacy.tables.amounts_certificate import (
    public_certificate,
    sealed_certificate,
    write_amounts,
)
from wellbridge.privacy.tables.amounts_verifier import verify
from wellbridge.privacy.tables.contributors import known_cells
from wellbridge.privacy.tables.primary import MagnitudeRules
from wellbridge.privacy.tables.protection import Dimension
from wellbridge.schemas.errors import PrivacyError

BY = [Dimension.read("school<district"), Dimension.read("service")]
RULES = MagnitudeRules(least=3)


def services(seed: int, count: int = 90) -> pl.DataFrame:
    """Minutes of services, of which some schools have few."""
    chance = np.random.default_rng(seed)
    school = chance.integers(0, 6, count)
    return pl.DataFrame({
        "school": school, "district": school // 2, "service": chance.integers(0, 5, count),
        "who": chance.integers(0, count // 2, count), "minutes": np.round(chance.lognormal(3, 1.2, count)),
    })


def protected(seed: int, count: int = 90, rules: MagnitudeRules = RULES) -> ProtectedAmounts | None:
    try:
        return protect_amounts(services(seed, count), by=BY, value="minutes", contributor="who", rules=rules)
    except PrivacyError as refused:
        if refused.code != "WB-E-042":
            raise
        return None


def range_of(found: ProtectedAmounts, cell: int, known: list[int]) -> tuple[float, float]:
    """The least and greatest total of a cell, by a linear program of its own from what is published and ``known``."""
    size, links = len(found.task.values), found.task.links
    sums = np.zeros((links.rows, size))
    np.add.at(sums, (links.row, links.cell), links.sign)
    hidden = found.found.hidden.copy()
    hidden[known] = False
    bounds = [(0, None) if hidden[n] else (value, value) for n, value in enumerate(found.task.values)]
    ends = []
    for sign in (1, -1):
        price = np.zeros(size)
        price[cell] = sign
        solved = linprog(price, A_eq=sums, b_eq=np.zeros(links.rows), bounds=bounds)
        ends.append(np.inf if solved.status == 3 else solved.x[cell])
    return ends[0], ends[1]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 100_000), count=st.integers(40, 140), margin=st.sampled_from([0.0, 0.1, 0.3]))
def test_no_outsider_and_no_single_contributor_narrows_a_total_further_than_the_rules_allow(
    seed: int, count: int, margin: float
) -> None:
    found = protected(seed, count, MagnitudeRules(least=3, largest=1, share=0.8, margin=margin))
    assume(found is not None and found.primary > 0)
    assert found is not None
    task = found.task
    attackers = [[], *(own.tolist() for own in known_cells(found.found.hidden, found.alone))]
    for known in attackers[:4]:
        for cell in np.flatnonzero(task.hidden)[:6].tolist():
            if cell not in known:
                least, greatest = range_of(found, cell, known)
                assert least <= task.values[cell] - task.down[cell] + 1e-6
                assert greatest >= task.values[cell] + task.up[cell] - 1e-6


def test_without_the_second_step_a_single_contributor_could_work_out_another() -> None:
    """The planted case: two persons, each alone in a cell of one line, whose line total is shown."""
    many = [(f"s{place}", "d", service, f"p{place}{service}{n}", 20.0)
            for place in range(4) for service in "abc" for n in range(12)]
    rows = [row for row in many if (row[0], row[2]) not in {("s0", "a"), ("s0", "b")}]
    rows += [("s0", "d", "a", "ann", 300.0), ("s0", "d", "b", "bob", 400.0)]
    frame = pl.DataFrame(rows, schema=["school", "district", "service", "who", "minutes"], orient="row")
    found = protect_amounts(frame, by=BY, value="minutes", contributor="who", rules=RULES)
    # The cells of ann and bob are hidden, with more in their line and in their columns than outsiders would need.
    assert (found.primary, found.attackers) == (2, 2)
    ann, bob = (int(own[0]) for own in known_cells(found.found.hidden, found.alone))
    for known, other in ((ann, bob), (bob, ann)):
        least, greatest = range_of(found, other, [known])
        assert greatest - least > 0.1 * found.task.values[other]


def test_certificates_of_thirty_tables_verify_and_the_public_one_holds_nothing_of_the_truth(tmp_path: Path) -> None:
    looked = 0
    for seed in range(30):
        found = protected(seed)
        if found is None:
            continue
        looked += 1
        folder = tmp_path / str(seed)
        public = write_amounts(found, folder)
        sealed = json.loads(json.dumps(sealed_certificate(found, public)))
        assert verify(folder) == []
        assert verify(folder, sealed) == []
        assert set(public) == {"format", "file", "sha256", "count", "unit", "rules", "axes", "digits",
                               "completions"}
    assert looked > 20


def test_amounts_beside_other_files_or_certified_in_other_words_are_refused(tmp_path: Path) -> None:
    found = next(one for one in map(protected, range(50)) if one is not None)
    public, folder = write_amounts(found, tmp_path / "out"), tmp_path / "out"
    for change in ({"truth": [1]}, {"min_cell": 10}):
        (folder / "certificate.json").write_text(json.dumps({**public, **change}), encoding="utf-8")
        assert verify(folder) == ["certificate.json: says more or less than its format has"]
    (folder / "certificate.json").write_text(json.dumps(public), encoding="utf-8")
    assert verify(folder) == []
    (folder / "truth.csv").write_text("1", encoding="utf-8")
    assert verify(folder) == ["the folder holds other files than a table, its certificate and a signature"]


def test_the_public_certificate_is_the_same_for_another_truth_with_the_same_published_part(tmp_path: Path) -> None:
    found = next(one for one in map(protected, range(50)) if one is not None and one.found.moves.shape[0])
    public = write_amounts(found, tmp_path / "one")
    moved = found.task.values + found.found.moves[0].toarray().ravel()
    other = ProtectedAmounts(**{**vars(found), "task": type(found.task)(**{**vars(found.task), "values": moved})})
    assert (moved != found.task.values).any()
    content = (tmp_path / "one" / "table.csv").read_bytes()
    assert public_certificate(other, content) == public


@pytest.mark.parametrize("change", [
    "truth", "completion", "alone_moved", "fact", "alone", "shown", "rules", "digest", "least",
])
def test_a_changed_certificate_is_refused(tmp_path: Path, change: str) -> None:
    found = next(one for one in map(protected, range(50)) if one is not None and one.attackers)
    public = write_amounts(found, tmp_path / "r")
    sealed: dict[str, Any] = json.loads(json.dumps(sealed_certificate(found, public)))
    table, certificate = tmp_path / "r" / "table.csv", tmp_path / "r" / "certificate.json"
    completions = read_completions(sealed)
    truth = completions[0]
    if change == "truth":
        truth[0] += 1
    elif change == "completion":
        completions[1][0] += 1
    elif change == "alone_moved":  # only completions that change what a contributor knows are left beside the truth
        own = sealed["alone"][0]
        completions[1:] = [one for one in completions[1:] if any(one[place] != truth[place] for place in own)]
    elif change == "fact":
        place = next(n for n, fact in enumerate(sealed["facts"]) if fact[0] > 5 and not found.found.hidden[n])
        sealed["facts"][place] = [1, *sealed["facts"][place][1:]]
    elif change == "alone":
        sealed["alone"] = sealed["alone"][1:]
    elif change == "digest":
        sealed["certificate"] = "0" * 64
    elif change == "shown":
        text = table.read_text(encoding="utf-8")
        table.write_text(text.replace(",\n", ",7\n", 1), encoding="utf-8")
    else:
        facts = json.loads(certificate.read_text(encoding="utf-8"))
        facts["rules"] = {**facts["rules"], "least": 2} if change == "least" else {"least": 3}
        certificate.write_text(json.dumps(facts), encoding="utf-8")
    sealed["completions"] = written(completions, sealed["digits"])
    assert verify(tmp_path / "r", sealed)


def of_cells(found: ProtectedAmounts) -> ProtectedAmounts | None:
    """The same table from its cells alone; None where too many are alone to hide them from each other."""
    cells = found.cells.rename({"total": "minutes"}).drop("alone")
    try:
        return protect_amounts(cells, by=BY, value="minutes", contributor=None, rules=RULES)
    except PrivacyError as refused:
        if refused.code != "WB-E-042":
            raise
        return None


def test_cells_without_names_take_all_who_are_alone_for_one_person() -> None:
    tables = [one for one in map(protected, range(40)) if one is not None and one.attackers > 1]
    looked = [again for again in map(of_cells, tables) if again is not None]
    assert looked
    for again in looked:
        assert again.attackers == 1
        known = known_cells(again.found.hidden, again.alone)[0].tolist()
        for cell in [cell for cell in np.flatnonzero(again.task.hidden).tolist() if cell not in known][:3]:
            least, greatest = range_of(again, cell, known)
            assert least <= again.task.values[cell] - again.task.down[cell] + 1e-6
            assert greatest >= again.task.values[cell] + again.task.up[cell] - 1e-6
