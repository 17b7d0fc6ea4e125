"""The district lead's page: built from the warehouse, rendered and written."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from wellbridge.etl.landing import write_private
from wellbridge.etl.lock import run_lock
from wellbridge.etl.store import open_store
from wellbridge.pipelines.policy.site_rules import rules_of
from wellbridge.pipelines.report.build import build_report, newest_day
from wellbridge.pipelines.report.html import render_page
from wellbridge.pipelines.report.model import SiteReport
from wellbridge.pipelines.report.shown import shown_measures
from wellbridge.pipelines.site import Site
from wellbridge.privacy.rules.practice import practice
from wellbridge.schemas.warehouse import METADATA

PAGE: Final = "district.html"


def render_site_report(model: SiteReport) -> str:
    """Return the page as HTML, UTF-8, self-contained."""
    return render_page("page.html.j2", "page.css", model=model)


def write_site_report(site: Site) -> Path:
    """Build the site's page from its warehouse and write it; return where.

    Its measures give nothing away beside the site's releases, and what it prints is written down before it is out.

    Raises:
        StoreError: WB-E-050 when there is no warehouse yet.
        LockedError: WB-E-060 while a run or a release is under way.
        PrivacyError: WB-E-048 when an earlier release is not whole.
    """
    asked = practice(rules_of(site.root))
    with run_lock(site.lock), open_store(site.warehouse, METADATA, read_only=True) as store:
        least = max(site.min_cell, asked.min_cell)
        shown = shown_measures(store, newest_day(store), least, asked, site.releases)
        shown.remember(site.releases)
        report = build_report(store, district=site.district, min_n=least, asked=asked, shown=shown)
        page = render_site_report(report)
    site.reports.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = site.reports / PAGE
    write_private(path, page)
    return path
