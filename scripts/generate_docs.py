"""Write the pages of ``docs/`` that are made from the code's own tables; ``make docs`` runs it.

A test compares the pages with what this would write, so no code can exist without its line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from wellbridge.pipelines.cli.group import COMMANDS
from wellbridge.schemas.errors import ADVICE, MEANINGS, OUTCOMES, SafeError
from wellbridge.schemas.rules import RULES

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
NOTE: Final = "<!-- Made from the code by `make docs`; a test keeps both the same. -->\n"
KINDS: Final = {
    "WB-R": "Rows held",
    "WB-D": "Deliveries held or deferred",
    "WB-P": "Rows removed by policy",
}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return (
        "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        + "\n"
    )


def exit_codes() -> str:
    """Return the page of exit codes."""
    rows = (
        (str(int(code)), OUTCOMES[code], meaning.text, "yes" if meaning.is_retry_useful else "no")
        for code, meaning in MEANINGS.items()
    )
    return (
        f"# Exit codes\n\n{NOTE}\n"
        "Every command ends with one of these. They are permanent. `--json` prints the same as `exit_code` "
        "and `outcome`.\n\n" + table(("Code", "Outcome", "Meaning", "Try again unchanged?"), rows)
    )


def rules() -> str:
    """Return the page of rules."""
    parts = [
        f"# Rules\n\n{NOTE}\nWhy a row or a delivery is not loaded as it came. Codes are permanent; the "
        "column at fault is stored beside the code. `wellbridge explain CODE` prints the same.\n"
    ]
    for prefix, title in KINDS.items():
        rows = ((r.code, r.title, r.why, r.todo) for r in RULES.values() if r.code.startswith(prefix))
        parts.append(f"## {title}\n\n" + table(("Code", "Title", "Why it matters", "What mends it"), rows))
    return "\n".join(parts)


def _exits_of_codes() -> str:
    classes = sorted(SafeError.__subclasses__(), key=lambda kind: (kind.exit, kind.__name__))
    rows = (
        (f"`{kind.__name__}`", str(int(kind.exit)), (kind.__doc__ or "").splitlines()[0]) for kind in classes
    )
    return table(("Class", "Exit", "Raised when"), rows)


def errors() -> str:
    """Return the page of error codes."""
    rows = ((code, advice.why, advice.todo) for code, advice in ADVICE.items())
    return (
        f"# Errors\n\n{NOTE}\n"
        "Every message has five parts: what went wrong, where, why it matters, what to do, and a code. "
        "No part ever holds what a cell held. What and where depend on the case; the rest is here.\n\n"
        + table(("Code", "Why it matters", "What to do"), rows)
        + f"\n## Kinds of error\n\n{_exits_of_codes()}"
    )


def index() -> str:
    """Return the page that leads to the others."""
    commands = table(
        ("Command", "What it does"), ((f"`wellbridge {n}`", line) for n, (_, line) in COMMANDS.items())
    )
    return (
        f"# Documentation\n\n{NOTE}\n"
        "- [Feeds](feeds.md): what each partner sends, file by file\n"
        "- Sources: [school](sources-school.md), [health](sources-health.md), "
        "[community and SEOW](sources-community.md): what is read, kept, dropped and held\n"
        "- [Indicators](indicators.md): area-level figures, how they are estimated\n"
        "- [Extracts](extracts.md): what leaves, under which agreement, and how it is protected\n"
        "- [Synthetic district](synth.md): what `wellbridge synth` makes, and the truth beside it\n"
        "- [Measures](measures.md): what is measured, of whom, from what\n"
        "- [Rules](rules.md): why a row or a delivery is held or removed\n"
        "- [Errors](errors.md): every error code and what to do\n"
        "- [Exit codes](exit-codes.md): what a scheduler sees\n"
        "- [Words](../GLOSSARY.md): one meaning each\n"
        "- [Promises](../PRIVACY.md): what is kept from whom, and the test that shows it\n"
        "- [Contributing](../CONTRIBUTING.md)\n\n"
        f"## Commands\n\n`wellbridge COMMAND --help` tells the options.\n\n{commands}"
    )


def pages() -> dict[str, str]:
    """Return every made page: file name → content."""
    return {"exit-codes.md": exit_codes(), "rules.md": rules(), "errors.md": errors(), "index.md": index()}


def main() -> int:
    """Write the pages; return the exit code."""
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
        print(f"docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
