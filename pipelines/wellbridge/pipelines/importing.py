"""Links of a linkage by codes, from the file that ``link-bundle`` wrote into a site's hub."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from wellbridge.etl.identity.hub import By
from wellbridge.etl.identity.imported import FATES, LINKS, fates, take
from wellbridge.etl.vault import Vault
from wellbridge.pipelines.agreed import agreement_in_force
from wellbridge.pipelines.nightly.identity_change import change_identity
from wellbridge.pipelines.nightly.stores import read_vault, seals_of
from wellbridge.pipelines.site import Site
from wellbridge.pipelines.sources.source import own_namespaces
from wellbridge.privacy.records.files import read_records
from wellbridge.schemas.errors import ConfigurationError, PrivacyError, SourceError

_OUTCOMES: Final = ("link", "review")
_HASH: Final = r"^[0-9a-f]{64}$"


def import_links(
    site: Site, file: Path, feed: str, agreement: str, by: By, *, dry_run: bool
) -> dict[str, int]:
    """Take the links of a file into the hub, in one run, so that all facts follow.

    Args:
        site: the site.
        file: of links with the record ids of both sides, as ``link-bundle`` writes it.
        feed: whose rows carry the ids of the right side.
        agreement: under which the two files were linked.
        by: who imports, and why.
        dry_run: say what would become of the rows; change nothing.

    Returns:
        What became of the rows: a key of ``FATES`` → how many.

    Raises:
        ConfigurationError: WB-E-012 when there is no such feed; WB-E-015 when its rows carry no ids of its own.
        PrivacyError: WB-E-040, WB-E-072 as in ``agreement_in_force``; WB-E-085 when the links were made under another.
        SourceError: WB-E-092 when the file is no such file.
    """
    namespace = _namespace(site, feed)
    agreement_in_force(site, agreement)
    links = read_links(file, agreement)
    with read_vault(site) as store:
        counts = _counts(fates(store, seals_of(site), links, f"{feed}/{namespace}", site.repeating))
    if dry_run or not counts["imported"]:
        return counts

    def change(vault: Vault, run_id: str) -> tuple[dict[str, int], str]:
        told = fates(vault.store, vault.seals, links, f"{feed}/{namespace}", site.repeating)
        take(vault, vault.namespace(feed, namespace), told, replace(by, run_id=run_id))
        found = _counts(told)
        said = " · ".join(f"{fate} {count}" for fate, count in found.items() if count)
        return found, f"feed {feed} · agreement {agreement} · {said}"

    done: dict[str, int] = change_identity(site, "identity.import_links", change)
    return done


def read_links(file: Path, agreement: str) -> pl.DataFrame:
    """Read a file of links: ``imported.LINKS``.

    Raises:
        PrivacyError: WB-E-085 when it was made under another agreement.
        SourceError: WB-E-092 when it lacks a column, or one holds what ``link-bundle`` does not write.
    """
    frame = read_records(file).frame
    missing = [name for name in (*LINKS, "agreement") if name not in frame.columns]
    if missing:
        raise _unusable("The file of links lacks columns.", file, f"missing {', '.join(missing)}")
    if not (frame["agreement"] == agreement).fill_null(False).all():
        raise PrivacyError("WB-E-085", "The links were made under another agreement.", f"file {file.name}")
    numbers = [name for name, kind in LINKS.items() if kind == pl.Float64]
    given = frame.select(pl.col(name).cast(pl.String).str.strip_chars().replace("", None) for name in LINKS)
    links = given.with_columns(pl.col(numbers).cast(pl.Float64, strict=False))
    strange = [name for name in numbers if links[name].null_count() != given[name].null_count()]
    strange += [] if links["outcome"].is_in(_OUTCOMES).fill_null(False).all() else ["outcome"]
    strange += [] if links["model_sha256"].str.contains(_HASH).fill_null(False).all() else ["model_sha256"]
    if links["weight"].is_null().any() or not links["weight"].is_finite().all():
        strange.append("weight")
    if strange:
        raise _unusable(
            "A column of the file of links is not as link-bundle writes it.", file, f"column {strange[0]}"
        )
    return links


def _counts(told: pl.DataFrame) -> dict[str, int]:
    counted = dict(told.group_by("fate").len().iter_rows())
    return {fate: int(counted.get(fate, 0)) for fate in FATES}


def _namespace(site: Site, name: str) -> str:
    feed = site.feeds.get(name)
    if feed is None:
        site.select([name])  # tells which is near
        raise ConfigurationError("WB-E-012", "A pattern is no feed.", "--feed", todo="Name one feed")
    found = own_namespaces(feed.kind, feed.settings)
    if len(found) != 1:
        raise ConfigurationError(
            "WB-E-015",
            "The feed names children by the district's student numbers alone.",
            f"feeds/{name}.toml",
            todo="Where the partner sends ids of its own in their place: own_ids = true in the feed's file",
        )
    return found[0]


def _unusable(what: str, file: Path, where: str) -> SourceError:
    return SourceError("WB-E-092", what, f"file {file.name} · {where}")
