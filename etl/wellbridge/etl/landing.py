"""The landing store: each delivery copied once, sealed, under the hash of its name and content.

The same bytes twice under the same name are one delivery. Under another name they are another one: two days without
a row are the same bytes, and so is a file that was held for its name and comes again with the right one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import BinaryIO, Final

from wellbridge.etl.failpoint import reach
from wellbridge.etl.inbox import Arrival
from wellbridge.privacy.seal import Sealer, private_file, private_folder
from wellbridge.schemas.errors import StoreError

_DATED: Final = re.compile(
    r"^(?P<stream>.*?)[_-]?(?P<start>\d{4}-\d{2}-\d{2})(?:_(?P<end>\d{4}-\d{2}-\d{2}))?(?:_r(?P<revision>\d+))?$"
)
_YEARLY: Final = re.compile(r"^(?P<stream>.*?)[_-]?(?P<year>(?:19|20)\d{2})(?:_r(?P<revision>\d+))?$")
_NUMBERED: Final = re.compile(r"^(?P<stream>.+)_r(?P<revision>\d+)$")
_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Period:
    """The days and the revision that a delivery's name declares."""

    stream: str
    start: date | None
    end: date | None
    revision: int


def read_period(name: str) -> Period:
    """Read stream, period and revision from a delivery's name: ``attendance_2026-10-19_r2.csv``."""
    stem = name.split(".", 1)[0]
    dated = _DATED.match(stem)
    if dated:
        start, end = _day(dated["start"]), _day(dated["end"] or dated["start"])
        if start and end and start <= end:
            return Period(dated["stream"] or stem, start, end, int(dated["revision"] or 1))
    yearly = _YEARLY.match(stem)
    if yearly:
        year = int(yearly["year"])
        return Period(yearly["stream"], date(year, 1, 1), date(year, 12, 31), int(yearly["revision"] or 1))
    numbered = _NUMBERED.match(stem)
    if numbered:
        return Period(numbered["stream"], None, None, int(numbered["revision"]))
    return Period(stem, None, None, 1)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def write_private(path: Path, text: str) -> None:
    """Write a small file that only its owner may read, atomically and durably."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with private_file(temporary) as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


class Landing:
    """The landing store of a site.

    Args:
        folder: where sealed deliveries lie, by hash.
        work: private folder for the plain copies of the running night; emptied at the start of each.
        sealer: seals and opens the copies.
    """

    def __init__(self, folder: Path, work: Path, sealer: Sealer) -> None:
        self._folder, self._work, self._sealer = folder, work, sealer

    def clear_work(self) -> None:
        """Remove plain copies that a killed run left behind."""
        shutil.rmtree(self._work, ignore_errors=True)
        private_folder(self._work)

    def copy(self, arrival: Arrival) -> tuple[str, Mapping[str, Path]]:
        """Copy a delivery to the private work folder; return its batch id and member → path.

        What is hashed is what will be read: a file that changes afterwards is another delivery.
        """
        staging = self._work / f"in-{os.urandom(8).hex()}"
        hashes = {}
        for name, path in arrival.members().items():
            target = staging / name
            private_folder(target.parent)
            with path.open("rb") as source, private_file(target) as copy:
                hashes[name] = _copy_and_hash(source, copy)
        sidecar = arrival.path.with_name(arrival.path.name + ".done")
        if sidecar.is_file():
            with private_file(staging / sidecar.name) as copy:
                copy.write(sidecar.read_bytes())
        batch_id = batch_id_of(arrival, hashes)
        place = self._work / batch_id
        if place.exists():
            shutil.rmtree(place)
        private_folder(staging)
        staging.rename(place)
        return batch_id, {name: place / name for name in hashes}

    def seal(self, batch_id: str, files: Mapping[str, Path]) -> None:
        """Keep a copied delivery, sealed, under its hash. Doing it again changes nothing."""
        final = self._place(batch_id)
        if final.exists():
            return
        temporary = final.with_name(f"{batch_id}.new")
        shutil.rmtree(temporary, ignore_errors=True)
        private_folder(temporary)
        index = {f"{number:06d}": name for number, name in enumerate(sorted(files))}
        for number, name in index.items():
            with files[name].open("rb") as source, private_file(temporary / number) as target:
                self._sealer.seal(source, target)
                _sync_file(target)
        write_private(temporary / "members.json", json.dumps(index))
        reach("landing.written")
        temporary.rename(final)
        sync(final.parent)

    def open(self, batch_id: str) -> Mapping[str, Path]:
        """Open a landed delivery into the work folder; return member → path.

        Raises:
            StoreError: WB-E-053 when the landing store has it no more; WB-E-052 when it does not open.
        """
        place = self._work / batch_id
        sealed = self._place(batch_id)
        try:
            index = json.loads((sealed / "members.json").read_text())
        except (OSError, ValueError):
            index = None
        if index is None or not all((sealed / number).is_file() for number in index):
            raise StoreError("WB-E-053", "A delivery that is needed again is not in the landing store.",
                             f"batch {batch_id}")  # fmt: skip
        for number, name in index.items():
            target = place / name
            if target.exists():
                continue
            private_folder(target.parent)
            with (sealed / number).open("rb") as source, private_file(target) as plain:
                self._sealer.open(source, plain)
        return {name: place / name for name in index.values()}

    def forget_plain(self, batch_id: str) -> None:
        """Remove the plain copy of a delivery."""
        shutil.rmtree(self._work / batch_id, ignore_errors=True)

    def _place(self, batch_id: str) -> Path:
        return self._folder / batch_id[:2] / batch_id


def _copy_and_hash(source: BinaryIO, target: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := source.read(_BLOCK_BYTES):
        digest.update(block)
        target.write(block)
    return digest.hexdigest()


def batch_id_of(arrival: Arrival, hashes: Mapping[str, str]) -> str:
    """Return a delivery's id: a hash over its feed, what its name declares, and its members' names and hashes."""
    name = arrival.path.name
    period = read_period(name)
    claim = [
        arrival.feed,
        period.stream,
        period.start,
        period.end,
        period.revision,
        name.partition(".")[2].lower(),
    ]
    content = sorted(hashes.items()) if arrival.is_folder else sorted(hashes.values())
    return hashlib.sha256(json.dumps([claim, content], default=str).encode()).hexdigest()


def _sync_file(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Make a file's content, or a folder's entries, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
