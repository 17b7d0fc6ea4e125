"""The order of a night, its outcome and its exit code.

A night with nothing new ends before any data library is imported or any store is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from wellbridge.etl.inbox import Arrival, SeenFiles, arrivals
from wellbridge.etl.lock import run_lock
from wellbridge.pipelines.site import Feed, Site
from wellbridge.schemas.errors import OUTCOMES, Exit
from wellbridge.schemas.imports import absent, undisturbed

if TYPE_CHECKING:
    import polars as pl

    from wellbridge.etl.vault import Vault

SCHEMA_VERSION: Final = 1
Progress = Callable[[str, str, int], None]


def _silent(_feed: str, _step: str, _rows: int) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class RunReport:
    """What a night did: names, counts and codes only."""

    run_id: str
    exit: Exit
    feeds: dict[str, dict[str, int]] = field(default_factory=dict)
    reasons: list[dict[str, Any]] = field(default_factory=list)
    waiting: list[dict[str, str]] = field(default_factory=list)
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    links: dict[str, Any] | None = None

    def feeds_over(self, limit: float) -> list[str]:
        """Return the feeds of which more than this share of rows is held."""
        return [name for name, counts in self.feeds.items() if counts["held"] > limit * counts["read"]]

    def as_dict(self) -> dict[str, Any]:
        """Return the one JSON document of a run."""
        return {
            "schema_version": SCHEMA_VERSION,
            "outcome": OUTCOMES[self.exit],
            "exit_code": int(self.exit),
            "run_id": self.run_id or None,
            "feeds": [{"feed": name, **counts} for name, counts in self.feeds.items()],
            "reasons": self.reasons,
            "waiting": self.waiting,
            "deliveries": self.deliveries,
            "links": self.links,
            "errors": self.errors,
        }


@dataclass(frozen=True)
class Wanted:
    """What a night is to do beside new deliveries.

    Attributes:
        rows: held rows to try again (``mending.ROWS_SCHEMA``).
        deliveries: whole held deliveries to try again, by batch id.
        change: a change to who is who. It is given the vault and the run's id, takes effect in this night, and
            returns the action and detail of its event in the ledger.
    """

    rows: pl.DataFrame | None = None
    deliveries: tuple[str, ...] = ()
    change: Callable[[Vault, str], tuple[str, str]] | None = None


def forgetting(site: Site) -> Path:
    """Return the mark of a forgetting that has begun and not ended; the next run ends it."""
    return site.key.with_name("forgetting")


def new_arrivals(site: Site, feeds: Iterable[Feed], seen: SeenFiles) -> list[Arrival]:
    """Return what lies in the inboxes and was not dealt with yet."""
    return [a for feed in feeds for a in arrivals(feed.name, feed.inbox) if a not in seen]


def run_night(
    site: Site,
    feeds: Iterable[Feed] | None = None,
    *,
    wanted: Wanted | None = None,
    progress: Progress = _silent,
) -> RunReport:
    """Take every new delivery of the feeds through the walk.

    Args:
        site: the site.
        feeds: the feeds to read; all without.
        wanted: held rows or deliveries to try again.
        progress: called with feed, step and rows so far.

    Raises:
        SafeError: the run stopped; neither the warehouse nor the seen files changed.
    """
    chosen = list(feeds) if feeds is not None else list(site.feeds.values())
    site.check_inboxes(chosen)
    with run_lock(site.lock):
        seen = SeenFiles(site.seen)
        arrived = new_arrivals(site, chosen, seen)
        if not arrived and wanted is None and not forgetting(site).exists():
            return RunReport(run_id="", exit=Exit.NOTHING_NEW)
        # pandera and DuckDB look for both, and importing them takes longer than loading 200,000 rows.
        with absent("pandas", "hypothesis"):
            with undisturbed():
                from wellbridge.pipelines.nightly.walk import run_walk

            return run_walk(site, arrived, seen, wanted or Wanted(), progress)
