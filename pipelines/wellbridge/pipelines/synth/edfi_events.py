"""Discipline, programs and interventions of a block's children in Ed-Fi, and what is deleted later."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from wellbridge.pipelines.synth.columns import choice, draw, iso, night_column, repeat
from wellbridge.pipelines.synth.district import FIRST_DAY, Plan, quota
from wellbridge.pipelines.synth.edfi import DISTRICT, INTERVENTIONS, descriptor
from wellbridge.pipelines.synth.edfi_fields import (
    STUDENT,
    Objects,
    action_fields,
    code,
    identifier,
    numbered_incident,
    program_fields,
    school,
)

_EXCLUSIONARY: Final = ("Out of School Suspension", "Expulsion")
_DISCIPLINES: Final = (
    "Out of School Suspension",
    *_EXCLUSIONARY,
    "Community Service",
    "Other",
    "No action for incident",
)
_RESIDENCES: Final = ("Doubled-up", "Doubled-up", "Hotels/motels", "Shelters", "Unsheltered")
_HOMELESS: Final = "studentHomelessProgramAssociations"


def write_discipline(plan: Plan, objects: Objects, people: pl.DataFrame) -> pl.DataFrame:
    """Write incidents and actions; return the actions for the measures."""
    rng = plan.rng(objects.block, "discipline")
    chosen = draw(people, rng, 0.07, 20)
    rows = _actions(plan, repeat(chosen, rng.choice([1, 2], chosen.height, p=[0.8, 0.2])), rng, objects.block)
    mistaken = _mistaken_actions(plan, people, objects.block)
    parts = []
    for night in range(1, plan.nights + 1):
        tonight = rows.filter(pl.col("night") == night)
        incidents = pl.concat([tonight, mistaken], how="diagonal_relaxed") if night == 1 else tonight
        objects.put(night, "disciplineIncidents", incidents, _incident_fields())
        parts.append(objects.put(night, "disciplineActions", tonight, action_fields()))
    if mistaken.height:
        _delete_actions(objects, mistaken)
    excluded = pl.col("action").is_in(_EXCLUSIONARY).alias("is_exclusionary")
    return pl.concat(parts).select("index", excluded, "kept")


def _actions(plan: Plan, chosen: pl.DataFrame, rng: np.random.Generator, block: int) -> pl.DataFrame:
    count = chosen.height
    days = pl.Series(plan.days, dtype=pl.Date)
    rows = chosen.with_columns(
        date=days.gather(rng.integers(0, len(days), count)),
        action=choice(rng, _DISCIPLINES, count),
        length=pl.Series(rng.integers(1, 10, count)),
        behavior=choice(rng, ("School Violation", "School Code of Conduct", "Other"), count),
        serial=pl.Series(block * 1_000_000 + np.arange(count)),
    ).with_columns(night=night_column(plan, "date"))
    # What was done about a child who has left was done, and is told, before.
    return rows.filter(pl.col("night") <= pl.col("to_night"))


def _incident_fields() -> list[pl.Expr]:
    behavior = pl.struct(code("Behavior", pl.col("behavior")).alias("behaviorDescriptor"))
    return [
        numbered_incident().alias("incidentIdentifier"),
        school("school", "schoolReference"),
        iso("date").alias("incidentDate"),
        pl.concat_list(behavior).alias("behaviors"),
    ]


def _mistaken_actions(plan: Plan, people: pl.DataFrame, block: int) -> pl.DataFrame:
    """Suspensions entered by mistake in the first night and deleted in the second."""
    return people.tail(plan.defects(block) if plan.nights > 1 else 0).with_columns(
        date=pl.lit(plan.day_before),
        action=pl.lit(_EXCLUSIONARY[0]),
        length=pl.lit(3, dtype=pl.Int64),
        behavior=pl.lit("Other"),
        serial=pl.int_range(pl.len(), dtype=pl.Int64) + block * 1_000_000 + 900_000,
        night=pl.lit(1, dtype=pl.Int64),
    )


def _delete_actions(objects: Objects, mistaken: pl.DataFrame) -> None:
    objects.mistaken("disciplineActions", mistaken, action_fields())
    for row in mistaken.iter_rows(named=True):
        key = {
            "disciplineActionIdentifier": f"DA{row['serial']}",
            "disciplineDate": str(row["date"]),
            "studentUniqueId": row["student_number"],
        }
        objects.edfi.delete(2, "disciplineActions", identifier("disciplineActions", row["serial"]), key)


def write_homeless(plan: Plan, objects: Objects, people: pl.DataFrame) -> pl.DataFrame:
    """Write homeless program associations; return them for the measures."""
    homeless = people.filter("is_homeless")
    places = choice(plan.rng(objects.block, "homeless"), _RESIDENCES, homeless.height)
    kind = "HomelessPrimaryNighttimeResidence"
    residence = code(kind, pl.col("place")).alias(f"{kind[0].lower()}{kind[1:]}Descriptor")
    fields = [*program_fields(pl.lit("Homeless"), pl.lit("Homeless")), residence]
    out = objects.put(1, _HOMELESS, homeless.with_columns(place=places), fields)
    if plan.nights > 1:
        _delete_homeless(objects, people.filter(~pl.col("is_homeless")).head(plan.defects(objects.block)))
    return out.select("index", "kept")


def _delete_homeless(objects: Objects, people: pl.DataFrame) -> None:
    """Children taken for homeless by mistake; deleted in the second night."""
    objects.mistaken(_HOMELESS, people, program_fields(pl.lit("Homeless"), pl.lit("Homeless")))
    for row in people.iter_rows(named=True):
        key: dict[str, Any] = {
            "beginDate": str(FIRST_DAY),
            "educationOrganizationId": DISTRICT,
            "programEducationOrganizationId": DISTRICT,
            "programName": "Homeless",
            "programTypeDescriptor": descriptor("ProgramType", "Homeless"),
            "studentUniqueId": row["student_number"],
        }
        objects.edfi.delete(2, _HOMELESS, identifier(_HOMELESS, row["index"]), key)


def write_programs(objects: Objects, people: pl.DataFrame) -> None:
    """Write special education, Section 504, foster care and bilingual programs; no measure counts them."""
    special = people.filter("disability")
    is_plan = pl.col("index") % 4 == 0
    name = "Special Education"
    fields = [*program_fields(pl.lit(name), pl.lit(name)), pl.lit(value=True).alias("ideaEligibility")]
    objects.put(1, "studentSpecialEducationProgramAssociations", special.filter(~is_plan), fields)
    fields = [
        *program_fields(pl.lit("Section 504"), pl.lit("Section 504 Placement")),
        pl.lit(value=True).alias("section504Eligibility"),
    ]
    objects.put(1, "studentSection504ProgramAssociations", special.filter(is_plan), fields)
    foster = people.filter("is_foster").with_columns(
        serial=pl.col("index") * 2, program=pl.lit("Foster Care")
    )
    second = people.filter("english_learner").with_columns(
        serial=pl.col("index") * 2 + 1, program=pl.lit("Bilingual")
    )
    program = program_fields(pl.col("program"), pl.col("program"))
    objects.put(1, "studentProgramAssociations", pl.concat([foster, second]), program)


def write_interventions(plan: Plan, objects: Objects, people: pl.DataFrame) -> None:
    """Write who takes part in an intervention."""
    rng = plan.rng(objects.block, "interventions")
    chosen = people[np.sort(rng.permutation(people.height)[: quota(people.height, 0.05, 16)])]
    frame = chosen.with_columns(
        code=choice(rng, tuple(INTERVENTIONS), chosen.height),
        minutes=pl.Series(rng.integers(1, 20, chosen.height) * 10),
    )
    reference = pl.struct(
        pl.lit(DISTRICT).alias("educationOrganizationId"),
        pl.col("code").alias("interventionIdentificationCode"),
    )
    fields = [STUDENT, reference.alias("interventionReference"), pl.col("minutes").alias("dosage")]
    objects.put(1, "studentInterventionAssociations", frame, fields)
