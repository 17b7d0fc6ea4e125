"""Releases: build an extract under an agreement, list what was released, and check a release again.

A release is a folder that appears whole or not at all. Before anything is read the agreement must be in force and
list every element; before anything appears, the built files are re-checked by the auditor's own verifier.
"""

from __future__ import annotations

import csv
import importlib.metadata
import io
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from wellbridge.etl.failpoint import reach
from wellbridge.etl.landing import sync
from wellbridge.etl.store import Store
from wellbridge.pipelines.extract_definitions import (
    AGGREGATE,
    RECORD,
    ExtractDefinition,
    load_definition,
    load_definitions,
)
from wellbridge.pipelines.extract_tables import DataFile, Hide, aggregate_files, record_file
from wellbridge.pipelines.kept_releases import BUILDING, Recorded, check_kept, release_name
from wellbridge.pipelines.measures.registry import MEASURES
from wellbridge.pipelines.policy.release import Limits, check_release, determination
from wellbridge.pipelines.record_history import check_codes, known_pasts, record_files
from wellbridge.pipelines.reduced import left_out, protected
from wellbridge.pipelines.release_history import beside_earlier, check_history, remember_sizes, with_sizes
from wellbridge.privacy.agreements import Agreement, check_elements, in_force
from wellbridge.privacy.codes import LastingCrosswalk
from wellbridge.privacy.formula import neutralise
from wellbridge.privacy.manifest import (
    NAME,
    NOTICE,
    build_manifest,
    manifest_bytes,
    manifest_digest,
    read_manifest,
    verify,
)
from wellbridge.privacy.policy import policy_hash
from wellbridge.privacy.rules.book import Book, builtin
from wellbridge.privacy.rules.practice import practice
from wellbridge.privacy.signing import Signer
from wellbridge.privacy.tables.release_certificates import certified_counts, certified_measures
from wellbridge.schemas.errors import ConfigurationError, PrivacyError

DICTIONARY: Final = "data_dictionary.csv"
SUPPRESSED: Final = "suppressed.csv"
README: Final = "README.txt"
LEFT_OUT: Final = "left_out"  # in the manifest's suppression, beside the files
WHY_LEFT_OUT: Final = "could not be shown beside the rest, or beside earlier releases, without giving small counts away"
COUNTS, MEASURED, RECORDS = "counts", "measures", "records"  # kinds of data files
LeftOut = Mapping[str, Sequence[str]]  # names of measures, breakdowns and columns
Record = Callable[[Recorded], None]  # writes a release to the ledger


def _unrecorded(_release: Recorded) -> None:
    """Write nothing: for a folder that leaves no site."""


@dataclass(frozen=True)
class Release:
    """One release.

    Attributes:
        path: its folder.
        extract, kind, agreement, created: as its manifest says.
        digest: of its manifest.
        rows: rows of each data file.
        hidden: for each data file, counts of what is hidden.
        left_out: names of measures, breakdowns and columns that the extract has and that could not be shown.
        reasons: for each data file, hidden cells by reason. Known at building only: for the ledger, not for the
            recipient, since it narrows what the hidden cells can be.
    """

    path: Path
    extract: str
    kind: str
    agreement: str
    created: str
    digest: str
    rows: Mapping[str, int]
    hidden: Mapping[str, Mapping[str, int]]
    left_out: LeftOut
    reasons: Mapping[str, Mapping[str, int]]

    def as_dict(self) -> dict[str, Any]:
        """Return the release for a JSON document."""
        return {
            "path": str(self.path), "extract": self.extract, "kind": self.kind, "agreement": self.agreement,
            "created": self.created, "digest": self.digest, "rows": dict(self.rows),
            "hidden": {name: dict(counts) for name, counts in self.hidden.items()},
            "left_out": {what: list(names) for what, names in self.left_out.items()},
        }


def build(
    definition: ExtractDefinition, agreement: Agreement, warehouse: Store, crosswalk: LastingCrosswalk, out_dir: Path,
    now: datetime, *, signer: Signer, as_of: date | None = None, record: Record = _unrecorded,
    rules: Book | None = None,
) -> Release:
    """Build a release and publish it in ``out_dir``.

    Args:
        definition: what the extract holds.
        agreement: the agreement it names.
        warehouse: opened for reading.
        crosswalk: where the agreement's record codes are kept; asked only for children who are released.
        out_dir: the folder of releases.
        now: the system's clock, UTC; the ledger's latest time counts when it is later.
        signer: signs the manifest, and with its hashes all files.
        as_of: newest day the data speak for; the warehouse's where not given.
        record: called with the release after its re-check and before it appears, so that no folder is out that the
            ledger does not know; what a kill between both leaves aside is published by the next build.
        rules: the rules in force at the site; the built-in ones where not given.

    Raises:
        PrivacyError: WB-E-040 without an agreement in force, WB-E-041 for an element it does not list, WB-E-042
            or WB-E-043 when protection is impossible, WB-E-048 when an earlier release is not whole, WB-E-071 or
            WB-E-074 when a rule forbids the release; nothing is written then.
    """
    if definition.agreement != agreement.id:
        raise PrivacyError("WB-E-040", "The extract names another agreement.", f"extracts/{definition.id}.toml")
    in_force(agreement, now, ledger_time(warehouse))
    check_elements(agreement, definition.elements)
    book = rules or builtin()
    floor = check_release(definition, agreement, book)
    day = as_of or data_day(warehouse)
    least = (MEASURES[name].min_n for name in definition.measures)
    limits = Limits(
        max(floor.min_cell, agreement.min_cell, definition.min_cell, *least), max(floor.k, agreement.k, definition.k)
    )
    check_kept(warehouse, out_dir)
    earlier = record_files(out_dir) if definition.kind == RECORD else []

    def made(shown: ExtractDefinition) -> list[DataFile]:
        def make(hide: Hide) -> list[DataFile]:
            if shown.kind == AGGREGATE:
                return aggregate_files(warehouse, shown, day, limits.min_cell, practice(book), hide)
            told = known_pasts(earlier, agreement.id)
            file = record_file(warehouse, shown, day, limits.k, crosswalk, agreement, told)
            check_codes(earlier, file, agreement.id, limits.k)
            return [file]

        return beside_earlier(out_dir, shown.id, limits, make)

    last = [release for release in list_releases(out_dir) if release.extract == definition.id][-1:]
    before = [name for release in last for name in release.left_out.get("columns", ())]
    files, shown = protected(definition, made, before=before)
    gone = left_out(definition, shown)
    return _publish(definition, agreement, files, gone, out_dir, now, day, limits, book, record, signer)


def ledger_time(warehouse: Store) -> datetime | None:
    """Return the latest time in the ledger, UTC; None in an empty one."""
    found: datetime | None = warehouse.frame("SELECT max(happened_at) AS at FROM ledger_event")["at"][0]
    return found


def data_day(warehouse: Store) -> date:
    """Return the newest day that a taken delivery speaks for; deliveries for a whole year do not move it.

    Raises:
        ConfigurationError: WB-E-017 when no delivery was taken yet.
    """
    found: date | None = warehouse.frame(
        "SELECT max(period_end) AS day FROM batch WHERE status = 'taken' AND period_end - period_start < 364"
    )["day"][0]
    if found is None:
        raise ConfigurationError("WB-E-017", "The warehouse holds nothing to release yet.", "no delivery taken")
    return found


def list_releases(out_dir: Path) -> list[Release]:
    """Return the releases of a folder, oldest first; folders without a readable manifest are left out."""
    found = [_described(path) for path in sorted(out_dir.iterdir()) if not path.name.startswith(".")] if (
        out_dir.is_dir()) else []
    return sorted((release for release in found if release is not None), key=lambda r: (r.created, r.path.name))


def verify_release(path: Path, keys: str | None = None) -> list[str]:
    """Return the violations of a release, empty when it is sound; see ``wellbridge.privacy.release_verifier``.

    ``keys`` is the text of a file of public keys, one of which has to have signed.
    """
    return verify(path, keys)


def _described(path: Path) -> Release | None:
    manifest = read_manifest(path) if path.is_dir() else None
    return None if manifest is None else _release(path, manifest, {})


def _release(path: Path, manifest: Mapping[str, Any], reasons: Mapping[str, Mapping[str, int]]) -> Release:
    return Release(
        path, manifest["extract"], manifest["kind"], manifest["agreement"]["id"], manifest["created"],
        manifest_digest(manifest), {table["file"]: table["rows"] for table in manifest["tables"]},
        {file: counts for file, counts in manifest["suppression"].items() if file != LEFT_OUT},
        manifest["suppression"].get(LEFT_OUT, {}), reasons,
    )


def _publish(
    definition: ExtractDefinition, agreement: Agreement, files: Sequence[DataFile], gone: LeftOut, out_dir: Path,
    now: datetime, day: date, limits: Limits, book: Book, record: Record, signer: Signer,
) -> Release:
    contents, formulas = _contents(definition, agreement, files, gone, day, limits.min_cell)
    results = {file.name: {"rows": file.frame.height, **file.hidden} for file in files}
    manifest = build_manifest(
        extract=definition.id, title=definition.title, kind=definition.kind, agreement=agreement, now=now,
        files=contents, tables=[_table_facts(file) for file in files], dictionary=DICTIONARY,
        suppression={**{file.name: dict(file.hidden) for file in files}, LEFT_OUT: dict(gone)},
        policy_sha256=policy_hash(book),
        code_version=importlib.metadata.version("wellbridge"), min_cell=limits.min_cell, k=limits.k,
        formulas=formulas, determination=determination(definition, book, now, limits, results),
    )
    check_history(out_dir, manifest, with_sizes(files, contents))
    digest, content = manifest_digest(manifest), manifest_bytes(manifest)
    contents |= {NAME: content, f"{NAME}.sig": signer.sign(NAME, content)}
    name = release_name(definition.id, manifest["created"], digest)
    sizes = remember_sizes(out_dir, name, files)  # first: a release that is out is attacked with them
    recorded = Recorded(definition.id, agreement.id, digest, sizes)
    path = _write_whole(out_dir, name, contents, lambda: record(recorded), signer.public)
    return _release(path, manifest, {file.name: file.reasons for file in files})


def _table_facts(file: DataFile) -> dict[str, Any]:
    certificate = {} if file.facts["kind"] == RECORDS else {"certificate": _certificate_of(file)}
    return {"file": file.name, **file.facts, "columns": file.frame.columns, "rows": file.frame.height, **certificate}


def _certificate_of(file: DataFile) -> str:
    return f"{Path(file.name).stem}.certificate.json"


def _contents(
    definition: ExtractDefinition, agreement: Agreement, files: Sequence[DataFile], gone: LeftOut, day: date,
    min_cell: int,
) -> tuple[dict[str, bytes], dict[str, dict[str, int]]]:
    contents: dict[str, bytes] = {}
    formulas = {}
    for file in files:
        safe, changed = neutralise(file.frame)
        contents |= _written(file, safe, min_cell)
        if changed:
            formulas[file.name] = changed
    contents[DICTIONARY] = _csv(
        ("file", "column", "type", "meaning", "privacy_class", "values"),
        [(file.name, *words) for file in files for words in file.dictionary],
    )
    contents[SUPPRESSED] = _csv(
        ("file", "what", "cell", "count", "why"),
        [(file.name, *row) for file in files for row in file.suppressed]
        + [("", f"{what} left out", name, None, WHY_LEFT_OUT) for what, names in gone.items() for name in names],
    )
    contents[README] = _readme(definition, agreement, files, gone, day).encode()
    return contents, formulas


def _written(file: DataFile, safe: pl.DataFrame, min_cell: int) -> dict[str, bytes]:
    """Return a data file as it is written, with its certificate where it is one of counts or measures."""
    facts, content = file.facts, safe.write_csv().encode()
    if facts["kind"] == COUNTS:
        content, certificate = certified_counts(file.name, safe, facts["axes"], facts["count"], min_cell)
    elif facts["kind"] == MEASURED:
        certificate = certified_measures(file.name, content, facts["means"], facts["adding_up"], min_cell)
    else:
        return {file.name: content}
    return {file.name: content, _certificate_of(file): certificate}


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    text = [["" if cell is None else str(cell) for cell in row] for row in rows]
    safe, _ = neutralise(pl.DataFrame(text, schema=dict.fromkeys(header, pl.String), orient="row"))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(safe.iter_rows())
    return out.getvalue().encode()


def _readme(
    definition: ExtractDefinition, agreement: Agreement, files: Sequence[DataFile], gone: LeftOut, day: date
) -> str:
    data = "\n".join(f"  {file.name:<24}{file.facts['title']} ({file.frame.height} rows)" for file in files)
    return f"""{definition.title}

Data through {day.isoformat()}, released to {agreement.recipient} under agreement {agreement.id}
({agreement.citation}). To be destroyed by {agreement.destruction_date.isoformat()}.

{data}
  {DICTIONARY:<24}what every column means
  {SUPPRESSED:<24}what was hidden or coarsened, and why
  {NAME:<24}hashes and settings; its signature lies beside it
  {"*.certificate.json":<24}what shows that no hidden count can be worked out

wellbridge extract verify checks all of it, with the key of who signed: --key KEYS.pub
So does one file with nothing but Python. Have it from Wellbridge, not from who made the release:
wellbridge extract verifier verify.pyz, then python -I -S verify.pyz DIR --key KEYS.pub

A blank count or value is hidden. It is not zero, and hidden cells are not necessarily small. Cells that a
spreadsheet could run as a formula begin with an apostrophe.
{_left_out_words(gone)}
NOTICE OF 34 CFR 99.33
{NOTICE}
"""


def _left_out_words(gone: LeftOut) -> str:
    lines = "\n".join(f"  {what}: {', '.join(names)}" for what, names in gone.items())
    return f"\nLeft out: {WHY_LEFT_OUT}.\n{lines}\n" if lines else ""


def _write_whole(
    out_dir: Path, name: str, contents: Mapping[str, bytes], record: Callable[[], None], keys: str
) -> Path:
    """Write the files aside, re-check and record them, then publish the folder by renaming it.

    What is left aside once the ledger may know of it is published, or cleared away, by the next ``check_kept``.

    Raises:
        PrivacyError: WB-E-042 when the re-check finds a violation; nothing is published then.
    """
    out_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside, target = out_dir / f"{BUILDING}{secrets.token_hex(8)}", out_dir / name
    may_be_recorded = False
    try:
        _write_aside(aside, contents, keys)
        if target.exists():
            return target  # the same content was published before: nothing changes
        may_be_recorded = True
        record()
        reach("release.recorded")
        aside.rename(target)
        sync(out_dir)
        return target
    finally:
        if not may_be_recorded:
            shutil.rmtree(aside, ignore_errors=True)


def _write_aside(aside: Path, contents: Mapping[str, bytes], keys: str) -> None:
    aside.mkdir(mode=0o700)
    for file, content in contents.items():
        _write(aside / file, content)
    problems = verify(aside, keys)
    if problems:
        raise PrivacyError("WB-E-042", f"The re-check found {len(problems)} violation(s).", " · ".join(problems))
    sync(aside)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


__all__ = ["ExtractDefinition", "Release", "build", "list_releases", "load_definition", "load_definitions",
           "verify_release"]
