"""``wellbridge contract``, ``measure`` and ``explain``: what the toolkit knows."""

from __future__ import annotations

import difflib
from typing import Any

import click

from wellbridge.pipelines.cli.output import command, document, json_option, show_json, table
from wellbridge.schemas.errors import ADVICE, MEANINGS, OUTCOMES, ConfigurationError, Exit


def _unknown(what: str, name: str, known: list[str]) -> ConfigurationError:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    return ConfigurationError(
        "WB-E-015",
        f"There is no {what} of that name.",
        f"near: {', '.join(near)}" if near else f"{what} {name}",
    )


def _show(rows: list[dict[str, Any]], name: str, columns: list[str], *, as_json: bool) -> Exit:
    if as_json:
        show_json(document(Exit.DONE, **{name: rows}))
    else:
        click.echo(table(rows, columns))
    return Exit.DONE


def _contracts() -> dict[str, Any]:
    from wellbridge.pipelines.sources.source import KINDS, source
    from wellbridge.schemas.contract import CONTRACTS

    for kind in KINDS:
        source(kind)
    return dict(sorted(CONTRACTS.items()))


@click.group()
def contract() -> None:
    """List or show contracts."""


@contract.command("list", short_help="List every contract.")
@json_option
@command
def contract_list(as_json: bool) -> Exit:
    """List every contract: source, record type, law, and how later deliveries change earlier ones."""
    rows = [
        {
            "contract": name,
            "title": c.title,
            "regime": str(c.regime),
            "mode": str(c.mode),
            "columns": len(c.columns),
        }
        for name, c in _contracts().items()
    ]
    return _show(rows, "contracts", ["contract", "title", "regime", "mode", "columns"], as_json=as_json)


@contract.command("show", short_help="Show a contract's columns.")
@click.argument("name")
@json_option
@command
def contract_show(name: str, as_json: bool) -> Exit:
    """Show a contract's columns: header, type, privacy class, standard name, and what is kept of them."""
    known = _contracts()
    if name not in known:
        raise _unknown("contract", name, list(known))
    rows = [
        {
            "column": c.name,
            "header": c.header,
            "type": str(c.dtype),
            "class": str(c.privacy),
            "standard": c.standard,
            "required": c.required,
            "kept as": _kept(c),
        }
        for c in known[name].columns.values()
    ]
    return _show(rows, "columns", list(rows[0]), as_json=as_json)


def _kept(column: Any) -> str:
    from wellbridge.privacy.policy import warehouse_classes

    if column.ids is not None:
        return f"random {column.key_name}"
    if column.generalise is not None:
        return str(column.generalise)
    return "as it is" if column.privacy in warehouse_classes() else "nothing"


@click.group()
def measure() -> None:
    """List or show measures."""


def _measures() -> dict[str, Any]:
    from wellbridge.pipelines.measures.registry import MEASURES

    return dict(MEASURES)


@measure.command("list", short_help="List every measure.")
@json_option
@command
def measure_list(as_json: bool) -> Exit:
    """List every measure with its pillar, kind and smallest group shown."""
    rows = [
        {"measure": m.id, "title": m.title, "pillar": m.pillar, "kind": str(m.kind), "min_n": m.min_n}
        for m in _measures().values()
    ]
    return _show(rows, "measures", ["measure", "title", "pillar", "kind", "min_n"], as_json=as_json)


@measure.command("show", short_help="Show how a measure is defined.")
@click.argument("name")
@json_option
@command
def measure_show(name: str, as_json: bool) -> Exit:
    """Show a measure's definition: numerator, denominator, source, pillar, minimum n."""
    known = _measures()
    if name not in known:
        raise _unknown("measure", name, list(known))
    m = known[name]
    facts = {
        field: getattr(m, field)
        for field in (
            "id",
            "title",
            "definition",
            "numerator",
            "denominator",
            "sources",
            "pillar",
            "kind",
            "min_n",
        )
    }
    if as_json:
        show_json(document(Exit.DONE, measure=facts))
    else:
        for field, value in facts.items():
            click.echo(f"{field:<12} {', '.join(value) if isinstance(value, tuple | list) else value}")
    return Exit.DONE


@click.command()
@click.argument("code", metavar="CODE")
@json_option
@command
def explain(code: str, as_json: bool) -> Exit:
    """Explain a rule, error or exit code."""
    facts = _explain(code.upper())
    if as_json:
        show_json(document(Exit.DONE, **facts))
    else:
        for part, text in facts.items():
            click.echo(f"{part:<7} {text}")
    return Exit.DONE


def _explain(code: str) -> dict[str, str]:
    from wellbridge.schemas.rules import RULES

    if code in RULES:
        rule = RULES[code]
        return {"code": code, "title": rule.title, "why": rule.why, "todo": rule.todo}
    if code in ADVICE:
        return {"code": code, "why": ADVICE[code].why, "todo": ADVICE[code].todo}
    if code.isdigit() and int(code) in set(Exit):
        meaning = MEANINGS[Exit(int(code))]
        todo = "Try again unchanged." if meaning.is_retry_useful else "Trying again unchanged does not help."
        return {
            "code": code,
            "title": f"exit code: {OUTCOMES[Exit(int(code))]}",
            "why": meaning.text,
            "todo": todo,
        }
    from wellbridge.privacy.rules.book import builtin

    book = builtin().rules
    if code in book:
        one = book[code]
        todo = f"wellbridge policy explain {code} tells what it applies to, and what keeps it."
        return {"code": code, "title": one.says, "why": one.citation, "todo": todo}
    raise _unknown("code", code, [*RULES, *ADVICE, *book])
