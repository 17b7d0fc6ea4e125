"""Every table that was ever released, attacked together with those that are about to be."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from wellbridge.etl.landing import sync, write_private
from wellbridge.pipelines.extract_tables import DataFile, Hide
from wellbridge.pipelines.policy.release import Limits
from wellbridge.pipelines.release_tables import SIZES, Cell, Contents, Told, columns_of, told_by, told_in
from wellbridge.privacy.formula import neutralise
from wellbridge.privacy.manifest import NAME, read_manifest
from wellbridge.privacy.seal import private_folder
from wellbridge.privacy.tables.further import ROUNDS, Beside, Remedy, refusal, remedy
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.released import counted_by
from wellbridge.schemas.errors import PrivacyError

PAGE: Final = "page"  # the extract that the page is
PAGES: Final = ".pages"  # in the folder of releases: what the lead's page printed of measures, day by day


def check_history(out_dir: Path, manifest: Mapping[str, Any], contents: Contents) -> None:
    """Refuse a release that gives a small count away beside earlier ones, whoever received them.

    Args:
        out_dir: the folder of releases.
        manifest: of the release that is about to be published.
        contents: its files, see ``with_sizes``.

    Raises:
        PrivacyError: WB-E-042, naming the earlier releases and the dimension to drop.

    Source: 34 CFR 99.31(b)(1), "whether through single or multiple releases".
    """
    new, seen = _beside(out_dir, manifest, contents)
    if seen.exposures:
        raise _refused(str(manifest["extract"]), new, seen)


def _beside(out_dir: Path, manifest: Mapping[str, Any], contents: Contents) -> tuple[list[Told], Remedy]:
    new = told_by(str(manifest["extract"]), manifest, contents)
    seen = [*folders(out_dir), *_pages(out_dir, manifest)]
    earlier = [one for folder in seen for one in _told_in(folder)] if new else []
    if not earlier:
        return new, Remedy((), {}, (), 0)
    counted = counted_by([one.table for one in (*earlier, *new)])
    new, earlier = ([one for one in told if one.table.tells_of(counted)] for told in (new, earlier))
    return new, remedy([one.table for one in earlier], [one.table for one in new])


def _refused(extract: str, new: Sequence[Told], seen: Remedy) -> Beside:
    """Return the refusal that names the extract, the file that leans in most, and its column."""
    blamed = [new[number] for number in seen.leaning] or list(new)
    first = blamed[0]
    own = columns_of([one for one in blamed if one.file == first.file])
    whose = f"extract {extract} · file {first.file}"
    return refusal(seen, own, whose=whose, is_record_file=first.table.is_lower_bound)


def folders(out_dir: Path) -> list[Path]:
    """Return the folders of a site's releases."""
    return sorted(path for path in out_dir.glob("*") if path.is_dir() and not path.name.startswith("."))


def _pages(out_dir: Path, manifest: Mapping[str, Any]) -> list[Path]:
    """Return what the page printed on the days of a release. It rounds: pages are not compared with each other."""
    if manifest["extract"] == PAGE:
        return []
    days = {table["on"] for table in manifest["tables"] if "on" in table}
    return sorted(path for day in days for path in (out_dir / PAGES).glob(f"page_{day}_*"))


def remember_page(out_dir: Path, limits: Limits, files: Sequence[DataFile]) -> None:
    """Write down what the page is about to print, so that later releases of its day are attacked beside it.

    Args:
        out_dir: the folder of releases.
        limits: the page's least cell.
        files: its measures, as coarse as they are printed.
    """
    manifest, contents = _draft(PAGE, limits, files)
    contents[NAME] = json.dumps(manifest, sort_keys=True).encode()
    _keep(out_dir / PAGES / f"page_{files[0].facts['on']}_{digest_of(contents)[:12]}", contents)


def digest_of(contents: Contents) -> str:
    """Return the digest of files that were written down together."""
    return hashlib.sha256(b"".join(contents[name] for name in sorted(contents))).hexdigest()


def with_sizes(files: Sequence[DataFile], contents: Contents) -> Contents:
    """Return the contents of files as somebody holds them who knows the sizes that shares are released without."""
    return {**contents, **{file.name: _known(file) for file in files if file.sizes is not None}}


def remember_sizes(out_dir: Path, release: str, files: Sequence[DataFile]) -> str:
    """Write down the sizes that the shares of a release stand without: later releases are attacked with them.

    A reader can know them from public enrolment counts or other releases, and no release tells which. The digest of
    what is kept is returned; it is empty where every size is printed.

    Args:
        out_dir: the folder of releases.
        release: the name of the release's folder.
        files: its data files.
    """
    contents = with_sizes(files, {})
    if not contents:
        return ""
    _keep(out_dir / SIZES / release, contents)
    return digest_of(contents)


def _keep(folder: Path, contents: Contents) -> None:
    """Write a folder for its owner's eyes, whole or not at all; its name says what is in it, so it is written once."""
    if folder.exists():
        return
    aside = folder.with_name(f".{secrets.token_hex(8)}")
    private_folder(aside)
    for name, content in contents.items():
        write_private(aside / name, content.decode())
    sync(aside)
    aside.rename(folder)
    sync(folder.parent)


def _known(file: DataFile) -> bytes:
    return neutralise(file.known)[0].write_csv().encode()


def _told_in(folder: Path) -> list[Told]:
    manifest = read_manifest(folder)
    if manifest is None:
        return []
    return told_in(folder, manifest)


def beside_earlier(
    out_dir: Path, extract: str, limits: Limits, make: Callable[[Hide], list[DataFile]]
) -> list[DataFile]:
    """Make the files of a release so that they give nothing away beside earlier releases.

    Args:
        out_dir: the folder of releases.
        extract: the extract's id.
        limits: the least cell and class.
        make: makes the files, given what must be hidden in them.

    Raises:
        PrivacyError: WB-E-042 when that cannot be, naming the earlier releases and the dimension to drop.
    """
    hide: dict[str, list[Cell]] = {}
    files = make(hide)
    for _ in range(ROUNDS):
        new, seen = _beside(out_dir, *_draft(extract, limits, files))
        if not seen.exposures:
            return files
        more = _hidden_by(files, new, seen)
        for name, cells in more.items():
            hide.setdefault(name, []).extend(cells)
        again = _made(make, hide) if more else None
        if again is None:
            break
        files = again
    raise _refused(extract, new, seen)


def _made(make: Callable[[Hide], list[DataFile]], hide: Hide) -> list[DataFile] | None:
    """Make the files with more hidden; None where that much cannot be hidden."""
    try:
        return make(hide)
    except PrivacyError as error:
        if error.code != "WB-E-042":
            raise
    return None


def _draft(extract: str, limits: Limits, files: Sequence[DataFile]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return what the manifest and the files will say of the tables to somebody who knows all sizes."""
    manifest = {
        "extract": extract, "min_cell": limits.min_cell, "need": str(Need.STRONG),
        "tables": [{"file": file.name, **file.facts} for file in files],
    }
    return manifest, {file.name: _known(file) for file in files}


def _hidden_by(files: Sequence[DataFile], new: Sequence[Told], seen: Remedy) -> dict[str, list[Cell]]:
    """Return the cells to hide by file; rows of a record file cannot be hidden so."""
    fixed = {file.name for file in files if file.facts["kind"] == "records"}
    out: dict[str, list[Cell]] = {}
    for number, places in seen.hide.items():
        if new[number].file not in fixed:
            out.setdefault(new[number].file, []).extend(new[number].cell(place) for place in places)
    return out
