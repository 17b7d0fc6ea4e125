"""DIR/truth: who is who, what is wrong where and which rule must say so, and what the measures really are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from wellbridge.pipelines.synth.known import Known
from wellbridge.pipelines.synth.pairs import COLUMNS, GROUPS
from wellbridge.pipelines.synth.writing import CsvFile

PEOPLE: Final = (
    "person_id",
    "household_id",
    "twin_of",
    "is_mover",
    "first_name",
    "last_name",
    "has_double_surname",
    "birth_date",
    "is_girl",
    "street",
    "zip_code",
    "phone",
    "student_number",
    "school",
    "grade",
    "race",
    "is_hispanic",
    "english_learner",
    "disability",
    "economically_disadvantaged",
    "is_homeless",
    "is_foster",
    "pathway",
    "opt_out",
    "from_night",
    "to_night",
    "move_night",
    "regrade_night",
)
_SAID: Final = ("first_name", "last_name", "birth_date", "street", "zip_code", "phone")
_RECORDS: Final = ("person_id", "feed", "namespace", "source_id", "errors", *_SAID)
_DEFECTS: Final = ("feed", "file", "row", "column", "rule", "night")
_REMOVED: Final = ("feed", "file", "row", "rule", "night")
_DELIVERIES: Final = ("night", "feed", "name", "rule", "note")


@dataclass(frozen=True)
class Place:
    """Where a row is: feed, kind of record, file, record number, and the night it arrives."""

    feed: str
    resource: str
    file: str
    row: int
    night: int


class Truth:
    """What is known about the district that was made, written as it is made.

    ``read``, ``held`` and ``removed`` count rows by feed and resource, over all nights, of the deliveries
    that
    a run takes; rows of deliveries that are held whole are counted in ``held_whole`` only.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.people = CsvFile(folder / "people.csv", PEOPLE)
        self.records = CsvFile(folder / "records.csv", _RECORDS)
        self._defects = CsvFile(folder / "defects.csv", _DEFECTS)
        self._removed = CsvFile(folder / "removed.csv", _REMOVED)
        self._deliveries: list[tuple[int, str, str, str, str]] = []
        self.counts: dict[str, dict[str, dict[str, int]]] = defaultdict(
            lambda: defaultdict(lambda: defaultdict(int))
        )

    def person_frame(self, people: pl.DataFrame) -> None:
        """Write the children of a block, and their student numbers as records of the district."""
        people = people.with_columns(pl.col("birth_date").cast(pl.String))
        self.people.rows(people)
        self.records.rows(
            people.select(
                "person_id",
                pl.lit("oneroster").alias("feed"),
                pl.lit("student").alias("namespace"),
                pl.col("student_number").alias("source_id"),
                pl.lit("").alias("errors"),
                *_SAID,
            )
        )

    def record(self, person_id: str, feed: str, namespace: str, source_id: str, said: Known) -> None:
        """Write who a feed's own identifier stands for, what its record says of the person, and how it misstates."""
        traits = (
            said.first_name,
            said.last_name,
            said.birth_date.isoformat(),
            said.street,
            said.zip_code,
            said.phone,
        )
        self.records.line((person_id, feed, namespace, source_id, ";".join(said.errors), *traits))

    def defect(self, place: Place, column: str, rule: str) -> None:
        """Write one planted defect: the row that must be held."""
        self._defects.line((place.feed, place.file, str(place.row), column, rule, str(place.night)))
        self.count(place.feed, place.resource, "held", 1)

    def removal(self, place: Place, rule: str) -> None:
        """Write one row that policy must remove."""
        self._removed.line((place.feed, place.file, str(place.row), rule, str(place.night)))
        self.count(place.feed, place.resource, f"removed {rule}", 1)

    def delivery(self, night: int, feed: str, name: str, rule: str, note: str) -> None:
        """Note a delivery that is out of the ordinary; ``rule`` is empty where it is simply taken."""
        self._deliveries.append((night, feed, name, rule, note))

    def count(self, feed: str, resource: str, what: str, rows: int) -> None:
        """Add to the expected counts."""
        self.counts[feed][resource][what] += rows

    def expected(self) -> dict[str, Any]:
        """Return the expected counts by feed: totals, and the same by resource."""
        return {feed: _totals(resources) for feed, resources in sorted(self.counts.items())}

    def close(self, measures: Mapping[str, Any]) -> None:
        """Write the files that need the whole."""
        for file in (self.people, self.records, self._defects, self._removed):
            file.close()
        _linkage(self.folder)
        deliveries = CsvFile(self.folder / "deliveries.csv", _DELIVERIES)
        for night, *rest in sorted(set(self._deliveries)):
            deliveries.line((str(night), *rest))
        deliveries.close()
        write_json(self.folder / "measures.json", measures)
        write_json(self.folder / "expected.json", self.expected())


def _linkage(folder: Path) -> None:
    """Write ``roster.parquet`` and ``patients.parquet``: who is who, in the columns of ``synth --pairs``."""
    people = pl.scan_csv(folder / "people.csv", infer_schema=False).with_columns(
        pid=pl.col("person_id"),
        hid=pl.col("household_id"),
        sex=pl.when(pl.col("is_girl") == "true").then(pl.lit("F")).otherwise(pl.lit("M")),
        twin=pl.col("twin_of").is_not_null(),
        mover=pl.col("is_mover") == "true",
        double_surname=pl.col("has_double_surname") == "true",
        language=pl.when(pl.col("english_learner") == "true").then(pl.lit("other")).otherwise(pl.lit("en")),
        school=pl.col("school"),
        homeless=pl.col("is_homeless") == "true",
        foster=pl.col("is_foster") == "true",
    )
    records = pl.scan_csv(folder / "records.csv", infer_schema=False).select(
        "person_id", "namespace", "source_id", *_SAID
    )
    written = records.join(people.select("person_id", "pid", "hid", "sex", *GROUPS), on="person_id").rename(
        {"last_name": "surname", "birth_date": "dob", "zip_code": "zip", "street": "address"}
    )
    for namespace, name in (("student", "roster"), ("patient", "patients")):
        rows = written.filter(pl.col("namespace") == namespace).with_columns(
            unique_id=pl.format("{}:{}", "namespace", "source_id")
        )
        rows.sort("unique_id").select(*COLUMNS, *GROUPS).sink_parquet(folder / f"{name}.parquet")


def _totals(resources: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    by_resource: dict[str, dict[str, int]] = {
        name: dict(sorted(c.items())) for name, c in sorted(resources.items())
    }
    removed: dict[str, int] = defaultdict(int)
    for counts in by_resource.values():
        for what, rows in counts.items():
            if what.startswith("removed "):
                removed[what.removeprefix("removed ")] += rows
    return {
        **{
            what: sum(c.get(what, 0) for c in by_resource.values()) for what in ("read", "held", "held_whole")
        },
        "removed": sum(removed.values()),
        "removed_by_rule": dict(sorted(removed.items())),
        "resources": by_resource,
    }


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file with sorted keys, for people to read too."""
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")
