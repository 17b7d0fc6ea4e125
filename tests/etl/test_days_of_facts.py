"""The day by which a fact is its person's: of every table of facts the first date, named here one by one."""

from __future__ import annotations

import re

from wellbridge.etl.loading import day_of
from wellbridge.schemas.warehouse import PERSON_TABLES

DAYS = {
    "appointment": "event_date",
    "attendance": "event_date",
    "case_plan": "opened_date",
    "course_result": "event_date",
    "crisis_event": "event_date",
    "discipline_action": "event_date",
    "enrollment": "entry_date",
    "handle_with_care": "notice_time",
    "intervention": None,
    "needs_assessment": "event_date",
    "ost_attendance": "event_date",
    "ost_enrollment": "start_date",
    "program_participation": "begin_date",
    "reentry_plan": "discharge_date",
    "referral": "event_date",
    "referral_status": "status_date",
    "screening": "event_date",
    "service_encounter": "event_date",
    "student_observation": "as_of",
    "tier_assignment": "start_date",
}


def test_the_day_of_every_table_of_facts_is_the_one_on_which_it_was_or_began() -> None:
    found = {table.name: re.findall(r'\."?(\w+)"? AS DATE', day_of(table)) for table in PERSON_TABLES}
    assert found == {name: [day] if day else [] for name, day in DAYS.items()}
