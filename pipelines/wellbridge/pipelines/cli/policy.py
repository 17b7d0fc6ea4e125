"""``wellbridge policy``: the rules, what keeps them, and what they do to every column."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from wellbridge.pipelines.cli.output import (
    command,
    document,
    entries,
    json_option,
    project_option,
    show_json,
    table,
)
from wellbridge.schemas.errors import ConfigurationError, Exit, VerifyError, render

if TYPE_CHECKING:
    from datetime import datetime

    from wellbridge.privacy.rules.book import Book
    from wellbridge.privacy.rules.rule import Rule

_LABEL: Final = 13  # width of the names of facts


def _book(project: Path) -> Book:
    from wellbridge.pipelines.policy.site_rules import rules_of

    return rules_of(project)


@click.group()
def policy() -> None:
    """Show, check, compare and explain the rules."""


@policy.command("show", short_help="Show the rules in force.")
@click.argument("rules", nargs=-1, metavar="[RULE]...")
@click.option("--regime", metavar="LAW", help="Only rules of this law, or for rows that arrive under it.")
@click.option("--class", "privacy", metavar="CLASS", help="Only rules for columns of this privacy class.")
@project_option
@json_option
@command
def policy_show(rules: tuple[str, ...], regime: str | None, privacy: str | None, project: Path, as_json: bool) -> Exit:
    """Show the rules in force: source, what each asks, and whether its source was verified.

    In a site's folder its own rules are among them.
    """
    from wellbridge.pipelines.policy import words
    from wellbridge.pipelines.policy.coverage import coverage
    from wellbridge.pipelines.policy.explain import rule_facts, status

    book = _book(project)
    found = [_rule(name, book) for name in rules] or list(book.rules.values())
    found = _selected(found, regime, privacy)
    if as_json:
        lines = coverage(book)
        facts = [rule_facts(rule, lines) for rule in found]
        show_json(document(Exit.DONE, rules=facts, policy_sha256=book.digest, profile=book.profile))
        return Exit.DONE
    click.echo(entries([
        (rule.id, f"{rule.law} · {status(rule)} · {rule.citation}",
         [rule.says, "asks: " + " · ".join(filter(None, (words.effect(rule), words.limits(rule.limits))))])
        for rule in found
    ]))
    click.echo(f"\n{len(found)} of {len(book.rules)} rules · digest {book.digest[:12]}"
               + (f" · state practice {book.profile}" if book.profile else ""))
    return Exit.DONE


def _rule(name: str, book: Book) -> Rule:
    from wellbridge.pipelines.policy.explain import find_rule

    rule = find_rule(name, book)
    if rule is None:
        import difflib

        near = difflib.get_close_matches(name.upper(), book.rules, n=3, cutoff=0.4)
        raise ConfigurationError(
            "WB-E-015", "There is no rule of that id.", f"near: {', '.join(near)}" if near else f"rule {name}",
            todo="wellbridge policy show lists every rule",
        )
    return rule


def _selected(rules: list[Rule], regime: str | None, privacy: str | None) -> list[Rule]:
    from wellbridge.schemas.classes import PrivacyClass, Regime

    laws = {str(one) for one in Regime} | {rule.law for rule in rules}
    if regime is not None and regime.upper() not in laws:
        raise ConfigurationError("WB-E-012", "No rule is of that law.", f"known: {', '.join(sorted(laws))}",
                                 todo="Use one of the names above")
    if privacy is not None and privacy.lower() not in set(PrivacyClass):
        raise ConfigurationError("WB-E-012", "There is no such privacy class.", f"known: {', '.join(PrivacyClass)}",
                                 todo="Use one of the names above")
    return [
        rule for rule in rules
        if (regime is None or regime.upper() in {rule.law, *rule.regimes})
        and (privacy is None or privacy.lower() in rule.classes)
    ]


@policy.command("explain", short_help="Explain a rule, or why a column is treated as it is.")
@click.argument("name", metavar="RULE|OWNER")
@click.argument("column", required=False, metavar="[COLUMN]")
@project_option
@json_option
@command
def policy_explain(name: str, column: str | None, project: Path, as_json: bool) -> Exit:
    """Explain a rule (F-05), or a column: edfi.students birthDate, student zip3, extract homeless.

    A column is named by its contract and its name or the source's header, by its warehouse table, or as one of
    an extract. A contract or table alone lists its columns.
    """
    from wellbridge.pipelines.policy.coverage import coverage
    from wellbridge.pipelines.policy.explain import columns_of, find_column, reasons, rule_facts

    book = _book(project)
    owned = columns_of(name, book) if column is None else []
    if owned:
        if as_json:
            show_json(document(Exit.DONE, columns=[line.as_dict() for line in owned]))
        else:
            click.echo(table(_lines(owned)))
        return Exit.DONE
    if column is None and "." in name:
        name, _, column = name.rpartition(".")
    if column is None:
        facts = rule_facts(_rule(name, book), coverage(book))
        if as_json:
            show_json(document(Exit.DONE, **facts))
        else:
            click.echo("\n".join(f"{label:<{_LABEL}} {text}" for label, text in facts.items() if text != ""))
        return Exit.DONE
    line = find_column(name, column, book)
    found = reasons(line, book)
    if as_json:
        show_json(document(Exit.DONE, **line.as_dict(), reasons=[reason.as_dict() for reason in found]))
        return Exit.DONE
    laws = ", ".join(line.regimes) or "every law, because its rows can come from any source"
    traits = f" · known as {', '.join(line.traits)}".replace("_", " ") if line.traits else ""
    click.echo(f"{line.owner} · {line.column}: {line.privacy or 'no class'}{traits}\nrows arrive under {laws}")
    for reason in found:
        _tell(reason)
    return Exit.DONE


def _tell(reason: Any) -> None:
    from wellbridge.pipelines.policy import words

    click.echo(f"\n{words.PURPOSES[reason.purpose]}: {reason.what}")
    for rule in reason.deciding:
        click.echo(f"  decided by {rule.id}  {rule.says}\n             {rule.citation}")
    for rule in reason.also:
        click.echo(f"  also met   {rule.id}  {words.effect(rule)} ({rule.citation})")


@policy.command("check", short_help="Check that a site keeps the rules.")
@project_option
@json_option
@command
def policy_check(project: Path, as_json: bool) -> Exit:
    """Check a site's own rules, agreements, extracts and every column, read-only.

    Exit 10: a file cannot be understood. 14: something is looser than the rules, or would be refused. 18: a column
    has no rule.
    """
    from wellbridge.pipelines.policy.check import check_site
    from wellbridge.pipelines.site import load_site

    checked = check_site(load_site(project).root)
    if as_json:
        errors = [violation.error.as_dict() for violation in checked.violations]
        show_json(document(checked.exit, checked=checked.counts, policy_sha256=checked.book.digest, errors=errors))
        return checked.exit
    for violation in checked.violations:
        click.echo(f"{violation.kind}: {render(violation.error.as_dict())}\n")
    looked = ", ".join(f"{count:,} {kind}" for kind, count in checked.counts.items())
    verdict = f"{len(checked.violations)} violation(s)" if checked.violations else "Every rule is kept"
    click.echo(f"{verdict}: {looked}.")
    return checked.exit


@policy.command("diff", short_help="Compare the rules with the built-in ones and the last run's.")
@project_option
@json_option
@command
def policy_diff(project: Path, as_json: bool) -> Exit:
    """Compare the rules in force with the built-in book, and with those of the last run."""
    from dataclasses import asdict

    from wellbridge.pipelines.policy.site_rules import last_digest, recall
    from wellbridge.pipelines.site import load_site
    from wellbridge.privacy.rules.book import builtin
    from wellbridge.privacy.rules.compare import compare

    site = load_site(project)
    book = _book(project)
    local = [asdict(change) for change in compare(builtin().substance(), book.substance())]
    digest = last_digest(site)
    before = recall(site, digest) if digest else None
    since = None if before is None else [asdict(change) for change in compare(before, book.substance())]
    if as_json:
        show_json(document(
            Exit.DONE, policy_sha256=book.digest, profile=book.profile, builtin_sha256=builtin().digest,
            against_builtin=local, last_run_sha256=digest, against_last_run=since,
        ))
        return Exit.DONE
    click.echo(f"Against the built-in book ({builtin().digest[:12]}):")
    click.echo(table(local) if local else "nothing is changed")
    click.echo(f"\nAgainst the last run ({digest[:12] if digest else 'none yet'}):")
    if digest and digest == book.digest:
        click.echo("nothing is changed")
    elif digest:
        kept = "its rules are not on file, so only the digests can be compared: they differ"
        click.echo(kept if since is None else table(since))
        click.echo("What was loaded before stays as it was loaded.")
    return Exit.DONE


@policy.command("coverage", short_help="Show which rule covers which column.")
@click.option("--html", "html", type=click.Path(path_type=Path, dir_okay=False), help="Write the page for auditors.")
@click.option("--all", "everything", is_flag=True, help="List every column, not only counts.")
@project_option
@json_option
@command
def policy_coverage(html: Path | None, everything: bool, project: Path, as_json: bool) -> Exit:
    """Show for every column of contracts, warehouse and extracts the rules that decide, and what happens.

    Exit 18 when a column has no rule.
    """
    from datetime import UTC, datetime

    from wellbridge.pipelines.policy.coverage import coverage

    book = _book(project)
    lines = coverage(book)
    gaps = [line for line in lines if not line.is_covered]
    failed = VerifyError(
        "WB-E-073", f"{len(gaps)} column(s) have no rule.",
        " · ".join(f"{line.owner} {line.column}" for line in gaps),
    )
    code = Exit.VERIFY if gaps else Exit.DONE
    if html is not None:
        from wellbridge.pipelines.policy.page import render_coverage

        html.write_text(render_coverage(book, lines, datetime.now(UTC).date()), encoding="utf-8")
    if as_json:
        errors = [failed.as_dict()] if gaps else []
        rows = [line.as_dict() for line in lines]
        show_json(document(code, columns=rows, policy_sha256=book.digest, html=str(html) if html else None,
                           errors=errors))
        return code
    click.echo(table(_lines(lines) if everything else _counts(lines)))
    if html is not None:
        click.echo(f"\n{html}")
    if gaps:
        click.echo(failed.render(), err=True)
    return code


@policy.command("attest", short_help="Record that a recipient destroyed what an agreement gave.")
@click.argument("agreement", metavar="AGREEMENT")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="DOCUMENT")
@click.option("--on", "day", required=True, type=click.DateTime(["%Y-%m-%d"]), help="The day of destruction.")
@project_option
@json_option
@command
def policy_attest(agreement: str, file: Path, day: datetime, project: Path, as_json: bool) -> Exit:
    """Record that a recipient destroyed what an agreement gave, with the recipient's own document (F-07).

    The document is kept beside the record; where it is missing or was changed, nothing is attested. Until an overdue
    destruction is attested its recipient receives nothing new, under any agreement.
    """
    from wellbridge.pipelines.policy.disclosures import attest
    from wellbridge.pipelines.site import load_site

    made = attest(load_site(project), agreement, file, day.date())
    if as_json:
        facts = {"agreement": made.agreement, "destroyed_on": made.destroyed_on.isoformat(), "sha256": made.sha256}
        show_json(document(Exit.DONE, **facts))
    else:
        click.echo(f"Attested: agreement {made.agreement}, destroyed on {made.destroyed_on.isoformat()}.")
    return Exit.DONE


@policy.command("disclosures", short_help="Print the record of disclosures, for a parent or an auditor.")
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="Only from this day on.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Only until this day.")
@project_option
@json_option
@command
def policy_disclosures(first: datetime | None, last: datetime | None, project: Path, as_json: bool) -> Exit:
    """Print the record of disclosures: who received what, for which interest, under which exception (F-08).

    Releases are about groups: who was a student of the group on a release's day is in it, so one record answers every
    parent of the group (34 CFR 99.32(a), 99.10). Nobody is looked up.
    """
    from wellbridge.pipelines.policy.disclosures import disclosures
    from wellbridge.pipelines.site import load_site

    found = disclosures(load_site(project), first.date() if first else None, last.date() if last else None)
    if as_json:
        show_json(document(Exit.DONE, disclosures=found))
    else:
        click.echo(table([
            {**one, "parties": ", ".join(one["parties"]), "release": one["release"][:12]} for one in found
        ]) if found else "Nothing was disclosed.")
    return Exit.DONE


def _lines(lines: list[Any]) -> list[dict[str, Any]]:
    return [
        {
            "owner": line.owner, "column": line.column, "class": line.privacy, "laws": "+".join(line.regimes),
            **{str(purpose): f"{one.text} ({', '.join(one.deciding)})" for purpose, one in line.outcomes.items()},
        }
        for line in lines
    ]


def _counts(lines: list[Any]) -> list[dict[str, Any]]:
    counts: dict[tuple[str, str], dict[str, Any]] = {}
    for line in lines:
        key = (line.place, line.privacy)
        row = counts.setdefault(key, {"place": key[0], "class": key[1] or "none", "columns": 0, "without a rule": 0})
        row["columns"] += 1
        row["without a rule"] += not line.is_covered
    return list(counts.values())
