"""All measures, in the order of the seed: outcomes, tiers, pillars 1 to 5."""

from __future__ import annotations

from typing import Final

from wellbridge.pipelines.measures import care, outcomes, supports
from wellbridge.pipelines.measures.measure import Measure
from wellbridge.schemas.errors import ConfigurationError

_ALL: Final = (
    outcomes.CHRONIC_ABSENCE,
    outcomes.EXCLUSIONARY_DISCIPLINE,
    outcomes.TIER_STUDENTS,
    outcomes.TIER_MOVEMENT,
    supports.STAFF_TRAINED,
    supports.TRAINING_HOURS,
    supports.SERVICE_MINUTES,
    supports.HOMELESS_SERVED,
    supports.OST_REGULAR,
    supports.OST_HOURS,
    care.POSITIVE_SCREEN_RATE,
    care.SCREEN_TO_SERVICE,
    care.PHQ9_RESPONSE,
    care.PHQ9_REMISSION,
    care.REENTRY_TIMELY,
    care.HWC_WITHIN_DAY,
    care.HWC_RESPONSE_HOURS,
)

MEASURES: Final[dict[str, Measure]] = {measure.id: measure for measure in _ALL}


def measure(measure_id: str) -> Measure:
    """Return the measure of that id.

    Raises:
        ConfigurationError: WB-E-015 when there is none.
    """
    found = MEASURES.get(measure_id)
    if found is None:
        raise ConfigurationError("WB-E-015", "There is no such measure.", f"known: {', '.join(MEASURES)}")
    return found
