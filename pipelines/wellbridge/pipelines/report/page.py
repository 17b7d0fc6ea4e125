"""Render the page: one HTML file, styles inside, no script, nothing fetched, same model same bytes."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path
from typing import Final

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from wellbridge.etl.landing import write_private
from wellbridge.etl.store import open_store
from wellbridge.pipelines.policy.site_rules import rules_of
from wellbridge.pipelines.report.build import build_report
from wellbridge.pipelines.report.model import SiteReport
from wellbridge.pipelines.site import Site
from wellbridge.schemas.warehouse import METADATA

PAGE: Final = "district.html"


def render_site_report(model: SiteReport) -> str:
    """Return the page as HTML, UTF-8, self-contained."""
    style = _resource("page.css")
    return (
        _environment()
        .get_template("page.html.j2")
        .render(model=model, style=Markup(style), policy=_policy(style))
    )


def write_site_report(site: Site) -> Path:
    """Build the site's page from its warehouse and write it; return where.

    Raises:
        StoreError: WB-E-050 when there is no warehouse yet.
    """
    least = max(site.min_cell, rules_of(site.root).number("min_cell"))
    with open_store(site.warehouse, METADATA, read_only=True) as store:
        page = render_site_report(build_report(store, district=site.district, min_n=least))
    site.reports.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = site.reports / PAGE
    write_private(path, page)
    return path


def _policy(style: str) -> str:
    """Content-Security-Policy: nothing but this one style sheet."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    allowed = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:"
    return f"{allowed}; base-uri 'none'; form-action 'none'"


def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
