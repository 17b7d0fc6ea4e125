"""The record files that were released: what they tell of an agreement's codes, and of whose codes they tell."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from wellbridge.pipelines.extract_tables import DataFile
from wellbridge.pipelines.release_history import folders
from wellbridge.privacy.manifest import read_manifest
from wellbridge.privacy.records.anonymize import FOLLOWED
from wellbridge.privacy.records.history import classes, pasts, standing_alone
from wellbridge.schemas.errors import PrivacyError, SourceError


@dataclass(frozen=True)
class Told:
    """A record file that was released.

    Attributes:
        release: its folder's name.
        agreement: id of its agreement.
        code: its column of codes.
        rows: what it holds, as text.
        quasi: its quasi-identifiers.
    """

    release: str
    agreement: str
    code: str
    rows: pl.DataFrame
    quasi: Sequence[str]

    @property
    def classes(self) -> pl.DataFrame:
        """The class of each of its codes; see ``records.history.classes``."""
        return classes(self.rows, self.quasi, self.code)


def record_files(out_dir: Path) -> list[Told]:
    """Read the record files that were released, oldest first.

    Raises:
        SourceError: WB-E-023 when one cannot be read.
    """
    found = [(manifest["created"], folder, manifest) for folder in folders(out_dir)
             if (manifest := read_manifest(folder)) is not None]
    return [
        Told(folder.name, manifest["agreement"]["id"], table["code"], _rows(folder, table), table["quasi"])
        for _, folder, manifest in sorted(found, key=lambda one: (one[0], one[1].name))
        for table in manifest["tables"] if table["kind"] == "records"
    ]


def known_pasts(earlier: Sequence[Told], agreement_id: str) -> pl.DataFrame:
    """Return what the record files of an agreement tell of their codes; see ``records.history.pasts``."""
    return pasts([one.classes for one in earlier if one.agreement == agreement_id])


def check_codes(earlier: Sequence[Told], file: DataFile, agreement_id: str, k: int) -> None:
    """Refuse a record file whose codes single a child out beside all that was released.

    What made it followed the codes already; this reads the file as its holders will.

    Args:
        earlier: the record files that were released.
        file: the one that is about to be.
        agreement_id: of its agreement.
        k: least number of children who share a sequence.

    Raises:
        PrivacyError: WB-E-074 when a code is in a file of another agreement (F-05); WB-E-043 when fewer than ``k``
            children share a sequence.

    Source: 34 CFR 99.31(b)(1), "whether through single or multiple releases"; 99.31(b)(2).
    """
    code = str(file.facts["code"])
    for one in earlier:
        if one.agreement != agreement_id:
            _check_apart(one.release, one.rows[one.code], file.frame[code])
    told = known_pasts(earlier, agreement_id)
    alone = standing_alone(told, classes(file.frame, list(file.facts["quasi"]), code), k) if told.height else 0
    if alone:
        raise PrivacyError(
            "WB-E-043", f"Beside earlier record files of the agreement {alone} children would be alone, or among fewer "
            f"than {k}, with what their codes tell.", f"file {file.name} · agreement {agreement_id}", todo=FOLLOWED,
        )


def _check_apart(name: str, theirs: pl.Series, ours: pl.Series) -> None:
    shared = int(ours.is_in(theirs.unique().to_list()).sum())
    if shared:
        raise PrivacyError(
            "WB-E-074", f"{shared} code(s) are in a file of another agreement.", f"release {name} · column code · F-05",
            todo="Draw the agreement's codes anew; two recipients must not share a code",
        )


def _rows(folder: Path, table: Mapping[str, Any]) -> pl.DataFrame:
    rows = None
    try:
        with (folder / table["file"]).open(encoding="utf-8", newline="") as source:
            lines = list(csv.reader(source, strict=True))
        rows = pl.DataFrame(lines[1:], schema=dict.fromkeys(lines[0], pl.String), orient="row")
    except (OSError, ValueError, IndexError, csv.Error, pl.exceptions.PolarsError):
        rows = None
    if rows is None or not {table["code"], *table["quasi"]} <= set(rows.columns):
        raise SourceError("WB-E-023", "An earlier record file cannot be read.", f"release {folder.name}")
    return rows
