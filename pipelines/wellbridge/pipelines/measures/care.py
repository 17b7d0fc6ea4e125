"""Measures of pillars 4 and 5: screening, referral to care, symptom change, re-entry, Handle with Care.

An event here belongs to the school year of its own date, so earlier years keep their values as time goes on.
"""

from __future__ import annotations

from typing import Final

from wellbridge.pipelines.measures.measure import (
    PERSON_DIMENSIONS,
    PILLAR_4,
    PILLAR_5,
    Kind,
    Measure,
    Parameter,
    Population,
)

_SHORT_NOTICE: Final = "Wellbridge default; a district sets its own"

POSITIVE_SCREEN_RATE: Final = Measure(
    id="positive_screen_rate",
    title="Positive screens",
    question="How many of the children screened may need help?",
    definition="Of children screened this school year with an instrument that has a threshold, those with at "
               "least one positive screen. PHQ-9, PHQ-A and GAD-7 are positive from 11 points at school age.",
    numerator="children with one or more positive screens this school year",
    denominator="children screened this school year",
    units="children",
    population=Population.SOME,
    sources=("screening",),
    pillar=PILLAR_4, unit="%", kind=Kind.PROPORTION, better="neither",
    dimensions=PERSON_DIMENSIONS, beside="felt_sad_hopeless",
    sql="""
    SELECT screening.person_key, screening.person_key AS unit_key, CAST(NULL AS VARCHAR) AS school_id,
           clock.as_of AS day, CAST(NULL AS VARCHAR) AS member,
           max(CASE WHEN is_positive THEN 1 ELSE 0 END) AS numerator, 1 AS denominator
    FROM screening CROSS JOIN clock
    WHERE is_positive IS NOT NULL AND event_date BETWEEN clock.year_start AND clock.year_end
    GROUP BY screening.person_key, clock.as_of""",
)

SCREEN_TO_SERVICE: Final = Measure(
    id="screen_to_service_30",
    title="From positive screen to care within 30 days",
    question="Are referrals reaching care?",
    definition="Positive screens followed by a referral and then by a first service, both within 30 days of "
               "the screen. Screens younger than 30 days are not counted yet.",
    numerator="screens with a referral of the child 0 to 30 days after, and a service of the child on or "
              "after the referral and at most 30 days after the screen",
    denominator="positive screens dated 30 days or more before the newest data",
    units="screens",
    sources=("screening", "referral", "service_encounter"),
    pillar=PILLAR_4, unit="%", kind=Kind.PROPORTION, better="higher",
    params=(Parameter("days", 30, _SHORT_NOTICE),),
    dimensions=PERSON_DIMENSIONS,
    # The earliest referral on or after the screen leaves the most room for a service, so it alone decides.
    sql="""
    SELECT due.person_key, due.person_key AS unit_key, CAST(NULL AS VARCHAR) AS school_id,
           due.event_date AS day, CAST(NULL AS VARCHAR) AS member,
           CASE WHEN EXISTS (SELECT 1 FROM service_encounter AS service
                             WHERE service.person_key = due.person_key
                               AND service.event_date >= due.referred
                               AND service.event_date <= due.deadline) THEN 1 ELSE 0 END AS numerator,
           1 AS denominator
    FROM (SELECT screen.screening_key, screen.person_key, screen.event_date,
                 CAST(screen.event_date + CAST(given.days AS INTEGER) AS DATE) AS deadline,
                 min(referral.event_date) AS referred
          FROM screening AS screen CROSS JOIN clock CROSS JOIN given
          LEFT JOIN referral ON referral.person_key = screen.person_key
                            AND referral.event_date >= screen.event_date
          WHERE screen.is_positive
            AND screen.event_date <= clock.as_of - CAST(given.days AS INTEGER)
          GROUP BY screen.screening_key, screen.person_key, screen.event_date, given.days) AS due""",
)

_COURSE: Final = """
    FROM (SELECT scored.person_key,
                 min(event_date) AS baseline_date, max(event_date) AS last_date,
                 max(CASE WHEN event_date = first_date THEN score END) AS baseline,
                 max(CASE WHEN event_date = final_date THEN score END) AS last_score
          FROM (SELECT person_key, event_date, score,
                       min(event_date) OVER (PARTITION BY person_key) AS first_date,
                       max(event_date) OVER (PARTITION BY person_key) AS final_date
                FROM screening
                WHERE instrument IN ('PHQ-9', 'PHQ-A') AND score IS NOT NULL) AS scored
          GROUP BY scored.person_key) AS course
    CROSS JOIN given
    WHERE course.baseline >= given.baseline
      AND course.last_date >= course.baseline_date + CAST(given.min_days AS INTEGER)"""
_BASELINE: Final = (
    Parameter("baseline", 10, "Kroenke, Spitzer & Williams 2001: 10 points and more is moderate depression"),
    Parameter("min_days", 28, "Wellbridge default: four weeks between first and last score"),
)

PHQ9_RESPONSE: Final = Measure(
    id="phq9_response",
    title="Depression symptoms halved",
    question="Do children who are unwell get better?",
    definition="Of children whose first PHQ-9 or PHQ-A score was 10 or more and who were scored again 28 "
               "days later or after, those whose last score is half the first or less.",
    numerator="children whose last score is at most 50 % of their first",
    denominator="children with a first score of 10 or more and a last score 28 or more days later",
    units="children",
    population=Population.SOME,
    sources=("screening",),
    pillar=PILLAR_4, unit="%", kind=Kind.PROPORTION, better="higher",
    params=(*_BASELINE, Parameter("remaining_percent", 50, "Response: Kroenke et al. 2001; HEDIS DRR-E")),
    dimensions=PERSON_DIMENSIONS,
    # Several scores of one day: the worst counts.
    sql="".join(("""
    SELECT course.person_key, course.person_key AS unit_key, CAST(NULL AS VARCHAR) AS school_id,
           course.baseline_date AS day, CAST(NULL AS VARCHAR) AS member,
           CASE WHEN course.last_score * 100 <= given.remaining_percent * course.baseline
                THEN 1 ELSE 0 END AS numerator, 1 AS denominator""", _COURSE)),
)

PHQ9_REMISSION: Final = Measure(
    id="phq9_remission",
    title="Depression symptoms gone",
    question="Do children who are unwell become well?",
    definition="Of children whose first PHQ-9 or PHQ-A score was 10 or more and who were scored again 28 "
               "days later or after, those whose last score is below 5.",
    numerator="children whose last score is below 5",
    denominator="children with a first score of 10 or more and a last score 28 or more days later",
    units="children",
    population=Population.SOME,
    sources=("screening",),
    pillar=PILLAR_4, unit="%", kind=Kind.PROPORTION, better="higher",
    params=(*_BASELINE, Parameter("below", 5, "Remission: NQF 0710, HEDIS DRR-E: PHQ-9 score below 5")),
    dimensions=PERSON_DIMENSIONS,
    sql="".join(("""
    SELECT course.person_key, course.person_key AS unit_key, CAST(NULL AS VARCHAR) AS school_id,
           course.baseline_date AS day, CAST(NULL AS VARCHAR) AS member,
           CASE WHEN course.last_score < given.below THEN 1 ELSE 0 END AS numerator, 1 AS denominator""",
                 _COURSE)),
)

REENTRY_TIMELY: Final = Measure(
    id="reentry_timely",
    title="Re-entry meeting within 5 days",
    question="Is a child met when coming back from hospital?",
    definition="Re-entry plans whose meeting took place at most 5 days after the discharge. Discharges of "
               "the last 5 days are not counted yet.",
    numerator="plans with a meeting at most 5 days after the discharge",
    denominator="plans with a discharge 5 days or more before the newest data",
    units="plans",
    sources=("reentry_plan",),
    pillar=PILLAR_4, unit="%", kind=Kind.PROPORTION, better="higher",
    params=(Parameter("days", 5, _SHORT_NOTICE),),
    dimensions=PERSON_DIMENSIONS,
    sql="""
    SELECT plan.person_key, plan.person_key AS unit_key, CAST(NULL AS VARCHAR) AS school_id,
           plan.discharge_date AS day, CAST(NULL AS VARCHAR) AS member,
           CASE WHEN plan.meeting_date <= plan.discharge_date + CAST(given.days AS INTEGER)
                THEN 1 ELSE 0 END AS numerator, 1 AS denominator
    FROM reentry_plan AS plan CROSS JOIN clock CROSS JOIN given
    WHERE plan.discharge_date <= clock.as_of - CAST(given.days AS INTEGER)""",
)

HWC_WITHIN_DAY: Final = Measure(
    id="hwc_within_day",
    title="Handle with Care answered within a day",
    question="When police tell a school that a child had a hard night, does someone look after the child?",
    definition="Handle with Care notices to which the school responded within 24 hours. Notices of the last "
               "day are not counted yet.",
    numerator="notices with a response at most 24 hours after",
    denominator="notices dated one day or more before the newest data",
    units="notices",
    sources=("handle_with_care",),
    pillar=PILLAR_5, unit="%", kind=Kind.PROPORTION, better="higher",
    params=(Parameter("hours", 24, _SHORT_NOTICE),),
    dimensions=PERSON_DIMENSIONS,
    sql="""
    SELECT notice.person_key, coalesce(notice.person_key, notice.subject_key) AS unit_key, notice.school_id,
           CAST(notice.notice_time AS DATE) AS day, CAST(NULL AS VARCHAR) AS member,
           CASE WHEN date_diff('second', notice.notice_time, notice.response_time) <= given.hours * 3600
                THEN 1 ELSE 0 END AS numerator, 1 AS denominator
    FROM handle_with_care AS notice CROSS JOIN clock CROSS JOIN given
    WHERE CAST(notice.notice_time AS DATE) <= clock.as_of - 1""",
)

HWC_RESPONSE_HOURS: Final = Measure(
    id="hwc_response_hours",
    title="Hours to answer a Handle with Care notice",
    question="How quickly is a notice answered?",
    definition="Hours from a Handle with Care notice to the school's response, over the notices that were "
               "answered. Notices of the last day are not counted yet.",
    numerator="hours from notice to response",
    denominator="answered notices dated one day or more before the newest data",
    units="notices",
    sources=("handle_with_care",),
    pillar=PILLAR_5, unit="hours", kind=Kind.MEAN, better="lower",
    dimensions=PERSON_DIMENSIONS,
    sql="""
    SELECT notice.person_key, coalesce(notice.person_key, notice.subject_key) AS unit_key, notice.school_id,
           CAST(notice.notice_time AS DATE) AS day, CAST(NULL AS VARCHAR) AS member,
           date_diff('second', notice.notice_time, notice.response_time) / 3600.0 AS numerator,
           1 AS denominator
    FROM handle_with_care AS notice CROSS JOIN clock
    WHERE CAST(notice.notice_time AS DATE) <= clock.as_of - 1 AND notice.response_time IS NOT NULL""",
)
