"""The crosswalk of record codes, kept in the vault: which code stands for whom under which agreement."""

from __future__ import annotations

import polars as pl

from wellbridge.etl.store import Store
from wellbridge.privacy.codes import SCHEMA, draw


class VaultCrosswalk:
    """Record codes in an open vault; see ``wellbridge.privacy.codes.LastingCrosswalk``."""

    def __init__(self, vault: Store) -> None:
        self._vault = vault

    def codes(self, agreement_id: str, person_keys: pl.Series) -> pl.DataFrame:
        """Return ``person_key, code`` of each distinct key, drawing and keeping codes for keys without one.

        Codes are committed before they are used: a code without a release harms nobody and is used again.
        """
        wanted = person_keys.drop_nulls().unique().to_frame("person_key")
        fresh = draw(wanted.join(self.drawn(agreement_id), on="person_key", how="anti")["person_key"])
        if fresh.height:
            with self._vault.transaction():
                self._vault.run(
                    "INSERT INTO crosswalk (agreement_id, person_key, code) SELECT ?, person_key, code FROM fresh",
                    [agreement_id],
                    fresh=fresh,
                )
        return wanted.join(self.drawn(agreement_id), on="person_key")

    def drawn(self, agreement_id: str) -> pl.DataFrame:
        """Return ``person_key, code`` of everybody who has a code, drawing none."""
        found = self._vault.frame(
            "SELECT person_key, code FROM crosswalk WHERE agreement_id = ?", [agreement_id]
        )
        return found.with_columns(pl.col(*SCHEMA).cast(pl.String))
