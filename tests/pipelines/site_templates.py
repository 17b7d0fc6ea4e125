"""The templates of a new site, with days filled in as ``init`` does."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

_FILL = {"{start}": "2026-07-01", "{end}": "2027-06-30", "{destruction}": "2027-12-31", "{district}": "Example"}


def write_templates(root: Path) -> Path:
    """Write a new site's extracts and agreements into a folder; return the folder."""
    source = resources.files("wellbridge.pipelines") / "templates" / "site"
    for folder in ("extracts", "policy/agreements"):
        (root / folder).mkdir(parents=True)
        for item in (source / folder).iterdir():
            text = item.read_text(encoding="utf-8")
            for mark, value in _FILL.items():
                text = text.replace(mark, value)
            (root / folder / item.name).write_text(text, encoding="utf-8")
    return root
