"""Contracts of OneRoster CSV 1.1 and 1.2 packages.

The reader joins a package's members before these contracts see them (users, roles, demographics and orgs), so
some headers are its own: ``studentNumber``, ``schoolId``, ``grade``, ``asOf``, ``roster``, ``isActive``.
Passwords, phones, e-mail, middle names and birth places never get this far.
"""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from wellbridge.schemas import codes
from wellbridge.schemas.classes import PrivacyClass as P
from wellbridge.schemas.classes import Regime
from wellbridge.schemas.contract import column, contract


@contract("oneroster.orgs", key=("school_id",), regime=Regime.FERPA)
class Orgs(pa.DataFrameModel):
    """Schools: orgs of type school."""

    school_id: pl.String = column(
        P.QUASI, header="schoolId", standard="OneRoster org.identifier · CEDS 001069 School Identifier")
    school_name: pl.String = column(P.QUASI, header="name", standard="OneRoster org.name")


@contract("oneroster.students", key=("student_id", "as_of"), regime=Regime.FERPA)
class Students(pa.DataFrameModel):
    """Students: users whose primary role is student, with their demographics."""

    student_id: pl.String = column(
        P.DIRECT, header="studentNumber", ids="student", defines=True,
        standard="OneRoster user.identifier · CEDS 001071 Student Identifier")
    sourced_id: pl.String = column(P.DIRECT, header="sourcedId", standard="OneRoster user.sourcedId")
    first_name: pl.String = column(
        P.DIRECT, header="givenName", trait="first_name", standard="OneRoster user.givenName")
    last_name: pl.String = column(
        P.DIRECT, header="familyName", trait="last_name", standard="OneRoster user.familyName")
    birth_date: pl.Date = column(
        P.QUASI, header="birthDate", trait="birth_date", generalise="birth_year", required=False,
        standard="OneRoster demographics.birthDate · CEDS 000033 Birthdate")
    sex: pl.String = column(
        P.QUASI, trait="sex", codes=codes.SEX, required=False, standard="OneRoster demographics.sex")
    american_indian_or_alaska_native: pl.Boolean = column(
        P.QUASI, header="americanIndianOrAlaskaNative", required=False,
        standard="OneRoster demographics.americanIndianOrAlaskaNative")
    asian: pl.Boolean = column(P.QUASI, required=False, standard="OneRoster demographics.asian")
    black_or_african_american: pl.Boolean = column(
        P.QUASI, header="blackOrAfricanAmerican", required=False,
        standard="OneRoster demographics.blackOrAfricanAmerican")
    native_hawaiian_or_other_pacific_islander: pl.Boolean = column(
        P.QUASI, header="nativeHawaiianOrOtherPacificIslander", required=False,
        standard="OneRoster demographics.nativeHawaiianOrOtherPacificIslander")
    white: pl.Boolean = column(P.QUASI, required=False, standard="OneRoster demographics.white")
    two_or_more_races: pl.Boolean = column(
        P.QUASI, header="demographicRaceTwoOrMoreRaces", required=False,
        standard="OneRoster demographics.demographicRaceTwoOrMoreRaces")
    hispanic_or_latino: pl.Boolean = column(
        P.QUASI, header="hispanicOrLatinoEthnicity", required=False,
        standard="OneRoster demographics.hispanicOrLatinoEthnicity")
    grade: pl.String = column(
        P.QUASI, codes=codes.GRADES, required=False,
        standard="OneRoster user.grades, the first · CEDS 000100 Entry Grade Level")
    school_id: pl.String = column(
        P.QUASI, header="schoolId", required=False,
        standard="OneRoster user.primaryOrgSourcedId (1.1: orgSourcedIds) → org.identifier")
    as_of: pl.Date = column(P.PLAIN, header="asOf")
    roster: pl.String = column(P.PLAIN)
    is_active: pl.Boolean = column(
        P.PLAIN, header="isActive", standard="OneRoster user.status, not tobedeleted")


@contract("oneroster.staff", key=("staff_id",), regime=Regime.FERPA)
class Staff(pa.DataFrameModel):
    """Staff: users whose primary role is neither student nor family."""

    staff_id: pl.String = column(
        P.DIRECT, header="staffNumber", ids="staff", defines=True,
        standard="OneRoster user.identifier · CEDS 001070 Staff Member Identifier")
    staff_role: pl.String = column(
        P.PLAIN, header="role", codes=codes.STAFF_ROLES, standard="OneRoster role.role (1.1: user.role)")
    school_id: pl.String = column(
        P.QUASI, header="schoolId", required=False,
        standard="OneRoster user.primaryOrgSourcedId → org.identifier")


@contract("oneroster.results", key=("result_id",), regime=Regime.FERPA)
class Results(pa.DataFrameModel):
    """Scores of course work."""

    result_id: pl.String = column(
        P.DIRECT, header="sourcedId", ids="result", standard="OneRoster result.sourcedId")
    student_id: pl.String = column(
        P.DIRECT, header="studentNumber", ids="student", refers=True,
        standard="OneRoster result.studentSourcedId → user.identifier")
    event_date: pl.Date = column(P.QUASI, header="scoreDate", standard="OneRoster result.scoreDate")
    score: pl.Float64 = column(P.SENSITIVE, required=False, standard="OneRoster result.score")
    score_status: pl.String = column(
        P.PLAIN, header="scoreStatus", codes=codes.SCORE_STATUSES, standard="OneRoster result.scoreStatus")
    score_min: pl.Float64 = column(
        P.PLAIN, header="resultValueMin", required=False, standard="OneRoster lineItem.resultValueMin")
    score_max: pl.Float64 = column(
        P.PLAIN, header="resultValueMax", required=False, standard="OneRoster lineItem.resultValueMax")

    @pa.dataframe_check(name="WB-R-021")
    @classmethod
    def within_the_line_item(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """A score lies within its line item's range (OneRoster 1.2.1 validator)."""
        above = (pl.col("score") >= pl.col("score_min")).fill_null(True)
        below = (pl.col("score") <= pl.col("score_max")).fill_null(True)
        return data.lazyframe.select(above & below)


@contract("oneroster.members", key=("member", "record"), regime=Regime.FERPA, loads=False)
class Members(pa.DataFrameModel):
    """Rows read for their keys only: sessions, courses, classes, enrolments, roles, demographics."""

    member: pl.String = column(P.PLAIN)
    record: pl.Int64 = column(P.PLAIN)
