"""Contracts of FHIR R4 resources as the reader flattens them: one row a resource, one column a fact.

The reader never copies narrative, notes, ``display`` or ``text``; what is not a column here does not exist
for the walk. Statuses are R4's required bindings; a status outside them is an unknown code, and one that
means "not (yet) true" does not reach these contracts (see ``wellbridge.pipelines.sources.fhir``).
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

ID: Final = r"^[A-Za-z0-9\-\.]{1,64}$"  # FHIR R4, datatype id
MAX_MINUTES: Final = 24 * 60  # of a visit; longer ones are stays


def _binding(*names: str) -> dict[str, str]:
    return {name: name for name in names}


OBSERVATION_STATUS: Final = _binding(
    "registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error",
    "unknown")
RESPONSE_STATUS: Final = _binding("in-progress", "completed", "amended", "entered-in-error", "stopped")
ENCOUNTER_STATUS: Final = _binding(
    "planned", "arrived", "triaged", "in-progress", "onleave", "finished", "cancelled", "entered-in-error",
    "unknown")
INTENT: Final = _binding(
    "proposal", "plan", "directive", "order", "original-order", "reflex-order", "filler-order",
    "instance-order", "option")
# request-status → the status of a referral in the warehouse.
REFERRAL_STATUS: Final = {
    "draft": "draft", "active": "referred", "on-hold": "on_hold", "revoked": "cancelled",
    "completed": "completed", "entered-in-error": "entered_in_error", "unknown": "unknown",
}
# v3-ActCode encounter classes that load → modality.
MODALITY: Final = {"VR": "video", "AMB": "in_person", "HH": "in_person", "FLD": "in_person"}
# administrative-gender; "unknown" arrives as a missing cell.
GENDER: Final = {name: codes.SEX[name] for name in ("female", "male", "other")}


@contract("fhir.patients", key=("patient_id",), regime=Regime.HIPAA, version="last_updated")
class Patients(pa.DataFrameModel):
    """Patients: who the health partner's records are about; feeds the vault alone."""

    patient_id: pl.String = column(
        P.DIRECT, header="id", ids="patient", defines=True, standard="FHIR Patient.id", str_matches=ID)
    last_updated: pl.String = column(P.PLAIN, required=False, standard="FHIR Patient.meta.lastUpdated")
    first_name: pl.String = column(
        P.DIRECT, trait="first_name", required=False, standard="FHIR Patient.name.given")
    last_name: pl.String = column(
        P.DIRECT, trait="last_name", required=False, standard="FHIR Patient.name.family")
    birth_date: pl.Date = column(
        P.QUASI, header="birthDate", trait="birth_date", generalise="birth_year", required=False,
        standard="FHIR Patient.birthDate")
    sex: pl.String = column(
        P.QUASI, header="gender", trait="sex", codes=GENDER, required=False, standard="FHIR Patient.gender")
    zip_code: pl.String = column(
        P.QUASI, header="postalCode", trait="zip_code", generalise="zip3", required=False,
        standard="FHIR Patient.address.postalCode")
    phone: pl.String = column(P.DIRECT, trait="phone", required=False, standard="FHIR Patient.telecom.value")
    address: pl.String = column(
        P.DIRECT, trait="address", required=False, standard="FHIR Patient.address.line")
    student_number: pl.String = column(
        P.DIRECT, trait="student_number", required=False, standard="FHIR Patient.identifier.value")


@contract("fhir.screenings", key=("screening_id",), regime=Regime.HIPAA, version="last_updated")
class Screenings(pa.DataFrameModel):
    """Screenings: Observations of a total score."""

    screening_id: pl.String = column(
        P.DIRECT, header="id", ids="screening", standard="FHIR Observation.id", str_matches=ID)
    patient_id: pl.String = column(
        P.DIRECT, header="subject", ids="patient", refers=True, standard="FHIR Observation.subject")
    last_updated: pl.String = column(P.PLAIN, required=False, standard="FHIR Observation.meta.lastUpdated")
    is_part2: pl.Boolean = column(P.SENSITIVE, standard="FHIR Observation.meta.security")
    status: pl.String = column(P.PLAIN, codes=OBSERVATION_STATUS, standard="FHIR Observation.status")
    instrument: pl.String = column(
        P.SENSITIVE, header="code", codes=TOTAL_CODES, isin=list(INSTRUMENTS),
        standard="FHIR Observation.code · LOINC")
    event_date: pl.Date = column(P.QUASI, header="effective", standard="FHIR Observation.effective[x]")
    score: pl.Float64 = column(P.SENSITIVE, header="value", standard="FHIR Observation.value[x]")
    safety_flag: pl.Boolean = column(
        P.SENSITIVE, header="safety", required=False,
        standard="FHIR QuestionnaireResponse.item · LOINC 44260-8")

    @pa.dataframe_check(name="WB-R-021")
    @classmethod
    def score_is_possible(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """A score lies in its instrument's range."""
        return data.lazyframe.select(is_in_range())


@contract("fhir.referrals", key=("referral_id",), regime=Regime.HIPAA, version="last_updated")
class Referrals(pa.DataFrameModel):
    """Referrals: ServiceRequests that send a patient to a service."""

    referral_id: pl.String = column(
        P.DIRECT, header="id", ids="referral", standard="FHIR ServiceRequest.id", str_matches=ID)
    patient_id: pl.String = column(
        P.DIRECT, header="subject", ids="patient", refers=True, standard="FHIR ServiceRequest.subject")
    last_updated: pl.String = column(P.PLAIN, required=False, standard="FHIR ServiceRequest.meta.lastUpdated")
    is_part2: pl.Boolean = column(P.SENSITIVE, standard="FHIR ServiceRequest.meta.security")
    status: pl.String = column(P.SENSITIVE, codes=REFERRAL_STATUS, standard="FHIR ServiceRequest.status")
    status_date: pl.Date = column(P.QUASI, required=False, standard="FHIR ServiceRequest.meta.lastUpdated")
    intent: pl.String = column(P.PLAIN, codes=INTENT, standard="FHIR ServiceRequest.intent")
    referral_type: pl.String = column(
        P.SENSITIVE, header="type", required=False, isin=["mental_health", "substance_use", "other"],
        standard="FHIR ServiceRequest.category and code")
    event_date: pl.Date = column(P.QUASI, header="authoredOn", standard="FHIR ServiceRequest.authoredOn")
    screening_id: pl.String = column(
        P.DIRECT, header="supportingInfo", ids="screening", required=False,
        standard="FHIR ServiceRequest.supportingInfo")


@contract("fhir.encounters", key=("encounter_id",), regime=Regime.HIPAA, version="last_updated")
class Encounters(pa.DataFrameModel):
    """Encounters: visits that took place, with minutes; emergency visits are crisis events."""

    encounter_id: pl.String = column(
        P.DIRECT, header="id", ids="encounter", standard="FHIR Encounter.id", str_matches=ID)
    crisis_id: pl.String = column(P.DIRECT, header="crisis", ids="crisis", standard="FHIR Encounter.id")
    patient_id: pl.String = column(
        P.DIRECT, header="subject", ids="patient", refers=True, standard="FHIR Encounter.subject")
    last_updated: pl.String = column(P.PLAIN, required=False, standard="FHIR Encounter.meta.lastUpdated")
    is_part2: pl.Boolean = column(P.SENSITIVE, standard="FHIR Encounter.meta.security")
    status: pl.String = column(P.PLAIN, codes=ENCOUNTER_STATUS, standard="FHIR Encounter.status")
    encounter_class: pl.String = column(
        P.SENSITIVE, header="class", codes=_binding(*MODALITY, "EMER"),
        standard="FHIR Encounter.class · v3-ActCode")
    event_date: pl.Date = column(P.QUASI, header="start", standard="FHIR Encounter.period.start")
    discharge_date: pl.Date = column(
        P.QUASI, header="end", required=False, standard="FHIR Encounter.period.end")
    minutes: pl.Float64 = column(
        P.SENSITIVE, required=False, standard="FHIR Encounter.period, Encounter.length")
    referral_id: pl.String = column(
        P.DIRECT, header="basedOn", ids="referral", required=False, standard="FHIR Encounter.basedOn")

    @pa.dataframe_check(name="WB-R-032")
    @classmethod
    def ended_after_started(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """A visit does not end before it starts."""
        ordered = (pl.col("discharge_date") >= pl.col("event_date")).fill_null(True)
        return data.lazyframe.select(ordered & (pl.col("minutes") >= 0).fill_null(True))

    @pa.dataframe_check(name="WB-R-021")
    @classmethod
    def visit_ends_within_a_day(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """A visit that is no emergency lasts a day at most."""
        short = (pl.col("minutes") <= MAX_MINUTES) | (pl.col("encounter_class") == "EMER")
        return data.lazyframe.select(short.fill_null(True))


@contract("fhir.consents", key=("consent_id",), regime=Regime.HIPAA, version="last_updated")
class Consents(pa.DataFrameModel):
    """Consents: what a patient forbids or permits; goes to the vault."""

    consent_id: pl.String = column(
        P.DIRECT, header="id", ids="consent", standard="FHIR Consent.id", str_matches=ID)
    # No `refers`: a refusal is honoured even where it arrives before its patient. Null in a deleted consent
    # only.
    patient_id: pl.String = column(
        P.DIRECT, header="patient", ids="patient", required=False, standard="FHIR Consent.patient")
    last_updated: pl.String = column(P.PLAIN, required=False, standard="FHIR Consent.meta.lastUpdated")
    decision: pl.String = column(
        P.SENSITIVE, codes=_binding("deny", "permit_part2"), standard="FHIR Consent.provision.type")
    start_date: pl.Date = column(
        P.QUASI, header="start", required=False, standard="FHIR Consent.provision.period")
    end_date: pl.Date = column(
        P.QUASI, header="end", required=False, standard="FHIR Consent.provision.period")
    is_active: pl.Boolean = column(P.SENSITIVE, header="active", standard="FHIR Consent.status")


@contract("fhir.responses", key=("response_id",), regime=Regime.HIPAA, version="last_updated", loads=False)
class Responses(pa.DataFrameModel):
    """Questionnaire responses: read to check the totals that Observations state, never loaded."""

    response_id: pl.String = column(
        P.DIRECT, header="id", standard="FHIR QuestionnaireResponse.id", str_matches=ID)
    last_updated: pl.String = column(
        P.PLAIN, required=False, standard="FHIR QuestionnaireResponse.meta.lastUpdated")
    status: pl.String = column(P.PLAIN, codes=RESPONSE_STATUS, standard="FHIR QuestionnaireResponse.status")


@contract("fhir.other", key=(), regime=Regime.HIPAA, loads=False)
class Other(pa.DataFrameModel):
    """Resources that are not facts of the warehouse: counted, never loaded."""

    resource_type: pl.String = column(P.PLAIN, header="resourceType", standard="FHIR Resource.resourceType")


# FHIR R4 (4.0.1), the resource types that may be the root of a record. A type outside the list is unknown.
RESOURCE_TYPES: Final = frozenset("""
    Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse AuditEvent
    Basic Binary BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement CarePlan CareTeam
    CatalogEntry ChargeItem ChargeItemDefinition Claim ClaimResponse ClinicalImpression CodeSystem
    Communication CommunicationRequest CompartmentDefinition Composition ConceptMap Condition Consent
    Contract Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device
    DeviceDefinition DeviceMetric DeviceRequest DeviceUseStatement DiagnosticReport DocumentManifest
    DocumentReference EffectEvidenceSynthesis Encounter Endpoint EnrollmentRequest EnrollmentResponse
    EpisodeOfCare EventDefinition Evidence EvidenceVariable ExampleScenario ExplanationOfBenefit
    FamilyMemberHistory Flag Goal GraphDefinition Group GuidanceResponse HealthcareService ImagingStudy
    Immunization ImmunizationEvaluation ImmunizationRecommendation ImplementationGuide InsurancePlan Invoice
    Library Linkage List Location Measure MeasureReport Media Medication MedicationAdministration
    MedicationDispense MedicationKnowledge MedicationRequest MedicationStatement MedicinalProduct
    MedicinalProductAuthorization MedicinalProductContraindication MedicinalProductIndication
    MedicinalProductIngredient MedicinalProductInteraction MedicinalProductManufactured
    MedicinalProductPackaged MedicinalProductPharmaceutical MedicinalProductUndesirableEffect
    MessageDefinition MessageHeader MolecularSequence NamingSystem NutritionOrder Observation
    ObservationDefinition OperationDefinition OperationOutcome Organization OrganizationAffiliation
    Parameters Patient PaymentNotice PaymentReconciliation Person PlanDefinition Practitioner
    PractitionerRole Procedure Provenance Questionnaire QuestionnaireResponse RelatedPerson RequestGroup
    ResearchDefinition ResearchElementDefinition ResearchStudy ResearchSubject RiskAssessment
    RiskEvidenceSynthesis Schedule SearchParameter ServiceRequest Slot Specimen SpecimenDefinition
    StructureDefinition StructureMap Subscription Substance SubstanceNucleicAcid SubstancePolymer
    SubstanceProtein SubstanceReferenceInformation SubstanceSourceMaterial SubstanceSpecification
    SupplyDelivery SupplyRequest Task TerminologyCapabilities TestReport TestScript ValueSet
    VerificationResult VisionPrescription
""".split())  # noqa: SIM905 - a list of 147 strings is no clearer
