"""What the shapes of all sources share."""

from __future__ import annotations

from typing import Final

import polars as pl
import sqlalchemy as sa

_MARK: Final = "_id"  # the walk's number of the source row


def table_rows(frame: pl.DataFrame, table: sa.Table) -> pl.DataFrame:
    """Keep the columns that the warehouse table has, and the row's mark."""
    return frame.select(name for name in frame.columns if name == _MARK or name in table.columns)
