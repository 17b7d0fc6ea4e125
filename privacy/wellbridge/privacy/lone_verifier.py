"""The verifiers as one file, for whoever checks releases and installs nothing but Python.

It is a zip application (PEP 441) of the sources as they are, so that what runs can be read, and the same sources make
the same bytes: who has a file from one hand can compare it with one from another.
"""

from __future__ import annotations

import io
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Final

_MODULES: Final = tuple(
    f"wellbridge.privacy.{name}" for name in ("release_verifier", "tables.verifier", "tables.amounts_verifier")
)
_START: Final = f"from {_MODULES[0]} import main\n\nmain()\n"
_LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)  # the first day that a zip file knows


def lone_verifier() -> bytes:
    """Return the file: ``python -I -S FILE DIR [--key KEYS.pub] [--sealed SEALED.json]``."""
    sources = {f"{name.replace('.', '/')}.py": Path(str(import_module(name).__file__)).read_text("utf-8")
               for name in _MODULES}
    packages = {f"{folder}/__init__.py": "" for name in sources for folder in list(Path(name).parents)[:-1]}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, source in sorted({**sources, **packages, "__main__.py": _START}.items()):
            file.writestr(zipfile.ZipInfo(name, _LONG_AGO), source, zipfile.ZIP_STORED)
    return buffer.getvalue()
