"""A synthetic district with the truth: what every partner sends over some nights, and what is really so."""

from __future__ import annotations

from wellbridge.pipelines.synth.generate import generate

__all__ = ["generate"]
