"""Files of published rates: the federal graduation-rate file with a row for each school, and our own long form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from wellbridge.privacy.records.files import read_records
from wellbridge.privacy.tables.margins import ALL
from wellbridge.privacy.tables.rates import COLUMNS
from wellbridge.schemas.errors import PrivacyError, SourceError

RACE: Final = "race"
# Groups of the federal file by the sum that they are part of; the major racial and ethnic groups share nobody.
# Codes as the file of 2014-15 has them: in 20,497 of its 21,605 schools with sizes the six add up to all, in none
# to more.
DIMENSIONS: Final[Mapping[str, str]] = {
    "ALL": ALL, **dict.fromkeys(("MAM", "MAS", "MBL", "MHI", "MTR", "MWH"), RACE),
}
# A school has its own number; a district's file has only the district's.
UNITS: Final = ("NCESSCH", "LEAID")
_SIZE: Final = re.compile(r"([A-Z]{3})_COHORT_(\d{4})")


def read_rates(path: Path) -> pl.DataFrame:
    """Read published rates: ``COLUMNS`` of ``rates``.

    The federal file has ``GROUP_COHORT_YEAR`` and ``GROUP_RATE_YEAR`` for each group; groups other than ``DIMENSIONS``
    (disability, income, language) stand each against everybody else. Our own form has ``COLUMNS``, ``n`` optional.

    Raises:
        SourceError: WB-E-023 when the file cannot be read or is neither.
        PrivacyError: WB-E-046 when a size is neither a whole number nor left out.
    """
    frame = read_records(path).frame
    sizes = [(name, found) for name in frame.columns if (found := _SIZE.fullmatch(name))]
    unit = next((name for name in UNITS if name in frame.columns), None)
    if sizes and unit:
        pairs = [(found[1], name, f"{found[1]}_RATE_{found[2]}") for name, found in sizes]
        if all(rate in frame.columns for _, _, rate in pairs):
            return _sized(pl.concat([_group(frame, unit, *pair) for pair in pairs]))
    if set(COLUMNS) - {"n"} <= set(frame.columns):
        with_size = frame if "n" in frame.columns else frame.with_columns(n=pl.lit(None, dtype=pl.String))
        return _sized(with_size.select(pl.col(COLUMNS).cast(pl.String)))
    raise SourceError(
        "WB-E-023", "The file is no table of published rates.",
        f"file {path.name} · wanted: GROUP_COHORT_YEAR and GROUP_RATE_YEAR with NCESSCH or LEAID, "
        f"or {', '.join(COLUMNS)}",
    )


def _group(frame: pl.DataFrame, unit: str, group: str, size: str, rate: str) -> pl.DataFrame:
    dimension = DIMENSIONS.get(group, group)
    text = pl.col(unit, size, rate).cast(pl.String)
    return frame.with_columns(text).select(
        unit=unit, dimension=pl.lit(dimension), member=pl.lit(group), n=size, rate=rate
    )


def _sized(rates: pl.DataFrame) -> pl.DataFrame:
    """Turn sizes into numbers; a point or nothing stands for a size that is not published."""
    bare = pl.col("n").str.strip_chars()
    size = pl.when(bare.is_in([".", ""])).then(None).otherwise(bare)
    whole = size.str.contains(r"^\d{1,9}$")
    wrong = rates.filter(size.is_not_null() & ~whole).height
    if wrong:
        raise PrivacyError("WB-E-046", "Sizes of groups are no whole numbers.", f"column n · {wrong} row(s)")
    return rates.with_columns(size.cast(pl.Int64).alias("n"), pl.col("rate").str.strip_chars())
