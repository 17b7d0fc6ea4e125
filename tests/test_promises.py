"""Each promise of PRIVACY.md names code that is there and has a test of its number."""

from __future__ import annotations

import ast
import re

import pytest

from source_tree import REPO

PROMISES = re.split(r"^## ", (REPO / "PRIVACY.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
NUMBERS = [promise[:4] for promise in PROMISES]


def _test_names() -> set[str]:
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in (REPO / "tests").rglob("test_*.py"))
    return {n.name for tree in trees for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}


def test_promises_are_numbered_without_a_gap() -> None:
    assert [f"P-{number:02d}" for number in range(1, len(PROMISES) + 1)] == NUMBERS


@pytest.mark.parametrize("promise", PROMISES, ids=NUMBERS)
def test_a_promise_names_code_that_is_there(promise: str) -> None:
    files = re.findall(r"\]\(([\w/]+\.py)\)", promise.partition("Kept by")[2])
    assert files
    assert [file for file in files if not (REPO / file).is_file()] == []


@pytest.mark.parametrize("number", NUMBERS)
def test_a_promise_has_a_test_of_its_number(number: str) -> None:
    prefix = f"test_p{number[2:]}_"
    assert any(name.startswith(prefix) for name in _test_names()), f"no test is named {prefix}…"


def test_no_test_bears_the_number_of_no_promise() -> None:
    numbered = {name for name in _test_names() if re.match(r"test_p\d\d_", name)}
    assert {name for name in numbered if f"P-{name[6:8]}" not in NUMBERS} == set()
