"""Fields of Ed-Fi objects as polars expressions, and the writer that makes JSON texts of whole frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from wellbridge.pipelines.synth.columns import iso
from wellbridge.pipelines.synth.district import FIRST_DAY
from wellbridge.pipelines.synth.edfi import DISTRICT, EdFi, descriptor

STUDENT: Final = pl.struct(pl.col("student_number").alias("studentUniqueId")).alias("studentReference")

# The first byte of the API's id tells the kind of record.
KINDS: Final = {
    "students": 0xA1,
    "studentEducationOrganizationAssociations": 0xA2,
    "studentSchoolAssociations": 0xA3,
    "studentSchoolAttendanceEvents": 0xA4,
    "disciplineIncidents": 0xA5,
    "disciplineActions": 0xA6,
    "studentHomelessProgramAssociations": 0xA7,
    "studentSpecialEducationProgramAssociations": 0xA9,
    "studentSection504ProgramAssociations": 0xAA,
    "studentProgramAssociations": 0xAB,
    "studentInterventionAssociations": 0xAC,
}


@dataclass(frozen=True)
class Objects:
    """Writes frames of one block as objects."""

    edfi: EdFi
    block: int

    def put(self, night: int, resource: str, frame: pl.DataFrame, fields: list[pl.Expr]) -> pl.DataFrame:
        """Write rows, some of them spoilt; return the frame with ``kept``."""
        return self.edfi.put(night, resource, self._with_json(night, resource, frame, fields), self.block)

    def mistaken(self, resource: str, frame: pl.DataFrame, fields: list[pl.Expr]) -> None:
        """Write rows of the first night that the second deletes."""
        self.edfi.add(1, resource, self._with_json(1, resource, frame, fields)["json"].to_list())

    def _with_json(
        self, night: int, resource: str, frame: pl.DataFrame, fields: list[pl.Expr]
    ) -> pl.DataFrame:
        serial = pl.col("serial") if "serial" in frame.columns else pl.col("index")
        number = pl.lit(f"{KINDS[resource]:02x}") + serial.cast(pl.String).str.zfill(30)
        modified = pl.lit(self.edfi.modified(night)).alias("_lastModifiedDate")
        body = pl.struct(number.alias("id"), *fields, modified)
        return frame.with_columns(body.struct.json_encode().alias("json"))


def identifier(resource: str, serial: int) -> str:
    """Return the API's id of a record: 32 hex digits."""
    return f"{KINDS[resource]:02x}{serial:030d}"


def code(name: str, value: pl.Expr) -> pl.Expr:
    """Return descriptors of the values."""
    return pl.lit(descriptor(name, "")) + value


def school(column: str, alias: str) -> pl.Expr:
    """Return references to schools by number."""
    return pl.struct(pl.col(column).alias("schoolId")).alias(alias)


def district() -> pl.Expr:
    """Return references to the district."""
    return pl.struct(pl.lit(DISTRICT).alias("educationOrganizationId")).alias(
        "educationOrganizationReference"
    )


def flagged(column: str, field: str, name: str, value: str) -> pl.Expr:
    """Return a list of one descriptor where the column is true, else an empty list."""
    entry = pl.concat_list(pl.struct(pl.lit(descriptor(name, value)).alias(field)))
    return pl.when(column).then(entry).otherwise(entry.list.head(0))


def program_fields(title: pl.Expr, kind: pl.Expr) -> list[pl.Expr]:
    """Return the fields that all program associations share."""
    program = pl.struct(
        pl.lit(DISTRICT).alias("educationOrganizationId"),
        title.alias("programName"),
        code("ProgramType", kind).alias("programTypeDescriptor"),
    )
    return [
        STUDENT,
        district(),
        program.alias("programReference"),
        pl.lit(str(FIRST_DAY)).alias("beginDate"),
        pl.lit(None, dtype=pl.String).alias("endDate"),
    ]


def action_fields() -> list[pl.Expr]:
    """Return the fields of a disciplinary action and its link to the incident."""
    incident = pl.struct(
        pl.col("student_number").alias("studentUniqueId"),
        pl.col("school").alias("schoolId"),
        numbered_incident().alias("incidentIdentifier"),
        code("Behavior", pl.col("behavior")).alias("behaviorDescriptor"),
    )
    link = pl.struct(incident.alias("studentDisciplineIncidentBehaviorAssociationReference"))
    action = pl.struct(code("Discipline", pl.col("action")).alias("disciplineDescriptor"))
    return [
        STUDENT,
        (pl.lit("DA") + pl.col("serial").cast(pl.String)).alias("disciplineActionIdentifier"),
        iso("date").alias("disciplineDate"),
        school("school", "responsibilitySchoolReference"),
        pl.col("length").alias("disciplineActionLength"),
        pl.concat_list(action).alias("disciplines"),
        pl.concat_list(link).alias("studentDisciplineIncidentBehaviorAssociations"),
    ]


def numbered_incident() -> pl.Expr:
    """Return incident numbers."""
    return pl.lit("IN") + pl.col("serial").cast(pl.String)
