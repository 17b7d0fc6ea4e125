"""Every release that the ledger knows, with its whole folder: beside a history that lacks one, less would be hidden."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from wellbridge.etl.landing import sync
from wellbridge.etl.store import Store
from wellbridge.pipelines.release_history import digest_of
from wellbridge.pipelines.release_tables import SIZES
from wellbridge.privacy.manifest import NAME, manifest_digest, read_manifest
from wellbridge.schemas.errors import PrivacyError

BUILDING: Final = ".building-"  # how the name of a folder begins that is not published yet
EVENT: Final = "extract.build"
_SEPARATOR: Final = " · "
_DETAIL: Final = re.compile("(.+?) · (.+?) · ([0-9a-f]{64})(?: · ([0-9a-f]{64}))?")


@dataclass(frozen=True)
class Recorded:
    """What the ledger knows of a release.

    Attributes:
        extract, agreement: their ids.
        digest: of its manifest.
        sizes: digest of the sizes that its shares left without; empty where there are none.
    """

    extract: str
    agreement: str
    digest: str
    sizes: str = ""

    def detail(self) -> str:
        """Return the words of its event."""
        return _SEPARATOR.join(
            part for part in (self.extract, self.agreement, self.digest, self.sizes) if part
        )


def release_name(extract: str, created: str, digest: str) -> str:
    """Return the name of a release's folder, given its extract, when it was created, and its manifest's digest."""
    return f"{extract}_{created[:10]}_{digest[:12]}"


def check_kept(warehouse: Store, out_dir: Path) -> None:
    """Refuse to go on without the whole history; call it before anything is made that has to fit to it.

    A build that was killed after the ledger knew of it is published first, so that every event has its folder.

    Args:
        warehouse: whose ledger counts, opened for reading.
        out_dir: the folder of releases, locked by the caller.

    Raises:
        PrivacyError: WB-E-048 naming the folders, and what of them is not as the ledger and their manifests say.

    Source: 34 CFR 99.31(b)(1), "whether through single or multiple releases".
    """
    recorded = _recorded(warehouse)
    _finish(out_dir, {one.digest for one in recorded})
    gone = list(_lacking(out_dir, recorded))
    if gone:
        raise PrivacyError(
            "WB-E-048",
            f"{len(gone)} of {len(recorded)} earlier releases are missing, or not as they were released.",
            _SEPARATOR.join(gone),
        )


def lacking(warehouse: Store, out_dir: Path) -> list[str]:
    """Return the names of releases that are not whole, each with what of it is not; nothing is changed."""
    return list(_lacking(out_dir, _recorded(warehouse)))


def _recorded(warehouse: Store) -> list[Recorded]:
    events = warehouse.frame(f"SELECT detail FROM ledger_event WHERE action = '{EVENT}' ORDER BY seq")
    found = [_DETAIL.fullmatch(detail) for detail in events["detail"]]
    return [Recorded(*one.groups(default="")) for one in found if one is not None]


def _finish(out_dir: Path, digests: set[str]) -> None:
    """Publish what killed builds had told the ledger, and clear away what they had not."""
    for aside in out_dir.glob(f"{BUILDING}*"):
        manifest = read_manifest(aside)
        digest = None if manifest is None else manifest_digest(manifest)
        target = None if manifest is None or digest not in digests else out_dir / _name_in(manifest)
        if target is None or target.exists():
            shutil.rmtree(aside)
        else:
            aside.rename(target)
            sync(out_dir)


def _lacking(out_dir: Path, recorded: Sequence[Recorded]) -> Iterator[str]:
    for one in recorded:
        named = sorted(out_dir.glob(f"*_{one.digest[:12]}"))
        problems = [_problem(folder, one) for folder in (*named, *out_dir.glob(f"{BUILDING}*"))]
        if all(problems):
            # The day is in the folder's name alone, so a folder that is gone is named without.
            gone = f"{release_name(one.extract, '*', one.digest)}: its folder"
            yield f"release {named[0].name}: {problems[0]}" if named else f"release {gone}"


def _problem(folder: Path, one: Recorded) -> str:
    """Return what of a folder is not as it was released; nothing where all is."""
    content = _bytes(folder / NAME)
    if content is None or sha256(content).hexdigest() != one.digest:
        return NAME
    manifest = json.loads(content)  # as it was written: its digest is the ledger's
    name = _name_in(manifest)
    if not folder.name.startswith(BUILDING) and folder.name != name:
        return "its name"
    for file, facts in manifest["files"].items():
        found = _bytes(folder / file)
        if found is None or sha256(found).hexdigest() != facts["sha256"]:
            return str(file)
    alone = [table["file"] for table in manifest["tables"] if table.get("percent_only")]
    kept = {file: _bytes(folder.parent / SIZES / name / file) for file in alone}
    whole = {file: content for file, content in kept.items() if content is not None}
    is_kept = len(whole) == len(alone) and (not one.sizes or digest_of(whole) == one.sizes)
    return "" if is_kept else f"its sizes, {SIZES}/{name}"


def _name_in(manifest: dict[str, Any]) -> str:
    return release_name(manifest["extract"], manifest["created"], manifest_digest(manifest))


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
