"""Contracts of HL7 v2 messages as the reader flattens them: one row a message, by family of trigger events.

Field names are those of HL7 2.5.1. Each message carries its patient (PID), so each row brings the patient's
identifier into being and feeds the vault's traits. PID-19 (SSN) is no column, so it cannot be kept.
"""

from __future__ import annotations

from typing import Final

import pandera.polars as pa
import polars as pl

from wellbridge.schemas import codes
from wellbridge.schemas.classes import PrivacyClass as P
from wellbridge.schemas.classes import Regime
from wellbridge.schemas.contract import column, contract
from wellbridge.schemas.instruments import INSTRUMENTS, TOTAL_CODES, is_in_range

# Table 0001, administrative sex; U (unknown) and N (not applicable) arrive as a missing cell.
SEX: Final = {"F": codes.SEX["F"], "M": codes.SEX["M"], "O": codes.SEX["X"], "A": codes.SEX["X"]}
# Table 0004, patient class: the two that are a crisis.
CRISIS_KIND: Final = {"E": "emergency", "I": "inpatient"}
# Table 0278, filler status.
APPOINTMENT_STATUS: Final = {
    "Pending": "pending", "Waitlist": "waitlisted", "Booked": "booked", "Overbook": "booked",
    "Started": "started", "Complete": "kept", "Cancelled": "cancelled", "DC": "cancelled",
    "Blocked": "cancelled", "Noshow": "no_show",
}
# Table 0283, referral status.
REFERRAL_STATUS: Final = {
    "P": "referred", "A": "accepted", "R": "declined", "E": "expired", "cancelled": "cancelled"}
# Table 0281, referral type.
REFERRAL_TYPE: Final = {
    "Psy": "mental_health", "Med": "other", "Hom": "other", "Lab": "other", "Rad": "other", "Skn": "other"}


class _AboutPatient(pa.DataFrameModel):
    """What every message says about its patient."""

    patient_id: pl.String = column(P.DIRECT, header="PID-3", ids="patient", defines=True,
                                      standard="HL7 PID-3")
    message_time: pl.String = column(P.PLAIN, header="MSH-7", standard="HL7 MSH-7")
    is_part2: pl.Boolean = column(P.SENSITIVE, standard="HL7 ORC-28, ARV-3, PD1-12")
    first_name: pl.String = column(
        P.DIRECT, header="PID-5.2", trait="first_name", required=False, standard="HL7 PID-5.2")
    last_name: pl.String = column(
        P.DIRECT, header="PID-5.1", trait="last_name", required=False, standard="HL7 PID-5.1")
    birth_date: pl.Date = column(
        P.QUASI, header="PID-7", trait="birth_date", generalise="birth_year", required=False,
        standard="HL7 PID-7")
    sex: pl.String = column(
        P.QUASI, header="PID-8", trait="sex", codes=SEX, required=False, standard="HL7 PID-8")
    address: pl.String = column(
        P.DIRECT, header="PID-11.1", trait="address", required=False, standard="HL7 PID-11.1")
    zip_code: pl.String = column(
        P.QUASI, header="PID-11.5", trait="zip_code", generalise="zip3", required=False,
        standard="HL7 PID-11.5")
    phone: pl.String = column(
        P.DIRECT, header="PID-13", trait="phone", required=False, standard="HL7 PID-13")
    student_number: pl.String = column(
        P.DIRECT, trait="student_number", required=False, standard="HL7 PID-3, the district's")


@contract("hl7v2.crises", key=("crisis_id",), regime=Regime.HIPAA, version="message_time")
class Crises(_AboutPatient):
    """Crisis visits: emergency and inpatient admissions and discharges (ADT)."""

    crisis_id: pl.String = column(P.DIRECT, header="PV1-19", ids="crisis", standard="HL7 PV1-19")
    crisis_kind: pl.String = column(P.SENSITIVE, header="PV1-2", codes=CRISIS_KIND, standard="HL7 PV1-2")
    event_date: pl.Date = column(P.QUASI, header="PV1-44", standard="HL7 PV1-44")
    discharge_date: pl.Date = column(P.QUASI, header="PV1-45", required=False, standard="HL7 PV1-45")

    @pa.dataframe_check(name="WB-R-032")
    @classmethod
    def discharged_after_admission(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """A discharge is not before its admission."""
        return data.lazyframe.select((pl.col("discharge_date") >= pl.col("event_date")).fill_null(True))


@contract("hl7v2.appointments", key=("appointment_id",), regime=Regime.HIPAA, version="message_time")
class Appointments(_AboutPatient):
    """Appointments: booked, moved, cancelled, missed (SIU)."""

    appointment_id: pl.String = column(P.DIRECT, header="SCH-2", ids="appointment", standard="HL7 SCH-2")
    event_date: pl.Date = column(P.QUASI, header="SCH-11.4", standard="HL7 SCH-11.4")
    appointment_status: pl.String = column(
        P.SENSITIVE, header="SCH-25", codes=APPOINTMENT_STATUS, standard="HL7 SCH-25")


@contract("hl7v2.referrals", key=("referral_id",), regime=Regime.HIPAA, version="message_time")
class Referrals(_AboutPatient):
    """Referrals and what became of them (REF)."""

    referral_id: pl.String = column(P.DIRECT, header="RF1-6", ids="referral", standard="HL7 RF1-6")
    status: pl.String = column(P.SENSITIVE, header="RF1-1", codes=REFERRAL_STATUS, standard="HL7 RF1-1")
    status_date: pl.Date = column(P.QUASI, header="RF1-9", standard="HL7 RF1-9, else MSH-7")
    referral_type: pl.String = column(
        P.SENSITIVE, header="RF1-3", codes=REFERRAL_TYPE, required=False, standard="HL7 RF1-3")
    event_date: pl.Date = column(P.QUASI, header="RF1-7", standard="HL7 RF1-7")


@contract("hl7v2.screenings", key=("screening_id",), regime=Regime.HIPAA, version="message_time")
class Screenings(_AboutPatient):
    """Screenings: one or two total scores of one message (ORU)."""

    screening_id: pl.String = column(P.DIRECT, header="OBR-3", ids="screening", standard="HL7 OBR-3")
    instrument: pl.String = column(
        P.SENSITIVE, header="OBX-3", codes=TOTAL_CODES, isin=list(INSTRUMENTS), standard="HL7 OBX-3 · LOINC")
    score: pl.Float64 = column(P.SENSITIVE, header="OBX-5", standard="HL7 OBX-5")
    event_date: pl.Date = column(P.QUASI, header="OBX-14", standard="HL7 OBX-14, else OBR-7")
    safety_flag: pl.Boolean = column(
        P.SENSITIVE, header="safety", required=False, standard="HL7 OBX-5 · LOINC 44260-8")
    # PHQ and GAD are often given together and sent in one message.
    screening_2_id: pl.String = column(
        P.DIRECT, header="OBR-3 (2)", ids="screening", required=False, standard="HL7 OBR-3")
    instrument_2: pl.String = column(
        P.SENSITIVE, header="OBX-3 (2)", codes=TOTAL_CODES, isin=list(INSTRUMENTS), required=False,
        standard="HL7 OBX-3 · LOINC")
    score_2: pl.Float64 = column(P.SENSITIVE, header="OBX-5 (2)", required=False, standard="HL7 OBX-5")
    event_date_2: pl.Date = column(
        P.QUASI, header="OBX-14 (2)", required=False, standard="HL7 OBX-14, else OBR-7")
    safety_flag_2: pl.Boolean = column(
        P.SENSITIVE, header="safety (2)", required=False, standard="HL7 OBX-5 · LOINC 44260-8")

    @pa.dataframe_check(name="WB-R-021")
    @classmethod
    def scores_are_possible(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """Scores lie in their instruments' ranges."""
        return data.lazyframe.select(is_in_range() & is_in_range("instrument_2", "score_2"))

    @pa.dataframe_check(name="WB-R-010")
    @classmethod
    def second_is_whole(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """A second score has all that the first one needs."""
        needed = ("screening_2_id", "score_2", "event_date_2")
        whole = pl.all_horizontal(pl.col(name).is_not_null() for name in needed)
        return data.lazyframe.select(whole | pl.col("instrument_2").is_null())


@contract("hl7v2.other", key=(), regime=Regime.HIPAA, loads=False)
class Other(pa.DataFrameModel):
    """Messages that are not facts of the warehouse: counted, never loaded."""

    message_type: pl.String = column(P.PLAIN, header="MSH-9", required=False, standard="HL7 MSH-9")
