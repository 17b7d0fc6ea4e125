"""Contracts of Ed-Fi API resources, Data Standard 3.3 to 6.x.

The reader flattens each JSON object, so headers are the names of ``keyValues`` in ``/deletes``
(``studentUniqueId``, ``schoolId``, ``eventDate``), descriptors are their codes, and lists are one cell:
the federal race category, the most severe discipline. Headers that no API field has are our own: ``asOf``,
``roster``, ``eventKind``, ``actionId``, ``incidentId``, ``interventionId``, ``program``, ``raceEthnicity``.
"""

from __future__ import annotations

from typing import Any

import pandera.polars as pa
import polars as pl

from wellbridge.schemas import codes
from wellbridge.schemas.classes import PrivacyClass as P
from wellbridge.schemas.classes import Regime
from wellbridge.schemas.contract import column, contract

MAX_LENGTH_DAYS = 366  # an expulsion of more than a year is no number of school days
MAX_DOSAGE_MINUTES = 60_000

# The API writes ISO dates; earthmover's example output for the API has M/D/YYYY.
DATE_FORMATS = ("%m/%d/%Y",)


def _student() -> Any:
    """The student whom a record refers to."""
    return column(P.DIRECT, header="studentUniqueId", ids="student", refers=True,
                  standard="Ed-Fi student.studentUniqueId · CEDS 001071 Student Identifier")


def _last_modified() -> Any:
    """When the API's store last changed the record; APIs before 7.x do not say."""
    return column(P.PLAIN, header="_lastModifiedDate", required=False, standard="Ed-Fi _lastModifiedDate")


@contract("edfi.schools", key=("school_id",), version="last_modified",
          regime=Regime.FERPA)
class Schools(pa.DataFrameModel):
    """Schools of the district."""

    school_id: pl.String = column(
        P.QUASI, header="schoolId", standard="Ed-Fi school.schoolId · CEDS 001069 School Identifier")
    school_name: pl.String = column(
        P.QUASI, header="nameOfInstitution", standard="Ed-Fi school.nameOfInstitution")
    school_level: pl.String = column(
        P.PLAIN, header="schoolLevel", codes=codes.SCHOOL_LEVELS, required=False,
        standard="Ed-Fi school.schoolCategories, else its highest grade level")
    last_modified: pl.String = _last_modified()


@contract("edfi.calendarDates", key=("calendar_code", "school_id", "calendar_date"), version="last_modified",
          regime=Regime.FERPA)
class CalendarDates(pa.DataFrameModel):
    """Days of each school's calendars."""

    calendar_code: pl.String = column(P.PLAIN, header="calendarCode", standard="Ed-Fi calendar.calendarCode")
    school_id: pl.String = column(P.QUASI, header="schoolId", standard="Ed-Fi calendar.schoolId")
    calendar_date: pl.Date = column(P.PLAIN, header="date", standard="Ed-Fi calendarDate.date")
    calendar_event: pl.String = column(
        P.PLAIN, header="calendarEvent", codes=codes.CALENDAR_EVENTS,
        standard="Ed-Fi calendarDate.calendarEvents.calendarEventDescriptor")
    last_modified: pl.String = _last_modified()


@contract("edfi.students", key=("student_id", "roster"), version="last_modified",
          regime=Regime.FERPA)
class Students(pa.DataFrameModel):
    """Students as persons: the unique id, names and birth date."""

    student_id: pl.String = column(
        P.DIRECT, header="studentUniqueId", ids="student", defines=True,
        standard="Ed-Fi student.studentUniqueId · CEDS 001071 Student Identifier")
    first_name: pl.String = column(
        P.DIRECT, header="firstName", trait="first_name", standard="Ed-Fi student.firstName")
    last_name: pl.String = column(
        P.DIRECT, header="lastSurname", trait="last_name", standard="Ed-Fi student.lastSurname")
    birth_date: pl.Date = column(
        P.QUASI, header="birthDate", trait="birth_date", generalise="birth_year", formats=DATE_FORMATS,
        standard="Ed-Fi student.birthDate · CEDS 000033 Birthdate")
    as_of: pl.Date = column(P.PLAIN, header="asOf")
    roster: pl.String = column(P.PLAIN)
    last_modified: pl.String = _last_modified()


@contract("edfi.studentDemographics", key=("student_id", "roster"), version="last_modified",
          regime=Regime.FERPA)
class StudentDemographics(pa.DataFrameModel):
    """Demographics: studentDemographics (6.x) or studentEducationOrganizationAssociations (to 5.x)."""

    student_id: pl.String = _student()
    sex: pl.String = column(
        P.QUASI, trait="sex", codes=codes.SEX, required=False,
        standard="Ed-Fi sexDescriptor · CEDS 000255 Sex")
    race_ethnicity: pl.String = column(
        P.QUASI, header="raceEthnicity", codes=codes.RACE_CELLS, required=False,
        standard="Ed-Fi races, hispanicLatinoEthnicity · CEDS 001943 Race")
    zip_code: pl.String = column(
        P.QUASI, header="postalCode", trait="zip_code", generalise="zip3", required=False,
        standard="Ed-Fi addresses.postalCode")
    english_learner: pl.String = column(
        P.QUASI, header="limitedEnglishProficiency", codes=codes.ENGLISH_LEARNER, required=False,
        standard="Ed-Fi limitedEnglishProficiencyDescriptor")
    disability: pl.Boolean = column(P.QUASI, required=False, standard="Ed-Fi disabilities, whether any")
    economically_disadvantaged: pl.String = column(
        P.QUASI, header="economicDisadvantage", codes=codes.ECONOMIC_DISADVANTAGE, required=False,
        standard="Ed-Fi economicDisadvantageDescriptor · CEDS 000086 Economic Disadvantage Status")
    as_of: pl.Date = column(P.PLAIN, header="asOf")
    roster: pl.String = column(P.PLAIN)
    last_modified: pl.String = _last_modified()


@contract("edfi.studentSchoolAssociations", key=("student_id", "school_id", "entry_date"),
          version="last_modified", regime=Regime.FERPA)
class StudentSchoolAssociations(pa.DataFrameModel):
    """Enrolments of students in schools."""

    student_id: pl.String = _student()
    school_id: pl.String = column(
        P.QUASI, header="schoolId", standard="Ed-Fi school.schoolId · CEDS 001069 School Identifier")
    entry_date: pl.Date = column(
        P.QUASI, header="entryDate", standard="Ed-Fi entryDate · CEDS 000097 Enrollment Entry Date")
    exit_date: pl.Date = column(
        P.QUASI, header="exitWithdrawDate", required=False,
        standard="Ed-Fi exitWithdrawDate · CEDS 000107 Enrollment Exit Date")
    grade: pl.String = column(
        P.QUASI, header="entryGradeLevel", codes=codes.EDFI_GRADES,
        standard="Ed-Fi entryGradeLevelDescriptor")
    exit_type: pl.String = column(
        P.SENSITIVE, header="exitWithdrawType", codes=codes.EXIT_TYPES, required=False,
        standard="Ed-Fi exitWithdrawTypeDescriptor · CEDS 000110 Exit or Withdrawal Type")
    as_of: pl.Date = column(P.PLAIN, header="asOf", required=False)
    roster: pl.String = column(P.PLAIN, required=False)
    last_modified: pl.String = _last_modified()

    @pa.dataframe_check(name="WB-R-032")
    @classmethod
    def left_after_entering(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """A student does not leave a school before entering it."""
        return data.lazyframe.select((pl.col("exit_date") >= pl.col("entry_date")).fill_null(True))


@contract("edfi.studentSchoolAttendanceEvents", key=("student_id", "school_id", "event_date", "event_kind"),
          version="last_modified", regime=Regime.FERPA)
class StudentSchoolAttendanceEvents(pa.DataFrameModel):
    """Attendance events; a student-day can carry several, one a category and session."""

    student_id: pl.String = _student()
    school_id: pl.String = column(
        P.QUASI, header="schoolId", standard="Ed-Fi school.schoolId · CEDS 001069 School Identifier")
    event_date: pl.Date = column(P.QUASI, header="eventDate", standard="Ed-Fi eventDate")
    # Follows from the category: where that is missing, one fault is enough.
    event_kind: pl.String = column(
        P.SENSITIVE, header="eventKind", required=False,
        standard="Ed-Fi attendanceEventCategoryDescriptor and session, of the key")
    status: pl.String = column(
        P.SENSITIVE, header="attendanceEventCategory", codes=codes.EDFI_ATTENDANCE,
        standard="Ed-Fi attendanceEventCategoryDescriptor · CEDS 000076 Attendance Status")
    event_duration: pl.Float64 = column(
        P.SENSITIVE, header="eventDuration", required=False, ge=0, le=1,
        standard="Ed-Fi eventDuration, share of the day")
    last_modified: pl.String = _last_modified()


@contract("edfi.disciplineIncidents", key=("incident_id",), version="last_modified",
          regime=Regime.FERPA)
class DisciplineIncidents(pa.DataFrameModel):
    """Discipline incidents, without any person."""

    incident_id: pl.String = column(
        P.DIRECT, header="incidentId", ids="incident", defines=True,
        standard="Ed-Fi incidentIdentifier and schoolId · CEDS 000501 Incident Identifier")
    school_id: pl.String = column(
        P.QUASI, header="schoolId", standard="Ed-Fi school.schoolId · CEDS 001069 School Identifier")
    event_date: pl.Date = column(
        P.QUASI, header="incidentDate", standard="Ed-Fi incidentDate · CEDS 000502 Incident Date")
    behavior: pl.String = column(
        P.SENSITIVE, codes=codes.EDFI_BEHAVIORS, required=False,
        standard="Ed-Fi behaviors.behaviorDescriptor, the gravest · CEDS 000509 Incident Behavior")
    last_modified: pl.String = _last_modified()


@contract("edfi.disciplineActions", key=("action_id", "student_id"), version="last_modified",
          regime=Regime.FERPA)
class DisciplineActions(pa.DataFrameModel):
    """Disciplinary actions with the incident they answer."""

    action_id: pl.String = column(
        P.DIRECT, header="actionId", ids="action",
        standard="Ed-Fi disciplineActionIdentifier and disciplineDate")
    student_id: pl.String = _student()
    incident_id: pl.String = column(
        P.DIRECT, header="incidentId", ids="incident", required=False,
        standard="Ed-Fi studentDisciplineIncidentBehaviorAssociations, the first · "
                 "CEDS 000501 Incident Identifier")
    school_id: pl.String = column(
        P.QUASI, header="schoolId", standard="Ed-Fi responsibilitySchoolReference.schoolId")
    event_date: pl.Date = column(P.QUASI, header="disciplineDate", standard="Ed-Fi disciplineDate")
    action: pl.String = column(
        P.SENSITIVE, header="discipline", codes=codes.EDFI_DISCIPLINES,
        standard="Ed-Fi disciplines.disciplineDescriptor, the most severe · "
                 "CEDS 000488 Disciplinary Action Taken")
    length_days: pl.Float64 = column(
        P.SENSITIVE, header="disciplineActionLength", required=False, ge=0, le=MAX_LENGTH_DAYS,
        standard="Ed-Fi actualDisciplineActionLength, else disciplineActionLength · "
                 "CEDS 000511 Duration of Disciplinary Action")
    last_modified: pl.String = _last_modified()


@contract("edfi.studentProgramAssociations", key=("student_id", "program", "begin_date"),
          version="last_modified", regime=Regime.FERPA)
class StudentProgramAssociations(pa.DataFrameModel):
    """Program participation: homeless, foster care, special education, Section 504 and all others."""

    student_id: pl.String = _student()
    program: pl.String = column(
        P.SENSITIVE, codes=codes.PROGRAMS,
        standard="Ed-Fi programReference.programTypeDescriptor · CEDS 000225 Program Type")
    begin_date: pl.Date = column(P.QUASI, header="beginDate", standard="Ed-Fi beginDate")
    end_date: pl.Date = column(P.QUASI, header="endDate", required=False, standard="Ed-Fi endDate")
    nighttime_residence: pl.String = column(
        P.SENSITIVE, header="homelessPrimaryNighttimeResidence", codes=codes.NIGHTTIME_RESIDENCES,
        required=False, standard="Ed-Fi homelessPrimaryNighttimeResidenceDescriptor")
    last_modified: pl.String = _last_modified()

    @pa.dataframe_check(name="WB-R-032")
    @classmethod
    def ended_after_beginning(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """Participation does not end before it begins."""
        return data.lazyframe.select((pl.col("end_date") >= pl.col("begin_date")).fill_null(True))


@contract("edfi.interventions", key=("intervention_id",), regime=Regime.FERPA, loads=False)
class Interventions(pa.DataFrameModel):
    """Interventions on offer, read for what the student associations refer to."""

    intervention_id: pl.String = column(
        P.DIRECT, header="interventionId", ids="intervention", defines=True,
        standard="Ed-Fi interventionIdentificationCode and educationOrganizationId")


@contract("edfi.studentInterventionAssociations", key=("student_id", "intervention_id"),
          version="last_modified", regime=Regime.FERPA)
class StudentInterventionAssociations(pa.DataFrameModel):
    """Interventions that students take part in."""

    student_id: pl.String = _student()
    intervention_id: pl.String = column(
        P.DIRECT, header="interventionId", ids="intervention",
        standard="Ed-Fi interventionIdentificationCode and educationOrganizationId")
    intervention_class: pl.String = column(
        P.SENSITIVE, header="interventionClass", codes=codes.INTERVENTION_CLASSES, required=False,
        standard="Ed-Fi intervention.interventionClassDescriptor")
    delivery_method: pl.String = column(
        P.PLAIN, header="deliveryMethod", codes=codes.DELIVERY_METHODS, required=False,
        standard="Ed-Fi intervention.deliveryMethodDescriptor")
    dosage: pl.Int64 = column(
        P.SENSITIVE, required=False, ge=0, le=MAX_DOSAGE_MINUTES, standard="Ed-Fi dosage, minutes")
    last_modified: pl.String = _last_modified()


@contract("edfi.members", key=("member", "record"), regime=Regime.FERPA, loads=False)
class Members(pa.DataFrameModel):
    """Records of known resources that are never kept: staff, assessments, health, sessions and the like."""

    member: pl.String = column(P.PLAIN)
    record: pl.Int64 = column(P.PLAIN)
