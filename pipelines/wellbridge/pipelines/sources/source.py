"""What a source kind must say, and the registry of the kinds there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

import polars as pl

from wellbridge.etl.reading import Chunk, Delivery
from wellbridge.pipelines.sources.kinds import KINDS, MODULES
from wellbridge.schemas.contract import NAMESPACES, Column, Contract, Kind
from wellbridge.schemas.errors import ConfigurationError

# Pseudo-table: decisions that go to the vault, never to the warehouse. Columns: subject_key, consent_key (nullable),
# decision ("deny" | "permit_part2" | "optout_partners" | "optout_all"), start_date, end_date (nullable), is_active.
CONSENT: Final = "vault.consent"

_STUDENT: Final = "student"
_OWN_IDS: Final = "client"

Shape = Callable[[pl.DataFrame], dict[str, pl.DataFrame]]


@dataclass(frozen=True)
class Resource:
    """How the records of one contract become warehouse rows.

    Attributes:
        contract: what the records mean.
        table: the warehouse table that takes the columns it shares with the frame; None when ``shape`` says.
        shape: frame of validated, keyed, de-identified rows → frames by table (or ``CONSENT``). A frame made row
            by row keeps the input's ``_id`` column, so that rows can be counted; an aggregate drops it.
            In a deletes chunk the frame holds key columns only and is not shaped: ``delete_from`` names tables.
        decides: the shape yields ``CONSENT`` only: the rows are decisions about sharing, for the vault.
        introduces: the rows bring persons into the vault and no fact into the warehouse, so no refusal removes them.
        is_aggregate: the shape needs every row of the delivery, so a held row is tried again with all others.
        delete_from: tables whose rows go when the source deletes the record, matched on the key columns present.
    """

    contract: Contract
    table: str | None = None
    shape: Shape | None = None
    decides: bool = False
    introduces: bool = False
    is_aggregate: bool = False
    delete_from: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """One source kind.

    Attributes:
        kind: name used in a feed's file.
        rank: order within a night; rosters (0) come before what refers to them (1), consent before records.
        resources: by resource name.
        read: delivery and the feed's own settings → chunks. Raises ``Deferred`` or ``Refused``.
        check: raises ``Deferred`` while a delivery is not complete; called before anything is read.
        is_partner: rows of opted-out children are removed (school sources keep them).
    """

    kind: str
    rank: int
    resources: Mapping[str, Resource]
    read: Callable[[Delivery, Mapping[str, Any]], Iterator[Chunk]]
    check: Callable[[Delivery, Mapping[str, Any]], None] = field(default=lambda _delivery, _settings: None)
    is_partner: bool = False


def source(kind: str) -> Source:
    """Return the source kind of that name.

    Raises:
        ConfigurationError: WB-E-015 when there is none.
    """
    if kind not in MODULES:
        raise ConfigurationError("WB-E-015", "A feed names an unknown source kind.", f"known: {', '.join(KINDS)}")
    module = import_module(f"wellbridge.pipelines.sources.{MODULES[kind]}")
    found: Source = module.SOURCES[kind]
    return found


def namespace_of(column: Column, settings: Mapping[str, Any]) -> str | None:
    """Return the namespace of a column's ids in a feed; None where it holds none.

    A partner that does not know the district's student numbers sends its own ids in their place (``own_ids`` in the
    feed's file); whose they are is known from encoded linkage (``identity import-links``).
    """
    return _OWN_IDS if column.ids == _STUDENT and settings.get("own_ids") else column.ids


def own_namespaces(kind: str, settings: Mapping[str, Any]) -> list[str]:
    """Return the namespaces in which a feed names children by ids of its own."""
    columns = [one for each in source(kind).resources.values() for one in each.contract.columns.values()]
    names = {name for name in (namespace_of(column, settings) for column in columns) if name}
    spaces = [NAMESPACES[name] for name in sorted(names)]
    return [space.name for space in spaces if space.kind is Kind.PERSON and not space.shared]


__all__ = ["CONSENT", "KINDS", "Resource", "Shape", "Source", "namespace_of", "own_namespaces", "source"]
