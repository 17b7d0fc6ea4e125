"""As much of an extract as can be shown beside everything else, where all of it cannot.

An extract that loses a breakdown still answers most of what it is for; a refused one answers nothing. So of tables
half of the measures' breakdowns is left out at a time, those named last first, and at last the measures; of a record
file the column that gives most away, or that the recipient needs least. What was left out is said, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from wellbridge.pipelines.extract_definitions import RECORD, ExtractDefinition
from wellbridge.pipelines.extract_tables import DataFile, quasi_of
from wellbridge.privacy.tables.further import Beside
from wellbridge.schemas.errors import PrivacyError


def protected(
    definition: ExtractDefinition,
    make: Callable[[ExtractDefinition], list[DataFile]],
    *,
    before: Sequence[str] = (),
) -> tuple[list[DataFile], ExtractDefinition]:
    """Make the files of a definition, or of what can be shown of it; return both.

    Args:
        definition: the whole extract.
        make: makes the files of one, or raises.
        before: columns that the extract's last release left out. A column that comes back tells children apart who
            were alike, so where that is refused (WB-E-043) it stays out.

    Raises:
        PrivacyError: WB-E-042 or WB-E-043 of the least that was tried, so that it names what alone cannot be shown;
            every other refusal at once.
    """
    shown = definition
    while True:
        try:
            return make(shown), shown
        except PrivacyError as error:
            less = _less(shown, error, before)
            if less is None:
                raise
        shown = less


def left_out(whole: ExtractDefinition, shown: ExtractDefinition) -> dict[str, list[str]]:
    """Return the names that a definition has and what is shown of it has not; empty where all is shown."""
    parts = {
        "measures": (whole.measures, shown.measures),
        "breakdowns": (whole.dimensions, shown.dimensions),
        "columns": (whole.columns, shown.columns),
    }
    gone = {what: [name for name in every if name not in kept] for what, (every, kept) in parts.items()}
    return {what: names for what, names in gone.items() if names}


def _less(shown: ExtractDefinition, refused: PrivacyError, before: Sequence[str]) -> ExtractDefinition | None:
    """Return a definition with less in it; None where nothing would be left or less does not help."""
    if shown.kind == RECORD and refused.code == "WB-E-043":
        return _without(shown, before) or _without(shown, _least_needed(shown))
    if refused.code != "WB-E-042":
        return None
    if shown.kind == RECORD:
        return _without(shown, [refused.column]) if isinstance(refused, Beside) else None
    if shown.measures and shown.dimensions:
        return replace(shown, dimensions=shown.dimensions[: len(shown.dimensions) // 2])
    return replace(shown, measures=()) if shown.measures and shown.counts else None


def _least_needed(shown: ExtractDefinition) -> list[str]:
    """Return the quasi-identifier that the recipient needs least, of several the one named last; none where none is."""
    last_first = list(reversed(quasi_of(shown)))
    return sorted(last_first, key=lambda name: shown.weights.get(name, 1.0))[:1]


def _without(shown: ExtractDefinition, gone: Sequence[str]) -> ExtractDefinition | None:
    left = tuple(name for name in shown.columns if name not in gone)
    if not left or left == shown.columns:
        return None
    return replace(
        shown,
        columns=left,
        quasi={name: levels for name, levels in shown.quasi.items() if name in left},
        sensitive=tuple(rule for rule in shown.sensitive if rule.column in left),
        weights={name: weight for name, weight in shown.weights.items() if name in left},
    )
