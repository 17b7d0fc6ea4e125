"""What lies in a feed's inbox, and what of it was dealt with before.

A small stat cache tells files that were taken already without reading them, so that a night with nothing new costs
next to nothing; the warehouse's ``batch`` table stays the authority.
Such a night imports this module and not the landing store, so it imports nothing that it can do without.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_IGNORED: Final = re.compile(r"^\.|\.(done|part|tmp|filepart|crdownload)$", re.IGNORECASE)


@dataclass(frozen=True)
class Arrival:
    """A file or folder lying in a feed's inbox.

    ``stat`` tells whether it changed since it was last seen: names, sizes and modification times.
    """

    feed: str
    path: Path
    stat: str

    @property
    def is_folder(self) -> bool:
        """Whether the delivery is a folder with members."""
        return self.path.is_dir()

    def members(self) -> dict[str, Path]:
        """Return member name → path; a single file is its own member."""
        if not self.is_folder:
            return {self.path.name: self.path}
        return {
            path.relative_to(self.path).as_posix(): path
            for path in sorted(self.path.rglob("*"))
            if path.is_file() and not _IGNORED.search(path.name)
        }


def arrivals(feed: str, inbox: Path) -> Iterator[Arrival]:
    """Yield what lies in a feed's inbox, in name order."""
    for path in sorted(inbox.iterdir()):
        if not _IGNORED.search(path.name) and (path.is_dir() or path.is_file()):
            yield Arrival(feed, path, _stat(path))


def _stat(path: Path) -> str:
    paths = sorted(path.rglob("*")) if path.is_dir() else [path, path.with_name(path.name + ".done")]
    facts = [
        f"{item.name}:{found.st_size}:{found.st_mtime_ns}"
        for item in paths
        if item.is_file()
        for found in [item.stat()]
    ]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


class SeenFiles:
    """What each inbox path held when it was last dealt with: a cache, safe to delete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, str] = _read_json(path)

    def __contains__(self, arrival: Arrival) -> bool:
        return self._seen.get(self._key(arrival)) == arrival.stat

    def add(self, arrival: Arrival) -> None:
        """Remember an arrival as dealt with."""
        self._seen[self._key(arrival)] = arrival.stat

    def save(self) -> None:
        """Write the cache, whole or not at all."""
        from wellbridge.etl.landing import write_private  # noqa: PLC0415 - a night with nothing new saves nothing

        write_private(self._path, json.dumps(self._seen, sort_keys=True))

    @staticmethod
    def _key(arrival: Arrival) -> str:
        return f"{arrival.feed}/{arrival.path.name}"


def _read_json(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
    except ValueError:  # cut off by a crash: it is only a cache
        return {}
    return found if isinstance(found, dict) else {}
