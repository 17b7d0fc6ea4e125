"""A site's own rules: stricter is taken, looser is refused by name, what is not understood is refused."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellbridge.privacy.rules.book import Book, builtin
from wellbridge.privacy.rules.compare import LOOSER, STRICTER, compare
from wellbridge.privacy.rules.local import effective, tightened
from wellbridge.privacy.rules.rule import Level, Rule
from wellbridge.privacy.rules.strictness import DIRECTIONS, Direction, Treatment
from wellbridge.schemas.errors import ConfigurationError, PrivacyError

BOOK = builtin()
LIMITS = [(rule.id, name) for rule in BOOK.rules.values() for name in rule.limits]
COLUMN_RULES = [rule for rule in BOOK.rules.values() if rule.on is Level.COLUMN and rule.treatment]
OWN = """
[[rule]]
id = "L-01"
citation = "Board policy 5125"
says = "Staff roles do not leave."
on = "column"
effect = "drop"
classes = ["plain"]
regimes = ["any"]
purposes = ["record"]
since = 2026-01-01
"""


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(sorted(value)) if isinstance(value, frozenset | set) else str(value)


def tighten(rule: str, name: str, value: object) -> Book:
    return tightened(BOOK, f"[tighten.{rule}]\n{name} = {toml(value)}")


def refused(text: str) -> PrivacyError:
    with pytest.raises(PrivacyError) as caught:
        tightened(BOOK, text)
    assert (caught.value.code, caught.value.exit) == ("WB-E-044", 14)
    return caught.value


def neighbours(name: str, value: object) -> tuple[object, object | None]:
    """A stricter value than the book's, and a looser one; None where there is none."""
    direction = DIRECTIONS[name]
    if direction is Direction.MORE:
        assert isinstance(value, frozenset)
        return value | {"edfacts" if name == "bands" else "another"}, value - {min(value)} if value else None
    if direction is Direction.FEWER:
        assert isinstance(value, frozenset)
        return value - {min(value)}, value | {"another"}
    if direction is Direction.ON:
        return True, False if value else None
    assert isinstance(value, int)
    return (value + 1, value - 1) if direction is Direction.UP else (value - 1, value + 1)


@pytest.mark.parametrize(("rule", "name"), LIMITS)
def test_a_stricter_limit_is_taken_and_a_looser_one_refused_by_name(rule: str, name: str) -> None:
    stricter, looser = neighbours(name, BOOK.rules[rule].limits[name])
    assert tighten(rule, name, stricter).rules[rule].limits[name] == stricter
    assert tighten(rule, name, BOOK.rules[rule].limits[name]).digest == BOOK.digest
    if looser is not None:
        error = refused(f"[tighten.{rule}]\n{name} = {toml(looser)}")
        assert rule in error.where
        assert name in error.where


def test_a_switch_that_is_on_cannot_be_turned_off_again() -> None:
    on = tighten("N-03", "percent_only", True)
    with pytest.raises(PrivacyError, match="WB-E-044"):
        tightened(on, "[tighten.N-03]\npercent_only = false")


@given(st.integers(0, 100))
def test_a_least_cell_is_what_the_book_or_the_site_asks_whichever_is_more(least: int) -> None:
    if least < BOOK.number("min_cell"):
        refused(f"[tighten.N-01]\nmin_cell = {least}")
    else:
        assert tighten("N-01", "min_cell", least).number("min_cell") == least


@pytest.mark.parametrize("rule", COLUMN_RULES, ids=lambda rule: rule.id)
@pytest.mark.parametrize("effect", Treatment)
def test_a_treatment_can_become_stricter_only(rule: Rule, effect: Treatment) -> None:
    text = f'[tighten.{rule.id}]\neffect = "{effect}"'
    assert rule.treatment is not None
    if effect.rank < rule.treatment.rank:
        assert f"{rule.id} effect" in refused(text).where
    elif effect is rule.treatment or effect.shows_nothing:
        assert tightened(BOOK, text).rules[rule.id].treatment is effect
    else:  # another generalisation suits other columns
        with pytest.raises(ConfigurationError, match="WB-E-070"):
            tightened(BOOK, text)


@pytest.mark.parametrize("rule", BOOK.rules.values(), ids=BOOK.rules)
@pytest.mark.parametrize("scope", ["classes", "regimes", "purposes"])
def test_a_rule_cannot_apply_to_less_and_one_that_lets_stay_not_to_more(rule: Rule, scope: str) -> None:
    if getattr(rule, scope):
        assert f"{rule.id} {scope}" in refused(f"[tighten.{rule.id}]\n{scope} = []").where
    wider = f'[tighten.{rule.id}]\n{scope} = ["any"]'
    kind = type(next(iter(getattr(rule, scope) or {None})))
    is_all = getattr(rule, scope) and len(getattr(rule, scope)) == len(kind)
    if rule.treatment is Treatment.KEEP and not is_all:
        assert f"{rule.id} {scope}" in refused(wider).where
    elif rule.on is not Level.COLUMN and not is_all:
        with pytest.raises(ConfigurationError, match="WB-E-070"):
            tightened(BOOK, wider)
    else:
        assert getattr(tightened(BOOK, wider).rules[rule.id], scope) >= getattr(rule, scope)


@pytest.mark.parametrize("word", ["remove", "disable", "loosen", "ignore"])
def test_a_rule_cannot_be_taken_away(word: str) -> None:
    assert "F-05 taken away" in refused(f'{word} = ["F-05"]').where


def test_everything_that_is_looser_is_named_at_once() -> None:
    where = refused('remove = ["F-05"]\n[tighten.N-01]\nmin_cell = 5\n[tighten.F-02]\nk = 3').where
    assert where.startswith("policy/rules.toml")
    assert [name in where for name in ("F-05 taken away", "N-01 min_cell", "F-02 k")] == [True] * 3


def test_a_further_rule_is_taken_and_one_that_lets_stay_is_refused() -> None:
    book = tightened(BOOK, OWN)
    assert book.rules["L-01"].is_local
    assert book.digest != BOOK.digest
    assert "L-01 effect" in refused(OWN.replace("drop", "keep")).where


def test_a_site_s_rule_begins_on_its_day(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(OWN, encoding="utf-8")
    assert "L-01" not in effective(tmp_path, date(2025, 12, 31)).rules
    assert "L-01" in effective(tmp_path, date(2026, 1, 1)).rules
    assert "L-01" in effective(tmp_path).rules


def test_a_site_without_rules_has_the_book(tmp_path: Path) -> None:
    assert effective(tmp_path) is BOOK


def test_a_milder_state_changes_no_limit_and_a_stricter_one_is_a_floor_for_the_site() -> None:
    assert tightened(BOOK, 'profile = "NY"').number("min_cell") == 10
    assert tightened(BOOK, 'profile = "DE"').number("min_cell") == 16
    assert "N-01 min_cell" in refused('profile = "DE"\n[tighten.N-01]\nmin_cell = 12').where


@pytest.mark.parametrize("text", [
    "min_cell = 15", 'profile = "XX"', "profile = 3", "tighten = 3", "[tighten.Z-99]\nk = 12",
    "[tighten.F-02]\nk = 'x'",
    "[tighten.F-02]\nmin_cell = 12", "[tighten.F-02]\ncolour = 1", '[tighten.F-01]\neffect = "hash"',
    '[tighten.F-02]\neffect = "drop"', '[tighten.F-01]\nclasses = ["secret"]', '[tighten.F-01]\nclasses = "any"',
    "[[rule]]\nid = 'L-01'", OWN.replace("L-01", "F-99"), OWN + OWN, "rule = 3",
    OWN.replace('on = "column"', 'on = "row"'), OWN.replace("since =", "limits = { k = 20 }\nsince ="),
    OWN.replace('"drop"', '"log:disclosure"'), OWN.replace('on = "column"', 'on = "cell"'), "[tighten", "= 3",
])
def test_what_is_not_understood_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        tightened(BOOK, text)
    assert (caught.value.code, caught.value.exit) == ("WB-E-070", 10)
    assert "policy/rules.toml" in caught.value.where
    assert caught.value.__context__ is None


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError) as caught:
        effective(tmp_path)
    assert caught.value.exit == 10


# -- comparing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [
    "[tighten.N-01]\nmin_cell = 15", '[tighten.W-02]\neffect = "drop"', '[tighten.H-02]\nregimes = ["any"]', OWN,
    "[tighten.W-03]\ndigits = 2", "[tighten.N-03]\npercent_only = true",
])
def test_every_change_that_a_site_can_make_compares_as_stricter_and_back_as_looser(text: str) -> None:
    book = tightened(BOOK, text)
    assert {change.change for change in compare(BOOK.substance(), book.substance())} == {STRICTER}
    assert {change.change for change in compare(book.substance(), BOOK.substance())} == {LOOSER}
    assert compare(book.substance(), book.substance()) == []
