"""The pages and the code say the same: every command, rule, error and exit code has its line."""

from __future__ import annotations

import re
from importlib import import_module

import click
import pytest

from generate_docs import DOCS, pages
from source_tree import REPO, modules
from wellbridge.pipelines.cli.group import COMMANDS, EXIT_CODES
from wellbridge.pipelines.cli.privacy import PRIVACY_COMMANDS
from wellbridge.schemas.errors import ADVICE, MEANINGS, OUTCOMES, Exit
from wellbridge.schemas.rules import RULES

CODE = re.compile(r"\bWB-[A-Z]-\d{3}\b")
LINK = re.compile(r"\]\(([^)#]+?)(?:#[^)]*)?\)")


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_made_page_is_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == pages()[name], "run: make docs"


def test_every_exit_code_has_an_outcome_a_meaning_and_a_line_of_help() -> None:
    assert set(OUTCOMES) == set(MEANINGS) == set(Exit)
    in_help = dict(re.findall(r"(\d+) ([a-z]+(?: [a-z]+)?)", EXIT_CODES))
    assert in_help == {str(int(code)): outcome.replace("_", " ") for code, outcome in OUTCOMES.items()}


def test_every_code_named_in_the_source_or_a_page_exists() -> None:
    known = set(RULES) | set(ADVICE)
    texts = [module.path for module in modules()] + sorted(REPO.glob("*.md")) + sorted(DOCS.glob("*.md"))
    unknown = {
        f"{path.relative_to(REPO)}: {code}"
        for path in texts
        for code in CODE.findall(path.read_text(encoding="utf-8"))
        if code not in known
    }
    assert unknown == set()


def test_every_error_code_is_raised_somewhere() -> None:
    source = "\n".join(
        module.path.read_text(encoding="utf-8") for module in modules() if "errors" not in module.name
    )
    assert [code for code in ADVICE if code not in source] == []


@pytest.mark.parametrize(
    ("target", "line"), [*COMMANDS.values(), *PRIVACY_COMMANDS.values()], ids=lambda text: text.split(" ")[0]
)
def test_a_command_says_of_itself_what_the_list_says_of_it(target: str, line: str) -> None:
    module, attribute = target.split(":")
    found = getattr(import_module(f"wellbridge.pipelines.cli.{module}"), attribute)
    assert isinstance(found, click.Command)
    assert (found.help or "").strip().splitlines()[0] == line


@pytest.mark.parametrize(
    "page", ["README.md", "PRIVACY.md", "GLOSSARY.md", "CONTRIBUTING.md", "docs/index.md"]
)
def test_a_page_links_only_to_files_that_are_there(page: str) -> None:
    path = REPO / page
    links = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_command_that_the_readme_shows_exists() -> None:
    shown = set(re.findall(r"wellbridge ([a-z]+)", (REPO / "README.md").read_text(encoding="utf-8")))
    assert shown
    assert shown <= set(COMMANDS)
