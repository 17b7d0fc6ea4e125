"""Which pairs are scored: those that agree in all keys of one rule, found by equality joins.

Never a join that begins with an inequality: on DuckDB 2.0 and in Splink 5's incremental linking that is quadratic
(reference/linkage.md 0.3, 0.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wellbridge.etl.identity.statements import statement

# Keys by name, as SQL over the standard frame. Any other key of a model is a column.
KEYS: Final[dict[str, str]] = {
    "birth_year": "year(birth_date)",
    "birth_day": "month(birth_date) * 100 + day(birth_date)",
    "first_initial": "first_name[1]",
    "first_start": "first_name[1:2]",
    "first_three": "first_name[1:3]",
    "first_end": "first_name[-3:]",
    "last_start": "last_compact[1:3]",
    "last_four": "last_compact[1:4]",
    "zip_area": "zip_code[1:3]",
    "last_part": "unnest(last_names)",
    "first_part": "first_names[1]",
    "any_name": "unnest(list_distinct(list_concat(first_names, last_names, nickname_roots)))",
    "both_names": "array_to_string(list_sort(list_concat(first_names, last_names)), ' ')",
}
"""A record has a ``last_part`` and an ``any_name`` for each of its names; so exchanged names are found."""


def used_columns(rules: Sequence[Sequence[str]], columns: Sequence[str]) -> list[str]:
    """Return the columns of the standard frame that the rules look at."""
    names = {key for rule in rules for key in rule}
    texts = " ".join(KEYS.get(name, name) for name in names)
    return [column for column in columns if column in texts]


def pairs_sql(rules: Sequence[Sequence[str]], table: str) -> str:
    """Return the SQL of all pairs that agree in all keys of at least one rule.

    Args:
        rules: each a list of keys.
        table: with ``n`` (number of the record), ``in_left`` and ``in_right``, and the columns of the keys. A record
            may stand on both sides.

    Returns:
        A query of ``x, y``: numbers of two different records, the lesser first, every pair once.
    """
    joins = [_rule_sql(rule, table) for rule in rules]
    return statement("SELECT DISTINCT x, y FROM ($joins)", joins=" UNION ALL ".join(joins))


def _rule_sql(rule: Sequence[str], table: str) -> str:
    places = range(len(rule))
    parts = {
        "keys": ", ".join(f"{KEYS.get(name, name)} AS k{place}" for place, name in enumerate(rule)),
        "whole": " AND ".join(f"k{place} IS NOT NULL" for place in places),
        "equal": " AND ".join(f"l.k{place} = r.k{place}" for place in places),
        "records": table,
    }
    return statement(
        "SELECT least(l.n, r.n) AS x, greatest(l.n, r.n) AS y"
        " FROM (SELECT * FROM (SELECT n, $keys FROM $records WHERE in_left) WHERE $whole) l"
        " JOIN (SELECT * FROM (SELECT n, $keys FROM $records WHERE in_right) WHERE $whole) r ON $equal"
        " WHERE l.n <> r.n",
        **parts,
    )
