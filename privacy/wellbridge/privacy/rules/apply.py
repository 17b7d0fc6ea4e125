"""The rules applied to rows: each column treated as decided, whatever it is wanted for."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from wellbridge.privacy.rules.decide import Decision
from wellbridge.privacy.rules.generalise import generalised
from wellbridge.privacy.rules.strictness import Treatment
from wellbridge.schemas.errors import PrivacyError


def treated(frame: pl.DataFrame, decisions: Mapping[str, Decision]) -> pl.DataFrame:
    """Return rows with each column as the rules let it be; a column about which nothing was decided is left out.

    Keys are left out where a code must stand for them: ``codes.replace_keys`` draws it.

    Args:
        frame: any rows.
        decisions: by column, see ``policy.decisions``.

    Raises:
        PrivacyError: WB-E-074 when a rule refuses the release while a column is asked for.
    """
    refused = [name for name in frame.columns if name in decisions and decisions[name].treatment is Treatment.REFUSE]
    if refused:
        rules = sorted({rule.id for name in refused for rule in decisions[name].deciding})
        raise PrivacyError(
            "WB-E-074", f"{len(refused)} column(s) may not leave at all.", f"{', '.join(refused)} · {', '.join(rules)}"
        )
    kept: list[pl.Expr] = []
    for name in frame.columns:
        decision = decisions.get(name)
        if decision is None or decision.treatment.rank >= Treatment.CODE.rank:
            continue
        if decision.treatment is Treatment.KEEP:
            kept.append(pl.col(name))
        else:
            kept.append(generalised(name, decision.treatment, decision.limits))
    return frame.select(kept)
