"""The book is whole: every rule has its test, its keeper and its place in the digest; a damaged one is refused."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from datetime import date

import pytest

from source_tree import REPO, modules
from wellbridge.privacy import codes
from wellbridge.privacy.rules.book import DEFAULT, Book, builtin, read_book
from wellbridge.privacy.rules.rule import FACTS, LOG, LOGS, REQUIRE, Level, Rule
from wellbridge.privacy.rules.strictness import DIRECTIONS, Treatment
from wellbridge.privacy.tables.linked import MIN_CELL_FLOOR
from wellbridge.schemas.classes import PrivacyClass
from wellbridge.schemas.errors import ConfigurationError

RULES = builtin().rules
OWN_TEST = re.compile(r"^test_([a-oq-z])(\d\d)_")  # p: a promise of PRIVACY.md
GOOD = """
[traits]
zip = { names = ["zip"] }
[[rule]]
id = "X-01"
law = "HOUSE"
citation = "nowhere"
says = "A sentence."
on = "column"
effect = "keep"
classes = ["plain"]
regimes = ["any"]
purposes = ["any"]
since = 2020-01-01
test = "test_x01_"
"""


def _test_names() -> set[str]:
    files = (REPO / "tests" / "privacy" / "rules").glob("test_*.py")
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in files)
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_rule_has_a_test_of_its_id(rule: Rule) -> None:
    assert rule.test == f"test_{rule.id.replace('-', '').lower()}_"
    assert any(name.startswith(rule.test) for name in _test_names()), rule.test


def test_no_test_bears_the_id_of_no_rule() -> None:
    found = {match for name in _test_names() if (match := OWN_TEST.match(name))}
    assert {f"{match[1].upper()}-{match[2]}" for match in found} == set(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_rule_says_where_it_comes_from_and_names_files_that_are_there(rule: Rule) -> None:
    assert rule.citation
    assert rule.says.endswith(".")
    assert rule.since <= date.today()
    assert rule.kept_by
    assert [file for file in rule.kept_by if not (REPO / file).is_file()] == []
    assert rule.is_verified == (not rule.doubt)


def test_the_ids_of_ferpa_rules_are_kept() -> None:
    assert [name for name in RULES if name.startswith("F-")] == [f"F-{number:02d}" for number in range(1, 12)]


def test_every_fact_record_and_limit_that_is_declared_is_asked_for() -> None:
    effects = {rule.effect for rule in RULES.values()}
    assert {effect.removeprefix(REQUIRE) for effect in effects if effect.startswith(REQUIRE)} == set(FACTS)
    assert {effect.removeprefix(LOG) for effect in effects if effect.startswith(LOG)} == set(LOGS)
    assert {name for rule in RULES.values() for name in rule.limits} == set(DIRECTIONS)


def test_no_limit_is_declared_that_nothing_reads() -> None:
    texts = {m.name: m.path.read_text(encoding="utf-8") for m in modules() if not m.name.endswith(".strictness")}
    assert [name for name in DIRECTIONS if not any(f'"{name}"' in text for text in texts.values())] == []


def test_numbers_that_other_rooms_hold_as_floors_are_the_book_s() -> None:
    """``tables`` and ``records`` refuse below their own floors; the book must not promise another number."""
    from wellbridge.privacy.agreements import K_FLOOR

    book = builtin()
    assert book.number("min_cell") == MIN_CELL_FLOOR
    assert book.number("k") == K_FLOOR
    assert book.number("code_bytes") == codes.CODE_BYTES


def test_every_class_has_a_rule_for_every_purpose() -> None:
    from wellbridge.privacy.rules.decide import decide
    from wellbridge.privacy.rules.rule import Purpose

    book = builtin()
    for privacy in PrivacyClass:
        for purpose in Purpose:
            assert not decide(book, book.facts_by_name("x", privacy), (), purpose).is_default, (privacy, purpose)


def test_the_digest_follows_the_substance_and_not_the_wording() -> None:
    book = builtin()
    rule = book.rules["N-01"]

    def with_rule(changed: Rule) -> Book:
        return replace(book, rules={**book.rules, changed.id: changed})

    assert with_rule(replace(rule, says="In other words.", missing="?")).digest == book.digest
    assert with_rule(replace(rule, limits={"min_cell": 11})).digest != book.digest
    assert with_rule(replace(rule, traits=frozenset({"zip"}))).digest != book.digest
    assert replace(book, profile="DE").digest != book.digest


def test_the_default_rule_meets_nothing_by_itself() -> None:
    assert RULES[DEFAULT].classes == frozenset()
    assert RULES[DEFAULT].treatment is Treatment.REFUSE
    assert RULES[DEFAULT].on is Level.COLUMN


def test_a_small_book_is_read() -> None:
    assert list(read_book(GOOD, "book.toml").rules) == ["X-01"]


@pytest.mark.parametrize(("before", "after"), [
    ('id = "X-01"', 'id = "X1"'), ('on = "column"', 'on = "table"'), ('effect = "keep"', 'effect = "hash"'),
    ('effect = "keep"', 'effect = "require:magic"'), ('effect = "keep"', 'effect = "log:everything"'),
    ('effect = "keep"', 'effect = "generalise:zip3"'), ('classes = ["plain"]', 'classes = ["secret"]'),
    ('classes = ["plain"]', 'classes = "plain"'), ('classes = ["plain"]', ""), ("since = 2020-01-01", 'since = "soon"'),
    ('says = "A sentence."', 'says = ""'), ('test = "test_x01_"', 'tset = "test_x01_"'), ("[[rule]]", "[rule]"),
    ('test = "test_x01_"', 'test = "t"\ntraits = ["colour"]'),
    ('test = "test_x01_"', 'test = "t"\nlimits = { k = "ten" }'),
    ('test = "test_x01_"', 'test = "t"\nlimits = { kk = 10 }'), ('test = "test_x01_"', 'test = "t"\nlimits = 10'),
    ('test = "test_x01_"', 'test = "t"\nlimits = { percent_only = 1 }'), ("[traits]", "[traits"),
    ('zip = { names = ["zip"] }', 'zip = { name = ["zip"] }'), ("[traits]\n", "traits = 3\n#"),
])
def test_a_damaged_book_is_refused_without_its_text(before: str, after: str) -> None:
    assert before in GOOD
    with pytest.raises(ConfigurationError) as caught:
        read_book(GOOD.replace(before, after, 1), "book.toml")
    assert (caught.value.code, caught.value.exit) == ("WB-E-070", 10)
    assert "book.toml" in caught.value.where
    assert caught.value.__context__ is None


def test_an_id_that_occurs_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="WB-E-070"):
        read_book(GOOD + GOOD[GOOD.index("[[rule]]"):], "book.toml")
