"""The community partners' CSV files: case management, out-of-school time, telehealth, needs, police notices.

Children of the clinic pathway get no case-management service, so that a positive screen's first service is
in the
clinic's own feed and a record that cannot be linked moves no measure.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from wellbridge.pipelines.synth.columns import (
    choice,
    draw,
    iso,
    night_column,
    numbered,
    repeat,
    text,
)
from wellbridge.pipelines.synth.district import FIRST_DAY, Plan, quota
from wellbridge.pipelines.synth.measures import SERVICE_CATEGORIES
from wellbridge.pipelines.synth.partner_files import (
    CASES,
    NEEDS,
    OST_ATTENDANCE,
    OST_ENROLMENT,
    REENTRY,
    SERVICES,
    TELEHEALTH,
    TIERS,
)
from wellbridge.pipelines.synth.stream import Stream
from wellbridge.pipelines.synth.truth import Truth


class Partners:
    """Writes the streams of the partners that know the student number."""

    def __init__(self, plan: Plan, truth: Truth) -> None:
        self.plan, self.truth = plan, truth
        layouts = (CASES, TIERS, SERVICES, REENTRY, OST_ENROLMENT, OST_ATTENDANCE, TELEHEALTH, NEEDS)
        self.streams = {
            f"{layout.feed}/{layout.stem}": Stream(plan, truth, layout, late=layout is OST_ATTENDANCE)
            for layout in layouts
        }
        if plan.nights > 1:
            name = self.streams["out_of_school/attendance"].files[1].path.name
            truth.delivery(2, "out_of_school", name, "", "late: belongs to the first night")

    def block(self, people: pl.DataFrame, block: int) -> dict[str, pl.DataFrame]:
        """Write a block's rows of every stream; return the events that measures count."""
        steady = people.filter(pl.col("from_night") == 1)
        rng = self.plan.rng(block, "partners")
        services = self._services(steady, rng, block)
        sessions = self._telehealth(steady, rng, block)
        self._cases(steady, rng, block)
        self._needs(steady, rng, block)
        enrolment, hours = self._out_of_school(steady, rng, block)
        return {
            "encounters": pl.concat([services, sessions]),
            "tiers": self._tiers(steady, rng, block),
            "reentry": self._reentry(steady, rng, block),
            "ost_enrolment": enrolment,
            "ost_hours": hours,
        }

    def _write(self, stream: str, frame: pl.DataFrame, block: int) -> pl.DataFrame:
        """Write a frame with a ``night`` column, each night to its file; return all rows with ``kept``."""
        parts = [
            self.streams[stream].put(night, frame.filter(pl.col("night") == night), block)
            for night in range(1, self.plan.nights + 1)
        ]
        return pl.concat(parts)

    def _dated(self, frame: pl.DataFrame, column: str) -> pl.DataFrame:
        """Add the night that delivers each row by its date; drop what lies after the last night."""
        return frame.with_columns(night=night_column(self.plan, column)).filter(
            pl.col("night") <= self.plan.nights
        )

    def _services(self, people: pl.DataFrame, rng: np.random.Generator, block: int) -> pl.DataFrame:
        able = people.filter(pl.col("pathway") != "fhir")
        chosen = pl.concat([draw(able, rng, 0.12, 40), able.filter("is_homeless").gather_every(2)]).unique(
            "index", keep="first", maintain_order=True
        )
        visits = repeat(chosen, rng.integers(1, 9, chosen.height))
        count = visits.height
        frame = visits.with_columns(
            service_id=numbered("SV", block, count),
            student_id="student_number",
            service_day=self._school_day(rng, count),
            minutes=pl.Series(rng.integers(2, 13, count) * 5, dtype=pl.Int64),
            category=choice(rng, SERVICE_CATEGORIES, count),
            modality=choice(rng, ("in_person", "in_person", "phone", "video"), count),
            provider=choice(rng, ("Bright Path", "Harbor Youth", "CIS of the Coast", "Casa, Inc."), count),
        )
        frame = self._dated(frame, "service_day").with_columns(service_date=iso("service_day"))
        out = self._write("case_management/services", text(frame, SERVICES), block)
        return out.select(
            "index", pl.col("service_day").alias("day"), pl.col("minutes").cast(pl.Int64), "category", "kept"
        )

    def _school_day(self, rng: np.random.Generator, count: int) -> pl.Series:
        return pl.Series(self.plan.days, dtype=pl.Date).gather(rng.integers(0, len(self.plan.days), count))

    def _cases(self, people: pl.DataFrame, rng: np.random.Generator, block: int) -> None:
        chosen = draw(people, rng, 0.08, 24)
        count = chosen.height
        opened = self._school_day(rng, count)
        closed = pl.Series(opened.to_numpy() + rng.integers(3, 30, count).astype("timedelta64[D]")).cast(
            pl.Date
        )
        closes = pl.Series(rng.random(count) < 0.5) & (closed <= self.plan.night_days[0])
        frame = chosen.with_columns(
            student_id="student_number",
            case_id=numbered("CP", block, count),
            opened=opened,
            closed=closed,
            goal_domain=choice(
                rng, ("academic", "attendance", "behavior", "basic_needs", "mental_health", "family"), count
            ),
            agency=choice(rng, ("Bright Path", "Harbor Youth", "CIS of the Coast"), count),
        ).with_columns(
            opened_date=iso("opened"),
            closed_date=pl.when(closes).then(iso("closed")),
            status=pl.when(closes).then(pl.lit("closed")).otherwise(pl.lit("open")),
        )
        self._write("case_management/cases", text(self._dated(frame, "opened"), CASES), block)

    def _tiers(self, people: pl.DataFrame, rng: np.random.Generator, block: int) -> pl.DataFrame:
        """Tier 2 or 3 from some day on; half of them move later, delivered with the end of the first."""
        chosen = draw(people, rng, 0.18, 40)
        count = chosen.height
        begin = np.array([np.datetime64(FIRST_DAY)]) + rng.integers(0, 20, count).astype("timedelta64[D]")
        change = begin + rng.integers(14, 30, count).astype("timedelta64[D]")
        first, second = (
            rng.choice([2, 3], count, p=[0.7, 0.3]),
            rng.choice([1, 2, 3], count, p=[0.5, 0.3, 0.2]),
        )
        base = chosen.with_columns(
            student_id="student_number",
            begin=pl.Series(begin).cast(pl.Date),
            change=pl.Series(change).cast(pl.Date),
            first=pl.Series(first, dtype=pl.Int64),
            second=pl.Series(np.where(second == first, first - 1, second)),
            moves=pl.Series(rng.random(count) < 0.5),
            reason=choice(rng, ("screening", "attendance", "behavior", "teacher_referral"), count),
            provider_side=choice(rng, ("school", "school", "community"), count),
        )
        frame = self._tier_rows(base)
        out = self._write("case_management/tiers", text(frame, TIERS), block)
        return out.select("index", pl.col("tier").cast(pl.Int64), "start", "end", "night", "kept")

    def _tier_rows(self, base: pl.DataFrame) -> pl.DataFrame:
        changed = base.with_columns(change_night=night_column(self.plan, "change")).filter(
            "moves", pl.col("change_night") <= self.plan.nights
        )
        opening = base.with_columns(tier="first", start="begin", end=pl.lit(None, dtype=pl.Date), night=1)
        ended = changed.with_columns(tier="first", start="begin", end="change", night="change_night")
        following = changed.with_columns(
            tier="second",
            start="change",
            end=pl.lit(None, dtype=pl.Date),
            night="change_night",
            reason=pl.when(pl.col("second") == 1).then(pl.lit("exit")).otherwise("reason"),
        )
        rows = pl.concat([opening, ended, following], how="diagonal_relaxed")
        last = rows.unique(["index", "start", "night"], keep="last", maintain_order=True)
        return last.with_columns(start_date=iso("start"), end_date=iso("end"))

    def _reentry(self, people: pl.DataFrame, rng: np.random.Generator, block: int) -> pl.DataFrame:
        chosen = draw(people, rng, 0.015, 10)
        count = chosen.height
        discharged = self._school_day(rng, count)
        meeting = pl.Series(discharged.to_numpy() + rng.integers(0, 10, count).astype("timedelta64[D]")).cast(
            pl.Date
        )
        base = chosen.with_columns(
            plan_id=numbered("RP", block, count),
            student_id="student_number",
            discharge=discharged,
            met=meeting,
        )
        base = self._dated(base, "discharge").with_columns(met_night=night_column(self.plan, "met"))
        early = pl.when(pl.col("met_night") <= pl.col("night")).then("met")
        later = base.filter(pl.col("met_night") > pl.col("night"), pl.col("met_night") <= self.plan.nights)
        rows = pl.concat(
            [base.with_columns(meeting=early), later.with_columns(meeting="met", night="met_night")]
        )
        frame = rows.with_columns(
            discharge_date=iso("discharge"),
            meeting_date=iso("meeting"),
            is_fixed=pl.col("plan_id").is_in(later["plan_id"].implode()),
        )
        out = self._write("case_management/reentry", text(frame, REENTRY), block)
        return out.select("plan_id", "discharge", "meeting", "night", "kept")

    def _out_of_school(
        self, people: pl.DataFrame, rng: np.random.Generator, block: int
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        chosen = draw(people, rng, 0.15, 40)
        count = chosen.height
        base = chosen.with_columns(
            student_id="student_number",
            program_code=choice(rng, ("21C-A", "21C-B", "CLUB-1", "MENTOR-2"), count),
            school_id="S" + pl.col("school").cast(pl.String).str.zfill(2),
            start_date=pl.lit(str(FIRST_DAY)),
            end_date=pl.lit(None, dtype=pl.String),
            night=1,
            is_fixed=pl.lit(value=True),
            share=pl.Series(rng.beta(1.1, 1.6, count)),
        )
        # The second enrolments may be spoilt: their children stay enrolled by the first.
        second = base.gather_every(5).with_columns(
            program_code=pl.lit("SUMMER-9"), is_fixed=pl.lit(value=False), end_date=pl.lit("2026-12-18")
        )
        enrolled = self._write(
            "out_of_school/enrolment", text(pl.concat([base, second]), OST_ENROLMENT), block
        )
        return enrolled.select("index", "kept"), self._ost_hours(base.drop("is_fixed", "night"), rng, block)

    def _ost_hours(self, base: pl.DataFrame, rng: np.random.Generator, block: int) -> pl.DataFrame:
        days = self.plan.days
        row, column = np.nonzero(rng.random((base.height, len(days))) < base["share"].to_numpy()[:, None])
        frame = base[row].with_columns(
            day=pl.Series(days, dtype=pl.Date).gather(column),
            halves=pl.Series(rng.integers(1, 6, len(row)), dtype=pl.Int64),
            activity=choice(rng, ("academic", "arts", "sports", "service_learning", "mentoring"), len(row)),
        )
        frame = self._dated(frame, "day").with_columns(
            date=iso("day"), hours=(pl.col("halves") / 2).cast(pl.String)
        )
        out = self._write("out_of_school/attendance", text(frame, OST_ATTENDANCE), block)
        return out.select("index", "halves", "kept")

    def _telehealth(self, people: pl.DataFrame, rng: np.random.Generator, block: int) -> pl.DataFrame:
        chosen = people.filter(pl.col("pathway") == "telehealth")
        count = chosen.height
        referred = self._school_day(rng, count)
        session = pl.Series(referred.to_numpy() + rng.integers(2, 21, count).astype("timedelta64[D]")).cast(
            pl.Date
        )
        base = chosen.with_columns(
            referral_id=numbered("TC", block, count),
            student_id="student_number",
            birth=pl.col("birth_date"),
            reason=choice(rng, ("anxiety", "depression", "behavior", "trauma", "other"), count),
            referred=referred,
            session=session,
            minutes=pl.Series(rng.integers(3, 11, count) * 5, dtype=pl.Int64),
            declines=pl.Series(rng.random(count) < 0.15),
        )
        rows = _referral_rows(self.plan, self._dated(base, "referred"))
        out = self._write("telehealth/referrals", text(rows, TELEHEALTH), block)
        held = out.filter(pl.col("first_session_date").is_not_null())
        return held.select(
            "index", pl.col("session").alias("day"), "minutes", pl.lit("telehealth").alias("category"), "kept"
        )

    def _needs(self, people: pl.DataFrame, rng: np.random.Generator, block: int) -> None:
        answers = repeat(draw(people, rng, 0.1, 24), rng.integers(1, 4, quota(people.height, 0.1, 24)))
        count = answers.height
        frame = answers.with_columns(
            assessment_id=numbered("NA", block, count),
            student_id="student_number",
            day=self._school_day(rng, count),
            level=pl.Series(rng.integers(0, 4, count)),
            domain=choice(rng, ("food", "housing", "health", "mental_health", "safety", "academic"), count),
            is_met=choice(rng, ("yes", "no"), count),
        )
        frame = self._dated(frame, "day").with_columns(date=iso("day"))
        self._write("needs_assessment/answers", text(frame, NEEDS), block)

    def close(self) -> None:
        """End the files and write their sidecars."""
        for stream in self.streams.values():
            stream.close()


def _referral_rows(plan: Plan, base: pl.DataFrame) -> pl.DataFrame:
    """A referral's row on its night, and again on the night of its first session."""
    base = base.with_columns(session_night=night_column(plan, "session"), birth_date=iso("birth"))
    served = ~pl.col("declines") & (pl.col("session_night") <= plan.nights)
    nothing = pl.lit(None, dtype=pl.String)
    opening = base.filter(~served | (pl.col("session_night") > pl.col("night"))).with_columns(
        status=pl.when("declines").then(pl.lit("declined")).otherwise(pl.lit("referred")),
        status_date=iso("referred"),
        first_session_date=nothing,
        session_minutes=nothing,
        is_fixed=served,
    )
    session = base.filter(served).with_columns(
        night=pl.max_horizontal("night", "session_night"),
        status=pl.lit("in_service"),
        status_date=iso("session"),
        first_session_date=iso("session"),
        session_minutes=pl.col("minutes").cast(pl.String),
        is_fixed=pl.lit(value=False),
    )
    return pl.concat([opening, session]).with_columns(referred_date=iso("referred"))
