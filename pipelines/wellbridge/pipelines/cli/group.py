"""The lazy command group: a command's module is imported when the command runs, not before."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import click

from wellbridge.pipelines.cli.output import document, show_json
from wellbridge.schemas.errors import UsageError
from wellbridge.schemas.imports import undisturbed

# command → ("module:attribute", one line of help). A test compares the lines with the commands' own help.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "init": ("site:init", "Make a new site in DIR."),
    "demo": ("demo:demo", "Show the whole walk on a synthetic district."),
    "synth": ("synth:synth", "Write a synthetic district's deliveries, with the truth."),
    "doctor": ("doctor:doctor", "Check the site, read-only."),
    "plan": ("nights:plan", "Say what a run would take, read-only."),
    "run": ("nights:run", "Take every new delivery through the walk."),
    "retry": ("nights:retry", "Try the held and waiting work of a run again."),
    "status": ("nights:status", "Show where the site stands since the last run."),
    "runs": ("nights:runs", "List or show runs."),
    "held": ("held:held", "List, show, release or discard held rows."),
    "contract": ("catalogue:contract", "List or show contracts."),
    "measure": ("catalogue:measure", "List or show measures."),
    "warehouse": ("warehouse:warehouse", "Look at the warehouse as a whole."),
    "extract": ("extracts:extract", "Build, verify or list releases."),
    "policy": ("policy:policy", "Show, check, compare and explain the rules."),
    "privacy": ("privacy:privacy", "De-identify, attack and prove any file, without a site."),
    "identity": ("identity:identity", "Link the records of one child, review doubtful pairs, explain and undo."),
    "report": ("report:report", "Write pages for people."),
    "explain": ("catalogue:explain", "Explain a rule, error or exit code."),
    "completion": ("completion:completion", "Print a shell's completion script."),
}

EXIT_CODES: Final = """\b
Exit codes:
   0 done            1 bug             2 usage          10 configuration
  11 source         12 contract       13 held           14 privacy
  15 warehouse      16 locked         17 hold           18 verify
  99 nothing new
"""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is asked for.

    Args:
        known: command → (``"module:attribute"`` under ``wellbridge.pipelines.cli``, its one line of help), in the
            order in which they are listed.
    """

    def __init__(self, *arguments: Any, known: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.known = known

    def main(  # type: ignore[override]  # one form for both of click's overloads: it ends by exiting
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **options: Any
    ) -> Any:
        """Run a command; say what is wrong with a command line as every other failure is said."""
        arguments = list(sys.argv[1:] if args is None else args)
        options["standalone_mode"] = False
        failure = None
        code: Any = None
        try:
            code = super().main(arguments, prog_name, **options)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            code = error.exit_code
        except click.UsageError as error:
            failure = UsageError(
                "WB-E-016", error.format_message(), error.ctx.command_path if error.ctx else ""
            )
        except click.Abort:
            code = 1
        if failure is not None:
            code = int(failure.exit)
            if "--json" in arguments:
                show_json(document(failure.exit, errors=[failure.as_dict()]))
            else:
                click.echo(failure.render(), err=True)
        sys.exit(code or 0)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return command names in the order in which they are used."""
        return list(self.known)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.known:
            import difflib

            near = difflib.get_close_matches(cmd_name, self.known, n=3)
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            raise click.UsageError(f"No such command {cmd_name!r}.{hint}", ctx)
        module, attribute = self.known[cmd_name][0].split(":")
        with undisturbed():
            found: click.Command = getattr(import_module(f"wellbridge.pipelines.cli.{module}"), attribute)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List commands with their one line, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in self.known.items()])


@click.group(cls=LazyGroup, known=COMMANDS, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wellbridge", prog_name="wellbridge")
def cli() -> None:
    """Share what helps children between schools and partners, without showing who they are."""


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line."""
    return cli.main(args=arguments, prog_name="wellbridge")
