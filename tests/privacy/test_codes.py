from __future__ import annotations

import re

import polars as pl

from wellbridge.privacy.codes import MemoryCrosswalk, draw, replace_keys

KEYS = pl.Series("person_key", [f"{n:032x}" for n in range(2000)])


def coded(agreement: str, crosswalk: MemoryCrosswalk) -> pl.DataFrame:
    return replace_keys(pl.DataFrame({"person_key": KEYS, "place": range(2000)}), crosswalk, agreement)


def test_two_agreements_share_no_code():
    crosswalk = MemoryCrosswalk()
    one, two = coded("a", crosswalk), coded("b", crosswalk)
    assert one["code"].n_unique() == two["code"].n_unique() == 2000
    assert not set(one["code"]) & set(two["code"])


def test_an_agreement_keeps_its_codes():
    crosswalk = MemoryCrosswalk()
    first = coded("a", crosswalk)
    more = pl.concat([KEYS, pl.Series("person_key", ["new"])])
    again = crosswalk.codes("a", more)
    assert again.height == 2001
    assert set(first["code"]) < set(again["code"])
    assert coded("a", crosswalk).equals(first)


def test_codes_are_random_and_never_derived_from_the_key():
    assert all(re.fullmatch(r"[0-9a-f]{32}", code) for code in draw(KEYS)["code"])
    assert not set(draw(KEYS)["code"]) & set(draw(KEYS)["code"])


def test_rows_follow_the_codes_and_not_the_warehouse():
    frame = coded("a", MemoryCrosswalk())
    assert frame.columns == ["code", "place"]
    assert frame["code"].is_sorted()
    rank = frame.with_row_index("row").select(pl.corr("row", "place", method="spearman")).item()
    assert abs(rank) < 0.15  # 2,000 rows: six standard errors are 0.13


def test_rows_without_a_person_are_left_out():
    frame = pl.DataFrame({"person_key": ["a", None, "b", "a"], "n": [1, 2, 3, 4]})
    out = replace_keys(frame, MemoryCrosswalk(), "x")
    assert sorted(out["n"]) == [1, 3, 4]
    assert out["code"].n_unique() == 2
