from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.warehouse_memory import empty_warehouse, insert
from wellbridge.etl.store import Store
from wellbridge.pipelines.measures.compute import SCHEMA, compute, compute_one
from wellbridge.pipelines.measures.document import render
from wellbridge.pipelines.measures.measure import PERSON_DIMENSIONS, PILLARS
from wellbridge.pipelines.measures.registry import MEASURES
from wellbridge.pipelines.measures.school_year import bounds, name
from wellbridge.schemas.warehouse import MEASURE_VALUE, METADATA

AS_OF = date(2026, 10, 19)
Rows = dict[str, list[dict[str, Any]]]


def ago(days: int) -> date:
    return AS_OF - timedelta(days=days)


def student(person: str, **values: Any) -> dict[str, Any]:
    row = {
        "person_key": person,
        "valid_from": date(2026, 8, 17),
        "is_current": True,
        "school_id": "S01",
        "grade_band": "K-5",
        "sex": "female",
        "race_ethnicity": "white",
        "disability": False,
        "english_learner": False,
        "economically_disadvantaged": True,
    }
    return row | values


def about(person: str, **values: Any) -> dict[str, Any]:
    return {"person_key": person, "subject_key": f"s-{person}"} | values


def filled(rows: Rows) -> Store:
    store = empty_warehouse()
    for table, content in rows.items():
        insert(store, table, content)
    return store


def cells(
    measure: str, rows: Rows, dimension: str = "all", period: str = "2026-27"
) -> dict[str, tuple[float, float]]:
    """Member → numerator and denominator of one measure's breakdown."""
    with filled(rows) as store:
        frame = compute_one(store, MEASURES[measure], AS_OF)
    found = frame.filter((pl.col("dimension") == dimension) & (pl.col("period") == period))
    return {m: (n, d) for m, n, d in found.select("member", "numerator", "denominator").iter_rows()}


def whole(measure: str, rows: Rows, period: str = "2026-27") -> tuple[float, float] | None:
    return cells(measure, rows, period=period).get("all")


def attended(person: str, days: int, absent: float) -> list[dict[str, Any]]:
    """``days`` school days, of which the first are missed, together ``absent`` days."""
    fractions = [min(1.0, max(0.0, absent - number)) for number in range(days)]
    return [
        about(person, school_id="S01", event_date=ago(60 - number), absent_fraction=fraction)
        for number, fraction in enumerate(fractions)
    ]


# -- chronic absence ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "absent", "expected"),
    [
        (20, 2, (1, 1)),
        (20, 1.5, (0, 1)),
        (30, 3, (1, 1)),
        (29, 2.5, (0, 1)),
        (25, 2.5, (1, 1)),
        (19, 19, None),
    ],
)
def test_chronic_absence_begins_at_exactly_a_tenth_of_at_least_20_days(
    days: int, absent: float, expected: tuple[int, int] | None
):
    assert (
        whole("chronic_absence", {"student": [student("p")], "attendance": attended("p", days, absent)})
        == expected
    )


def test_two_records_of_one_day_are_one_day_at_the_longest_absence():
    twice = [row | {"school_id": "S02", "absent_fraction": 0.0} for row in attended("p", 20, 2)]
    rows = {"student": [student("p")], "attendance": attended("p", 20, 2) + twice}
    assert whole("chronic_absence", rows) == (1, 1)


def test_attendance_of_last_school_year_and_of_former_students_does_not_count():
    former = attended("q", 20, 20)
    last_year = [
        row | {"event_date": row["event_date"] - timedelta(days=365)} for row in attended("p", 20, 20)
    ]
    rows = {"student": [student("p"), student("q", is_current=False)], "attendance": former + last_year}
    assert whole("chronic_absence", rows) is None


# -- tiers -------------------------------------------------------------------------------------------------


def tier(person: str, level: int, start: date, end: date | None = None) -> dict[str, Any]:
    return about(person, tier=level, start_date=start, end_date=end)


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        ([], "1"),
        ([tier("p", 2, ago(10))], "2"),
        ([tier("p", 2, AS_OF)], "2"),
        ([tier("p", 2, ago(-1))], "1"),
        ([tier("p", 2, ago(10), AS_OF)], "1"),
        ([tier("p", 2, ago(10), ago(-1))], "2"),
        ([tier("p", 3, ago(20)), tier("p", 2, ago(10))], "2"),
        ([tier("p", 2, ago(20)), tier("p", 3, ago(10), ago(5))], "2"),
        ([tier("p", 2, ago(10)), tier("p", 3, ago(10)) | {"subject_key": "other"}], "3"),
    ],
)
def test_tier_in_force_is_the_latest_begun_and_not_ended(assignments: list[dict[str, Any]], expected: str):
    found = cells("tier_students", {"student": [student("p")], "tier_assignment": assignments}, "tier")
    assert found == {member: (float(member == expected), 1) for member in "123"}


def test_students_of_tier_2_and_3_are_the_district_value():
    rows = {
        "student": [student(p) for p in "abcd"],
        "tier_assignment": [tier("a", 2, ago(3)), tier("b", 3, ago(3))],
    }
    assert whole("tier_students", rows) == (2, 4)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([3, 2], (1, 1)),
        ([2, 3], (0, 1)),
        ([2, 2], (0, 1)),
        ([2, 3, 1], (1, 1)),
        ([3], None),
    ],
)
def test_movement_compares_the_first_with_the_latest_assignment(
    levels: list[int], expected: tuple[int, int] | None
):
    assignments = [tier("p", level, ago(50 - place)) for place, level in enumerate(levels)]
    assert whole("tier_movement", {"student": [student("p")], "tier_assignment": assignments}) == expected


def test_movement_is_given_by_the_first_tier():
    assignments = [tier("p", 3, ago(9)), tier("p", 2, ago(5)), tier("q", 2, ago(9)), tier("q", 3, ago(5))]
    rows = {"student": [student("p"), student("q")], "tier_assignment": assignments}
    assert cells("tier_movement", rows, "first_tier") == {"2": (0, 1), "3": (1, 1)}


def test_an_assignment_of_last_school_year_is_no_movement():
    rows = {
        "student": [student("p")],
        "tier_assignment": [tier("p", 3, date(2026, 6, 30)), tier("p", 2, ago(5))],
    }
    assert whole("tier_movement", rows) is None


# -- from screen to care -----------------------------------------------------------------------------------


def screen(key: str, day: date, person: str = "p", **values: Any) -> dict[str, Any]:
    return (
        about(person, screening_key=key, event_date=day, instrument="GAD-7", score=12.0, is_positive=True)
        | values
    )


def loop(referred: int | None, served: int | None, screened: int = 40) -> Rows:
    """A positive screen ``screened`` days ago; referral and service so many days after it."""
    rows: Rows = {"screening": [screen("k", ago(screened))]}
    if referred is not None:
        rows["referral"] = [about("p", referral_key="r", event_date=ago(screened - referred))]
    if served is not None:
        rows["service_encounter"] = [
            about("p", encounter_key="e", event_date=ago(screened - served), category="x")
        ]
    return rows


@pytest.mark.parametrize(
    ("referred", "served", "reached"),
    [
        (0, 0, 1),
        (5, 30, 1),
        (30, 30, 1),
        (5, 31, 0),
        (31, 31, 0),
        (5, 4, 0),
        (-1, 3, 0),
        (None, 3, 0),
        (5, None, 0),
    ],
)
def test_care_is_a_referral_then_a_service_within_30_days(
    referred: int | None, served: int | None, reached: int
):
    assert whole("screen_to_service_30", loop(referred, served)) == (reached, 1)


@pytest.mark.parametrize(("screened", "expected"), [(30, (1, 1)), (29, None)])
def test_a_screen_counts_from_its_thirtieth_day(screened: int, expected: tuple[int, int] | None):
    assert whole("screen_to_service_30", loop(1, 2, screened)) == expected


def test_an_earlier_referral_does_not_hide_the_one_after_the_screen():
    rows = loop(3, 9)
    rows["referral"].append(about("p", referral_key="old", event_date=ago(90)))
    assert whole("screen_to_service_30", rows) == (1, 1)


def test_a_service_of_another_child_is_not_care():
    rows = loop(3, 9)
    rows["service_encounter"][0]["person_key"] = "q"
    assert whole("screen_to_service_30", rows) == (0, 1)


def test_a_screen_belongs_to_the_school_year_of_its_date():
    rows = {"screening": [screen("k", date(2026, 6, 30)), screen("l", date(2026, 7, 1))]}
    assert whole("screen_to_service_30", rows, "2025-26") == (0, 1)
    assert whole("screen_to_service_30", rows, "2026-27") == (0, 1)


def test_positive_screen_rate_counts_children_and_not_screens():
    rows = {
        "screening": [
            screen("a", ago(9)),
            screen("b", ago(3)),
            screen("c", ago(3), "q", is_positive=False),
            screen("d", ago(3), "r", is_positive=None),
        ]
    }
    assert whole("positive_screen_rate", rows) == (1, 2)


# -- symptom change ----------------------------------------------------------------------------------------


def course(*scores: tuple[int, float], instrument: str = "PHQ-9") -> Rows:
    """PHQ scores as (days ago, score)."""
    return {
        "screening": [
            screen(f"k{number}", ago(days), instrument=instrument, score=float(score))
            for number, (days, score) in enumerate(scores)
        ]
    }


@pytest.mark.parametrize(
    ("scores", "response", "remission"),
    [
        ([(40, 10), (12, 5)], (1, 1), (0, 1)),
        ([(40, 10), (12, 4)], (1, 1), (1, 1)),
        ([(40, 11), (12, 6)], (0, 1), (0, 1)),
        ([(40, 20), (12, 10)], (1, 1), (0, 1)),
        ([(40, 10), (13, 5)], None, None),
        ([(40, 9), (12, 2)], None, None),
        ([(40, 9), (35, 15), (1, 2)], None, None),
        ([(40, 15), (20, 2), (2, 14)], (0, 1), (0, 1)),
        ([(40, 10)], None, None),
        ([(40, 9), (40, 12), (5, 3), (5, 7)], (0, 1), (0, 1)),
    ],
)
def test_response_is_half_and_remission_below_5_at_28_days_or_later(
    scores: list[tuple[int, float]], response: tuple[int, int] | None, remission: tuple[int, int] | None
):
    assert whole("phq9_response", course(*scores)) == response
    assert whole("phq9_remission", course(*scores)) == remission


def test_phq_a_counts_and_gad_7_does_not():
    assert whole("phq9_response", course((40, 12), (5, 3), instrument="PHQ-A")) == (1, 1)
    assert whole("phq9_response", course((40, 12), (5, 3), instrument="GAD-7")) is None


# -- services, homeless students, out of school ------------------------------------------------------------


def service(
    key: str, person: str, minutes: float, category: str = "tutoring", day: date | None = None
) -> dict[str, Any]:
    return about(person, encounter_key=key, event_date=day or ago(5), minutes=minutes, category=category)


def test_service_minutes_are_of_counted_categories_this_school_year():
    rows = {
        "service_encounter": [
            service("a", "p", 30),
            service("b", "p", 15, "mentoring"),
            service("c", "q", 45),
            service("d", "q", 500, "telehealth"),
            service("e", "r", 60, day=date(2026, 6, 30)),
        ]
    }
    assert whole("service_minutes", rows) == (90, 2)
    assert cells("service_minutes", rows, "category") == {"tutoring": (75, 2), "mentoring": (15, 1)}


@pytest.mark.parametrize(
    ("begin", "end", "counts"),
    [
        (date(2025, 9, 1), date(2026, 6, 30), False),
        (date(2025, 9, 1), date(2026, 7, 1), True),
        (date(2025, 9, 1), None, True),
        (date(2027, 6, 30), None, True),
        (date(2027, 7, 1), None, False),
    ],
)
def test_homeless_participation_must_overlap_the_school_year(begin: date, end: date | None, counts: bool):
    program = about("p", program="homeless", begin_date=begin, end_date=end)
    rows = {"program_participation": [program], "service_encounter": [service("a", "p", 5)]}
    assert whole("homeless_served", rows) == ((1, 1) if counts else None)


def test_another_program_or_an_uncounted_service_does_not_make_a_homeless_child_served():
    rows = {
        "program_participation": [
            about("p", program="homeless", begin_date=ago(50)),
            about("q", program="foster_care", begin_date=ago(50)),
        ],
        "service_encounter": [service("a", "p", 5, "telehealth"), service("b", "q", 5)],
    }
    assert whole("homeless_served", rows) == (0, 1)


@pytest.mark.parametrize(("hours", "regular"), [([7.5, 7.5], 1), ([7.5, 7.4], 0), ([], 0)])
def test_regular_attendance_begins_at_15_hours(hours: list[float], regular: int):
    rows: Rows = {
        "ost_enrollment": [about("p", program_code=code, start_date=ago(40)) for code in ("A", "B")],
        "ost_attendance": [
            about("p", program_code="A", event_date=ago(n), hours=h) for n, h in enumerate(hours)
        ],
    }
    assert whole("ost_regular", rows) == (regular, 1)
    assert whole("ost_hours", rows) == (pytest.approx(sum(hours)), 1)


def test_hours_of_a_child_who_is_not_enrolled_do_not_count():
    rows = {
        "ost_enrollment": [about("p", program_code="A", start_date=ago(40))],
        "ost_attendance": [about("q", program_code="A", event_date=ago(4), hours=3.0)],
    }
    assert whole("ost_hours", rows) == (0, 1)


# -- staff -------------------------------------------------------------------------------------------------


def test_staff_trained_counts_people_once_and_by_topic():
    rows: Rows = {
        "staff": [{"staff_key": key, "school_id": "S01"} for key in "abcd"],
        "training_attendance": [
            {
                "staff_key": "a",
                "session_key": "1",
                "event_date": ago(9),
                "topic": "trauma_informed",
                "hours": 2.0,
            },
            {
                "staff_key": "a",
                "session_key": "2",
                "event_date": ago(8),
                "topic": "trauma_informed",
                "hours": 1.5,
            },
            {
                "staff_key": "b",
                "session_key": "3",
                "event_date": ago(8),
                "topic": "suicide_prevention",
                "hours": 4.0,
            },
            {
                "staff_key": "c",
                "session_key": "4",
                "event_date": date(2026, 6, 1),
                "topic": "x",
                "hours": 9.0,
            },
            {
                "staff_key": "gone",
                "session_key": "1",
                "event_date": ago(9),
                "topic": "trauma_informed",
                "hours": 2.0,
            },
        ],
    }
    assert whole("staff_trained", rows) == (2, 4)
    assert cells("staff_trained", rows, "topic") == {"trauma_informed": (1, 4), "suicide_prevention": (1, 4)}
    assert whole("training_hours", rows) == (7.5, 4)
    assert cells("training_hours", rows, "topic") == {
        "trauma_informed": (3.5, 4),
        "suicide_prevention": (4, 4),
    }


# -- re-entry and Handle with Care -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("discharged", "met", "expected"),
    [
        (5, 5, (1, 1)),
        (20, 5, (1, 1)),
        (20, 6, (0, 1)),
        (20, None, (0, 1)),
        (4, 1, None),
    ],
)
def test_re_entry_is_in_time_up_to_the_fifth_day(
    discharged: int, met: int | None, expected: tuple[int, int] | None
):
    meeting = None if met is None else ago(discharged - met)
    plan = about("p", plan_key="k", discharge_date=ago(discharged), meeting_date=meeting)
    assert whole("reentry_timely", {"reentry_plan": [plan]}) == expected


def notice(key: str, hours: float | None, days: int = 3, **values: Any) -> dict[str, Any]:
    at = datetime.combine(ago(days), datetime.min.time()) + timedelta(hours=20)
    response = None if hours is None else at + timedelta(hours=hours)
    return about("p", notice_key=key, school_id="S02", notice_time=at, response_time=response) | values


@pytest.mark.parametrize(
    ("hours", "expected"), [(24, (1, 1)), (24 + 1 / 3600, (0, 1)), (None, (0, 1)), (0, (1, 1))]
)
def test_a_notice_is_answered_in_time_up_to_24_hours(hours: float | None, expected: tuple[int, int]):
    assert whole("hwc_within_day", {"handle_with_care": [notice("k", hours)]}) == expected


def test_notices_of_the_last_day_are_not_counted_yet():
    rows = {"handle_with_care": [notice("k", 1, days=0), notice("l", 2, days=1)]}
    assert whole("hwc_within_day", rows) == (1, 1)
    assert whole("hwc_response_hours", rows) == (2, 1)


def test_response_hours_are_over_the_answered_notices():
    rows = {"handle_with_care": [notice("k", 1), notice("l", 4.5), notice("m", None)]}
    assert whole("hwc_response_hours", rows) == (5.5, 2)


def test_a_notice_counts_for_the_school_it_went_to_even_without_a_linked_child():
    rows = {"handle_with_care": [notice("k", 1, person_key=None)]}
    assert cells("hwc_within_day", rows, "school") == {"S02": (1, 1)}
    assert cells("hwc_within_day", rows, "sex") == {"not linked": (1, 1)}


# -- discipline and breakdowns -----------------------------------------------------------------------------


def action(person: str, key: str, exclusionary: bool = True, day: date | None = None) -> dict[str, Any]:
    return about(person, action_key=key, event_date=day or ago(4), is_exclusionary=exclusionary)


def test_exclusionary_discipline_counts_students_once():
    rows = {
        "student": [student(p) for p in "abcd"] + [student("e", is_current=False)],
        "discipline_action": [
            action("a", "1"),
            action("a", "2"),
            action("b", "3", exclusionary=False),
            action("c", "4", day=date(2026, 6, 30)),
            action("e", "5"),
        ],
    }
    assert whole("exclusionary_discipline", rows) == (1, 4)


def test_every_breakdown_adds_up_to_the_district():
    people = [
        student(
            f"p{n}",
            school_id=f"S0{n % 3}",
            sex=["female", "male", None][n % 3],
            disability=[True, False, None][n % 3],
            grade_band=["K-5", "6-8"][n % 2],
        )
        for n in range(30)
    ]
    rows = {
        "student": people,
        "tier_assignment": [tier(f"p{n}", n % 3 + 1, ago(9)) for n in range(20)],
        "program_participation": [about("p3", program="homeless", begin_date=ago(9))],
        "discipline_action": [action(f"p{n}", str(n)) for n in range(7)],
    }
    with filled(rows) as store:
        frame = compute_one(store, MEASURES["exclusionary_discipline"], AS_OF)
    sums = frame.group_by("dimension").agg(pl.col("numerator", "denominator", "persons").sum())
    assert set(sums["dimension"]) == {"all", *PERSON_DIMENSIONS}
    assert set(sums.select("numerator", "denominator", "persons").iter_rows()) == {(7, 30, 30)}
    assert set(frame.filter(pl.col("dimension") == "sex")["member"]) == {"female", "male", "not reported"}
    assert set(frame.filter(pl.col("dimension") == "homeless")["member"]) == {"yes", "no"}


def test_a_child_who_is_no_current_student_is_in_the_member_not_linked():
    rows = {
        "student": [student("p")],
        "service_encounter": [service("a", "p", 10), service("b", "clinic", 20)],
    }
    assert cells("service_minutes", rows, "grade_band") == {"K-5": (10, 1), "not linked": (20, 1)}
    assert cells("service_minutes", rows, "tier") == {"1": (10, 1), "not linked": (20, 1)}


def test_persons_are_counted_once_where_units_are_not_persons():
    rows = {"reentry_plan": [about("p", plan_key=str(n), discharge_date=ago(9)) for n in range(4)]}
    with filled(rows) as store:
        frame = compute_one(store, MEASURES["reentry_timely"], AS_OF).filter(pl.col("dimension") == "all")
    assert frame.select("denominator", "persons").row(0) == (4, 1)


# -- the table and the declarations ------------------------------------------------------------------------


def everything(shuffle: int, prefix: str) -> Rows:
    """A small district; keys and order of rows depend on the arguments, its meaning does not."""
    keys = [f"{prefix}{(n * 7 + shuffle) % 40:02d}" for n in range(40)]
    rows: Rows = {
        "student": [student(key, school_id=f"S0{n % 3}") for n, key in enumerate(keys)],
        "attendance": [row for n, key in enumerate(keys) for row in attended(key, 20, n % 4 + 0.3)],
        "tier_assignment": [
            tier(key, n % 3 + 1, ago(n % 9)) | {"subject_key": s} for n, key in enumerate(keys) for s in "xy"
        ],
        "screening": [
            screen(f"{key}{n}", ago(n), key, score=float(n), instrument="PHQ-9") for n, key in enumerate(keys)
        ],
        "service_encounter": [service(key, key, 0.1 * n) for n, key in enumerate(keys)],
        "handle_with_care": [notice(key, n / 7, person_key=key) for n, key in enumerate(keys)],
        "staff": [{"staff_key": key, "school_id": "S01"} for key in keys],
        "training_attendance": [
            {"staff_key": key, "session_key": "s", "event_date": ago(1), "topic": "t", "hours": 0.1 * n}
            for n, key in enumerate(keys)
        ],
    }
    for content in rows.values():
        random.Random(shuffle).shuffle(content)
    return rows


def test_measures_do_not_depend_on_the_order_of_rows_or_on_random_keys():
    with filled(everything(0, "a")) as one, filled(everything(3, "z")) as other:
        first, second = compute(one, AS_OF), compute(other, AS_OF)
    assert first.height > 50
    assert first.equals(second)


def test_the_result_is_the_warehouse_table_with_unique_keys():
    with filled(everything(0, "a")) as store:
        frame = compute(store, AS_OF)
        assert frame.columns == [column.name for column in MEASURE_VALUE.columns] == SCHEMA.names()
        store.run("INSERT INTO measure_value SELECT * FROM computed", computed=frame)
    assert not frame.select("measure_id", "period", "dimension", "member").is_duplicated().any()
    assert frame.null_count().sum_horizontal().item() == 0


def test_an_empty_warehouse_has_no_measure_values():
    with empty_warehouse() as store:
        assert compute(store, AS_OF).is_empty()


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_every_declaration_names_tables_of_the_warehouse_and_a_pillar(measure: Any):
    assert set(measure.sources) <= set(METADATA.tables)
    assert measure.pillar in PILLARS
    assert measure.min_n >= 10
    assert all(parameter.source and parameter.name in measure.sql for parameter in measure.params)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2026, 7, 1), "2026-27"),
        (date(2027, 6, 30), "2026-27"),
        (date(2026, 6, 30), "2025-26"),
        (date(1999, 12, 1), "1999-00"),
    ],
)
def test_a_school_year_runs_from_july_to_june(day: date, expected: str):
    assert name(day) == expected
    assert bounds(day)[0] <= day <= bounds(day)[1]


def test_the_documentation_of_measures_is_what_the_declarations_say():
    assert (Path(__file__).parents[2] / "docs" / "measures.md").read_text(encoding="utf-8") == render()
