"""What the hub asks of matching: one standard, blocking keys, scores, and the name of the rules behind them."""

from __future__ import annotations

from typing import Final

import polars as pl

from wellbridge.etl.identity.decide import SCORED, Limits

_RULES: Final = (
    ("first_name", "last_name", "birth_date", "zip_code"),
    ("first_name", "last_name", "birth_date", "phone"),
    ("first_name", "last_name", "birth_date", "address"),
    ("first_name", "last_name", "birth_date"),
)


def version() -> str:
    """Return the name of the standard and the model: when it changes, every record is read anew."""
    return f"exact+{model_hash()}"


def model_hash() -> str:
    """Return the hash of the model that scores."""
    return "exact"


def standard(raw: pl.DataFrame) -> pl.DataFrame:
    """Return records in the form in which they are compared."""
    letters = [_letters(pl.col(name)).alias(name) for name in ("first_name", "last_name", "address")]
    digits = pl.col("phone").str.replace_all(r"\D", "").str.slice(-10).alias("phone")
    return raw.with_columns(
        *letters, digits, pl.col("zip_code").str.slice(0, 5), pl.col("sex").str.to_lowercase().str.slice(0, 1)
    )


def blocking_keys(records: pl.DataFrame) -> pl.DataFrame:
    """Return ``record_id, key``: records that share a key are compared."""
    names = pl.concat_str(pl.lit("n"), "first_name", "last_name", "birth_date", separator="|")
    number = pl.concat_str(pl.lit("s"), "student_number", separator="|")
    return pl.concat([records.select("record_id", key.alias("key")) for key in (names, number)]).drop_nulls()


def score(records: pl.DataFrame, changed: pl.Series) -> pl.DataFrame:
    """Return ``SCORED`` pairs of which at least one record is among ``changed``."""
    keyed = records.join(blocking_keys(records), on="record_id")
    new = keyed.filter(pl.col("record_id").is_in(changed.implode()))
    pairs = new.join(keyed, on="key", suffix="_b").filter(pl.col("record_id") != pl.col("record_id_b"))

    def rank(s: pl.Expr, r: pl.Expr) -> pl.Expr:
        return pl.concat_str((s != "student").cast(pl.Int8).cast(pl.String), s, r)

    a_first = rank(pl.col("source"), pl.col("record_id")) < rank(pl.col("source_b"), pl.col("record_id_b"))
    same_sex = pl.col("sex").is_null() | pl.col("sex_b").is_null() | (pl.col("sex") == pl.col("sex_b"))
    by_number = pl.col("student_number") == pl.col("student_number_b")
    names = pl.all_horizontal(pl.col(n) == pl.col(f"{n}_b") for n in _RULES[-1]) & same_sex
    return (
        pairs.filter(by_number.fill_null(False) | names.fill_null(False))
        .select(
            pl.when(a_first).then("record_id").otherwise("record_id_b").alias("record_a"),
            pl.when(a_first).then("record_id_b").otherwise("record_id").alias("record_b"),
            pl.when(a_first).then("source").otherwise("source_b").alias("source_a"),
            pl.when(a_first).then("source_b").otherwise("source").alias("source_b"),
            pl.lit("rule").alias("tier"),
            pl.lit(40.0).alias("weight"),
            pl.lit("").alias("levels"),
            pl.lit(True).alias("shares_home"),
            pl.lit(True).alias("first_agrees"),
            pl.lit(False).alias("is_twin_like"),
            pl.lit(True).alias("is_enough"),
        )
        .unique()
        .select(list(SCORED))
    )


def _letters(name: pl.Expr) -> pl.Expr:
    folded = name.str.normalize("NFKD").str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", "")
    return pl.when(folded != "").then(folded)


def limits() -> Limits:
    """Return the limits of the model."""
    return Limits()


def in_words(levels: str) -> list[dict[str, object]]:
    """Return ``comparison, level, bits`` of a pair's digits."""
    return []
