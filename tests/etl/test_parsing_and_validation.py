"""Cells that cannot be read hold their row; validating what is kept finds nothing."""

from __future__ import annotations

from datetime import date

import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellbridge.etl.parsing import parse
from wellbridge.etl.validation import validate
from wellbridge.schemas.classes import PrivacyClass, Regime
from wellbridge.schemas.contract import CONTRACTS, Contract, column, contract
from wellbridge.schemas.errors import ConfigurationError

CANARY = "Zyxwyn Quartermaine"


class _Visit(pa.DataFrameModel):
    """Visits, for these tests."""

    visit_id: str = column(PrivacyClass.DIRECT, str_matches=r"^V\d+$")
    day: pl.Date = column(PrivacyClass.QUASI, formats=("%m/%d/%Y", "epoch_ms"))
    end: pl.Date = column(PrivacyClass.QUASI, required=False)
    minutes: float = column(PrivacyClass.SENSITIVE, ge=1, le=480)
    kind: str = column(PrivacyClass.SENSITIVE, codes={"C": "counseling", "M": "mentoring"})
    is_met: bool = column(PrivacyClass.SENSITIVE, required=False)

    @pa.dataframe_check(name="WB-R-032")
    def _ends_after_start(
        cls,  # noqa: N805 - pandera passes the class
        data: pa.PolarsData,
    ) -> pl.LazyFrame:
        return data.lazyframe.select((pl.col("end") >= pl.col("day")).fill_null(True))


@pytest.fixture(scope="module")
def visits() -> Contract:
    built = contract("tests.visits", key=("visit_id",), regime=Regime.FERPA)(_Visit)
    del CONTRACTS["tests.visits"]
    return built


def _rows(*rows: tuple[str | None, ...]) -> pl.DataFrame:
    names = ["visit_id", "day", "end", "minutes", "kind", "is_met"]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    return frame.with_columns(
        pl.lit("f.csv").alias("_file"), pl.int_range(2, frame.height + 2, dtype=pl.Int64).alias("_row")
    )


GOOD = ("V1", "2026-10-19", None, "30", "c", "yes")


@pytest.mark.parametrize(
    ("place", "cell", "column_name", "rule"),
    [
        (0, None, "visit_id", "WB-R-010"),
        (0, CANARY, "visit_id", "WB-R-022"),
        (1, CANARY, "day", "WB-R-011"),
        (1, "6209-01-01", "day", "WB-R-014"),
        (1, "0003-01-01", "day", "WB-R-014"),
        (1, "2026-02-30", "day", "WB-R-011"),
        (3, CANARY, "minutes", "WB-R-012"),
        (3, "nan", "minutes", "WB-R-012"),
        (3, "481", "minutes", "WB-R-021"),
        (4, CANARY, "kind", "WB-R-020"),
        (5, CANARY, "is_met", "WB-R-013"),
        (2, "2026-10-01", None, "WB-R-032"),
    ],
)
def test_each_fault_holds_its_row_alone(
    visits: Contract, place: int, cell: str, column_name: str, rule: str
) -> None:
    bad = (*GOOD[:place], cell, *GOOD[place + 1 :])
    split = validate(parse(_rows(GOOD, bad, ("V3", *GOOD[1:])), visits), visits)
    assert split.held.rows() == [("f.csv", 3, column_name, rule)]
    assert split.kept["_row"].to_list() == [2, 4]
    assert CANARY not in str(split.held.to_dicts())


def test_every_fault_of_a_row_is_named(visits: Contract) -> None:
    split = validate(parse(_rows(("x", "nodate", None, "999", "Q", "perhaps")), visits), visits)
    assert sorted(split.held["rule"].to_list()) == [
        "WB-R-011",
        "WB-R-013",
        "WB-R-020",
        "WB-R-021",
        "WB-R-022",
    ]
    assert split.kept.height == 0


def test_mixed_date_forms_of_one_column_are_read(visits: Contract) -> None:
    days = ["2026-10-19", "10/19/2026", "1792368000000"]
    split = parse(_rows(*[(f"V{n}", day, None, "30", "C", None) for n, day in enumerate(days)]), visits)
    assert split.kept["day"].to_list() == [date(2026, 10, 19)] * 3


def test_local_codes_of_a_feed_are_known(visits: Contract) -> None:
    split = parse(_rows((*GOOD[:4], "gespräch", None)), visits, {"kind": {"Gespräch": "counseling"}})
    assert split.kept["kind"].to_list() == ["counseling"]
    assert split.held.height == 0


def test_p03_a_column_without_a_privacy_class_cannot_load() -> None:
    class Unclassified(pa.DataFrameModel):
        """Unclassified."""

        note: str = pa.Field()

    with pytest.raises(ConfigurationError) as caught:
        contract("tests.unclassified", key=(), regime=Regime.FERPA)(Unclassified)
    assert caught.value.code == "WB-E-014"


_cell = st.one_of(st.none(), st.text(max_size=8), st.sampled_from(["2026-10-19", "C", "30", "V1", "yes"]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[_cell] * 6), max_size=12))
def test_validating_what_is_kept_finds_nothing_and_no_row_is_lost(visits: Contract, rows: list) -> None:  # type: ignore[type-arg]
    frame = _rows(*rows)
    split = validate(parse(frame, visits), visits)
    held = set(split.held["_row"])
    assert held | set(split.kept["_row"]) == set(frame["_row"])
    assert held.isdisjoint(split.kept["_row"])
    if split.kept.height:
        visits.model.validate(split.kept.drop("_file", "_row"), lazy=True)
