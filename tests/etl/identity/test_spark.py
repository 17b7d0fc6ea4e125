"""Linking on Spark says what linking on DuckDB says. Spark itself is asked by ``make spark``."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from small_hub import ANA, BEN, CLEO, SmallHub
from sqlglot import parse_one

from pipelines.answer import Answer
from wellbridge.etl.identity.comparisons import RULES
from wellbridge.etl.identity.files import as_records, read_table
from wellbridge.etl.identity.matcher import Matcher
from wellbridge.etl.identity.matching import prepared, scorer
from wellbridge.etl.identity.model import shipped
from wellbridge.etl.identity.spark import in_spark, in_spark_condition
from wellbridge.etl.identity.splinked import settings
from wellbridge.etl.identity.step import link
from wellbridge.pipelines.cli.group import cli
from wellbridge.pipelines.synth.pairs import write_pairs

SEED = int(datetime.now(UTC).strftime("%Y%m%d"))
needs_spark = pytest.mark.skipif(find_spec("pyspark") is None, reason="pyspark is not installed: make spark")


@pytest.mark.parametrize(
    ("duckdb", "spark"),
    [
        ("first_name[1:2]", "SUBSTRING(first_name, 1, 2)"),
        ("first_name[-3:]", "RIGHT(first_name, 3)"),
        ("first_name[1]", "SUBSTRING(first_name, 1, 1)"),
        ("first_names[1]", "GET(first_names, 0)"),
        ("len(first_names_l) = 1", "SIZE(first_names_l) = 1"),
        ("length(first_name_l) = 1", "LENGTH(first_name_l) = 1"),
        ("list_has_all(a, b)", "SIZE(ARRAY_EXCEPT(b, a)) = 0"),
        ("jaro_winkler_similarity(a, b)", "DUCKDB_JARO_WINKLER_SIMILARITY(a, b)"),
        ("damerau_levenshtein(a, b)", "DUCKDB_DAMERAU_LEVENSHTEIN(a, b)"),
    ],
)
def test_what_means_otherwise_in_spark_is_said_in_its_words(duckdb: str, spark: str) -> None:
    assert in_spark_condition(duckdb) == spark


def test_every_level_of_the_model_is_a_statement_of_spark() -> None:
    found = settings(shipped(), in_spark_condition)
    conditions = [
        level["sql_condition"] for one in found["comparisons"] for level in one["comparison_levels"]
    ]
    for condition in [*(c for c in conditions if c != "ELSE"), in_spark_condition(RULES)]:
        parse_one(f"SELECT {condition}", read="spark")
        assert "LIST_" not in condition.upper()
        assert in_spark(f"SELECT {condition}").startswith("SELECT ")


@pytest.mark.skipif(find_spec("pyspark") is not None, reason="pyspark is installed")
def test_a_site_without_spark_is_told_so(tmp_path: Path) -> None:
    write_pairs(tmp_path, children=60, seed=SEED)
    left, right = (str(tmp_path / f"{side}.parquet") for side in ("left", "right"))
    done = CliRunner().invoke(
        cli, ["identity", "evaluate", "--left", left, "--right", right, "--engine", "spark", "--json"]
    )
    answer = Answer(done.exit_code, done.stdout, done.stderr)
    assert answer.exit == 10
    assert answer.error["code"] == "WB-E-104"


@pytest.mark.slow
@needs_spark
@pytest.mark.filterwarnings("ignore")
def test_spark_scores_every_pair_as_duckdb_does(tmp_path: Path) -> None:
    print("seed", SEED)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    write_pairs(tmp_path, children=10_000, seed=SEED)
    model = shipped()
    sides = [
        prepared(as_records(read_table(tmp_path / f"{side}.parquet"), side, hidden=("pid", "hid")), model)
        for side in ("left", "right")
    ]
    scored = [scorer(engine)(*sides, model, ["left", "right"]) for engine in ("duckdb", "spark")]
    ours, theirs = (frame.sort("record_a", "record_b") for frame in scored)
    assert ours.height > 6_000
    assert ours.drop("weight").equals(theirs.drop("weight"))
    assert float((ours["weight"] - theirs["weight"]).abs().max()) < 1e-9  # type: ignore[arg-type]
    assert ours.schema == theirs.schema == pl.Schema(ours.schema)


@pytest.mark.slow
@needs_spark
@pytest.mark.filterwarnings("ignore")
def test_a_hub_on_spark_holds_the_same_persons(tmp_path: Path) -> None:
    found = []
    for engine in ("duckdb", "spark"):
        with SmallHub(tmp_path / engine) as hub:
            for place, child in enumerate((ANA, BEN, CLEO)):
                hub.say(f"student:{place}", child)
            hub.say("clinic/patient:a", {**ANA, "phone": "971-555-0999"})
            hub.say("clinic/patient:b", {**BEN, "first_name": "Benedikt"})
            link(hub.vault, "run", Matcher(engine=engine))
            found.append(hub.partition())
    assert found[0] == found[1]
