"""Records from a file that never saw a site: CSV or Parquet, whatever its columns are called."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import polars as pl

from wellbridge.etl.identity.names import fold
from wellbridge.etl.identity.standard import RECORD
from wellbridge.schemas.errors import ConfigurationError, SourceError

# Headers as they are met, in lower case without signs → the column of RECORD.
_HEADERS: Final[dict[str, str]] = {
    header: name
    for name, headers in {
        "record_id": "recordid uniqueid recid id",
        "first_name": "firstname givenname first fname forename legalfirstname",
        "middle_name": "middlename middle mname",
        "last_name": "lastname surname familyname last lname legallastname",
        "full_name": "fullname name studentname patientname childname",
        "birth_date": "birthdate dob dateofbirth birthday",
        "sex": "sex gender",
        "zip_code": "zipcode zip postcode postalcode postcodefake",
        "phone": "phone telephone phonenumber tel mobile",
        "address": "address street streetaddress addressline1 address1",
        "student_number": "studentnumber studentid sisid localid stateid",
    }.items()
    for header in headers.split()
}


def read_table(path: Path) -> pl.DataFrame:
    """Read a CSV or Parquet file; a CSV's cells stay text.

    Raises:
        SourceError: WB-E-023, it is missing or cannot be read.
    """
    is_parquet = path.suffix.lower() == ".parquet"
    frame: pl.DataFrame | None = None
    for encoding in ("utf8", "cp1252", "latin-1"):  # a sheet saved as ANSI keeps its accents
        with suppress(OSError, UnicodeError, pl.exceptions.PolarsError):
            frame = (
                pl.read_parquet(path)
                if is_parquet
                else pl.read_csv(path, infer_schema=False, encoding=encoding)
            )
            break
    if frame is None:
        raise SourceError("WB-E-023", "The file of records cannot be read.", f"file {path.name}")
    if is_parquet:
        return frame
    cells = [pl.col(name).str.strip_chars().replace("", None).alias(name.strip()) for name in frame.columns]
    return frame.select(cells)


def as_records(
    table: pl.DataFrame, source: str, *, hidden: Collection[str] = (), also: Collection[str] = ()
) -> pl.DataFrame:
    """Return the records of a table, and nothing else of it.

    Args:
        table: of ``read_table``.
        source: what to call it; the records are "SOURCE:0", "SOURCE:1"… in the order of the rows.
        hidden: columns that the matcher must not see, whatever they are called.
        also: further columns that a model compares; folded as names are.

    Returns:
        ``RECORD`` as far as the table has it, and ``also``.

    Raises:
        ConfigurationError: WB-E-011, a column of ``also`` is missing or hidden, or there is no name at all.
    """
    shown = [name for name in table.columns if name not in hidden]
    meant = _meant(shown)
    if not {"first_name", "last_name", "full_name"} & meant.keys():
        raise ConfigurationError(
            "WB-E-011",
            "No column holds a name.",
            f"{source} file",
            todo="Call the columns first_name, last_name, birth_date, zip_code, phone, address",
        )
    lost = sorted(set(also) - set(shown))
    if lost:
        raise ConfigurationError(
            "WB-E-011",
            "The model compares a column that the file has not.",
            f"{source} file · column {lost[0]!r}",
        )
    given = {name: table[header].cast(pl.String) for name, header in meant.items() if name != "record_id"}
    if "address" in given and "street_number" in shown:
        number = table["street_number"].cast(pl.String)
        given["address"] = pl.select(
            pl.concat_str(number, given["address"], separator=" ", ignore_nulls=True)
        ).to_series()
    number = pl.select(pl.format(f"{source}:{{}}", pl.int_range(table.height))).to_series()
    return pl.DataFrame(
        {"record_id": number, "source": pl.select(pl.repeat(source, table.height)).to_series(), **given,
         **{name: fold(table[name].cast(pl.String)) for name in also}}
    )  # fmt: skip


def ids_of(table: pl.DataFrame, hidden: Collection[str] = ()) -> pl.Series | None:
    """Return the column by which the file itself names its rows, as text."""
    header = _meant([name for name in table.columns if name not in hidden]).get("record_id")
    return None if header is None else table[header].cast(pl.String)


def _meant(headers: Collection[str]) -> Mapping[str, str]:
    """Return RECORD's columns → the header that holds it; the exact name wins over a likely one."""
    found: dict[str, str] = {}
    for header in headers:
        name = _HEADERS.get("".join(c for c in header.lower() if c.isalnum()))
        if name and (name not in found or header == name):
            found[name] = header
    return {name: found[name] for name in RECORD if name in found}
