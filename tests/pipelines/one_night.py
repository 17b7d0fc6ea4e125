"""A synthetic district's site after its first night."""

from __future__ import annotations

from pathlib import Path

from wellbridge.pipelines.demo import deliver
from wellbridge.pipelines.nightly.run import run_night
from wellbridge.pipelines.site import Site, init_site
from wellbridge.pipelines.synth.generate import generate


def after_one_night(root: Path, *, students: int, nights: int, seed: int) -> Site:
    """Make deliveries of some nights in ``root/synthetic`` and a site in ``root/site``, and run the first night."""
    generate(root / "synthetic", students=students, nights=nights, seed=seed)
    site = init_site(root / "site")
    deliver(site, root / "synthetic" / "night-1")
    run_night(site)
    return site
