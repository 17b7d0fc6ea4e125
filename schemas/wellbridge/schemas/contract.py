"""Contracts: a pandera model per record type, every column with its privacy class and its standard's name.

A contract is the only place that says what a source column means: its header in the file, its type, the
codes it may hold, the law it arrives under, whose identifier it is, and what of it may be kept.
``@contract`` turns a pandera (polars) model into a registered ``Contract``; a column without a privacy
class is refused there, so it can never load (design law 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import pandera.polars as pa
import polars as pl

from wellbridge.schemas.classes import PrivacyClass, Regime
from wellbridge.schemas.errors import ConfigurationError


class Mode(StrEnum):
    """How a later delivery changes what an earlier one said.

    PERIOD: a file speaks for its whole period; a higher revision of it replaces the lower one.
    UPSERT: a row speaks for its own key; the highest row version wins, deletes are explicit.
    """

    PERIOD = "period"
    UPSERT = "upsert"


class Kind(StrEnum):
    """What an identifier stands for, which decides the name of the key that replaces it."""

    PERSON = "person"
    STAFF = "staff"
    RECORD = "record"


@dataclass(frozen=True)
class Namespace:
    """A space of source identifiers: ids of one namespace mean the same thing wherever they occur.

    ``shared`` namespaces hold across feeds (the district's student number); others are private to a feed.
    """

    name: str
    kind: Kind
    shared: bool = False


NAMESPACES: Final[dict[str, Namespace]] = {
    namespace.name: namespace
    for namespace in (
        Namespace("student", Kind.PERSON, shared=True),  # the district's student number
        Namespace("patient", Kind.PERSON),
        Namespace("client", Kind.PERSON),
        Namespace("staff", Kind.STAFF, shared=True),
        Namespace("screening", Kind.RECORD),
        Namespace("referral", Kind.RECORD),
        Namespace("encounter", Kind.RECORD),
        Namespace("appointment", Kind.RECORD),
        Namespace("incident", Kind.RECORD),
        Namespace("action", Kind.RECORD),
        Namespace("intervention", Kind.RECORD),
        Namespace("case", Kind.RECORD),
        Namespace("plan", Kind.RECORD),
        Namespace("need", Kind.RECORD),
        Namespace("notice", Kind.RECORD),
        Namespace("crisis", Kind.RECORD),
        Namespace("result", Kind.RECORD),
        Namespace("consent", Kind.RECORD),
        Namespace("observation", Kind.RECORD),
        Namespace("session", Kind.RECORD),
    )
}

# What of a person's record serves to find the same person elsewhere; kept in the vault only.
TRAITS: Final = frozenset(
    {"first_name", "last_name", "birth_date", "sex", "zip_code", "phone", "address", "student_number"}
)

GENERALISATIONS: Final = frozenset({"birth_year", "zip3", "school_year"})


@dataclass(frozen=True)
class Column:
    """What one column of a contract means.

    Attributes:
        name: canonical name; equal to the warehouse's column name where the value goes there unchanged.
        dtype: polars type after parsing: String, Int64, Float64, Boolean, Date or Datetime("us", "UTC").
        privacy: what the column says about a person.
        header: the source's own name of the column.
        standard: CEDS, Ed-Fi, OneRoster, FHIR, HL7 or LOINC name, "" where no standard has one.
        codes: source code (matched trimmed, without regard to case) → canonical code.
        formats: accepted date or time formats beyond ISO 8601, strftime.
        ids: the namespace the cell is an identifier of; the cell is replaced by a random key of the vault.
        defines: this record brings the identifier into being; others may then refer to it.
        refers: the identifier must have been brought by a defining record, else the row is an orphan.
        trait: the part this column plays in finding the same person in another source.
        generalise: what is kept of it in the warehouse instead of the value.
        required: a missing cell holds the row.
    """

    name: str
    dtype: pl.DataType
    privacy: PrivacyClass
    header: str
    standard: str = ""
    codes: Mapping[str, str] | None = None
    formats: tuple[str, ...] = ()
    ids: str | None = None
    defines: bool = False
    refers: bool = False
    trait: str | None = None
    generalise: str | None = None
    required: bool = True

    @property
    def key_name(self) -> str:
        """The warehouse column that holds the vault's key in this identifier's stead."""
        assert self.ids is not None
        kind = NAMESPACES[self.ids].kind
        if kind is Kind.PERSON:
            return "subject_key"
        if kind is Kind.STAFF:
            return "staff_key"
        return self.name.removesuffix("_id") + "_key"


@dataclass(frozen=True)
class Contract:
    """One record type of one source kind: its pandera model and what the model cannot say.

    Attributes:
        name: ``<source>.<resource>``, permanent.
        title: one line for people.
        key: columns that identify a row within one delivery.
        mode: how later deliveries change earlier ones.
        period: the date column that must lie in the delivery's period (PERIOD mode), if any.
        version: the column that orders versions of a row (UPSERT mode), if the source has one.
        regime: the law the record arrives under.
        loads: False for records read for their keys or for consent only, never into the warehouse.
    """

    name: str
    title: str
    model: type[pa.DataFrameModel]
    columns: Mapping[str, Column]
    key: tuple[str, ...]
    mode: Mode
    regime: Regime
    period: str | None = None
    version: str | None = None
    loads: bool = True
    extra_headers: frozenset[str] = field(default_factory=frozenset)

    @property
    def source(self) -> str:
        """The source kind the contract belongs to."""
        return self.name.partition(".")[0]

    @property
    def resource(self) -> str:
        """The record type within its source."""
        return self.name.partition(".")[2]

    @property
    def headers(self) -> dict[str, str]:
        """Source header → canonical column name, in contract order."""
        return {column.header: column.name for column in self.columns.values()}

    def person_column(self) -> Column | None:
        """Return the column whose identifier says whom the row is about, if it is about a person."""
        return next(
            (c for c in self.columns.values() if c.ids and NAMESPACES[c.ids].kind is Kind.PERSON), None
        )


CONTRACTS: Final[dict[str, Contract]] = {}


def column(
    privacy: PrivacyClass,
    *,
    header: str | None = None,
    standard: str = "",
    codes: Mapping[str, str] | None = None,
    formats: tuple[str, ...] = (),
    ids: str | None = None,
    defines: bool = False,
    refers: bool = False,
    trait: str | None = None,
    generalise: str | None = None,
    required: bool = True,
    **checks: Any,
) -> Any:
    """Declare a contract's column; see ``Column`` for the arguments, pandera's ``Field`` for ``checks``.

    With ``codes`` the cell may hold only a code of the list; it is translated to the canonical code.
    """
    for value, allowed, what in (
        (ids, NAMESPACES, "ids"),
        (trait, TRAITS, "trait"),
        (generalise, GENERALISATIONS, "generalise"),
    ):
        if value is not None and value not in allowed:
            raise ConfigurationError("WB-E-015", f"A contract names an unknown {what}.", f"{what} {value!r}")
    return pa.Field(
        nullable=not required,
        metadata={
            "privacy": privacy,
            "header": header,
            "standard": standard,
            "codes": codes,
            "formats": formats,
            "ids": ids,
            "defines": defines,
            "refers": refers,
            "trait": trait,
            "generalise": generalise,
        },
        **checks,
    )


def contract(
    name: str,
    *,
    key: tuple[str, ...],
    regime: Regime,
    mode: Mode = Mode.UPSERT,
    period: str | None = None,
    version: str | None = None,
    loads: bool = True,
    extra_headers: frozenset[str] = frozenset(),
) -> Callable[[type[pa.DataFrameModel]], Contract]:
    """Register a pandera (polars) model as the contract ``name``; the model's docstring is its title.

    Raises:
        ConfigurationError: WB-E-014 when a column has no privacy class.
    """

    def register(model: type[pa.DataFrameModel]) -> Contract:
        columns = {
            column_name: _column(name, column_name, spec)
            for column_name, spec in model.to_schema().columns.items()
        }
        built = Contract(
            name=name,
            title=(model.__doc__ or "").strip().splitlines()[0],
            model=model,
            columns=columns,
            key=key,
            mode=mode,
            regime=regime,
            period=period,
            version=version,
            loads=loads,
            extra_headers=extra_headers,
        )
        CONTRACTS[name] = built
        return built

    return register


def _column(contract_name: str, name: str, spec: Any) -> Column:
    declared = dict(spec.metadata or {})
    if not isinstance(declared.get("privacy"), PrivacyClass):
        raise ConfigurationError(
            "WB-E-014",
            "A contract has a column without a privacy class.",
            f"contract {contract_name} · column {name}",
        )
    declared["header"] = declared["header"] or name
    return Column(name=name, dtype=spec.dtype.type, required=not spec.nullable, **declared)
