"""The vault's crosswalk: each agreement's record codes, drawn at random, kept apart from everything they lead to."""

from __future__ import annotations

import polars as pl

from wellbridge.etl.store import Store
from wellbridge.privacy.codes import draw


class VaultCrosswalk:
    """Codes of agreements, kept in the vault (34 CFR 99.31(b)(2), rule F-05)."""

    def __init__(self, vault: Store) -> None:
        self._vault = vault

    def codes(self, agreement_id: str, person_keys: pl.Series) -> pl.DataFrame:
        """Return ``person_key, code``; see ``wellbridge.privacy.codes.Crosswalk``."""
        wanted = person_keys.drop_nulls().unique().to_frame("person_key")
        known = self._vault.frame("SELECT person_key, code FROM crosswalk WHERE agreement_id = ?", [agreement_id])
        fresh = draw(wanted.join(known, on="person_key", how="anti")["person_key"])
        if fresh.height:
            self._vault.run("INSERT INTO crosswalk SELECT ?, person_key, code FROM fresh", [agreement_id], fresh=fresh)
        return wanted.join(pl.concat([known, fresh]), on="person_key")
