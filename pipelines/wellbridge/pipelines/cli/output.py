"""How every command speaks: people on stderr and a short summary, machines one JSON document, one exit code.

The headline, the JSON ``outcome`` and the exit code come from one value, so they cannot disagree.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final, ParamSpec

import click

from wellbridge.schemas.errors import OUTCOMES, Exit, SafeError
from wellbridge.schemas.faults import own_fault

P = ParamSpec("P")
SCHEMA_VERSION: Final = 1
_LEAST_PROSE: Final = 12  # characters that are left of a column of prose on a narrow terminal

project_option = click.option(
    "--project",
    "project",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="this folder",
    help="The site's folder.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")


_LONGEST_NAME: Final = 64


class Choice(click.Choice[str]):
    """A choice of words that does not repeat a wrong one: who expects a text may have written about a child."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word chosen."""
        if value not in self.choices:
            self.fail(f"Choose one of {', '.join(self.choices)}.", param, ctx)
        return str(value)


def named_person(_context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    """Refuse a name that could not be read in a list of answers; an option's callback."""
    if name is None:
        return None
    if not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
        raise click.BadParameter(f"A person's name has 1 to {_LONGEST_NAME} printable characters.")
    return name.strip()


def document(exit_code: Exit, **facts: Any) -> dict[str, Any]:
    """Return a command's JSON document."""
    return {
        "schema_version": SCHEMA_VERSION,
        "outcome": OUTCOMES[exit_code],
        "exit_code": int(exit_code),
        "run_id": None,
        "errors": [],
        **facts,
    }


def command(function: Callable[P, Exit]) -> Callable[P, None]:
    """Turn the function's result, or its failure, into messages and the exit code.

    A ``SafeError`` is shown in its five parts; anything else is our bug and shows its type and place alone,
    because its text may quote a value.
    """

    @functools.wraps(function)
    def wrapped(*arguments: P.args, **options: P.kwargs) -> None:
        failure: SafeError | None = None
        try:
            code = function(*arguments, **options)
        except SafeError as error:
            failure = error
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None
        except Exception as error:
            failure = own_fault(error)
        if failure is not None:
            code = failure.exit
            if options.get("as_json"):
                show_json(document(code, errors=[failure.as_dict()], **failure.facts))
            else:
                click.echo(failure.render(), err=True)
        sys.exit(int(code))

    return wrapped


def show_json(found: dict[str, Any]) -> None:
    """Print the one JSON document."""
    click.echo(json.dumps(found, default=str))


def table(rows: list[dict[str, Any]], columns: list[str] | None = None) -> str:
    """Lay rows out as text columns, numbers to the right; on a terminal cut so that no line wraps."""
    if not rows:
        return "(none)"
    names = columns or list(rows[0])
    cells = [[_text(row.get(name)) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]
    numeric = [_is_numeric([row.get(name) for row in rows]) for name in names]
    if sys.stdout.isatty():
        least = [_least(n, [row.get(n) for row in rows], w) for n, w in zip(names, widths, strict=True)]
        import shutil

        widths = _fitted(widths, least, shutil.get_terminal_size().columns)
    lines = [names, ["─" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(
            _cut(cell, w).rjust(w) if right else _cut(cell, w).ljust(w)
            for cell, w, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def entries(rows: list[tuple[str, str, list[str]]]) -> str:
    """Lay out what is too long for a table: a name, its heading beside it, and sentences below, wrapped to the width.

    The width is the terminal's, or 80 where there is none; an id, path or number that is longer stays whole.
    """
    import shutil
    import textwrap

    room = shutil.get_terminal_size().columns
    indent = max((len(name) for name, _, _ in rows), default=0) + 2
    lines = []
    for name, heading, sentences in rows:
        for number, text in enumerate([heading, *filter(None, sentences)]):
            lines += textwrap.wrap(
                text,
                room,
                initial_indent=("" if number else name).ljust(indent),
                subsequent_indent=" " * indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
    return "\n".join(lines)


def _is_numeric(values: list[Any]) -> bool:
    given = [value for value in values if value is not None]
    return bool(given) and all(isinstance(value, int | float) for value in given)


def _least(name: str, values: list[Any], width: int) -> int:
    """Return how narrow a column may become: prose can be cut, but no id, path or number."""
    is_prose = any(isinstance(value, str) and " " in value for value in values)
    return min(width, max(len(name), _LEAST_PROSE)) if is_prose else width


def _fitted(widths: list[int], least: list[int], room: int) -> list[int]:
    """Narrow the widest columns, one character at a time."""
    fitted = list(widths)
    while sum(fitted) + 2 * (len(fitted) - 1) > room:
        spare = [i for i, width in enumerate(fitted) if width > least[i]]
        if not spare:
            break
        fitted[max(spare, key=lambda i: fitted[i])] -= 1
    return fitted


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    if isinstance(value, float):
        return f"{value:,.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class Progress:
    """One line per step on a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._last = ""

    def __call__(self, feed: str, step: str, rows: int) -> None:
        """Show where a night is."""
        if not self._shown:
            return
        line = f"{feed:<18} {step:<9} {rows:>12,}" if feed else step
        sys.stderr.write(f"\r\x1b[K{line}" if feed else f"\r\x1b[K{step}…")
        sys.stderr.flush()

    def close(self) -> None:
        """Clear the line."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
