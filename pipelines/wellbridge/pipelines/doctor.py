"""The doctor: what is wrong with a site, found without changing anything."""

from __future__ import annotations

import fnmatch
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from wellbridge.pipelines.site import Site, load_site
from wellbridge.schemas.errors import Exit, SafeError

OK: Final = "OK"
WARN: Final = "WARN"
FAIL: Final = "FAIL"
FREE_BYTES: Final = 2 << 30  # a night of a large district needs about this much room to spill


@dataclass(frozen=True)
class Finding:
    """One check's result, with the step that mends it."""

    check: str
    state: str
    detail: str
    todo: str = ""
    exit: Exit = Exit.CONFIGURATION


def examine(root: Path) -> list[Finding]:
    """Run every check; a site that cannot be read ends the list."""
    findings = [_versions()]
    problem: SafeError | None = None
    try:
        site = load_site(root)
    except SafeError as error:
        problem = error
    if problem is not None:
        return [*findings, Finding("settings", FAIL, problem.what + " " + problem.where, problem.todo)]
    findings.append(Finding("settings", OK, f"{len(site.feeds)} feeds; {_origins()}"))
    checks: tuple[Callable[[Site], Iterator[Finding]], ...] = (
        _feeds,
        _private,
        _work_tree,
        _contracts,
        _disk,
        _lock,
        _stores,
        _agreements,
        _releases,
        _rules,
        _linking,
        _repeating,
    )
    for check in checks:
        findings.extend(check(site))
    return findings


def _versions() -> Finding:
    names = ("wellbridge", "duckdb", "polars", "pandera")
    shown = ", ".join(f"{name} {version(name)}" for name in names)
    if version("duckdb").split(".")[0] != "1":
        return Finding("versions", FAIL, shown, 'Install "duckdb<2": 2.0 breaks one-to-one linking.')
    return Finding("versions", OK, f"Python {sys.version.split()[0]}, {shown}")


def _linking(site: Site) -> Iterator[Finding]:
    from wellbridge.etl.identity.matcher import matcher_of
    from wellbridge.etl.identity.scoring import self_check

    try:
        model = matcher_of(site.model, site.engine).model
        if site.engine == "spark":
            from wellbridge.etl.identity.spark import check_installed

            check_installed()
        took = self_check()
    except SafeError as error:
        yield Finding("linking", FAIL, f"{error.code} {error.what} {error.where}", error.todo)
    else:
        shown = f"model {model.name} {model.version}, {model.about['reviewer']}"
        yield Finding("linking", OK, f"{shown}; a thousand records with a thousand in {took:.1f} CPU-s")


def _repeating(site: Site) -> Iterator[Finding]:
    """Look for patterns of repeating sources that fit no feed: they would do nothing, and nobody would know."""
    known = site.feeds
    lost = [one for one in site.repeating if not fnmatch.filter(known, one.partition("/")[0])]
    if lost:
        detail = f"wellbridge.toml · identity.repeating: {', '.join(lost)} fits no feed"
        yield Finding("repeating", WARN, detail, "wellbridge identity status lists the sources")


def _origins() -> str:
    names = [name for name in ("WELLBRIDGE_STATE_DIR", "WELLBRIDGE_FAIL_ON") if name in os.environ]
    return f"from the environment: {', '.join(names)}" if names else "all from wellbridge.toml or defaults"


def _feeds(site: Site) -> Iterator[Finding]:
    from wellbridge.pipelines.sources.source import KINDS

    for feed in site.feeds.values():
        if feed.kind not in KINDS:
            yield Finding(
                "feeds", FAIL, f"feed {feed.name}: unknown source kind", f"One of {', '.join(KINDS)}"
            )
        elif not feed.inbox.is_dir():
            yield Finding("feeds", FAIL, f"feed {feed.name}: no inbox", f"mkdir {feed.inbox}", Exit.SOURCE)
    yield Finding("feeds", OK, f"{len(site.feeds)} feeds known")


def _private(site: Site) -> Iterator[Finding]:
    if not site.key.is_file():
        yield Finding("keys", FAIL, "the site's key is missing", "Restore state/keys/site.key from backup")
    if not site.signing_key.is_file():
        yield Finding(
            "keys",
            FAIL,
            "the key that signs releases is missing",
            f"Restore it from backup, or for a new one: ssh-keygen -t ed25519 -N '' -f {site.signing_key}",
        )
    paths = [site.state, site.key, *site.state.rglob("*")] if site.state.is_dir() else []
    loose = [path for path in paths if path.exists() and path.stat().st_mode & 0o077]
    if loose:
        shown = ", ".join(str(path.relative_to(site.state.parent)) for path in loose[:3])
        yield Finding(
            "private files",
            FAIL,
            f"{len(loose)} paths others may read, e.g. {shown}",
            f"chmod -R go-rwx {site.state}",
            Exit.WAREHOUSE,
        )
    else:
        yield Finding("private files", OK, f"{len(paths)} paths, readable by their owner alone")


def _work_tree(site: Site) -> Iterator[Finding]:
    above = [
        folder
        for folder in (site.state.resolve(), *site.state.resolve().parents)
        if (folder / ".git").exists()
    ]
    if above:
        yield Finding(
            "outside git",
            FAIL,
            "the state folder lies inside a git work tree",
            "Set state_dir in wellbridge.toml to a folder outside it",
        )
    else:
        yield Finding("outside git", OK, "stores and keys are in no git work tree")


def _contracts(site: Site) -> Iterator[Finding]:
    from wellbridge.pipelines.sources.source import KINDS, source
    from wellbridge.schemas.contract import CONTRACTS

    used = {feed.kind for feed in site.feeds.values()} & set(KINDS)
    for kind in used:
        source(kind)  # a column without a privacy class is refused here
    count = sum(len(contract.columns) for contract in CONTRACTS.values())
    yield Finding("contracts", OK, f"{len(CONTRACTS)} contracts, {count} columns, each with a privacy class")


def _disk(site: Site) -> Iterator[Finding]:
    free = shutil.disk_usage(site.root).free
    state = OK if free > FREE_BYTES else WARN
    yield Finding("disk", state, f"{free / 2**30:.1f} GiB free", "" if state == OK else "Free some room")


def _lock(site: Site) -> Iterator[Finding]:
    from wellbridge.etl.lock import holder

    if not site.state.is_dir():
        yield Finding(
            "lock",
            FAIL,
            "the state folder is missing",
            f"wellbridge init, or restore {site.state}",
            Exit.WAREHOUSE,
        )
        return
    held = holder(site.lock)
    yield Finding("lock", WARN if held else OK, held or "free", "Wait for the other run" if held else "")


def _stores(site: Site) -> Iterator[Finding]:
    from wellbridge.etl.lock import holder
    from wellbridge.etl.store import open_store
    from wellbridge.etl.vault import VAULT
    from wellbridge.schemas.warehouse import METADATA

    if not site.warehouse.exists():
        yield Finding("stores", WARN, "no run yet", "wellbridge run")
        return
    if holder(site.lock):
        yield Finding(
            "stores", WARN, "in use by a run, so not looked at", "wellbridge doctor, once it has ended"
        )
        return
    for path, metadata in ((site.warehouse, METADATA), (site.vault, VAULT)):
        problem: SafeError | None = None
        try:
            with open_store(path, metadata, read_only=True) as store:
                tables = store.value("SELECT count(*) FROM information_schema.tables")
        except SafeError as error:
            problem = error
        if problem is not None:
            yield Finding(
                "stores", FAIL, f"{path.name}: {problem.what} {problem.where}", problem.todo, Exit.WAREHOUSE
            )
        elif tables < len(metadata.tables):
            yield Finding(
                "stores",
                WARN,
                f"{path.name}: {tables} of {len(metadata.tables)} tables",
                "wellbridge run adds them",
            )
        else:
            yield Finding("stores", OK, f"{path.name}: {tables} tables")


def _agreements(site: Site) -> Iterator[Finding]:
    files = sorted((site.root / "policy" / "agreements").glob("*.toml"))
    if not files:
        yield Finding("agreements", WARN, "none, so no extract can leave", "Add policy/agreements/NAME.toml")
    else:
        yield Finding("agreements", OK, f"{len(files)} on file")


def _releases(site: Site) -> Iterator[Finding]:
    from wellbridge.etl.lock import holder
    from wellbridge.etl.store import open_store
    from wellbridge.pipelines.kept_releases import lacking
    from wellbridge.schemas.errors import ADVICE
    from wellbridge.schemas.warehouse import METADATA

    if not site.warehouse.exists() or holder(site.lock):
        return  # the stores' line says so
    try:
        with open_store(site.warehouse, METADATA, read_only=True) as store:
            gone = lacking(store, site.releases)
    except SafeError:
        return
    for one in gone:
        yield Finding("releases", FAIL, f"WB-E-048 {one}", ADVICE["WB-E-048"].todo, Exit.PRIVACY)
    if not gone:
        yield Finding("releases", OK, "every release of the ledger is whole")


def _rules(site: Site) -> Iterator[Finding]:
    from wellbridge.pipelines.policy.check import check_site

    checked = check_site(site.root)
    for violation in checked.violations:
        error = violation.error
        yield Finding("rules", FAIL, f"{error.what} {error.where}", error.todo, error.exit)
    if not checked.violations:
        counts = checked.counts
        yield Finding(
            "rules", OK, f"{counts['rules']} rules kept; {counts['columns']} columns, none without a rule"
        )


def verdict(findings: list[Finding]) -> Exit:
    """Return the exit code: the first failure's, else 0."""
    return next((finding.exit for finding in findings if finding.state == FAIL), Exit.DONE)
