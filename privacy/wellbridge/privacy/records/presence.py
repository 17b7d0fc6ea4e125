"""Delta-presence: that somebody is in a file must not follow from being in the population that it was drawn from.

Where everybody of a class of the population is in the file, who knows a person of that class knows that she is in it:
that she was referred, say. The population is coarsened as the file was, and the greatest share is looked at.

Source: M. Nergiz, M. Atzori, C. Clifton, Hiding the presence of individuals from shared databases (SIGMOD 2007).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from wellbridge.privacy.records.anonymize import Anonymized
from wellbridge.privacy.records.assess import presence_of
from wellbridge.privacy.records.hierarchy import NOT_REPORTED, Hierarchy
from wellbridge.schemas.errors import ConfigurationError, PrivacyError


@dataclass(frozen=True)
class PresenceLimit:
    """How present a class of the population may be in the file.

    Attributes:
        population: everybody whom the file was drawn from, one row a person, coded as the file is.
        greatest: the greatest share of a class that may be in the file.
    """

    population: pl.DataFrame
    greatest: float


def check_presence(
    found: Anonymized, limit: PresenceLimit, quasi: Mapping[str, Hierarchy], within: Sequence[str]
) -> None:
    """Refuse a recoded file in which a class of its population is too present.

    Raises:
        ConfigurationError: WB-E-011 when the file is recoded locally: its classes overlap, so no share is certain.
            WB-E-047 when a hierarchy does not hold a value of the population.
        PrivacyError: WB-E-043.
    """
    if len(found.parts) > 1:
        what = "Presence is not told of a file that is recoded locally."
        raise ConfigurationError("WB-E-011", what, "presence, local")
    coarsened = limit.population.with_columns(
        _coarsened(limit.population[name], tree, found.node[name]) for name, tree in quasi.items()
    )
    share = presence_of(found.table, coarsened, [*within, *quasi]).greatest
    if share > limit.greatest:
        raise PrivacyError(
            "WB-E-043", "Of a class of the population more are in the file than its policy allows.",
            "presence.greatest", todo="Coarsen more (a greater k, fewer quasi-identifiers), or widen the cohort",
        )


def _coarsened(column: pl.Series, tree: Hierarchy, level: int) -> pl.Series:
    text = column.cast(pl.String)
    labels = tree.labels(text.unique(), column.name)
    plain, at = labels["0"], labels[str(level)]
    return text.fill_null(NOT_REPORTED).replace_strict(plain, at, return_dtype=pl.String).alias(column.name)
