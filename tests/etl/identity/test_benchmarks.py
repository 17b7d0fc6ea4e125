"""Public benchmarks of linking persons, by the same engine with other comparisons; trained on the run, without labels.

They say that the engine is general; that siblings stay apart is shown elsewhere, because no benchmark has any.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from wellbridge.etl.identity.comparisons import BIRTH_DATE, FIRST_NAME, comparison
from wellbridge.etl.identity.decide import Limits
from wellbridge.etl.identity.evaluate import Truth, judge
from wellbridge.etl.identity.files import as_records, read_table
from wellbridge.etl.identity.matching import match, match_within, prepared
from wellbridge.etl.identity.model import Model
from wellbridge.etl.identity.train import train_unsupervised, untrained

DATA = Path(__file__).parents[4] / "shared/data/linkage"
EVER = (date(1500, 1, 1), date(2050, 1, 1))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason="the benchmarks are not here (../shared/data/linkage)"),
]


def febrl(share: float) -> Model:
    texts = ("text(last_compact)", "text(address_key)", "text(zip_code)", "text(suburb)", "exact(state)")
    return untrained(
        "febrl",
        [FIRST_NAME, BIRTH_DATE, *map(comparison, texts)],
        [
            ("first_name", "birth_year"), ("birth_date", "zip_code"), ("last_compact", "zip_code"),
            ("first_name", "last_compact"), ("address_key",), ("birth_date", "last_start"),
            ("birth_date", "first_start"), ("birth_date", "suburb"), ("first_name", "zip_code"), ("both_names",),
            ("zip_code", "last_start"),
        ],
        needs=(), born=EVER, limits=Limits(share=share), guards=(),
    )  # fmt: skip


FEBRL_TIGHT = (("birth_date", "zip_code"), ("first_name", "last_compact"), ("birth_date", "suburb"),
               ("address_key", "zip_code"))  # fmt: skip


def febrl_file(name: str, source: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return records without the number that would give them away, and the truth."""
    table = read_table(DATA / "febrl" / name)
    records = as_records(table, source, hidden=("soc_sec_id", "rec_id"), also=("suburb", "state"))
    truth = table["rec_id"].str.extract(r"rec-(\d+)-")
    return records, pl.DataFrame({"record_id": records["record_id"], "truth": truth})


def test_febrl4_two_files() -> None:
    (left, true_left), (right, true_right) = (
        febrl_file("dataset4a.csv", "a"),
        febrl_file("dataset4b.csv", "b"),
    )
    blank = febrl(share=1.0)
    model = train_unsupervised(prepared(left, blank), prepared(right, blank), blank, FEBRL_TIGHT, seed=1)
    found = judge(match(left, right, model), Truth(true_left, true_right), model, {})
    print("FEBRL4", found["f1"], found["one_to_one"]["f1"])
    assert found["true_pairs"] == 5000
    assert found["f1"] >= 0.992
    assert found["one_to_one"]["f1"] >= 0.992


def test_febrl3_one_file() -> None:
    records, truth = febrl_file("dataset3.csv", "a")
    blank = febrl(share=0.9)
    frame = prepared(records, blank)
    model = train_unsupervised(frame, frame, blank, FEBRL_TIGHT, seed=1)
    found = judge(match_within(records, model), Truth(truth, truth), model, {})
    print("FEBRL3", found["f1"])
    assert found["true_pairs"] == 6538
    assert found["f1"] >= 0.98


def test_historical_50k_one_file() -> None:
    """With the blocking of Splink's own example of this file."""
    table = read_table(DATA / "splink_datasets/historical_50k.parquet").rename({"postcode_fake": "zip"})
    hidden = ("cluster", "unique_id", "full_name", "first_and_surname")
    records = as_records(table, "a", hidden=hidden, also=("birth_place", "occupation"))
    texts = ("text(last_compact)", "text(zip_code)", "exact(birth_place)", "exact(occupation)")
    blank = untrained(
        "historical",
        [FIRST_NAME, BIRTH_DATE, *map(comparison, texts)],
        [
            ("first_three", "last_four"), ("last_compact", "birth_date"), ("first_name", "birth_date"),
            ("zip_code", "first_name"), ("zip_code", "last_compact"), ("birth_date", "birth_place"),
            ("zip_area", "birth_date"), ("zip_area", "first_name"), ("zip_area", "last_compact"),
            ("first_start", "last_start", "birth_year"),
        ],
        needs=(), born=EVER, limits=Limits(share=9.0), guards=(),
    )  # fmt: skip
    tight = (("first_name", "last_compact", "birth_date"), ("birth_date", "zip_code"), ("last_compact", "birth_date"),
             ("first_name", "last_compact", "zip_code"), ("last_compact", "zip_code", "birth_date"))  # fmt: skip
    frame = prepared(records, blank)
    model = train_unsupervised(frame, frame, blank, tight, seed=1)
    truth = pl.DataFrame({"record_id": records["record_id"], "truth": table["cluster"]})
    found = judge(match_within(records, model), Truth(truth, truth), model, {})
    print("historical_50k", found["f1"])
    assert found["true_pairs"] == 303_961
    assert found["f1"] >= 0.80
