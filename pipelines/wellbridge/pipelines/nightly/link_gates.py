"""The gates of linking: a night whose links fail one of the site's limits does not commit.

Decisions by persons are let through: review is what closes a gap, and a wish to be forgotten waits for nothing. What
a refused night would have looked like is kept in a private file of the site's state, because the stores know nothing
of it: groups and counts, never a record.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from wellbridge.etl.identity.evaluate import gates
from wellbridge.etl.identity.watch import watch
from wellbridge.etl.landing import write_private
from wellbridge.pipelines.nightly.night import Night
from wellbridge.pipelines.nightly.stores import write_event
from wellbridge.pipelines.site import Site
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
        PrivacyError: WB-E-105, a gate fails and the site's policy is to block; its ``facts`` hold what a night that
            passes returns, as ``links``.
    """
    about = night.warehouse.frame(_ABOUT, [night.as_of()]).unique("person_key", keep="first")
    found = watch(night.vault.store, night.run_id, about, night.matcher.model)
    if found is None:
        return None
    checked = gates(found, max_gap=night.site.max_gap, max_drift=night.site.max_drift)
    links = {
        "sources": found["sources"],
        "groups": found["groups"],
        "drift": found["drift"],
        "gates": checked,
    }
    failed = [one for one in checked if one["holds"] is False]
    if failed and night.site.gates == BLOCK and not is_by_person:
        _keep_refused(night, links)
        what = "A gate of linking fails: nothing is committed."
        raise PrivacyError("WB-E-105", what, _named(failed), facts={"links": links})
    if failed:
        write_event(night.warehouse, "identity.gate", night.run_id, _named(failed))
    if not is_by_person:
        night.site.refused_links.unlink(missing_ok=True)
    return links


def refused_links(site: Site) -> dict[str, Any] | None:
    """Return how the links of the last night stood that was refused and not taken since: ``at``, ``links``."""
    try:
        found: dict[str, Any] = json.loads(site.refused_links.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _keep_refused(night: Night, links: dict[str, Any]) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    night.site.refused_links.unlink(missing_ok=True)
    write_private(night.site.refused_links, json.dumps({"at": at, "links": links}))


def _named(failed: list[dict[str, Any]]) -> str:
    """Name gates and what fails them; of a group its column alone, because its value stands in cells."""
    return " · ".join(
        f"{one['gate']}: {', '.join(sorted({what.partition('=')[0] for what in one['failed_by']}))}"
        for one in failed
    )
