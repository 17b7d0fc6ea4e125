"""Every table of counts that was ever released, attacked together with one that is about to be."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from wellbridge.privacy.manifest import read_manifest
from wellbridge.privacy.tables.joint import ReleasedTable, attack_together, released_rows
from wellbridge.privacy.tables.linked import Need
from wellbridge.schemas.errors import PrivacyError

Contents = Mapping[str, bytes]


def check_history(out_dir: Path, manifest: Mapping[str, Any], contents: Contents) -> None:
    """Refuse a release that gives a small count away beside earlier ones, whoever received them.

    Args:
        out_dir: the folder of releases.
        manifest: of the release that is about to be published.
        contents: its files.

    Raises:
        PrivacyError: WB-E-042, naming the earlier releases.

    Source: 34 CFR 99.31(b)(1), "whether through single or multiple releases".
    """
    new = _tables(str(manifest["extract"]), manifest, contents)
    earlier = [table for folder in _folders(out_dir) for table in _released(folder)]
    if not new or not earlier:
        return
    found = attack_together([*earlier, *new])
    ours = set(found.groups[len(earlier):])
    beside = sorted({name for name, group in zip(found.releases, found.groups[:len(earlier)], strict=False)
                     if group in ours})
    if beside and found.given_away + found.narrowed:
        raise PrivacyError(
            "WB-E-042", f"Beside {len(beside)} earlier release(s) {found.given_away} small count(s) could be worked "
            f"out, and {found.narrowed} would be certainly small.", f"releases {', '.join(beside)}",
            todo="Release the tables as they were, or drop the dimension that is new",
        )


def _folders(out_dir: Path) -> list[Path]:
    return sorted(path for path in out_dir.glob("*") if path.is_dir() and not path.name.startswith("."))


def _released(folder: Path) -> list[ReleasedTable]:
    manifest = read_manifest(folder)
    if manifest is None:
        return []
    names = [table["file"] for table in manifest["tables"] if table["kind"] == "counts"]
    return _tables(folder.name, manifest, {name: (folder / name).read_bytes() for name in names})


def _tables(name: str, manifest: Mapping[str, Any], contents: Contents) -> list[ReleasedTable]:
    return [
        released_rows(
            name, pl.read_csv(io.BytesIO(contents[table["file"]]), infer_schema=False), axes=table["axes"],
            count=table["count"], min_cell=manifest["min_cell"], is_strong=manifest["need"] == Need.STRONG,
        )
        for table in manifest["tables"] if table["kind"] == "counts"
    ]
