"""What a first script does: pandas, a pandera schema, a join for random keys, ``to_sql`` into SQLite.

It checks the same rules, but drops what fails and knows no revisions, no consent and no second run.
"""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path

import pandas as pd
import pandera.pandas as pa
import sqlalchemy as sa

SCHEMA = pa.DataFrameSchema(
    {
        "Student ID": pa.Column(str),
        "School": pa.Column(str),
        "Date": pa.Column("datetime64[ns]", coerce=False),
        "Status": pa.Column(str, pa.Check.isin(["P", "A", "E", "T", "H"])),
        "Minutes Absent": pa.Column(float, pa.Check.in_range(0, 1440), nullable=True),
    }
)


def main(source: str, roster: str, store: str) -> None:
    """Read, convert, validate, drop, key, load."""
    frame = pd.read_csv(source, dtype=str)
    frame["Date"] = pd.to_datetime(frame["Date"], format="%Y-%m-%d", errors="coerce").astype("datetime64[ns]")
    minutes = pd.to_numeric(frame["Minutes Absent"], errors="coerce")
    frame = frame[~(minutes.isna() & frame["Minutes Absent"].notna())]
    frame = frame.assign(**{"Minutes Absent": minutes.loc[frame.index].astype(float)})
    frame = frame.astype({"Student ID": object, "School": object, "Status": object})
    try:
        SCHEMA.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        frame = frame.drop(index=errors.failure_cases["index"].dropna().unique())
    pages = [json.loads(path.read_text()) for path in sorted(Path(roster).rglob("page-*.json"))]
    ids = [student["studentUniqueId"] for page in pages for student in page]
    keys = pd.DataFrame({"Student ID": ids, "person_key": [uuid.uuid4().hex for _ in ids]})
    keyed = frame.merge(keys, on="Student ID").drop(columns="Student ID")
    engine = sa.create_engine(f"sqlite:///{store}")
    keyed.to_sql("attendance", engine, index=False, chunksize=100_000)


if __name__ == "__main__":
    main(*sys.argv[1:4])
