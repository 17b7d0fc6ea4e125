"""The mistakes of people who write down children, over whole columns at once.

Each function takes a column and the rows that are to be wrong; a row that a mistake does not fit stays right.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

Rows = NDArray[np.bool_]
_LETTERS: Final = [chr(code) for code in range(ord("a"), ord("z") + 1)]
# What is read from paper or heard on the telephone: (written, taken for). The first that fits is used.
_LOOKS: Final = (
    ("rn", "m"),
    ("m", "rn"),
    ("cl", "d"),
    ("l", "1"),
    ("o", "0"),
    ("u", "v"),
    ("h", "b"),
    ("e", "c"),
)
_SOUNDS: Final = (
    ("ph", "f"), ("ck", "k"), ("th", "t"), ("ei", "ie"), ("y", "i"), ("z", "s"), ("x", "ks"), ("c", "k"), ("nn", "n"),
    ("ll", "l"), ("ss", "s"), ("v", "b"), ("i", "y"), ("s", "z"), ("k", "c"),
)  # fmt: skip


def chance(rng: np.random.Generator, size: int, share: float) -> Rows:
    """Mark each row with the given probability."""
    return rng.random(size) < share


def where(rows: Rows, changed: pl.Series, column: pl.Series) -> pl.Series:
    """Return ``column`` with the marked rows from ``changed``."""
    return changed.zip_with(pl.Series(rows), column).alias(column.name)


def blank(column: pl.Series, rows: Rows) -> pl.Series:
    """Leave the marked rows empty."""
    return where(rows, pl.Series([None], dtype=column.dtype).new_from_index(0, len(column)), column)


def mistype(rng: np.random.Generator, column: pl.Series, rows: Rows) -> pl.Series:
    """Make one slip in each marked text: a letter more, one less, two swapped, one wrong, misread or misheard."""
    at = np.flatnonzero(rows)
    text = column.gather(at).alias("text")
    letters = text.str.len_chars().fill_null(0).to_numpy()
    frame = pl.DataFrame(
        {
            "text": text,
            "place": (rng.random(len(at)) * np.maximum(letters - 1, 1)).astype(np.int64),
            "letter": pl.Series(_LETTERS).gather(rng.integers(0, 26, len(at))),
            "kind": rng.integers(0, 6, len(at)),
        }
    )
    before = pl.col("text").str.slice(0, "place")
    here, following = (pl.col("text").str.slice(pl.col("place") + n, 1) for n in (0, 1))
    after, beyond = (pl.col("text").str.slice(pl.col("place") + n) for n in (1, 2))
    slips = (
        before + pl.col("letter") + pl.col("text").str.slice("place"),
        before + after,
        before + following + here + beyond,
        before + pl.col("letter") + after,
        _first_that_fits(_LOOKS),
        _first_that_fits(_SOUNDS),
    )
    slipped = pl.coalesce(pl.when(pl.col("kind") == n).then(slip) for n, slip in enumerate(slips))
    is_long = pl.col("text").str.len_chars() > 2
    return column.scatter(at, frame.select(pl.when(is_long).then(slipped).otherwise("text")).to_series())


def _first_that_fits(taken_for: tuple[tuple[str, str], ...]) -> pl.Expr:
    """Replace the first mistakable letters; a capital at the beginning is never among them."""
    text = pl.col("text")
    fits = [
        pl.when(text.str.contains(old, literal=True)).then(text.str.replace(old, new, literal=True))
        for old, new in taken_for
    ]
    return pl.coalesce(*fits, text)


def misdate(rng: np.random.Generator, dates: pl.Series, rows: Rows) -> pl.Series:
    """Write each marked birth date wrongly: day and month swapped, another day, or the year before or after."""
    frame = pl.DataFrame(
        {"date": dates, "kind": rng.integers(0, 3, len(dates)), "day": rng.integers(1, 29, len(dates))}
    )
    date = pl.col("date")
    year, month, day = date.dt.year(), date.dt.month(), date.dt.day()
    can_swap = (day <= 12) & (day != month)
    swapped = pl.date(
        year, pl.when(can_swap).then(day).otherwise(month), pl.when(can_swap).then(month).otherwise("day")
    )
    shift = pl.when(pl.col("day") % 2 == 0).then(pl.lit("1y")).otherwise(pl.lit("-1y"))
    wrong = (
        pl.when(pl.col("kind") == 0)
        .then(swapped)
        .when(pl.col("kind") == 1)
        .then(pl.date(year, month, "day"))
        .otherwise(date.dt.offset_by(shift))
    )
    return where(rows, frame.select(wrong).to_series(), dates)


def broken_accents(column: pl.Series, rows: Rows) -> pl.Series:
    """Show each marked text as UTF-8 that was read as Latin-1 (``José`` as ``JosÃ©``)."""
    at = np.flatnonzero(rows)
    texts = [text and text.encode().decode("latin-1") for text in column.gather(at)]
    return column.scatter(at, pl.Series(texts, dtype=pl.String))


def without_accents(column: pl.Series, rows: Rows) -> pl.Series:
    """Drop the accents of each marked text, as systems of one alphabet do."""
    return where(rows, column.str.normalize("NFKD").str.replace_all(r"\p{M}", ""), column)
