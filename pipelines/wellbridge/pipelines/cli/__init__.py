"""The command line. This module imports click and the standard library only: ``--help`` must be instant."""

from __future__ import annotations

from wellbridge.schemas.imports import undisturbed

with undisturbed():
    from wellbridge.pipelines.cli.group import main

__all__ = ["main"]
