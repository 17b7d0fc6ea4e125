"""A record file beside the earlier ones of its agreement, and its codes beside those of all others."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from wellbridge.pipelines.extract_definitions import ExtractDefinition
from wellbridge.pipelines.extract_tables import DataFile
from wellbridge.pipelines.release_history import folders
from wellbridge.privacy.manifest import read_manifest
from wellbridge.privacy.records.check import check_release, class_sizes
from wellbridge.privacy.records.criteria import Criteria
from wellbridge.privacy.records.history import classes, keep_sequences
from wellbridge.schemas.errors import PrivacyError, SourceError

TODO: Final = (
    "Keep the quasi-identifiers and their levels as they were, wait until more children have changed, or release under "
    "a new agreement: its codes cannot be followed"
)


def followed(out_dir: Path, file: DataFile, definition: ExtractDefinition, agreement_id: str, k: int) -> DataFile:
    """Return a record file without whom its codes would single out beside the agreement's earlier files.

    Args:
        out_dir: the folder of releases.
        file: the record file, safe alone.
        definition: of its extract.
        agreement_id: of its agreement.
        k: least number of children who share a sequence.

    Raises:
        PrivacyError: WB-E-074 when a code is in a file of another agreement (F-05); WB-E-043 when more children than
            the definition allows would be left out, or classes no longer keep what is asked of them.
        SourceError: WB-E-023 when an earlier file cannot be read.

    Source: 34 CFR 99.31(b)(1), "whether through single or multiple releases"; 99.31(b)(2).
    """
    code, quasi = str(file.facts["code"]), list(file.facts["quasi"])
    earlier = []
    for name, agreement, table, rows in _earlier(out_dir):
        if agreement != agreement_id:
            _check_apart(name, rows[table["code"]], file.frame[code])
        else:
            earlier.append(classes(rows, table["quasi"], table["code"]))
    kept = keep_sequences(earlier, classes(file.frame, quasi, code), k)
    out = int(file.hidden["hidden"]) + len(kept.left_out)
    if kept.stuck or out > definition.max_suppressed * int(file.hidden["persons"]):
        raise PrivacyError(
            "WB-E-043", f"Beside {len(earlier)} earlier record file(s) of the agreement {out} of "
            f"{file.hidden['persons']} children would be left out, so that codes single nobody out"
            + (f", and {kept.stuck} would still stand alone." if kept.stuck else "."),
            f"extracts/{definition.id}.toml · max_suppressed · agreement {agreement_id}", todo=TODO,
        )
    if not kept.left_out:
        return file
    frame = file.frame.filter(~pl.col(code).is_in(list(kept.left_out)))
    problem = check_release(frame, quasi, Criteria(k, definition.sensitive), {}, code)
    if problem:
        raise PrivacyError(
            "WB-E-043", f"Beside earlier record files of the agreement {problem}.", f"extracts/{definition.id}.toml",
            todo=TODO,
        )
    return _without(file, frame, quasi, code, len(kept.left_out))


def _without(file: DataFile, frame: pl.DataFrame, quasi: list[str], code: str, left: int) -> DataFile:
    sizes = {str(size): n for size, n in class_sizes(frame, quasi, code).items()}
    total = int(file.hidden["hidden"]) + left
    suppressed = [(what, cell, total if what == "children left out" else n, why)
                  for what, cell, n, why in file.suppressed]
    return replace(
        file, frame=frame, facts={**file.facts, "classes": sizes}, suppressed=suppressed,
        hidden={**file.hidden, "hidden": total}, reasons={**file.reasons, "sequence below k": left},
    )


def _check_apart(name: str, theirs: pl.Series, ours: pl.Series) -> None:
    shared = int(ours.is_in(theirs.unique().to_list()).sum())
    if shared:
        raise PrivacyError(
            "WB-E-074", f"{shared} code(s) are in a file of another agreement.", f"release {name} · column code · F-05",
            todo="Draw the agreement's codes anew; two recipients must not share a code",
        )


def _earlier(out_dir: Path) -> Iterator[tuple[str, str, Mapping[str, Any], pl.DataFrame]]:
    """Yield the record files that were released, oldest first: release, agreement, the manifest's entry, rows."""
    found = [(manifest["created"], folder, manifest) for folder in folders(out_dir)
             if (manifest := read_manifest(folder)) is not None]
    for _, folder, manifest in sorted(found, key=lambda one: (one[0], one[1].name)):
        for table in manifest["tables"]:
            if table["kind"] == "records":
                yield folder.name, manifest["agreement"]["id"], table, _rows(folder, table)


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
