"""What a state's practice asks of published tables: extracts and the lead's page obey it, the strictest wins."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.district_memory import AS_OF, SIGNER
from privacy.rules.conftest import NOW
from privacy.rules.rule_data import released_rows
from wellbridge.etl.store import Store
from wellbridge.pipelines.extract_definitions import ExtractDefinition, load_definition
from wellbridge.pipelines.extracts import Release, build, verify_release
from wellbridge.pipelines.measures.measure import Kind
from wellbridge.pipelines.measures.registry import MEASURES
from wellbridge.pipelines.report import build_report, render_site_report
from wellbridge.privacy.agreements import Agreement
from wellbridge.privacy.codes import MemoryCrosswalk
from wellbridge.privacy.rules.book import Book, builtin
from wellbridge.privacy.rules.local import tightened
from wellbridge.privacy.rules.practice import practice
from wellbridge.privacy.rules.states import all_bands, profiles
from wellbridge.privacy.tables.published_shares import protect_measures
from wellbridge.schemas.errors import ConfigurationError, PrivacyError

RANGES = sorted(all_bands())


@pytest.fixture(scope="module")
def tables(folder: Path) -> ExtractDefinition:
    return load_definition(folder / "extracts" / "district-outcomes.toml")


def released(tables: ExtractDefinition, agreement: Agreement, store: Store, out: Path, book: Book) -> Release:
    return build(tables, agreement, store, MemoryCrosswalk(), out, NOW, as_of=AS_OF, rules=book, signer=SIGNER)


def asked(text: str) -> Book:
    return tightened(builtin(), text)


# -- ranges -----------------------------------------------------------------------------------------------------------


@given(name=st.sampled_from(RANGES), size=st.integers(1, 900), part=st.integers(0, 900))
def test_n02_the_range_of_a_share_holds_it(name: str, size: int, part: int) -> None:
    numerator = min(part, size)
    found = all_bands()[name].range_of(numerator, size)
    if found is None:
        assert all_bands()[name].blur(size, 50) is None
        return
    low, high = found
    share = 100 * numerator / size
    is_end = low == 0 or high == 100
    # "at most" and "at least" are true of the share; between the ends it counts in whole percents
    assert (low <= share and (share <= high or (low, high) == (0, 49))) if is_end else low - 1 < share < high + 1


@given(size=st.integers(10, 900), part=st.integers(0, 900), names=st.sets(st.sampled_from(RANGES), min_size=1))
def test_n02_of_several_lists_the_widest_range_is_published(size: int, part: int, names: set[str]) -> None:
    style = practice(asked(f"[tighten.N-02]\nbands = {sorted(names)}"))
    numerator = min(part, size)
    found = style.range_of(numerator, size)
    each = [all_bands()[name].range_of(numerator, size) for name in sorted(names)]
    if found is None:
        assert None in each
        return
    assert all(one is not None and found[0] <= one[0] and one[1] <= found[1] for one in each)


def test_n02_ranges_that_there_are_not_are_refused_and_those_of_the_state_stay() -> None:
    with pytest.raises(ConfigurationError) as caught:
        asked('[tighten.N-02]\nbands = ["mine"]')
    assert (caught.value.code, "mine" in caught.value.render()) == ("WB-E-070", False)
    both = practice(asked('profile = "DE"\n[tighten.N-02]\nbands = ["ends-5", "nces-2011-603"]'))
    assert [bands.name for bands in both.bands] == ["ends-5", "nces-2011-603"]
    with pytest.raises(PrivacyError) as looser:
        asked('profile = "UT"\n[tighten.N-02]\nbands = []')
    assert looser.value.code == "WB-E-044"


@pytest.mark.parametrize("state", sorted(profiles()))
def test_n02_a_release_is_in_the_ranges_of_the_site_s_state_and_verifies(
    tables: ExtractDefinition, agreement: Agreement, district: Store, tmp_path: Path, state: str
) -> None:
    book = asked(f'profile = "{state}"')
    style = practice(book)
    release = released(replace(tables, counts=()), agreement, district, tmp_path, book)
    assert verify_release(release.path) == []
    facts = json.loads((release.path / "manifest.json").read_text(encoding="utf-8"))
    assert facts["min_cell"] >= profiles()[state].min_n_report
    true = {
        (row["measure_id"], row["period"], row["dimension"], row["member"]): row
        for row in district.frame("SELECT * FROM measure_value").iter_rows(named=True)
    }
    looked = 0
    for row in released_rows(release.path / "measures.csv"):
        if MEASURES[row["measure_id"]].kind is Kind.MEAN:
            continue
        assert not (style.has_ranges and row["value"])  # a share is a range or nothing
        assert not (style.percent_only and row["denominator"])
        fact = true[row["measure_id"], row["period"], row["dimension"], row["member"]]
        found = style.range_of(int(fact["numerator"]), int(fact["denominator"])) if style.has_ranges else None
        if found and (row["at_most"] or row["at_least"]):
            looked += 1
            # as coarse as the state asks, or coarser
            assert float(row["at_least"] or 0) * 100 <= found[0] + 1e-9
            assert found[1] <= float(row["at_most"] or 1) * 100 + 1e-9
    assert looked > 0 or not style.has_ranges


def test_n02_what_is_coded_already_is_coarsened_to_the_wider_end_and_never_back() -> None:
    rows = [("m", "2026-27", "school", name, float(hits), float(size), size)
            for name, hits, size in (("A", 4, 100), ("B", 300, 600), ("C", 396, 400))]
    rows.append(("m", "2026-27", "all", "all", 700.0, 1100.0, 1100))
    frame = pl.DataFrame(rows, orient="row", schema=["measure_id", "period", "dimension", "member", "numerator",
                                                     "denominator", "persons"])
    plain = {row["member"]: row for row in protect_measures(frame).table.iter_rows(named=True)}
    ranged = {row["member"]: row for row in protect_measures(
        frame, asked=practice(asked('[tighten.N-02]\nbands = ["nces-2011-603"]'))).table.iter_rows(named=True)}
    assert (plain["A"]["at_most"], ranged["A"]["at_most"]) == (0.1, 0.1)  # the brief's 2 % would show a small count
    assert (plain["B"]["value"], ranged["B"]["at_least"], ranged["B"]["at_most"]) == (0.5, 0.5, 0.5)
    wide = protect_measures(frame, asked=practice(asked('[tighten.N-02]\nbands = ["edfacts"]'))).table
    assert set(wide["shown"]) <= {"coded", "hidden"}


# -- percentages alone, zeros, symbol -------------------------------------------------------------------------------


def test_n03_where_percentages_stand_alone_no_denominator_is_released_and_a_forged_one_is_found(
    tables: ExtractDefinition, agreement: Agreement, district: Store, tmp_path: Path
) -> None:
    book = asked("[tighten.N-03]\npercent_only = true")
    release = released(replace(tables, counts=()), agreement, district, tmp_path, book)
    found = released_rows(release.path / "measures.csv")
    assert {row["denominator"] for row in found} == {""}
    assert [row for row in found if row["shown"] == "exact"]
    assert verify_release(release.path) == []
    found[0]["denominator"] = "80"
    with (release.path / "measures.csv").open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    assert verify_release(release.path)


def test_n05_a_count_of_nobody_is_hidden_where_the_state_hides_it(
    tables: ExtractDefinition, agreement: Agreement, district: Store, tmp_path: Path
) -> None:
    plain = released(tables, agreement, district, tmp_path / "plain", builtin())
    assert [row for row in released_rows(plain.path / "students.csv") if row["n"] == "0"]
    hidden = released(tables, agreement, district, tmp_path / "hidden", asked("[tighten.N-05]\nhide_zeros = true"))
    found = released_rows(hidden.path / "students.csv")
    assert not [row for row in found if row["n"] == "0"]
    assert [row for row in found if row["n"]]
    assert verify_release(hidden.path) == []


def test_n05_what_a_state_s_source_does_not_say_of_zeros_is_taken_for_the_strictest() -> None:
    for name, state in profiles().items():
        assert practice(asked(f'profile = "{name}"')).hide_zeros is (state.zero_rule != "shown")
    assert not practice(builtin()).hide_zeros


def test_the_page_shows_ranges_no_counts_and_the_state_s_symbol(district: Store) -> None:
    plain = render_site_report(build_report(district, district="D", as_of=AS_OF))
    style = practice(asked('profile = "UT"\n[tighten.N-02]\nbands = ["edfacts", "nces-2011-603"]'))
    page = render_site_report(build_report(district, district="D", as_of=AS_OF, asked=style))
    assert "≥" not in plain
    assert "–19 %" in page or "–29 %" in page or "≤" in page or "≥" in page
    assert "N&lt;10" not in page  # it would be untrue of what is hidden for others' sake
    assert '<td class="out"></td>' in page
    assert "Shares are given as ranges. The counts behind them are left out." in page
    marked = render_site_report(
        build_report(district, district="D", as_of=AS_OF, asked=practice(asked('profile = "DC"')))
    )
    assert '<td class="hidden">DS</td>' in marked
    assert "A hidden number reads DS." in marked
