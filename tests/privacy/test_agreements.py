from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from wellbridge.privacy.agreements import (
    check_elements,
    find_agreement,
    in_force,
    load_agreement,
)
from wellbridge.schemas.errors import PrivacyError

FIELDS = {
    "id": '"sea"', "recipient": '"SEA"', "parties": '["District", "SEA"]', "basis": '"studies"', "purpose": '"Study"',
    "scope": '"Students"', "start": "2026-07-01", "end": '"2027-06-30"', "destruction_date": "2027-12-31",
    "representatives": '["Director"]', "elements": '["school", "n"]',
}


def write(folder: Path, **changes: str | None) -> Path:
    facts = {name: value for name, value in {**FIELDS, **changes}.items() if value is not None}
    path = folder / "sea.toml"
    path.write_text("\n".join(f"{name} = {value}" for name, value in facts.items()), encoding="utf-8")
    return path


def at(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 12, tzinfo=UTC)


def refused(
    path: Path, now: datetime = datetime(2026, 10, 1, 12, tzinfo=UTC), ledger: datetime | None = None
) -> PrivacyError:
    with pytest.raises(PrivacyError) as caught:
        in_force(load_agreement(path), now, ledger)
    assert caught.value.exit == 14
    return caught.value


def test_an_agreement_is_in_force_from_its_first_day_to_its_last(tmp_path: Path):
    agreement = load_agreement(write(tmp_path))
    assert agreement.citation == "34 CFR 99.31(a)(6)"
    assert in_force(agreement, at(2026, 7, 1)) == date(2026, 7, 1)
    assert in_force(agreement, at(2027, 6, 30)) == date(2027, 6, 30)


@pytest.mark.parametrize("field", FIELDS)
def test_each_missing_field_refuses(tmp_path: Path, field: str):
    error = refused(write(tmp_path, **{field: None}))
    assert error.code == "WB-E-040"
    assert field in error.where


@pytest.mark.parametrize(("now", "what"), [(at(2026, 6, 30), "not begun"), (at(2027, 7, 1), "ended")])
def test_outside_its_days_it_refuses(tmp_path: Path, now: datetime, what: str):
    assert what in refused(write(tmp_path), now).what


def test_a_clock_turned_back_does_not_revive_it(tmp_path: Path):
    assert refused(write(tmp_path), at(2026, 10, 1), ledger=datetime(2027, 7, 2)).code == "WB-E-040"


def test_a_debarred_recipient_receives_nothing(tmp_path: Path):
    assert "debarred" in refused(write(tmp_path, debarred_until='"2031-01-01"')).what


@pytest.mark.parametrize("changes", [
    {"id": '"other"'}, {"basis": '"curiosity"'}, {"end": '"2025-01-01"'}, {"destruction_date": '"2027-01-01"'},
    {"start": '"soon"'}, {"elements": '"school"'}, {"recipient": "7"}, {"k": '"ten"'},
])
def test_each_mismatch_refuses(tmp_path: Path, changes: dict[str, str]):
    assert refused(write(tmp_path, **changes)).code == "WB-E-040"


@pytest.mark.parametrize("name", ["min_cell", "k"])
def test_looser_than_built_in_is_refused_and_stricter_is_kept(tmp_path: Path, name: str):
    assert refused(write(tmp_path, **{name: "9"})).code == "WB-E-044"
    assert getattr(load_agreement(write(tmp_path, **{name: "15"})), name) == 15


def test_an_element_that_is_not_listed_is_refused_by_name(tmp_path: Path):
    agreement = load_agreement(write(tmp_path))
    check_elements(agreement, ["school", "n"])
    with pytest.raises(PrivacyError) as caught:
        check_elements(agreement, ["school", "tier"])
    assert (caught.value.code, caught.value.exit) == ("WB-E-041", 14)
    assert "tier" in caught.value.where


def test_a_file_that_is_no_toml_is_refused_without_its_text(tmp_path: Path):
    path = tmp_path / "sea.toml"
    path.write_bytes(b"id = SECRET\xff")
    error = refused(path)
    assert "SECRET" not in error.render()
    assert error.__context__ is None


def test_an_unknown_or_climbing_id_is_refused(tmp_path: Path):
    write(tmp_path)
    (tmp_path / "inner").mkdir()
    for name in ("none", "../sea", ""):
        with pytest.raises(PrivacyError, match="WB-E-040"):
            find_agreement(tmp_path / "inner", name)


def test_the_digest_changes_with_what_was_agreed(tmp_path: Path):
    before = load_agreement(write(tmp_path)).digest()
    assert load_agreement(write(tmp_path)).digest() == before
    assert load_agreement(write(tmp_path, purpose='"Another"')).digest() != before
