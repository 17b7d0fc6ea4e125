"""Render a page: one HTML file, style and what script it needs inside, nothing fetched, same model same bytes."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup


def render_page(
    template: str, *styles: str, script: str = "", package: str = __package__, **facts: Any
) -> str:
    """Return a page as HTML, UTF-8, self-contained.

    Args:
        template: its file in the package.
        styles: style sheets of the package, put together in this order.
        script: a script of the package, for a page that is filled in; most have none.
        package: where all of them lie.
        facts: what the template speaks of; ``style``, ``script`` and ``policy`` are added.
    """
    folder = resources.files(package)

    def read(name: str) -> str:
        return folder.joinpath(name).read_text(encoding="utf-8")

    style = "".join(read(name) for name in styles)
    code = read(script) if script else ""
    environment = Environment(
        loader=FunctionLoader(read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(
        **facts, style=Markup(style), script=Markup(code), policy=_policy(style, code)
    )


def _policy(style: str, script: str) -> str:
    """Content-Security-Policy: nothing but this one style sheet and, where there is one, this one script."""
    allowed = f"default-src 'none'; style-src {_source(style)}; img-src data:"
    allowed += f"; script-src {_source(script)}" if script else ""
    return f"{allowed}; base-uri 'none'; form-action 'none'"


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
