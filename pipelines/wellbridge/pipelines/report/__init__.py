"""Pages for people: the district lead's page, offline, without script, nothing below the minimum cell."""

from __future__ import annotations

from wellbridge.pipelines.report.build import build_report
from wellbridge.pipelines.report.page import render_site_report, write_site_report

__all__ = ["build_report", "render_site_report", "write_site_report"]
