"""The product's own source as syntax trees, for tests of the house's rules."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
FLOORS = ("schemas", "privacy", "etl", "pipelines")  # ground floor first


@dataclass(frozen=True)
class Module:
    """One module of the product: dotted name, file and syntax tree."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def floor(self) -> str:
        """Return the sub-package it belongs to; ``wellbridge.__main__`` stands on the top floor."""
        return self.name.split(".")[1] if self.name.count(".") > 1 or self.name[11:] in FLOORS else FLOORS[-1]

    def imports(self) -> Iterator[str]:
        """Yield the dotted name of everything imported, at any depth, relative ones resolved."""
        package = self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                yield from (f"{base}.{alias.name}" for alias in node.names)

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Yield every function and method, nested ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


@cache
def modules() -> tuple[Module, ...]:
    """Return every module of the four roots, in path order."""
    found = []
    for root in FLOORS:
        for path in sorted((REPO / root).rglob("*.py")):
            name = ".".join(path.relative_to(REPO / root).with_suffix("").parts).removesuffix(".__init__")
            found.append(Module(name, path, ast.parse(path.read_text(encoding="utf-8"))))
    return tuple(found)


def where(module: Module, node: ast.AST) -> str:
    """Return ``file:line`` of a node."""
    return f"{module.path.relative_to(REPO)}:{getattr(node, 'lineno', 0)}"


def run_without(command: Sequence[str], libraries: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run ``wellbridge`` by its name and arguments in a process of its own; it fails where it imports one of these."""
    program = (
        "import runpy, sys\n"
        f"sys.argv = {list(command)!r}\n"
        "try:\n    runpy.run_module('wellbridge', run_name='__main__')\n"
        "except SystemExit as done:\n    assert not done.code, done.code\n"
        f"loaded = [name for name in {tuple(libraries)!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(str(REPO / floor) for floor in FLOORS), "PATH": ""},
        text=True,
        capture_output=True,
        check=False,
    )
