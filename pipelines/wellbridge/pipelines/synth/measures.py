"""The true value of every measure, summed block by block.

Each measure is computed twice by the same code: ``value`` over all that truly happened, ``delivered`` over
the
rows that no rule holds or removes, which is what a correct run must arrive at. Every event of a person is
made in
the person's own block, so sums are enough and no person is kept.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from wellbridge.pipelines.synth.district import Plan

Events = dict[str, pl.DataFrame]

SERVICE_CATEGORIES: Final = (
    "counseling",
    "mentoring",
    "basic_needs",
    "family_support",
    "tutoring",
    "case_management",
)
POSITIVE_FROM: Final = 11  # PHQ-9/PHQ-A (Richardson 2010) and GAD-7 (Mossman 2017), adolescents
PHQ: Final = ("PHQ-9", "PHQ-A")
SIDES: Final = ("value", "delivered")

COLUMNS: Final[dict[str, pl.Schema]] = {
    "attendance": pl.Schema({"index": pl.Int64, "days": pl.Int64, "halves": pl.Int64, "side": pl.String}),
    "discipline": pl.Schema({"index": pl.Int64, "is_exclusionary": pl.Boolean, "kept": pl.Boolean}),
    "tiers": pl.Schema(
        {
            "index": pl.Int64,
            "tier": pl.Int64,
            "start": pl.Date,
            "end": pl.Date,
            "night": pl.Int64,
            "kept": pl.Boolean,
        }
    ),
    "screens": pl.Schema(
        {"index": pl.Int64, "day": pl.Date, "instrument": pl.String, "score": pl.Int64, "kept": pl.Boolean}
    ),
    "referrals": pl.Schema({"index": pl.Int64, "day": pl.Date, "kept": pl.Boolean}),
    "encounters": pl.Schema(
        {"index": pl.Int64, "day": pl.Date, "minutes": pl.Int64, "category": pl.String, "kept": pl.Boolean}
    ),
    "homeless": pl.Schema({"index": pl.Int64, "kept": pl.Boolean}),
    "ost_enrolment": pl.Schema({"index": pl.Int64, "kept": pl.Boolean}),
    "ost_hours": pl.Schema({"index": pl.Int64, "halves": pl.Int64, "kept": pl.Boolean}),
    "reentry": pl.Schema(
        {
            "plan_id": pl.String,
            "discharge": pl.Date,
            "meeting": pl.Date,
            "night": pl.Int64,
            "kept": pl.Boolean,
        }
    ),
    "notices": pl.Schema({"day": pl.Date, "minutes": pl.Int64, "kept": pl.Boolean}),
    "training": pl.Schema({"staff": pl.String, "topic": pl.String, "halves": pl.Int64, "kept": pl.Boolean}),
}


def no_events() -> Events:
    """Return empty frames of every kind of event."""
    return {name: pl.DataFrame(schema=schema) for name, schema in COLUMNS.items()}


class Tally:
    """Numerators and denominators of all measures, by side, measure and member ("" for the district)."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._sums: dict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])

    def add(self, side: str, measure: str, numerator: float, denominator: float, member: str = "") -> None:
        """Add to one measure."""
        sums = self._sums[side, measure, member]
        sums[0] += numerator
        sums[1] += denominator

    def block(self, people: pl.DataFrame, events: Events) -> None:
        """Add the children of a block and all that happened to them."""
        students = people.filter(pl.col("to_night") == self.plan.nights)
        for side in SIDES:
            seen = {name: _side(frame, side) for name, frame in {**no_events(), **events}.items()}
            self._school(side, students, seen)
            self._tiers(side, students, seen["tiers"])
            self._clinic(side, seen)
            self._services(side, seen)
            self._plans(side, seen)

    def staff(self, members: int, training: pl.DataFrame, topics: tuple[str, ...]) -> None:
        """Add the staff and their training."""
        for side in SIDES:
            seen = _side(training, side)
            self.add(side, "staff_trained", seen["staff"].n_unique(), members)
            for topic in topics:
                about = seen.filter(pl.col("topic") == topic)
                self.add(side, "staff_trained", about["staff"].n_unique(), members, topic)
                self.add(side, "training_hours", int(about["halves"].sum()) / 2, members, topic)
            self.add(side, "training_hours", int(seen["halves"].sum()) / 2, members)

    def _school(self, side: str, students: pl.DataFrame, seen: Events) -> None:
        sums = seen["attendance"].group_by("index", maintain_order=True).agg(pl.col("days", "halves").sum())
        attended = students.join(sums, on="index").filter(pl.col("days") >= 20)
        # at least 10 % of days: halves / 2 >= days / 10
        chronic = attended.with_columns(hit=pl.col("halves") * 5 >= pl.col("days"))
        excluded = seen["discipline"].filter("is_exclusionary")["index"].unique()
        disciplined = students.with_columns(hit=pl.col("index").is_in(excluded.implode()))
        for measure, frame in (("chronic_absence", chronic), ("exclusionary_discipline", disciplined)):
            self.add(side, measure, int(frame["hit"].sum()), frame.height)
            for school, hits, size in (
                frame.group_by("final_school", maintain_order=True)
                .agg(pl.col("hit").sum(), pl.len())
                .iter_rows()
            ):
                self.add(side, measure, hits, size, f"S{school:02d}")

    def _tiers(self, side: str, students: pl.DataFrame, tiers: pl.DataFrame) -> None:
        as_of = self.plan.as_of
        last = tiers.sort("night").unique(["index", "start"], keep="last").sort("index", "start")
        mine = last.filter(pl.col("index").is_in(students["index"].implode()))
        current = mine.filter(
            (pl.col("start") <= as_of) & (pl.col("end").is_null() | (pl.col("end") > as_of))
        )
        current = current.unique("index", keep="last", maintain_order=True)
        for tier in (2, 3):
            self.add(
                side,
                "tier_students",
                current.filter(pl.col("tier") == tier).height,
                students.height,
                str(tier),
            )
        supported = current.filter(pl.col("tier") > 1).height
        self.add(side, "tier_students", supported, students.height)
        at_tier_1 = students.height - supported
        self.add(side, "tier_students", at_tier_1, students.height, "1")
        moved = mine.group_by("index").agg(
            pl.col("tier").first().alias("a"), pl.col("tier").last().alias("b"), pl.len()
        )
        moved = moved.filter(pl.col("len") >= 2)
        self.add(side, "tier_movement", moved.filter(pl.col("b") < pl.col("a")).height, moved.height)

    def _clinic(self, side: str, seen: Events) -> None:
        screens = seen["screens"].with_columns(positive=pl.col("score") >= POSITIVE_FROM)
        persons = screens.group_by("index").agg(pl.col("positive").any())
        self.add(side, "positive_screen_rate", int(persons["positive"].sum()), persons.height)
        numerator, denominator = _closed_loop(screens, seen, self.plan.as_of)
        self.add(side, "screen_to_service_30", numerator, denominator)
        course = _course(screens)
        self.add(
            side, "phq9_response", course.filter(pl.col("last") * 2 <= pl.col("first")).height, course.height
        )
        self.add(side, "phq9_remission", course.filter(pl.col("last") < 5).height, course.height)

    def _services(self, side: str, seen: Events) -> None:
        counted = seen["encounters"].filter(pl.col("category").is_in(SERVICE_CATEGORIES))
        self.add(side, "service_minutes", int(counted["minutes"].sum()), counted["index"].n_unique())
        homeless = seen["homeless"].unique("index")
        served = homeless.filter(pl.col("index").is_in(counted["index"].implode()))
        self.add(side, "homeless_served", served.height, homeless.height)
        enrolled = seen["ost_enrolment"].select("index").unique()
        hours = seen["ost_hours"].group_by("index").agg(pl.col("halves").sum())
        both = enrolled.join(hours, on="index", how="left").with_columns(pl.col("halves").fill_null(0))
        self.add(side, "ost_regular", both.filter(pl.col("halves") >= 30).height, both.height)
        self.add(side, "ost_hours", int(both["halves"].sum()) / 2, both.height)

    def _plans(self, side: str, seen: Events) -> None:
        as_of = self.plan.as_of
        plans = seen["reentry"].sort("night").unique("plan_id", keep="last")
        due = plans.filter(pl.col("discharge") <= as_of - timedelta(days=5))
        timely = due.filter(pl.col("meeting") <= pl.col("discharge") + pl.duration(days=5))
        self.add(side, "reentry_timely", timely.height, due.height)
        notices = seen["notices"].filter(pl.col("day") <= as_of - timedelta(days=1))
        responded = notices.filter(pl.col("minutes").is_not_null())
        within = responded.filter(pl.col("minutes") <= 24 * 60).height
        self.add(side, "hwc_within_day", within, notices.height)
        self.add(side, "hwc_response_hours", int(responded["minutes"].sum()) / 60, responded.height)

    def result(self) -> dict[str, Any]:
        """Return the measures: value, numerator, denominator, the same delivered, and by school or member."""
        out: dict[str, Any] = {}
        for (side, measure, member), (numerator, denominator) in sorted(self._sums.items()):
            entry = out.setdefault(measure, {"delivered": {}})
            whole = entry if side == "value" else entry["delivered"]
            part = {
                "numerator": numerator,
                "denominator": denominator,
                "value": numerator / denominator if denominator else None,
            }
            if member == "":
                whole.update(part)
            elif member.startswith("S") and side == "delivered":
                entry.setdefault("by_school", {})[member] = part
            elif not member.startswith("S"):
                whole.setdefault("members", {})[member] = part
        return out


def _side(frame: pl.DataFrame, side: str) -> pl.DataFrame:
    if "side" in frame.columns:
        return frame.filter(pl.col("side") == side)
    return frame.filter("kept") if side == "delivered" else frame


def _closed_loop(screens: pl.DataFrame, seen: Events, as_of: date) -> tuple[int, int]:
    """Positive screens at least 30 days old: those referred and then served within 30 days, and all."""
    due = screens.filter("positive", pl.col("day") <= as_of - timedelta(days=30)).with_row_index("screen")
    until = pl.col("day") + pl.duration(days=30)
    referred = due.join(seen["referrals"].select("index", referred="day"), on="index").filter(
        pl.col("referred").is_between(pl.col("day"), until)
    )
    served = referred.join(seen["encounters"].select("index", served="day"), on="index").filter(
        pl.col("served").is_between(pl.col("referred"), until)
    )
    return served["screen"].n_unique(), due.height


def _course(screens: pl.DataFrame) -> pl.DataFrame:
    """First and last PHQ score of the persons with a first score of 10 or more and a score 28 days later."""
    phq = screens.filter(pl.col("instrument").is_in(PHQ)).sort("index", "day")
    course = phq.group_by("index", maintain_order=True).agg(
        first=pl.col("score").first(),
        last=pl.col("score").last(),
        days=(pl.col("day").last() - pl.col("day").first()).dt.total_days(),
    )
    return course.filter((pl.col("first") >= 10) & (pl.col("days") >= 28))
