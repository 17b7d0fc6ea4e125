"""A delivery until its rows are keyed and de-identified: land, read, parse, validate, keys.

Nothing of a delivery enters the warehouse before all of it was read: a package that turns out to be damaged in its
last member must leave no half behind. Its prepared rows wait in files of the night's private work folder.
"""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from wellbridge.etl.failpoint import reach
from wellbridge.etl.inbox import Arrival
from wellbridge.etl.landing import read_period
from wellbridge.etl.parsing import Split, parse
from wellbridge.etl.reading import HELD_SCHEMA, Chunk, Deferred, Delivery, Refused
from wellbridge.etl.validation import validate
from wellbridge.pipelines.nightly.night import HELD, TAKEN, WHOLE_DELIVERY, Night, Waiting
from wellbridge.pipelines.nightly.tally import Tally
from wellbridge.pipelines.site import Feed
from wellbridge.pipelines.sources.source import CONSENT, Resource, Source, namespace_of
from wellbridge.privacy.policy import deidentify
from wellbridge.schemas.contract import NAMESPACES, Column, Contract, Kind, Mode
from wellbridge.schemas.errors import SafeError, StoreError
from wellbridge.schemas.faults import own_fault

ORPHAN: Final = "WB-R-031"
DUPLICATE: Final = "WB-R-030"
KEYS_ONLY: Final = "WB-P-004"
# What the bytes of a delivery alone can cause while they are read; anything else that goes wrong is not its fault.
_UNREADABLE: Final = (
    ValueError,
    EOFError,
    OverflowError,
    RecursionError,
    struct.error,
    zlib.error,
    gzip.BadGzipFile,
    zipfile.BadZipFile,
    pl.exceptions.ComputeError,
)


@dataclass(frozen=True)
class Prepared:
    """Rows of one chunk, keyed and de-identified, on the night's shelf."""

    resource: str
    number: int
    deletes: bool


@dataclass
class Batch:
    """A delivery whose rows wait to be placed.

    Attributes:
        feed, source, delivery: what it is.
        prepared: its keyed rows.
        keys: row keys by resource, until duplicates are found.
        left_out: ``_id`` of rows that are held after they were prepared.
        persons: ``subject_key, person_key`` of subjects that linking has moved since the rows were keyed.
        decided: ``_file, _row`` of decisions that were read again, and of how many the vault took note.
        next_id: the next row's ``_id``.
        tally: its own counts, until it is known that no other delivery contradicts it.
    """

    feed: Feed
    source: Source
    delivery: Delivery
    prepared: list[Prepared] = field(default_factory=list)
    keys: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    left_out: pl.Series = field(default_factory=lambda: pl.Series("_id", [], pl.UInt32))
    persons: pl.DataFrame | None = None
    decided: list[pl.DataFrame] = field(default_factory=list)
    decided_loaded: int = 0
    next_id: int = 0
    tally: Tally = field(default_factory=Tally)


def take(night: Night, feed: Feed, source: Source, arrival: Arrival) -> Batch | None:
    """Land and prepare what lies in an inbox; None where there is nothing to place.

    A delivery that was taken before is passed over; one that is not complete waits; one that cannot be read as its
    feed declares is held whole.
    """
    batch_id, files = night.landing.copy(arrival)
    if night.batches.get(batch_id, {}).get("status") is not None:
        night.landing.forget_plain(batch_id)
        return None
    period = read_period(arrival.path.name)
    delivery = Delivery(
        feed=feed.name,
        name=arrival.path.name,
        stream=period.stream,
        batch_id=batch_id,
        period_start=period.start,
        period_end=period.end,
        revision=period.revision,
        files=files,
    )
    return prepare_delivery(night, feed, source, delivery)


def prepare_delivery(night: Night, feed: Feed, source: Source, delivery: Delivery) -> Batch | None:
    """Prepare a delivery whose files are open; hold or defer it where it cannot be taken."""
    batch = Batch(feed, source, delivery)
    night.vault.store.run("DELETE FROM held_row WHERE batch_id = ?", [delivery.batch_id])
    of_night, night.tally = night.tally, batch.tally
    verdict: Refused | Deferred | None = None
    failure: SafeError | None = None
    try:
        for chunk in chunks_in(batch, is_new=True):
            prepare(night, batch, chunk)
            night.progress(feed.name, "read", batch.next_id)
        _hold_duplicates(night, batch)
    except (Refused, Deferred) as refusal:
        verdict = refusal
    except SafeError:
        raise
    except (OSError, MemoryError) as error:
        failure = _out_of_room(delivery, type(error).__name__)
    except Exception as error:
        failure = own_fault(error, f"feed {feed.name}", delivery.name)
    finally:
        night.tally = of_night
    if failure is not None:  # no partner can mend that, and a delivery held for it would not be tried again
        raise failure
    if verdict is None:
        reach("intake.prepared")
        night.landing.seal(delivery.batch_id, delivery.files)
        reach("intake.sealed")
        night.record(delivery, TAKEN)
        return batch
    forget(night, batch)
    if isinstance(verdict, Deferred):
        night.tally.add(feed.name)  # it was looked at
        night.waiting.append(Waiting(feed.name, delivery.name, verdict.rule))
        night.landing.forget_plain(delivery.batch_id)
    else:
        hold_delivery(night, delivery, verdict)
    return None


def chunks_in(batch: Batch, *, is_new: bool) -> Iterator[Chunk]:
    """Read a delivery; one that is new is first asked whether it is complete.

    Raises:
        Deferred, Refused: as its source says; Refused too where its bytes stop a library.
    """
    is_readable, delivery, settings = True, batch.delivery, batch.feed.settings
    try:
        if is_new:
            batch.source.check(delivery, settings)
        yield from batch.source.read(delivery, settings)
    except _UNREADABLE:  # may quote what was read
        is_readable = False
    if not is_readable:
        raise Refused("WB-D-007", delivery.name)


def _out_of_room(delivery: Delivery, failed: str) -> StoreError:
    return StoreError(
        "WB-E-050",
        "The machine could not keep a delivery's rows.",
        f"feed {delivery.feed} · {delivery.name} · {failed}",
        todo="Make room (disk, memory, open files), then: wellbridge run",
    )


def hold_delivery(night: Night, delivery: Delivery, refusal: Refused) -> None:
    """Hold a delivery whole, with as many rows as could be counted in it."""
    night.landing.seal(delivery.batch_id, delivery.files)
    night.record(delivery, HELD, refusal.rule)
    columns: list[str | None] = [*refusal.columns] or [None]
    held = pl.DataFrame(
        {
            "_file": refusal.file or delivery.name,
            "_row": WHOLE_DELIVERY,
            "column": columns,
            "rule": refusal.rule,
        },
        schema=HELD_SCHEMA,
    )
    night.hold(delivery, "", held, replay=True)
    night.tally.add(delivery.feed, read=refusal.rows, held=refusal.rows)
    night.tally.reasons[delivery.feed, "", refusal.rule] += refusal.rows
    night.landing.forget_plain(delivery.batch_id)


def forget(night: Night, batch: Batch) -> None:
    """Let go of a delivery's prepared rows and of the lines of its held ones."""
    for prepared in batch.prepared:
        night.shelf.drop(prepared.number)
    night.vault.store.run("DELETE FROM held_row WHERE batch_id = ?", [batch.delivery.batch_id])


def prepare(night: Night, batch: Batch, chunk: Chunk, *, replay: bool = False, holds: bool = True) -> None:
    """Take one chunk through parse, validate, keys and de-identification, and leave its rows to be placed.

    Args:
        night: the running night.
        batch: the delivery; gets the prepared rows.
        chunk: text rows of one resource.
        replay: the rows were counted on an earlier night or earlier in this one.
        holds: write held rows down; False where they are known as such already.
    """
    resource = batch.source.resources[chunk.resource]
    contract = resource.contract
    if not replay:
        night.tally.add(batch.feed.name, read=chunk.read)
    night.hold(batch.delivery, chunk.resource, chunk.held, replay=replay)
    if not chunk.rows.height:
        return
    if chunk.deletes:
        frame = _keyed(
            night, batch, _numbered(batch, parse(chunk.rows, contract).kept), contract, chunk.rows.columns
        )
        _keep(night, batch, chunk.resource, frame, deletes=True)
        return
    split = validate(parse(chunk.rows, contract, batch.feed.settings.get("codes")), contract)
    split = _in_period(batch.delivery, contract, split)
    records = _record_keys(night, batch, contract, chunk, split.held)
    if holds:
        night.hold(batch.delivery, chunk.resource, split.held, record_keys=records, replay=replay)
    if resource.table == "student_observation":
        _note_presence(night, batch, resource, chunk, split.held)
    if not split.kept.height:
        return
    if not contract.loads:
        _read_for_keys_only(night, batch, chunk.resource, split.kept, replay=replay)
        return
    numbered = _numbered(batch, split.kept)
    if not resource.decides:  # a refusal said twice is a refusal, not a duplicate that waits
        _note_keys(batch, contract, numbered)
    frame = _keyed(night, batch, numbered, contract, contract.columns)
    frame = _hold_orphans(night, batch, chunk.resource, contract, frame, replay=replay, holds=holds)
    _remember_traits(night, contract, frame)
    known = deidentify(frame, contract, night.rules)
    if resource.decides:
        _remember_decisions(night, batch, resource, known, replay=replay)
    else:
        _keep(night, batch, chunk.resource, known, deletes=False)


def _numbered(batch: Batch, rows: pl.DataFrame) -> pl.DataFrame:
    numbered = rows.with_row_index("_id", offset=batch.next_id)
    batch.next_id += rows.height
    return numbered


def _in_period(delivery: Delivery, contract: Contract, split: Split) -> Split:
    if contract.mode is not Mode.PERIOD or contract.period is None or delivery.period_start is None:
        return split
    day = pl.col(contract.period)
    outside = split.kept.filter(~day.is_between(delivery.period_start, delivery.period_end).fill_null(True))
    return _held_apart(split, outside, contract.period, "WB-R-033")


def _held_apart(split: Split, faulty: pl.DataFrame, column: str | None, rule: str) -> Split:
    if not faulty.height:
        return split
    lines = faulty.select(
        "_file", "_row", pl.lit(column, pl.String).alias("column"), pl.lit(rule).alias("rule")
    )
    kept = split.kept.join(faulty, on=["_file", "_row"], how="anti", maintain_order="left")
    return Split(kept, pl.concat([split.held, lines]))


def _note_keys(batch: Batch, contract: Contract, rows: pl.DataFrame) -> None:
    """Remember each row's key (and version) as a number, to find duplicates once the delivery is read."""
    names = [*contract.key, *([contract.version] if contract.version else [])]
    if contract.key and rows.height:
        key = pl.struct(names).hash(seed=7).alias("key")
        batch.keys.setdefault(contract.resource, []).append(
            rows.select("_id", key, pl.col("_file").cast(pl.Categorical), "_row")
        )


def _hold_duplicates(night: Night, batch: Batch) -> None:
    """Hold every row but the first of each key; in one pass over the delivery, so that it costs the same per row.

    An orphan is a duplicate too, whether or not its missing record is there yet: else two rows of one key would both
    be let in when the record comes.
    """
    for resource, parts in batch.keys.items():
        keys = pl.concat(parts)
        if keys["key"].n_unique() == keys.height:
            continue
        later = keys.filter(~pl.col("key").is_first_distinct())
        is_orphan = pl.col("_id").is_in(batch.left_out.implode())
        night.hold(batch.delivery, resource, _lines(later.filter(~is_orphan), DUPLICATE))
        orphans = later.filter(is_orphan)
        night.hold(batch.delivery, resource, _lines(orphans, DUPLICATE), replay=True)
        night.tally.add_reasons(batch.feed.name, resource, _lines(orphans, ORPHAN), sign=-1)
        night.tally.add_reasons(batch.feed.name, resource, _lines(orphans, DUPLICATE))
        batch.left_out = pl.concat([batch.left_out, later["_id"]])
    batch.keys.clear()


def _lines(rows: pl.DataFrame, rule: str) -> pl.DataFrame:
    return rows.select(
        pl.col("_file").cast(pl.String),
        "_row",
        pl.lit(None, pl.String).alias("column"),
        pl.lit(rule).alias("rule"),
    )


def _key_columns(contract: Contract) -> list[Column]:
    return [column for column in contract.columns.values() if column.ids is not None]


def _keyed(
    night: Night, batch: Batch, rows: pl.DataFrame, contract: Contract, present: object
) -> pl.DataFrame:
    """Put the vault's keys beside the identifiers: ``subject_key, person_key, staff_key, …_key``."""
    for column in _key_columns(contract):
        if column.name not in present and column.header not in present:  # type: ignore[operator]
            rows = rows.drop(column.name)
            continue
        space = namespace_of(column, batch.feed.settings)
        assert space is not None
        keys = night.vault.namespace(batch.feed.name, space)
        found = keys.keys(rows[column.name], defines=column.defines).rename({"source_id": column.name})
        names = {"key": column.key_name, "is_known": f"_known_{column.name}"}
        wanted = [column.name, "key", "is_known"]
        if NAMESPACES[space].kind is Kind.PERSON:
            wanted.append("person_key")
        rows = rows.join(
            found.select(wanted).rename(names), on=column.name, how="left", maintain_order="left"
        )
    version = (
        pl.col(contract.version).cast(pl.String).fill_null(batch.delivery.version)
        if contract.version
        else pl.lit(batch.delivery.version)
    )
    return rows.with_columns(version.alias("version"))


def _hold_orphans(
    night: Night,
    batch: Batch,
    resource: str,
    contract: Contract,
    frame: pl.DataFrame,
    *,
    replay: bool,
    holds: bool,
) -> pl.DataFrame:
    for column in _key_columns(contract):
        if not column.refers:
            continue
        orphans = frame.filter(pl.col(column.name).is_not_null() & ~pl.col(f"_known_{column.name}"))
        if orphans.height:
            lines = orphans.select(
                "_file", "_row", pl.lit(column.name).alias("column"), pl.lit(ORPHAN).alias("rule")
            )
            missing = orphans.select("_file", "_row", pl.col(column.key_name).alias("waiting_key"))
            if holds:
                night.hold(batch.delivery, resource, lines, waiting=missing, replay=replay)
            batch.left_out = pl.concat([batch.left_out, orphans["_id"]])
            frame = frame.join(orphans, on="_id", how="anti", maintain_order="left")
    return frame


def _record_keys(
    night: Night, batch: Batch, contract: Contract, chunk: Chunk, held: pl.DataFrame
) -> pl.DataFrame | None:
    """Return the keys of held rows whose own id could be read, so that a later correction closes them."""
    own = next((c for c in _key_columns(contract) if c.name in contract.key and not c.refers), None)
    if own is None or not held.height or own.header not in chunk.rows.columns:
        return None
    assert own.ids is not None
    ids = (
        chunk.rows.join(held, on=["_file", "_row"], how="semi")
        .select("_file", "_row", pl.col(own.header).str.strip_chars().alias("source_id"))
        .drop_nulls()
    )
    found = night.vault.namespace(batch.feed.name, own.ids).keys(ids["source_id"], defines=False)
    return ids.join(found, on="source_id").select("_file", "_row", pl.col("key").alias("record_key"))


def _note_presence(night: Night, batch: Batch, resource: Resource, chunk: Chunk, held: pl.DataFrame) -> None:
    """Note that a held roster row was there: absent, unreadable and deleted are three different things."""
    person = resource.contract.person_column()
    needed = [resource.contract.columns[name].header for name in ("as_of", "roster")]
    if person is None or not held.height or not {person.header, *needed} <= set(chunk.rows.columns):
        return
    rows = (
        chunk.rows.join(held, on=["_file", "_row"], how="semi")
        .filter(pl.col(person.header).str.strip_chars().str.len_chars() > 0)
        .unique(person.header, keep="first", maintain_order=True)
    )
    if not rows.height:
        return
    named = (
        rows.select(
            "_file",
            "_row",
            pl.col(person.header).str.strip_chars().alias(person.name),
            *(pl.col(resource.contract.columns[name].header).alias(name) for name in ("as_of", "roster")),
        )
        .with_columns(pl.col("as_of").str.to_date("%Y-%m-%d", strict=False))
        .filter(pl.col("as_of").is_not_null())
    )
    keyed = _keyed(night, batch, _numbered(batch, named), resource.contract, [person.name])
    presence = keyed.select("_id", "subject_key", "person_key", "as_of", "roster", "version").with_columns(
        pl.lit(False).alias("is_readable"), pl.lit(True).alias("is_active")
    )
    _keep(night, batch, PRESENCE, presence, deletes=False)


PRESENCE: Final = "(presence)"  # pseudo-resource: uncounted observations of rows that are held


def _read_for_keys_only(
    night: Night, batch: Batch, resource: str, rows: pl.DataFrame, *, replay: bool
) -> None:
    lines = rows.select("_file", "_row", pl.lit(KEYS_ONLY).alias("rule"))
    night.tally.add(batch.feed.name, removed=lines.height)
    night.tally.add_reasons(batch.feed.name, resource, lines)


def words_of(night: Night, batch: Batch, chunk: Chunk) -> pl.DataFrame | None:
    """Return what the rows of a chunk say of persons, as the vault takes it; nothing is written down."""
    contract = batch.source.resources[chunk.resource].contract
    if chunk.deletes or not contract.loads or not _traits(contract):
        return None
    split = validate(parse(chunk.rows, contract, batch.feed.settings.get("codes")), contract)
    split = _in_period(batch.delivery, contract, split)
    frame = _keyed(night, batch, _numbered(batch, split.kept), contract, contract.columns)
    frame = _hold_orphans(night, batch, chunk.resource, contract, frame, replay=True, holds=False)
    return _words(contract, frame)


def _traits(contract: Contract) -> dict[str, str]:
    return {c.trait: c.name for c in contract.columns.values() if c.trait is not None}


def _words(contract: Contract, frame: pl.DataFrame) -> pl.DataFrame | None:
    traits = _traits(contract)
    if not (traits and "subject_key" in frame.columns and frame.height):
        return None
    return frame.select(
        "subject_key",
        "version",
        *(pl.col(name).cast(pl.String).alias(trait) for trait, name in traits.items()),
    )


def _remember_traits(night: Night, contract: Contract, frame: pl.DataFrame) -> None:
    words = _words(contract, frame)
    if words is not None:
        night.vault.set_traits(words)


def _remember_decisions(
    night: Night, batch: Batch, resource: Resource, rows: pl.DataFrame, *, replay: bool
) -> None:
    """Keep decisions about sharing before any row is placed, so that they hold for the whole night."""
    assert resource.shape is not None
    decisions = resource.shape(rows)[CONSENT]
    if "consent_key" not in decisions.columns:
        decisions = decisions.with_columns(pl.col("subject_key").alias("consent_key"))
    changed = night.vault.decide(
        decisions.select(
            pl.lit(batch.feed.name).alias("feed"),
            pl.col("consent_key").alias("consent_id"),
            "subject_key",
            "decision",
            "start_date",
            "end_date",
            "is_active",
            "version",
        )
    )
    loaded = min(changed, rows.height)
    if replay:
        batch.decided.append(rows.select("_file", "_row"))
        batch.decided_loaded += loaded
    else:
        night.tally.add(batch.feed.name, loaded=loaded, unchanged=rows.height - loaded)


def _keep(night: Night, batch: Batch, resource: str, rows: pl.DataFrame, *, deletes: bool) -> None:
    if rows.height:
        batch.prepared.append(Prepared(resource, night.shelf.put(rows), deletes))


def chunks_of(night: Night, batch: Batch) -> Iterator[tuple[str, bool, pl.DataFrame]]:
    """Yield the prepared rows of a delivery, without those held since and with the persons linked since."""
    left_out = batch.left_out.to_frame()
    for prepared in batch.prepared:
        rows = night.shelf.take(prepared.number)
        if left_out.height and prepared.resource != PRESENCE:
            rows = rows.join(left_out, on="_id", how="anti", maintain_order="left")
        if batch.persons is not None and "person_key" in rows.columns:
            rows = rows.join(
                batch.persons, on="subject_key", how="left", suffix="_new", maintain_order="left"
            )
            rows = rows.with_columns(pl.coalesce("person_key_new", "person_key").alias("person_key")).drop(
                "person_key_new"
            )
        yield prepared.resource, prepared.deletes, rows


__all__ = [
    "PRESENCE",
    "Batch",
    "chunks_in",
    "chunks_of",
    "forget",
    "hold_delivery",
    "prepare",
    "prepare_delivery",
    "take",
    "words_of",
]
