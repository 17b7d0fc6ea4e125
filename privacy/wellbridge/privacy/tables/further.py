"""A table protected further, because of what was released before it.

Earlier releases cannot be taken back, so only the new table can give way: of the printed counts that give a small one
away beside them, one that the new table alone prints is hidden, the table is protected again with it, and all are
attacked again, until nothing is given away or nothing is left to hide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from wellbridge.privacy.tables.cohorts import UNSAID, Cohort
from wellbridge.privacy.tables.joint import Examined, Exposure, attack_together, examined, related
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.moves import unproved
from wellbridge.privacy.tables.protection import ProtectedTable
from wellbridge.privacy.tables.released import BLANK, ReleasedAxis, ReleasedTable
from wellbridge.privacy.tables.suppress import QUICK, Effort, suppress
from wellbridge.schemas.errors import PrivacyError

ROUNDS: Final = 40
_AT_ONCE: Final = 200  # exposures looked into in one round; hiding for some often mends the rest


class Beside(PrivacyError):
    """A release gives small counts away beside earlier ones, and hiding more of it does not help.

    Attributes:
        column: of the new release, the one by which most of that is told.
    """

    def __init__(self, what: str, where: str, todo: str, column: str) -> None:
        super().__init__("WB-E-042", what, where, todo=todo)
        self.column = column


@dataclass(frozen=True)
class Remedy:
    """What a new release gives away beside earlier ones, and what could be hidden against it.

    Attributes:
        exposures: what is given away that was not before; empty where the new release may leave.
        hide: for each new table by its number among the new ones, places of counts to hide.
        because: names of the earlier releases that lean in.
        stuck: exposures that nothing in the new release could mend.
        leaning: numbers of the new tables that lean in, those that do most first.
    """

    exposures: tuple[Exposure, ...]
    hide: dict[int, tuple[int, ...]]
    because: tuple[str, ...]
    stuck: int
    leaning: tuple[int, ...] = ()

    def worst(self, columns: Sequence[str]) -> str:
        """Return the column that most of what is given away is told by."""
        told = Counter(name for one in self.exposures for name in one.cell if name in columns)
        return told.most_common(1)[0][0] if told else columns[0]


def remedy(earlier: Sequence[ReleasedTable], new: Sequence[ReleasedTable]) -> Remedy:
    """Attack new tables together with earlier ones, and say what to hide in them.

    Raises:
        PrivacyError: WB-E-042 or WB-E-046 when they cannot be examined together.
    """
    every, first = [*earlier, *new], len(earlier)
    attacked = [
        part
        for group in related(every)
        if any(number >= first for number in group.members)
        for part in examined(every, group)
    ]
    before: set[tuple[object, ...]] = set()
    if any(part.exposures for part in attacked):
        before = {one.key for one in attack_together(earlier, explained=0).exposures}
    fresh = [(part, one) for part in attacked for one in part.exposures if one.key not in before]
    numbers = {id(table): number for number, table in enumerate(new)}
    hide: dict[int, set[int]] = {}
    names: dict[str, None] = {}
    stuck, leaning = 0, Counter[int]()
    for part, one in fresh[:_AT_ONCE]:
        choice, leant, own = _choice(part, one, numbers)
        names |= dict.fromkeys(leant)
        leaning.update(own)
        if choice is None:
            stuck += 1
        else:
            hide.setdefault(choice[0], set()).add(choice[1])
    return Remedy(
        tuple(one for _, one in fresh),
        {at: tuple(sorted(places)) for at, places in hide.items()},
        tuple(names),
        stuck,
        tuple(number for number, _ in leaning.most_common()),
    )


def _choice(
    part: Examined, one: Exposure, numbers: dict[int, int]
) -> tuple[tuple[int, int] | None, list[str], set[int]]:
    """Return the smallest count to hide against an exposure that only new tables print, and who leans in.

    Those are the names of earlier releases and the numbers of new tables.
    """
    found: list[tuple[int, int, int]] = []
    names: list[str] = []
    own: set[int] = set()
    for cell in part.because(one).tolist():
        printers = [(part.system.releases[number], place) for number, place in part.system.printed_by(cell)]
        old = [table.name for table, _ in printers if id(table) not in numbers]
        names += old
        own |= {numbers[id(table)] for table, _ in printers if id(table) in numbers}
        if not old:
            # Zeros stay: nobody can be taken from them.
            found += [
                (int(table.counts[place]), numbers[id(table)], place)
                for table, place in printers
                if table.counts[place] > 0
            ]
    return (min(found)[1:] if found else None), names, own


def as_released(found: ProtectedTable, name: str, cohort: Cohort = UNSAID) -> ReleasedTable:
    """Return a protected table as its reader would have it."""
    axes = tuple(
        ReleasedAxis(
            axis.columns,
            tuple(tuple(str(part) for part in label) for label in axis.nodes.iter_rows()),
            axis.parent,
        )
        for axis in found.grid.axes
    )
    counts = np.where(found.found.hidden, BLANK, found.task.values)
    return ReleasedTable(
        name, axes, counts, found.min_cell, found.need is Need.STRONG, found.blank_least, cohort
    )


def protect_after(
    found: ProtectedTable,
    earlier: Sequence[ReleasedTable],
    *,
    name: str,
    cohort: Cohort = UNSAID,
    effort: Effort | None = None,
) -> ProtectedTable:
    """Protect a table further until it gives nothing away beside earlier releases.

    Args:
        found: the table, safe alone.
        earlier: what was released before, to whomever.
        name: of the new release.
        cohort: whom it counts.
        effort: how long to look for few cells to hide in each round; not long without.

    Raises:
        PrivacyError: WB-E-042 when hiding does not help, naming the earlier releases and the dimension to drop.
    """
    for _ in range(ROUNDS):
        seen = remedy(earlier, [as_released(found, name, cohort)])
        if not seen.exposures:
            return found
        further = None if not seen.hide else _with_hidden(found, seen.hide[0], effort)
        if further is None:
            break
        found = further
    raise refusal(seen, [axis.columns[0] for axis in found.grid.axes])


def refusal(seen: Remedy, columns: Sequence[str], *, whose: str = "", is_record_file: bool = False) -> Beside:
    """Return the error that says why a release may not leave beside earlier ones.

    Args:
        seen: what would be given away.
        columns: those of the new release that may be to blame.
        whose: the extract and file, where there are such.
        is_record_file: whether its rows are children, of which no cell can be hidden.
    """
    differences = sum(one.kind != "count" for one in seen.exposures)
    column, earlier = seen.worst(columns), ", ".join(seen.because) or "earlier"
    drop = f"{'column' if is_record_file else 'drop dimension'} {column}"
    return Beside(
        f"Beside earlier releases {len(seen.exposures)} small count(s) would be given away, {differences} "
        "of them differences of two cohorts, and hiding more does not help.",
        " · ".join(part for part in (whose, f"releases {earlier}", drop) if part),
        "Leave the column named out of the record file, or coarsen it in the extract's [quasi]"
        if is_record_file
        else "Drop the dimension named, or release the same table again as it was",
        column,
    )


def _with_hidden(
    found: ProtectedTable, places: Sequence[int], effort: Effort | None
) -> ProtectedTable | None:
    """Protect a table again with more counts hidden, each of which must stay open; None where that cannot be."""
    task, at = found.task, np.array(places, dtype=np.int64)
    hidden, up, down = task.hidden.copy(), task.up.copy(), task.down.copy()
    hidden[at] = True
    up[at] = np.maximum(up[at], 1)
    down[at] = np.maximum(down[at], np.minimum(1, task.values[at] - task.lower[at]))
    wanted = replace(task, hidden=hidden, up=up, down=down)
    pattern = suppress(wanted, effort or QUICK)
    inner = (found.grid.open_axes().ravel() > 0) & (task.values > 0)
    if len(pattern.failed) or len(unproved(wanted, pattern)) or pattern.hidden[inner].all():
        return None
    counts = [None if gone else int(n) for gone, n in zip(pattern.hidden, task.values, strict=True)]
    shown = found.table.with_columns(pl.Series(found.count, counts, pl.Int64))
    return replace(found, table=shown, task=wanted, found=pattern)
