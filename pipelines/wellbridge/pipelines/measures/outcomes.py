"""Measures of school outcomes and of the tiers of support."""

from __future__ import annotations

from typing import Final

from wellbridge.pipelines.measures.measure import (
    MTSS,
    OUTCOMES,
    PERSON_DIMENSIONS,
    Kind,
    Measure,
    Parameter,
    Population,
)

CHRONIC_ABSENCE: Final = Measure(
    id="chronic_absence",
    title="Chronic absence",
    question="How many students miss a tenth of school?",
    definition="Students who missed 10 % or more of their school days this school year, excused or not. "
               "Counted once a student has 20 days on record; a half day missed counts as half.",
    numerator="students absent on 10 % or more of their days",
    denominator="students with 20 or more days of attendance on record this school year",
    units="students",
    population=Population.SOME,
    sources=("attendance", "student"),
    pillar=OUTCOMES, unit="%", kind=Kind.PROPORTION, better="lower",
    params=(
        Parameter("absent_percent", 10, "CEDS 002022 Chronic Student Absenteeism Indicator; U.S. Department "
                  "of Education, EDFacts FS195: absent 10 % or more of days"),
        Parameter("min_days", 20, "Ed-Fi edu_wh fct_student_daily_attendance: at least 20 enrolled days"),
    ),
    dimensions=PERSON_DIMENSIONS,
    # Several records of one day are one day, at the longest absence any of them states. Decimal sums: the
    # order in which rows are added must not move a student across the threshold.
    # A child with one school, one kind of event and one record has one row a day, by the table's key: only the
    # others' days must be told apart, which is most of the work.
    sql="""
    WITH part AS (
        SELECT person_key, subject_key, school_id, event_kind, count(*) AS days,
               sum(CAST(coalesce(absent_fraction, 0) AS DECIMAL(9, 4))) AS absent
        FROM year_attendance
        GROUP BY person_key, subject_key, school_id, event_kind),
    whole AS (
        SELECT person_key, count(*) AS parts, sum(days) AS days, sum(absent) AS absent FROM part GROUP BY person_key)
    SELECT learner.person_key, learner.person_key AS unit_key, learner.school_id, clock.as_of AS day,
           CAST(NULL AS VARCHAR) AS member,
           CASE WHEN total.absent * 100 >= given.absent_percent * total.days THEN 1 ELSE 0 END AS numerator,
           1 AS denominator
    FROM (SELECT person_key, days, absent FROM whole WHERE parts = 1
          UNION ALL
          SELECT person_key, count(*) AS days, sum(absent) AS absent
          FROM (SELECT year_attendance.person_key, event_date,
                       max(CAST(coalesce(absent_fraction, 0) AS DECIMAL(9, 4))) AS absent
                FROM year_attendance
                JOIN whole ON whole.person_key = year_attendance.person_key AND whole.parts > 1
                GROUP BY year_attendance.person_key, event_date) AS absence
          GROUP BY person_key) AS total
    JOIN learner ON learner.person_key = total.person_key
    CROSS JOIN clock CROSS JOIN given
    WHERE total.days >= given.min_days""",
)

EXCLUSIONARY_DISCIPLINE: Final = Measure(
    id="exclusionary_discipline",
    title="Exclusionary discipline",
    question="How many students were kept out of class as a punishment?",
    definition="Students with at least one suspension, in or out of school, or expulsion this school year.",
    numerator="students with one or more exclusionary actions this school year",
    denominator="students",
    units="students",
    population=Population.EVERYONE,
    sources=("discipline_action", "student"),
    pillar=OUTCOMES, unit="%", kind=Kind.PROPORTION, better="lower",
    dimensions=PERSON_DIMENSIONS,
    sql="""
    SELECT learner.person_key, learner.person_key AS unit_key, learner.school_id, clock.as_of AS day,
           CAST(NULL AS VARCHAR) AS member,
           CASE WHEN excluded.person_key IS NULL THEN 0 ELSE 1 END AS numerator, 1 AS denominator
    FROM learner CROSS JOIN clock
    LEFT JOIN (SELECT DISTINCT discipline_action.person_key
               FROM discipline_action CROSS JOIN clock
               WHERE is_exclusionary AND event_date BETWEEN clock.year_start AND clock.year_end
              ) AS excluded ON excluded.person_key = learner.person_key""",
)

TIER_STUDENTS: Final = Measure(
    id="tier_students",
    title="Students at Tier 2 or 3 of support",
    question="How many students receive more than the support that everyone gets?",
    definition="Students at Tier 2 or Tier 3 today. By tier: the share of all students at each tier; whoever "
               "has no assignment in force is at Tier 1.",
    numerator="students whose tier in force is 2 or 3 (by tier: is that tier)",
    denominator="students",
    units="students",
    population=Population.EVERYONE,
    sources=("tier_assignment", "student"),
    pillar=MTSS, unit="%", kind=Kind.PROPORTION, better="neither",
    dimensions=tuple(name for name in PERSON_DIMENSIONS if name != "tier"),
    own_dimension="tier", own_title="Tier", own_rest=("1",),
    sql="""
    SELECT learner.person_key, learner.person_key AS unit_key, learner.school_id, clock.as_of AS day,
           CAST(NULL AS VARCHAR) AS member,
           CASE WHEN learner.tier > 1 THEN 1 ELSE 0 END AS numerator, 1 AS denominator
    FROM learner CROSS JOIN clock
    UNION ALL
    SELECT learner.person_key, learner.person_key, learner.school_id, clock.as_of AS day,
           CAST(each.tier AS VARCHAR), CASE WHEN learner.tier = each.tier THEN 1 ELSE 0 END, 1
    FROM learner CROSS JOIN clock
    CROSS JOIN (SELECT 1 AS tier UNION ALL SELECT 2 UNION ALL SELECT 3) AS each""",
)

TIER_MOVEMENT: Final = Measure(
    id="tier_movement",
    title="Movement to less intensive support",
    question="Do students who get more support come to need less?",
    definition="Of students with two or more tier assignments this school year, those whose latest tier is "
               "less intensive than their first.",
    numerator="students whose latest tier is lower than their first tier of the school year",
    denominator="students with two or more tier assignments begun this school year",
    units="students",
    population=Population.SOME,
    sources=("tier_assignment", "student"),
    pillar=MTSS, unit="%", kind=Kind.PROPORTION, better="higher",
    dimensions=tuple(name for name in PERSON_DIMENSIONS if name != "tier"),
    own_dimension="first_tier", own_title="First tier of the year",
    # Two assignments of one day: the more intensive counts as the earlier.
    sql="""
    SELECT moved.person_key, moved.person_key AS unit_key, moved.school_id, moved.day,
           CASE WHEN copy.is_own THEN CAST(moved.first_tier AS VARCHAR) END AS member,
           CASE WHEN moved.last_tier < moved.first_tier THEN 1 ELSE 0 END AS numerator, 1 AS denominator
    FROM (SELECT placed.person_key, learner.school_id, placed.day, placed.assignments,
                 max(CASE WHEN nth = 1 THEN placed.tier END) AS first_tier,
                 max(CASE WHEN nth = assignments THEN placed.tier END) AS last_tier
          FROM (SELECT t.person_key, t.tier, clock.as_of AS day,
                       row_number() OVER (PARTITION BY t.person_key ORDER BY start_date, tier DESC) AS nth,
                       count(*) OVER (PARTITION BY t.person_key) AS assignments
                FROM tier_assignment AS t CROSS JOIN clock
                WHERE t.tier IS NOT NULL AND start_date BETWEEN clock.year_start AND clock.as_of) AS placed
          JOIN learner ON learner.person_key = placed.person_key
          WHERE placed.assignments > 1
          GROUP BY placed.person_key, learner.school_id, placed.day, placed.assignments) AS moved
    CROSS JOIN (SELECT false AS is_own UNION ALL SELECT true) AS copy""",
)
