"""Published tables in folders: attack several together, and certify one that was protected elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wellbridge.privacy.tables.certificate import TABLE, attacked, write_release
from wellbridge.privacy.tables.cohorts import UNSAID, Cohort
from wellbridge.privacy.tables.joint import JointAttack, attack_together
from wellbridge.privacy.tables.linked import Need
from wellbridge.privacy.tables.protection import Dimension, as_published, read_table
from wellbridge.privacy.tables.released import ReleasedTable, read_release
from wellbridge.schemas.errors import PrivacyError

if TYPE_CHECKING:
    from wellbridge.privacy.signing import Signer

CERTIFIED: Final = "certified"


@dataclass(frozen=True)
class Certified:
    """A published table that withstood the attack.

    Attributes:
        out: the folder with the table and its certificate.
        cells: cells of the table, margins too.
        hidden: those that are blank.
        completions: tables that the certificate proves it with.
    """

    out: Path
    cells: int
    hidden: int
    completions: int


def attack(folders: Sequence[Path], *, zeros_known: bool = False) -> JointAttack:
    """Attack releases together, as somebody who holds all of them.

    Args:
        folders: releases, each with ``table.csv`` and ``certificate.json``.
        zeros_known: the reader knows that a blank is never zero.

    Raises:
        SourceError: when a folder holds no release.
        PrivacyError: see ``attack_together``.
    """
    return attack_tables([read_release(folder) for folder in folders], zeros_known=zeros_known)


def attack_tables(tables: Sequence[ReleasedTable], *, zeros_known: bool) -> JointAttack:
    """Attack tables together by what a reader knows of their blanks, see ``attack``."""
    least = 1 if zeros_known else 0
    # Where zeros could be hidden, to know the rules is not to know that a blank is none.
    return attack_together(
        [one if one.hides_zeros else replace(one, blank_least=max(one.blank_least, least)) for one in tables]
    )


def certify(
    folder: Path,
    *,
    by: Sequence[Dimension],
    count: str,
    min_cell: int = 10,
    need: Need = Need.STRONG,
    cohort: Cohort = UNSAID,
    signer: Signer | None = None,
) -> Certified:
    """Attack a table that was protected elsewhere, and write its public certificate, made of what is published alone.

    Args:
        folder: holds ``table.csv``, counts blank where hidden; gets a folder ``certified``.
        by: dimensions.
        count: the column of counts.
        min_cell: smallest count that may be shown.
        need: how open a hidden count must be.
        cohort: whom the table counts.
        signer: signs the certificate.

    Raises:
        PrivacyError: WB-E-042 when the table gives a small count away, WB-E-046 when it is none.
    """
    found = as_published(
        read_table(folder / TABLE, by, count), by=by, count=count, min_cell=min_cell, need=need
    )
    seen = attacked(found)
    exact, few = len(seen.given_away), len(seen.narrowed)
    if exact or few:
        what = f"{exact} hidden cell(s) can be worked out, and {few} are certainly small."
        raise PrivacyError("WB-E-042", what, f"folder {folder.name}")
    out = folder / CERTIFIED
    write_release(found, out, cohort=cohort, signer=signer)
    return Certified(out, found.table.height, len(seen.cells), len(seen.completions))
