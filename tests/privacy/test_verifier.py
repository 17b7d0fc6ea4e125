from __future__ import annotations

import ast
import inspect
import sys

import polars as pl
import pytest

from wellbridge.privacy import formula, manifest, verifier
from wellbridge.privacy.tables import linked, margins
from wellbridge.privacy.verifier import INFINITE, narrowed


def test_the_verifier_imports_nothing_but_the_standard_library():
    tree = ast.parse(inspect.getsource(verifier))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_the_verifiers_constants_are_the_toolkits():
    assert verifier.FLOOR == linked.MIN_CELL_FLOOR
    assert verifier.ALL == margins.ALL
    assert (verifier.FORMAT, verifier.MANIFEST) == (manifest.FORMAT, manifest.NAME)


@pytest.mark.parametrize("cell", ["=1", " =1", "\ufeff-x", "＝1", "\tx", "-1.5", "plain", "'=1", '"@x', ""])
def test_the_verifier_and_the_writer_agree_on_dangerous_cells(cell: str):
    ours = bool(verifier.RISKY.search(cell)) and not verifier.NUMBER.search(cell)
    theirs = pl.select(formula.is_dangerous(pl.lit(cell))).item()
    assert ours == theirs


def ranges(**counts: int | None) -> dict[tuple[str, ...], list[int]]:
    return {(name,): [0, INFINITE] if n is None else [n, n] for name, n in counts.items()}


SUM = [(("t",), [("a",), ("b",), ("c",)])]


def test_one_hidden_part_of_a_sum_is_worked_out():
    known = ranges(t=84, a=None, b=20, c=60)
    assert narrowed(known, SUM)
    assert known[("a",)] == [4, 4]


def test_two_hidden_parts_share_what_is_left():
    known = ranges(t=84, a=None, b=None, c=60)
    assert narrowed(known, SUM)
    assert known[("a",)] == known[("b",)] == [0, 24]


def test_a_hidden_total_is_worked_out_from_its_parts():
    known = ranges(t=None, a=1, b=2, c=3)
    assert narrowed(known, SUM)
    assert known[("t",)] == [6, 6]


def test_a_hidden_total_with_a_hidden_part_has_no_end():
    known = ranges(t=None, a=None, b=2, c=3)
    assert narrowed(known, SUM)
    assert known[("t",)] == [5, INFINITE]
    assert known[("a",)][0] == 0


def test_what_is_worked_out_in_one_sum_is_used_in_the_next():
    known = ranges(t=10, a=None, b=4, c=3, u=None, d=2)
    assert narrowed(known, [*SUM, (("u",), [("a",), ("d",)])])
    assert known[("u",)] == [5, 5]


def test_counts_that_contradict_each_other_are_found():
    assert not narrowed(ranges(t=84, a=4, b=20, c=61), SUM)
    assert not narrowed(ranges(t=10, a=None, b=20, c=None), SUM)
