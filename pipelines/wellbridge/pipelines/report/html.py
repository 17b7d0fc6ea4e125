"""Render a page: one HTML file, style inside, no script, nothing fetched, same model same bytes."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup


def render_page(template: str, *styles: str, package: str = __package__, **facts: Any) -> str:
    """Return a page as HTML, UTF-8, self-contained.

    Args:
        template: its file in the package.
        styles: style sheets of the package, put together in this order.
        package: where both lie.
        facts: what the template speaks of; ``style`` and ``policy`` are added.
    """
    folder = resources.files(package)

    def read(name: str) -> str:
        return folder.joinpath(name).read_text(encoding="utf-8")

    style = "".join(read(name) for name in styles)
    environment = Environment(
        loader=FunctionLoader(read), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**facts, style=Markup(style), policy=_policy(style))


def _policy(style: str) -> str:
    """Content-Security-Policy: nothing but this one style sheet."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    allowed = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:"
    return f"{allowed}; base-uri 'none'; form-action 'none'"
