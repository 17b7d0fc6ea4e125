"""Police notices, staff training, families' opt-outs, and deliveries that are wrong as a whole."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import numpy as np
import polars as pl

from wellbridge.pipelines.synth.clinic import recent_day
from wellbridge.pipelines.synth.columns import draw
from wellbridge.pipelines.synth.district import Plan
from wellbridge.pipelines.synth.known import known
from wellbridge.pipelines.synth.oneroster import staff_of
from wellbridge.pipelines.synth.partner_files import NEEDS, REENTRY, TIERS
from wellbridge.pipelines.synth.people import never_rostered
from wellbridge.pipelines.synth.stream import Flaw, Layout, Stream
from wellbridge.pipelines.synth.truth import Truth
from wellbridge.pipelines.synth.writing import CsvFile, first_half, sidecar

TOPICS: Final = (
    "youth_mental_health_first_aid",
    "trauma_informed",
    "suicide_prevention",
    "restorative_practice",
    "cultural_responsiveness",
)
NOTICES: Final = Layout(
    "handle_with_care",
    "notices",
    (
        "notice_id",
        "first_name",
        "last_name",
        "birth_date",
        "school_id",
        "notice_time",
        "response_time",
        "response_kind",
    ),
    (
        Flaw("WB-R-011", "notice_time", "yesterday noon"),
        Flaw("WB-R-032", "response_time", "2026-08-01T08:00:00-05:00", where="response_time"),
        Flaw("WB-R-020", "response_kind", "hug"),
        Flaw("WB-R-010", "last_name", ""),
    ),
)
OPT_OUTS: Final = Layout(
    "sis",
    "optout",
    ("student_id", "scope", "effective_date", "withdrawn_date"),
    (
        Flaw("WB-R-020", "scope", "friends"),
        Flaw("WB-R-032", "withdrawn_date", "2026-07-01"),
        Flaw("WB-R-031", "student_id", how="stranger", salt=7),
    ),
    has_sidecar=False,
    is_partner=False,
)
TRAINING: Final = Layout(
    "staff_training",
    "sessions",
    ("staff_id", "session_id", "session_date", "topic", "hours", "ceus"),
    (
        Flaw("WB-R-012", "hours", "half a day"),
        Flaw("WB-R-020", "topic", "knitting"),
        Flaw("WB-R-021", "hours", "500"),
        Flaw("WB-R-033", "session_date", "2026-06-05"),
        Flaw("WB-R-001", how="ragged"),
    ),
    is_range=True,
    is_partner=False,
)
_ZONE: Final = timezone(timedelta(hours=-5))
_LAST_NOTICE: Final = 1  # a notice is sent to the district the day after


class Notices:
    """Handle with Care notices; the first night's file breaks off and comes whole in the second."""

    def __init__(self, plan: Plan, truth: Truth) -> None:
        self.plan, self.truth = plan, truth
        self.stream = Stream(plan, truth, NOTICES, late=True)

    def block(self, people: pl.DataFrame, block: int) -> pl.DataFrame:
        """Write a block's notices; return them for the measures."""
        rng = self.plan.rng(block, "notices")
        rows = [
            self._notice(rng, person, f"HW{block:03d}{number:05d}")
            for number, person in enumerate(
                draw(people.filter(pl.col("from_night") == 1), rng, 0.015, 12).iter_rows(named=True)
            )
        ]
        frame = pl.DataFrame(rows, infer_schema_length=None)
        parts = [
            self.stream.put(night, frame.filter(pl.col("night") == night), block)
            for night in range(1, self.plan.nights + 1)
        ]
        return pl.concat(parts).select("day", pl.col("minutes").cast(pl.Int64), "kept")

    def _notice(self, rng: np.random.Generator, person: dict[str, Any], number: str) -> dict[str, Any]:
        day = min(recent_day(self.plan, rng), self.plan.as_of - timedelta(days=_LAST_NOTICE))
        night = self.plan.night_of(day + timedelta(days=_LAST_NOTICE))
        told = datetime(
            day.year, day.month, day.day, int(rng.integers(8, 17)), int(rng.integers(0, 60)), tzinfo=_ZONE
        )
        minutes: int | None = (
            int(rng.integers(20, 600)) if rng.random() < 0.7 else int(rng.integers(600, 3000))
        )
        answered = told + timedelta(minutes=minutes or 0)
        if answered.date() > self.plan.night_days[night - 1] or rng.random() < 0.08:
            minutes = None
        said = known(rng, person)
        self.truth.record(
            person["person_id"],
            "handle_with_care",
            "client",
            number,
            replace(said, street="", zip_code="", phone=""),
        )
        kinds = ("check_in", "counselor", "monitor")
        return {
            "notice_id": number,
            "first_name": said.first_name,
            "last_name": said.last_name,
            "birth_date": said.birth_date.isoformat(),
            "school_id": f"S{person['school']:02d}",
            "notice_time": told.isoformat(),
            "response_time": answered.isoformat() if minutes is not None else "",
            "response_kind": kinds[int(rng.integers(0, 3))] if minutes is not None else "none",
            "opt_out": person["opt_out"],
            "night": night,
            "day": day,
            "minutes": minutes,
        }

    def close(self) -> None:
        """End the files; leave the first one's beginning in the night before it arrives."""
        self.stream.close()
        if self.plan.nights > 1:
            whole = self.stream.files[1].path
            part = self.plan.folder(1, "handle_with_care") / whole.name
            first_half(whole, part)
            sidecar(part, of=whole)
            self.truth.delivery(
                1, "handle_with_care", whole.name, "WB-D-002", "half-written; whole in the second night"
            )


class OptOuts:
    """The families' choices, all in force before the school year; some were withdrawn before it."""

    def __init__(self, plan: Plan, truth: Truth) -> None:
        self.plan = plan
        self.stream = Stream(plan, truth, OPT_OUTS)

    def block(self, people: pl.DataFrame, block: int) -> None:
        """Write a block's opt-outs; only withdrawn ones are spoilt, which change nothing either way."""
        chosen = people.filter(pl.col("opt_out") != "")
        former = people.filter(pl.col("opt_out") == "").head(
            2 + 4 * len(OPT_OUTS.flaws) * self.plan.defects(block)
        )
        self._put(
            pl.concat(
                [
                    chosen.with_columns(
                        scope="opt_out", withdrawn_date=pl.lit(""), is_fixed=pl.lit(value=True)
                    ),
                    former.with_columns(
                        scope=pl.lit("partners"),
                        withdrawn_date=pl.lit("2026-08-10"),
                        is_fixed=pl.lit(value=False),
                    ),
                ]
            ),
            block,
        )

    def _put(self, frame: pl.DataFrame, block: int) -> None:
        rows = frame.with_columns(student_id="student_number", effective_date=pl.lit("2026-08-01"))
        self.stream.put(1, rows.drop("opt_out"), block)

    def close(self) -> None:
        """End the files."""
        self.stream.close()


class Training:
    """Staff training: the history is restated in the second night, whose own file has a column renamed."""

    def __init__(self, plan: Plan, truth: Truth) -> None:
        self.plan, self.truth = plan, truth
        # A restated file has no defects: the rows that it replaces would be held twice over.
        self.stream = Stream(plan, truth, TRAINING if plan.nights == 1 else _plain(TRAINING))
        if plan.nights > 1:
            self.stream.drift(2, "ceus", "ceu_credits")

    def write(self) -> pl.DataFrame:
        """Write all sessions; return them for the measures."""
        frame = self._sessions()
        parts = []
        for night in range(1, self.plan.nights + 1):
            tonight = frame.filter(pl.col("night") == night)
            restated = night == 1 and self.plan.nights > 1
            first = _first_said(tonight) if restated else tonight
            parts.append(self.stream.put(night, first, 0))
            if restated:
                self._restate(tonight)
        return pl.concat(parts).select(pl.col("staff_id").alias("staff"), "topic", "halves", "kept")

    def _sessions(self) -> pl.DataFrame:
        rng, rows = self.plan.rng(0, "training"), []
        for number in staff_of(self.plan)["identifier"]:
            for topic in rng.permutation(len(TOPICS))[
                : int(rng.choice([0, 1, 2, 3], p=[0.35, 0.35, 0.2, 0.1]))
            ]:
                at = int(rng.integers(0, len(self.plan.days)))
                halves = 2 + (int(topic) * 5 + at) % 13
                rows.append((number, f"TS-{topic}-{at:03d}", self.plan.days[at], TOPICS[topic], halves))
        frame = pl.DataFrame(
            rows,
            orient="row",
            schema={
                "staff_id": pl.String,
                "session_id": pl.String,
                "day": pl.Date,
                "topic": pl.String,
                "halves": pl.Int64,
            },
        )
        nights = [self.plan.night_of(day) for day in frame["day"]]
        return frame.with_columns(
            night=pl.Series(nights, dtype=pl.Int64),
            session_date=pl.col("day").cast(pl.String),
            hours=(pl.col("halves") / 2).cast(pl.String),
            ceus=(pl.col("halves") / 20).round(2).cast(pl.String),
        )

    def _restate(self, rows: pl.DataFrame) -> None:
        name = TRAINING.name(self.plan.stamp(1, is_range=True) + "_r2")
        self.truth.delivery(2, "staff_training", name, "", "restates the first night's file")
        file = CsvFile(self.plan.folder(2, "staff_training") / name, TRAINING.header)
        file.rows(rows)
        file.close()
        sidecar(file.path)
        self.truth.count("staff_training", "sessions", "read", rows.height)

    def close(self) -> None:
        """End the files."""
        self.stream.close()


def _first_said(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows as first sent: every fifth with too few hours."""
    is_wrong = pl.int_range(pl.len()) % 5 == 0
    return rows.with_columns(hours=pl.when(is_wrong).then(pl.lit("0.5")).otherwise("hours"))


def _plain(layout: Layout) -> Layout:
    return Layout(
        layout.feed, layout.stem, layout.header, is_range=layout.is_range, is_partner=layout.is_partner
    )


def odd_deliveries(plan: Plan, truth: Truth) -> None:
    """Write what is wrong as a whole: a file in another encoding, an empty one, and one sent twice."""
    name = NEEDS.name(plan.day_before.isoformat())
    path = plan.folder(1, "needs_assessment") / name
    rows = [",".join(NEEDS.header), f"NA-OLD-1,{never_rostered(1, 60)[0]},{plan.day_before},food,2,no"]
    path.write_text("\n".join(rows) + "\n", encoding="utf-16")
    sidecar(path)
    truth.count("needs_assessment", "answers", "held_whole", 1)
    truth.delivery(1, "needs_assessment", name, "WB-D-004", "UTF-16 where UTF-8 was agreed")
    _empty(plan, truth, min(2, plan.nights))
    if plan.nights > 1:
        name = TIERS.name(plan.day(1))
        sent = plan.folder(1, "case_management") / name
        for suffix in ("", ".done"):
            shutil.copyfile(f"{sent}{suffix}", plan.folder(2, "case_management") / f"{name}{suffix}")
        truth.delivery(2, "case_management", name, "", "the first night's file again, byte for byte")


def _empty(plan: Plan, truth: Truth, night: int) -> None:
    name = REENTRY.name(plan.day_before.isoformat())
    path = plan.folder(night, "case_management") / name
    path.write_bytes(b"")
    sidecar(path)
    truth.delivery(night, "case_management", name, "WB-D-001", "empty")
