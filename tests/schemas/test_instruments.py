"""Screeners against their publications, and security labels read the strict way."""

from __future__ import annotations

import polars as pl
import pytest

from wellbridge.schemas import labels
from wellbridge.schemas.instruments import (
    INSTRUMENTS,
    PANEL_CODES,
    TOTAL_CODES,
    band,
    is_in_range,
    is_positive,
)

CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


def scored(instrument: str, score: float, age: int | None = None) -> tuple[str | None, bool | None]:
    frame = pl.DataFrame({"instrument": [instrument], "score": [float(score)]})
    ages = {} if age is None else {"age": age}
    return frame.select(band(**ages).alias("band"), is_positive(**ages).alias("positive")).row(0)


@pytest.mark.parametrize(("score", "name", "positive"), [
    (0, "minimal", False), (4, "minimal", False), (5, "mild", False), (9, "mild", False),
    (10, "moderate", False), (11, "moderate", True), (14, "moderate", True), (15, "moderately_severe", True),
    (19, "moderately_severe", True), (20, "severe", True), (27, "severe", True),
])
@pytest.mark.parametrize("instrument", ["PHQ-9", "PHQ-A"])
def test_phq_totals_fall_into_kroenkes_bands_and_are_positive_from_11_in_adolescents(
    instrument: str, score: float, name: str, positive: bool
) -> None:
    assert scored(instrument, score) == (name, positive)


@pytest.mark.parametrize(("score", "name", "positive"), [
    (4, "minimal", False), (10, "mild", False), (11, "moderate", True), (16, "moderate", True),
    (17, "severe", True),
])
def test_gad7_totals_use_mossmans_adolescent_cut_points(score: float, name: str, positive: bool) -> None:
    assert scored("GAD-7", score) == (name, positive)


def test_adults_are_scored_with_the_adult_cut_points() -> None:
    assert scored("GAD-7", 10, age=30) == ("moderate", True)
    assert scored("PHQ-9", 10, age=30) == ("moderate", True)


def test_an_age_that_no_table_covers_gets_neither_band_nor_verdict() -> None:
    assert scored("PHQ-9", 20, age=6) == (None, None)


def test_phq2_is_positive_from_3() -> None:
    assert [scored("PHQ-2", score)[1] for score in (2, 3)] == [False, True]


def test_an_instrument_without_a_threshold_is_neither_positive_nor_negative() -> None:
    assert scored("DAST-10", 9) == (None, None)


def test_a_score_outside_its_instruments_range_is_impossible() -> None:
    frame = pl.DataFrame({
        "instrument": ["PHQ-9", "PHQ-9", "GAD-7", "GAD-7", "PHQ-9", None, "PHQ-9"],
        "score": [27.0, 28.0, 21.0, 22.0, -1.0, 99.0, None],
    })
    assert frame.select(is_in_range()).to_series().to_list() == [True, False, True, False, False, True, True]


def test_a_panel_code_is_never_a_total_code() -> None:
    assert set(PANEL_CODES).isdisjoint(TOTAL_CODES)
    assert TOTAL_CODES["70274-6"] == "GAD-7"
    assert PANEL_CODES["69737-5"] == "GAD-7"


@pytest.mark.parametrize("name", sorted(INSTRUMENTS))
def test_every_scale_is_ascending_starts_at_the_lowest_score_and_names_its_source(name: str) -> None:
    instrument = INSTRUMENTS[name]
    for scale in instrument.scales:
        starts = [start for start, _ in scale.bands]
        assert starts == sorted(set(starts))
        assert starts[0] == instrument.low
        assert starts[-1] <= instrument.high
        assert scale.source
        assert scale.min_age <= scale.max_age


@pytest.mark.parametrize("name", [name for name, one in INSTRUMENTS.items() if one.items])
def test_items_at_their_highest_add_up_to_the_highest_total(name: str) -> None:
    instrument = INSTRUMENTS[name]
    assert instrument.total(dict.fromkeys(instrument.items, instrument.item_high)) == instrument.high


def test_a_total_is_not_worked_out_from_missing_or_impossible_answers() -> None:
    gad = INSTRUMENTS["GAD-7"]
    whole = dict.fromkeys(gad.items, 1)
    assert gad.total(whole) == 7
    assert gad.total(dict(list(whole.items())[1:])) is None
    assert gad.total({**whole, gad.items[0]: 4}) is None


def test_item_nine_is_the_safety_item_of_the_phq() -> None:
    phq = INSTRUMENTS["PHQ-9"]
    assert phq.is_unsafe({"44260-8": 1}) is True
    assert phq.is_unsafe({"44260-8": 0, "44250-9": 3}) is False
    assert phq.is_unsafe({"44250-9": 3}) is None


@pytest.mark.parametrize(
    "code", ["42CFRPart2", "42cfrpart2", " 42CFRPart2CD ", "SUD", "ETH", "ETHUD", "OPIOIDUD"])
def test_a_substance_use_label_makes_a_record_part_2_whatever_its_system(code: str) -> None:
    assert labels.is_part2([("http://anywhere.example/labels", code)])


def test_a_label_that_is_not_known_is_treated_as_the_strictest_regime() -> None:
    assert labels.is_part2([(ACT, "BRANDNEW")])
    assert labels.is_part2([(CONFIDENTIALITY, "V")])
    assert labels.is_part2([("http://local.example", "N")])


def test_ordinary_labels_of_their_own_systems_restrict_nothing() -> None:
    assert not labels.is_part2([(CONFIDENTIALITY, "R"), (ACT, "MH"), (ACT, "PSY")])
    assert not labels.is_part2([])


def test_psychotherapy_notes_and_hiv_are_never_kept() -> None:
    assert labels.is_never_kept([(ACT, "PSYTHPN")])
    assert labels.is_never_kept([(ACT, "hiv")])
    assert not labels.is_never_kept([(ACT, "MH")])


def test_only_a_permit_for_the_law_or_for_substance_use_as_a_whole_permits_part_2() -> None:
    assert labels.permits_part2([(ACT, "42CFRPart2")])
    assert labels.permits_part2([(ACT, "SUD")])
    assert not labels.permits_part2([(ACT, "OPIOIDUD")])
    assert labels.covers_part2([(ACT, "OPIOIDUD")])
