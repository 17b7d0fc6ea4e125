"""The warehouse: a star of de-identified facts, type-2 student history, and the ledger of runs.

One SQLAlchemy ``MetaData`` for every engine. Every column carries its privacy class in ``info``; none is
DIRECT or FREE_TEXT, and a test keeps it so. ``info["key"]`` of a table names the columns that identify a row;
it is not declared to DuckDB as a constraint, because its index would have to stay in memory.

System columns of every fact: ``subject_key`` (random key of the source's record of a person),
``person_key`` (random key of the person), ``version`` (orders what was said about the same key),
``batch_id`` (hash of the delivery's feed, name and content). Area indicators have no person column at all.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from wellbridge.schemas.classes import PrivacyClass as P

METADATA: Final = sa.MetaData()

_TYPES: Final[dict[str, Any]] = {
    "text": sa.Text(),
    "int": sa.BigInteger(),
    "float": sa.Double(),
    "bool": sa.Boolean(),
    "date": sa.Date(),
    "time": sa.DateTime(timezone=False),
}


def _column(name: str, kind: str, privacy: P) -> sa.Column[Any]:
    return sa.Column(name, _TYPES[kind], info={"privacy": privacy})


def _table(
    name: str, title: str, key: tuple[str, ...], *columns: sa.Column[Any], role: str = "fact"
) -> sa.Table:
    return sa.Table(name, METADATA, *columns, info={"title": title, "key": key, "role": role})


def _provenance() -> tuple[sa.Column[Any], ...]:
    return (_column("version", "text", P.PLAIN), _column("batch_id", "text", P.PLAIN))


def _about_person(name: str, title: str, key: tuple[str, ...], *columns: sa.Column[Any]) -> sa.Table:
    return _table(
        name,
        title,
        key,
        _column("person_key", "text", P.KEY),
        _column("subject_key", "text", P.KEY),
        *columns,
        *_provenance(),
    )


# -- places and days ---------------------------------------------------------------------------------------

SCHOOL = _table(
    "school",
    "Schools of the district",
    ("school_id",),
    _column("school_id", "text", P.QUASI),
    _column("school_name", "text", P.QUASI),
    _column("school_level", "text", P.PLAIN),
    *_provenance(),
    role="dimension",
)
CALENDAR_DAY = _table(
    "calendar_day",
    "Instructional days of each school",
    ("school_id", "calendar_date"),
    _column("school_id", "text", P.QUASI),
    _column("calendar_date", "date", P.PLAIN),
    _column("is_instructional", "bool", P.PLAIN),
    *_provenance(),
    role="dimension",
)

# -- students ----------------------------------------------------------------------------------------------

_ATTRIBUTES: Final = (
    ("school_id", "text"),
    ("grade", "text"),
    ("sex", "text"),
    ("race_ethnicity", "text"),
    ("birth_year", "int"),
    ("zip3", "text"),
    ("english_learner", "bool"),
    ("disability", "bool"),
    ("economically_disadvantaged", "bool"),
)
ATTRIBUTE_NAMES: Final = tuple(name for name, _ in _ATTRIBUTES)

STUDENT_OBSERVATION = _about_person(
    "student_observation",
    "What a roster said about a student on a day",
    ("subject_key", "roster", "as_of"),
    _column("roster", "text", P.PLAIN),
    _column("as_of", "date", P.PLAIN),
    _column("is_readable", "bool", P.PLAIN),
    _column("is_active", "bool", P.PLAIN),
    *(_column(name, kind, P.QUASI) for name, kind in _ATTRIBUTES),
)
STUDENT = _table(
    "student",
    "Students with type-2 history: one row for each span of unchanged attributes",
    ("person_key", "valid_from"),
    _column("person_key", "text", P.KEY),
    _column("valid_from", "date", P.PLAIN),
    _column("valid_to", "date", P.PLAIN),
    _column("is_current", "bool", P.PLAIN),
    *(_column(name, kind, P.QUASI) for name, kind in _ATTRIBUTES),
    _column("grade_band", "text", P.QUASI),
    role="dimension",
)
EXTRACT_REFUSAL = _table(
    "extract_refusal",
    "Persons whose family opted out of all sharing: in no record file that leaves the district",
    ("person_key",),
    _column("person_key", "text", P.KEY),
    role="dimension",
)
ENROLLMENT = _about_person(
    "enrollment",
    "Enrolments of students in schools",
    ("subject_key", "school_id", "entry_date"),
    _column("school_id", "text", P.QUASI),
    _column("entry_date", "date", P.QUASI),
    _column("exit_date", "date", P.QUASI),
    _column("grade", "text", P.QUASI),
    _column("exit_type", "text", P.SENSITIVE),
)
PROGRAM_PARTICIPATION = _about_person(
    "program_participation",
    "Program participation: homeless, foster care, special education, Section 504 …",
    ("subject_key", "program", "begin_date"),
    _column("program", "text", P.SENSITIVE),
    _column("begin_date", "date", P.QUASI),
    _column("end_date", "date", P.QUASI),
    _column("nighttime_residence", "text", P.SENSITIVE),
)

# -- school outcomes ---------------------------------------------------------------------------------------

ATTENDANCE = _about_person(
    "attendance",
    "Attendance, one row per student, school, day and kind of event",
    ("subject_key", "school_id", "event_date", "event_kind"),
    _column("school_id", "text", P.QUASI),
    _column("event_date", "date", P.QUASI),
    # "daily" for a daily file; an Ed-Fi event's category and session, which are in its key: a day can have several
    _column("event_kind", "text", P.SENSITIVE),
    _column("status", "text", P.SENSITIVE),
    _column("absent_fraction", "float", P.SENSITIVE),
)
DISCIPLINE_ACTION = _about_person(
    "discipline_action",
    "Disciplinary actions with the incident they answer",
    ("action_key", "subject_key"),
    _column("action_key", "text", P.KEY),
    _column("incident_key", "text", P.KEY),
    _column("school_id", "text", P.QUASI),
    _column("event_date", "date", P.QUASI),
    _column("action", "text", P.SENSITIVE),
    _column("is_exclusionary", "bool", P.SENSITIVE),
    _column("length_days", "float", P.SENSITIVE),
)
DISCIPLINE_INCIDENT = _table(
    "discipline_incident",
    "Discipline incidents (no person; actions point to them)",
    ("incident_key",),
    _column("incident_key", "text", P.KEY),
    _column("school_id", "text", P.QUASI),
    _column("event_date", "date", P.QUASI),
    _column("behavior", "text", P.SENSITIVE),
    *_provenance(),
)
COURSE_RESULT = _about_person(
    "course_result",
    "Scores of course work",
    ("result_key",),
    _column("result_key", "text", P.KEY),
    _column("event_date", "date", P.QUASI),
    _column("score", "float", P.SENSITIVE),
    _column("score_status", "text", P.PLAIN),
)

# -- MTSS and pillar 2: supports ---------------------------------------------------------------------------

TIER_ASSIGNMENT = _about_person(
    "tier_assignment",
    "MTSS tier assignments with start, end, reason and provider side",
    ("subject_key", "start_date"),
    _column("tier", "int", P.SENSITIVE),
    _column("start_date", "date", P.QUASI),
    _column("end_date", "date", P.QUASI),
    _column("reason", "text", P.SENSITIVE),
    _column("provider_side", "text", P.PLAIN),
)
INTERVENTION = _about_person(
    "intervention",
    "Interventions a student takes part in",
    ("subject_key", "intervention_key"),
    _column("intervention_key", "text", P.KEY),
    _column("intervention_class", "text", P.SENSITIVE),
    _column("delivery_method", "text", P.PLAIN),
    _column("dosage", "int", P.SENSITIVE),
)
NEEDS_ASSESSMENT = _about_person(
    "needs_assessment",
    "Needs found, by domain, and whether they are met",
    ("need_key",),
    _column("need_key", "text", P.KEY),
    _column("event_date", "date", P.QUASI),
    _column("domain", "text", P.SENSITIVE),
    _column("level", "int", P.SENSITIVE),
    _column("is_met", "bool", P.SENSITIVE),
)
CASE_PLAN = _about_person(
    "case_plan",
    "Case plans of integrated student supports",
    ("case_key",),
    _column("case_key", "text", P.KEY),
    _column("opened_date", "date", P.QUASI),
    _column("closed_date", "date", P.QUASI),
    _column("goal_domain", "text", P.SENSITIVE),
    _column("case_status", "text", P.SENSITIVE),
)
SERVICE_ENCOUNTER = _about_person(
    "service_encounter",
    "Services given, with minutes, provider and category",
    ("encounter_key",),
    _column("encounter_key", "text", P.KEY),
    _column("event_date", "date", P.QUASI),
    _column("minutes", "float", P.SENSITIVE),
    _column("provider", "text", P.PLAIN),
    _column("category", "text", P.SENSITIVE),
    _column("modality", "text", P.PLAIN),
    _column("referral_key", "text", P.KEY),
)

# -- pillar 3: expanded learning time ----------------------------------------------------------------------

OST_ENROLLMENT = _about_person(
    "ost_enrollment",
    "Enrolment in out-of-school-time programs",
    ("subject_key", "program_code", "start_date"),
    _column("program_code", "text", P.PLAIN),
    _column("school_id", "text", P.QUASI),
    _column("start_date", "date", P.QUASI),
    _column("end_date", "date", P.QUASI),
)
OST_ATTENDANCE = _about_person(
    "ost_attendance",
    "Out-of-school-time attendance with hours",
    ("subject_key", "program_code", "event_date"),
    _column("program_code", "text", P.PLAIN),
    _column("event_date", "date", P.QUASI),
    _column("hours", "float", P.SENSITIVE),
    _column("activity", "text", P.PLAIN),
)

# -- pillar 4: screening and referral ----------------------------------------------------------------------

SCREENING = _about_person(
    "screening",
    "Screenings with instrument, score and band",
    ("screening_key",),
    _column("screening_key", "text", P.KEY),
    _column("instrument", "text", P.SENSITIVE),
    _column("event_date", "date", P.QUASI),
    _column("score", "float", P.SENSITIVE),
    _column("band", "text", P.SENSITIVE),
    _column("is_positive", "bool", P.SENSITIVE),
    _column("safety_flag", "bool", P.SENSITIVE),
)
REFERRAL = _about_person(
    "referral",
    "Referrals to a service",
    ("referral_key",),
    _column("referral_key", "text", P.KEY),
    _column("event_date", "date", P.QUASI),
    _column("referral_type", "text", P.SENSITIVE),
    _column("provider", "text", P.PLAIN),
    _column("screening_key", "text", P.KEY),
)
REFERRAL_STATUS = _about_person(
    "referral_status",
    "Each status change of a referral",
    ("referral_key", "status", "status_date"),
    _column("referral_key", "text", P.KEY),
    _column("status", "text", P.SENSITIVE),
    _column("status_date", "date", P.QUASI),
)
APPOINTMENT = _about_person(
    "appointment",
    "Appointments and whether they were kept",
    ("appointment_key",),
    _column("appointment_key", "text", P.KEY),
    _column("event_date", "date", P.QUASI),
    _column("appointment_status", "text", P.SENSITIVE),
    _column("referral_key", "text", P.KEY),
)
CRISIS_EVENT = _about_person(
    "crisis_event",
    "Crisis admissions and visits",
    ("crisis_key",),
    _column("crisis_key", "text", P.KEY),
    _column("event_date", "date", P.QUASI),
    _column("discharge_date", "date", P.QUASI),
    _column("crisis_kind", "text", P.SENSITIVE),
)
REENTRY_PLAN = _about_person(
    "reentry_plan",
    "Re-entry plans after a discharge, with the meeting's date",
    ("plan_key",),
    _column("plan_key", "text", P.KEY),
    _column("discharge_date", "date", P.QUASI),
    _column("meeting_date", "date", P.QUASI),
)

# -- pillar 5: specific populations ------------------------------------------------------------------------

HANDLE_WITH_CARE = _about_person(
    "handle_with_care",
    "Handle with Care notices and the school's response",
    ("notice_key",),
    _column("notice_key", "text", P.KEY),
    _column("school_id", "text", P.QUASI),
    _column("notice_time", "time", P.SENSITIVE),
    _column("response_time", "time", P.SENSITIVE),
    _column("response_kind", "text", P.SENSITIVE),
)
INDICATOR = _table(
    "indicator",
    "Area-level indicators (SEOW); never joined to a person",
    ("indicator_id", "geo_id", "period_start", "period_end", "subgroup_dim", "subgroup_value", "source_id"),
    *(
        _column(name, kind, P.PLAIN)
        for name, kind in (
            ("indicator_id", "text"),
            ("title", "text"),
            ("domain", "text"),
            ("measure_type", "text"),
            ("unit", "text"),
            ("multiplier", "float"),
            ("geo_type", "text"),
            ("geo_id", "text"),
            ("geo_name", "text"),
            ("period_start", "date"),
            ("period_end", "date"),
            ("period_type", "text"),
            ("population", "text"),
            ("subgroup_dim", "text"),
            ("subgroup_value", "text"),
            ("numerator", "float"),
            ("denominator", "float"),
            ("n_unweighted", "int"),
            ("n_weighted", "float"),
            ("estimate", "float"),
            ("se", "float"),
            ("ci_lower", "float"),
            ("ci_upper", "float"),
            ("ci_method", "text"),
            ("df", "float"),
            ("deff", "float"),
            ("status", "text"),
            ("status_reason", "text"),
            ("flags", "text"),
            ("method", "text"),
            ("evidence_level", "text"),
            ("source_id", "text"),
            ("source_release", "text"),
            ("source_var", "text"),
        )
    ),
    *_provenance(),
)

# -- pillar 1: staff ---------------------------------------------------------------------------------------

STAFF = _table(
    "staff",
    "Staff members by role and school",
    ("staff_key",),
    _column("staff_key", "text", P.KEY),
    _column("staff_role", "text", P.PLAIN),
    _column("school_id", "text", P.QUASI),
    *_provenance(),
    role="dimension",
)
TRAINING_ATTENDANCE = _table(
    "training_attendance",
    "Training sessions attended by staff, with topic, hours and CEUs",
    ("staff_key", "session_key"),
    _column("staff_key", "text", P.KEY),
    _column("session_key", "text", P.KEY),
    _column("event_date", "date", P.PLAIN),
    _column("topic", "text", P.PLAIN),
    _column("hours", "float", P.PLAIN),
    _column("ceus", "float", P.PLAIN),
    *_provenance(),
)

# -- measures ----------------------------------------------------------------------------------------------

MEASURE_VALUE = _table(
    "measure_value",
    "Outcome measures, unsuppressed: for release only through an agreement",
    ("measure_id", "period", "dimension", "member"),
    _column("measure_id", "text", P.PLAIN),
    _column("period", "text", P.PLAIN),
    _column("dimension", "text", P.PLAIN),
    _column("member", "text", P.QUASI),
    _column("numerator", "float", P.SENSITIVE),
    _column("denominator", "float", P.SENSITIVE),
    _column("persons", "int", P.SENSITIVE),
    _column("value", "float", P.SENSITIVE),
    role="mart",
)

# -- runs --------------------------------------------------------------------------------------------------

RUN = _table(
    "run",
    "Runs, one row each",
    ("run_id",),
    *(
        _column(name, kind, P.PLAIN)
        for name, kind in (
            ("run_id", "text"),
            ("started_at", "time"),
            ("ended_at", "time"),
            ("outcome", "text"),
            ("exit_code", "int"),
            ("policy_hash", "text"),
            ("code_version", "text"),
        )
    ),
    role="ledger",
)
RUN_FEED = _table(
    "run_feed",
    "The identity of a run: read = loaded + unchanged + held + removed",
    ("run_id", "feed"),
    *(
        _column(name, kind, P.PLAIN)
        for name, kind in (
            ("run_id", "text"),
            ("feed", "text"),
            ("read", "int"),
            ("loaded", "int"),
            ("unchanged", "int"),
            ("held", "int"),
            ("removed", "int"),
            ("read_again", "int"),
        )
    ),
    role="ledger",
)
RUN_REASON = _table(
    "run_reason",
    "Held and removed rows of a run by rule",
    ("run_id", "feed", "resource", "rule"),
    *(
        _column(name, kind, P.PLAIN)
        for name, kind in (
            ("run_id", "text"),
            ("feed", "text"),
            ("resource", "text"),
            ("rule", "text"),
            ("rows", "int"),
        )
    ),
    role="ledger",
)
BATCH = _table(
    "batch",
    "Deliveries taken, by hash of feed, name and content",
    ("batch_id",),
    *(
        _column(name, kind, P.PLAIN)
        for name, kind in (
            ("batch_id", "text"),
            ("feed", "text"),
            ("stream", "text"),
            ("period_start", "date"),
            ("period_end", "date"),
            ("revision", "int"),
            ("file_name", "text"),
            ("run_id", "text"),
            ("status", "text"),
            ("rule", "text"),
        )
    ),
    role="ledger",
)
CURSOR = _table(
    "cursor",
    "Where each feed stands: the newest delivery taken",
    ("feed",),
    *(
        _column(name, kind, P.PLAIN)
        for name, kind in (
            ("feed", "text"),
            ("version", "text"),
            ("run_id", "text"),
        )
    ),
    role="ledger",
)
TOMBSTONE = _table(
    "tombstone",
    "Keys that a source deleted, so that an older row cannot bring them back",
    ("table_name", "row_key"),
    _column("table_name", "text", P.PLAIN),
    _column("row_key", "text", P.KEY),
    *_provenance(),
    role="ledger",
)
LEDGER_EVENT = _table(
    "ledger_event",
    "What happened, in order; no personal data",
    ("seq",),
    *(
        _column(name, kind, P.PLAIN)
        for name, kind in (
            ("seq", "int"),
            ("happened_at", "time"),
            ("action", "text"),
            ("run_id", "text"),
            ("detail", "text"),
        )
    ),
    role="ledger",
)

FACTS: Final = tuple(t for t in METADATA.sorted_tables if t.info["role"] in {"fact", "dimension"})
PERSON_TABLES: Final = tuple(t for t in METADATA.sorted_tables if "subject_key" in t.columns)
