"""An extract that cannot be shown whole is shown with less in it, and says what it left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wellbridge.pipelines.extract_definitions import AGGREGATE, RECORD, CountSpec, ExtractDefinition
from wellbridge.pipelines.extract_tables import DataFile
from wellbridge.pipelines.reduced import left_out, protected
from wellbridge.privacy.tables.further import Beside
from wellbridge.schemas.errors import PrivacyError

TABLES = ExtractDefinition(
    "tables", "", AGGREGATE, "a", measures=("m",), dimensions=("school", "grade_band", "sex"),
    counts=(CountSpec("students", "", ("school",)),),
)
RECORDS = ExtractDefinition("records", "", RECORD, "a", columns=("school_level", "sex", "tier"), weights={"sex": 2.0})


def refused(code: str = "WB-E-042") -> PrivacyError:
    return PrivacyError(code, "", "")


def test_tables_lose_half_of_their_breakdowns_at_a_time_then_the_measures_and_the_last_refusal_is_told() -> None:
    tried: list[ExtractDefinition] = []

    def never(shown: ExtractDefinition) -> list[DataFile]:
        tried.append(shown)
        raise PrivacyError("WB-E-042", "", f"attempt {len(tried)}")

    with pytest.raises(PrivacyError) as caught:
        protected(TABLES, never)
    assert [len(shown.dimensions) for shown in tried] == [3, 1, 0, 0]
    assert [shown.measures for shown in tried] == [("m",)] * 3 + [()]
    assert caught.value.where == "attempt 4"
    tried.clear()
    with pytest.raises(PrivacyError):
        protected(replace(TABLES, counts=()), never)
    assert all(shown.measures for shown in tried)  # without tables of counts nothing would be left


def test_a_record_file_loses_the_column_that_gives_most_away_and_keeps_out_what_was_out_before() -> None:
    def beside(shown: ExtractDefinition) -> list[DataFile]:
        if "school_level" in shown.columns:
            raise Beside("", "", "", "school_level")
        return []

    _, shown = protected(RECORDS, beside)
    assert (shown.columns, left_out(RECORDS, shown)) == (("sex", "tier"), {"columns": ["school_level"]})

    def followed(shown: ExtractDefinition) -> list[DataFile]:
        if "sex" in shown.columns:
            raise refused("WB-E-043")
        return []

    _, shown = protected(RECORDS, followed, before=["sex"])
    assert (shown.columns, shown.weights) == (("school_level", "tier"), {})


def test_a_record_file_loses_the_quasi_identifier_needed_least_and_is_refused_when_none_is_left() -> None:
    tried: list[tuple[str, ...]] = []

    def never(shown: ExtractDefinition) -> list[DataFile]:
        tried.append(shown.columns)
        raise refused("WB-E-043")

    with pytest.raises(PrivacyError, match="WB-E-043"):
        protected(replace(RECORDS, columns=("school_level", "grade_band", "sex", "tier")), never)
    assert tried == [
        ("school_level", "grade_band", "sex", "tier"), ("school_level", "sex", "tier"), ("sex", "tier"), ("tier",)
    ]


@pytest.mark.parametrize("code", ["WB-E-046", "WB-E-074"])
def test_every_other_refusal_stands_at_once(code: str) -> None:
    tried = []

    def never(shown: ExtractDefinition) -> list[DataFile]:
        tried.append(shown)
        raise refused(code)

    with pytest.raises(PrivacyError, match=code):
        protected(TABLES, never)
    assert len(tried) == 1
    assert left_out(TABLES, TABLES) == {}
