"""The file of rows: which row of a bundle is whose record. It stays with the bundle's owner.

A wrong file of rows puts one child's care on another child, so it names the bundle that it belongs to, and is used
whole or not at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from wellbridge.etl.identity.encoded.bundle import Manifest
from wellbridge.privacy.records.files import read_records
from wellbridge.schemas.errors import SourceError

ROWS: Final = ("row", "record_id", "bundle")


def named(rows: pl.DataFrame, sender: bytes) -> pl.DataFrame:
    """Return the file of rows of a bundle.

    Args:
        rows: ``row`` (from 1) and ``record_id``, null where it is a dummy.
        sender: public key that the bundle is sealed with; no two bundles have the same.
    """
    return rows.select("row", "record_id", pl.lit(sender.hex()).alias("bundle"))


def read_rows(path: Path, manifest: Manifest) -> pl.DataFrame:
    """Read a bundle's file of rows: ``row, record_id`` of every record, null where it is a dummy.

    Raises:
        SourceError: WB-E-090 when it belongs to another bundle, or is not whole: a row missing, twice or strange.
    """
    frame = read_records(path).frame
    missing = [name for name in ROWS if name not in frame.columns]
    if missing:
        raise _unusable(f"The file of rows has no column {missing[0]}.", path)
    rows = frame.select(
        pl.col("row").cast(pl.Int64, strict=False),
        pl.col("record_id").cast(pl.String).replace("", None),
        pl.col("bundle").cast(pl.String),
    )
    if not (rows["bundle"] == manifest.sender).fill_null(False).all():
        raise _unusable("The file of rows belongs to another bundle.", path)
    if not rows["row"].sort().equals(pl.Series("row", range(1, manifest.records + 1), dtype=pl.Int64)):
        counts = f"rows {rows.height:,} · records of the bundle {manifest.records:,}"
        raise _unusable("The file of rows does not have each row of its bundle once.", path, counts)
    return rows.select("row", "record_id")


def _unusable(what: str, path: Path, counts: str = "") -> SourceError:
    return SourceError("WB-E-090", what, " · ".join(filter(None, (f"file {path.name}", counts))))


def with_ids(links: pl.DataFrame, side: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Put the record ids of one side beside links (``SIDE_row``); a link to a dummy is no link and is left out."""
    ids = rows.rename({"row": f"{side}_row", "record_id": f"{side}_id"})
    return links.join(ids, on=f"{side}_row", how="left", maintain_order="left").filter(
        pl.col(f"{side}_id").is_not_null()
    )
