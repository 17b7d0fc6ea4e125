"""Record codes: what stands for a child in one agreement's files and nowhere else.

Codes are drawn at random for each agreement and kept in a crosswalk that never leaves the vault. Nothing about the
child enters a code, and two recipients' codes have nothing in common.

Source: 34 CFR 99.31(b)(2)(iii): a record code "not based on a student's social security number or other personal
information"; (b)(2)(i): how codes are assigned is not disclosed.
"""

from __future__ import annotations

import secrets
from typing import Final, Protocol

import polars as pl

CODE_BYTES: Final = 16  # a collision among 10⁷ persons has a chance below 10⁻²⁴
SCHEMA: Final = {"person_key": pl.String, "code": pl.String}


class Crosswalk(Protocol):
    """Where the codes of each agreement are kept."""

    def codes(self, agreement_id: str, person_keys: pl.Series) -> pl.DataFrame:
        """Return ``person_key, code`` for each distinct key, drawing and keeping codes for keys without one.

        A person keeps the code of an agreement for as long as the crosswalk is kept.
        """
        ...


class LastingCrosswalk(Crosswalk, Protocol):
    """A crosswalk that can be asked who has a code already, as a file that follows others of its agreement must."""

    def drawn(self, agreement_id: str) -> pl.DataFrame:
        """Return ``person_key, code`` of everybody who has a code under an agreement, drawing none."""
        ...


def draw(person_keys: pl.Series) -> pl.DataFrame:
    """Draw a fresh random code for each distinct key: ``person_key, code``."""
    distinct = person_keys.drop_nulls().unique()
    text = secrets.token_hex(CODE_BYTES * len(distinct))
    width = 2 * CODE_BYTES
    codes = [text[start:start + width] for start in range(0, len(text), width)]
    return pl.DataFrame({"person_key": distinct, "code": codes}, schema=SCHEMA)


class MemoryCrosswalk:
    """A crosswalk that is forgotten with the process, unless somebody keeps what is ``known``.

    Args:
        known: codes drawn before, by agreement.
    """

    def __init__(self, known: dict[str, pl.DataFrame] | None = None) -> None:
        self.known: dict[str, pl.DataFrame] = {} if known is None else known

    def codes(self, agreement_id: str, person_keys: pl.Series) -> pl.DataFrame:
        """Return ``person_key, code``; see ``Crosswalk``."""
        known = self.drawn(agreement_id)
        wanted = person_keys.drop_nulls().unique().to_frame("person_key")
        fresh = draw(wanted.join(known, on="person_key", how="anti")["person_key"])
        self.known[agreement_id] = pl.concat([known, fresh])
        return wanted.join(self.known[agreement_id], on="person_key")

    def drawn(self, agreement_id: str) -> pl.DataFrame:
        """Return ``person_key, code``; see ``Crosswalk``."""
        return self.known.get(agreement_id, pl.DataFrame(schema=SCHEMA))


def replace_keys(frame: pl.DataFrame, crosswalk: Crosswalk, agreement_id: str) -> pl.DataFrame:
    """Replace ``person_key`` by the agreement's code, first column, rows in the order of the codes.

    The order of random codes says nothing, so the order of the warehouse does not travel on. Rows without a
    ``person_key`` are left out: nobody can say whose they are.
    """
    codes = crosswalk.codes(agreement_id, frame["person_key"])
    coded = frame.join(codes, on="person_key", how="inner").drop("person_key")
    return coded.select("code", pl.exclude("code")).sort("code", maintain_order=True)
