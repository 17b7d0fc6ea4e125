"""What is to happen to every column of a record file, and the doing of it: denied unless allowed.

A column that the plan does not name does not leave. Steps run in one order: columns dropped, dates moved, numbers
averaged or swapped, codes put for identifiers, quasi-identifiers coarsened, rows sorted so that their order says
nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import polars as pl

from wellbridge.privacy.records.anonymize import K_FLOOR, K_LEAST, Anonymized, anonymize
from wellbridge.privacy.records.criteria import Sensitive
from wellbridge.privacy.records.hierarchy import Hierarchy
from wellbridge.privacy.records.lattice import Limits
from wellbridge.schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from wellbridge.privacy.records.presence import PresenceLimit


class Treatment(StrEnum):
    """What is done to a column that is no quasi-identifier.

    KEEP: nothing. CODE: a random code in place of an identifier. DATE_SHIFT: moved with all dates of the person.
    MICROAGGREGATE: the mean of a small group. RANK_SWAP: exchanged with a near one.
    """

    KEEP = "keep"
    CODE = "code"
    DATE_SHIFT = "date_shift"
    MICROAGGREGATE = "microaggregate"
    RANK_SWAP = "rank_swap"


@dataclass(frozen=True)
class Treated:
    """A column's treatment.

    Attributes:
        how: what is done.
        group: least rows of a group, for MICROAGGREGATE.
        share: of ranks, for RANK_SWAP.
    """

    how: Treatment = Treatment.KEEP
    group: int = 3
    share: float = 0.05


@dataclass(frozen=True)
class Plan:
    """A release of one record file.

    Attributes:
        quasi: quasi-identifiers with their hierarchies.
        columns: the other columns that leave, each with its treatment.
        sensitive: what classes must keep of sensitive attributes; these are among ``columns``.
        hierarchies: of sensitive attributes.
        k, max_suppressed, per_person, within, weights, local, limits: see ``anonymize``.
        scope: whom the codes and shifts are for.
        max_days: farthest that dates move.
        presence: how present a class of the population may be; None: not asked.
    """

    quasi: Mapping[str, Hierarchy]
    columns: Mapping[str, Treated] = field(default_factory=dict)
    sensitive: Sequence[Sensitive] = ()
    hierarchies: Mapping[str, Hierarchy] = field(default_factory=dict)
    k: int = K_FLOOR
    max_suppressed: float = 0.05
    per_person: str | None = None
    within: Sequence[str] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    local: bool = False
    limits: Limits | None = None
    scope: str = "file"
    max_days: int = 182
    presence: PresenceLimit | None = None

    @property
    def draws(self) -> bool:
        """Whether anything is drawn for persons that a crosswalk could keep."""
        return any(one.how in {Treatment.CODE, Treatment.DATE_SHIFT} for one in self.columns.values())

    @property
    def leaving(self) -> list[str]:
        """Every column that leaves."""
        return list(dict.fromkeys([*self.quasi, *self.within, *self.columns]))


class Keeper(Protocol):
    """Where codes and shifts outlive the process; see ``codes.Crosswalk`` and ``transforms.Shifts``."""

    def codes(self, agreement_id: str, person_keys: pl.Series) -> pl.DataFrame:
        """Return ``person_key, code``."""
        ...

    def days(self, scope: str, persons: pl.Series) -> pl.DataFrame:
        """Return ``person, days``."""
        ...


@dataclass(frozen=True)
class Released:
    """A record file that may leave.

    Attributes:
        found: the file and its measures.
        unowned: rows that were left behind because they say of no person whose they are.
        dropped: columns that were left behind.
        treated: columns by treatment, those that are kept as they are left out.
    """

    found: Anonymized
    unowned: int
    dropped: tuple[str, ...]
    treated: Mapping[str, str]


def carry_out(frame: pl.DataFrame, plan: Plan, keeper: Keeper | None = None) -> Released:
    """Do what a plan says.

    Args:
        frame: the file.
        plan: what is to happen to it.
        keeper: where codes and shifts are kept; without, they are forgotten with the process.

    Raises:
        ConfigurationError: WB-E-015 when it names a column that there is not; WB-E-011 when a column has two parts.
        PrivacyError: WB-E-043, WB-E-044; see ``anonymize``.
    """
    named = [*plan.leaving, *([plan.per_person] if plan.per_person else []), *(one.column for one in plan.sensitive)]
    known_columns(named, frame.columns)
    both = sorted(set(plan.quasi) & {*plan.columns, *(one.column for one in plan.sensitive)})
    if both:
        raise ConfigurationError("WB-E-011", "A column is a quasi-identifier and something else.", ", ".join(both))
    moved = _moved(frame, plan, keeper)
    found = anonymize(
        moved.select(list(dict.fromkeys(named))), quasi=plan.quasi, per_person=plan.per_person, k=plan.k,
        max_suppressed=plan.max_suppressed, within=plan.within, sensitive=plan.sensitive,
        hierarchies=plan.hierarchies, weights=plan.weights, local=plan.local, limits=plan.limits, least_k=K_LEAST,
    )
    if plan.presence is not None:
        from wellbridge.privacy.records.presence import check_presence  # noqa: PLC0415 - rarely asked for

        known_columns([*plan.within, *plan.quasi], plan.presence.population.columns)
        check_presence(found, plan.presence, plan.quasi, plan.within)
    # Numbers are averaged and swapped among those who are released alone: nothing of the others stays in them.
    table = _treated(found.table, plan, keeper).select(name for name in frame.columns if name in set(plan.leaving))
    dropped = tuple(name for name in frame.columns if name not in set(plan.leaving))
    treated = {name: str(one.how) for name, one in plan.columns.items() if one.how is not Treatment.KEEP}
    unowned = frame[plan.per_person].null_count() if plan.per_person else 0
    return Released(replace(found, table=table.sort(table.columns)), unowned, dropped, treated)


def known_columns(names: Iterable[str], known: Collection[str]) -> None:
    """Refuse names that are no columns, with the near ones.

    Raises:
        ConfigurationError: WB-E-015.
    """
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=3) or ["none"]
            raise ConfigurationError("WB-E-015", "The file has no such column.", f"{name} · near: {', '.join(near)}")


def _moved(frame: pl.DataFrame, plan: Plan, keeper: Keeper | None) -> pl.DataFrame:
    dates = [name for name, one in plan.columns.items() if one.how is Treatment.DATE_SHIFT]
    if not dates:
        return frame
    from wellbridge.privacy.records.transforms import MemoryShifts, shift_dates  # noqa: PLC0415 - rarely asked for

    if plan.per_person is None:
        raise ConfigurationError("WB-E-011", "Dates are moved per person, but no column says whose they are.",
                                 f"per_person · {', '.join(dates)}")
    shifts = keeper or MemoryShifts(plan.max_days)
    return shift_dates(frame, dates, per_person=plan.per_person, shifts=shifts, scope=plan.scope)


def _treated(table: pl.DataFrame, plan: Plan, keeper: Keeper | None) -> pl.DataFrame:
    if all(one.how in {Treatment.KEEP, Treatment.DATE_SHIFT} for one in plan.columns.values()):
        return table
    from wellbridge.privacy.codes import MemoryCrosswalk  # noqa: PLC0415 - rarely asked for
    from wellbridge.privacy.records.transforms import code_column, microaggregate, swap_ranks  # noqa: PLC0415

    averaged: dict[int, list[str]] = {}
    crosswalk = keeper or MemoryCrosswalk()
    for name, one in plan.columns.items():
        if one.how is Treatment.CODE:
            table = code_column(table, name, crosswalk, f"{plan.scope}·{name}")
        elif one.how is Treatment.RANK_SWAP:
            table = swap_ranks(table, name, share=one.share)
        elif one.how is Treatment.MICROAGGREGATE:
            averaged.setdefault(one.group, []).append(name)
    for group, names in averaged.items():
        table = microaggregate(table, names, group=group)
    return table
