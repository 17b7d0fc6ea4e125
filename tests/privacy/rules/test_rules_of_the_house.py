"""What may be done at all: the default, the warehouse, and that contracts come out as they always did."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from privacy.rules.rule_data import P, column, contract, in_record, in_warehouse, rows
from wellbridge.pipelines.policy.coverage import contracts
from wellbridge.privacy import policy
from wellbridge.privacy.policy import check_contract, decisions, deidentify, warehouse_classes
from wellbridge.privacy.rules import book as book_module
from wellbridge.privacy.rules.apply import treated
from wellbridge.privacy.rules.book import ColumnFacts, builtin
from wellbridge.privacy.rules.decide import decide
from wellbridge.privacy.rules.local import tightened
from wellbridge.privacy.rules.rule import Purpose
from wellbridge.privacy.rules.strictness import Treatment
from wellbridge.schemas.classes import PrivacyClass, Regime
from wellbridge.schemas.contract import Column, Contract
from wellbridge.schemas.errors import ConfigurationError, PrivacyError

KEPT = {P.KEY, P.QUASI, P.SENSITIVE, P.PLAIN}
SAMPLES: dict[Any, list[Any]] = {
    pl.String: ["94501", "a", "03601", None], pl.Int64: [1, 2, 3, None], pl.Float64: [0.5, 1.0, 2.0, None],
    pl.Boolean: [True, False, True, None], pl.Datetime: [None] * 4,
    pl.Date: [date(2010, 6, 30), date(2026, 7, 1), date(1999, 12, 31), None],
}


def before(one: Column) -> str | None:
    """What the warehouse kept of a column before there was a rule book: its name there, or nothing."""
    if one.ids is not None:
        return None
    if one.generalise is not None:
        return one.generalise
    return one.name if one.privacy in KEPT else None


@pytest.mark.parametrize("made", contracts().values(), ids=contracts())
def test_every_column_of_every_contract_comes_out_as_before(made: Contract) -> None:
    frame = pl.DataFrame({
        one.name: pl.Series(SAMPLES[type(one.dtype) if not isinstance(one.dtype, type) else one.dtype], dtype=one.dtype)
        for one in made.columns.values()
    })
    found = deidentify(frame.with_columns(pl.lit("k").alias("subject_key"), pl.lit("?").alias("stranger")), made)
    expected = [name for one in made.columns.values() if (name := before(one)) is not None]
    assert found.columns == [*expected, "subject_key"]
    for one in made.columns.values():
        if before(one) == one.name:
            assert found[one.name].equals(frame[one.name])
        if one.generalise == "birth_year":
            assert found["birth_year"].to_list() == [2010, 2026, 1999, None]
        if one.generalise == "zip3":
            assert found["zip3"].to_list() == ["945", "000", "000", None]


def test_a_contract_is_decided_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = contract(column("grade", P.QUASI))
    frame = rows(made, grade=["05"])
    deidentify(frame, made)

    def decided(*_arguments: object) -> None:
        raise AssertionError("decided again")

    monkeypatch.setattr(policy, "decide", decided)
    assert deidentify(frame, made).columns == ["grade"]


def test_the_book_is_read_once_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    builtin()
    monkeypatch.setattr(book_module, "read_book", lambda *_: pytest.fail("read again"))
    assert builtin().rules


# -- D-01 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("purpose", "treatment"), [
    (Purpose.WAREHOUSE, Treatment.DROP), (Purpose.RECORD, Treatment.REFUSE), (Purpose.AGGREGATE, Treatment.REFUSE),
])
def test_d01_a_column_without_a_class_is_taken_out_and_refuses_a_release(
    purpose: Purpose, treatment: Treatment
) -> None:
    decision = decide(builtin(), ColumnFacts("x", None), (Regime.FERPA,), purpose)
    assert (decision.treatment, decision.is_default) == (treatment, True)
    assert decision.citations


def test_d01_what_no_rule_lets_stay_is_refused_on_rows() -> None:
    made = contract(column("grade", P.QUASI))
    facts = {"grade": decide(builtin(), ColumnFacts("grade", None), (), Purpose.RECORD)}
    with pytest.raises(PrivacyError) as caught:
        treated(rows(made, grade=["Zyxcanary"]), facts)
    assert (caught.value.code, "D-01" in caught.value.where) == ("WB-E-074", True)
    assert "Zyxcanary" not in caught.value.render()


def test_d01_a_column_that_nobody_decided_about_is_left_out() -> None:
    assert treated(pl.DataFrame({"stranger": ["x"]}), {}).columns == []


# -- W-01 to W-07 ------------------------------------------------------------------------------------------


def test_w01_four_classes_may_stand_in_the_warehouse() -> None:
    assert warehouse_classes() == KEPT
    for privacy in PrivacyClass:
        made = contract(column("fact", privacy))
        assert in_warehouse(made, rows(made, fact=["x"])).columns == (["fact"] if privacy in KEPT else [])


@pytest.mark.parametrize("regime", Regime)
def test_w02_of_a_birth_date_the_year_stays_under_every_law(regime: Regime) -> None:
    made = contract(column("dob", P.QUASI, date), regime=regime)
    assert in_warehouse(made, rows(made, dob=[date(2011, 3, 29)])).to_dicts() == [{"birth_year": 2011}]
    assert in_record(made, rows(made, dob=[date(2011, 3, 29)])).to_dicts() == [{"birth_year": 2011}]


def test_w02_a_birth_date_that_is_no_date_shows_nothing() -> None:
    made = contract(column("dob", P.QUASI))
    assert in_warehouse(made, rows(made, dob=["2011-03-29"])).to_dicts() == [{"birth_year": None}]


def test_w03_of_a_zip_code_three_digits_stay_and_fewer_where_a_site_says_so() -> None:
    made = contract(column("postal_code", P.QUASI), regime=Regime.FERPA)
    frame = rows(made, postal_code=["94501", "03601", "no code"])
    assert in_warehouse(made, frame)["zip3"].to_list() == ["945", "000", "000"]
    for digits, shown in ((2, "94"), (0, "000")):
        book = tightened(builtin(), f"[tighten.W-03]\ndigits = {digits}")
        assert in_warehouse(made, frame, book)["zip3"].to_list() == [shown, "000", "000"]


def test_w04_the_school_year_stands_for_a_day_where_a_contract_asks_for_it() -> None:
    made = contract(column("first_day", P.QUASI, date, generalise="school_year"), regime=Regime.FERPA)
    found = in_warehouse(made, rows(made, first_day=[date(2026, 6, 30), date(2026, 7, 1)]))
    assert found.to_dict(as_series=False) == {"school_year": [2026, 2027]}


@pytest.mark.parametrize("privacy", [P.QUASI, P.SENSITIVE, P.PLAIN])
def test_w05_three_classes_may_be_counted_and_come_with_their_least_cell(privacy: P) -> None:
    made = contract(column("fact", privacy), regime=Regime.FERPA)
    decision = decisions(made, builtin(), Purpose.AGGREGATE)["fact"]
    assert treated(rows(made, fact=["x"]), {"fact": decision}).columns == ["fact"]
    assert decision.limits.get("min_cell") == (None if privacy is P.PLAIN else 10)


def test_w06_three_classes_may_stand_in_a_record_file_and_quasi_identifiers_come_with_k() -> None:
    made = contract(*(column(str(one), one) for one in PrivacyClass), regime=Regime.FERPA)
    found = in_record(made, pl.DataFrame({str(one): ["x"] for one in PrivacyClass}))
    assert found.columns == ["quasi", "sensitive", "plain"]
    assert decisions(made, builtin(), Purpose.RECORD)["quasi"].limits["k"] == 10


def test_w07_a_key_is_in_no_table() -> None:
    made = contract(column("person_key", P.KEY), column("n", P.SENSITIVE, int))
    assert treated(
        rows(made, person_key=["k"], n=[1]), decisions(made, builtin(), Purpose.AGGREGATE)
    ).columns == ["n"]


# -- a site's own rules on rows ----------------------------------------------------------------------------

OWN = """
[[rule]]
id = "L-01"
citation = "Board policy 5125"
says = "Of discipline nothing is kept."
on = "column"
effect = "{effect}"
classes = ["any"]
regimes = ["any"]
purposes = ["warehouse"]
traits = ["{trait}"]
since = 2026-01-01
"""


def test_what_a_site_s_own_rule_takes_out_keeps_its_place_without_its_values() -> None:
    made = contract(column("disability", P.QUASI, bool), column("grade", P.QUASI), regime=Regime.FERPA)
    frame = rows(made, disability=[True, False], grade=["05", "06"])
    book = tightened(builtin(), OWN.format(effect="suppress", trait="disability"))
    assert in_warehouse(made, frame, book).to_dict(as_series=False) == {
        "disability": [None, None], "grade": ["05", "06"]}
    assert in_warehouse(made, frame, book).schema == in_warehouse(made, frame).schema


def test_a_site_s_own_rule_cannot_take_a_column_by_which_rows_are_told_apart() -> None:
    made = contract(column("row", P.QUASI, date), regime=Regime.FERPA)
    for effect in ("drop", "generalise:year"):
        with pytest.raises(ConfigurationError) as caught:
            check_contract(made, tightened(builtin(), OWN.format(effect=effect, trait="date")))
        assert (caught.value.code, "L-01" in caught.value.where) == ("WB-E-070", True)
