"""Releases that already left, attacked together by whoever holds them: a site's, protected tables, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from wellbridge.pipelines.release_tables import told_in
from wellbridge.privacy.manifest import NAME, read_manifest
from wellbridge.privacy.tables.certificate import NAME as CERTIFICATE
from wellbridge.privacy.tables.folders import attack_tables
from wellbridge.privacy.tables.joint import JointAttack
from wellbridge.privacy.tables.released import ReleasedTable, counted_by, read_release
from wellbridge.schemas.errors import SourceError

_UNREADABLE: Final = (KeyError, TypeError, ValueError, AttributeError, OSError, pl.exceptions.PolarsError)


def is_release(path: Path) -> bool:
    """Whether a folder says that it is a site's release or a protected table."""
    return any((path / name).is_file() for name in (NAME, CERTIFICATE))


def attack_releases(folders: Sequence[Path], *, zeros_known: bool = False) -> JointAttack:
    """Attack releases together, as somebody who holds all of them.

    Args:
        folders: releases of a site, and protected tables (``table.csv`` and ``certificate.json``).
        zeros_known: the reader knows that a blank is never zero.

    Raises:
        SourceError: WB-E-023 when a folder holds no release that can be read.
        PrivacyError: see ``attack_together``.
    """
    found = [table for folder in folders for table in _tables(folder)]
    counted = counted_by(found)
    return attack_tables([one for one in found if one.tells_of(counted)], zeros_known=zeros_known)


def _tables(folder: Path) -> list[ReleasedTable]:
    if not (folder / NAME).is_file():
        return [read_release(folder)]
    try:
        told = told_in(folder, read_manifest(folder) or {})
    except _UNREADABLE:
        told = None
    if told is None:
        raise SourceError("WB-E-023", "A folder has a manifest and is no release.", f"folder {folder.name} · {NAME}")
    # A site hides empty cells as well, so its blanks are never known not to be zero.
    return [replace(one.table, name=f"{folder.name}/{one.file}", hides_zeros=True) for one in told]
