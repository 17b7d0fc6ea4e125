"""The demo: a synthetic district's nights through a real site, and what came out held against the truth."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from wellbridge.etl.store import open_store
from wellbridge.etl.vault import VAULT
from wellbridge.pipelines.nightly.night import WHOLE_DELIVERY
from wellbridge.pipelines.nightly.review import held_lines
from wellbridge.pipelines.nightly.run import Progress, RunReport, run_night
from wellbridge.pipelines.site import Site
from wellbridge.schemas.warehouse import METADATA

# Sums in the warehouse are kept to seven decimals, so that they do not depend on the order of rows.
_EXACT: Final = 1e-6
_ROW: Final = ("feed", "file", "row", "rule")


@dataclass(frozen=True)
class Check:
    """One comparison with the truth: how many things agree, and how many do not."""

    name: str
    agree: int
    missing: int
    surplus: int

    @property
    def holds(self) -> bool:
        """Whether nothing is missing and nothing is there that should not be."""
        return self.missing == self.surplus == 0


def deliver(site: Site, night: Path) -> None:
    """Copy a night's deliveries into the site's inboxes, as the partners would."""
    for feed in sorted(path for path in night.iterdir() if path.is_dir()):
        shutil.copytree(feed, site.feeds[feed.name].inbox, dirs_exist_ok=True)


def run_nights(site: Site, synthetic: Path, progress: Progress) -> Iterator[RunReport]:
    """Deliver and run each night of a synthetic district, in order."""
    nights = sorted(synthetic.glob("night-*"), key=lambda path: int(path.name.removeprefix("night-")))
    for night in nights:
        deliver(site, night)
        yield run_night(site, progress=progress)


def check_held(site: Site, truth: Path) -> Check:
    """Compare held rows with planted defects: the same rows, for the same rules."""
    planted = pl.read_csv(truth / "defects.csv", infer_schema=False).with_columns(
        pl.col("row").cast(pl.Int64)
    )
    held = held_lines(site, status=None).filter(
        (pl.col("row") != WHOLE_DELIVERY) & (pl.col("status") != "released")
    )
    return _compare(
        "held rows = planted defects", planted.select(_ROW).unique(), held.select(_ROW).unique(), _ROW
    )


def check_deliveries(site: Site, truth: Path) -> Check:
    """Compare deliveries held whole with those planted as such."""
    planted = (
        pl.read_csv(truth / "deliveries.csv", infer_schema=False)
        .filter(pl.col("rule").is_not_null() & (pl.col("rule") != "") & (pl.col("rule") != "WB-D-002"))
        .select("feed", "name", "rule")
        .unique()
    )
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        held = warehouse.frame("SELECT feed, file_name AS name, rule FROM batch WHERE status = 'held'")
    return _compare("deliveries held whole = planted", planted, held, ("feed", "name", "rule"))


def check_removed(site: Site, truth: Path) -> Check:
    """Compare rows that policy removed with those that it had to remove."""
    planted = pl.read_csv(truth / "removed.csv", infer_schema=False).with_columns(
        pl.col("row").cast(pl.Int64)
    )
    with open_store(site.vault, VAULT, read_only=True) as vault:
        removed = vault.frame('SELECT feed, file, "row", rule FROM removed_row')
    return _compare(
        "removed rows = refused consents and opt-outs", planted.select(_ROW).unique(), removed.unique(), _ROW
    )


def _compare(name: str, planted: pl.DataFrame, found: pl.DataFrame, on: tuple[str, ...]) -> Check:
    keys = list(on)
    return Check(
        name,
        planted.join(found, on=keys, how="semi").height,
        planted.join(found, on=keys, how="anti").height,
        found.join(planted, on=keys, how="anti").height,
    )


def measures_beside_truth(site: Site, truth: Path) -> list[dict[str, Any]]:
    """Return each measure's district value beside the true one, and beside what the delivered rows can say."""
    wanted: dict[str, Any] = json.loads((truth / "measures.json").read_text())
    with open_store(site.warehouse, METADATA, read_only=True) as warehouse:
        found = {
            row["measure_id"]: row
            for row in warehouse.frame(
                "SELECT * FROM measure_value WHERE dimension = 'all' ORDER BY period"
            ).to_dicts()
        }
    return [
        _beside(measure_id, true, found.get(measure_id))
        for measure_id, true in sorted(wanted.items())
        if "value" in true
    ]


def _beside(measure_id: str, true: dict[str, Any], found: dict[str, Any] | None) -> dict[str, Any]:
    delivered = true.get("delivered", true)
    value = found["value"] if found else None
    wanted = delivered["value"]
    same = value == wanted if value is None or wanted is None else math.isclose(value, wanted, rel_tol=_EXACT)
    return {
        "measure": measure_id,
        "warehouse": value,
        "delivered": delivered["value"],
        "true": true["value"],
        "same": same,
    }
