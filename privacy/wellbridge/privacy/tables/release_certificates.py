"""Certificates of the aggregate files of a release, made from the files as they are published and from nothing else."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence

import numpy as np
import polars as pl

from wellbridge.privacy.release_verifier import MEASURES, count_of, families, share_ranges
from wellbridge.privacy.tables.attacker import Published
from wellbridge.privacy.tables.audit import Audit, audit
from wellbridge.privacy.tables.certificate import (
    attacked,
    certificate_bytes,
    proof_of,
    public_certificate,
    table_bytes,
)
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.protection import Dimension, as_published
from wellbridge.privacy.tables.sums import Bools, Ints, Sums
from wellbridge.schemas.errors import PrivacyError


def certified_counts(
    name: str, table: pl.DataFrame, axes: Sequence[Sequence[str]], count: str, min_cell: int
) -> tuple[bytes, bytes]:
    """Return a table of counts and its certificate as they are written.

    Args:
        name: of the file.
        table: the full cross as it is published, names made harmless, the count null where hidden.
        axes: each dimension's columns, finest first.
        count: the column of counts.
        min_cell: smallest count that may be shown.

    Raises:
        PrivacyError: WB-E-042 when what is published gives a count away.
    """
    found = as_published(
        table.with_columns(pl.col(count).cast(pl.Float64)), by=[Dimension(tuple(columns)) for columns in axes],
        count=count, min_cell=min_cell, need=Need.STRONG,
    )
    content, seen = table_bytes(found), attacked(found)
    _check(name, seen)
    return content, certificate_bytes({**public_certificate(found, content, seen), "file": name})


def certified_measures(
    name: str, content: bytes, means: Sequence[str], adding_up: Sequence[Sequence[str]], min_cell: int
) -> bytes:
    """Return the certificate of a file of measures.

    Args:
        name: of the file.
        content: the file as it is published.
        means: measures whose value is a mean of all that are counted.
        adding_up: measure, period and dimension of breakdowns whose members add up to the whole.
        min_cell: smallest count that may be shown.

    Raises:
        PrivacyError: WB-E-042 when what is published gives a count away.
    """
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    published, is_open = _published(rows, means, families(rows, [list(entry) for entry in adding_up]))
    seen = audit(published, min_cell=min_cell, is_strong=True, targets=is_open)
    _check(name, seen)
    return certificate_bytes({
        "format": MEASURES, "file": name, "sha256": hashlib.sha256(content).hexdigest(), "min_cell": min_cell,
        "need": str(Need.STRONG), "means": list(means), "adding_up": [list(entry) for entry in adding_up],
        **proof_of(seen, min_cell, Need.STRONG, len(rows) + 1, is_open[published.hidden]),
    })


def _published(
    rows: list[dict[str, str]], means: Sequence[str], parents: list[list[int]]
) -> tuple[Published, Bools]:
    """Return the counts behind the rows, those with, those without and all of each, and which must stay open."""
    ranges = [one for row in rows for one in share_ranges(row, means)]
    hidden: Bools = np.array([count_of(one) is None for one in ranges], dtype=np.bool_)
    lower, upper = (np.array([one[end] for one in ranges], dtype=np.int64) for end in (0, 1))
    sums = Sums()
    cells: Ints = sums.add_cells(lower).reshape(-1, 3)
    sums.add_relations(cells[:, 2], cells[:, :2])
    for of_rows in parents:
        above = np.array(of_rows)
        for whole in np.unique(above[above >= 0]):
            sums.add_relations(cells[whole], cells[above == whole].T)
    is_open: Bools = np.array([one[2] for one in ranges], dtype=np.bool_)
    return Published(np.where(hidden, 0, lower), hidden, lower, upper, sums.links), is_open & hidden


def _check(name: str, seen: Audit) -> None:
    found = len(seen.given_away) + len(seen.narrowed)
    if found:
        raise PrivacyError("WB-E-042", f"What is published gives {found} hidden count(s) away.", f"file {name}")
