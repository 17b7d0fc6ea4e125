"""The student dimension: type-2 history as a pure function of what the rosters said.

``student`` is never updated in place. It is derived anew from ``student_observation``, so any order of
arrival, any repetition and any interruption give the same history.

What counts:

* Each roster speaks for itself. A roster's word about a student holds until it says something else. A
  student is active on a day when at least one roster has spoken and none of them says *ended*.
* A bulk roster names every student. Whoever is active and not named on its next day is ended that day. What
  arrives between two bulk rosters as changes only (``VOICES``) is the same roster speaking.
* A held row (``is_readable`` false) was there but could not be read: it is presence, and carries the last
  good values. Alone it starts no history, because nothing is known.
* For each attribute the latest value stated wins; on one day the roster earlier in ``PRECEDENCE`` wins; two
  records of one person in one roster on one day give the greater value. No tie is left to the order of rows
  or to a random key.
"""

from __future__ import annotations

from typing import Final

from wellbridge.etl.store import Store
from wellbridge.schemas.warehouse import ATTRIBUTE_NAMES

# Whose word wins on one day: the roster that schools keep daily, then the state's system; others by name.
PRECEDENCE: Final = ("oneroster", "oneroster_delta", "edfi")
# Rosters of which a delivery names every student, so that absence means the student has left.
BULK_ROSTERS: Final = ("oneroster",)
# Changes to a bulk roster speak with its voice: they and it replace each other's word.
VOICES: Final = {"oneroster_delta": "oneroster"}

# CEDS grade level codes (000100); the bands are those of elementary, middle and high school.
_GRADE_BAND: Final = """
    CASE WHEN grade IN ('PK', 'TK', 'KG', '01', '02', '03', '04', '05') THEN 'K-5'
         WHEN grade IN ('06', '07', '08') THEN '6-8'
         WHEN grade IN ('09', '10', '11', '12') THEN '9-12'
         ELSE 'other' END"""


def students_sql() -> str:
    """Return the SELECT that gives the rows of ``student``, in the table's column order.

    Window functions over total orders only: each window is partitioned so that its days are distinct.
    """
    return "".join(
        (
            "WITH ",
            ",\n".join(f"{name} AS ({body})" for name, body in _steps().items()),
            "\nSELECT person_key, day AS valid_from, valid_to, valid_to IS NULL AS is_current, ",
            ", ".join(ATTRIBUTE_NAMES),
            ",",
            _GRADE_BAND,
            " AS grade_band FROM span WHERE is_active",
        )
    )


def derive_students(store: Store) -> int:
    """Replace the content of ``student`` by what the observations say now; return its number of rows.

    Run it inside the transaction that loads the observations.

    Raises:
        StoreError: WB-E-050, without any value.
    """
    store.run("DELETE FROM student")
    columns = ("person_key", "valid_from", "valid_to", "is_current", *ATTRIBUTE_NAMES, "grade_band")
    return store.run(" ".join(("INSERT INTO student (", ", ".join(columns), ")", students_sql())))


def _steps() -> dict[str, str]:
    return {
        "said": _said(),
        "bulk_day": _bulk_day(),
        "heard": _heard(),
        "presence": _PRESENCE,
        "ended": _ENDED,
        "word": _WORD,
        "change": _CHANGE,
        "status": _STATUS,
        "stated": _stated(),
        "news": _news(),
        "told": _told(),
        "known": _known(),
        "marked": _MARKED,
        "span": _SPAN,
    }


def _rank() -> str:
    cases = " ".join(f"WHEN '{name}' THEN {place}" for place, name in enumerate(PRECEDENCE))
    return f"CASE roster {cases} ELSE {len(PRECEDENCE)} END"


def _said() -> str:
    """One row for each person, roster and day: what was read, however many records the person has there."""
    attributes = ", ".join(f"max({name}) FILTER (WHERE is_readable) AS {name}" for name in ATTRIBUTE_NAMES)
    return " ".join(
        (
            "SELECT person_key, roster, as_of AS day, bool_or(is_readable) AS is_readable,",
            _rank(),
            "AS rank,",
            "bool_or(is_active) FILTER (WHERE is_readable) AS is_active,",
            attributes,
            "FROM student_observation WHERE person_key IS NOT NULL GROUP BY person_key, roster, as_of",
        )
    )


def _bulk_day() -> str:
    """One row for each day a bulk roster was delivered, with the day before it on which it was."""
    names = ", ".join(f"'{name}'" for name in BULK_ROSTERS)
    return " ".join(
        (
            "SELECT roster AS voice, day, lag(day) OVER (PARTITION BY roster ORDER BY day) AS day_before",
            "FROM (SELECT DISTINCT roster, day FROM said WHERE roster IN (",
            names,
            ")) AS delivered",
        )
    )


def _heard() -> str:
    """One row for each person, voice and day."""
    cases = " ".join(f"WHEN '{roster}' THEN '{voice}'" for roster, voice in VOICES.items())
    voice = f"CASE roster {cases} ELSE roster END"
    return " ".join(
        (
            "SELECT person_key,",
            voice,
            "AS voice, day, bool_or(is_readable) AS is_readable,",
            "bool_or(is_active) AS is_active FROM said GROUP BY person_key,",
            voice,
            ", day",
        )
    )


# The last good word of the same voice carries over a held row; a row that says nothing means: still here.
_PRESENCE: Final = """
    SELECT person_key, voice, day,
           last_value(is_active IGNORE NULLS) OVER past AS is_active,
           bool_or(is_readable) OVER past AS was_read,
           lead(day) OVER (PARTITION BY person_key, voice ORDER BY day) AS next_seen
    FROM heard
    WINDOW past AS (PARTITION BY person_key, voice ORDER BY day
                    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"""

_ENDED: Final = """
    SELECT presence.person_key, presence.voice, bulk_day.day
    FROM presence JOIN bulk_day ON bulk_day.voice = presence.voice AND bulk_day.day > presence.day
         AND (bulk_day.day_before IS NULL OR bulk_day.day_before <= presence.day)
    WHERE presence.was_read AND (presence.next_seen IS NULL OR presence.next_seen > bulk_day.day)"""

_WORD: Final = """
    SELECT person_key, voice, day, coalesce(is_active, true) AS is_active FROM presence WHERE was_read
    UNION ALL
    SELECT person_key, voice, day, false AS is_active FROM ended"""

# A voice's word as a change of two counts: voices that have spoken, and voices that say "ended".
_CHANGE: Final = """
    SELECT person_key, day,
           CASE WHEN row_number() OVER word_order = 1 THEN 1 ELSE 0 END AS spoken,
           CASE WHEN is_active THEN 0 ELSE 1 END
             - coalesce(lag(CASE WHEN is_active THEN 0 ELSE 1 END) OVER word_order, 0) AS ended
    FROM word WINDOW word_order AS (PARTITION BY person_key, voice ORDER BY day)"""

# Only the days on which a roster begins to speak, ends a student or takes one back.
_STATUS: Final = """
    SELECT person_key, day, sum(spoken) AS spoken, sum(ended) AS ended
    FROM change GROUP BY person_key, day
    HAVING sum(spoken) <> 0 OR sum(ended) <> 0"""

_ALL: Final = f"ROW({', '.join(ATTRIBUTE_NAMES)})"


def _stated() -> str:
    """One row for each person and day: of each attribute, the value of the roster that goes first."""
    attributes = ", ".join(
        f"min_by({name}, (rank, roster)) FILTER (WHERE {name} IS NOT NULL) AS {name}"
        for name in ATTRIBUTE_NAMES
    )
    return " ".join(("SELECT person_key, day,", attributes, "FROM said GROUP BY person_key, day"))


def _news() -> str:
    """Of what was stated, what differs from the day before: a roster repeats itself every night.

    A repeated statement changes no last value, so leaving it out changes nothing but the work.
    """
    return " ".join(
        (
            "SELECT person_key, day,",
            ", ".join(ATTRIBUTE_NAMES),
            "FROM (SELECT *, row_number() OVER days = 1 OR",
            _ALL,
            "IS DISTINCT FROM lag(",
            _ALL,
            ") OVER days AS is_news FROM stated",
            "WINDOW days AS (PARTITION BY person_key ORDER BY day)) AS compared WHERE is_news",
        )
    )


def _told() -> str:
    """One row for each person and day on which a value or a status may change."""
    attributes = ", ".join(f"news.{name}" for name in ATTRIBUTE_NAMES)
    return " ".join(
        (
            "SELECT coalesce(status.person_key, news.person_key) AS person_key,",
            "coalesce(status.day, news.day) AS day,",
            "spoken, ended,",
            attributes,
            "FROM status FULL JOIN news ON news.person_key = status.person_key AND news.day = status.day",
        )
    )


def _known() -> str:
    """The same rows with what is then known of the person: status and the last value of each attribute."""
    attributes = ", ".join(f"last_value({name} IGNORE NULLS) OVER past AS {name}" for name in ATTRIBUTE_NAMES)
    return " ".join(
        (
            "SELECT person_key, day,",
            "coalesce(sum(spoken) OVER past, 0) > 0 AND coalesce(sum(ended) OVER past, 0) = 0 AS is_active,",
            attributes,
            "FROM told",
            "WINDOW past AS (PARTITION BY person_key ORDER BY day",
            "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
        )
    )


_MARKED: Final = f"""
    SELECT *, row_number() OVER days = 1 OR is_active IS DISTINCT FROM lag(is_active) OVER days
              OR {_ALL} IS DISTINCT FROM lag({_ALL}) OVER days AS is_boundary
    FROM known WINDOW days AS (PARTITION BY person_key ORDER BY day)"""

_SPAN: Final = """
    SELECT *, lead(day) OVER (PARTITION BY person_key ORDER BY day) AS valid_to
    FROM marked WHERE is_boundary"""
