"""Contracts of the community partners' CSV files: one header row, then data.

What a partner may hold about a child is little, and each column says how much of it is kept. School-based
partners name a child by the district student number; Handle with Care knows only a name and a birth date, so
each notice stands for one child of its own until linking finds who it is.

Ranges are the forms' own limits: a service or session of 1–480 minutes, a day of at most 12 hours, MTSS tiers
1–3, needs of level 0–3. They catch typing errors; they say nothing about what is usual.
"""

from __future__ import annotations

from typing import Annotated

import pandera.polars as pa
import polars as pl

from wellbridge.schemas.classes import PrivacyClass as P
from wellbridge.schemas.classes import Regime
from wellbridge.schemas.contract import Mode, column, contract

MAX_MINUTES = 480
MAX_HOURS = 12


def in_order(data: pa.PolarsData, earlier: str, later: str) -> pl.LazyFrame:
    """Per row: ``later`` is not before ``earlier``, or one of them is missing."""
    return data.lazyframe.select((pl.col(later) >= pl.col(earlier)).fill_null(True))


# -- Communities In Schools and the MTSS team: integrated student supports --------------------------------


@contract("case_management.cases", key=("case_id",), regime=Regime.FERPA)
class Cases(pa.DataFrameModel):
    """Case plans of integrated student supports."""

    student_id: pl.String = column(
        P.DIRECT, ids="student", refers=True, standard="CEDS 001071 Student Identifier")
    case_id: pl.String = column(P.DIRECT, ids="case")
    opened_date: pl.Date = column(P.QUASI)
    closed_date: pl.Date = column(P.QUASI, required=False)
    goal_domain: pl.String = column(P.SENSITIVE, codes={
        "academic": "academic", "attendance": "attendance", "behavior": "behavior",
        "basic_needs": "basic_needs", "mental_health": "mental_health", "family": "family"})
    case_status: pl.String = column(
        P.SENSITIVE, header="status", codes={"open": "open", "closed": "closed"})
    agency: pl.String = column(P.PLAIN, required=False)

    @pa.dataframe_check(name="WB-R-032")
    @classmethod
    def closed_after_opened(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """A case is not closed before it is opened."""
        return in_order(data, "opened_date", "closed_date")


@contract("case_management.tiers", key=("student_id", "start_date"), regime=Regime.FERPA)
class Tiers(pa.DataFrameModel):
    """MTSS tier assignments with start, end, reason and provider side."""

    student_id: pl.String = column(
        P.DIRECT, ids="student", refers=True, standard="CEDS 001071 Student Identifier")
    tier: pl.Int64 = column(P.SENSITIVE, ge=1, le=3)
    start_date: pl.Date = column(P.QUASI)
    end_date: pl.Date = column(P.QUASI, required=False)
    reason: pl.String = column(P.SENSITIVE, codes={
        "screening": "screening", "attendance": "attendance", "behavior": "behavior",
        "teacher_referral": "teacher_referral", "exit": "exit"})
    provider_side: pl.String = column(P.PLAIN, codes={"school": "school", "community": "community"})

    @pa.dataframe_check(name="WB-R-032")
    @classmethod
    def ended_after_started(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """A tier does not end before it starts."""
        return in_order(data, "start_date", "end_date")


@contract("case_management.services", key=("encounter_id",), regime=Regime.FERPA, mode=Mode.PERIOD,
          period="event_date")
class Services(pa.DataFrameModel):
    """Services given by the school's partners, with minutes and category."""

    encounter_id: pl.String = column(P.DIRECT, header="service_id", ids="encounter")
    student_id: pl.String = column(
        P.DIRECT, ids="student", refers=True, standard="CEDS 001071 Student Identifier")
    event_date: pl.Date = column(P.QUASI, header="service_date")
    minutes: pl.Float64 = column(P.SENSITIVE, ge=1, le=MAX_MINUTES)
    category: pl.String = column(P.SENSITIVE, codes={
        "counseling": "counseling", "mentoring": "mentoring", "basic_needs": "basic_needs",
        "family_support": "family_support", "tutoring": "tutoring", "case_management": "case_management"})
    modality: pl.String = column(P.PLAIN, codes={
        "in_person": "in_person", "phone": "phone", "video": "video"})
    provider: pl.String = column(P.PLAIN, required=False)


@contract("case_management.reentry", key=("plan_id",), regime=Regime.FERPA)
class Reentry(pa.DataFrameModel):
    """Re-entry plans after a discharge, with the meeting's date."""

    plan_id: pl.String = column(P.DIRECT, ids="plan")
    student_id: pl.String = column(
        P.DIRECT, ids="student", refers=True, standard="CEDS 001071 Student Identifier")
    discharge_date: pl.Date = column(P.QUASI)
    meeting_date: pl.Date = column(P.QUASI, required=False)

    @pa.dataframe_check(name="WB-R-032")
    @classmethod
    def met_after_discharge(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """The re-entry meeting is not before the discharge."""
        return in_order(data, "discharge_date", "meeting_date")


# -- 21st Century Community Learning Centers: out-of-school time ------------------------------------------


@contract("out_of_school.enrolment", key=("student_id", "program_code", "start_date"), regime=Regime.FERPA)
class OstEnrolment(pa.DataFrameModel):
    """Enrolment in out-of-school-time programs."""

    student_id: pl.String = column(
        P.DIRECT, ids="student", refers=True, standard="CEDS 001071 Student Identifier")
    program_code: pl.String = column(P.PLAIN)
    school_id: pl.String = column(P.QUASI, standard="CEDS 001069 School Identifier")
    start_date: pl.Date = column(P.QUASI, standard="CEDS 000590 Program Participation Start Date")
    end_date: pl.Date = column(
        P.QUASI, required=False, standard="CEDS 000591 Program Participation Exit Date")

    @pa.dataframe_check(name="WB-R-032")
    @classmethod
    def ended_after_started(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """An enrolment does not end before it starts."""
        return in_order(data, "start_date", "end_date")


@contract("out_of_school.attendance", key=("student_id", "program_code", "event_date"), regime=Regime.FERPA,
          mode=Mode.PERIOD, period="event_date")
class OstAttendance(pa.DataFrameModel):
    """Out-of-school-time attendance with hours, one row per student, program and day."""

    student_id: pl.String = column(
        P.DIRECT, ids="student", refers=True, standard="CEDS 001071 Student Identifier")
    program_code: pl.String = column(P.PLAIN)
    event_date: pl.Date = column(P.QUASI, header="date")
    hours: pl.Float64 = column(P.SENSITIVE, gt=0, le=MAX_HOURS)
    activity: pl.String = column(P.PLAIN, codes={
        "academic": "academic", "arts": "arts", "sports": "sports",
        "service_learning": "service_learning", "mentoring": "mentoring"})


# -- TCHATT: telehealth in schools ------------------------------------------------------------------------


@contract("telehealth.referrals", key=("referral_id",), regime=Regime.HIPAA)
class TelehealthReferrals(pa.DataFrameModel):
    """Telehealth referrals with their newest status and first session.

    The child is named by the district student number, so name and birth date are not needed to find the
    child and go nowhere. ``session_id`` is made on reading: the referral's id, where a session is dated.
    """

    referral_id: pl.String = column(P.DIRECT, ids="referral", standard="FHIR ServiceRequest.identifier")
    session_id: pl.String = column(P.DIRECT, ids="encounter", required=False)
    student_id: pl.String = column(
        P.DIRECT, ids="student", refers=True, standard="CEDS 001071 Student Identifier")
    first_name: pl.String = column(P.DIRECT, required=False, standard="CEDS 000115 First Name")
    last_name: pl.String = column(P.DIRECT, required=False, standard="CEDS 000172 Last or Surname")
    birth_date: pl.Date = column(
        P.QUASI, generalise="birth_year", required=False, standard="CEDS 000033 Birthdate")
    reason: pl.String = column(P.SENSITIVE, standard="FHIR ServiceRequest.reasonCode", codes={
        "anxiety": "anxiety", "depression": "depression", "behavior": "behavior", "trauma": "trauma",
        "other": "other"})
    referred_date: pl.Date = column(P.QUASI, standard="FHIR ServiceRequest.authoredOn")
    status: pl.String = column(P.SENSITIVE, standard="FHIR ServiceRequest.status", codes={
        "referred": "referred", "intake": "intake", "in_service": "in_service", "completed": "completed",
        "declined": "declined"})
    status_date: pl.Date = column(P.QUASI)
    first_session_date: pl.Date = column(P.QUASI, required=False)
    session_minutes: pl.Float64 = column(P.SENSITIVE, required=False, ge=1, le=MAX_MINUTES)

    @pa.dataframe_check(name="WB-R-032")
    @classmethod
    def status_after_referral(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """A status is not older than the referral."""
        return in_order(data, "referred_date", "status_date")

    @pa.dataframe_check(name="WB-R-032")
    @classmethod
    def session_after_referral(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """The first session is not before the referral."""
        return in_order(data, "referred_date", "first_session_date")


# -- Handle with Care -------------------------------------------------------------------------------------


@contract("handle_with_care.notices", key=("notice_id",), regime=Regime.FERPA)
class Notices(pa.DataFrameModel):
    """Handle with Care notices and the school's response.

    The officer has no student number: ``child_id`` is made on reading from the notice's own id, so that each
    notice brings one child, who is found among the students by name and birth date.
    """

    notice_id: pl.String = column(P.DIRECT, ids="notice")
    child_id: pl.String = column(P.DIRECT, ids="client", defines=True, required=False)
    first_name: pl.String = column(P.DIRECT, trait="first_name", standard="CEDS 000115 First Name")
    last_name: pl.String = column(P.DIRECT, trait="last_name", standard="CEDS 000172 Last or Surname")
    birth_date: pl.Date = column(
        P.QUASI, trait="birth_date", generalise="birth_year", standard="CEDS 000033 Birthdate")
    school_id: pl.String = column(P.QUASI, required=False, standard="CEDS 001069 School Identifier")
    notice_time: Annotated[pl.Datetime, "us", "UTC"] = column(P.SENSITIVE)
    response_time: Annotated[pl.Datetime, "us", "UTC"] = column(P.SENSITIVE, required=False)
    response_kind: pl.String = column(P.SENSITIVE, required=False, codes={
        "check_in": "check_in", "counselor": "counselor", "monitor": "monitor", "none": "none"})

    @pa.dataframe_check(name="WB-R-032")
    @classmethod
    def answered_after_notice(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """The school does not answer before the notice."""
        return in_order(data, "notice_time", "response_time")


# -- staff training ---------------------------------------------------------------------------------------


# Records of employees are no education records (34 CFR 99.3); they are kept by the same rules all the same.
@contract("staff_training.sessions", key=("staff_id", "session_id"), regime=Regime.FERPA, mode=Mode.PERIOD,
          period="event_date")
class TrainingSessions(pa.DataFrameModel):
    """Training sessions attended by staff, with topic, hours and continuing education units."""

    staff_id: pl.String = column(P.DIRECT, ids="staff", standard="CEDS 001070 Staff Member Identifier")
    session_id: pl.String = column(
        P.DIRECT, ids="session", standard="CEDS Professional Development Session Identifier")
    event_date: pl.Date = column(
        P.PLAIN, header="session_date", standard="CEDS Professional Development Session Start Date")
    topic: pl.String = column(P.PLAIN, codes={
        "youth_mental_health_first_aid": "youth_mental_health_first_aid",
        "trauma_informed": "trauma_informed", "suicide_prevention": "suicide_prevention",
        "restorative_practice": "restorative_practice", "cultural_responsiveness": "cultural_responsiveness"})
    hours: pl.Float64 = column(P.PLAIN, gt=0, le=MAX_HOURS)
    ceus: pl.Float64 = column(P.PLAIN, required=False, ge=0)


# -- needs assessment -------------------------------------------------------------------------------------


@contract("needs_assessment.answers", key=("need_id",), regime=Regime.FERPA)
class NeedsAnswers(pa.DataFrameModel):
    """Needs found, one row per assessment and domain.

    ``need_id`` is made on reading: the assessment's id, "/", and the domain.
    """

    need_id: pl.String = column(P.DIRECT, ids="need", required=False)
    assessment_id: pl.String = column(P.DIRECT)
    student_id: pl.String = column(
        P.DIRECT, ids="student", refers=True, standard="CEDS 001071 Student Identifier")
    event_date: pl.Date = column(P.QUASI, header="date")
    domain: pl.String = column(P.SENSITIVE, codes={
        "food": "food", "housing": "housing", "health": "health", "mental_health": "mental_health",
        "safety": "safety", "academic": "academic"})
    level: pl.Int64 = column(P.SENSITIVE, ge=0, le=3)
    is_met: pl.Boolean = column(P.SENSITIVE)
