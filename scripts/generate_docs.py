"""Write the pages of ``docs/`` that are made from the code's own tables; ``make docs`` runs it.

A test compares the pages with what this would write, so no code can exist without its line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from wellbridge.pipelines.cli.group import COMMANDS
from wellbridge.pipelines.policy import words
from wellbridge.privacy.rules.book import builtin
from wellbridge.privacy.rules.rule import Rule
from wellbridge.privacy.rules.states import all_bands, profiles
from wellbridge.privacy.rules.strictness import DIRECTIONS, Treatment
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


LAWS: Final = {
    "HOUSE": "The house: the default, and what may be done at all",
    "FERPA": "FERPA, 34 CFR Part 99",
    "PTAC": "Privacy Technical Assistance Center, guidance",
    "NCES": "NCES 2011-603 and EDFacts, published tables",
    "HIPAA": "HIPAA, 45 CFR 164.514",
    "PART2": "42 CFR Part 2",
    "MCKINNEY-VENTO": "McKinney-Vento Act",
    "IDEA": "IDEA, confidentiality",
}


def policy() -> str:
    """Return the page of the rule book."""
    book = builtin()
    parts = [
        f"# The rule book\n\n{NOTE}\n"
        "What the law and the house ask of columns, rows, cells, agreements and releases, as data: "
        "`privacy/wellbridge/privacy/rules/book.toml`. Facts of law in our own words; legal text needs counsel. "
        "`wellbridge policy explain RULE` tells more, `wellbridge policy coverage --html FILE` shows every column.\n\n"
        "Where several rules meet, the strictest treatment wins, every check stays, and every limit takes its "
        "strictest value. What no rule allows is not done.\n"
    ]
    for law, title in LAWS.items():
        rows = (_rule_line(rule) for rule in book.rules.values() if rule.law == law)
        parts.append(f"## {title}\n\n" + table(("Rule", "Says", "Asks", "Of", "Kept by", "Not done yet"), rows))
    return "\n".join([*parts, _strictness(), _own_rules(), _states()])


def _rule_line(rule: Rule) -> tuple[str, ...]:
    doubt = f"<br>**Not verified:** {rule.doubt}" if rule.doubt else ""
    asks = words.effect(rule) + (f"<br>{words.limits(rule.limits)}" if rule.limits else "")
    kept = ", ".join(words.file(path) for path in rule.kept_by)
    return (rule.id, f"{rule.says}<br>{rule.citation}{doubt}", asks, words.scope(rule), kept, rule.missing)


def _strictness() -> str:
    order = " < ".join(f"`{treatment}`" for treatment in Treatment)
    limits = table(("Limit", "Which way it becomes stricter"), DIRECTIONS.items())
    return f"## Strictness\n\nTreatments, the least strict first: {order}.\n\n{limits}"


def _own_rules() -> str:
    return (
        "## A site's own rules\n\n"
        "`policy/rules.toml` of a site names a state (`profile = \"DE\"`), tightens rules (`[tighten.N-01]` with "
        "limits, a stricter `effect`, or a wider `classes`, `regimes` or `purposes`), and adds rules (`[[rule]]`, ids "
        "beginning with `L-`, fields as in `book.toml`). Anything looser is refused, all of it at once and by name "
        "(WB-E-044, exit 14); what is not understood is refused too (WB-E-070, exit 10). Rows that were loaded before "
        "a rule changed stay as they were loaded. `wellbridge policy check` looks before a night does.\n"
    )


def _states() -> str:
    states = (
        (one.id, one.title, str(one.min_n_report), str(one.min_n_account or ""), one.zero_rule, one.complement,
         one.bands, "yes" if one.percent_only else "no", one.symbol, one.source, one.doubt)
        for one in profiles().values()
    )
    ranges = (
        (name, str(row.least), str(row.greatest or ""), f"{row.end} %" if row.step else "hidden",
         f"{row.step} %" if row.step else "", bands.source, bands.doubt)
        for name, bands in all_bands().items() for row in bands.rows
    )
    return (
        "## States\n\nA site names one: `profile = \"DE\"` in `policy/rules.toml`. Then the least n shown (N-01), the "
        "ranges of shares (N-02), *percentages only* (N-03) and what becomes of nobody (N-05; not known counts as "
        "hidden) hold in its extracts of tables and on the lead's page, each where it is stricter than book, agreement "
        "and extract; the page prints the symbol unless it says a bound, files keep the blank. *Also hidden* is data: "
        "what else is hidden is found by attack, whatever the state says. Accountability is not computed here.\n\n"
        + table(("State", "Name", "Least n shown", "Least n for accountability", "Nobody", "Also hidden", "Ranges",
                 "Percentages only", "Symbol", "Source", "Not verified"), states)
        + "\n## Ranges of percentages\n\n"
        + table(("Ranges", "n from", "n to", "At most, at least", "Steps between", "Source", "Not verified"), ranges)
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
        "- [Record files](privacy-records.md): `privacy assess` and `anonymize` on any file, definitions and sources\n"
        "- [Tables](privacy-tables.md): `privacy protect`, `attack`, `verify`, promises and the form of certificates\n"
        "- [Noise](privacy-noise.md): `privacy perturb`, tables with noise, rounded, private, or in ranges\n"
        "- [Linking](identity.md): how two files about the same children are matched, promised and measured\n"
        "- [The hub](identity-hub.md): who is who and since when, sealed; explained, corrected, forgotten\n"
        "- [Review](identity-review.md): doubtful pairs of records, asked of persons, at the terminal or on a sheet\n"
        "- [Encoded linkage](identity-encoded.md): the partner sends codes; what that protects, and what it does not\n"
        "- [Synthetic district](synth.md): what `wellbridge synth` makes, and the truth beside it\n"
        "- [Measures](measures.md): what is measured, of whom, from what\n"
        "- [Rules](rules.md): why a row or a delivery is held or removed\n"
        "- [The rule book](policy.md): what law and house ask of every column, and how a site makes it stricter\n"
        "- [Errors](errors.md): every error code and what to do\n"
        "- [Exit codes](exit-codes.md): what a scheduler sees\n"
        "- [Words](../GLOSSARY.md): one meaning each\n"
        "- [Promises](../PRIVACY.md): what is kept from whom, and the test that shows it\n"
        "- [Contributing](../CONTRIBUTING.md)\n\n"
        f"## Commands\n\n`wellbridge COMMAND --help` tells the options.\n\n{commands}"
    )


def pages() -> dict[str, str]:
    """Return every made page: file name → content."""
    return {"exit-codes.md": exit_codes(), "rules.md": rules(), "errors.md": errors(), "index.md": index(),
            "policy.md": policy()}


def main() -> int:
    """Write the pages; return the exit code."""
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
        print(f"docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
