"""Records in one form: what a person would read as the same is the same, and no name, date or place is nothing."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellbridge.etl.identity.names import nicknames
from wellbridge.etl.identity.standard import STANDARD, standardise


def one(**columns: str | None) -> dict[str, object]:
    frame = pl.DataFrame({"record_id": ["1"], "source": ["a"], **{name: [text] for name, text in columns.items()}},
                         schema_overrides=dict.fromkeys(columns, pl.String))  # fmt: skip
    return standardise(frame).row(0, named=True)


@pytest.mark.parametrize(
    ("given_name", "family_name", "first", "last"),
    [
        ("José", "Núñez", "jose", "nunez"),
        ("JOSE", "NUNEZ", "jose", "nunez"),
        ("JosÃ©", "NÃºÃ±ez", "jose", "nunez"),  # UTF-8 read as Latin-1
        ("Jose\u0301", "Nu\u0301n\u0303ez", "jose", "nunez"),  # accents as characters of their own
        (" ana-maria ", "O'Brien", "ana maria", "obrien"),
        ("ana maria", "O’Brien", "ana maria", "obrien"),
        ("Søren", "Łukaszewski", "soren", "lukaszewski"),
        ("Robert Jr.", "Smith", "robert", "smith"),
        ("Robert", "Smith III", "robert", "smith"),
        ("Luis", "de la Cruz", "luis", "cruz"),
        ("Luis", "Van", "luis", "van"),  # a particle alone is a surname
        ("Лев", "Толстой", "лев", "толстои"),
    ],
)
def test_one_name_has_one_form(given_name: str, family_name: str, first: str, last: str) -> None:
    found = one(first_name=given_name, last_name=family_name)
    assert (found["first_name"], found["last_name"]) == (first, last)


def test_the_order_and_the_hyphen_of_two_surnames_do_not_matter() -> None:
    forms = ["García López", "Lopez-Garcia", "LOPEZ GARCIA"]
    assert {tuple(one(first_name="Eva", last_name=form)["last_names"]) for form in forms} == {
        ("garcia", "lopez")
    }  # type: ignore[arg-type]


def test_particles_are_kept_where_all_is_written_as_one_word() -> None:
    apart, together = (one(first_name="Eva", last_name=name) for name in ("De La Cruz", "Delacruz"))
    assert apart["last_compact"] == together["last_compact"] == "delacruz"


@pytest.mark.parametrize(
    ("given_name", "family_name"),
    [
        ("TEST", "STUDENT"), ("Test", "Testing"), ("Unknown", "Unknown"), ("Baby", "Boy"), ("Student", "Test"),
        ("999", "999"), ("XXX", "xx"), ("n/a", None), (None, None), ("FNU", "LNU"),
    ],
)  # fmt: skip
def test_words_that_are_no_name_leave_none(given_name: str | None, family_name: str | None) -> None:
    found = one(first_name=given_name, last_name=family_name)
    if given_name != "n/a":
        assert (found["first_name"], found["last_name"]) == (None, None)


def test_a_baby_without_a_name_keeps_the_family_name() -> None:
    found = one(first_name="BABY BOY", last_name="Castro")
    assert (found["first_name"], found["last_name"]) == (None, "castro")
    assert "placeholder_name" in str(found["flags"])


@pytest.mark.parametrize("family_name", ["Boy", "Sample", "Child", "Student"])
def test_a_family_may_be_called_like_a_placeholder(family_name: str) -> None:
    assert one(first_name="Ruth", last_name=family_name)["last_name"] == family_name.lower()


@pytest.mark.parametrize(
    ("columns", "first", "last"),
    [
        ({"full_name": "Garcia Lopez, Maria Jose"}, "maria jose", "garcia lopez"),
        ({"full_name": "Maria Garcia"}, "maria", "garcia"),
        ({"full_name": "John Q. Smith"}, "john", "smith"),
        ({"full_name": "Smith, John, Jr."}, "john", "smith"),
        ({"full_name": "John Smith, Jr."}, "john", "smith"),
        ({"first_name": "Maria Garcia"}, "maria", "garcia"),
        ({"last_name": "Garcia, Maria"}, "maria", "garcia"),
    ],
)
def test_a_name_in_one_column_is_divided(columns: dict[str, str], first: str, last: str) -> None:
    found = one(**columns)
    assert (found["first_name"], found["last_name"]) == (first, last)
    assert "name_in_one_column" in str(found["flags"])


@pytest.mark.parametrize(
    ("text", "born"),
    [
        ("2014-02-03", date(2014, 2, 3)), ("20140203", date(2014, 2, 3)), ("02/03/2014", date(2014, 2, 3)),
        ("1900-01-01", None), ("1901-01-01", None), ("1970-01-01", None), ("2000-01-01", None), ("1955-05-05", None),
        ("2014-02-30", None), ("9999-12-31", None), ("unknown", None), (None, None),
    ],
)  # fmt: skip
def test_a_birth_date_that_no_child_has_is_none(text: str | None, born: date | None) -> None:
    found = one(first_name="Eva", last_name="Lopez", birth_date=text)
    assert found["birth_date"] == born
    assert ("implausible_birth_date" in str(found["flags"])) == (text is not None and born is None)


def test_one_address_has_one_form() -> None:
    forms = [
        "12 North Main Street, Apt. #4",
        "12 N MAIN ST UNIT 4",
        "12 n. main st #4",
        "12 North Main Str Apartment 4",
    ]
    assert {one(first_name="Eva", address=form)["address_key"] for form in forms} == {"12 n main st # 4"}


@pytest.mark.parametrize(
    "text", ["homeless", "General Delivery", "unknown", "N/A", "none", "000", "No fixed address"]
)
def test_no_address_is_no_home_that_children_share(text: str) -> None:
    assert one(first_name="Eva", address=text)["address_key"] is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("(503) 555-1234", "5035551234"),
        ("+1 503.555.1234", "5035551234"),
        ("0000000000", None),
        ("123", None),
    ],
)
def test_a_phone_number_is_its_last_ten_digits(text: str, number: str | None) -> None:
    assert one(first_name="Eva", phone=text)["phone"] == number


def test_a_zip_code_is_five_digits_with_the_zero_that_a_spreadsheet_ate() -> None:
    assert [one(first_name="Eva", zip_code=text)["zip_code"] for text in ("97201-1234", "2139", "00000")] == [
        "97201", "02139", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "full"),
    [("Bill", "william"), ("Pepe", "jose"), ("Lupita", "guadalupe"), ("Chuy", "jesus"), ("Liz", "elizabeth")],
)
def test_a_nickname_stands_for_its_full_name(name: str, full: str) -> None:
    assert full in one(first_name=name)["nickname_roots"]  # type: ignore[operator]


def test_nicknames_do_not_chain_two_full_names_together() -> None:
    """Alexander and Alexandra are both Alex; they are two children."""
    roots = {name: set(nicknames()[name]) for name in ("alexander", "alexandra", "alex")}
    assert roots["alexander"] & roots["alex"]
    assert roots["alexandra"] & roots["alex"]
    assert not roots["alexander"] & roots["alexandra"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(max_size=12), st.text(max_size=12), st.text(max_size=12)), min_size=1, max_size=8
    )
)
def test_any_text_at_all_gives_a_frame_of_the_promised_shape(rows: list[tuple[str, str, str]]) -> None:
    frame = pl.DataFrame(
        {
            "record_id": [str(n) for n in range(len(rows))],
            "source": ["a"] * len(rows),
            "first_name": [row[0] for row in rows],
            "last_name": [row[1] for row in rows],
            "address": [row[2] for row in rows],
            "birth_date": [row[2] for row in rows],
            "phone": [row[0] for row in rows],
            "zip_code": [row[1] for row in rows],
            "sex": [row[2] for row in rows],
            "extra": [row[0] for row in rows],
        }
    )
    found = standardise(frame)
    assert found.schema == pl.Schema([*STANDARD.items(), ("extra", pl.String)])
    assert found["extra"].to_list() == frame["extra"].to_list()
    again = standardise(frame.reverse()).reverse()
    assert found.equals(again)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="aáÁbcñÑ'- zé.", max_size=20))
def test_standardising_a_standard_name_changes_nothing(name: str) -> None:
    once = one(first_name="eva", last_name=name)
    if once["last_name"] is not None:
        assert one(first_name="eva", last_name=str(once["last_name"]))["last_name"] == once["last_name"]
