"""Contracts of the school sources: every column classified and named, and what the code lists promise."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from school_files import REAL, needs_real_files
from wellbridge.pipelines.sources.source import CONSENT, source
from wellbridge.privacy.policy import warehouse_classes
from wellbridge.schemas import codes
from wellbridge.schemas.classes import PrivacyClass, Regime
from wellbridge.schemas.contract import Contract
from wellbridge.schemas.warehouse import METADATA

KINDS = ("oneroster", "edfi", "sis")
CONTRACTS = {r.contract.name: r.contract for kind in KINDS for r in source(kind).resources.values()}
# Columns that only this program has: no standard names them.
OWN = {"as_of", "roster", "member", "record", "minutes_absent", "scope", "effective_date", "withdrawn_date"}


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_every_column_has_a_class_and_the_name_a_standard_gives_it(contract: Contract) -> None:
    for column in contract.columns.values():
        assert isinstance(column.privacy, PrivacyClass)
        assert column.standard or column.name in OWN, column.name
    assert contract.regime is Regime.FERPA
    assert contract.title.endswith(".")


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_names_and_identifiers_never_reach_the_warehouse(contract: Contract) -> None:
    for column in contract.columns.values():
        if column.ids is not None or column.trait in {"first_name", "last_name"}:
            assert column.privacy not in warehouse_classes()
        if column.trait in {"birth_date", "zip_code"}:
            assert column.generalise is not None


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_keys_versions_and_periods_are_columns_and_headers_are_unambiguous(contract: Contract) -> None:
    named = {*contract.key, *filter(None, (contract.version, contract.period))}
    assert contract.key
    assert named <= set(contract.columns)
    assert len(contract.headers) == len(contract.columns)


@pytest.mark.parametrize("kind", KINDS)
def test_every_resource_has_somewhere_to_go(kind: str) -> None:
    for name, resource in source(kind).resources.items():
        assert resource.contract.name == f"{kind}.{name}"
        goes = resource.table or resource.shape
        assert bool(goes) == resource.contract.loads
        assert resource.decides == (resource.shape is not None and resource.table is None), CONSENT
        for table in filter(None, (resource.table, *resource.delete_from)):
            assert table in METADATA.tables


@pytest.mark.parametrize("kind", KINDS)
def test_a_deletes_key_is_part_of_the_key_of_the_table_it_deletes_from(kind: str) -> None:
    for resource in source(kind).resources.values():
        columns = resource.contract.columns
        keys = {columns[n].key_name if columns[n].ids else n for n in resource.contract.key}
        for table in resource.delete_from:
            assert keys & set(METADATA.tables[table].info["key"])


@pytest.mark.parametrize(
    "named", [n for n in dir(codes) if n.isupper() and isinstance(getattr(codes, n), dict)]
)
def test_no_code_list_means_two_things_by_one_code(named: str) -> None:
    listed: dict[str, str] = getattr(codes, named)
    meanings: dict[str, set[str]] = {}
    for code, canonical in listed.items():
        meanings.setdefault(code.strip().casefold(), set()).add(canonical)
    assert [code for code, found in meanings.items() if len(found) > 1] == []


# The descriptors whose codes a contract reads, and the list that must cover them.
COVERED = {
    "GradeLevelDescriptor": codes.EDFI_GRADES,
    "SexDescriptor": codes.SEX,
    "RaceDescriptor": codes.EDFI_RACES,
    "LimitedEnglishProficiencyDescriptor": codes.ENGLISH_LEARNER,
    "ExitWithdrawTypeDescriptor": codes.EXIT_TYPES,
    "SchoolCategoryDescriptor": codes.SCHOOL_LEVELS,
    "CalendarEventDescriptor": codes.CALENDAR_EVENTS,
    "AttendanceEventCategoryDescriptor": codes.EDFI_ATTENDANCE,
    "DisciplineDescriptor": codes.EDFI_DISCIPLINES,
    "BehaviorDescriptor": codes.EDFI_BEHAVIORS,
    "ProgramTypeDescriptor": codes.PROGRAMS,
    "HomelessPrimaryNighttimeResidenceDescriptor": codes.NIGHTTIME_RESIDENCES,
    "InterventionClassDescriptor": codes.INTERVENTION_CLASSES,
    "DeliveryMethodDescriptor": codes.DELIVERY_METHODS,
}


def _published(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with (folder / "edfi/edfi_descriptors_ds5.2.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["descriptor"], []).append(row["code_value"])
    return found


@needs_real_files
@pytest.mark.parametrize("descriptor", sorted(COVERED))
def test_every_published_code_of_a_descriptor_has_a_meaning(descriptor: str) -> None:
    known = codes.folded(COVERED[descriptor])
    published = _published(REAL)[descriptor]
    assert published
    assert [code for code in published if code.strip().casefold() not in known] == []


def test_every_grade_status_and_severity_is_a_canonical_code() -> None:
    assert set(codes.EDFI_GRADES.values()) <= set(codes.GRADE_CODES)
    assert {race for race in codes.EDFI_RACES.values() if race} <= set(codes.RACE_ETHNICITY)
    assert set(codes.ABSENT_FRACTIONS) == set(codes.ATTENDANCE_STATUSES)
    assert set(codes.SIS_ATTENDANCE.values()) | set(codes.EDFI_ATTENDANCE.values()) == set(
        codes.ATTENDANCE_STATUSES
    )
    assert set(codes.EDFI_DISCIPLINES.values()) == set(codes.DISCIPLINE_SEVERITY)
    assert set(codes.EDFI_BEHAVIORS.values()) == set(codes.BEHAVIOR_SEVERITY)
    assert set(codes.DISCIPLINE_SEVERITY) > codes.EXCLUSIONARY


def test_an_unknown_code_is_never_passed_over_for_a_milder_known_one() -> None:
    known = codes.folded(codes.EDFI_DISCIPLINES)
    assert (
        codes.most_severe(known, codes.DISCIPLINE_SEVERITY, ["Expulsion", "Stern look", "Other"])
        == "Stern look"
    )
    assert codes.most_severe(known, codes.DISCIPLINE_SEVERITY, [" other ", "EXPULSION"]) == "EXPULSION"
    assert codes.most_severe(known, codes.DISCIPLINE_SEVERITY, []) is None
