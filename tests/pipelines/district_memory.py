"""A small made-up district in memory: enough of everything for a page, some groups too small to be shown."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from pipelines.warehouse_memory import empty_warehouse, insert
from wellbridge.etl.store import Store
from wellbridge.pipelines.measures.compute import compute
from wellbridge.privacy.signing import Signer, new_signing_key

AS_OF: Final = date(2026, 10, 19)


def _signer() -> Signer:
    with TemporaryDirectory() as folder:
        return new_signing_key(Path(folder, "key"))


SIGNER: Final = _signer()  # no release is built without
NAMES: Final = (
    "Adams Elementary",
    "Brook Elementary",
    "Cedar Elementary",
    "Delta Elementary",
    "Edison Middle",
    "Franklin Middle",
    "Garfield High",
    "Harbor High",
    "Quill Academy",
)

# ``h(n, salt)`` is a number from 0 to 99 that looks random and is the same on every machine.
_MACRO: Final = "CREATE MACRO h(n, salt) AS ((n * 7919 + salt * 104729 + (n * n) % 8191 * (salt + 3)) % 100)"

_FILL: Final = (
    """INSERT INTO student
    SELECT 'p' || n, DATE '2026-08-17', NULL, true, 'S0' || school,
           CASE WHEN school < 5 THEN '03' WHEN school < 7 THEN '07' ELSE '10' END,
           CASE WHEN h(n, 1) < 49 THEN 'female' WHEN h(n, 1) < 99 THEN 'male' ELSE 'other' END,
           CASE WHEN h(n, 2) < 38 THEN 'hispanic' WHEN h(n, 2) < 70 THEN 'white'
                WHEN h(n, 2) < 88 THEN 'black'
                WHEN h(n, 2) < 96 THEN 'asian' WHEN h(n, 2) < 99 THEN 'two_or_more'
                ELSE 'american_indian' END,
           2012, '787', h(n, 3) < 18, h(n, 4) < 14, h(n, 5) < 55,
           CASE WHEN school < 5 THEN 'K-5' WHEN school < 7 THEN '6-8' ELSE '9-12' END
    FROM (SELECT n, CASE WHEN n % 120 = 7 THEN 9 ELSE n % 8 + 1 END AS school FROM range(2400) AS t(n))""",
    """INSERT INTO attendance (person_key, subject_key, school_id, event_date, absent_fraction)
    SELECT 'p' || n, 's' || n, 'S01', DATE '2026-08-24' + CAST(d AS INTEGER),
           CASE WHEN h(n * 41 + d, 6) < CASE WHEN h(n, 7) < 17 THEN 16 ELSE 4 END THEN 1 ELSE 0 END
    FROM range(2400) AS t(n), range(40) AS u(d)""",
    """INSERT INTO discipline_action (person_key, subject_key, action_key, event_date, is_exclusionary)
    SELECT 'p' || n, 's' || n, 'a' || n, DATE '2026-09-20', true
    FROM range(2400) AS t(n) WHERE h(n, 8) < 6""",
    """INSERT INTO tier_assignment (person_key, subject_key, tier, start_date, end_date)
    SELECT 'p' || n, 's' || n, CASE WHEN h(n, 10) < 30 THEN 3 ELSE 2 END, DATE '2026-08-30', NULL
    FROM range(2400) AS t(n) WHERE h(n, 9) < 19
    UNION ALL
    SELECT 'p' || n, 's' || n, CASE WHEN h(n, 11) < 60 THEN 2 ELSE 3 END, DATE '2026-10-01', NULL
    FROM range(2400) AS t(n) WHERE h(n, 9) < 11""",
    """INSERT INTO screening
    (person_key, subject_key, screening_key, instrument, event_date, score, is_positive)
    SELECT 'p' || n, 's' || n, 'k' || n, 'PHQ-A', DATE '2026-08-25', score, score >= 11
    FROM (SELECT n, CASE WHEN h(n, 12) < 24 THEN 12 + n % 12 ELSE n % 9 END AS score FROM range(2400) AS t(n)
             WHERE h(n, 13) < 60)
    UNION ALL
    SELECT 'p' || n, 's' || n, 'l' || n, 'PHQ-A', DATE '2026-10-10', n % 13, n % 13 >= 11
    FROM range(2400) AS t(n) WHERE h(n, 13) < 60 AND h(n, 12) < 20""",
    """INSERT INTO referral (person_key, subject_key, referral_key, event_date)
    SELECT 'p' || n, 's' || n, 'r' || n, DATE '2026-08-29' FROM range(2400) AS t(n) WHERE h(n, 12) < 21""",
    """INSERT INTO service_encounter (person_key, subject_key, encounter_key, event_date, minutes, category)
    SELECT 'p' || n, 's' || n, 'e' || n || '-' || d, DATE '2026-09-04' + CAST(4 * d AS INTEGER),
           20 + (n % 5) * 10,
           ['counseling', 'mentoring', 'tutoring', 'basic_needs', 'family_support',
            'case_management'][h(n, 14) % 6 + 1]
    FROM range(2400) AS t(n), range(5) AS u(d) WHERE h(n, 12) < 17""",
    """INSERT INTO program_participation (person_key, subject_key, program, begin_date)
    SELECT 'p' || n, 's' || n, 'homeless', DATE '2026-08-20' FROM range(2400) AS t(n) WHERE h(n, 15) < 5""",
    """INSERT INTO ost_enrollment (person_key, subject_key, program_code, start_date)
    SELECT 'p' || n, 's' || n, 'A', DATE '2026-08-20' FROM range(2400) AS t(n) WHERE h(n, 16) < 25""",
    """INSERT INTO ost_attendance (person_key, subject_key, program_code, event_date, hours)
    SELECT 'p' || n, 's' || n, 'A', DATE '2026-09-01' + CAST(d AS INTEGER), 2
    FROM range(2400) AS t(n), range(14) AS u(d) WHERE h(n, 16) < 25 AND d < h(n, 17) / 6""",
    """INSERT INTO staff (staff_key, staff_role, school_id)
    SELECT 'f' || n, 'teacher', 'S0' || (n % 8 + 1) FROM range(180) AS t(n)""",
    """INSERT INTO training_attendance (staff_key, session_key, event_date, topic, hours)
    SELECT 'f' || n, 'x' || d, DATE '2026-09-09',
           ['youth_mental_health_first_aid', 'trauma_informed', 'suicide_prevention'][d + 1], 3
    FROM range(180) AS t(n), range(3) AS u(d) WHERE h(n, 18 + d) < [60, 35, 4][d + 1]""",
    """INSERT INTO reentry_plan (person_key, subject_key, plan_key, discharge_date, meeting_date)
    SELECT 'p' || n, 's' || n, 'v' || n, DATE '2026-09-15', DATE '2026-09-15' + CAST(n % 8 AS INTEGER)
    FROM range(2400) AS t(n) WHERE h(n, 21) < 3""",
    """INSERT INTO handle_with_care
    (person_key, subject_key, notice_key, school_id, notice_time, response_time)
    SELECT CASE WHEN n % 9 = 0 THEN 'u' || n ELSE 'p' || n END, 's' || n, 'w' || n, 'S0' || (n % 8 + 1),
           TIMESTAMP '2026-09-15 22:10:00',
           CASE WHEN n % 7 > 0 THEN TIMESTAMP '2026-09-16 08:10:00' + INTERVAL (n % 30) HOUR END
    FROM range(2400) AS t(n) WHERE h(n, 22) < 6""",
)

_INDICATORS: Final = (
    (
        "felt_sad_hopeless",
        "Felt sad or hopeless almost every day for two weeks or more",
        "risk",
        39.7,
        37.9,
        41.5,
    ),
    ("bullied_school", "Bullied on school property", "risk", 19.2, 17.7, 20.8),
    ("considered_suicide", "Seriously considered attempting suicide", "consequence", 20.4, 19.0, 21.9),
    ("attempted_suicide", "Attempted suicide", "consequence", 9.5, 8.6, 10.4),
    ("current_alcohol", "Drank alcohol in the past 30 days", "consumption", 22.1, 20.3, 24.0),
    ("current_marijuana", "Used marijuana in the past 30 days", "consumption", 17.0, 15.3, 18.9),
)


def small_district() -> Store:
    """2,400 students in nine schools, the last with 20; partners, staff, indicators, one run, measures."""
    store = empty_warehouse()
    store.run(_MACRO)
    for statement in _FILL:
        store.run(statement)
    insert(
        store,
        "school",
        [{"school_id": f"S0{n}", "school_name": name} for n, name in enumerate(NAMES, start=1)],
    )
    insert(store, "indicator", [_indicator(row) for row in _INDICATORS])
    _runs(store)
    refresh(store)
    return store


def refresh(store: Store) -> None:
    """Compute the measures anew."""
    store.run("DELETE FROM measure_value")
    store.run("INSERT INTO measure_value SELECT * FROM computed", computed=compute(store, AS_OF))


def _indicator(row: tuple[str, str, str, float, float, float]) -> dict[str, Any]:
    name, title, domain, estimate, lower, upper = row
    return {
        "indicator_id": name,
        "title": title,
        "domain": domain,
        "unit": "percent",
        "geo_type": "us",
        "geo_id": "US",
        "geo_name": "United States",
        "period_start": date(2025, 1, 1),
        "period_end": date(2025, 12, 31),
        "population": "students in grades 9–12",
        "subgroup_dim": "all",
        "subgroup_value": "all",
        "estimate": estimate,
        "ci_lower": lower,
        "ci_upper": upper,
        "status": "reported",
        "source_id": "yrbs",
    }


def _runs(store: Store) -> None:
    counts = {
        "oneroster": (5291, 212, 5071, 8, 0),
        "edfi": (9120, 8880, 195, 45, 0),
        "sis": (2411, 2389, 0, 22, 0),
        "fhir": (4733, 4610, 0, 31, 92),
        "hl7v2": (612, 604, 0, 3, 5),
        "case_management": (1385, 1371, 0, 14, 0),
        "handle_with_care": (147, 143, 0, 4, 0),
        "staff_training": (178, 178, 0, 0, 0),
    }
    names = ("read", "loaded", "unchanged", "held", "removed")
    insert(store, "run", [{"run_id": "run-1", "started_at": "2026-10-20 02:00:00", "outcome": "done"}])
    insert(
        store,
        "run_feed",
        [
            {"run_id": "run-1", "feed": feed, **dict(zip(names, row, strict=True))}
            for feed, row in counts.items()
        ],
    )
    insert(
        store,
        "run_reason",
        [
            {"run_id": "run-1", "feed": feed, "resource": "x", "rule": rule, "rows": rows}
            for feed, rule, rows in (
             ("edfi", "WB-R-020", 45),
             ("sis", "WB-R-001", 22),
             ("fhir", "WB-R-034", 31),
             ("hl7v2", "WB-R-003", 3),
             ("oneroster", "WB-R-030", 8),
             ("case_management", "WB-R-031", 14),
             ("handle_with_care", "WB-R-032", 4),
             ("fhir", "WB-P-002", 92),
             ("hl7v2", "WB-P-002", 5),
            )
        ],
    )
    insert(
        store,
        "batch",
        [{"batch_id": "b", "feed": "sis", "period_start": AS_OF, "period_end": AS_OF, "status": "taken"}],
    )
