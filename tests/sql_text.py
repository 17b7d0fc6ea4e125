"""Follows how SQL text is put together: only literals and quoted identifiers may become part of a statement.

A part is safe when it is a literal, a module constant, the result of the quoting functions of
``wellbridge.etl.store``, or made of safe parts by a local variable or a function of the same module.
Everything else (a parameter, an attribute, a subscript) could carry a name or value from a file.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from source_tree import Module

QUOTING = frozenset({"quoted", "columns_sql"})
# By the house's naming always an object declared in our own code: a table, column, measure or its parameter.
DECLARED = frozenset({"table", "column", "measure", "parameter"})
_SQL = re.compile(
    r"\b(SELECT\s|INSERT INTO|DELETE FROM|UPDATE\s.*\bSET\b|CREATE (TABLE|VIEW|SCHEMA)|DROP\s|ALTER\s"
    r"|ATTACH\s|COPY\s|MERGE INTO|FROM \w|WHERE\s|JOIN\s|VALUES\s?\()",
    re.DOTALL,
)
Function = ast.FunctionDef | ast.AsyncFunctionDef


class SqlText:
    """The statements of one module and their unsafe parts."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.functions = {f.name: f for f in module.functions()}
        self._open: set[int] = set()

    def unsafe(self) -> Iterator[ast.AST]:
        """Yield every expression that puts an unsafe part into a text that reads as SQL."""
        for scope in (*self.module.functions(), self.module.tree):
            for node in _own_nodes(scope):
                if (
                    _is_assembled(node)
                    and _SQL.search(_literal_text(node))
                    and not self._is_safe(node, scope)
                ):
                    yield node

    def _is_safe(self, node: ast.AST | None, scope: ast.AST) -> bool:
        if isinstance(node, ast.Call):
            return self._is_safe_call(node, scope)
        if isinstance(node, ast.Name):
            return self._is_safe_name(node.id, scope)
        if isinstance(node, ast.Attribute):
            return isinstance(node.value, ast.Name) and node.value.id in DECLARED
        parts = _parts(node)
        return parts is not None and all(self._is_safe(part, scope) for part in parts)

    def _is_safe_call(self, call: ast.Call, scope: ast.AST) -> bool:
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        if name in QUOTING or name in {"len", "chr"}:
            return True
        if name in {"enumerate", "sorted"}:
            return self._is_safe(call.args[0], scope)
        if isinstance(call.func, ast.Attribute) and call.func.attr in {"join", "items"}:
            return all(self._is_safe(part, scope) for part in (call.func.value, *call.args))
        function = self.functions.get(name)
        if function is None or id(function) in self._open:
            return function is not None
        self._open.add(id(function))
        returned = [
            n.value for n in _own_nodes(function) if isinstance(n, ast.Return) and n.value is not None
        ]
        safe = bool(returned) and all(self._is_safe(value, function) for value in returned)
        self._open.discard(id(function))
        return safe

    def _is_safe_name(self, name: str, scope: ast.AST) -> bool:
        if name.lstrip("_").isupper():
            return True
        given = list(_given(name, scope))
        if given:
            mark = hash((id(scope), name))
            if mark in self._open:  # made of itself and of parts that are looked at already
                return True
            self._open.add(mark)
            safe = all(self._is_safe(value, scope) for value in given)
            self._open.discard(mark)
            return safe
        return isinstance(scope, Function) and self._is_safe_parameter(name, scope)

    def _is_safe_parameter(self, name: str, function: Function) -> bool:
        """A private function's parameter is safe when every call in the module passes a safe part."""
        names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
        if not function.name.startswith("_") or name not in names:
            return False
        at = names.index(name) - (names[0] == "self")
        passed: list[tuple[ast.expr | None, ast.AST]] = []
        for caller in (*self.module.functions(), self.module.tree):
            for node in _own_nodes(caller):
                if isinstance(node, ast.Call) and _called(node) == function.name:
                    by_word = [k.value for k in node.keywords if k.arg == name]
                    passed.append((next(iter([*by_word, *node.args[at : at + 1]]), None), caller))
        return bool(passed) and all(
            value is not None and self._is_safe(value, caller) for value, caller in passed
        )


def _parts(node: ast.AST | None) -> Sequence[ast.AST | None] | None:
    """Return what a text, or the list it is joined from, is made of; None for what may hold anything."""
    if isinstance(node, ast.ListComp):
        node = ast.GeneratorExp(node.elt, node.generators)
    if isinstance(node, ast.IfExp):
        node = ast.BoolOp(ast.Or(), [node.body, node.orelse])
    match node:
        case ast.Constant():
            return ()
        case (
            ast.JoinedStr(values=parts)
            | ast.BoolOp(values=parts)
            | ast.Tuple(elts=parts)
            | ast.List(elts=parts)
        ):
            return parts
        case ast.FormattedValue(value=part) | ast.Starred(value=part) | ast.GeneratorExp(elt=part):
            return (part,)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult(), right=right):
            return (left, right)
        case ast.Dict(keys=keys, values=parts):
            return (*(key for key in keys if key is not None), *parts)  # no key: another dict's items
    return None


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def _is_assembled(node: ast.AST) -> bool:
    """An f-string with parts, a sum or ``%`` of strings, or ``.format`` and ``.join``."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(value, ast.FormattedValue) for value in node.values)
    if isinstance(node, ast.BinOp):
        is_text = any(isinstance(n, ast.JoinedStr) or _is_text(n) for n in (node.left, node.right))
        return isinstance(node.op, ast.Add | ast.Mod) and is_text
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"format", "join"}
    )


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _literal_text(node: ast.AST) -> str:
    return "".join(str(n.value) for n in ast.walk(node) if isinstance(n, ast.Constant) and _is_text(n))


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield a scope's nodes without those of functions inside it."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function):
            waiting.extend(ast.iter_child_nodes(node))


def _given(name: str, scope: ast.AST) -> Iterator[ast.AST]:
    """Yield what a name is given in a scope: assigned and appended values, and what loops run over."""
    for node in _own_nodes(scope):
        match node:
            case ast.Assign(targets=targets, value=value) if any(_binds(target, name) for target in targets):
                yield value
            case ast.AnnAssign(target=target, value=ast.expr() as value) if _binds(target, name):
                yield value
            case ast.AugAssign(target=target, value=value) if _binds(target, name):
                yield value
            case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                if _binds(target, name):
                    yield value
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr="append"), args=[value]):
                if owner == name:
                    yield value


def _binds(target: ast.AST, name: str) -> bool:
    names = (n for n in ast.walk(target) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    return any(n.id == name for n in names)
