"""Several releases attacked together: what is safe alone can be given away by another.

Source: 34 CFR 99.31(b)(1), "whether through single or multiple releases".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from wellbridge.privacy.tables.attacker import Published, attack
from wellbridge.privacy.tables.audit import audit
from wellbridge.privacy.tables.cohorts import Tie
from wellbridge.privacy.tables.explain import Explainer
from wellbridge.privacy.tables.relations import Group, as_said, bounds_of, pairs_of, related, singles_of
from wellbridge.privacy.tables.released import ReleasedTable, read_release, released, released_rows
from wellbridge.privacy.tables.settle import Settled, settled
from wellbridge.privacy.tables.sums import Bools, Ints
from wellbridge.privacy.tables.system import System
from wellbridge.schemas.errors import PrivacyError

_EXPLAINED: Final = 5


@dataclass(frozen=True)
class Exposure:
    """A small count that several releases give away together.

    Attributes:
        kind: ``count``, or the ``difference`` of two cohorts, those ``common`` to both, or the ``change`` of one.
        about: the cohorts, by name or by their first release.
        cell: columns and members, those summed over left out.
        is_exact: whether it follows exactly; else it is certainly small.
        because: printed counts that give it away, as release and cell; empty where it was not looked into.
        number: of the cell in its system.
    """

    kind: str
    about: tuple[str, ...]
    cell: Mapping[str, str]
    is_exact: bool
    because: tuple[tuple[str, Mapping[str, str]], ...] = ()
    number: int = -1

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells exposures apart, whatever else was released."""
        return (self.kind, self.about, tuple(sorted(self.cell.items())))

    def as_dict(self) -> dict[str, Any]:
        """Return the exposure for a JSON document; what was printed is named, no count is told."""
        return {
            "kind": self.kind,
            "about": list(self.about),
            "cell": dict(self.cell),
            "exact": self.is_exact,
            "because": [{"release": name, "cell": dict(cell)} for name, cell in self.because],
        }


@dataclass(frozen=True)
class JointAttack:
    """What several releases give away together.

    Attributes:
        releases: their names.
        groups: number of each release's group; releases of one number were attacked together.
        hidden: cells that some release hides.
        given_away: small counts, and small differences, that follow exactly.
        narrowed: those that are certainly small, though not exactly known, where the need is strong.
        exposures: each of them.
    """

    releases: tuple[str, ...]
    groups: tuple[int, ...]
    hidden: int
    given_away: int
    narrowed: int
    exposures: tuple[Exposure, ...] = field(default_factory=tuple)

    def as_dict(self) -> dict[str, Any]:
        """Return the attack for a JSON document."""
        explained = [one.as_dict() for one in self.exposures if one.because]
        return {
            "releases": list(self.releases),
            "groups": list(self.groups),
            "hidden": self.hidden,
            "given_away": self.given_away,
            "narrowed": self.narrowed,
            "differences": sum(one.kind != "count" for one in self.exposures),
            "explained": explained,
        }


def attack_together(releases: Sequence[ReleasedTable], *, explained: int = _EXPLAINED) -> JointAttack:
    """Attack releases together, those that are related at a time.

    Args:
        releases: the releases.
        explained: exposures for which the reason is looked for.

    Raises:
        PrivacyError: WB-E-042 when their common cross is too large to be examined, WB-E-046 when releases that are
            said to count the same persons contradict each other.
    """
    groups = related(releases)
    number_of = {at: number for number, group in enumerate(groups) for at in group.members}
    hidden = 0
    found: list[Exposure] = []
    for group in groups:
        for attacked in examined(releases, group):
            hidden += attacked.hidden
            left = explained - sum(bool(one.because) for one in found)
            found += [
                attacked.explain(one) if at < left else one for at, one in enumerate(attacked.exposures)
            ]
    exact = sum(one.is_exact for one in found)
    return JointAttack(
        tuple(r.name for r in releases),
        tuple(number_of[at] for at in range(len(releases))),
        hidden,
        exact,
        len(found) - exact,
        tuple(found),
    )


@dataclass
class Examined:
    """A system after the attack.

    Attributes:
        system: the releases as one system.
        settled: what single sums of it give.
        hidden: cells that some release hides.
        exposures: what is given away.
        ranges: of each exposure's cell, what has to be proved of it.
    """

    system: System
    settled: Settled
    hidden: int
    exposures: list[Exposure]
    ranges: dict[int, tuple[int | None, int | None]]
    explainer: Explainer | None = None

    def explain(self, exposure: Exposure) -> Exposure:
        """Return the exposure with printed counts that give it away."""
        named = []
        for cell in self.because(exposure).tolist():
            number, place = self.system.printed_by(cell)[0]
            release = self.system.releases[number]
            named.append((release.name, release.label(place)))
        return replace(exposure, because=tuple(named))

    def because(self, exposure: Exposure) -> Ints:
        """Return the printed cells that give an exposure away; none where only whole numbers do."""
        least, greatest = self.ranges[exposure.number]
        if self.settled.published.hidden[exposure.number]:
            self.explainer = self.explainer or Explainer(self.settled.published)
            leant = self.explainer.because(exposure.number, least=least, greatest=greatest).tolist()
            cells = self.settled.printed(leant)[0]
        else:
            # Among the sums that gave it, the fewest printed counts that do.
            cells, sums = self.settled.printed([exposure.number])
            if sums.rows:
                few = Explainer(replace(self.system.published(), links=sums))
                cells = few.because(exposure.number, least=least, greatest=greatest)
        cells = self._with_sizes(cells)
        return np.array([cell for cell in cells if self.system.printed_by(int(cell))], dtype=np.int64)

    def _with_sizes(self, cells: Iterable[int]) -> Ints:
        """Add what gives the sizes that shares lean on."""
        out: dict[int, None] = {}
        todo = [int(cell) for cell in cells]
        while todo:
            cell = todo.pop()
            if cell not in out:
                out[cell] = None
                if cell in self.system.size_of:
                    todo += self.settled.printed([self.system.size_of[cell]])[0].tolist()
        return np.array(list(out), dtype=np.int64)


def examined(releases: Sequence[ReleasedTable], group: Group) -> Iterator[Examined]:
    """Attack the releases of a group; two cohorts at a time where all are too many.

    A reader takes two days for the same where nothing printed differs; if that cannot be, they are what they are
    said to be. Where releases do not say whom they count, and what was guessed of them cannot be, each cohort is
    attacked alone.
    """
    found, failed = [], ""
    try:
        found = [_examined(releases, group)]
    except PrivacyError as error:
        apart = as_said(releases, group)
        if error.code == "WB-E-046" and apart != group:
            yield from examined(releases, apart)
            return
        is_guessed = any(not releases[number].cohort.is_said for number in group.members)
        if len(group.cohorts) == 1 or (error.code == "WB-E-046" and not is_guessed):
            raise
        failed = error.code
    if failed:
        smaller = pairs_of(group) if failed == "WB-E-042" else singles_of(group)
        found = [_examined(releases, part) for part in smaller]
    yield from found


def _examined(releases: Sequence[ReleasedTable], group: Group) -> Examined:
    order = {number: place for place, number in enumerate(group.members)}
    mine = [releases[number] for number in group.members]
    cohorts = [[order[number] for number in cohort] for cohort in group.cohorts]
    differs, unions = bounds_of(mine, cohorts)
    # Shares that contradict printed counts are of another state of the records: they tell nothing of these.
    with_shares = any(one.shares is not None for one in mine)
    ways = [
        (is_few, shares)
        for shares in ((True, False) if with_shares else (False,))
        for is_few in (True, False)
    ]
    for is_few, shares in ways:
        try:
            system = System(mine, cohorts, group.ties, differs=differs, unions=unions, is_few=is_few)
            return _attacked(system, _settled(system, with_shares=shares))
        except PrivacyError as error:
            # More was corrected than a reader would take for likely.
            is_other = shares or (is_few and Tie.RESTATED in group.ties.values())
            if error.code != "WB-E-046" or not is_other:
                # No single sum is to blame: all of them together are.
                error.where = error.where or f"releases {', '.join(dict.fromkeys(one.name for one in mine))}"
                raise
    raise AssertionError("unreachable")


def _settled(system: System, *, with_shares: bool) -> Settled:
    """Return what single sums give; where they give a size, a share tells counts, and those may give more."""
    known = settled(system.published(), system.printed_in)
    while with_shares and system.tell_shares(known.published):
        known = settled(system.published(), system.printed_in)
    return known


def _attacked(system: System, known: Settled) -> Examined:
    published = known.published
    least = min(release.min_cell for release in system.releases)
    is_strong = any(release.is_strong for release in system.releases)
    ranges = _small_counts(system, published, least, is_strong=is_strong)
    ranges |= {
        cell: seen
        for cell, seen in _small_differences(system, published, least, is_strong=is_strong).items()
        if cell not in ranges
    }
    block_of = {
        cell: block
        for block in reversed(system.blocks)
        for cell in system.targets(block).tolist()
        if cell in ranges
    }
    exposures = []
    # Those that few sums give come first: they are the easiest to follow.
    easy = np.where(published.hidden, np.iinfo(np.int64).max, known.step)
    for cell, (low, high) in sorted(ranges.items(), key=lambda found: (easy[found[0]], found[0])):
        block = block_of.get(cell)
        cohorts = [system.cohorts[at][0] for at in block.about] if block else system.holders(cell)[:1]
        about = tuple(system.releases[at].cohort.name or system.releases[at].name for at in cohorts)
        exposures.append(
            Exposure(
                block.kind if block else "count",
                about,
                system.label(block, cell),
                is_exact=low == high,
                number=cell,
            )
        )
    return Examined(system, known, int(system.hidden_by_some.sum()), exposures, ranges)


Found = dict[int, tuple[int | None, int | None]]


def _small_counts(system: System, published: Published, least: int, *, is_strong: bool) -> Found:
    """Return hidden counts that are known and small, or certainly small where that is asked."""
    wanted, values = system.hidden_by_some, published.shown
    known = np.flatnonzero(wanted & ~published.hidden & (values > 0) & (values < least))
    out: Found = {int(cell): (int(values[cell]), int(values[cell])) for cell in known}
    targets = wanted & published.hidden
    if not targets.any():
        return out
    seen = audit(published, min_cell=least, is_strong=is_strong, targets=targets)
    lows = seen.least[np.searchsorted(seen.cells, seen.given_away)]
    out |= {
        int(cell): (int(n), int(n)) for cell, n in zip(seen.given_away, lows, strict=True) if 0 < n < least
    }
    return out | {int(cell): (None, least - 1) for cell in seen.narrowed}


def _small_differences(system: System, published: Published, least: int, *, is_strong: bool) -> Found:
    """Return differences of cohorts that are certainly of somebody and certainly of few."""
    wanted: Bools = np.zeros(len(published.shown), dtype=np.bool_)
    for block in system.blocks:
        if block.kind != "count":
            wanted[system.targets(block)] = True
    values = published.shown
    known = np.flatnonzero(wanted & ~published.hidden & (values != 0) & (np.abs(values) < least))
    out: Found = {int(cell): (int(values[cell]), int(values[cell])) for cell in known}
    targets = wanted & published.hidden
    if not targets.any():
        return out
    seen = audit(published, min_cell=least, is_strong=False, targets=targets)
    is_few = ((seen.least > 0) & (seen.greatest < least)) | ((seen.greatest < 0) & (seen.least > -least))
    few: Bools = np.zeros_like(targets)
    few[seen.cells[is_few & targets[seen.cells]]] = True
    if few.any():
        exact = attack(published, few)
        for cell in np.flatnonzero(few).tolist():
            low, high = int(exact.least[cell]), int(exact.greatest[cell])
            is_small = (low > 0 and high < least) or (high < 0 and low > -least)
            if is_small and (is_strong or low == high):
                out[cell] = (low, high)
    return out


__all__ = [
    "Examined",
    "Exposure",
    "Group",
    "JointAttack",
    "ReleasedTable",
    "attack_together",
    "examined",
    "read_release",
    "related",
    "released",
    "released_rows",
]
