"""What the community partners' CSV files look like, and what is planted in them."""

from __future__ import annotations

from typing import Final

from wellbridge.pipelines.synth.stream import Flaw, Layout

CASES: Final = Layout(
    "case_management",
    "cases",
    ("student_id", "case_id", "opened_date", "closed_date", "goal_domain", "status", "agency"),
    (
        Flaw("WB-R-032", "closed_date", "2026-01-05", where="closed_date"),
        Flaw("WB-R-020", "goal_domain", "spiritual"),
        Flaw("WB-R-011", "opened_date", "first week of school"),
    ),
)
TIERS: Final = Layout(
    "case_management",
    "tiers",
    ("student_id", "tier", "start_date", "end_date", "reason", "provider_side"),
    (
        Flaw("WB-R-020", "reason", "parent wish"),
        Flaw("WB-R-011", "start_date", "2026-00-10"),
        Flaw("WB-R-031", "student_id", how="stranger", salt=1),
        Flaw("WB-R-001", how="ragged"),
    ),
)
SERVICES: Final = Layout(
    "case_management",
    "services",
    ("service_id", "student_id", "service_date", "minutes", "category", "modality", "provider"),
    (
        Flaw("WB-R-001", how="ragged"),
        Flaw("WB-R-002", "provider", how="bytes"),
        Flaw("WB-R-012", "minutes", "forty"),
        Flaw("WB-R-021", "minutes", "40000"),
        Flaw("WB-R-020", "category", "astrology"),
        Flaw("WB-R-031", "student_id", how="stranger", salt=2, fresh="service_id"),
        Flaw("WB-R-033", "service_date", "2026-06-03"),
        Flaw("WB-R-030", "minutes", "5", how="again"),
        Flaw("WB-R-010", "service_date", ""),
    ),
    is_range=True,
)
REENTRY: Final = Layout(
    "case_management",
    "reentry",
    ("plan_id", "student_id", "discharge_date", "meeting_date"),
    (Flaw("WB-R-011", "discharge_date", "soon"),),
)
OST_ENROLMENT: Final = Layout(
    "out_of_school",
    "enrolment",
    ("student_id", "program_code", "school_id", "start_date", "end_date"),
    (Flaw("WB-R-032", "end_date", "2025-08-30"),),
)
OST_ATTENDANCE: Final = Layout(
    "out_of_school",
    "attendance",
    ("student_id", "program_code", "date", "hours", "activity"),
    (
        Flaw("WB-R-012", "hours", "two"),
        Flaw("WB-R-021", "hours", "300"),
        Flaw("WB-R-020", "activity", "napping"),
        Flaw("WB-R-031", "student_id", how="stranger", salt=3),
        Flaw("WB-R-033", "date", "2026-06-04"),
        Flaw("WB-R-030", "hours", "0.5", how="again"),
        Flaw("WB-R-014", "date", "2926-09-03"),
    ),
    is_range=True,
)
TELEHEALTH: Final = Layout(
    "telehealth",
    "referrals",
    (
        "referral_id",
        "student_id",
        "first_name",
        "last_name",
        "birth_date",
        "reason",
        "referred_date",
        "status",
        "status_date",
        "first_session_date",
        "session_minutes",
    ),
    (
        Flaw("WB-R-020", "reason", "boredom"),
        Flaw("WB-R-011", "referred_date", "09-2026"),
        Flaw("WB-R-031", "student_id", how="stranger", salt=4, fresh="referral_id"),
        Flaw("WB-R-010", "status", ""),
        Flaw("WB-R-032", "first_session_date", "2026-07-20", where="first_session_date"),
    ),
)
NEEDS: Final = Layout(
    "needs_assessment",
    "answers",
    ("assessment_id", "student_id", "date", "domain", "level", "is_met"),
    (
        Flaw("WB-R-021", "level", "9"),
        Flaw("WB-R-013", "is_met", "maybe"),
        Flaw("WB-R-020", "domain", "pets"),
        Flaw("WB-R-011", "date", "2026-02-29"),
        Flaw("WB-R-031", "student_id", how="stranger", salt=5, fresh="assessment_id"),
    ),
)
