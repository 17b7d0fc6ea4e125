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


_FLAGS: Final = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}


def read_table(path: Path) -> pl.DataFrame:
    """Read a CSV or Parquet file; all cells are text, in one form whichever of the two holds them (``as_text``).

    Columns of lists, structures or bytes are left out: they say nothing of what is read here.

    Raises:
        SourceError: WB-E-023, it is missing or cannot be read, or two of its columns are called the same.
    """
    is_parquet = path.suffix.lower() == ".parquet"
    frame: pl.DataFrame | None = None
    for encoding in ("utf8", "cp1252", "latin-1"):  # a sheet saved as ANSI keeps its accents
        with suppress(OSError, UnicodeError, pl.exceptions.PolarsError):
            read = (
                pl.read_parquet(path)
                if is_parquet
                else pl.read_csv(path, infer_schema=False, encoding=encoding)
            )
            flat = [one for one in read if not (one.dtype.is_nested() or one.dtype in (pl.Binary, pl.Object))]
            frame = pl.DataFrame([as_text(one).alias(one.name.strip()) for one in flat])
            break
    if frame is None:
        raise SourceError("WB-E-023", "The file of records cannot be read.", f"file {path.name}")
    return frame


def as_text(cells: pl.Series) -> pl.Series:
    """Return cells as a CSV holds them: 7 and 7.0 are "7", an instant at midnight is its day, "" is null."""
    value = pl.col(cells.name)
    if cells.dtype.is_float():  # a column of whole numbers that lacks some, as pandas writes it
        whole = value.is_finite() & (value == value.floor()) & (value.abs() < 2**53)
        text = pl.when(whole).then(value.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(
            value.fill_nan(None).cast(pl.String)
        )  # fmt: skip
    elif isinstance(cells.dtype, pl.Datetime):
        text = pl.when(value.dt.time() == pl.time(0)).then(value.dt.to_string("%Y-%m-%d")).otherwise(
            value.dt.to_string("%Y-%m-%d %H:%M:%S")
        )  # fmt: skip
    else:
        text = value.cast(pl.String)
    return cells.to_frame().select(text.str.strip_chars().replace("", None)).to_series()


def as_ids(cells: pl.Series) -> pl.Series:
    """Return what names a record, a child or a home, to be compared with another file's: "12.0" is "12"."""
    return as_text(cells).str.replace(r"^(-?\d+)\.0$", "$1")


def as_flags(cells: pl.Series) -> pl.Series:
    """Return what says yes or no as Boolean; null where it says neither."""
    return as_text(cells).str.to_lowercase().replace_strict(_FLAGS, default=None, return_dtype=pl.Boolean)


def as_groups(left: pl.Series, right: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return a group's column of two files in one form: Boolean where every value of both says yes or no."""
    both = (as_text(left), as_text(right))
    flags = (as_flags(left), as_flags(right))
    is_flag = all(flag.count() == text.count() for flag, text in zip(flags, both, strict=True))
    return flags if is_flag and any(flag.count() for flag in flags) else both


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
    return None if header is None else as_ids(table[header])


def compared_columns(table: pl.DataFrame) -> frozenset[str]:
    """Return the columns of a table by which records are told apart: names, birth date, sex, place, numbers."""
    return frozenset(name for name in table.columns if _trait(name) or name == "street_number")


def _trait(header: str) -> str | None:
    """Return the column of RECORD that a header is likely to mean."""
    return _HEADERS.get("".join(c for c in header.lower() if c.isalnum()))


def _meant(headers: Collection[str]) -> Mapping[str, str]:
    """Return RECORD's columns → the header that holds it; the exact name wins over a likely one."""
    found: dict[str, str] = {}
    for header in headers:
        name = _trait(header)
        if name and (name not in found or header == name):
            found[name] = header
    return {name: found[name] for name in RECORD if name in found}
