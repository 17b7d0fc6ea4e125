"""One run at a time: a lock that the system frees when its holder dies."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from wellbridge.schemas.errors import LockedError, StoreError


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Hold the site's lock.

    Raises:
        LockedError: WB-E-060, naming the holder's process and start.
        StoreError: WB-E-050 when the state folder is missing.
    """
    if not path.parent.is_dir():
        raise StoreError("WB-E-050", "The site's state folder is missing.", path.parent.name)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _try(handle):
            raise LockedError("WB-E-060", "Another run holds the lock.", holder(path) or "process unknown")
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps({"pid": os.getpid(), "since": datetime.now(UTC).isoformat()}).encode())
        try:
            yield
        finally:
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def holder(path: Path) -> str | None:
    """Return who holds the lock, None where nobody does.

    The lock's file is read and the lock not taken: who takes it only to look stops a run that starts at that moment.
    """
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return f"process {found['pid']} · since {found['since']}" if _is_alive(found["pid"]) else None


def _is_alive(process: int) -> bool:
    """Say whether a process is there; one that was killed leaves its name in the lock's file."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
