"""Our k, l and t are pycanon's, to the last digit that it prints.

The numbers below are what pycanon 1.3.6 printed (bench/pycanon_numbers.py); `make pycanon` installs it into an
environment of its own, and the slow test then asks it again.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import polars as pl
import pytest

from anonymity_file import rows
from wellbridge.privacy.records.anonymize import anonymize
from wellbridge.privacy.records.assess import assess
from wellbridge.privacy.records.criteria import Sensitive
from wellbridge.privacy.records.hierarchy import read_hierarchy
from wellbridge.privacy.records.spread import Distance

REPO = Path(__file__).parents[3]
ADULT = REPO / "../shared/data/privacy/adult"
PYCANON = REPO / ".venv-pycanon/bin/python"
EQUAL, ORDERED = Distance.EQUAL, Distance.ORDERED

# quasi-identifiers, sensitive attribute, distance, k, l, entropy l (rounded down), t
ON_ADULT = [
    ("sex,age,race", "salary-class", EQUAL, 1, 1, 1, 0.7510775147536636),
    ("sex,age,race", "occupation", EQUAL, 1, 1, 1, 0.9952589350838804),
    ("sex,race,marital-status", "salary-class", EQUAL, 1, 1, 1, 0.7510775147536636),
    ("sex,race,marital-status", "occupation", EQUAL, 1, 1, 1, 0.8766328492805519),
    ("sex,race,marital-status", "age", ORDERED, 1, 1, 1, 0.43808224321060635),
    ("education,workclass", "salary-class", EQUAL, 1, 1, 1, 0.7131028312093598),
    ("education,workclass", "occupation", EQUAL, 1, 1, 1, 0.9672103971885154),
    ("education,workclass", "age", ORDERED, 1, 1, 1, 0.5998000468829823),
    ("sex,age,education,race,native-country", "occupation", EQUAL, 1, 1, 1, 0.9997016112989857),
]
ON_SYNTHETIC = [
    ("race,sex", "score", ORDERED, 94, 12, 9, 0.018746421319796966),
    ("race,sex", "service", EQUAL, 94, 3, 2, 0.06341363636363632),
    ("grade,race,sex", "score", ORDERED, 4, 3, 2, 0.13332833333333333),
    ("grade,race,sex", "service", EQUAL, 4, 1, 1, 0.5676),
]
RELEASED = "sex,age,race,marital-status,education,native-country,workclass"
ON_RELEASED = [
    (RELEASED, "salary-class", EQUAL, 5, 2, 1, 0.46124426813821273),
    (RELEASED, "occupation", EQUAL, 5, 4, 2, 0.5969826104886933),
]
Case = tuple[str, str, Distance, int, int, int, float]


def adult() -> pl.DataFrame:
    if not ADULT.exists():
        pytest.skip("the Adult file is not beside the repository")
    return pl.read_csv(ADULT / "adult.csv", separator=";", infer_schema=False)


def released() -> pl.DataFrame:
    """Adult, 5-anonymous, 2-diverse and 0.6-close in two attributes: the search itself is under test here."""
    frame = adult()
    quasi = {name: read_hierarchy(ADULT / f"adult_hierarchy_{name}.csv") for name in RELEASED.split(",")}
    rules = [Sensitive(name, distinct=2, t=0.6) for name in ("occupation", "salary-class")]
    return anonymize(frame, quasi=quasi, per_person=None, k=5, max_suppressed=0.04, sensitive=rules, least_k=2).table


def compare(frame: pl.DataFrame, case: Case) -> None:
    quasi, sensitive, distance, k, distinct, entropy, t = case
    found = assess(frame, quasi=quasi.split(","), per_person=None, sensitive=[Sensitive(sensitive, distance=distance)])
    one = found.sensitive[0]
    assert (found.k, one.distinct_l, int(one.entropy_l + 1e-9)) == (k, distinct, entropy)
    assert one.t == pytest.approx(t, abs=1e-12)


@pytest.mark.parametrize("case", ON_ADULT, ids=lambda case: f"{case[0]}-{case[1]}")
def test_k_l_and_t_of_adult_are_pycanons(case: Case) -> None:
    compare(adult(), case)


@pytest.mark.parametrize("case", ON_SYNTHETIC, ids=lambda case: f"{case[0]}-{case[1]}")
def test_k_l_and_t_of_a_synthetic_file_are_pycanons(case: Case) -> None:
    compare(rows(20_000, 20261126), case)


def test_k_l_and_t_of_a_release_are_pycanons_and_keep_what_was_asked() -> None:
    frame = released()
    for case in ON_RELEASED:
        compare(frame, case)


@pytest.mark.slow
@pytest.mark.parametrize("case", ON_ADULT[::2], ids=lambda case: f"{case[0]}-{case[1]}")
def test_pycanon_still_says_so(case: Case) -> None:
    if not PYCANON.exists():
        pytest.skip("make pycanon")
    command = [PYCANON, REPO / "bench/pycanon_numbers.py", ADULT / "adult.csv", "--delimiter", ";", "--qi", case[0],
               "--sensitive", case[1]]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert (said["k"], said["l"], said["entropy_l"]) == case[3:6]
    assert said["t"] == pytest.approx(case[6], abs=1e-12)
