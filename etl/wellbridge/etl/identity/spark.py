"""The same scores on Spark, through Splink: for districts whose engine is Spark.

The statements are those of DuckDB, put into Spark's words by sqlglot. The two text distances are DuckDB's own, asked
by the workers in Arrow batches: Spark's own and those that Splink brings give other figures ("aiden" and "alnden" are
under .7 by Splink's Jaro-Winkler, .765 by DuckDB's), and a pair must not be a link on one engine and none on another.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import duckdb
import polars as pl
from sqlglot import exp, parse_one

from wellbridge.etl.identity.blocking import pairs_sql
from wellbridge.etl.identity.decide import SCORED
from wellbridge.etl.identity.model import Model
from wellbridge.etl.identity.scoring import both_sides, named, scores_sql
from wellbridge.etl.identity.splinked import predicted, settings
from wellbridge.etl.identity.statements import statement
from wellbridge.schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_LISTS: Final = ("first_names", "last_names", "nickname_roots")
_DISTANCES: Final = {"jaro_winkler_similarity": "double", "damerau_levenshtein": "bigint"}
_OURS: Final = "duckdb_"  # before their names, since Spark's own functions come before what is registered


def check_installed() -> None:
    """Look whether Spark can be asked at all, without starting it.

    Raises:
        ConfigurationError: WB-E-104, pyspark is not installed.
    """
    if find_spec("pyspark") is None:
        raise ConfigurationError(
            "WB-E-104", "Spark is asked for, and pyspark is not installed.", "engine spark"
        )


def session() -> SparkSession:
    """Return the Spark session that is configured for this process; without configuration, one on this machine.

    Raises:
        ConfigurationError: WB-E-104, pyspark is not installed.
    """
    check_installed()
    from pyspark.sql import SparkSession  # noqa: PLC0415 - an extra

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # the workers need what this process has
    found = SparkSession.builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()
    found.sparkContext.setLogLevel("ERROR")
    return found


def score_on_spark(
    left: pl.DataFrame,
    right: pl.DataFrame,
    model: Model,
    order: Sequence[str],
    *,
    least_size: int | None = None,
) -> pl.DataFrame:
    """Score every candidate pair on Spark; as ``scoring.score``, and with the same result.

    The workers need duckdb and pyarrow beside pyspark.

    Args:
        left, right, model, order, least_size: as ``scoring.score`` takes them.

    Returns:
        ``SCORED``, every pair once, in no order.

    Raises:
        ConfigurationError: WB-E-104, pyspark is not installed.
    """
    spark = session()
    from splink.backends.spark import SparkAPI  # noqa: PLC0415 - needs pyspark, which a site on DuckDB has not

    _register_distances(spark)
    records = both_sides(left, right, model).drop("record_id").with_columns(pl.col("n").cast(pl.Int64))
    frame = spark.createDataFrame(records.to_arrow(compat_level=pl.CompatLevel.oldest())).cache()
    frame.createOrReplaceTempView("record")
    pairs = spark.sql(in_spark(pairs_sql(model.blocking, "record")))
    backend: Any = SparkAPI
    api = backend(spark_session=spark, break_lineage_method="persist", register_udfs_automatically=False)
    asked = settings(model, in_spark_condition)
    wanted = pairs.selectExpr("'0' AS match_key", "x AS join_key_l", "y AS join_key_r")
    compared = predicted(api, frame, wanted, asked).as_spark_dataframe()
    compared.createOrReplaceTempView("predicted")
    size = least_size or max(left.height, right.height)
    scored = spark.sql(in_spark(scores_sql(model, size, "predicted")))
    found = pl.DataFrame(pl.from_arrow(scored.toArrow()))
    frame.unpersist()
    return named(found, left, right, order).cast(SCORED)


def in_spark(sql: str) -> str:
    """Return a statement of DuckDB as Spark understands it."""
    return parse_one(sql, read="duckdb").transform(_in_spark).sql(dialect="spark")


def in_spark_condition(sql: str) -> str:
    """Return a condition of DuckDB as Spark understands it."""
    return in_spark(statement("SELECT $sql", sql=sql)).removeprefix("SELECT ")


def _in_spark(node: exp.Expression) -> exp.Expression:
    """Put what sqlglot leaves in DuckDB's words, or means otherwise, into Spark's."""
    if isinstance(node, exp.ArrayOverlaps):
        return _call("arrays_overlap", node.this, node.expression)
    if isinstance(node, exp.JarowinklerSimilarity):
        return _call(f"{_OURS}jaro_winkler_similarity", node.this, node.expression)
    if isinstance(node, exp.Anonymous) and node.name.lower() in _DISTANCES:
        return _call(f"{_OURS}{node.name.lower()}", *node.expressions)
    if isinstance(node, exp.Anonymous) and node.name.lower() == "list_has_all":
        whole, part = node.expressions
        return _call("size", _call("array_except", part, whole)).eq(0)
    if isinstance(node, exp.Length) and _is_list(node.this):
        return _call("size", node.this)
    if isinstance(node, exp.Bracket):
        return _part(node)
    return node


def _part(node: exp.Bracket) -> exp.Expression:
    """Return an element of a list, or a part of a text: ``x[a:b]`` counts both ends, ``x[-n:]`` from the right."""
    place = node.expressions[0]
    if isinstance(place, exp.Slice):
        if place.expression is None:
            return _call("right", node.this, place.this.this)
        first, last = int(place.this.name), int(place.expression.name)
        return _call("substring", node.this, exp.Literal.number(first), exp.Literal.number(last - first + 1))
    if _is_list(node.this):
        return _call("get", node.this, place)
    return _call("substring", node.this, exp.Literal.number(int(place.name) + 1), exp.Literal.number(1))


def _call(name: str, *arguments: exp.Expression) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _is_list(node: exp.Expression) -> bool:
    return isinstance(node, exp.Column) and node.name.removesuffix("_l").removesuffix("_r") in _LISTS


def _register_distances(spark: SparkSession) -> None:
    from pyspark.sql.functions import arrow_udf  # noqa: PLC0415 - as above

    for name, kind in _DISTANCES.items():
        spark.udf.register(f"{_OURS}{name}", arrow_udf(_distance(name), kind))


def _distance(name: str) -> Callable[[Any, Any], Any]:
    import pyarrow as pa  # noqa: PLC0415

    def distance(one: Any, other: Any) -> Any:
        pairs = pa.table({"one": one, "other": other})
        found = duckdb.from_arrow(pairs).project(f"{name}(one, other) AS found").to_arrow_table()
        return pa.concat_arrays(found["found"].chunks)

    # Spark reads what kind of function it is from these.
    distance.__annotations__ = {"one": pa.Array, "other": pa.Array, "return": pa.Array}
    return distance
