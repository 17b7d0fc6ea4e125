"""Scores: candidate pairs, compared and weighed by Splink, in a DuckDB of this process alone.

Blocking comes before Splink and guards after it; both are ours. A site on Spark has the same statements run there
(``spark``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import duckdb
import polars as pl

from wellbridge.etl.identity.blocking import pairs_sql, used_columns
from wellbridge.etl.identity.comparisons import (
    BIRTH_DATE,
    BIRTH_DATE_SAME,
    FIRST_DISAGREES,
    FIRST_MAY_BE_TWIN,
    FIRST_NAME,
    HOME,
    HOME_OF_TWINS,
    HOME_SHARED,
    RULE_COLUMNS,
    RULES,
)
from wellbridge.etl.identity.decide import SCORED, prior_bits
from wellbridge.etl.identity.model import Model, shipped
from wellbridge.etl.identity.names import nicknames
from wellbridge.etl.identity.splinked import digit_sql, on_duckdb, weight_sql
from wellbridge.etl.identity.standard import standardise
from wellbridge.etl.identity.statements import statement
from wellbridge.schemas.errors import ConfigurationError

SELF_CHECK_S: Final = 5.0
_CHECKED: Final = 1000
_FLOOR_BITS: Final = -12.0  # odds so small that a pair can neither be asked about nor be anyone's rival


def connect() -> duckdb.DuckDBPyConnection:
    """Open a database in memory that reads and writes nothing outside it."""
    connection = duckdb.connect(":memory:")
    connection.execute("SET enable_external_access = false")
    return connection


def score(
    left: pl.DataFrame,
    right: pl.DataFrame,
    model: Model,
    order: Sequence[str],
    *,
    least_size: int | None = None,
) -> pl.DataFrame:
    """Score every candidate pair between two frames of standard records.

    Args:
        left, right: ``STANDARD`` frames; a record may stand in both, as a hub's new records do.
        model: weights and blocking.
        order: the sources in declared order, the anchor first: a pair's ``record_a`` is of the earlier one.
        least_size: the fewest records that the larger source of a pair can have; pairs that are hopeless even there
            are left out. Default: of the frames.

    Returns:
        ``SCORED``, every pair once, in no order.
    """
    size = least_size or max(left.height, right.height)
    with connect() as connection:
        load(connection, left, right, model)
        predicted = on_duckdb(connection, model, pairs_sql(model.blocking, "record"))
        found = connection.execute(scores_sql(model, size, predicted)).pl()
    return named(found, left, right, order)


def compare(
    left: pl.DataFrame, right: pl.DataFrame, model: Model, pairs: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Return the digits of pairs, without weights: what a model is trained from.

    Args:
        left, right: ``STANDARD`` frames.
        model: its comparisons; with its blocking where no pairs are given.
        pairs: ``record_a, record_b``, a in left and b in right.

    Returns:
        ``levels, pairs``: how many pairs have these digits.
    """
    with connect() as connection:
        load(connection, left, right, model, keep_id=True)
        if pairs is None:
            connection.execute(
                statement("CREATE TABLE pair AS $pairs", pairs=pairs_sql(model.blocking, "record"))
            )
        else:
            connection.register("wanted", pairs.select("record_a", "record_b").to_arrow())
            connection.execute(
                "CREATE TABLE pair AS SELECT a.n AS x, b.n AS y FROM wanted"
                " JOIN record a ON a.record_id = record_a JOIN record b ON b.record_id = record_b"
            )
        return connection.execute(
            statement(
                "SELECT concat($digits) AS levels, count(*) AS pairs FROM ($pairs) GROUP BY ALL",
                digits=", ".join(one.case for one in model.comparisons),
                pairs=_pairs_with_columns(model),
            )
        ).pl()


def load(
    connection: duckdb.DuckDBPyConnection,
    left: pl.DataFrame,
    right: pl.DataFrame,
    model: Model,
    *,
    keep_id: bool = False,
) -> None:
    """Put both frames into one table, a record that stands in both once."""
    records = both_sides(left, right, model)
    connection.register("given", (records if keep_id else records.drop("record_id")).to_arrow())
    connection.execute("CREATE TABLE record AS SELECT * FROM given")
    connection.unregister("given")


def both_sides(left: pl.DataFrame, right: pl.DataFrame, model: Model) -> pl.DataFrame:
    """Return the records of both frames, numbered ``n``, with the columns that scoring looks at.

    ``in_left`` and ``in_right`` say where a record stands; ``is_enough`` and ``is_known`` (its first name is a name
    that people bear) are asked by the guards.
    """
    names = sorted(
        {column for one in model.comparisons for column in one.columns}
        | set(used_columns(model.blocking, left.columns))
        | {"middle_name", "first_names", *RULE_COLUMNS}
    )
    one = left.select("record_id", *names, in_left=pl.lit(True))
    other = right.select("record_id", *names)
    in_both = other.join(left.select("record_id"), on="record_id", how="semi")["record_id"]
    records = pl.concat(
        [
            one.with_columns(in_right=pl.col("record_id").is_in(in_both.implode())),
            other.filter(~pl.col("record_id").is_in(in_both.implode())).with_columns(
                in_left=False, in_right=True
            ),
        ]
    ).with_row_index("n")
    known = pl.Series(list(nicknames()))
    filled = [pl.any_horizontal(pl.col(name).is_not_null() for name in any_of) for any_of in model.needs]
    return records.with_columns(
        is_enough=pl.all_horizontal(pl.lit(True), *filled),
        is_known=pl.col("first_names").list.first().is_in(known.implode()).fill_null(False),
    )


def _pairs_with_columns(model: Model) -> str:
    """Return the SQL of every pair with the compared columns of its two records."""
    both = ", ".join(
        f"{side}.{column} AS {column}_{end}"
        for column in sorted({column for one in model.comparisons for column in one.columns})
        for side, end in (("p", "l"), ("q", "r"))
    )
    return statement(
        "SELECT x, y, $both FROM pair JOIN record p ON p.n = x JOIN record q ON q.n = y", both=both
    )


def scores_sql(model: Model, size: int, predicted: str) -> str:
    """Return the SQL of scored pairs.

    Args:
        model: its guards and limits.
        size: records of the larger source; hopeless pairs are left out.
        predicted: the table that Splink made (``splinked.settings``).
    """
    place = {one.name: f"d{number}" for number, one in enumerate(model.comparisons)}
    first, birth, home = (place.get(one.name) for one in (FIRST_NAME, BIRTH_DATE, HOME))
    shares_home = f"{home} IN {HOME_SHARED}" if home else "false"
    agrees = f"CASE {first} WHEN 0 THEN NULL WHEN {FIRST_DISAGREES} THEN false ELSE true END"
    return statement(
        """
        SELECT x, y, is_rule, weight, levels, shares_home, first_agrees, is_twin_like, is_enough FROM (
            SELECT x, y, is_rule, is_enough, $weight AS weight, concat($places) AS levels,
                   $home AS shares_home, $agrees AS first_agrees, $twin AS is_twin_like
            FROM (
                SELECT n_l AS x, n_r AS y, match_weight, $digits, ($rules) IS TRUE AS is_rule,
                       is_enough_l AND is_enough_r AS is_enough, is_known_l AND is_known_r AS are_known,
                       (middle_name_l = middle_name_r) IS TRUE AS same_middle
                FROM $predicted
            )
        ) WHERE is_rule OR weight >= CASE WHEN shares_home THEN $home_floor ELSE $floor END
        """,
        weight=weight_sql(shares_home),
        places=", ".join(f"CAST({digit} AS VARCHAR)" for digit in place.values()),
        home=shares_home,
        agrees=agrees if first and "first_name" in model.guards else "true",
        twin=_twin_sql(first, birth, home)
        if first and birth and home and "twin" in model.guards
        else "false",
        digits=", ".join(f"{digit_sql(one)} AS {place[one.name]}" for one in model.comparisons),
        rules=RULES,
        predicted=predicted,
        home_floor=repr(_FLOOR_BITS),
        floor=repr(_FLOOR_BITS - prior_bits(model.limits.share, size, size)),
    )


def _twin_sql(first: str, birth: str, home: str) -> str:
    """Return when a pair may be two twins: one birth date, a surname or home, and first names that nearly agree.

    A typing error seldom makes another name that people bear; twins' names do rhyme. So one error is forgiven unless
    both are known names. An equal middle name is enough too.
    """
    faint, near = FIRST_MAY_BE_TWIN
    return (
        f"{birth} = {BIRTH_DATE_SAME} AND {home} IN {HOME_OF_TWINS} AND NOT same_middle"
        f" AND ({first} = {faint} OR ({first} = {near} AND are_known))"
    )


def named(found: pl.DataFrame, left: pl.DataFrame, right: pl.DataFrame, order: Sequence[str]) -> pl.DataFrame:
    """Give the pairs their records' names, the earlier source first."""
    here = left.select("record_id", "source")
    there = right.select("record_id", "source").join(here, on="record_id", how="anti", maintain_order="left")
    records = pl.concat([here, there])
    rank = records["source"].replace_strict(
        {name: place for place, name in enumerate(order)}, default=len(order)
    )
    ends = {
        end: {"record": records["record_id"].gather(found[end]), "source": records["source"].gather(found[end]),
              "rank": rank.gather(found[end])}
        for end in ("x", "y")
    }  # fmt: skip
    x, y = ends["x"], ends["y"]
    turned = (x["rank"] > y["rank"]) | ((x["rank"] == y["rank"]) & (x["record"] > y["record"]))
    is_turned = turned.any()
    named = {
        f"{kind}_{end}": (two[kind].zip_with(turned, one[kind]) if is_turned else one[kind])
        for kind in ("record", "source")
        for end, one, two in (("a", x, y), ("b", y, x))
    }
    tier = found.select(pl.when("is_rule").then(pl.lit("rule")).otherwise(pl.lit("model"))).to_series()
    return found.with_columns(**named, tier=tier).select(list(SCORED))


def self_check(*, limit_s: float = SELF_CHECK_S) -> float:
    """Match a thousand made-up records with a thousand, and return the CPU seconds that took.

    Raises:
        ConfigurationError: WB-E-103, it took too long, or not every pair was found and scored: an engine whose plan
            begins with the inequality (DuckDB 2.0, linkage.md 0.3) would need a night for a district.
    """
    began = time.process_time()
    left, right = (standardise(_made_up(source)) for source in ("a", "b"))
    found, trouble = 0, ""
    try:
        scored = score(left, right, shipped(), ["a", "b"])
        found = scored.filter(pl.col("record_a").str.slice(1) == pl.col("record_b").str.slice(1)).height
    except Exception as error:  # whatever another version of the engine does, it is that version's fault
        trouble = f" · {type(error).__name__}"
    took = time.process_time() - began
    if found != _CHECKED or took > limit_s:
        raise ConfigurationError(
            "WB-E-103", "The engine that scores pairs failed its check.",
            f"DuckDB {duckdb.__version__} · {found} of {_CHECKED} pairs · {took:.1f} of {limit_s:.1f} CPU-s{trouble}",
        )  # fmt: skip
    return took


def _made_up(source: str) -> pl.DataFrame:
    """Return a thousand children, three to a home."""
    number = pl.int_range(_CHECKED)
    letters = [number // 26**power % 26 for power in range(3)]
    word = pl.concat_str(pl.lit("ab").str.slice(number % 2, 1), *(_letter(place) for place in letters))
    return pl.select(
        record_id=pl.format(f"{source}{{}}", number),
        source=pl.lit(source),
        first_name=word,
        last_name=pl.concat_str(pl.lit("family "), _letter(number // 3 % 26), _letter(number // 78)),
        birth_date=pl.date(2008 + number % 10, 1 + number % 12, 1 + number % 28).cast(pl.String),
        address=pl.format("{} main street", number // 3),
        zip_code=pl.format("{}", 10000 + number % 50),
    )


def _letter(place: pl.Expr) -> pl.Expr:
    return pl.lit("abcdefghijklmnopqrstuvwxyz").str.slice(place, 1)
