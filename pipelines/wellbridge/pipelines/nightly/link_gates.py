"""The gates of linking: a night whose links fail one of the site's limits does not commit.

Decisions by persons are let through: review is what closes a gap, and a wish to be forgotten waits for nothing.
"""

from __future__ import annotations

from typing import Any, Final

from wellbridge.etl.identity.evaluate import gates
from wellbridge.etl.identity.watch import watch
from wellbridge.pipelines.nightly.night import Night
from wellbridge.pipelines.nightly.stores import write_event
from wellbridge.schemas.errors import PrivacyError

BLOCK: Final = "block"
# What the warehouse knows of a child, in whatever language of forms: federal groups, programs and the school.
_ABOUT: Final = """
    SELECT s.person_key, s.school_id AS school, s.english_learner, s.race_ethnicity,
        bool_or(coalesce(p.program = 'homeless', false)) AS homeless,
        bool_or(coalesce(p.program = 'foster_care', false)) AS foster
    FROM student s LEFT JOIN program_participation p
        ON p.person_key = s.person_key AND coalesce(p.end_date > ?, true)
    WHERE s.is_current GROUP BY ALL"""


def check_links(night: Night, *, is_by_person: bool) -> dict[str, Any] | None:
    """Say how the night's links stand; None where nothing was decided.

    Args:
        night: after everything was placed and derived.
        is_by_person: the night applies decisions of persons; its gates are told and stop nothing.

    Raises:
        PrivacyError: WB-E-105, a gate fails and the site's policy is to block.
    """
    about = night.warehouse.frame(_ABOUT, [night.as_of()]).unique("person_key", keep="first")
    found = watch(night.vault.store, night.run_id, about, night.matcher.model)
    if found is None:
        return None
    checked = gates(found, max_gap=night.site.max_gap, max_drift=night.site.max_drift)
    failed = [one for one in checked if not one["holds"]]
    if failed and night.site.gates == BLOCK and not is_by_person:
        raise PrivacyError("WB-E-105", "A gate of linking fails: nothing is committed.", _named(failed))
    if failed:
        write_event(night.warehouse, "identity.gate", night.run_id, _named(failed))
    return {"sources": found["sources"], "groups": found["groups"], "drift": found["drift"], "gates": checked}


def _named(failed: list[dict[str, Any]]) -> str:
    """Name gates and what fails them; of a group its column alone, because its value stands in cells."""
    return " · ".join(
        f"{one['gate']}: {', '.join(sorted({what.partition('=')[0] for what in one['failed_by']}))}"
        for one in failed
    )
