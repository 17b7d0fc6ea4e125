"""Importing libraries for less: without others that they look for, and without a search for garbage meanwhile."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Absent:
    """A finder that knows its libraries as not installed, and leaves all others to the finders behind it."""

    def __init__(self, libraries: tuple[str, ...]) -> None:
        self._libraries = libraries

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Fail as an import does of a library that is not installed."""
        if fullname in self._libraries:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


@contextmanager
def absent(*libraries: str) -> Iterator[None]:
    """Let what is imported in the block do without these libraries, unless they were imported before."""
    finder = _Absent(libraries)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Import in the block without the garbage collector, and keep what was imported from it: modules are no garbage.

    Looking through them takes a tenth of the time of an import, again at later collections and when Python ends.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
