"""What the hub asks of matching: the standard, blocking keys, scores, limits, and the name of the rules behind them.

The hub keeps no standardised record. Its blocking keys are those of the model, one text each, so that two records
that the model would compare share a token, whenever each of them came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from wellbridge.etl.identity.blocking import KEYS, used_columns
from wellbridge.etl.identity.decide import SCORED, Source
from wellbridge.etl.identity.floor import looser_parts
from wellbridge.etl.identity.matching import prepared, scorer
from wellbridge.etl.identity.model import Model, read_model, shipped
from wellbridge.etl.identity.standard import STANDARD_VERSION
from wellbridge.etl.identity.statements import statement
from wellbridge.schemas.errors import ConfigurationError

# Odds (bits) below which a pair is neither asked about nor anybody's rival; it is not kept. Sources only grow, so a
# pair that is hopeless at their sizes today is hopeless for good.
_HOPELESS_BITS: Final = -12.0
# Sources in which several records may be about one child, unless a site says otherwise: feeds of notices.
REPEATING: Final = ("*/client",)


@dataclass(frozen=True)
class Matcher:
    """How a hub matches.

    Attributes:
        model: what scores: the shipped one, or a site's own.
        engine: where it scores, "duckdb" or "spark"; the result is the same.
        repeating: patterns of the sources in which several records may be about one child; all others hold it once.
    """

    model: Model = field(default_factory=shipped)
    engine: str = "duckdb"
    repeating: tuple[str, ...] = REPEATING

    @property
    def version(self) -> str:
        """Return the name of standard and model: when it changes, every record is read anew."""
        return f"{STANDARD_VERSION}+{self.model.sha256}"

    def standard(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Return records (``record_id, source`` and traits) in the form in which they are compared."""
        return prepared(raw, self.model)

    def blocking_keys(self, records: pl.DataFrame) -> pl.DataFrame:
        """Return ``record_id, key``: records that share a key are compared.

        Args:
            records: a frame of ``standard``.
        """
        from wellbridge.etl.identity.scoring import connect  # noqa: PLC0415 - a night with nothing to link needs none

        rules = self.model.blocking
        with connect() as connection:
            connection.register(
                "record", records.select("record_id", *used_columns(rules, records.columns)).to_arrow()
            )
            return connection.execute(
                " UNION ALL ".join(_keys_sql(rule, n) for n, rule in enumerate(rules))
            ).pl()

    def score(self, new: pl.DataFrame, others: pl.DataFrame, sources: Sequence[Source]) -> pl.DataFrame:
        """Score new records against others and among themselves.

        Inside a source that holds a child once nothing is compared: there is nothing to link.

        Args:
            new, others: frames of ``standard``, no record in both.
            sources: every source, the anchor first, with its size.

        Returns:
            ``SCORED``, every pair once.
        """
        score, order, found = scorer(self.engine), [one.name for one in sources], []
        rest = pl.concat([new, others])
        for source in sources:
            left = new.filter(pl.col("source") == source.name)
            if not left.height:
                continue
            right = rest.filter(pl.col("source") != source.name) if source.is_unique else rest
            if right.height:
                found.append(score(left, right, self.model, order, least_size=1))
            # What was new in this source has been compared with all: only its pairs with what comes after remain.
            rest = rest.join(left, on="record_id", how="anti")
        if not found:
            return pl.DataFrame(schema=SCORED)
        pairs = _with_hope(pl.concat(found), sources)
        return _with_bare_names(pairs, pl.concat([new, others]), sources[0].name)


def matcher_of(model: Path | None, engine: str, repeating: Sequence[str] = REPEATING) -> Matcher:
    """Return how a site's hub matches.

    Args:
        model: the file of the site's own model; None for the one that is shipped.
        engine: "duckdb" or "spark".
        repeating: patterns of the sources in which several records may be about one child.

    Raises:
        ConfigurationError: WB-E-102, the model cannot be read, or is not as it was written; WB-E-106, nobody answers
            for it; WB-E-107, it is looser than the shipped one.
    """
    if model is None:
        return Matcher(shipped(), engine, tuple(repeating))
    found = read_model(model)
    if not found.about.get("reviewer", "").strip():
        raise ConfigurationError(
            "WB-E-106", "Nobody answers for the site's model.", f"file {model.name} · reviewer"
        )
    if looser := looser_parts(found, shipped()):
        where = f"file {model.name} · {', '.join(looser)}"
        raise ConfigurationError("WB-E-107", "The site's model is looser than the shipped one.", where)
    return Matcher(found, engine, tuple(repeating))


def marks(records: pl.DataFrame) -> pl.DataFrame:
    """Return ``record_id, double_surname`` of records of ``standard`` that have a surname."""
    double = records.select("record_id", (pl.col("last_names").list.len() > 1).alias("double_surname"))
    return double.drop_nulls()


def _keys_sql(rule: Sequence[str], number: int) -> str:
    places = range(len(rule))
    parts = {
        "number": str(number),
        "keys": ", ".join(f"{KEYS.get(name, name)} AS k{place}" for place, name in enumerate(rule)),
        "whole": " AND ".join(f"k{place} IS NOT NULL" for place in places),
        "texts": ", ".join(f"k{place}" for place in places),
    }
    return statement(
        "SELECT record_id, concat_ws('|', $number, $texts) AS key FROM (SELECT record_id, $keys FROM record) "
        "WHERE $whole",
        **parts,
    )


def _with_bare_names(pairs: pl.DataFrame, records: pl.DataFrame, anchor: str) -> pl.DataFrame:
    """Make it an exact rule that a record without any place has the name and birth date of one on the roster.

    A notice of the police names a child and nothing more. The roster holds every child of the district, so a name and
    birth date that stand in it once are hardly another's; ``decide`` sees to it that they stand there once. Of a double
    surname one part is enough where nobody has the whole: an officer writes down one, and to ask for both would leave
    out the children who have two.
    Source: the reference on linking, 4.1 (2), and 2.3: precision .9999 of 23,382 exact links at 50,000 children; 1: the
    Utah Population Database raised complete linkage of Hispanic records by comparing parts.
    """
    told = ("first_name", "last_name", "last_names", "birth_date", "sex")
    place = pl.all_horizontal(pl.col(name).is_null() for name in ("zip_code", "phone", "address_key"))
    bare = records.filter(place & (pl.col("source") != anchor)).select("record_id", *told)
    near = pairs.filter(pl.col("source_a") == anchor).select("record_a", "record_b")
    both = near.join(bare, left_on="record_b", right_on="record_id").join(
        records.select("record_id", *told), left_on="record_a", right_on="record_id", suffix="_a"
    )
    same = (pl.col("first_name") == pl.col("first_name_a")) & (pl.col("birth_date") == pl.col("birth_date_a"))
    is_other_sex = (pl.col("sex") != pl.col("sex_a")).fill_null(False)
    fewer = pl.min_horizontal(pl.col("last_names").list.len(), pl.col("last_names_a").list.len())
    is_part = pl.col("last_names").list.set_intersection("last_names_a").list.len() == fewer
    named = both.filter(same & ~is_other_sex & is_part & (fewer > 0)).with_columns(
        is_whole=pl.col("last_name") == pl.col("last_name_a")
    )
    exact = named.filter(pl.col("is_whole") | ~pl.col("is_whole").any().over("record_b"))
    exact = exact.select("record_a", "record_b", pl.lit(True).alias("is_bare"))
    marked = pairs.join(exact, on=["record_a", "record_b"], how="left")
    return marked.with_columns(
        pl.when("is_bare").then(pl.lit("rule")).otherwise("tier").alias("tier"),
        pl.col("is_enough") | pl.col("is_bare").fill_null(False),
    ).drop("is_bare")


def _with_hope(pairs: pl.DataFrame, sources: Sequence[Source]) -> pl.DataFrame:
    larger = pl.max_horizontal(
        pl.col(end).replace_strict(
            {one.name: one.size for one in sources}, default=1, return_dtype=pl.Float64
        )
        for end in ("source_a", "source_b")
    ).clip(lower_bound=1.0)
    prior = pl.when("shares_home").then(0.0).otherwise(larger.log(2))
    return pairs.filter((pl.col("tier") == "rule") | (pl.col("weight") - prior >= _HOPELESS_BITS))


def in_words(levels: str, model: Model) -> list[dict[str, Any]]:
    """Return ``comparison, level, bits`` of a pair's digits, as the model that scored it means them."""
    words = []
    for digit, one in zip(levels, model.compared, strict=False):
        place = int(digit) - 1
        words.append(
            {
                "comparison": one.comparison.name,
                "level": one.comparison.levels[place].label if place >= 0 else "not known of both",
                "bits": one.weights[place].bits if place >= 0 else 0.0,
            }
        )
    return words
