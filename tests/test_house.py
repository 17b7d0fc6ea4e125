"""The house's rules: imports point downwards, libraries stay in their rooms, SQL holds no values."""

from __future__ import annotations

import ast
import re

import pytest

from source_tree import FLOORS, REPO, Module, modules, run_without, where
from sql_text import SqlText

NO_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "misc", "base"})

# Where a library whose failures quote cell values, or whose import is dear, may be imported.
ROOMS = {
    "pandera": ("wellbridge.schemas.contract", "wellbridge.schemas.contracts", "wellbridge.etl.validation"),
    "duckdb": (
        "wellbridge.etl.store",
        *(f"wellbridge.etl.identity.{name}" for name in ("scoring", "spark", "splinked")),
    ),
    "duckdb_engine": ("wellbridge.etl.store", "wellbridge.etl.expectations"),
    "cryptography": ("wellbridge.privacy",),
    "highspy": ("wellbridge.privacy",),
    "click": ("wellbridge.pipelines.cli",),
    "jinja2": ("wellbridge.pipelines",),
    "pyreadstat": ("wellbridge.etl.readers",),
    "pandas": (),  # pandera and Great Expectations bring it; the walk never uses it
    "lxml": (),
    "pyspark": ("wellbridge.etl.identity.spark",),
    "splink": ("wellbridge.etl.identity.splinked", "wellbridge.etl.identity.spark"),
    "requests": (),
}
HEAVY = (
    "polars",
    "pandera",
    "duckdb",
    "sqlalchemy",
    "great_expectations",
    "psycopg",
    "jinja2",
    "numpy",
    "pandas",
)


def _is_inside(name: str, rooms: tuple[str, ...]) -> bool:
    return any(name == room or name.startswith(room + ".") for room in rooms)


def _wellbridge_names(module: Module) -> set[str]:
    """Return what a module imports of the product, names in strings (lazy imports) included."""
    texts = {
        n.value for n in ast.walk(module.tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    }
    lazy = {text for text in texts if re.fullmatch(rf"wellbridge\.({'|'.join(FLOORS)})[a-z_.]*(:\w+)?", text)}
    return {name for name in (*module.imports(), *lazy) if name.startswith("wellbridge.")}


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_imports_only_itself_and_the_floors_below(floor: str) -> None:
    below = FLOORS[: FLOORS.index(floor) + 1]
    upwards = [
        f"{module.name} -> {name}"
        for module in modules()
        if module.floor == floor
        for name in sorted(_wellbridge_names(module))
        if name.split(".")[1] not in below
    ]
    assert upwards == []
    assert any(module.floor == floor for module in modules())


def test_no_module_is_named_for_its_layer_instead_of_its_subject() -> None:
    assert [m.name for m in modules() if NO_NAMES & set(m.name.split("."))] == []


@pytest.mark.parametrize("library", sorted(ROOMS))
def test_a_library_that_could_leak_or_slow_us_stays_in_its_room(library: str) -> None:
    strays = [
        module.name
        for module in modules()
        if any(name.split(".")[0] == library for name in module.imports())
        and not _is_inside(module.name, ROOMS[library])
    ]
    assert strays == []


def test_great_expectations_is_imported_in_one_module_and_never_at_its_top() -> None:
    users = [m for m in modules() if any(name.split(".")[0] == "great_expectations" for name in m.imports())]
    top = [
        where(m, node)
        for m in users
        for node in m.tree.body
        if isinstance(node, ast.Import | ast.ImportFrom) and "great_expectations" in ast.unparse(node)
    ]
    assert len(users) <= 1
    assert top == []


def test_sql_is_made_of_literals_and_quoted_identifiers_only() -> None:
    unsafe = [where(module, node) for module in modules() for node in SqlText(module).unsafe()]
    assert unsafe == []


@pytest.mark.parametrize(
    "body",
    [
        'def f(store, name):\n    store.run(f"SELECT * FROM {name}")',
        'def f(store, value):\n    store.run("SELECT 1 WHERE x = " + value)',
        'def f(store, value):\n    store.run("SELECT 1 FROM t WHERE x = %s" % value)',
        'def f(store, row):\n    store.run("DELETE FROM t WHERE x = {}".format(row["x"]))',
        'def f(store, rows):\n    on = " OR ".join(f"x={r}" for r in rows)\n    run(f"SELECT 1 WHERE {on}")',
        'def f(store, n):\n    store.run(_g(n))\ndef _g(n):\n    return f"DROP TABLE {n}"',
    ],
)
def test_the_sql_guard_sees_a_value_however_it_gets_into_the_text(body: str) -> None:
    module = Module("wellbridge.etl.mutant", REPO / "mutant.py", ast.parse(body))
    assert list(SqlText(module).unsafe())


def test_the_sql_guard_lets_quoted_names_pass() -> None:
    body = (
        'NAMES = ("a", "b")\n'
        "def f(store, table):\n"
        '    on = " AND ".join(f"t.{quoted(n)} = i.{quoted(n)}" for n in table.key)\n'
        "    store.run(f\"SELECT {', '.join(NAMES)} FROM {quoted(table.name)} t JOIN i ON {on}\")\n"
    )
    module = Module("wellbridge.etl.sound", REPO / "sound.py", ast.parse(body))
    assert list(SqlText(module).unsafe()) == []


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help_and_version_import_no_heavy_library(arguments: tuple[str, ...]) -> None:
    done = run_without(["wellbridge", *arguments], HEAVY)
    assert done.returncode == 0, done.stderr[-400:]
    assert done.stdout.strip()


def test_every_module_says_what_it_is_for() -> None:
    assert [module.name for module in modules() if not ast.get_docstring(module.tree)] == []


def test_safe_errors_do_not_carry_the_original_failure_along() -> None:
    """A SafeError raised inside an ``except`` block keeps the original in ``__context__``."""
    inside = [
        where(module, node)
        for module in modules()
        for handler in ast.walk(module.tree)
        if isinstance(handler, ast.ExceptHandler)
        for node in ast.walk(handler)
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and _class_name(node.exc).endswith("Error")
    ]
    assert inside == []


def _class_name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def test_the_linter_and_the_tests_of_the_readme_are_what_ci_runs() -> None:
    ci = (REPO / ".ci" / "run").read_text(encoding="utf-8")
    readme = (REPO / "README.md").read_text(encoding="utf-8")
    assert "make test" in readme
    assert {"make test", "make lint"} <= {line.split(" || ")[0].strip() for line in ci.splitlines()}


def test_lock_files_pin_every_version_by_hash_and_name_no_index() -> None:
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-build.lock", "requirements-encode.lock"):
        text = (REPO / name).read_text(encoding="utf-8")
        entries = [e for e in re.split(r"\n(?=\S)", text) if e and not e.startswith("#")]
        assert entries
        assert all("==" in entry and "--hash=sha256:" in entry for entry in entries), name
        assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host| @ ", text), name
