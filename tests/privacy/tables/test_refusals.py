"""No table is refused that could leave, and none is hidden more than its protection uses."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from privacy.tables.independent_optimum import cross, fewest
from wellbridge.privacy.tables.certificate import attacked
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.protection import Dimension, protect
from wellbridge.privacy.tables.suppress import NIGHTLY, QUICK, Effort
from wellbridge.schemas.errors import PrivacyError

COLUMNS = ("school", "district", "race")
BY = (("school", "district"), ("race",))


def sparse(seed: int) -> pl.DataFrame:
    """A table of schools in districts by race, of which many cells are small."""
    draw = np.random.default_rng(seed)
    schools, races = int(draw.integers(2, 6)), int(draw.integers(2, 4))
    size = draw.choice(3, (schools, races), p=[0.25, 0.55, 0.2])
    small, large = draw.integers(1, 10, size.shape), draw.integers(10, 60, size.shape)
    counts = np.where(size == 0, 0, np.where(size == 1, small, large))
    rows = [(f"S{s}", f"D{s % 2}", f"R{r}", int(counts[s, r])) for s in range(schools) for r in range(races)]
    return pl.DataFrame(rows, schema=[*COLUMNS, "n"], orient="row")


@pytest.mark.parametrize("effort", [QUICK, NIGHTLY])
@pytest.mark.parametrize("blank_least", [0, 1])
def test_what_is_refused_cannot_be_protected_and_what_is_hidden_is_used(effort: Effort, blank_least: int) -> None:
    refused = protected = 0
    for seed in range(40):
        rows, need = sparse(seed), Need.STRONG if seed % 2 else Need.WEAK
        try:
            found = protect(rows, by=[Dimension(by) for by in BY], count="n", need=need, effort=effort,
                            blank_least=blank_least)
        except PrivacyError as error:
            if "Nothing but the total" in error.what:
                continue
            refused += 1
            possible = fewest(cross(rows, BY, "n"), 10, is_strong=need is Need.STRONG, blank_least=blank_least)
            assert possible is None, seed
            continue
        seen = attacked(found)
        assert len(seen.given_away) + len(seen.narrowed) == 0, seed
        is_used = np.zeros(len(found.found.hidden), dtype=np.bool_)
        is_used[found.found.moves.indices] = True
        assert not (found.found.hidden & ~is_used).any(), seed
        protected += 1
    print(f"{protected} protected, {refused} refused")
    assert protected > 10
    assert refused > 0 or blank_least == 0
