"""Measures of pillars 1 to 3: staff trained, services given, time out of school."""

from __future__ import annotations

from typing import Final

from wellbridge.pipelines.measures.measure import (
    PERSON_DIMENSIONS,
    PILLAR_1,
    PILLAR_2,
    PILLAR_3,
    STAFF_DIMENSIONS,
    Kind,
    Measure,
    Parameter,
    Population,
)

STAFF_TRAINED: Final = Measure(
    id="staff_trained",
    title="Staff trained",
    question="Are the adults ready?",
    definition="Staff members who attended at least one training session this school year; by topic, those "
               "who attended one on that topic.",
    numerator="staff members with one or more sessions this school year (by topic: on the topic)",
    denominator="staff members",
    units="staff members",
    sources=("staff", "training_attendance"),
    pillar=PILLAR_1, unit="%", kind=Kind.PROPORTION, better="higher",
    dimensions=STAFF_DIMENSIONS, own_dimension="topic", own_title="Topic",
    sql="""
    SELECT CAST(NULL AS VARCHAR) AS person_key, staff.staff_key AS unit_key, staff.school_id,
           clock.as_of AS day, asked.topic AS member,
           CASE WHEN trained.staff_key IS NULL THEN 0 ELSE 1 END AS numerator,
           1 AS denominator
    FROM staff CROSS JOIN clock
    CROSS JOIN (SELECT CAST(NULL AS VARCHAR) AS topic
                UNION ALL
                SELECT DISTINCT topic FROM training_attendance CROSS JOIN clock
                WHERE topic IS NOT NULL AND event_date BETWEEN clock.year_start AND clock.year_end) AS asked
    LEFT JOIN (SELECT DISTINCT staff_key, topic FROM training_attendance CROSS JOIN clock
               WHERE event_date BETWEEN clock.year_start AND clock.year_end AND topic IS NOT NULL
               UNION ALL
               SELECT DISTINCT staff_key, CAST(NULL AS VARCHAR) FROM training_attendance CROSS JOIN clock
               WHERE event_date BETWEEN clock.year_start AND clock.year_end) AS trained
      ON trained.staff_key = staff.staff_key AND trained.topic IS NOT DISTINCT FROM asked.topic""",
)

TRAINING_HOURS: Final = Measure(
    id="training_hours",
    title="Training hours per staff member",
    question="How much training do staff get?",
    definition="Hours of training attended this school year, spread over all staff members, trained or not.",
    numerator="hours of training attended this school year (by topic: on the topic)",
    denominator="staff members",
    units="staff members",
    sources=("staff", "training_attendance"),
    pillar=PILLAR_1, unit="hours", kind=Kind.MEAN, better="higher",
    dimensions=STAFF_DIMENSIONS, own_dimension="topic", own_title="Topic",
    sql="""
    SELECT CAST(NULL AS VARCHAR) AS person_key, staff.staff_key AS unit_key, staff.school_id,
           clock.as_of AS day, asked.topic AS member,
           coalesce(trained.hours, 0) AS numerator, 1 AS denominator
    FROM staff CROSS JOIN clock
    CROSS JOIN (SELECT CAST(NULL AS VARCHAR) AS topic
                UNION ALL
                SELECT DISTINCT topic FROM training_attendance CROSS JOIN clock
                WHERE topic IS NOT NULL AND event_date BETWEEN clock.year_start AND clock.year_end) AS asked
    LEFT JOIN (SELECT staff_key, topic, sum(CAST(hours AS DECIMAL(12, 4))) AS hours
               FROM training_attendance CROSS JOIN clock
               WHERE event_date BETWEEN clock.year_start AND clock.year_end AND topic IS NOT NULL
               GROUP BY staff_key, topic
               UNION ALL
               SELECT staff_key, CAST(NULL AS VARCHAR), sum(CAST(hours AS DECIMAL(12, 4)))
               FROM training_attendance CROSS JOIN clock
               WHERE event_date BETWEEN clock.year_start AND clock.year_end
               GROUP BY staff_key) AS trained
      ON trained.staff_key = staff.staff_key AND trained.topic IS NOT DISTINCT FROM asked.topic""",
)

SERVICE_MINUTES: Final = Measure(
    id="service_minutes",
    title="Service minutes per child served",
    question="How much support does a child who is reached receive?",
    definition="Minutes of counseling, mentoring, basic needs, family support, tutoring and case management "
               "this school year, for each child who received any of them.",
    numerator="minutes of counted services this school year (by category: of the category)",
    denominator="children with one or more counted services this school year",
    units="children",
    population=Population.SOME,
    sources=("service_encounter",),
    pillar=PILLAR_2, unit="minutes", kind=Kind.MEAN, better="higher",
    dimensions=PERSON_DIMENSIONS, own_dimension="category", own_title="Kind of service",
    sql="""
    SELECT counted_service.person_key, counted_service.person_key AS unit_key,
           CAST(NULL AS VARCHAR) AS school_id, clock.as_of AS day, CAST(NULL AS VARCHAR) AS member,
           sum(counted_service.minutes) AS numerator, 1 AS denominator
    FROM counted_service CROSS JOIN clock
    GROUP BY counted_service.person_key, clock.as_of
    UNION ALL
    SELECT counted_service.person_key, counted_service.person_key, CAST(NULL AS VARCHAR), clock.as_of AS day,
           counted_service.category, sum(counted_service.minutes), 1
    FROM counted_service CROSS JOIN clock
    GROUP BY counted_service.person_key, clock.as_of, counted_service.category""",
)

HOMELESS_SERVED: Final = Measure(
    id="homeless_served",
    title="Homeless students served",
    question="Do homeless students receive support?",
    definition="Children in the McKinney-Vento homeless program at any time this school year who received at "
               "least one counted service this school year.",
    numerator="those with one or more counted services this school year",
    denominator="children whose participation in the homeless program overlaps the school year",
    units="children",
    population=Population.SOME,
    sources=("program_participation", "service_encounter"),
    pillar=PILLAR_2, unit="%", kind=Kind.PROPORTION, better="higher",
    dimensions=tuple(name for name in PERSON_DIMENSIONS if name != "homeless"),
    sql="""
    SELECT program_homeless.person_key, program_homeless.person_key AS unit_key,
           CAST(NULL AS VARCHAR) AS school_id, clock.as_of AS day, CAST(NULL AS VARCHAR) AS member,
           CASE WHEN served.person_key IS NULL THEN 0 ELSE 1 END AS numerator, 1 AS denominator
    FROM program_homeless CROSS JOIN clock
    LEFT JOIN (SELECT DISTINCT person_key FROM counted_service) AS served
      ON served.person_key = program_homeless.person_key""",
)

_ENROLLED: Final = """
    FROM (SELECT DISTINCT ost_enrollment.person_key FROM ost_enrollment CROSS JOIN clock
          WHERE start_date <= clock.year_end AND (end_date IS NULL OR end_date >= clock.year_start)
         ) AS enrolled
    LEFT JOIN (SELECT ost_attendance.person_key, sum(CAST(hours AS DECIMAL(12, 4))) AS hours
               FROM ost_attendance CROSS JOIN clock
               WHERE event_date BETWEEN clock.year_start AND clock.year_end
               GROUP BY ost_attendance.person_key) AS attended ON attended.person_key = enrolled.person_key
    CROSS JOIN clock"""

OST_REGULAR: Final = Measure(
    id="ost_regular",
    title="Regular out-of-school attendance",
    question="Do children who join after-school programs keep coming?",
    definition="Children enrolled in an out-of-school-time program this school year who have attended 15 "
               "hours or more.",
    numerator="those with 15 or more hours of attendance this school year",
    denominator="children whose enrolment in an out-of-school-time program overlaps the school year",
    units="children",
    population=Population.SOME,
    sources=("ost_enrollment", "ost_attendance"),
    pillar=PILLAR_3, unit="%", kind=Kind.PROPORTION, better="higher",
    params=(Parameter("min_hours", 15, "21st Century Community Learning Centers, GPRA measures: 15 hours is "
                      "the lower end of the first band of attendance above none"),),
    dimensions=PERSON_DIMENSIONS,
    sql="".join(("""
    SELECT enrolled.person_key, enrolled.person_key AS unit_key, CAST(NULL AS VARCHAR) AS school_id,
           clock.as_of AS day, CAST(NULL AS VARCHAR) AS member,
           CASE WHEN attended.hours >= given.min_hours THEN 1 ELSE 0 END AS numerator, 1 AS denominator""",
                 _ENROLLED, " CROSS JOIN given")),
)

OST_HOURS: Final = Measure(
    id="ost_hours",
    title="Out-of-school hours per child enrolled",
    question="How much time do children spend in after-school programs?",
    definition="Hours of out-of-school-time attendance this school year for each child enrolled, whether or "
               "not the child came.",
    numerator="hours attended this school year",
    denominator="children whose enrolment in an out-of-school-time program overlaps the school year",
    units="children",
    population=Population.SOME,
    sources=("ost_enrollment", "ost_attendance"),
    pillar=PILLAR_3, unit="hours", kind=Kind.MEAN, better="higher",
    dimensions=PERSON_DIMENSIONS,
    sql="".join(("""
    SELECT enrolled.person_key, enrolled.person_key AS unit_key, CAST(NULL AS VARCHAR) AS school_id,
           clock.as_of AS day, CAST(NULL AS VARCHAR) AS member,
           coalesce(attended.hours, 0) AS numerator, 1 AS denominator""", _ENROLLED)),
)
